//! `cargo xtask lint`: formatting and clippy; a warning is an error.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use bpf_object::Toolchain;
use clap::Args;

use crate::build::WORKSPACE_ON_HOST;
use crate::tools::{cargo, progress, run};
use crate::{arrows, fuzz, public_api, setup};

/// Check formatting and lints of all crates; warnings are errors
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask lint
  cargo fmt --all && cargo xtask lint")]
pub(crate) struct Arguments {}

pub(crate) fn main(_: &Arguments) -> Result<ExitCode> {
    setup::ebpf_lint()?;
    host(&WORKSPACE_ON_HOST)?;
    ebpf()?;
    Ok(ExitCode::SUCCESS)
}

/// Formatting of all crates, the arrows, and clippy of `packages`.
pub(crate) fn host(packages: &[&str]) -> Result<()> {
    progress("lint: formatting");
    run(cargo().args(["fmt", "--all", "--check"])).context("repair it with: cargo fmt --all")?;
    progress("lint: arrows");
    arrows::check().context("see xtask/src/arrows/mod.rs for the rules")?;
    progress("lint: public items");
    public_api::check()?;
    progress("lint: clippy, host");
    run(&mut clippy(packages, &["--all-targets"]))?;
    if packages == WORKSPACE_ON_HOST {
        // `--all-targets` passes by tests that are not run by default.
        run(&mut clippy(packages, &["--test", "system", "--test", "cluster"]))?;
        progress("lint: clippy, host, kernel-log");
        run(&mut clippy(packages, &["--features", "sni-probe/kernel-log"]))?;
    }
    fuzz::lint()
}

fn clippy(packages: &[&str], targets: &[&str]) -> Command {
    let mut command = cargo();
    command.arg("clippy").args(packages).args(targets);
    command.args(["--", "-D", "warnings"]);
    command
}

/// Clippy of the BPF crate as it is built: by its own toolchain, for its own target.
///
/// On the host's target it would lint another program: aya-ebpf has other types and other code for
/// what is not BPF. Debian has a clippy for its compiler (rust-web-clippy); nightly has rustup's.
pub(crate) fn ebpf() -> Result<()> {
    let toolchain = Toolchain::find().context("no Rust toolchain for the BPF target")?;
    for features in [&[][..], &["--features", "kernel-log"]] {
        progress(&format!("lint: clippy, BPF {}", features.join(" ")));
        let mut command = toolchain.cargo("clippy")?;
        command.args(features).args(["--", "-D", "warnings"]);
        run(&mut command)?;
    }
    Ok(())
}
