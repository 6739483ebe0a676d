//! A tree of files as it goes into archives and onto the disk: names, modes, contents, and nothing of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Files and directories by their path, without a leading slash. All belong to root.
#[derive(Debug, Default)]
pub(super) struct Tree {
    entries: BTreeMap<String, TreeEntry>,
}

#[derive(Debug)]
pub(super) struct TreeEntry {
    pub(super) mode: u32,
    /// `None` of a directory.
    pub(super) contents: Option<Vec<u8>>,
}

impl Tree {
    /// A file that anybody may read, and the directories above it.
    pub(super) fn file(&mut self, path: &str, contents: impl Into<Vec<u8>>) {
        self.insert(path, TreeEntry { mode: 0o644, contents: Some(contents.into()) });
    }

    /// A program.
    pub(super) fn program(&mut self, path: &str, from: &Path) -> Result<()> {
        let contents = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
        self.insert(path, TreeEntry { mode: 0o755, contents: Some(contents) });
        Ok(())
    }

    /// A directory with this mode.
    pub(super) fn directory(&mut self, path: &str, mode: u32) {
        self.insert(path, TreeEntry { mode, contents: None });
    }

    fn insert(&mut self, path: &str, entry: TreeEntry) {
        for (slash, _) in path.match_indices('/') {
            let above = path[..slash].to_owned();
            self.entries.entry(above).or_insert(TreeEntry { mode: 0o755, contents: None });
        }
        self.entries.insert(path.to_owned(), entry);
    }

    /// The same tree in a directory of this name.
    pub(super) fn below(name: &str, tree: Self) -> Self {
        let mut below = Self::default();
        below.directory(name, 0o755);
        below.entries.extend(tree.entries.into_iter().map(|(path, entry)| (format!("{name}/{path}"), entry)));
        below
    }

    /// In the order of the paths, directories before what is in them.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &TreeEntry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// Of all contents.
    pub(super) fn bytes(&self) -> u64 {
        let contents = self.entries.values().filter_map(|entry| entry.contents.as_ref());
        contents.map(|contents| contents.len() as u64).sum()
    }

    /// Writes it to a directory in place of what was there. Only what we have written is replaced.
    pub(super) fn write(&self, directory: &Path) -> Result<()> {
        if directory.exists() {
            // A name that --output made ours by mistake, or a chroot with mounts in it, is not to be emptied.
            if fs::read_dir(directory)?.next().is_some() && !directory.join("sni-probe").is_file() {
                bail!("{} is there and has no sni-probe in it; remove it first", directory.display());
            }
            fs::remove_dir_all(directory).with_context(|| format!("removing {}", directory.display()))?;
        }
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        for (path, entry) in self.entries() {
            let path: PathBuf = directory.join(path);
            let written = match &entry.contents {
                Some(contents) => fs::write(&path, contents),
                None => fs::create_dir(&path),
            };
            // The umask is the user's; the modes are not.
            written
                .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode)))
                .with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_come_before_what_is_in_them() {
        let mut tree = Tree::default();
        tree.file("a/b/c", "x");
        tree.file("a.txt", "y");
        let tree = Tree::below("top", tree);
        let paths: Vec<&str> = tree.entries().map(|(path, _)| path).collect();
        assert_eq!(paths, ["top", "top/a", "top/a.txt", "top/a/b", "top/a/b/c"]);
        assert_eq!(tree.bytes(), 2);
    }

    #[test]
    fn what_is_not_ours_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("precious"), "").unwrap();
        assert!(Tree::default().write(directory.path()).is_err());
        assert!(directory.path().join("precious").exists());
    }
}
