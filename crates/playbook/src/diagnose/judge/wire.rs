//! Causes that the wire shows.

use sni_probe_model::AlertDescription;
use sni_probe_terminal::units::counted;

use super::super::model::{Cause, Confidence, Inputs};
use super::super::wire::WireFacts;
use super::explanation::{Basis, Explanation, Noun, not_enough, was};
use super::facts::{self, Explained};
use super::findings::not_in_effect;
use super::names::unknown_name;
use super::no_sni::{Refused, without_sni};
use super::{Judgement, failed, serves_without_sni};

/// What explains the handshakes that were refused or failed.
pub(super) fn explanations(inputs: &Inputs, wire: &WireFacts) -> Vec<Explanation> {
    let is_served = serves_without_sni(inputs);
    let by_facts = facts::explained(inputs, wire);
    let Explained { with_name, without_sni: explained_without, unknown_sni, mismatches, failed, .. } =
        by_facts;
    let named = wire.refused_with_name().saturating_sub(with_name);
    let without = wire.refused_without_sni(is_served).saturating_sub(explained_without);
    // Alerts have no other reason than the one that they name.
    let alpn = no_common_protocol(wire, &by_facts);
    let (named, alpn_without) = (named.saturating_sub(alpn), alpn.saturating_sub(named));
    let without = without.saturating_sub(alpn_without);
    let mut all = vec![alpn_mismatch(alpn)];
    if without > 0 {
        let refused = Refused::on_the_wire(inputs, wire, without, by_facts.health_checks.as_ref());
        all.push(refusal(without_sni(inputs, &refused), without, "without SNI"));
    }
    if named > 0 {
        let judgement = unknown_name(inputs, named, true, &by_facts.names);
        all.push(refusal(judgement, named, "with a name"));
    }
    let about_versions = wire.mismatches(is_served).saturating_sub(mismatches);
    all.push(mismatch(about_versions));
    all.extend(by_facts.explanations.into_iter().map(|explanation| configured(inputs, explanation)));
    let unknown = wire.refused_with_unknown_sni().saturating_sub(unknown_sni);
    all.push(not_enough(
        unknown,
        format!(
            "{} {} refused, of {}. Whether the ClientHellos had SNI is unknown: they are incomplete.",
            Noun::Handshake.counted(unknown),
            was(unknown),
            wire.handshakes()
        ),
        format!("with an incomplete ClientHello {} refused", was(unknown)),
    ));
    all.extend(closed_first(wire));
    all.extend(failed::explanations(wire, failed));
    all.retain(|explanation| explanation.count > 0);
    all
}

/// Where a gateway refuses everything, and its configuration says why, that is the cause.
fn configured(inputs: &Inputs, mut explanation: Explanation) -> Explanation {
    if explanation.judgement.cause == Cause::NotAboutNames
        && let Some((cause, why)) = not_in_effect(inputs)
    {
        let judgement = &mut explanation.judgement;
        judgement.cause = cause;
        judgement.confidence = Confidence::Certain;
        judgement.add(&format!("The configuration says why: {why}."));
    }
    explanation
}

/// Alerts of the gateway that say that there is no ALPN protocol in common, unless facts explain them.
fn no_common_protocol(wire: &WireFacts, by_facts: &Explained) -> u64 {
    let is_explained = by_facts
        .explanations
        .iter()
        .any(|known| matches!(known.judgement.cause, Cause::AlpnMismatch | Cause::NotAboutNames));
    if is_explained { 0 } else { wire.alerts_of(AlertDescription::NoApplicationProtocol) }
}

fn alpn_mismatch(count: u64) -> Explanation {
    Explanation {
        judgement: Judgement {
            cause: Cause::AlpnMismatch,
            // The gateway itself said so.
            confidence: Confidence::Certain,
            sentence: format!(
                "Client and gateway have no application protocol (ALPN) in common: the gateway said so in {}.",
                counted(count, "alert")
            ),
        },
        count,
        noun: Noun::Handshake,
        short: "had no application protocol (ALPN) in common with the gateway".to_owned(),
        basis: Basis::Separated,
        class: None,
    }
}

fn refusal(judgement: Judgement, count: u64, which: &str) -> Explanation {
    let basis = if judgement.cause == Cause::NotEnoughEvidence { Basis::None } else { Basis::Common };
    let short = format!("{which} {} refused", was(count));
    Explanation { judgement, count, noun: Noun::Handshake, short, basis, class: None }
}

fn mismatch(count: u64) -> Explanation {
    let alerts = counted(count, "alert");
    Explanation {
        judgement: Judgement {
            cause: Cause::TlsMismatch,
            // The gateway itself said so.
            confidence: Confidence::Certain,
            sentence: format!(
                "Client and gateway have no TLS version or cipher suite in common: the gateway said so in {alerts}."
            ),
        },
        count,
        noun: Noun::Handshake,
        short: "had no TLS version or cipher suite in common with the gateway".to_owned(),
        basis: Basis::Separated,
        class: None,
    }
}

/// Connections that the gateway closed before the client sent its ClientHello.
fn closed_first(wire: &WireFacts) -> Option<Explanation> {
    let count = wire.closed_first();
    (count > 0).then(|| Explanation {
        judgement: Judgement {
            cause: Cause::GatewayClosedFirst,
            confidence: Confidence::Likely,
            sentence: format!(
                "The gateway closed {} before the ClientHello came: the client waited longer than the gateway does, or the listener \
                 cannot read ClientHellos.",
                Noun::Connection.counted(count)
            ),
        },
        count,
        noun: Noun::Connection,
        short: format!("{} closed by the gateway before the ClientHello came", was(count)),
        basis: Basis::Separated,
        class: None,
    })
}
