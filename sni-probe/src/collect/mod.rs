//! `collect`: what support asks for, in one file, without secrets.

use std::process::ExitCode;

use crate::cli::CollectOptions;

pub(crate) fn run(_options: &CollectOptions) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not yet")
}
