//! Directories, and commands of another Rust toolchain than the one that runs this process.

use std::env::{self, JoinPathsError};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Variables that rustup and cargo set for this process, and that would lead another Rust toolchain, or another cargo,
/// astray.
const RUST_VARIABLES: [&str; 14] = [
    "CARGO",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "HOST",
    "LD_LIBRARY_PATH",
    "OUT_DIR",
    "RUSTC",
    "RUSTC_LINKER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
    "TARGET",
];

/// Prefixes of variables that cargo sets for one package.
const PACKAGE_VARIABLES: [&str; 4] = ["CARGO_CFG_", "CARGO_FEATURE_", "CARGO_MANIFEST_", "CARGO_PKG_"];

/// Returns the workspace's root.
///
/// # Panics
/// If this package lies in no workspace.
pub fn root() -> &'static Path {
    let mut directories = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    directories.find(|directory| directory.join("Cargo.lock").exists()).expect("a workspace with a lock file")
}

/// Returns the directory in which setup puts tools that are not the system's: bpf-linker, Envoy.
pub fn tools_directory() -> PathBuf {
    root().join("target/tools")
}

/// Returns cargo's target directory for the host: `CARGO_TARGET_DIR` or `target`.
pub fn target_directory() -> PathBuf {
    let set = env::var_os("CARGO_TARGET_DIR").filter(|directory| !directory.is_empty());
    root().join(set.map_or_else(|| PathBuf::from("target"), PathBuf::from))
}

/// Returns flags of rustc for paths in what it makes (of panics, of debug information) that are the same on all machines.
pub fn remapped_paths() -> Vec<OsString> {
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

/// Returns a PATH with the directories `first` before the user's, and those of the system's administration tools, which
/// Debian leaves out of a user's PATH, after it.
///
/// # Errors
/// If a directory's name has a colon in it.
pub fn path_with(first: &[&Path]) -> Result<OsString, JoinPathsError> {
    let user = env::var_os("PATH").unwrap_or_default();
    let before = first.iter().map(PathBuf::from);
    let after = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::join_paths(before.chain(env::split_paths(&user)).chain(after))
}

/// Finds a program on that PATH.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = path_with(&[]).ok()?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// Returns a command of another Rust toolchain, at the workspace's root.
pub fn foreign_rust(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    for (name, _) in env::vars_os() {
        let is_ours = name.to_str().is_some_and(|name| {
            RUST_VARIABLES.contains(&name) || PACKAGE_VARIABLES.iter().any(|prefix| name.starts_with(prefix))
        });
        if is_ours {
            command.env_remove(name);
        }
    }
    command
}
