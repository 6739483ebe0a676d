//! What an `EtherType` announces. Parsers of all kinds of headers end with one.

use sni_probe_datapath::wire::ethertype;

use super::step::{Layer, Next, Payload, Shim, Stop, u16_at};
use super::unread::Unread;

// `EtherType` numbers besides those of `ethertype`.
const PPP: u16 = 0x880b;
const MPLS: u16 = 0x8847;
const MPLS_MULTICAST: u16 = 0x8848;
const PPPOE_SESSION: u16 = 0x8864;

/// Protocols that carry no IP. An `EtherType` that is neither read nor one of these may carry some, and
/// is counted.
const WITHOUT_IP: [u16; 52] = [
    0x0806, // ARP
    0x0842, // Wake-on-LAN
    0x0bad, // VINES
    0x2000, // CDP
    0x2003, // CGMP
    0x2004, // DTP
    0x22ea, // SRP
    0x22f0, // AVTP
    0x22f4, // IS-IS of TRILL
    0x6002, // DEC MOP
    0x6003, // DECnet
    0x6004, // DEC LAT
    0x8035, // RARP
    0x809b, // AppleTalk
    0x80f3, // AppleTalk ARP
    0x8137, // IPX
    0x8138, // IPX
    0x8808, // Ethernet flow control
    0x8809, // LACP
    0x8819, // CobraNet
    0x8863, // PPPoE discovery
    0x8874, // loop detection of Broadcom
    0x887b, // HomePlug 1.0
    0x888e, // EAPOL
    0x8892, // PROFINET
    0x8899, // loop detection of Realtek
    0x88a2, // ATA over Ethernet
    0x88a4, // EtherCAT
    0x88ab, // Powerlink
    0x88b8, // GOOSE
    0x88b9, // GSE
    0x88ba, // sampled values (IEC 61850)
    0x88bf, // RoMON
    0x88c7, // EAPOL pre-authentication
    0x88ca, // TIPC
    0x88cc, // LLDP
    0x88cd, // SERCOS III
    0x88d9, // LLTD
    0x88e1, // HomePlug AV
    0x88f5, // MVRP
    0x88f6, // MMRP
    0x88f7, // PTP
    0x88f8, // NC-SI
    0x88fb, // PRP
    0x8902, // CFM
    0x8906, // FCoE
    0x890d, // TDLS
    0x8912, // HomePlug AV
    0x8914, // FIP
    0x8915, // RoCE
    0x893a, // IEEE 1905
    0x9000, // configuration testing
];

/// What an `EtherType` announces.
pub(super) fn of_ether_type(ether_type: u16) -> Next {
    match ether_type {
        ethertype::IPV4 => Ok(Layer::Ipv4),
        ethertype::IPV6 => Ok(Layer::Ipv6),
        tag if ethertype::is_vlan_tag(tag) => Ok(Layer::Vlan),
        ethertype::ETHERNET => Ok(Layer::Ethernet),
        MPLS | MPLS_MULTICAST => Ok(Layer::Mpls),
        PPPOE_SESSION => Ok(Layer::Pppoe),
        PPP => Ok(Layer::Ppp),
        other => match shim_of(other) {
            Some(shim) => Ok(Layer::Shim(shim)),
            None if is_without_ip(other) => Err(Stop::Other),
            None => Err(Stop::Unread(Unread::EtherType(other))),
        },
    }
}

/// Whether no IP packet follows: a protocol of its own, or a number too small for an `EtherType`.
fn is_without_ip(ether_type: u16) -> bool {
    ether_type < 0x0600 || WITHOUT_IP.contains(&ether_type)
}

/// Up to 1,500 it is a length, and 802.2 follows (IEEE 802.3, section 3.2.6).
pub(super) fn of_type_or_length(type_or_length: u16, rest: &mut Payload<'_>) -> Next {
    if type_or_length <= 1500 {
        rest.cut(usize::from(type_or_length));
        return Ok(Layer::Llc);
    }
    of_ether_type(type_or_length)
}

/// Two addresses, then a type or a length (IEEE 802.3, section 3.1.1).
pub(super) fn ethernet(rest: &mut Payload<'_>) -> Next {
    let header: &[u8; 14] = rest.take()?;
    of_type_or_length(u16_at(header, 12), rest)
}

/// The header before the packet that an `EtherType` announces.
fn shim_of(ether_type: u16) -> Option<Shim> {
    Some(match ether_type {
        0x88e7 => Shim::BackboneTag,
        0x88e5 => Shim::Macsec,
        0x894f => Shim::Nsh,
        0x22f3 => Shim::Trill,
        0x8903 => Shim::FabricPath,
        // Cisco metadata (version, length, option, security group tag); IEEE 802.1BR; Marvell's switches.
        0x8909 | 0x893f | 0xdada => Shim::Tag(6),
        // VN-Tag, HSR (IEC 62439-3), IEEE 802.1CB.
        0x8926 | 0x892f | 0xf1c1 => Shim::Tag(4),
        // IEEE 802.1Qau.
        0x22e9 => Shim::Tag(2),
        _ => return None,
    })
}
