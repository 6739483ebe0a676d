//! A cause with what it explains, and the choice between several.

use sni_probe_terminal::units::counted;

use super::super::model::{Cause, Confidence};
use super::{Judgement, NOISE};

/// A cause that the evidence supports.
#[derive(Clone, Debug)]
pub(super) struct Explanation {
    pub(super) judgement: Judgement,
    /// Handshakes, connections or log entries that the cause explains.
    pub(super) count: u64,
    /// What the count is of: `handshake`, `connection`, `log entry`.
    pub(super) noun: Noun,
    /// What became of them, after "N handshakes": `without SNI were refused`.
    pub(super) short: String,
    /// What the cause rests on.
    pub(super) basis: Basis,
    /// Which refusals it is about, if it is one of these classes.
    pub(super) class: Option<Class>,
}

/// Refusals that the wire and the log both show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    WithoutSni,
    WithName,
}

/// What an [`Explanation`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noun {
    Handshake,
    Connection,
    LogEntry,
    /// A log entry of a request that failed on a connection that was served.
    Request,
}

impl Noun {
    pub(super) fn counted(self, count: u64) -> String {
        match self {
            Self::Handshake => counted(count, "handshake"),
            Self::Connection => counted(count, "connection"),
            Self::LogEntry if count == 1 => "1 log entry".to_owned(),
            Self::LogEntry => format!("{count} log entries"),
            Self::Request => counted(count, "request"),
        }
    }
}

/// What an [`Explanation`] rests on, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Basis {
    /// Something separates these handshakes from those that were served, or the gateway or the client says the reason itself.
    Separated,
    /// Handshakes were refused, and nothing but what they have in common speaks for the cause. A reason in the log is better.
    Common,
    /// No cause is found for them.
    None,
}

/// `was` or `were`.
pub(super) fn was(count: u64) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

impl Explanation {
    /// Whether it names a cause.
    pub(super) fn is_cause(&self) -> bool {
        !matches!(self.judgement.cause, Cause::NotEnoughEvidence | Cause::NothingWrong)
    }

    fn weight(&self) -> u64 {
        let weight = match self.judgement.cause {
            _ if self.noun == Noun::Request => 1,
            Cause::NotTheGateway => 1,
            Cause::CertificateRejected | Cause::ClientCertificateRequired | Cause::IncompleteHellos => 4,
            _ => NOISE,
        };
        self.count.saturating_mul(weight)
    }
}

/// The explanation of the most, with the others as a last sentence; `None` if there is none.
///
/// One that names a cause comes before one that does not. What the gateway ends weighs more than what clients and the network end, of
/// which there are always some.
pub(super) fn first(mut found: Vec<Explanation>) -> Option<Judgement> {
    found.retain(|explanation| explanation.count > 0);
    let rank = |explanation: &Explanation| {
        (explanation.is_cause(), explanation.weight(), std::cmp::Reverse(explanation.basis))
    };
    // Of equals, the first.
    let place = (0..found.len()).rev().max_by_key(|&place| rank(&found[place]))?;
    let Explanation { mut judgement, count, .. } = found.remove(place);
    judgement.sentence += &besides(count, &found);
    Some(judgement)
}

/// What else ended handshakes, if it is more than a few beside the cause.
fn besides(count: u64, others: &[Explanation]) -> String {
    let floor = count.div_ceil(NOISE).max(1);
    let others = others.iter().filter(|other| other.count >= floor);
    let others: Vec<String> =
        others.map(|other| format!("{} {}", other.noun.counted(other.count), other.short)).collect();
    if others.is_empty() { String::new() } else { format!(" Besides, {}.", others.join(", and ")) }
}

/// An explanation that no cause is found for handshakes.
pub(super) fn not_enough(count: u64, sentence: String, short: String) -> Explanation {
    Explanation {
        judgement: Judgement { cause: Cause::NotEnoughEvidence, confidence: Confidence::Unknown, sentence },
        count,
        noun: Noun::Handshake,
        short,
        basis: Basis::None,
        class: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explanation(cause: Cause, count: u64) -> Explanation {
        let judgement = Judgement { cause, confidence: Confidence::Likely, sentence: format!("{cause}.") };
        let (noun, short) = (Noun::Handshake, format!("by {cause}"));
        Explanation { judgement, count, noun, short, basis: Basis::Common, class: None }
    }

    #[test]
    fn the_explanation_of_the_most_is_first_and_others_are_shown_if_they_are_more_than_a_few() {
        let text = |counts: &[(Cause, u64)]| {
            let found = counts.iter().map(|&(cause, count)| explanation(cause, count)).collect();
            first(found).map(|judgement| judgement.sentence)
        };
        let (a, b, c) = (Cause::UnknownName, Cause::TlsMismatch, Cause::NotEnoughEvidence);
        assert_eq!(text(&[]), None);
        assert_eq!(text(&[(a, 0)]), None);
        assert_eq!(text(&[(a, 9), (b, 0)]).unwrap(), "unknown_name.");
        assert_eq!(text(&[(a, 9), (b, 12)]).unwrap(), "tls_mismatch. Besides, 9 handshakes by unknown_name.");
        assert_eq!(text(&[(a, 9), (b, 9)]).unwrap(), "unknown_name. Besides, 9 handshakes by tls_mismatch.");
        assert_eq!(text(&[(a, 100), (b, 4)]).unwrap(), "unknown_name.", "noise");
        assert_eq!(
            text(&[(a, 100), (b, 5)]).unwrap(),
            "unknown_name. Besides, 5 handshakes by tls_mismatch."
        );
        assert_eq!(
            text(&[(a, 1), (c, 9)]).unwrap(),
            "unknown_name. Besides, 9 handshakes by not_enough_evidence."
        );
    }
}
