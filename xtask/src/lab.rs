//! The lab's program: `system-tests/src/bin/lab`. xtask builds and starts it, and does not link it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use lab_interface::{ENVOY_VARIABLE, PROBE_VARIABLE};
use serde_json::Value;

use crate::build::{self, WORKSPACE_ON_HOST};
use crate::tools::{cargo, path_with, show};
use crate::{root, setup};

/// Builds the lab's program and gives its path.
pub(crate) fn build() -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--message-format", "json-render-diagnostics"]);
    command.args(WORKSPACE_ON_HOST).args(["--bin", "lab"]);
    let is_lab = |message: &Value| message["target"]["name"] == "lab";
    build::executable(&mut command, is_lab).context("building the lab")
}

/// The lab's program as root, with this sni-probe and the Envoy of setup.
pub(crate) fn as_root(sni_probe: &Path) -> Result<Command> {
    as_root_with(sni_probe, &[])
}

/// The same with more variables.
pub(crate) fn as_root_with(sni_probe: &Path, more: &[(&str, &OsStr)]) -> Result<Command> {
    let envoy = setup::envoy().context("Envoy is not installed; run: cargo xtask setup")?;
    let path = path_with(&[])?;
    let variables: [(&str, &OsStr); 3] =
        [(PROBE_VARIABLE, sni_probe.as_os_str()), (ENVOY_VARIABLE, envoy.as_os_str()), ("PATH", &path)];
    Ok(root::command(build()?, variables.into_iter().chain(more.iter().copied())))
}

/// Runs it; its exit code is the answer.
pub(crate) fn run(command: &mut Command) -> Result<ExitCode> {
    let status = command.status().with_context(|| format!("starting {}", show(command)))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
