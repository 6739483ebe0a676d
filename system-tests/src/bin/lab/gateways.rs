//! Real clients and real gateways, and the outcomes that sni-probe reports.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use lab_interface::gateways::Options;
use system_tests::interrupt;
use system_tests::matrix::report::{Counts, render, table};
use system_tests::matrix::selections::{all, newer, sample, unusual};
use system_tests::matrix::{client_lines, fixes, refusals, run_all};

use crate::progress;

/// Compare sni-probe's outcomes with what real clients report of real gateways (root)
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: Options,
}

pub(crate) fn main(Arguments { options }: &Arguments) -> Result<ExitCode> {
    interrupt::catch()?;
    if options.refusals {
        let all = refusals::run_all(options.filter.as_deref(), progress)?;
        ensure!(!all.is_empty(), "no gateway has this in its name or configuration");
        print!("{}", refusals::render(&all));
        return Ok(exit_code(all.iter().all(refusals::Refusals::is_right)));
    }
    if options.fixes {
        let results = fixes::run_all(options.filter.as_deref(), progress)?;
        ensure!(!results.is_empty(), "no gateway or snippet has this in its name");
        let faults = fixes::faults(&results, options.filter.is_none());
        print!("{}", fixes::render(&results, &faults));
        return Ok(exit_code(faults.is_empty()));
    }
    if options.clients {
        let records = options.records.as_deref();
        let trials = client_lines::run_all(options.filter.as_deref(), progress)?;
        ensure!(!trials.is_empty(), "no line has this in its name or software");
        print!("{}", client_lines::render(&trials));
        if let Some(records) = records {
            // The table that was built in, with other versions.
            std::fs::write(records, client_lines::rewritten(&trials))
                .with_context(|| format!("writing {}", records.display()))?;
        }
        return Ok(exit_code(client_lines::is_success(&trials)));
    }
    let mut combinations = match options {
        Options { sample: true, .. } => sample(),
        Options { newer: true, .. } => newer(),
        Options { unusual: true, .. } => unusual(),
        _ => all(),
    };
    if let Some(filter) = &options.filter {
        combinations.retain(|combination| combination.name().contains(filter.as_str()));
    }
    ensure!(!combinations.is_empty(), "no combination has this in its name");
    // A run may take an hour: a file that cannot be written fails before it.
    let records = options.records.as_deref().map(create).transpose()?;
    let trials = run_all(&combinations, progress)?;
    print!("{}", render(&trials));
    if let Some(mut records) = records {
        records.write_all(table(&trials).as_bytes()).context("writing the records")?;
    }
    Ok(exit_code(Counts::of(&trials).is_success()))
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("creating {}", path.display()))
}

fn exit_code(is_success: bool) -> ExitCode {
    if is_success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
