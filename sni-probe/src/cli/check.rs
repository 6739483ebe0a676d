//! The command line of `check`.

use clap::Args;

/// Connect to a gateway with and without SNI, and tell what it does
#[derive(Args, Clone, Debug)]
pub(crate) struct CheckOptions {}
