//! What sni-probe must say of a piece of traffic: every event field by field, and every series of
//! its counters that is not 0.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use system_tests::metrics::{Metrics, Sample};
use system_tests::probe::{Event, Probe};
use system_tests::{
    ANSWERED_OUTCOMES, CLIENT_V4, CLIENT_V6, GATEWAY_INTERFACE, GATEWAY_V4, as_of_0_1_0, wait_until,
};

/// How long sni-probe may take to say what it saw.
const DEADLINE: Duration = Duration::from_secs(10);

/// The counters that are compared: of all of them the complete set of series that are not 0.
const FAMILIES: [&str; 13] = [
    "sni_probe_alerts_total",
    "sni_probe_client_hello_features_total",
    "sni_probe_client_hellos_total",
    "sni_probe_event_lines_dropped_total",
    "sni_probe_events_lost_total",
    "sni_probe_flow_evictions_total",
    "sni_probe_handshake_outcome_seconds_count",
    "sni_probe_handshakes_total",
    "sni_probe_incomplete_client_hellos_total",
    "sni_probe_non_tls_connections_total",
    "sni_probe_packets_skipped_total",
    "sni_probe_time_jumps_total",
    "sni_probe_unclassified_flows_total",
];

/// Name and labels to value.
type Series = BTreeMap<String, f64>;

/// A `ClientHello` and what becomes of it.
#[derive(Debug, Clone)]
pub(crate) struct Hello {
    client: Option<SocketAddr>,
    gateway: SocketAddr,
    proxied_client: Option<&'static str>,
    sni: &'static str,
    server_name: Option<&'static str>,
    tls_version: &'static str,
    bytes: Option<usize>,
    segments: usize,
    records: usize,
    features: Vec<&'static str>,
    incomplete: Option<&'static str>,
    outcome: &'static str,
    alert: Option<(&'static str, &'static str)>,
}

impl Hello {
    fn new(sni: &'static str, server_name: Option<&'static str>, outcome: &'static str) -> Self {
        Self {
            client: None,
            gateway: SocketAddr::new(GATEWAY_V4, 443),
            proxied_client: None,
            sni,
            server_name,
            tls_version: "1.3",
            bytes: None,
            segments: 1,
            records: 1,
            features: Vec::new(),
            incomplete: None,
            outcome,
            alert: None,
        }
    }

    /// Without SNI. Like all of these: in one segment and one record, offering TLS 1.3, sent to port
    /// 443 of the gateway's IPv4 address.
    pub(crate) fn absent(outcome: &'static str) -> Self {
        Self::new("absent", None, outcome)
    }

    /// With this name.
    pub(crate) fn present(name: &'static str, outcome: &'static str) -> Self {
        Self::new("present", Some(name), outcome)
    }

    /// With the SNI extension, but without a name in it.
    pub(crate) fn empty(outcome: &'static str) -> Self {
        Self::new("empty", None, outcome)
    }

    /// With something for a name that is no host name.
    pub(crate) fn invalid(name: &'static str, outcome: &'static str) -> Self {
        Self::new("invalid", Some(name), outcome)
    }

    /// One that never becomes whole.
    pub(crate) fn incomplete(reason: &'static str, outcome: &'static str) -> Self {
        let hello = Self::new("unknown", None, outcome);
        Self { incomplete: Some(reason), ..hello }.version("unknown")
    }

    /// From this address and port, if the test knows it.
    pub(crate) fn from(mut self, client: impl Into<Option<SocketAddr>>) -> Self {
        self.client = client.into();
        self
    }

    pub(crate) fn to(mut self, gateway: SocketAddr) -> Self {
        self.gateway = gateway;
        self
    }

    /// Behind a PROXY header that names this client.
    pub(crate) fn proxied(mut self, client: Option<&'static str>, feature: &'static str) -> Self {
        self.proxied_client = client;
        self.feature(feature)
    }

    /// The highest version that it offers.
    pub(crate) fn version(mut self, version: &'static str) -> Self {
        self.tls_version = version;
        self
    }

    /// The length of its handshake message; without this it is only checked to be there.
    pub(crate) fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = Some(bytes);
        self
    }

    pub(crate) fn segments(mut self, segments: usize) -> Self {
        self.segments = segments;
        self.feature("multi_segment")
    }

    pub(crate) fn records(mut self, records: usize) -> Self {
        self.records = records;
        self.feature("multi_record")
    }

    pub(crate) fn feature(mut self, feature: &'static str) -> Self {
        self.features.push(feature);
        self
    }

    /// The alert that is the outcome, and who sent it.
    pub(crate) fn alert(mut self, description: &'static str, sender: &'static str) -> Self {
        self.alert = Some((description, sender));
        self
    }

    pub(crate) fn client(&self) -> Option<SocketAddr> {
        self.client
    }

    pub(crate) fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    fn format(&self) -> &'static str {
        if self.features.contains(&"sslv2") { "sslv2" } else { "tls" }
    }

    /// Whether the event can only be of this hello. A client that does not say its port is told from
    /// others by what it sends and what becomes of it.
    fn is_seen_in(&self, event: &Event) -> bool {
        match self.client {
            Some(client) => event.peer == client.to_string(),
            None => {
                event.gateway == self.gateway.to_string()
                    && event.sni == self.sni
                    && self.is_outcome(&event.outcome)
                    && event.server_name.as_deref() == self.server_name
                    && event.json["tls_version"] == self.tls_version
            }
        }
    }

    /// Whether this outcome is the expected one.
    fn is_outcome(&self, seen: &str) -> bool {
        seen == self.outcome || as_of_0_1_0(seen) == self.outcome
    }

    fn client_ip(&self) -> IpAddr {
        if self.gateway.is_ipv4() { CLIENT_V4 } else { CLIENT_V6 }
    }

    fn check_event(&self, event: &Event, interface: &str) {
        let peer: SocketAddr = event.peer.parse().unwrap();
        assert_eq!(peer.ip(), self.client_ip(), "{}", event.json);
        assert!(self.incomplete.is_some() || event.json["hello_bytes"].as_u64() > Some(40), "{}", event.json);
        let mut wanted = event.json.clone();
        let mut put = |field: &str, value: Value| wanted[field] = value;
        put("interface", json!(interface));
        put("gateway", json!(self.gateway.to_string()));
        put("proxied_client", json!(self.proxied_client));
        put("sni", json!(self.sni));
        put("server_name", json!(self.server_name));
        put("tls_version", json!(self.tls_version));
        put("segments", json!(self.segments));
        put("records", json!(self.records));
        put("format", json!(self.format()));
        put("features", json!(in_order_of_the_vocabulary(&self.features)));
        put("incomplete", json!(self.incomplete));
        // An alert after the ServerHello belongs to an outcome that is not distinguished here.
        if event.outcome == self.outcome || !self.is_outcome(&event.outcome) {
            put("outcome", json!(self.outcome));
            put("alert", json!(self.alert.map(|(description, _)| description)));
            put("alert_sender", json!(self.alert.map(|(_, sender)| sender)));
        }
        if let Some(client) = self.client {
            put("peer", json!(client.to_string()));
        }
        // The client is the one that the PROXY header names, if there was one.
        let client = self.proxied_client.map_or_else(|| event.peer.clone(), str::to_owned);
        put("client", json!(client));
        if let Some(bytes) = self.bytes {
            put("hello_bytes", json!(bytes));
        }
        assert_eq!(event.json, wanted, "what sni-probe says, and what it must");
    }
}

/// Of all clients here: none is expected to send no SNI.
const SOURCE: (&str, &str) = ("source", "other");

/// The order in which docs/metrics.md lists the features, and events have them.
fn in_order_of_the_vocabulary(features: &[&'static str]) -> Vec<&'static str> {
    const ORDER: [&str; 10] = [
        "post_quantum",
        "ech",
        "multi_segment",
        "multi_record",
        "sslv2",
        "proxy_v1",
        "proxy_v2",
        "early_data",
        "resumption",
        "hello_retry",
    ];
    ORDER.into_iter().filter(|feature| features.contains(feature)).collect()
}

/// All that sni-probe must have seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    pub(crate) hellos: Vec<Hello>,
    /// Protocols of the connections that are no TLS.
    pub(crate) non_tls: Vec<&'static str>,
    /// How the flows ended whose first bytes were too few to tell.
    pub(crate) unclassified: Vec<&'static str>,
}

impl Expected {
    pub(crate) fn hellos(hellos: impl IntoIterator<Item = Hello>) -> Self {
        Self { hellos: hellos.into_iter().collect(), ..Self::default() }
    }

    /// Every series of [`FAMILIES`] that is not 0.
    fn series(&self) -> Series {
        let mut series = Series::new();
        let mut count = |family: &str, labels: &[(&str, &str)]| {
            *series.entry(show(&format!("sni_probe_{family}"), labels.iter().copied())).or_default() += 1.0;
        };
        for hello in &self.hellos {
            let sni = ("sni", hello.sni);
            count("client_hellos_total", &[SOURCE, sni, ("tls_version", hello.tls_version)]);
            let outcome = ("outcome", as_of_0_1_0(hello.outcome));
            count("handshakes_total", &[SOURCE, sni, outcome]);
            count("handshake_outcome_seconds_count", &[sni, outcome]);
            for feature in &hello.features {
                count("client_hello_features_total", &[("feature", feature)]);
            }
            if let Some(reason) = hello.incomplete {
                count("incomplete_client_hellos_total", &[("reason", reason)]);
            }
            if let Some((description, sender)) = hello.alert {
                count("alerts_total", &[sni, ("description", description), ("sender", sender)]);
            }
        }
        for protocol in &self.non_tls {
            count("non_tls_connections_total", &[("protocol", protocol)]);
        }
        for reason in &self.unclassified {
            count("unclassified_flows_total", &[("reason", reason)]);
        }
        series
    }

    /// Waits until sni-probe has counted all of this, and asserts that it has counted nothing else.
    pub(crate) fn check_metrics(&self, probe: &Probe<'_>) {
        let wanted = self.series();
        let mut seen = Series::new();
        let result = wait_until("sni-probe's counters", DEADLINE, || {
            seen = compared_series(&probe.metrics()?);
            Ok((seen == wanted).then_some(()))
        });
        if result.is_err() {
            assert_eq!(seen, wanted, "what sni-probe counted, and what it must");
        }
        result.unwrap();
    }

    /// As [`Expected::check_metrics`]; then stops sni-probe, which drains its buffer first, so that
    /// an event too many would show, and checks every event.
    pub(crate) fn check(&self, probe: &mut Probe<'_>) {
        self.check_on(GATEWAY_INTERFACE, probe);
    }

    /// As [`Expected::check`], of a probe on this interface.
    pub(crate) fn check_on(&self, interface: &str, probe: &mut Probe<'_>) {
        self.check_metrics(probe);
        assert_eq!(probe.stop().unwrap(), 0, "{}", probe.service().stderr());
        let mut events = probe.events().unwrap();
        for hello in &self.hellos {
            let Some(at) = events.iter().position(|event| hello.is_seen_in(event)) else {
                panic!("no event of {hello:#?}\namong {events:#?}");
            };
            hello.check_event(&events.remove(at), interface);
        }
        assert!(events.is_empty(), "too many events: {events:#?}");
    }
}

fn compared_series(metrics: &Metrics) -> Series {
    let samples = metrics.samples().iter();
    let compared = samples.filter(|sample| sample.value != 0.0 && FAMILIES.contains(&sample.name.as_str()));
    let show_sample = |sample: &Sample| {
        let labels = sample.labels.iter().map(|(name, value)| match name.as_str() {
            "outcome" => ("outcome", as_of_0_1_0(value)),
            name => (name, value.as_str()),
        });
        show(&sample.name, labels)
    };
    let mut series = Series::new();
    for sample in compared {
        *series.entry(show_sample(sample)).or_default() += sample.value;
    }
    series
}

/// How many handshakes with these labels the gateway answered with a ServerHello.
pub(crate) fn answered(metrics: &Metrics, labels: &[(&str, &str)]) -> u64 {
    let count = |outcome| {
        let labels = [labels, &[("outcome", outcome)]].concat();
        metrics.count("sni_probe_handshakes_total", &labels)
    };
    ANSWERED_OUTCOMES.into_iter().map(count).sum()
}

/// A series with its labels in alphabetical order.
fn show<'a>(name: &str, labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut labels: Vec<String> = labels.map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    labels.sort();
    format!("{name}{{{}}}", labels.join(","))
}
