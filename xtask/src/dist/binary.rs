//! The static binary, and which crates the compiler made it of.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use bpf_object::OBJECT_VARIABLE;
use cargo_metadata::{Message, PackageId};
use lab_interface::dist::Architecture;

use super::git;
use crate::build::{self};
use crate::cross::Toolchain;
use crate::tools::{progress, show};

/// A release build.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) toolchain: Toolchain,
    /// Static and stripped.
    pub(super) binary: PathBuf,
    /// The crates in it.
    pub(super) crates: BTreeSet<PackageId>,
    /// The crates of the BPF object inside.
    pub(super) object_crates: BTreeSet<PackageId>,
}

/// Builds the BPF object and the binary with it inside. The eBPF toolchain must be there (`setup::ebpf`).
pub(super) fn build(architecture: Architecture) -> Result<Built> {
    let object = build::object(false)?;
    let bpf = bpf_object::Toolchain::find()
        .context("the toolchain that has just built the BPF programs is gone")?;
    let mut command = bpf.cargo("build")?;
    command.args(["--bin", bpf_object::PACKAGE]);
    let object_crates = crates_of(&mut command, bpf_object::TARGET)?.crates;

    progress(&format!("building sni-probe (release, static, {})", architecture.name()));
    let toolchain = Toolchain::new(architecture)?;
    let mut command = toolchain.build_static()?;
    command.args(["--release", "--package", "sni-probe", "--bin", "sni-probe"]);
    command.env(OBJECT_VARIABLE, &object).env("SNI_PROBE_REVISION", revision());
    let compiled = crates_of(&mut command, architecture.target())?;
    let binary = compiled.executable.context("cargo has built no sni-probe")?;
    Ok(Built { toolchain, binary, crates: compiled.crates, object_crates })
}

/// What the binary and the image say they were built from.
pub(super) fn revision() -> String {
    let set = env::var("SNI_PROBE_REVISION").ok().filter(|text| !text.is_empty());
    let commit = || git(&["rev-parse", "--short=12", "HEAD"]);
    set.or_else(commit).unwrap_or_else(|| "unknown".to_owned())
}

struct Compiled {
    crates: BTreeSet<PackageId>,
    executable: Option<PathBuf>,
}

/// Runs a build and gives what it compiled for `target`. Cargo puts that below a directory of the target's name, and what
/// runs while it builds (build scripts, procedural macros and their dependencies) elsewhere: they are not in the binary.
fn crates_of(command: &mut Command, target: &str) -> Result<Compiled> {
    command.args(["--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
    let output = command.output().context("starting cargo")?;
    if !output.status.success() {
        bail!("{}: {}", show(command), output.status);
    }
    let mut compiled = Compiled { crates: BTreeSet::new(), executable: None };
    for message in Message::parse_stream(output.stdout.as_slice()) {
        let Message::CompilerArtifact(artifact) = message? else { continue };
        let is_for_target = |path: &Path| path.iter().any(|part| part == target);
        if artifact.filenames.iter().any(|path| is_for_target(path.as_std_path())) {
            compiled.crates.insert(artifact.package_id);
            compiled.executable = artifact.executable.map(Into::into).or(compiled.executable);
        }
    }
    if compiled.crates.is_empty() {
        bail!("{} says nothing of what it compiled for {target}", show(command));
    }
    Ok(compiled)
}
