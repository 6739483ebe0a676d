//! Causes that the active check shows.

use sni_probe_hello::POST_QUANTUM_BYTES;
use sni_probe_terminal::printable;

use super::super::model::{Cause, Confidence, Inputs};
use super::attempts::{attempt, is_refused, is_served};
use super::names::is_routed;
use super::{Judgement, completes_without_sni};
use crate::check::report::{Attempt, AttemptKind, AttemptOutcome, CheckReport};

/// Misdirected Request (RFC 9110, section 15.5.20).
const MISDIRECTED: u16 = 421;

/// The cause for which the check was not served as it should be; `None` if it was, or says nothing of a cause.
pub(super) fn by_check(inputs: &Inputs, check: &CheckReport) -> Option<Judgement> {
    let target = printable(&check.target);
    let likely = |cause, sentence| Some(Judgement { cause, confidence: Confidence::Likely, sentence });
    let is_http = |attempt: &&Attempt| {
        let error = attempt.error.as_deref().unwrap_or_default();
        attempt.outcome == AttemptOutcome::NotTls && error.contains("plain HTTP")
    };
    if check.attempts.iter().any(|attempt| is_http(&attempt)) {
        let sentence = format!("{target} answers a ClientHello in plain HTTP: this port does not speak TLS.");
        return Some(Judgement { cause: Cause::PlainHttpPort, confidence: Confidence::Certain, sentence });
    }
    let is_rejected = |attempt: &&Attempt| {
        attempt.outcome == AttemptOutcome::RejectedByHttp || attempt.http_status == Some(MISDIRECTED)
    };
    if let Some(rejected) = check.attempts.iter().find(is_rejected) {
        let status = rejected.http_status.map_or_else(String::new, |status| format!(" with status {status}"));
        let with = if rejected.kind == AttemptKind::Named { "with the name" } else { "without SNI" };
        return likely(
            Cause::RejectedByHttp,
            format!(
                "{target} completes the handshake {with}, and then rejects the request{status}: the handshake is not refused."
            ),
        );
    }
    let named = attempt(check, AttemptKind::Named)?;
    if !is_served(named) {
        return name_refused(inputs, check, named);
    }
    let exact = attempt(check, AttemptKind::ExactName).filter(|exact| is_refused(exact));
    if let Some(name) = exact.and_then(|exact| exact.server_name.as_deref()) {
        return likely(
            Cause::UnknownName,
            format!(
                "{target} refuses the name exactly as it was given, {}, and serves it in its usual spelling.",
                printable(name)
            ),
        );
    }
    if let Some(certificate) = named.certificate.as_ref().filter(|certificate| !certificate.matches_host) {
        return likely(
            Cause::CertificateRejected,
            format!(
                "{target} serves the name {} with a certificate for CN {}, which does not match: clients that verify reject it.",
                printable(named.server_name.as_deref().unwrap_or_default()),
                printable(&certificate.subject)
            ),
        );
    }
    let large = attempt(check, AttemptKind::PostQuantum)?;
    let what = format!(
        "a ClientHello of {POST_QUANTUM_BYTES} bytes in two segments, as post-quantum clients send it, and serves a small one"
    );
    match large.outcome {
        AttemptOutcome::Timeout => likely(
            Cause::NotTheGateway,
            format!("{target} does not answer {what}: large packets may be lost on the way (MTU)."),
        ),
        _ if is_refused(large) => likely(
            Cause::HelloTooLarge,
            format!("{target} refuses {what}: its size or its two segments are the reason."),
        ),
        _ => None,
    }
}

fn name_refused(inputs: &Inputs, check: &CheckReport, named: &Attempt) -> Option<Judgement> {
    let target = printable(&check.target);
    let name = named.server_name.as_deref().unwrap_or_default();
    let of = |cause, confidence, sentence| Some(Judgement { cause, confidence, sentence });
    match named.outcome {
        AttemptOutcome::Reset | AttemptOutcome::Closed | AttemptOutcome::Alert => {}
        AttemptOutcome::Timeout | AttemptOutcome::Unreachable => {
            let what = if named.connected {
                "accepts the connection and does not answer"
            } else {
                "cannot be reached"
            };
            let sentence = format!(
                "From here {target} {what}, and the gateway did not refuse the connection. Look at the network in between."
            );
            return of(Cause::NotTheGateway, Confidence::Likely, sentence);
        }
        AttemptOutcome::Unsupported => {
            let sentence = format!(
                "Client and gateway have no TLS version in common: {target} answers with one before 1.2."
            );
            return of(Cause::TlsMismatch, Confidence::Likely, sentence);
        }
        AttemptOutcome::Handshake
        | AttemptOutcome::ServerHello
        | AttemptOutcome::RejectedByHttp
        | AttemptOutcome::NotTls
        | AttemptOutcome::Refused => return None,
    }
    match named.alert.as_deref() {
        Some(alert @ ("protocol_version" | "insufficient_security" | "inappropriate_fallback")) => {
            let sentence = format!(
                "Client and gateway have no TLS version or cipher suite in common: {target} says {alert}."
            );
            return of(Cause::TlsMismatch, Confidence::Likely, sentence);
        }
        Some(
            alert @ ("certificate_required"
            | "bad_certificate"
            | "unknown_ca"
            | "certificate_unknown"
            | "certificate_expired"
            | "access_denied"),
        ) if named.certificate.is_some() => {
            let sentence =
                format!("{target} asks for a client certificate, and the check has none (alert {alert}).");
            return of(Cause::ClientCertificateRequired, Confidence::Likely, sentence);
        }
        Some("unrecognized_name") => {
            let sentence = format!("{target} does not serve the name {}, and says so.", printable(name));
            return of(Cause::UnknownName, Confidence::Likely, sentence);
        }
        Some("no_application_protocol") => {
            let sentence = format!("{target} has no ALPN protocol of the check.");
            return of(Cause::AlpnMismatch, Confidence::Likely, sentence);
        }
        _ => {}
    }
    let is_served_otherwise =
        completes_without_sni(check) || attempt(check, AttemptKind::UnknownName).is_some_and(is_served);
    let routes = inputs.routes.as_ref().filter(|routes| !routes.routes.is_empty());
    let is_routed = routes.map(|routes| is_routed(routes, name));
    let both = format!("{target} refuses the connection with the name {} and without SNI", printable(name));
    match (is_served_otherwise, is_routed) {
        (true, _) => of(
            Cause::UnknownName,
            Confidence::Possible,
            format!("{target} refuses the name {}, and serves other connections.", printable(name)),
        ),
        (false, Some(true)) => of(
            Cause::NotAboutNames,
            Confidence::Likely,
            format!("{both}, though a route takes the name: something else is the reason."),
        ),
        (false, Some(false)) => {
            of(Cause::UnknownName, Confidence::Likely, format!("{both}, and no route takes the name."))
        }
        (false, None) => of(
            Cause::NotEnoughEvidence,
            Confidence::Unknown,
            format!(
                "{both}: either the gateway does not serve this name, or it refuses every connection. Give a name that is surely served \
                 (--sni), or the routes."
            ),
        ),
    }
}
