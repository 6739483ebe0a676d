//! Real clients against real gateways, and what sni-probe says of each handshake.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use system_tests::interrupt;
use system_tests::matrix::report::{Counts, render, table};
use system_tests::matrix::{all, newer, refusals, run_all, sample, unusual};

use crate::progress;

/// Compare sni-probe's outcomes with what real clients report of real gateways (root)
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Arguments {
    /// Only combinations whose name contains this
    filter: Option<String>,
    /// A sample, of programs of this machine only
    #[arg(long, group = "choice")]
    sample: bool,
    /// Newer releases of clients and gateways instead of those of Debian 12
    #[arg(long, group = "choice")]
    newer: bool,
    /// Clients with options that change the lengths or the number of records
    #[arg(long, group = "choice")]
    unusual: bool,
    /// The refusals of gateways without SNI and with an unknown name, instead of combinations
    #[arg(long, group = "choice", conflicts_with = "records")]
    refusals: bool,
    /// Write a line for each combination to this file, with the records on the wire
    #[arg(long)]
    records: Option<PathBuf>,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    interrupt::catch()?;
    if arguments.refusals {
        let all = refusals::run_all(arguments.filter.as_deref(), progress)?;
        print!("{}", refusals::render(&all));
        let is_right = !all.is_empty() && all.iter().all(refusals::Refusals::is_right);
        return Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let mut combinations = match arguments {
        Arguments { sample: true, .. } => sample(),
        Arguments { newer: true, .. } => newer(),
        Arguments { unusual: true, .. } => unusual(),
        _ => all(),
    };
    if let Some(filter) = &arguments.filter {
        combinations.retain(|combination| combination.name().contains(filter.as_str()));
    }
    ensure!(!combinations.is_empty(), "no combination has this in its name");
    let trials = run_all(&combinations, progress)?;
    print!("{}", render(&trials));
    if let Some(path) = &arguments.records {
        fs::write(path, table(&trials)).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(if Counts::of(&trials).is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
