//! Container engines and seccomp profiles of Debian releases, which `cargo xtask` unpacks for the system tests.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The variable that names the directory of the [`Engines`]; `cargo xtask` sets it.
pub const ENGINES_VARIABLE: &str = "SNI_PROBE_ENGINES";

/// A Debian release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// 12.
    Bookworm,
    /// 13.
    Trixie,
    /// Unstable.
    Sid,
}

impl Release {
    /// All of them, the oldest first.
    pub const ALL: [Self; 3] = [Self::Bookworm, Self::Trixie, Self::Sid];

    /// Its name in Debian's archive.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Sid => "sid",
        }
    }
}

/// Files of packages that are unpacked, not installed.
#[derive(Debug, Clone)]
pub struct Engines {
    directory: PathBuf,
}

impl Engines {
    /// Those in this directory.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Those that `cargo xtask` has unpacked for the tests.
    ///
    /// # Errors
    /// When the variable is not set.
    pub fn from_environment() -> Result<Self> {
        let directory = env::var_os(ENGINES_VARIABLE).with_context(|| {
            format!("{ENGINES_VARIABLE} is not set; run these tests by: cargo xtask system-test engines::")
        })?;
        Ok(Self { directory: directory.into() })
    }

    /// Where all of them are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The files of a release's packages.
    pub fn root(&self, release: Release) -> PathBuf {
        self.directory.join(release.name()).join("root")
    }

    /// The default seccomp profile of podman and CRI-O in a release (containers-common).
    pub fn seccomp_profile(&self, release: Release) -> PathBuf {
        self.root(release).join("usr/share/containers/seccomp.json")
    }

    /// The directory of `containerd` and `ctr`, 1.6.
    pub fn containerd(&self) -> PathBuf {
        self.root(Release::Bookworm).join("usr/bin")
    }

    /// The directories of Docker 26.1 and its containerd (`usr/bin`, `usr/sbin`), and of runc. Docker runs with the libraries of Debian
    /// 12, but the runc of Debian 13 does not.
    pub fn docker(&self) -> [PathBuf; 3] {
        let docker = self.root(Release::Trixie);
        [docker.join("usr/bin"), docker.join("usr/sbin"), self.root(Release::Bookworm).join("usr/sbin")]
    }
}
