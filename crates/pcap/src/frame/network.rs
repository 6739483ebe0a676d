//! IP, its extension headers, and what is behind them.

use sni_probe_datapath::wire::ethertype;

use super::SkipReason;
use super::step::{FragmentAt, Layer, Next, Payload, Shim, Stop, u16_at};
use super::unread::{Encapsulation, Unread};

/// IPv6 extension headers that are followed in one packet, to a tunnel, a fragment or TCP. Stops a packet
/// full of them from taking long; each of the six may be there once (RFC 8200, section 4.1), destination
/// options twice. (The datapath follows fewer before TCP, and counts the rest.)
pub const MAX_EXTENSION_HEADERS: usize = 8;

pub(super) const ETHERTYPE_IPV4: [u8; 2] = ethertype::IPV4.to_be_bytes();
pub(super) const ETHERTYPE_IPV6: [u8; 2] = ethertype::IPV6.to_be_bytes();

/// "More fragments", and the offset of this one (RFC 791, section 3.1).
pub(super) const IPV4_MORE: u16 = 0x2000;
pub(super) const IPV4_OFFSET: u16 = 0x1fff;

/// The same in an IPv6 fragment header, where the offset needs no shifting (RFC 8200, section 4.5).
pub(super) const IPV6_MORE: u16 = 0x0001;
pub(super) const IPV6_OFFSET: u16 = 0xfff8;

/// Protocols (IANA's "Assigned Internet Protocol Numbers").
pub(super) mod protocol {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const IPV4: u8 = 4;
    pub(super) const TCP: u8 = 6;
    pub(in super::super) const UDP: u8 = 17;
    pub(super) const IPV6: u8 = 41;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const GRE: u8 = 47;
    pub(super) const ESP: u8 = 50;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(super) const DESTINATION_OPTIONS: u8 = 60;
    pub(super) const ETHERNET_IN_IP: u8 = 97;
    pub(super) const IPCOMP: u8 = 108;
    pub(super) const L2TPV3: u8 = 115;
    pub(super) const MPLS_IN_IP: u8 = 137;
    pub(super) const ETHERNET: u8 = 143;
    pub(super) const NSH: u8 = 145;
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
pub(super) fn ip(rest: &mut Payload<'_>) -> Next {
    match rest.header::<1>()?[0] >> 4 {
        4 => ipv4(rest),
        6 => ipv6(rest),
        _ => Err(Stop::Skipped(SkipReason::Malformed)),
    }
}

pub(super) fn ipv4(rest: &mut Payload<'_>) -> Next {
    let header: &[u8; 20] = rest.header()?;
    if is_plain_ipv4_tcp(header) {
        return Err(Stop::Tcp);
    }
    if header[0] >> 4 != 4 {
        return Err(Stop::Skipped(SkipReason::Malformed));
    }
    let protocol = header[9];
    announced(protocol)?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let total_len = total_len(usize::from(u16_at(header, 2)), rest);
    if header_len < header.len() || total_len < header_len {
        return Err(Stop::Skipped(SkipReason::Malformed));
    }
    rest.cut(total_len);
    let packet = *rest;
    rest.skip(header_len)?;
    if u16_at(header, 6) & (IPV4_MORE | IPV4_OFFSET) == 0 {
        return behind(protocol);
    }
    let header_len = u16::from(header[0] & 0x0f) * 4;
    stop_at_fragment(rest, packet, total_len, FragmentAt { header_len, protocol_at: 9, data: header_len })
}

pub(super) fn ipv6(rest: &mut Payload<'_>) -> Next {
    let header: &[u8; 40] = rest.header()?;
    if header[0] >> 4 != 6 {
        return Err(Stop::Skipped(SkipReason::Malformed));
    }
    let mut next = header[6];
    if next == protocol::TCP {
        return Err(Stop::Tcp);
    }
    let payload_len = usize::from(u16_at(header, 4));
    let total_len = total_len(if payload_len == 0 { 0 } else { header.len() + payload_len }, rest);
    let whole = *rest;
    rest.cut(total_len);
    let packet = *rest;
    rest.skip(header.len())?;
    // Where the header is, and what says so.
    let mut at = 40_u16;
    let mut next_at = 6_u16;
    let mut is_authenticated = false;
    for _ in 0..=MAX_EXTENSION_HEADERS {
        let (following, len) = match next {
            protocol::TCP if !is_authenticated => {
                *rest = whole;
                return Err(Stop::Tcp);
            }
            // In units of 8 bytes without the first (RFC 8200, section 4.2).
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                let [following, len] = *rest.header()?;
                (following, (u16::from(len) + 1) * 8)
            }
            protocol::AUTHENTICATION => {
                is_authenticated = true;
                read_authentication_header(rest)?
            }
            protocol::FRAGMENT => {
                let fragment_header: &[u8; 8] = rest.header()?;
                let following = fragment_header[0];
                // An "atomic" fragment is whole (RFC 6946).
                if u16_at(fragment_header, 2) & (IPV6_MORE | IPV6_OFFSET) != 0 {
                    if !is_extension_header(following) {
                        announced(following)?;
                    }
                    let place = FragmentAt { header_len: at, protocol_at: next_at, data: at + 8 };
                    return stop_at_fragment(rest, packet, total_len, place);
                }
                (following, 8)
            }
            other => return behind(other),
        };
        rest.skip(usize::from(len))?;
        next = following;
        next_at = at;
        at += len;
    }
    Err(Stop::Unread(Unread::Encapsulation(Encapsulation::ExtensionHeaders)))
}

/// Length of a packet that says it is `stated` bytes long. With segmentation offload, packets longer than
/// the field can say have 0 there: those are as long as what is around them.
fn total_len(stated: usize, packet: &Payload<'_>) -> usize {
    if stated == 0 { packet.wire_len } else { stated }
}

pub(super) fn authentication_header(rest: &mut Payload<'_>) -> Next {
    let (next, len) = read_authentication_header(rest)?;
    rest.skip(usize::from(len))?;
    behind(next)
}

/// The protocol behind it, and its length: that is in units of 4 bytes, without the first two (RFC 4302,
/// section 2.2).
fn read_authentication_header(rest: &Payload<'_>) -> Result<(u8, u16), Stop> {
    let [next, len] = *rest.header()?;
    Ok((next, (u16::from(len) + 2) * 4))
}

/// Those that the next extension header, too, may be behind, and that are no tunnel.
fn is_extension_header(protocol: u8) -> bool {
    matches!(protocol, protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS)
}

/// What a protocol number announces that is not in the IP header of a plain packet.
fn behind(protocol: u8) -> Next {
    let unread = match protocol {
        protocol::IPV4 => return Ok(Layer::Ipv4),
        protocol::IPV6 => return Ok(Layer::Ipv6),
        protocol::UDP => return Ok(Layer::Udp),
        protocol::GRE => return Ok(Layer::Gre),
        protocol::AUTHENTICATION => return Ok(Layer::AuthenticationHeader),
        protocol::MPLS_IN_IP => return Ok(Layer::Mpls),
        protocol::ETHERNET => return Ok(Layer::Ethernet),
        protocol::ETHERNET_IN_IP => return Ok(Layer::EthernetInIp),
        protocol::NSH => return Ok(Layer::Shim(Shim::Nsh)),
        protocol::ESP => Encapsulation::Esp,
        protocol::IPCOMP => Encapsulation::IpComp,
        protocol::L2TPV3 => Encapsulation::L2tpv3,
        // The datapath reads it right behind IP, or not at all.
        protocol::TCP => Encapsulation::AuthenticatedTcp,
        _ => return Err(Stop::Other),
    };
    Err(Stop::Unread(Unread::Encapsulation(unread)))
}

/// Stops where a header of this protocol cannot lead to TCP.
fn announced(protocol: u8) -> Result<(), Stop> {
    if protocol == protocol::TCP { Ok(()) } else { behind(protocol).map(drop) }
}

/// RFC 3378: a version, then a frame.
pub(super) fn ethernet_in_ip(rest: &mut Payload<'_>) -> Next {
    rest.skip(2)?;
    Ok(Layer::Ethernet)
}

/// Stops with a fragment's packet as the rest, unless it is longer than what is around it.
fn stop_at_fragment<'a>(rest: &mut Payload<'a>, packet: Payload<'a>, len: usize, at: FragmentAt) -> Next {
    *rest = packet;
    let is_longer = packet.wire_len < len;
    Err(if is_longer { Stop::Skipped(SkipReason::Malformed) } else { Stop::Fragment(at) })
}
