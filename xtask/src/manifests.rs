//! `cargo xtask manifests`: what of `deploy/` is made from other files.

use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::Args;

use crate::tools::root;
use crate::{lab, setup};

/// Make deploy/kubernetes/, and the chart's copies and table of values, anew
///
/// From the Helm chart, the rules and the dashboard. No root, no cluster.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask manifests            # after a change of the chart, the rules or the dashboard
  cargo xtask manifests --check    # exit code 1 if that was forgotten")]
pub(crate) struct Arguments {
    /// Write nothing, only say what is not up to date
    #[arg(long)]
    check: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let tools = setup::deploy_tools();
    if !tools.helm.exists() {
        setup::all()?;
    }
    let mut command = Command::new(lab::build()?);
    command.envs(tools.variables()).arg("manifests").arg("--root").arg(root());
    command.args(arguments.check.then_some("--check"));
    lab::run(&mut command)
}
