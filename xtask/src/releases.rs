//! Debian releases in directories of their own, with software that this machine does not have.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::tools::{progress, run};

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

/// Installs a release with these packages into `debian-<release>` of a directory, unless it is installed. Needs root and
/// debootstrap.
pub(crate) fn install<'a>(
    directory: &Path,
    release: &str,
    packages: impl IntoIterator<Item = &'a &'a str>,
) -> Result<()> {
    once(&directory.join(format!("debian-{release}")), |root| {
        run(Command::new("debootstrap").args(["--variant=minbase", release]).arg(root))?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", INSTALL, "sh"]).arg(root);
        run(command.args(packages))
    })
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
    let done = directory.join(".installed");
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
