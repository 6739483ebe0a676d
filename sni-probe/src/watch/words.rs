//! Numbers and times for people, and text from the wire fit for a terminal.

use jiff::Timestamp;
use sni_probe_core::vocabulary::TlsVersion;
use sni_probe_model::api::{Client, Count, LastHandshake};
use sni_probe_model::{Fate, OutcomeClass, Word};
use sni_probe_terminal::units::duration;
use sni_probe_terminal::{printable, printable_within};

/// Characters of a sentence or an error that are shown.
const MAX_SENTENCE: usize = 400;

/// A sentence from the daemon, or an error with words of it.
pub(super) fn sentence(text: &str) -> String {
    printable_within(MAX_SENTENCE, text)
}

/// Time from `then` to `now`: "3 s", "5 min", "2 h", "4 d".
pub(super) fn age(then: Timestamp, now: Timestamp) -> String {
    duration(now.duration_since(then).try_into().unwrap_or_default())
}

/// The same in at most four characters, as long as it is less than 1,000 days: "3s", "5m", "2h", "4d".
pub(super) fn short_age(then: Timestamp, now: Timestamp) -> String {
    age(then, now).replace(" min", "m").replace(' ', "")
}

/// What became of a handshake.
pub(super) fn outcome(handshake: &LastHandshake) -> String {
    let outcome = class(&handshake.outcome);
    match &handshake.alert {
        Some(alert) => format!("{outcome} {}", printable(alert)),
        None => outcome,
    }
}

/// An outcome without detail. Those after a ServerHello are in words: their names do not say enough.
pub(super) fn class(outcome: &Word<OutcomeClass>) -> String {
    let words = match outcome.known() {
        Some(OutcomeClass::RejectedByClient) => "client rejected the certificate",
        Some(OutcomeClass::ClientCertificateRefused) => "client certificate refused",
        Some(OutcomeClass::RefusedAfterServerHello) => "refused after the ServerHello",
        _ => outcome.as_str(),
    };
    printable(words)
}

/// How the handshakes of a count are painted: as refused, if the gateway refused one of them.
pub(super) fn fate(count: &Count) -> Fate {
    if count.refused() > 0 { Fate::Refused } else { painted(&count.outcome, count.outcome.fate(None)) }
}

/// How a handshake is painted.
pub(super) fn fate_of(handshake: &LastHandshake) -> Fate {
    painted(&handshake.outcome, handshake.fate())
}

/// A client that rejects the certificate was served, and has no connection: it is not painted as served.
fn painted(outcome: &Word<OutcomeClass>, fate: Fate) -> Fate {
    if fate == Fate::Served && outcome.is_failure() { Fate::Failed } else { fate }
}

/// The software behind a client: what it likely is, else its fingerprint.
pub(super) fn software(client: &Client) -> String {
    let told = client.likely.as_deref().or(client.ja4.as_deref());
    told.map_or_else(|| "?".to_owned(), printable)
}

/// A version as in `supported_versions`, by its name.
pub(super) fn version(code: &str) -> String {
    let number = code.strip_prefix("0x").and_then(|digits| u16::from_str_radix(digits, 16).ok());
    match number {
        // RFC 8701.
        Some(grease) if grease & 0x0f0f == 0x0a0a && grease >> 8 == grease & 0xff => "GREASE".to_owned(),
        Some(draft) if draft >> 8 == 0x7f => format!("TLS 1.3 draft {}", draft & 0xff),
        Some(number) => TlsVersion::from_code(number).name().map_or_else(|| printable(code), str::to_owned),
        None => printable(code),
    }
}

/// Characters of a trend, from none to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bars {
    /// Block elements.
    Unicode,
    /// Where the locale has no UTF-8.
    Ascii,
}

impl Bars {
    /// What the locale takes.
    pub(super) fn of_locale() -> Self {
        // The order of setlocale(3); an empty one counts as none.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        let locale = locale.unwrap_or_default().to_uppercase();
        if locale.contains("UTF-8") || locale.contains("UTF8") { Self::Unicode } else { Self::Ascii }
    }

    const fn characters(self) -> [char; 9] {
        match self {
            Self::Unicode => [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
            Self::Ascii => [' ', '.', ':', '-', '=', '+', '*', '#', '@'],
        }
    }
}

/// `values` (oldest first) as bars, at most `width` of them, each for as many values as it takes. Anything but 0
/// shows.
pub(super) fn trend(values: &[u64], width: usize, bars: Bars) -> String {
    if values.is_empty() || width == 0 {
        return String::new();
    }
    let a_bar = values.len().div_ceil(width);
    // The newest value ends a bar: bars do not change their values from one look to the next but at that end.
    let sums: Vec<u64> = values.rchunks(a_bar).rev().map(saturating_sum).collect();
    let most = sums.iter().copied().max().unwrap_or(0).max(1);
    let characters = bars.characters();
    let steps = (characters.len() - 1) as u128;
    let bar = |sum: u64| {
        let step = (u128::from(sum) * steps).div_ceil(u128::from(most));
        characters[usize::try_from(step).unwrap_or(0)]
    };
    sums.into_iter().map(bar).collect()
}

/// The sum, which a daemon that tells nonsense does not overflow.
pub(super) fn saturating_sum(values: &[u64]) -> u64 {
    values.iter().fold(0, |sum, value| sum.saturating_add(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_by_name() {
        let names = ["0x0304", "0x0303", "0x0301", "0x2a2a", "0x7f1c", "0x9999", "x\u{1b}"].map(version);
        assert_eq!(
            names,
            ["TLS 1.3", "TLS 1.2", "TLS 1.0", "GREASE", "TLS 1.3 draft 28", "0x9999", "x\\x1b"]
        );
    }

    #[test]
    fn outcomes_after_a_server_hello() {
        let count = |outcome: &str| Count {
            source: None,
            sni: "absent".into(),
            outcome: outcome.into(),
            handshakes: 1,
            refused: None,
        };
        for (outcome, text, expected) in [
            ("server_hello", "server_hello", Fate::Served),
            ("established", "established", Fate::Served),
            ("rejected_by_client", "client rejected the certificate", Fate::Failed),
            ("client_certificate_refused", "client certificate refused", Fate::Failed),
            ("refused_after_server_hello", "refused after the ServerHello", Fate::Refused),
            ("reset_by_gateway", "reset_by_gateway", Fate::Refused),
            ("of\u{1b}later", "of\\x1blater", Fate::Unknown),
        ] {
            assert_eq!((class(&outcome.into()).as_str(), fate(&count(outcome))), (text, expected));
        }
    }

    #[test]
    fn ages() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let ages = [-5, 0, 61, 7200].map(|ago| {
            let then = Timestamp::from_second(1_000_000 - ago).unwrap();
            (age(then, now), short_age(then, now))
        });
        let expected = [("0 s", "0s"), ("0 s", "0s"), ("1 min", "1m"), ("2 h", "2h")];
        assert_eq!(ages, expected.map(|(long, short)| (long.to_owned(), short.to_owned())));
    }

    #[test]
    fn trends() {
        let trend_of = |values: &[u64], width| trend(values, width, Bars::Ascii);
        assert_eq!(trend_of(&[0, 1, 4, 8], 4), " .=@");
        assert_eq!(trend_of(&[0, 0], 4), "  ");
        assert_eq!(trend_of(&[1_000_000, 1], 4), "@.", "little shows beside much");
        assert_eq!(trend_of(&[1, 1, 1, 4, 4], 3), ".:@", "the newest ends a bar");
        assert_eq!(trend_of(&[u64::MAX, u64::MAX, 1], 1).len(), 1);
        assert_eq!(trend_of(&[], 3), "");
        assert_eq!(trend_of(&[1], 0), "");
        assert_eq!(trend(&[1, 2], 2, Bars::Unicode), "▄█");
    }
}
