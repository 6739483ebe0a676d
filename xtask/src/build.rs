//! `cargo xtask build`: the BPF object, then the daemon with the object inside.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::setup;
use crate::toolchain::{EBPF_PACKAGE, EBPF_TARGET, Toolchain};
use crate::tools::{cargo, progress, root, run, show, target_directory};

/// The variable by which sni-probe's build script learns where the BPF object is. Without it, it
/// embeds none.
pub(crate) const OBJECT_VARIABLE: &str = "SNI_PROBE_EBPF_OBJECT";
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
    /// With optimisations.
    pub(crate) const fn release() -> Self {
        Self { release: true, profile: None, features: Vec::new() }
    }

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

/// Runs a cargo command that prints its messages as JSON, and gives the path of the executable it has built that
/// is `wanted`: only cargo knows it.
pub(crate) fn executable(command: &mut Command, wanted: impl Fn(&Value) -> bool) -> Result<PathBuf> {
    command.stderr(Stdio::inherit());
    let output = command.output().context("starting cargo")?;
    if !output.status.success() {
        bail!("{}: {}", show(command), output.status);
    }
    let messages = String::from_utf8(output.stdout)?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut wanted = messages.filter(|message| wanted(message));
    let path = wanted.find_map(|message| message["executable"].as_str().map(PathBuf::from));
    path.with_context(|| format!("{} has built no such executable", show(command)))
}

/// Builds the BPF object.
pub(crate) fn object(kernel_log: bool) -> Result<PathBuf> {
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
