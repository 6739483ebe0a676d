//! Numbers that look random, from a seed.

/// A xorshift64 generator (Marsaglia, 2003).
#[derive(Debug)]
pub(super) struct Generator {
    state: u64,
}

impl Generator {
    /// A generator whose numbers differ from those of neighbouring seeds.
    pub(super) fn new(seed: u64) -> Self {
        // The finalizer of SplitMix64 (Steele et al., 2014). Xorshift must not begin with 0.
        let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self { state: (state ^ (state >> 31)).max(1) }
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[7]
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        let high = (u128::from(self.next()) * u128::from(bound)) >> 64;
        u32::try_from(high).expect("less than the bound")
    }

    /// An index of something with `length` elements.
    pub(super) fn index(&mut self, length: usize) -> usize {
        self.below(u32::try_from(length).expect("a short list")) as usize
    }
}
