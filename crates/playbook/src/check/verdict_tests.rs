use rustls::pki_types::DnsName;

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn certificate(subject: &str, matches_host: bool) -> Certificate {
    Certificate {
        names: vec![subject.to_owned()],
        subject: subject.to_owned(),
        issuer: "CN=ca".to_owned(),
        not_after: Timestamp::from_second(86_400).unwrap(),
        sha256: subject.to_owned(),
        matches_host,
    }
}

fn attempt(kind: AttemptKind, outcome: AttemptOutcome) -> Attempt {
    use AttemptOutcome::{Refused, Unreachable};
    Attempt {
        kind,
        client: CheckClient::Rustls,
        server_name: None,
        http_status: None,
        connected: !matches!(outcome, Refused | Unreachable),
        outcome,
        alert: None,
        tls_version: None,
        cipher: None,
        certificate: None,
        latency_us: 1,
        error: (outcome != Handshake).then(|| format!("{outcome:?}")),
    }
}

fn served(kind: AttemptKind, certificate: Certificate) -> Attempt {
    Attempt { certificate: Some(certificate), ..attempt(kind, Handshake) }
}

fn told_of(attempts: &[Attempt]) -> (CheckVerdict, String) {
    let offered =
        Offered { signature_algorithms: vec!["ed25519".to_owned()], groups: vec!["x25519".to_owned()] };
    conclude(attempts, &Host::Name(DnsName::try_from("a.example").unwrap()), &offered, NOW)
}

use AttemptKind::{Named, UnknownName, WithoutSni};
use AttemptOutcome::{Alert, Closed, Handshake, NotTls, Refused, Reset, Timeout, Unreachable, Unsupported};

#[test]
fn refused_where_the_name_is_served() {
    for outcome in [Reset, Alert, Closed, Timeout] {
        let named = served(Named, certificate("a.example", true));
        let (verdict, sentence) =
            told_of(&[named, attempt(WithoutSni, outcome), attempt(UnknownName, outcome)]);
        assert_eq!(verdict, CheckVerdict::NonSniRefused);
        assert_eq!(
            sentence,
            format!(
                "non-SNI clients are refused ({outcome:?}); those that send the name a.example are served (CN a.example)"
            )
        );
    }
}

#[test]
fn refused_where_the_name_has_a_wrong_certificate() {
    let (_, sentence) =
        told_of(&[served(Named, certificate("b.example", false)), attempt(WithoutSni, Reset)]);
    assert!(sentence.ends_with("are served (CN b.example, which does not match a.example)"), "{sentence}");
}

#[test]
fn refused_where_unknown_names_are_served() {
    let named = served(Named, certificate("a.example", true));
    let unknown = served(UnknownName, certificate("*.example", false));
    let (verdict, sentence) = told_of(&[named, attempt(WithoutSni, Reset), unknown]);
    assert_eq!(verdict, CheckVerdict::NonSniRefused);
    assert!(sentence.ends_with(
        "names that nobody serves get CN *.example: there is a default, but not for clients without SNI"
    ));
}

#[test]
fn the_same_certificate() {
    let both = [Named, WithoutSni].map(|kind| served(kind, certificate("a.example", true)));
    let (verdict, sentence) = told_of(&both);
    assert_eq!(verdict, CheckVerdict::NonSniSameCertificate);
    assert!(sentence.ends_with(
        "are served the same certificate as those with SNI, CN a.example, which matches a.example"
    ));
}

#[test]
fn another_certificate() {
    let named = served(Named, certificate("a.example", true));
    let (verdict, sentence) = told_of(&[named, served(WithoutSni, certificate("x\u{1b}", false))]);
    assert_eq!(verdict, CheckVerdict::NonSniOtherCertificate);
    assert!(
        sentence.starts_with(
            "non-SNI clients are served another certificate (CN x\\x1b), which does not match a.example;"
        ),
        "{sentence}"
    );
}

#[test]
fn an_expired_certificate() {
    let mut expired = certificate("a.example", true);
    expired.not_after = Timestamp::from_second(-1).unwrap();
    let (_, sentence) = told_of(&[served(WithoutSni, expired)]);
    assert!(sentence.contains("which matches a.example and has expired on 1969-12-31;"), "{sentence}");
}

#[test]
fn a_gateway_that_wants_a_certificate_of_the_client_serves() {
    let shown = |kind| Attempt { certificate: Some(certificate("a.example", true)), ..attempt(kind, Alert) };
    assert_eq!(told_of(&[shown(Named), shown(WithoutSni)]).0, CheckVerdict::NonSniSameCertificate);
}

#[test]
fn all_are_refused() {
    let named = Attempt { alert: Some("protocol_version".to_owned()), ..attempt(Named, Alert) };
    let (verdict, sentence) = told_of(&[named, attempt(WithoutSni, Alert)]);
    assert_eq!(verdict, CheckVerdict::NameRefused);
    assert!(sentence.ends_with("about TLS versions or cipher suites, not about names"), "{sentence}");
}

#[test]
fn refused_where_the_name_has_no_answer() {
    let (verdict, sentence) = told_of(&[attempt(Named, Timeout), attempt(WithoutSni, Reset)]);
    assert_eq!(verdict, CheckVerdict::NonSniRefused);
    assert!(sentence.ends_with("the name a.example are served cannot be told (Timeout)"), "{sentence}");
}

#[test]
fn only_the_name_is_refused() {
    let without = served(WithoutSni, certificate("b.example", false));
    let (verdict, sentence) = told_of(&[attempt(Named, Reset), without]);
    assert_eq!(verdict, CheckVerdict::NonSniOtherCertificate);
    assert!(sentence.ends_with("but those that send the name a.example are not (Reset)"), "{sentence}");
}

#[test]
fn without_a_name() {
    assert_eq!(told_of(&[attempt(WithoutSni, Reset)]).0, CheckVerdict::NonSniRefused);
    assert_eq!(
        told_of(&[served(WithoutSni, certificate("x", false))]).0,
        CheckVerdict::NonSniOtherCertificate
    );
    assert_eq!(told_of(&[served(WithoutSni, certificate("x", true))]).0, CheckVerdict::NonSniSameCertificate);
}

#[test]
fn what_cannot_be_told() {
    for outcome in [Timeout, Refused, NotTls, Unreachable, Unsupported] {
        let (verdict, sentence) = told_of(&[attempt(Named, outcome), attempt(WithoutSni, outcome)]);
        assert_eq!(verdict, CheckVerdict::Unknown);
        assert!(sentence.ends_with(&format!("are served: {outcome:?}")), "{sentence}");
        assert_eq!(told_of(&[attempt(Named, outcome)]).0, CheckVerdict::Unknown);
    }
    // A gateway that took one connection and then no other.
    let unconnected = Attempt { connected: false, ..attempt(WithoutSni, Timeout) };
    assert_eq!(
        told_of(&[served(Named, certificate("a.example", true)), unconnected]).0,
        CheckVerdict::Unknown
    );
    assert_eq!(told_of(&[]).0, CheckVerdict::Unknown);
    // A certificate that is none.
    assert_eq!(
        told_of(&[attempt(Named, Handshake), attempt(WithoutSni, Handshake)]).0,
        CheckVerdict::NonSniOtherCertificate
    );
}

/// An attempt without a certificate that was answered.
fn answered(kind: AttemptKind, client: CheckClient, name: &str) -> Attempt {
    let outcome = if client == CheckClient::Rustls { Handshake } else { AttemptOutcome::ServerHello };
    Attempt { client, server_name: Some(name.to_owned()), ..attempt(kind, outcome) }
}

#[test]
fn this_client_is_not_all_clients() {
    let alert = |kind| Attempt { alert: Some("handshake_failure".to_owned()), ..attempt(kind, Alert) };
    let (verdict, sentence) = told_of(&[alert(Named), alert(WithoutSni)]);
    assert_eq!(verdict, CheckVerdict::NameRefused);
    for part in
        ["rustls was refused", "another client may be served", "refuse names with it", "ed25519", "x25519"]
    {
        assert!(sentence.contains(part), "{part} is not in: {sentence}");
    }
    assert!(!sentence.contains("all clients") && !sentence.contains("not about names"), "{sentence}");
    let (_, sentence) = told_of(&[alert(WithoutSni)]);
    assert!(sentence.contains("refuse names with it"), "{sentence}");
}

#[test]
fn further_hellos_are_reported_and_do_not_decide() {
    let both = [Named, WithoutSni].map(|kind| served(kind, certificate("a.example", true)));
    for (further, part) in [
        (
            answered(AttemptKind::ExactName, CheckClient::HelloOnly, "a.example."),
            "; the name exactly as given, a.example., is answered by a ServerHello (the handshake was not completed)",
        ),
        (
            answered(AttemptKind::ExactName, CheckClient::Rustls, "A.example"),
            "; the name exactly as given, A.example, is served",
        ),
        (
            Attempt { server_name: Some("a.example.".to_owned()), ..attempt(AttemptKind::ExactName, Reset) },
            "; the name exactly as given, a.example., is refused (Reset)",
        ),
        (
            attempt(AttemptKind::PostQuantum, Reset),
            "; a post-quantum ClientHello of 1789 bytes in two segments is not served (Reset), a small one is",
        ),
    ] {
        let (verdict, sentence) = told_of(&[&both[..], &[further]].concat());
        assert_eq!(verdict, CheckVerdict::NonSniSameCertificate);
        assert!(sentence.ends_with(part), "{part} is not the end of: {sentence}");
    }
    // Nothing is said of a large hello that fares as the small one does.
    let (_, sentence) = told_of(&[
        attempt(Named, Reset),
        attempt(WithoutSni, Reset),
        attempt(AttemptKind::PostQuantum, Reset),
    ]);
    assert!(!sentence.contains("post-quantum"), "{sentence}");
}
