//! `--evidence`: the packets of handshakes that failed.

use std::path::PathBuf;

use clap::Args;

/// Evidence.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Evidence")]
pub(crate) struct EvidenceOptions {
    /// Directory in which to keep the packets of the last handshakes that failed, as pcapng files
    #[arg(long, env = "SNI_PROBE_EVIDENCE", value_name = "DIR")]
    pub(crate) evidence: Option<PathBuf>,
}
