//! IP, its extension headers, and what is behind them.

use super::SkipReason;
use super::fragments::{Fragment, Key};
use super::link::u16_at;
use super::tunnel;
use super::walk::{Layer, Next, Payload, Stop};

/// IPv6 extension headers that are followed in one packet, to a tunnel, a fragment or TCP. Stops a packet
/// full of them from taking long; each of the six may be there once (RFC 8200, section 4.1), destination
/// options twice. (The datapath follows fewer before TCP, and counts the rest.)
pub const MAX_EXTENSION_HEADERS: usize = 8;

pub(super) const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
pub(super) const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];

/// "More fragments", and the offset of this one (RFC 791, section 3.1).
const IPV4_MORE: u16 = 0x2000;
const IPV4_OFFSET: u16 = 0x1fff;

/// The same in an IPv6 fragment header, where the offset needs no shifting (RFC 8200, section 4.5).
const IPV6_MORE: u16 = 0x0001;
const IPV6_OFFSET: u16 = 0xfff8;

/// Protocols (IANA's "Assigned Internet Protocol Numbers").
mod protocol {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const IPV4: u8 = 4;
    pub(super) const TCP: u8 = 6;
    pub(super) const UDP: u8 = 17;
    pub(super) const IPV6: u8 = 41;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const GRE: u8 = 47;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(super) const DESTINATION_OPTIONS: u8 = 60;
}

/// TCP right behind the IPv4 header, not fragmented.
#[inline]
pub(super) fn is_plain_ipv4_tcp(header: &[u8; 20]) -> bool {
    header[0] >> 4 == 4 && header[9] == protocol::TCP && u16_at(header, 6) & (IPV4_MORE | IPV4_OFFSET) == 0
}

/// TCP right behind the IPv6 header, of which these are the first bytes.
#[inline]
pub(super) fn is_plain_ipv6_tcp(header: &[u8; 20]) -> bool {
    header[0] >> 4 == 6 && header[6] == protocol::TCP
}

/// IP of the version that its first byte says.
pub(super) fn ip<'a>(rest: &mut Payload<'a>) -> Next<'a> {
    match rest.header::<1>()?[0] >> 4 {
        4 => ipv4(rest),
        6 => ipv6(rest),
        _ => Err(Stop::Skipped(SkipReason::Malformed)),
    }
}

pub(super) fn ipv4<'a>(rest: &mut Payload<'a>) -> Next<'a> {
    let packet = *rest;
    let header: &[u8; 20] = packet.header()?;
    if is_plain_ipv4_tcp(header) {
        return Err(Stop::Tcp(packet));
    }
    if header[0] >> 4 != 4 {
        return Err(Stop::Skipped(SkipReason::Malformed));
    }
    let protocol = header[9];
    if !may_carry_tcp(protocol) {
        return Err(Stop::Other);
    }
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let total_len = total_len(usize::from(u16_at(header, 2)), &packet);
    if header_len < header.len() || total_len < header_len {
        return Err(Stop::Skipped(SkipReason::Malformed));
    }
    rest.cut(total_len);
    rest.skip(header_len)?;
    let flags = u16_at(header, 6);
    if flags & (IPV4_MORE | IPV4_OFFSET) == 0 {
        return behind(protocol);
    }
    if total_len > packet.wire_len {
        return Err(Stop::Skipped(SkipReason::Malformed));
    }
    let [src, dst] = [12, 16].map(|at| [header[at], header[at + 1], header[at + 2], header[at + 3]]);
    Err(Stop::Fragment(Fragment {
        key: Key::V4 { src, dst, id: u16_at(header, 4), protocol },
        offset: usize::from(flags & IPV4_OFFSET) * 8,
        is_last: flags & IPV4_MORE == 0,
        header: packet.bytes.get(..header_len).unwrap_or_default(),
        protocol,
        protocol_at: 9,
        data: rest.bytes,
        data_len: total_len - header_len,
    }))
}

pub(super) fn ipv6<'a>(rest: &mut Payload<'a>) -> Next<'a> {
    let packet = *rest;
    let header: &[u8; 40] = packet.header()?;
    if header[0] >> 4 != 6 {
        return Err(Stop::Skipped(SkipReason::Malformed));
    }
    let payload_len = usize::from(u16_at(header, 4));
    let total_len = if payload_len == 0 { packet.wire_len } else { header.len() + payload_len };
    rest.cut(total_len);
    rest.skip(header.len())?;
    let mut next = header[6];
    let mut next_at = 6;
    let mut is_authenticated = false;
    for _ in 0..=MAX_EXTENSION_HEADERS {
        let at = rest.offset - packet.offset;
        let following;
        match next {
            protocol::TCP if !is_authenticated => return Err(Stop::Tcp(packet)),
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                // In units of 8 bytes without the first (RFC 8200, section 4.2).
                let [next, len] = *rest.header()?;
                following = next;
                rest.skip((usize::from(len) + 1) * 8)?;
            }
            protocol::AUTHENTICATION => {
                is_authenticated = true;
                following = skip_authentication_header(rest)?;
            }
            protocol::FRAGMENT => {
                let fragment_header: &[u8; 8] = rest.take()?;
                following = fragment_header[0];
                let flags = u16_at(fragment_header, 2);
                // An "atomic" fragment is whole (RFC 6946).
                if flags & (IPV6_MORE | IPV6_OFFSET) != 0 {
                    let may_matter = is_extension_header(following) || may_carry_tcp(following);
                    if !may_matter {
                        return Err(Stop::Other);
                    }
                    if total_len > packet.wire_len {
                        return Err(Stop::Skipped(SkipReason::Malformed));
                    }
                    let [_, _, _, _, id @ ..] = *fragment_header;
                    return Err(Stop::Fragment(Fragment {
                        key: Key::V6 {
                            src: array_at(header, 8),
                            dst: array_at(header, 24),
                            id: u32::from_be_bytes(id),
                        },
                        offset: usize::from(flags & IPV6_OFFSET),
                        is_last: flags & IPV6_MORE == 0,
                        header: packet.bytes.get(..at).unwrap_or_default(),
                        protocol: following,
                        protocol_at: next_at,
                        data: rest.bytes,
                        data_len: total_len - (at + fragment_header.len()),
                    }));
                }
            }
            other => return behind(other),
        }
        next = following;
        next_at = at;
    }
    Err(Stop::Skipped(SkipReason::Unsupported))
}

/// Length of a packet that says it is `stated` bytes long. With segmentation offload, packets longer than
/// the field can say have 0 there: those are as long as what is around them.
fn total_len(stated: usize, packet: &Payload<'_>) -> usize {
    if stated == 0 { packet.wire_len } else { stated }
}

pub(super) fn authentication_header<'a>(rest: &mut Payload<'a>) -> Next<'a> {
    let next = skip_authentication_header(rest)?;
    behind(next)
}

/// Returns the protocol behind it. Its length is in units of 4 bytes, without the first two (RFC 4302,
/// section 2.2).
fn skip_authentication_header<'a>(rest: &mut Payload<'a>) -> Result<u8, Stop<'a>> {
    let [next, len] = *rest.header()?;
    rest.skip((usize::from(len) + 2) * 4)?;
    Ok(next)
}

/// Those that the next extension header, too, may be behind, and that are no tunnel.
fn is_extension_header(protocol: u8) -> bool {
    matches!(protocol, protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS)
}

/// What a protocol number announces that is not in the IP header of a plain packet.
fn behind<'a>(protocol: u8) -> Next<'a> {
    match protocol {
        protocol::IPV4 => Ok(Layer::Ipv4),
        protocol::IPV6 => Ok(Layer::Ipv6),
        protocol::UDP => Ok(Layer::Udp),
        protocol::GRE => Ok(Layer::Gre),
        protocol::AUTHENTICATION => Ok(Layer::AuthenticationHeader),
        // The datapath reads it right behind IP, or not at all.
        protocol::TCP => Err(Stop::Skipped(SkipReason::Unsupported)),
        _ => Err(Stop::Other),
    }
}

/// Whether TCP can be behind a header of this protocol.
fn may_carry_tcp(protocol: u8) -> bool {
    protocol == protocol::TCP || behind(protocol).is_ok()
}

impl Fragment<'_> {
    /// Whether it shows that its datagram is none of our business: UDP whose ports are no tunnel's.
    pub(super) fn is_irrelevant(&self) -> bool {
        let ports = self.data.first_chunk().filter(|_| self.offset == 0 && self.protocol == protocol::UDP);
        ports.is_some_and(|&ports| !tunnel::is_tunnel(ports))
    }
}

fn array_at(header: &[u8; 40], offset: usize) -> [u8; 16] {
    std::array::from_fn(|i| header[offset + i])
}
