//! The command line of `watch`.

use clap::Args;

use super::RunOptions;

/// Watch clients without SNI live in the terminal, on this machine or through a daemon
#[derive(Args, Clone, Debug)]
pub(crate) struct WatchOptions {
    /// Daemon to ask, instead of capturing here: no root is needed then
    #[arg(long, env = "SNI_PROBE_URL", value_name = "URL")]
    pub(crate) url: Option<String>,

    #[command(flatten)]
    pub(crate) run: RunOptions,
}
