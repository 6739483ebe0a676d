//! Handshakes that failed, though the gateway refused none for its name or for the lack of one.

use super::super::model::{Cause, Confidence};
use super::super::wire::WireFacts;
use super::explanation::{Basis, Explanation, Noun};
use super::{Judgement, NOISE};

/// How a client's rejection ends a handshake, in words.
const REJECTED: &str = "ended because the client rejected the gateway's certificate";
/// How a missing or refused client certificate ends a handshake, in words.
const CERTIFICATE_REFUSED: &str = "ended because the gateway got no client certificate, or did not accept it";

/// What explains handshakes that certificates, a timeout or the client ended. `explained` of them have another explanation.
pub(super) fn explanations(wire: &WireFacts, explained: u64) -> Vec<Explanation> {
    vec![
        certificate(wire, Cause::CertificateRejected, wire.certificates_rejected(), REJECTED),
        certificate(
            wire,
            Cause::ClientCertificateRequired,
            wire.client_certificates_refused(),
            CERTIFICATE_REFUSED,
        ),
        elsewhere(wire, wire.failed_elsewhere().saturating_sub(explained)),
    ]
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

/// Handshakes that a timeout or the client ended.
fn elsewhere(wire: &WireFacts, failed: u64) -> Explanation {
    let all = wire.handshakes();
    let (confidence, more) = if failed == all {
        (Confidence::Possible, " None was served: make sure that packets of both directions were seen.")
    } else if failed * NOISE < all {
        (Confidence::Possible, " That is few: clients that change their minds end handshakes like this, too.")
    } else {
        (Confidence::Likely, "")
    };
    Explanation {
        judgement: Judgement {
            cause: Cause::NotTheGateway,
            confidence,
            sentence: format!(
                "{} of {all} ended by a timeout, or by the client, and the gateway did not end them. Look at the client, and at the \
                 network in between.{more}",
                Noun::Handshake.counted(failed)
            ),
        },
        count: failed,
        noun: Noun::Handshake,
        short: "ended by a timeout, or by the client".to_owned(),
        basis: Basis::Separated,
        class: None,
    }
}
