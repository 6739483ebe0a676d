//! `cargo xtask bench replay`: a large capture, read by `sni-probe replay` and by others.

use std::num::NonZeroU32;
use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::Args;

use crate::tools::{path_with, target_directory};
use crate::{build, lab, setup};

/// Time `sni-probe replay` beside tcpdump, tshark and ndpiReader
///
/// Reads a capture of mixed traffic (made once, in target/bench) with whole processes, in interleaved rounds.
/// tshark and ndpiReader run once, and tshark reads a tenth of the mix: on all of it, it takes minutes
/// and gigabytes. Compares sni-probe's counts with what the capture has; exit code 1 when they differ.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask bench replay
  cargo xtask bench replay --rounds 1 --bytes 100000000 --hellos 50000
  cargo xtask bench replay --json | jq .targets")]
pub(crate) struct Arguments {
    /// How often sni-probe and tcpdump run; the median counts
    #[arg(long, default_value = "3")]
    rounds: NonZeroU32,
    /// Size of the capture
    #[arg(long, default_value_t = 1_000_000_000)]
    bytes: u64,
    /// ClientHellos in it, of which one in 125 has no SNI
    #[arg(long, default_value_t = 500_000)]
    hellos: u64,
    /// Let tshark read the whole capture, too
    #[arg(long)]
    full: bool,
    /// Print the result as one JSON document on standard output
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    setup::ebpf()?;
    let sni_probe = build::sni_probe(&build::Options::release())?.sni_probe;
    let Arguments { rounds, bytes, hellos, full, json } = *arguments;
    let mut command = Command::new(lab::build()?);
    command.env("PATH", path_with(&[])?).arg("bench-replay");
    command.arg("--sni-probe").arg(sni_probe).arg("--directory").arg(target_directory().join("bench"));
    command.args(["--rounds", &rounds.to_string(), "--bytes", &bytes.to_string()]);
    command.args(["--hellos", &hellos.to_string()]);
    command.args(full.then_some("--full")).args(json.then_some("--json"));
    lab::run(&mut command)
}
