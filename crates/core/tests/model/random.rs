//! Chance that is the same each time.

use sni_probe_datapath::seq::SeqNumber;

/// Numbers by chance, the same each time: xorshift64.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).expect("31 bits") % bound
    }

    pub(crate) fn is_one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn number(&mut self) -> SeqNumber {
        SeqNumber(u32::try_from(self.next() >> 32).expect("32 bits"))
    }

    /// The next initial sequence number of a host. It is not near one before, as one by chance would be once in 16,384
    /// times: nothing can distinguish the two connections then.
    pub(crate) fn number_after(&mut self, before: SeqNumber) -> SeqNumber {
        const NEAR: u32 = 1 << 24;
        before.plus(NEAR + self.number().0 % NEAR)
    }
}
