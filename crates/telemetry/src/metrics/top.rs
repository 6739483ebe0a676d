//! The metrics of clients, fingerprints and names: made of [`Clients`] when a scrape asks for them, so that a client that
//! leaves the top leaves no series behind.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Metric, MetricFamily};
use sni_probe_core::clients::{AlertFrom, Clients, Outcomes, Refusals};
use sni_probe_core::vocabulary::{Label, OutcomeClass, SniClass};
use sni_probe_model::{KNOWN_CLIENTS, OTHER_CLIENTS, OTHER_FINGERPRINTS, REST};

use super::collector::{counter, counters, gauge, gauges, one_gauge};
use super::families::{self, Family};

const FAMILIES: [Family; 6] = [
    families::CLIENT_HANDSHAKES,
    families::CLIENT_INFO,
    families::FINGERPRINT_HANDSHAKES,
    families::SERVER_NAME_HANDSHAKES,
    families::CLIENTS_WITHOUT_SNI,
    families::CLIENTS_REFUSED,
];

pub(super) struct TopCollector {
    clients: Arc<Mutex<Clients>>,
    descriptions: Vec<Desc>,
}

impl TopCollector {
    pub(super) fn new(clients: Arc<Mutex<Clients>>) -> prometheus::Result<Self> {
        let descriptions = FAMILIES.into_iter().map(Family::desc).collect::<Result<_, _>>()?;
        Ok(Self { clients, descriptions })
    }
}

impl Collector for TopCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // A panic elsewhere leaves books that are whole enough to be read.
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        vec![
            client_handshakes(&clients),
            client_info(&clients),
            fingerprint_handshakes(&clients),
            server_name_handshakes(&clients),
            one_gauge(families::CLIENTS_WITHOUT_SNI, clients.distinct()),
            one_gauge(families::CLIENTS_REFUSED, clients.distinct_refused()),
        ]
    }
}

fn client_handshakes(clients: &Clients) -> MetricFamily {
    let mut series = Vec::new();
    for (client, record) in clients.top() {
        add_outcomes(&mut series, "client", &client.to_string(), &record.outcomes, is_positive);
    }
    add_outcomes(&mut series, "client", OTHER_CLIENTS, clients.other(), always);
    add_outcomes(&mut series, "client", KNOWN_CLIENTS, clients.expected(), always);
    counters(families::CLIENT_HANDSHAKES, series)
}

/// One series a client, whatever it sent before: a join by `client` finds one.
fn client_info(clients: &Clients) -> MetricFamily {
    let series = clients.top().map(|(client, record)| {
        let ja4 = record.offer.as_ref().and_then(|offer| offer.ja4.as_deref());
        let gateway = record.recent.back().map(|last| last.gateway.to_string());
        let labels = [
            ("client", &*client.to_string()),
            ("gateway_address", gateway.as_deref().unwrap_or_default()),
            ("ja4", ja4.unwrap_or_default()),
            ("likely", record.likely().unwrap_or_default()),
        ];
        gauge(&labels, 1)
    });
    gauges(families::CLIENT_INFO, series.collect())
}

fn fingerprint_handshakes(clients: &Clients) -> MetricFamily {
    let mut series = Vec::new();
    for (ja4, outcomes) in clients.fingerprints() {
        add_outcomes(&mut series, "ja4", ja4, outcomes, is_positive);
    }
    add_outcomes(&mut series, "ja4", OTHER_FINGERPRINTS, clients.other_fingerprints(), always);
    counters(families::FINGERPRINT_HANDSHAKES, series)
}

fn server_name_handshakes(clients: &Clients) -> MetricFamily {
    let mut series = Vec::new();
    for (name, refusals) in clients.names() {
        add_refusals(&mut series, name, refusals, is_positive);
    }
    add_refusals(&mut series, REST, clients.other_names(), always);
    counters(families::SERVER_NAME_HANDSHAKES, series)
}

/// Of what is in the top there are series only for what occurred: it comes and goes.
fn is_positive(count: u64) -> bool {
    count > 0
}

/// What stays from the start to the end has all its series, so that `rate` sees the first one; but not of alerts, of
/// which there are hundreds.
fn always(_: u64) -> bool {
    true
}

fn add_outcomes(
    series: &mut Vec<Metric>,
    label: &str,
    value: &str,
    outcomes: &Outcomes,
    wanted: fn(u64) -> bool,
) {
    for (sni, outcome, count) in outcomes.iter().filter(|(.., count)| wanted(*count)) {
        // Alerts come one by one.
        if outcome != OutcomeClass::Alert {
            series.push(of(label, value, outcome, sni, None, count));
        }
    }
    for (alert, count) in outcomes.alerts() {
        series.push(of(label, value, OutcomeClass::Alert, alert.sni, Some(alert), count));
    }
}

/// The counter of a client or a fingerprint.
fn of(
    label: &str,
    value: &str,
    outcome: OutcomeClass,
    sni: SniClass,
    alert: Option<AlertFrom>,
    count: u64,
) -> Metric {
    let mut labels = vec![(label, value), ("outcome", outcome.as_str()), ("sni", sni.as_str())];
    if let Some(AlertFrom { description, sender, .. }) = alert {
        labels.push(("sender", sender.as_str()));
        labels.extend(description.map(|description| ("description", description.as_str())));
    }
    labels.sort_unstable();
    counter(&labels, count)
}

fn add_refusals(series: &mut Vec<Metric>, name: &str, refusals: &Refusals, wanted: fn(u64) -> bool) {
    for (outcome, count) in refusals.iter().filter(|(_, count)| wanted(*count)) {
        // Alerts come one by one.
        if outcome != OutcomeClass::Alert {
            series.push(counter(&[("outcome", outcome.as_str()), ("server_name", name)], count));
        }
    }
    let outcome = OutcomeClass::Alert.as_str();
    for (description, count) in refusals.alerts() {
        let labels = [("description", description.as_str()), ("outcome", outcome), ("server_name", name)];
        series.push(counter(&labels, count));
    }
}
