//! Every encapsulation, built by hand; cut at each byte; and bytes that are nothing.

mod fragments;

use proptest::prelude::*;

use super::step::{Payload, Stop};
use super::walk::Walk;
use super::*;

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const GATEWAY: [u8; 4] = [192, 0, 2, 7];

const TCP: u8 = 6;
const UDP: u8 = 17;

/// A TCP header and four bytes behind it.
fn segment() -> Vec<u8> {
    let mut segment = [40_000_u16.to_be_bytes(), 443_u16.to_be_bytes()].concat();
    segment.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(b"data");
    segment
}

/// Flags and offset are those of a whole datagram; the checksum is left out.
fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let [high, low] = len;
    let header = [0x45, 0, high, low, 0x12, 0x34, 0, 0, 64, protocol, 0, 0];
    [&header[..], &CLIENT, &GATEWAY, payload].concat()
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let header = [0x60, 0, 0, 0, high, low, next, 64];
    [&header[..], &[0xfd; 16], &[0xfe; 16], payload].concat()
}

fn tcp4() -> Vec<u8> {
    ipv4(TCP, &segment())
}

fn tcp6() -> Vec<u8> {
    ipv6(TCP, &segment())
}

fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    // An address that begins like an IPv4 header, to see what guesses.
    [&[0x45, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2][..], &ether_type.to_be_bytes(), payload].concat()
}

fn udp(destination: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).unwrap();
    [&50_000_u16.to_be_bytes()[..], &destination.to_be_bytes(), &len.to_be_bytes(), &[0, 0], payload].concat()
}

/// UDP over IPv4 over Ethernet.
fn datagram(destination: u16, payload: &[&[u8]]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(UDP, &udp(destination, &payload.concat())))
}

/// GRE over IPv4 over Ethernet.
fn gre(payload: &[&[u8]]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(47, &payload.concat()))
}

fn vxlan(frame: &[u8]) -> Vec<u8> {
    [&[0x08, 0, 0, 0, 0, 0, 42, 0][..], frame].concat()
}

/// A data frame of 802.11 to an access point, with LLC, SNAP and IPv4 in it.
fn wlan(control: [u8; 2], more: &[u8]) -> Vec<u8> {
    let snap = [0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00];
    [&control[..], &[0; 22], more, &snap, &tcp4()].concat()
}

struct Sample {
    name: &'static str,
    link: u16,
    frame: Vec<u8>,
    inner: Vec<u8>,
}

/// A frame of each encapsulation, with the packet in it.
fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut add = |name, link, inner: &[u8], frame: Vec<u8>| {
        samples.push(Sample { name, link, frame, inner: inner.to_vec() });
    };
    add_link_types(&mut add);
    add_ppp(&mut add);
    add_tags_and_labels(&mut add);
    add_ip_in_ip(&mut add);
    add_gre(&mut add);
    add_udp_tunnels(&mut add);
    add_capture_headers(&mut add);
    add_shims(&mut add);
    add_more_tunnels(&mut add);
    samples
}

type Add<'a> = &'a mut dyn FnMut(&'static str, u16, &[u8], Vec<u8>);

fn add_link_types(add: Add<'_>) {
    let (v4, v6) = (&tcp4()[..], &tcp6()[..]);
    let eth4 = &ethernet(0x0800, v4)[..];
    add("ethernet, IPv4", 1, v4, eth4.to_vec());
    add("ethernet, IPv6", 1, v6, ethernet(0x86dd, v6));
    for link in [12, 14, 101] {
        add("raw IPv4", link, v4, v4.to_vec());
        add("raw IPv6", link, v6, v6.to_vec());
    }
    add("IPv4", 228, v4, v4.to_vec());
    add("IPv6", 229, v6, v6.to_vec());
    add("cooked", 113, v4, [&[0; 14][..], &[0x08, 0x00], v4].concat());
    add("cooked, IPv6", 113, v6, [&[0; 14][..], &[0x86, 0xdd], v6].concat());
    add("cooked, VLAN", 113, v4, [&[0; 14][..], &[0x81, 0x00, 0, 5, 0x08, 0x00], v4].concat());
    add("cooked 2", 276, v4, [&[0x08, 0x00][..], &[0; 18], v4].concat());
    add("cooked 2, IPv6", 276, v6, [&[0x86, 0xdd][..], &[0; 18], v6].concat());
    add("null, little-endian", 0, v4, [&[2, 0, 0, 0], v4].concat());
    add("null, big-endian", 0, v4, [&[0, 0, 0, 2], v4].concat());
    add("loopback", 108, v4, [&[0, 0, 0, 2], v4].concat());
    for family in [10, 24, 28, 30] {
        add("null, IPv6, little-endian", 0, v6, [&[family, 0, 0, 0], v6].concat());
        add("null, IPv6, big-endian", 0, v6, [&[0, 0, 0, family], v6].concat());
    }

    add("802.11", 105, v4, wlan([0x08, 0x01], &[]));
    add("802.11, QoS", 105, v4, wlan([0x88, 0x02], &[0, 0]));
    add("802.11, QoS, HT control", 105, v4, wlan([0x88, 0x82], &[0; 6]));
    add("802.11, four addresses", 105, v4, wlan([0x08, 0x03], &[0; 6]));
    add("radiotap", 127, v4, [&[0, 0, 12, 0][..], &[9; 8], &wlan([0x08, 0x01], &[])].concat());
}

fn add_ppp(add: Add<'_>) {
    let (v4, v6) = (&tcp4()[..], &tcp6()[..]);
    for link in [9, 50] {
        add("PPP", link, v4, [&[0x00, 0x21], v4].concat());
        add("PPP, IPv6", link, v6, [&[0x00, 0x57], v6].concat());
        add("PPP, protocol compressed", link, v4, [&[0x21], v4].concat());
        add("PPP with address and control", link, v4, [&[0xff, 0x03, 0x00, 0x21], v4].concat());
        add("PPP with address, protocol compressed", link, v6, [&[0xff, 0x03, 0x57], v6].concat());
        add("PPP, MPLS", link, v4, [&[0x02, 0x81, 0, 0, 0x11, 64], v4].concat());
    }
    add("Cisco HDLC", 50, v4, [&[0x0f, 0x00, 0x08, 0x00], v4].concat());
    add("Cisco HDLC", 104, v6, [&[0x8f, 0x00, 0x86, 0xdd], v6].concat());
    let [high, low] = u16::try_from(v4.len() + 2).unwrap().to_be_bytes();
    let pppoe = [&[0x11, 0, 0, 1, high, low, 0x00, 0x21], v4].concat();
    add("PPPoE", 1, v4, ethernet(0x8864, &pppoe));
    add("PPPoE session", 51, v4, pppoe);
}

fn add_tags_and_labels(add: Add<'_>) {
    let (v4, v6) = (&tcp4()[..], &tcp6()[..]);
    let eth4 = &ethernet(0x0800, v4)[..];
    add("VLAN", 1, v4, ethernet(0x8100, &[&[0, 5, 0x08, 0x00], v4].concat()));
    for qinq in [0x88a8, 0x9100, 0x9200, 0x8100] {
        add("QinQ", 1, v6, ethernet(qinq, &[&[0, 5, 0x81, 0x00, 0, 6, 0x86, 0xdd], v6].concat()));
    }
    let snap = [&[0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00], v4].concat();
    let snap_len = u16::try_from(snap.len()).unwrap();
    add("SNAP", 1, v4, ethernet(snap_len, &snap));
    add("SNAP in a VLAN", 1, v4, ethernet(0x8100, &[&[0, 5][..], &snap_len.to_be_bytes(), &snap].concat()));
    add("LLC", 1, v4, ethernet(snap_len - 5, &[&[0x06, 0x06, 0x03], v4].concat()));
    add("cooked, LLC", 113, v4, [&[0; 14][..], &[0, 4], &snap].concat());

    let (label, bottom) = ([0x12, 0x34, 0x50, 64], [0x12, 0x34, 0x51, 64]);
    add("MPLS", 1, v4, ethernet(0x8847, &[&label, &bottom, v4].concat()));
    add("MPLS, IPv6", 1, v6, ethernet(0x8848, &[&bottom, v6].concat()));
    add("MPLS, ethernet", 1, v4, ethernet(0x8847, &[&bottom, eth4].concat()));
    add("MPLS, control word", 1, v4, ethernet(0x8847, &[&bottom, &[0; 4], eth4].concat()));
}

fn add_ip_in_ip(add: Add<'_>) {
    let (v4, v6) = (&tcp4()[..], &tcp6()[..]);
    add("IP in IP", 1, v4, ethernet(0x0800, &ipv4(4, v4)));
    add("6in4", 1, v6, ethernet(0x0800, &ipv4(41, v6)));
    add("4in6", 1, v4, ethernet(0x86dd, &ipv6(4, v4)));
    add("IPv6 in IPv6", 1, v6, ethernet(0x86dd, &ipv6(41, v6)));
    // Next header, length, padding.
    let options = [4, 0, 1, 4, 0, 0, 0, 0];
    add("4in6 behind options", 1, v4, ethernet(0x86dd, &ipv6(60, &[&options, v4].concat())));
    let authentication = [4, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    add("AH tunnel", 1, v4, ethernet(0x0800, &ipv4(51, &[&authentication, v4].concat())));
    add("AH tunnel over IPv6", 1, v4, ethernet(0x86dd, &ipv6(51, &[&authentication, v4].concat())));

    let options = [TCP, 0, 1, 4, 0, 0, 0, 0];
    let behind_options = ipv6(0, &[&options[..], &segment()].concat());
    add("IPv6 options", 1, &behind_options, ethernet(0x86dd, &behind_options));
    let atomic = ipv6(44, &[&[TCP, 0, 0, 0, 0, 0, 0, 9][..], &segment()].concat());
    add("atomic fragment", 1, &atomic, ethernet(0x86dd, &atomic));
}

fn add_gre(add: Add<'_>) {
    let (v4, v6) = (&tcp4()[..], &tcp6()[..]);
    let eth4 = &ethernet(0x0800, v4)[..];
    let [high, low] = u16::try_from(v4.len() + 2).unwrap().to_be_bytes();
    add("GRE", 1, v4, gre(&[&[0, 0, 0x08, 0x00], v4]));
    add("GRE with everything", 1, v6, gre(&[&[0xb0, 0, 0x86, 0xdd], &[9; 12], v6]));
    add("GRE, key", 1, v4, gre(&[&[0x20, 0, 0x08, 0x00], &[9; 4], v4]));
    add("GRE, ethernet", 1, v4, gre(&[&[0, 0, 0x65, 0x58], eth4]));
    add("GRE, MPLS", 1, v4, gre(&[&[0, 0, 0x88, 0x47], &[0x12, 0x34, 0x51, 64], v4]));
    add("ERSPAN I", 1, v4, gre(&[&[0, 0, 0x88, 0xbe], eth4]));
    add("ERSPAN II", 1, v4, gre(&[&[0x10, 0, 0x88, 0xbe], &[9; 4], &[0x10; 8], eth4]));
    add("ERSPAN III", 1, v4, gre(&[&[0x10, 0, 0x22, 0xeb], &[9; 4], &[0x20; 12], eth4]));
    add("ERSPAN III, platform", 1, v4, gre(&[&[0x10, 0, 0x22, 0xeb], &[9; 4], &[0x21; 12], &[7; 8], eth4]));
    add("PPTP", 1, v4, gre(&[&[0x30, 0x01, 0x88, 0x0b, high, low, 0, 1], &[9; 4], &[0x00, 0x21], v4]));
    add("PPTP, ack", 1, v4, gre(&[&[0x30, 0x81, 0x88, 0x0b, high, low, 0, 1], &[9; 8], &[0x00, 0x21], v4]));
}

fn add_udp_tunnels(add: Add<'_>) {
    let (v4, v6) = (&tcp4()[..], &tcp6()[..]);
    let eth4 = &ethernet(0x0800, v4)[..];
    for port in [4789, 8472, 4790] {
        add("VXLAN", 1, v4, datagram(port, &[&vxlan(eth4)]));
        for (protocol, inner, payload) in [(1, v4, v4), (2, v6, v6), (3, v4, eth4)] {
            add("VXLAN-GPE", 1, inner, datagram(port, &[&[0x0c, 0, 0, protocol, 0, 0, 42, 0], payload]));
        }
    }
    add("VXLAN over IPv6", 1, v4, ethernet(0x86dd, &ipv6(UDP, &udp(4789, &vxlan(eth4)))));
    add("Geneve", 1, v4, datagram(6081, &[&[0, 0, 0x65, 0x58, 0, 0, 42, 0], eth4]));
    add("Geneve, options", 1, v6, datagram(6081, &[&[2, 0, 0x86, 0xdd, 0, 0, 42, 0], &[9; 8], v6]));
    let gtp = |flags, optional: &[u8], inner: &[u8]| {
        let [high, low] = u16::try_from(optional.len() + inner.len()).unwrap().to_be_bytes();
        datagram(2152, &[&[flags, 0xff, high, low, 0, 0, 0, 1], optional, inner])
    };
    add("GTP-U", 1, v4, gtp(0x30, &[], v4));
    add("GTP-U, sequence number", 1, v6, gtp(0x32, &[0, 1, 0, 0], v6));
    add("GTP-U, extension", 1, v4, gtp(0x34, &[0, 0, 0, 0x85, 1, 9, 9, 0x85, 2, 9, 9, 9, 9, 9, 9, 0], v4));
    add("GTP-U, ethernet", 1, v4, gtp(0x30, &[], eth4));
    let native = [0x00, 0x20, 0x03, 0x20, 0, 0, 0, 0, 4, 9, 9, 9, 9, 0, 0, 0];
    add("CAPWAP, 802.3", 1, v4, datagram(5247, &[&[0x00, 0x10, 0x02, 0x00, 0, 0, 0, 0], eth4]));
    add("CAPWAP, 802.11", 1, v4, datagram(5247, &[&native, &wlan([0x08, 0x01], &[])]));
    add("CAPWAP, 802.11, swapped", 1, v4, datagram(5247, &[&native, &wlan([0x11, 0x08], &[])]));
    let tagged = ethernet(0x8100, &[&[0, 5, 0x08, 0x00], v4].concat());
    add(
        "tunnel in tunnel",
        1,
        v4,
        datagram(4789, &[&vxlan(&datagram(6081, &[&[0, 0, 0x65, 0x58, 0, 0, 42, 0], &tagged]))]),
    );
}

/// A message of netfilter's log with the packet as its last attribute. `number` is of the capturing machine.
fn nflog(family: u8, packet: &[u8], number: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let attribute = |kind: u16, value: &[u8]| {
        let len = u16::try_from(4 + value.len()).unwrap();
        let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
        [&number(len)[..], &number(kind), value, &padding].concat()
    };
    let header = attribute(1, &[0x08, 0x00, 1, 0]);
    let prefix = attribute(10, b"refused\0\0");
    // Nested, as the connection's state is.
    let connection = attribute(0x8012, &[7; 8]);
    [&[family, 0, 0, 5][..], &header, &prefix, &connection, &attribute(9, packet)].concat()
}

fn pktap(link: u32, frame: &[u8]) -> Vec<u8> {
    [&108_u32.to_le_bytes()[..], &1_u32.to_le_bytes(), &link.to_le_bytes(), &[9; 96], frame].concat()
}

fn ppi(link: u32, frame: &[u8]) -> Vec<u8> {
    [&[0, 0, 20, 0][..], &link.to_le_bytes(), &[9; 12], frame].concat()
}

fn add_capture_headers(add: Add<'_>) {
    let (v4, v6) = (&tcp4()[..], &tcp6()[..]);
    let eth4 = &ethernet(0x0800, v4)[..];
    let snap = [&[0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00], v4].concat();
    for number in [u16::to_le_bytes, u16::to_be_bytes] {
        add("NFLOG", 239, v4, nflog(2, v4, number));
        add("NFLOG, IPv6", 239, v6, nflog(10, v6, number));
        add("NFLOG, bridge", 239, v4, nflog(7, v4, number));
    }
    add("PKTAP", 258, v4, pktap(1, eth4));
    add("PKTAP, raw IP", 258, v4, pktap(12, v4));
    add("PKTAP, null", 258, v6, pktap(0, &[&[30, 0, 0, 0], v6].concat()));
    add("PPI", 192, v4, ppi(1, eth4));
    add("PPI, 802.11", 192, v4, ppi(105, &wlan([0x08, 0x01], &[])));
    add("PPI in PKTAP", 258, v4, pktap(192, &ppi(101, v4)));
    add("enc", 109, v4, [&[2, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0], v4].concat());
    add("pflog", 117, v6, [&[61, 24][..], &[9; 62], v6].concat());
    add("IPoIB", 242, v4, [&[0x11; 20][..], &[0x08, 0, 0, 0], v4].concat());
    add("IPoIB, two addresses", 242, v6, [&[0x11; 40][..], &[0x86, 0xdd, 0, 0], v6].concat());
    for link in [166, 204] {
        add("PPP with direction", link, v4, [&[1, 0x00, 0x21], v4].concat());
        add("PPP with direction and address", link, v6, [&[0, 0xff, 0x03, 0x00, 0x57], v6].concat());
    }
    add("PPP with direction for address", 166, v4, [&[1, 0x03, 0x00, 0x21], v4].concat());
    add("Cisco HDLC with direction", 205, v4, [&[1, 0x0f, 0x00, 0x08, 0x00], v4].concat());
    add("FDDI", 10, v4, [&[0x54][..], &[0x22; 12], &snap].concat());
    add("token ring", 6, v4, [&[0x10, 0x40][..], &[0x22; 12], &snap].concat());
    let routed = [&[0x10, 0x40][..], &[0x22; 6], &[0xa2; 6], &[0x06, 0, 1, 2, 3, 4], &snap];
    add("token ring, route", 6, v4, routed.concat());
    let control = wlan([0x08, 0x01], &[]);
    add("prism", 119, v4, [&[0, 0, 0, 0x44, 0, 0, 0, 144][..], &[0; 136], &control].concat());
    add("prism, little-endian", 119, v4, [&[0x44, 0, 0, 0, 144, 0, 0, 0][..], &[0; 136], &control].concat());
    add("AVS", 163, v4, [&[0x80, 0x21, 0x10, 0x01, 0, 0, 0, 64][..], &[0; 56], &control].concat());
    add("IP over Fibre Channel", 122, v4, [&[0x22; 16][..], &snap].concat());
    add("IP over FireWire", 138, v4, [&[0x22; 16][..], &[0x08, 0x00], v4].concat());
    add("MPLS", 219, v4, [&[0x12, 0x34, 0x51, 64], v4].concat());
    add("ipnet", 226, v4, [&[1, 2][..], &[0; 22], v4].concat());
    add("netANALYZER", 240, v4, [&[0; 4], eth4].concat());
    add("netANALYZER, transparent", 241, v4, [&[0; 12], eth4].concat());
    add("EPON", 259, v4, [&[0x55; 8], eth4].concat());
    add("mPacket", 274, v4, [&[0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0xd5], eth4].concat());
    add("Broadcom's tag before", 282, v4, [&[0x20, 0, 0, 1], eth4].concat());
    for link in [281, 284] {
        add("tag of a switch", link, v4, [&[0x22; 12][..], &[0x20, 0, 0, 1, 0x08, 0x00], v4].concat());
    }
    add("Marvell's EtherType", 285, v4, ethernet(0xdada, &[&[0, 0, 0x40, 1, 2, 3, 0x08, 0x00], v4].concat()));
    add("TZSP", 128, v4, [&[1, 0, 0, 1, 1], eth4].concat());
}

fn add_shims(add: Add<'_>) {
    let (v4, v6) = (&tcp4()[..], &tcp6()[..]);
    let eth4 = &ethernet(0x0800, v4)[..];
    let backbone = [&[0, 0, 0, 42], eth4].concat();
    add("802.1ah", 1, v4, ethernet(0x88e7, &backbone));
    add(
        "802.1ah in a backbone VLAN",
        1,
        v4,
        ethernet(0x88a8, &[&[0, 5, 0x88, 0xe7], &backbone[..]].concat()),
    );
    add("MACsec", 1, v6, {
        let secured = [&[0x00, 0, 0, 0, 0, 1, 0x86, 0xdd], v6].concat();
        ethernet(0x88e5, &secured)
    });
    add("MACsec, identifier", 1, v4, {
        let inner = ipv4(4, v4);
        let short_len = u8::try_from(2 + inner.len()).unwrap();
        let secured = [&[0x20, short_len, 0, 0, 0, 1][..], &[9; 8], &[0x08, 0x00], &inner].concat();
        ethernet(0x88e5, &secured)
    });
    for (next, inner, payload) in [(1, v4, v4), (2, v6, v6), (3, v4, eth4)] {
        add("NSH", 1, inner, ethernet(0x894f, &[&[0x0f, 0xc2, 1, next, 0, 0, 1, 255], payload].concat()));
    }
    let metadata =
        [&[0x0f, 0xc6, 1, 4, 0, 0, 1, 255][..], &[9; 16], &[0x0f, 0xc2, 2, 1, 0, 0, 1, 255], v4].concat();
    add("NSH with metadata, twice", 1, v4, ethernet(0x894f, &metadata));
    add("TRILL", 1, v4, ethernet(0x22f3, &[&[0x00, 0x3f, 0, 1, 0, 2], eth4].concat()));
    add("TRILL, options", 1, v4, ethernet(0x22f3, &[&[0x00, 0x7f, 0, 1, 0, 2, 9, 9, 9, 9], eth4].concat()));
    add("FabricPath", 1, v4, ethernet(0x8903, &[&[0x00, 0x60], eth4].concat()));
    add("Cisco metadata", 1, v4, ethernet(0x8909, &[&[1, 1, 0, 1, 0, 42, 0x08, 0x00], v4].concat()));
    let tagged = [&[0, 5, 0x89, 0x09, 1, 1, 0, 1, 0, 42, 0x86, 0xdd], v6].concat();
    add("Cisco metadata in a VLAN", 1, v6, ethernet(0x8100, &tagged));
    for (ether_type, len) in [(0x8926, 4), (0x893f, 6), (0x892f, 4), (0xf1c1, 4), (0x22e9, 2)] {
        add("tag", 1, v4, ethernet(ether_type, &[&vec![9; len][..], &[0x08, 0x00], v4].concat()));
    }
}

fn add_more_tunnels(add: Add<'_>) {
    let (v4, v6) = (&tcp4()[..], &tcp6()[..]);
    let eth4 = &ethernet(0x0800, v4)[..];
    add("TZSP", 1, v4, datagram(37008, &[&[1, 0, 0, 1, 1], eth4]));
    add("TZSP, tags", 1, v4, datagram(37008, &[&[1, 1, 0, 1, 0, 0, 10, 1, 9, 60, 2, 9, 9, 1], eth4]));
    add("TZSP, 802.11", 1, v4, datagram(37008, &[&[1, 0, 0, 18, 1], &wlan([0x08, 0x01], &[])]));
    let avs = [&[0x80, 0x21, 0x10, 0x01, 0, 0, 0, 64][..], &[0; 56], &wlan([0x08, 0x01], &[])].concat();
    add("TZSP, AVS", 1, v4, datagram(37008, &[&[1, 0, 0, 127, 1], &avs]));
    add("MPLS in UDP", 1, v4, datagram(6635, &[&[0x12, 0x34, 0x51, 64], v4]));
    add("LISP", 1, v4, datagram(4341, &[&[0xc8, 1, 2, 3, 0, 0, 0, 1], v4]));
    add("LISP, IPv6", 1, v6, datagram(4341, &[&[0x48, 0, 0, 0, 0, 0, 0, 1], v6]));
    for (protocol, inner, payload) in [(1, v4, v4), (2, v6, v6), (3, v4, eth4)] {
        add("LISP-GPE", 1, inner, datagram(4341, &[&[0x0c, 0, 0, protocol, 0, 0, 42, 0], payload]));
    }
    let nsh = [0x0f, 0xc2, 1, 3, 0, 0, 1, 255];
    add("NSH in VXLAN-GPE", 1, v4, datagram(4790, &[&[0x0c, 0, 0, 4, 0, 0, 42, 0], &nsh, eth4]));
    add("NSH in GRE", 1, v4, gre(&[&[0, 0, 0x89, 0x4f], &nsh, eth4]));
    add("GRE in UDP", 1, v4, datagram(4754, &[&[0, 0, 0x08, 0x00], v4]));
    add("L2TP", 1, v4, datagram(1701, &[&[0x00, 0x02, 0, 1, 0, 2, 0xff, 0x03, 0x00, 0x21], v4]));
    let len = u16::try_from(18 + v6.len()).unwrap().to_be_bytes();
    let everything = [&[0x4a, 0x02][..], &len, &[0, 1, 0, 2, 0, 3, 0, 4, 0, 2, 9, 9, 0x00, 0x57]].concat();
    add("L2TP with everything", 1, v6, datagram(1701, &[&everything, v6]));
    add("MPLS in IP", 1, v4, ethernet(0x0800, &ipv4(137, &[&[0x12, 0x34, 0x51, 64], v4].concat())));
    add("Ethernet in IP", 1, v4, ethernet(0x0800, &ipv4(97, &[&[0x30, 0], eth4].concat())));
    add("Ethernet, SRv6", 1, v4, ethernet(0x86dd, &ipv6(143, eth4)));
}

fn frame(bytes: &[u8]) -> FrameBytes<'_> {
    FrameBytes { bytes, wire_len: bytes.len(), number: 1, time_ns: 0 }
}

fn ip(packet: Unwrapped<'_>) -> IpPacket<'_> {
    let Unwrapped::Ip(packet) = packet else { panic!("{packet:?}") };
    packet
}

#[test]
fn every_encapsulation() {
    let mut unwrapper = Unwrapper::new();
    for Sample { name, link, frame: bytes, inner } in samples() {
        let packet = unwrapper.unwrap(LinkType(link), &frame(&bytes));
        assert_eq!(
            packet,
            Unwrapped::Ip(IpPacket { bytes: &inner, wire_len: inner.len() }),
            "{name}, link {link}"
        );
    }
}

#[test]
fn padding_ends_where_the_headers_around_the_packet_say() {
    let mut unwrapper = Unwrapper::new();
    let padded = [&ethernet(0x0800, &ipv4(4, &tcp4()))[..], &[0; 6]].concat();
    assert_eq!(ip(unwrapper.unwrap(LinkType::ETHERNET, &frame(&padded))).bytes, tcp4());
    // Nothing around it says so here: its own header does.
    let padded = [&ethernet(0x0800, &tcp4())[..], &[0; 6]].concat();
    let packet = ip(unwrapper.unwrap(LinkType::ETHERNET, &frame(&padded)));
    assert_eq!(packet.bytes.strip_prefix(&tcp4()[..]), Some(&[0; 6][..]));
}

/// MACsec's short length leaves out what follows: the integrity check value.
#[test]
fn the_integrity_check_of_macsec_is_not_the_packets() {
    let inner = ipv4(4, &tcp4());
    let short_len = u8::try_from(2 + inner.len()).unwrap();
    let secured = [&[0x00, short_len, 0, 0, 0, 1, 0x08, 0x00][..], &inner, &[0xcc; 16]].concat();
    let frame_bytes = ethernet(0x88e5, &secured);
    assert_eq!(ip(Unwrapper::new().unwrap(LinkType::ETHERNET, &frame(&frame_bytes))).bytes, tcp4());
}

#[test]
fn a_length_of_zero_is_to_the_end() {
    let mut outer = ipv4(4, &tcp4());
    outer[2..4].fill(0);
    let mut unwrapper = Unwrapper::new();
    assert_eq!(ip(unwrapper.unwrap(LinkType(101), &frame(&outer))).bytes, tcp4());
    let mut outer = ipv6(4, &tcp4());
    outer[4..6].fill(0);
    assert_eq!(ip(unwrapper.unwrap(LinkType(101), &frame(&outer))).bytes, tcp4());
}

/// The bytes that a snap length leaves: what is found is the same, or it is told that it was cut.
#[test]
fn cut_by_the_snap_length_anywhere() {
    let mut unwrapper = Unwrapper::new();
    for Sample { name, link, frame: whole, inner } in samples() {
        for len in 0..whole.len() {
            let cut = FrameBytes { bytes: &whole[..len], wire_len: whole.len(), number: 1, time_ns: 0 };
            match unwrapper.unwrap(LinkType(link), &cut) {
                Unwrapped::Ip(packet) => {
                    assert_eq!(packet.bytes, &inner[..packet.bytes.len()], "{name}, {len} bytes");
                    assert_eq!(packet.wire_len, inner.len(), "{name}, {len} bytes");
                }
                other => assert_eq!(other, Unwrapped::Skipped(SkipReason::Truncated), "{name}, {len} bytes"),
            }
        }
    }
}

/// Frames that were too short on the wire: nothing is taken for the packet that was in them.
#[test]
fn short_frames() {
    let mut unwrapper = Unwrapper::new();
    for Sample { name, link, frame: whole, inner } in samples() {
        for len in 0..whole.len() {
            match unwrapper.unwrap(LinkType(link), &frame(&whole[..len])) {
                Unwrapped::Ip(packet) => assert!(packet.wire_len < inner.len(), "{name}, {len} bytes"),
                Unwrapped::Other | Unwrapped::NotIp | Unwrapped::Skipped(SkipReason::Malformed) => {}
                other => panic!("{name}, {len} bytes: {other:?}"),
            }
        }
    }
}

#[test]
fn none_of_our_business() {
    let arp = ethernet(0x0806, &[0; 28]);
    let icmp = ethernet(0x0800, &ipv4(1, &tcp4()));
    let dns = datagram(53, &[&[0; 12]]);
    let no_vxlan = datagram(4789, &[&[0; 60]]);
    let short_vxlan = datagram(4789, &[&[0x08; 5]]);
    let gtp_echo = datagram(2152, &[&[0x32, 0x01, 0, 4, 0, 0, 0, 0, 0, 1, 0, 0]]);
    let tzsp_keepalive = datagram(37008, &[&[1, 4, 0, 0]]);
    let ike = datagram(4500, &[&[0; 40]]);
    let nat_keepalive = datagram(4500, &[&[0xff]]);
    let nflog_without_payload = [2, 0, 0, 5, 8, 0, 1, 0, 0x08, 0, 1, 0];
    let lldp = ethernet(0x88cc, &[0; 28]);
    let fddi_management = [&[0x41][..], &[0; 40]].concat();
    let mpls_oam = ethernet(0x8847, &[0, 0, 0xd1, 1, 0x10, 0, 0, 7, 0, 0]);
    let lcp = [0xff, 0x03, 0xc0, 0x21, 1, 1, 0, 4];
    let pppoe_discovery = ethernet(0x8864, &[0x11, 0x09, 0, 0, 0, 0]);
    let spanning_tree = ethernet(38, &[0x42; 38]);
    let mut unwrapper = Unwrapper::new();
    for (link, bytes) in [
        (1, &arp[..]),
        (1, &icmp),
        (1, &dns),
        (1, &no_vxlan),
        (1, &short_vxlan),
        (1, &gtp_echo),
        (1, &tzsp_keepalive),
        (1, &ike),
        (1, &nat_keepalive),
        (239, &nflog_without_payload),
        (1, &lldp),
        (10, &fddi_management),
        (1, &mpls_oam),
        (9, &lcp),
        (1, &pppoe_discovery),
        (1, &spanning_tree),
    ] {
        let seen = unwrapper.unwrap(LinkType(link), &frame(bytes));
        assert!(matches!(seen, Unwrapped::Other | Unwrapped::NotIp), "{bytes:02x?}");
    }
    assert!(SkipReason::ALL.iter().all(|&reason| unwrapper.skipped(reason) == 0));
}

/// A frame without an IP packet is no sign that the capture can be read.
#[test]
fn frames_without_ip() {
    let mut unwrapper = Unwrapper::new();
    let mut see = |link, bytes: &[u8]| unwrapper.unwrap(LinkType(link), &frame(bytes)) == Unwrapped::NotIp;
    assert!(see(1, &ethernet(0x0806, &[0; 28])));
    assert!(see(10, &[0; 60]));
    assert!(!see(1, &datagram(53, &[&[0; 12]])));
    assert!(!see(1, &ethernet(0x0800, &ipv4(1, &tcp4()))));
}

/// Each reason that a single frame can have is told, and counted.
#[test]
fn passed_over() {
    let tags = |n: usize| {
        ethernet(0x8100, &[&[0, 5, 0x81, 0x00].repeat(n - 1)[..], &[0, 5, 8, 0], &tcp4()].concat())
    };
    let options = |n: usize| {
        let mut chain = [60, 0, 1, 4, 0, 0, 0, 0].repeat(n);
        chain[8 * (n - 1)] = TCP;
        ipv6(60, &[&chain[..], &segment()].concat())
    };
    let authenticated = [&[TCP, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1][..], &segment()].concat();
    let capwap_fragment = datagram(5247, &[&[0x00, 0x10, 0x02, 0x80, 0, 0, 0, 0], &[0; 40]]);
    let compressed = [&[0x00, 0x2d][..], &[0; 20]].concat();
    let mut unwrapper = Unwrapper::new();
    for (link, bytes, reason) in [
        (147, tcp4(), Some(SkipReason::UnknownLinkType)),
        (1, tags(MAX_LAYERS - 2), None),
        (1, tags(MAX_LAYERS - 1), Some(SkipReason::TooDeep)),
        (1, ethernet(0x0800, &tcp6()), Some(SkipReason::Malformed)),
        (1, ethernet(0x86dd, &tcp4()), Some(SkipReason::Malformed)),
        (101, vec![0x00; 40], Some(SkipReason::Malformed)),
        (101, vec![], Some(SkipReason::Malformed)),
        (229, options(MAX_EXTENSION_HEADERS), None),
        (229, options(MAX_EXTENSION_HEADERS + 1), Some(SkipReason::Unsupported)),
        (228, ipv4(51, &authenticated), Some(SkipReason::Unsupported)),
        (229, ipv6(51, &authenticated), Some(SkipReason::Unsupported)),
        (1, capwap_fragment, Some(SkipReason::Unsupported)),
        (105, wlan([0x88, 0x01], &[0x80, 0]), Some(SkipReason::Unsupported)),
        (9, compressed, Some(SkipReason::Unsupported)),
    ] {
        let before = reason.map(|reason| unwrapper.skipped(reason));
        match (unwrapper.unwrap(LinkType(link), &frame(&bytes)), reason) {
            (Unwrapped::Ip(_), None) => {}
            (Unwrapped::Skipped(told), Some(reason)) if told == reason => {}
            (Unwrapped::Unread { what, frames: 1 }, Some(reason)) if what.reason() == reason => {}
            unexpected => panic!("{unexpected:?}"),
        }
        assert_eq!(reason.map(|reason| unwrapper.skipped(reason)), before.map(|n| n + 1));
    }
}

/// What is recognised and not read has a name, so that it can be reported.
#[test]
fn unread_frames_are_named() {
    let link_type = |number| Unread::LinkType(LinkType(number));
    let named = Unread::Encapsulation;
    let mut unwrapper = Unwrapper::new();
    for (link, bytes, expected) in [
        (147, tcp4(), link_type(147)),
        (149, tcp4(), link_type(149)),
        (40_000, vec![], link_type(40_000)),
        (258, pktap(189, &[0; 64]), link_type(189)),
        (192, ppi(0x0001_0001, &tcp4()), link_type(u16::MAX)),
        (274, vec![0x55; 64], link_type(274)),
        (1, ethernet(0x88b5, &tcp4()), Unread::EtherType(0x88b5)),
        (1, ethernet(0x8100, &[0, 5, 0x12, 0x34, 0]), Unread::EtherType(0x1234)),
        (1, ethernet(0x88e5, &[0x2c; 80]), named(Encapsulation::EncryptedMacsec)),
        (105, wlan([0x08, 0x41], &[]), named(Encapsulation::EncryptedWlan)),
        (105, wlan([0x88, 0x01], &[0x80, 0]), named(Encapsulation::AggregatedWlan)),
        (101, ipv4(50, &[9; 40]), named(Encapsulation::Esp)),
        (101, ipv6(50, &[9; 40]), named(Encapsulation::Esp)),
        (101, ipv4(108, &[9; 40]), named(Encapsulation::IpComp)),
        (101, ipv4(115, &[9; 40]), named(Encapsulation::L2tpv3)),
        (1, datagram(4500, &[&[9; 40]]), named(Encapsulation::EspInUdp)),
        (1, datagram(51820, &[&[4, 0, 0, 0], &[9; 40]]), named(Encapsulation::WireGuard)),
        (1, datagram(6636, &[&[23, 0xfe, 0xfd], &[9; 40]]), named(Encapsulation::MplsInDtls)),
        (1, datagram(5247, &[&[0x01; 40]]), named(Encapsulation::CapwapDtls)),
        (1, datagram(4341, &[&[0x09; 40]]), named(Encapsulation::EncryptedLisp)),
        (1, datagram(4341, &[&[0x0c, 0, 0, 9], &[0; 40]]), named(Encapsulation::LispPayload)),
        (1, datagram(4790, &[&[0x0c, 0, 0, 9], &[0; 40]]), named(Encapsulation::VxlanPayload)),
        (1, datagram(37008, &[&[1, 0, 0, 9, 1], &[0; 40]]), named(Encapsulation::TzspPayload)),
        (1, datagram(37008, &[&[1, 0, 0, 1], &[0; 400]]), named(Encapsulation::TzspPayload)),
        (1, ethernet(0x894f, &[0x0f, 0xc2, 1, 9, 0, 0, 1, 255]), named(Encapsulation::NshPayload)),
    ] {
        let seen = unwrapper.unwrap(LinkType(link), &frame(&bytes));
        assert_eq!(seen, Unwrapped::Unread { what: expected, frames: 1 }, "link {link}, {expected}");
    }
}

/// Apple's tools gave PKTAP the number of USER2.
#[test]
fn pktap_by_another_number() {
    let file = pktap(1, &ethernet(0x0800, &tcp4()));
    assert_eq!(ip(Unwrapper::new().unwrap(LinkType(149), &frame(&file))).bytes, tcp4());
}

/// Netfilter copies no more of a packet than it was asked to: its snap length is not the capture's.
#[test]
fn nflog_with_a_part_of_the_packet() {
    let message = nflog(2, &tcp4()[..30], u16::to_le_bytes);
    let mut unwrapper = Unwrapper::new();
    let seen = unwrapper.unwrap(LinkType(239), &frame(&message));
    assert_eq!(seen, Unwrapped::Skipped(SkipReason::Truncated));
}

#[test]
fn reasons_are_indices_and_have_different_labels() {
    for (i, &reason) in SkipReason::ALL.iter().enumerate() {
        assert_eq!(reason as usize, i);
        assert!(SkipReason::ALL[..i].iter().all(|other| other.as_str() != reason.as_str()));
    }
}

/// What holds for any frame: the packet is in it, and no longer than it.
fn check(unwrapper: &mut Unwrapper, link: u16, frame: &FrameBytes<'_>) {
    let wire_len = frame.wire_len.max(frame.bytes.len());
    if let Unwrapped::Ip(packet) = unwrapper.unwrap(LinkType(link), frame) {
        assert!(packet.bytes.len() <= packet.wire_len && packet.wire_len <= wire_len);
        assert!(matches!(packet.bytes[0] >> 4, 4 | 6));
        let inside = frame.bytes.as_ptr_range();
        let found = packet.bytes.as_ptr_range();
        assert!(inside.start <= found.start && found.end <= inside.end);
    }
}

fn any_link() -> impl Strategy<Value = u16> {
    let known = samples().into_iter().map(|sample| sample.link).collect::<Vec<_>>();
    prop_oneof![9 => prop::sample::select(known), 1 => any::<u16>()]
}

proptest! {
    #[test]
    fn any_bytes(
        link in any_link(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        cut in 0..100_usize,
    ) {
        let wire_len = bytes.len() + cut;
        check(&mut Unwrapper::new(), link, &FrameBytes { bytes: &bytes, wire_len, number: 1, time_ns: 0 });
    }

    /// Headers that are nearly right get deeper.
    #[test]
    fn samples_with_errors(
        which in any::<prop::sample::Index>(),
        errors in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in 0..100_usize,
    ) {
        let samples = samples();
        let Sample { link, frame, .. } = which.get(&samples);
        let mut bytes = frame.clone();
        for (at, value) in errors {
            *at.get_mut(&mut bytes) = value;
        }
        let wire_len = bytes.len();
        bytes.truncate(wire_len.saturating_sub(cut).max(1));
        check(&mut Unwrapper::new(), *link, &FrameBytes { bytes: &bytes, wire_len, number: 1, time_ns: 0 });
    }

    /// The short way for plain frames finds what the long one finds.
    #[test]
    fn plain_as_walked(
        is_v6 in any::<bool>(),
        at in 12..40_usize,
        value in any::<u8>(),
        len in 0..80_usize,
    ) {
        let mut bytes = if is_v6 { ethernet(0x86dd, &tcp6()) } else { ethernet(0x0800, &tcp4()) };
        bytes[at] = value;
        let bytes = bytes.get(..len).unwrap_or(&bytes);
        let mut walk = Walk { rest: Payload::new(bytes, 80), layers: 0, has_ip: false };
        let stop = walk.frame(LinkType::ETHERNET);
        if let Some(packet) = plain(LinkType::ETHERNET, &FrameBytes { bytes, wire_len: 80, number: 1, time_ns: 0 }) {
            match stop {
                Stop::Tcp => prop_assert_eq!(IpPacket::from(walk.rest), packet),
                // The long one must have the whole header.
                Stop::Skipped(SkipReason::Truncated) => prop_assert!(is_v6 && bytes.len() < 54),
                unexpected => prop_assert!(false, "{:?}", unexpected),
            }
        }
    }
}
