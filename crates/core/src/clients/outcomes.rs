//! How often which outcome came, and of alerts, which ones.

use crate::observation::Outcome;
use crate::vocabulary::{AlertDescription, AlertSender, Fate, Label, OutcomeClass, SniClass};

const WITHOUT_SNI: [SniClass; 3] = SniClass::WITHOUT_SNI;

/// Handshakes without SNI, by class and outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    counts: [[u64; OutcomeClass::ALL.len()]; WITHOUT_SNI.len()],
    alerts: Counts<AlertFrom>,
}

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
    /// Counts one. A hello with SNI, or one that never became whole, is none of these.
    pub fn count(&mut self, sni: SniClass, outcome: Outcome) {
        let Some(class) = WITHOUT_SNI.iter().position(|&class| class == sni) else { return };
        self.counts[class][outcome.class() as usize] += 1;
        if let Some((description, sender)) = outcome.alert() {
            let description = (sender == AlertSender::Gateway).then_some(description);
            self.alerts.count(AlertFrom { sni, description, sender });
        }
    }

    /// All, those of zero included.
    pub fn iter(&self) -> impl Iterator<Item = (SniClass, OutcomeClass, u64)> {
        WITHOUT_SNI.iter().zip(&self.counts).flat_map(|(&sni, counts)| {
            OutcomeClass::ALL.iter().zip(counts).map(move |(&outcome, &count)| (sni, outcome, count))
        })
    }

    /// The alerts that came: together the counts of [`OutcomeClass::Alert`].
    pub fn alerts(&self) -> impl Iterator<Item = (AlertFrom, u64)> {
        self.alerts.iter()
    }

    /// How many of the handshakes with this class and outcome the gateway refused.
    pub fn refused(&self, sni: SniClass, outcome: OutcomeClass) -> u64 {
        match outcome.fate(None) {
            Fate::Refused => self.iter().find(|(s, o, _)| (*s, *o) == (sni, outcome)).map_or(0, |(.., n)| n),
            _ if outcome == OutcomeClass::Alert => {
                let of_gateway = self.alerts().filter(|(alert, _)| {
                    alert.sni == sni && outcome.fate(Some(alert.sender)) == Fate::Refused
                });
                of_gateway.map(|(_, count)| count).sum()
            }
            _ => 0,
        }
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.iter().map(|(.., count)| count).sum()
    }
}

/// Handshakes with SNI that the gateway refused, by how: alert, reset or close.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    counts: [u64; OutcomeClass::ALL.len()],
    alerts: Counts<AlertDescription>,
    with_ech: u64,
}

impl Refusals {
    /// Counts one, with or without Encrypted Client Hello. An outcome other than a refusal is ignored.
    pub fn count(&mut self, outcome: Outcome, has_ech: bool) {
        if !outcome.is_refused() {
            return;
        }
        self.with_ech += u64::from(has_ech);
        self.counts[outcome.class() as usize] += 1;
        if let Some((description, _)) = outcome.alert() {
            self.alerts.count(description);
        }
    }

    /// All outcomes by which a gateway refuses, with their counts, those of zero included.
    pub fn iter(&self) -> impl Iterator<Item = (OutcomeClass, u64)> {
        let all = OutcomeClass::ALL.iter().copied().zip(self.counts);
        all.filter(|(outcome, _)| outcome.fate(Some(AlertSender::Gateway)) == Fate::Refused)
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many of them had Encrypted Client Hello, so that the name may be the outer one.
    pub fn with_ech(&self) -> u64 {
        self.with_ech
    }

    /// The alerts of the gateway that came: together the count of [`OutcomeClass::Alert`].
    pub fn alerts(&self) -> impl Iterator<Item = (AlertDescription, u64)> {
        self.alerts.iter()
    }
}

/// How often each of a closed set came. One client sees one or two of some hundred, so it is a list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counts<K>(Vec<(K, u64)>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Copy + PartialEq> Counts<K> {
    fn count(&mut self, key: K) {
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, count)) => *count += 1,
            None => self.0.push((key, 1)),
        }
    }

    fn iter(&self) -> impl Iterator<Item = (K, u64)> {
        self.0.iter().copied()
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
        assert_eq!(outcomes.alerts().count(), WITHOUT_SNI.len() * (descriptions + 1));
        for (alert, count) in outcomes.alerts() {
            assert_eq!(alert.description.is_some(), alert.sender == AlertSender::Gateway);
            assert_eq!(count, if alert.description.is_some() { 1 } else { descriptions as u64 });
        }
        let all = WITHOUT_SNI.len() * descriptions * AlertSender::ALL.len();
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
