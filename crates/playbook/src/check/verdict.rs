//! What follows from the attempts, and how to say it.

use jiff::Timestamp;
use sni_probe_terminal::printable;

use super::report::{Attempt, AttemptKind, AttemptOutcome, Certificate, CheckVerdict};
use super::target::Host;

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
            AttemptOutcome::Handshake => Self::Served,
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
pub(super) fn conclude(attempts: &[Attempt], expected: &Host, now: Timestamp) -> (CheckVerdict, String) {
    let find = |kind| attempts.iter().find(|attempt: &&Attempt| attempt.kind == kind);
    let named = find(AttemptKind::Named);
    let Some(without) = find(AttemptKind::WithoutSni) else {
        return (CheckVerdict::Unknown, unknown(attempts.first()));
    };
    match (Answer::of(without), named.map(|named| (Answer::of(named), named))) {
        (Answer::Served, named) => served(without, named, expected, now),
        (Answer::Refused, None) => {
            let sentence = format!(
                "non-SNI clients are refused ({}); whether a name is served was not tried: give one by --sni{}",
                reason(without),
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
                "all clients are refused: without SNI ({}) and with the name {expected} ({}){}",
                reason(without),
                reason(named),
                of_versions(named)
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

/// Alerts that have another cause than the name more often than not.
fn of_versions(attempt: &Attempt) -> &'static str {
    match attempt.alert.as_deref() {
        Some("protocol_version" | "handshake_failure" | "insufficient_security") => {
            "; such an alert is about TLS versions or cipher suites, not about names"
        }
        _ => "",
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
