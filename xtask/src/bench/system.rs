//! `cargo xtask bench system`: what the machine notices of sni-probe.

use std::num::NonZeroU32;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::{build, lab, root, setup};

/// Measure throughput, handshakes, CPU time, memory and losses on this machine (root)
///
/// Through a veth pair, in interleaved rounds: with nobody, with sni-probe, with tcpdump on the gateway's interface.
/// Takes about four minutes; on a machine that does other things besides, throughput and handshakes are noise.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask bench system
  cargo xtask bench system --quick          # one short round, to see that it works
  cargo xtask bench system --json | jq .targets")]
pub(crate) struct Arguments {
    /// Rounds of throughput and handshakes; the median of their ratios counts
    #[arg(long, default_value = "5")]
    rounds: NonZeroU32,
    /// One short round
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
    /// Print the result as one JSON document on standard output
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    setup::bench_system()?;
    let sni_probe = build::sni_probe(&build::Options::release())?.sni_probe;
    let mut command = lab::as_root(&sni_probe)?;
    command.arg("bench-system");
    if arguments.quick {
        command.arg("--quick");
    } else {
        command.args(["--rounds", &arguments.rounds.to_string()]);
    }
    command.args(arguments.json.then_some("--json"));
    root::announce(&command);
    lab::run(&mut command)
}
