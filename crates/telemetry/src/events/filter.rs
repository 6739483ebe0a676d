//! `--events-filter`: which handshakes are events.

use sni_probe_core::observation::Handshake;
use sni_probe_core::vocabulary::{Label, OutcomeClass, SniClass};

/// Which handshakes pass: those of one of these classes, and with one of these outcomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsFilter {
    /// None stands for all.
    sni: Vec<SniClass>,
    /// None stands for all.
    outcomes: Vec<OutcomeClass>,
}

impl Default for EventsFilter {
    /// What went wrong.
    fn default() -> Self {
        let outcomes = OutcomeClass::ALL.iter().copied().filter(|class| class.is_failure()).collect();
        Self { sni: Vec::new(), outcomes }
    }
}

impl EventsFilter {
    /// All handshakes.
    #[cfg(test)]
    pub const ALL: Self = Self { sni: Vec::new(), outcomes: Vec::new() };

    /// Reads words that are separated by commas.
    ///
    /// # Errors
    /// If one is unknown, or `all` stands with others.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut filter = Self { sni: Vec::new(), outcomes: Vec::new() };
        let words: Vec<&str> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        for word in &words {
            match *word {
                "all" if words.len() == 1 => {}
                "all" => return Err("\"all\" stands alone".to_owned()),
                "missing" => filter.sni.extend(SniClass::WITHOUT_SNI),
                "failed" => filter.outcomes.extend(Self::default().outcomes),
                word => match (labelled(word), labelled(word)) {
                    (Some(sni), _) => filter.sni.push(sni),
                    (None, Some(outcome)) => filter.outcomes.push(outcome),
                    (None, None) => {
                        return Err(format!("unknown word \"{word}\"; expected {}", words_known()));
                    }
                },
            }
        }
        if words.is_empty() {
            return Err(format!("expected {}", words_known()));
        }
        Ok(filter)
    }

    /// Whether the handshake is an event.
    pub fn passes(&self, handshake: &Handshake) -> bool {
        let is_among_sni = self.sni.is_empty() || self.sni.contains(&handshake.hello.sni.class());
        is_among_sni && (self.outcomes.is_empty() || self.outcomes.contains(&handshake.outcome.class()))
    }
}

fn labelled<L: Label>(word: &str) -> Option<L> {
    L::ALL.iter().copied().find(|label| label.as_str() == word)
}

fn words_known() -> String {
    let words = ["all", "missing"].into_iter();
    let words = words.chain(SniClass::ALL.iter().map(|label| label.as_str()));
    let words = words.chain(["failed"]).chain(OutcomeClass::ALL.iter().map(|label| label.as_str()));
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use sni_probe_core::observation::{Outcome, Sni};

    use super::*;

    fn passes(filter: &str, sni: Sni, outcome: Outcome) -> bool {
        let mut handshake = Handshake::example();
        handshake.hello.sni = sni;
        handshake.outcome = outcome;
        EventsFilter::parse(filter).unwrap().passes(&handshake)
    }

    #[test]
    fn what_went_wrong() {
        let named = || Sni::Present("a.example".to_owned());
        assert!(passes("failed", named(), Outcome::ResetByGateway));
        assert!(passes("failed", Sni::Absent, Outcome::Timeout));
        assert!(!passes("failed", Sni::Absent, Outcome::ServerHello));
        assert!(!passes("failed", Sni::Absent, Outcome::Unfinished));
        assert!(!passes("failed", named(), Outcome::Established));
        for outcome in [
            Outcome::RejectedByClient { alert: None },
            Outcome::ClientCertificateRefused { alert: None },
            Outcome::RefusedAfterServerHello { alert: None },
        ] {
            assert!(passes("failed", named(), outcome));
        }
    }

    #[test]
    fn words_of_a_kind_are_alternatives_and_the_kinds_must_both_fit() {
        assert!(passes("missing", Sni::Invalid(String::new()), Outcome::ServerHello));
        assert!(!passes("missing", Sni::Unknown, Outcome::ServerHello));
        assert!(passes("absent, unknown,timeout", Sni::Unknown, Outcome::Timeout));
        assert!(!passes("absent,timeout", Sni::Absent, Outcome::ResetByGateway));
        assert!(passes("alert,timeout", Sni::Absent, Outcome::Timeout));
        assert!(passes("all", Sni::Unknown, Outcome::Unfinished));
        assert_eq!(EventsFilter::parse("all"), Ok(EventsFilter::ALL));
    }

    #[test]
    fn an_unknown_word_is_told_with_those_that_are_known() {
        let error = EventsFilter::parse("absent,reset").unwrap_err();
        assert!(
            error.starts_with("unknown word \"reset\"; expected all, missing, present, absent"),
            "{error}"
        );
        assert!(error.ends_with("evicted, unfinished"), "{error}");
        assert!(EventsFilter::parse("all,absent").unwrap_err().contains("stands alone"));
        assert!(EventsFilter::parse(" , ").is_err());
    }
}
