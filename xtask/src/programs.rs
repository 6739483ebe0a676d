//! The TC programs in this machine's kernel: `system-tests/benches/datapath`, built as the user, run as root.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use bpf_object::OBJECT_VARIABLE;
use serde_json::Value;

use crate::build::{self, WORKSPACE_ON_HOST};
use crate::tools::{cargo, progress, show};
use crate::{root, setup};

/// Runs the benchmark's binary with these words and gives what it prints.
pub(crate) fn run(words: &[&str]) -> Result<Value> {
    setup::ebpf()?;
    let object = build::object(false)?;
    progress("building what loads the programs");
    let mut command = root::command(build_bench(&object)?, []);
    command.args(words).stderr(Stdio::inherit());
    root::announce(&command);
    let output = command.output().with_context(|| format!("starting {}", show(&command)))?;
    if !output.status.success() {
        bail!("{}: {}; loading programs takes root", show(&command), output.status);
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("no JSON from {}", show(&command)))
}

fn build_bench(object: &Path) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--message-format", "json-render-diagnostics"]);
    command.args(WORKSPACE_ON_HOST).args(["--bench", "datapath"]).env(OBJECT_VARIABLE, object);
    build::executable(&mut command, |message| message["target"]["name"] == "datapath")
}
