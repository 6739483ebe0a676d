//! Debian's kernels for virtual machines, each taken from the release that it came with.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use lab_interface::dist::Architecture;

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
    /// 6.17, of Debian 13's backports: without `CAP_PERFMON` its verifier rejects what others accept
    #[value(name = "6.17")]
    V6_17,
    /// 7.3, of Debian 13's backports: the newest
    #[value(name = "7.3")]
    V7_3,
}

/// Which of a release's kernels is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// The one that its metapackage stands for.
    Current,
    /// The newest of the first of these versions that it has. Backports hold many versions, and lose some.
    Versions(&'static [&'static str]),
}

impl Kernel {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::V5_10, Self::V6_1, Self::V6_12, Self::V6_17, Self::V7_3];

    /// Its series.
    pub(crate) const fn series(self) -> &'static str {
        match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V6_17 => "6.17",
            Self::V7_3 => "7.3",
        }
    }

    /// How the programs can be attached there. The first is what the daemon chooses.
    pub(crate) const fn modes(self) -> &'static [&'static str] {
        match self {
            // TCX came with 6.6.
            Self::V5_10 | Self::V6_1 => &["clsact"],
            Self::V6_12 | Self::V6_17 | Self::V7_3 => &["tcx", "clsact"],
        }
    }

    /// The smallest set of capabilities with which the programs load and attach.
    pub(crate) const fn capabilities(self) -> &'static str {
        match self {
            // Its verifier takes variable offsets only of who may read all memory, and its maps count as locked memory.
            Self::V5_10 => "bpf,net_admin,perfmon,sys_resource",
            Self::V6_1 | Self::V6_12 | Self::V6_17 | Self::V7_3 => "bpf,net_admin",
        }
    }

    /// The release of Debian, and whether its updates come by the security archive only.
    const fn suite(self) -> (&'static str, bool) {
        match self {
            Self::V5_10 => ("bullseye-security", true),
            Self::V6_1 => ("bookworm", false),
            Self::V6_12 => ("trixie", false),
            Self::V6_17 | Self::V7_3 => ("trixie-backports", false),
        }
    }

    /// Whether Debian's archive has it. The index of arm64 lists a 5.10 of which the package is gone (2026-11-30).
    pub(super) fn exists_for(self, architecture: Architecture) -> bool {
        (self, architecture) != (Self::V5_10, Architecture::Arm64)
    }

    const fn choice(self) -> Choice {
        match self {
            Self::V5_10 | Self::V6_1 | Self::V6_12 => Choice::Current,
            // The bug is in all 6.17, and in 6.18 up to 6.18.12.
            Self::V6_17 => Choice::Versions(&["6.17.13", "6.17", "6.18.12", "6.18.9", "6.18.5"]),
            Self::V7_3 => Choice::Versions(&["7.3.4", "7.3", "7"]),
        }
    }
}

/// Returns where the files of machines with this architecture lie.
pub(super) fn directory(architecture: Architecture) -> PathBuf {
    root().join("target/vm").join(architecture.name())
}

/// A kernel's files, unpacked.
#[derive(Debug)]
pub(crate) struct Files {
    /// Its release, as `uname -r` prints it.
    pub(crate) release: String,
    /// What boots.
    pub(crate) image: PathBuf,
    /// The modules of traffic control and veth.
    pub(crate) modules: Vec<PathBuf>,
    /// Those of [`DEVICE_MODULES`] that the kernel has.
    pub(crate) device_modules: Vec<PathBuf>,
}

/// What came of fetching a kernel.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// It is there.
    Files(Files),
    /// It is not to be had, for this reason.
    Missing(String),
}

const MODULES: [&str; 3] = ["veth", "sch_ingress", "cls_bpf"];
/// Network cards of the virtual machine, and kinds of interfaces. A module comes after those on which it depends. netkit
/// is built into Debian's kernels.
const DEVICE_MODULES: [&str; 20] = [
    "failover",
    "net_failover",
    "virtio_net",
    "llc",
    "stp",
    "garp",
    "mrp",
    "8021q",
    "tls",
    "bonding",
    "bridge",
    "macvlan",
    "ipvlan",
    "udp_tunnel",
    "ip6_udp_tunnel",
    "vxlan",
    "geneve",
    "gre",
    "ip_tunnel",
    "ip_gre",
];
/// What the name of a kernel's package begins with.
const PACKAGE: &str = "linux-image-";
/// The flavour of kernels for virtual machines, which an architecture follows.
const FLAVOUR: &str = "cloud-";

/// Fetches a kernel, unless it is there.
pub(crate) fn fetch(kernel: Kernel, architecture: Architecture) -> Result<Fetched> {
    // Two machines may want the same kernel.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = directory(architecture).join(kernel.series());
    if let Some(files) = unpacked(&directory.join("root")) {
        return Ok(Fetched::Files(files));
    }
    let (suite, is_security) = kernel.suite();
    if !kernel.exists_for(architecture) {
        return Ok(Fetched::Missing(format!("{suite} has no kernel for {}", architecture.name())));
    }
    let Some(archive) = apt::archive(is_security)? else {
        return Ok(Fetched::Missing("no Debian archive is to be had here".to_owned()));
    };
    let apt = Apt::new(&directory, &archive, suite, architecture.name())?;
    apt.run("apt-get", &["-q", "update"])?;
    let package = match kernel.choice() {
        Choice::Current => current(&apt, architecture)?,
        Choice::Versions(wanted) => {
            let names = apt.run("apt-cache", &["pkgnames", PACKAGE])?;
            let Some(package) = choose(&names, wanted, architecture) else {
                let reason = format!("{suite} has no kernel {} any more", wanted.join(", "));
                return Ok(Fetched::Missing(reason));
            };
            package
        }
    };
    let packages = with_parts(&apt, package)?;
    apt.unpack(&packages, &directory.join("root"))?;
    unpacked(&directory.join("root"))
        .context("the kernel's package has no image, or lacks a module")
        .map(Fetched::Files)
}

fn unpacked(root: &Path) -> Option<Files> {
    let first = |directory: PathBuf, prefix: &str| {
        let entries = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
        let mut entries = entries
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)));
        entries.next()
    };
    let all = first(root.join("usr/lib/modules"), "").or_else(|| first(root.join("lib/modules"), ""))?;
    // Since 7.2 the image lies beside the modules.
    let image = first(root.join("boot"), "vmlinuz-").or_else(|| first(all.clone(), "vmlinuz"))?;
    let directories = ["kernel/drivers/net", "kernel/net/sched"].map(|directory| all.join(directory));
    let module =
        |name: &str| directories.iter().find_map(|directory| first(directory.clone(), &format!("{name}.ko")));
    let modules = MODULES.into_iter().map(module).collect::<Option<Vec<_>>>()?;
    let tree = files_below(&all.join("kernel"));
    let device_modules = DEVICE_MODULES.into_iter().filter_map(|name| {
        let is_it = |path: &&PathBuf| {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            file.strip_prefix(name).is_some_and(|rest| rest.starts_with(".ko"))
        };
        tree.iter().find(is_it).cloned()
    });
    let device_modules = device_modules.collect();
    let release = all.file_name()?.to_string_lossy().into_owned();
    Some(Files { release, image, modules, device_modules })
}

/// All files in a directory and its subdirectories.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for path in fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    files
}

/// The package that the one for virtual machines stands for.
fn current(apt: &Apt, architecture: Architecture) -> Result<String> {
    let latest = format!("{PACKAGE}{FLAVOUR}{}", architecture.name());
    let text = apt.run("apt-cache", &["depends", &latest])?;
    let mut packages = depends(&text);
    let package = packages.find(|package| package.starts_with(PACKAGE));
    package.map(str::to_owned).with_context(|| format!("{latest} depends on no kernel"))
}

/// The newest package of the first of the `wanted` versions of which there is one.
fn choose(names: &str, wanted: &[&str], architecture: Architecture) -> Option<String> {
    let flavour = format!("-{FLAVOUR}{}", architecture.name());
    let version = |name: &str| {
        let version = name.strip_prefix(PACKAGE)?.strip_suffix(&flavour)?;
        // "7.3.4+deb13" as numbers; what is no version has none.
        let numbers = version.split('+').next()?.split('.').map(|number| number.parse::<u32>().ok());
        numbers.collect::<Option<Vec<_>>>()
    };
    let kernels: Vec<(Vec<u32>, &str)> =
        names.lines().filter_map(|name| Some((version(name)?, name))).collect();
    wanted.iter().find_map(|wanted| {
        let wanted: Vec<u32> = wanted.split('.').filter_map(|number| number.parse().ok()).collect();
        let kernels = kernels.iter().filter(|(version, _)| version.starts_with(&wanted));
        kernels.max().map(|(_, name)| (*name).to_owned())
    })
}

/// A kernel's package, and those that it is split into since 6.19.
fn with_parts(apt: &Apt, package: String) -> Result<Vec<String>> {
    let text = apt.run("apt-cache", &["depends", &package])?;
    let mut packages = vec![package];
    let is_part =
        |package: &&str| ["linux-binary-", "linux-modules-"].iter().any(|part| package.starts_with(part));
    packages.extend(depends(&text).filter(is_part).map(str::to_owned));
    Ok(packages)
}

/// The packages that `apt-cache depends` lists as needed.
fn depends(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_the_first_version_that_is_there() {
        let names = "linux-image-7.3.4+deb13-cloud-amd64-dbg\nlinux-image-6.17.8+deb13-cloud-amd64\n\
            linux-image-7.3.2+deb13-cloud-amd64\nlinux-image-7.3.10+deb13-cloud-amd64\n\
            linux-image-cloud-amd64\nlinux-image-6.17.13+deb13-cloud-amd64\nlinux-image-7.30.1+deb13-cloud-amd64\n\
            linux-image-7.3.11+deb13-rt-amd64\n\
            linux-image-7.3.12+deb13-cloud-arm64\n";
        let chosen = |wanted: &[&str]| choose(names, wanted, Architecture::Amd64);
        assert_eq!(chosen(&["6.17.13", "6.17"]).unwrap(), "linux-image-6.17.13+deb13-cloud-amd64");
        assert_eq!(chosen(&["6.17.1", "6.17.8"]).unwrap(), "linux-image-6.17.8+deb13-cloud-amd64");
        assert_eq!(chosen(&["7.3.4", "7.3"]).unwrap(), "linux-image-7.3.10+deb13-cloud-amd64");
        assert_eq!(chosen(&["7.4", "7"]).unwrap(), "linux-image-7.30.1+deb13-cloud-amd64");
        assert_eq!(chosen(&["6.18"]), None);
    }

    #[test]
    fn packages_that_are_needed() {
        let text = "linux-image-7.3.4+deb13-cloud-amd64\n  PreDepends: linux-base\n |Depends: <dracut>\n  \
            Depends: linux-binary-7.3.4+deb13-cloud-amd64\n  Suggests: linux-doc-7.3\n";
        assert_eq!(depends(text).collect::<Vec<_>>(), ["linux-binary-7.3.4+deb13-cloud-amd64"]);
    }
}
