//! Building for, and running of, another processor than this machine's.

use std::path::Path;
use std::process::Command;

use system_tests::dist::Architecture;

/// The C compiler, which links.
pub(super) fn c_compiler(_: Architecture) -> String {
    "cc".to_owned()
}

/// The Rust compiler.
pub(super) fn rustc(_: Architecture) -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

/// A program for that processor, run here.
pub(super) fn command(_: Architecture, program: &Path) -> Command {
    Command::new(program)
}
