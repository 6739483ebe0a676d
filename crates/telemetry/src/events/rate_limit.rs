//! A bound on lines a second.

use std::time::Duration;

use sni_probe_core::flow::Timestamp;

/// So many seconds' worth of lines may come at once.
const BURST_SECONDS: u64 = 10;

/// A bucket of tokens, one for each line: it fills at a constant rate.
#[derive(Debug)]
pub(super) struct RateLimit {
    /// Tokens a second; 0 for no limit.
    rate: u32,
    /// In nanoseconds of filling: a token is as many as one second has, divided by the rate.
    filled: Duration,
    since: Timestamp,
}

impl RateLimit {
    /// At most `rate` lines a second, 0 for no limit.
    pub(super) fn new(rate: u32) -> Self {
        Self { rate, filled: Duration::from_secs(BURST_SECONDS), since: Timestamp::default() }
    }

    /// Whether one more line may be written at `now`.
    pub(super) fn admits(&mut self, now: Timestamp) -> bool {
        if self.rate == 0 {
            return true;
        }
        let token = Duration::from_secs(1) / self.rate;
        self.filled = (self.filled + now.since(self.since)).min(Duration::from_secs(BURST_SECONDS));
        self.since = self.since.max(now);
        match self.filled.checked_sub(token) {
            Some(rest) => {
                self.filled = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use sni_probe_core::flow::Timestamp;

    use super::RateLimit;

    fn admitted(limit: &mut RateLimit, milliseconds: u64, lines: usize) -> usize {
        (0..lines).filter(|_| limit.admits(Timestamp(milliseconds * 1_000_000))).count()
    }

    #[test]
    fn ten_seconds_worth_at_once_and_then_the_rate() {
        let mut limit = RateLimit::new(100);
        assert_eq!(admitted(&mut limit, 1_000, 5_000), 1_000);
        assert_eq!(admitted(&mut limit, 1_500, 5_000), 50);
        assert_eq!(admitted(&mut limit, 1_400, 5_000), 0, "time does not go back");
        assert_eq!(admitted(&mut limit, 1_501, 1), 0);
        assert_eq!(admitted(&mut limit, u64::MAX / 2_000_000, 5_000), 1_000);
    }

    #[test]
    fn none_is_no_limit() {
        assert_eq!(admitted(&mut RateLimit::new(0), 0, 100_000), 100_000);
    }

    #[test]
    fn even_the_highest_rate_is_one() {
        assert!(RateLimit::new(u32::MAX).admits(Timestamp(1)));
    }
}
