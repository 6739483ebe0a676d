//! The cause that a client's error message names.

use super::super::message::{Meaning, Wire};
use super::super::model::{Cause, Confidence};
use super::Judgement;

/// The judgement where nothing but a client's message is known.
pub(super) fn by_message(meaning: &Meaning) -> Judgement {
    let cause = match meaning.wire {
        Wire::CertificateRejected => Cause::CertificateRejected,
        Wire::PlainHttpAnswer => Cause::PlainHttpPort,
        Wire::PlainHttpRequest => Cause::PlainHttpClient,
        Wire::NotConnected | Wire::Timeout => Cause::NotTheGateway,
        Wire::Alert => match meaning.alert.as_deref() {
            Some("unrecognized_name") => Cause::UnknownName,
            Some("protocol_version" | "insufficient_security" | "inappropriate_fallback") => {
                Cause::TlsMismatch
            }
            Some("no_application_protocol") => Cause::AlpnMismatch,
            Some(
                "certificate_required"
                | "bad_certificate"
                | "unsupported_certificate"
                | "certificate_revoked"
                | "certificate_expired"
                | "certificate_unknown"
                | "unknown_ca",
            ) => Cause::ClientCertificateRequired,
            _ => Cause::NotEnoughEvidence,
        },
        Wire::Rst | Wire::Fin | Wire::RstOrFin | Wire::CannotTell | Wire::Unknown => Cause::NotEnoughEvidence,
    };
    if cause == Cause::NotEnoughEvidence {
        let sentence =
            "The client's message alone shows no cause: see above what it says of the wire.".to_owned();
        return Judgement { cause, confidence: Confidence::Unknown, sentence };
    }
    let sentence = "The client's message says so; what the gateway saw is unknown.".to_owned();
    Judgement { cause, confidence: Confidence::Possible, sentence }
}

/// Whether the message tells of a connection that failed.
pub(super) fn is_failure(meaning: &Meaning) -> bool {
    !matches!(meaning.wire, Wire::Unknown)
}
