//! The way to the segment: the short one and the long one lead to the same, and tunnels are looked into.

use etherparse::{IpNumber, PacketBuilder, TcpHeader, VlanId};
use proptest::prelude::*;
use sni_probe_datapath::counters::Counter;
use sni_probe_datapath::segment::{Interest, Segment, segment};
use sni_probe_datapath::tunnel::Tunnels;
use sni_probe_datapath::userspace::{Frame, Layer};
use sni_probe_datapath::wire::{IpVersion, Packet, Read, Rejected, Unreadable, ethertype};

const SOURCE: [u8; 4] = [10, 0, 0, 1];
const DESTINATION: [u8; 4] = [10, 0, 0, 2];
const PORTS: u32 = u32::from_be_bytes([0x9c, 0x40, 0x01, 0xbb]);
const PAYLOAD: &[u8] = &[22, 3, 1, 2, 0, 1];

/// Everything is of interest; of a flow, its addresses.
struct All(Tunnels);

impl Interest for All {
    type Flow = Vec<u8>;

    fn wants_ports(&self, _: u32) -> bool {
        true
    }

    fn wants_segment(&self, _: u8, _: usize) -> bool {
        true
    }

    fn flow<R: Read>(
        &self,
        reader: &R,
        version: IpVersion,
        at: usize,
        _: u32,
    ) -> Result<Vec<u8>, Unreadable> {
        Ok(match version {
            IpVersion::V4 => reader.bytes_at::<8>(at + 12)?.to_vec(),
            IpVersion::V6 => reader.bytes_at::<32>(at + 8)?.to_vec(),
        })
    }

    fn tunnels(&self) -> Tunnels {
        self.0
    }
}

type Found = Result<Option<Segment<Vec<u8>>>, Rejected>;

/// A frame of which nothing lies in one piece, as drivers may hand one over: all is read the long way.
struct InPieces<'a>(Frame<'a>);

impl Read for InPieces<'_> {
    fn bytes_at<const N: usize>(&self, offset: usize) -> Result<[u8; N], Unreadable> {
        self.0.bytes_at(offset)
    }

    fn u16_at(&self, offset: usize) -> Result<u16, Unreadable> {
        self.0.u16_at(offset)
    }

    fn u32_at(&self, offset: usize) -> Result<u32, Unreadable> {
        self.0.u32_at(offset)
    }
}

impl<'a> Packet for InPieces<'a> {
    type Head = &'a [u8];

    fn head(&self, _: usize) -> Option<&'a [u8]> {
        None
    }

    fn layer(&self) -> Layer {
        self.0.layer
    }

    fn wire_len(&self) -> usize {
        self.0.wire_len
    }

    fn time_ns(&self) -> u64 {
        self.0.time_ns
    }

    fn ifindex(&self) -> u32 {
        self.0.ifindex
    }

    fn has_tag_apart(&self) -> bool {
        self.0.has_tag_apart
    }
}

/// What is found in a frame, whichever way.
#[track_caller]
fn find(frame: &[u8], tunnels: Tunnels) -> Found {
    find_in(Frame::new(frame, 0), tunnels)
}

#[track_caller]
fn find_in(frame: Frame<'_>, tunnels: Tunnels) -> Found {
    let found = segment(&frame, &All(tunnels));
    assert_eq!(segment(&InPieces(frame), &All(tunnels)), found);
    found
}

fn tcp() -> TcpHeader {
    TcpHeader { ack: true, ..TcpHeader::new(40_000, 443, 7, 1_000) }
}

/// A segment in an IPv4 packet, with an Ethernet header in front.
fn ipv4() -> Vec<u8> {
    let mut frame = Vec::new();
    let step = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(SOURCE, DESTINATION, 64);
    step.tcp_header(tcp()).write(&mut frame, PAYLOAD).expect("a vector takes all");
    frame
}

fn ipv6() -> Vec<u8> {
    let mut frame = Vec::new();
    let step = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv6([1; 16], [2; 16], 64);
    step.tcp_header(tcp()).write(&mut frame, PAYLOAD).expect("a vector takes all");
    frame
}

fn tagged() -> Vec<u8> {
    let mut frame = Vec::new();
    let tag = VlanId::try_new(9).expect("a valid id");
    let step = PacketBuilder::ethernet2([2; 6], [4; 6]).single_vlan(tag).ipv4(SOURCE, DESTINATION, 64);
    step.tcp_header(tcp()).write(&mut frame, PAYLOAD).expect("a vector takes all");
    frame
}

/// `frame` with these VLAN tags, the outermost first.
fn with_tags(frame: &[u8], tags: &[u16]) -> Vec<u8> {
    let bytes = tags.iter().flat_map(|tag| [tag.to_be_bytes(), [0, 7]]).flatten();
    let mut frame = frame.to_vec();
    frame.splice(12..12, bytes);
    frame
}

/// What a node sends to another: `carried` behind UDP to `port`.
fn in_udp(port: u16, carried: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let step = PacketBuilder::ethernet2([6; 6], [8; 6]).ipv4([192, 168, 0, 1], [192, 168, 0, 2], 64);
    step.udp(50_000, port).write(&mut frame, carried).expect("a vector takes all");
    frame
}

fn vxlan(port: u16, inner: &[u8]) -> Vec<u8> {
    // Flags ("the identifier is valid"), identifier (RFC 7348, section 5).
    in_udp(port, &[&[8, 0, 0, 0, 0, 0, 7, 0], inner].concat())
}

fn geneve(protocol: u16, options: &[u8], inner: &[u8]) -> Vec<u8> {
    let [high, low] = protocol.to_be_bytes();
    let length = u8::try_from(options.len() / 4).expect("few options");
    in_udp(6081, &[&[length, 0, high, low, 0, 0, 7, 0], options, inner].concat())
}

/// `carried`, an IP packet, behind another IP header.
fn in_ip(protocol: u8, is_v6: bool, carried: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let ethernet = PacketBuilder::ethernet2([6; 6], [8; 6]);
    let step = if is_v6 { ethernet.ipv6([3; 16], [4; 16], 9) } else { ethernet.ipv4([1; 4], [3; 4], 9) };
    step.write(&mut frame, IpNumber(protocol), carried).expect("a vector takes all");
    frame
}

/// What is found is the segment of `inner`, an Ethernet frame, which `frame` ends with.
#[track_caller]
fn assert_finds(frame: &[u8], inner: &[u8], tunnels: Tunnels) {
    let found = find(frame, tunnels).expect("it is TCP").expect("it is of interest");
    let alone = find(inner, Tunnels::NONE).expect("it is TCP").expect("it is of interest");
    let before = frame.len() - inner.len();
    assert_eq!(found.payload_offset, alone.payload_offset + before);
    assert_eq!(&frame[found.payload_offset..], PAYLOAD);
    assert_eq!((found.ports, found.payload_len), (PORTS, PAYLOAD.len()));
    assert_eq!((found.seq, found.flow), (alone.seq, alone.flow));
}

const TOO_MANY_TAGS: Found = Err(Rejected::Skipped(Counter::SkippedVlanTags));
const ALL: Tunnels = Tunnels::VXLAN.and(Tunnels::GENEVE).and(Tunnels::IPIP);

#[test]
fn tags_of_every_kind_are_read() {
    for inner in [ipv4(), ipv6()] {
        for outer in ethertype::VLAN_TAGS {
            let frame = with_tags(&inner, &[outer]);
            assert_finds(&frame, &inner, Tunnels::NONE);
            for second in ethertype::VLAN_TAGS {
                assert_finds(&with_tags(&inner, &[outer, second]), &inner, Tunnels::NONE);
                let three = with_tags(&inner, &[outer, second, 0x8100]);
                assert_eq!(find(&three, Tunnels::NONE), TOO_MANY_TAGS);
            }
        }
        assert_eq!(find(&with_tags(&inner, &[0x9300]), Tunnels::NONE), Err(Rejected::NotTcp));
    }
}

/// A received frame has one tag less among its bytes than the same frame when it is sent.
#[test]
fn a_tag_that_the_kernel_keeps_apart_counts() {
    for inner in [ipv4(), ipv6()] {
        for (tags, expected) in [(&[][..], true), (&[0x8100], true), (&[0x9100, 0x8100], false)] {
            let frame = with_tags(&inner, tags);
            let received = Frame { has_tag_apart: true, ..Frame::new(&frame, 0) };
            match find_in(received, Tunnels::NONE) {
                Ok(Some(found)) => assert!(expected && found.payload_len == PAYLOAD.len(), "{tags:?}"),
                other => assert!(!expected && other == TOO_MANY_TAGS, "{tags:?}: {other:?}"),
            }
        }
        // Inside of a tunnel there are other tags.
        let tunnel = vxlan(4789, &with_tags(&inner, &[0x88a8, 0x8100]));
        let received = Frame { has_tag_apart: true, ..Frame::new(&tunnel, 0) };
        assert!(find_in(received, ALL).unwrap().is_some());
    }
}

#[test]
fn in_vxlan() {
    for inner in [ipv4(), ipv6(), tagged()] {
        for port in [4789, 8472] {
            assert_finds(&vxlan(port, &inner), &inner, Tunnels::VXLAN);
            assert_finds(&vxlan(port, &inner), &inner, ALL);
        }
        assert_eq!(find(&vxlan(4790, &inner), ALL), Err(Rejected::NotTcp));
    }
}

#[test]
fn in_geneve() {
    for inner in [ipv4(), ipv6()] {
        for options in [&[][..], &[0, 1, 2, 1, 9, 9, 9, 9]] {
            assert_finds(&geneve(0x6558, options, &inner), &inner, Tunnels::GENEVE);
        }
    }
    // IP at once, without an Ethernet header.
    for (protocol, inner) in [(0x0800, ipv4()), (0x86dd, ipv6())] {
        let frame = geneve(protocol, &[], &inner[14..]);
        let found = find(&frame, Tunnels::GENEVE).unwrap().unwrap();
        assert_eq!(&frame[found.payload_offset..], PAYLOAD);
    }
    assert_eq!(find(&geneve(0x8847, &[], &ipv4()), ALL), Err(Rejected::NotTcp));
}

#[test]
fn in_ip_headers() {
    for is_v6 in [false, true] {
        for (protocol, inner) in [(4, ipv4()), (41, ipv6())] {
            let frame = in_ip(protocol, is_v6, &inner[14..]);
            let found = find(&frame, Tunnels::IPIP).unwrap().unwrap();
            assert_eq!((found.ports, &frame[found.payload_offset..]), (PORTS, PAYLOAD));
        }
    }
}

#[test]
fn a_tunnel_that_is_not_looked_into_is_none_of_our_business() {
    let frames = [
        (vxlan(4789, &ipv4()), Tunnels::VXLAN),
        (geneve(0x6558, &[], &ipv4()), Tunnels::GENEVE),
        (in_ip(4, false, &ipv4()[14..]), Tunnels::IPIP),
    ];
    for (frame, its) in &frames {
        assert_eq!(find(frame, Tunnels::NONE), Err(Rejected::NotTcp));
        for tunnels in [Tunnels::VXLAN, Tunnels::GENEVE, Tunnels::IPIP] {
            assert_eq!(find(frame, tunnels).is_ok(), tunnels == *its, "{tunnels:?}");
        }
    }
}

#[test]
fn outside_of_tunnels_all_is_as_it_was() {
    for frame in [ipv4(), ipv6(), tagged()] {
        assert_eq!(find(&frame, ALL), find(&frame, Tunnels::NONE));
        assert!(find(&frame, ALL).unwrap().is_some());
    }
}

#[test]
fn a_tunnel_in_a_tunnel_is_not_followed() {
    assert_eq!(find(&vxlan(4789, &vxlan(4789, &ipv4())), ALL), Err(Rejected::NotTcp));
}

#[test]
fn fragments_of_a_tunnel_are_counted() {
    const FRAGMENT: Found = Err(Rejected::Skipped(Counter::SkippedFragment));
    let mut frame = vxlan(4789, &ipv4());
    // "More fragments".
    frame[20] = 0x20;
    assert_eq!(find(&frame, ALL), FRAGMENT);
    let mut frame = in_ip(4, false, &ipv4()[14..]);
    frame[20] = 0x20;
    assert_eq!(find(&frame, ALL), FRAGMENT);
    // What is inside was cut into fragments before it was wrapped.
    let mut inner = ipv4();
    inner[20] = 0x20;
    assert_eq!(find(&vxlan(4789, &inner), ALL), FRAGMENT);
    // UDP that is not a tunnel's.
    let mut frame = in_udp(53, &ipv4());
    frame[20] = 0x20;
    assert_eq!(find(&frame, ALL), Err(Rejected::NotTcp));
}

proptest! {
    #[test]
    fn both_ways_lead_to_the_same(
        shape in 0_usize..9,
        has_tag_apart in any::<bool>(),
        spoiled in prop::collection::vec((0_usize..120, any::<u8>()), 0..3),
        length in 0_usize..200,
        tunnels in 0_u32..8,
    ) {
        let frames = [
            ipv4(),
            ipv6(),
            tagged(),
            vxlan(4789, &ipv4()),
            geneve(0x6558, &[0, 1, 2, 0], &ipv6()),
            in_ip(4, false, &ipv4()[14..]),
            in_ip(41, true, &ipv6()[14..]),
            with_tags(&ipv6(), &[0x9100]),
            with_tags(&ipv4(), &[0x88a8, 0x9200]),
        ];
        let mut frame = frames[shape].clone();
        for (at, value) in spoiled {
            let at = at % frame.len();
            frame[at] = value;
        }
        frame.resize(length.max(20).min(frame.len() + 30), 0);
        let frame = Frame { has_tag_apart, ..Frame::new(&frame, 0) };
        let _ = find_in(frame, Tunnels::from_bits(tunnels));
    }
}
