//! No client was seen: what the configuration says, and what the gateway answers to a check.

use sni_probe_terminal::printable;

use super::super::model::{Cause, Confidence, Inputs};
use super::{Judgement, caveat, is_served_now};
use crate::check::report::{Attempt, AttemptKind, AttemptOutcome, CheckReport, CheckVerdict};
use crate::routes::report::{Finding, FindingCode, RoutesReport};

/// The first thing that keeps clients without SNI out, and which of the causes that is.
pub(super) fn configured_wrong(routes: &RoutesReport) -> Option<(Cause, String)> {
    let find = |codes: &[FindingCode]| routes.findings.iter().find(|finding| codes.contains(&finding.code));
    let place = |finding: &Finding| format!("{} {}", printable(&finding.object), printable(&finding.path));
    let is = |finding: &Finding| {
        format!("is {} and should be {}", printable(&finding.value), printable(&finding.expected))
    };
    if let Some(finding) = find(&[FindingCode::NoWildcardRoute]) {
        // Another gateway, or another port, may have one.
        let why = if routes.routes.iter().any(|route| route.wildcard) {
            format!("no listener takes every host name: {} {}", place(finding), is(finding))
        } else {
            "no route has the host name *".to_owned()
        };
        return Some((Cause::NoWildcardRoute, why));
    }
    if let Some(finding) = find(&[FindingCode::NonSniClientNotEnabled]) {
        let why = format!("the wildcard route does not enable them: {} {}", place(finding), is(finding));
        return Some((Cause::NonSniClientNotEnabled, why));
    }
    if let Some(finding) =
        find(&[FindingCode::NotInAdditionalGateways, FindingCode::UnknownAdditionalGateway])
    {
        let what = if routes.routes.is_empty() {
            "no wildcard route is listed (whether there is one, --routes would tell)"
        } else {
            "the wildcard route is not listed"
        };
        let why = format!("{what}: {} {}", place(finding), is(finding));
        return Some((Cause::NotInAdditionalGateways, why));
    }
    // The wildcard route is there, and not in effect: as if it were not.
    routes.findings.iter().find(|finding| finding.code.keeps_out()).map(|finding| {
        let why = format!("the wildcard route is not in effect: {} {}", place(finding), is(finding));
        (Cause::NoWildcardRoute, why)
    })
}

/// No client was seen: only what is configured, and what the gateway answers to us.
pub(super) fn by_configuration(inputs: &Inputs) -> Judgement {
    let wrong = inputs.routes.as_ref().and_then(configured_wrong);
    let unreached = inputs.check.as_ref().and_then(not_reached);
    if let (Some(judgement), None) = (&unreached, &wrong) {
        return judgement.clone();
    }
    if let Some(check) = inputs.check.as_ref().filter(|_| unreached.is_none()) {
        let named = check.attempts.iter().find(|attempt| attempt.kind == AttemptKind::Named);
        let refused =
            named.filter(|_| matches!(check.verdict, CheckVerdict::NameRefused | CheckVerdict::Unknown));
        if let Some(judgement) = refused.and_then(|named| name_refused(check, named)) {
            return judgement;
        }
        if is_served_now(check) {
            let served = match named {
                Some(_) => "clients with the name, and without SNI",
                None => "clients without SNI; no name was tried, for the target is an address",
            };
            return Judgement {
                cause: Cause::NothingWrong,
                confidence: Confidence::Likely,
                sentence: format!(
                    "Nothing is wrong: {} serves {served}.{}",
                    printable(&check.target),
                    caveat(inputs)
                ),
            };
        }
    }
    let refuses = inputs.check.as_ref().is_some_and(|check| check.verdict == CheckVerdict::NonSniRefused);
    match wrong {
        // The configuration has a part that is to let them in.
        Some((cause, why)) if refuses || cause != Cause::NoWildcardRoute => Judgement {
            cause,
            confidence: Confidence::Likely,
            sentence: format!("Clients without SNI are refused: {why}."),
        },
        _ => Judgement {
            cause: Cause::NotEnoughEvidence,
            confidence: Confidence::Unknown,
            sentence: if refuses || wrong.is_some() {
                "The gateway does not serve clients without SNI, but it is unknown whether there are any."
                    .to_owned()
            } else {
                "The cause is unknown: no client was seen.".to_owned()
            },
        },
    }
}

/// Nothing answers there: more likely the target is wrong than the network.
pub(super) fn not_reached(check: &CheckReport) -> Option<Judgement> {
    let target = printable(&check.target);
    let sentence = match &check.address {
        None => format!("The cause is unknown: {target} cannot be resolved."),
        Some(address) if check.attempts.first()?.outcome == AttemptOutcome::Refused => {
            // The user's word, and the port in any case.
            let port = address.rsplit(':').next().unwrap_or_default();
            let place =
                if target.ends_with(&format!(":{port}")) { target } else { format!("{target}:{port}") };
            format!("The cause is unknown: nothing listens at {place}.")
        }
        Some(_) => return None,
    };
    Some(Judgement { cause: Cause::NotEnoughEvidence, confidence: Confidence::Unknown, sentence })
}

fn name_refused(check: &CheckReport, named: &Attempt) -> Option<Judgement> {
    let target = printable(&check.target);
    let (cause, sentence) = match named.outcome {
        AttemptOutcome::Reset | AttemptOutcome::Closed => (
            Cause::UnknownName,
            format!("Clients send a name that no route serves: {target} is refused even with its name."),
        ),
        AttemptOutcome::Alert => match named.alert.as_deref() {
            Some(alert @ ("protocol_version" | "insufficient_security" | "handshake_failure")) => (
                Cause::TlsMismatch,
                format!(
                    "Client and gateway have no TLS version or cipher suite in common: {target} says {alert}."
                ),
            ),
            _ => (
                Cause::UnknownName,
                format!("Clients send a name that no route serves: {target} is refused even with its name."),
            ),
        },
        AttemptOutcome::Timeout | AttemptOutcome::Unreachable => (
            Cause::NotTheGateway,
            format!(
                "The gateway does not reset: from here {target} cannot be reached at all; look at the network in between."
            ),
        ),
        AttemptOutcome::Unsupported => (
            Cause::TlsMismatch,
            format!(
                "Client and gateway have no TLS version in common: {target} answers with one before 1.2."
            ),
        ),
        AttemptOutcome::Handshake
        | AttemptOutcome::ServerHello
        | AttemptOutcome::RejectedByHttp
        | AttemptOutcome::NotTls
        | AttemptOutcome::Refused => return None,
    };
    Some(Judgement { cause, confidence: Confidence::Likely, sentence })
}
