//! The source files of a package: each belongs to a module, or its code and its tests are compiled nowhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use syn::Item;

use super::source::find_file;

/// The files of a crate with this root, those for tests included.
pub(super) fn of_crate(root: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    add(root, root.parent().context("a file in no directory")?, &mut files)?;
    Ok(files)
}

fn add(file: &Path, directory: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let parsed = syn::parse_file(&text).with_context(|| format!("parsing {}", file.display()))?;
    files.insert(file.to_owned());
    add_items(&parsed.items, file, directory, files)
}

fn add_items(items: &[Item], file: &Path, directory: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    for item in items {
        let Item::Mod(module) = item else { continue };
        if let Some((_, items)) = &module.content {
            add_items(items, file, &directory.join(module.ident.to_string()), files)?;
        } else {
            let (file, below) = find_file(module, directory, file)?;
            add(&file, &below, files)?;
        }
    }
    Ok(())
}

/// The Rust files below a package's directory, without those of packages inside of it.
pub(super) fn below(directory: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(at) = directories.pop() {
        for entry in fs::read_dir(&at).with_context(|| format!("reading {}", at.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                if !path.join("Cargo.toml").exists() && !path.ends_with("target") {
                    directories.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.insert(path);
            }
        }
    }
    Ok(files)
}
