//! `cargo xtask build`: the BPF object, then the daemon with the object inside.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use bpf_object::OBJECT_VARIABLE;
use clap::Args;
use serde_json::Value;

use crate::setup;
use crate::tools::{cargo, progress, run, show, target_directory};

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
pub(crate) const WORKSPACE_ON_HOST: [&str; 3] = ["--workspace", "--exclude", bpf_object::PACKAGE];

/// The packages for the host that build without a toolchain for the BPF target: all but sni-probe-capture, which embeds
/// the programs, and those that need it.
pub(crate) const WITHOUT_BPF_TOOLCHAIN: [&str; 11] = [
    "--workspace",
    "--exclude",
    bpf_object::PACKAGE,
    "--exclude",
    "sni-probe-capture",
    "--exclude",
    "sni-probe-daemon",
    "--exclude",
    "sni-probe",
    "--exclude",
    "system-tests",
];

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
    progress("building the BPF programs");
    Ok(bpf_object::build(kernel_log)?)
}
