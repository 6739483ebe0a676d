//! The filter as the kernel runs it: attached to one end of a pair of Unix sockets, which takes any bytes for a packet
//! and needs no capability.

use std::io::{ErrorKind, Read as _};

use etherparse::{IpHeaders, IpNumber, PacketBuilder, PacketBuilderStep, TcpHeader, VlanId};
use proptest::prelude::*;
use sni_probe_datapath::counters::Counter;
use sni_probe_datapath::userspace::{Datapath, Frame};
use socket2::{Domain, Socket, Type};

use super::*;

const PORTS: [u16; 2] = [443, 8443];

struct Kernel {
    sender: Socket,
    receiver: Socket,
}

impl Kernel {
    fn new(ports: &[u16], tunnels: Tunnels) -> Self {
        let (sender, receiver) = Socket::pair(Domain::UNIX, Type::DGRAM, None).expect("a pair of sockets");
        let filter = Filter::new(ports, tunnels).expect("a filter");
        receiver.attach_filter(filter.instructions()).expect("the kernel takes the filter");
        receiver.set_nonblocking(true).expect("a socket that does not block");
        Self { sender, receiver }
    }

    /// How many bytes of a frame are kept, if it passes.
    fn kept(&self, frame: &[u8]) -> Option<usize> {
        // What does not pass is thrown away without an error.
        self.sender.send(frame).expect("the frame is sent");
        match (&self.receiver).read(&mut vec![0; 32 * 1024]) {
            Ok(count) => Some(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Wrapping {
    V4,
    V4Options,
    V4Fragment,
    V6,
    V6Extension(u8),
    Vlan,
    QinQ,
    OldTags,
    ThreeTags,
    V6Mapped,
    Udp(u16),
    IpInIp,
}

const WRAPPINGS: [Wrapping; 13] = [
    Wrapping::V4,
    Wrapping::V4Options,
    Wrapping::V4Fragment,
    Wrapping::V6,
    Wrapping::V6Extension(0),
    Wrapping::V6Extension(60),
    Wrapping::Vlan,
    Wrapping::QinQ,
    Wrapping::OldTags,
    Wrapping::ThreeTags,
    Wrapping::V6Mapped,
    Wrapping::Udp(4789),
    Wrapping::IpInIp,
];

fn network(wrapping: Wrapping) -> PacketBuilderStep<IpHeaders> {
    let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
    let id = VlanId::try_new(9).expect("a valid id");
    match wrapping {
        Wrapping::V6 | Wrapping::V6Extension(_) => ethernet.ipv6([1; 16], [2; 16], 64),
        Wrapping::Vlan => ethernet.single_vlan(id).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64),
        Wrapping::QinQ => ethernet.double_vlan(id, id).ipv6([1; 16], [2; 16], 64),
        Wrapping::V6Mapped => {
            ethernet.ipv6([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1], [2; 16], 64)
        }
        _ => ethernet.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64),
    }
}

fn frame(wrapping: Wrapping, source: u16, destination: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = TcpHeader::new(source, destination, 1_001, 1_024);
    header.fin = flags & tcp_flags::FIN != 0;
    header.syn = flags & tcp_flags::SYN != 0;
    header.rst = flags & tcp_flags::RST != 0;
    header.ack = flags & tcp_flags::ACK != 0;
    header.set_options_raw(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]).expect("12 bytes");
    let mut bytes = Vec::new();
    network(wrapping).tcp_header(header).write(&mut bytes, payload).expect("a vector takes all");
    let outer = || PacketBuilder::ethernet2([6; 6], [8; 6]).ipv4([10, 9, 0, 1], [10, 9, 0, 2], 64);
    let mut wrapped = Vec::new();
    match wrapping {
        Wrapping::V4Options => {
            bytes.splice(34..34, [1; 12]);
            bytes[14] = 0x48;
            let total = u16::try_from(bytes.len() - 14).expect("a short packet");
            bytes[16..18].copy_from_slice(&total.to_be_bytes());
        }
        Wrapping::V4Fragment => bytes[20] = 0x20,
        Wrapping::V6Extension(kind) => {
            bytes.splice(54..54, [6, 0, 1, 4, 0, 0, 0, 0]);
            bytes[20] = kind;
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
            let carried = [&[8, 0, 0, 0, 0, 0, 7, 0], &bytes[..]].concat();
            outer().udp(50_000, port).write(&mut wrapped, &carried).expect("a vector takes all");
            return wrapped;
        }
        Wrapping::IpInIp => {
            outer().write(&mut wrapped, IpNumber::IPV4, &bytes[14..]).expect("a vector takes all");
            return wrapped;
        }
        Wrapping::V4 | Wrapping::V6 | Wrapping::V6Mapped | Wrapping::Vlan | Wrapping::QinQ => {}
    }
    bytes
}

#[test]
fn only_what_tells_something_passes() {
    let kernel = Kernel::new(&PORTS, Tunnels::NONE);
    let readable =
        [Wrapping::V4, Wrapping::V4Options, Wrapping::V6, Wrapping::Vlan, Wrapping::QinQ, Wrapping::OldTags];
    for wrapping in readable {
        let kept = |source, destination, flags, payload: &[u8]| {
            let frame = frame(wrapping, source, destination, flags, payload);
            kernel.kept(&frame).map(|kept| kept == frame.len())
        };
        for port in PORTS {
            for flag in [tcp_flags::SYN, tcp_flags::FIN, tcp_flags::RST, tcp_flags::RST | tcp_flags::ACK] {
                assert_eq!(kept(40_000, port, flag, &[]), Some(true), "{wrapping:?} {flag}");
                assert_eq!(kept(port, 40_000, flag, &[]), Some(true), "{wrapping:?} {flag}");
            }
            assert_eq!(kept(40_000, port, tcp_flags::ACK, &[]), None, "{wrapping:?}: a pure ACK");
            assert_eq!(kept(40_000, port, tcp_flags::ACK, &[7]), Some(true), "{wrapping:?}: data");
            assert_eq!(kept(port, 40_000, tcp_flags::ACK, &[7; 1_400]), Some(false), "{wrapping:?}: cut");
        }
        assert_eq!(kept(40_000, 444, tcp_flags::SYN, &[]), None, "{wrapping:?}: another port");
        assert_eq!(kept(444, 40_000, tcp_flags::ACK, &[7]), None, "{wrapping:?}: another port");
    }
}

/// Linux pads frames to 60 bytes: the length is the IP header's.
#[test]
fn padding_is_no_data() {
    let kernel = Kernel::new(&PORTS, Tunnels::NONE);
    let mut pure_ack = frame(Wrapping::V4, 40_000, 443, tcp_flags::ACK, &[]);
    pure_ack.resize(pure_ack.len() + 20, 0);
    assert_eq!(kernel.kept(&pure_ack), None);
}

#[test]
fn a_hello_of_the_longest_kind_is_kept_whole() {
    let kernel = Kernel::new(&PORTS, Tunnels::NONE);
    let payload = vec![7; CLIENT_WINDOW as usize];
    let frame = frame(Wrapping::V6, 40_000, 443, tcp_flags::ACK, &payload);
    assert_eq!(kernel.kept(&frame), Some(frame.len()));
}

#[test]
fn many_ports_pass_and_too_many_are_refused() {
    let ports: Vec<u16> = (1..=950).collect();
    let kernel = Kernel::new(&ports, Tunnels::NONE);
    for (port, passes) in [(1, true), (500, true), (950, true), (951, false)] {
        let syn = frame(Wrapping::V4, 40_000, port, tcp_flags::SYN, &[]);
        assert_eq!(kernel.kept(&syn).is_some(), passes, "{port}");
    }
    let ports: Vec<u16> = (1..=2_000).collect();
    assert_eq!(Filter::new(&ports, Tunnels::NONE).unwrap_err(), FilterError::TooManyPorts(2_000));
}

#[test]
fn every_label_is_placed_behind_its_jumps() {
    let mut program = Program::default();
    write(&mut program, &PORTS, Tunnels::VXLAN.and(Tunnels::IPIP));
    for (from, label) in &program.jumps {
        let places: Vec<_> = program.places.iter().filter(|(placed, _)| placed == label).collect();
        assert!(matches!(places[..], [(_, to)] if to > from), "{label:?}: {places:?}");
    }
}

/// Whether the datapath makes something of a frame: an event of a flow that it knows, or a count.
fn is_of_interest(frame: &[u8], tunnels: Tunnels) -> bool {
    let mut datapath = Datapath::new(PORTS, 1).with_tunnels(tunnels);
    let mut events = 0;
    // In the midst of a handshake, in either direction.
    for wrapping in WRAPPINGS {
        for port in PORTS {
            let hello = self::frame(wrapping, 40_000, port, tcp_flags::ACK, &[22, 3, 1, 0, 9, 1]);
            datapath.client_to_gateway(&Frame::new(&hello, 0), |_| ());
        }
    }
    let counts = |datapath: &Datapath| Counter::ALL.map(|counter| datapath.counter(counter));
    let before = counts(&datapath);
    datapath.client_to_gateway(&Frame::new(frame, 0), |_| events += 1);
    datapath.gateway_to_client(&Frame::new(frame, 0), |_| events += 1);
    // Too short for its headers, or headers that contradict each other: the kernel's filter may drop it.
    let is_damaged = |counter| matches!(counter, Counter::SkippedUnreadable | Counter::SkippedMalformed);
    let counted = Counter::ALL.into_iter().zip(before).zip(counts(&datapath));
    events > 0 || counted.into_iter().any(|((counter, before), after)| after > before && !is_damaged(counter))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_the_datapath_wants_passes(
        wrapping in 0..WRAPPINGS.len(),
        from_client in any::<bool>(),
        port in prop_oneof![4 => Just(443_u16), 4 => Just(8443_u16), 1 => any::<u16>()],
        flags in any::<u8>(),
        payload in prop::collection::vec(any::<u8>(), 0..40),
        spoiled in prop::option::of((0_usize..120, any::<u8>())),
        tunnels in 0_u32..8,
    ) {
        let (source, destination) = if from_client { (40_000, port) } else { (port, 40_000) };
        let mut frame = frame(WRAPPINGS[wrapping], source, destination, flags, &payload);
        if let Some((at, value)) = spoiled {
            let at = at % frame.len();
            frame[at] = value;
        }
        let tunnels = Tunnels::from_bits(tunnels);
        if is_of_interest(&frame, tunnels) {
            prop_assert_eq!(Kernel::new(&PORTS, tunnels).kept(&frame), Some(frame.len()));
        }
    }
}
