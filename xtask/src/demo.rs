//! `cargo xtask demo`: real traffic, and what sni-probe saw of it.

use std::env;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;
use system_tests::demo::Options;
use system_tests::envoy::ENVOY_VARIABLE;
use system_tests::probe::PROBE_VARIABLE;

use crate::tools::{path_with, show};
use crate::{build, root, setup};

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
    /// Built and root already: what the demo calls itself with
    #[arg(long, hide = true)]
    play: bool,
}

/// What a shell says of a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { once, json, play } = *arguments;
    if play {
        let result = system_tests::demo::run(Options { once, json });
        if result.is_err() && system_tests::interrupt::requested() {
            eprintln!("interrupted; everything is cleaned up");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        return Ok(if result? { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    setup::all()?;
    let built = build::sni_probe(&build::Options::default())?;
    let envoy = setup::envoy().context("Envoy is not installed; run: cargo xtask setup")?;
    let path = path_with(&[])?;
    let variables: [(&str, &OsStr); 3] =
        [(PROBE_VARIABLE, built.sni_probe.as_os_str()), (ENVOY_VARIABLE, envoy.as_os_str()), ("PATH", &path)];
    let mut command: Command = root::command(env::current_exe()?, variables);
    command.args(["demo", "--play"]);
    if once {
        command.arg("--once");
    }
    if json {
        command.arg("--json");
    }
    root::announce(&command);
    let error = command.exec();
    Err(error).with_context(|| format!("starting {}", show(&command)))
}
