//! `cargo xtask test`: everything, from setup to the system tests.

use std::process::ExitCode;

use anyhow::Result;
use bpf_object::OBJECT_VARIABLE;
use clap::Args;

use crate::build::{self, WITHOUT_BPF_TOOLCHAIN, WORKSPACE_ON_HOST};
use crate::root::is_root;
use crate::summary::Summary;
use crate::tools::{cargo, progress};
use crate::{fuzz, lint, setup, system_test, verify, vm_test};

/// Test everything: setup, lint, unit tests, system tests (as root)
///
/// Without root, what needs it is passed by, and said. The last line counts the tests.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask test
  sudo -E env PATH=\"$PATH\" cargo xtask test    # with the system tests")]
pub(crate) struct Arguments {}

pub(crate) fn main(_: &Arguments) -> Result<ExitCode> {
    if is_root() {
        setup::all()?;
    }
    let mut skipped = Vec::new();
    let has_toolchain = setup::has_ebpf_lint();
    let packages: &[&str] = if has_toolchain { &WORKSPACE_ON_HOST } else { &WITHOUT_BPF_TOOLCHAIN };
    lint::host(packages)?;
    let built = if has_toolchain {
        lint::ebpf()?;
        Some(build::sni_probe(&build::Options::default())?)
    } else {
        skipped.push(
            "the BPF crate, sni-probe and what needs it (no toolchain for the BPF target: cargo xtask setup)",
        );
        None
    };

    progress("unit tests");
    let mut command = cargo();
    command.args(["test", "--no-fail-fast"]).args(packages);
    if let Some(built) = &built {
        // The same as in the build before, or sni-probe would be built anew.
        command.env(OBJECT_VARIABLE, &built.object);
    }
    let mut summary = Summary::of(&mut command)?;
    summary += fuzz::seeds()?;

    match &built {
        Some(built) if is_root() => {
            progress("verify");
            verify::within_budget()?;
            summary += system_test::all(built)?;
            summary += vm_test::all(built)?;
        }
        _ => skipped.push("the system tests and other kernels (they need root: sudo, or cargo xtask system-test and vm-test)"),
    }
    if !skipped.is_empty() {
        println!("skipped: {}", skipped.join("; "));
    }
    println!("{summary}");
    Ok(if summary.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
