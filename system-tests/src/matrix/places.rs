//! Where clients and gateways are installed: on this machine, or in directories with Debian releases.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lab_interface::GATEWAYS_VARIABLE;

use crate::netns::Lab;
use crate::process::run;
use crate::software::place::Place;

/// Time limit for one run of a program, in seconds. `timeout` ends the program with its children then.
pub(super) const PROGRAM_SECONDS: &str = "15";
/// Time limit for a command. Longer than [`PROGRAM_SECONDS`], and than compiling a program takes.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_mins(5);

/// Where a program is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// This machine.
    Machine,
    /// Debian 12, in a directory of its own.
    Bookworm,
    /// Debian unstable, in a directory of its own.
    Sid,
}

impl Release {
    /// Its name in directories and file names.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Bookworm => "bookworm",
            Self::Sid => "sid",
        }
    }
}

/// The installed releases.
#[derive(Debug)]
pub struct Places {
    machine: Place,
    bookworm: Option<Place>,
    sid: Option<Place>,
}

impl Places {
    /// Finds the releases below the directory in [`GATEWAYS_VARIABLE`].
    ///
    /// # Errors
    /// When `/etc/os-release` cannot be read.
    pub fn find() -> Result<Self> {
        let directory = std::env::var_os(GATEWAYS_VARIABLE).map(PathBuf::from);
        let below = |release: Release| -> Result<Option<Place>> {
            let root =
                directory.as_ref().map(|directory| directory.join(format!("debian-{}", release.word())));
            root.filter(|root| root.is_dir()).map(|root| Place::below(&root, None)).transpose()
        };
        Ok(Self {
            machine: Place::machine(None)?,
            bookworm: below(Release::Bookworm)?,
            sid: below(Release::Sid)?,
        })
    }

    /// Returns the place of a release.
    ///
    /// # Errors
    /// When the release is not installed.
    pub fn get(&self, release: Release) -> Result<&Place> {
        let place = match release {
            Release::Machine => Some(&self.machine),
            Release::Bookworm => self.bookworm.as_ref(),
            Release::Sid => self.sid.as_ref(),
        };
        let word = release.word();
        place.with_context(|| format!("Debian {word} is not installed; run: cargo xtask gateways"))
    }
}

/// Versions of programs, by place and name. Each program is asked once.
#[derive(Debug, Default)]
pub(super) struct ProgramVersions {
    known: BTreeMap<(Release, String), String>,
}

impl ProgramVersions {
    /// Returns the version that a script prints. An empty script has an empty version.
    pub(super) fn get(
        &mut self,
        lab: &Lab,
        places: &Places,
        release: Release,
        name: &str,
        script: &str,
    ) -> Result<String> {
        if script.is_empty() {
            return Ok(String::new());
        }
        let key = (release, name.to_owned());
        if let Some(version) = self.known.get(&key) {
            return Ok(version.clone());
        }
        let envoy = crate::envoy::binary()?.display().to_string();
        let variables = [("ENVOY", &*envoy)];
        let place = places.get(release)?;
        let mut command = place.command_in(&lab.client, lab, script, &variables, Some(PROGRAM_SECONDS));
        let version = run(&mut command, COMMAND_TIMEOUT)?.stdout.trim().to_owned();
        self.known.insert(key, version.clone());
        Ok(version)
    }
}
