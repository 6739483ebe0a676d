//! Names and counts for what carries, or may carry, TCP and is not read.

use std::collections::BTreeMap;
use std::fmt;

use sni_probe_core::vocabulary::label;

use super::{LinkType, SkipReason};

/// Kinds of [`Unread`] that are counted apart. Stops a capture with a different `EtherType` in each frame from filling
/// the memory: frames of further kinds are in [`UnreadCounts::other`].
pub const MAX_UNREAD_KINDS: usize = 256;

/// A link type or an encapsulation that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unread {
    /// Frames of this link type.
    LinkType(LinkType),
    /// Frames whose `EtherType` is neither read nor known to carry no IP.
    EtherType(u16),
    /// An encapsulation that is known and not read.
    Encapsulation(Encapsulation),
}

impl Unread {
    /// The reason under which a frame counts.
    pub fn reason(self) -> SkipReason {
        match self {
            Self::LinkType(_) => SkipReason::UnknownLinkType,
            Self::EtherType(_) | Self::Encapsulation(_) => SkipReason::Unsupported,
        }
    }
}

/// A noun phrase with the number and the name: `link type 189 (USB_LINUX)`.
impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LinkType(link_type) => write!(f, "link type {link_type}"),
            Self::EtherType(ether_type) => write!(f, "EtherType {ether_type:#06x}"),
            Self::Encapsulation(encapsulation) => encapsulation.fmt(f),
        }
    }
}

label! {
    /// Encapsulations that are recognised and not read.
    pub enum Encapsulation {
        /// IEEE 802.11, section 9.3.2.2.
        AggregatedWlan => "802.11 frames in an A-MSDU",
        /// The protected frame bit of IEEE 802.11 is set.
        EncryptedWlan => "802.11 frames with encryption",
        /// TCP/IP headers that hold differences to earlier ones (RFC 1144).
        CompressedHeaders => "PPP with compressed TCP/IP headers (RFC 1144)",
        /// IEEE 802.1AE with the bit for encryption, or for changed text.
        EncryptedMacsec => "MACsec with encryption (EtherType 0x88e5)",
        /// The datapath reads TCP directly after IP and its extension headers.
        AuthenticatedTcp => "TCP after an IP authentication header (RFC 4302)",
        /// More than [`MAX_EXTENSION_HEADERS`](super::MAX_EXTENSION_HEADERS).
        ExtensionHeaders => "IPv6 packets with more than 8 extension headers",
        /// RFC 4303.
        Esp => "IPsec ESP (IP protocol 50)",
        /// RFC 3948.
        EspInUdp => "IPsec ESP in UDP (port 4500)",
        /// RFC 3173.
        IpComp => "IPComp (IP protocol 108)",
        /// RFC 3931: the length of its cookie is not in the packet.
        L2tpv3 => "L2TPv3 (IP protocol 115)",
        /// Transport data messages of WireGuard.
        WireGuard => "WireGuard (UDP port 51820)",
        /// RFC 7510, section 5.
        MplsInDtls => "MPLS in DTLS (UDP port 6636)",
        /// RFC 5415, section 4.1.
        CapwapDtls => "CAPWAP with DTLS (UDP port 5247)",
        /// Fragments of CAPWAP's own (RFC 5415, section 3.4).
        CapwapFragments => "CAPWAP fragments (UDP port 5247)",
        /// More than the bound of the GTP-U parser.
        GtpExtensionHeaders => "GTP-U with more than 8 extension headers (UDP port 2152)",
        /// RFC 8061.
        EncryptedLisp => "LISP with encryption (UDP port 4341)",
        /// A next protocol that is not read (RFC 9305).
        LispPayload => "LISP with a payload that is not read (UDP port 4341)",
        /// A next protocol that is not read.
        VxlanPayload => "VXLAN-GPE with a payload that is not read (UDP port 4790)",
        /// A next protocol that is not read (RFC 8300).
        NshPayload => "NSH with a payload that is not read (EtherType 0x894f)",
        /// A protocol other than Ethernet and 802.11, or more tags than are followed.
        TzspPayload => "TZSP with a payload that is not read (UDP port 37008)",
    }
}

/// Counts frames by what in them is not read.
#[derive(Clone, Debug, Default)]
pub struct UnreadCounts {
    kinds: BTreeMap<Unread, u64>,
    other: u64,
}

impl UnreadCounts {
    /// Adds `frames` to a kind.
    pub fn add(&mut self, unread: Unread, frames: u64) {
        if let Some(count) = self.kinds.get_mut(&unread) {
            *count += frames;
        } else if self.kinds.len() < MAX_UNREAD_KINDS {
            self.kinds.insert(unread, frames);
        } else {
            self.other += frames;
        }
    }

    /// Adds all counts of `others`.
    pub fn add_all(&mut self, others: &Self) {
        for (unread, frames) in others.iter() {
            self.add(unread, frames);
        }
        self.other += others.other;
    }

    /// The kinds with their frames, link types first.
    pub fn iter(&self) -> impl Iterator<Item = (Unread, u64)> {
        self.kinds.iter().map(|(&unread, &frames)| (unread, frames))
    }

    /// Frames of kinds that came after [`MAX_UNREAD_KINDS`] others.
    pub fn other(&self) -> u64 {
        self.other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_beyond_the_limit_are_counted_together() {
        let mut counts = UnreadCounts::default();
        let kinds = u16::try_from(MAX_UNREAD_KINDS).unwrap();
        for ether_type in 0..kinds + 3 {
            counts.add(Unread::EtherType(ether_type), 2);
        }
        counts.add(Unread::EtherType(0), 1);
        assert_eq!(counts.iter().count(), MAX_UNREAD_KINDS);
        assert_eq!(counts.iter().next(), Some((Unread::EtherType(0), 3)));
        assert_eq!(counts.other(), 6);
        let mut sum = UnreadCounts::default();
        sum.add(Unread::LinkType(LinkType(189)), 1);
        sum.add_all(&counts);
        assert_eq!((sum.iter().count(), sum.other()), (MAX_UNREAD_KINDS, 8));
    }

    #[test]
    fn what_is_not_read_has_its_number() {
        assert_eq!(Unread::LinkType(LinkType(189)).to_string(), "link type 189 (USB_LINUX)");
        assert_eq!(Unread::EtherType(0x88e).to_string(), "EtherType 0x088e");
        let esp = Unread::Encapsulation(Encapsulation::Esp);
        assert_eq!(esp.to_string(), "IPsec ESP (IP protocol 50)");
    }
}
