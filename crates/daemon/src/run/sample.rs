//! How full the flow table is, by a sample: to read all of it would take a system call for each bucket.

use sni_probe_datapath::flow_table::{BUCKETS, Entry, WAYS, stage};
use sni_probe_telemetry::metrics::{Metrics, SlotUse};

/// Buckets that are looked at each time, once a second.
const BUCKETS_A_TIME: u32 = 32;
/// How many times make up the sample: 1,024 buckets, and an error of 2 % where half of the entries are in use.
const TIMES: usize = 32;
/// From bucket to bucket: odd, so that it comes to all of them in turn.
const STRIDE: u32 = 40_503;

/// The entries in use of so many buckets, by use.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    buckets: usize,
    uses: [usize; 4],
}

/// The sample.
#[derive(Debug, Default)]
pub(super) struct Sample {
    /// The bucket that is next.
    next: u32,
    counts: [Count; TIMES],
    oldest: usize,
}

const USES: [SlotUse; 4] = [SlotUse::Open, SlotUse::Handshake, SlotUse::Answered, SlotUse::Done];

impl Sample {
    /// Looks at some more buckets, in place of those that were looked at first.
    pub(super) fn renew(&mut self, epoch: u8, bucket: impl Fn(u32) -> Option<[Entry; WAYS]>) {
        let mut count = Count::default();
        for _ in 0..BUCKETS_A_TIME {
            if let Some(entries) = bucket(self.next) {
                count.buckets += 1;
                for entry in entries {
                    match entry.stage() {
                        stage::FREE => {}
                        stage::DONE => count.uses[3] += 1,
                        _ if entry.is_over(epoch) => count.uses[3] += 1,
                        stage::OPEN => count.uses[0] += 1,
                        _ if entry.is_answered() => count.uses[2] += 1,
                        _ => count.uses[1] += 1,
                    }
                }
            }
            self.next = self.next.wrapping_add(STRIDE) % BUCKETS;
        }
        self.counts[self.oldest] = count;
        self.oldest = (self.oldest + 1) % TIMES;
    }

    /// Tells metrics what that means for the whole table.
    pub(super) fn report(&self, metrics: &Metrics) {
        let buckets: usize = self.counts.iter().map(|count| count.buckets).sum();
        let estimate = |index: usize| {
            let used: usize = self.counts.iter().map(|count| count.uses[index]).sum();
            (used * BUCKETS as usize).checked_div(buckets).unwrap_or_default()
        };
        metrics.set_slots(
            BUCKETS as usize * WAYS,
            USES.into_iter().enumerate().map(|(index, slot_use)| (slot_use, estimate(index))),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sni_probe_datapath::flow_table::{FlowHash, closed};
    use sni_probe_datapath::seq::SeqNumber;

    use super::*;

    fn gauge(metrics: &Metrics, slot_use: &str) -> u32 {
        let text = metrics.encode().expect("a text");
        let series = format!("sni_probe_slots{{use=\"{slot_use}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&series)).expect("the series");
        line.parse().expect("a number")
    }

    #[test]
    fn a_sample_stands_for_all() {
        let metrics = Metrics::for_captures().unwrap();
        let mut sample = Sample::default();
        sample.report(&metrics);
        assert_eq!(gauge(&metrics, "done"), 0);
        // One entry of each bucket is of a handshake, two of every second bucket are over.
        let hash = FlowHash::new(1, 2, 3);
        let bucket = |index: u32| {
            let mut entries = [Entry(0); WAYS];
            entries[5] = Entry::new(hash, stage::MID_STREAM, 0, SeqNumber(0));
            if index.is_multiple_of(2) {
                entries[0] = entries[5].with_closed(closed::RESET);
                entries[7] = Entry::new(hash, stage::DONE, 0, SeqNumber(0));
            }
            Some(entries)
        };
        for _ in 0..TIMES + 3 {
            sample.renew(0, bucket);
        }
        sample.report(&metrics);
        assert_eq!(gauge(&metrics, "handshake"), BUCKETS);
        assert_eq!(gauge(&metrics, "open"), 0);
        assert!(gauge(&metrics, "done").abs_diff(BUCKETS) < BUCKETS / 20);
    }

    #[test]
    fn it_comes_to_all_buckets() {
        let mut sample = Sample::default();
        let seen = std::cell::RefCell::new(BTreeSet::new());
        for _ in 0..BUCKETS / BUCKETS_A_TIME {
            sample.renew(0, |bucket| {
                seen.borrow_mut().insert(bucket);
                None
            });
        }
        assert_eq!(seen.into_inner().len(), BUCKETS as usize);
    }
}
