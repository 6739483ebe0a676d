//! How the files begin that are read: captures, and compressed files.

use super::error::Packed;
use super::pcap;

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
    head.starts_with(&PCAPNG) || head.first_chunk().is_some_and(|magic| pcap::is_magic(*magic))
}
