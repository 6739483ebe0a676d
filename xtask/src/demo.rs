//! `cargo xtask demo`: real traffic, and what sni-probe saw of it.

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::tools::show;
use crate::{build, lab, root, setup};

/// Show what sni-probe sees of real traffic through a real gateway
///
/// Makes a gateway (Envoy) in one network namespace and clients in another, sends hellos with and
/// without SNI and what else knocks on a TLS port, and compares sni-probe's counts with what was sent
/// and with Envoy's own. Then /metrics stays up until Ctrl-C. Exit code 1 when the counts differ.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask demo
  cargo xtask demo --once
  cargo xtask demo --json | jq .ok")]
pub(crate) struct Arguments {
    /// End after the report instead of serving /metrics until Ctrl-C
    #[arg(long)]
    once: bool,
    /// Print the result as one JSON document on standard output, and end
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    setup::all()?;
    let built = build::sni_probe(&build::Options::default())?;
    let mut command = lab::as_root(&built.sni_probe)?;
    command.arg("demo").args(arguments.once.then_some("--once")).args(arguments.json.then_some("--json"));
    root::announce(&command);
    // Ctrl-C is the lab's own.
    let error = command.exec();
    Err(error).with_context(|| format!("starting {}", show(&command)))
}
