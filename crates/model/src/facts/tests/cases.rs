//! Single cases, each with the handshakes that it needs.

use std::time::Duration;

use sni_probe_core::flow::{FlowKey, Timestamp};
use sni_probe_core::observation::{Hello, Outcome, Sni};
use sni_probe_core::vocabulary::{
    AlertDescription, AlertSender, Feature, IncompleteReason, Label as _, NonTls, TlsVersion,
};

use super::*;

const REFUSED: Outcome = Outcome::ResetByGateway;
const SERVED: Outcome = Outcome::Established;

fn alert(description: AlertDescription) -> Outcome {
    Outcome::Alert { description, sender: AlertSender::Gateway }
}

/// A handshake with a short hello for this name; empty: without SNI.
fn handshake(name: &str, outcome: Outcome) -> Handshake {
    let mut handshake = Handshake::example();
    handshake.hello.sni = if name.is_empty() { Sni::Absent } else { Sni::Present(name.to_owned()) };
    handshake.hello.length = 320;
    handshake.hello.segments = 1;
    handshake.hello.features = handshake.hello.features.without(Feature::MultiSegment);
    handshake.outcome = outcome;
    handshake
}

fn changed(name: &str, outcome: Outcome, change: impl Fn(&mut Hello)) -> Handshake {
    let mut handshake = handshake(name, outcome);
    change(&mut handshake.hello);
    handshake
}

fn times(count: usize, handshake: Handshake) -> Vec<Handshake> {
    vec![handshake; count]
}

fn facts(parts: &[Vec<Handshake>]) -> GatewayFacts {
    report(&parts.concat())
}

#[track_caller]
fn assert_derived(parts: &[Vec<Handshake>], certain: &[FactName], hints: &[FactName]) -> GatewayFacts {
    let report = facts(parts);
    assert_eq!(derived(&report, Certainty::Fact), certain, "{:#?}", report.facts);
    let mut seen = derived(&report, Certainty::Hint);
    seen.sort_unstable();
    assert_eq!(seen, hints, "{:#?}", report.facts);
    report
}

fn fact(report: &GatewayFacts, name: FactName) -> &Fact {
    report.facts.iter().find(|fact| fact.name() == Some(name)).unwrap()
}

#[test]
fn three_and_three_are_enough() {
    let split = |count| times(count, changed("a.example", REFUSED, |hello| hello.segments = 2));
    let served = |count| times(count, handshake("a.example", SERVED));
    assert_derived(&[split(3), served(3)], &[FactName::SplitHello], &[]);
    assert_derived(&[split(2), served(3)], &[], &[FactName::SplitHello]);
    assert_derived(&[split(3), served(2)], &[], &[FactName::SplitHello]);
    let report = assert_derived(&[split(1), served(1)], &[], &[FactName::SplitHello]);
    let hint = fact(&report, FactName::SplitHello);
    assert_eq!((hint.refused, hint.served), (1, 1));
    assert_eq!(
        hint.sentence,
        "Perhaps it refuses ClientHellos in 2 or more TCP segments. Refused with this: 1; served without: 1."
    );
    assert_derived(&[split(3)], &[], &[]);
}

#[test]
fn what_comes_together_is_a_hint() {
    let long = changed("a.example", REFUSED, |hello| {
        hello.length = 1_551;
        hello.segments = 2;
    });
    let short = times(9, handshake("a.example", SERVED));
    let both = [FactName::SplitHello, FactName::HelloSize];
    let report = assert_derived(&[times(9, long.clone()), short.clone()], &[], &both);
    let hint = fact(&report, FactName::HelloSize);
    assert_eq!(hint.detail, Detail::HelloSize { refused_from_bytes: 1_551, served_up_to_bytes: 320 });
    assert_eq!(hint.alternatives, [FactName::SplitHello.as_str().into()]);
    // A path on which two segments come as one distinguishes them.
    let merged = changed("a.example", SERVED, |hello| hello.length = 1_551);
    assert_derived(&[times(9, long), short, times(3, merged)], &[FactName::SplitHello], &[]);
}

#[test]
fn the_boundary_is_exact() {
    let of = |length, outcome| times(3, changed("a.example", outcome, |hello| hello.length = length));
    let parts = [of(1_019, SERVED), of(1_020, REFUSED), of(300, SERVED)];
    let report = assert_derived(&parts, &[FactName::HelloSize], &[]);
    let detail = Detail::HelloSize { refused_from_bytes: 1_020, served_up_to_bytes: 1_019 };
    assert_eq!(fact(&report, FactName::HelloSize).detail, detail);
}

#[test]
fn want_of_sni_explains_itself() {
    let without = times(20, changed("", REFUSED, |hello| hello.segments = 2));
    let named = times(20, handshake("a.example", SERVED));
    assert_derived(&[without.clone(), named.clone()], &[], &[]);
    // Where the gateway serves clients without SNI, it does not.
    let served = times(5, handshake("", SERVED));
    assert_derived(&[without, named, served], &[FactName::SplitHello], &[]);
}

#[test]
fn names() {
    let served = times(3, handshake("a.example", SERVED));
    let unknown = times(3, handshake("b.example", REFUSED));
    let report = assert_derived(&[served.clone(), unknown.clone()], &[FactName::OneName], &[]);
    let Detail::OneName { names, more_names } = &fact(&report, FactName::OneName).detail else { panic!() };
    let name = RefusedName { name: "b.example".to_owned(), refused: 3, answered: 0 };
    assert_eq!((names.as_slice(), *more_names), (&[name][..], 0));
    // A name that was served once is not to blame.
    let report = assert_derived(&[served, unknown, times(1, handshake("b.example", SERVED))], &[], &[]);
    assert_eq!(report.refused, 3);
}

#[test]
fn a_dot_and_upper_case() {
    let served = times(3, handshake("a.example", SERVED));
    let dot = times(3, handshake("a.example.", REFUSED));
    let report = assert_derived(&[served.clone(), dot.clone()], &[FactName::TrailingDot], &[]);
    let detail = Detail::TrailingDot { names: vec!["a.example.".to_owned()] };
    assert_eq!(fact(&report, FactName::TrailingDot).detail, detail);
    let upper = changed("a.example", REFUSED, |hello| {
        hello.body.as_mut().unwrap().name_as_sent = Some("A.example".to_owned());
    });
    let upper = times(3, upper);
    let report = assert_derived(&[served.clone(), upper.clone()], &[FactName::UpperCase], &[]);
    let detail = Detail::UpperCase { names: vec!["A.example".to_owned()] };
    assert_eq!(fact(&report, FactName::UpperCase).detail, detail);
    // A gateway that compares names as they are refuses both.
    let report = facts(&[served.clone(), dot, upper]);
    let mut both = derived(&report, Certainty::Fact);
    both.sort_unstable();
    assert_eq!(both, [FactName::TrailingDot, FactName::UpperCase]);
    // With no other handshake of the name, it may be the name.
    let dot = times(3, handshake("b.example.", REFUSED));
    assert_derived(&[served, dot], &[], &[FactName::OneName, FactName::TrailingDot]);
}

#[test]
fn versions_by_what_the_gateway_says() {
    let old = |outcome| {
        let change = |hello: &mut Hello| {
            let body = hello.body.as_mut().unwrap();
            (body.version, body.offered_versions) = (TlsVersion::Tls11, Vec::new());
            body.alpn.clear();
        };
        times(3, changed("a.example", outcome, change))
    };
    let served = times(3, handshake("a.example", SERVED));
    let stated = old(alert(AlertDescription::ProtocolVersion));
    let report = assert_derived(&[served.clone(), stated], &[FactName::Versions], &[]);
    assert_eq!(
        fact(&report, FactName::Versions).sentence,
        "It refuses ClientHellos that offer nothing newer than TLS 1.1. Refused with this: 3; served without: 3."
    );
    // A handshake_failure says nothing: these clients send no ALPN either.
    let unstated = old(alert(AlertDescription::HandshakeFailure));
    assert_derived(&[served, unstated], &[], &[FactName::Alpn, FactName::Versions]);
}

#[test]
fn nothing_is_served() {
    let named = |count| times(count, handshake("a.example", REFUSED));
    let without = |count| times(count, handshake("", REFUSED));
    assert_derived(&[named(3), without(3)], &[FactName::RefusesEverything], &[]);
    assert_derived(&[named(3), without(2)], &[], &[FactName::RefusesEverything]);
    assert_derived(&[named(9)], &[], &[]);
    assert_derived(&[named(3), without(3), times(1, handshake("", SERVED))], &[], &[]);
    let certificate = Outcome::ClientCertificateRefused { alert: None };
    assert_derived(&[named(3), without(3), times(1, handshake("a.example", certificate))], &[], &[]);
    // Refused after the ServerHello is refused as well.
    let late = Outcome::RefusedAfterServerHello { alert: None };
    let late = ["", "a.example"].map(|name| times(3, handshake(name, late)));
    assert_derived(&late, &[FactName::RefusesEverything], &[]);
}

#[test]
fn facts_that_stand_by_themselves() {
    let mut facts = RefusalFacts::default();
    let mut answered = handshake("a.example", Outcome::ClosedByGateway);
    answered.answer.is_plain_http = true;
    for _ in 0..4 {
        facts.add(&answered);
        facts.add(&Handshake { hello: handshake("", REFUSED).hello, ..answered.clone() });
    }
    let mut incomplete = handshake("", REFUSED);
    incomplete.hello = Hello { incomplete: Some(IncompleteReason::Timeout), ..Hello::default() };
    facts.observe(&Observation::Handshake(Box::new(incomplete.clone())));
    incomplete.hello.incomplete = Some(IncompleteReason::Truncated);
    facts.add(&incomplete);
    let flow = FlowKey { client: "192.0.2.1:1".parse().unwrap(), ..answered.flow };
    for protocol in [NonTls::Http, NonTls::Http, NonTls::Ssh] {
        facts.observe(&Observation::NonTls { flow, time: Timestamp(0), protocol });
    }
    let report = facts.report(&ClientLabel::Ip).gateways.remove(0);
    let sentences: Vec<&str> = report.facts.iter().map(|fact| fact.sentence.as_str()).collect();
    assert_eq!(
        sentences,
        [
            "1 ClientHello never became complete (timeout 1). It refused 1 of them.",
            "It answered 8 ClientHellos in plain HTTP: the port does not speak TLS.",
            "2 connections began with a plain HTTP request instead of TLS.",
        ]
    );
    assert_eq!(report.refused, 0);
}

#[test]
fn health_checks() {
    let mut facts = RefusalFacts::default();
    let mut check = handshake("", REFUSED);
    for _ in 0..6 {
        check.time = check.time.plus(Duration::from_secs(10));
        facts.add(&check);
    }
    let of = |facts: &RefusalFacts, label: &ClientLabel| facts.report(label).gateways.remove(0);
    let sentence = |report: &GatewayFacts| fact(report, FactName::HealthCheck).sentence.clone();
    assert_eq!(
        sentence(&of(&facts, &ClientLabel::Ip)),
        "1 client (192.0.2.7) looks like a health check, at a steady interval of 10 s: 6 of 6 handshakes refused."
    );
    let masked = of(&facts, &ClientLabel::None);
    assert!(!serde_json::to_string(&masked).unwrap().contains("192.0.2.7"), "{masked:?}");
    // A timeout is neither refused nor served.
    check.outcome = Outcome::Timeout;
    check.time = check.time.plus(Duration::from_secs(10));
    facts.add(&check);
    let report = of(&facts, &ClientLabel::Ip);
    let checks = fact(&report, FactName::HealthCheck);
    assert_eq!((checks.refused, checks.served), (6, 0));
    // A proxy that checks for itself says so.
    let mut facts = RefusalFacts::default();
    check.hello.is_proxy_local = true;
    facts.add(&check);
    assert!(sentence(&of(&facts, &ClientLabel::Ip)).ends_with("1 handshake with the PROXY command LOCAL."));
}

#[test]
fn how_it_refuses() {
    let report = facts(&[
        times(2, handshake("", REFUSED)),
        times(1, handshake("b.example", REFUSED)),
        times(1, handshake("a.example", SERVED)),
    ]);
    let detail = &fact(&report, FactName::RefusalShape).detail;
    let Detail::RefusalShape { without_sni, unknown_names, gateways } = detail else { panic!() };
    assert_eq!((without_sni[0].shape.as_str(), without_sni[0].count), ("RST", 2));
    assert_eq!((unknown_names[0].shape.as_str(), unknown_names[0].count), ("RST", 1));
    assert!(gateways.iter().any(|known| known.software == "Envoy"));
    assert!(!gateways.iter().any(|known| known.software == "HAProxy"));
}

#[test]
fn handshakes_by_property() {
    let report = facts(&[times(2, handshake("", REFUSED)), times(3, handshake("a.example.", SERVED))]);
    let of = |property: Property| {
        let counts = report.properties.iter().find(|it| it.property.known() == Some(property)).unwrap();
        counts.values.iter().map(|it| (it.value.as_str(), it.refused, it.served)).collect::<Vec<_>>()
    };
    assert_eq!(of(Property::KnownName), [("absent", 2, 0), ("served", 0, 3)]);
    assert_eq!(of(Property::NameAsSent), [("plain", 2, 0), ("trailing_dot", 0, 3)]);
    assert_eq!(of(Property::Alpn), [("h2 http/1.1", 2, 3)]);
    assert_eq!(of(Property::OfferedVersions), [("1.3 1.2", 2, 3)]);
    assert_eq!(of(Property::SizeClass), [("256-511", 2, 3)]);
    assert_eq!(report.properties.len(), Property::ALL.len());
}

#[test]
fn plain_http_has_no_place_on_a_gateways_port() {
    let [web, gateway] = ["198.51.100.9:80", "198.51.100.9:443"].map(|address| address.parse().unwrap());
    for (ports, seen) in [(Ports::All, vec![gateway]), (Ports::Gateways, vec![web, gateway])] {
        let mut facts = RefusalFacts::for_captures(ports);
        facts.add(&handshake("a.example", SERVED));
        facts.plain_http_request(web);
        facts.plain_http_request(gateway);
        let report = facts.report(&ClientLabel::Ip);
        let with = report.gateways.iter().filter(|it| !it.facts.is_empty());
        let with: Vec<SocketAddr> = with.map(|it| it.gateway.parse().unwrap()).collect();
        assert_eq!(with, seen);
        assert_eq!(report.gateways[0].facts[0].name(), Some(FactName::PlainHttpRequest));
    }
}
