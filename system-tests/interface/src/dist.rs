//! What `cargo xtask dist` makes: where each file lies, for it and for the tests.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The variable that says in which directory `cargo xtask dist` has put what it made; `cargo xtask` sets it.
pub const DIST_VARIABLE: &str = "SNI_PROBE_DIST";

const PYSPDXTOOLS_VARIABLE: &str = "SNI_PROBE_PYSPDXTOOLS";
const HADOLINT_VARIABLE: &str = "SNI_PROBE_HADOLINT";
/// The name and tag of the image.
pub const IMAGE: &str = concat!("sni-probe:", env!("CARGO_PKG_VERSION"));

/// A processor that releases are made for, by the name that containers have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// x86-64.
    Amd64,
    /// 64-bit Arm, little endian.
    Arm64,
}

impl Architecture {
    /// This machine's.
    pub const fn host() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::Amd64 }
    }

    /// As containers, Go and Debian say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Rust's target.
    pub const fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }
}

/// The files of one release for one processor.
#[derive(Debug, Clone)]
pub struct Artifacts {
    directory: PathBuf,
    architecture: Architecture,
}

impl Artifacts {
    /// Those in this directory.
    pub fn new(directory: &Path, architecture: Architecture) -> Self {
        Self { directory: directory.to_owned(), architecture }
    }

    /// Those for this machine that `cargo xtask` has made for the tests.
    ///
    /// # Errors
    /// When the variable is not set.
    pub fn from_environment() -> Result<Self> {
        Ok(Self::new(&variable(DIST_VARIABLE)?, Architecture::host()))
    }

    /// What all names begin with, and the tarball's one directory: `sni-probe-0.1.0-linux-amd64`.
    pub fn name(&self) -> String {
        format!("sni-probe-{}-linux-{}", env!("CARGO_PKG_VERSION"), self.architecture.name())
    }

    /// Where all of them lie.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The processor that they are for.
    pub const fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The root filesystem of the image, unpacked.
    pub fn root_filesystem(&self) -> PathBuf {
        self.directory.join(format!("rootfs-{}", self.architecture.name()))
    }

    /// The binary with its manual pages, completions, manifests and documentation.
    pub fn tarball(&self) -> PathBuf {
        self.directory.join(format!("{}.tar.gz", self.name()))
    }

    /// The image, as an archive of an OCI image layout.
    pub fn image(&self) -> PathBuf {
        self.directory.join(format!("{}-image.tar", self.name()))
    }

    /// The bill of materials: SPDX 2.3 as JSON.
    pub fn bill_of_materials(&self) -> PathBuf {
        self.directory.join(format!("{}.spdx.json", self.name()))
    }

    /// The checksums of all files for all processors.
    pub fn checksums(&self) -> PathBuf {
        self.directory.join("SHA256SUMS")
    }
}

/// The tools that judge a release.
#[derive(Debug, Clone)]
pub struct DistTools {
    /// Validates SPDX documents.
    pub pyspdxtools: PathBuf,
    /// Lints Dockerfiles.
    pub hadolint: PathBuf,
}

impl DistTools {
    /// Where the variables say that they are; `cargo xtask` sets them.
    ///
    /// # Errors
    /// When one of them is not set.
    pub fn from_environment() -> Result<Self> {
        Ok(Self { pyspdxtools: variable(PYSPDXTOOLS_VARIABLE)?, hadolint: variable(HADOLINT_VARIABLE)? })
    }

    /// Whether all are installed.
    pub fn are_there(&self) -> bool {
        self.pyspdxtools.exists() && self.hadolint.exists()
    }

    /// All with the variables that name them.
    pub fn variables(&self) -> [(&'static str, &OsStr); 2] {
        [(PYSPDXTOOLS_VARIABLE, self.pyspdxtools.as_os_str()), (HADOLINT_VARIABLE, self.hadolint.as_os_str())]
    }
}

fn variable(name: &str) -> Result<PathBuf> {
    let value = env::var_os(name)
        .with_context(|| format!("{name} is not set; run these tests by: cargo xtask system-test dist::"))?;
    Ok(value.into())
}
