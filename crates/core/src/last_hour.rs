//! Something for each minute of the last hour.

use std::collections::VecDeque;

use crate::flow::Timestamp;

/// Minutes that are kept, the one under way included.
pub const MINUTES: usize = 60;

/// Length of a step.
const NANOSECONDS_PER_MINUTE: u64 = 60_000_000_000;

/// A `T` for each of the last [`MINUTES`] minutes. Minutes are those of the driver's clock, counted from its epoch.
#[derive(Clone, Debug)]
pub struct LastHour<T> {
    /// Oldest first; at most [`MINUTES`], and none before the first use.
    minutes: VecDeque<T>,
    /// The minute of the last of them.
    current: u64,
}

impl<T> Default for LastHour<T> {
    fn default() -> Self {
        Self { minutes: VecDeque::new(), current: 0 }
    }
}

impl<T: Default> LastHour<T> {
    /// That of the minute of `now`; of the latest that was asked for, if `now` is before it.
    pub fn at(&mut self, now: Timestamp) -> &mut T {
        let minute = minute_of(now);
        let missing = if self.minutes.is_empty() { 1 } else { minute.saturating_sub(self.current) };
        // What is older than an hour would be dropped at once.
        for _ in 0..missing.min(MINUTES as u64) {
            if self.minutes.len() == MINUTES {
                self.minutes.pop_front();
            }
            self.minutes.push_back(T::default());
        }
        self.current = self.current.max(minute);
        let last = self.minutes.len() - 1;
        &mut self.minutes[last]
    }

    /// Those of the hour up to `now`, each with how many minutes ago it was: 0 is the minute under way.
    pub fn iter(&self, now: Timestamp) -> impl Iterator<Item = (usize, &T)> {
        let passed = minute_of(now).saturating_sub(self.current);
        self.minutes.iter().rev().enumerate().filter_map(move |(before, value)| {
            let ago = u64::try_from(before).ok()?.checked_add(passed)?;
            usize::try_from(ago).ok().filter(|&ago| ago < MINUTES).map(|ago| (ago, value))
        })
    }
}

/// The time from `now` to the end of its minute.
pub fn rest_of_minute(now: Timestamp) -> std::time::Duration {
    std::time::Duration::from_nanos(NANOSECONDS_PER_MINUTE - now.0 % NANOSECONDS_PER_MINUTE)
}

fn minute_of(now: Timestamp) -> u64 {
    now.0 / NANOSECONDS_PER_MINUTE
}

#[cfg(test)]
mod tests {
    use super::{LastHour, MINUTES};
    use crate::flow::Timestamp;

    fn minute(minute: u64) -> Timestamp {
        Timestamp(minute * 60_000_000_000 + 7)
    }

    fn seen(hour: &LastHour<u32>, now: u64) -> Vec<(usize, u32)> {
        hour.iter(minute(now)).filter(|(_, count)| **count > 0).map(|(ago, &count)| (ago, count)).collect()
    }

    #[test]
    fn each_minute_has_its_own() {
        let mut hour = LastHour::default();
        assert_eq!(seen(&hour, 1_000), []);
        *hour.at(minute(1_000)) += 1;
        *hour.at(minute(1_000)) += 1;
        *hour.at(minute(1_003)) += 5;
        assert_eq!(seen(&hour, 1_003), [(0, 5), (3, 2)]);
        assert_eq!(seen(&hour, 1_059), [(56, 5), (59, 2)]);
        assert_eq!(seen(&hour, 1_060), [(57, 5)]);
        assert_eq!(seen(&hour, u64::MAX / 60_000_000_000 - 1), []);
    }

    #[test]
    fn it_does_not_grow_and_time_does_not_go_back() {
        let mut hour = LastHour::default();
        for now in (0..500).chain([100_000, 3]) {
            *hour.at(minute(now)) += 1;
            assert!(hour.minutes.len() <= MINUTES);
        }
        assert_eq!(seen(&hour, 100_000), [(0, 2)]);
    }
}
