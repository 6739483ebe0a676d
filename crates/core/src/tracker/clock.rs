//! What time it is, by the stamps of packets.
//!
//! A stamp may be wrong: of another clock, damaged, or from the time before the clock was set. So a stamp that is
//! further from the time before than a handshake may take is doubted until the next one shows which of the two is right.
//! In a capture with a gap, the next stamp confirms it.
//!
//! The tracker itself measures time on a second scale, which never goes back: that of [`Clock::now`]. When the clock turns
//! out to have been wrong, only the distance between the two scales changes.

use std::time::Duration;

use crate::flow::Timestamp;

/// What a stamp is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// Near the time before it: the clock goes on.
    Believed,
    /// The next one decides.
    Doubted,
}

/// How far the scale that never goes back is ahead of stamps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scale {
    ahead: Duration,
}

impl Scale {
    /// The time of a stamp.
    pub(super) fn time_of(self, stamp: Timestamp) -> Timestamp {
        stamp.plus(self.ahead)
    }

    /// The stamp of a time.
    pub(super) fn stamp_of(self, time: Timestamp) -> Timestamp {
        Timestamp(time.0.saturating_sub(Timestamp(0).plus(self.ahead).0))
    }
}

/// The time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// The latest stamp that was believed; `None` before the first one.
    latest: Option<Timestamp>,
    scale: Scale,
    doubted: Option<Timestamp>,
    /// How far a stamp may be from the one before.
    tolerance: Duration,
    /// Stamps that were wrong.
    jumps: u64,
}

impl Clock {
    pub(super) fn new(tolerance: Duration) -> Self {
        Self { latest: None, scale: Scale::default(), doubted: None, tolerance, jumps: 0 }
    }

    /// The latest stamp that was believed.
    pub(super) fn latest(&self) -> Timestamp {
        self.latest.unwrap_or_default()
    }

    /// The time on the scale that never goes back.
    pub(super) fn now(&self) -> Timestamp {
        self.scale.time_of(self.latest())
    }

    /// From stamps to that scale, and back.
    pub(super) fn scale(&self) -> Scale {
        self.scale
    }

    /// A stamp if it is believed at once, else the time before it.
    pub(super) fn plausible(&self, stamp: Timestamp) -> Timestamp {
        match self.latest {
            Some(latest) if self.is_far(stamp, latest) => latest,
            _ => stamp,
        }
    }

    /// How many stamps were wrong: not believed in the end, or the clock had to be set back for them.
    pub(super) fn jumps(&self) -> u64 {
        self.jumps
    }

    /// Whether a stamp is doubted now.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubted.is_some()
    }

    /// Takes the stamp of a packet. No stamp may be in doubt.
    pub(super) fn take(&mut self, stamp: Timestamp) -> Stamp {
        if self.latest.is_some_and(|latest| self.is_far(stamp, latest)) {
            self.doubted = Some(stamp);
            return Stamp::Doubted;
        }
        self.latest = self.latest.max(Some(stamp));
        Stamp::Believed
    }

    /// Whether `next`, which comes after the stamp in doubt, confirms it.
    pub(super) fn is_confirmed_by(&self, next: Timestamp) -> bool {
        let Some(doubted) = self.doubted else { return false };
        if doubted > self.latest() {
            next.plus(self.tolerance) >= doubted
        } else {
            next.plus(self.tolerance) < self.latest()
        }
    }

    /// Believes the stamp in doubt.
    pub(super) fn believe(&mut self) {
        if let Some(stamp) = self.doubted.take() {
            self.set(stamp);
        }
    }

    /// The stamp in doubt was wrong.
    pub(super) fn reject(&mut self) {
        self.jumps += u64::from(self.doubted.take().is_some());
    }

    /// Sets the clock. Stamps that are a little out of order do not set it back.
    pub(super) fn set(&mut self, time: Timestamp) {
        let latest = self.latest.unwrap_or(time);
        if time < latest && self.is_far(time, latest) {
            self.jumps += 1;
            self.scale.ahead = self.scale.ahead.saturating_add(latest.since(time));
            self.latest = Some(time);
        } else {
            self.latest = Some(latest.max(time));
        }
    }

    fn is_far(&self, one: Timestamp, other: Timestamp) -> bool {
        one.since(other).max(other.since(one)) > self.tolerance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1_000_000_000)
    }

    /// A clock after these stamps, the last of which may be in doubt.
    fn after(stamps: &[u64]) -> Clock {
        let mut clock = Clock::new(Duration::from_secs(30));
        for &stamp in stamps {
            let stamp = seconds(stamp);
            if clock.is_confirmed_by(stamp) {
                clock.believe();
            } else {
                clock.reject();
            }
            clock.take(stamp);
        }
        clock
    }

    #[test]
    fn stamps_that_go_on() {
        let clock = after(&[1_000, 1_030, 1_059, 1_058, 1_030]);
        assert_eq!((clock.latest(), clock.now(), clock.jumps()), (seconds(1_059), seconds(1_059), 0));
    }

    #[test]
    fn one_wrong_stamp() {
        for wrong in [0, 900, 1_100, 87_400] {
            let clock = after(&[1_000, wrong]);
            assert!(clock.is_in_doubt());
            assert_eq!((clock.latest(), clock.jumps()), (seconds(1_000), 0));
            let clock = after(&[1_000, wrong, 1_001]);
            assert_eq!((clock.latest(), clock.now(), clock.jumps()), (seconds(1_001), seconds(1_001), 1));
        }
        // Two different ones.
        let clock = after(&[1_000, 87_400, 0, 1_001]);
        assert_eq!((clock.latest(), clock.jumps()), (seconds(1_001), 2));
    }

    #[test]
    fn plausible_stamps() {
        let clock = after(&[1_000]);
        assert_eq!(
            [980, 1_030, 1_031, 0].map(|stamp| clock.plausible(seconds(stamp)).0 / 1_000_000_000),
            [980, 1_030, 1_000, 1_000]
        );
        assert_eq!(after(&[]).plausible(seconds(7)), seconds(7));
    }

    #[test]
    fn gaps() {
        let clock = after(&[1_000, 2_000, 2_000]);
        assert_eq!((clock.latest(), clock.now(), clock.jumps()), (seconds(2_000), seconds(2_000), 0));
        // Every stamp is after a gap.
        let clock = after(&[1_000, 2_000, 3_000, 4_000]);
        assert!(clock.is_in_doubt());
        assert_eq!((clock.latest(), clock.jumps()), (seconds(3_000), 0));
        // A wrong stamp in a gap.
        let clock = after(&[1_000, 87_400, 2_000, 2_001]);
        assert_eq!((clock.latest(), clock.jumps()), (seconds(2_001), 1));
    }

    /// Waiting goes on where it was: only the stamps are others.
    #[test]
    fn the_clock_was_wrong() {
        let clock = after(&[87_400, 1_000, 1_001]);
        assert_eq!((clock.latest(), clock.now(), clock.jumps()), (seconds(1_001), seconds(87_401), 1));
        assert_eq!(clock.scale().stamp_of(seconds(87_431)), seconds(1_031));
        // The time before the first right stamp is as long as can be.
        let clock = after(&[87_400, 1_000, 1_100, 1_200, 1_201]);
        assert_eq!((clock.latest(), clock.now()), (seconds(1_201), seconds(87_601)));
    }

    #[test]
    fn the_driver_is_right() {
        let mut clock = after(&[1_000]);
        clock.set(seconds(5_000));
        assert_eq!((clock.latest(), clock.jumps()), (seconds(5_000), 0));
        clock.set(seconds(4_990));
        assert_eq!((clock.latest(), clock.jumps()), (seconds(5_000), 0));
        clock.set(seconds(10));
        assert_eq!((clock.latest(), clock.now(), clock.jumps()), (seconds(10), seconds(5_000), 1));
    }
}
