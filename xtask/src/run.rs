//! `cargo xtask run`: the daemon on an interface of this machine.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{build, root, setup, tools};

/// Build sni-probe and run it on interfaces of this machine
///
/// Builds as the user; asks sudo for the last step only.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask run -- -i eth0
  cargo xtask run --release -- -i eth0 -p 443 --events text
  cargo xtask run -- --help")]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: build::Options,
    /// Arguments of `sni-probe run`
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    setup::ebpf()?;
    let built = build::sni_probe(&arguments.options)?;
    // sudo drops the user's environment, and with it what configures the daemon.
    let variables: Vec<(String, OsString)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with("SNI_PROBE_") || name == "RUST_LOG")
        .collect();
    let pairs = variables.iter().map(|(name, value)| (name.as_str(), value.as_os_str()));
    let mut command = root::command(&built.sni_probe, pairs);
    command.arg("run").args(&arguments.arguments);
    root::announce(&command);
    // Becomes the daemon: Ctrl-C and the exit code are its own.
    let error = command.exec();
    Err(error).with_context(|| format!("starting {}", tools::show(&command)))
}
