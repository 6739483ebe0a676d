//! What `cargo xtask` has done in the lab: the demo, benchmarks, and files of `deploy/` that Helm makes.
//!
//! xtask builds this program, sets the variables that say where things are, and runs it as root where that is needed.
#![forbid(unsafe_code)]

mod bench;
mod demo;
mod gateways;
mod manifests;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The lab of sni-probe, as `cargo xtask` runs it
#[derive(Debug, Parser)]
#[command(name = "lab", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Demo(demo::Arguments),
    Gateways(gateways::Arguments),
    Manifests(manifests::Arguments),
    BenchReplay(bench::replay::Arguments),
    BenchSystem(bench::system::Arguments),
    Measure(bench::measure::Arguments),
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Demo(arguments) => demo::main(&arguments),
        Verb::Gateways(arguments) => gateways::main(&arguments),
        Verb::Manifests(arguments) => manifests::main(&arguments),
        Verb::BenchReplay(arguments) => bench::replay::main(&arguments),
        Verb::BenchSystem(arguments) => bench::system::main(&arguments),
        Verb::Measure(arguments) => bench::measure::main(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

/// Says what is done, on standard error: standard output is for results.
fn progress(what: &str) {
    eprintln!("lab: {what}");
}

/// Finds a program on the PATH.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}
