//! Container engines and seccomp profiles for the system tests, from packages of Debian that are not installed.

use anyhow::{Context as _, Result};
use lab_interface::dist::Architecture;
use lab_interface::engines::{Engines, Release};

use crate::apt::{self, Apt};
use crate::tools::{progress, target_directory};

/// The packages of a release that the tests take files from. podman itself is installed by setup.
const fn packages(release: Release) -> &'static [&'static str] {
    /// `seccomp.json`.
    const PROFILE: &str = "golang-github-containers-common";
    match release {
        Release::Bookworm => &[PROFILE, "containerd", "runc"],
        Release::Trixie => &[PROFILE, "containerd", "docker.io", "docker-cli"],
        Release::Sid => &[PROFILE],
    }
}

/// Unpacks what is missing. Returns `None` where apt knows no archive of Debian.
pub(crate) fn fetch() -> Result<Option<Engines>> {
    let engines = Engines::new(&target_directory().join("engines"));
    for release in Release::ALL {
        let root = engines.root(release);
        if root.exists() {
            continue;
        }
        let Some(archive) = apt::archive(false)? else { return Ok(None) };
        progress(&format!("fetching container engines of Debian {}", release.name()));
        let directory = root.parent().context("a directory of the release")?;
        let apt = Apt::new(directory, &archive, release.name(), Architecture::host().name())?;
        apt.run("apt-get", &["-q", "update"])?;
        let packages: Vec<String> = packages(release).iter().map(|package| (*package).to_owned()).collect();
        apt.unpack(&packages, &root)?;
    }
    Ok(Some(engines))
}
