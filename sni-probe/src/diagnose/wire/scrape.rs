//! Facts of a scrape: the text format of Prometheus, as `/metrics` and `replay --format prometheus` give it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use anyhow::ensure;

use super::{Alert, Client, Count, Refusals, WireFacts, is_load_balancer, is_without};
use crate::api::model;

const PREFIX: &str = "sni_probe_";
/// Series that are kept: several times what a daemon with the most clients has. Stops a file without an end.
const MAX_SERIES: usize = 1_000_000;

/// The counters of a scrape.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrape {
    /// Counts by family without prefix, and by the labels as they are written.
    series: BTreeMap<(String, String), u64>,
}

impl Scrape {
    /// Reads a scrape. Lines of other programs are passed over.
    ///
    /// # Errors
    /// If nothing of sni-probe is in it, or too much.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut series = BTreeMap::new();
        for line in text.lines() {
            let Some(((family, labels), value)) = sample(line) else { continue };
            series.insert((family.to_owned(), labels.to_owned()), value);
            ensure!(
                series.len() <= MAX_SERIES,
                "more than {MAX_SERIES} series; is this a scrape of sni-probe?"
            );
        }
        ensure!(
            series.keys().any(|(family, _)| family == "handshakes_total"),
            "no sni_probe_handshakes_total in it; expected what a GET of /metrics of sni-probe gives"
        );
        Ok(Self { series })
    }

    /// What came since `before`. A daemon that was restarted meanwhile began at 0: then all of it did.
    pub(crate) fn since(mut self, before: &Self) -> Self {
        for (key, value) in &mut self.series {
            let earlier = before.series.get(key).copied().unwrap_or(0);
            *value = value.checked_sub(earlier).unwrap_or(*value);
        }
        self
    }

    /// The facts; `clients` of the same daemon's API say what software they likely are.
    pub(crate) fn facts(&self, source: &str, clients: Option<&model::Clients>) -> WireFacts {
        let likely: HashMap<&str, &model::Client> = clients.map_or_else(HashMap::new, |clients| {
            clients.clients.iter().map(|client| (client.client.as_str(), client)).collect()
        });
        let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
        let mut by_client: BTreeMap<String, Refusals> = BTreeMap::new();
        let mut facts = WireFacts { source: source.to_owned(), ..WireFacts::default() };
        let (mut names, mut versions) = (BTreeMap::new(), BTreeMap::new());
        for ((family, labels), &value) in self.series.iter().filter(|(_, value)| **value > 0) {
            let labels = parse_labels(labels);
            let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
            match family.as_str() {
                "handshakes_total" => {
                    *counts.entry((label("sni"), label("outcome"))).or_default() += value;
                }
                "alerts_total" => facts.alerts.push(Alert {
                    sni: label("sni"),
                    description: label("description"),
                    by_gateway: label("sender") == "gateway",
                    count: value,
                }),
                "client_handshakes_total" if is_without(&label("sni")) => {
                    add(by_client.entry(label("client")).or_default(), &label("outcome"), value);
                }
                "server_name_handshakes_total" => *names.entry(label("server_name")).or_default() += value,
                "client_hellos_total" => *versions.entry(label("tls_version")).or_default() += value,
                _ => {}
            }
        }
        let count = |((sni, outcome), handshakes)| Count { sni, outcome, handshakes };
        facts.counts = counts.into_iter().map(count).collect();
        facts.refused_names = most_first(names);
        facts.tls_versions = most_first(versions);
        for (client, refusals) in by_client {
            if client == "expected" || is_load_balancer(&client) {
                facts.expected.handshakes += refusals.handshakes;
                facts.expected.refused += refusals.refused;
            }
            let likely = likely.get(client.as_str()).and_then(|client| client.likely.clone());
            facts.clients.push(Client { label: client, likely, refusals });
        }
        facts.clients.sort_by_key(|client| Reverse(client.refusals.refused));
        facts
    }
}

/// Adds handshakes with this outcome. Alerts are nearly always the gateway's.
fn add(refusals: &mut Refusals, outcome: &str, handshakes: u64) {
    refusals.handshakes += handshakes;
    if matches!(outcome, "reset_by_gateway" | "closed_by_gateway" | "alert") {
        refusals.refused += handshakes;
    }
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
        let facts = Scrape::parse(TEXT).unwrap().facts("scrape", None);
        assert_eq!((facts.handshakes(), facts.without_sni(), facts.refused_without_sni(false)), (12, 7, 7));
        assert_eq!(facts.mismatches(false), 2);
        assert_eq!(facts.refused_names, [("a\"},b".to_owned(), 2)]);
        assert_eq!(facts.expected, Refusals { handshakes: 4, refused: 4 });
        assert!(facts.is_mostly_load_balancers());
        assert_eq!(facts.clients[0].label, "35.191.0.9");
    }

    #[test]
    fn what_came_since() {
        let before = Scrape::parse(TEXT).unwrap();
        let after = Scrape::parse(&TEXT.replace("} 7", "} 9")).unwrap();
        let facts = after.since(&before).facts("scrape", None);
        assert_eq!((facts.handshakes(), facts.clients.len()), (2, 0));
        // Restarted: it counts from 0.
        let restarted = Scrape::parse(&TEXT.replace("} 7", "} 1")).unwrap();
        assert_eq!(restarted.since(&before).facts("scrape", None).handshakes(), 1);
    }

    #[test]
    fn what_is_no_scrape_is_refused() {
        assert!(Scrape::parse("").is_err());
        assert!(Scrape::parse("<html>").is_err());
        for line in ["sni_probe_x_total{", "sni_probe_x_total{a=\"b", "sni_probe_x_total}", "sni_probe_"] {
            assert!(Scrape::parse(line).is_err(), "{line}");
        }
    }
}
