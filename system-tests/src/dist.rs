//! What `cargo xtask dist` makes, as a user would unpack it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
pub use lab_interface::dist::{Architecture, Artifacts, DistTools, IMAGE};

use crate::process::run_ok;

const TOOL_TIMEOUT: Duration = Duration::from_mins(1);

/// The tarball for this machine.
#[derive(Debug, Clone)]
pub struct Tarball {
    artifacts: Artifacts,
}

impl Tarball {
    /// The one that `cargo xtask` has made for the tests.
    ///
    /// # Errors
    /// When the variable is not set, or no tarball is there.
    pub fn from_environment() -> Result<Self> {
        let artifacts = Artifacts::from_environment()?;
        if !artifacts.tarball().exists() {
            bail!("there is no {}; make it with: cargo xtask dist", artifacts.tarball().display());
        }
        Ok(Self { artifacts })
    }

    /// Unpacks it in a directory that is there, as a user would.
    ///
    /// # Errors
    /// When tar fails, or the tarball holds anything beside its one directory.
    pub fn unpack(&self, into: &Path) -> Result<Unpacked> {
        let mut command = Command::new("tar");
        command.arg("-xzf").arg(self.artifacts.tarball()).arg("-C").arg(into);
        run_ok(&mut command, TOOL_TIMEOUT)?;
        let names = fs::read_dir(into)?.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
        if names != [self.artifacts.name().as_str()] {
            bail!("the tarball holds {names:?}, not {} alone", self.artifacts.name());
        }
        Ok(Unpacked { directory: into.join(self.artifacts.name()) })
    }
}

/// A tarball that was unpacked.
#[derive(Debug, Clone)]
pub struct Unpacked {
    /// Its one directory, with `deploy/`, `docs/`, `man/`, `completions/`.
    pub directory: PathBuf,
}

impl Unpacked {
    /// sni-probe itself, for [`Probe::start_by`](crate::probe::Probe::start_by).
    pub fn binary(&self) -> PathBuf {
        self.directory.join("sni-probe")
    }
}
