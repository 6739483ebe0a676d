//! Each cause from facts with known answers. The whole text of each is in `testdata/`, as a user sees it;
//! `SNI_PROBE_BLESS=1 cargo test -p sni-probe diagnose` writes it anew.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use sni_probe_model::api::AlertCount;
use sni_probe_model::{AlertSender, Fate, Label as _, OutcomeClass, SniClass, Word};

use super::judge::is_routed;
use super::model::{Answer, Cause, Confidence, Diagnosis, Inputs};
use super::wire::{ClientFacts, Count, RefusalCount, WireFacts};
use super::{diagnose, show};
use crate::check::report::{
    Attempt, AttemptKind, AttemptOutcome, Certificate, CheckClient, CheckReport, CheckVerdict, Offered,
};
use crate::logs::report::{Counted, Joined, LogsReport};
use crate::routes::report::{Finding, FindingCode, Route, RoutesReport, VirtualHost};

const NAME: &str = "api-test.mydomain.com";

fn wire(counts: &[(&str, &str, u64)]) -> WireFacts {
    let count = |&(sni, outcome, handshakes): &(&str, &str, u64)| Count {
        sni: sni.into(),
        outcome: outcome.into(),
        handshakes,
    };
    WireFacts {
        source: "http://localhost:9917".to_owned(),
        counts: counts.iter().map(count).collect(),
        tls_versions: vec![("1.3".to_owned(), counts.iter().map(|(.., n)| n).sum())],
        ..WireFacts::default()
    }
}

/// 7 clients without SNI are reset, 5 with the name are served.
fn resets(client: &str) -> WireFacts {
    let mut wire = wire(&[("absent", "reset_by_gateway", 7), ("present", "server_hello", 5)]);
    let refusals = RefusalCount { handshakes: 7, refused: 7 };
    if super::wire::is_load_balancer(client) {
        wire.expected = refusals;
    }
    let likely = Some("Java 8 (JDK)".to_owned());
    wire.clients.push(ClientFacts { label: client.to_owned(), likely, refusals });
    wire
}

fn alert(sni: &str, description: &str) -> AlertCount {
    let sender = Word::Known(AlertSender::Gateway);
    AlertCount { sni: sni.into(), description: description.into(), sender, alerts: 3 }
}

fn route(name: &str, host: &str, enabled: Option<bool>, additional: &[&str]) -> Route {
    Route {
        kind: "ApigeeRoute".to_owned(),
        namespace: "apigee".to_owned(),
        name: name.to_owned(),
        hostnames: vec![host.to_owned()],
        wildcard: host == "*",
        enable_non_sni_client: enabled,
        selector: vec!["app=apigee-ingressgateway".to_owned()],
        credential: Some("dev-grp-cert".to_owned()),
        tls_mode: Some("SIMPLE".to_owned()),
        min_tls_version: None,
        ports: vec![443],
        additional_gateways: additional.iter().map(|name| (*name).to_owned()).collect(),
        state: Some("running".to_owned()),
    }
}

/// The page's environment group, with these routes and findings.
fn routes(
    wildcard: Option<bool>,
    listed: &[&str],
    findings: &[(FindingCode, &str, &str, &str)],
) -> RoutesReport {
    let mut routes = vec![route("myorg-hyb-dev-grp-000-33620d0", NAME, None, listed)];
    routes.extend(wildcard.map(|enabled| route("non-sni", "*", Some(enabled), &[])));
    let finding = |&(code, object, path, value): &(FindingCode, &str, &str, &str)| Finding {
        code,
        object: object.to_owned(),
        path: path.to_owned(),
        value: value.to_owned(),
        expected: match code {
            FindingCode::NonSniClientNotEnabled => "true".to_owned(),
            _ => "non-sni".to_owned(),
        },
        sentence: String::new(),
    };
    RoutesReport {
        sources: vec!["routes.yaml".to_owned(), "overrides.yaml".to_owned()],
        routes,
        virtual_hosts: vec![VirtualHost {
            name: "dev-grp".to_owned(),
            additional_gateways: listed.iter().map(|name| (*name).to_owned()).collect(),
            selector: Vec::new(),
            certificate: None,
        }],
        skipped: BTreeMap::new(),
        findings: findings.iter().map(finding).collect(),
        notes: Vec::new(),
        serves_non_sni: Some(findings.is_empty()),
    }
}

fn no_wildcard() -> RoutesReport {
    routes(None, &[], &[(FindingCode::NoWildcardRoute, "routes.yaml", "spec.hostnames", NAME)])
}

fn fixed() -> RoutesReport {
    routes(Some(true), &["non-sni"], &[])
}

fn check(verdict: CheckVerdict, outcomes: [AttemptOutcome; 3]) -> CheckReport {
    let kinds = [AttemptKind::Named, AttemptKind::WithoutSni, AttemptKind::UnknownName];
    let attempt = |(kind, outcome): (AttemptKind, AttemptOutcome)| Attempt {
        kind,
        client: CheckClient::Rustls,
        http_status: None,
        server_name: (kind == AttemptKind::Named).then(|| NAME.to_owned()),
        connected: true,
        outcome,
        alert: (outcome == AttemptOutcome::Alert).then(|| "protocol_version".to_owned()),
        tls_version: (outcome == AttemptOutcome::Handshake).then(|| "1.3".to_owned()),
        cipher: None,
        certificate: (outcome == AttemptOutcome::Handshake).then(|| Certificate {
            names: vec![NAME.to_owned()],
            subject: NAME.to_owned(),
            issuer: "test".to_owned(),
            not_after: Timestamp::UNIX_EPOCH,
            sha256: String::new(),
            matches_host: true,
        }),
        latency_us: 1,
        error: None,
    };
    CheckReport {
        target: NAME.to_owned(),
        address: Some("192.0.2.1:443".to_owned()),
        attempts: kinds.into_iter().zip(outcomes).map(attempt).collect(),
        offered: Offered::default(),
        verdict,
        sentence: "as the test says".to_owned(),
    }
}

fn refused_check() -> CheckReport {
    use AttemptOutcome::{Handshake, Reset};
    check(CheckVerdict::NonSniRefused, [Handshake, Reset, Reset])
}

fn served_check() -> CheckReport {
    check(CheckVerdict::NonSniSameCertificate, [AttemptOutcome::Handshake; 3])
}

/// Entries of the page's log: `null` without a name, `named` with one.
fn logs(null: u64, named: u64) -> LogsReport {
    let by_name = Counted { name: "old.mydomain.com".to_owned(), count: named };
    LogsReport {
        files: vec!["ingress.log".to_owned()],
        lines: 100,
        entries: 90,
        served: 80 - null,
        no_filter_chain: null + named,
        sni_null: null,
        sni_present: named,
        by_client: vec![Counted { name: "10.138.0.28".to_owned(), count: null + named }],
        by_name: if named > 0 { vec![by_name] } else { Vec::new() },
        sample: Some(
            "{\"status_details\":\"filter_chain_not_found\",\"sni_host\":null}\u{1b}[31m".to_owned(),
        ),
        ..LogsReport::default()
    }
}

/// The diagnosis, whose text and Markdown must be those of the file.
fn golden(name: &str, inputs: &Inputs) -> Diagnosis {
    let diagnosis = diagnose(inputs);
    let text = format!("{}\n---\n\n{}", show::text(&diagnosis, false), show::markdown(&diagnosis));
    assert!(!text.contains('\u{1b}'), "{text}");
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("src/diagnose/testdata/{name}.txt"));
    if std::env::var_os("SNI_PROBE_BLESS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, expected, "{}: write it anew with SNI_PROBE_BLESS=1", file.display());
    for document in diagnosis.fix.iter().flat_map(|fix| &fix.documents) {
        serde_saphyr::from_str::<serde_json::Value>(&document.yaml).unwrap();
    }
    diagnosis
}

fn expect(diagnosis: &Diagnosis, cause: Cause, confidence: Confidence) {
    let Diagnosis { sentence, .. } = diagnosis;
    assert_eq!((diagnosis.cause, diagnosis.confidence), (cause, confidence), "{sentence}");
    let has_fix = !matches!(cause, Cause::NothingWrong | Cause::NotEnoughEvidence);
    assert_eq!(diagnosis.fix.is_some(), has_fix);
    if cause == Cause::NotEnoughEvidence {
        assert!(!diagnosis.missing.is_empty());
    }
}

/// The YAML of a file of the fix.
fn document(diagnosis: &Diagnosis, file: &str) -> serde_json::Value {
    let documents = &diagnosis.fix.as_ref().unwrap().documents;
    let document = documents.iter().find(|document| document.file == file).unwrap();
    serde_saphyr::from_str(&document.yaml).unwrap()
}

#[test]
fn clients_send_no_sni_and_no_wildcard_route() {
    let inputs = Inputs {
        wire: Some(resets("10.138.0.28")),
        logs: Some(logs(7, 0)),
        routes: Some(no_wildcard()),
        check: Some(refused_check()),
        ..Inputs::default()
    };
    let diagnosis = golden("no_wildcard_route", &inputs);
    expect(&diagnosis, Cause::NoWildcardRoute, Confidence::Certain);
    let route = document(&diagnosis, "non-sni.yaml");
    assert_eq!(route["spec"]["enableNonSniClient"], true);
    assert_eq!(route["spec"]["hostnames"][0], "*");
    assert_eq!(route["spec"]["ports"][0]["tls"]["credentialName"], "dev-grp-cert");
    let overrides = document(&diagnosis, "overrides.yaml");
    assert_eq!(overrides["virtualhosts"][0]["name"], "dev-grp");
    assert_eq!(overrides["virtualhosts"][0]["additionalGateways"][0], "non-sni");
}

#[test]
fn a_wildcard_route_without_the_flag() {
    let finding = (FindingCode::NonSniClientNotEnabled, "apigee/non-sni", "spec.enableNonSniClient", "false");
    let routes = Some(routes(Some(false), &["non-sni"], &[finding]));
    let inputs = Inputs { wire: Some(resets("10.138.0.28")), routes, ..Inputs::default() };
    let diagnosis = golden("non_sni_client_not_enabled", &inputs);
    expect(&diagnosis, Cause::NonSniClientNotEnabled, Confidence::Certain);
    // It is listed already.
    assert_eq!(diagnosis.fix.as_ref().unwrap().documents.len(), 1);
    // Only what is wrong is changed.
    let patch = document(&diagnosis, "non-sni-patch.yaml");
    assert_eq!(patch, serde_json::json!({"spec": {"enableNonSniClient": true}}));
    // Without a client: somebody meant to let them in.
    let configuration = Inputs { wire: None, ..inputs };
    expect(&diagnose(&configuration), Cause::NonSniClientNotEnabled, Confidence::Likely);
}

#[test]
fn a_route_that_is_there_keeps_what_is_right_with_it() {
    let object = "apigee/non-sni";
    let mut routes = routes(
        Some(true),
        &["non-sni"],
        &[
            (FindingCode::SelectorMismatch, object, "spec.selector", "[]"),
            (FindingCode::TlsNotTerminated, object, "spec.ports[1].tls.mode", "PASSTHROUGH"),
            (FindingCode::PortMismatch, object, "spec.ports", "[8443]"),
        ],
    );
    routes.findings[0].expected = "[\"app=apigee-ingressgateway\", \"ingress_name=ext\"]".to_owned();
    routes.findings[1].expected = "SIMPLE".to_owned();
    let inputs = Inputs { wire: Some(resets("10.138.0.28")), routes: Some(routes), ..Inputs::default() };
    let diagnosis = diagnose(&inputs);
    let selector = serde_json::json!({"app": "apigee-ingressgateway", "ingress_name": "ext"});
    let patch = document(&diagnosis, "non-sni-patch.yaml");
    assert_eq!(patch, serde_json::json!({"spec": {"selector": selector}}));
    let fix = diagnosis.fix.unwrap();
    assert_eq!(fix.documents.len(), 1);
    let commands = fix.commands.join("\n");
    assert!(commands.contains("edit apigeeroute non-sni  # change only: spec.ports[1].tls.mode: SIMPLE"));
    assert!(commands.contains("spec.ports: a port for each of"), "{commands}");
}

#[test]
fn a_new_route_takes_the_name_of_no_other() {
    let mut routes = no_wildcard();
    routes.routes.push(route("non-sni", "a.example.com", None, &[]));
    routes.routes.push(route("non-sni-2", "b.example.com", None, &[]));
    let inputs = Inputs { wire: Some(resets("10.138.0.28")), routes: Some(routes), ..Inputs::default() };
    let diagnosis = diagnose(&inputs);
    assert_eq!(document(&diagnosis, "non-sni-3.yaml")["metadata"]["name"], "non-sni-3");
    let listed = &document(&diagnosis, "overrides.yaml")["virtualhosts"][0]["additionalGateways"];
    assert_eq!(*listed, serde_json::json!(["non-sni-3"]));
}

#[test]
fn gateways_that_are_listed_stay_and_dead_names_go() {
    let mut routes = routes(Some(true), &["foo", "nonsni"], &[]);
    routes.virtual_hosts.clear();
    routes.serves_non_sni = Some(false);
    routes.findings = no_wildcard().findings;
    routes.findings[0].code = FindingCode::UnknownAdditionalGateway;
    routes.findings[0].value = "[\"nonsni\"]".to_owned();
    let inputs = Inputs { wire: Some(resets("10.138.0.28")), routes: Some(routes), ..Inputs::default() };
    let listed = &document(&diagnose(&inputs), "overrides.yaml")["virtualhosts"][0]["additionalGateways"];
    assert_eq!(*listed, serde_json::json!(["foo", "non-sni"]));
}

#[test]
fn a_wildcard_route_that_is_not_listed() {
    let path = "virtualhosts[0].additionalGateways";
    let finding = (FindingCode::NotInAdditionalGateways, "overrides.yaml", path, "[]");
    let routes = Some(routes(Some(true), &[], &[finding]));
    let inputs = Inputs { wire: Some(resets("10.138.0.28")), routes, ..Inputs::default() };
    let diagnosis = golden("not_in_additional_gateways", &inputs);
    expect(&diagnosis, Cause::NotInAdditionalGateways, Confidence::Certain);
    let documents = &diagnosis.fix.as_ref().unwrap().documents;
    assert_eq!(
        documents.iter().map(|document| document.file.as_str()).collect::<Vec<_>>(),
        ["overrides.yaml"]
    );
}

#[test]
fn a_name_that_no_route_serves() {
    let mut wire = wire(&[("present", "reset_by_gateway", 4), ("present", "server_hello", 50)]);
    wire.refused_names = vec![("old.mydomain.com".to_owned(), 4)];
    let inputs = Inputs { wire: Some(wire), routes: Some(no_wildcard()), ..Inputs::default() };
    let diagnosis = golden("unknown_name", &inputs);
    expect(&diagnosis, Cause::UnknownName, Confidence::Certain);
    // By the log alone, which has the name.
    let inputs = Inputs { logs: Some(logs(1, 4)), ..Inputs::default() };
    expect(&diagnose(&inputs), Cause::UnknownName, Confidence::Likely);
}

#[test]
fn a_name_that_is_routed_but_refused_is_another_matter() {
    let mut wire = wire(&[("present", "reset_by_gateway", 4)]);
    wire.refused_names = vec![(NAME.to_owned(), 4)];
    let inputs = Inputs { wire: Some(wire), routes: Some(fixed()), ..Inputs::default() };
    expect(&diagnose(&inputs), Cause::NotEnoughEvidence, Confidence::Unknown);
}

#[test]
fn the_gateway_does_not_reset() {
    let wire =
        wire(&[("absent", "timeout", 6), ("present", "reset_by_client", 2), ("present", "server_hello", 30)]);
    let inputs = Inputs { wire: Some(wire), ..Inputs::default() };
    expect(&golden("not_the_gateway", &inputs), Cause::NotTheGateway, Confidence::Likely);
    // The gateway served all that it saw, and from here it is cut off.
    let inputs = Inputs {
        wire: Some(self::wire(&[("present", "server_hello", 30)])),
        check: Some(check(CheckVerdict::Unknown, [AttemptOutcome::Timeout; 3])),
        ..Inputs::default()
    };
    expect(&diagnose(&inputs), Cause::NotTheGateway, Confidence::Likely);
    // One that changed its mind among many is not nothing, and little more.
    let few = self::wire(&[("present", "reset_by_client", 1), ("present", "server_hello", 30)]);
    let inputs = Inputs { wire: Some(few), ..Inputs::default() };
    let diagnosis = diagnose(&inputs);
    expect(&diagnosis, Cause::NotTheGateway, Confidence::Possible);
    assert!(diagnosis.sentence.contains("That is few"), "{}", diagnosis.sentence);
}

#[test]
fn a_load_balancer_without_sni() {
    let inputs =
        Inputs { wire: Some(resets("35.191.10.9")), routes: Some(no_wildcard()), ..Inputs::default() };
    let diagnosis = golden("load_balancer", &inputs);
    expect(&diagnosis, Cause::LoadBalancer, Confidence::Certain);
    assert_eq!(diagnosis.steps[5].answer, Answer::Yes);
    // By the log.
    let mut logs = logs(9, 0);
    logs.by_client[0].name = "130.211.1.7".to_owned();
    let inputs = Inputs { logs: Some(logs), ..Inputs::default() };
    expect(&diagnose(&inputs), Cause::LoadBalancer, Confidence::Likely);
}

#[test]
fn no_common_version_or_cipher() {
    let mut wire = wire(&[("present", "alert", 6), ("present", "server_hello", 2)]);
    wire.alerts = vec![alert("present", "protocol_version"), alert("present", "handshake_failure")];
    wire.tls_versions = vec![("1.0".to_owned(), 6), ("1.3".to_owned(), 2)];
    let inputs = Inputs { wire: Some(wire), routes: Some(fixed()), ..Inputs::default() };
    expect(&golden("tls_mismatch", &inputs), Cause::TlsMismatch, Confidence::Certain);
    // By the log's words, and by the active check.
    let mut logs = logs(0, 0);
    let name = "TLS_error:|268435696:SSL routines:OPENSSL_internal:UNSUPPORTED_PROTOCOL".to_owned();
    logs.other_failures.push(Counted { name, count: 3 });
    logs.failure_kinds.push(Counted { name: "tls_mismatch".to_owned(), count: 3 });
    let inputs = Inputs { logs: Some(logs.clone()), ..Inputs::default() };
    expect(&diagnose(&inputs), Cause::TlsMismatch, Confidence::Likely);
    // Other failures are no reason to say that nothing is wrong.
    logs.failure_kinds.clear();
    let inputs = Inputs { logs: Some(logs), ..Inputs::default() };
    expect(&diagnose(&inputs), Cause::NotEnoughEvidence, Confidence::Unknown);
    let refused = check(CheckVerdict::NameRefused, [AttemptOutcome::Alert; 3]);
    let inputs = Inputs { check: Some(refused), ..Inputs::default() };
    expect(&diagnose(&inputs), Cause::TlsMismatch, Confidence::Likely);
}

#[test]
fn a_handshake_failure_without_sni_is_for_want_of_it_unless_others_are_served() {
    let mut refused = wire(&[("absent", "alert", 3), ("present", "server_hello", 2)]);
    refused.alerts = vec![alert("absent", "handshake_failure")];
    let mut some_served = refused.clone();
    some_served.counts.push(wire(&[("absent", "server_hello", 1)]).counts.remove(0));
    let inputs = Inputs { wire: Some(refused), ..Inputs::default() };
    expect(&diagnose(&inputs), Cause::NoWildcardRoute, Confidence::Likely);
    let inputs = Inputs { wire: Some(some_served), ..Inputs::default() };
    expect(&diagnose(&inputs), Cause::TlsMismatch, Confidence::Certain);
}

mod evidence;
mod fixes;
mod mixtures;
