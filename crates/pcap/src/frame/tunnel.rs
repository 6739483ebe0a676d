//! Tunnels over UDP, and GRE.

use super::ether_type::of_ether_type;
use super::recognize::{begins_like_ethernet, begins_like_ip, not_recognized};
use super::step::{Layer, Next, Payload, Shim, Stop, u16_at};
use super::unread::{Encapsulation, Unread};
use super::{LinkType, SkipReason};

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
    /// What routers of MikroTik and wireless sensors send to an analyser.
    Tzsp,
    /// RFC 7510, and with DTLS.
    Mpls,
    MplsInDtls,
    /// RFC 9300, and the generic protocol extension (RFC 9305).
    Lisp,
    /// RFC 8086.
    Gre,
    /// RFC 2661.
    L2tp,
    /// RFC 3948.
    EspInUdp,
    WireGuard,
}

/// Tags of a TZSP header that are followed. Stops a packet that is nothing but tags from taking long.
const MAX_TZSP_TAGS: usize = 64;

fn unread(encapsulation: Encapsulation) -> Stop {
    Stop::Unread(Unread::Encapsulation(encapsulation))
}

/// The tunnel between these two ports. A tunnel's source port says which flow is inside, except for those
/// that answer from their port.
fn of_ports(ports: [u8; 4]) -> Option<Tunnel> {
    let [source, destination] = [0, 2].map(|at| u16_at(&ports, at));
    match destination {
        4789 | 8472 | 4790 => Some(Tunnel::Vxlan),
        6081 => Some(Tunnel::Geneve),
        37008 => Some(Tunnel::Tzsp),
        6635 => Some(Tunnel::Mpls),
        6636 => Some(Tunnel::MplsInDtls),
        4341 => Some(Tunnel::Lisp),
        4754 => Some(Tunnel::Gre),
        _ => of_either_port(destination).or_else(|| of_either_port(source)),
    }
}

/// The tunnel that has this port at both ends.
fn of_either_port(port: u16) -> Option<Tunnel> {
    match port {
        2152 => Some(Tunnel::Gtp),
        5247 => Some(Tunnel::CapwapData),
        1701 => Some(Tunnel::L2tp),
        4500 => Some(Tunnel::EspInUdp),
        51820 => Some(Tunnel::WireGuard),
        _ => None,
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
        Tunnel::Tzsp => tzsp(rest),
        Tunnel::Mpls => Ok(Layer::Mpls),
        Tunnel::MplsInDtls => mpls_in_dtls(rest),
        Tunnel::Lisp => lisp(rest),
        Tunnel::Gre => Ok(Layer::Gre),
        Tunnel::L2tp => l2tp(rest),
        Tunnel::EspInUdp => esp_in_udp(rest),
        Tunnel::WireGuard => wire_guard(rest),
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
        4 => Ok(Layer::Shim(Shim::Nsh)),
        5 => Ok(Layer::Mpls),
        _ => Err(unread(Encapsulation::VxlanPayload)),
    }
}

/// Version, packet type, protocol, then tags up to the last one.
pub(super) fn tzsp(rest: &mut Payload<'_>) -> Next {
    const VERSION: u8 = 1;
    const RECEIVED: u8 = 0;
    const TO_TRANSMIT: u8 = 1;
    const PADDING: u8 = 0;
    const END: u8 = 1;

    let [version, RECEIVED | TO_TRANSMIT, protocol @ ..] = *rest.take::<4>()? else {
        return Err(Stop::Other);
    };
    if version != VERSION {
        return Err(Stop::Other);
    }
    for _ in 0..MAX_TZSP_TAGS {
        match *rest.take()? {
            [PADDING] => {}
            [END] => {
                return match u16::from_be_bytes(protocol) {
                    1 => Ok(Layer::Ethernet),
                    18 => Ok(Layer::Wlan),
                    119 => Ok(Layer::Link(LinkType(119))),
                    127 => Ok(Layer::Link(LinkType(163))),
                    _ => Err(unread(Encapsulation::TzspPayload)),
                };
            }
            _ => {
                let [len] = *rest.take()?;
                rest.skip(usize::from(len))?;
            }
        }
    }
    Err(unread(Encapsulation::TzspPayload))
}

/// A record of DTLS (RFC 9147, section 4): content type, version.
fn mpls_in_dtls(rest: &Payload<'_>) -> Next {
    match rest.header()? {
        [20..=23, 0xfe, _] => Err(unread(Encapsulation::MplsInDtls)),
        _ => Err(Stop::Other),
    }
}

/// RFC 9300, section 5.3: flags, nonce or versions, instance and locators. The generic protocol extension (RFC 9305)
/// has the next protocol in the fourth byte.
fn lisp(rest: &mut Payload<'_>) -> Next {
    const HAS_PROTOCOL: u8 = 0x04;
    const KEY: u8 = 0x03;
    let [flags, _, _, protocol, ..] = *rest.take::<8>()?;
    if flags & KEY != 0 {
        return Err(unread(Encapsulation::EncryptedLisp));
    }
    if flags & HAS_PROTOCOL == 0 {
        return if begins_like_ip(rest) { Ok(Layer::Ip) } else { Err(not_recognized(rest)) };
    }
    match protocol {
        1 => Ok(Layer::Ipv4),
        2 => Ok(Layer::Ipv6),
        3 => Ok(Layer::Ethernet),
        4 => Ok(Layer::Shim(Shim::Nsh)),
        _ => Err(unread(Encapsulation::LispPayload)),
    }
}

/// RFC 2661, section 3.1: flags and version, a length if flagged, tunnel, session, two sequence numbers and padding if
/// flagged. PPP follows.
fn l2tp(rest: &mut Payload<'_>) -> Next {
    const CONTROL: u16 = 0x8000;
    const HAS_LENGTH: u16 = 0x4000;
    const HAS_SEQUENCE: u16 = 0x0800;
    const HAS_OFFSET: u16 = 0x0200;
    const VERSION: u16 = 0x000f;
    let header: &[u8; 2] = rest.take()?;
    let flags = u16_at(header, 0);
    if flags & VERSION != 2 || flags & CONTROL != 0 {
        return Err(Stop::Other);
    }
    if flags & HAS_LENGTH != 0 {
        let len: &[u8; 2] = rest.take()?;
        // It counts itself and the flags.
        rest.cut(usize::from(u16_at(len, 0)).saturating_sub(4));
    }
    rest.skip(if flags & HAS_SEQUENCE == 0 { 4 } else { 8 })?;
    if flags & HAS_OFFSET != 0 {
        let offset: &[u8; 2] = rest.take()?;
        rest.skip(usize::from(u16_at(offset, 0)))?;
    }
    Ok(Layer::Ppp)
}

/// RFC 3948, section 2: IKE has four zeros in the place of the SPI, a keepalive is one byte.
fn esp_in_udp(rest: &Payload<'_>) -> Next {
    match rest.header()? {
        [0, 0, 0, 0] => Err(Stop::Other),
        _ => Err(unread(Encapsulation::EspInUdp)),
    }
}

/// Transport data is the message of type 4; three zeros follow.
fn wire_guard(rest: &Payload<'_>) -> Next {
    match rest.header()? {
        [4, 0, 0, 0] => Err(unread(Encapsulation::WireGuard)),
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
    of_ether_type(u16_at(header, 2))
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
            return Err(unread(Encapsulation::GtpExtensionHeaders));
        }
    }
    // Nothing says what is inside: the tunnel's ends have agreed on it.
    if !begins_like_ip(rest) && begins_like_ethernet(rest) {
        return Ok(Layer::Ethernet);
    }
    match rest.header::<1>()?[0] >> 4 {
        4 | 6 => Ok(Layer::Ip),
        _ => Err(not_recognized(rest)),
    }
}

/// RFC 5415, section 4.3: version and type, then 5 bits of length in units of 4 bytes, radio (5 bits), binding
/// (5 bits), flags (9 bits).
fn capwap(rest: &mut Payload<'_>) -> Next {
    const CLEAR: u8 = 0;
    const DTLS: u8 = 1;
    const NATIVE: u32 = 0x0100;
    const FRAGMENT: u32 = 0x0080;
    const KEEP_ALIVE: u32 = 0x0008;
    const BINDING_802_11: u32 = 1;

    let word = u32::from_be_bytes(*rest.header()?);
    match word.to_be_bytes()[0] {
        CLEAR => {}
        DTLS => return Err(unread(Encapsulation::CapwapDtls)),
        _ => return Err(Stop::Other),
    }
    if word & KEEP_ALIVE != 0 {
        return Err(Stop::Other);
    }
    if word & FRAGMENT != 0 {
        return Err(unread(Encapsulation::CapwapFragments));
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
        ether_type => of_ether_type(ether_type),
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
