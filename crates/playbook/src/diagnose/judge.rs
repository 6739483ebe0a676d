//! The cause, out of what is known.
//!
//! ```text
//! wire ─▶ facts (what separates) ─▶ explanations ─┐
//! logs ─▶ explanations ───────────────────────────┴▶ the one of the most, with the others beside it
//! nothing refused or failed ─▶ check, configuration ─▶ nothing wrong, or not enough evidence
//! ```
//!
//! - The wire is proof; a reason in the gateway's log is better than what refused handshakes have in common.
//! - What explains most is the cause. The others follow in the sentence.
//! - What was missed lowers the confidence, and is named.

mod attempts;
mod check;
mod configured;
mod explanation;
mod facts;
mod failed;
mod findings;
mod log;
mod message;
mod names;
mod no_sni;
mod nothing;
mod wire;

use sni_probe_terminal::printable;

pub(super) use self::names::{is_routed, refused_names, unknown_names};
use super::model::{Cause, Confidence, Inputs};
use super::wire::WireFacts;
use crate::check::report::{AttemptKind, CheckReport, CheckVerdict};

/// Failures without the gateway's doing are few below one of so many handshakes: clients that change their minds.
const NOISE: u64 = 20;

/// A cause, how sure it is, and why.
#[derive(Clone, Debug)]
pub(super) struct Judgement {
    pub(super) cause: Cause,
    pub(super) confidence: Confidence,
    pub(super) sentence: String,
}

impl Judgement {
    /// Adds a sentence.
    fn add(&mut self, sentence: &str) {
        self.sentence.push(' ');
        self.sentence.push_str(sentence);
    }

    /// Lowers the confidence where the active check was served, though the cause would keep it out.
    fn contradicted(&mut self, inputs: &Inputs) {
        let keeps_out = matches!(
            self.cause,
            Cause::PlainHttpPort
                | Cause::NotAboutNames
                | Cause::NoCertificate
                | Cause::NotProgrammed
                | Cause::UpstreamUnreachable
        );
        if keeps_out && serves_a_name(inputs) {
            self.confidence = Confidence::Possible;
            self.sentence += " But the active check was served with a name: it may have reached another listener, or the fault is over.";
        }
    }

    /// Nothing is wrong, unless an input says otherwise: `sentence` says which.
    fn withdraw(&mut self, sentence: &str) {
        if self.cause == Cause::NothingWrong {
            let (cause, confidence) = (Cause::NotEnoughEvidence, Confidence::Unknown);
            *self = Self { cause, confidence, sentence: sentence.to_owned() };
        }
    }

    /// Adds what the active check shows beside the cause.
    fn beside_the_check(&mut self, inputs: &Inputs) {
        let Some(check) = inputs.check.as_ref().filter(|_| inputs.wire.is_some() || inputs.logs.is_some())
        else {
            return;
        };
        match check::by_check(inputs, check) {
            Some(other)
                if other.cause != self.cause
                    && other.cause != Cause::NotEnoughEvidence
                    && !self.sentence.contains(&other.sentence) =>
            {
                self.add(&format!("The active check shows as well: {}", other.sentence));
            }
            None if self.cause == Cause::NothingWrong && check.verdict == CheckVerdict::NonSniRefused => {
                self.add("The active check was refused without SNI, but no such client was seen.");
            }
            _ => {}
        }
    }
}

/// Finds the cause.
pub(super) fn judge(inputs: &Inputs) -> Judgement {
    let has_facts = |wire: &&WireFacts| wire.facts().next().is_some() || wire.plain_http > 0;
    let wire = inputs.wire.as_ref().filter(|wire| wire.handshakes() > 0 || has_facts(wire));
    let logs = inputs.logs.as_ref().filter(|logs| logs.entries > 0);
    let mut found = wire.map(|wire| wire::explanations(inputs, wire)).unwrap_or_default();
    if let Some(logs) = logs {
        found = log::combined(inputs, found, logs);
    }
    let mut judgement = if let Some(judgement) = explanation::first(found) {
        judgement
    } else if wire.is_some() || logs.is_some() {
        configured::unseen(inputs).unwrap_or_else(|| nothing::nothing(inputs))
    } else {
        configured::by_configuration(inputs)
    };
    judgement.contradicted(inputs);
    judgement.beside_the_check(inputs);
    if inputs.message.as_ref().is_some_and(message::is_failure) {
        judgement.withdraw(
            "The client's message says that a connection failed, and no other input shows this: it may be of another time, another \
             gateway, or of the way between.",
        );
    }
    let missed = nothing::missed(inputs);
    if !missed.is_empty() {
        judgement.withdraw("No fault was found, but not everything was seen.");
        judgement.confidence = judgement.confidence.lowered();
        judgement.add(&missed.join(" "));
    }
    judgement
}

/// Whether the inputs show that clients without SNI can be served.
pub(super) fn serves_without_sni(inputs: &Inputs) -> bool {
    inputs
        .wire
        .as_ref()
        .is_some_and(|wire| wire.served_without_sni() > 0 && !no_sni::keeps_out_somewhere(wire))
        || inputs.routes.as_ref().is_some_and(|routes| routes.serves_non_sni == Some(true))
        || inputs.check.as_ref().is_some_and(completes_without_sni)
}

/// Whether the active check was served with a name.
fn serves_a_name(inputs: &Inputs) -> bool {
    let named = inputs.check.as_ref().and_then(|check| attempts::attempt(check, AttemptKind::Named));
    named.is_some_and(attempts::is_served)
}

/// Whether the gateway completes handshakes without SNI, as the active check shows.
fn completes_without_sni(check: &CheckReport) -> bool {
    matches!(
        check.verdict,
        CheckVerdict::NonSniSameCertificate
            | CheckVerdict::NonSniOtherCertificate
            | CheckVerdict::RejectedByHttp
    )
}

/// What clients without SNI meet that verify the certificate; empty if they find the name, or it is not known.
fn caveat(inputs: &Inputs) -> String {
    let Some(check) = &inputs.check else { return String::new() };
    let named = attempts::attempt(check, AttemptKind::Named);
    let without = attempts::attempt(check, AttemptKind::WithoutSni);
    let other = without.and_then(|without| without.certificate.as_ref()).filter(|it| !it.matches_host);
    match other {
        Some(other) if named.is_some() => format!(
            " But clients without SNI that verify the certificate get CN {}, which does not match {}.",
            printable(&other.subject),
            printable(named.and_then(|named| named.server_name.as_deref()).unwrap_or(&check.target))
        ),
        _ => String::new(),
    }
}
