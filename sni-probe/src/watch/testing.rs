//! A snapshot for tests, as a daemon would send it.

use jiff::{SignedDuration, Timestamp};
use sni_probe_model::api::Count;

use super::Snapshot;

/// The time of the sample, so many seconds later.
pub(super) fn at(seconds: i64) -> Timestamp {
    let sample: Timestamp = "2026-03-05T14:03:22Z".parse().unwrap();
    sample.checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

pub(super) fn count(sni: &str, outcome: &str, handshakes: u64) -> Count {
    Count { source: None, sni: sni.into(), outcome: outcome.into(), handshakes, refused: None }
}

/// The answers of a daemon, by path.
pub(super) fn answers() -> [(&'static str, &'static str); 3] {
    [
        ("/api/v1/summary", include_str!("../../../crates/model/samples/summary.json")),
        ("/api/v1/clients", include_str!("../../../crates/model/samples/clients.json")),
        ("/api/v1/handshakes", include_str!("../../../crates/model/samples/handshakes.json")),
    ]
}

/// What they are: three clients, of which two are refused.
pub(super) fn sample() -> Snapshot {
    let [(_, summary), (_, clients), (_, handshakes)] = answers();
    Snapshot {
        summary: serde_json::from_str(summary).unwrap(),
        clients: serde_json::from_str(clients).unwrap(),
        handshakes: Some(serde_json::from_str(handshakes).unwrap()),
    }
}
