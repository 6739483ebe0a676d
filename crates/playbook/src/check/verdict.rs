//! What follows from the attempts, and how to say it.

use jiff::Timestamp;
use sni_probe_hello::POST_QUANTUM_BYTES;
use sni_probe_terminal::printable;

use super::report::{Attempt, AttemptKind, AttemptOutcome, Certificate, CheckClient, CheckVerdict, Offered};
use super::target::Host;

/// Misdirected Request (RFC 9110, section 15.5.20).
const MISDIRECTED: u16 = 421;

/// What a gateway did with a hello, as far as its certificate goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It showed a certificate. That it wants one of the client afterwards has nothing to do with SNI.
    Served,
    /// It ended the connection.
    Refused,
    /// It kept silent.
    Silent,
    /// Nothing that tells.
    Nothing,
}

impl Answer {
    fn of(attempt: &Attempt) -> Self {
        match attempt.outcome {
            _ if attempt.certificate.is_some() => Self::Served,
            AttemptOutcome::Handshake | AttemptOutcome::ServerHello | AttemptOutcome::RejectedByHttp => {
                Self::Served
            }
            _ if !attempt.connected => Self::Nothing,
            AttemptOutcome::Reset | AttemptOutcome::Alert | AttemptOutcome::Closed => Self::Refused,
            AttemptOutcome::Timeout => Self::Silent,
            AttemptOutcome::Refused
            | AttemptOutcome::NotTls
            | AttemptOutcome::Unreachable
            | AttemptOutcome::Unsupported => Self::Nothing,
        }
    }
}

/// The verdict, and the sentence to it. `expected` is for whom the certificate should be.
pub(super) fn conclude(
    attempts: &[Attempt],
    expected: &Host,
    offered: &Offered,
    now: Timestamp,
) -> (CheckVerdict, String) {
    let (verdict, sentence) = of_sni(attempts, expected, offered, now);
    let (verdict, sentence) = of_http(attempts).unwrap_or((verdict, sentence));
    (verdict, sentence + &http_note(attempts, verdict) + &exact_note(attempts) + &post_quantum_note(attempts))
}

/// What follows from the handshakes with the name, without SNI, and with an unknown name.
fn of_sni(
    attempts: &[Attempt],
    expected: &Host,
    offered: &Offered,
    now: Timestamp,
) -> (CheckVerdict, String) {
    let find = |kind| attempts.iter().find(|attempt: &&Attempt| attempt.kind == kind);
    let named = find(AttemptKind::Named);
    let Some(without) = find(AttemptKind::WithoutSni) else {
        return (CheckVerdict::Unknown, unknown(attempts.first()));
    };
    match (Answer::of(without), named.map(|named| (Answer::of(named), named))) {
        (Answer::Served, named) => served(without, named, expected, now),
        (Answer::Refused, None) => {
            let sentence = format!(
                "rustls was refused without SNI ({}); whether a host name is served was not tried: give one by --sni{}{}",
                reason(without),
                of_alert(without, offered),
                default_certificate(find(AttemptKind::UnknownName))
            );
            (CheckVerdict::NonSniRefused, sentence)
        }
        (Answer::Refused | Answer::Silent, Some((Answer::Served, named))) => {
            let sentence = format!(
                "non-SNI clients are refused ({}); those that send the name {expected} are served ({}{}){}",
                reason(without),
                message(named.certificate.as_ref()),
                complaint(named.certificate.as_ref(), expected, now),
                default_certificate(find(AttemptKind::UnknownName))
            );
            (CheckVerdict::NonSniRefused, sentence)
        }
        (Answer::Refused, Some((Answer::Refused, named))) => {
            let sentence = format!(
                "rustls was refused without SNI ({}) and with the name {expected} ({}); another client may be served{}",
                reason(without),
                reason(named),
                of_alert(named, offered)
            );
            (CheckVerdict::NameRefused, sentence)
        }
        (Answer::Refused, Some((Answer::Silent | Answer::Nothing, named))) => {
            let sentence = format!(
                "non-SNI clients are refused ({}); whether those that send the name {expected} are served cannot be told ({})",
                reason(without),
                reason(named)
            );
            (CheckVerdict::NonSniRefused, sentence)
        }
        (Answer::Silent | Answer::Nothing, _) => (CheckVerdict::Unknown, unknown(Some(without))),
    }
}

fn served(
    without: &Attempt,
    named: Option<(Answer, &Attempt)>,
    expected: &Host,
    now: Timestamp,
) -> (CheckVerdict, String) {
    let certificate = without.certificate.as_ref();
    let (shown, matches) = (message(certificate), match_of(certificate, expected, now));
    match named {
        None => {
            let is_right = certificate.is_some_and(|certificate| certificate.matches_host);
            let verdict = if is_right {
                CheckVerdict::NonSniSameCertificate
            } else {
                CheckVerdict::NonSniOtherCertificate
            };
            (
                verdict,
                format!("non-SNI clients are served {shown}{matches}; no name was tried: give one by --sni"),
            )
        }
        Some((Answer::Served, named)) if is_same(certificate, named.certificate.as_ref()) => {
            let sentence = format!(
                "non-SNI clients are served the same certificate as those with SNI, {shown}{matches}"
            );
            (CheckVerdict::NonSniSameCertificate, sentence)
        }
        Some((Answer::Served, named)) => {
            let sentence = format!(
                "non-SNI clients are served another certificate ({shown}){matches}; those that send the name {expected} get {}",
                message(named.certificate.as_ref()),
            );
            (CheckVerdict::NonSniOtherCertificate, sentence)
        }
        Some((_, named)) => {
            let sentence = format!(
                "non-SNI clients are served {shown}{matches}, but those that send the name {expected} are not ({})",
                reason(named)
            );
            (CheckVerdict::NonSniOtherCertificate, sentence)
        }
    }
}

fn is_same(one: Option<&Certificate>, other: Option<&Certificate>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one.sha256 == other.sha256)
}

fn unknown(attempt: Option<&Attempt>) -> String {
    let reason = attempt.map_or_else(|| "there is no address".to_owned(), reason);
    format!("it cannot be told whether non-SNI clients are served: {reason}")
}

/// Why an attempt failed.
fn reason(attempt: &Attempt) -> String {
    attempt.error.clone().unwrap_or_else(|| "no certificate".to_owned())
}

/// A certificate by the name that people know it by.
fn message(certificate: Option<&Certificate>) -> String {
    let Some(certificate) = certificate else { return "a certificate that cannot be read".to_owned() };
    match (certificate.subject.as_str(), certificate.names.first()) {
        ("", None) => "a certificate without names".to_owned(),
        ("", Some(name)) => format!("the certificate of {}", printable(name)),
        (subject, _) => format!("CN {}", printable(subject)),
    }
}

/// Whether the clients may take it.
fn match_of(certificate: Option<&Certificate>, expected: &Host, now: Timestamp) -> String {
    let Some(certificate) = certificate else { return String::new() };
    let matches = if certificate.matches_host { "matches" } else { "does not match" };
    let expired = if certificate.not_after < now {
        format!(" and has expired on {}", certificate.not_after.strftime("%Y-%m-%d"))
    } else {
        String::new()
    };
    format!(", which {matches} {expected}{expired}")
}

/// The same where that is what one expects: only what is wrong is told.
fn complaint(certificate: Option<&Certificate>, expected: &Host, now: Timestamp) -> String {
    let is_good =
        certificate.is_some_and(|certificate| certificate.matches_host && certificate.not_after >= now);
    if is_good { String::new() } else { match_of(certificate, expected, now) }
}

/// Of clients without SNI that are refused where unknown names are not.
fn default_certificate(unknown: Option<&Attempt>) -> String {
    match unknown {
        Some(unknown) if Answer::of(unknown) == Answer::Served => {
            let shown = message(unknown.certificate.as_ref());
            format!(
                "; names that nobody serves get {shown}: there is a default, but not for clients without SNI"
            )
        }
        _ => String::new(),
    }
}

/// What alerts say that are about the client's offer, or may be.
fn of_alert(attempt: &Attempt, offered: &Offered) -> String {
    match attempt.alert.as_deref() {
        Some("protocol_version" | "insufficient_security") => {
            "; such an alert is about TLS versions or cipher suites, not about names".to_owned()
        }
        Some("handshake_failure") => format!(
            "; this alert says that the gateway takes nothing of what a client offers, and some gateways (Node.js, Erlang, \
             sniproxy, Java) refuse names with it. rustls offered the signature algorithms {} and the groups {}",
            offered.signature_algorithms.join(", "),
            offered.groups.join(", ")
        ),
        _ => String::new(),
    }
}

fn of_kind(attempts: &[Attempt], kind: AttemptKind) -> Option<&Attempt> {
    attempts.iter().find(|attempt| attempt.kind == kind)
}

fn is_rejected(attempt: &Attempt) -> bool {
    attempt.outcome == AttemptOutcome::RejectedByHttp
}

/// Clients without SNI that are rejected after the handshake, where those with the name are not.
fn of_http(attempts: &[Attempt]) -> Option<(CheckVerdict, String)> {
    let without = of_kind(attempts, AttemptKind::WithoutSni).filter(|without| is_rejected(without))?;
    let status = without.http_status?;
    let sentence = match of_kind(attempts, AttemptKind::Named) {
        Some(named) if Answer::of(named) == Answer::Served && !is_rejected(named) => {
            let with_name =
                named.http_status.map_or_else(|| reason(named), |status| format!("HTTP {status}"));
            format!(
                "non-SNI clients complete the handshake and are then rejected by HTTP {status}; those that send the name {} get {with_name}",
                printable(named.server_name.as_deref().unwrap_or_default())
            )
        }
        // RFC 9110, section 15.5.20: the request came to a server that is not meant.
        None if status == MISDIRECTED => format!(
            "non-SNI clients complete the handshake and are then rejected by HTTP {status}; no name was tried: give one by --sni"
        ),
        _ => return None,
    };
    Some((CheckVerdict::RejectedByHttp, sentence))
}

/// What the requests were answered, where that is not the verdict.
fn http_note(attempts: &[Attempt], verdict: CheckVerdict) -> String {
    if verdict == CheckVerdict::RejectedByHttp {
        return String::new();
    }
    let answer = |kind, hello: &str| {
        let attempt = of_kind(attempts, kind)?;
        let no_answer = attempt.error.as_deref().filter(|_| attempt.outcome == AttemptOutcome::Handshake);
        let answer = attempt.http_status.map(|status| format!("HTTP {status}"));
        Some(format!("; {} {hello}", answer.or_else(|| no_answer.map(str::to_owned))?))
    };
    let without = answer(AttemptKind::WithoutSni, "without SNI").unwrap_or_default();
    without + &answer(AttemptKind::Named, "with the name").unwrap_or_default()
}

/// What the gateway does with the name exactly as it was given.
fn exact_note(attempts: &[Attempt]) -> String {
    let Some(exact) = of_kind(attempts, AttemptKind::ExactName) else { return String::new() };
    let name = printable(exact.server_name.as_deref().unwrap_or_default());
    let what = match (Answer::of(exact), exact.client) {
        (Answer::Served, CheckClient::Rustls) => "is served".to_owned(),
        (Answer::Served, CheckClient::HelloOnly) => {
            "is answered by a ServerHello (the handshake was not completed)".to_owned()
        }
        (Answer::Refused, _) => format!("is refused ({})", reason(exact)),
        (Answer::Silent | Answer::Nothing, _) => format!("has no answer that tells ({})", reason(exact)),
    };
    format!("; the name exactly as given, {name}, {what}")
}

/// A large hello in two segments that fares otherwise than a small one.
fn post_quantum_note(attempts: &[Attempt]) -> String {
    let Some(large) = of_kind(attempts, AttemptKind::PostQuantum) else { return String::new() };
    let small = of_kind(attempts, AttemptKind::Named).or_else(|| of_kind(attempts, AttemptKind::WithoutSni));
    let is_small_served = small.is_some_and(|small| Answer::of(small) == Answer::Served);
    match Answer::of(large) {
        Answer::Refused | Answer::Silent if is_small_served => format!(
            "; a post-quantum ClientHello of {POST_QUANTUM_BYTES} bytes in two segments is not served ({}), a small one is",
            reason(large)
        ),
        _ => String::new(),
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
