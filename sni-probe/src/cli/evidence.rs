//! `--evidence`: the packets of handshakes that failed.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::Args;
use clap::builder::RangedU64ValueParser;

/// Room for the longest handshake that is held, at least.
const BYTES: RangeInclusive<u64> = 64 << 10..=1 << 40;

/// Evidence.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Evidence")]
pub(crate) struct EvidenceOptions {
    /// Directory in which to keep the packets of the last handshakes that failed, as pcapng files
    ///
    /// A file for each handshake with another outcome than a ServerHello, rebuilt from what was copied of it. Made if there
    /// is none. What is there of an earlier run counts; other files are not touched.
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
        value_parser = parse_bytes,
        requires = "evidence"
    )]
    pub(crate) evidence_bytes: u64,
}

fn parse_bytes(text: &str) -> Result<u64, &'static str> {
    const UNITS: [(&str, u32); 4] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let unit = UNITS.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (number, shift) = unit.unwrap_or((text, 0));
    let number: u64 = number.trim().parse().map_err(|_| "expected a size with its unit, such as 16MiB")?;
    let bytes = number.checked_mul(1 << shift).filter(|bytes| BYTES.contains(bytes));
    bytes.ok_or("expected 64KiB to 1TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_bytes("64KiB"), Ok(65_536));
        assert_eq!(parse_bytes("16 MiB"), Ok(16 << 20));
        assert_eq!(parse_bytes("1TiB"), Ok(1 << 40));
        assert_eq!(parse_bytes("100000"), Ok(100_000));
        for wrong in ["", "16", "63KiB", "2TiB", "16MB", "-1MiB", "1.5GiB", "MiB", "99999999999999999TiB"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
