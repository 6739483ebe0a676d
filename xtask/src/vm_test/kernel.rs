//! Debian's kernels for virtual machines, each taken from the release that it came with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::apt::{self, Apt};
use crate::tools::root;

/// A kernel to test with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kernel {
    /// 5.10, of Debian 11
    #[value(name = "5.10")]
    V5_10,
    /// 6.1, of Debian 12
    #[value(name = "6.1")]
    V6_1,
    /// 6.12, of Debian 13
    #[value(name = "6.12")]
    V6_12,
}

impl Kernel {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::V5_10, Self::V6_1, Self::V6_12];

    /// Its series.
    pub(crate) const fn series(self) -> &'static str {
        match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        }
    }

    /// How the programs are attached there.
    pub(crate) const fn mode(self) -> &'static str {
        match self {
            // TCX came with 6.6.
            Self::V5_10 | Self::V6_1 => "clsact",
            Self::V6_12 => "tcx",
        }
    }

    /// The smallest set of capabilities with which the programs load and attach.
    pub(crate) const fn capabilities(self) -> &'static str {
        match self {
            // Its verifier takes variable offsets only of who may read all memory, and its maps count as locked memory.
            Self::V5_10 => "bpf,net_admin,perfmon,sys_resource",
            Self::V6_1 | Self::V6_12 => "bpf,net_admin",
        }
    }

    /// The release of Debian, and whether its updates come by the security archive only.
    const fn suite(self) -> (&'static str, bool) {
        match self {
            Self::V5_10 => ("bullseye-security", true),
            Self::V6_1 => ("bookworm", false),
            Self::V6_12 => ("trixie", false),
        }
    }
}

/// A kernel's files, unpacked.
#[derive(Debug)]
pub(crate) struct Files {
    /// What boots.
    pub(crate) image: PathBuf,
    /// The modules of traffic control and veth.
    pub(crate) modules: Vec<PathBuf>,
}

const MODULES: [&str; 3] = ["veth", "sch_ingress", "cls_bpf"];

/// Fetches a kernel, unless it is there. `None` where there are no Debian packages to be had.
pub(crate) fn files(kernel: Kernel) -> Result<Option<Files>> {
    let directory = root().join("target/vm").join(kernel.series());
    if let Some(files) = unpacked(&directory.join("root")) {
        return Ok(Some(files));
    }
    let (suite, is_security) = kernel.suite();
    let Some(archive) = apt::archive(is_security)? else { return Ok(None) };
    let apt = Apt::new(&directory, &archive, suite, "amd64")?;
    apt.run("apt-get", &["-q", "update"])?;
    let package = kernel_package(&apt)?;
    apt.unpack(&package, &directory.join("root"))?;
    unpacked(&directory.join("root"))
        .context("the kernel's package has no image, or lacks a module")
        .map(Some)
}

fn unpacked(root: &Path) -> Option<Files> {
    let first = |directory: PathBuf, prefix: &str| {
        let entries = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
        let mut entries = entries
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)));
        entries.next()
    };
    let image = first(root.join("boot"), "vmlinuz-")?;
    let all = first(root.join("usr/lib/modules"), "").or_else(|| first(root.join("lib/modules"), ""))?;
    let directories = ["kernel/drivers/net", "kernel/net/sched"].map(|directory| all.join(directory));
    let module =
        |name: &str| directories.iter().find_map(|directory| first(directory.clone(), &format!("{name}.ko")));
    let modules = MODULES.into_iter().map(module).collect::<Option<Vec<_>>>()?;
    Some(Files { image, modules })
}

/// The package that the one for virtual machines stands for.
fn kernel_package(apt: &Apt) -> Result<String> {
    let text = apt.run("apt-cache", &["depends", "linux-image-cloud-amd64"])?;
    let mut packages = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let package = packages.find(|package| package.starts_with("linux-image-"));
    package.map(str::to_owned).context("linux-image-cloud-amd64 depends on no kernel")
}
