//! Words from outside as the values they mean.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sni_probe_core::vocabulary::{AlertSender, Fate, Label, OutcomeClass, SniClass};

/// A word of a closed set, as another program wrote it. A later version may have words that this one does not know.
///
/// ```
/// use sni_probe_model::{SniClass, Word};
///
/// let word: Word<SniClass> = "absent".into();
/// assert_eq!(word, Word::Known(SniClass::Absent));
/// let word: Word<SniClass> = "of a later version".into();
/// assert_eq!((word.as_str(), word.known()), ("of a later version", None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Word<L> {
    /// A value of the set.
    Known(L),
    /// Any other text.
    Other(Box<str>),
}

impl<L: Label> Word<L> {
    /// The word as it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(label) => label.as_str(),
            Self::Other(text) => text,
        }
    }

    /// The value, if the word is known.
    pub fn known(&self) -> Option<L> {
        match self {
            Self::Known(label) => Some(*label),
            Self::Other(_) => None,
        }
    }
}

impl Word<SniClass> {
    /// Whether the ClientHello is without SNI: [`SniClass::is_without_sni`].
    pub fn is_without_sni(&self) -> bool {
        self.known().is_some_and(SniClass::is_without_sni)
    }

    /// Whether the ClientHello has a host name.
    pub fn is_with_sni(&self) -> bool {
        self.known() == Some(SniClass::Present)
    }
}

impl Word<OutcomeClass> {
    /// What the outcome means: [`OutcomeClass::fate`].
    pub fn fate(&self, sender: Option<AlertSender>) -> Fate {
        self.known().map_or(Fate::Unknown, |outcome| outcome.fate(sender))
    }

    /// Whether the handshake failed: [`OutcomeClass::is_failure`].
    pub fn is_failure(&self) -> bool {
        self.known().is_some_and(OutcomeClass::is_failure)
    }
}

impl<L: Label> From<&str> for Word<L> {
    fn from(text: &str) -> Self {
        let known = L::ALL.iter().copied().find(|label| label.as_str() == text);
        known.map_or_else(|| Self::Other(text.into()), Self::Known)
    }
}

impl<L: Label> fmt::Display for Word<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<L: Label> Serialize for Word<L> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, L: Label> Deserialize<'de> for Word<L> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Ok(Self::from(&*text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_survives_its_text() {
        for &outcome in OutcomeClass::ALL {
            let word = Word::<OutcomeClass>::from(outcome.as_str());
            assert_eq!(word, Word::Known(outcome));
            assert_eq!(serde_json::to_string(&word).unwrap(), format!("\"{outcome}\""));
        }
        let later: Word<OutcomeClass> = serde_json::from_str(r#""of_a_later_version""#).unwrap();
        assert_eq!((later.known(), later.as_str()), (None, "of_a_later_version"));
        assert_eq!(later.fate(None), Fate::Unknown);
    }

    #[test]
    fn each_outcome_has_one_fate() {
        let refused = |sender| {
            let all = OutcomeClass::ALL.iter().copied();
            all.filter(move |outcome| outcome.fate(sender) == Fate::Refused).collect::<Vec<_>>()
        };
        let after = OutcomeClass::RefusedAfterServerHello;
        let resets = [OutcomeClass::ResetByGateway, OutcomeClass::ClosedByGateway];
        let without_alert = [&[after], &resets[..]].concat();
        assert_eq!(refused(Some(AlertSender::Client)), without_alert);
        assert_eq!(refused(None), without_alert);
        let with_alert = [&[after, OutcomeClass::Alert], &resets[..]].concat();
        assert_eq!(refused(Some(AlertSender::Gateway)), with_alert);
        let served = OutcomeClass::ALL.iter().filter(|outcome| outcome.fate(None) == Fate::Served);
        let expected = [OutcomeClass::ServerHello, OutcomeClass::Established, OutcomeClass::RejectedByClient];
        assert!(served.eq(&expected));
    }

    #[test]
    fn an_incomplete_hello_is_neither_with_nor_without_sni() {
        let of = |sni: SniClass| (Word::Known(sni).is_with_sni(), Word::Known(sni).is_without_sni());
        let all: Vec<_> = SniClass::ALL.iter().map(|&sni| of(sni)).collect();
        assert_eq!(all, [(true, false), (false, true), (false, true), (false, true), (false, false)]);
    }
}
