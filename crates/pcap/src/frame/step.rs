//! What each header parser takes and gives: the rest of the frame, and the step to the next header.

use super::unread::Unread;
use super::{LinkType, SkipReason};

/// What comes next in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// A frame of this link type.
    Link(LinkType),
    Ethernet,
    /// The tag behind its `EtherType` (IEEE 802.1Q).
    Vlan,
    /// IEEE 802.2, perhaps with SNAP.
    Llc,
    /// IEEE 802.11 data.
    Wlan,
    /// The `PPPoE` session header (RFC 2516), then PPP.
    Pppoe,
    /// RFC 1661 and 1662.
    Ppp,
    /// RFC 3032.
    Mpls,
    /// What an `EtherType` announces before the packet.
    Shim(Shim),
    /// IP of the version that its first byte says.
    Ip,
    Ipv4,
    Ipv6,
    /// RFC 4302.
    AuthenticationHeader,
    /// UDP that may be a tunnel.
    Udp,
    Gre,
    /// RFC 3378.
    EthernetInIp,
}

/// Why there is nothing to follow any longer. (Small, for each step returns it or a [`Layer`].)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// An IP packet that carries TCP. It is the rest, from its header on.
    Tcp,
    /// A fragment. It is the rest, from its IP header on, and nothing behind it.
    Fragment(FragmentAt),
    Other,
    Skipped(SkipReason),
    /// Something that may carry TCP and is not read.
    Unread(Unread),
}

/// A step: what the header says comes next, behind it.
pub(super) type Next = Result<Layer, Stop>;

/// A header that an `EtherType` announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shim {
    /// The service tag of IEEE 802.1ah, then a frame.
    BackboneTag,
    /// IEEE 802.1AE.
    Macsec,
    /// RFC 8300.
    Nsh,
    /// RFC 6325, section 3, then a frame.
    Trill,
    /// Cisco's FabricPath: a tag, then a frame.
    FabricPath,
    /// So many bytes, then an `EtherType`.
    Tag(u8),
}

/// Where in a fragment's packet its parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FragmentAt {
    /// End of the header that the whole datagram has too.
    pub(super) header_len: u16,
    /// What says, there, what is behind it.
    pub(super) protocol_at: u16,
    pub(super) data: u16,
}

/// What of a frame is still to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payload<'a> {
    /// As far as captured.
    pub(super) bytes: &'a [u8],
    /// As long as it was: never less than `bytes`.
    pub(super) wire_len: usize,
    /// Where it begins in the frame.
    pub(super) offset: usize,
}

impl<'a> Payload<'a> {
    pub(super) fn new(bytes: &'a [u8], wire_len: usize) -> Self {
        Self { bytes, wire_len: wire_len.max(bytes.len()), offset: 0 }
    }

    /// The first bytes.
    pub(super) fn header<const N: usize>(&self) -> Result<&'a [u8; N], Stop> {
        self.bytes.first_chunk().ok_or_else(|| self.missing(N))
    }

    /// The first bytes, which what follows comes behind.
    pub(super) fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], Stop> {
        let header = self.header()?;
        self.skip(N)?;
        Ok(header)
    }

    /// Goes on `len` bytes further.
    pub(super) fn skip(&mut self, len: usize) -> Result<(), Stop> {
        self.bytes = self.bytes.get(len..).ok_or_else(|| self.missing(len))?;
        self.wire_len -= len;
        self.offset += len;
        Ok(())
    }

    /// Leaves out what is behind the first `len` bytes.
    pub(super) fn cut(&mut self, len: usize) {
        self.bytes = self.bytes.get(..len).unwrap_or(self.bytes);
        self.wire_len = self.wire_len.min(len);
    }

    /// Why there are no `len` bytes.
    fn missing(&self, len: usize) -> Stop {
        let was_there = self.wire_len >= len;
        Stop::Skipped(if was_there { SkipReason::Truncated } else { SkipReason::Malformed })
    }
}

/// The big-endian integer at a constant offset.
#[inline]
pub(super) fn u16_at<const N: usize>(header: &[u8; N], offset: usize) -> u16 {
    u16::from_be_bytes([header[offset], header[offset + 1]])
}

/// The little-endian integer at a constant offset.
#[inline]
pub(super) fn u32_le_at<const N: usize>(header: &[u8; N], offset: usize) -> u32 {
    u32::from_le_bytes([header[offset], header[offset + 1], header[offset + 2], header[offset + 3]])
}
