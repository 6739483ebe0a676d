//! The demo, until its end or Ctrl-C.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use system_tests::demo::Options;
use system_tests::interrupt;

/// Show what sni-probe sees of real traffic through a real gateway (root)
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// End after the report instead of serving /metrics until Ctrl-C
    #[arg(long)]
    once: bool,
    /// Print the result as one JSON document on standard output, and end
    #[arg(long)]
    json: bool,
}

/// What a shell says of a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { once, json } = *arguments;
    let result = system_tests::demo::run(Options { once, json });
    if result.is_err() && interrupt::requested() {
        eprintln!("interrupted; everything is cleaned up");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(if result? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
