//! Link layers, and what comes between them and IP: tags, labels, sessions.

use sni_probe_common::wire::ethertype;

use super::walk::{Layer, Next, Payload, Stop};
use super::{LinkType, SkipReason};

/// `EtherType` numbers besides those of [`ethertype`].
mod ether_type {
    pub(super) const PPP: u16 = 0x880b;
    pub(super) const MPLS: u16 = 0x8847;
    pub(super) const MPLS_MULTICAST: u16 = 0x8848;
    pub(super) const PPPOE_SESSION: u16 = 0x8864;
}

/// What a frame of this link type begins with, behind what only captures have.
pub(super) fn first(link: LinkType, rest: &mut Payload<'_>) -> Next {
    match link.0 {
        0 | 108 => bsd_loopback(rest),
        1 => Ok(Layer::Ethernet),
        9 => Ok(Layer::Ppp),
        // Raw IP, by the numbers that it has on BSD, OpenBSD, and in files.
        12 | 14 | 101 => Ok(Layer::Ip),
        50 | 104 => hdlc(rest),
        51 => Ok(Layer::Pppoe),
        105 => Ok(Layer::Wlan),
        113 => {
            // Packet type, ARPHRD type, length of the address, 8 bytes of address, protocol.
            let header: &[u8; 16] = rest.take()?;
            cooked(u16_at(header, 14))
        }
        127 => radiotap(rest),
        228 => Ok(Layer::Ipv4),
        229 => Ok(Layer::Ipv6),
        276 => {
            let header: &[u8; 20] = rest.take()?;
            cooked(u16_at(header, 0))
        }
        _ => Err(Stop::Skipped(SkipReason::UnknownLinkType)),
    }
}

/// The big-endian integer at a constant offset.
#[inline]
pub(super) fn u16_at<const N: usize>(header: &[u8; N], offset: usize) -> u16 {
    u16::from_be_bytes([header[offset], header[offset + 1]])
}

/// What an `EtherType` announces.
pub(super) fn of_ether_type(ether_type: u16) -> Next {
    match ether_type {
        ethertype::IPV4 => Ok(Layer::Ipv4),
        ethertype::IPV6 => Ok(Layer::Ipv6),
        tag if ethertype::is_vlan_tag(tag) => Ok(Layer::Vlan),
        ethertype::ETHERNET => Ok(Layer::Ethernet),
        ether_type::MPLS | ether_type::MPLS_MULTICAST => Ok(Layer::Mpls),
        ether_type::PPPOE_SESSION => Ok(Layer::Pppoe),
        ether_type::PPP => Ok(Layer::Ppp),
        _ => Err(Stop::Other),
    }
}

pub(super) fn ethernet(rest: &mut Payload<'_>) -> Next {
    let header: &[u8; 14] = rest.take()?;
    of_type_or_length(u16_at(header, 12), rest)
}

pub(super) fn vlan(rest: &mut Payload<'_>) -> Next {
    let tag: &[u8; 4] = rest.take()?;
    of_type_or_length(u16_at(tag, 2), rest)
}

/// Up to 1,500 it is a length, and 802.2 follows (IEEE 802.3, section 3.2.6).
fn of_type_or_length(type_or_length: u16, rest: &mut Payload<'_>) -> Next {
    if type_or_length <= 1500 {
        rest.cut(usize::from(type_or_length));
        return Ok(Layer::Llc);
    }
    of_ether_type(type_or_length)
}

pub(super) fn llc(rest: &mut Payload<'_>) -> Next {
    match rest.take()? {
        // Unnumbered information to and from SNAP (RFC 1042).
        [0xaa, 0xaa, 0x03] => {
            let [organization @ .., high, low] = *rest.take::<5>()?;
            // The second one is of bridge tunnels (IEEE 802.1H).
            match organization {
                [0, 0, 0 | 0xf8] => of_ether_type(u16::from_be_bytes([high, low])),
                _ => Err(Stop::Other),
            }
        }
        [0x06, 0x06, 0x03] => Ok(Layer::Ipv4),
        _ => Err(Stop::Other),
    }
}

/// IEEE 802.11, section 9.3.2.1. Only data frames that are not encrypted have anything to read.
pub(super) fn wlan(rest: &mut Payload<'_>) -> Next {
    const DATA: u8 = 0x08;
    const NO_DATA: u8 = 0x40;
    const QOS: u8 = 0x80;
    const TO_DS_FROM_DS: u8 = 0x03;
    const PROTECTED: u8 = 0x40;
    const ORDER: u8 = 0x80;
    const QOS_AGGREGATE: u8 = 0x80;

    let control = *rest.header::<2>()?;
    // Version 0 and type 2. Some access points have the two bytes the other way round within CAPWAP.
    let is_data = |byte: u8| byte & 0x0f == DATA;
    let [kind, flags] = if is_data(control[0]) { control } else { [control[1], control[0]] };
    if !is_data(kind) || kind & NO_DATA != 0 || flags & PROTECTED != 0 {
        return Err(Stop::Other);
    }
    rest.skip(24)?;
    if flags & TO_DS_FROM_DS == TO_DS_FROM_DS {
        rest.skip(6)?;
    }
    if kind & QOS != 0 {
        if rest.take::<2>()?[0] & QOS_AGGREGATE != 0 {
            return Err(Stop::Skipped(SkipReason::Unsupported));
        }
        if flags & ORDER != 0 {
            rest.skip(4)?;
        }
    }
    Ok(Layer::Llc)
}

/// Version, padding, length (little-endian) of the whole header.
fn radiotap(rest: &mut Payload<'_>) -> Next {
    let [_, _, len @ ..] = *rest.header::<4>()?;
    rest.skip(usize::from(u16::from_le_bytes(len)))?;
    Ok(Layer::Wlan)
}

/// Linux's capture on any interface.
fn cooked(protocol: u16) -> Next {
    const LLC: u16 = 4;
    if protocol == LLC { Ok(Layer::Llc) } else { of_ether_type(protocol) }
}

/// An address family, in the byte order of the machine that captured.
fn bsd_loopback(rest: &mut Payload<'_>) -> Next {
    match rest.take()? {
        [family, 0, 0, 0] | [0, 0, 0, family] => match family {
            2 => Ok(Layer::Ipv4),
            // Windows; NetBSD and OpenBSD; FreeBSD; macOS.
            10 | 24 | 28 | 30 => Ok(Layer::Ipv6),
            _ => Err(Stop::Other),
        },
        _ => Err(Stop::Other),
    }
}

/// PPP in HDLC-like framing, or Cisco's HDLC: the address (unicast, multicast) tells.
fn hdlc(rest: &mut Payload<'_>) -> Next {
    match *rest.header()? {
        [0x0f | 0x8f, 0x00] => {
            let header: &[u8; 4] = rest.take()?;
            of_ether_type(u16_at(header, 2))
        }
        _ => Ok(Layer::Ppp),
    }
}

/// RFC 2516, section 4.
pub(super) fn pppoe(rest: &mut Payload<'_>) -> Next {
    const SESSION: u8 = 0;
    let header: &[u8; 6] = rest.take()?;
    if header[0] != 0x11 || header[1] != SESSION {
        return Err(Stop::Other);
    }
    rest.cut(usize::from(u16_at(header, 4)));
    Ok(Layer::Ppp)
}

/// Address and control may be left out, and so may the first byte of the protocol if it is zero: the
/// second is odd, the first even (RFC 1661, sections 2 and 6.5; RFC 1662, section 3).
pub(super) fn ppp(rest: &mut Payload<'_>) -> Next {
    if let [0xff, 0x03] = rest.header()? {
        rest.skip(2)?;
    }
    let [first] = *rest.take()?;
    let protocol = if first & 1 == 1 {
        u16::from(first)
    } else {
        let [second] = *rest.take()?;
        u16::from_be_bytes([first, second])
    };
    match protocol {
        0x0021 => Ok(Layer::Ipv4),
        0x0057 => Ok(Layer::Ipv6),
        0x0281 | 0x0283 => Ok(Layer::Mpls),
        // TCP/IP headers told as differences to those before (RFC 1144).
        0x002d | 0x002f => Err(Stop::Skipped(SkipReason::Unsupported)),
        _ => Err(Stop::Other),
    }
}

/// One label. Nothing says what is behind the last one: IP, or a pseudowire's frame, with a control word in
/// front or without (RFC 4385, section 3; RFC 4928). A destination address may begin like IP.
pub(super) fn mpls(rest: &mut Payload<'_>) -> Next {
    let [_, _, bottom, _] = *rest.take::<4>()?;
    if bottom & 1 == 0 {
        return Ok(Layer::Mpls);
    }
    if begins_like_ip(rest) {
        return Ok(Layer::Ip);
    }
    let mut behind_control_word = *rest;
    if matches!(rest.header()?, [0x00..=0x0f])
        && behind_control_word.skip(4).is_ok()
        && begins_like_ethernet(&behind_control_word)
    {
        *rest = behind_control_word;
        return Ok(Layer::Ethernet);
    }
    if begins_like_ethernet(rest) { Ok(Layer::Ethernet) } else { Err(not_recognized(rest)) }
}

/// Nothing that is known, if there was enough to tell: a control word, an Ethernet header, the lengths of an IP
/// header.
pub(super) fn not_recognized(payload: &Payload<'_>) -> Stop {
    let is_cut = payload.bytes.len() < payload.wire_len.min(4 + 14 + 6);
    if is_cut { Stop::Skipped(SkipReason::Truncated) } else { Stop::Other }
}

/// Whether the first bytes are an IP header whose lengths are possible.
pub(super) fn begins_like_ip(payload: &Payload<'_>) -> bool {
    match payload.bytes.first_chunk::<6>() {
        Some(header) if header[0] >> 4 == 4 => {
            let total = usize::from(u16_at(header, 2));
            header[0] & 0x0f >= 5 && (total == 0 || (20..=payload.wire_len).contains(&total))
        }
        Some(header) if header[0] >> 4 == 6 => usize::from(u16_at(header, 4)) + 40 <= payload.wire_len,
        _ => false,
    }
}

/// Whether the first bytes are an Ethernet header in front of something that is followed.
pub(super) fn begins_like_ethernet(payload: &Payload<'_>) -> bool {
    let mut rest = *payload;
    match ethernet(&mut rest) {
        Ok(Layer::Ipv4 | Layer::Ipv6) => begins_like_ip(&rest),
        Ok(Layer::Vlan | Layer::Mpls | Layer::Pppoe) => true,
        _ => false,
    }
}
