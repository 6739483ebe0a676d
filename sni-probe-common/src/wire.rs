//! Finds the TCP segment in a packet: VLAN tags, IPv4 with options, IPv6 with extension headers.
//!
//! Lengths come from the IP header, never from the frame's: short frames are padded.
//! Reads are of 16 and 32 bits: the kernel's loads of those are single instructions.

use crate::counters::Counter;

/// Bytes of a packet could not be read: they lie behind its end, or the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Read access to one packet, from its Ethernet header on unless [`network`](Self::network) says
/// otherwise. Integers are in network byte order on the wire and in host byte order here.
pub trait Packet: Sized {
    /// Length of the packet on the wire, in bytes.
    fn wire_len(&self) -> usize;
    /// When it was seen: see [`EventHeader::time_ns`](crate::event::EventHeader::time_ns).
    fn time_ns(&self) -> u64;
    /// Where it was seen: see [`EventHeader::ifindex`](crate::event::EventHeader::ifindex).
    fn ifindex(&self) -> u32;
    /// The 16-bit integer at `offset`.
    fn u16_at(&self, offset: usize) -> Result<u16, Unreadable>;
    /// The 32-bit integer at `offset`.
    fn u32_at(&self, offset: usize) -> Result<u32, Unreadable>;
    /// Where the IP header is, and of which version.
    #[inline(always)]
    fn network(&self) -> Result<(IpVersion, usize), Rejected> {
        behind_ethernet(self)
    }
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

/// VLAN tags that are followed: one, or two (QinQ).
pub const MAX_VLAN_TAGS: usize = 2;

/// IPv6 extension headers that are followed.
pub const MAX_EXTENSION_HEADERS: usize = 3;

mod ethertype {
    pub(super) const IPV4: u16 = 0x0800;
    pub(super) const IPV6: u16 = 0x86dd;
    pub(super) const VLAN: u16 = 0x8100;
    pub(super) const QINQ: u16 = 0x88a8;
}

mod protocol {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const TCP: u8 = 6;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const DESTINATION_OPTIONS: u8 = 60;
}

/// The version of the IP header in front of a TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// RFC 791.
    V4,
    /// RFC 8200.
    V6,
}

/// Where the headers of a TCP segment are, as offsets into the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Version of the IP header.
    pub version: IpVersion,
    /// Offset of the IP header.
    pub network: usize,
    /// Offset of the TCP header.
    pub transport: usize,
    /// Offset behind the last byte of the IP packet.
    pub end: usize,
}

/// Finds the TCP header.
#[inline(always)]
pub fn locate<P: Packet>(packet: &P) -> Result<Location, Rejected> {
    match packet.network()? {
        (IpVersion::V4, network) => locate_ipv4(packet, network),
        (IpVersion::V6, network) => locate_ipv6(packet, network),
    }
}

/// Finds the IP header behind an Ethernet header and its VLAN tags.
#[inline(always)]
pub(crate) fn behind_ethernet<P: Packet>(packet: &P) -> Result<(IpVersion, usize), Rejected> {
    let mut ether_type = packet.u16_at(12)?;
    let mut network = 14;
    for _ in 0..MAX_VLAN_TAGS {
        if ether_type != ethertype::VLAN && ether_type != ethertype::QINQ {
            break;
        }
        ether_type = packet.u16_at(network + 2)?;
        network += 4;
    }
    match ether_type {
        ethertype::IPV4 => Ok((IpVersion::V4, network)),
        ethertype::IPV6 => Ok((IpVersion::V6, network)),
        ethertype::VLAN | ethertype::QINQ => Err(Rejected::Skipped(Counter::SkippedVlanTags)),
        _ => Err(Rejected::NotTcp),
    }
}

#[inline(always)]
fn locate_ipv4<P: Packet>(packet: &P, network: usize) -> Result<Location, Rejected> {
    // Time to live, protocol, checksum.
    let protocol = (packet.u32_at(network + 8)? >> 16) as u8;
    if protocol != protocol::TCP {
        return Err(Rejected::NotTcp);
    }
    // Flags and offset: "more fragments" or any offset (RFC 791, section 3.1).
    if packet.u16_at(network + 6)? & 0x3fff != 0 {
        return Err(Rejected::Skipped(Counter::SkippedFragment));
    }
    // Version, header length, type of service, total length.
    let word = packet.u32_at(network)?;
    let header = (word >> 22) as usize & 0x3c;
    if word >> 28 != 4 || header < 20 {
        return Err(Rejected::Skipped(Counter::SkippedMalformed));
    }
    let total = (word & 0xffff) as usize;
    Ok(Location {
        version: IpVersion::V4,
        network,
        transport: network + header,
        end: end_of(packet, network, total),
    })
}

#[inline(always)]
fn locate_ipv6<P: Packet>(packet: &P, network: usize) -> Result<Location, Rejected> {
    // Payload length, next header, hop limit.
    let word = packet.u32_at(network + 4)?;
    let payload = (word >> 16) as usize;
    let mut next = (word >> 8) as u8;
    let mut transport = network + 40;
    for _ in 0..MAX_EXTENSION_HEADERS {
        if next == protocol::TCP {
            break;
        }
        match next {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                // Next header, length in units of 8 bytes without the first (RFC 8200, section 4.2).
                let word = packet.u16_at(transport)?;
                next = (word >> 8) as u8;
                transport += ((word & 0xff) as usize + 1) * 8;
            }
            protocol::FRAGMENT => {
                // Next header, reserved, offset and "more" flag; an "atomic" fragment is whole (RFC 6946).
                let word = packet.u32_at(transport)?;
                next = (word >> 24) as u8;
                if word & 0xfff9 != 0 {
                    let is_tcp = next == protocol::TCP;
                    return Err(if is_tcp {
                        Rejected::Skipped(Counter::SkippedFragment)
                    } else {
                        Rejected::NotTcp
                    });
                }
                transport += 8;
            }
            _ => return Err(Rejected::NotTcp),
        }
    }
    match next {
        protocol::TCP => {}
        protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS | protocol::FRAGMENT => {
            return Err(Rejected::Skipped(Counter::SkippedExtensionHeaders));
        }
        _ => return Err(Rejected::NotTcp),
    }
    let total = if payload == 0 { 0 } else { payload + 40 };
    Ok(Location { version: IpVersion::V6, network, transport, end: end_of(packet, network, total) })
}

/// End of the IP packet that begins at `network` and says that it is `total` bytes long.
///
/// Linux hands packets of more than 64 KiB (BIG TCP) through the stack with a length of 0: those
/// are as long as their frame, which is never padded.
#[inline(always)]
fn end_of<P: Packet>(packet: &P, network: usize, total: usize) -> usize {
    if total == 0 { packet.wire_len() } else { network + total }
}

/// The fields of a TCP header that matter, and where its payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The low byte of the flags: see [`tcp_flags`](crate::event::tcp_flags).
    pub flags: u8,
    /// Offset of the payload in the frame.
    pub payload_offset: usize,
    /// Length of the payload in bytes, according to the IP header.
    pub payload_len: usize,
}

/// Reads the flags of the TCP header at `location` and measures its payload.
#[inline(always)]
pub fn segment<P: Packet>(packet: &P, location: &Location) -> Result<Segment, Rejected> {
    // Data offset (in units of 4 bytes), reserved bits, flags (RFC 9293, section 3.1).
    let word = packet.u16_at(location.transport + 12)?;
    let header = (word >> 10) as usize & 0x3c;
    let payload_offset = location.transport + header;
    if header < 20 || payload_offset > location.end || location.end > packet.wire_len() {
        return Err(Rejected::Skipped(Counter::SkippedMalformed));
    }
    Ok(Segment { flags: word as u8, payload_offset, payload_len: location.end - payload_offset })
}
