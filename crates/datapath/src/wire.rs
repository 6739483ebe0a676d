//! The headers in front of TCP: Ethernet with VLAN tags, IPv4 with options, IPv6 with extension headers.
//!
//! Lengths come from the IP header, never from the frame's: short frames are padded.
//! Reads are of 16 and 32 bits: the kernel's loads of those are single instructions.

use crate::counters::Counter;

/// Bytes of a packet could not be read: they lie behind its end, or the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Reads a packet. Integers are in network byte order on the wire and in host byte order here.
pub trait Read {
    /// The bytes from `offset` on, in one go.
    fn bytes_at<const N: usize>(&self, offset: usize) -> Result<[u8; N], Unreadable>;
    /// The 16-bit integer at `offset`.
    fn u16_at(&self, offset: usize) -> Result<u16, Unreadable>;
    /// The 32-bit integer at `offset`.
    fn u32_at(&self, offset: usize) -> Result<u32, Unreadable>;
}

/// Read access to one packet, at any offset.
pub trait Packet: Read {
    /// See [`Packet::head`].
    type Head: Read;
    /// The first `len` bytes of an Ethernet frame, where they lie in one piece of memory: they are read by
    /// single instructions then. In the kernel only offsets that the compiler knows can be read so, for
    /// without `CAP_PERFMON` the verifier allows no others; `None` leads to the same answer by the long way.
    fn head(&self, len: usize) -> Option<Self::Head>;
    /// What the packet begins with.
    fn layer(&self) -> Layer;
    /// Length of the packet on the wire, in bytes.
    fn wire_len(&self) -> usize;
    /// When it was seen: see [`EventHeader::time_ns`](crate::event::EventHeader::time_ns).
    fn time_ns(&self) -> u64;
    /// Where it was seen: see [`EventHeader::ifindex`](crate::event::EventHeader::ifindex).
    fn ifindex(&self) -> u32;
    /// Whether the outermost VLAN tag is kept beside the bytes. Linux takes one tag off a received frame before the
    /// hooks and packet sockets see it, and puts one into a frame to send after the hook for sent frames has seen it
    /// (`skb_vlan_tag_present`).
    fn has_tag_apart(&self) -> bool;
    /// The interface that saw it, for [`Entry::with_answer`](crate::flow_table::Entry::with_answer). In a replay, where
    /// [`Packet::ifindex`] is the number of the frame, all frames are of one.
    #[inline(always)]
    fn interface(&self) -> u32 {
        self.ifindex()
    }
    /// Whether the frame was sent to another host's MAC address, and is only seen because the interface is
    /// promiscuous (`PACKET_OTHERHOST`).
    #[inline(always)]
    fn is_for_other_host(&self) -> bool {
        false
    }
    /// `value` itself, of which the kernel's verifier then knows nothing. It follows each path through a program
    /// with what it knows: where many paths meet, less knowledge makes them one again. (Without `CAP_PERFMON`
    /// it also follows the branches that it knows are not taken, for a processor may take them by speculation.)
    #[inline(always)]
    fn forget(&self, value: usize) -> usize {
        value
    }
}

/// What a packet begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// An Ethernet header, as in the kernel.
    Ethernet,
    /// An IP header: of what other link layers and tunnels carry.
    Ip,
}

/// Why there is nothing to look at in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// It is no TCP over IP: none of our business.
    NotTcp,
    /// It may be TCP, but is passed over for this reason.
    Skipped(Counter),
}

impl From<Unreadable> for Rejected {
    #[inline(always)]
    fn from(_: Unreadable) -> Self {
        Self::Skipped(Counter::SkippedUnreadable)
    }
}

/// VLAN tags that are followed: one, or two (QinQ). One that is [kept apart](Packet::has_tag_apart) counts.
pub const MAX_VLAN_TAGS: usize = 2;

/// IPv6 extension headers that are followed.
pub const MAX_EXTENSION_HEADERS: usize = 3;

/// Bytes of an Ethernet header.
pub(crate) const ETHERNET: usize = 14;
/// Bytes of a VLAN tag.
pub(crate) const VLAN_TAG: usize = 4;
/// Bytes of an IPv4 header without options.
pub(crate) const IPV4: usize = 20;
/// Bytes of an IPv6 header without extension headers.
pub(crate) const IPV6: usize = 40;

/// `EtherType` numbers (IANA, "IEEE 802 Numbers").
pub mod ethertype {
    /// RFC 791.
    pub const IPV4: u16 = 0x0800;
    /// RFC 8200.
    pub const IPV6: u16 = 0x86dd;
    /// "Transparent Ethernet bridging": an Ethernet frame (RFC 8926, section 3.4).
    pub const ETHERNET: u16 = 0x6558;
    /// VLAN tags: IEEE 802.1Q, IEEE 802.1ad, and the two that switches wrote on outer tags before 802.1ad.
    pub const VLAN_TAGS: [u16; 4] = [0x8100, 0x88a8, 0x9100, 0x9200];

    /// Whether a VLAN tag follows.
    #[inline(always)]
    pub const fn is_vlan_tag(ether_type: u16) -> bool {
        let [customer, provider, old, older] = VLAN_TAGS;
        ether_type == customer || ether_type == provider || ether_type == old || ether_type == older
    }
}

pub(crate) mod protocol {
    pub(crate) const HOP_BY_HOP: u8 = 0;
    pub(crate) const IPV4: u8 = 4;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const IPV6: u8 = 41;
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const DESTINATION_OPTIONS: u8 = 60;
}

/// The version of an IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// RFC 791.
    V4,
    /// RFC 8200.
    V6,
}

/// An IP header, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IpHeader {
    pub(crate) version: IpVersion,
    /// Offset of the header.
    pub(crate) at: usize,
    /// What follows the header and its extension headers.
    pub(crate) protocol: u8,
    /// Offset of what follows.
    pub(crate) next: usize,
    /// Offset behind the last byte of the IP packet.
    pub(crate) end: usize,
    /// Part of a packet, and if so whether not its first one.
    pub(crate) fragment: Option<Fragment>,
}

/// Which part of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fragment {
    First,
    Later,
}

/// Where the IP header is, and of which version.
#[inline(always)]
pub(crate) fn network<P: Packet>(packet: &P) -> Result<(IpVersion, usize), Rejected> {
    match packet.layer() {
        Layer::Ethernet => after_ethernet(packet, 0, packet.has_tag_apart()),
        // The version is in the first four bits of either header.
        Layer::Ip => match packet.u16_at(0)? >> 12 {
            4 => Ok((IpVersion::V4, 0)),
            6 => Ok((IpVersion::V6, 0)),
            _ => Err(Rejected::NotTcp),
        },
    }
}

/// Finds the IP header after the Ethernet header at `at` and its VLAN tags, of which one may be kept apart.
#[inline(always)]
pub(crate) fn after_ethernet<R: Read>(
    reader: &R,
    at: usize,
    has_tag_apart: bool,
) -> Result<(IpVersion, usize), Rejected> {
    let mut ether_type = reader.u16_at(at + 12)?;
    let mut network = at + ETHERNET;
    let mut tags = usize::from(has_tag_apart);
    for _ in 0..MAX_VLAN_TAGS {
        if !ethertype::is_vlan_tag(ether_type) {
            break;
        }
        tags += 1;
        ether_type = reader.u16_at(network + 2)?;
        network += VLAN_TAG;
    }
    if tags > MAX_VLAN_TAGS || ethertype::is_vlan_tag(ether_type) {
        return Err(Rejected::Skipped(Counter::SkippedVlanTags));
    }
    match ether_type {
        ethertype::IPV4 => Ok((IpVersion::V4, network)),
        ethertype::IPV6 => Ok((IpVersion::V6, network)),
        _ => Err(Rejected::NotTcp),
    }
}

/// Reads the IP header at `at`.
#[inline(always)]
pub(crate) fn ip_header<R: Read>(
    reader: &R,
    version: IpVersion,
    at: usize,
    wire_len: usize,
) -> Result<IpHeader, Rejected> {
    match version {
        IpVersion::V4 => ipv4_header(reader, at, wire_len),
        IpVersion::V6 => ipv6_header(reader, at, wire_len),
    }
}

/// Flag of an IPv4 header: this is not the last fragment.
const MORE_FRAGMENTS: u16 = 0x2000;
/// The offset of a fragment, beside the flags of an IPv4 header.
const FRAGMENT_OFFSET: u16 = 0x1fff;

#[inline(always)]
pub(crate) fn ipv4_header<R: Read>(reader: &R, at: usize, wire_len: usize) -> Result<IpHeader, Rejected> {
    // Version, header length, type of service, total length.
    let word = reader.u32_at(at)?;
    // Flags and offset (RFC 791, section 3.1).
    let fragment = match reader.u16_at(at + 6)? & (MORE_FRAGMENTS | FRAGMENT_OFFSET) {
        0 => None,
        MORE_FRAGMENTS => Some(Fragment::First),
        _ => Some(Fragment::Later),
    };
    // Time to live, protocol, checksum.
    let protocol = (reader.u32_at(at + 8)? >> 16) as u8;
    let header = (word >> 22) as usize & 0x3c;
    if word >> 28 != 4 || header < IPV4 {
        return Err(malformed_if_tcp(protocol));
    }
    let end = end_of(at, (word & 0xffff) as usize, wire_len);
    Ok(IpHeader { version: IpVersion::V4, at, protocol, next: at + header, end, fragment })
}

#[inline(always)]
fn ipv6_header<R: Read>(reader: &R, at: usize, wire_len: usize) -> Result<IpHeader, Rejected> {
    let mut header = ipv6_fixed_header(reader, at, wire_len)?;
    for _ in 0..MAX_EXTENSION_HEADERS {
        match header.protocol {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                // Next header, length in units of 8 bytes without the first (RFC 8200, section 4.2).
                let word = reader.u16_at(header.next)?;
                header.protocol = (word >> 8) as u8;
                header.next += ((word & 0xff) as usize + 1) * 8;
            }
            protocol::FRAGMENT => {
                // Next header, reserved, offset and "more" flag; an "atomic" fragment is whole (RFC 6946).
                let word = reader.u32_at(header.next)?;
                header.protocol = (word >> 24) as u8;
                header.next += 8;
                if word & 0xfff9 != 0 {
                    let is_first = word & 0xfff8 == 0;
                    header.fragment = Some(if is_first { Fragment::First } else { Fragment::Later });
                    return Ok(header);
                }
            }
            _ => return Ok(header),
        }
    }
    if is_extension_header(header.protocol) {
        return Err(Rejected::Skipped(Counter::SkippedExtensionHeaders));
    }
    Ok(header)
}

/// Reads the IPv6 header at `at` without its extension headers: the first of them stands as protocol.
#[inline(always)]
pub(crate) fn ipv6_fixed_header<R: Read>(
    reader: &R,
    at: usize,
    wire_len: usize,
) -> Result<IpHeader, Unreadable> {
    // Payload length, next header, hop limit.
    let word = reader.u32_at(at + 4)?;
    let payload = (word >> 16) as usize;
    let total = if payload == 0 { 0 } else { payload + IPV6 };
    Ok(IpHeader {
        version: IpVersion::V6,
        at,
        protocol: (word >> 8) as u8,
        next: at + IPV6,
        end: end_of(at, total, wire_len),
        fragment: None,
    })
}

/// Whether this is one of the extension headers of IPv6 that are followed.
#[inline(always)]
pub(crate) const fn is_extension_header(protocol: u8) -> bool {
    matches!(
        protocol,
        protocol::HOP_BY_HOP | protocol::ROUTING | protocol::FRAGMENT | protocol::DESTINATION_OPTIONS
    )
}

#[inline(always)]
const fn malformed_if_tcp(protocol: u8) -> Rejected {
    if protocol == protocol::TCP { Rejected::Skipped(Counter::SkippedMalformed) } else { Rejected::NotTcp }
}

/// End of the IP packet that begins at `at` and says that it is `total` bytes long.
///
/// Linux hands packets of more than 64 KiB (BIG TCP) through the stack with a length of 0: those
/// are as long as their frame, which is never padded.
#[inline(always)]
fn end_of(at: usize, total: usize, wire_len: usize) -> usize {
    if total == 0 { wire_len } else { at + total }
}
