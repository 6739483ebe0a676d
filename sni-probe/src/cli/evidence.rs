//! `--evidence`: the packets of handshakes that failed.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use sni_probe_daemon::EvidenceConfig;

use super::values::parse_bytes;

/// Room for the longest handshake that is held, at least.
const BYTES: RangeInclusive<u64> = 64 << 10..=1 << 40;

/// Evidence.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Evidence")]
#[expect(clippy::doc_markdown, reason = "the text of --help")]
pub(crate) struct EvidenceOptions {
    /// Directory in which to keep the packets of the last handshakes that failed, as pcapng files
    ///
    /// A file for each handshake with another outcome than server_hello and established, rebuilt from what was copied of it.
    /// Made if there is none. What is there of an earlier run counts; other files are not touched.
    #[arg(long, env = "SNI_PROBE_EVIDENCE", value_name = "DIR")]
    pub(crate) evidence: Option<PathBuf>,

    /// How many handshakes to keep (1 to 100000); the oldest go first
    #[arg(
        long,
        env = "SNI_PROBE_EVIDENCE_HANDSHAKES",
        value_name = "N",
        default_value_t = 100,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=100_000),
        requires = "evidence"
    )]
    pub(crate) evidence_handshakes: usize,

    /// How much to keep of them in all (64KiB to 1TiB); the oldest go first
    #[arg(
        long,
        env = "SNI_PROBE_EVIDENCE_BYTES",
        value_name = "SIZE",
        default_value = "16MiB",
        value_parser = parse_evidence_bytes,
        requires = "evidence"
    )]
    pub(crate) evidence_bytes: u64,
}

impl EvidenceOptions {
    /// What the flags ask for.
    pub(crate) fn config(self) -> EvidenceConfig {
        EvidenceConfig {
            directory: self.evidence,
            handshakes: self.evidence_handshakes,
            bytes: self.evidence_bytes,
        }
    }
}

fn parse_evidence_bytes(text: &str) -> Result<u64, String> {
    parse_bytes(text, BYTES, "64KiB to 1TiB")
}
