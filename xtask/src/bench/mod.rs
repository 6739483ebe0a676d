//! `cargo xtask bench`: what sni-probe costs, and how fast it is beside programs that do similar things.

mod datapath;
mod replay;
mod system;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Measure what sni-probe costs, and how it does beside other programs
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    Datapath(datapath::Arguments),
    Replay(replay::Arguments),
    System(system::Arguments),
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.bench {
        Bench::Datapath(arguments) => datapath::main(arguments),
        Bench::Replay(arguments) => replay::main(arguments),
        Bench::System(arguments) => system::main(arguments),
    }
}
