//! The Internet checksum (RFC 1071), by sums that are added up before they are folded.

/// The sum of 16-bit words; an odd byte at the end counts as if a 0 followed.
pub(super) fn sum(bytes: &[u8]) -> u32 {
    let pairs = bytes.chunks_exact(2);
    let rest = pairs.remainder().first().map_or(0, |&last| u32::from(last) << 8);
    pairs.map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum::<u32>() + rest
}

pub(super) fn words(value: u32) -> u32 {
    (value >> 16) + (value & 0xffff)
}

/// The checksum that this sum makes (RFC 1071).
pub(super) fn fold(sum: u32) -> [u8; 2] {
    let sum = words(words(sum));
    u16::try_from(sum).map_or(0, |sum| !sum).to_be_bytes()
}

/// The sum of bytes that begin at an odd offset: the bytes of each word are the other way round.
pub(super) fn sum_at_odd_offset(bytes: &[u8]) -> u32 {
    let weight = |(index, &byte): (usize, &u8)| u32::from(byte) << (8 * (index % 2));
    bytes.iter().enumerate().map(weight).sum()
}
