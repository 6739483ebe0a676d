//! No client was seen: what the configuration says, and what the gateway answers to a check.

use sni_probe_terminal::printable;

use super::super::model::{Cause, Confidence, Inputs};
use super::attempts::{attempt, not_answered, not_reached};
use super::check::by_check;
use super::findings::{configured_wrong, not_in_effect};
use super::message::by_message;
use super::{Judgement, caveat, completes_without_sni, serves_without_sni};
use crate::check::report::{AttemptKind, CheckReport, CheckVerdict};

/// Handshakes or entries were seen, and none was refused or failed: what the check and the configuration show that clients did not meet
/// yet.
pub(super) fn unseen(inputs: &Inputs) -> Option<Judgement> {
    let by_check = inputs.check.as_ref().and_then(|check| {
        let failed = not_reached(check).or_else(|| by_check(inputs, check));
        failed.or_else(|| not_answered(check))
    });
    let by_status = || {
        not_in_effect(inputs).map(|(cause, why)| Judgement {
            cause,
            confidence: Confidence::Likely,
            sentence: format!("No client was refused yet, but {why}."),
        })
    };
    by_check.or_else(by_status).or_else(|| {
        let serves = serves_without_sni(inputs);
        let wrong = inputs.routes.as_ref().filter(|_| !serves).and_then(configured_wrong);
        // Where no part of the configuration is for clients without SNI, it is right to refuse them.
        wrong.filter(|(cause, _)| *cause != Cause::NoWildcardRoute).map(|(cause, why)| Judgement {
            cause,
            confidence: Confidence::Likely,
            sentence: format!("No client was refused yet, but {why}."),
        })
    })
}

/// No client was seen: only what is configured, and what the gateway answers to the check.
pub(super) fn by_configuration(inputs: &Inputs) -> Judgement {
    let wrong = not_in_effect(inputs).or_else(|| inputs.routes.as_ref().and_then(configured_wrong));
    let unreached = inputs.check.as_ref().and_then(not_reached);
    if let (Some(judgement), None) = (&unreached, &wrong) {
        return judgement.clone();
    }
    if let Some(check) = inputs.check.as_ref().filter(|_| unreached.is_none()) {
        if let Some(judgement) = by_check(inputs, check) {
            return judgement;
        }
        if completes_without_sni(check) {
            return served(inputs, check);
        }
    }
    if let Some(message) = inputs.message.as_ref().filter(|_| inputs.check.is_none() && wrong.is_none()) {
        return by_message(message);
    }
    let refuses = inputs.check.as_ref().is_some_and(|check| check.verdict == CheckVerdict::NonSniRefused);
    match wrong {
        // The configuration has a part that is for clients without SNI.
        Some((cause, why)) if refuses || cause != Cause::NoWildcardRoute => Judgement {
            cause,
            confidence: Confidence::Likely,
            sentence: format!("Clients without SNI are refused: {why}."),
        },
        wrong => Judgement {
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

/// The check was served with the name, if one was tried, and without SNI.
fn served(inputs: &Inputs, check: &CheckReport) -> Judgement {
    let served = match attempt(check, AttemptKind::Named) {
        Some(_) => "clients with the name, and without SNI",
        None => "clients without SNI; no name was tried, because the target is an address",
    };
    let target = printable(&check.target);
    Judgement {
        cause: Cause::NothingWrong,
        confidence: Confidence::Likely,
        sentence: format!("Nothing is wrong: {target} serves {served}.{}", caveat(inputs)),
    }
}
