//! The handshake tracker: a sequence of events and of the passing of time.
//!
//! ```text
//! settings ─ what clients say ─ what gateways say ─ step ─ step ─ …
//! ```
//!
//! Every connection has the same bytes to say in either direction; a step sends a part of them, where it
//! belongs or elsewhere, changed or not. So a change of the input is a change of the traffic of some kind,
//! and seldom noise.

use sni_probe_common::event::{ANSWER_COPY, Event, EventHeader, flags, kind, tcp_flags};
use sni_probe_core::observation::{Features, Hello};
use sni_probe_core::tracker::Fingerprints;
use sni_probe_core::vocabulary::{IncompleteReason, NonTls};
use sni_probe_core::{Observation, TrackerConfig};

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
}

/// Bits of a step's first byte; its lowest three are what it is.
mod step {
    pub(super) const FIN: u8 = 0x08;
    pub(super) const RST: u8 = 0x10;
    /// The connection's SYN was not seen.
    pub(super) const NO_SYN: u8 = 0x20;
    pub(super) const NO_ACK: u8 = 0x40;
    /// The bytes are others than those of the stream.
    pub(super) const CHANGED: u8 = 0x80;
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

    /// Where the part is sent to: at its place, or up to 2^15 bytes from it.
    fn offset(&self) -> u32 {
        u32::from(self.at).wrapping_add_signed(self.value.cast_signed().into())
    }
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    isn: u32,
    /// The end of what the gateway has said.
    answered: u32,
}

/// Four connections and their tracker.
struct Traffic<'a> {
    ledger: Ledger,
    client: &'a [u8],
    gateway: &'a [u8],
    connections: [Connection; CONNECTIONS as usize],
    /// In milliseconds.
    time: u64,
}

/// Of all gateways.
const GATEWAY_ISN: u32 = u32::MAX - 100;

impl<'a> Traffic<'a> {
    fn new(config: TrackerConfig, client: &'a [u8], gateway: &'a [u8]) -> Self {
        let connections = [Connection { isn: u32::MAX - 50, answered: 0 }; CONNECTIONS as usize];
        // No packet may be late by more than that.
        Self { ledger: Ledger::new(config), client, gateway, connections, time: 1_000 }
    }

    fn step(&mut self, step: &Step) {
        self.time += 1;
        match step.what & 7 {
            0..=2 => self.client(step, &step.part(self.client)),
            3 => self.gateway(step, &step.part(self.gateway)),
            4 => self.client(step, &[]),
            5 => self.gateway(step, &[]),
            6 => {
                // The same addresses and ports, another connection.
                let isn = u32::from(step.value) << 8;
                self.connections[usize::from(step.connection)] = Connection { isn, answered: 0 };
            }
            _ => {
                self.time += 10 * u64::from(step.value);
                self.ledger.timeout(milliseconds(self.time));
            }
        }
    }

    fn client(&mut self, step: &Step, data: &[u8]) {
        let connection = self.connections[usize::from(step.connection)];
        let seq = connection.isn.wrapping_add(1).wrapping_add(step.offset());
        let kind = if data.is_empty() { kind::CLIENT_CLOSE } else { kind::CLIENT_DATA };
        let mut header = self.header(step, kind, seq, data.len());
        header.ack = GATEWAY_ISN.wrapping_add(1).wrapping_add(connection.answered);
        header.isn = connection.isn;
        header.flags = flags::ISN_KNOWN;
        if step.has(step::NO_SYN) {
            (header.isn, header.flags) = (seq.wrapping_sub(1), 0);
        }
        self.send(header, data);
    }

    fn gateway(&mut self, step: &Step, data: &[u8]) {
        let copied = &data[..data.len().min(ANSWER_COPY as usize)];
        let seq = GATEWAY_ISN.wrapping_add(1).wrapping_add(step.offset());
        let kind = if data.is_empty() { kind::GATEWAY_CLOSE } else { kind::GATEWAY_DATA };
        let header = self.header(step, kind, seq, data.len());
        let connection = &mut self.connections[usize::from(step.connection)];
        connection.answered = connection.answered.max(step.offset().wrapping_add(header.payload_len));
        self.send(header, copied);
    }

    fn header(&self, step: &Step, kind: u8, seq: u32, payload_len: usize) -> EventHeader {
        let mut tcp_flags = if step.has(step::NO_ACK) { 0 } else { tcp_flags::ACK };
        // A packet without payload is an event only because it closes.
        if step.has(step::RST) {
            tcp_flags |= tcp_flags::RST;
        } else if step.has(step::FIN) || payload_len == 0 {
            tcp_flags |= tcp_flags::FIN;
        }
        EventHeader {
            time_ns: milliseconds(self.time - u64::from(step.variation)).0,
            client_addr: [2; 16],
            gateway_addr: [1; 16],
            client_port: 40_000 + u16::from(step.connection),
            gateway_port: 443,
            ifindex: 3,
            isn: 0,
            seq,
            ack: 0,
            payload_len: u32::try_from(payload_len).unwrap_or(u32::MAX),
            data_len: 0,
            kind,
            tcp_flags,
            flags: 0,
            padding: 0,
        }
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
