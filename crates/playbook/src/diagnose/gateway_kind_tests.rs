use std::collections::BTreeMap;

use sni_probe_model::facts::{
    Certainty as FactCertainty, Fact, FactsReport, GatewayFacts, KnownGateway, ShapeCount,
};

use super::super::wire::WireFacts;
use super::*;
use crate::check::report::{Attempt, CheckClient, CheckVerdict, Offered};
use crate::logs::report::Counted;
use crate::routes::report::Route;

fn wire(shape: &str, gateways: &[&str]) -> WireFacts {
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
    WireFacts { refusals, ..WireFacts::default() }
}

fn routes(kinds: &[&str], skipped: &[(&str, usize)]) -> RoutesReport {
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
    RoutesReport { routes: kinds.iter().map(route).collect(), skipped, ..RoutesReport::default() }
}

fn logs(entries: u64, no_filter_chain: u64, programs: &[(&str, u64)]) -> LogsReport {
    let counted = |&(name, count): &(&str, u64)| Counted { name: name.to_owned(), count };
    let by_program = programs.iter().map(counted).collect();
    LogsReport { entries, no_filter_chain, by_program, ..LogsReport::default() }
}

/// An attempt with the name, without SNI, and with an unknown name.
fn check(named: AttemptOutcome, other: AttemptOutcome, detail: &str) -> CheckReport {
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
    CheckReport {
        target: "HOST_NAME".to_owned(),
        address: None,
        attempts: kinds.map(attempt).to_vec(),
        offered: Offered::default(),
        verdict: CheckVerdict::Unknown,
        sentence: String::new(),
    }
}

/// The candidates as text: `Envoy certain, nginx possible`.
fn text(inputs: &Inputs) -> String {
    let candidates = candidates(inputs);
    assert!(candidates.iter().all(|candidate| !candidate.evidence.is_empty()), "{candidates:?}");
    let one = |candidate: &Candidate| format!("{} {}", candidate.software, candidate.certainty.as_str());
    candidates.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Inputs with this part.
trait Part {
    fn put(self, inputs: &mut Inputs);
}

impl Part for WireFacts {
    fn put(self, inputs: &mut Inputs) {
        inputs.wire = Some(self);
    }
}

impl Part for RoutesReport {
    fn put(self, inputs: &mut Inputs) {
        inputs.routes = Some(self);
    }
}

impl Part for LogsReport {
    fn put(self, inputs: &mut Inputs) {
        inputs.logs = Some(self);
    }
}

impl Part for CheckReport {
    fn put(self, inputs: &mut Inputs) {
        inputs.check = Some(self);
    }
}

fn one(part: impl Part) -> String {
    let mut inputs = Inputs::default();
    part.put(&mut inputs);
    text(&inputs)
}

fn two(part: impl Part, other: impl Part) -> String {
    let mut inputs = Inputs::default();
    part.put(&mut inputs);
    other.put(&mut inputs);
    text(&inputs)
}

const SERVED: AttemptOutcome = AttemptOutcome::Handshake;

#[test]
fn a_shape_names_gateways() {
    assert_eq!(text(&Inputs::default()), "");
    for (shape, gateways, expected) in [
        ("RST", &["Envoy"][..], "Envoy likely"),
        ("RST", &["Envoy", "nginx stream"], "Envoy possible, nginx stream possible"),
        ("FIN", &["Envoy behind HAProxy"], "Envoy behind HAProxy likely"),
        ("alert 99", &[], ""),
    ] {
        assert_eq!(one(wire(shape, gateways)), expected);
    }
}

#[test]
fn routes_name_gateways() {
    for (kinds, skipped, expected) in [
        (&["ApigeeRoute", "Gateway (Istio)"][..], &[][..], "Apigee certain"),
        (&["Gateway (Istio)"], &[], "Istio certain"),
        (&["ListenerSet (Gateway API)"], &[], "Gateway API certain"),
        (&[], &[("HTTPProxy", 2)], "Contour likely"),
        (&[], &[("Deployment", 2)], ""),
    ] {
        assert_eq!(one(routes(kinds, skipped)), expected);
    }
}

#[test]
fn logs_name_gateways() {
    for (entries, no_filter_chain, programs, expected) in [
        (9, 4, &[][..], "Envoy certain"),
        // An access log without Envoy's words may be of any program.
        (9, 0, &[], "Envoy likely"),
        (9, 9, &[("nginx", 9)], "nginx certain"),
        (9, 9, &[("Go", 9)], "Go likely"),
        (9, 9, &[("Envoy's debug log", 9)], "Envoy certain"),
        (9, 9, &[("HAProxy", 5), ("nginx", 4)], "HAProxy likely, nginx likely"),
        (0, 0, &[], ""),
    ] {
        assert_eq!(one(logs(entries, no_filter_chain, programs)), expected);
    }
}

#[test]
fn a_check_names_gateways() {
    use AttemptOutcome::{Alert, RejectedByHttp, Reset, Timeout};
    for (named, other, detail, expected) in [
        (SERVED, RejectedByHttp, "421", "Apache httpd likely"),
        (SERVED, RejectedByHttp, "403", "Apache httpd possible"),
        (SERVED, RejectedByHttp, "400", "Tomcat possible, Jetty possible"),
        (SERVED, Alert, "access_denied", "rustls likely"),
        (SERVED, Alert, "illegal_parameter", "Erlang/OTP likely"),
        (SERVED, Alert, "unrecognized_name", "nginx possible, HAProxy possible, Go crypto/tls possible"),
        // Whatever the name is: not about names.
        (Reset, Reset, "", ""),
        (SERVED, SERVED, "", ""),
        (SERVED, Timeout, "", ""),
    ] {
        assert_eq!(one(check(named, other, detail)), expected);
    }
}

#[test]
fn inputs_that_agree_are_one_gateway_and_others_lower_it() {
    let istio = || routes(&["Gateway (Istio)"], &[]);
    let apigee = || routes(&["ApigeeRoute"], &[]);
    let gateway_api = || routes(&["Gateway (Gateway API)"], &[]);
    let of_nginx = || logs(9, 9, &[("nginx", 9)]);
    for (seen, expected) in [
        (two(wire("RST", &["Envoy", "nginx stream"]), apigee()), "Apigee certain, nginx stream possible"),
        (two(wire("FIN", &["Envoy behind HAProxy"]), apigee()), "Apigee certain"),
        (two(wire("alert 80", &["Caddy"]), apigee()), "Apigee likely, Caddy possible"),
        (two(wire("alert 80", &["Caddy"]), gateway_api()), "Gateway API certain"),
        (two(istio(), logs(9, 4, &[])), "Istio certain"),
        (two(istio(), of_nginx()), "Istio likely, nginx likely"),
        (two(gateway_api(), of_nginx()), "Gateway API certain, nginx certain"),
        (
            two(of_nginx(), check(SERVED, AttemptOutcome::Alert, "unrecognized_name")),
            "nginx certain, HAProxy possible, Go crypto/tls possible",
        ),
        (
            two(of_nginx(), check(SERVED, AttemptOutcome::Alert, "access_denied")),
            "nginx likely, rustls possible",
        ),
    ] {
        assert_eq!(seen, expected);
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
        let inputs = Inputs { wire: Some(wire("RST", &all[number..])), ..Inputs::default() };
        let found = candidates(&inputs);
        assert!(!found.is_empty() && found.len() <= MAX_CANDIDATES, "{number}");
        assert!(found.iter().all(|candidate| candidate.certainty < Certainty::Certain), "{found:?}");
    }
}
