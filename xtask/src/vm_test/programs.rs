//! The programs that a virtual machine runs: its first process, and sni-probe.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use bpf_object::OBJECT_VARIABLE;
use lab_interface::dist::Architecture;

use crate::build::{self, Built, WORKSPACE_ON_HOST};
use crate::cross::Toolchain;
use crate::dist;
use crate::tools::{cargo, progress};

/// Both, for one architecture.
#[derive(Debug)]
pub(super) struct Programs {
    /// The first process.
    pub(super) guest: PathBuf,
    pub(super) sni_probe: PathBuf,
}

impl Programs {
    /// Builds them: for this machine's architecture as `cargo xtask build` does, for another one as `cargo xtask dist` does.
    pub(super) fn build(architecture: Architecture) -> Result<Self> {
        if architecture == Architecture::host() {
            return Self::with(&build::sni_probe(&build::Options::default())?);
        }
        let sni_probe = dist::static_binary(architecture)?;
        progress(&format!("building the guest's program (static, {})", architecture.name()));
        let mut command = Toolchain::new(architecture)?.build_static()?;
        command.args(["--package", "system-tests"]).env(OBJECT_VARIABLE, build::object(false)?);
        Ok(Self { guest: guest(&mut command)?, sni_probe })
    }

    /// Builds the first process, beside a daemon for this machine's architecture.
    pub(super) fn with(built: &Built) -> Result<Self> {
        let mut command = cargo();
        command.arg("build").args(WORKSPACE_ON_HOST).env(OBJECT_VARIABLE, &built.object);
        Ok(Self { guest: guest(&mut command)?, sni_probe: built.sni_probe.clone() })
    }
}

fn guest(command: &mut Command) -> Result<PathBuf> {
    command.args(["--message-format", "json-render-diagnostics", "--example", "vm-guest"]);
    build::executable(command, |message| message["target"]["name"] == "vm-guest")
}
