//! The numbers that sni-probe, Envoy and what was sent must agree about.

use std::collections::BTreeMap;

use super::report::{Check, ScenarioReport};
use crate::ANSWERED_OUTCOMES;
use crate::envoy::Stats;
use crate::metrics::Metrics;

/// Compares what sni-probe counted since `before` with what was sent and with Envoy.
pub(super) fn compare(
    before: &Metrics,
    after: &Metrics,
    envoy: &Stats,
    scenarios: &[ScenarioReport],
) -> Vec<Check> {
    let since = |name: &str, labels: &[(&str, &str)]| {
        after.count(name, labels).saturating_sub(before.count(name, labels))
    };
    let sent = |is_wanted: &dyn Fn(&ScenarioReport) -> bool| {
        scenarios.iter().filter(|scenario| is_wanted(scenario)).count() as u64
    };

    let mut checks = Vec::new();
    let hellos = "sni_probe_client_hellos_total";
    for sni in ["absent", "present", "empty", "invalid", "unknown"] {
        let count = since(hellos, &[("sni", sni)]);
        let check = Check::new(
            format!("{hellos}{{sni=\"{sni}\"}}"),
            count,
            sent(&|scenario| scenario.expected.sni == Some(sni)),
        );
        checks.push(match sni {
            "absent" => check.beside("sni_not_found", envoy.sni_not_found),
            "present" => check.beside("sni_found", envoy.sni_found),
            _ => check,
        });
    }

    let handshakes = "sni_probe_handshakes_total";
    let mut expected: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for scenario in scenarios {
        if let (Some(sni), Some(outcome)) = (scenario.expected.sni, scenario.expected.outcome) {
            *expected.entry((sni, outcome)).or_default() += 1;
        }
    }
    for (&(sni, outcome), &number) in &expected {
        let outcomes = if outcome == ANSWERED_OUTCOMES[0] { &ANSWERED_OUTCOMES[..] } else { &[outcome] };
        let count =
            outcomes.iter().map(|outcome| since(handshakes, &[("sni", sni), ("outcome", outcome)])).sum();
        let shown = if outcome == ANSWERED_OUTCOMES[0] { "answered" } else { outcome };
        let series = format!("{handshakes}{{sni=\"{sni}\",outcome=\"{shown}\"}}");
        checks.push(Check::new(series, count, number));
    }
    // Nothing may be counted beside what was sent either.
    let number = expected.values().sum();
    checks.push(Check::new(handshakes.to_owned(), since(handshakes, &[]), number));

    let non_tls = "sni_probe_non_tls_connections_total";
    let number = sent(&|scenario| scenario.protocol.is_some());
    let check = Check::new(non_tls.to_owned(), since(non_tls, &[]), number);
    checks.push(check.beside("tls_not_found", envoy.tls_not_found));

    checks.push(refused(&since, envoy, scenarios));
    let lost = "sni_probe_events_lost_total";
    checks.push(Check::new(lost.to_owned(), since(lost, &[]), 0));
    checks
}

/// Envoy's main counter: connections for which it had no filter chain. On the wire these are whole
/// hellos that it reset and, where no chain takes just anything, what was no TLS at all.
fn refused(
    since: &impl Fn(&str, &[(&str, &str)]) -> u64,
    envoy: &Stats,
    scenarios: &[ScenarioReport],
) -> Check {
    let is_whole = |sni: Option<&str>| matches!(sni, Some("absent" | "present" | "empty"));
    let resets: u64 = ["absent", "present", "empty"]
        .iter()
        .map(|sni| {
            let labels = [("sni", *sni), ("outcome", "reset_by_gateway")];
            since("sni_probe_handshakes_total", &labels)
        })
        .sum();
    let resets_sent = scenarios.iter().filter(|scenario| {
        is_whole(scenario.expected.sni) && scenario.expected.outcome == Some("reset_by_gateway")
    });
    let non_tls_sent = scenarios.iter().filter(|scenario| scenario.protocol.is_some());
    let mut sent = resets_sent.count() as u64;
    let mut seen = resets;
    let mut metric = "resets of whole hellos".to_owned();
    if sent > 0 {
        sent += non_tls_sent.count() as u64;
        seen += since("sni_probe_non_tls_connections_total", &[]);
        metric += " + non-TLS connections";
    }
    Check::new(metric, seen, sent).beside("no_filter_chain_match", envoy.no_filter_chain_match)
}
