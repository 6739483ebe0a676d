//! What of `deploy/` is made from other files.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use system_tests::deploy::DeployTools;
use system_tests::manifests;

use crate::progress;

/// Make deploy/kubernetes/, and the chart's copies and table of values, anew
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The repository
    #[arg(long)]
    root: PathBuf,
    /// Write nothing, only say what is not up to date
    #[arg(long)]
    check: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let tools = DeployTools::from_environment()?;
    let root = &arguments.root;
    let mut stale = 0;
    for (path, text) in manifests::make(root, &tools)? {
        let file = root.join(&path);
        // One that is not there is not up to date either.
        if fs::read_to_string(&file).is_ok_and(|old| old == text) {
            continue;
        }
        stale += 1;
        if arguments.check {
            eprintln!("{}: not up to date", path.display());
        } else {
            let directory = file.parent().context("a file in no directory")?;
            fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
            fs::write(&file, text).with_context(|| format!("writing {}", path.display()))?;
            progress(&format!("manifests: {}", path.display()));
        }
    }
    if arguments.check && stale > 0 {
        eprintln!("repair it with: cargo xtask manifests");
        return Ok(ExitCode::FAILURE);
    }
    progress("manifests: up to date");
    Ok(ExitCode::SUCCESS)
}
