//! The facts of the last hours. A gateway changes, and what it did last week explains nothing now.

use std::time::Duration;

use sni_probe_core::clients::ClientLabel;
use sni_probe_core::flow::Timestamp;

use super::{FactsReport, RefusalFacts};

/// The facts are of the last one to two of these.
pub const WINDOW: Duration = Duration::from_hours(1);

/// Counts of the last one to two [`WINDOW`]s.
#[derive(Debug, Default)]
pub struct RecentFacts {
    current: RefusalFacts,
    /// The window before, and when it began.
    previous: Option<(Timestamp, RefusalFacts)>,
    /// When `current` began: with the first handshake, or the first report.
    began: Option<Timestamp>,
}

impl RecentFacts {
    /// The counts to add to, at this time.
    pub fn at(&mut self, now: Timestamp) -> &mut RefusalFacts {
        let began = *self.began.get_or_insert(now);
        let age = now.since(began);
        if age >= WINDOW {
            let ended = std::mem::take(&mut self.current);
            // What ended long ago is over.
            self.previous = (age < 2 * WINDOW).then_some((began, ended));
            self.began = Some(now);
        }
        &mut self.current
    }

    /// Since when the handshakes of a report are counted; `None` before the first one.
    pub fn since(&self) -> Option<Timestamp> {
        self.previous.as_ref().map(|(began, _)| *began).or(self.began)
    }

    /// The facts.
    pub fn report(&mut self, now: Timestamp, label: &ClientLabel) -> FactsReport {
        self.at(now);
        match &self.previous {
            None => self.current.report(label),
            Some((_, previous)) => {
                let mut all = previous.clone();
                all.add_later(&self.current);
                all.report(label)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sni_probe_core::observation::Handshake;

    use super::*;

    #[test]
    fn handshakes_leave_after_one_to_two_hours() {
        let at = |minutes: u64| Timestamp(minutes * 60_000_000_000);
        let mut recent = RecentFacts::default();
        let refused = |recent: &mut RecentFacts, minutes| {
            let report = recent.report(at(minutes), &ClientLabel::Ip);
            report.gateways.iter().map(|gateway| gateway.refused).sum::<u64>()
        };
        recent.at(at(600)).add(&Handshake::example());
        recent.at(at(630)).add(&Handshake::example());
        assert_eq!((refused(&mut recent, 659), recent.since()), (2, Some(at(600))));
        recent.at(at(661)).add(&Handshake::example());
        assert_eq!((refused(&mut recent, 662), recent.since()), (3, Some(at(600))));
        assert_eq!(refused(&mut recent, 720), 3);
        assert_eq!((refused(&mut recent, 722), recent.since()), (1, Some(at(661))));
        assert_eq!(refused(&mut recent, 900), 0);
    }
}
