//! The TCP segment in a packet.
//!
//! Most packets are usual: Ethernet, at most one VLAN tag, IPv4 without options or IPv6 without extension
//! headers. Those are read at offsets that are known beforehand; all others by the long way. Both come to
//! the same, for both are made of the same parts.

use crate::counters::Counter;
use crate::tunnel::{self, Tunnels};
use crate::wire::{
    ETHERNET, IPV4, IPV6, IpHeader, IpVersion, Packet, Read, Rejected, Unreadable, VLAN_TAG, ethertype,
    ip_header, ipv4_header, ipv6_fixed_header, is_extension_header, network, protocol,
};

/// What is asked of a segment, as early as can be: nearly all are of no interest.
pub trait Interest {
    /// What is made of the addresses.
    type Flow;
    /// Whether a segment with these ports (source in the high half, destination) is read on.
    fn wants_ports(&self, ports: u32) -> bool;
    /// Whether one with these flags (the low byte) and so many bytes of payload is.
    fn wants_segment(&self, flags: u8, payload_len: usize) -> bool;
    /// Reads the addresses of the IP header at `at`.
    fn flow<R: Read>(
        &self,
        reader: &R,
        version: IpVersion,
        at: usize,
        ports: u32,
    ) -> Result<Self::Flow, Unreadable>;
    /// Which tunnels are looked into.
    fn tunnels(&self) -> Tunnels;
}

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<F> {
    /// What [`Interest::flow`] made of the addresses.
    pub flow: F,
    /// Version of its IP header.
    pub version: IpVersion,
    /// Offset of the IP header.
    pub network: usize,
    /// Source port in the high half, destination port.
    pub ports: u32,
    /// The low byte of the flags: see [`tcp_flags`](crate::event::tcp_flags).
    pub flags: u8,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Offset of the payload.
    pub payload_offset: usize,
    /// Length of the payload in bytes, according to the IP header.
    pub payload_len: usize,
}

/// Source and destination address of the IPv6 header at `at`.
#[inline(always)]
pub(crate) fn ipv6_addresses<P: Packet>(packet: &P, at: usize) -> Result<[u8; 32], Unreadable> {
    match packet.head(ETHERNET + IPV6) {
        Some(head) if at == ETHERNET => head.bytes_at(ETHERNET + 8),
        _ => packet.bytes_at(at + 8),
    }
}

/// Whether one of two IPv6 addresses is IPv4-mapped (`::ffff:a.b.c.d`).
///
/// Such addresses stand for IPv4 inside of a program, and never on the wire (RFC 4291, section 2.5.5.2; RFC 6890,
/// section 2.2.3). Events have IPv4 addresses in this form, so a packet with one would pass for a packet of an IPv4
/// connection.
#[inline(always)]
pub(crate) fn has_mapped_address([source, destination]: [[u8; 16]; 2]) -> bool {
    is_mapped(source) || is_mapped(destination)
}

#[inline(always)]
fn is_mapped(address: [u8; 16]) -> bool {
    let [first, second, third, _]: [u32; 4] = bytemuck::cast(address);
    third == 0xffff_u32.to_be() && first | second == 0
}

/// Bytes of a TCP header without options.
const TCP: usize = 20;

/// Finds the segment in a packet. `None` if it is not wanted.
#[inline(always)]
pub fn segment<P: Packet, I: Interest>(
    packet: &P,
    interest: &I,
) -> Result<Option<Segment<I::Flow>>, Rejected> {
    if let Some(answer) = usual(packet, interest) {
        return answer;
    }
    let (version, at) = network(packet)?;
    let mut ip = ip_header(packet, version, packet.forget(at), packet.wire_len())?;
    if ip.protocol != protocol::TCP && !interest.tunnels().is_empty() {
        ip.next = packet.forget(ip.next);
        ip = tunnel::inner(packet, &ip, interest.tunnels())?;
    }
    ip.next = packet.forget(ip.next);
    tcp(packet, &ip, packet.wire_len(), interest)
}

/// The answer for a usual packet; `None` for others.
#[inline(always)]
fn usual<P: Packet, I: Interest>(
    packet: &P,
    interest: &I,
) -> Option<Result<Option<Segment<I::Flow>>, Rejected>> {
    const TAGGED: usize = ETHERNET + VLAN_TAG;
    let head = packet.head(ETHERNET + IPV4 + TCP)?;
    match head.u16_at(12).ok()? {
        ethertype::IPV4 => usual_ipv4(&head, ETHERNET, packet.wire_len(), interest),
        ethertype::IPV6 => {
            usual_ipv6(&packet.head(ETHERNET + IPV6 + TCP)?, ETHERNET, packet.wire_len(), interest)
        }
        tag if ethertype::is_vlan_tag(tag) => match head.u16_at(16).ok()? {
            ethertype::IPV4 => {
                usual_ipv4(&packet.head(TAGGED + IPV4 + TCP)?, TAGGED, packet.wire_len(), interest)
            }
            ethertype::IPV6 => {
                usual_ipv6(&packet.head(TAGGED + IPV6 + TCP)?, TAGGED, packet.wire_len(), interest)
            }
            _ => None,
        },
        _ => Some(Err(Rejected::NotTcp)),
    }
}

#[inline(always)]
fn usual_ipv4<R: Read, I: Interest>(
    head: &R,
    at: usize,
    wire_len: usize,
    interest: &I,
) -> Option<Result<Option<Segment<I::Flow>>, Rejected>> {
    let ip = match ipv4_header(head, at, wire_len) {
        Ok(ip) => ip,
        Err(rejected) => return Some(Err(rejected)),
    };
    if ip.next != at + IPV4 {
        return None;
    }
    usual_tcp(head, IpHeader { next: at + IPV4, ..ip }, wire_len, interest)
}

#[inline(always)]
fn usual_ipv6<R: Read, I: Interest>(
    head: &R,
    at: usize,
    wire_len: usize,
    interest: &I,
) -> Option<Result<Option<Segment<I::Flow>>, Rejected>> {
    let ip = ipv6_fixed_header(head, at, wire_len).ok()?;
    if is_extension_header(ip.protocol) {
        return None;
    }
    usual_tcp(head, ip, wire_len, interest)
}

#[inline(always)]
fn usual_tcp<R: Read, I: Interest>(
    head: &R,
    ip: IpHeader,
    wire_len: usize,
    interest: &I,
) -> Option<Result<Option<Segment<I::Flow>>, Rejected>> {
    if ip.protocol != protocol::TCP && !interest.tunnels().is_empty() {
        return None;
    }
    Some(tcp(head, &ip, wire_len, interest))
}

#[inline(always)]
fn tcp<R: Read, I: Interest>(
    reader: &R,
    ip: &IpHeader,
    wire_len: usize,
    interest: &I,
) -> Result<Option<Segment<I::Flow>>, Rejected> {
    if ip.protocol != protocol::TCP {
        return Err(Rejected::NotTcp);
    }
    if ip.fragment.is_some() {
        return Err(Rejected::Skipped(Counter::SkippedFragment));
    }
    let transport = ip.next;
    let ports = reader.u32_at(transport)?;
    if !interest.wants_ports(ports) {
        return Ok(None);
    }
    // Data offset (in units of 4 bytes), reserved bits, flags (RFC 9293, section 3.1).
    let word = reader.u16_at(transport + 12)?;
    let header = (word >> 10) as usize & 0x3c;
    let payload_offset = transport + header;
    if header < TCP || payload_offset > ip.end || ip.end > wire_len {
        return Err(Rejected::Skipped(Counter::SkippedMalformed));
    }
    let (flags, payload_len) = (word as u8, ip.end - payload_offset);
    if !interest.wants_segment(flags, payload_len) {
        return Ok(None);
    }
    Ok(Some(Segment {
        flow: interest.flow(reader, ip.version, ip.at, ports)?,
        version: ip.version,
        network: ip.at,
        ports,
        flags,
        seq: reader.u32_at(transport + 4)?,
        ack: reader.u32_at(transport + 8)?,
        payload_offset,
        payload_len,
    }))
}
