//! A ledger of generated connections, 10,000 at a time on as many 4-tuples that are used again at once: each handshake is
//! observed exactly once, with its outcome; nothing else is observed; no handshake under way is evicted.
//!
//! `SNI_PROBE_LEDGER_CONNECTIONS` says how many: a few in the usual tests, 10,000,000 in `cargo xtask soak`.

use std::collections::HashMap;
use std::env;

use sni_probe_core::flow::Timestamp;
use sni_probe_core::vocabulary::{Follow, OutcomeClass};
use sni_probe_core::{Observation, Tracker, TrackerConfig};
use sni_probe_datapath::counters::Counter;
use sni_probe_datapath::event::Event;
use sni_probe_datapath::userspace::{Datapath, Frame, Layer};
use sni_probe_testkit::answers::old_server_hello;
use sni_probe_testkit::hello::{ClientHelloBuilder, TLS_1_2};

const VARIABLE: &str = "SNI_PROBE_LEDGER_CONNECTIONS";
const USUAL: u64 = 60_000;
const AT_ONCE: usize = 10_000;
/// Nanoseconds from frame to frame: a connection takes about half a second.
const STEP: u64 = 5_000;
const GATEWAY_PORT: u16 = 443;
const GATEWAY: [u8; 4] = [10, 255, 0, 2];

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    Served,
    ServedInSegments,
    ServedAfterHalfClose,
    Alerted,
    Reset,
    /// Late packets of the connection before come around the hello.
    ResetAmongLatePackets,
    /// The gateway still had the connection before.
    ResetAfterChallenge,
    /// The initial sequence number is that of the connection before.
    ResetWithTheSameNumber,
    ClosedByGateway,
    ResetByClient,
    GatewayClosedFirst,
    Silent,
    WithoutHello,
}

use Behaviour::{
    Alerted, ClosedByGateway, GatewayClosedFirst, Reset, ResetAfterChallenge, ResetAmongLatePackets,
    ResetByClient, ResetWithTheSameNumber, Served, ServedAfterHalfClose, ServedInSegments, Silent,
    WithoutHello,
};

const BEHAVIOURS: [Behaviour; 13] = [
    Served,
    ServedInSegments,
    ServedAfterHalfClose,
    Alerted,
    Reset,
    ResetAmongLatePackets,
    ResetAfterChallenge,
    ResetWithTheSameNumber,
    ClosedByGateway,
    ResetByClient,
    GatewayClosedFirst,
    Silent,
    WithoutHello,
];

impl Behaviour {
    fn outcome(self) -> Option<OutcomeClass> {
        Some(match self {
            Served | ServedInSegments | ServedAfterHalfClose => OutcomeClass::ServerHello,
            Alerted => OutcomeClass::Alert,
            Reset | ResetAmongLatePackets | ResetAfterChallenge | ResetWithTheSameNumber => {
                OutcomeClass::ResetByGateway
            }
            ClosedByGateway => OutcomeClass::ClosedByGateway,
            ResetByClient => OutcomeClass::ResetByClient,
            GatewayClosedFirst => OutcomeClass::GatewayClosedFirst,
            Silent => OutcomeClass::Timeout,
            WithoutHello => return None,
        })
    }
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn number(&mut self) -> u32 {
        self.next().to_le_bytes().first_chunk().copied().map_or(0, u32::from_le_bytes)
    }
}

/// The two ends of a connection, and where their numbers begin.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    client: u32,
    gateway: u32,
}

/// One of the connections that are under way.
struct Connection {
    address: u32,
    id: u64,
    behaviour: Behaviour,
    numbers: Numbers,
    /// Of the connection before.
    old: Numbers,
    /// What is still to come, last first.
    frames: Vec<Vec<u8>>,
}

fn hello(id: u64) -> Vec<u8> {
    let mut random = [0x5a; 32];
    random[..8].copy_from_slice(&id.to_be_bytes());
    ClientHelloBuilder::bare().random(random).build()
}

fn server_hello() -> Vec<u8> {
    old_server_hello(TLS_1_2, 0xc02f)
}

impl Connection {
    fn new(address: u32) -> Self {
        let none = Numbers { client: 0, gateway: 0 };
        Self { address, id: 0, behaviour: WithoutHello, numbers: none, old: none, frames: Vec::new() }
    }

    /// Begins the next connection.
    fn begin(&mut self, id: u64, random: &mut Random) {
        self.id = id;
        self.old = self.numbers;
        let silent_is_rare = random.below(40) != 0;
        loop {
            self.behaviour = BEHAVIOURS[usize::try_from(random.below(13)).expect("a few")];
            if self.behaviour != Silent || !silent_is_rare {
                break;
            }
        }
        self.numbers = Numbers { client: random.number(), gateway: random.number() };
        if self.behaviour == ResetWithTheSameNumber && self.old.client != 0 {
            // The gateway's numbers begin elsewhere, as they do with time (RFC 9293, section 3.4.1).
            self.numbers =
                Numbers { client: self.old.client, gateway: self.old.gateway.wrapping_add(1 << 30) };
        }
        let mut frames = self.script();
        frames.reverse();
        self.frames = frames;
    }

    fn script(&self) -> Vec<Vec<u8>> {
        let hello = hello(self.id);
        let len = u32::try_from(hello.len()).expect("a short hello");
        let end = 1 + len;
        let (us, old) = (self.numbers, self.old);
        let client = |offset, flags, payload: &[u8]| self.by_client(us, offset, flags, payload);
        let gateway = |offset, ack, flags, payload: &[u8]| self.by_gateway(us, offset, ack, flags, payload);
        let mut frames = vec![client(0, SYN, &[]), gateway(0, 1, SYN | ACK, &[]), client(1, ACK, &[])];
        let answer = server_hello();
        let answered = 1 + u32::try_from(answer.len()).expect("a short hello");
        let closed = |frames: &mut Vec<Vec<u8>>| {
            frames.push(client(end, ACK, &[23, 3, 3, 0, 5, 1, 2, 3, 4, 5]));
            frames.push(gateway(answered, end + 10, ACK, &[23, 3, 3, 0, 5, 1, 2, 3, 4, 5]));
            frames.push(client(end + 10, FIN | ACK, &[]));
            frames.push(gateway(answered + 10, end + 11, FIN | ACK, &[]));
        };
        let reset = gateway(1, end, RST | ACK, &[]);
        match self.behaviour {
            Served => {
                frames.extend([client(1, ACK, &hello), gateway(1, end, ACK, &answer)]);
                closed(&mut frames);
            }
            ServedInSegments => {
                frames.push(client(21, ACK, &hello[20..]));
                frames.push(client(1, ACK, &hello[..3]));
                frames.push(client(1, ACK, &hello[..20]));
                frames.push(gateway(1, end, ACK, &answer));
                closed(&mut frames);
            }
            ServedAfterHalfClose => {
                frames.push(client(1, FIN | ACK, &hello));
                frames.push(gateway(1, end + 1, ACK, &answer));
                frames.push(gateway(answered, end + 1, FIN | ACK, &[]));
            }
            Alerted => {
                frames.push(client(1, ACK, &hello));
                frames.push(gateway(1, end, ACK, &[21, 3, 3, 0, 2, 2, 112]));
                frames.push(gateway(8, end, FIN | ACK, &[]));
                frames.push(client(end, FIN | ACK, &[]));
            }
            Reset | ResetWithTheSameNumber => frames.extend([client(1, ACK, &hello), reset]),
            ResetAmongLatePackets => {
                // The initial numbers are as far apart as random ones are, but for one in 10,000.
                let late = [
                    self.by_gateway(old, 1, end, RST | ACK, &[]),
                    self.by_gateway(old, 1, end, FIN | ACK, &[]),
                    self.by_client(old, end, RST, &[]),
                ];
                let is_far = us.client.wrapping_sub(old.client).cast_signed().unsigned_abs() > 1 << 20
                    && us.gateway.wrapping_sub(old.gateway).cast_signed().unsigned_abs() > 1 << 20;
                let late = if is_far { &late[..] } else { &[] };
                frames.extend_from_slice(late);
                frames.push(client(1, ACK, &hello));
                frames.extend_from_slice(late);
                frames.push(reset);
            }
            ResetAfterChallenge => {
                frames.truncate(1);
                frames.push(self.by_gateway(old, 1, 1, ACK, &[]));
                frames.push(self.by_client(old, 1, RST, &[]));
                frames.extend([
                    client(0, SYN, &[]),
                    gateway(0, 1, SYN | ACK, &[]),
                    client(1, ACK, &hello),
                    reset,
                ]);
            }
            ClosedByGateway => {
                frames.push(client(1, ACK, &hello));
                frames.push(gateway(1, end, FIN | ACK, &[]));
                frames.push(client(end, FIN | ACK, &[]));
            }
            ResetByClient => frames.extend([client(1, ACK, &hello), client(end, RST | ACK, &[])]),
            GatewayClosedFirst => {
                frames.push(gateway(1, 1, FIN | ACK, &[]));
                frames.push(client(1, ACK, &hello));
                frames.push(gateway(2, 1, RST, &[]));
            }
            Silent => frames.push(client(1, ACK, &hello)),
            WithoutHello => {
                frames.push(client(1, FIN | ACK, &[]));
                frames.push(gateway(1, 2, FIN | ACK, &[]));
            }
        }
        frames
    }

    fn by_client(&self, numbers: Numbers, offset: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let (seq, ack) = (numbers.client.wrapping_add(offset), numbers.gateway.wrapping_add(1));
        let client = (self.address.to_be_bytes(), 40_000);
        packet(client, (GATEWAY, GATEWAY_PORT), [seq, ack], flags, payload)
    }

    fn by_gateway(&self, numbers: Numbers, offset: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let (seq, ack) = (numbers.gateway.wrapping_add(offset), numbers.client.wrapping_add(ack));
        let client = (self.address.to_be_bytes(), 40_000);
        packet((GATEWAY, GATEWAY_PORT), client, [seq, ack], flags, payload)
    }
}

/// An IPv4 packet. (Checksums are not looked at.)
fn packet(
    from: ([u8; 4], u16),
    to: ([u8; 4], u16),
    [seq, ack]: [u32; 2],
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let total = u16::try_from(40 + payload.len()).expect("a short payload").to_be_bytes();
    let mut bytes = Vec::with_capacity(40 + payload.len());
    bytes.extend_from_slice(&[0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, 6, 0, 0]);
    bytes.extend_from_slice(&from.0);
    bytes.extend_from_slice(&to.0);
    bytes.extend_from_slice(&from.1.to_be_bytes());
    bytes.extend_from_slice(&to.1.to_be_bytes());
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(&if flags & ACK == 0 { 0 } else { ack }.to_be_bytes());
    bytes.extend_from_slice(&[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend_from_slice(payload);
    bytes
}

/// The datapath and the tracker, and what they owe.
struct Probe {
    datapath: Datapath,
    tracker: Tracker,
    time_ns: u64,
    /// Handshakes without an outcome, and the one that each has to get.
    expected: HashMap<u64, (Behaviour, OutcomeClass)>,
    wrong: Vec<String>,
}

impl Probe {
    fn see(&mut self, packet: &[u8]) {
        self.time_ns += STEP;
        let Self { datapath, tracker, time_ns, .. } = self;
        let time_ns = *time_ns;
        tracker.handle_timeout(Timestamp(time_ns));
        let frame = Frame { layer: Layer::Ip, ..Frame::new(packet, time_ns) };
        let mut handle = |event: Event<'_>| tracker.handle_event(&event);
        datapath.client_to_gateway(&frame, &mut handle);
        datapath.gateway_to_client(&frame, &mut handle);
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(observation) = self.tracker.poll_observation() {
            match observation {
                Observation::ClientHello { .. } => {}
                Observation::Handshake(handshake) => {
                    let random = handshake.hello.body.as_ref().and_then(|body| body.random.first_chunk());
                    let id = random.copied().map(u64::from_be_bytes);
                    // These gateways end with the ServerHello.
                    let outcome = match handshake.outcome.class() {
                        answered if answered.is_answered() => OutcomeClass::ServerHello,
                        other => other,
                    };
                    match id.and_then(|id| self.expected.remove(&id)) {
                        Some((_, expected)) if expected == outcome => {}
                        expected => self.wrong.push(format!("{id:?}: {outcome}, expected {expected:?}")),
                    }
                }
                other => self.wrong.push(format!("{other:?}")),
            }
        }
    }
}

#[test]
fn every_generated_handshake_is_observed_once_with_its_outcome() {
    let total = env::var(VARIABLE).map_or(USUAL, |text| text.parse().expect("a number of connections"));
    let mut random = Random(7);
    let mut probe = Probe {
        datapath: Datapath::new([GATEWAY_PORT], 42).with_follow_up(true),
        tracker: Tracker::new(TrackerConfig { follow: Follow::Handshake, ..TrackerConfig::default() }),
        time_ns: 0,
        expected: HashMap::new(),
        wrong: Vec::new(),
    };
    let mut next_address = u32::from_be_bytes([10, 0, 0, 1]);
    let mut address = || {
        next_address += 1;
        next_address
    };
    let mut connections: Vec<Connection> = (0..AT_ONCE).map(|_| Connection::new(address())).collect();
    let mut begun = 0;
    let mut handshakes = 0_u64;
    while !connections.is_empty() {
        let index = usize::try_from(random.below(connections.len() as u64)).expect("a few");
        let connection = &mut connections[index];
        if let Some(frame) = connection.frames.pop() {
            probe.see(&frame);
            continue;
        }
        if begun == total {
            connections.swap_remove(index);
            continue;
        }
        begun += 1;
        if connection.behaviour == Silent {
            // Nobody comes to these ports again before the timeout.
            *connection = Connection::new(address());
        }
        connection.begin(begun, &mut random);
        if let Some(outcome) = connection.behaviour.outcome() {
            handshakes += 1;
            probe.expected.insert(begun, (connection.behaviour, outcome));
        }
        assert!(probe.wrong.is_empty(), "{:#?}", probe.wrong);
    }
    probe.tracker.handle_timeout(Timestamp(probe.time_ns + 200_000_000_000));
    probe.settle();
    assert!(probe.wrong.is_empty(), "{:#?}", probe.wrong);
    assert!(probe.expected.is_empty(), "missed: {:?}", probe.expected);
    let counted = Counter::ALL.map(|counter| (counter, probe.datapath.counter(counter)));
    let counted: Vec<_> = counted.into_iter().filter(|(_, count)| *count > 0).collect();
    println!("{begun} connections, {handshakes} handshakes: missed 0, invented 0; counted {counted:?}");
    assert_eq!(counted, []);
}
