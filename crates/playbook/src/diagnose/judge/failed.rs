//! Handshakes that failed, though the gateway refused none for its name or for the lack of one.

use super::super::model::{Cause, Confidence, Inputs};
use super::super::wire::WireFacts;
use super::attempts::{attempt, not_reached};
use super::explanation::{Basis, Explanation, Noun};
use super::{Judgement, NOISE};
use crate::check::report::{AttemptKind, AttemptOutcome};

/// How a client's rejection ends a handshake, in words.
const REJECTED: &str = "ended because the client rejected the gateway's certificate";
/// How a missing or refused client certificate ends a handshake, in words.
const CERTIFICATE_REFUSED: &str = "ended because the gateway got no client certificate, or did not accept it";

/// What explains handshakes that certificates, a timeout or the client ended. `explained` of them have another explanation.
pub(super) fn explanations(inputs: &Inputs, wire: &WireFacts, explained: u64) -> Vec<Explanation> {
    let mut all = vec![
        certificate(wire, Cause::CertificateRejected, wire.certificates_rejected(), REJECTED),
        certificate(
            wire,
            Cause::ClientCertificateRequired,
            wire.client_certificates_refused(),
            CERTIFICATE_REFUSED,
        ),
    ];
    all.extend(elsewhere(inputs, wire, wire.failed_elsewhere().saturating_sub(explained)));
    all
}

fn certificate(wire: &WireFacts, cause: Cause, count: u64, why: &str) -> Explanation {
    let sentence = format!("{} {why}, of {}.", Noun::Handshake.counted(count), wire.handshakes());
    let judgement = Judgement { cause, confidence: Confidence::Likely, sentence };
    Explanation {
        judgement,
        count,
        noun: Noun::Handshake,
        short: why.to_owned(),
        basis: Basis::Separated,
        class: None,
    }
}

/// Whether something other than the gateway ends connections.
fn elsewhere(inputs: &Inputs, wire: &WireFacts, failed: u64) -> Option<Explanation> {
    let named = inputs.check.as_ref().and_then(|check| attempt(check, AttemptKind::Named));
    let is_reached = inputs.check.as_ref().is_some_and(|check| not_reached(check).is_none());
    let is_cut_off = is_reached && named.is_some_and(|named| is_cut_off(named.outcome));
    let all = wire.handshakes();
    let why = if failed > 0 {
        format!("{} of {all} ended by a timeout, or by the client", Noun::Handshake.counted(failed))
    } else if is_cut_off {
        "A connection with the right name is cut off on the way from here".to_owned()
    } else {
        return None;
    };
    let is_few = failed > 0 && failed * NOISE < all;
    let few = if is_few {
        " That is few: clients that change their minds end handshakes like this, too."
    } else {
        ""
    };
    let is_silent = failed > 0 && failed == all;
    let few = if is_silent {
        " None was served: make sure that packets of both directions were seen."
    } else {
        few
    };
    let confidence = if is_few || is_silent { Confidence::Possible } else { Confidence::Likely };
    Some(Explanation {
        judgement: Judgement {
            cause: Cause::NotTheGateway,
            confidence,
            sentence: format!(
                "{why}, and the gateway did not end them. Look at the client, and at the network in between.{few}"
            ),
        },
        count: failed.max(1),
        noun: Noun::Handshake,
        short: "ended by a timeout, or by the client".to_owned(),
        basis: Basis::Separated,
        class: None,
    })
}

/// Whether nothing came back from the gateway.
fn is_cut_off(outcome: AttemptOutcome) -> bool {
    matches!(outcome, AttemptOutcome::Timeout | AttemptOutcome::Unreachable)
}
