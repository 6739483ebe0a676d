//! The image of an earlier commit, to upgrade from.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use lab_interface::cluster::ClusterFiles;
use lab_interface::dist::{Architecture, Artifacts};

use crate::tools::{cargo, progress, root, run, show, succeeds, tools_directory};

/// The last commit of 2026-11-28.
const COMMIT: &str = "8ef505580b05b03e2ee844429eec946d184373fe";

/// Builds the image once. Gives the reason if there is none to be had.
pub(super) fn image(files: &ClusterFiles) -> Result<Option<String>> {
    let directory = files.earlier();
    let artifacts = Artifacts::new(&directory, Architecture::host());
    let marker = directory.join(COMMIT);
    if marker.exists() && artifacts.image().exists() {
        return Ok(None);
    }
    if !succeeds(git().args(["cat-file", "-e", &format!("{COMMIT}^{{commit}}")])) {
        return Ok(Some(format!("this is no repository with the commit {COMMIT}")));
    }
    progress(&format!("building the image of commit {} (minutes, once)", &COMMIT[..12]));
    let source = Worktree::new(directory.join("source"))?;
    let target = source.path.join("target");
    fs::create_dir_all(&target)?;
    symlink(tools_directory(), target.join("tools")).context("linking the tools")?;
    let mut cargo = cargo();
    cargo.current_dir(&source.path).env_remove("CARGO_TARGET_DIR");
    cargo.args(["xtask", "dist", "--output"]).arg(&directory);
    // What it prints is progress; our standard output is for results.
    cargo.stdout(std::io::stderr());
    run(&mut cargo)?;
    fs::write(marker, "")?;
    Ok(None)
}

fn git() -> Command {
    let mut command = Command::new("git");
    // With sudo the repository is another user's.
    command.arg("-c").arg(format!("safe.directory={}", root().display())).arg("-C").arg(root());
    command
}

/// The files of a commit, and what is built of them. Removed at the end.
struct Worktree {
    path: PathBuf,
}

impl Worktree {
    fn new(path: PathBuf) -> Result<Self> {
        let worktree = Self { path };
        worktree.remove();
        let mut add = git();
        add.args(["worktree", "add", "--quiet", "--detach"]).arg(&worktree.path).arg(COMMIT);
        run(&mut add).with_context(|| show(&add))?;
        Ok(worktree)
    }

    fn remove(&self) {
        succeeds(git().args(["worktree", "remove", "--force"]).arg(&self.path));
        fs::remove_dir_all(&self.path).ok();
        succeeds(git().args(["worktree", "prune"]));
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        self.remove();
    }
}
