//! The command line of `logs`.

use clap::Args;

/// Count in a gateway's access logs who was refused before there was a certificate
#[derive(Args, Clone, Debug)]
pub(crate) struct LogsOptions {}
