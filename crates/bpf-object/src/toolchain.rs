//! The Rust toolchains that can build for the BPF target.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

use crate::Error;
use crate::PACKAGE;
use crate::TARGET;
use crate::environment::{find, foreign_rust, path_with, remapped_paths, target_directory, tools_directory};

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// A Rust toolchain that can build for the BPF target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toolchain {
    /// rustup's nightly with rust-src, which builds `core` itself, and the user's own bpf-linker.
    Nightly,
    /// Debian's rustc-web, with `core` for BPF as a package, and the bpf-linker of setup, which has
    /// the same LLVM. (A linker whose LLVM is older than the compiler's cannot read its bitcode.)
    Debian,
}

impl Toolchain {
    /// Returns the toolchain that is there, nightly first.
    pub fn find() -> Option<Self> {
        if find("bpf-linker").is_some() && Self::nightly_has_source() {
            return Some(Self::Nightly);
        }
        let has_core = || {
            let mut command = foreign_rust(DEBIAN_RUSTC);
            command.args(["--print", "target-libdir", "--target", TARGET]);
            let output = command.output().ok().filter(|output| output.status.success())?;
            let directory = String::from_utf8(output.stdout).ok()?;
            Some(std::fs::read_dir(directory.trim()).ok()?.next().is_some())
        };
        let is_there = Path::new(DEBIAN_CARGO).exists() && has_core() == Some(true);
        is_there.then_some(Self::Debian)
    }

    /// Whether the linker of this toolchain is there.
    pub fn has_linker(self) -> bool {
        // Nightly counts as found only with a linker of the user's.
        self == Self::Nightly || tools_directory().join("bin/bpf-linker").exists()
    }

    fn nightly_has_source() -> bool {
        let mut command = foreign_rust("rustc");
        // Only ask: rustup must not install a toolchain here.
        command.env("RUSTUP_AUTO_INSTALL", "0").args(["+nightly", "--print", "sysroot"]);
        let output = command.output().ok().filter(|output| output.status.success());
        let sysroot = output.and_then(|output| String::from_utf8(output.stdout).ok());
        sysroot.is_some_and(|sysroot| {
            Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core").exists()
        })
    }

    /// Returns `cargo <verb>` of this toolchain for the BPF crate. Its target directory is its own: another
    /// compiler would else discard what the host's has built, and the other way round.
    ///
    /// # Errors
    /// If PATH cannot be extended.
    pub fn cargo(self, verb: &str) -> Result<Command, Error> {
        let mut command = match self {
            Self::Nightly => {
                let mut command = foreign_rust("cargo");
                command.args(["+nightly", verb, "-Zbuild-std=core"]);
                command
            }
            Self::Debian => {
                let mut command = foreign_rust(DEBIAN_CARGO);
                // aya-ebpf needs asm_experimental_arch, so a stable compiler must be told to allow it.
                command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1").arg(verb);
                command
            }
        };
        let tools = tools_directory().join("bin");
        let first: &[&Path] = match self {
            Self::Nightly => &[],
            // /usr/bin: cargo finds its cargo-clippy by way of PATH.
            Self::Debian => &[&tools, Path::new("/usr/bin")],
        };
        command.env("PATH", path_with(first).map_err(Error::Path)?);
        let flags = [
            "-Clinker=bpf-linker",
            "-Cdebuginfo=2",
            "-Clink-arg=--btf",
            // Headers are not aligned. Without this LLVM reads every word of them byte by byte; the
            // verifier allows it on all machines that do (x86-64, arm64).
            "-Clink-arg=--cpu-features=+allows-misaligned-mem-access",
        ];
        let flags = flags.map(OsString::from).into_iter().chain(remapped_paths());
        let flags: Vec<OsString> = flags.collect();
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\x1f")));
        command.args(["--release", "--package", PACKAGE, "--target", TARGET]);
        command.arg("--target-dir").arg(target_directory().join("ebpf"));
        Ok(command)
    }
}
