//! The attempts of the active check.

use sni_probe_terminal::printable;

use super::super::model::{Cause, Confidence};
use super::Judgement;
use crate::check::report::{Attempt, AttemptKind, AttemptOutcome, CheckReport};

/// The attempt of this kind.
pub(super) fn attempt(check: &CheckReport, kind: AttemptKind) -> Option<&Attempt> {
    check.attempts.iter().find(|attempt| attempt.kind == kind)
}

/// Whether the gateway completed the handshake, or would have.
pub(super) fn is_served(attempt: &Attempt) -> bool {
    matches!(
        attempt.outcome,
        AttemptOutcome::Handshake | AttemptOutcome::ServerHello | AttemptOutcome::RejectedByHttp
    )
}

pub(super) fn is_refused(attempt: &Attempt) -> bool {
    matches!(attempt.outcome, AttemptOutcome::Reset | AttemptOutcome::Closed | AttemptOutcome::Alert)
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

/// An answer that is not TLS.
pub(super) fn not_answered(check: &CheckReport) -> Option<Judgement> {
    let attempt = check.attempts.iter().find(|attempt| attempt.outcome == AttemptOutcome::NotTls)?;
    let error = attempt.error.as_deref().unwrap_or("the answer is not TLS");
    let sentence = format!("The check of {} failed: {}.", printable(&check.target), printable(error));
    Some(Judgement { cause: Cause::NotEnoughEvidence, confidence: Confidence::Unknown, sentence })
}
