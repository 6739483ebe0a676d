//! Paths, and commands that say what they were when they fail.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use bpf_object::environment;
pub(crate) use bpf_object::environment::{
    find, foreign_rust, remapped_paths, root, target_directory, tools_directory,
};

/// PATH with the directories `first` before the user's, and those of the system's administration
/// tools, which Debian leaves out of a user's PATH, behind it.
pub(crate) fn path_with(first: &[&Path]) -> Result<OsString> {
    environment::path_with(first).context("PATH")
}

/// The cargo of the toolchain that runs xtask, at the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
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

/// The path in a line of `ldd` or of the loader.
pub(crate) fn linked_library(line: &str) -> Option<&str> {
    // "libc.so.6 => /lib/…/libc.so.6 (0x…)", "/lib64/ld-linux-x86-64.so.2 (0x…)"; the loader of arm64 has both a name with a
    // slash and a path.
    let path = line.split_once(" => ").map_or(line, |(_, path)| path);
    path.split_whitespace().next().filter(|word| word.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_a_library() {
        let found = |line| linked_library(line).unwrap_or("none");
        assert_eq!(found("\tlibc.so.6 => /lib/x/libc.so.6 (0x1)"), "/lib/x/libc.so.6");
        assert_eq!(found("\t/lib64/ld-linux-x86-64.so.2 (0x2)"), "/lib64/ld-linux-x86-64.so.2");
        assert_eq!(found("\t/lib/ld.so.1 => /image/usr/lib/ld.so.1 (0x3)"), "/image/usr/lib/ld.so.1");
        assert_eq!(found("\tlinux-vdso.so.1 (0x4)"), "none");
        assert_eq!(found("\tlibgone.so => not found"), "none");
        assert_eq!(found("\tstatically linked"), "none");
    }
}
