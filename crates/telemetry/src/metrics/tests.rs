#![expect(clippy::float_cmp, reason = "samples are floats, and counts are exact")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sni_probe_core::clients::ClientsConfig;
use sni_probe_core::flow::{FlowKey, Place, Timestamp};
use sni_probe_core::observation::{AnswerDetails, Hello, Negotiated, Sni};
use sni_probe_core::vocabulary::{EvictionReason, NamedGroup};

use super::wait_end::WaitEnd;
use super::*;

fn metrics() -> Metrics {
    with_clients().0
}

/// Metrics, and the books of which some are made.
fn with_clients() -> (Metrics, Arc<Mutex<Clients>>) {
    let clients = Arc::new(Mutex::new(Clients::new(ClientsConfig { top: 1, ..Default::default() })));
    (Metrics::new(Arc::clone(&clients), None).unwrap(), clients)
}

/// Every sample of a scrape: `name{labels}` to value.
fn samples(metrics: &Metrics) -> BTreeMap<String, f64> {
    let text = metrics.encode().unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(series, value)| (series.to_owned(), value.parse().unwrap()))
        .collect()
}

/// What `change` adds to which series, the process's own and the buckets apart.
fn added(metrics: &Metrics, change: impl FnOnce(&Metrics)) -> BTreeMap<String, f64> {
    let before = samples(metrics);
    change(metrics);
    samples(metrics)
        .into_iter()
        .filter(|(series, _)| !series.starts_with("process_") && !series.contains("_bucket{"))
        .map(|(series, value)| {
            let change = value - before.get(&series).copied().unwrap_or(0.0);
            (series, change)
        })
        .filter(|(_, change)| *change != 0.0)
        .collect()
}

fn expect(actual: &BTreeMap<String, f64>, expected: &[(&str, f64)]) {
    let expected: BTreeMap<String, f64> =
        expected.iter().map(|&(series, value)| (series.to_owned(), value)).collect();
    assert_eq!(*actual, expected);
}

fn flow() -> FlowKey {
    FlowKey { client: "192.0.2.7:50000".parse().unwrap(), gateway: "192.0.2.1:443".parse().unwrap() }
}

pub(super) fn handshake(sni: Sni, outcome: Outcome, latency: Duration) -> Observation {
    Observation::Handshake(Box::new(Handshake {
        flow: flow(),
        place: Place(2),
        proxied: None,
        time: Timestamp(0),
        hello: Hello { sni, ..Hello::default() },
        outcome,
        latency,
        answer: AnswerDetails::default(),
    }))
}

#[test]
fn closed_label_sets_exist_from_the_start_with_zero() {
    let samples = samples(&metrics());
    let families = [
        ("sni_probe_client_hellos_total", 2 * SniClass::ALL.len() * TlsVersion::ALL.len()),
        ("sni_probe_client_hello_features_total", Feature::ALL.len()),
        ("sni_probe_incomplete_client_hellos_total", IncompleteReason::ALL.len()),
        ("sni_probe_handshakes_total", 2 * SniClass::ALL.len() * OutcomeClass::ALL.len()),
        // Of alerts there are only those that came: they have their description.
        ("sni_probe_client_handshakes_total", 2 * 3 * (OutcomeClass::ALL.len() - 1)),
        ("sni_probe_fingerprint_handshakes_total", 3 * (OutcomeClass::ALL.len() - 1)),
        ("sni_probe_server_name_handshakes_total", 3),
        ("sni_probe_event_lines_dropped_total", 4),
        // The five outcomes after a ServerHello share a series.
        ("sni_probe_handshake_outcome_seconds_count", SniClass::ALL.len() * (OutcomeClass::ALL.len() - 4)),
        // Only TLS 1.3 has groups.
        ("sni_probe_negotiated_total", NamedGroup::ALL.len() + TlsVersion::ALL.len() - 1),
        (
            "sni_probe_alerts_total",
            SniClass::ALL.len() * AlertDescription::ALL.len() * AlertSender::ALL.len(),
        ),
        ("sni_probe_non_tls_connections_total", NonTls::ALL.len()),
        ("sni_probe_unclassified_flows_total", IncompleteReason::ALL.len()),
        ("sni_probe_flow_evictions_total", FlowEviction::ALL.len()),
        ("sni_probe_events_lost_total", 4),
        ("sni_probe_packets_skipped_total", 10),
        ("sni_probe_evidence_lost_total", EvidenceLoss::ALL.len()),
    ];
    for (name, count) in families {
        let prefix = format!("{name}{{");
        let series: Vec<_> = samples.iter().filter(|(series, _)| series.starts_with(&prefix)).collect();
        assert_eq!(series.len(), count, "{name}");
        assert!(series.iter().all(|(_, value)| **value == 0.0), "{name}");
    }
    for name in ["sni_probe_clients_without_sni", "sni_probe_flows", "sni_probe_flows_capacity"] {
        assert_eq!(samples[name], 0.0, "{name}");
    }
}

#[test]
fn a_hello_counts_itself_its_features_and_why_it_is_incomplete() {
    let metrics = metrics();
    let mut features = Features::default();
    features.insert(Feature::PostQuantum);
    features.insert(Feature::MultiSegment);
    let whole = Observation::ClientHello {
        flow: flow(),
        proxied: None,
        sni: SniClass::Absent,
        version: TlsVersion::Tls13,
        features,
        incomplete: None,
    };
    expect(
        &added(&metrics, |metrics| metrics.observe(&whole, Parties::UNKNOWN)),
        &[
            (r#"sni_probe_client_hellos_total{sni="absent",source="other",tls_version="1.3"}"#, 1.0),
            (r#"sni_probe_client_hello_features_total{feature="post_quantum"}"#, 1.0),
            (r#"sni_probe_client_hello_features_total{feature="multi_segment"}"#, 1.0),
        ],
    );
    let incomplete = Observation::ClientHello {
        flow: flow(),
        proxied: None,
        sni: SniClass::Unknown,
        version: TlsVersion::Unknown,
        features: Features::default(),
        incomplete: Some(IncompleteReason::NotSeen),
    };
    expect(
        &added(&metrics, |metrics| metrics.observe(&incomplete, Parties::UNKNOWN)),
        &[
            (r#"sni_probe_client_hellos_total{sni="unknown",source="other",tls_version="unknown"}"#, 1.0),
            (r#"sni_probe_incomplete_client_hellos_total{reason="not_seen"}"#, 1.0),
        ],
    );
}

#[test]
fn a_handshake_counts_in_one_outcome_with_its_time() {
    let metrics = metrics();
    let reset = handshake(Sni::Absent, Outcome::ResetByGateway, Duration::from_micros(62_500));
    expect(
        &added(&metrics, |metrics| metrics.observe(&reset, Parties::UNKNOWN)),
        &[
            (r#"sni_probe_handshakes_total{outcome="reset_by_gateway",sni="absent",source="other"}"#, 1.0),
            (r#"sni_probe_handshake_outcome_seconds_count{outcome="reset_by_gateway",sni="absent"}"#, 1.0),
            (r#"sni_probe_handshake_outcome_seconds_sum{outcome="reset_by_gateway",sni="absent"}"#, 0.0625),
        ],
    );
}

#[test]
fn an_alert_counts_with_description_and_sender() {
    let metrics = metrics();
    let outcome =
        Outcome::Alert { description: AlertDescription::UnrecognizedName, sender: AlertSender::Gateway };
    let alert = handshake(Sni::Present("a.example".to_owned()), outcome, Duration::ZERO);
    expect(
        &added(&metrics, |metrics| metrics.observe(&alert, Parties::UNKNOWN)),
        &[
            (r#"sni_probe_handshakes_total{outcome="alert",sni="present",source="other"}"#, 1.0),
            (r#"sni_probe_handshake_outcome_seconds_count{outcome="alert",sni="present"}"#, 1.0),
            (
                r#"sni_probe_alerts_total{description="unrecognized_name",sender="gateway",sni="present"}"#,
                1.0,
            ),
        ],
    );
}

#[test]
fn what_the_gateway_chose_counts_with_the_handshake() {
    let metrics = metrics();
    let answered = |version, group| {
        let Observation::Handshake(mut handshake) =
            handshake(Sni::Absent, Outcome::Established, Duration::ZERO)
        else {
            panic!()
        };
        handshake.answer.negotiated = Some(Negotiated { version, cipher_suite: 0x1301, group });
        let change =
            added(&metrics, |metrics| metrics.observe(&Observation::Handshake(handshake), Parties::UNKNOWN));
        assert_eq!(change.len(), 2 + 1);
        change.into_keys().find(|series| series.starts_with("sni_probe_negotiated_total")).unwrap()
    };
    let series = |labels: &str| format!("sni_probe_negotiated_total{{{labels}}}");
    assert_eq!(
        answered(TlsVersion::Tls13, Some(0x11ec)),
        series(r#"group="x25519mlkem768",tls_version="1.3""#)
    );
    assert_eq!(answered(TlsVersion::Tls12, None), series(r#"group="none",tls_version="1.2""#));
}

#[test]
fn a_retry_counts_with_the_handshake() {
    let metrics = metrics();
    let Observation::Handshake(mut handshake) = handshake(Sni::Absent, Outcome::ServerHello, Duration::ZERO)
    else {
        panic!()
    };
    handshake.hello.features.insert(Feature::PostQuantum);
    handshake.hello.features.insert(Feature::HelloRetry);
    let change =
        added(&metrics, |metrics| metrics.observe(&Observation::Handshake(handshake), Parties::UNKNOWN));
    assert_eq!(change[r#"sni_probe_client_hello_features_total{feature="hello_retry"}"#], 1.0);
    assert_eq!(change.len(), 3, "the others were counted with the hello");
}

#[test]
fn every_handshake_counts_in_the_series_of_its_labels() {
    let metrics = metrics();
    let names =
        [Sni::Present(String::new()), Sni::Absent, Sni::Empty, Sni::Invalid(String::new()), Sni::Unknown];
    let description = AlertDescription::DecodeError;
    let alert = Some(description);
    let outcomes = [
        Outcome::ServerHello,
        Outcome::Established,
        Outcome::RejectedByClient { alert },
        Outcome::ClientCertificateRefused { alert },
        Outcome::RefusedAfterServerHello { alert },
        Outcome::Alert { description, sender: AlertSender::Client },
        Outcome::ResetByGateway,
        Outcome::ResetByClient,
        Outcome::ClosedByGateway,
        Outcome::ClosedByClient,
        Outcome::GatewayClosedFirst,
        Outcome::Timeout,
        Outcome::Evicted,
        Outcome::Unfinished,
    ];
    for sni in &names {
        for outcome in outcomes {
            let observation = handshake(sni.clone(), outcome, Duration::ZERO);
            let change = added(&metrics, |metrics| metrics.observe(&observation, Parties::UNKNOWN));
            let class = sni.class();
            let labels = format!(r#"outcome="{}",sni="{class}""#, outcome.class());
            assert_eq!(change[&format!(r#"sni_probe_handshakes_total{{{labels},source="other"}}"#)], 1.0);
            let labels = format!(r#"outcome="{}",sni="{class}""#, WaitEnd(class, outcome.class()).outcome());
            assert_eq!(change[&format!("sni_probe_handshake_outcome_seconds_count{{{labels}}}")], 1.0);
            let alerts = usize::from(matches!(outcome, Outcome::Alert { .. }));
            assert_eq!(change.len(), 2 + alerts);
        }
    }
}

#[test]
fn an_expected_source_and_a_named_gateway_are_labels() {
    let clients = Arc::new(Mutex::new(Clients::new(ClientsConfig::default())));
    let metrics = Metrics::new(clients, Some(&Names::fixed(&[]))).unwrap();
    let name = GatewayName { namespace: "apigee".into(), workload: "ingress".into() };
    let parties = Parties { source: ClientSource::Expected, gateway: Some(&name) };
    let reset = handshake(Sni::Absent, Outcome::ResetByGateway, Duration::ZERO);
    let change = added(&metrics, |metrics| metrics.observe(&reset, parties));
    let series = r#"sni_probe_handshakes_total{gateway="ingress",gateway_namespace="apigee",outcome="reset_by_gateway",sni="absent",source="expected"}"#;
    assert_eq!(change[series], 1.0);
}

/// The rates of clients add up to that of all: each handshake without SNI adds to one series of clients and to one of
/// fingerprints.
#[test]
fn clients_fingerprints_and_names_are_there_when_they_come_and_leave_nothing_behind() {
    let (metrics, clients) = with_clients();
    let book = |client: &str, sni: Sni, outcome| {
        let Observation::Handshake(mut handshake) = handshake(sni, outcome, Duration::ZERO) else { panic!() };
        handshake.flow.client.set_ip(client.parse().unwrap());
        clients.lock().unwrap().handshake(&handshake, Timestamp(0));
    };
    let alert = |sender| Outcome::Alert { description: AlertDescription::UnknownCa, sender };
    let change = added(&metrics, |_| {
        book("192.0.2.1", Sni::Absent, Outcome::ResetByGateway);
        book("192.0.2.1", Sni::Absent, Outcome::ResetByGateway);
        book("192.0.2.1", Sni::Absent, alert(AlertSender::Client));
        book("192.0.2.2", Sni::Empty, Outcome::Timeout);
        book("192.0.2.2", Sni::Present("a.example".to_owned()), Outcome::ClosedByGateway);
        book("192.0.2.2", Sni::Present("b.example".to_owned()), Outcome::ClosedByGateway);
        book("192.0.2.2", Sni::Present("b.example".to_owned()), alert(AlertSender::Gateway));
        book("192.0.2.2", Sni::Present("c.example".to_owned()), Outcome::ServerHello);
    });
    expect(
        &change,
        &[
            (
                r#"sni_probe_client_handshakes_total{client="192.0.2.1",outcome="reset_by_gateway",sni="absent"}"#,
                2.0,
            ),
            (
                r#"sni_probe_client_handshakes_total{client="192.0.2.1",outcome="alert",sender="client",sni="absent"}"#,
                1.0,
            ),
            (r#"sni_probe_client_handshakes_total{client="other",outcome="timeout",sni="empty"}"#, 1.0),
            (
                r#"sni_probe_fingerprint_handshakes_total{ja4="other",outcome="alert",sender="client",sni="absent"}"#,
                1.0,
            ),
            (
                r#"sni_probe_server_name_handshakes_total{description="unknown_ca",outcome="alert",server_name="<other>"}"#,
                1.0,
            ),
            (
                r#"sni_probe_fingerprint_handshakes_total{ja4="other",outcome="reset_by_gateway",sni="absent"}"#,
                2.0,
            ),
            (r#"sni_probe_fingerprint_handshakes_total{ja4="other",outcome="timeout",sni="empty"}"#, 1.0),
            (
                r#"sni_probe_server_name_handshakes_total{outcome="closed_by_gateway",server_name="a.example"}"#,
                1.0,
            ),
            (
                r#"sni_probe_server_name_handshakes_total{outcome="closed_by_gateway",server_name="<other>"}"#,
                1.0,
            ),
            (
                r#"sni_probe_client_info{client="192.0.2.1",gateway_address="192.0.2.1:443",ja4="",likely=""}"#,
                1.0,
            ),
            ("sni_probe_clients_without_sni", 2.0),
            ("sni_probe_clients_refused", 1.0),
        ],
    );
    clients.lock().unwrap().expire(Timestamp(u64::MAX));
    let left = samples(&metrics);
    assert!(!left.keys().any(|series| series.contains("192.0.2.1") || series.contains("a.example")));
    let other =
        r#"sni_probe_client_handshakes_total{client="other",outcome="reset_by_gateway",sni="absent"}"#;
    assert_eq!(left[other], 0.0, "what a client had is not poured into others");
}

#[test]
fn what_was_not_seen_is_listed() {
    let metrics = metrics();
    assert!(metrics.not_seen().is_empty());
    metrics.add(Counter::LostRingFull, 0);
    assert_eq!(metrics.ring_used_bytes_max.get(), 0);
    metrics.add(Counter::LostRingFull, 3);
    assert_eq!(metrics.ring_used_bytes_max.get(), i64::from(RING_BYTES), "it was full");
    metrics.event_lines_dropped(DroppedLines { rate_limit: 8, ..Default::default() });
    for incomplete in [IncompleteReason::Truncated, IncompleteReason::Closed] {
        let hello = Observation::ClientHello {
            flow: flow(),
            proxied: None,
            sni: SniClass::Unknown,
            version: TlsVersion::Unknown,
            features: Features::default(),
            incomplete: Some(incomplete),
        };
        metrics.observe(&hello, Parties::UNKNOWN);
    }
    let listed: Vec<_> =
        metrics.not_seen().into_iter().map(|entry| (entry.metric, entry.reason, entry.count)).collect();
    let expected = [
        ("event_lines_dropped_total", "rate_limit", 8),
        ("events_lost_total", "ring_full", 3),
        ("incomplete_client_hellos_total", "truncated", 1),
    ];
    assert_eq!(listed, expected.map(|(metric, reason, n)| (metric.to_owned(), reason.to_owned(), n)));
}

#[test]
fn what_is_no_hello_has_its_own_counters() {
    let metrics = metrics();
    let non_tls = Observation::NonTls { flow: flow(), time: Timestamp(0), protocol: NonTls::Http };
    expect(
        &added(&metrics, |metrics| metrics.observe(&non_tls, Parties::UNKNOWN)),
        &[(r#"sni_probe_non_tls_connections_total{protocol="http"}"#, 1.0)],
    );
    let unclassified = Observation::Unclassified { flow: flow(), reason: IncompleteReason::Closed };
    expect(
        &added(&metrics, |metrics| metrics.observe(&unclassified, Parties::UNKNOWN)),
        &[(r#"sni_probe_unclassified_flows_total{reason="closed"}"#, 1.0)],
    );
    for (reason, series) in [
        (EvictionReason::Capacity, r#"sni_probe_flow_evictions_total{reason="capacity"}"#),
        (EvictionReason::PortReuse, r#"sni_probe_flow_evictions_total{reason="port_reuse"}"#),
    ] {
        let evicted = Observation::Evicted { reason };
        expect(&added(&metrics, |metrics| metrics.observe(&evicted, Parties::UNKNOWN)), &[(series, 1.0)]);
    }
}

#[test]
fn counters_of_the_datapath_have_a_series_each() {
    let metrics = metrics();
    let mut seen = BTreeSet::new();
    for counter in Counter::ALL {
        let mut change = added(&metrics, |metrics| metrics.add(counter, 3));
        let was_full = change.remove("sni_probe_ring_used_bytes_max");
        assert_eq!(was_full.is_some(), counter == Counter::LostRingFull);
        assert_eq!(change.values().copied().collect::<Vec<_>>(), [3.0], "{counter:?}");
        seen.extend(change.into_keys());
    }
    assert_eq!(seen.len(), Counter::ALL.len());
    assert!(seen.contains(r#"sni_probe_events_lost_total{reason="ring_full"}"#));
    assert!(seen.contains(r#"sni_probe_flow_evictions_total{reason="slot_displaced"}"#));
    assert!(seen.contains(r#"sni_probe_packets_skipped_total{reason="vlan_tags"}"#));
    expect(
        &added(&metrics, Metrics::record_invalid),
        &[(r#"sni_probe_events_lost_total{reason="invalid_record"}"#, 1.0)],
    );
    expect(
        &added(&metrics, |metrics| {
            metrics.event_lines_dropped(DroppedLines {
                slow_reader: 7,
                rate_limit: 8,
                write_failed: 9,
                closed: 10,
            });
        }),
        &[
            (r#"sni_probe_event_lines_dropped_total{reason="slow_reader"}"#, 7.0),
            (r#"sni_probe_event_lines_dropped_total{reason="rate_limit"}"#, 8.0),
            (r#"sni_probe_event_lines_dropped_total{reason="write_failed"}"#, 9.0),
            (r#"sni_probe_event_lines_dropped_total{reason="closed"}"#, 10.0),
        ],
    );
}

#[test]
fn moves_of_the_default_route_are_counted_from_zero() {
    let metrics = metrics();
    assert_eq!(samples(&metrics)["sni_probe_default_route_changes_total"], 0.0);
    expect(&added(&metrics, Metrics::default_route_moved), &[("sni_probe_default_route_changes_total", 1.0)]);
}

#[test]
fn flows_are_gauges() {
    let metrics = metrics();
    metrics.set_flows(12, 65_536);
    metrics.set_flows(11, 65_536);
    let samples = samples(&metrics);
    assert_eq!(samples["sni_probe_flows"], 11.0);
    assert_eq!(samples["sni_probe_flows_capacity"], 65_536.0);
}

#[test]
fn evidence_is_counted() {
    let metrics = metrics();
    metrics.set_evidence(100, 234_567);
    let samples = samples(&metrics);
    assert_eq!(samples["sni_probe_evidence_files"], 100.0);
    assert_eq!(samples["sni_probe_evidence_bytes"], 234_567.0);
    for &reason in EvidenceLoss::ALL {
        let series = format!(r#"sni_probe_evidence_lost_total{{reason="{}"}}"#, reason.as_str());
        expect(&added(&metrics, |metrics| metrics.evidence_lost(reason, 2)), &[(&series, 2.0)]);
    }
}

#[test]
fn an_interface_is_attached_in_one_mode_or_in_none() {
    let metrics = metrics();
    metrics.add_interface("eth0");
    let attached = |hook: &str, mode: &str| {
        let labels = format!(r#"{{hook="{hook}",interface="eth0",mode="{mode}"}}"#);
        samples(&metrics)[&format!("sni_probe_attached{labels}")]
    };
    assert_eq!(attached("ingress", "tcx"), 0.0);
    assert_eq!(attached("egress", "clsact"), 0.0);

    metrics.set_attached("eth0", Hook::Ingress, AttachMode::Tcx, true);
    assert_eq!(attached("ingress", "tcx"), 1.0);
    assert_eq!(attached("egress", "tcx"), 0.0);

    metrics.set_attached("eth0", Hook::Ingress, AttachMode::Clsact, true);
    assert_eq!(attached("ingress", "tcx"), 0.0);
    assert_eq!(attached("ingress", "clsact"), 1.0);

    metrics.set_attached("eth0", Hook::Ingress, AttachMode::Clsact, false);
    assert_eq!(attached("ingress", "clsact"), 0.0);

    expect(
        &added(&metrics, |metrics| metrics.interface_changed("eth0", InterfaceChange::Lost)),
        &[(r#"sni_probe_interface_changes_total{change="lost",interface="eth0"}"#, 1.0)],
    );
}

#[test]
fn an_interface_has_its_packets_as_long_as_it_is_there() {
    let metrics = metrics();
    metrics.add_interface("eth0");
    expect(
        &added(&metrics, |metrics| metrics.interface_carried("eth0", 3, 0)),
        &[(r#"sni_probe_interface_packets_total{direction="received",interface="eth0"}"#, 3.0)],
    );
    metrics.remove_interface("eth0");
    assert!(!samples(&metrics).keys().any(|series| series.contains("eth0")));
}

#[test]
fn the_process_tells_of_itself() {
    let samples = samples(&metrics());
    assert!(samples["process_resident_memory_bytes"] > 0.0);
    assert!(samples["process_open_fds"] > 0.0);
    let version = env!("CARGO_PKG_VERSION");
    let build_info = samples.iter().find(|(series, _)| series.starts_with("sni_probe_build_info{")).unwrap();
    assert!(build_info.0.contains(&format!(r#"version="{version}""#)));
    assert_eq!(*build_info.1, 1.0);
}
