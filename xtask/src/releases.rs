//! Debian releases in directories of their own, with software that this machine does not have.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::tools::{progress, run};

/// The file that an installation writes when it is complete. That of a release lists its packages.
const INSTALLED: &str = ".installed";

/// Installs a release's packages; Java's need `/proc`.
const INSTALL: &str = r#"
set -e
printf '#!/bin/sh\nexit 101\n' > "$1/usr/sbin/policy-rc.d"
chmod 755 "$1/usr/sbin/policy-rc.d"
mount -t proc proc "$1/proc"
mount --bind /dev "$1/dev"
root=$1
shift
DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -q -y --no-install-recommends "$@"
chroot "$root" apt-get clean
"#;

/// Installs a release with these packages into `debian-<release>` of a directory: what of it is not installed yet. Needs root and
/// debootstrap.
pub(crate) fn install<'a>(
    directory: &Path,
    release: &str,
    packages: impl IntoIterator<Item = &'a &'a str>,
) -> Result<()> {
    let packages: Vec<&str> = packages.into_iter().copied().collect();
    let root = directory.join(format!("debian-{release}"));
    once(&root, |root| run(Command::new("debootstrap").args(["--variant=minbase", release]).arg(root)))?;
    let missing = missing(directory, release, &packages);
    if missing.is_empty() {
        return Ok(());
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", INSTALL, "sh"]).arg(&root);
    run(command.args(missing))?;
    let list = root.join(INSTALLED);
    let mut all = fs::read_to_string(&list).unwrap_or_default();
    all.extend(packages.iter().flat_map(|package| [package, "\n"]));
    fs::write(&list, all).with_context(|| format!("writing {}", list.display()))
}

/// Returns the packages that a release lacks: all, if it is not installed.
pub(crate) fn missing<'a>(directory: &Path, release: &str, packages: &[&'a str]) -> Vec<&'a str> {
    let list =
        fs::read_to_string(directory.join(format!("debian-{release}")).join(INSTALLED)).unwrap_or_default();
    let is_missing = |package: &&&str| !list.lines().any(|line| line == **package);
    packages.iter().filter(is_missing).copied().collect()
}

/// Adds packages to a release that is installed, unless the same ones were added before. Needs root.
pub(crate) fn add<'a>(
    directory: &Path,
    release: &str,
    packages: impl IntoIterator<Item = &'a &'a str>,
) -> Result<()> {
    let root = directory.join(format!("debian-{release}"));
    let packages: Vec<&str> = packages.into_iter().copied().collect();
    let (list, done) = (packages.join("\n") + "\n", root.join(".added"));
    if fs::read_to_string(&done).is_ok_and(|added| added == list) {
        return Ok(());
    }
    progress(&format!("adding packages to {}", root.display()));
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", INSTALL, "sh"]).arg(&root);
    run(command.args(packages))?;
    fs::write(&done, list).with_context(|| format!("writing {}", done.display()))
}

/// Installs into a directory, unless an earlier installation completed there.
pub(crate) fn once(directory: &Path, install: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let done = directory.join(INSTALLED);
    if done.exists() {
        return Ok(());
    }
    progress(&format!("installing {}", directory.display()));
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("removing {}", directory.display()))?;
    }
    install(directory)?;
    fs::write(&done, "").with_context(|| format!("writing {}", done.display()))
}
