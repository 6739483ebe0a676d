//! What the evidence proves, and what it leaves open.

use super::*;

#[test]
fn nothing_is_wrong() {
    let inputs = Inputs {
        wire: Some(wire(&[("absent", "server_hello", 3), ("present", "server_hello", 5)])),
        logs: Some(logs(0, 0)),
        routes: Some(fixed()),
        check: Some(served_check()),
        ..Inputs::default()
    };
    expect(&golden("nothing_wrong", &inputs), Cause::NothingWrong, Confidence::Certain);
    // They were refused, and are served now: what happened in between is unknown.
    let inputs = Inputs { wire: Some(resets("10.138.0.28")), ..inputs };
    expect(&diagnose(&inputs), Cause::NotEnoughEvidence, Confidence::Unknown);
}

#[test]
fn certificates_end_handshakes() {
    let of = |counts: &[(&str, &str, u64)]| Inputs { wire: Some(wire(counts)), ..Inputs::default() };
    let rejected = of(&[("present", "rejected_by_client", 3), ("present", "established", 30)]);
    let diagnosis = golden("certificate_rejected", &rejected);
    expect(&diagnosis, Cause::CertificateRejected, Confidence::Likely);
    let refused = of(&[("present", "client_certificate_refused", 1), ("present", "established", 30)]);
    let diagnosis = golden("client_certificate_required", &refused);
    expect(&diagnosis, Cause::ClientCertificateRequired, Confidence::Likely);
    assert_eq!(
        diagnosis.sentence,
        "1 handshake ended because the gateway got no client certificate, or did not accept it, of 31."
    );
    // A refusal for want of SNI comes first unless it is rare, and more timeouts than these are another matter.
    let all = [("absent", "reset_by_gateway", 2), ("present", "rejected_by_client", 9)];
    expect(&diagnose(&of(&all)), Cause::NoWildcardRoute, Confidence::Likely);
    let all = [("absent", "reset_by_gateway", 1), ("present", "rejected_by_client", 9)];
    expect(&diagnose(&of(&all)), Cause::CertificateRejected, Confidence::Likely);
    let timeouts = [("present", "timeout", 9), ("present", "rejected_by_client", 2)];
    let diagnosis = diagnose(&of(&timeouts));
    expect(&diagnosis, Cause::NotTheGateway, Confidence::Likely);
    let besides = " Besides, 2 handshakes ended because the client rejected the gateway's certificate.";
    assert!(diagnosis.sentence.ends_with(besides), "{}", diagnosis.sentence);
    assert!(diagnosis.steps[2].evidence[0].contains("ended by a timeout or the client: 11"));
    // A gateway that refuses client certificates does not refuse nothing.
    let refused = [("present", "timeout", 9), ("present", "client_certificate_refused", 2)];
    let diagnosis = diagnose(&of(&refused));
    expect(&diagnosis, Cause::NotTheGateway, Confidence::Likely);
    assert!(
        diagnosis
            .sentence
            .contains("Besides, 2 handshakes ended because the gateway got no client certificate")
    );
    assert_eq!(diagnosis.steps[2].answer, Answer::Yes);
}

/// Beside handshakes of every outcome: many that were established, and timeouts that are noise.
#[test]
fn nothing_is_wrong_only_if_nothing_is_refused_or_rejected() {
    for (&sni, &outcome) in
        SniClass::ALL.iter().flat_map(|sni| OutcomeClass::ALL.iter().map(move |it| (sni, it)))
    {
        for (number, timeouts, has_logs, is_checked) in [1, 4, 400].into_iter().flat_map(|number| {
            [0, 5].into_iter().flat_map(move |timeouts| {
                [(false, false), (false, true), (true, false), (true, true)]
                    .map(|(logs, check)| (number, timeouts, logs, check))
            })
        }) {
            let mut wire = wire(&[
                ("present", "established", 1_000),
                ("present", "timeout", timeouts),
                (sni.as_str(), outcome.as_str(), number),
            ]);
            if outcome == OutcomeClass::Alert {
                wire.alerts = vec![alert(sni.as_str(), "unrecognized_name")];
            }
            let inputs = Inputs {
                wire: Some(wire),
                logs: has_logs.then(|| logs(0, 0)),
                check: is_checked.then(served_check),
                ..Inputs::default()
            };
            let diagnosis = diagnose(&inputs);
            let is_over = is_checked && sni.is_without_sni();
            let is_refused = outcome.fate(Some(AlertSender::Gateway)) == Fate::Refused && !is_over;
            let is_certificate =
                matches!(outcome, OutcomeClass::RejectedByClient | OutcomeClass::ClientCertificateRefused);
            if is_refused || is_certificate {
                let Diagnosis { cause, sentence, .. } = diagnosis;
                assert_ne!(cause, Cause::NothingWrong, "{sni} {outcome} {number} {timeouts}: {sentence}");
            }
        }
    }
}

#[test]
fn what_is_over_does_not_hide_what_is_not() {
    let of = |counts: &[(&str, &str, u64)]| {
        use AttemptOutcome::{Handshake, Reset};
        let served = check(CheckVerdict::NonSniSameCertificate, [Handshake, Handshake, Reset]);
        diagnose(&Inputs { wire: Some(wire(counts)), check: Some(served), ..Inputs::default() })
    };
    let over = ("absent", "reset_by_gateway", 7);
    let diagnosis = of(&[over, ("present", "refused_after_server_hello", 2)]);
    expect(&diagnosis, Cause::UnknownName, Confidence::Likely);
    assert!(diagnosis.sentence.ends_with(" Besides, 7 handshakes without SNI were refused."));
    let diagnosis = of(&[over, ("present", "rejected_by_client", 3), ("present", "timeout", 9)]);
    expect(&diagnosis, Cause::CertificateRejected, Confidence::Likely);
    assert!(diagnosis.sentence.contains(" Besides, 7 handshakes without SNI were refused"));
    expect(&of(&[over, ("unknown", "reset_by_gateway", 1)]), Cause::NotEnoughEvidence, Confidence::Unknown);
}

#[test]
fn a_name_that_was_served_is_not_an_unknown_one() {
    let mut wire = wire(&[("present", "reset_by_gateway", 9), ("present", "established", 50)]);
    wire.refused_names = vec![(NAME.to_owned(), 5), ("old.mydomain.com".to_owned(), 4)];
    wire.served_names = [NAME.to_owned()].into();
    let inputs = Inputs { wire: Some(wire.clone()), ..Inputs::default() };
    let diagnosis = diagnose(&inputs);
    expect(&diagnosis, Cause::UnknownName, Confidence::Likely);
    assert!(diagnosis.sentence.ends_with("(most with old.mydomain.com)."), "{}", diagnosis.sentence);
    let fix = diagnosis.fix.unwrap();
    assert!(fix.client_owner[0].starts_with("Your client asks for old.mydomain.com,"), "{fix:?}");
    assert!(diagnosis.steps[9].evidence[0].ends_with("refused: 5, and served in other handshakes"));
    wire.refused_names.truncate(1);
    let diagnosis = diagnose(&Inputs { wire: Some(wire), ..Inputs::default() });
    expect(&diagnosis, Cause::NotEnoughEvidence, Confidence::Unknown);
    assert!(!diagnosis.sentence.contains("no route"), "{}", diagnosis.sentence);
}

#[test]
fn an_incomplete_hello_is_neither_with_nor_without_sni() {
    let of =
        |counts: &[(&str, &str, u64)]| diagnose(&Inputs { wire: Some(wire(counts)), ..Inputs::default() });
    let all_refused = of(&[("unknown", "reset_by_gateway", 200)]);
    expect(&all_refused, Cause::NotEnoughEvidence, Confidence::Unknown);
    assert_eq!(
        all_refused.sentence,
        "200 handshakes were refused, of 200. Whether the ClientHellos had SNI is unknown: they are incomplete. 200 ClientHellos are \
         incomplete: their SNI is unknown."
    );
    assert_eq!(all_refused.steps[0].answer, Answer::Unknown);
    let some = of(&[("unknown", "server_hello", 1), ("present", "server_hello", 4)]);
    expect(&some, Cause::NotEnoughEvidence, Confidence::Unknown);
    assert_eq!(
        some.sentence,
        "No refusal was seen in 5 handshakes, but not everything was seen. 1 ClientHello is incomplete: its SNI is unknown."
    );
    expect(&of(&[("unknown", "server_hello", 9)]), Cause::NotEnoughEvidence, Confidence::Unknown);
    let besides = of(&[("unknown", "reset_by_gateway", 9), ("absent", "reset_by_gateway", 1)]);
    assert!(
        besides.sentence.contains("Besides, 9 handshakes with an incomplete ClientHello were refused."),
        "{}",
        besides.sentence
    );
}

#[test]
fn while_events_are_lost_nothing_is_said_to_be_well() {
    let mut lossy = wire(&[("present", "server_hello", 13_000)]);
    lossy.lost_events = 15_000;
    let diagnosis = diagnose(&Inputs { wire: Some(lossy), ..Inputs::default() });
    expect(&diagnosis, Cause::NotEnoughEvidence, Confidence::Unknown);
    assert_eq!(
        diagnosis.sentence,
        "No refusal was seen in 13000 handshakes, all with SNI, but not everything was seen. 15000 events were lost, so some \
         handshakes may be missing."
    );
    let mut refusing = resets("10.138.0.28");
    refusing.lost_events = 1;
    let diagnosis = diagnose(&Inputs { wire: Some(refusing), ..Inputs::default() });
    expect(&diagnosis, Cause::NoWildcardRoute, Confidence::Possible);
    assert!(diagnosis.sentence.ends_with(" 1 event was lost, so some handshakes may be missing."));
}

#[test]
fn what_was_not_read_is_listed_within_bounds() {
    let mut wire = wire(&[("present", "server_hello", 5)]);
    wire.unread = (0..7).map(|number| format!("frame {number} \u{1b}[31m")).collect();
    let diagnosis = diagnose(&Inputs { wire: Some(wire), ..Inputs::default() });
    expect(&diagnosis, Cause::NotEnoughEvidence, Confidence::Unknown);
    assert!(diagnosis.sentence.ends_with("; and 2 more."), "{}", diagnosis.sentence);
    assert!(!diagnosis.sentence.contains('\u{1b}'), "{}", diagnosis.sentence);
}

#[test]
fn what_cannot_be_told_is_not_told() {
    expect(&golden("not_enough_evidence", &Inputs::default()), Cause::NotEnoughEvidence, Confidence::Unknown);
    // A gateway that serves no client without SNI is no fault if there is no such client.
    let inputs = Inputs { check: Some(refused_check()), ..Inputs::default() };
    expect(&diagnose(&inputs), Cause::NotEnoughEvidence, Confidence::Unknown);
    // Configured well, yet refused: before or after?
    let inputs = Inputs { wire: Some(resets("10.138.0.28")), routes: Some(fixed()), ..Inputs::default() };
    expect(&diagnose(&inputs), Cause::NotEnoughEvidence, Confidence::Unknown);
    let inputs = Inputs { wire: Some(wire(&[])), ..Inputs::default() };
    expect(&diagnose(&inputs), Cause::NotEnoughEvidence, Confidence::Unknown);
}

#[test]
fn a_log_alone_does_not_tell_what_is_configured() {
    let inputs = Inputs { logs: Some(logs(7, 0)), ..Inputs::default() };
    let diagnosis = diagnose(&inputs);
    expect(&diagnosis, Cause::NotEnoughEvidence, Confidence::Unknown);
    assert!(diagnosis.sentence.contains("--routes, --kube or --check"), "{}", diagnosis.sentence);
    assert_eq!(diagnosis.steps[9].answer, Answer::Unknown);
    // The gateway says itself that it refuses them.
    let inputs = Inputs { check: Some(refused_check()), ..inputs };
    expect(&diagnose(&inputs), Cause::NoWildcardRoute, Confidence::Likely);
    // Virtual hosts without routes do not tell of a route.
    let path = "virtualhosts[0].additionalGateways";
    let finding = (FindingCode::NotInAdditionalGateways, "overrides.yaml", path, "[]");
    let mut overrides = routes(None, &[], &[finding]);
    overrides.routes.clear();
    let inputs = Inputs { routes: Some(overrides), check: None, ..inputs };
    let diagnosis = diagnose(&inputs);
    expect(&diagnosis, Cause::NotInAdditionalGateways, Confidence::Likely);
    assert!(diagnosis.sentence.contains("no wildcard route is listed"), "{}", diagnosis.sentence);
}

#[test]
fn a_target_that_is_not_there_is_no_evidence() {
    let mut closed = check(CheckVerdict::Unknown, [AttemptOutcome::Refused; 3]);
    closed.attempts.truncate(1);
    closed.address = Some("192.0.2.1:8443".to_owned());
    let inputs = Inputs { check: Some(closed.clone()), ..Inputs::default() };
    let diagnosis = diagnose(&inputs);
    expect(&diagnosis, Cause::NotEnoughEvidence, Confidence::Unknown);
    assert!(diagnosis.sentence.contains("nothing listens at api-test.mydomain.com:8443"));
    closed.address = None;
    closed.attempts[0].outcome = AttemptOutcome::Unreachable;
    let diagnosis = diagnose(&Inputs { check: Some(closed), ..Inputs::default() });
    expect(&diagnosis, Cause::NotEnoughEvidence, Confidence::Unknown);
    assert!(diagnosis.sentence.contains("cannot be resolved"), "{}", diagnosis.sentence);
}

#[test]
fn a_check_tells_no_more_than_was_tried() {
    let mut other = check(CheckVerdict::NonSniOtherCertificate, [AttemptOutcome::Handshake; 3]);
    let certificate = other.attempts[1].certificate.as_mut().unwrap();
    certificate.subject = "fallback".to_owned();
    certificate.matches_host = false;
    let inputs = Inputs { check: Some(other.clone()), ..Inputs::default() };
    let sentence = diagnose(&inputs).sentence;
    assert!(sentence.contains("get CN fallback, which does not match api-test.mydomain.com"), "{sentence}");
    other.attempts.remove(0);
    let sentence = diagnose(&Inputs { check: Some(other), ..Inputs::default() }).sentence;
    assert!(sentence.contains("no name was tried"), "{sentence}");
}

#[test]
fn a_name_is_routed_as_the_gateway_routes_it() {
    let mut routes = fixed();
    assert!(is_routed(&routes, "any.example.com"), "the wildcard route takes all");
    routes.serves_non_sni = Some(false);
    assert!(!is_routed(&routes, "any.example.com"));
    assert!(is_routed(&routes, "API-test.mydomain.com"));
    routes.routes[0].hostnames = vec!["ns/*.Example.com".to_owned(), "*/b.example.org".to_owned()];
    for (name, expected) in
        [("a.example.com", true), ("example.com", false), ("b.example.org", true), ("c.example.org", false)]
    {
        assert_eq!(is_routed(&routes, name), expected, "{name}");
    }
    // A log is not the wire.
    let inputs = Inputs { logs: Some(logs(0, 4)), routes: Some(no_wildcard()), ..Inputs::default() };
    expect(&diagnose(&inputs), Cause::UnknownName, Confidence::Likely);
}

#[test]
fn a_null_in_the_log_is_no_proof_the_wire_is() {
    let mut logs = logs(7, 0);
    let inputs = Inputs { logs: Some(logs.clone()), routes: Some(no_wildcard()), ..Inputs::default() };
    expect(&diagnose(&inputs), Cause::NoWildcardRoute, Confidence::Likely);
    logs.joined = Some(Joined { events: 7, really_without_sni: 7, ..Joined::default() });
    let inputs = Inputs { logs: Some(logs.clone()), ..inputs };
    expect(&diagnose(&inputs), Cause::NoWildcardRoute, Confidence::Certain);
    logs.joined = Some(Joined { events: 7, had_a_name: 7, ..Joined::default() });
    let inputs = Inputs { logs: Some(logs), ..inputs };
    expect(&diagnose(&inputs), Cause::UnknownName, Confidence::Likely);
}

#[test]
fn each_cause_has_a_section() {
    let page = include_str!("../../../../../docs/causes.md");
    for cause in Cause::ALL {
        assert!(page.contains(&format!("\n## {cause}\n")), "{cause}");
        assert!(page.contains(&format!("[`{cause}`](#{cause})")), "{cause}");
    }
}

/// Messages of clients with the cause that follows where nothing else is known.
#[test]
fn a_message_alone_names_the_cause_where_it_can() {
    for (text, cause) in [
        ("curl: (35) Recv failure: Connection reset by peer", Cause::NotEnoughEvidence),
        ("* TLSv1.3 (IN), TLS alert, unrecognized name (624):", Cause::UnknownName),
        ("Received fatal alert: 112", Cause::UnknownName),
        ("remote error: tls: protocol version not supported", Cause::TlsMismatch),
        ("remote error: tls: bad certificate", Cause::ClientCertificateRequired),
        (
            "curl: (60) SSL certificate problem: unable to get local issuer certificate",
            Cause::CertificateRejected,
        ),
        ("javax.net.ssl.SSLPeerUnverifiedException: Hostname a.b not verified", Cause::CertificateRejected),
        ("http: server gave HTTP response to HTTPS client", Cause::PlainHttpPort),
        // A line of a server: its other side is the client.
        (
            "http: TLS handshake error from 192.0.2.7:1: remote error: tls: bad certificate",
            Cause::NotEnoughEvidence,
        ),
        ("no message of a program", Cause::NotEnoughEvidence),
    ] {
        let message = Some(crate::diagnose::message::meaning(text));
        let alone = diagnose(&Inputs { message: message.clone(), ..Inputs::default() });
        assert_eq!(alone.cause, cause, "{text}: {:?}", alone.message);
        // A message of a failure excludes that nothing is wrong.
        let wire = Some(wire(&[("present", "established", 5)]));
        let beside = diagnose(&Inputs { wire, message, ..Inputs::default() });
        let is_known = text != "no message of a program";
        assert_eq!(beside.cause == Cause::NothingWrong, !is_known, "{text}: {}", beside.sentence);
    }
}
