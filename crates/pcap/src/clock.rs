//! Time stamps of pcapng: ticks of an interface's own clock.

const NANOSECONDS_PER_SECOND: i128 = 1_000_000_000;

/// Turns an interface's ticks into nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    unit: Unit,
    /// Seconds to be added (`if_tsoffset`).
    offset: i64,
}

/// Length of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// So many nanoseconds.
    Multiple(u64),
    /// So many ticks are a nanosecond.
    Fraction(u64),
    /// 2 to the power of minus this many seconds.
    BinarySecond(u32),
}

impl Clock {
    pub(super) const NANOSECONDS: Self = Self { unit: Unit::Multiple(1), offset: 0 };

    /// `resolution` as in `if_tsresol`: the negative power of 10 or, with the upper bit, of 2.
    pub(super) fn new(resolution: u8, offset: i64) -> Self {
        let power = u32::from(resolution & 0x7f);
        let unit = if resolution & 0x80 != 0 {
            Unit::BinarySecond(power)
        } else if power <= 9 {
            Unit::Multiple(10_u64.pow(9 - power))
        } else {
            match 10_u64.checked_pow(power - 9) {
                Some(divisor) => Unit::Fraction(divisor),
                // More ticks a nanosecond than 64 bits can count.
                None => Unit::Multiple(0),
            }
        };
        Self { unit, offset }
    }

    /// Saturates at both ends.
    #[inline]
    pub(super) fn nanoseconds(self, ticks: u64) -> u64 {
        let since_offset = match self.unit {
            Unit::Multiple(factor) => ticks.saturating_mul(factor),
            Unit::Fraction(divisor) => ticks / divisor,
            Unit::BinarySecond(power) => saturate((i128::from(ticks) * NANOSECONDS_PER_SECOND) >> power),
        };
        if self.offset == 0 {
            return since_offset;
        }
        saturate(i128::from(since_offset) + i128::from(self.offset) * NANOSECONDS_PER_SECOND)
    }
}

fn saturate(nanoseconds: i128) -> u64 {
    u64::try_from(nanoseconds.max(0)).unwrap_or(u64::MAX)
}
