//! The way from a captured frame to the IP packet in it.

use std::collections::HashSet;

use sni_probe_core::vocabulary::Label as _;
use sni_probe_pcap::frame::{FrameBytes, IpPacket, LinkType, SkipReason, Unwrapped, Unwrapper};

/// Link types that are known, and one that is not.
pub(crate) const LINK_TYPES: [LinkType; 41] = [
    LinkType::ETHERNET,
    LinkType(0),
    LinkType(9),
    LinkType(12),
    LinkType(50),
    LinkType(51),
    LinkType(101),
    LinkType(105),
    LinkType(108),
    LinkType(113),
    LinkType(127),
    LinkType(228),
    LinkType(229),
    LinkType(276),
    LinkType(6),
    LinkType(10),
    LinkType(109),
    LinkType(117),
    LinkType(119),
    LinkType(122),
    LinkType(128),
    LinkType(138),
    LinkType(149),
    LinkType(166),
    LinkType(192),
    LinkType(204),
    LinkType(205),
    LinkType(219),
    LinkType(226),
    LinkType(239),
    LinkType(240),
    LinkType(241),
    LinkType(242),
    LinkType(258),
    LinkType(259),
    LinkType(274),
    LinkType(281),
    LinkType(282),
    LinkType(284),
    LinkType(285),
    LinkType(147),
];

const ETHERNET_HEADER: usize = 14;

/// What became of the frames of a capture, each of which may count once.
#[derive(Debug, Default)]
pub(crate) struct Account {
    frames: u64,
    told: u64,
}

impl Account {
    /// Checks what became of a frame, and gives the packet that it led to.
    pub(crate) fn packet<'a>(
        &mut self,
        unwrapped: Unwrapped<'a>,
        frame: &FrameBytes<'a>,
    ) -> Option<IpPacket<'a>> {
        self.frames += 1;
        match unwrapped {
            Unwrapped::Ip(packet) => {
                self.told += 1;
                assert!(is_part(packet.bytes, frame.bytes), "the packet is not the frame's");
                assert!(packet.bytes.len() <= packet.wire_len && packet.wire_len <= frame.wire_len);
                Some(packet)
            }
            Unwrapped::Reassembled { packet, frames } => {
                self.told += frames.len() as u64;
                assert_eq!(packet.bytes.len(), packet.wire_len, "all of its fragments were whole");
                // An IPv6 header does not count itself.
                assert!(packet.wire_len <= usize::from(u16::MAX) + 40);
                assert_eq!(frames.last(), Some(&frame.number), "the last one made it whole");
                assert_eq!(frames.iter().collect::<HashSet<_>>().len(), frames.len(), "{frames:?}");
                Some(packet)
            }
            Unwrapped::Other | Unwrapped::NotIp => {
                self.told += 1;
                None
            }
            Unwrapped::Fragment | Unwrapped::Skipped(_) | Unwrapped::Unread { .. } => None,
        }
    }

    /// No frame was counted twice.
    pub(crate) fn settle(&self, mut unwrapper: Unwrapper) {
        unwrapper.finish();
        let counted: u64 = SkipReason::ALL.iter().map(|&reason| unwrapper.skipped(reason)).sum();
        assert!(self.told + counted <= self.frames, "{self:?}, {counted} passed over");
    }
}

fn is_part(part: &[u8], whole: &[u8]) -> bool {
    let at = part.as_ptr().addr().checked_sub(whole.as_ptr().addr());
    part.is_empty() || at.is_some_and(|at| at + part.len() <= whole.len())
}

/// Whether a packet that the shortcut for Ethernet frames finds is passed over on the long way, on which
/// it has no link layer. (Its headers are cut short or contradict each other.) Else they are the same.
pub(crate) fn is_only_a_shortcuts(packet: &IpPacket<'_>, frame: &FrameBytes<'_>) -> bool {
    let Some((header, bytes)) = frame.bytes.split_at_checked(ETHERNET_HEADER) else { return false };
    let link = match header[12..] {
        [0x08, 0x00] => LinkType(228),
        [0x86, 0xdd] => LinkType(229),
        _ => return false,
    };
    let inner = FrameBytes { bytes, wire_len: frame.wire_len - ETHERNET_HEADER, ..*frame };
    match Unwrapper::new().unwrap(link, &inner) {
        Unwrapped::Ip(other) => assert_eq!(other, *packet),
        Unwrapped::Skipped(_) | Unwrapped::Unread { .. } => return true,
        // The last fragment of a packet, alone.
        Unwrapped::Fragment => {}
        other => panic!("{other:?}, and by the shortcut {packet:?}"),
    }
    false
}
