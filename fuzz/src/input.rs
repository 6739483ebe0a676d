//! Turns a fuzzer's bytes into values. Where bytes are missing, zeros take their place, so that every
//! input means something.

/// The bytes that are still to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u8(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    /// A 16-bit length and so many bytes, or as many as there are.
    pub(crate) fn vec16(&mut self) -> &'a [u8] {
        let len = usize::from(self.u16());
        self.take(len)
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.take(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }
}

/// Lengths of prefixes of `bytes`, in ascending order: all of a short input, of a long one some that its
/// content chooses. (All of them would take time in the square of the length.)
pub(crate) fn cuts(bytes: &[u8]) -> Vec<usize> {
    const ALL_UP_TO: usize = 32;
    const CHOSEN: usize = 16;
    let mut cuts: Vec<usize> = (0..bytes.len().min(ALL_UP_TO)).collect();
    if bytes.len() > ALL_UP_TO {
        // FNV-1a, then a linear congruential generator: cheap, and the same on every run.
        let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        let mut state = bytes.iter().fold(0xcbf2_9ce4_8422_2325, hash);
        cuts.extend((0..CHOSEN).map(|_| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let chosen = usize::try_from(state >> 33).unwrap_or(0);
            ALL_UP_TO + chosen % (bytes.len() - ALL_UP_TO)
        }));
        cuts.push(bytes.len() - 1);
        cuts.sort_unstable();
        cuts.dedup();
    }
    cuts
}
