//! How the files begin that are read: captures, and compressed files.

use super::byte_order::ByteOrder;
use super::error::Packed;

/// The beginning of a gzip member (RFC 1952, section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The beginning of a zstd frame (RFC 8878, section 3.1.1).
pub const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The block type of a pcapng's section header, the same in both byte orders.
pub(super) const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// The most bytes that [`compression`] looks at.
pub(super) const COMPRESSION_BYTES: usize = 4;

/// How a file that begins like this is compressed.
pub(super) fn compression(head: &[u8]) -> Option<Packed> {
    // pzstd and seekable archives begin with a skippable frame (RFC 8878, section 3.1.2).
    let is_skippable = matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
    if head.starts_with(&GZIP) {
        Some(Packed::Gzip)
    } else if head.starts_with(&ZSTD) || is_skippable {
        Some(Packed::Zstd)
    } else {
        None
    }
}

/// Whether a capture begins like this.
pub(super) fn is_capture(head: &[u8]) -> bool {
    head.starts_with(&PCAPNG) || head.first_chunk().is_some_and(|magic| PcapMagic::read(*magic).is_some())
}

/// What the first four bytes of a pcap file say.
#[derive(Clone, Copy)]
pub(super) struct PcapMagic {
    pub(super) order: ByteOrder,
    pub(super) nanoseconds_per_tick: u64,
    /// The extra bytes that packet headers may have.
    pub(super) variants: &'static [usize],
}

impl PcapMagic {
    pub(super) fn read(bytes: [u8; 4]) -> Option<Self> {
        let (order, nanoseconds_per_tick, variants) = match bytes {
            [0xd4, 0xc3, 0xb2, 0xa1] => (ByteOrder::Little, 1_000, extra::STANDARD),
            [0xa1, 0xb2, 0xc3, 0xd4] => (ByteOrder::Big, 1_000, extra::STANDARD),
            [0x4d, 0x3c, 0xb2, 0xa1] => (ByteOrder::Little, 1, &extra::STANDARD[..1]),
            [0xa1, 0xb2, 0x3c, 0x4d] => (ByteOrder::Big, 1, &extra::STANDARD[..1]),
            [0x34, 0xcd, 0xb2, 0xa1] => (ByteOrder::Little, 1_000, extra::MODIFIED),
            [0xa1, 0xb2, 0xcd, 0x34] => (ByteOrder::Big, 1_000, extra::MODIFIED),
            _ => return None,
        };
        Some(Self { order, nanoseconds_per_tick, variants })
    }
}

/// Bytes at the end of each packet's header, by magic. The variants of a magic have no sign of their own: the first
/// packets tell which of them it is.
mod extra {
    /// tcpdump.org; the patches of Red Hat 6.1 (interface, protocol, type); Nokia's (4 unknown bytes).
    pub(super) const STANDARD: &[usize] = &[0, 8, 4];
    /// Later patches of the same author; those of SuSE 6.3 (processors as well).
    pub(super) const MODIFIED: &[usize] = &[8, 12];
}
