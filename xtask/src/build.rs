//! `cargo xtask build`: the BPF object, then the daemon with the object inside.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};
use clap::Args;

use crate::setup;
use crate::tools::{
    cargo, find, foreign_rust, path_with, progress, root, run, target_directory, tools_directory,
};

/// The variable by which sni-probe's build script learns where the BPF object is. Without it, it
/// embeds none.
pub(crate) const OBJECT_VARIABLE: &str = "SNI_PROBE_EBPF_OBJECT";
/// The BPF crate.
pub(crate) const EBPF_PACKAGE: &str = "sni-probe-ebpf";
/// Its target.
pub(crate) const EBPF_TARGET: &str = "bpfel-unknown-none";

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Build the BPF programs and sni-probe with them inside
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask build
  cargo xtask build --release
  cargo xtask build --features kernel-log    # the programs' own log comes out through tracing")]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: Options,
}

/// How to build the daemon.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Options {
    /// Build sni-probe with optimisations (the BPF programs always are)
    #[arg(long, conflicts_with = "profile")]
    release: bool,
    /// Build sni-probe with this profile of Cargo.toml
    #[arg(long)]
    profile: Option<String>,
    /// Features of sni-probe, separated by commas: kernel-log
    #[arg(long, value_delimiter = ',')]
    features: Vec<String>,
}

impl Options {
    fn profile(&self) -> &str {
        if self.release { "release" } else { self.profile.as_deref().unwrap_or("dev") }
    }
}

/// What was built.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    /// The BPF object.
    pub(crate) object: PathBuf,
    /// The daemon, with the object inside.
    pub(crate) sni_probe: PathBuf,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    setup::ebpf()?;
    let built = sni_probe(&arguments.options)?;
    println!("{}", built.sni_probe.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the BPF object and the daemon. The eBPF toolchain must be there (`setup::ebpf`).
pub(crate) fn sni_probe(options: &Options) -> Result<Built> {
    let object = object(options.features.iter().any(|feature| feature == "kernel-log"))?;
    progress(&format!("building sni-probe ({})", options.profile()));
    let mut command = cargo();
    command.args(["build", "--profile", options.profile()]).args(WORKSPACE_ON_HOST);
    command.args(["--bin", "sni-probe"]);
    for feature in &options.features {
        command.args(["--features", &format!("sni-probe/{feature}")]);
    }
    command.env(OBJECT_VARIABLE, &object);
    run(&mut command)?;
    let directory = if options.profile() == "dev" { "debug" } else { options.profile() };
    let sni_probe = target_directory().join(directory).join("sni-probe");
    Ok(Built { object, sni_probe })
}

/// All packages but the one for the BPF target. One selection for all builds of the host: another
/// one would unify other features, and build the dependencies again.
pub(crate) const WORKSPACE_ON_HOST: [&str; 3] = ["--workspace", "--exclude", EBPF_PACKAGE];

/// A Rust toolchain that can build for the BPF target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// rustup's nightly with rust-src, which builds `core` itself, and the user's own bpf-linker.
    Nightly,
    /// Debian's rustc-web, with `core` for BPF as a package, and the bpf-linker of setup, which has
    /// the same LLVM. (A linker whose LLVM is older than the compiler's cannot read its bitcode.)
    Debian,
}

impl Toolchain {
    /// The toolchain that is there, nightly first.
    pub(crate) fn find() -> Option<Self> {
        if find("bpf-linker").is_some() && Self::nightly_has_source() {
            return Some(Self::Nightly);
        }
        let has_core = || {
            let mut command = foreign_rust(DEBIAN_RUSTC);
            command.args(["--print", "target-libdir", "--target", EBPF_TARGET]);
            let output = command.output().ok().filter(|output| output.status.success())?;
            let directory = String::from_utf8(output.stdout).ok()?;
            Some(std::fs::read_dir(directory.trim()).ok()?.next().is_some())
        };
        let is_there = Path::new(DEBIAN_CARGO).exists() && has_core() == Some(true);
        is_there.then_some(Self::Debian)
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

    /// `cargo <verb>` of this toolchain for the BPF crate. Its target directory is its own: another
    /// compiler would else discard what the host's has built, and the other way round.
    pub(crate) fn cargo(self, verb: &str) -> Result<Command> {
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
        command.env("PATH", path_with(first)?);
        let flags = [
            "-Clinker=bpf-linker",
            "-Cdebuginfo=2",
            "-Clink-arg=--btf",
            // Headers are not aligned. Without this LLVM reads every word of them byte by byte; the
            // verifier allows it on all machines that do (x86-64, arm64).
            "-Clink-arg=--cpu-features=+allows-misaligned-mem-access",
        ];
        command.env("CARGO_ENCODED_RUSTFLAGS", OsString::from(flags.join("\x1f")));
        command.args(["--release", "--package", EBPF_PACKAGE, "--target", EBPF_TARGET]);
        command.arg("--target-dir").arg(target_directory().join("ebpf"));
        Ok(command)
    }
}

/// Builds the BPF object.
fn object(kernel_log: bool) -> Result<PathBuf> {
    let Some(toolchain) = Toolchain::find() else {
        bail!("no Rust toolchain for the BPF target; install one with: cargo xtask setup");
    };
    progress(&format!("building the BPF programs ({toolchain:?})"));
    let mut command = toolchain.cargo("build")?;
    command.args(["--bin", EBPF_PACKAGE]);
    if kernel_log {
        command.args(["--features", "kernel-log"]);
    }
    run(&mut command)?;
    let object = target_directory().join("ebpf").join(EBPF_TARGET).join("release").join(EBPF_PACKAGE);
    if !object.exists() {
        bail!("cargo has built no {}", object.strip_prefix(root()).unwrap_or(&object).display());
    }
    Ok(object)
}
