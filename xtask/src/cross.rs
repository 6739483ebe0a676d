//! Building for, and running programs of, another processor than this machine's.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use lab_interface::dist::Architecture;

use crate::apt::{self, Apt};
use crate::setup;
use crate::tools::{
    cargo, foreign_rust, path_with, progress, remapped_paths, target_directory, tools_directory,
};

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
/// Debian's package of the standard library.
const STANDARD_LIBRARY: &str = "libstd-rust-web-dev";

/// The value of `--arch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Processor {
    /// x86-64
    Amd64,
    /// 64-bit Arm
    Arm64,
}

impl From<Processor> for Architecture {
    fn from(processor: Processor) -> Self {
        match processor {
            Processor::Amd64 => Self::Amd64,
            Processor::Arm64 => Self::Arm64,
        }
    }
}

/// Returns the architectures that `--arch` names, each once. Without one, returns this machine's.
pub(crate) fn architectures(named: &[Processor]) -> Vec<Architecture> {
    let mut architectures: Vec<Architecture> = Vec::new();
    for architecture in named.iter().copied().map(Architecture::from) {
        if !architectures.contains(&architecture) {
            architectures.push(architecture);
        }
    }
    if architectures.is_empty() { vec![Architecture::host()] } else { architectures }
}

/// What compiles, links and runs.
#[derive(Debug)]
pub(crate) struct Toolchain {
    pub(crate) architecture: Architecture,
    compiler: Compiler,
}

#[derive(Debug)]
enum Compiler {
    /// The one that runs xtask, which knows the target (`rustup target add`).
    Ours,
    /// Debian's, with a sysroot that has its standard library for the other processor.
    Debian { sysroot: PathBuf },
}

impl Toolchain {
    /// Finds it, and installs what is missing.
    pub(crate) fn new(architecture: Architecture) -> Result<Self> {
        if architecture == Architecture::host() {
            return Ok(Self { architecture, compiler: Compiler::Ours });
        }
        if architecture != Architecture::Arm64 {
            bail!("cross-compiling is for arm64 only; build for {} on such a machine", architecture.name());
        }
        setup::arm64()?;
        let compiler = if knows(architecture) {
            Compiler::Ours
        } else {
            Compiler::Debian { sysroot: debian_sysroot(architecture)? }
        };
        Ok(Self { architecture, compiler })
    }

    /// `cargo build` of static binaries. Optimised or not, they have no debug information.
    pub(crate) fn build_static(&self) -> Result<Command> {
        let mut command = self.cargo()?;
        command.args(["build", "--locked", "--target", self.architecture.target()]);
        // Other flags than the usual builds' must not cost those their target directory.
        command.arg("--target-dir").arg(target_directory().join("dist/build"));
        let mut flags = vec![OsString::from("-Ctarget-feature=+crt-static")];
        flags.extend(self.flags());
        flags.extend(remapped_paths());
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\x1f")));
        // Without the tables the build is quicker as well.
        for profile in ["DEV", "RELEASE"] {
            command.env(format!("CARGO_PROFILE_{profile}_DEBUG"), "0");
            command.env(format!("CARGO_PROFILE_{profile}_STRIP"), "symbols");
        }
        Ok(command)
    }

    /// cargo, told about the compiler and the linker.
    fn cargo(&self) -> Result<Command> {
        let mut command = match &self.compiler {
            Compiler::Ours => cargo(),
            Compiler::Debian { .. } => {
                let mut command = foreign_rust(DEBIAN_CARGO);
                command.env("RUSTC", DEBIAN_RUSTC).env("PATH", path_with(&[Path::new("/usr/bin")])?);
                command
            }
        };
        if self.is_foreign() {
            // cargo wants the target with underscores, the crate `cc` takes both.
            let target = self.architecture.target().replace('-', "_");
            command.env(format!("CARGO_TARGET_{}_LINKER", target.to_uppercase()), self.c_compiler());
            command.env(format!("CC_{target}"), self.c_compiler());
        }
        Ok(command)
    }

    /// What rustc must be told besides.
    fn flags(&self) -> Vec<OsString> {
        match &self.compiler {
            Compiler::Ours => Vec::new(),
            Compiler::Debian { sysroot } => {
                let mut flag = OsString::from("--sysroot=");
                flag.push(sysroot);
                vec![flag]
            }
        }
    }

    /// The version of the compiler, and so of its standard library.
    pub(crate) fn rust_version(&self) -> Result<String> {
        let mut command = match &self.compiler {
            Compiler::Ours => Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())),
            Compiler::Debian { .. } => foreign_rust(DEBIAN_RUSTC),
        };
        let output = command.arg("-vV").output().context("starting rustc")?;
        let text = String::from_utf8(output.stdout)?;
        let release = text.lines().find_map(|line| line.strip_prefix("release: "));
        release.map(str::to_owned).context("rustc does not say its release")
    }

    /// The C compiler, which links.
    pub(crate) fn c_compiler(&self) -> &'static str {
        if self.is_foreign() { "aarch64-linux-gnu-gcc" } else { "cc" }
    }

    /// What removes symbols.
    pub(crate) fn strip(&self) -> &'static str {
        if self.is_foreign() { "aarch64-linux-gnu-strip" } else { "strip" }
    }

    /// Runs a program of the architecture.
    pub(crate) fn command(&self, program: &Path) -> Command {
        if self.is_foreign() {
            let mut command = Command::new("qemu-aarch64-static");
            command.arg(program);
            command
        } else {
            Command::new(program)
        }
    }

    fn is_foreign(&self) -> bool {
        self.architecture != Architecture::host()
    }
}

/// Whether our compiler has the standard library for it.
fn knows(architecture: Architecture) -> bool {
    let mut command = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let output = command.args(["--print", "target-libdir", "--target", architecture.target()]).output();
    let directory = output.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    directory.is_some_and(|directory| Path::new(directory.trim()).exists())
}

/// A sysroot with Debian's standard library for the other processor, of the compiler's version. The package cannot be
/// installed beside this processor's without making the machine a multi-arch one; unpacked it is as good.
fn debian_sysroot(architecture: Architecture) -> Result<PathBuf> {
    let directory = tools_directory().join(format!("rust-std-{}", architecture.name()));
    let version = debian_version()?;
    let sysroot = directory.join(&version);
    if sysroot.join("lib/rustlib").exists() {
        return Ok(sysroot);
    }
    progress(&format!("fetching Rust's standard library for {}", architecture.name()));
    let (archive, suite) = source(&version)?;
    let apt = Apt::new(&directory, &archive, &suite, architecture.name())?;
    apt.run("apt-get", &["-q", "update"])?;
    let files = directory.join(format!("{version}-files"));
    if !files.exists() {
        apt.unpack(&[format!("{STANDARD_LIBRARY}={version}")], &files)?;
    }
    fs::create_dir_all(sysroot.join("lib"))?;
    symlink(files.join("usr/lib/rustlib"), sysroot.join("lib/rustlib"))?;
    Ok(sysroot)
}

/// The version of Debian's compiler, which is installed if it is not there.
fn debian_version() -> Result<String> {
    let installed = || {
        let mut command = Command::new("dpkg-query");
        command.args(["--show", "--showformat", "${Version}", STANDARD_LIBRARY]);
        // Elsewhere than on Debian there is no such program.
        let output = command.output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok().filter(|version| !version.is_empty())
    };
    if let Some(version) = installed() {
        return Ok(version);
    }
    setup::debian_rust()
        .context("no Rust toolchain for arm64 (with rustup: rustup target add aarch64-unknown-linux-gnu)")?;
    installed().with_context(|| format!("{STANDARD_LIBRARY} is not installed"))
}

/// The archive and the suite that Debian's compiler came from.
fn source(version: &str) -> Result<(String, String)> {
    let output = Command::new("apt-cache").args(["madison", STANDARD_LIBRARY]).output()?;
    let text = String::from_utf8(output.stdout)?;
    // "libstd-rust-web-dev | 1.96.0+… | http://ARCHIVE bookworm-security/main amd64 Packages"
    let lines = text.lines().map(|line| line.split(" | ").map(str::trim).collect::<Vec<_>>());
    let mut found = lines.filter(|columns| columns.len() == 3 && columns[1] == version);
    let columns = found
        .next()
        .with_context(|| format!("apt knows no {STANDARD_LIBRARY} {version}; apt-get update?"))?;
    let mut words = columns[2].split_whitespace();
    let suite = words.nth(1).and_then(|suite| suite.split('/').next()).context("a suite")?;
    let archive = apt::archive(suite.ends_with("-security"))?.context("apt has no archives")?;
    Ok((archive, suite.to_owned()))
}
