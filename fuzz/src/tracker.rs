//! The handshake tracker: a sequence of events and of the passing of time.
//!
//! ```text
//! settings ─ what clients say ─ what gateways say ─ step ─ step ─ …
//! ```
//!
//! Every connection has the same bytes to say in either direction; a step sends a part of them, where it
//! belongs or elsewhere, changed or not. So a change of the input is a change of the traffic of some kind,
//! and seldom noise.

use sni_probe_core::observation::{Features, Hello};
use sni_probe_core::tracker::Fingerprints;
use sni_probe_core::vocabulary::{Follow, IncompleteReason, NonTls};
use sni_probe_core::{Observation, TrackerConfig};
use sni_probe_datapath::event::{ANSWER_COPY, Event, EventHeader, flags, kind, tcp_flags};

use crate::input::Input;
use crate::ledger::{Ledger, milliseconds};

/// Connections at most.
const CONNECTIONS: u8 = 4;

/// Bits of the first byte.
mod setting {
    pub(super) const PRELUDES: u8 = 0x01;
    /// The end comes by timeouts, not by [`Tracker::finish`](sni_probe_core::Tracker::finish).
    pub(super) const EXPIRES: u8 = 0x02;
    /// Two bits: flows at once, less one.
    pub(super) const MAX_FLOWS_SHIFT: u8 = 2;
    /// Fingerprints of hellos without a host name only.
    pub(super) const FEW_FINGERPRINTS: u8 = 0x10;
    /// None.
    pub(super) const NO_FINGERPRINTS: u8 = 0x20;
    /// Handshakes are followed beyond the ServerHello.
    pub(super) const FOLLOW_UP: u8 = 0x40;
}

/// Bits of a step's first byte; its lowest three are what it is.
mod step {
    pub(super) const FIN: u8 = 0x08;
    pub(super) const RST: u8 = 0x10;
    /// Of a client: the connection's SYN was not seen. Of a gateway: the packet is far from its place.
    pub(super) const NO_SYN: u8 = 0x20;
    pub(super) const FAR: u8 = NO_SYN;
    pub(super) const NO_ACK: u8 = 0x40;
    /// The bytes are others than those of the stream. Without bytes: the packet is far from its place.
    pub(super) const CHANGED: u8 = 0x80;
}

/// What a step is.
mod kind_of_step {
    /// Data of a client; of [`MARKED`](Self) with bits of the datapath as the variation says.
    pub(super) const MARKED: u8 = 1;
    pub(super) const GATEWAY: u8 = 3;
    pub(super) const CLIENT_CLOSES: u8 = 4;
    pub(super) const GATEWAY_CLOSES: u8 = 5;
    /// The same addresses and ports, another connection; with [`CHANGED`](super::step::CHANGED) the one before goes on.
    pub(super) const RECONNECT: u8 = 6;
    /// Time passes; with [`CHANGED`](super::step::CHANGED) only the next packet's stamp says so, and is wrong.
    pub(super) const WAIT: u8 = 7;
}

/// Takes the bytes for traffic.
///
/// # Panics
///
/// An invariant is broken.
pub fn tracker(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let settings = input.u8();
    let config = TrackerConfig {
        max_flows: usize::from(settings >> setting::MAX_FLOWS_SHIFT & 3) + 1,
        preludes: settings & setting::PRELUDES != 0,
        follow: if settings & setting::FOLLOW_UP == 0 { Follow::Hello } else { Follow::Handshake },
        fingerprints: match settings & (setting::FEW_FINGERPRINTS | setting::NO_FINGERPRINTS) {
            0 => Fingerprints::All,
            setting::FEW_FINGERPRINTS => Fingerprints::WithoutSni,
            _ => Fingerprints::None,
        },
        ..TrackerConfig::default()
    };
    let (client, gateway) = (input.vec16(), input.vec16());
    let mut traffic = Traffic::new(config, client, gateway);
    let mut cuts = Vec::new();
    while !input.is_empty() {
        let step = Step::read(&mut input);
        traffic.step(&step);
        cuts.push(step.at);
    }
    if settings & setting::EXPIRES == 0 {
        traffic.ledger.finish();
    } else {
        traffic.ledger.expire();
    }
    assert_segments_do_not_matter(client, &cuts);
}

/// One step, eight bytes.
#[derive(Clone, Copy, Debug)]
struct Step {
    what: u8,
    connection: u8,
    /// How the bytes differ, and by how many milliseconds the packet is late.
    variation: u8,
    /// Where in the stream the bytes are.
    at: u16,
    len: u16,
    /// How far from there they are sent; or how long to wait, or a new initial sequence number.
    value: u16,
}

impl Step {
    fn read(input: &mut Input<'_>) -> Self {
        let (what, who) = (input.u8(), input.u8());
        let (at, len, value) = (input.u16(), input.u16(), input.u16());
        Self { what, connection: who % CONNECTIONS, variation: who / CONNECTIONS, at, len, value }
    }

    fn has(&self, bit: u8) -> bool {
        self.what & bit != 0
    }

    fn part(&self, stream: &[u8]) -> Vec<u8> {
        let start = usize::from(self.at).min(stream.len());
        let end = (start + usize::from(self.len)).min(stream.len());
        let mut part = stream[start..end].to_vec();
        if self.has(step::CHANGED) {
            for byte in &mut part {
                *byte ^= self.variation;
            }
        }
        part
    }

    /// Where the part is sent to: at its place, or up to 2^15 bytes from it; where it is far, up to 2^31.
    fn offset(&self, is_far: bool) -> u32 {
        let distance = i32::from(self.value.cast_signed()) << if is_far { 16 } else { 0 };
        u32::from(self.at).wrapping_add_signed(distance)
    }

    /// Bits of the datapath.
    fn marks(&self) -> u8 {
        const MARKS: [u8; 4] = [flags::FIRST, flags::CLIENT_CLOSED, flags::GATEWAY_CLOSED, flags::UNFOLLOWED];
        let is_marked = |bit: usize| self.variation >> bit & 1 != 0;
        MARKS.iter().enumerate().filter(|(bit, _)| is_marked(*bit)).map(|(_, mark)| mark).sum()
    }
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    isn: u32,
    gateway_isn: u32,
    /// The ends of what client and gateway have said.
    sent: u32,
    answered: u32,
    /// The client has sent data.
    has_spoken: bool,
}

impl Connection {
    fn new(isn: u32, gateway_isn: u32) -> Self {
        Self { isn, gateway_isn, sent: 0, answered: 0, has_spoken: false }
    }
}

/// Four connections and their tracker.
struct Traffic<'a> {
    ledger: Ledger,
    client: &'a [u8],
    gateway: &'a [u8],
    connections: [Connection; CONNECTIONS as usize],
    /// The connections before, with the same addresses and ports.
    earlier: [Connection; CONNECTIONS as usize],
    /// In milliseconds.
    time: u64,
    /// By how many milliseconds the next packet's stamp is wrong.
    skew: i64,
}

/// Of the first connections.
const ISN: u32 = u32::MAX - 50;
const GATEWAY_ISN: u32 = u32::MAX - 100;

impl<'a> Traffic<'a> {
    fn new(config: TrackerConfig, client: &'a [u8], gateway: &'a [u8]) -> Self {
        let connections = [Connection::new(ISN, GATEWAY_ISN); CONNECTIONS as usize];
        // No packet may be late by more than that.
        let time = 1_000;
        let ledger = Ledger::new(config);
        Self { ledger, client, gateway, connections, earlier: connections, time, skew: 0 }
    }

    fn step(&mut self, step: &Step) {
        self.time += 1;
        let place = usize::from(step.connection);
        match step.what & 7 {
            kind_of_step::GATEWAY => self.gateway(step, &step.part(self.gateway)),
            kind_of_step::CLIENT_CLOSES => self.client(step, &[]),
            kind_of_step::GATEWAY_CLOSES => self.gateway(step, &[]),
            kind_of_step::RECONNECT if step.has(step::CHANGED) => {
                std::mem::swap(&mut self.connections[place], &mut self.earlier[place]);
            }
            kind_of_step::RECONNECT => {
                // The gateway's number is another one each time; the client's may be the same.
                let isn = if step.value == 0 { ISN } else { u32::from(step.value) << 8 };
                let gateway_isn = GATEWAY_ISN.wrapping_add(u32::from(step.variation) << 26);
                self.earlier[place] = self.connections[place];
                self.connections[place] = Connection::new(isn, gateway_isn);
            }
            kind_of_step::WAIT if step.has(step::CHANGED) => {
                self.skew = 10_000 * i64::from(step.value.cast_signed());
            }
            kind_of_step::WAIT => {
                self.time += 10 * u64::from(step.value);
                self.ledger.timeout(milliseconds(self.time));
            }
            _ => self.client(step, &step.part(self.client)),
        }
    }

    fn client(&mut self, step: &Step, data: &[u8]) {
        let connection = self.connections[usize::from(step.connection)];
        let offset = step.offset(data.is_empty() && step.has(step::CHANGED));
        let seq = connection.isn.wrapping_add(1).wrapping_add(offset);
        let mut header = self.header(step, &connection, seq, data.len());
        header.kind =
            if data.is_empty() || step.has(step::RST) { kind::CLIENT_CLOSE } else { kind::CLIENT_DATA };
        header.ack = connection.gateway_isn.wrapping_add(1).wrapping_add(connection.answered);
        if step.has(step::NO_SYN) {
            (header.isn, header.flags) = (seq.wrapping_sub(1), 0);
        }
        if header.kind == kind::CLIENT_CLOSE {
            self.send(header, &[]);
            return;
        }
        if step.what & 7 == kind_of_step::MARKED {
            header.flags |= step.marks();
        } else if !connection.has_spoken && !step.has(step::NO_SYN) {
            header.flags |= flags::FIRST;
        }
        let connection = &mut self.connections[usize::from(step.connection)];
        connection.has_spoken = true;
        connection.sent = connection.sent.max(offset.wrapping_add(header.payload_len));
        self.send(header, data);
    }

    fn gateway(&mut self, step: &Step, data: &[u8]) {
        let connection = self.connections[usize::from(step.connection)];
        let is_far = step.has(step::FAR);
        let offset = step.offset(is_far);
        let seq = connection.gateway_isn.wrapping_add(1).wrapping_add(offset);
        let mut header = self.header(step, &connection, seq, data.len());
        header.ack = connection.isn.wrapping_add(1).wrapping_add(connection.sent);
        if data.is_empty() && step.has(step::CHANGED) {
            header.ack = header.ack.wrapping_add(u32::from(step.len) << 8);
        }
        header.kind =
            if data.is_empty() || step.has(step::RST) { kind::GATEWAY_CLOSE } else { kind::GATEWAY_DATA };
        if header.kind == kind::GATEWAY_CLOSE {
            self.send(header, &[]);
            return;
        }
        if !is_far {
            let connection = &mut self.connections[usize::from(step.connection)];
            connection.answered = connection.answered.max(offset.wrapping_add(header.payload_len));
        }
        self.send(header, &data[..data.len().min(ANSWER_COPY as usize)]);
    }

    fn header(&mut self, step: &Step, connection: &Connection, seq: u32, payload_len: usize) -> EventHeader {
        let mut tcp_flags = if step.has(step::NO_ACK) { 0 } else { tcp_flags::ACK };
        // A packet without payload is an event only because it closes.
        if step.has(step::RST) {
            tcp_flags |= tcp_flags::RST;
        } else if step.has(step::FIN) || payload_len == 0 {
            tcp_flags |= tcp_flags::FIN;
        }
        EventHeader {
            time_ns: milliseconds(self.stamp(step)).0,
            client_addr: [2; 16],
            gateway_addr: [1; 16],
            client_port: 40_000 + u16::from(step.connection),
            gateway_port: 443,
            ifindex: 3,
            isn: connection.isn,
            seq,
            ack: 0,
            payload_len: u32::try_from(payload_len).unwrap_or(u32::MAX),
            data_len: 0,
            kind: 0,
            tcp_flags,
            flags: flags::ISN_KNOWN,
            padding: 0,
        }
    }

    /// When the packet was seen, by its stamp, in milliseconds.
    fn stamp(&mut self, step: &Step) -> u64 {
        let skew = std::mem::take(&mut self.skew);
        (self.time - u64::from(step.variation)).saturating_add_signed(skew)
    }

    fn send(&mut self, header: EventHeader, data: &[u8]) {
        let data_len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        self.ledger.event(&Event { header: EventHeader { data_len, ..header }, data });
    }
}

/// A stream in order leads to the same in one segment and in several.
///
/// (Where preludes are followed, segments do matter: a hello may start where a segment does.)
fn assert_segments_do_not_matter(stream: &[u8], cuts: &[u16]) {
    const MAX_CUTS: usize = 8;
    let mut bounds: Vec<usize> = cuts.iter().take(MAX_CUTS).map(|&cut| usize::from(cut)).collect();
    bounds.retain(|&bound| bound != 0 && bound < stream.len());
    bounds.extend([0, stream.len()]);
    bounds.sort_unstable();
    bounds.dedup();
    assert_eq!(in_segments(stream, &bounds), in_segments(stream, &[0, stream.len()]), "cut at {bounds:?}");
}

/// What a connection comes to, but for what tells of its segments.
#[derive(Debug, PartialEq)]
enum Told {
    NonTls(NonTls),
    Unclassified(IncompleteReason),
    Hello(Box<Hello>),
}

fn in_segments(stream: &[u8], bounds: &[usize]) -> Vec<Told> {
    let mut traffic = Traffic::new(TrackerConfig { max_flows: 1, ..TrackerConfig::default() }, stream, &[]);
    let mut step = Step { what: 0, connection: 0, variation: 0, at: 0, len: 0, value: 0 };
    for bound in bounds.windows(2) {
        step.at = u16::try_from(bound[0]).unwrap_or(u16::MAX);
        traffic.client(&step, &stream[bound[0]..bound[1]]);
    }
    step.what = step::RST;
    traffic.gateway(&step, &[]);
    traffic.ledger.finish().into_iter().filter_map(told).collect()
}

fn told(observation: Observation) -> Option<Told> {
    match observation {
        Observation::ClientHello { .. } | Observation::Evicted { .. } => None,
        Observation::Handshake(handshake) => {
            let mut hello = handshake.hello;
            (hello.segments, hello.features) = (0, Features::default());
            if hello.body.is_none() {
                // More may have begun in a long segment than in the short one that decided.
                hello.records = 0;
            }
            Some(Told::Hello(Box::new(hello)))
        }
        Observation::NonTls { protocol, .. } => Some(Told::NonTls(protocol)),
        Observation::Unclassified { reason, .. } => Some(Told::Unclassified(reason)),
    }
}
