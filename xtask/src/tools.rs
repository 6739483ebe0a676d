//! Paths, and commands that say what they were when they fail.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Variables that rustup and `cargo run` set for this process, and that would lead another Rust
/// toolchain, or another cargo, astray.
const RUST_VARIABLES: [&str; 10] = [
    "CARGO",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "LD_LIBRARY_PATH",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// Where setup puts tools that are not the system's: bpf-linker, Envoy.
pub(crate) fn tools_directory() -> PathBuf {
    root().join("target/tools")
}

/// Cargo's target directory for the host: `CARGO_TARGET_DIR` or `target`.
pub(crate) fn target_directory() -> PathBuf {
    let set = env::var_os("CARGO_TARGET_DIR").filter(|directory| !directory.is_empty());
    root().join(set.map_or_else(|| PathBuf::from("target"), PathBuf::from))
}

/// Flags of rustc for paths in what it makes (of panics, of debug information) that are the same on all machines.
pub(crate) fn remapped_paths() -> Vec<OsString> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let paths = std::iter::once((root().to_owned(), "=/src")).chain(home.map(|home| (home, "=/cargo")));
    let flag = |(from, to): (PathBuf, &str)| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push(to);
        flag
    };
    paths.map(flag).collect()
}

/// PATH with the directories `first` before the user's, and those of the system's administration
/// tools, which Debian leaves out of a user's PATH, behind it.
pub(crate) fn path_with(first: &[&Path]) -> Result<OsString> {
    let user = env::var_os("PATH").unwrap_or_default();
    let before = first.iter().map(PathBuf::from);
    let behind = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let all = before.chain(env::split_paths(&user)).chain(behind);
    env::join_paths(all).context("PATH")
}

/// Finds a program on that PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = path_with(&[]).ok()?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// The cargo of the toolchain that runs xtask, at the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// A command of another Rust toolchain, at the workspace's root.
pub(crate) fn foreign_rust(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    for (name, _) in env::vars_os() {
        // CARGO_PKG_NAME and its like are xtask's own.
        let is_ours = name.to_str().is_some_and(|name| {
            RUST_VARIABLES.contains(&name)
                || name.starts_with("CARGO_PKG_")
                || name.starts_with("CARGO_MANIFEST_")
        });
        if is_ours {
            command.env_remove(name);
        }
    }
    command
}

/// Says what is done, on standard error: standard output is for results.
pub(crate) fn progress(what: &str) {
    eprintln!("xtask: {what}");
}

/// Runs a command; its output goes where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", show(command)))?;
    if !status.success() {
        bail!("{}: {status}", show(command));
    }
    Ok(())
}

/// Whether a command, kept silent, ends well.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// A command as one would type it.
pub(crate) fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|word| {
        let word = word.to_string_lossy();
        let plain = |character: char| character.is_alphanumeric() || "-_./=:,+@%".contains(character);
        if !word.is_empty() && word.chars().all(plain) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}
