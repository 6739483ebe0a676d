//! Facts of a scrape: the text format of Prometheus, as `/metrics` and `replay --format prometheus` give it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use anyhow::ensure;
use sni_probe_core::vocabulary::IncompleteReason;
use sni_probe_model::api::{AlertCount, EVENTS_LOST};
use sni_probe_model::{
    AlertSender, Fate, KNOWN_CLIENTS, Label as _, OTHER_CLIENTS, OutcomeClass, REST, Word,
};

use super::{ClientFacts, Count, RefusalCount, WireFacts};

const PREFIX: &str = "sni_probe_";
/// Series that are kept: several times what a daemon with the most clients has. Stops a file without an end.
const MAX_SERIES: usize = 1_000_000;
/// What stands for all names without series of their own in the metrics of version 0.1.0.
const REST_OF_0_1_0: &str = "other";

/// The facts of a scrape. Lines of other programs are ignored.
///
/// # Errors
/// If nothing of sni-probe is in it, or too much.
pub(crate) fn of_scrape(source: &str, text: &str) -> anyhow::Result<WireFacts> {
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut by_client: BTreeMap<String, RefusalCount> = BTreeMap::new();
    let mut facts = WireFacts { source: source.to_owned(), ..WireFacts::default() };
    let (mut names, mut versions) = (BTreeMap::new(), BTreeMap::new());
    let (mut reset_before_hello, mut evicted) = (0, 0);
    // Of a series that comes twice, the last sample counts.
    let mut series = BTreeMap::new();
    for (name, value) in text.lines().filter_map(sample) {
        series.insert(name, value);
        ensure!(series.len() <= MAX_SERIES, "more than {MAX_SERIES} series; is this a scrape of sni-probe?");
    }
    ensure!(
        series.keys().any(|(family, _)| *family == "handshakes_total"),
        "no sni_probe_handshakes_total in it; expected what a GET of /metrics of sni-probe gives"
    );
    for ((family, labels), value) in series {
        let labels = parse_labels(labels);
        let label = |name: &str| labels.get(name).map_or("", String::as_str);
        // The series of the rest exists from the start, and its label shows the version.
        if family == "server_name_handshakes_total" {
            *names.entry(label("server_name").to_owned()).or_default() += value;
        }
        if value == 0 {
            continue;
        }
        match family {
            "handshakes_total" => {
                *counts.entry((label("sni").to_owned(), label("outcome").to_owned())).or_default() += value;
            }
            "alerts_total" => facts.alerts.push(AlertCount {
                sni: label("sni").into(),
                description: label("description").into(),
                sender: label("sender").into(),
                alerts: value,
            }),
            "client_handshakes_total" => {
                let outcome: Word<OutcomeClass> = label("outcome").into();
                let sender: Word<AlertSender> = label("sender").into();
                let refused = if outcome.fate(sender.known()) == Fate::Refused { value } else { 0 };
                let client = by_client.entry(label("client").to_owned()).or_default();
                client.add(RefusalCount { handshakes: value, refused });
            }
            "client_hellos_total" => {
                *versions.entry(label("tls_version").to_owned()).or_default() += value;
            }
            EVENTS_LOST => facts.lost_events += value,
            "incomplete_client_hellos_total" => {
                let reason = IncompleteReason::ALL.iter().find(|reason| reason.as_str() == label("reason"));
                if let Some(reason) = reason {
                    *facts.incomplete.entry(reason.to_string()).or_default() += value;
                }
            }
            "flow_evictions_total" if label("reason") == "capacity" => evicted += value,
            "unclassified_flows_total" if label("reason") == "reset" => reset_before_hello += value,
            "non_tls_connections_total" if label("protocol") == "http" => facts.plain_http += value,
            _ => {}
        }
    }
    let count = |((sni, outcome), handshakes): ((String, String), u64)| Count {
        sni: sni.as_str().into(),
        outcome: outcome.as_str().into(),
        handshakes,
    };
    facts.counts = counts.into_iter().map(count).collect();
    facts.add_unread(reset_before_hello, evicted);
    let rest = if names.contains_key(REST) { REST } else { REST_OF_0_1_0 };
    names.retain(|name: &String, count: &mut u64| name != rest && *count > 0);
    facts.refused_names = most_first(names);
    facts.tls_versions = most_first(versions);
    for (client, refusals) in by_client {
        match client.as_str() {
            KNOWN_CLIENTS => {
                facts.expected.add(refusals);
                facts.other_clients.add(refusals);
            }
            OTHER_CLIENTS => facts.other_clients.add(refusals),
            _ => facts.add_client(ClientFacts { label: client, likely: None, refusals }),
        }
    }
    facts.clients.sort_by_key(|client| Reverse(client.refusals.refused));
    Ok(facts)
}

/// Family without prefix, labels and value of a line; `None` if it is no counter of sni-probe.
fn sample(line: &str) -> Option<((&str, &str), u64)> {
    let rest = line.strip_prefix(PREFIX)?;
    let (series, value) = if let Some(end) = rest.rfind('}') {
        (&rest[..end], rest[end + 1..].split_whitespace().next()?)
    } else {
        let mut words = rest.split_whitespace();
        (words.next()?, words.next()?)
    };
    let (family, labels) = series.split_once('{').unwrap_or((series, ""));
    if !family.ends_with("_total") {
        return None;
    }
    let value: f64 = value.parse().ok()?;
    if !(0.0..9e15).contains(&value) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    Some(((family, labels), value as u64))
}

/// `name="value"` pairs; in a value `\\`, `\"` and `\n` are escapes.
fn parse_labels(text: &str) -> HashMap<String, String> {
    let mut labels = HashMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut characters = after.char_indices();
        let mut end = after.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, escaped)) => value.push(escaped),
                    None => {}
                },
                other => value.push(other),
            }
        }
        labels.insert(name.trim_matches([',', ' ']).to_owned(), value);
        rest = &after[end..];
    }
    labels
}

/// The words with their counts, most often first.
pub(super) fn most_first(counts: impl IntoIterator<Item = (String, u64)>) -> Vec<(String, u64)> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|(one_word, one), (other_word, other)| {
        other.cmp(one).then_with(|| one_word.cmp(other_word))
    });
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP sni_probe_handshakes_total x
sni_probe_handshakes_total{outcome=\"reset_by_gateway\",sni=\"absent\",source=\"other\"} 7
sni_probe_handshakes_total{outcome=\"server_hello\",sni=\"present\",source=\"other\"} 5
sni_probe_alerts_total{description=\"protocol_version\",sender=\"gateway\",sni=\"present\"} 2
sni_probe_client_handshakes_total{client=\"192.0.2.7\",outcome=\"reset_by_gateway\",sni=\"absent\"} 3
sni_probe_client_handshakes_total{client=\"35.191.0.9\",outcome=\"reset_by_gateway\",sni=\"absent\"} 4
sni_probe_server_name_handshakes_total{outcome=\"reset_by_gateway\",server_name=\"a\\\"},b\"} 2
sni_probe_client_hellos_total{sni=\"absent\",tls_version=\"1.3\"} 7
process_cpu_seconds_total 1.5
";

    #[test]
    fn a_scrape_gives_facts() {
        let facts = of_scrape("scrape", TEXT).unwrap();
        assert_eq!((facts.handshakes(), facts.without_sni(), facts.refused_without_sni(false)), (12, 7, 7));
        assert_eq!(facts.mismatches(false), 2);
        assert_eq!(facts.refused_names, [("a\"},b".to_owned(), 2)]);
        assert_eq!(facts.expected, RefusalCount { handshakes: 4, refused: 4 });
        assert!(facts.is_mostly_load_balancers());
        assert_eq!(facts.clients[0].label, "35.191.0.9");
    }

    #[test]
    fn an_alert_of_the_client_is_no_refusal() {
        let text = "\
sni_probe_handshakes_total{outcome=\"alert\",sni=\"absent\",source=\"other\"} 52
sni_probe_alerts_total{description=\"unknown_ca\",sender=\"client\",sni=\"absent\"} 50
sni_probe_alerts_total{description=\"unrecognized_name\",sender=\"gateway\",sni=\"absent\"} 2
sni_probe_client_handshakes_total{client=\"192.0.2.1\",outcome=\"alert\",sender=\"client\",sni=\"absent\"} 50
sni_probe_client_handshakes_total{client=\"192.0.2.9\",description=\"unrecognized_name\",outcome=\"alert\",sender=\"gateway\",sni=\"absent\"} 2
sni_probe_events_lost_total{reason=\"ring_full\"} 4
sni_probe_events_lost_total{reason=\"copy_failed\"} 1
";
        let facts = of_scrape("scrape", text).unwrap();
        assert_eq!((facts.refused_without_sni(false), facts.failed_elsewhere()), (2, 50));
        assert_eq!(facts.lost_events, 5);
        let clients: Vec<_> =
            facts.clients.iter().map(|client| (client.label.as_str(), client.refusals.refused)).collect();
        assert_eq!(clients, [("192.0.2.9", 2), ("192.0.2.1", 0)]);
    }

    #[test]
    fn what_was_missed_is_summed_and_unknown_reasons_are_not_kept() {
        let text = "\
sni_probe_handshakes_total{outcome=\"timeout\",sni=\"unknown\",source=\"other\"} 4
sni_probe_incomplete_client_hellos_total{reason=\"timeout\"} 4
sni_probe_incomplete_client_hellos_total{reason=\"x\"} 9
sni_probe_unclassified_flows_total{interface=\"a\",reason=\"reset\"} 2
sni_probe_unclassified_flows_total{interface=\"b\",reason=\"reset\"} 3
sni_probe_unclassified_flows_total{reason=\"closed\"} 8
sni_probe_non_tls_connections_total{protocol=\"http\"} 6
";
        let facts = of_scrape("scrape", text).unwrap();
        assert_eq!(facts.incomplete, [("timeout".to_owned(), 4)].into());
        assert_eq!(facts.unread, ["connections that were reset before a ClientHello was seen: 5"]);
        assert_eq!(facts.plain_http, 6);
    }

    #[test]
    fn a_name_is_not_the_rest() {
        let name = |name: &str, count: u64| {
            format!(
                "sni_probe_server_name_handshakes_total{{outcome=\"reset_by_gateway\",server_name=\"{name}\"}} {count}\n"
            )
        };
        let of = |names: String| {
            let text = names + "sni_probe_handshakes_total{outcome=\"timeout\",sni=\"absent\"} 1\n";
            of_scrape("scrape", &text).unwrap().refused_names
        };
        assert_eq!(of(name("other", 2) + &name("<other>", 0)), [("other".to_owned(), 2)]);
        // Version 0.1.0 had another word for the rest.
        assert_eq!(of(name("other", 2) + &name("a.example", 1)), [("a.example".to_owned(), 1)]);
    }

    #[test]
    fn what_is_no_scrape_is_refused() {
        assert!(of_scrape("", "").is_err());
        assert!(of_scrape("", "<html>").is_err());
        for line in ["sni_probe_x_total{", "sni_probe_x_total{a=\"b", "sni_probe_x_total}", "sni_probe_"] {
            assert!(of_scrape("", line).is_err(), "{line}");
        }
    }
}
