//! Clients without SNI that connect at a steady interval, as health checks of load balancers do.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::time::Duration;

use sni_probe_core::flow::Timestamp;
use sni_probe_core::observation::{Handshake, Hello};
use sni_probe_core::vocabulary::Fate;

/// Intervals that are kept of a sender, the last ones.
const MAX_INTERVALS: usize = 8;

/// Intervals without which a sender is not called steady. Five intervals of a client that connects at random times are all
/// within [`TOLERANCE_PERCENT`] of their median once in about 40,000 times.
const MIN_INTERVALS: usize = 5;

/// Intervals with which one may differ: a connection that was lost, or not seen.
const MIN_INTERVALS_WITH_A_GAP: usize = 7;

/// How much of the median an interval may differ from it.
const TOLERANCE_PERCENT: u32 = 10;

/// The shortest interval of a health check: programs that connect more often work.
const MIN_INTERVAL: Duration = Duration::from_millis(500);

/// Handshakes without SNI, or of the proxy itself, of one address.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sender {
    pub(super) handshakes: u32,
    pub(super) refused: u32,
    pub(super) served: u32,
    /// Those with the command LOCAL in their PROXY v2 header.
    pub(super) local: u32,
    fingerprint: u64,
    has_several_fingerprints: bool,
    last: Timestamp,
    /// In milliseconds; the oldest is overwritten.
    intervals: [u32; MAX_INTERVALS],
    /// How many there were.
    count: usize,
}

impl Sender {
    pub(super) fn add(&mut self, handshake: &Handshake) {
        let fingerprint = fingerprint(&handshake.hello);
        if self.handshakes == 0 {
            self.fingerprint = fingerprint;
        } else {
            self.push(handshake.time.since(self.last));
            self.has_several_fingerprints |= self.fingerprint != fingerprint;
        }
        self.handshakes = self.handshakes.saturating_add(1);
        let fate = handshake.outcome.fate();
        self.refused = self.refused.saturating_add(u32::from(fate == Fate::Refused));
        self.served = self.served.saturating_add(u32::from(fate == Fate::Served));
        self.local = self.local.saturating_add(u32::from(handshake.hello.is_proxy_local));
        self.last = self.last.max(handshake.time);
    }

    fn push(&mut self, interval: Duration) {
        self.intervals[self.count % MAX_INTERVALS] = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
        self.count += 1;
    }

    /// Adds what the same sender did later.
    pub(super) fn add_later(&mut self, later: &Self) {
        self.handshakes = self.handshakes.saturating_add(later.handshakes);
        self.refused = self.refused.saturating_add(later.refused);
        self.served = self.served.saturating_add(later.served);
        self.local = self.local.saturating_add(later.local);
        self.has_several_fingerprints |=
            later.has_several_fingerprints || self.fingerprint != later.fingerprint;
        self.last = self.last.max(later.last);
        later.in_order().for_each(|interval| self.push(Duration::from_millis(u64::from(interval))));
    }

    /// The intervals that are kept, the oldest first.
    fn in_order(&self) -> impl Iterator<Item = u32> {
        let first = self.count.saturating_sub(MAX_INTERVALS);
        (first..self.count).map(|at| self.intervals[at % MAX_INTERVALS])
    }

    /// The interval, if the sender is steady: one program that connects at equal intervals, or two such programs of equal
    /// intervals at one address.
    pub(super) fn interval(&self) -> Option<Duration> {
        if self.has_several_fingerprints {
            return None;
        }
        let single: Vec<u32> = self.in_order().collect();
        steady(&single).or_else(|| {
            let pairs: Vec<u32> = single.windows(2).map(|pair| pair[0].saturating_add(pair[1])).collect();
            if single.len() == MAX_INTERVALS { steady(&pairs) } else { None }
        })
    }
}

/// The median, if the intervals are equal.
fn steady(intervals: &[u32]) -> Option<Duration> {
    let mut sorted = intervals.to_vec();
    sorted.sort_unstable();
    let median = *sorted.get(sorted.len() / 2).filter(|_| sorted.len() >= MIN_INTERVALS)?;
    let may_differ = median / 100 * TOLERANCE_PERCENT;
    let others = sorted.iter().filter(|interval| interval.abs_diff(median) > may_differ).count();
    let may_be = usize::from(sorted.len() >= MIN_INTERVALS_WITH_A_GAP);
    let median = Duration::from_millis(u64::from(median));
    (others <= may_be && median >= MIN_INTERVAL).then_some(median)
}

/// What distinguishes programs: JA4, or what else is known of the hello where it was not made.
fn fingerprint(hello: &Hello) -> u64 {
    let mut hasher = DefaultHasher::new();
    match hello.body.as_ref() {
        Some(body) if body.ja4.is_some() => body.ja4.hash(&mut hasher),
        body => {
            (hello.length, hello.records).hash(&mut hasher);
            body.map(|body| (&body.offered_versions, &body.alpn)).hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(milliseconds: &[u64]) -> Sender {
        let mut sender = Sender::default();
        let mut handshake = Handshake::example();
        handshake.time = Timestamp(0);
        sender.add(&handshake);
        for interval in milliseconds {
            handshake.time = handshake.time.plus(Duration::from_millis(*interval));
            sender.add(&handshake);
        }
        sender
    }

    #[test]
    fn steady_intervals() {
        let ten = Some(Duration::from_secs(10));
        assert_eq!(sender(&[10_000; 5]).interval(), ten);
        assert_eq!(sender(&[10_000; 4]).interval(), None, "too few");
        assert_eq!(sender(&[9_800, 10_000, 10_100, 9_900, 10_000, 10_200]).interval(), ten);
        assert_eq!(sender(&[10_000, 10_000, 10_000, 20_000, 10_000, 10_000, 10_000]).interval(), ten);
        assert_eq!(sender(&[10_000, 20_000, 10_000, 20_000, 10_000, 10_000, 10_000]).interval(), None);
        assert_eq!(sender(&[50; 8]).interval(), None, "that is work");
        // What was before is forgotten.
        assert_eq!(
            sender(&[1, 700, 3_000, 10_000, 10_000, 10_000, 10_000, 10_000, 10_000, 10_000, 10_000])
                .interval(),
            ten
        );
    }

    #[test]
    fn two_checks_of_one_address() {
        let ten = Some(Duration::from_secs(10));
        assert_eq!(sender(&[3_000, 7_000, 3_000, 7_000, 3_000, 7_000, 3_000, 7_000]).interval(), ten);
        assert_eq!(sender(&[3_000, 7_000, 9_000, 1_000, 3_000, 7_000, 4_000, 2_000]).interval(), None);
    }

    #[test]
    fn two_programs_are_no_check() {
        let mut two = sender(&[10_000; 8]);
        let mut other = Handshake::example();
        other.hello.body.as_mut().unwrap().ja4 = None;
        other.time = two.last.plus(Duration::from_secs(10));
        two.add(&other);
        assert_eq!(two.interval(), None);
    }

    #[test]
    fn what_came_later_goes_on() {
        let mut sender_then = sender(&[10_000; 3]);
        sender_then.add_later(&sender(&[10_000; 2]));
        assert_eq!((sender_then.handshakes, sender_then.refused), (7, 7));
        assert_eq!(sender_then.interval(), Some(Duration::from_secs(10)));
    }
}
