//! Frames for another host's MAC address open no connection, but on interfaces where they count.

use etherparse::{PacketBuilder, TcpHeader};
use sni_probe_datapath::counters::Counter;
use sni_probe_datapath::userspace::{Datapath, Frame};
use sni_probe_testkit::hello::HELLO_START as HELLO;

const PROMISCUOUS: u32 = 3;
const BRIDGE_PORT: u32 = 4;

struct Probe {
    datapath: Datapath,
    events: usize,
}

impl Probe {
    fn new() -> Self {
        let mut datapath = Datapath::new([443], 42);
        datapath.count_other_hosts(BRIDGE_PORT, true);
        Self { datapath, events: 0 }
    }

    fn client(&mut self, bytes: &[u8], ifindex: u32, is_for_other_host: bool) {
        let frame = Frame { ifindex, is_for_other_host, ..Frame::new(bytes, 0) };
        self.datapath.client_to_gateway(&frame, |_| self.events += 1);
    }

    fn skipped(&self) -> u64 {
        self.datapath.counter(Counter::SkippedOtherHost)
    }
}

fn frame(port: u16, seq: u32, syn: bool, payload: &[u8]) -> Vec<u8> {
    let header = TcpHeader { syn, ack: !syn, ..TcpHeader::new(port, 443, seq, 1_000) };
    let mut bytes = Vec::new();
    let step = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    step.tcp_header(header).write(&mut bytes, payload).expect("a vector takes all");
    bytes
}

#[test]
fn skipped_and_counted_where_they_would_open_a_connection() {
    let mut probe = Probe::new();
    probe.client(&frame(40_000, 1_000, true, &[]), PROMISCUOUS, true);
    probe.client(&frame(40_000, 1_001, false, HELLO), PROMISCUOUS, true);
    assert_eq!((probe.events, probe.skipped()), (0, 2));
    // In the middle of a connection, and an ACK: nothing would have come of them.
    probe.client(&frame(40_000, 1_015, false, b"finished, or other bytes"), PROMISCUOUS, true);
    probe.client(&frame(40_000, 1_040, false, &[]), PROMISCUOUS, true);
    assert_eq!((probe.events, probe.skipped()), (0, 2));
    // The same connection, for this host.
    probe.client(&frame(40_000, 1_001, false, HELLO), PROMISCUOUS, false);
    assert_eq!((probe.events, probe.skipped()), (1, 2));
}

#[test]
fn seen_where_they_count() {
    let mut probe = Probe::new();
    for (port, ifindex, is_for_other_host) in
        [(40_000, BRIDGE_PORT, true), (40_001, BRIDGE_PORT, false), (40_002, PROMISCUOUS, false)]
    {
        probe.client(&frame(port, 1_000, true, &[]), ifindex, is_for_other_host);
        probe.client(&frame(port, 1_001, false, HELLO), ifindex, is_for_other_host);
    }
    probe.client(&frame(40_003, 1_001, false, HELLO), BRIDGE_PORT, true);
    assert_eq!((probe.events, probe.skipped()), (4, 0));
    // It is no port any more.
    probe.datapath.count_other_hosts(BRIDGE_PORT, false);
    probe.client(&frame(40_004, 1_001, false, HELLO), BRIDGE_PORT, true);
    assert_eq!((probe.events, probe.skipped()), (4, 1));
}
