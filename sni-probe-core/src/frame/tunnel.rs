//! Tunnels over UDP, and GRE.

use super::SkipReason;
use super::link::{self, begins_like_ethernet, begins_like_ip, u16_at};
use super::walk::{Layer, Next, Payload, Stop};

/// Extension headers of GTP-U that are followed. Stops a packet full of them from taking long; a PDU
/// session of 5G has one.
const MAX_GTP_EXTENSION_HEADERS: usize = 8;

/// A tunnel over UDP, by its port.
#[derive(Clone, Copy)]
enum Tunnel {
    /// RFC 7348, also on Linux's port from before that; the generic protocol extension has the same header.
    Vxlan,
    /// RFC 8926.
    Geneve,
    /// The user plane of GTP (3GPP TS 29.281).
    Gtp,
    /// What access points send to their controller (RFC 5415).
    CapwapData,
}

/// The tunnel between these two ports. A tunnel's source port says which flow is inside, except for
/// CAPWAP's and GTP's, which answer from their port.
fn of_ports(ports: [u8; 4]) -> Option<Tunnel> {
    let [source, destination] = [0, 2].map(|at| u16_at(&ports, at));
    match destination {
        4789 | 8472 | 4790 => Some(Tunnel::Vxlan),
        6081 => Some(Tunnel::Geneve),
        2152 => Some(Tunnel::Gtp),
        5247 => Some(Tunnel::CapwapData),
        _ => match source {
            2152 => Some(Tunnel::Gtp),
            5247 => Some(Tunnel::CapwapData),
            _ => None,
        },
    }
}

/// Whether a UDP header that begins with these ports may be a tunnel's.
pub(super) fn is_tunnel(ports: [u8; 4]) -> bool {
    of_ports(ports).is_some()
}

/// RFC 768. Anybody may use a tunnel's port for something else, so what does not look like the tunnel's
/// header is not malformed.
pub(super) fn udp(rest: &mut Payload<'_>) -> Next {
    let Some(tunnel) = of_ports(*rest.header()?) else { return Err(Stop::Other) };
    let header: &[u8; 8] = rest.header()?;
    let len = usize::from(u16_at(header, 4));
    // 0 as in IP: as long as what is around it.
    if len != 0 {
        rest.cut(len.max(header.len()));
    }
    rest.skip(header.len())?;
    let next = match tunnel {
        Tunnel::Vxlan => vxlan(rest),
        Tunnel::Geneve => geneve(rest),
        Tunnel::Gtp => gtp(rest),
        Tunnel::CapwapData => capwap(rest),
    };
    match next {
        Err(Stop::Skipped(SkipReason::Malformed)) => Err(Stop::Other),
        next => next,
    }
}

/// Flags, 3 bytes of which the generic protocol extension (draft-ietf-nvo3-vxlan-gpe) uses the last, network
/// identifier.
fn vxlan(rest: &mut Payload<'_>) -> Next {
    const HAS_NETWORK: u8 = 0x08;
    const HAS_PROTOCOL: u8 = 0x04;
    let [flags, _, _, protocol, ..] = *rest.take::<8>()?;
    if flags & HAS_NETWORK == 0 {
        return Err(Stop::Other);
    }
    if flags & HAS_PROTOCOL == 0 {
        return Ok(Layer::Ethernet);
    }
    match protocol {
        1 => Ok(Layer::Ipv4),
        2 => Ok(Layer::Ipv6),
        3 => Ok(Layer::Ethernet),
        5 => Ok(Layer::Mpls),
        _ => Err(Stop::Other),
    }
}

/// RFC 8926, section 3.4.
fn geneve(rest: &mut Payload<'_>) -> Next {
    let header: &[u8; 8] = rest.take()?;
    if header[0] >> 6 != 0 {
        return Err(Stop::Other);
    }
    rest.skip(usize::from(header[0] & 0x3f) * 4)?;
    link::of_ether_type(u16_at(header, 2))
}

/// 3GPP TS 29.281, section 5.1: flags, message type, length of what follows the first 8 bytes, tunnel.
fn gtp(rest: &mut Payload<'_>) -> Next {
    const VERSION_AND_TYPE: u8 = 0xf0;
    const VERSION_1_GTP: u8 = 0x30;
    const HAS_EXTENSION: u8 = 0x04;
    const HAS_OPTIONAL: u8 = 0x07;
    const G_PDU: u8 = 0xff;

    let header: &[u8; 8] = rest.take()?;
    let flags = header[0];
    if flags & VERSION_AND_TYPE != VERSION_1_GTP || header[1] != G_PDU {
        return Err(Stop::Other);
    }
    rest.cut(usize::from(u16_at(header, 2)));
    if flags & HAS_OPTIONAL != 0 {
        // Sequence number, N-PDU number, type of the first extension header: all there if one is meant.
        let [.., first] = *rest.take::<4>()?;
        let mut next = if flags & HAS_EXTENSION == 0 { 0 } else { first };
        for _ in 0..MAX_GTP_EXTENSION_HEADERS {
            if next == 0 {
                break;
            }
            // Its length comes first, in units of 4 bytes; the type of the next is its last byte.
            let len = usize::from(rest.header::<1>()?[0]) * 4;
            if len == 0 {
                return Err(Stop::Other);
            }
            rest.skip(len - 1)?;
            [next] = *rest.take()?;
        }
        if next != 0 {
            return Err(Stop::Skipped(SkipReason::Unsupported));
        }
    }
    // Nothing says what is inside: the tunnel's ends have agreed on it.
    if !begins_like_ip(rest) && begins_like_ethernet(rest) {
        return Ok(Layer::Ethernet);
    }
    match rest.header::<1>()?[0] >> 4 {
        4 | 6 => Ok(Layer::Ip),
        _ => Err(link::not_recognized(rest)),
    }
}

/// RFC 5415, section 4.3: version and type, then 5 bits of length in units of 4 bytes, radio (5 bits), binding
/// (5 bits), flags (9 bits).
fn capwap(rest: &mut Payload<'_>) -> Next {
    const CLEAR: u8 = 0;
    const NATIVE: u32 = 0x0100;
    const FRAGMENT: u32 = 0x0080;
    const KEEP_ALIVE: u32 = 0x0008;
    const BINDING_802_11: u32 = 1;

    let word = u32::from_be_bytes(*rest.header()?);
    if word.to_be_bytes()[0] != CLEAR || word & KEEP_ALIVE != 0 {
        return Err(Stop::Other);
    }
    if word & FRAGMENT != 0 {
        return Err(Stop::Skipped(SkipReason::Unsupported));
    }
    let len = (word >> 19 & 0x1f) as usize * 4;
    if len < 8 {
        return Err(Stop::Other);
    }
    rest.skip(len)?;
    match word >> 9 & 0x1f {
        _ if word & NATIVE == 0 => Ok(Layer::Ethernet),
        BINDING_802_11 => Ok(Layer::Wlan),
        _ => Err(Stop::Other),
    }
}

/// RFC 2784 and 2890: flags and version, protocol, then a checksum, a key, a sequence number if flagged.
pub(super) fn gre(rest: &mut Payload<'_>) -> Next {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    const VERSION: u16 = 0x0007;
    const ERSPAN: u16 = 0x88be;
    const ERSPAN_III: u16 = 0x22eb;

    let header: &[u8; 4] = rest.take()?;
    let flags = u16_at(header, 0);
    match flags & VERSION {
        // Source routes (RFC 1701) are no more: RFC 2784 wants such packets dropped.
        0 if flags & ROUTING == 0 => {}
        1 => return pptp(flags, rest),
        _ => return Err(Stop::Other),
    }
    let fields = [CHECKSUM, KEY, SEQUENCE].map(|flag| usize::from(flags & flag != 0) * 4);
    rest.skip(fields.iter().sum())?;
    match u16_at(header, 2) {
        // The first version of it has neither a sequence number nor a header (draft-foschiano-erspan).
        ERSPAN if flags & SEQUENCE == 0 => Ok(Layer::Ethernet),
        ERSPAN => {
            rest.skip(8)?;
            Ok(Layer::Ethernet)
        }
        ERSPAN_III => {
            let [.., last] = *rest.take::<12>()?;
            // A platform's own header may follow.
            rest.skip(usize::from(last & 1) * 8)?;
            Ok(Layer::Ethernet)
        }
        ether_type => link::of_ether_type(ether_type),
    }
}

/// RFC 2637, section 4.1: the length of the payload and the call take the key's place. Without a sequence
/// number there is no payload.
fn pptp(flags: u16, rest: &mut Payload<'_>) -> Next {
    const SEQUENCE: u16 = 0x1000;
    const ACKNOWLEDGMENT: u16 = 0x0080;

    let [high, low, ..] = *rest.take::<4>()?;
    if flags & SEQUENCE == 0 {
        return Err(Stop::Other);
    }
    rest.skip(if flags & ACKNOWLEDGMENT == 0 { 4 } else { 8 })?;
    rest.cut(usize::from(u16::from_be_bytes([high, low])));
    Ok(Layer::Ppp)
}
