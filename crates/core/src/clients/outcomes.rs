//! How often which outcome came, and of alerts, which ones.

use crate::observation::Outcome;
use crate::vocabulary::{AlertDescription, AlertSender, Fate, Label, OutcomeClass, SniClass};

/// Counts handshakes without SNI by class and outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes(Counts<(SniClass, Outcome)>);

/// An alert in answer to a hello without SNI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertFrom {
    /// The class of the hello.
    pub sni: SniClass,
    /// What it says, if the gateway sent it. A client can say anything, and as much of it as it likes.
    pub description: Option<AlertDescription>,
    /// Who sent it.
    pub sender: AlertSender,
}

impl Outcomes {
    /// Counts one. A hello with SNI, or one that never became whole, is ignored.
    pub fn count(&mut self, sni: SniClass, outcome: Outcome) {
        if sni.is_without_sni() {
            self.0.add((sni, outcome), 1);
        }
    }

    /// The handshakes by class of SNI and class of outcome, those of zero included.
    pub fn iter(&self) -> impl Iterator<Item = (SniClass, OutcomeClass, u64)> {
        SniClass::WITHOUT_SNI.iter().flat_map(move |&class| {
            OutcomeClass::ALL.iter().map(move |&outcome| {
                let count = self.0.sum(|(sni, of)| (sni, of.class()) == (class, outcome));
                (class, outcome, count)
            })
        })
    }

    /// The handshakes by class of SNI and outcome, each alert apart: only those that occurred, in the order in which each
    /// occurred first.
    pub fn occurred(&self) -> impl Iterator<Item = (SniClass, Outcome, u64)> {
        self.0.iter().map(|((sni, outcome), count)| (sni, outcome, count))
    }

    /// The alerts that came: together the counts of [`OutcomeClass::Alert`].
    pub fn alerts(&self) -> impl Iterator<Item = (AlertFrom, u64)> {
        let mut alerts = Counts::default();
        for (sni, outcome, count) in self.occurred() {
            if let Some((description, sender)) = outcome.alert() {
                let description = (sender == AlertSender::Gateway).then_some(description);
                alerts.add(AlertFrom { sni, description, sender }, count);
            }
        }
        alerts.0.into_iter()
    }

    /// How many of the handshakes with this class and outcome the gateway refused.
    pub fn refused(&self, class: SniClass, outcome: OutcomeClass) -> u64 {
        self.0.sum(|(sni, of)| (sni, of.class()) == (class, outcome) && of.is_refused())
    }

    /// How many the gateway refused in all.
    pub fn total_refused(&self) -> u64 {
        self.0.sum(|(_, outcome)| outcome.is_refused())
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.0.sum(|_| true)
    }
}

/// Handshakes with SNI that the gateway refused, by how: alert, reset or close.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    outcomes: Counts<Outcome>,
    with_ech: u64,
}

impl Refusals {
    /// Counts one, with or without Encrypted Client Hello. An outcome other than a refusal is ignored.
    pub fn count(&mut self, outcome: Outcome, has_ech: bool) {
        if outcome.is_refused() {
            self.outcomes.add(outcome, 1);
            self.with_ech += u64::from(has_ech);
        }
    }

    /// All outcomes by which a gateway refuses, with their counts, those of zero included.
    pub fn iter(&self) -> impl Iterator<Item = (OutcomeClass, u64)> {
        let all = OutcomeClass::ALL.iter().copied();
        let refusals = all.filter(|outcome| outcome.fate(Some(AlertSender::Gateway)) == Fate::Refused);
        refusals.map(|class| (class, self.outcomes.sum(|outcome| outcome.class() == class)))
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.outcomes.sum(|_| true)
    }

    /// How many of them had Encrypted Client Hello, so that the name may be the outer one.
    pub fn with_ech(&self) -> u64 {
        self.with_ech
    }

    /// The alerts of the gateway that came: together the count of [`OutcomeClass::Alert`].
    pub fn alerts(&self) -> impl Iterator<Item = (AlertDescription, u64)> {
        self.outcomes.iter().filter_map(|(outcome, count)| Some((outcome.alert()?.0, count)))
    }
}

/// Counts by a key of a closed set, in the order in which each key came first. One client sees one or two outcomes of some
/// two hundred, so it is a list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counts<K>(Vec<(K, u64)>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Copy + PartialEq> Counts<K> {
    fn add(&mut self, key: K, count: u64) {
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, sum)) => *sum += count,
            None => self.0.push((key, count)),
        }
    }

    fn iter(&self) -> impl Iterator<Item = (K, u64)> {
        self.0.iter().copied()
    }

    fn sum(&self, is_wanted: impl Fn(K) -> bool) -> u64 {
        self.iter().filter(|&(key, _)| is_wanted(key)).map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_told_apart_and_add_up() {
        let mut outcomes = Outcomes::default();
        let mut refusals = Refusals::default();
        for &description in AlertDescription::ALL {
            for &sender in AlertSender::ALL {
                for &sni in SniClass::ALL {
                    outcomes.count(sni, Outcome::Alert { description, sender });
                    refusals.count(Outcome::Alert { description, sender }, false);
                }
            }
        }
        outcomes.count(SniClass::Absent, Outcome::ServerHello);
        refusals.count(Outcome::ServerHello, true);
        assert_eq!(refusals.with_ech(), 0);
        refusals.count(Outcome::ResetByGateway, true);
        assert_eq!(refusals.with_ech(), 1);

        // As many as there can be, however many come: those of clients are not told apart.
        let descriptions = AlertDescription::ALL.len();
        assert_eq!(outcomes.alerts().count(), SniClass::WITHOUT_SNI.len() * (descriptions + 1));
        for (alert, count) in outcomes.alerts() {
            assert_eq!(alert.description.is_some(), alert.sender == AlertSender::Gateway);
            assert_eq!(count, if alert.description.is_some() { 1 } else { descriptions as u64 });
        }
        let all = SniClass::WITHOUT_SNI.len() * descriptions * AlertSender::ALL.len();
        let counted = outcomes.iter().filter(|(_, outcome, _)| *outcome == OutcomeClass::Alert);
        assert_eq!(counted.map(|(.., count)| count).sum::<u64>(), all as u64);
        assert_eq!(outcomes.total(), all as u64 + 1);

        assert_eq!(refusals.alerts().count(), AlertDescription::ALL.len());
        let alerts = (AlertDescription::ALL.len() * SniClass::ALL.len()) as u64;
        assert_eq!(refusals.alerts().map(|(_, count)| count).sum::<u64>(), alerts);
        let expected = [
            (OutcomeClass::RefusedAfterServerHello, 0),
            (OutcomeClass::Alert, alerts),
            (OutcomeClass::ResetByGateway, 1),
            (OutcomeClass::ClosedByGateway, 0),
        ];
        assert_eq!(refusals.iter().collect::<Vec<_>>(), expected);
    }
}
