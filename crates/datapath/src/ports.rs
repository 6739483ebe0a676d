//! The set of gateway ports, as a bitmap: one load and one bit test per packet for any number of ports.

/// 64-bit words in a bitmap of all TCP ports.
pub const PORT_WORDS: usize = 65_536 / 64;

/// A bitmap of TCP ports.
pub type PortBitmap = [u64; PORT_WORDS];

/// Index of the word that holds `port`, and the port's bit in it.
#[inline(always)]
pub const fn word_and_bit(port: u16) -> (usize, u64) {
    ((port >> 6) as usize, 1 << (port & 63))
}

/// The bitmap of `ports`.
pub fn bitmap(ports: impl IntoIterator<Item = u16>) -> PortBitmap {
    let mut bitmap = [0; PORT_WORDS];
    for port in ports {
        let (word, bit) = word_and_bit(port);
        bitmap[word] |= bit;
    }
    bitmap
}

/// Whether `port` is in `bitmap`.
pub const fn contains(bitmap: &PortBitmap, port: u16) -> bool {
    let (word, bit) = word_and_bit(port);
    bitmap[word] & bit != 0
}
