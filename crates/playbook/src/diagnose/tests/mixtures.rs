//! Random mixtures of inputs: no verdict is contradicted by one of them.

use std::net::{Ipv4Addr, SocketAddr};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;
use sni_probe_core::observation::{Handshake, Observation, Outcome, Sni};
use sni_probe_core::vocabulary::AlertDescription;
use sni_probe_model::facts::{Certainty, FactName};

use super::*;
use crate::diagnose::wire::of_observations;

const NAMES: [&str; 4] = [NAME, "old.mydomain.com", "api-test.mydomain.com.", "API-test.mydomain.com"];

fn outcome() -> impl Strategy<Value = Outcome> {
    use AlertDescription::{HandshakeFailure, InternalError, ProtocolVersion, UnknownCa, UnrecognizedName};
    let alert = |sender| {
        select(vec![UnrecognizedName, HandshakeFailure, ProtocolVersion, InternalError, UnknownCa])
            .prop_map(move |description| Outcome::Alert { description, sender })
    };
    prop_oneof![
        6 => Just(Outcome::ServerHello),
        6 => Just(Outcome::ResetByGateway),
        2 => Just(Outcome::ClosedByGateway),
        2 => alert(AlertSender::Gateway),
        1 => alert(AlertSender::Client),
        1 => Just(Outcome::ResetByClient),
        1 => Just(Outcome::Timeout),
        1 => Just(Outcome::RejectedByClient { alert: None }),
        1 => Just(Outcome::GatewayClosedFirst),
    ]
}

fn sni() -> impl Strategy<Value = Sni> {
    prop_oneof![
        4 => Just(Sni::Absent),
        8 => select(NAMES.to_vec()).prop_map(|name| Sni::Present(name.to_owned())),
        1 => Just(Sni::Unknown),
    ]
}

prop_compose! {
    /// Handshakes that are alike, as one client makes them.
    fn handshakes()(
        sni in sni(), outcome in outcome(), gateway in 1..3_u8, length in select(vec![300_u32, 1_600]), segments in 1..3_u8,
        count in 1..6_usize,
    ) -> Vec<Observation> {
        let mut handshake = Handshake::example();
        handshake.flow.gateway = SocketAddr::new(Ipv4Addr::new(198, 51, 100, gateway).into(), 443);
        if sni == Sni::Unknown {
            handshake.hello.body = None;
        } else if let (Sni::Present(name), Some(body)) = (&sni, &mut handshake.hello.body) {
            body.name_as_sent = Some(name.clone());
        }
        handshake.hello.sni = match sni {
            Sni::Present(name) => Sni::Present(name.to_ascii_lowercase()),
            other => other,
        };
        handshake.hello.length = length;
        handshake.hello.segments = segments.into();
        handshake.outcome = outcome;
        vec![Observation::Handshake(handshake.into()); count]
    }
}

fn wire_facts() -> impl Strategy<Value = WireFacts> {
    let seen = prop::collection::vec(handshakes(), 0..6);
    (seen, prop_oneof![4 => Just(0_u64), 1 => 1..9_u64], prop::bool::weighted(0.1)).prop_map(
        |(seen, lost_events, is_cut)| {
            let mut wire = of_observations(seen.iter().flatten());
            wire.lost_events = lost_events;
            if is_cut {
                wire.unread.push("2 frames of a link type that is not read".to_owned());
            }
            wire
        },
    )
}

const KINDS: [&str; 9] = [
    "plain_http_client",
    "no_certificate",
    "tls_mismatch",
    "client_certificate_required",
    "certificate_rejected",
    "upstream_unreachable",
    "incomplete_hellos",
    "no_reason",
    "other",
];

fn logs_report() -> impl Strategy<Value = LogsReport> {
    let kinds = prop::collection::btree_map(select(KINDS.to_vec()), 1..9_u64, 0..3);
    (select(vec![0_u64, 0, 3]), select(vec![0_u64, 0, 4]), kinds, select(vec![0_u64, 0, 2])).prop_map(
        |(null, named, kinds, other_lines)| {
            let mut report = logs(null, named);
            report.failure_kinds = kinds
                .iter()
                .map(|(name, count)| Counted { name: (*name).to_owned(), count: *count })
                .collect();
            report.other_failures = report.failure_kinds.clone();
            report.other_lines = other_lines;
            report
        },
    )
}

fn routes_report() -> impl Strategy<Value = RoutesReport> {
    let not_enabled =
        (FindingCode::NonSniClientNotEnabled, "apigee/non-sni", "spec.enableNonSniClient", "false");
    let not_programmed = (FindingCode::NotProgrammed, "apigee/non-sni", "status.conditions", "False");
    let no_certificate = (FindingCode::RefsNotResolved, "apigee/non-sni", "status.conditions", "False");
    select(vec![
        no_wildcard(),
        fixed(),
        routes(Some(false), &["non-sni"], &[not_enabled]),
        routes(Some(true), &["non-sni"], &[not_programmed]),
        routes(Some(true), &["non-sni"], &[no_certificate]),
    ])
}

fn check_report() -> impl Strategy<Value = CheckReport> {
    use AttemptOutcome::{Alert, Handshake, RejectedByHttp, Reset, Timeout};
    select(vec![
        refused_check(),
        served_check(),
        check(CheckVerdict::NameRefused, [Reset; 3]),
        check(CheckVerdict::NameRefused, [Alert; 3]),
        check(CheckVerdict::Unknown, [Timeout; 3]),
        check(CheckVerdict::NonSniSameCertificate, [Handshake, Handshake, Reset]),
        check(CheckVerdict::RejectedByHttp, [Handshake, RejectedByHttp, Reset]),
    ])
}

fn inputs() -> impl Strategy<Value = Inputs> {
    let wire = prop::option::weighted(0.8, wire_facts());
    let logs = prop::option::of(logs_report());
    let routes = prop::option::of(routes_report());
    let check = prop::option::of(check_report());
    (wire, logs, routes, check).prop_map(|(wire, logs, routes, check)| Inputs {
        wire,
        logs,
        routes,
        check,
        ..Inputs::default()
    })
}

/// What of the inputs contradicts the verdict.
#[expect(clippy::too_many_lines, reason = "a case for each cause")]
fn contradiction(inputs: &Inputs, diagnosis: &Diagnosis) -> Option<&'static str> {
    let none = WireFacts::default();
    let wire = inputs.wire.as_ref().unwrap_or(&none);
    let sum = |is: &dyn Fn(&Count) -> bool| -> u64 {
        wire.counts.iter().filter(|count| is(count)).map(|count| count.handshakes).sum()
    };
    let of_outcome = |outcome: OutcomeClass| sum(&|count| count.outcome.known() == Some(outcome));
    let refused_alerts = |is: &dyn Fn(&AlertCount) -> bool| -> u64 {
        let refused = wire.alerts.iter().filter(|alert| alert.fate() == Fate::Refused && is(alert));
        refused.map(|alert| alert.alerts).sum()
    };
    let refused = |is: &dyn Fn(&Word<SniClass>) -> bool| {
        sum(&|count| is(&count.sni) && count.outcome.fate(None) == Fate::Refused)
            + refused_alerts(&|alert| is(&alert.sni))
    };
    let fact = |wanted: FactName| wire.facts().any(|(_, fact)| fact.name() == Some(wanted));
    let sure = |wanted: FactName| {
        wire.facts().any(|(_, fact)| fact.name() == Some(wanted) && fact.certainty == Certainty::Fact)
    };
    let log = inputs.logs.clone().unwrap_or_default();
    let kind = |wanted: &str| log.failure_kinds.iter().any(|kind| kind.name == wanted);
    let attempt = |wanted: AttemptKind| {
        inputs.check.as_ref().and_then(|check| check.attempts.iter().find(|attempt| attempt.kind == wanted))
    };
    let outcome_of = |wanted| attempt(wanted).map(|attempt| attempt.outcome);
    let is_served = |outcome| matches!(outcome, AttemptOutcome::Handshake | AttemptOutcome::RejectedByHttp);
    let named = outcome_of(AttemptKind::Named);
    let without = outcome_of(AttemptKind::WithoutSni);
    let missed = wire.lost_events > 0
        || wire.unknown_sni() > 0
        || !wire.unread.is_empty()
        || log.other_lines > 0
        || !log.unread.is_empty();
    let failed = sum(&|count| count.outcome.fate(None) != Fate::Served);
    let log_failures = log.no_filter_chain > 0 || !log.other_failures.is_empty();
    if diagnosis.confidence == Confidence::Certain && missed {
        return Some("not everything was seen");
    }
    let findings = inputs.routes.iter().flat_map(|routes| &routes.findings);
    let has = |codes: &[FindingCode]| findings.clone().any(|finding| codes.contains(&finding.code));
    let is_contradicted = match diagnosis.cause {
        Cause::NothingWrong => {
            missed || failed > 0 || log_failures || named.is_some_and(|named| !is_served(named))
        }
        Cause::NoWildcardRoute
        | Cause::NonSniClientNotEnabled
        | Cause::NotInAdditionalGateways
        | Cause::LoadBalancer => {
            let is_possible = refused(&Word::is_without_sni) > 0
                || log.sni_null > 0
                || has(&[FindingCode::NonSniClientNotEnabled, FindingCode::NoWildcardRoute]);
            let is_served_now = without.is_some_and(is_served)
                && inputs.routes.as_ref().is_none_or(|routes| routes.serves_non_sni != Some(false));
            !is_possible
                || is_served_now
                || inputs.routes.as_ref().is_some_and(|routes| routes.serves_non_sni == Some(true))
        }
        Cause::UnknownName => {
            let mut refused_names = wire.refused_names.iter().map(|(name, _)| name.as_str());
            let is_unserved = refused_names.any(|name| !wire.served_names.contains(name));
            let is_respelled = fact(FactName::TrailingDot) || fact(FactName::UpperCase);
            // Another gateway may serve the name.
            let is_unserved = is_unserved || sure(FactName::OneName);
            let of_check = named.is_some_and(|named| !is_served(named));
            !(is_unserved || is_respelled || log.sni_present > 0 || of_check)
        }
        Cause::NotAboutNames => {
            !(sure(FactName::RefusesEverything) || named.is_some_and(|named| !is_served(named)))
        }
        Cause::ProxyProtocolMismatch => !sure(FactName::ProxyHeader),
        Cause::HelloTooLarge => !sure(FactName::HelloSize),
        Cause::SplitHello => !(sure(FactName::SplitHello) || sure(FactName::TwoRecords)),
        Cause::IncompleteHellos => !(fact(FactName::Incomplete) || kind("incomplete_hellos")),
        Cause::AlpnMismatch => !sure(FactName::Alpn),
        Cause::TlsMismatch => {
            let says_so = refused_alerts(&|alert| {
                matches!(
                    alert.description.known(),
                    Some(AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure)
                )
            });
            let of_check = attempt(AttemptKind::Named).is_some_and(|named| named.alert.is_some());
            !(says_so > 0 || sure(FactName::Versions) || kind("tls_mismatch") || of_check)
        }
        Cause::GatewayClosedFirst => of_outcome(OutcomeClass::GatewayClosedFirst) == 0,
        Cause::PlainHttpPort => !fact(FactName::PlainHttpAnswer),
        Cause::PlainHttpClient => !(fact(FactName::PlainHttpRequest) || kind("plain_http_client")),
        Cause::CertificateRejected => {
            of_outcome(OutcomeClass::RejectedByClient) == 0 && !kind("certificate_rejected")
        }
        Cause::ClientCertificateRequired => !kind("client_certificate_required"),
        Cause::NoCertificate => {
            !(kind("no_certificate") || has(&[FindingCode::RefsNotResolved, FindingCode::NoCredential]))
        }
        Cause::NotProgrammed => !has(&[FindingCode::NotProgrammed]),
        Cause::UpstreamUnreachable => !kind("upstream_unreachable"),
        Cause::RejectedByHttp => without != Some(AttemptOutcome::RejectedByHttp),
        Cause::NotTheGateway => {
            let ended = of_outcome(OutcomeClass::Timeout)
                + of_outcome(OutcomeClass::ResetByClient)
                + of_outcome(OutcomeClass::Alert);
            ended == 0 && named != Some(AttemptOutcome::Timeout)
        }
        Cause::NotEnoughEvidence => false,
    };
    is_contradicted.then_some("an input says otherwise")
}

/// The same mixtures in each run; with `PROPTEST_CASES`, others.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return default;
    }
    ProptestConfig { cases: 1_500, rng_seed: RngSeed::Fixed(20), ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_input_contradicts_the_verdict(inputs in inputs()) {
        let diagnosis = diagnose(&inputs);
        let why = contradiction(&inputs, &diagnosis);
        prop_assert!(why.is_none(), "{why:?}: {} {:?}: {}\n{inputs:#?}", diagnosis.cause, diagnosis.confidence, diagnosis.sentence);
        // A cause that is not named is not in doubt.
        let has_fix = !matches!(diagnosis.cause, Cause::NothingWrong | Cause::NotEnoughEvidence);
        prop_assert_eq!(diagnosis.fix.is_some(), has_fix);
        prop_assert!(show::text(&diagnosis, false).lines().all(|line| line.chars().all(|it| it == '\t' || !it.is_control())));
    }
}
