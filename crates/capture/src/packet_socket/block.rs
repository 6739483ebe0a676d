//! A block of a `TPACKET_V3` ring as bytes: a header, then frames, each behind a header of its own.
//!
//! The layouts are those of `linux/if_packet.h`. Whatever stands there, nothing outside of the block is read: what
//! does not fit ends the block.

use libc::{
    PACKET_OTHERHOST, PACKET_OUTGOING, TP_STATUS_VLAN_VALID, sockaddr_ll, tpacket_block_desc, tpacket_hdr_v1,
    tpacket3_hdr,
};

/// A block that the kernel has handed over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    bytes: &'a [u8],
}

/// A frame in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameInBlock<'a> {
    /// Its beginning, as much as the filter asked for.
    pub(super) bytes: &'a [u8],
    /// Its length, in bytes.
    pub(super) wire_len: usize,
    /// When it passed: nanoseconds since 1970.
    pub(super) time_ns: u64,
    /// Whether the interface sends it, rather than has received it.
    pub(super) is_outgoing: bool,
    /// Whether the interface has received it for another MAC address than its own.
    pub(super) is_for_other_host: bool,
    /// Whether its outermost VLAN tag is not among the bytes: the kernel keeps it apart.
    pub(super) has_tag_apart: bool,
}

mod offset {
    use std::mem::{offset_of, size_of};

    use super::{sockaddr_ll, tpacket_block_desc, tpacket_hdr_v1, tpacket3_hdr};

    const HEADER: usize = offset_of!(tpacket_block_desc, hdr);
    pub(super) const FRAMES: usize = HEADER + offset_of!(tpacket_hdr_v1, num_pkts);
    pub(super) const FIRST: usize = HEADER + offset_of!(tpacket_hdr_v1, offset_to_first_pkt);
    pub(super) const NEXT: usize = offset_of!(tpacket3_hdr, tp_next_offset);
    pub(super) const SECONDS: usize = offset_of!(tpacket3_hdr, tp_sec);
    pub(super) const NANOSECONDS: usize = offset_of!(tpacket3_hdr, tp_nsec);
    pub(super) const CAPTURED: usize = offset_of!(tpacket3_hdr, tp_snaplen);
    pub(super) const LENGTH: usize = offset_of!(tpacket3_hdr, tp_len);
    pub(super) const STATUS: usize = offset_of!(tpacket3_hdr, tp_status);
    pub(super) const FRAME: usize = offset_of!(tpacket3_hdr, tp_mac);
    /// The address behind the header: both are multiples of its alignment, 16.
    pub(super) const PACKET_TYPE: usize = size_of::<tpacket3_hdr>() + offset_of!(sockaddr_ll, sll_pkttype);
    const _: () = assert!(size_of::<tpacket3_hdr>().is_multiple_of(16));
}

impl<'a> Block<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Its frames, oldest first.
    pub(super) fn frames(self) -> impl Iterator<Item = FrameInBlock<'a>> {
        let mut left = self.u32_at(offset::FRAMES).unwrap_or_default();
        let mut at = self.u32_at(offset::FIRST).unwrap_or_default() as usize;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let frame = self.frame(at)?;
            at = at.checked_add(self.u32_at(at + offset::NEXT)? as usize)?;
            Some(frame)
        })
    }

    fn frame(self, at: usize) -> Option<FrameInBlock<'a>> {
        let seconds = self.u32_at(at + offset::SECONDS)?;
        let nanoseconds = self.u32_at(at + offset::NANOSECONDS)?;
        let start = at + usize::from(u16::from_ne_bytes(self.array(at + offset::FRAME)?));
        let captured = self.u32_at(at + offset::CAPTURED)? as usize;
        let [packet_type] = self.array(at + offset::PACKET_TYPE)?;
        Some(FrameInBlock {
            bytes: self.bytes.get(start..start.checked_add(captured)?)?,
            wire_len: self.u32_at(at + offset::LENGTH)? as usize,
            time_ns: u64::from(seconds) * 1_000_000_000 + u64::from(nanoseconds),
            is_outgoing: packet_type == PACKET_OUTGOING,
            is_for_other_host: packet_type == PACKET_OTHERHOST,
            has_tag_apart: self.u32_at(at + offset::STATUS)? & TP_STATUS_VLAN_VALID != 0,
        })
    }

    fn u32_at(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_ne_bytes)
    }

    fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..)?.first_chunk().copied()
    }
}

#[cfg(test)]
mod tests {
    use libc::TP_STATUS_USER;

    use super::*;

    /// A block with two frames.
    fn block() -> Vec<u8> {
        let mut bytes = vec![0; 512];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(offset::FRAMES, &2_u32.to_ne_bytes());
        put(offset::FIRST, &64_u32.to_ne_bytes());
        for (at, next, packet_type, status, payload) in [
            (64, 160_u32, PACKET_OTHERHOST, TP_STATUS_VLAN_VALID, &b"abc"[..]),
            (224, 0, PACKET_OUTGOING, 0, b"defg"),
        ] {
            put(at + offset::STATUS, &(TP_STATUS_USER | status).to_ne_bytes());
            put(at + offset::NEXT, &next.to_ne_bytes());
            put(at + offset::SECONDS, &7_u32.to_ne_bytes());
            put(at + offset::NANOSECONDS, &9_u32.to_ne_bytes());
            put(at + offset::CAPTURED, &u32::try_from(payload.len()).expect("short").to_ne_bytes());
            put(at + offset::LENGTH, &1_000_u32.to_ne_bytes());
            put(at + offset::FRAME, &100_u16.to_ne_bytes());
            put(at + offset::PACKET_TYPE, &[packet_type]);
            put(at + 100, payload);
        }
        bytes
    }

    #[test]
    fn frames_are_found() {
        let bytes = block();
        let frames: Vec<_> = Block::new(&bytes).frames().collect();
        let expected = |bytes, is_outgoing| FrameInBlock {
            bytes,
            wire_len: 1_000,
            time_ns: 7_000_000_009,
            is_outgoing,
            is_for_other_host: !is_outgoing,
            has_tag_apart: !is_outgoing,
        };
        assert_eq!(frames, [expected(b"abc", false), expected(b"defg", true)]);
    }

    #[test]
    fn nothing_outside_of_a_block_is_read() {
        let whole = block();
        for length in 0..whole.len() {
            assert!(Block::new(&whole[..length]).frames().count() <= 2);
        }
        // Any field may say anything.
        for at in (0..320).step_by(2) {
            for value in [[0xff; 4], [0, 0, 0, 0x80], [1, 2, 0, 0]] {
                let mut bytes = whole.clone();
                bytes[at..at + 4].copy_from_slice(&value);
                let count = Block::new(&bytes).frames().take(1_000).count();
                assert!(count <= 1_000);
            }
        }
    }
}
