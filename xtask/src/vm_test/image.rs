//! The initial ram disk of a virtual machine: the guest's program, sni-probe, a few tools, and what they are linked with.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::programs::Programs;
use super::userland::Userland;
use crate::tools::run;

/// Where the guest finds sni-probe.
pub(super) const SNI_PROBE: &str = "/bin/sni-probe";

/// Makes what the ram disks of all kernels have in common, in `directory`, and gives its path.
pub(super) fn common(directory: &Path, programs: &Programs, userland: &Userland) -> Result<PathBuf> {
    let root = empty(directory.join("initramfs"))?;
    for path in ["bin", "lib", "modules", "run", "tmp", "proc", "sys", "dev", "etc"] {
        fs::create_dir_all(root.join(path))?;
    }
    let mut files = vec![
        (programs.guest.clone(), "/init".to_owned()),
        (programs.sni_probe.clone(), SNI_PROBE.to_owned()),
    ];
    files.extend(userland.tools()?);
    let mut libraries = BTreeSet::new();
    for (path, at) in &files {
        copy(path, &root, at)?;
        // A debug build's symbols are most of it.
        run(userland.strip().arg(inside(&root, at)))?;
        libraries.extend(userland.libraries(path)?);
    }
    for (library, at) in libraries {
        copy(&library, &root, &at)?;
    }
    pack(&root, &directory.join("common.gz"))
}

/// Makes the ram disk of one kernel in `directory`, and gives its path: the kernel unpacks one archive after the other.
/// The guest loads the modules in this order.
pub(super) fn with_modules(common: &Path, directory: &Path, modules: &[PathBuf]) -> Result<PathBuf> {
    let root = empty(directory.join("initramfs"))?;
    fs::create_dir_all(root.join("modules"))?;
    for (number, module) in modules.iter().enumerate() {
        unpack_module(module, number, &root)?;
    }
    let image = directory.join("initramfs.gz");
    let modules = fs::read(pack(&root, &image)?)?;
    fs::write(&image, [fs::read(common)?, modules].concat())?;
    Ok(image)
}

/// A directory with nothing in it.
fn empty(directory: PathBuf) -> Result<PathBuf> {
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// Makes an archive of a directory, which is removed, and gives its path.
fn pack(root: &Path, archive: &Path) -> Result<PathBuf> {
    let mut pack = Command::new("sh");
    pack.args(["-c", r#"find . | cpio --quiet -o -H newc | gzip -1 > "$0""#]).arg(archive).current_dir(root);
    run(&mut pack)?;
    fs::remove_dir_all(root)?;
    Ok(archive.to_owned())
}

fn inside(root: &Path, at: &str) -> PathBuf {
    root.join(at.trim_start_matches('/'))
}

fn copy(from: &Path, root: &Path, at: &str) -> Result<()> {
    let to = inside(root, at);
    fs::create_dir_all(to.parent().context("a path with a directory")?)?;
    fs::copy(from, &to).with_context(|| format!("copying {}", from.display()))?;
    Ok(())
}

/// Modules are loaded in the order of their names, so a number comes first.
fn unpack_module(module: &Path, number: usize, root: &Path) -> Result<()> {
    let name = module.file_name().context("a module's name")?.to_string_lossy();
    let to = root.join("modules").join(format!("{number:02}-{}", name.trim_end_matches(".xz")));
    if name.ends_with(".xz") {
        let output = Command::new("xz").arg("-dc").arg(module).output().context("starting xz")?;
        fs::write(to, output.stdout)?;
    } else {
        fs::copy(module, to)?;
    }
    Ok(())
}
