use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use etherparse::{PacketBuilder, TcpHeader};
use sni_probe_core::holding::CONNECTION_OVERHEAD;
use sni_probe_pcap::frame::{IpPacket, LinkType};
use sni_probe_pcap::{Interface, Reader};

use super::queue::OVERHEAD;
use super::*;

const PACKET: usize = 1_500;

fn evidence(directory: &tempfile::TempDir) -> PacketSelection {
    PacketSelection::new(&directory.path().join("out.pcapng"), &[], Duration::from_secs(30)).unwrap()
}

fn flow(client: u32) -> FlowKey {
    let client = SocketAddr::new(Ipv4Addr::from_bits(client).into(), 50_000);
    FlowKey { client, gateway: "192.0.2.1:443".parse().unwrap() }
}

/// A TCP segment between the client of `flow(1)` and its gateway.
fn segment(is_client: bool, (seq, ack): (u32, u32), flags: &str, payload: &[u8]) -> Vec<u8> {
    let FlowKey { client, gateway } = flow(1);
    let (from, to) = if is_client { (client, gateway) } else { (gateway, client) };
    let mut tcp = TcpHeader::new(from.port(), to.port(), seq, 1_000);
    (tcp.syn, tcp.rst, tcp.ack) = (flags.contains('S'), flags.contains('R'), flags.contains('A'));
    tcp.acknowledgment_number = ack;
    let (IpAddr::V4(from), IpAddr::V4(to)) = (from.ip(), to.ip()) else { panic!("IPv4") };
    let mut bytes = Vec::new();
    let step = PacketBuilder::ipv4(from.octets(), to.octets(), 64).tcp_header(tcp);
    step.write(&mut bytes, payload).unwrap();
    bytes
}

/// A port is used again while the first connection is still open: each handshake has its own packets.
#[test]
fn two_connections_of_a_port_are_kept_apart() {
    let first = [
        segment(true, (1_000, 0), "S", b""),
        segment(false, (7_000, 1_001), "SA", b""),
        segment(true, (1_001, 7_001), "A", b"first hello"),
    ];
    // Linux advances the numbers by 15,625 in a millisecond.
    let second = [
        segment(true, (16_625, 0), "S", b""),
        segment(false, (7_001, 1_012), "A", b""),
        segment(true, (1_012, 0), "R", b""),
        segment(true, (16_625, 0), "S", b""),
        segment(false, (90_000, 16_626), "SA", b""),
        segment(true, (16_626, 90_001), "A", b"second hello"),
        segment(false, (90_001, 16_638), "RA", b""),
    ];
    let is_of_first = |packet: &Vec<u8>| *packet == second[1] || *packet == second[2];
    for selected in [[true, false], [false, true], [true, true]] {
        let directory = tempfile::tempdir().unwrap();
        let mut evidence = evidence(&directory);
        let mut number = 0;
        let mut take = |evidence: &mut PacketSelection, packet: &[u8]| {
            number += 1;
            take_bytes(evidence, number, number, packet, None);
        };
        for packet in first.iter().chain(&second[..5]) {
            take(&mut evidence, packet);
        }
        // The tracker says so when the second hello comes.
        evidence.settle(&flow(1), selected[0]).unwrap();
        for packet in &second[5..] {
            take(&mut evidence, packet);
        }
        evidence.settle(&flow(1), selected[1]).unwrap();
        assert_eq!(evidence.bytes(), 0);
        assert_eq!(evidence.finish().unwrap().incomplete, 0);
        let of_first = first.iter().chain(second.iter().filter(|packet| is_of_first(packet)));
        let of_second = second.iter().filter(|packet| !is_of_first(packet));
        let expected = of_first.filter(|_| selected[0]).chain(of_second.filter(|_| selected[1])).count();
        assert_eq!(written(&directory), expected, "{selected:?}");
    }
}

/// SYNs with many numbers do not open as many connections.
#[test]
fn many_connections_of_a_port() {
    let directory = tempfile::tempdir().unwrap();
    let mut evidence = evidence(&directory);
    for number in 0..100 {
        let syn = segment(true, (u32::try_from(number).unwrap() * 1_000, 0), "S", b"");
        take_bytes(&mut evidence, number, number, &syn, None);
    }
    let hello = segment(true, (3_001, 7), "A", b"hello");
    take_bytes(&mut evidence, 100, 100, &hello, None);
    // None of those before had a hello.
    evidence.settle(&flow(1), true).unwrap();
    assert_eq!(evidence.held.connections(), 0);
    evidence.finish().unwrap();
    assert_eq!(written(&directory), 101);
}

/// How many packets are in the file.
fn written(directory: &tempfile::TempDir) -> usize {
    let mut reader = Reader::open(&directory.path().join("out.pcapng")).unwrap();
    let mut packets = 0;
    while reader.next_record().unwrap().is_some() {
        packets += 1;
    }
    packets
}

/// The client's first data on the connection `flow(client)`; no SYN was seen.
fn client_data(client: u32, time_ns: u64) -> EventHeader {
    let address = |bits| Ipv4Addr::from_bits(bits).to_ipv6_mapped().octets();
    let header = EventHeader {
        time_ns,
        client_addr: address(client),
        gateway_addr: address(0xc000_0201),
        client_port: 50_000,
        gateway_port: 443,
        ifindex: 0,
        isn: 0,
        seq: 1,
        ack: 0,
        payload_len: 0,
        data_len: 0,
        kind: kind::CLIENT_DATA,
        tcp_flags: 0,
        flags: 0,
        padding: 0,
    };
    assert_eq!(FlowKey::of(&header), flow(client));
    header
}

/// Takes a packet of the connection `flow(client)`, as if the datapath had made an event of it.
fn take(evidence: &mut PacketSelection, number: u64, time_ns: u64, client: u32) {
    take_bytes(evidence, number, time_ns, &[0; PACKET], Some(&client_data(client, time_ns)));
}

fn take_bytes(
    evidence: &mut PacketSelection,
    number: u64,
    time_ns: u64,
    bytes: &[u8],
    event: Option<&EventHeader>,
) {
    take_at(evidence, Timestamp(time_ns), number, time_ns, bytes, event);
}

/// Takes a packet `now` that has another stamp.
fn take_at(
    evidence: &mut PacketSelection,
    now: Timestamp,
    number: u64,
    time_ns: u64,
    bytes: &[u8],
    event: Option<&EventHeader>,
) {
    let interface = Interface::new(LinkType::ETHERNET.0, 0, None);
    let record = Record {
        number,
        time_ns,
        interface: 0,
        description: &interface,
        link_type: interface.link_type,
        wire_len: bytes.len(),
        bytes,
    };
    let packet = IpPacket { bytes, wire_len: bytes.len() };
    evidence.take(number, now, &record, &Unwrapped::Ip(packet), event).unwrap();
}

#[test]
fn connections_that_never_end_do_not_fill_the_memory() {
    let directory = tempfile::tempdir().unwrap();
    let mut evidence = evidence(&directory);
    let packets = 3 * MAX_HELD_BYTES / PACKET;
    for number in 0..packets {
        take(&mut evidence, number as u64, 0, u32::try_from(number).unwrap());
        assert!(evidence.bytes() <= MAX_HELD_BYTES);
    }
    assert!(evidence.counts.given_up > 0);
    assert_eq!(evidence.queue.len() + usize::try_from(evidence.counts.given_up).unwrap(), packets);
    assert_eq!(evidence.held.connections(), evidence.queue.len());
    // One that is there no more is told as such, one that is there is written.
    evidence.settle(&flow(0), true).unwrap();
    evidence.settle(&flow(u32::try_from(packets).unwrap() - 1), true).unwrap();
    let PacketSelectionCounts { incomplete, .. } = evidence.finish().unwrap();
    assert_eq!(incomplete, 1);
    let written = fs::metadata(directory.path().join("out.pcapng")).unwrap().len();
    assert!((1_500..2_000).contains(&written), "{written}");
}

#[test]
fn one_connection_does_not_take_all() {
    let directory = tempfile::tempdir().unwrap();
    let mut evidence = evidence(&directory);
    for number in 0..1_000 {
        take(&mut evidence, number, 0, 1);
    }
    assert!(evidence.bytes() <= MAX_FLOW_BYTES);
    evidence.settle(&flow(1), true).unwrap();
    assert_eq!(evidence.finish().unwrap().incomplete, 1);
}

#[test]
fn an_upload_leaves_room_for_the_answer() {
    let directory = tempfile::tempdir().unwrap();
    let mut evidence = evidence(&directory);
    take_bytes(&mut evidence, 0, 0, &segment(true, (1_000, 0), "S", b""), None);
    for number in 0..200 {
        let data = segment(true, (1_001 + 1_000 * number, 7_001), "A", &[7; 1_000]);
        take_bytes(&mut evidence, 1, 1, &data, None);
    }
    let held = evidence.queue.len();
    assert!((100..200).contains(&held), "{held}");
    take_bytes(&mut evidence, 2, 2, &segment(false, (7_001, 201_001), "RA", b""), None);
    evidence.settle(&flow(1), true).unwrap();
    assert_eq!(evidence.finish().unwrap().incomplete, 1);
    assert_eq!(written(&directory), held + 1);
}

/// The gateway's FIN after the outcome, and the next connection with the same port.
#[test]
fn the_end_of_a_connection_is_not_written_with_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut evidence = evidence(&directory);
    take_bytes(&mut evidence, 1, 1, &segment(true, (1_000, 0), "S", b""), None);
    take_bytes(&mut evidence, 2, 2, &segment(true, (1_001, 7_001), "A", b"hello"), None);
    evidence.settle(&flow(1), false).unwrap();
    let close = EventHeader { kind: kind::GATEWAY_CLOSE, ..client_data(1, 3) };
    take_bytes(&mut evidence, 3, 3, &segment(false, (7_001, 1_006), "RA", b""), Some(&close));
    take_bytes(&mut evidence, 4, 4, &segment(true, (16_625, 0), "S", b""), None);
    take_bytes(&mut evidence, 5, 5, &segment(true, (16_626, 90_001), "A", b"hello"), None);
    evidence.settle(&flow(1), true).unwrap();
    evidence.finish().unwrap();
    assert_eq!(written(&directory), 2);
}

/// One wrong stamp, or the first packet after the time went back.
#[test]
fn a_stamp_from_the_past_does_not_expire_a_packet() {
    let directory = tempfile::tempdir().unwrap();
    let mut evidence = evidence(&directory);
    let now = Timestamp(1_000_000_000_000);
    take_at(&mut evidence, now, 1, 0, &segment(true, (1_000, 0), "S", b""), None);
    take_at(&mut evidence, now, 2, now.0, &segment(true, (1_001, 0), "A", b"hello"), None);
    evidence.settle(&flow(1), true).unwrap();
    assert_eq!(evidence.finish().unwrap().incomplete, 0);
    assert_eq!(written(&directory), 2);
}

/// What is selected waits for an older connection, but not for longer than that can last.
#[test]
fn an_open_connection_holds_up_others_for_its_time_only() {
    let directory = tempfile::tempdir().unwrap();
    let mut evidence = evidence(&directory);
    take(&mut evidence, 1, 0, 1);
    take(&mut evidence, 2, 1, 2);
    evidence.settle(&flow(2), true).unwrap();
    assert_eq!(evidence.queue.len(), 2);
    take(&mut evidence, 3, 61_000_000_000, 3);
    assert_eq!(evidence.queue.len(), 1);
    assert_eq!(evidence.bytes(), PACKET + OVERHEAD + CONNECTION_OVERHEAD);
}
