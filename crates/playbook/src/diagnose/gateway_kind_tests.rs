use std::collections::BTreeMap;

use sni_probe_model::facts::{
    Certainty as FactCertainty, Fact, FactsReport, GatewayFacts, KnownGateway, ShapeCount,
};

use super::super::wire::WireFacts;
use super::*;
use crate::check::report::{Attempt, CheckClient, CheckVerdict, Offered};
use crate::logs::report::Counted;
use crate::routes::report::Route;

fn wire(shape: &str, gateways: &[&str]) -> Option<WireFacts> {
    let known = |software: &&str| KnownGateway {
        software: (*software).to_owned(),
        versions: "1".to_owned(),
        configuration: "so configured".to_owned(),
    };
    let shapes = vec![ShapeCount { shape: shape.to_owned(), count: 7 }];
    let detail = Detail::RefusalShape {
        without_sni: shapes,
        unknown_names: Vec::new(),
        gateways: gateways.iter().map(known).collect(),
    };
    let fact = Fact {
        detail,
        certainty: FactCertainty::Fact,
        refused: 7,
        served: 0,
        refused_otherwise: 0,
        served_too: 0,
        alternatives: Vec::new(),
        sentence: String::new(),
    };
    let of_gateway = GatewayFacts {
        gateway: "192.0.2.1:443".to_owned(),
        refused: 7,
        served: 0,
        failed: 0,
        facts: vec![fact],
        properties: Vec::new(),
    };
    let refusals = FactsReport { gateways: vec![of_gateway], ..FactsReport::default() };
    Some(WireFacts { refusals, ..WireFacts::default() })
}

fn routes(kinds: &[&str], skipped: &[(&str, usize)]) -> Option<RoutesReport> {
    let route = |kind: &&str| Route {
        kind: (*kind).to_owned(),
        namespace: "gateways".to_owned(),
        name: "one".to_owned(),
        hostnames: Vec::new(),
        wildcard: false,
        enable_non_sni_client: None,
        selector: Vec::new(),
        credential: None,
        tls_mode: None,
        min_tls_version: None,
        ports: Vec::new(),
        additional_gateways: Vec::new(),
        state: None,
    };
    let skipped: BTreeMap<String, usize> = skipped.iter().map(|(kind, n)| ((*kind).to_owned(), *n)).collect();
    Some(RoutesReport { routes: kinds.iter().map(route).collect(), skipped, ..RoutesReport::default() })
}

fn logs(entries: u64, no_filter_chain: u64, programs: &[(&str, u64)]) -> Option<LogsReport> {
    let counted = |&(name, count): &(&str, u64)| Counted { name: name.to_owned(), count };
    let by_program = programs.iter().map(counted).collect();
    Some(LogsReport { entries, no_filter_chain, by_program, ..LogsReport::default() })
}

/// An attempt with the name, without SNI, and with an unknown name.
fn check(named: AttemptOutcome, other: AttemptOutcome, detail: &str) -> Option<CheckReport> {
    let kinds = [AttemptKind::Named, AttemptKind::WithoutSni, AttemptKind::UnknownName];
    let attempt = |kind: AttemptKind| {
        let outcome = if kind == AttemptKind::Named { named } else { other };
        Attempt {
            kind,
            client: CheckClient::Rustls,
            server_name: None,
            connected: true,
            outcome,
            http_status: (outcome == AttemptOutcome::RejectedByHttp).then(|| detail.parse().unwrap()),
            alert: (outcome == AttemptOutcome::Alert).then(|| detail.to_owned()),
            tls_version: None,
            cipher: None,
            certificate: None,
            latency_us: 1,
            error: None,
        }
    };
    Some(CheckReport {
        target: "HOST_NAME".to_owned(),
        address: None,
        attempts: kinds.map(attempt).to_vec(),
        offered: Offered::default(),
        verdict: CheckVerdict::Unknown,
        sentence: String::new(),
    })
}

/// The candidates as text: `Envoy certain, nginx possible`.
fn text(inputs: &Inputs) -> String {
    let candidates = candidates(inputs);
    assert!(candidates.iter().all(|candidate| !candidate.evidence.is_empty()), "{candidates:?}");
    let one = |candidate: &Candidate| format!("{} {}", candidate.software, candidate.certainty.as_str());
    candidates.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn inputs_name_the_gateway() {
    let of = |wire, routes, logs, check| Inputs { wire, routes, logs, check, notes: Vec::new() };
    let served = AttemptOutcome::Handshake;
    for (inputs, expected) in [
        (Inputs::default(), ""),
        // A shape alone.
        (of(wire("RST", &["Envoy"]), None, None, None), "Envoy likely"),
        (
            of(wire("RST", &["Envoy", "nginx stream"]), None, None, None),
            "Envoy possible, nginx stream possible",
        ),
        (of(wire("FIN", &["Envoy behind HAProxy"]), None, None, None), "Envoy behind HAProxy likely"),
        (of(wire("alert 99", &[]), None, None, None), ""),
        // Routes.
        (of(None, routes(&["ApigeeRoute", "Gateway (Istio)"], &[]), None, None), "Apigee certain"),
        (of(None, routes(&["Gateway (Istio)"], &[]), None, None), "Istio certain"),
        (of(None, routes(&["ListenerSet (Gateway API)"], &[]), None, None), "Gateway API certain"),
        (of(None, routes(&[], &[("HTTPProxy", 2)]), None, None), "Contour likely"),
        (of(None, routes(&[], &[("Deployment", 2)]), None, None), ""),
        // Routes and a shape that is theirs, and one that is not.
        (
            of(wire("RST", &["Envoy", "nginx stream"]), routes(&["ApigeeRoute"], &[]), None, None),
            "Apigee certain, nginx stream possible",
        ),
        (
            of(wire("FIN", &["Envoy behind HAProxy"]), routes(&["ApigeeRoute"], &[]), None, None),
            "Apigee certain",
        ),
        (
            of(wire("alert 80", &["Caddy"]), routes(&["ApigeeRoute"], &[]), None, None),
            "Apigee likely, Caddy possible",
        ),
        (
            of(wire("alert 80", &["Caddy"]), routes(&["Gateway (Gateway API)"], &[]), None, None),
            "Gateway API certain",
        ),
        // Logs.
        (of(None, None, logs(9, 4, &[]), None), "Envoy certain"),
        (of(None, None, logs(9, 0, &[]), None), "Envoy likely"),
        (of(None, None, logs(9, 9, &[("nginx", 9)]), None), "nginx certain"),
        (of(None, None, logs(9, 9, &[("Go", 9)]), None), "Go likely"),
        (of(None, None, logs(9, 9, &[("Envoy's debug log", 9)]), None), "Envoy certain"),
        (of(None, None, logs(9, 9, &[("HAProxy", 5), ("nginx", 4)]), None), "HAProxy likely, nginx likely"),
        (of(None, routes(&["Gateway (Istio)"], &[]), logs(9, 4, &[]), None), "Istio certain"),
        (
            of(None, routes(&["Gateway (Istio)"], &[]), logs(9, 4, &[("nginx", 9)]), None),
            "Istio likely, nginx likely",
        ),
        (
            of(None, routes(&["Gateway (Gateway API)"], &[]), logs(9, 4, &[("nginx", 9)]), None),
            "Gateway API certain, nginx certain",
        ),
        (of(None, None, logs(0, 0, &[]), None), ""),
        // The check.
        (of(None, None, None, check(served, AttemptOutcome::RejectedByHttp, "421")), "Apache httpd likely"),
        (of(None, None, None, check(served, AttemptOutcome::RejectedByHttp, "403")), "Apache httpd possible"),
        (
            of(None, None, None, check(served, AttemptOutcome::RejectedByHttp, "400")),
            "Tomcat possible, Jetty possible",
        ),
        (of(None, None, None, check(served, AttemptOutcome::Alert, "access_denied")), "rustls likely"),
        (
            of(None, None, None, check(served, AttemptOutcome::Alert, "illegal_parameter")),
            "Erlang/OTP likely",
        ),
        (
            of(None, None, None, check(served, AttemptOutcome::Alert, "unrecognized_name")),
            "nginx possible, HAProxy possible, Go crypto/tls possible",
        ),
        (
            of(
                None,
                None,
                logs(9, 9, &[("nginx", 9)]),
                check(served, AttemptOutcome::Alert, "unrecognized_name"),
            ),
            "nginx certain, HAProxy possible, Go crypto/tls possible",
        ),
        // Whatever the name is: not about names.
        (of(None, None, None, check(AttemptOutcome::Reset, AttemptOutcome::Reset, "")), ""),
        (of(None, None, None, check(served, served, "")), ""),
        (of(None, None, None, check(served, AttemptOutcome::Timeout, "")), ""),
    ] {
        assert_eq!(text(&inputs), expected, "{inputs:?}");
    }
}

/// Whatever the shape, and however many times it was seen, it makes no gateway certain.
#[test]
fn a_shape_makes_no_gateway_certain() {
    let all: Vec<&str> = SHAPES
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split('\t').next())
        .collect();
    assert!(all.len() > 30, "{}", all.len());
    for number in 0..all.len() {
        let inputs = Inputs { wire: wire("RST", &all[number..]), ..Inputs::default() };
        let found = candidates(&inputs);
        assert!(!found.is_empty() && found.len() <= MAX_CANDIDATES, "{number}");
        assert!(found.iter().all(|candidate| candidate.certainty < Certainty::Certain), "{found:?}");
    }
}
