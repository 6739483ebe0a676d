//! Handshakes a second, from the difference of successive counts.

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use sni_probe_model::{OutcomeClass, SniClass, Word};

use super::Snapshot;

/// Rates are of about the last ten seconds: of one second alone they would jump.
const WINDOW: SignedDuration = SignedDuration::from_secs(10);
/// Snapshots kept: those of the window at the shortest interval.
const MAX_SAMPLES: usize = 41;

/// SNI and outcome.
pub(super) type Kind = (Word<SniClass>, Word<OutcomeClass>);

/// Keeps what was counted in the last snapshots.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// Oldest first; times ascend, and no count is lower than the one before.
    samples: VecDeque<Sample>,
}

#[derive(Debug)]
struct Sample {
    time: Timestamp,
    /// When the daemon started.
    started: Timestamp,
    kinds: HashMap<Kind, u64>,
    clients: HashMap<String, Counted>,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    first_seen: Timestamp,
    handshakes: u64,
}

/// Handshakes a second.
#[derive(Clone, Debug, Default)]
pub(super) struct Speeds {
    kinds: HashMap<Kind, f64>,
    clients: HashMap<String, f64>,
    /// Whether there was a snapshot to compare with.
    is_known: bool,
}

impl Speeds {
    /// Of one kind of handshakes; `None` before the second snapshot.
    pub(super) fn of_kind(&self, kind: &Kind) -> Option<f64> {
        self.is_known.then(|| self.kinds.get(kind).copied().unwrap_or(0.0))
    }

    /// Of one client; `None` while there is nothing to compare with.
    pub(super) fn of_client(&self, client: &str) -> Option<f64> {
        self.clients.get(client).copied()
    }
}

impl Rates {
    /// Takes a snapshot, and tells the rates up to it.
    pub(super) fn observe(&mut self, snapshot: &Snapshot) -> Speeds {
        let sample = Sample::of(snapshot);
        // A daemon that restarted counts from 0; a clock that was set back tells no durations.
        if self.samples.back().is_some_and(|last| sample.is_after_restart(last) || sample.time < last.time) {
            self.samples.clear();
        }
        // The same answer once more is no news.
        if self.samples.back().is_none_or(|last| last.time < sample.time) {
            self.samples.push_back(sample);
        }
        let Some(newest) = self.samples.back() else { return Speeds::default() };
        let begin = newest.time.saturating_sub(WINDOW).unwrap_or(Timestamp::MIN);
        // One that is older than the window stays if it is the only one to compare with.
        while self.samples.len() > MAX_SAMPLES
            || (self.samples.len() > 2 && self.samples.front().is_some_and(|oldest| oldest.time < begin))
        {
            self.samples.pop_front();
        }
        match (self.samples.front(), self.samples.back()) {
            (Some(from), Some(to)) if from.time < to.time => to.speeds_since(from),
            _ => Speeds::default(),
        }
    }
}

impl Sample {
    fn of(snapshot: &Snapshot) -> Self {
        let mut kinds: HashMap<Kind, u64> = HashMap::new();
        // Sources are told apart there, and not here.
        for count in &snapshot.summary.handshakes {
            let sum = kinds.entry((count.sni.clone(), count.outcome.clone())).or_default();
            *sum = sum.saturating_add(count.handshakes);
        }
        let clients = snapshot.clients.clients.iter().map(|client| {
            let counted = Counted { first_seen: client.first_seen, handshakes: client.handshakes };
            (client.client.clone(), counted)
        });
        Self {
            time: snapshot.summary.time,
            started: snapshot.summary.started,
            kinds,
            clients: clients.collect(),
        }
    }

    fn is_after_restart(&self, last: &Self) -> bool {
        let is_lower = |(kind, before): (&Kind, &u64)| self.kinds.get(kind).copied().unwrap_or(0) < *before;
        self.started != last.started || last.kinds.iter().any(is_lower)
    }

    fn speeds_since(&self, from: &Self) -> Speeds {
        let seconds = self.time.duration_since(from.time).as_secs_f64();
        let kinds = self.kinds.iter().map(|(kind, &now)| {
            // What did not occur is not in the answer.
            let before = from.kinds.get(kind).copied().unwrap_or(0);
            (kind.clone(), rate(now.saturating_sub(before), seconds))
        });
        let clients = self.clients.iter().filter_map(|(client, now)| {
            let before = match from.clients.get(client) {
                // One that left the top and came back counts anew.
                Some(before)
                    if before.first_seen == now.first_seen && before.handshakes <= now.handshakes =>
                {
                    before.handshakes
                }
                _ if now.first_seen >= from.time => 0,
                _ => return None,
            };
            Some((client.clone(), rate(now.handshakes - before, seconds)))
        });
        Speeds { kinds: kinds.collect(), clients: clients.collect(), is_known: true }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people has three digits")]
fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, count, sample};
    use super::*;

    fn kind(sni: &str, outcome: &str) -> Kind {
        (sni.into(), outcome.into())
    }

    fn observe(rates: &mut Rates, seconds: i64, started: i64, counts: &[(&str, u64)]) -> Option<f64> {
        let mut snapshot = sample();
        snapshot.summary.time = at(seconds);
        snapshot.summary.started = at(started);
        snapshot.summary.handshakes = counts.iter().map(|&(sni, n)| count(sni, "timeout", n)).collect();
        rates.observe(&snapshot).of_kind(&kind("absent", "timeout"))
    }

    fn assert_rate(rate: Option<f64>, expected: f64) {
        assert!(rate.is_some_and(|rate| (rate - expected).abs() < 1e-9), "{rate:?}, not {expected}");
    }

    #[test]
    fn the_first_snapshot_tells_no_rate() {
        assert_eq!(observe(&mut Rates::default(), 100, 0, &[("absent", 50)]), None);
    }

    #[test]
    fn over_the_last_seconds() {
        let mut rates = Rates::default();
        observe(&mut rates, 100, 0, &[]);
        assert_rate(observe(&mut rates, 101, 0, &[("absent", 10)]), 10.0);
        assert_rate(observe(&mut rates, 102, 0, &[("absent", 10)]), 5.0);
        // Beyond the window the first ones do not count any more.
        assert_rate(observe(&mut rates, 111, 0, &[("absent", 10)]), 0.0);
        // Looks further apart than the window: one interval.
        assert_rate(observe(&mut rates, 211, 0, &[("absent", 60)]), 0.5);
    }

    #[test]
    fn sources_are_added_up() {
        let mut rates = Rates::default();
        observe(&mut rates, 100, 0, &[("absent", 1), ("absent", 2)]);
        assert_rate(observe(&mut rates, 101, 0, &[("absent", 2), ("absent", 4)]), 3.0);
    }

    #[test]
    fn a_restart_begins_anew() {
        let mut rates = Rates::default();
        observe(&mut rates, 100, 0, &[("absent", 50)]);
        assert_eq!(observe(&mut rates, 101, 0, &[("absent", 3)]), None, "a count that goes down");
        assert_rate(observe(&mut rates, 102, 0, &[("absent", 4)]), 1.0);
        assert_eq!(observe(&mut rates, 103, 102, &[("absent", 400)]), None, "another start");
        assert_eq!(observe(&mut rates, 90, 102, &[("absent", 500)]), None, "a clock that was set back");
        assert_rate(observe(&mut rates, 92, 102, &[("absent", 502)]), 1.0);
    }

    #[test]
    fn the_same_answer_twice_changes_nothing() {
        let mut rates = Rates::default();
        observe(&mut rates, 100, 0, &[("absent", 1)]);
        observe(&mut rates, 101, 0, &[("absent", 2)]);
        assert_rate(observe(&mut rates, 101, 0, &[("absent", 2)]), 1.0);
    }

    #[test]
    fn no_more_snapshots_are_kept_than_needed() {
        let mut rates = Rates::default();
        for n in 0..1000 {
            let mut snapshot = sample();
            snapshot.summary.time = at(100).checked_add(SignedDuration::from_millis(n)).unwrap();
            rates.observe(&snapshot);
        }
        assert_eq!(rates.samples.len(), MAX_SAMPLES);
    }

    #[test]
    fn a_client_that_left_the_top_and_came_back_counts_anew() {
        let mut rates = Rates::default();
        let mut speed = |seconds, first_seen, handshakes| {
            let mut snapshot = sample();
            snapshot.summary.time = at(seconds);
            snapshot.clients.clients.truncate(1);
            let client = &mut snapshot.clients.clients[0];
            (client.first_seen, client.handshakes) = (at(first_seen), handshakes);
            let name = client.client.clone();
            rates.observe(&snapshot).of_client(&name)
        };
        assert_eq!(speed(100, 50, 10), None);
        assert_rate(speed(101, 50, 14), 4.0);
        // It came back, at a time before the first of the snapshots that are compared: unknown.
        assert_eq!(speed(102, 99, 5), None);
        // Within them: all its handshakes are.
        assert_rate(speed(104, 103, 8), 2.0);
    }
}
