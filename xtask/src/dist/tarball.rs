//! What the tarball holds.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::binary::Built;
use super::git;
use super::tree::Tree;
use crate::tools::{root, show};

const SHELLS: [(&str, &str); 3] = [("bash", "sni-probe"), ("fish", "sni-probe.fish"), ("zsh", "_sni-probe")];
/// What of the repository goes along.
const DIRECTORIES: [&str; 2] = ["deploy", "docs"];

pub(super) fn tree(built: &Built, licences: &str) -> Result<Tree> {
    let mut tree = Tree::default();
    tree.program("sni-probe", &built.binary)?;
    tree.file("THIRD-PARTY.txt", licences);
    for path in ["LICENSE", "README.md"].into_iter().map(PathBuf::from).chain(repository_files()?) {
        let contents = fs::read(root().join(&path)).with_context(|| format!("reading {}", path.display()))?;
        tree.file(path.to_str().context("a path in UTF-8")?, contents);
    }
    for (shell, name) in SHELLS {
        tree.file(
            &format!("completions/{shell}/{name}"),
            sni_probe(built, &["completions".as_ref(), shell.as_ref()])?,
        );
    }
    for (name, page) in manual_pages(built)? {
        tree.file(&format!("man/man1/{name}"), page);
    }
    Ok(tree)
}

fn manual_pages(built: &Built) -> Result<Vec<(String, Vec<u8>)>> {
    let directory = built.binary.with_file_name("man");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    sni_probe(built, &["man".as_ref(), "--output".as_ref(), directory.as_os_str()])?;
    let mut pages = Vec::new();
    for entry in fs::read_dir(&directory)? {
        let entry = entry?;
        pages.push((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?));
    }
    Ok(pages)
}

/// Runs the binary, whatever processor it is for.
fn sni_probe(built: &Built, words: &[&OsStr]) -> Result<Vec<u8>> {
    let mut command = built.toolchain.command(&built.binary);
    let output = command.args(words).output().with_context(|| format!("starting {}", show(&command)))?;
    if !output.status.success() {
        bail!("{}: {}", show(&command), output.status);
    }
    Ok(output.stdout)
}

/// Files of the directories: those that git knows or would take, or without git all.
fn repository_files() -> Result<Vec<PathBuf>> {
    let words = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"];
    let mut files = Vec::new();
    if let Some(names) = git(&[words.as_slice(), &DIRECTORIES].concat()) {
        // One that is deleted and not yet committed is still known.
        let names = names.split('\0').filter(|name| root().join(name).is_file());
        files.extend(names.map(PathBuf::from));
    } else {
        for directory in DIRECTORIES {
            walk(Path::new(directory), &mut files)?;
        }
    }
    Ok(files)
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(root().join(directory))? {
        let entry = entry?;
        let path = directory.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            walk(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
