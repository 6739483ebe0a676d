//! `cargo xtask bench`: how fast, beside other programs that do similar things.

mod capture;
mod measure;
mod replay;
mod report;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Measure sni-probe beside other programs
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    Replay(replay::Arguments),
    Measure(measure::Arguments),
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.bench {
        Bench::Replay(arguments) => replay::main(arguments),
        Bench::Measure(arguments) => measure::main(arguments),
    }
}
