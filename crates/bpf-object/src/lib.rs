//! Builds the object of the TC programs.
//!
//! The build script of sni-probe embeds the object, `cargo xtask` also checks and measures it: both build it here, with the
//! same toolchain and flags. The object has a target directory of its own, `ebpf` in the workspace's: cargo locks each, and
//! another compiler would discard what the host's has built.
#![forbid(unsafe_code)]

pub mod environment;
mod toolchain;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::environment::{root, target_directory};
pub use self::toolchain::Toolchain;

/// The package of the TC programs.
pub const PACKAGE: &str = "sni-probe-ebpf";
/// The target of the TC programs.
pub const TARGET: &str = "bpfel-unknown-none";
/// The variable that names an object for sni-probe's build script, which then builds none.
pub const OBJECT_VARIABLE: &str = "SNI_PROBE_EBPF_OBJECT";

/// Why there is no object.
#[derive(Debug)]
pub enum Error {
    /// No toolchain for the BPF target is installed.
    NoToolchain,
    /// The PATH of the environment cannot be extended.
    Path(std::env::JoinPathsError),
    /// cargo cannot be started.
    Start(std::io::Error),
    /// cargo failed; its messages are on standard error.
    Cargo(std::process::ExitStatus),
    /// cargo succeeded, and there is no file.
    Missing(PathBuf),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToolchain => {
                f.write_str("no Rust toolchain for the BPF target; install one with: cargo xtask setup")
            }
            Self::Path(error) => write!(f, "PATH: {error}"),
            Self::Start(error) => write!(f, "starting cargo for the BPF target: {error}"),
            Self::Cargo(status) => write!(f, "building the BPF programs: {status}"),
            Self::Missing(path) => write!(f, "cargo has built no {}", path.display()),
        }
    }
}

impl std::error::Error for Error {}

/// Returns the command that builds the object with this toolchain.
///
/// # Errors
/// See [`Error`].
pub fn build_command(toolchain: Toolchain, kernel_log: bool) -> Result<Command, Error> {
    let mut command = toolchain.cargo("build")?;
    command.args(["--bin", PACKAGE]);
    if kernel_log {
        command.args(["--features", "kernel-log"]);
    }
    Ok(command)
}

/// Builds the object and returns its path. With `kernel_log` the programs write messages.
///
/// # Errors
/// See [`Error`].
pub fn build(kernel_log: bool) -> Result<PathBuf, Error> {
    let toolchain = Toolchain::find().filter(|toolchain| toolchain.has_linker()).ok_or(Error::NoToolchain)?;
    let status = build_command(toolchain, kernel_log)?.status().map_err(Error::Start)?;
    if !status.success() {
        return Err(Error::Cargo(status));
    }
    let object = target_directory().join("ebpf").join(TARGET).join("release").join(PACKAGE);
    if object.exists() { Ok(object) } else { Err(Error::Missing(object)) }
}

/// Returns the files of the workspace that an object was built from: sources, and the manifests of their packages.
///
/// # Errors
/// When cargo's list of them, beside the object, cannot be read.
pub fn sources(object: &Path) -> std::io::Result<Vec<PathBuf>> {
    let list = std::fs::read_to_string(object.with_extension("d"))?;
    let mut files: Vec<PathBuf> = prerequisites(&list).into_iter().map(PathBuf::from).collect();
    let manifest = |file: &PathBuf| {
        let directories = file.ancestors().skip(1);
        directories.map(|directory| directory.join("Cargo.toml")).find(|manifest| manifest.exists())
    };
    let manifests: Vec<PathBuf> = files.iter().filter_map(manifest).collect();
    files.extend(manifests);
    files.push(root().join("Cargo.lock"));
    files.sort();
    files.dedup();
    Ok(files)
}

/// The prerequisites of the one rule in a makefile of cargo's.
fn prerequisites(rule: &str) -> Vec<String> {
    let Some((_, files)) = rule.trim_end().split_once(": ") else { return Vec::new() };
    let mut words = vec![String::new()];
    let mut characters = files.chars();
    while let Some(character) = characters.next() {
        let Some(word) = words.last_mut() else { break };
        match character {
            // A blank in a name is escaped.
            '\\' => word.extend(characters.next()),
            ' ' => words.push(String::new()),
            other => word.push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_rule() {
        let rule = "/a/object: /a/src/main.rs /a\\ b/lib.rs\n";
        assert_eq!(prerequisites(rule), ["/a/src/main.rs", "/a b/lib.rs"]);
        assert_eq!(prerequisites(""), [""; 0]);
    }

    #[test]
    fn a_missing_toolchain_is_one_line_with_the_command() {
        let text = Error::NoToolchain.to_string();
        assert!(text.ends_with("install one with: cargo xtask setup") && !text.contains('\n'), "{text}");
    }
}
