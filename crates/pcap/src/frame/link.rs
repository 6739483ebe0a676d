//! Link layers, and what comes between them and IP: tags, labels, sessions. (Headers of captures are in
//! [`capture_header`], further tags in [`super::shim`].)

use super::ether_type::{of_ether_type, of_type_or_length};
use super::recognize::{begins_like_ethernet, begins_like_ip, not_recognized};
use super::step::{Layer, Next, Payload, Stop, u16_at};
use super::unread::{Encapsulation, Unread};
use super::{LinkType, capture_header, tunnel};

/// What a frame of this link type begins with, behind what only captures have.
pub(super) fn first(link: LinkType, rest: &mut Payload<'_>) -> Next {
    match link.0 {
        0 | 108 => bsd_loopback(rest),
        // With Marvell's tag, which has an EtherType.
        1 | 285 => Ok(Layer::Ethernet),
        6 => capture_header::token_ring(rest),
        9 => Ok(Layer::Ppp),
        10 => capture_header::fddi(rest),
        // Raw IP, by the numbers that it has on BSD, OpenBSD, and in files.
        12 | 14 | 101 => Ok(Layer::Ip),
        50 | 104 => hdlc(rest),
        51 => Ok(Layer::Pppoe),
        105 => Ok(Layer::Wlan),
        // The decrypted side of OpenBSD's IPsec: address family, SPI, flags.
        109 => after(12, Layer::Ip, rest),
        113 => {
            // Packet type, ARPHRD type, length of the address, 8 bytes of address, protocol.
            let header: &[u8; 16] = rest.take()?;
            cooked(u16_at(header, 14))
        }
        117 => capture_header::pflog(rest),
        119 | 163 => capture_header::wlan_metadata(rest),
        // IP over Fibre Channel (RFC 2625): two addresses.
        122 => after(16, Layer::Llc, rest),
        127 => radiotap(rest),
        128 => tunnel::tzsp(rest),
        138 => {
            let header: &[u8; 18] = rest.take()?;
            of_ether_type(u16_at(header, 16))
        }
        149 => capture_header::user2(rest),
        166 | 204 => capture_header::directed_ppp(rest),
        192 => capture_header::ppi(rest),
        205 => {
            rest.skip(1)?;
            hdlc(rest)
        }
        219 => Ok(Layer::Mpls),
        226 => after(24, Layer::Ip, rest),
        228 => Ok(Layer::Ipv4),
        229 => Ok(Layer::Ipv6),
        239 => capture_header::nflog(rest),
        240 | 282 => after(4, Layer::Ethernet, rest),
        241 => after(4 + 8, Layer::Ethernet, rest),
        242 => capture_header::ip_over_infiniband(rest),
        258 => capture_header::pktap(rest),
        259 => after(8, Layer::Ethernet, rest),
        274 => capture_header::mpacket(rest),
        276 => {
            let header: &[u8; 20] = rest.take()?;
            cooked(u16_at(header, 0))
        }
        281 | 284 => capture_header::switch_tag(rest),
        _ => Err(Stop::Unread(Unread::LinkType(link))),
    }
}

/// A header of which nothing matters but its length.
fn after(len: usize, layer: Layer, rest: &mut Payload<'_>) -> Next {
    rest.skip(len)?;
    Ok(layer)
}

pub(super) fn vlan(rest: &mut Payload<'_>) -> Next {
    let tag: &[u8; 4] = rest.take()?;
    of_type_or_length(u16_at(tag, 2), rest)
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

/// IEEE 802.11, section 9.3.2.1. Only data frames without encryption have anything to read.
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
    if !is_data(kind) || kind & NO_DATA != 0 {
        return Err(Stop::Other);
    }
    if flags & PROTECTED != 0 {
        return Err(Stop::Unread(Unread::Encapsulation(Encapsulation::EncryptedWlan)));
    }
    rest.skip(24)?;
    if flags & TO_DS_FROM_DS == TO_DS_FROM_DS {
        rest.skip(6)?;
    }
    if kind & QOS != 0 {
        if rest.take::<2>()?[0] & QOS_AGGREGATE != 0 {
            return Err(Stop::Unread(Unread::Encapsulation(Encapsulation::AggregatedWlan)));
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
    // Linux's own numbers, of what has no EtherType.
    const LINUX: std::ops::RangeInclusive<u16> = 0..=0x00ff;
    match protocol {
        LLC => Ok(Layer::Llc),
        protocol if LINUX.contains(&protocol) => Err(Stop::Other),
        protocol if protocol < 0x0600 => Err(Stop::Unread(Unread::EtherType(protocol))),
        protocol => of_ether_type(protocol),
    }
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
        0x002d | 0x002f => Err(Stop::Unread(Unread::Encapsulation(Encapsulation::CompressedHeaders))),
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
