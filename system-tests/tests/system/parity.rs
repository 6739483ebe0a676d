//! The classifiers in the kernel and `sni_probe_datapath::userspace` are the same code: frame by
//! frame, both give the same event or the same count. `BPF_PROG_TEST_RUN` runs the real programs.

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use etherparse::{IpHeaders, IpNumber, PacketBuilder, PacketBuilderStep, TcpHeader, VlanId};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use sni_probe_capture::programs::{CLIENT_TO_GATEWAY, Counters, EventRing, GATEWAY_TO_CLIENT, Programs};
use sni_probe_datapath::counters::Counter;
use sni_probe_datapath::event::{Event, EventHeader, tcp_flags};
use sni_probe_datapath::tunnel::Tunnels;
use sni_probe_datapath::userspace::{Datapath, Frame};
use sni_probe_testkit::hello::HELLO_START;

/// `TC_ACT_UNSPEC`, which is `TCX_NEXT`: the chain goes on.
pub(super) const NO_VERDICT: u32 = u32::MAX;
const GATEWAY_PORT: u16 = 8443;
/// The kernel's test packets are of this interface.
const LOOPBACK: u32 = 1;
const LOOPBACK_MAC: [u8; 6] = [0; 6];
/// Frames that are compared.
const CASES: usize = 20_000;
/// The kernel builds its test packets in one page.
const MAX_PAYLOAD: usize = 2_800;

#[derive(Clone, Debug)]
struct Packet {
    program: &'static str,
    bytes: Vec<u8>,
}

#[derive(Debug, PartialEq)]
struct DatapathOutput {
    events: Vec<(EventHeader, Vec<u8>)>,
    counts: Vec<(Counter, u64)>,
}

impl DatapathOutput {
    fn add(&mut self, event: &Event<'_>) {
        // When and where differ by nature.
        let header = EventHeader { time_ns: 0, ifindex: 0, ..event.header };
        self.events.push((header, event.data.to_vec()));
    }
}

pub(super) struct Kernel {
    pub(super) programs: Programs,
    pub(super) ring: EventRing,
    counters: Counters,
}

impl Kernel {
    pub(super) fn load(ports: &[u16]) -> Self {
        Self::load_with(ports, Tunnels::NONE)
    }

    fn load_with(ports: &[u16], tunnels: Tunnels) -> Self {
        let mut programs = Programs::load(ports, tunnels, true).expect("the programs load");
        // Most test packets are for another MAC address than that of the kernel's interface for them.
        programs.count_other_hosts(LOOPBACK, true).expect("room for an interface");
        let ring = programs.take_events().expect("the ring");
        let counters = programs.take_counters().expect("the counters");
        Self { programs, ring, counters }
    }

    fn run(&mut self, packet: &Packet) -> DatapathOutput {
        let program: &mut SchedClassifier = self.programs.program(packet.program).expect("a program");
        let mut behind = vec![0; packet.bytes.len()];
        let mut options = TestRunOptions::new();
        options.data_in = Some(&packet.bytes);
        options.data_out = Some(&mut behind);
        let result = program.test_run(options).unwrap_or_else(|error| panic!("{error}: {packet:?}"));
        assert_eq!(result.return_value, NO_VERDICT, "the chain goes on after {packet:?}");
        assert_eq!(behind, packet.bytes, "the packet is untouched");
        let mut seen = DatapathOutput { events: Vec::new(), counts: Vec::new() };
        self.ring.drain(usize::MAX, |event| seen.add(&event.expect("a whole record")));
        self.counters.poll(|counter, n| seen.counts.push((counter, n))).expect("the counters");
        seen
    }
}

struct User {
    datapath: Datapath,
}

impl User {
    fn run(&mut self, packet: &Packet) -> DatapathOutput {
        let before = Counter::ALL.map(|counter| self.datapath.counter(counter));
        let mut seen = DatapathOutput { events: Vec::new(), counts: Vec::new() };
        let is_for_other_host = packet.bytes[0] & 1 == 0 && packet.bytes[..6] != LOOPBACK_MAC;
        let frame = Frame { ifindex: LOOPBACK, is_for_other_host, ..Frame::new(&packet.bytes, 0) };
        if packet.program == CLIENT_TO_GATEWAY {
            self.datapath.client_to_gateway(&frame, |event| seen.add(&event));
        } else {
            self.datapath.gateway_to_client(&frame, |event| seen.add(&event));
        }
        for (counter, before) in Counter::ALL.into_iter().zip(before) {
            let grown = self.datapath.counter(counter) - before;
            if grown > 0 {
                seen.counts.push((counter, grown));
            }
        }
        seen
    }
}

/// How a segment is wrapped.
#[derive(Clone, Copy, Debug)]
enum Wrapping {
    V4,
    V4Options,
    V4Fragment,
    V6,
    V6Extensions(usize),
    Vlan,
    QinQ,
    OldTags,
    ThreeTags,
    V6Mapped,
    /// Behind UDP to this port and 8 bytes of VXLAN, which Geneve may take for its own.
    Udp(u16),
    IpInIp,
}

/// A segment of a flow; addresses and ports follow from `flow` and `from_client`.
#[derive(Clone, Debug)]
struct Segment {
    flow: u8,
    from_client: bool,
    flags: u8,
    offset: u32,
    payload: Vec<u8>,
    wrapping: Wrapping,
    padding: usize,
    /// For the MAC address of the interface.
    is_for_this_host: bool,
    /// A byte to spoil, and its new value.
    spoiled: Option<(usize, u8)>,
    /// Cut the frame to this length.
    cut: Option<usize>,
}

impl Segment {
    fn packet(&self) -> Packet {
        let (client_port, gateway_port) = (30_000 + u16::from(self.flow), GATEWAY_PORT);
        let (source, destination) =
            if self.from_client { (client_port, gateway_port) } else { (gateway_port, client_port) };
        // The first flow's numbers wrap.
        let base = if self.flow == 0 { u32::MAX - 300 } else { 1_000 * u32::from(self.flow) };
        let mut header = TcpHeader::new(source, destination, base.wrapping_add(self.offset), 1_024);
        header.fin = self.flags & tcp_flags::FIN != 0;
        header.syn = self.flags & tcp_flags::SYN != 0;
        header.rst = self.flags & tcp_flags::RST != 0;
        header.ack = self.flags & tcp_flags::ACK != 0;
        header.acknowledgment_number = 7;
        let mut bytes = Vec::new();
        self.network().tcp_header(header).write(&mut bytes, &self.payload).expect("a vector takes all");
        self.wrap(&mut bytes);
        bytes.resize(bytes.len() + self.padding, 0xee);
        if self.is_for_this_host {
            bytes[..6].copy_from_slice(&LOOPBACK_MAC);
        }
        if let Some((at, value)) = self.spoiled {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if let Some(length) = self.cut {
            bytes.truncate(length);
        }
        Packet { program: if self.from_client { CLIENT_TO_GATEWAY } else { GATEWAY_TO_CLIENT }, bytes }
    }

    fn network(&self) -> PacketBuilderStep<IpHeaders> {
        let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let (from, to) = if self.from_client { (1, 2) } else { (2, 1) };
        let id = VlanId::try_new(9).expect("a valid id");
        match self.wrapping {
            Wrapping::V6 | Wrapping::V6Extensions(_) => ethernet.ipv6([from; 16], [to; 16], 64),
            Wrapping::Vlan => ethernet.single_vlan(id).ipv4([10, 0, 0, from], [10, 0, 0, to], 64),
            Wrapping::QinQ => ethernet.double_vlan(id, id).ipv6([from; 16], [to; 16], 64),
            Wrapping::V6Mapped => ethernet.ipv6(mapped(from), mapped(to), 64),
            _ => ethernet.ipv4([10, 0, 0, from], [10, 0, 0, to], 64),
        }
    }

    /// What the builder does not know.
    fn wrap(&self, bytes: &mut Vec<u8>) {
        match self.wrapping {
            Wrapping::V4Options => {
                bytes.splice(34..34, [1; 12]);
                bytes[14] = 0x48;
                let total = u16::try_from(bytes.len() - 14).expect("a short packet");
                bytes[16..18].copy_from_slice(&total.to_be_bytes());
            }
            Wrapping::V4Fragment => bytes[20] = 0x20,
            Wrapping::V6Extensions(count) => {
                for _ in 0..count {
                    let next = bytes[20];
                    bytes.splice(54..54, [next, 0, 1, 4, 0, 0, 0, 0]);
                    bytes[20] = 60;
                }
                let payload = u16::try_from(bytes.len() - 54).expect("a short packet");
                bytes[18..20].copy_from_slice(&payload.to_be_bytes());
            }
            Wrapping::ThreeTags => {
                bytes.splice(12..12, [0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3]);
            }
            Wrapping::OldTags => {
                bytes.splice(12..12, [0x92, 0, 0, 1, 0x91, 0, 0, 2]);
            }
            Wrapping::Udp(port) => {
                let mut frame = Vec::new();
                let carried = [&[8, 0, 0x65, 0x58, 0, 0, 7, 0], &bytes[..]].concat();
                let outer = PacketBuilder::ethernet2([6; 6], [8; 6]).ipv4([10, 9, 0, 1], [10, 9, 0, 2], 64);
                outer.udp(50_000, port).write(&mut frame, &carried).expect("a vector takes all");
                *bytes = frame;
            }
            Wrapping::IpInIp => {
                let mut frame = Vec::new();
                let outer = PacketBuilder::ethernet2([6; 6], [8; 6]).ipv4([10, 9, 0, 1], [10, 9, 0, 2], 64);
                outer.write(&mut frame, IpNumber::IPV4, &bytes[14..]).expect("a vector takes all");
                *bytes = frame;
            }
            Wrapping::V4 | Wrapping::V6 | Wrapping::V6Mapped | Wrapping::Vlan | Wrapping::QinQ => {}
        }
    }
}

/// `::ffff:10.0.0.last`.
fn mapped(last: u8) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![
        Just(vec![]),
        Just(HELLO_START.to_vec()),
        Just(vec![0x80, 0x2e, 1, 0, 2, 0]),
        Just(vec![0x80, 0x2e, 1, 3, 1, 0]),
        Just(b"PROXY TCP4 ".to_vec()),
        Just(b"\r\n\r\n\0\r\nQUIT\n".to_vec()),
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
        Just(vec![22, 3, 3, 0, 0x7a, 2, 0, 0, 0x76, 3, 3, 1, 2, 3, 4]),
        Just(vec![22, 3, 3, 0, 0x7a, 2, 0, 0, 0x76, 3, 3, 0xcf, 0x21, 0xad, 0x74]),
        Just(vec![21, 3, 3, 0, 2, 2, 112]),
        Just(vec![23, 3, 3, 0, 30]),
        prop::collection::vec(any::<u8>(), 1..8),
    ];
    let length = prop_oneof![Just(0_usize), 0..8_usize, 200..600_usize, 1_000..MAX_PAYLOAD];
    (start, length).prop_map(|(mut bytes, length)| {
        // Whole sometimes, and of every size class of the ring.
        let length = length.max(bytes.len());
        bytes.resize(length, 7);
        bytes
    })
}

fn segment() -> impl Strategy<Value = Segment> {
    let flags = prop_oneof![
        4 => Just(tcp_flags::ACK),
        2 => Just(tcp_flags::SYN),
        1 => Just(tcp_flags::SYN | tcp_flags::ACK),
        1 => Just(tcp_flags::FIN | tcp_flags::ACK),
        1 => Just(tcp_flags::RST),
        1 => any::<u8>().prop_map(|flags| flags & 0x17),
    ];
    let offset = prop_oneof![4 => Just(1_u32), 1 => Just(0), 3 => 0..2_000_u32, 1 => 16_300..16_500_u32, 1 => any::<u32>()];
    let wrapping = prop_oneof![
        4 => Just(Wrapping::V4),
        1 => Just(Wrapping::V4Options),
        1 => Just(Wrapping::V4Fragment),
        3 => Just(Wrapping::V6),
        1 => (1..5_usize).prop_map(Wrapping::V6Extensions),
        1 => Just(Wrapping::Vlan),
        1 => Just(Wrapping::QinQ),
        1 => Just(Wrapping::OldTags),
        1 => Just(Wrapping::ThreeTags),
        1 => Just(Wrapping::V6Mapped),
        1 => Just(Wrapping::Udp(4789)),
        1 => Just(Wrapping::Udp(6081)),
        1 => Just(Wrapping::IpInIp),
    ];
    let spoiled = prop::option::weighted(0.1, (0..80_usize, any::<u8>()));
    // The kernel takes no test packet that ends within its IP header.
    let cut = prop::option::weighted(0.1, 62..130_usize);
    let of_flow = (0..3_u8, any::<bool>(), any::<bool>());
    (of_flow, flags, offset, payload(), wrapping, 0..20_usize, spoiled, cut).prop_map(
        |((flow, from_client, is_for_this_host), flags, offset, payload, wrapping, padding, spoiled, cut)| {
            Segment {
                flow,
                from_client,
                flags,
                offset,
                payload,
                wrapping,
                padding,
                is_for_this_host,
                spoiled,
                cut,
            }
        },
    )
}

#[test]
fn kernel_and_user_space_agree_frame_by_frame() {
    assert_agreement(Tunnels::NONE, true);
}

#[test]
fn kernel_and_user_space_agree_on_frames_for_other_hosts() {
    assert_agreement(Tunnels::NONE, false);
}

#[test]
fn kernel_and_user_space_agree_on_what_tunnels_carry() {
    assert_agreement(Tunnels::VXLAN.and(Tunnels::GENEVE).and(Tunnels::IPIP), true);
}

fn assert_agreement(tunnels: Tunnels, count_other_hosts: bool) {
    let mut kernel = Kernel::load_with(&[443, GATEWAY_PORT], tunnels);
    let mut user = User {
        datapath: Datapath::new([443, GATEWAY_PORT], kernel.programs.seed())
            .with_tunnels(tunnels)
            .with_follow_up(true),
    };
    kernel.programs.count_other_hosts(LOOPBACK, count_other_hosts).expect("a known interface");
    user.datapath.count_other_hosts(LOOPBACK, count_other_hosts);
    // Both keep their slots from case to case: a shared history of many connections.
    let mut runner = TestRunner::deterministic();
    let (mut events, mut counts, mut in_tunnels, mut other_hosts) = (0, 0, 0, 0);
    for _ in 0..CASES {
        let segment = segment().new_tree(&mut runner).expect("a segment").current();
        let packet = segment.packet();
        let (in_kernel, in_user_space) = (kernel.run(&packet), user.run(&packet));
        assert_eq!(in_kernel, in_user_space, "{segment:?}");
        events += in_kernel.events.len();
        if matches!(segment.wrapping, Wrapping::Udp(_) | Wrapping::IpInIp) {
            in_tunnels += in_kernel.events.len();
        }
        counts += in_kernel.counts.len();
        other_hosts += usize::from(in_kernel.counts.contains(&(Counter::SkippedOtherHost, 1)));
    }
    assert_eq!(other_hosts > CASES / 100, !count_other_hosts, "{other_hosts} frames for other hosts");
    assert!(
        events > CASES / 10 && counts > CASES / 100,
        "{events} events, {counts} counts: too few to prove much"
    );
    assert_eq!(in_tunnels > CASES / 100, !tunnels.is_empty(), "{in_tunnels} events of tunnels");
}
