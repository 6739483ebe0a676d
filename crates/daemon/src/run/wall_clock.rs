//! From the wall clock, by which packet sockets stamp frames, to the monotonic clock of the tracker.
//!
//! The wall clock may be set while frames wait to be drained. So each frame is converted by the difference of the clocks
//! that was in force when it was stamped, not by the one at the time of the drain:
//!
//! - Both clocks are read at each turn of a drain. A difference is in force from the last reading before it was seen (at
//!   the earliest) to the first reading that sees another one (at the latest).
//! - A frame that is drained now was stamped since the last complete drain, or shortly before it, for the kernel holds
//!   frames back for a while.
//! - Frames of one socket come in the order of their stamps.
//!
//! After a step that is larger than the time between two drains one difference fits. After a smaller one more than one
//! may fit; then a time is wrong by no more than that step.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use sni_probe_capture::packet_socket::HELD_BACK;

use super::monotonic::now;

/// How long the kernel may hold a frame back: its timer may be late by a tick or two.
const HELD: u64 = nanoseconds(HELD_BACK) * 2;
/// Larger changes of the difference are steps, smaller ones the work of a time daemon that slews the clock, or of
/// readings that were interrupted.
const STEP: u64 = nanoseconds(Duration::from_millis(1));
/// A converted time that is further outside of what is possible is wrong: the clock was set twice between two readings.
const IMPOSSIBLE: u64 = nanoseconds(Duration::from_secs(1));
/// Differences that are remembered. More than two take several steps within a drain.
const MAX_DIFFERENCES: usize = 16;

const fn nanoseconds(span: Duration) -> u64 {
    span.as_secs() * 1_000_000_000 + span.subsec_nanos() as u64
}

/// What both clocks say at one moment, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    monotonic: u64,
    /// Since 1970.
    wall: u64,
}

impl Reading {
    /// Reads both clocks.
    pub(super) fn now() -> Self {
        /// Readings take 50 ns each. An interrupt may come between them.
        const GOOD: u64 = 10_000;
        let read = || {
            let before = now().0;
            let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let took = now().0 - before;
            let wall = u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX);
            (took, Self { monotonic: before + took / 2, wall })
        };
        let mut best = read();
        for _ in 0..2 {
            if best.0 <= GOOD {
                break;
            }
            let next = read();
            if next.0 < best.0 {
                best = next;
            }
        }
        best.1
    }

    /// By how much the wall clock is ahead of the monotonic one.
    fn difference(self) -> i128 {
        i128::from(self.wall) - i128::from(self.monotonic)
    }
}

/// A difference of the clocks, and from when to when it may have been in force, by the monotonic clock.
#[derive(Clone, Copy, Debug)]
struct Difference {
    wall_ahead: i128,
    since: u64,
    until: u64,
}

impl Difference {
    fn convert(&self, wall: u64) -> Option<u64> {
        u64::try_from(i128::from(wall) - self.wall_ahead).ok()
    }
}

/// The clocks' readings, as far back as frames may still come from.
#[derive(Debug)]
pub(super) struct WallClock {
    /// The latest one.
    current: Difference,
    /// The ones before, oldest first.
    earlier: VecDeque<Difference>,
    /// No frame that is still to come was stamped before.
    oldest: u64,
}

impl WallClock {
    /// Starts with a reading: no frame was stamped before.
    pub(super) fn new(reading: Reading) -> Self {
        let Reading { monotonic, .. } = reading;
        let current = Difference { wall_ahead: reading.difference(), since: monotonic, until: monotonic };
        Self { current, earlier: VecDeque::new(), oldest: monotonic }
    }

    /// Notes a later reading.
    pub(super) fn read(&mut self, reading: Reading) {
        let Reading { monotonic, .. } = reading;
        let wall_ahead = reading.difference();
        if (wall_ahead - self.current.wall_ahead).unsigned_abs() <= u128::from(STEP) {
            self.current.wall_ahead = wall_ahead;
            self.current.until = monotonic;
            return;
        }
        let since = self.current.until;
        self.current.until = monotonic;
        if self.earlier.len() == MAX_DIFFERENCES {
            self.earlier.pop_front();
        }
        self.earlier.push_back(self.current);
        self.current = Difference { wall_ahead, since, until: monotonic };
    }

    /// Notes that all frames were handed over that were not held back at the last reading.
    pub(super) fn drained(&mut self) {
        self.oldest = self.oldest.max(self.current.until.saturating_sub(HELD));
        let oldest = self.oldest;
        self.earlier.retain(|difference| difference.until >= oldest);
    }

    /// Converts the stamp of a frame of which the one before, of the same socket, came at `latest`.
    pub(super) fn convert(&self, wall: u64, latest: &mut u64) -> u64 {
        let time =
            if self.earlier.is_empty() { self.current.convert(wall) } else { self.fitting(wall, *latest) };
        // (A frame may come after the last reading, while others are handled.)
        let (first, last) = (self.oldest, self.current.until);
        let is_possible =
            |time: &u64| (first.saturating_sub(IMPOSSIBLE)..=last.saturating_add(IMPOSSIBLE)).contains(time);
        let time = time.filter(is_possible).unwrap_or_else(|| last.max(*latest));
        *latest = time;
        time
    }

    /// The time by a difference that was in force at that time: of several, the first that is not before `latest`.
    fn fitting(&self, wall: u64, latest: u64) -> Option<u64> {
        let of = |difference: &Difference, until: u64| {
            let since = difference.since.max(self.oldest).saturating_sub(STEP);
            difference.convert(wall).filter(|time| (since..=until.saturating_add(STEP)).contains(time))
        };
        let earlier = self.earlier.iter().filter_map(|difference| of(difference, difference.until));
        let all = || earlier.clone().chain(of(&self.current, self.current.until.saturating_add(IMPOSSIBLE)));
        let next = all().filter(|time| *time >= latest.saturating_sub(STEP)).min();
        next.or_else(|| all().max())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;
    const HOUR: i64 = 3_600_000;
    /// The wall clock at the start: 2026.
    const WALL: u64 = 1_790_000_000_000_000_000;

    /// A machine whose wall clock can be set. Times in milliseconds by the monotonic clock, from 10 s on.
    struct Machine {
        wall_ahead: i128,
        clock: WallClock,
        latest: u64,
    }

    const START: u64 = 10_000;

    impl Machine {
        fn new() -> Self {
            let wall_ahead = i128::from(WALL);
            let clock = WallClock::new(Self::reading_at(wall_ahead, START));
            Self { wall_ahead, clock, latest: 0 }
        }

        fn reading_at(wall_ahead: i128, at: u64) -> Reading {
            let monotonic = at * MS;
            Reading { monotonic, wall: u64::try_from(i128::from(monotonic) + wall_ahead).unwrap() }
        }

        fn step(&mut self, milliseconds: i64) {
            self.wall_ahead += i128::from(milliseconds) * i128::from(MS);
        }

        /// The stamp of a frame.
        fn stamp(&self, at: u64) -> u64 {
            Self::reading_at(self.wall_ahead, at).wall
        }

        fn read(&mut self, at: u64) {
            self.clock.read(Self::reading_at(self.wall_ahead, at));
        }

        /// What becomes of stamps, in milliseconds.
        fn convert(&mut self, stamps: impl IntoIterator<Item = u64>) -> Vec<u64> {
            stamps.into_iter().map(|stamp| self.clock.convert(stamp, &mut self.latest) / MS).collect()
        }

        fn drain(&mut self, at: u64, stamps: impl IntoIterator<Item = u64>) -> Vec<u64> {
            self.read(at);
            let times = self.convert(stamps);
            self.clock.drained();
            times
        }
    }

    #[test]
    fn without_a_step_times_are_exact() {
        let mut machine = Machine::new();
        for at in [START + 200, START + 250, START + 300] {
            let stamps = [machine.stamp(at - 190), machine.stamp(at - 60), machine.stamp(at)];
            assert_eq!(machine.drain(at, stamps), [at - 190, at - 60, at]);
        }
    }

    #[test]
    fn a_step_between_a_frame_and_its_drain_shifts_nothing() {
        for step in [HOUR, -HOUR, 24 * 365 * HOUR, 700, -700] {
            let mut machine = Machine::new();
            machine.drain(START + 50, []);
            let before = [machine.stamp(START + 60), machine.stamp(START + 80)];
            machine.step(step);
            let after = [machine.stamp(START + 90), machine.stamp(START + 95)];
            let times = machine.drain(START + 100, before.into_iter().chain(after));
            assert_eq!(times, [START + 60, START + 80, START + 90, START + 95], "a step of {step} ms");
            // And as before, once it is over.
            let stamps = [machine.stamp(START + 130), machine.stamp(START + 140)];
            assert_eq!(machine.drain(START + 150, stamps), [START + 130, START + 140], "{step}");
        }
    }

    #[test]
    fn a_frame_that_was_held_back_is_from_before_the_step() {
        for step in [HOUR, -HOUR] {
            let mut machine = Machine::new();
            let held = machine.stamp(START + 45);
            machine.drain(START + 50, []);
            machine.step(step);
            // The step is seen by a drain that does not get the frame.
            machine.drain(START + 60, []);
            assert_eq!(machine.drain(START + 100, [held]), [START + 45], "{step}");
        }
    }

    #[test]
    fn a_drain_in_several_turns_sees_a_step_in_the_middle() {
        for step in [HOUR, -HOUR] {
            let mut machine = Machine::new();
            machine.read(START + 40);
            let stamps = [machine.stamp(START + 20), machine.stamp(START + 35)];
            assert_eq!(machine.convert(stamps), [START + 20, START + 35]);
            let before = machine.stamp(START + 38);
            machine.step(step);
            machine.read(START + 50);
            let after = machine.stamp(START + 46);
            assert_eq!(machine.convert([before, after]), [START + 38, START + 46], "{step}");
        }
    }

    /// Of a small step backward, the order of the stamps shows where it is.
    #[test]
    fn a_step_that_is_smaller_than_the_time_between_drains() {
        let mut machine = Machine::new();
        machine.drain(START + 50, []);
        let before = [machine.stamp(START + 60), machine.stamp(START + 140)];
        machine.step(-100);
        let after = [machine.stamp(START + 160), machine.stamp(START + 230)];
        let times = machine.drain(START + 250, before.into_iter().chain(after));
        assert_eq!(times, [START + 60, START + 140, START + 160, START + 230]);
    }

    /// Set and set back between two readings: no reading knows of it.
    #[test]
    fn a_time_that_is_not_possible_is_that_of_the_reading() {
        for step in [HOUR, -HOUR] {
            let mut machine = Machine::new();
            machine.step(step);
            let stamp = machine.stamp(START + 20);
            machine.step(-step);
            assert_eq!(machine.drain(START + 50, [stamp]), [START + 50], "{step}");
        }
    }

    #[test]
    fn slewing_is_no_step() {
        let mut machine = Machine::new();
        for drain in 1..100 {
            machine.wall_ahead += i128::from(MS) / 2;
            let at = START + 50 * drain;
            let stamp = machine.stamp(at - 10);
            assert_eq!(machine.drain(at, [stamp]), [at - 10]);
        }
        assert!(machine.clock.earlier.is_empty());
    }

    #[test]
    fn steps_are_forgotten_and_bounded() {
        let mut machine = Machine::new();
        for step in 0..100 {
            machine.step(if step % 2 == 0 { HOUR } else { -2 * HOUR });
            machine.read(START + step);
        }
        assert_eq!(machine.clock.earlier.len(), MAX_DIFFERENCES);
        machine.drain(START + 500, []);
        assert!(machine.clock.earlier.is_empty());
    }

    #[test]
    fn both_clocks_are_read_at_one_moment() {
        let [first, second] = [Reading::now(), Reading::now()];
        assert!(second.monotonic >= first.monotonic);
        assert!((second.difference() - first.difference()).unsigned_abs() < u128::from(1_000 * MS));
    }

    /// What happens between two drains: their distance, frames and a step (milliseconds, back or forth) at shares of it.
    type Span = (u64, Vec<u64>, Option<(u64, i64, bool)>);

    fn span() -> impl Strategy<Value = Span> {
        let frames = prop::collection::vec(0..1_000_u64, 0..8).prop_map(|mut frames| {
            frames.sort_unstable();
            frames
        });
        (1..200_u64, frames, prop::option::of((0..1_000_u64, 1_000..HOUR, any::<bool>())))
    }

    proptest! {
        /// Whatever steps of a second or more there are, one at most between two drains, each frame gets its time.
        #[test]
        fn every_frame_gets_its_time(spans in prop::collection::vec(span(), 1..20)) {
            let mut machine = Machine::new();
            let mut start = START;
            for (length, frames, mut step) in spans {
                let (mut expected, mut stamps) = (Vec::new(), Vec::new());
                for share in frames.into_iter().chain([1_000]) {
                    if let Some((_, by, is_back)) = step.take_if(|(when, ..)| *when <= share) {
                        machine.step(if is_back { -by } else { by });
                    }
                    expected.push(start + share * length / 1_000);
                    stamps.push(machine.stamp(start + share * length / 1_000));
                }
                start += length;
                prop_assert_eq!(machine.drain(start, stamps), expected);
            }
        }
    }
}
