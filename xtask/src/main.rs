//! The project's own commands. `cargo xtask --help` lists them.
#![forbid(unsafe_code)]

mod apt;
mod arrows;
mod bench;
mod build;
mod cluster_test;
mod cross;
mod demo;
mod dist;
mod engines;
mod fuzz;
mod gateways;
mod lab;
mod lint;
mod manifests;
mod programs;
mod public_api;
mod record_software;
mod releases;
mod root;
mod run;
mod setup;
mod soak;
mod summary;
mod system_test;
mod test;
mod tools;
mod verify;
mod vm_test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Builds, runs and tests sni-probe.
///
/// On a fresh Debian 12 machine with rustup's stable toolchain and gcc, `cargo xtask demo` and
/// `cargo xtask test` install what they need and do the rest.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Setup(setup::Arguments),
    Build(build::Arguments),
    Run(run::Arguments),
    Demo(demo::Arguments),
    Test(test::Arguments),
    SystemTest(system_test::Arguments),
    Soak(soak::Arguments),
    Dist(dist::Arguments),
    Fuzz(fuzz::Arguments),
    Lint(lint::Arguments),
    PublicApi(public_api::Arguments),
    Manifests(manifests::Arguments),
    Verify(verify::Arguments),
    VmTest(vm_test::Arguments),
    ClusterTest(cluster_test::Arguments),
    Bench(bench::Arguments),
    RecordSoftware(record_software::Arguments),
    Gateways(gateways::Arguments),
}

fn main() -> ExitCode {
    let result: Result<ExitCode> = match Cli::parse().verb {
        Verb::Setup(arguments) => setup::main(&arguments),
        Verb::Build(arguments) => build::main(&arguments),
        Verb::Run(arguments) => run::main(&arguments),
        Verb::Demo(arguments) => demo::main(&arguments),
        Verb::Test(arguments) => test::main(&arguments),
        Verb::SystemTest(arguments) => system_test::main(&arguments),
        Verb::Soak(arguments) => soak::main(&arguments),
        Verb::Dist(arguments) => dist::main(&arguments),
        Verb::Fuzz(arguments) => fuzz::main(&arguments),
        Verb::Lint(arguments) => lint::main(&arguments),
        Verb::PublicApi(arguments) => public_api::main(&arguments),
        Verb::Manifests(arguments) => manifests::main(&arguments),
        Verb::Verify(arguments) => verify::main(&arguments),
        Verb::VmTest(arguments) => vm_test::main(&arguments),
        Verb::ClusterTest(arguments) => cluster_test::main(&arguments),
        Verb::Bench(arguments) => bench::main(&arguments),
        Verb::RecordSoftware(arguments) => record_software::main(&arguments),
        Verb::Gateways(arguments) => gateways::main(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}
