//! `cargo xtask system-test`: real gateways and clients in network namespaces, as root.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::Value;
use system_tests::envoy::ENVOY_VARIABLE;
use system_tests::probe::PROBE_VARIABLE;

use crate::build::{Built, OBJECT_VARIABLE, WORKSPACE_ON_HOST};
use crate::summary::Summary;
use crate::tools::{cargo, path_with, progress, root as workspace};
use crate::{build, root, setup};

/// Run the system tests: real gateways and clients in network namespaces (root)
///
/// Builds as the user; asks sudo for the tests themselves.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask system-test
  cargo xtask system-test envoy                       # tests whose name has `envoy` in it
  cargo xtask system-test envoy -- --nocapture --test-threads 1")]
pub(crate) struct Arguments {
    /// Only tests whose name contains this
    filter: Option<String>,
    /// Arguments of the test runner
    #[arg(last = true)]
    runner: Vec<String>,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    setup::all()?;
    let built = build::sni_probe(&build::Options::default())?;
    let filter = arguments.filter.iter().map(String::as_str);
    let words: Vec<&str> = filter.chain(arguments.runner.iter().map(String::as_str)).collect();
    let summary = run(&built, &words)?;
    println!("{summary}");
    Ok(if summary.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds the tests as the user and runs them as root.
pub(crate) fn run(built: &Built, arguments: &[&str]) -> Result<Summary> {
    let test = build_tests(&built.object)?;
    let envoy = setup::envoy().context("Envoy is not installed; run: cargo xtask setup")?;
    let path = path_with(&[])?;
    let variables: [(&str, &OsStr); 5] = [
        (PROBE_VARIABLE, built.sni_probe.as_os_str()),
        (OBJECT_VARIABLE, built.object.as_os_str()),
        (ENVOY_VARIABLE, envoy.as_os_str()),
        ("PATH", &path),
        ("RUST_BACKTRACE", OsStr::new("1")),
    ];
    let mut command = root::command(test, variables);
    command.current_dir(workspace().join("system-tests")).args(arguments);
    root::announce(&command);
    progress("system tests");
    Summary::of(&mut command)
}

/// Builds the one binary of the system tests and gives its path.
fn build_tests(object: &Path) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["test", "--no-run", "--message-format", "json-render-diagnostics"]);
    command.args(WORKSPACE_ON_HOST).args(["--test", "system"]);
    command.env(OBJECT_VARIABLE, object);
    let is_test =
        |message: &Value| message["target"]["name"] == "system" && message["profile"]["test"] == true;
    build::executable(&mut command, is_test).context("building the system tests")
}
