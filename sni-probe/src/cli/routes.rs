//! The command line of `routes`.

use clap::Args;

/// Read the routes of a gateway, and tell whether clients without SNI are served
#[derive(Args, Clone, Debug)]
pub(crate) struct RoutesOptions {}
