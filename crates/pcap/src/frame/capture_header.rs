//! Headers that only captures have: what the capturing system knew about a frame, before the frame itself.

use super::ether_type::{of_ether_type, of_type_or_length};
use super::step::{Layer, Next, Payload, Stop, u16_at, u32_le_at};
use super::unread::Unread;
use super::{LinkType, SkipReason};

/// Attributes of an NFLOG message that are followed. Stops a message that is nothing but attributes from taking long;
/// Linux has 20 kinds, and sends the payload last.
const MAX_NFLOG_ATTRIBUTES: usize = 32;

/// A message of Linux's netfilter log: family, version, group, then attributes with length and type in the byte order of
/// the machine that captured, padded to 4 bytes.
pub(super) fn nflog(rest: &mut Payload<'_>) -> Next {
    const PAYLOAD: u16 = 9;
    const ATTRIBUTE_HEADER: usize = 4;

    let [family, version, ..] = *rest.take::<4>()?;
    if version != 0 {
        return Err(Stop::Skipped(SkipReason::Malformed));
    }
    let [low, high, kind, flags] = *rest.header::<ATTRIBUTE_HEADER>()?;
    // Types are small, so the other byte order has a large one.
    let is_little = matches!(flags, 0x00 | 0x80)
        && kind != 0
        && usize::from(u16::from_le_bytes([low, high])) <= rest.wire_len;
    let number = |bytes| if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) };
    for _ in 0..MAX_NFLOG_ATTRIBUTES {
        if rest.wire_len == 0 {
            // The system was asked for no payload.
            return Err(Stop::Other);
        }
        let [len @ .., kind, flags] = *rest.header::<ATTRIBUTE_HEADER>()?;
        let len = usize::from(number(len));
        if len < ATTRIBUTE_HEADER || len > rest.wire_len {
            return Err(Stop::Skipped(SkipReason::Malformed));
        }
        if number([kind, flags]) & 0x7fff != PAYLOAD {
            // The last one may lack its padding.
            rest.skip(len.next_multiple_of(4).min(rest.wire_len))?;
            continue;
        }
        rest.skip(ATTRIBUTE_HEADER)?;
        rest.cut(len - ATTRIBUTE_HEADER);
        return of_linux_family(family, rest);
    }
    Err(Stop::Skipped(SkipReason::TooDeep))
}

/// The packet that netfilter saw. The system copies no more of it than it was asked to.
fn of_linux_family(family: u8, rest: &Payload<'_>) -> Next {
    const IPV4: u8 = 2;
    const BRIDGE: u8 = 7;
    const IPV6: u8 = 10;
    let version = rest.header::<1>()?[0] >> 4;
    let stated = match (family, version) {
        (IPV4 | BRIDGE, 4) => usize::from(u16_at(rest.header::<4>()?, 2)),
        (IPV6 | BRIDGE, 6) => usize::from(u16_at(rest.header::<6>()?, 4)) + 40,
        (IPV4 | IPV6, _) => return Err(Stop::Skipped(SkipReason::Malformed)),
        _ => return Err(Stop::Other),
    };
    if stated > rest.wire_len { Err(Stop::Skipped(SkipReason::Truncated)) } else { Ok(Layer::Ip) }
}

/// macOS: length of the header, record type, link type of the frame, then the interface, the process and more.
pub(super) fn pktap(rest: &mut Payload<'_>) -> Next {
    const PACKET: u32 = 1;
    let header: &[u8; 12] = rest.header()?;
    let len = usize::try_from(u32_le_at(header, 0)).unwrap_or(usize::MAX);
    if len < header.len() {
        return Err(Stop::Skipped(SkipReason::Malformed));
    }
    if u32_le_at(header, 4) != PACKET {
        return Err(Stop::Other);
    }
    rest.skip(len)?;
    Ok(Layer::Link(of_u32(u32_le_at(header, 8))))
}

/// Apple's tools write PKTAP with the number of USER2, which anybody may use for something else.
pub(super) fn user2(rest: &mut Payload<'_>) -> Next {
    const PKTAP_HEADERS: std::ops::RangeInclusive<u32> = 108..=256;
    match rest.bytes.first_chunk::<12>() {
        Some(header) if PKTAP_HEADERS.contains(&u32_le_at(header, 0)) && u32_le_at(header, 4) <= 1 => {
            pktap(rest)
        }
        None if rest.wire_len >= 12 => Err(Stop::Skipped(SkipReason::Truncated)),
        _ => Err(Stop::Unread(Unread::LinkType(LinkType(149)))),
    }
}

/// Per-packet information: version, flags, length of the whole header, link type of the frame.
pub(super) fn ppi(rest: &mut Payload<'_>) -> Next {
    let header: &[u8; 8] = rest.header()?;
    let len = usize::from(u16::from_le_bytes([header[2], header[3]]));
    if len < header.len() {
        return Err(Stop::Skipped(SkipReason::Malformed));
    }
    rest.skip(len)?;
    Ok(Layer::Link(of_u32(u32_le_at(header, 4))))
}

/// Numbers beyond 16 bits are not in the registry.
fn of_u32(number: u32) -> LinkType {
    LinkType(u16::try_from(number).unwrap_or(u16::MAX))
}

/// The packet filter's log of OpenBSD, FreeBSD and macOS: length of the header without its padding, address family.
pub(super) fn pflog(rest: &mut Payload<'_>) -> Next {
    let [len] = *rest.header()?;
    rest.skip(usize::from(len.max(4)).next_multiple_of(4))?;
    Ok(Layer::Ip)
}

/// The destination's hardware address, and with some writers the source's, then an `EtherType` and two zeros (RFC 4391).
pub(super) fn ip_over_infiniband(rest: &mut Payload<'_>) -> Next {
    const ADDRESS: usize = 20;
    let mut after_one = *rest;
    after_one.skip(ADDRESS)?;
    let header: &[u8; 4] = after_one.take()?;
    let is_one = matches!(u16_at(header, 0), 0x0800 | 0x86dd | 0x0806) && header[2..] == [0, 0];
    if is_one {
        *rest = after_one;
        return of_ether_type(u16_at(header, 0));
    }
    rest.skip(2 * ADDRESS)?;
    let header: &[u8; 4] = rest.take()?;
    of_ether_type(u16_at(header, 0))
}

/// PPP after a byte that says which way the packet went. pppd's variant has that byte in the place of the address.
pub(super) fn directed_ppp(rest: &mut Payload<'_>) -> Next {
    const CONTROL: u8 = 0x03;
    rest.skip(1)?;
    if rest.header()? == &[CONTROL] {
        rest.skip(1)?;
    }
    Ok(Layer::Ppp)
}

/// FDDI: frame control, two addresses, then 802.2 in the frames that carry it.
pub(super) fn fddi(rest: &mut Payload<'_>) -> Next {
    let [control, ..] = *rest.take::<13>()?;
    if control & 0xf0 == 0x50 { Ok(Layer::Llc) } else { Err(Stop::Other) }
}

/// Token ring (IEEE 802.5): access control, frame control, two addresses, a route if the source address says so.
pub(super) fn token_ring(rest: &mut Payload<'_>) -> Next {
    let header: &[u8; 14] = rest.take()?;
    if header[1] & 0xc0 != 0x40 {
        return Err(Stop::Other);
    }
    if header[8] & 0x80 != 0 {
        let [control] = *rest.header()?;
        rest.skip(usize::from(control & 0x1f))?;
    }
    Ok(Layer::Llc)
}

/// Prism and AVS headers before 802.11: two numbers, the second of which is the length of the whole header. Prism's
/// drivers wrote it in their own byte order.
pub(super) fn wlan_metadata(rest: &mut Payload<'_>) -> Next {
    let header: &[u8; 8] = rest.header()?;
    let [big, little] = [u32::from_be_bytes, u32::from_le_bytes]
        .map(|number| number([header[4], header[5], header[6], header[7]]));
    let len = usize::try_from(big.min(little)).unwrap_or(usize::MAX);
    if len < header.len() {
        return Err(Stop::Skipped(SkipReason::Malformed));
    }
    rest.skip(len)?;
    Ok(Layer::Wlan)
}

/// Ethernet addresses, a switch's tag of 4 bytes, then an `EtherType`.
pub(super) fn switch_tag(rest: &mut Payload<'_>) -> Next {
    rest.skip(12 + 4)?;
    let ether_type: &[u8; 2] = rest.take()?;
    of_type_or_length(u16_at(ether_type, 0), rest)
}

/// An Ethernet frame with its preamble (IEEE 802.3br, figure 99-4). The last byte of the preamble says whether the frame
/// is whole.
pub(super) fn mpacket(rest: &mut Payload<'_>) -> Next {
    const WHOLE: u8 = 0xd5;
    let [.., delimiter] = *rest.take::<8>()?;
    if delimiter == WHOLE { Ok(Layer::Ethernet) } else { Err(Stop::Unread(Unread::LinkType(LinkType(274)))) }
}
