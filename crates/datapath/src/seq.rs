//! TCP sequence numbers.

use bytemuck::{Pod, Zeroable};

/// A TCP sequence or acknowledgement number: a point on a circle of 2^32 (RFC 9293, section 3.4).
///
/// Two such numbers have a distance, but no order: there is deliberately no `Ord`.
///
/// ```
/// use sni_probe_datapath::seq::SeqNumber;
///
/// let start = SeqNumber(u32::MAX);
/// let later = start.plus(3);
/// assert_eq!(later, SeqNumber(2));
/// assert_eq!(later.offset_from(start), 3);
/// assert_eq!(start.offset_from(later), -3);
/// assert!(later.is_within(start, 4));
/// assert!(!later.is_within(start, 3));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct SeqNumber(
    /// As on the wire, in host byte order.
    pub u32,
);

impl SeqNumber {
    /// The number `bytes` later.
    #[inline(always)]
    #[must_use]
    pub const fn plus(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }

    /// The number `bytes` earlier.
    #[inline(always)]
    #[must_use]
    pub const fn minus(self, bytes: u32) -> Self {
        Self(self.0.wrapping_sub(bytes))
    }

    /// Bytes from `start` to this number: negative, if this one is up to 2^31 bytes before it.
    #[inline(always)]
    pub const fn offset_from(self, start: Self) -> i32 {
        self.distance_from(start).cast_signed()
    }

    /// Bytes from `start` forward to this number, around the circle if need be.
    #[inline(always)]
    pub const fn distance_from(self, start: Self) -> u32 {
        self.0.wrapping_sub(start.0)
    }

    /// Whether this number is one of the `len` numbers from `start` on.
    #[inline(always)]
    pub const fn is_within(self, start: Self, len: u32) -> bool {
        self.distance_from(start) < len
    }
}
