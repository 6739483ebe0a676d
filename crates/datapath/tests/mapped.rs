//! IPv6 packets with IPv4-mapped addresses, which events would show as packets of IPv4.

use etherparse::{PacketBuilder, TcpHeader};
use sni_probe_datapath::counters::Counter;
use sni_probe_datapath::event::{EventHeader, kind, tcp_flags};
use sni_probe_datapath::tunnel::Tunnels;
use sni_probe_datapath::userspace::{Datapath, Frame};
use sni_probe_testkit::hello::HELLO_START as HELLO;

const GATEWAY_PORT: u16 = 443;
const CLIENT_PORT: u16 = 40_000;

/// `::ffff:10.0.0.last`.
const fn mapped(last: u8) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last]
}

struct Probe {
    datapath: Datapath,
    events: Vec<EventHeader>,
}

impl Probe {
    fn new() -> Self {
        let datapath = Datapath::new([GATEWAY_PORT], 42).with_tunnels(Tunnels::VXLAN);
        Self { datapath, events: Vec::new() }
    }

    fn client(&mut self, frame: &[u8]) {
        self.datapath.client_to_gateway(&Frame::new(frame, 0), |event| self.events.push(event.header));
    }

    fn gateway(&mut self, frame: &[u8]) {
        self.datapath.gateway_to_client(&Frame::new(frame, 0), |event| self.events.push(event.header));
    }

    fn skipped(&self) -> u64 {
        self.datapath.counter(Counter::SkippedMappedAddress)
    }
}

fn tcp(source: u16, destination: u16, seq: u32, flags: u8) -> TcpHeader {
    TcpHeader {
        syn: flags & tcp_flags::SYN != 0,
        rst: flags & tcp_flags::RST != 0,
        ack: flags & tcp_flags::ACK != 0,
        acknowledgment_number: 5_001,
        ..TcpHeader::new(source, destination, seq, 1_000)
    }
}

fn ipv6(source: [u8; 16], destination: [u8; 16], header: TcpHeader, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let step = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv6(source, destination, 64);
    step.tcp_header(header).write(&mut frame, payload).expect("a vector takes all");
    frame
}

fn ipv4(source: u8, destination: u8, header: TcpHeader, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let step = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, source], [10, 0, 0, destination], 64);
    step.tcp_header(header).write(&mut frame, payload).expect("a vector takes all");
    frame
}

fn hello(source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
    ipv6(source, destination, tcp(CLIENT_PORT, GATEWAY_PORT, 1_001, tcp_flags::ACK), HELLO)
}

#[test]
fn skipped_and_counted() {
    let others = [[1; 16], [2; 16]];
    for (source, destination) in [(mapped(1), mapped(2)), (mapped(1), others[1]), (others[0], mapped(2))] {
        let plain = hello(source, destination);
        let tagged = [&plain[..12], &[0x81, 0, 0, 7], &plain[12..]].concat();
        let mut in_vxlan = Vec::new();
        let carried = [&[8, 0, 0, 0, 0, 0, 7, 0], &plain[..]].concat();
        let outer = PacketBuilder::ethernet2([6; 6], [8; 6]).ipv6([3; 16], [4; 16], 64);
        outer.udp(50_000, 4789).write(&mut in_vxlan, &carried).expect("a vector takes all");
        for frame in [plain, tagged, in_vxlan] {
            let mut probe = Probe::new();
            probe.client(&frame);
            assert_eq!((probe.events.len(), probe.skipped()), (0, 1), "{source:?} {destination:?}");
        }
    }
}

#[test]
fn a_connection_of_ipv4_is_not_disturbed() {
    let mut probe = Probe::new();
    let from_client = |seq, flags, payload| ipv4(1, 2, tcp(CLIENT_PORT, GATEWAY_PORT, seq, flags), payload);
    probe.client(&from_client(1_000, tcp_flags::SYN, &[]));
    probe.client(&from_client(1_001, tcp_flags::ACK, HELLO));
    let rst = tcp(GATEWAY_PORT, CLIENT_PORT, 5_001, tcp_flags::RST | tcp_flags::ACK);
    probe.client(&hello(mapped(1), mapped(2)));
    probe.gateway(&ipv6(mapped(2), mapped(1), rst, &[]));
    assert_eq!((probe.events.len(), probe.skipped()), (1, 2));
    let rst = TcpHeader {
        acknowledgment_number: 1_015,
        ..tcp(GATEWAY_PORT, CLIENT_PORT, 5_001, tcp_flags::RST | tcp_flags::ACK)
    };
    probe.gateway(&ipv4(2, 1, rst, &[]));
    let kinds: Vec<_> = probe.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [kind::CLIENT_DATA, kind::GATEWAY_CLOSE]);
}

#[test]
fn addresses_that_look_similar_are_read() {
    // IPv4-translated (RFC 2765), IPv4-compatible, and one bit more in each byte that is zero.
    let translated = [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 10, 0, 0, 1];
    let compatible = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1];
    let almost = (0..10).map(|at| {
        let mut address = mapped(1);
        address[at] = 1;
        address
    });
    for address in almost.chain([translated, compatible]) {
        for (source, destination) in [(address, [2; 16]), ([1; 16], address)] {
            let mut probe = Probe::new();
            probe.client(&hello(source, destination));
            assert_eq!((probe.events.len(), probe.skipped()), (1, 0), "{address:?}");
        }
    }
}
