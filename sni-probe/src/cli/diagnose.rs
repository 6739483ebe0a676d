//! The command line of `diagnose`.

use clap::Args;

/// Say what is wrong, and what to change
#[derive(Args, Clone, Debug)]
pub(crate) struct DiagnoseOptions {}
