//! Values that several flags have: durations, sizes, networks, words of a closed set.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use ipnet::IpNet;
use sni_probe_core::vocabulary::Label;

/// Parses a word of a closed set. Its errors and the help list the words.
pub(super) fn label_parser<L: Label + Send + Sync>() -> impl TypedValueParser<Value = L> {
    let words = L::ALL.iter().map(|label| label.as_str());
    PossibleValuesParser::new(words).map(|word| {
        let known = L::ALL.iter().copied().find(|label| label.as_str() == word);
        known.expect("the parser takes no other words")
    })
}

/// A duration with its unit within `range`, which is told as `told`.
pub(super) fn parse_duration(
    text: &str,
    range: RangeInclusive<Duration>,
    told: &str,
) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; expected a duration with its unit, such as 30s or 1m"))?;
    if range.contains(&duration) { Ok(duration) } else { Err(format!("expected {told}")) }
}

/// A number of bytes, with a binary unit or none, within `range`, which is told as `told`.
pub(super) fn parse_bytes(text: &str, range: RangeInclusive<u64>, told: &str) -> Result<u64, String> {
    const UNITS: [(&str, u32); 4] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let unit = UNITS.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (number, shift) = unit.unwrap_or((text, 0));
    let number: u64 =
        number.trim().parse().map_err(|_| "expected a size with its unit, such as 16MiB".to_owned())?;
    let bytes = number.checked_mul(1 << shift).filter(|bytes| range.contains(bytes));
    bytes.ok_or_else(|| format!("expected {told}"))
}

/// A network, or an address, which is a network of one; `None` if it is neither.
pub(super) fn parse_network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::parse_bytes;

    #[test]
    fn sizes() {
        let parse = |text| parse_bytes(text, 64 << 10..=1 << 40, "64KiB to 1TiB").ok();
        assert_eq!(parse("64KiB"), Some(65_536));
        assert_eq!(parse("16 MiB"), Some(16 << 20));
        assert_eq!(parse("1TiB"), Some(1 << 40));
        assert_eq!(parse("100000"), Some(100_000));
        for wrong in ["", "16", "63KiB", "2TiB", "16MB", "-1MiB", "1.5GiB", "MiB", "99999999999999999TiB"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
