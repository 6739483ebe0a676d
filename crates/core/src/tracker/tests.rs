//! Scenarios: what a driver sees of whole connections.

use sni_probe_testkit::answers::{alert, hello_retry_request, server_hello};
use sni_probe_testkit::hello::ClientHelloBuilder;
use sni_probe_testkit::proxy::{V1 as PROXY_V1, v2_of, v2_with_tlv as proxy_v2};
use sni_probe_testkit::wire::{handshake, record};

use super::awaiting::Awaiting;
use super::*;
use crate::assembler::MAX_GAPS;
use crate::flow::FlowKey;
use crate::observation::{Features, Handshake, Outcome, Sni};
use crate::testing::{Connection, OwnedEvent, sslv2_hello, tls10};
use crate::vocabulary::{
    AlertDescription, AlertSender, Feature, IncompleteReason, NonTls, Prelude, SniClass, TlsVersion,
};

mod ends;
mod flows;
mod outcomes;
mod preludes;
mod properties;
mod reuse;
mod stream;
mod time;

const FIN: u8 = tcp_flags::FIN;
const RST: u8 = tcp_flags::RST;
const SECOND: u64 = 1_000_000_000;

/// A tracker and a connection, whose clock ticks once a microsecond and packet.
struct Scenario {
    tracker: Tracker,
    connection: Connection,
    time: u64,
    /// The connection whose client has spoken.
    spoken: Option<u32>,
    /// Where the streams of client and gateway end.
    ends: [usize; 2],
}

impl Scenario {
    fn new() -> Self {
        Self::with(TrackerConfig::default())
    }

    fn with(config: TrackerConfig) -> Self {
        let connection = Connection::new(40_000);
        Self { tracker: Tracker::new(config), connection, time: 0, spoken: None, ends: [0; 2] }
    }

    fn send(&mut self, event: &OwnedEvent) -> &mut Self {
        self.tracker.handle_event(&event.borrow());
        self.tracker.assert_consistent();
        self
    }

    fn tick(&mut self) -> u64 {
        self.time += 1_000;
        self.time
    }

    /// Another connection with the same addresses and ports.
    fn reconnect(&mut self, isn: u32, gateway_isn: u32) -> &mut Self {
        self.connection = Connection { isn, gateway_isn, ..self.connection };
        (self.spoken, self.ends) = (None, [0; 2]);
        self
    }

    fn client(&mut self, offset: usize, data: &[u8]) -> &mut Self {
        self.client_with(offset, data, 0)
    }

    /// A packet of the client with flags of TCP.
    fn client_with(&mut self, offset: usize, data: &[u8], tcp_flags: u8) -> &mut Self {
        let mut event = self.connection.client(self.tick(), offset, data).with_flags(tcp_flags);
        event.header.ack = event.header.ack.wrapping_add(u32::try_from(self.ends[1]).unwrap());
        if !data.is_empty() && self.connection.syn_seen && self.spoken.replace(self.connection.isn).is_none()
        {
            event = event.marked(flags::FIRST);
        }
        self.ends[0] = self.ends[0].max(offset + data.len());
        self.send(&event)
    }

    fn gateway(&mut self, offset: usize, data: &[u8]) -> &mut Self {
        self.gateway_with(offset, data, 0)
    }

    fn gateway_with(&mut self, offset: usize, data: &[u8], tcp_flags: u8) -> &mut Self {
        let mut event = self.connection.gateway(self.tick(), offset, data).with_flags(tcp_flags);
        event.header.ack = event.header.ack.wrapping_add(u32::try_from(self.ends[0]).unwrap());
        self.ends[1] = self.ends[1].max(offset + data.len());
        self.send(&event)
    }

    fn client_closes(&mut self, flag: u8) -> &mut Self {
        self.client_with(self.ends[0], b"", flag)
    }

    fn gateway_closes(&mut self, flag: u8) -> &mut Self {
        self.gateway_with(self.ends[1], b"", flag)
    }

    /// The gateway closes the connection after so many bytes, which may not have come.
    fn gateway_closes_after(&mut self, offset: usize, flag: u8) -> &mut Self {
        self.gateway_with(offset, b"", flag)
    }

    fn wait(&mut self, seconds: u64) -> &mut Self {
        self.time += seconds * SECOND;
        self.tracker.handle_timeout(Timestamp(self.time));
        self.tracker.assert_consistent();
        self
    }

    fn observations(&mut self) -> Vec<Observation> {
        observations(&mut self.tracker)
    }

    /// The handshake of the one hello that was seen, and nothing else.
    #[track_caller]
    fn handshake(&mut self) -> Handshake {
        let seen = self.observations();
        let [
            Observation::ClientHello { flow, proxied, sni, version, features, incomplete },
            Observation::Handshake(handshake),
        ] = &seen[..]
        else {
            panic!("{seen:#?}");
        };
        let hello = &handshake.hello;
        assert_eq!((*flow, *proxied), (handshake.flow, handshake.proxied));
        assert_eq!((*sni, *incomplete), (hello.sni.class(), hello.incomplete));
        let mut with_answer = *features;
        if hello.features.contains(Feature::HelloRetry) {
            assert!(!features.contains(Feature::HelloRetry));
            with_answer.insert(Feature::HelloRetry);
        }
        assert_eq!(with_answer, hello.features);
        let hello_version = hello.body.as_ref().map_or(TlsVersion::Unknown, |body| body.version);
        assert_eq!(*version, hello_version);
        (**handshake).clone()
    }
}

fn observations(tracker: &mut Tracker) -> Vec<Observation> {
    std::iter::from_fn(|| tracker.poll_observation()).collect()
}

impl Tracker {
    /// Every invariant that can be checked from outside of a step.
    fn assert_consistent(&self) {
        let mut held = 0;
        for (stage, flow) in self.flows.iter() {
            assert_eq!(stage, flow.state.stage());
            held += flow.state.heap_bytes();
        }
        assert_eq!(self.held_bytes, held);
        assert!(held <= MAX_HELD_BYTES);
        assert!(self.flows.len() <= self.config.max_flows);
    }
}

fn hello() -> ClientHelloBuilder {
    ClientHelloBuilder::new()
}

fn features(features: Features) -> Vec<Feature> {
    features.iter().collect()
}

fn by_gateway(description: AlertDescription) -> Outcome {
    Outcome::Alert { description, sender: AlertSender::Gateway }
}

fn flow() -> FlowKey {
    FlowKey { client: "192.0.2.1:40000".parse().unwrap(), gateway: "192.0.2.2:443".parse().unwrap() }
}

fn non_tls(protocol: NonTls) -> Observation {
    Observation::NonTls { flow: flow(), time: Timestamp(1_000), protocol }
}

fn unclassified(reason: IncompleteReason) -> Observation {
    Observation::Unclassified { flow: flow(), reason }
}

// What Envoy does, row by row.

#[test]
fn no_sni_then_reset() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().build()).gateway_closes(RST);
    let seen = scenario.handshake();
    assert_eq!(seen.flow.client, "192.0.2.1:40000".parse().unwrap());
    assert_eq!(seen.flow.gateway, "192.0.2.2:443".parse().unwrap());
    assert_eq!(seen.place.0, 3);
    assert_eq!(seen.time, Timestamp(1_000));
    assert_eq!(seen.latency, Duration::from_micros(1));
    assert_eq!(seen.outcome, Outcome::ResetByGateway);
    assert_eq!(seen.hello.sni, Sni::Absent);
    assert_eq!(seen.hello.length as usize, hello().handshake().len());
    assert_eq!((seen.hello.segments, seen.hello.records), (1, 1));
    assert_eq!(seen.proxied, None);
    assert_eq!(seen.hello.prelude, None);
    assert_eq!(scenario.wait(2).tracker.flows(), 0);
}

#[test]
fn unknown_sni_then_reset() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().server_name("other.example").build()).gateway_closes(RST);
    let seen = scenario.handshake();
    assert_eq!(seen.hello.sni, Sni::Present("other.example".into()));
    assert_eq!(seen.outcome, Outcome::ResetByGateway);
}

#[test]
fn right_sni_and_a_reset_at_the_end_of_a_healthy_session() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().server_name("a.example").build()).gateway(0, &server_hello());
    scenario.gateway_closes(FIN).client_closes(RST);
    assert_eq!(scenario.handshake().outcome, Outcome::ServerHello);
    assert_eq!(scenario.tracker.flows(), 0);
}

#[test]
fn too_old_a_version() {
    let mut scenario = Scenario::new();
    scenario.client(0, &tls10().build()).gateway(0, &alert(2, 70)).gateway_closes(FIN);
    let seen = scenario.handshake();
    assert_eq!(seen.outcome, by_gateway(AlertDescription::ProtocolVersion));
    assert_eq!(seen.hello.body.unwrap().version, TlsVersion::Tls10);
}

#[test]
fn other_protocols() {
    for (bytes, protocol) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], NonTls::Http),
        (b"SSH-2.0-x\r\n", NonTls::Ssh),
        (b"\0\0", NonTls::Other),
    ] {
        let mut scenario = Scenario::new();
        scenario.client(0, bytes).client(bytes.len(), &hello().build()).gateway_closes(RST);
        let flow =
            FlowKey { client: "192.0.2.1:40000".parse().unwrap(), gateway: "192.0.2.2:443".parse().unwrap() };
        let time = Timestamp(1_000);
        assert_eq!(scenario.observations(), [Observation::NonTls { flow, time, protocol }]);
        assert_eq!(scenario.wait(2).tracker.flows(), 0);
    }
}

#[test]
fn silent_client() {
    let mut scenario = Scenario::new();
    scenario.gateway_closes(FIN).client_closes(FIN).client_closes(RST);
    assert_eq!(scenario.observations(), []);
    assert_eq!(scenario.tracker.flows(), 0);
    assert_eq!(scenario.tracker.poll_timeout(), None);
}

#[test]
fn half_a_hello_then_reset() {
    let bytes = hello().build();
    let mut scenario = Scenario::new();
    scenario.client(0, &bytes[..60]).wait(15).gateway_closes(RST);
    let seen = scenario.handshake();
    assert_eq!(seen.hello.sni, Sni::Unknown);
    assert_eq!(seen.hello.incomplete, Some(IncompleteReason::Reset));
    assert_eq!(seen.hello.body, None);
    assert_eq!(seen.hello.length as usize, bytes.len() - 5);
    assert_eq!((seen.hello.segments, seen.hello.records), (1, 1));
    assert_eq!(seen.outcome, Outcome::ResetByGateway);
    assert_eq!(seen.time, Timestamp(1_000), "when it began");
    assert_eq!(seen.latency, Duration::from_nanos(15 * SECOND + 1_000));
}

#[test]
fn two_segments() {
    let bytes = hello().build();
    for cut in [3, 60] {
        let mut scenario = Scenario::new();
        scenario.client(0, &bytes[..cut]).client(cut, &bytes[cut..]).gateway_closes(RST);
        let seen = scenario.handshake();
        assert_eq!(seen.hello.sni, Sni::Absent);
        assert_eq!(seen.hello.segments, 2);
        assert_eq!(features(seen.hello.features), [Feature::MultiSegment]);
        assert_eq!(seen.time, Timestamp(2_000), "when it was whole");
    }
}

#[test]
fn two_and_five_records() {
    for starts in [&[70][..], &[1, 2, 3, 90]] {
        let mut scenario = Scenario::new();
        scenario.client(0, &hello().server_name("a.example").in_records_at(starts)).gateway_closes(RST);
        let seen = scenario.handshake();
        assert_eq!(seen.hello.sni, Sni::Present("a.example".into()));
        assert_eq!(seen.hello.records as usize, starts.len() + 1);
        assert_eq!(features(seen.hello.features), [Feature::MultiRecord]);
    }
}

#[test]
fn post_quantum_in_one_packet_and_in_two() {
    let hello = hello().post_quantum().server_name("a.example");
    let bytes = hello.build();
    assert_eq!(bytes.len(), 1_789);
    let mut scenario = Scenario::new();
    scenario.client(0, &bytes).gateway(0, &server_hello());
    assert_eq!(features(scenario.handshake().hello.features), [Feature::PostQuantum]);
    for hello in [hello.clone(), hello.server_name_last()] {
        let bytes = hello.build();
        let mut scenario = Scenario::new();
        scenario.client(0, &bytes[..1_448]).client(1_448, &bytes[1_448..]).gateway(0, &server_hello());
        let seen = scenario.handshake();
        assert_eq!(seen.hello.sni, Sni::Present("a.example".into()));
        assert_eq!(features(seen.hello.features), [Feature::PostQuantum, Feature::MultiSegment]);
    }
}

#[test]
fn sslv2_format() {
    let mut scenario = Scenario::new();
    let bytes = sslv2_hello(0x0301);
    scenario.client(0, &bytes).gateway_closes(RST);
    let seen = scenario.handshake();
    assert_eq!(seen.hello.sni, Sni::Absent);
    assert_eq!(seen.hello.length as usize, bytes.len());
    assert_eq!(features(seen.hello.features), [Feature::Sslv2]);
    assert!(seen.hello.body.unwrap().sslv2);

    let mut scenario = Scenario::new();
    scenario.client(0, &bytes[..20]).client_closes(FIN);
    let seen = scenario.handshake();
    assert_eq!(seen.hello.incomplete, Some(IncompleteReason::Closed));
    assert_eq!(features(seen.hello.features), [Feature::Sslv2]);
}

#[test]
fn empty_name() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().server_name("").build()).gateway_closes(RST);
    assert_eq!(scenario.handshake().hello.sni, Sni::Empty);
}

#[test]
fn strict_gateways_answer_with_an_alert() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().build()).gateway(0, &alert(2, 112));
    assert_eq!(scenario.handshake().outcome, by_gateway(AlertDescription::UnrecognizedName));
}

#[test]
fn invalid_names_of_load_generators() {
    for name in ["192.0.2.2", "localhost:8443"] {
        let mut scenario = Scenario::new();
        scenario.client(0, &hello().server_name(name).build()).gateway_closes(RST);
        assert_eq!(scenario.handshake().hello.sni, Sni::Invalid(name.into()));
    }
}
