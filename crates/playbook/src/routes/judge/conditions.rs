//! What the status of a Gateway, a `ListenerSet` or a listener says of it.

use super::super::listener::Condition;
use super::super::report::{Finding, FindingCode, NoteCode};
use super::{Found, Served};
use sni_probe_terminal::printable_within;

/// Characters of a condition's message that a sentence shows.
const MAX_MESSAGE: usize = 200;

/// Conditions that decide whether something is in effect, and the status of each that is wrong. The last three are those
/// of before Gateway API 0.6 (GEP-1364), which has others in their place.
const DECISIVE: [(&str, &str, FindingCode); 7] = [
    ("Accepted", "False", FindingCode::NotAccepted),
    ("Conflicted", "True", FindingCode::Conflicted),
    ("ResolvedRefs", "False", FindingCode::RefsNotResolved),
    ("Programmed", "False", FindingCode::NotProgrammed),
    ("Scheduled", "False", FindingCode::NotAccepted),
    ("Detached", "True", FindingCode::NotAccepted),
    ("Ready", "False", FindingCode::NotProgrammed),
];

/// An object or a listener with a status.
pub(super) struct Subject<'a> {
    /// "namespace/name".
    pub(super) object: &'a str,
    /// The field that has `conditions`.
    pub(super) path: String,
    /// As a sentence begins with it.
    pub(super) what: String,
}

/// Adds what the conditions say is wrong. Says how well the subject can serve: `Yes` also without any conditions, as a
/// file that was not applied has none.
pub(super) fn judge(subject: &Subject<'_>, conditions: &[Condition], found: &mut Found) -> Served {
    let is_programmed = status(conditions, "Programmed") == Some("True");
    let mut best = Served::Yes;
    let mut unclear = Vec::new();
    for (name, wrong, code) in DECISIVE {
        let Some(condition) = conditions.iter().find(|condition| condition.name == name) else { continue };
        let successor = match name {
            "Scheduled" | "Detached" => "Accepted",
            "Ready" => "Programmed",
            _ => "",
        };
        if conditions.iter().any(|other| other.name == successor) {
            continue;
        }
        let is_conflict = name == "Conflicted";
        if condition.is_outdated || condition.status == "Unknown" {
            // Without a controller that knows conflicts, there are none to report.
            if !is_conflict {
                unclear.push(name);
            }
            continue;
        }
        // Some controllers set Conflicted to True with this reason.
        if condition.status != wrong || is_conflict && condition.reason == "NoConflicts" {
            continue;
        }
        found.findings.push(finding(subject, condition, code));
        best = best.max(match (code, condition.reason.as_str()) {
            // Of kinds of routes, not of the certificate.
            (FindingCode::RefsNotResolved, "InvalidRouteKinds") if is_programmed => Served::Yes,
            // One of several certificates; an address that the infrastructure does not give; a Gateway of which some
            // listeners are valid.
            (FindingCode::RefsNotResolved, _) if is_programmed => Served::Unknown,
            (FindingCode::NotProgrammed, "AddressNotAssigned" | "AddressNotUsable")
            | (FindingCode::NotAccepted, "ListenersNotValid") => Served::Unknown,
            _ => Served::No,
        });
    }
    if !unclear.is_empty() && best == Served::Yes {
        let sentence = format!(
            "{} has no current status for {}: whether it is in effect is unknown.",
            subject.what,
            unclear.join(", ")
        );
        found.note(NoteCode::StatusUnknown, subject.object, sentence);
        best = Served::Unknown;
    }
    best
}

/// The status of a condition that is not outdated.
pub(super) fn status<'a>(conditions: &'a [Condition], name: &str) -> Option<&'a str> {
    let condition = conditions.iter().find(|condition| condition.name == name && !condition.is_outdated)?;
    Some(&condition.status)
}

fn finding(subject: &Subject<'_>, condition: &Condition, code: FindingCode) -> Finding {
    let Condition { name, status, reason, message, .. } = condition;
    let says = match code {
        FindingCode::NotAccepted => "is not accepted",
        FindingCode::Conflicted => "is in conflict with another listener",
        FindingCode::RefsNotResolved => "refers to something that is missing or not permitted",
        _ => "is not programmed, that is, not in effect",
    };
    let message = printable_within(MAX_MESSAGE, message.trim());
    let message = if message.is_empty() { String::new() } else { format!(": {message}") };
    let end = if message.ends_with('.') { "" } else { "." };
    Finding {
        code,
        object: subject.object.to_owned(),
        path: format!("{}.conditions[{name}]", subject.path),
        value: format!("{status} ({reason})"),
        expected: if status == "True" { "False" } else { "True" }.to_owned(),
        sentence: format!("{} {says}{message}{end}", subject.what),
    }
}
