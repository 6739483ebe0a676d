//! The datapath over frames made by hand: which packets become events, and which are counted instead.

use etherparse::{Ethernet2Header, IpHeaders, PacketBuilder, PacketBuilderStep, TcpHeader, VlanId};
use proptest::prelude::*;
use sni_probe_datapath::counters::Counter;
use sni_probe_datapath::event::{ANSWER_COPY, CLIENT_WINDOW, EventHeader, flags, kind, tcp_flags};
use sni_probe_datapath::flow_table::MAX_ANSWERS;
use sni_probe_datapath::userspace::{Datapath, Frame, Layer};
use sni_probe_testkit::answers;
use sni_probe_testkit::hello::HELLO_START as HELLO;

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const GATEWAY: [u8; 4] = [10, 0, 0, 2];
const CLIENT_PORT: u16 = 40_000;
const GATEWAY_PORT: u16 = 443;
const CLIENT_ISN: u32 = 1_000;
const GATEWAY_ISN: u32 = 5_000;

struct Probe {
    datapath: Datapath,
    events: Vec<(EventHeader, Vec<u8>)>,
}

impl Probe {
    fn new() -> Self {
        Self { datapath: Datapath::new([GATEWAY_PORT], 42), events: Vec::new() }
    }

    fn client(&mut self, frame: &[u8]) {
        let events = &mut self.events;
        self.datapath.client_to_gateway(&Frame::new(frame, 9), |event| {
            events.push((event.header, event.data.to_vec()));
        });
    }

    fn gateway(&mut self, frame: &[u8]) {
        let events = &mut self.events;
        self.datapath.gateway_to_client(&Frame::new(frame, 9), |event| {
            events.push((event.header, event.data.to_vec()));
        });
    }

    fn kinds(&self) -> Vec<u8> {
        self.events.iter().map(|(header, _)| header.kind).collect()
    }

    /// No packet was passed over or lost.
    fn assert_nothing_counted(&self) {
        for counter in Counter::ALL {
            assert_eq!(self.datapath.counter(counter), 0, "{counter:?}");
        }
    }
}

fn tcp(source: u16, destination: u16, seq: u32, flags: u8) -> TcpHeader {
    TcpHeader {
        sequence_number: seq,
        acknowledgment_number: 77,
        fin: flags & tcp_flags::FIN != 0,
        syn: flags & tcp_flags::SYN != 0,
        rst: flags & tcp_flags::RST != 0,
        ack: flags & tcp_flags::ACK != 0,
        ..TcpHeader::new(source, destination, seq, 1_000)
    }
}

fn finish(step: PacketBuilderStep<IpHeaders>, header: TcpHeader, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    step.tcp_header(header).write(&mut frame, payload).expect("a vector takes all");
    frame
}

fn ethernet() -> PacketBuilderStep<Ethernet2Header> {
    PacketBuilder::ethernet2([2; 6], [4; 6])
}

fn from_client(seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    finish(ethernet().ipv4(CLIENT, GATEWAY, 64), tcp(CLIENT_PORT, GATEWAY_PORT, seq, flags), payload)
}

fn from_gateway(seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    finish(ethernet().ipv4(GATEWAY, CLIENT, 64), tcp(GATEWAY_PORT, CLIENT_PORT, seq, flags), payload)
}

fn syn() -> Vec<u8> {
    from_client(CLIENT_ISN, tcp_flags::SYN, &[])
}

fn hello() -> Vec<u8> {
    from_client(CLIENT_ISN + 1, tcp_flags::ACK, HELLO)
}

fn server_hello() -> Vec<u8> {
    let mut record = answers::server_hello();
    record.resize(1_000, 9);
    record
}

#[test]
fn hello_and_reset() {
    let mut probe = Probe::new();
    probe.client(&syn());
    probe.client(&hello());
    probe.gateway(&from_gateway(GATEWAY_ISN + 1, tcp_flags::RST | tcp_flags::ACK, &[]));
    assert_eq!(probe.kinds(), [kind::CLIENT_DATA, kind::GATEWAY_CLOSE]);

    let (header, data) = &probe.events[0];
    assert_eq!(header.time_ns, 9);
    assert_eq!(header.client_addr[12..], CLIENT);
    assert_eq!(header.client_addr[..12], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    assert_eq!(header.gateway_addr[12..], GATEWAY);
    assert_eq!((header.client_port, header.gateway_port), (CLIENT_PORT, GATEWAY_PORT));
    assert_eq!((header.isn, header.seq, header.ack), (CLIENT_ISN, CLIENT_ISN + 1, 77));
    assert_eq!(header.flags, flags::ISN_KNOWN | flags::FIRST);
    assert_eq!((header.payload_len, header.data_len), (14, 14));
    assert_eq!(data, HELLO);

    let (header, data) = &probe.events[1];
    assert_eq!((header.client_port, header.gateway_port), (CLIENT_PORT, GATEWAY_PORT));
    assert_eq!(header.tcp_flags, tcp_flags::RST | tcp_flags::ACK);
    assert_eq!(data, &[0; 0]);
    probe.assert_nothing_counted();
}

#[test]
fn what_is_no_gateways_is_not_seen() {
    let mut probe = Probe::new();
    let other_port =
        finish(ethernet().ipv4(CLIENT, GATEWAY, 64), tcp(CLIENT_PORT, 444, 1, tcp_flags::ACK), HELLO);
    probe.client(&other_port);
    // The gateway as a client of another gateway: its destination port, but on the way out.
    probe.gateway(&finish(ethernet().ipv4(GATEWAY, CLIENT, 64), tcp(50_000, 443, 1, tcp_flags::ACK), HELLO));
    let mut udp = Vec::new();
    ethernet().ipv4(CLIENT, GATEWAY, 64).udp(CLIENT_PORT, GATEWAY_PORT).write(&mut udp, HELLO).unwrap();
    probe.client(&udp);
    let mut arp = vec![0; 42];
    arp[12..14].copy_from_slice(&[8, 6]);
    probe.client(&arp);
    assert_eq!(probe.kinds(), [0; 0]);
    probe.assert_nothing_counted();
}

#[test]
fn after_a_conclusive_answer_nothing_more() {
    let alert = [21, 3, 3, 0, 2, 2, 112].to_vec();
    let sslv2 = [0x83, 0x20, 4, 0, 1, 0, 2, 0, 0, 0].to_vec();
    for answer in [server_hello(), alert, sslv2] {
        let mut probe = Probe::new();
        probe.client(&syn());
        probe.client(&hello());
        probe.gateway(&from_gateway(GATEWAY_ISN + 1, tcp_flags::ACK, &answer));
        probe.client(&from_client(CLIENT_ISN + 15, tcp_flags::ACK, b"finished"));
        probe.gateway(&from_gateway(GATEWAY_ISN + 1001, tcp_flags::ACK, b"data"));
        probe.gateway(&from_gateway(GATEWAY_ISN + 1005, tcp_flags::FIN | tcp_flags::ACK, &[]));
        probe.client(&from_client(CLIENT_ISN + 23, tcp_flags::RST, &[]));
        assert_eq!(probe.kinds(), [kind::CLIENT_DATA, kind::GATEWAY_DATA]);
        let (header, data) = &probe.events[1];
        assert_eq!(data.len(), answer.len().min(ANSWER_COPY as usize));
        assert_eq!(header.payload_len as usize, answer.len());
    }
}

#[test]
fn after_a_hello_retry_request_the_answer_is_still_awaited() {
    let mut retry = server_hello();
    retry[11..15].copy_from_slice(&[0xcf, 0x21, 0xad, 0x74]);
    let mut probe = Probe::new();
    probe.client(&syn());
    probe.client(&hello());
    probe.gateway(&from_gateway(GATEWAY_ISN + 1, tcp_flags::ACK, &retry));
    probe.client(&from_client(CLIENT_ISN + 15, tcp_flags::ACK, HELLO));
    probe.gateway(&from_gateway(GATEWAY_ISN + 1001, tcp_flags::ACK, &server_hello()));
    probe.gateway(&from_gateway(GATEWAY_ISN + 2001, tcp_flags::RST, &[]));
    assert_eq!(probe.kinds(), [kind::CLIENT_DATA, kind::GATEWAY_DATA, kind::CLIENT_DATA, kind::GATEWAY_DATA]);
}

#[test]
fn after_a_warning_the_answer_is_still_awaited() {
    let mut probe = Probe::new();
    probe.client(&syn());
    probe.client(&hello());
    probe.gateway(&from_gateway(GATEWAY_ISN + 1, tcp_flags::ACK, &[21, 3, 3, 0, 2, 1, 112]));
    probe.gateway(&from_gateway(GATEWAY_ISN + 8, tcp_flags::ACK, &server_hello()));
    probe.gateway(&from_gateway(GATEWAY_ISN + 1008, tcp_flags::ACK, b"data"));
    assert_eq!(probe.kinds(), [kind::CLIENT_DATA, kind::GATEWAY_DATA, kind::GATEWAY_DATA]);
}

#[test]
fn an_answer_in_crumbs_is_copied_up_to_a_bound() {
    let mut probe = Probe::new();
    probe.client(&syn());
    probe.client(&hello());
    for offset in 0..40 {
        probe.gateway(&from_gateway(GATEWAY_ISN + 1 + offset, tcp_flags::ACK, &[22]));
    }
    assert_eq!(probe.events.len(), 1 + usize::from(MAX_ANSWERS));
}

#[test]
fn a_connection_without_payload_makes_no_event() {
    let mut probe = Probe::new();
    probe.client(&syn());
    probe.gateway(&from_gateway(GATEWAY_ISN, tcp_flags::SYN | tcp_flags::ACK, &[]));
    probe.client(&from_client(CLIENT_ISN + 1, tcp_flags::ACK, &[]));
    probe.gateway(&from_gateway(GATEWAY_ISN + 1, tcp_flags::FIN | tcp_flags::ACK, &[]));
    probe.client(&from_client(CLIENT_ISN + 1, tcp_flags::FIN | tcp_flags::ACK, &[]));
    probe.client(&from_client(CLIENT_ISN + 2, tcp_flags::RST, &[]));
    assert_eq!(probe.kinds(), [0; 0]);
    probe.assert_nothing_counted();
}

#[test]
fn who_answers_a_syn_is_no_client() {
    let mut probe = Probe::new();
    probe.client(&from_client(CLIENT_ISN, tcp_flags::SYN | tcp_flags::ACK, &[]));
    probe.client(&from_client(CLIENT_ISN + 1, tcp_flags::ACK, b"220 ready"));
    assert_eq!(probe.kinds(), [0; 0]);
}

#[test]
fn a_keep_alive_probe_is_no_data() {
    let mut probe = Probe::new();
    probe.client(&syn());
    probe.client(&from_client(CLIENT_ISN, tcp_flags::ACK, &[0]));
    assert_eq!(probe.kinds(), [0; 0]);
}

#[test]
fn the_gateway_may_speak_first() {
    let mut probe = Probe::new();
    probe.client(&syn());
    probe.gateway(&from_gateway(GATEWAY_ISN + 1, tcp_flags::ACK, b"220 ready\r\n"));
    probe.client(&hello());
    assert_eq!(probe.kinds(), [kind::CLIENT_DATA]);
}

#[test]
fn segments_out_of_order_are_kept_and_the_window_ends() {
    let mut probe = Probe::new();
    probe.client(&syn());
    probe.client(&from_client(CLIENT_ISN + 101, tcp_flags::ACK, &[1; 100]));
    probe.client(&from_client(CLIENT_ISN + 1, tcp_flags::ACK, &[2; 100]));
    probe.client(&from_client(CLIENT_ISN + CLIENT_WINDOW, tcp_flags::ACK, &[3; 100]));
    probe.client(&from_client(CLIENT_ISN + CLIENT_WINDOW + 1, tcp_flags::ACK, &[4; 100]));
    let lengths: Vec<_> = probe.events.iter().map(|(header, data)| (header.seq, data.len())).collect();
    let last_byte = CLIENT_ISN + CLIENT_WINDOW;
    assert_eq!(lengths, [(CLIENT_ISN + 101, 100), (CLIENT_ISN + 1, 100), (last_byte, 1)]);
}

#[test]
fn sequence_numbers_wrap() {
    let isn = u32::MAX - 5;
    let mut probe = Probe::new();
    probe.client(&from_client(isn, tcp_flags::SYN, &[]));
    probe.client(&from_client(isn.wrapping_add(1), tcp_flags::ACK, HELLO));
    probe.client(&from_client(isn.wrapping_add(15), tcp_flags::ACK, &[1; 50]));
    assert_eq!(probe.kinds(), [kind::CLIENT_DATA, kind::CLIENT_DATA]);
}

#[test]
fn fast_open_carries_the_hello_in_the_syn() {
    let mut probe = Probe::new();
    probe.client(&from_client(CLIENT_ISN, tcp_flags::SYN, HELLO));
    let (header, data) = &probe.events[0];
    assert_eq!((header.isn, header.seq), (CLIENT_ISN, CLIENT_ISN + 1));
    assert_eq!(data, HELLO);
    probe.client(&from_client(CLIENT_ISN + 15, tcp_flags::ACK, b"more"));
    assert_eq!(probe.events.len(), 2);
}

#[test]
fn a_hello_without_a_slot_starts_its_flow() {
    let sslv2 = [0x80, 0x2e, 1, 0, 2, 0, 21, 0, 0, 0, 16].as_slice();
    let sslv2_tls = [0x80, 0x2e, 1, 3, 1, 0, 21, 0, 0, 0, 16].as_slice();
    let proxy_v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".as_slice();
    let short = &HELLO[..6];
    for start in [HELLO, short, sslv2, sslv2_tls, b"PROXY TCP4 ", proxy_v2] {
        let mut probe = Probe::new();
        probe.client(&from_client(500, tcp_flags::ACK, start));
        probe.client(&from_client(500 + 200, tcp_flags::ACK, b"rest"));
        probe.gateway(&from_gateway(1, tcp_flags::RST, &[]));
        assert_eq!(probe.kinds(), [kind::CLIENT_DATA, kind::CLIENT_DATA, kind::GATEWAY_CLOSE], "{start:?}");
        for (header, _) in &probe.events {
            assert_eq!((header.isn, header.flags), (499, 0), "a guess stays a guess");
        }
    }
    for start in [
        b"GET / HTTP/1.1\r\n".as_slice(),
        &[23, 3, 3, 0, 20, 1, 2, 3],
        &[22, 3, 3, 0, 20, 2],
        &[22, 3],
        // As random bytes of an upload are: lengths or versions that no hello has.
        &[22, 3, 1, 0x50, 0, 1, 0, 1, 0xfc, 3, 3],
        &[22, 3, 1, 2, 0, 1, 9, 1, 0xfc, 3, 3],
        &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 7, 3],
        &[22, 3, 1, 2, 1, 1, 0, 1, 0xfc, 3, 3],
        &[0x80, 0x2f, 1, 3, 1, 0, 21, 0, 0, 0, 16],
        b"PROXIES",
    ] {
        let mut probe = Probe::new();
        probe.client(&from_client(500, tcp_flags::ACK, start));
        assert_eq!(probe.kinds(), [0; 0], "{start:?}");
    }
}

#[test]
fn data_with_fin_is_one_event() {
    let mut probe = Probe::new();
    probe.client(&syn());
    probe.client(&from_client(CLIENT_ISN + 1, tcp_flags::ACK | tcp_flags::FIN, HELLO));
    probe.gateway(&from_gateway(GATEWAY_ISN + 1, tcp_flags::ACK | tcp_flags::FIN, b"?"));
    assert_eq!(probe.kinds(), [kind::CLIENT_DATA, kind::GATEWAY_DATA]);
    assert!(probe.events.iter().all(|(header, _)| header.tcp_flags & tcp_flags::FIN != 0));
}

#[test]
fn a_repeated_syn_does_not_undo_the_handshake() {
    let mut probe = Probe::new();
    probe.client(&syn());
    probe.client(&hello());
    probe.client(&syn());
    probe.gateway(&from_gateway(GATEWAY_ISN + 1, tcp_flags::RST, &[]));
    assert_eq!(probe.kinds(), [kind::CLIENT_DATA, kind::GATEWAY_CLOSE]);
}

/// An address whose halves are chosen so that the seedless part of a hash comes out the same.
#[test]
fn an_ipv6_client_cannot_choose_anothers_slot() {
    for seed in [1, 0x1234_5678_9abc_def1, u64::MAX / 3] {
        let mut probe = Probe { datapath: Datapath::new([GATEWAY_PORT], seed), events: Vec::new() };
        let (high, low) = (0xfd00_0000_0000_0001_u64, 0x10_u64);
        let address = |high: u64, low: u64| (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
        let from = |address: [u8; 16], flags: u8, seq: u32, payload: &[u8]| {
            finish(ethernet().ipv6(address, [9; 16], 64), tcp(CLIENT_PORT, GATEWAY_PORT, seq, flags), payload)
        };
        probe.client(&from(address(high, low), tcp_flags::SYN, CLIENT_ISN, &[]));
        for other in 1..2_000_u64 {
            let other_high = high ^ other << 16;
            let other_low = (high ^ low.rotate_left(29) ^ other_high).rotate_right(29);
            probe.client(&from(address(other_high, other_low), tcp_flags::SYN, 7_000_000, &[]));
        }
        probe.client(&from(address(high, low), tcp_flags::ACK, CLIENT_ISN + 1, b"first bytes, no hello"));
        assert_eq!(probe.events.len(), 1, "seed {seed}");
    }
}

#[test]
fn a_new_syn_takes_the_flows_own_slot() {
    let mut probe = Probe::new();
    for isn in [1, 70_000, 3_000_000_000] {
        probe.client(&from_client(isn, tcp_flags::SYN, &[]));
        probe.client(&from_client(isn + 1, tcp_flags::ACK, HELLO));
        assert_eq!(probe.events.last().unwrap().0.isn, isn);
    }
    probe.assert_nothing_counted();
}

#[test]
fn headers_of_all_shapes() {
    let payload = HELLO;
    let mut options = tcp(CLIENT_PORT, GATEWAY_PORT, 1, tcp_flags::ACK);
    options.set_options_raw(&[1; 40]).unwrap();
    let header = || tcp(CLIENT_PORT, GATEWAY_PORT, 1, tcp_flags::ACK);
    let v6 = |last: u8| {
        let mut address = [0; 16];
        address[0] = 0xfd;
        address[15] = last;
        address
    };
    let vlan = |id: u16| VlanId::try_new(id).unwrap();
    let frames = [
        finish(ethernet().ipv4(CLIENT, GATEWAY, 64), options, payload),
        finish(ethernet().single_vlan(vlan(5)).ipv4(CLIENT, GATEWAY, 64), header(), payload),
        finish(ethernet().double_vlan(vlan(5), vlan(6)).ipv4(CLIENT, GATEWAY, 64), header(), payload),
        finish(ethernet().ipv6(v6(1), v6(2), 64), header(), payload),
        finish(ethernet().single_vlan(vlan(5)).ipv6(v6(1), v6(2), 64), header(), payload),
        with_ipv4_options(&hello()),
        with_extension_headers(3),
    ];
    for frame in frames {
        let mut probe = Probe::new();
        let mut padded = frame.clone();
        padded.resize(frame.len() + 20, 0xee);
        for bytes in [frame, padded] {
            probe.client(&bytes);
            let (_, data) = probe.events.pop().expect("an event");
            assert_eq!(data, payload);
        }
        probe.assert_nothing_counted();
    }
}

/// Inserts 8 bytes of options into an IPv4 header.
fn with_ipv4_options(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame.splice(34..34, [1; 8]);
    frame[14] = 0x47;
    let total = u16::try_from(frame.len() - 14).expect("a short frame");
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    frame
}

/// A hello over IPv6 behind so many destination options headers.
fn with_extension_headers(count: usize) -> Vec<u8> {
    let header = tcp(CLIENT_PORT, GATEWAY_PORT, 1, tcp_flags::ACK);
    let mut frame = finish(ethernet().ipv6([1; 16], [2; 16], 64), header, HELLO);
    for _ in 0..count {
        let next = frame[20];
        frame.splice(54..54, [next, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        frame[20] = 60;
    }
    let payload = u16::try_from(frame.len() - 54).expect("a short frame");
    frame[18..20].copy_from_slice(&payload.to_be_bytes());
    frame
}

#[test]
fn what_is_passed_over_is_counted_by_reason() {
    let mut more_fragments = hello();
    more_fragments[20] = 0x20;
    let mut later_fragment = hello();
    later_fragment[21] = 7;
    let mut wrong_version = hello();
    wrong_version[14] = 0x55;
    let mut short_header = hello();
    short_header[46] = 0x40;
    let mut too_long = hello();
    too_long[16] = 0x40;
    let three_tags = {
        let mut frame = hello();
        frame.splice(12..12, [0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3]);
        frame
    };
    let v6_fragment = {
        let mut frame = with_extension_headers(0);
        frame.splice(54..54, [6, 0, 0, 1, 0, 0, 0, 9]);
        frame[20] = 44;
        frame
    };
    for (frame, counter) in [
        (more_fragments, Counter::SkippedFragment),
        (later_fragment, Counter::SkippedFragment),
        (v6_fragment, Counter::SkippedFragment),
        (wrong_version, Counter::SkippedMalformed),
        (short_header, Counter::SkippedMalformed),
        (too_long, Counter::SkippedMalformed),
        (three_tags, Counter::SkippedVlanTags),
        (with_extension_headers(4), Counter::SkippedExtensionHeaders),
        (hello()[..40].to_vec(), Counter::SkippedUnreadable),
    ] {
        let mut probe = Probe::new();
        probe.client(&frame);
        assert_eq!(probe.kinds(), [0; 0], "{counter:?}");
        assert_eq!(probe.datapath.counter(counter), 1, "{counter:?}");
    }
}

#[test]
fn an_atomic_fragment_is_whole() {
    let mut frame = with_extension_headers(0);
    frame.splice(54..54, [6, 0, 0, 0, 0, 0, 0, 9]);
    frame[20] = 44;
    let payload = u16::try_from(frame.len() - 54).expect("a short frame");
    frame[18..20].copy_from_slice(&payload.to_be_bytes());
    let mut probe = Probe::new();
    probe.client(&frame);
    assert_eq!(probe.kinds(), [kind::CLIENT_DATA]);
}

#[test]
fn packets_beyond_64_kib_have_the_length_of_their_frame() {
    let mut big = from_client(CLIENT_ISN + 1, tcp_flags::ACK, HELLO);
    big.resize(70_000, 1);
    big[16..18].copy_from_slice(&[0, 0]);
    let mut probe = Probe::new();
    probe.client(&big);
    let (header, data) = &probe.events[0];
    assert_eq!(header.payload_len, 70_000 - 54);
    assert_eq!(data.len(), CLIENT_WINDOW as usize);
}

#[test]
fn of_a_frame_cut_short_what_is_there() {
    let whole = hello();
    let mut probe = Probe::new();
    let bytes = &whole[..60];
    let cut = Frame { wire_len: whole.len(), ..Frame::new(bytes, 0) };
    let mut seen = 0;
    probe.datapath.client_to_gateway(&cut, |event| {
        assert_eq!(event.data, &whole[54..60]);
        assert_eq!(event.header.data_len, 6);
        assert_eq!(event.header.payload_len as usize, whole.len() - 54);
        seen += 1;
    });
    assert_eq!(seen, 1);
    assert_eq!(probe.datapath.counter(Counter::LostCopyFailed), 1);
}

#[test]
fn the_same_from_the_ip_header_on() {
    let whole = hello();
    let mut seen = Vec::new();
    for (layer, bytes) in [(Layer::Ethernet, &whole[..]), (Layer::Ip, &whole[14..])] {
        let frame = Frame { layer, ..Frame::new(bytes, 0) };
        let mut probe = Probe::new();
        probe.datapath.client_to_gateway(&frame, |event| seen.push((event.header, event.data.to_vec())));
    }
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], seen[1]);
    let neither = Frame { layer: Layer::Ip, ..Frame::new(&whole, 0) };
    Probe::new().datapath.client_to_gateway(&neither, |_| panic!("no event"));
}

proptest! {
    /// Whatever the bytes, at most one event a frame, and never more data than the frame has.
    #[test]
    fn arbitrary_frames(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20)) {
        let mut probe = Probe::new();
        for frame in &frames {
            let before = probe.events.len();
            probe.client(frame);
            probe.gateway(frame);
            prop_assert!(probe.events.len() <= before + 2);
        }
    }

    /// A frame that is nearly right: any one byte changed, any length.
    #[test]
    fn damaged_frames(position in 0_usize..68, value in any::<u8>(), length in 0_usize..68) {
        let mut frame = hello();
        frame[position] = value;
        frame.truncate(length);
        let mut probe = Probe::new();
        probe.client(&syn());
        probe.client(&frame);
        probe.gateway(&frame);
        prop_assert!(probe.events.iter().all(|(header, data)| data.len() == header.data_len as usize));
    }
}
