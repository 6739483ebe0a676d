//! The tools of a virtual machine, and the libraries that they are linked with: this machine's, or Debian's of another
//! architecture.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use lab_interface::dist::Architecture;

use super::kernel;
use crate::apt::{self, Apt};
use crate::cross::Toolchain;
use crate::tools::{find, linked_library, progress};

/// The tools of a virtual machine, and where they lie in a package that is unpacked.
const TOOLS: [(&str, &str); 4] = [
    ("busybox", "usr/bin/busybox"),
    ("ip", "usr/sbin/ip"),
    ("setpriv", "usr/bin/setpriv"),
    ("tc", "usr/sbin/tc"),
];
/// The packages that have these tools, and the release of Debian from which they come.
const PACKAGES: [&str; 3] = ["busybox-static", "iproute2", "util-linux"];
const SUITE: &str = "trixie";
/// The loader of programs for arm64.
const LOADER: &str = "usr/lib/ld-linux-aarch64.so.1";
/// Where the libraries of arm64 lie in a package that is unpacked.
const LIBRARIES: &str = "usr/lib/aarch64-linux-gnu";

/// A file of this machine, and where it goes in the virtual machine.
pub(super) type Placed = (PathBuf, String);

/// Tools and libraries for one architecture.
#[derive(Debug)]
pub(super) enum Userland {
    /// This machine's.
    Host,
    /// Debian's, unpacked to `root`.
    Debian { toolchain: Toolchain, root: PathBuf },
}

impl Userland {
    /// Finds the tools for an architecture. Those of another architecture than this machine's are fetched once.
    pub(super) fn new(architecture: Architecture) -> Result<Self> {
        if architecture == Architecture::host() {
            return Ok(Self::Host);
        }
        let toolchain = Toolchain::new(architecture)?;
        let directory = kernel::directory(architecture).join("userland");
        let root = directory.join("root");
        if !root.exists() {
            progress(&format!("fetching the tools of virtual machines for {}", architecture.name()));
            let archive = apt::archive(false)?.context("no Debian archive is to be had here")?;
            let apt = Apt::new(&directory, &archive, SUITE, architecture.name())?;
            apt.run("apt-get", &["-q", "update"])?;
            apt.unpack_with_dependencies(&PACKAGES, &root)?;
        }
        Ok(Self::Debian { toolchain, root })
    }

    /// The tools, which go to `/bin`.
    pub(super) fn tools(&self) -> Result<Vec<Placed>> {
        let place = |(name, path): (&str, &str)| {
            let from = match self {
                Self::Host => find(name),
                Self::Debian { root, .. } => Some(root.join(path)).filter(|path| path.is_file()),
            };
            let from = from.with_context(|| format!("{name} is not installed; run: cargo xtask setup"))?;
            Ok((from, format!("/bin/{name}")))
        };
        TOOLS.into_iter().map(place).collect()
    }

    /// The loader and the libraries of a program. A static program has none.
    pub(super) fn libraries(&self, program: &Path) -> Result<Vec<Placed>> {
        let mut command = match self {
            Self::Host => Command::new("ldd"),
            Self::Debian { toolchain, root } => {
                let mut command = toolchain.command(&root.join(LOADER));
                command.arg("--library-path").arg(root.join(LIBRARIES)).arg("--list");
                command
            }
        };
        let output = command.arg(program).output().with_context(|| format!("starting {command:?}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let libraries = text.lines().filter_map(linked_library).map(PathBuf::from);
        Ok(libraries.map(|path| (path.clone(), self.place_of(&path))).collect())
    }

    /// Where a library goes.
    fn place_of(&self, library: &Path) -> String {
        match self {
            Self::Host => library.display().to_string(),
            // The loader looks there as well.
            Self::Debian { .. } => {
                format!("/lib/{}", library.file_name().unwrap_or_default().to_string_lossy())
            }
        }
    }

    /// Removes the symbols of a program.
    pub(super) fn strip(&self) -> Command {
        Command::new(match self {
            Self::Host => "strip",
            Self::Debian { toolchain, .. } => toolchain.strip(),
        })
    }
}
