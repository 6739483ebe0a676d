//! How many different things there were, in memory that does not grow: a `HyperLogLog` sketch.
//!
//! With the estimator of Otmar Ertl, "New cardinality estimation algorithms for `HyperLogLog` sketches" (2017,
//! arXiv:1702.01284, algorithm 6), which needs no tables and no special case for small counts.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};

/// A sketch of `2^PRECISION` bytes; the standard error of its estimate is 1.04 / sqrt(2^PRECISION): 0.8 % for 14.
#[derive(Clone, Debug)]
pub struct Distinct<const PRECISION: u32> {
    /// For each value of the first bits of a hash, the most leading zeros of the rest, plus one.
    registers: Box<[u8]>,
}

/// Hashes what is to be counted: sketches that are to be united need the same one.
#[derive(Clone, Debug, Default)]
pub struct DistinctHasher(RandomState);

impl DistinctHasher {
    /// The hash of `item`: another one in each process, so that nobody can choose items that collide.
    pub fn hash(&self, item: impl Hash) -> u64 {
        self.0.hash_one(item)
    }
}

impl<const PRECISION: u32> Default for Distinct<PRECISION> {
    fn default() -> Self {
        Self { registers: vec![0; 1 << PRECISION].into_boxed_slice() }
    }
}

impl<const PRECISION: u32> Distinct<PRECISION> {
    /// Bits of a hash that tell the rank.
    const RANK_BITS: u32 = u64::BITS - PRECISION;

    /// Notes an item by its hash.
    pub fn insert(&mut self, hash: u64) {
        let rank_bits = hash << PRECISION;
        let rank = rank_bits.leading_zeros().min(Self::RANK_BITS) + 1;
        // The first `PRECISION` bits are less than the number of registers, the rank at most 65.
        let register = usize::try_from(hash >> Self::RANK_BITS).unwrap_or_default();
        let rank = u8::try_from(rank).unwrap_or(u8::MAX);
        self.registers[register] = self.registers[register].max(rank);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.registers.fill(0);
    }

    /// Notes what `other` has noted.
    pub fn unite(&mut self, other: &Self) {
        for (register, &rank) in self.registers.iter_mut().zip(&other.registers) {
            *register = (*register).max(rank);
        }
    }

    /// About how many different items were noted.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the estimate is not negative, and a float as large as 2^64 saturates"
    )]
    pub fn estimate(&self) -> u64 {
        let mut registers_of_rank = [0_u32; 66];
        for &rank in &self.registers {
            registers_of_rank[usize::from(rank).min(65)] += 1;
        }
        let m = f64::from(1_u32 << PRECISION);
        let share = |rank: u32| f64::from(registers_of_rank[rank as usize]) / m;
        let mut z = m * tau(1.0 - share(Self::RANK_BITS + 1));
        for rank in (1..=Self::RANK_BITS).rev() {
            z = 0.5 * (z + share(rank) * m);
        }
        z += m * sigma(share(0));
        // For ever so many registers.
        let alpha = 0.5 / std::f64::consts::LN_2;
        (alpha * m * m / z).round() as u64
    }
}

/// Stands for the registers without an item; infinite if all are.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let mut y = 1.0;
    let mut z = x;
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z <= before {
            return z;
        }
    }
}

/// Stands for the registers with the highest rank.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let mut y = 1.0;
    let mut z = 1.0 - x;
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z >= before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Distinct, DistinctHasher};

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(Distinct::<14>::default().estimate(), 0);
    }

    #[test]
    fn few_are_counted_nearly_exactly_and_many_within_four_standard_errors() {
        let hasher = DistinctHasher::default();
        let mut sketch = Distinct::<14>::default();
        let mut next = 0_u32;
        for count in [1_u32, 2, 12, 100, 1_000, 30_000, 50_000, 100_000, 1_000_000] {
            while next < count {
                sketch.insert(hasher.hash(next));
                next += 1;
            }
            // Again: repetitions do not count.
            sketch.insert(hasher.hash(0_u32));
            let allowed = f64::from(count) * 4.0 * 0.0082 + 1.0;
            let error = (f64::from(u32::try_from(sketch.estimate()).unwrap()) - f64::from(count)).abs();
            assert!(error <= allowed, "{count}: {}", sketch.estimate());
        }
    }

    #[test]
    fn two_sketches_united_are_one_of_both() {
        let hasher = DistinctHasher::default();
        let [mut left, mut right, mut both] = [(); 3].map(|()| Distinct::<12>::default());
        for item in 0_u32..10_000 {
            let hash = hasher.hash(item);
            both.insert(hash);
            if item < 6_000 { left.insert(hash) } else { right.insert(hash) }
        }
        left.unite(&right);
        assert_eq!(left.estimate(), both.estimate());
        left.clear();
        assert_eq!(left.estimate(), 0);
    }

    #[test]
    fn every_hash_has_its_place() {
        let mut sketch = Distinct::<4>::default();
        for hash in [0, 1, u64::MAX, 1 << 63, 1 << 59, 1 << 60] {
            sketch.insert(hash);
        }
        assert!(sketch.estimate() >= 1);
    }
}
