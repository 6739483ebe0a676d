#![expect(clippy::float_cmp, reason = "samples are floats, and counts are exact")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sni_probe_core::flow::{FlowKey, Timestamp};
use sni_probe_core::observation::{Hello, Sni};
use sni_probe_core::vocabulary::EvictionReason;

use super::*;

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

fn handshake(sni: Sni, outcome: Outcome, latency: Duration) -> Observation {
    Observation::Handshake(Box::new(Handshake {
        flow: flow(),
        ifindex: 2,
        proxied: None,
        time: Timestamp(0),
        hello: Hello { sni, ..Hello::default() },
        outcome,
        latency,
    }))
}

#[test]
fn closed_label_sets_exist_from_the_start_with_zero() {
    let samples = samples(&Metrics::new().unwrap());
    let families = [
        ("sni_probe_client_hellos_total", SniClass::ALL.len() * TlsVersion::ALL.len()),
        ("sni_probe_client_hello_features_total", Feature::ALL.len()),
        ("sni_probe_incomplete_client_hellos_total", IncompleteReason::ALL.len()),
        ("sni_probe_handshakes_total", SniClass::ALL.len() * OutcomeClass::ALL.len()),
        ("sni_probe_handshake_outcome_seconds_count", SniClass::ALL.len() * OutcomeClass::ALL.len()),
        (
            "sni_probe_alerts_total",
            SniClass::ALL.len() * AlertDescription::ALL.len() * AlertSender::ALL.len(),
        ),
        ("sni_probe_non_tls_connections_total", NonTls::ALL.len()),
        ("sni_probe_unclassified_flows_total", IncompleteReason::ALL.len()),
        ("sni_probe_flow_evictions_total", EvictionReason::ALL.len() + 2),
        ("sni_probe_events_lost_total", 4),
        ("sni_probe_packets_skipped_total", 8),
        ("sni_probe_evidence_lost_total", EvidenceLoss::ALL.len()),
    ];
    for (name, count) in families {
        let prefix = format!("{name}{{");
        let series: Vec<_> = samples.iter().filter(|(series, _)| series.starts_with(&prefix)).collect();
        assert_eq!(series.len(), count, "{name}");
        assert!(series.iter().all(|(_, value)| **value == 0.0), "{name}");
    }
    for name in ["sni_probe_event_lines_dropped_total", "sni_probe_flows", "sni_probe_flows_capacity"] {
        assert_eq!(samples[name], 0.0, "{name}");
    }
}

#[test]
fn a_hello_counts_itself_its_features_and_why_it_is_incomplete() {
    let metrics = Metrics::new().unwrap();
    let mut features = Features::default();
    features.insert(Feature::PostQuantum);
    features.insert(Feature::MultiSegment);
    let whole = Observation::ClientHello {
        sni: SniClass::Absent,
        version: TlsVersion::Tls13,
        features,
        incomplete: None,
    };
    expect(
        &added(&metrics, |metrics| metrics.observe(&whole)),
        &[
            (r#"sni_probe_client_hellos_total{sni="absent",tls_version="1.3"}"#, 1.0),
            (r#"sni_probe_client_hello_features_total{feature="post_quantum"}"#, 1.0),
            (r#"sni_probe_client_hello_features_total{feature="multi_segment"}"#, 1.0),
        ],
    );
    let incomplete = Observation::ClientHello {
        sni: SniClass::Unknown,
        version: TlsVersion::Unknown,
        features: Features::default(),
        incomplete: Some(IncompleteReason::NotSeen),
    };
    expect(
        &added(&metrics, |metrics| metrics.observe(&incomplete)),
        &[
            (r#"sni_probe_client_hellos_total{sni="unknown",tls_version="unknown"}"#, 1.0),
            (r#"sni_probe_incomplete_client_hellos_total{reason="not_seen"}"#, 1.0),
        ],
    );
}

#[test]
fn a_handshake_counts_in_one_outcome_with_its_time() {
    let metrics = Metrics::new().unwrap();
    let reset = handshake(Sni::Absent, Outcome::ResetByGateway, Duration::from_micros(62_500));
    expect(
        &added(&metrics, |metrics| metrics.observe(&reset)),
        &[
            (r#"sni_probe_handshakes_total{outcome="reset_by_gateway",sni="absent"}"#, 1.0),
            (r#"sni_probe_handshake_outcome_seconds_count{outcome="reset_by_gateway",sni="absent"}"#, 1.0),
            (r#"sni_probe_handshake_outcome_seconds_sum{outcome="reset_by_gateway",sni="absent"}"#, 0.0625),
        ],
    );
}

#[test]
fn an_alert_counts_with_description_and_sender() {
    let metrics = Metrics::new().unwrap();
    let outcome =
        Outcome::Alert { description: AlertDescription::UnrecognizedName, sender: AlertSender::Gateway };
    let alert = handshake(Sni::Present("a.example".to_owned()), outcome, Duration::ZERO);
    expect(
        &added(&metrics, |metrics| metrics.observe(&alert)),
        &[
            (r#"sni_probe_handshakes_total{outcome="alert",sni="present"}"#, 1.0),
            (r#"sni_probe_handshake_outcome_seconds_count{outcome="alert",sni="present"}"#, 1.0),
            (
                r#"sni_probe_alerts_total{description="unrecognized_name",sender="gateway",sni="present"}"#,
                1.0,
            ),
        ],
    );
}

#[test]
fn a_retry_counts_with_the_handshake() {
    let metrics = Metrics::new().unwrap();
    let Observation::Handshake(mut handshake) = handshake(Sni::Absent, Outcome::ServerHello, Duration::ZERO)
    else {
        panic!()
    };
    handshake.hello.features.insert(Feature::PostQuantum);
    handshake.hello.features.insert(Feature::HelloRetry);
    let change = added(&metrics, |metrics| metrics.observe(&Observation::Handshake(handshake)));
    assert_eq!(change[r#"sni_probe_client_hello_features_total{feature="hello_retry"}"#], 1.0);
    assert_eq!(change.len(), 3, "the others were counted with the hello");
}

#[test]
fn every_handshake_counts_in_the_series_of_its_labels() {
    let metrics = Metrics::new().unwrap();
    let names =
        [Sni::Present(String::new()), Sni::Absent, Sni::Empty, Sni::Invalid(String::new()), Sni::Unknown];
    let description = AlertDescription::DecodeError;
    let outcomes = [
        Outcome::ServerHello,
        Outcome::Alert { description, sender: AlertSender::Client },
        Outcome::ResetByGateway,
        Outcome::ResetByClient,
        Outcome::ClosedByGateway,
        Outcome::ClosedByClient,
        Outcome::Timeout,
        Outcome::Evicted,
        Outcome::Unfinished,
    ];
    for sni in &names {
        for outcome in outcomes {
            let observation = handshake(sni.clone(), outcome, Duration::ZERO);
            let change = added(&metrics, |metrics| metrics.observe(&observation));
            let class = sni.class();
            let labels = format!(r#"{{outcome="{}",sni="{class}"}}"#, outcome.class());
            assert_eq!(change[&format!("sni_probe_handshakes_total{labels}")], 1.0);
            assert_eq!(change[&format!("sni_probe_handshake_outcome_seconds_count{labels}")], 1.0);
            let alerts = usize::from(matches!(outcome, Outcome::Alert { .. }));
            assert_eq!(change.len(), 2 + alerts);
        }
    }
}

#[test]
fn what_is_no_hello_has_its_own_counters() {
    let metrics = Metrics::new().unwrap();
    let non_tls = Observation::NonTls { flow: flow(), time: Timestamp(0), protocol: NonTls::Http };
    expect(
        &added(&metrics, |metrics| metrics.observe(&non_tls)),
        &[(r#"sni_probe_non_tls_connections_total{protocol="http"}"#, 1.0)],
    );
    let unclassified = Observation::Unclassified { flow: flow(), reason: IncompleteReason::Closed };
    expect(
        &added(&metrics, |metrics| metrics.observe(&unclassified)),
        &[(r#"sni_probe_unclassified_flows_total{reason="closed"}"#, 1.0)],
    );
    for (reason, series) in [
        (EvictionReason::Capacity, r#"sni_probe_flow_evictions_total{reason="capacity"}"#),
        (EvictionReason::PortReuse, r#"sni_probe_flow_evictions_total{reason="port_reuse"}"#),
    ] {
        let evicted = Observation::Evicted { reason };
        expect(&added(&metrics, |metrics| metrics.observe(&evicted)), &[(series, 1.0)]);
    }
}

#[test]
fn counters_of_the_datapath_have_a_series_each() {
    let metrics = Metrics::new().unwrap();
    let mut seen = BTreeSet::new();
    for counter in Counter::ALL {
        let change = added(&metrics, |metrics| metrics.add(counter, 3));
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
        &added(&metrics, |metrics| metrics.event_lines_dropped(7)),
        &[("sni_probe_event_lines_dropped_total", 7.0)],
    );
}

#[test]
fn flows_are_gauges() {
    let metrics = Metrics::new().unwrap();
    metrics.set_flows(12, 65_536);
    metrics.set_flows(11, 65_536);
    let samples = samples(&metrics);
    assert_eq!(samples["sni_probe_flows"], 11.0);
    assert_eq!(samples["sni_probe_flows_capacity"], 65_536.0);
}

#[test]
fn evidence_is_counted() {
    let metrics = Metrics::new().unwrap();
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
    let metrics = Metrics::new().unwrap();
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
fn the_process_tells_of_itself() {
    let samples = samples(&Metrics::new().unwrap());
    assert!(samples["process_resident_memory_bytes"] > 0.0);
    assert!(samples["process_open_fds"] > 0.0);
    let version = env!("CARGO_PKG_VERSION");
    let build_info = samples.iter().find(|(series, _)| series.starts_with("sni_probe_build_info{")).unwrap();
    assert!(build_info.0.contains(&format!(r#"version="{version}""#)));
    assert_eq!(*build_info.1, 1.0);
}
