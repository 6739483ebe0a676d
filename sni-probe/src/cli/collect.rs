//! The command line of `collect`.

use clap::Args;

/// Gather what support asks for in one file, without secrets
#[derive(Args, Clone, Debug)]
pub(crate) struct CollectOptions {}
