//! Handshakes that failed, though the gateway refused none for its name or for the lack of one.

use sni_probe_terminal::units::counted;

use super::super::model::{Cause, Confidence, Inputs};
use super::super::wire::WireFacts;
use super::configured::not_reached;
use super::{Judgement, NOISE};
use crate::check::report::{AttemptKind, AttemptOutcome};

/// Returns the judgement where a certificate ended handshakes, `failures` or more of them.
pub(super) fn certificate(wire: &WireFacts, failures: u64) -> Option<Judgement> {
    let (rejected, refused) = (wire.certificates_rejected(), wire.client_certificates_refused());
    let most = rejected.max(refused);
    if most == 0 || most < failures {
        return None;
    }
    let (cause, why) = if rejected >= refused {
        (Cause::CertificateRejected, REJECTED)
    } else {
        (Cause::ClientCertificateRequired, CERTIFICATE_REFUSED)
    };
    let sentence = format!("{} {why}, of {}.", counted(most, "handshake"), wire.handshakes());
    Some(Judgement { cause, confidence: Confidence::Likely, sentence })
}

/// How a client's rejection ends a handshake, in words.
pub(super) const REJECTED: &str = "ended because the client rejected the gateway's certificate";
/// How a missing or refused client certificate ends a handshake, in words.
pub(super) const CERTIFICATE_REFUSED: &str =
    "ended because the gateway got no client certificate, or did not accept it";

/// Returns the judgement where handshakes failed that the gateway did not refuse; `None` where nothing failed but noise.
pub(super) fn failed(inputs: &Inputs, wire: &WireFacts) -> Option<Judgement> {
    let failed = Some(wire.failed_elsewhere()).filter(|failed| failed * NOISE >= wire.handshakes());
    let failed = failed.unwrap_or_default();
    certificate(wire, failed).or_else(|| elsewhere(inputs, wire, failed))
}

/// Whether something other than the gateway ends connections. `failed` handshakes are more than noise.
fn elsewhere(inputs: &Inputs, wire: &WireFacts, failed: u64) -> Option<Judgement> {
    let named = inputs
        .check
        .as_ref()
        .and_then(|check| check.attempts.iter().find(|attempt| attempt.kind == AttemptKind::Named));
    let is_reached = inputs.check.as_ref().is_some_and(|check| not_reached(check).is_none());
    let is_cut_off = is_reached && named.is_some_and(|named| is_cut_off(named.outcome));
    let why = if failed > 0 {
        format!("{failed} of {} handshakes ended by a timeout, or by the client", wire.handshakes())
    } else if is_cut_off {
        "a connection with the right name fails from here".to_owned()
    } else {
        return None;
    };
    let apart = if wire.client_certificates_refused() > 0 { "apart from client certificates, " } else { "" };
    Some(Judgement {
        cause: Cause::NotTheGateway,
        confidence: Confidence::Likely,
        sentence: format!(
            "The gateway does not reset: {apart}it refused none of the handshakes that were seen, but {why}; look at the \
             client, and at the network in between."
        ),
    })
}

/// Whether the connection did not even come to an answer in TLS.
fn is_cut_off(outcome: AttemptOutcome) -> bool {
    matches!(
        outcome,
        AttemptOutcome::Reset
            | AttemptOutcome::Closed
            | AttemptOutcome::Timeout
            | AttemptOutcome::Unreachable
    )
}
