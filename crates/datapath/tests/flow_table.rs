//! The life of flow table entries: which packets open them, which end them, and which one gives way.

use etherparse::{PacketBuilder, TcpHeader};
use sni_probe_datapath::counters::Counter;
use sni_probe_datapath::event::{EventHeader, flags, kind, tcp_flags};
use sni_probe_datapath::flow_table::{
    BUCKETS, DEFAULT_EPOCH_LENGTH, FlowHash, MAX_AGE, MAX_ANSWERS, WAYS, stage,
};
use sni_probe_datapath::userspace::{Datapath, Frame};
use sni_probe_testkit::answers;
use sni_probe_testkit::hello::HELLO_START as HELLO;

const GATEWAY: u32 = u32::from_be_bytes([10, 255, 0, 2]);
const HELLO_LEN: u32 = 14;
const GATEWAY_PORT: u16 = 443;
const SEED: u64 = 42;

const FIN: u8 = tcp_flags::FIN;
const SYN: u8 = tcp_flags::SYN;
const RST: u8 = tcp_flags::RST;
const ACK: u8 = tcp_flags::ACK;

fn server_hello() -> Vec<u8> {
    let mut record = answers::server_hello();
    record.resize(200, 9);
    record
}

/// One connection: the two ends and where their numbers begin.
#[derive(Clone, Copy)]
struct Connection {
    client: u32,
    port: u16,
    isn: u32,
    gateway_isn: u32,
}

impl Connection {
    const fn new(client: u32, isn: u32) -> Self {
        Self { client, port: 40_000, isn, gateway_isn: 5_000 }
    }

    /// `offset` is from the ISN on: 1 is the first byte of the stream.
    fn by_client(self, offset: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let (seq, ack) = (self.isn.wrapping_add(offset), self.gateway_isn.wrapping_add(1));
        frame((self.client, self.port), (GATEWAY, GATEWAY_PORT), seq, ack, flags, payload)
    }

    /// The gateway acknowledges the client's stream up to `ack`, counted from the ISN.
    fn by_gateway(self, offset: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let (seq, ack) = (self.gateway_isn.wrapping_add(offset), self.isn.wrapping_add(ack));
        frame((GATEWAY, GATEWAY_PORT), (self.client, self.port), seq, ack, flags, payload)
    }

    fn syn(self) -> Vec<u8> {
        self.by_client(0, SYN, &[])
    }

    fn hello(self) -> Vec<u8> {
        self.by_client(1, ACK, HELLO)
    }

    fn reset(self) -> Vec<u8> {
        self.by_gateway(1, 1 + HELLO_LEN, RST | ACK, &[])
    }

    fn server_hello(self) -> Vec<u8> {
        self.by_gateway(1, 1 + HELLO_LEN, ACK, &server_hello())
    }
}

fn frame(from: (u32, u16), to: (u32, u16), seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let header = TcpHeader {
        acknowledgment_number: ack,
        fin: flags & FIN != 0,
        syn: flags & SYN != 0,
        rst: flags & RST != 0,
        ack: flags & ACK != 0,
        ..TcpHeader::new(from.1, to.1, seq, 1_000)
    };
    let mut bytes = Vec::new();
    let step = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from.0.to_be_bytes(), to.0.to_be_bytes(), 64);
    step.tcp_header(header).write(&mut bytes, payload).expect("a vector takes all");
    bytes
}

struct Probe {
    datapath: Datapath,
    time_ns: u64,
    ifindex: u32,
    events: Vec<EventHeader>,
}

impl Probe {
    fn new() -> Self {
        Self { datapath: Datapath::new([GATEWAY_PORT], SEED), time_ns: 0, ifindex: 2, events: Vec::new() }
    }

    /// Shows a frame to both programs: which one it concerns, its ports say.
    fn see(&mut self, frame: &[u8]) -> &mut Self {
        let frame = Frame { ifindex: self.ifindex, ..Frame::new(frame, self.time_ns) };
        self.datapath.client_to_gateway(&frame, |event| self.events.push(event.header));
        self.datapath.gateway_to_client(&frame, |event| self.events.push(event.header));
        self
    }

    fn kinds(&self) -> Vec<u8> {
        self.events.iter().map(|header| header.kind).collect()
    }

    fn is_first(&self, event: usize) -> bool {
        self.events[event].flags & flags::FIRST != 0
    }

    fn evicted(&self) -> [u64; 3] {
        [Counter::HandshakeEvicted, Counter::OpenEvicted, Counter::MidStreamEvicted]
            .map(|counter| self.datapath.counter(counter))
    }
}

const REFUSED: [u8; 2] = [kind::CLIENT_DATA, kind::GATEWAY_CLOSE];

/// RFC 9293, section 3.10.7.4, and RFC 5961, section 4: a SYN meets a connection that the gateway still has.
#[test]
fn a_hello_after_a_challenge_ack_is_seen() {
    let connection = Connection::new(1, 1_000);
    let old = Connection { isn: 0xf000_0000, ..connection };
    let mut probe = Probe::new();
    probe.see(&connection.syn());
    probe.see(&old.by_gateway(77, 1, ACK, &[]));
    probe.see(&old.by_client(1, RST, &[]));
    probe.see(&connection.syn()).see(&connection.hello()).see(&connection.reset());
    assert_eq!(probe.kinds(), REFUSED);
    assert!(probe.is_first(0));
    assert_eq!(probe.evicted(), [0; 3]);
}

/// The same where the client had spoken on the old connection, which is followed as well.
#[test]
fn a_hello_after_a_challenge_ack_to_a_followed_connection_is_seen() {
    let old = Connection::new(1, 0xf000_0000);
    let new = Connection { isn: 1_000, ..old };
    let mut probe = Probe::new();
    probe.see(&old.syn()).see(&old.hello());
    probe.see(&new.syn());
    probe.see(&old.by_gateway(1, 1 + HELLO_LEN, ACK, &[]));
    probe.see(&old.by_client(1 + HELLO_LEN, RST, &[]));
    probe.see(&new.syn()).see(&new.hello()).see(&new.reset());
    let expected = [kind::CLIENT_DATA, kind::CLIENT_CLOSE, kind::CLIENT_DATA, kind::GATEWAY_CLOSE];
    assert_eq!(probe.kinds(), expected);
    let isns: Vec<u32> = probe.events.iter().map(|header| header.isn).collect();
    assert_eq!(isns, [old.isn, old.isn, new.isn, new.isn]);
}

#[test]
fn late_packets_of_an_earlier_connection_change_nothing() {
    let connection = Connection::new(1, 1_000);
    let old = Connection { isn: 0x4000_0000, gateway_isn: 0x7000_0000, ..connection };
    let late = [
        old.by_gateway(1, 15, RST, &[]),
        old.by_gateway(1, 15, RST | ACK, &[]),
        old.by_gateway(1, 15, FIN | ACK, &[]),
        old.server_hello(),
        old.by_client(15, RST, &[]),
        old.by_client(15, FIN | ACK, &[]),
        old.by_client(15, ACK, b"text"),
    ];
    for packet in late {
        let mut probe = Probe::new();
        probe.see(&connection.syn()).see(&packet).see(&connection.hello()).see(&connection.reset());
        assert_eq!(probe.kinds(), REFUSED);
        assert!(probe.is_first(0));
        assert_eq!(probe.events[0].flags & flags::GATEWAY_CLOSED, 0);
        // Between hello and answer, too. What could be of this connection is passed on, and the core decides.
        let mut probe = Probe::new();
        probe.see(&connection.syn()).see(&connection.hello()).see(&packet).see(&connection.server_hello());
        assert_eq!(probe.events.first().map(|header| header.kind), Some(kind::CLIENT_DATA));
        assert_eq!(probe.events.last().map(|header| header.kind), Some(kind::GATEWAY_DATA));
    }
}

#[test]
fn a_syn_with_another_number_waits_for_the_answer() {
    let connection = Connection::new(1, 1_000);
    let stray = Connection { isn: 5, ..connection };
    let mut probe = Probe::new();
    probe.see(&connection.syn()).see(&connection.hello()).see(&stray.syn()).see(&connection.server_hello());
    assert_eq!(probe.kinds(), [kind::CLIENT_DATA, kind::GATEWAY_DATA]);
    // It was a connection of its own after all.
    probe.see(&stray.hello()).see(&stray.reset());
    assert_eq!(probe.kinds()[2..], REFUSED);
}

/// Devices that boot the same way each time: the same ports and the same initial sequence number.
#[test]
fn the_same_number_again_is_another_connection_once_the_first_is_over() {
    let connection = Connection::new(1, 6_510);
    let closed_by_gateway = connection.by_gateway(1, 15, FIN | ACK, &[]);
    for end in [connection.reset(), connection.server_hello(), closed_by_gateway] {
        let mut probe = Probe::new();
        for _ in 0..10 {
            probe.see(&connection.syn()).see(&connection.hello()).see(&end);
        }
        let firsts = probe.events.iter().filter(|header| header.flags & flags::FIRST != 0);
        assert_eq!(firsts.count(), 10);
    }
}

/// A delayed copy of the SYN, or a new connection with the same number: the handshake goes on, and the next payload is
/// marked, for the core to decide.
#[test]
fn the_same_syn_during_a_handshake_loses_no_answer() {
    let connection = Connection::new(1, 1_000);
    let mut probe = Probe::new();
    probe.see(&connection.syn()).see(&connection.hello()).see(&connection.syn());
    probe.see(&connection.by_gateway(1, 15, ACK, b"?"));
    probe.see(&connection.hello()).see(&connection.server_hello());
    let expected = [kind::CLIENT_DATA, kind::GATEWAY_DATA, kind::CLIENT_DATA, kind::GATEWAY_DATA];
    assert_eq!(probe.kinds(), expected);
    assert!(probe.is_first(0) && probe.is_first(2));
}

#[test]
fn a_retransmission_is_not_the_first() {
    let connection = Connection::new(1, 1_000);
    let mut probe = Probe::new();
    probe.see(&connection.syn()).see(&connection.hello()).see(&connection.hello());
    assert!(probe.is_first(0) && !probe.is_first(1));
}

#[test]
fn a_gateway_that_hangs_up_before_the_hello() {
    for flags in [FIN | ACK, RST | ACK] {
        let connection = Connection::new(1, 1_000);
        let mut probe = Probe::new();
        probe.see(&connection.syn()).see(&connection.by_gateway(1, 1, flags, &[]));
        probe.see(&connection.hello());
        assert_eq!(probe.kinds(), [kind::CLIENT_DATA]);
        let closed = flags::GATEWAY_CLOSED;
        assert_eq!(probe.events[0].flags, flags::ISN_KNOWN | flags::FIRST | closed);
    }
}

#[test]
fn a_half_close_is_kept_and_the_answer_seen() {
    let connection = Connection::new(1, 1_000);
    let mut probe = Probe::new();
    // The FIN overtakes the hello.
    probe.see(&connection.syn()).see(&connection.by_client(15, FIN | ACK, &[])).see(&connection.hello());
    assert_eq!(probe.events[0].flags, flags::ISN_KNOWN | flags::FIRST | flags::CLIENT_CLOSED);
    probe.see(&connection.server_hello());
    assert_eq!(probe.kinds(), [kind::CLIENT_DATA, kind::GATEWAY_DATA]);
}

/// RFC 9293, section 3.10.7.4: text in a RST is a diagnostic, and no part of the stream (BIG-IP writes its cause there).
#[test]
fn text_in_a_reset_is_no_data() {
    let connection = Connection::new(1, 1_000);
    let mut probe = Probe::new();
    probe.see(&connection.syn());
    probe.see(&connection.by_client(1, RST | ACK, b"BIG-IP: [0x2b] monitor"));
    assert_eq!(probe.kinds(), [0; 0]);
    probe.see(&connection.syn()).see(&connection.hello());
    probe.see(&connection.by_gateway(1, 15, RST | ACK, b"BIG-IP: [0x2b] monitor"));
    assert_eq!(probe.kinds(), REFUSED);
    assert_eq!(probe.events[1].data_len, 0);
}

#[test]
fn a_syn_with_an_end_opens_nothing() {
    for flags in [SYN | RST, SYN | FIN] {
        let connection = Connection::new(1, 1_000);
        let mut probe = Probe::new();
        probe.see(&connection.by_client(0, flags, HELLO)).see(&connection.by_client(1, ACK, b"no hello"));
        assert_eq!(probe.kinds(), [0; 0]);
    }
}

#[test]
fn the_end_is_seen_after_many_answers_as_well() {
    for (end, last) in [(RST | ACK, kind::GATEWAY_CLOSE), (FIN | ACK, kind::GATEWAY_CLOSE)] {
        let connection = Connection::new(1, 1_000);
        let mut probe = Probe::new();
        probe.see(&connection.syn()).see(&connection.hello());
        for offset in 1..=40 {
            probe.see(&connection.by_gateway(offset, 15, ACK, b"x"));
        }
        assert_eq!(probe.events.len(), 1 + usize::from(MAX_ANSWERS));
        probe.see(&connection.by_gateway(41, 15, end, b"x"));
        assert_eq!(probe.kinds().last(), Some(&last));
    }
}

#[test]
fn a_packet_on_two_interfaces_counts_once() {
    let connection = Connection::new(1, 1_000);
    let mut probe = Probe::new();
    for packet in [connection.syn(), connection.hello()] {
        probe.see(&packet).see(&packet);
    }
    for offset in 1..u32::from(MAX_ANSWERS) {
        for ifindex in [2, 7] {
            probe.ifindex = ifindex;
            probe.see(&connection.by_gateway(offset, 15, ACK, b"x"));
        }
    }
    let answers = probe.events.iter().filter(|header| header.kind == kind::GATEWAY_DATA);
    assert_eq!(answers.count(), 2 * (usize::from(MAX_ANSWERS) - 1));
    probe.see(&connection.server_hello());
    assert_eq!(probe.kinds().last(), Some(&kind::GATEWAY_DATA), "not looked away yet");
}

/// Linux advances the numbers of a 4-tuple by 15,625 in a millisecond: those of two connections are near each other.
#[test]
fn a_packet_is_of_the_connection_that_began_last_before_its_number() {
    let old = Connection::new(1, 1_000);
    for later in [3_000, 15_625, 31_250] {
        let new = Connection { isn: old.isn + later, gateway_isn: 9_000_000, ..old };
        let mut probe = Probe::new();
        probe.see(&old.syn()).see(&old.hello());
        probe.see(&new.syn()).see(&new.hello());
        probe.see(&old.hello()).see(&new.reset()).see(&old.reset());
        let isns: Vec<u32> = probe.events.iter().map(|header| header.isn).collect();
        assert_eq!(isns, [old.isn, new.isn, old.isn, new.isn, old.isn], "{later}");
        assert_eq!([0, 1, 2].map(|event| probe.is_first(event)), [true, true, false]);

        // The older one said nothing, and the newer one is done: its data is no hello of the other's.
        let mut probe = Probe::new();
        probe.see(&old.syn()).see(&old.by_client(1, FIN | ACK, &[]));
        probe.see(&new.syn()).see(&new.hello()).see(&new.server_hello());
        for offset in [15, 500, 13_000, 20_000] {
            probe.see(&new.by_client(offset, ACK, b"requests and so on"));
        }
        assert_eq!(probe.kinds(), [kind::CLIENT_DATA, kind::GATEWAY_DATA], "{later}");
    }
}

/// A copy of a hello that the network held back is no hello of another connection.
#[test]
fn a_late_copy_of_a_hello_is_none() {
    let old = Connection::new(1, 0x4000_0000);
    let new = Connection { isn: 1_000, gateway_isn: 9_000_000, ..old };
    for end in [old.server_hello(), old.reset()] {
        let mut probe = Probe::new();
        probe.see(&old.syn()).see(&old.hello()).see(&end);
        probe.see(&new.syn()).see(&old.hello()).see(&new.hello()).see(&old.hello()).see(&new.server_hello());
        probe.see(&old.hello());
        let firsts = probe.events.iter().filter(|header| header.flags & flags::FIRST != 0);
        assert_eq!(firsts.map(|header| header.isn).collect::<Vec<_>>(), [old.isn, new.isn]);
        let mid_stream = probe.events.iter().filter(|header| header.flags & flags::ISN_KNOWN == 0);
        assert_eq!(mid_stream.count(), 0);
    }
}

/// After `TIME_WAIT` Linux adds 65,537 to the last number, and the connection after that may begin below it again.
#[test]
fn the_later_connection_has_the_lower_number() {
    let first = Connection::new(1, 10_746);
    let second = Connection { isn: 10_000, gateway_isn: 9_000_000, ..first };
    let fins = [first.by_client(15, FIN | ACK, &[]), first.by_gateway(1, 16, FIN | ACK, &[])];
    for end in [&[first.server_hello()][..], &[first.by_client(15, RST, &[])], &fins] {
        let mut probe = Probe::new();
        probe.see(&first.syn()).see(&first.hello());
        for packet in end {
            probe.see(packet);
        }
        probe.see(&second.syn());
        probe.events.clear();
        // A hello in two segments, and its answer.
        probe.see(&second.by_client(1, ACK, HELLO)).see(&second.by_client(1_449, ACK, b"its end"));
        probe.see(&second.by_gateway(1, 1_456, ACK, &server_hello()));
        assert_eq!(probe.kinds(), [kind::CLIENT_DATA, kind::CLIENT_DATA, kind::GATEWAY_DATA]);
        assert!(probe.events.iter().all(|header| header.isn == second.isn));
    }
}

/// A client that connects again resets the connection before, of which the gateway still has a part, with a number of that
/// (RFC 9293, section 3.10.7.3). With TCP fast open the new connection has its hello by then.
#[test]
fn a_reset_of_the_connection_before_ends_no_fast_open() {
    let old = Connection::new(1, 10_000);
    let new = Connection { isn: 10_600, gateway_isn: 9_000_000, ..old };
    let last = old.server_hello();
    let reset = old.by_client(15, RST, &[]);
    let hello = frame((1, new.port), (GATEWAY, GATEWAY_PORT), new.isn, 0, SYN, HELLO);
    for before in [&[][..], &[old.syn(), old.hello()], &[old.syn(), old.hello(), old.reset()]] {
        for end in [None, Some(&last)] {
            let mut probe = Probe::new();
            for packet in before.iter().chain(end) {
                probe.see(packet);
            }
            probe.events.clear();
            probe.see(&hello).see(&reset).see(&new.server_hello());
            let isns: Vec<u32> = probe.events.iter().map(|header| header.isn).collect();
            let of_new = probe.events.iter().filter(|header| header.isn == new.isn);
            let kinds: Vec<u8> = of_new.map(|header| header.kind).collect();
            assert_eq!(kinds, [kind::CLIENT_DATA, kind::GATEWAY_DATA], "{isns:?}");
        }
    }
}

/// A port that is used again at once: the numbers of the new connection begin among those of the old one, of which the
/// gateway does not know yet that it is over.
#[test]
fn a_reset_of_the_connection_before_with_a_number_of_the_new_one() {
    let old = Connection::new(1, 10_000);
    let new = Connection { isn: 10_005, gateway_isn: 9_000_000, ..old };
    let mut probe = Probe::new();
    probe.see(&old.syn()).see(&old.hello()).see(&new.syn()).see(&old.by_client(15, RST, &[]));
    probe.see(&new.syn()).see(&new.hello());
    assert_eq!(probe.kinds(), [kind::CLIENT_DATA, kind::CLIENT_CLOSE, kind::CLIENT_DATA]);
    let isns: Vec<u32> = probe.events.iter().map(|header| header.isn).collect();
    assert_eq!(isns, [old.isn, old.isn, new.isn]);
}

/// The numbers of the later connection begin below those of the one before, which has ended: what is expected of the later
/// one, though it has closed its side or the gateway has hung up, is not of the one before.
#[test]
fn a_connection_of_which_more_is_expected_comes_before_one_that_has_ended() {
    let old = Connection::new(1, 10_010);
    let new = Connection { isn: 10_000, gateway_isn: 9_000_000, ..old };
    for end in [old.reset(), old.server_hello()] {
        // The client sends its hello and closes its side.
        let mut probe = Probe::new();
        probe.see(&old.syn()).see(&old.hello()).see(&end).see(&new.syn());
        probe.events.clear();
        probe.see(&new.hello()).see(&new.by_client(15, FIN | ACK, &[]));
        probe.see(&new.by_gateway(1, 16, ACK, &server_hello()));
        assert_eq!(probe.kinds(), [kind::CLIENT_DATA, kind::CLIENT_CLOSE, kind::GATEWAY_DATA]);
        assert!(probe.events.iter().all(|header| header.isn == new.isn));

        // The gateway hangs up before the hello, which comes in two segments that overtake each other.
        for hang_up in [RST | ACK, FIN | ACK] {
            let mut probe = Probe::new();
            probe.see(&old.syn()).see(&old.hello()).see(&end).see(&new.syn());
            probe.events.clear();
            probe.see(&new.by_gateway(1, 1, hang_up, &[])).see(&new.by_client(15, ACK, HELLO));
            assert_eq!(probe.events.len(), 1);
            assert_eq!((probe.events[0].isn, probe.is_first(0)), (new.isn, true));
        }
    }
}

/// The last finished connection of a 4-tuple is remembered, however many there were; and not each takes an entry.
#[test]
fn a_port_that_is_used_many_times() {
    let connection =
        |number: u32| Connection { isn: number.wrapping_mul(0x0123_4567), ..Connection::new(1, 0) };
    let mut probe = Probe::new();
    for number in 1..100 {
        let (old, new) = (connection(number - 1), connection(number));
        probe.see(&new.syn());
        if number > 1 {
            probe.see(&old.hello());
        }
        probe.see(&new.hello()).see(&new.server_hello());
    }
    let firsts = probe.events.iter().filter(|header| header.flags & flags::FIRST != 0);
    assert_eq!(firsts.count(), 99);
    assert!(
        probe.events.iter().all(|header| header.flags & flags::ISN_KNOWN != 0),
        "no late copy is a hello"
    );
    assert_eq!(probe.evicted(), [0; 3]);
    let buckets = (0..BUCKETS).filter_map(|bucket| probe.datapath.bucket(bucket));
    let in_use = buckets.flatten().filter(|entry| entry.stage() != stage::FREE);
    assert_eq!(in_use.count(), 2, "both are done");
}

/// It answers data of a connection that the gateway does not have: RFC 9293, section 3.10.7.1.
#[test]
fn a_reset_without_an_acknowledgement_is_of_the_connection_that_has_spoken() {
    for old_isn in [5, 0x4000_0000, 0xf000_0000] {
        let old = Connection::new(1, old_isn);
        let new = Connection { isn: 0x2000_0000, ..old };
        let bare = frame((GATEWAY, GATEWAY_PORT), (1, old.port), 5_001, 0, RST, &[]);
        let mut probe = Probe::new();
        probe.see(&old.syn()).see(&old.hello()).see(&new.syn()).see(&bare).see(&new.hello());
        assert_eq!(probe.kinds(), [kind::CLIENT_DATA, kind::GATEWAY_CLOSE, kind::CLIENT_DATA], "{old_isn}");
        assert_eq!(probe.events[1].isn, old.isn);
    }
}

/// A part of the table's buckets, so that a test fills them with few connections.
const SOME_BUCKETS: u32 = BUCKETS / 128;
const SOME_ENTRIES: usize = SOME_BUCKETS as usize * WAYS;

/// Connections that fall into these buckets, other ones for each `network`.
fn connections(network: u8) -> impl Iterator<Item = Connection> {
    let clients = u32::from_be_bytes([network, 0, 0, 0])..;
    clients.map(|client| Connection::new(client, client.wrapping_mul(2_654_435_761))).filter(|connection| {
        let addresses = u64::from(connection.client) << 32 | u64::from(GATEWAY);
        let ports = u32::from(connection.port) << 16 | u32::from(GATEWAY_PORT);
        FlowHash::new(SEED, addresses, ports).bucket(BUCKETS) < SOME_BUCKETS
    })
}

/// How many outcomes of so many connections at the same time are missed.
fn missed(probe: &mut Probe, connections: &[Connection]) -> usize {
    for connection in connections {
        probe.see(&connection.syn()).see(&connection.hello());
    }
    probe.events.clear();
    for connection in connections {
        probe.see(&connection.reset());
    }
    connections.len() - probe.events.iter().filter(|header| header.kind == kind::GATEWAY_CLOSE).count()
}

/// As many for their part of the table as 10,000 are for all of it.
fn ten_thousand() -> Vec<Connection> {
    connections(11).take(10_000 / 128).collect()
}

#[test]
fn ten_thousand_at_once_in_a_table_of_connections_that_are_over() {
    type End = fn(Connection) -> Option<Vec<u8>>;
    let ends: [End; 4] = [
        |connection| Some(connection.reset()),
        |connection| Some(connection.by_gateway(1, 15, FIN | ACK, &[])),
        |connection| Some(connection.server_hello()),
        // Never answered: only its age ends it.
        |_| None,
    ];
    for (number, end) in ends.into_iter().enumerate() {
        let mut probe = Probe::new();
        for connection in connections(10).take(6 * SOME_ENTRIES) {
            probe.see(&connection.syn()).see(&connection.hello());
            if let Some(end) = end(connection) {
                probe.see(&end);
            }
            probe.events.clear();
            // A hundred a second in the whole table: 9,000 are younger than the oldest that an entry may be.
            probe.time_ns += 1_280_000_000;
        }
        assert_eq!(probe.evicted(), [0; 3], "{number}: never were there many at once");
        assert_eq!(missed(&mut probe, &ten_thousand()), 0, "{number}");
        assert_eq!(probe.evicted(), [0; 3], "{number}");
    }
}

#[test]
fn an_entry_that_is_too_old_is_followed_until_it_is_taken() {
    let connection = Connection::new(1, 1_000);
    let mut probe = Probe::new();
    probe.see(&connection.syn());
    probe.time_ns += u64::from(MAX_AGE) * DEFAULT_EPOCH_LENGTH;
    // Idle for long, and then it speaks.
    probe.see(&connection.hello()).see(&connection.reset());
    assert_eq!(probe.kinds(), REFUSED);
}

/// Half as many connections again as there are entries, at the same time.
fn fill(probe: &mut Probe, packets: fn(Connection) -> Vec<Vec<u8>>) {
    for connection in connections(10).take(SOME_ENTRIES * 3 / 2) {
        for packet in packets(connection) {
            probe.see(&packet);
        }
    }
    probe.events.clear();
}

#[test]
fn forged_hellos_in_mid_stream_evict_no_real_handshake() {
    let mut probe = Probe::new();
    let real: Vec<Connection> = connections(11).take(200).collect();
    for connection in &real[..100] {
        probe.see(&connection.syn()).see(&connection.hello());
    }
    fill(&mut probe, |connection| vec![connection.hello()]);
    for connection in &real[100..] {
        probe.see(&connection.syn()).see(&connection.hello());
    }
    probe.events.clear();
    for connection in &real {
        probe.see(&connection.reset());
    }
    assert_eq!(probe.kinds(), vec![kind::GATEWAY_CLOSE; 200]);
    let [handshakes, open, mid_stream] = probe.evicted();
    assert_eq!((handshakes, open), (0, 0));
    assert!(mid_stream > 0, "there were more than the table has entries");
}

#[test]
fn a_mid_stream_hello_without_room_says_so() {
    let mut probe = Probe::new();
    fill(&mut probe, |connection| vec![connection.syn(), connection.hello()]);
    let before = probe.evicted();
    for connection in connections(11).take(1_000) {
        probe.see(&connection.hello());
    }
    assert_eq!(probe.events.len(), 1_000, "the hello itself is seen");
    // A bucket in eleven has room, for a few of them.
    let unfollowed =
        probe.events.iter().filter(|header| header.flags & flags::UNFOLLOWED != 0).count() as u64;
    assert!(unfollowed > 800, "{unfollowed}");
    let [handshakes, open, mid_stream] = probe.evicted();
    assert_eq!((handshakes, open), (before[0], before[1]));
    assert!(mid_stream - before[2] >= unfollowed);
}

/// The gateway has reset them, and their hellos are on the way.
#[test]
fn connections_that_are_over_go_before_those_that_the_gateway_has_hung_up_on() {
    let mut probe = Probe::new();
    fill(&mut probe, |connection| vec![connection.syn(), connection.hello(), connection.server_hello()]);
    let closed: Vec<Connection> = connections(7).take(SOME_ENTRIES / 16).collect();
    for connection in &closed {
        probe.see(&connection.syn()).see(&connection.by_gateway(1, 1, RST | ACK, &[]));
    }
    for connection in connections(8).take(SOME_ENTRIES) {
        probe.see(&connection.syn()).see(&connection.hello()).see(&connection.server_hello());
    }
    probe.events.clear();
    for connection in &closed {
        probe.see(&connection.hello());
    }
    let marked = probe.events.iter().filter(|header| header.flags & flags::GATEWAY_CLOSED != 0).count();
    assert_eq!(marked, closed.len());
}

#[test]
fn a_flood_of_syns_evicts_no_handshake() {
    let mut probe = Probe::new();
    let real = ten_thousand();
    for connection in &real {
        probe.see(&connection.syn()).see(&connection.hello());
    }
    fill(&mut probe, |connection| vec![connection.syn()]);
    for connection in &real {
        probe.see(&connection.reset());
    }
    assert_eq!(probe.kinds(), vec![kind::GATEWAY_CLOSE; real.len()]);
    let [handshakes, open, mid_stream] = probe.evicted();
    assert_eq!((handshakes, mid_stream), (0, 0));
    assert!(open > 0, "there are more SYNs than entries");
}

#[test]
fn handshakes_beyond_the_table_are_counted() {
    let mut probe = Probe::new();
    fill(&mut probe, |connection| vec![connection.syn(), connection.hello()]);
    // What found no entry at its SYN is in mid stream at its hello, and is counted for both.
    let [handshakes, open, _] = probe.evicted();
    let lost = SOME_ENTRIES as u64 / 2;
    assert!((lost..lost * 12 / 10).contains(&(handshakes + open)), "{handshakes} {open}");
}
