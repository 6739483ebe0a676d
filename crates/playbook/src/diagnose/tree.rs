//! The decision tree: the questions that a person asks, in their order, with what was found.

use sni_probe_model::facts::{Certainty, Fact, FactName};
use sni_probe_model::{Fate, OutcomeClass, Word};
use sni_probe_terminal::{printable, printable_within};

use super::judge::{is_routed, refused_names, serves_without_sni};
use super::model::{Answer, Inputs, Step};
use super::wire::{WireFacts, is_load_balancer};
use crate::check::report::{AttemptKind, AttemptOutcome, CheckVerdict};
use crate::routes::report::FindingCode;

/// Clients, names, findings that are shown for a question.
const SHOWN: usize = 5;
/// Characters of a line of a log that are shown.
const LINE: usize = 300;

/// All questions with their answers.
pub(super) fn steps(inputs: &Inputs) -> Vec<Step> {
    vec![
        without_sni(inputs),
        refused(inputs),
        by_the_gateway(inputs),
        separated(inputs),
        logged(inputs),
        load_balancer(inputs),
        wildcard(inputs),
        enabled(inputs),
        listed(inputs),
        unknown_names(inputs),
        mismatch(inputs),
        served_now(inputs),
    ]
}

fn step(question: &'static str, answer: Option<bool>, evidence: Vec<String>) -> Step {
    let answer = match answer {
        Some(true) => Answer::Yes,
        Some(false) => Answer::No,
        None => Answer::Unknown,
    };
    Step { question, answer, evidence }
}

fn without_sni(inputs: &Inputs) -> Step {
    let (mut answer, mut evidence) = (None, Vec::new());
    if let Some(wire) = inputs.wire.as_ref() {
        let (all, without) = (wire.handshakes(), wire.without_sni());
        // Where something was not seen, nothing says that there are none.
        let is_complete = wire.lost_events == 0 && wire.with_sni() + without == all;
        answer = (without > 0 || all > 0 && is_complete).then_some(without > 0);
        evidence.push(format!("{}: {without} of {all} handshakes", printable_within(LINE, &wire.source)));
        for client in wire.clients.iter().take(SHOWN) {
            let likely = client
                .likely
                .as_ref()
                .map_or_else(String::new, |likely| format!(", likely {}", printable(likely)));
            evidence.push(format!(
                "{}: without SNI: {}, refused: {}{likely}",
                printable(&client.label),
                client.refusals.handshakes,
                client.refusals.refused
            ));
        }
        if wire.other_clients.handshakes > 0 {
            evidence.push(format!(
                "all other clients: without SNI: {}, refused: {}",
                wire.other_clients.handshakes, wire.other_clients.refused
            ));
        }
        let unknown = wire.unknown_sni();
        if unknown > 0 {
            evidence.push(format!(
                "incomplete ClientHellos, SNI unknown: {unknown}, refused: {}",
                wire.refused_with_unknown_sni()
            ));
        }
        if wire.lost_events > 0 {
            evidence.push(format!(
                "events lost before they reached the daemon: {}; some handshakes were not seen",
                wire.lost_events
            ));
        }
        let remarks = wire.unread.iter().chain(&wire.remarks);
        evidence.extend(remarks.map(|remark| printable_within(LINE, remark)));
    }
    if let Some(logs) = &inputs.logs {
        evidence.push(format!(
            "{}: {} of {} entries without a filter chain, {} of them with a null sni_host",
            files(&logs.files),
            logs.no_filter_chain,
            logs.entries,
            logs.sni_null
        ));
        match &logs.joined {
            Some(joined) => {
                answer = answer.or(Some(joined.really_without_sni > 0));
                evidence.push(format!(
                    "of those, sni-probe saw {} without SNI and {} with a name",
                    joined.really_without_sni, joined.had_a_name
                ));
            }
            None if logs.sni_null > 0 && answer.is_none() => {
                evidence
                    .push("in some versions of Envoy a null is no proof that there was no SNI".to_owned());
                answer = Some(true);
            }
            None => {}
        }
        evidence.extend(logs.notes.iter().map(|note| printable_within(LINE, note)));
        evidence.extend(logs.sample.iter().map(|line| printable_within(LINE, line)));
    }
    evidence.extend(inputs.notes.iter().map(|note| printable_within(LINE, note)));
    step("Do clients connect without SNI?", answer, evidence)
}

fn refused(inputs: &Inputs) -> Step {
    let (mut answer, mut evidence) = (None, Vec::new());
    if let Some(wire) = inputs.wire.as_ref().filter(|wire| wire.without_sni() > 0) {
        let refused = wire.refused_without_sni(serves_without_sni(inputs));
        answer = Some(refused > 0);
        evidence.push(format!("refused: {refused}; served: {}", wire.served_without_sni()));
    }
    if let Some(logs) = &inputs.logs {
        let without =
            logs.joined.as_ref().map_or(logs.sni_null, |joined| joined.really_without_sni) + logs.sni_invalid;
        if without > 0 {
            answer = answer.or(Some(true));
            evidence.push(format!("in the log, refused without a name: {without}"));
        }
    }
    step("Does the gateway refuse clients without SNI?", answer, evidence)
}

fn by_the_gateway(inputs: &Inputs) -> Step {
    let (mut answer, mut evidence) = (None, Vec::new());
    if let Some(wire) = inputs.wire.as_ref().filter(|wire| wire.handshakes() > 0) {
        let is_served = serves_without_sni(inputs);
        let by_gateway = wire.refused_without_sni(is_served)
            + wire.refused_with_name()
            + wire.refused_with_unknown_sni()
            + wire.mismatches(is_served);
        let certificates = wire.client_certificates_refused();
        let elsewhere = wire.failed_elsewhere() + wire.certificates_rejected();
        answer = (by_gateway + certificates + elsewhere > 0).then_some(by_gateway + certificates > 0);
        let for_certificates = match certificates {
            0 => String::new(),
            certificates => format!("for the client certificate: {certificates}; "),
        };
        evidence.push(format!(
            "refused by the gateway: {by_gateway}; {for_certificates}ended by a timeout or the client: {elsewhere}"
        ));
        let not_served =
            |outcome: &Word<OutcomeClass>| outcome.is_failure() || outcome.fate(None) != Fate::Served;
        for count in wire.counts.iter().filter(|count| not_served(&count.outcome)).take(2 * SHOWN) {
            evidence.push(format!(
                "sni {}, {}: {}",
                printable(count.sni.as_str()),
                printable(count.outcome.as_str()),
                count.handshakes
            ));
        }
    }
    step("Is it the gateway that ends the connections that fail?", answer, evidence)
}

/// Whether the refused handshakes differ from the served ones by anything but the name.
fn separated(inputs: &Inputs) -> Step {
    let question = "Does anything but the name separate the refused connections?";
    let Some(wire) = inputs.wire.as_ref().filter(|wire| wire.facts().next().is_some()) else {
        return step(question, None, Vec::new());
    };
    let separates = |fact: &Fact| {
        let is_about_names = matches!(
            fact.name(),
            None | Some(
                FactName::OneName
                    | FactName::TrailingDot
                    | FactName::UpperCase
                    | FactName::HealthCheck
                    | FactName::RefusalShape
            )
        );
        fact.certainty == Certainty::Fact && !is_about_names
    };
    let is_separated = wire.facts().any(|(_, fact)| separates(fact));
    let names = wire.facts().any(|(_, fact)| {
        fact.certainty == Certainty::Fact
            && matches!(fact.name(), Some(FactName::OneName | FactName::TrailingDot | FactName::UpperCase))
    });
    let answer = if is_separated { Some(true) } else { names.then_some(false) };
    step(question, answer, facts(wire).take(2 * SHOWN).collect())
}

/// Whether the log has failures for which the gateway gives another reason than a missing filter chain.
fn logged(inputs: &Inputs) -> Step {
    let question = "Does the gateway's log give another reason?";
    let Some(logs) = &inputs.logs else { return step(question, None, Vec::new()) };
    let kinds = logs.failure_kinds.iter().map(|kind| format!("{}: {}", printable(&kind.name), kind.count));
    let failures = logs.other_failures.iter();
    let failures =
        failures.map(|failure| format!("in the log: {}: {}", printable(&failure.name), failure.count));
    let evidence: Vec<String> = kinds.take(SHOWN).chain(failures.take(SHOWN)).collect();
    let answer = (logs.entries > 0).then_some(!evidence.is_empty());
    step(question, answer, evidence)
}

/// A line for each fact about the refusals.
fn facts(wire: &WireFacts) -> impl Iterator<Item = String> {
    wire.facts().map(|(gateway, fact)| {
        let certainty = if fact.certainty == Certainty::Fact { "" } else { "hint: " };
        printable_within(LINE, &format!("{gateway}: {certainty}{}", fact.sentence))
    })
}

/// Whether load balancers or health checks send them. That none do is never known: a load balancer may have any address.
fn load_balancer(inputs: &Inputs) -> Step {
    let (mut answer, mut evidence) = (None, Vec::new());
    if let Some(wire) = inputs.wire.as_ref().filter(|wire| wire.without_sni() > 0) {
        let expected = wire.expected;
        answer = (expected.handshakes > 0).then_some(true);
        if expected.handshakes > 0 {
            evidence.push(format!(
                "from Google's load balancers or --expected-non-sni, without SNI: {}, refused: {}",
                expected.handshakes, expected.refused
            ));
        }
        for (gateway, fact) in wire.facts().filter(|(_, fact)| fact.name() == Some(FactName::HealthCheck)) {
            answer = Some(true);
            evidence.push(printable_within(LINE, &format!("{gateway}: {}", fact.sentence)));
        }
    }
    for client in inputs.logs.iter().flat_map(|logs| &logs.by_client) {
        if is_load_balancer(&client.name) && evidence.len() < 2 * SHOWN {
            answer = Some(true);
            evidence.push(format!("in the log: {} {}", printable(&client.name), client.count));
        }
    }
    step("Do they come from a load balancer or a health check?", answer, evidence)
}

fn wildcard(inputs: &Inputs) -> Step {
    let Some(routes) = &inputs.routes else { return step("Is there a wildcard route?", None, Vec::new()) };
    let wildcards: Vec<_> = routes.routes.iter().filter(|route| route.wildcard).collect();
    let mut evidence = vec![format!("{}: routes: {}", files(&routes.sources), routes.routes.len())];
    for route in wildcards.iter().take(SHOWN) {
        let (kind, namespace) = (printable(&route.kind), printable(&route.namespace));
        evidence.push(format!("{kind} {namespace}/{} has the host name *", printable(&route.name)));
    }
    if wildcards.is_empty() {
        let hosts = routes.routes.iter().flat_map(|route| &route.hostnames).take(SHOWN);
        let hosts: Vec<String> = hosts.map(|host| printable(host)).collect();
        evidence.push(format!(
            "host names: {}",
            if hosts.is_empty() { "none".to_owned() } else { hosts.join(", ") }
        ));
    }
    let codes = [
        FindingCode::NoWildcardRoute,
        FindingCode::SelectorMismatch,
        FindingCode::PortMismatch,
        FindingCode::NoCredential,
        FindingCode::NotRunning,
        FindingCode::TlsNotTerminated,
    ];
    evidence.extend(findings(inputs, &codes));
    let answer = if routes.routes.is_empty() { None } else { Some(!wildcards.is_empty()) };
    step("Is there a wildcard route?", answer, evidence)
}

fn enabled(inputs: &Inputs) -> Step {
    let wildcards = inputs.routes.iter().flat_map(|routes| &routes.routes).filter(|route| route.wildcard);
    let flags: Vec<_> = wildcards.map(|route| (route, route.enable_non_sni_client)).collect();
    let apigee = flags.iter().filter(|(route, _)| route.kind == "ApigeeRoute");
    let mut evidence = Vec::new();
    let mut answer = None;
    for (route, flag) in apigee {
        answer = Some(answer.unwrap_or(false) || *flag == Some(true));
        let flag = flag.map_or_else(|| "(none)".to_owned(), |flag| flag.to_string());
        let (namespace, name) = (printable(&route.namespace), printable(&route.name));
        evidence.push(format!("{namespace}/{name} spec.enableNonSniClient: {flag}"));
    }
    evidence.extend(findings(inputs, &[FindingCode::NonSniClientNotEnabled]));
    step("Does it have enableNonSniClient: true?", answer, evidence)
}

fn listed(inputs: &Inputs) -> Step {
    let Some(routes) = &inputs.routes else {
        return step("Is it listed in additionalGateways?", None, Vec::new());
    };
    let codes = [FindingCode::NotInAdditionalGateways, FindingCode::UnknownAdditionalGateway];
    let mut evidence: Vec<String> = routes
        .virtual_hosts
        .iter()
        .take(SHOWN)
        .map(|host| {
            format!(
                "virtualhosts {} additionalGateways: [{}]",
                printable(&host.name),
                host.additional_gateways.iter().map(|name| printable(name)).collect::<Vec<_>>().join(", ")
            )
        })
        .collect();
    let wrong = findings(inputs, &codes);
    let names: Vec<&str> =
        routes.routes.iter().filter(|route| route.wildcard).map(|route| route.name.as_str()).collect();
    let is_told = !names.is_empty()
        && (!routes.virtual_hosts.is_empty()
            || routes.routes.iter().any(|route| route.kind == "ApigeeRoute" && !route.wildcard));
    let answer = is_told.then_some(wrong.is_empty());
    evidence.extend(wrong);
    step("Is it listed in additionalGateways?", answer, evidence)
}

fn unknown_names(inputs: &Inputs) -> Step {
    let mut evidence = Vec::new();
    for (name, count) in inputs.wire.iter().flat_map(|wire| &wire.refused_names).take(SHOWN) {
        let is_served = inputs.wire.as_ref().is_some_and(|wire| wire.served_names.contains(name));
        let served = if is_served { ", and served in other handshakes" } else { "" };
        evidence.push(format!("{}: refused: {count}{served}", printable(name)));
    }
    for name in inputs.logs.iter().flat_map(|logs| &logs.by_name).take(SHOWN) {
        evidence.push(format!(
            "in the log: {}: {} without a filter chain",
            printable(&name.name),
            name.count
        ));
    }
    if let Some(routes) = &inputs.routes {
        for name in refused_names(inputs).take(SHOWN) {
            let is = if is_routed(routes, name) { "is" } else { "is not" };
            evidence.push(format!("{} {is} a host name of a route", printable(name)));
        }
    }
    let by_wire = inputs.wire.as_ref().filter(|wire| wire.handshakes() > 0);
    let answer = match (by_wire, &inputs.logs) {
        (Some(wire), _) => Some(wire.refused_with_name() > 0),
        (None, Some(logs)) => {
            let had_a_name = logs.sni_present + logs.joined.as_ref().map_or(0, |joined| joined.had_a_name);
            // A null, or a format without the field, may have been a name.
            let is_open = logs.sni_not_logged > 0 || logs.sni_null > 0 && logs.joined.is_none();
            if had_a_name == 0 && is_open { None } else { Some(had_a_name > 0) }
        }
        (None, None) => None,
    };
    step("Are clients refused that send a name?", answer, evidence)
}

fn mismatch(inputs: &Inputs) -> Step {
    let mut evidence = Vec::new();
    let mut answer = None;
    if let Some(wire) = inputs.wire.as_ref().filter(|wire| wire.handshakes() > 0) {
        answer = Some(wire.mismatches(serves_without_sni(inputs)) > 0);
        for alert in wire.alerts.iter().take(2 * SHOWN) {
            evidence.push(format!(
                "alert {} of the {}, sni {}: {}",
                printable(alert.description.as_str()),
                printable(alert.sender.as_str()),
                printable(alert.sni.as_str()),
                alert.alerts
            ));
        }
        let versions = wire.tls_versions.iter().take(SHOWN);
        let versions: Vec<String> = versions.map(|(version, n)| format!("{version} ({n})")).collect();
        if !versions.is_empty() {
            evidence.push(format!("highest TLS version offered: {}", versions.join(", ")));
        }
    }
    step("Is it a matter of TLS versions or cipher suites?", answer, evidence)
}

fn served_now(inputs: &Inputs) -> Step {
    let question = "Does the gateway serve a client without SNI now?";
    let Some(check) = &inputs.check else { return step(question, None, Vec::new()) };
    let mut evidence =
        vec![format!("{}: {}", printable(&check.target), printable_within(LINE, &check.sentence))];
    for attempt in &check.attempts {
        let kind = match attempt.kind {
            AttemptKind::Named => "with the name",
            AttemptKind::WithoutSni => "without SNI",
            AttemptKind::UnknownName => "with an unknown name",
            AttemptKind::ExactName => "with the name as given",
            AttemptKind::PostQuantum => "with a post-quantum hello",
        };
        let outcome = match attempt.outcome {
            AttemptOutcome::Handshake => "handshake",
            AttemptOutcome::ServerHello => "ServerHello (not completed)",
            AttemptOutcome::RejectedByHttp => "rejected by HTTP",
            AttemptOutcome::Reset => "reset",
            AttemptOutcome::Alert => "alert",
            AttemptOutcome::Closed => "closed",
            AttemptOutcome::Refused => "refused",
            AttemptOutcome::Timeout => "timeout",
            AttemptOutcome::NotTls => "no TLS",
            AttemptOutcome::Unsupported => "an answer of a TLS version before 1.2",
            AttemptOutcome::Unreachable => "unreachable",
        };
        let details = [&attempt.alert, &attempt.tls_version].into_iter().flatten();
        let details = details.fold(String::new(), |text, detail| format!("{text} {}", printable(detail)));
        let subject = attempt.certificate.as_ref();
        let subject =
            subject.map_or_else(String::new, |shown| format!(", certificate {}", printable(&shown.subject)));
        evidence.push(format!("{kind}: {outcome}{details}{subject}"));
    }
    let answer = match check.verdict {
        CheckVerdict::NonSniRefused => Some(false),
        CheckVerdict::NonSniSameCertificate | CheckVerdict::NonSniOtherCertificate => Some(true),
        CheckVerdict::NameRefused | CheckVerdict::RejectedByHttp | CheckVerdict::Unknown => None,
    };
    step(question, answer, evidence)
}

/// Findings with these codes, each with file, field, value and what it should be.
fn findings(inputs: &Inputs, codes: &[FindingCode]) -> Vec<String> {
    let all = inputs.routes.iter().flat_map(|routes| &routes.findings);
    all.filter(|finding| codes.contains(&finding.code))
        .take(SHOWN)
        .map(|finding| {
            format!(
                "{} {}: is {}, should be {}",
                printable(&finding.object),
                printable(&finding.path),
                printable(&finding.value),
                printable(&finding.expected)
            )
        })
        .collect()
}

fn files(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| printable_within(LINE, name)).collect();
    if names.len() > SHOWN {
        format!("{} and {} more", shown.join(", "), names.len() - SHOWN)
    } else {
        shown.join(", ")
    }
}
