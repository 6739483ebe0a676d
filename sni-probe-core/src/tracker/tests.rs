//! Scenarios: what a driver sees of whole connections.

use super::*;
use crate::assembler::MAX_GAPS;
use crate::flow::FlowKey;
use crate::observation::{Features, Handshake, Outcome, Sni};
use crate::testing::{
    Connection, HelloBuilder, OwnedEvent, PROXY_V1, alert, handshake, hello_retry_request, proxy_v2, record,
    server_hello, sslv2_hello,
};
use crate::vocabulary::{
    AlertDescription, AlertSender, Feature, IncompleteReason, NonTls, Prelude, SniClass, TlsVersion,
};

mod preludes;
mod properties;

const FIN: u8 = tcp_flags::FIN;
const RST: u8 = tcp_flags::RST;
const SECOND: u64 = 1_000_000_000;

/// A tracker and a connection, whose clock ticks once a microsecond and packet.
struct Scenario {
    tracker: Tracker,
    connection: Connection,
    time: u64,
}

impl Scenario {
    fn new() -> Self {
        Self::with(TrackerConfig::default())
    }

    fn with(config: TrackerConfig) -> Self {
        Self { tracker: Tracker::new(config), connection: Connection::new(40_000), time: 0 }
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

    fn client(&mut self, offset: usize, data: &[u8]) -> &mut Self {
        let event = self.connection.client(self.tick(), offset, data);
        self.send(&event)
    }

    fn gateway(&mut self, offset: usize, data: &[u8]) -> &mut Self {
        let event = self.connection.gateway(self.tick(), offset, data);
        self.send(&event)
    }

    fn client_closes(&mut self, flag: u8) -> &mut Self {
        let event = self.connection.client(self.tick(), 0, b"").with_flags(flag);
        self.send(&event)
    }

    fn gateway_closes(&mut self, flag: u8) -> &mut Self {
        let event = self.connection.gateway(self.tick(), 0, b"").with_flags(flag);
        self.send(&event)
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

fn hello() -> HelloBuilder {
    HelloBuilder::new()
}

fn features(features: Features) -> Vec<Feature> {
    features.iter().collect()
}

fn by_gateway(description: AlertDescription) -> Outcome {
    Outcome::Alert { description, sender: AlertSender::Gateway }
}

// What Envoy does, row by row.

#[test]
fn no_sni_then_reset() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().bytes()).gateway_closes(RST);
    let seen = scenario.handshake();
    assert_eq!(seen.flow.client, "192.0.2.1:40000".parse().unwrap());
    assert_eq!(seen.flow.gateway, "192.0.2.2:443".parse().unwrap());
    assert_eq!(seen.ifindex, 3);
    assert_eq!(seen.time, Timestamp(1_000));
    assert_eq!(seen.latency, Duration::from_micros(1));
    assert_eq!(seen.outcome, Outcome::ResetByGateway);
    assert_eq!(seen.hello.sni, Sni::Absent);
    assert_eq!(seen.hello.length as usize, hello().message().len());
    assert_eq!((seen.hello.segments, seen.hello.records), (1, 1));
    assert_eq!(seen.proxied, None);
    assert_eq!(seen.hello.prelude, None);
    assert_eq!(scenario.tracker.flows(), 0);
}

#[test]
fn unknown_sni_then_reset() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().name("other.example").bytes()).gateway_closes(RST);
    let seen = scenario.handshake();
    assert_eq!(seen.hello.sni, Sni::Present("other.example".into()));
    assert_eq!(seen.outcome, Outcome::ResetByGateway);
}

#[test]
fn right_sni_and_a_reset_at_the_end_of_a_healthy_session() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().name("a.example").bytes()).gateway(0, &server_hello());
    scenario.gateway_closes(FIN).client_closes(RST);
    assert_eq!(scenario.handshake().outcome, Outcome::ServerHello);
    assert_eq!(scenario.tracker.flows(), 0);
}

#[test]
fn too_old_a_version() {
    let mut scenario = Scenario::new();
    scenario.client(0, &HelloBuilder::tls10().bytes()).gateway(0, &alert(2, 70)).gateway_closes(FIN);
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
        scenario.client(0, bytes).client(bytes.len(), &hello().bytes()).gateway_closes(RST);
        let flow =
            FlowKey { client: "192.0.2.1:40000".parse().unwrap(), gateway: "192.0.2.2:443".parse().unwrap() };
        let time = Timestamp(1_000);
        assert_eq!(scenario.observations(), [Observation::NonTls { flow, time, protocol }]);
        assert_eq!(scenario.tracker.flows(), 0);
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
    let bytes = hello().bytes();
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
    let bytes = hello().bytes();
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
        scenario.client(0, &hello().name("a.example").in_records(starts)).gateway_closes(RST);
        let seen = scenario.handshake();
        assert_eq!(seen.hello.sni, Sni::Present("a.example".into()));
        assert_eq!(seen.hello.records as usize, starts.len() + 1);
        assert_eq!(features(seen.hello.features), [Feature::MultiRecord]);
    }
}

#[test]
fn post_quantum_in_one_packet_and_in_two() {
    let hello = hello().post_quantum().name("a.example").padded_to(1_784);
    let bytes = hello.bytes();
    assert_eq!(bytes.len(), 1_789);
    let mut scenario = Scenario::new();
    scenario.client(0, &bytes).gateway(0, &server_hello());
    assert_eq!(features(scenario.handshake().hello.features), [Feature::PostQuantum]);
    for name_first in [false, true] {
        let mut hello = hello.clone();
        if name_first {
            hello.extensions.as_mut().unwrap().reverse();
        }
        let bytes = hello.bytes();
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
    scenario.client(0, &hello().name("").bytes()).gateway_closes(RST);
    assert_eq!(scenario.handshake().hello.sni, Sni::Empty);
}

#[test]
fn closed_before_the_hello_then_reset() {
    let mut scenario = Scenario::new();
    scenario.gateway_closes(FIN).client(0, &hello().bytes()).gateway_closes(RST);
    assert_eq!(scenario.handshake().outcome, Outcome::ResetByGateway);
}

#[test]
fn strict_gateways_answer_with_an_alert() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().bytes()).gateway(0, &alert(2, 112));
    assert_eq!(scenario.handshake().outcome, by_gateway(AlertDescription::UnrecognizedName));
}

#[test]
fn invalid_names_of_load_generators() {
    for name in ["192.0.2.2", "localhost:8443"] {
        let mut scenario = Scenario::new();
        scenario.client(0, &hello().name(name).bytes()).gateway_closes(RST);
        assert_eq!(scenario.handshake().hello.sni, Sni::Invalid(name.into()));
    }
}

// Outcomes.

#[test]
fn who_ended_it() {
    for (by_client, flag, outcome) in [
        (true, FIN, Outcome::ClosedByClient),
        (true, RST, Outcome::ResetByClient),
        (true, FIN | RST, Outcome::ResetByClient),
        (false, FIN, Outcome::ClosedByGateway),
        (false, RST, Outcome::ResetByGateway),
    ] {
        let mut scenario = Scenario::new();
        scenario.client(0, &hello().bytes());
        if by_client {
            scenario.client_closes(flag)
        } else {
            scenario.gateway_closes(flag)
        };
        assert_eq!(scenario.handshake().outcome, outcome);
        // Whatever follows is not a second outcome.
        scenario.client_closes(FIN).gateway_closes(RST).wait(1_000);
        assert_eq!(scenario.observations(), []);
        assert_eq!(scenario.tracker.flows(), 0);
    }
}

#[test]
fn data_counts_before_the_close_in_one_packet() {
    let mut scenario = Scenario::new();
    let connection = scenario.connection;
    scenario.send(&connection.client(1, 0, &hello().bytes()).with_flags(FIN));
    assert_eq!(scenario.handshake().outcome, Outcome::ClosedByClient);

    let mut scenario = Scenario::new();
    scenario.client(0, &hello().bytes()).send(&connection.gateway(9, 0, &server_hello()).with_flags(FIN));
    assert_eq!(scenario.handshake().outcome, Outcome::ServerHello);

    let mut scenario = Scenario::new();
    scenario.send(&connection.client(1, 0, &hello().bytes()[..9]).with_flags(RST));
    assert_eq!(scenario.handshake().hello.incomplete, Some(IncompleteReason::Reset));
}

#[test]
fn no_answer_at_all() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().bytes());
    assert_eq!(scenario.tracker.poll_timeout(), Some(Timestamp(30 * SECOND + 1_000)));
    scenario.wait(29);
    assert_eq!(scenario.observations().len(), 1);
    // Retransmissions do not prolong it.
    scenario.client(0, &hello().bytes()).wait(1);
    let seen = scenario.observations();
    let [Observation::Handshake(handshake)] = &seen[..] else { panic!("{seen:#?}") };
    assert_eq!(handshake.outcome, Outcome::Timeout);
    assert_eq!(handshake.latency, Duration::from_nanos(30 * SECOND + 1_000));
    // Nor does a late one count as another hello.
    scenario.wait(60).client(0, &hello().bytes()).wait(120).client(0, &hello().bytes());
    assert_eq!(scenario.observations(), []);
    scenario.wait(130);
    assert_eq!(scenario.tracker.flows(), 0);
}

#[test]
fn the_outcome_has_its_own_time() {
    let bytes = hello().bytes();
    let mut scenario = Scenario::new();
    scenario.client(0, &bytes[..9]).wait(29).client(9, &bytes[9..]).wait(29);
    assert_eq!(scenario.observations().len(), 1);
    scenario.gateway_closes(RST);
    assert_eq!(scenario.observations().len(), 1);
}

#[test]
fn a_hello_that_never_ends() {
    let mut scenario = Scenario::new();
    scenario.client(0, &[0x16]).wait(30);
    let seen = scenario.handshake();
    assert_eq!(seen.hello.incomplete, Some(IncompleteReason::Timeout));
    assert_eq!(seen.hello.length, 0);
    assert_eq!(seen.outcome, Outcome::Timeout);
}

#[test]
fn an_answer_to_half_a_hello() {
    for (answer, outcome) in [
        (server_hello(), Outcome::ServerHello),
        (alert(2, 40), by_gateway(AlertDescription::HandshakeFailure)),
    ] {
        let mut scenario = Scenario::new();
        scenario.client(0, &hello().bytes()[..50]).gateway(0, &answer);
        let seen = scenario.handshake();
        assert_eq!(seen.hello.incomplete, Some(IncompleteReason::NotSeen));
        assert_eq!(seen.hello.sni, Sni::Unknown);
        assert_eq!(seen.outcome, outcome);
    }
}

#[test]
fn an_answer_that_is_no_tls() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().bytes()).gateway(0, b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!(scenario.observations().len(), 1);
    scenario.gateway_closes(FIN);
    let seen = scenario.observations();
    let [Observation::Handshake(handshake)] = &seen[..] else { panic!("{seen:#?}") };
    assert_eq!(handshake.outcome, Outcome::ClosedByGateway);
}

#[test]
fn an_answer_in_tiny_segments() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().bytes());
    for (offset, byte) in server_hello()[..16].iter().enumerate() {
        scenario.gateway(offset, &[*byte]);
    }
    // The datapath may still report the client's next flight.
    scenario.client(hello().bytes().len(), &record(20, &[1])).gateway_closes(FIN);
    assert_eq!(scenario.handshake().outcome, Outcome::ServerHello);
    assert_eq!(scenario.tracker.flows(), 0);
}

#[test]
fn an_answer_out_of_order() {
    let answer = server_hello();
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().bytes()).gateway(8, &answer[8..]).gateway(0, &answer[..8]);
    assert_eq!(scenario.handshake().outcome, Outcome::ServerHello);
}

#[test]
fn a_warning_decides_only_if_nothing_else_comes() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().bytes()).gateway(0, &[alert(1, 112), server_hello()].concat());
    assert_eq!(scenario.handshake().outcome, Outcome::ServerHello);

    let mut scenario = Scenario::new();
    scenario.client(0, &hello().bytes()).gateway(0, &alert(1, 112)).wait(5).gateway_closes(FIN);
    let seen = scenario.handshake();
    assert_eq!(seen.outcome, by_gateway(AlertDescription::UnrecognizedName));
    assert_eq!(seen.latency, Duration::from_micros(1), "when the alert came");
}

#[test]
fn an_alert_of_the_client() {
    let bytes = hello().bytes();
    let early_data = record(23, &[0; 100]);
    for (before, flag) in [(vec![], 0), (early_data, FIN)] {
        let mut scenario = Scenario::new();
        let connection = scenario.connection;
        let behind = [before, alert(2, 48)].concat();
        scenario.client(0, &bytes).send(&connection.client(5_000, bytes.len(), &behind).with_flags(flag));
        scenario.gateway_closes(RST);
        let outcome =
            Outcome::Alert { description: AlertDescription::UnknownCa, sender: AlertSender::Client };
        assert_eq!(scenario.handshake().outcome, outcome);
        assert_eq!(scenario.tracker.flows(), 0);
    }
}

#[test]
fn retry_then_the_real_answer() {
    let bytes = hello().name("a.example").bytes();
    let change = record(20, &[1]);
    let retry = hello_retry_request();
    for (answer, outcome) in [
        (server_hello(), Outcome::ServerHello),
        (alert(2, 47), by_gateway(AlertDescription::IllegalParameter)),
    ] {
        for together in [true, false] {
            let mut scenario = Scenario::new();
            scenario.client(0, &bytes);
            let flight = [&retry[..], &change].concat();
            if together {
                scenario.gateway(0, &flight);
            } else {
                scenario.gateway(0, &retry).gateway(retry.len(), &change);
            }
            let second_hello = [&change[..], &bytes].concat();
            scenario.client(bytes.len(), &second_hello).gateway(flight.len(), &answer);
            let seen = scenario.handshake();
            assert_eq!(seen.outcome, outcome);
            assert_eq!(seen.time, Timestamp(1_000));
            assert_eq!(features(seen.hello.features), [Feature::HelloRetry]);
        }
    }
}

#[test]
fn retry_that_was_not_copied_whole() {
    let mut content = hello_retry_request().split_off(9);
    content.resize(700, 0);
    let retry = [record(22, &handshake(2, &content)), record(20, &[1])].concat();
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().bytes()).gateway(0, &retry).gateway(retry.len(), &server_hello());
    assert_eq!(scenario.handshake().outcome, Outcome::ServerHello);
}

#[test]
fn retry_then_silence_or_reset() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().bytes()).gateway(0, &hello_retry_request()).gateway_closes(RST);
    let seen = scenario.handshake();
    assert_eq!(seen.outcome, Outcome::ResetByGateway);
    assert_eq!(features(seen.hello.features), [Feature::HelloRetry]);
}

// The client's stream.

#[test]
fn every_two_way_split_in_either_order() {
    let hello = hello().name("a.example").alpn(&[b"h2"]);
    for bytes in [hello.bytes(), hello.in_records(&[2, 60])] {
        let mut scenario = Scenario::new();
        scenario.client(0, &bytes).gateway_closes(RST);
        let whole = scenario.handshake().hello;
        for cut in 1..bytes.len() {
            for turned in [false, true] {
                let mut segments = [(0, &bytes[..cut]), (cut, &bytes[cut..])];
                if turned {
                    segments.reverse();
                }
                let mut scenario = Scenario::new();
                scenario.client(segments[0].0, segments[0].1).client(segments[1].0, segments[1].1);
                scenario.gateway_closes(RST);
                let seen = scenario.handshake().hello;
                assert_eq!((&seen.sni, &seen.body, seen.length), (&whole.sni, &whole.body, whole.length));
                assert_eq!(seen.segments, 2);
            }
        }
    }
}

#[test]
fn one_byte_each() {
    let bytes = hello().post_quantum().name("a.example").bytes();
    let mut scenario = Scenario::new();
    for (offset, byte) in bytes.iter().enumerate() {
        scenario.client(offset, &[*byte]);
    }
    scenario.gateway_closes(RST);
    let seen = scenario.handshake().hello;
    assert_eq!(seen.sni, Sni::Present("a.example".into()));
    assert_eq!(seen.segments as usize, bytes.len());
}

#[test]
fn every_prefix_is_unknown() {
    let hello = hello().name("a.example");
    for bytes in [hello.bytes(), hello.in_records(&[1, 40]), HelloBuilder::tls10().bytes()] {
        for len in 1..bytes.len() {
            let mut scenario = Scenario::new();
            scenario.client(0, &bytes[..len]).client_closes(FIN);
            let seen = scenario.handshake();
            assert_eq!(seen.hello.sni, Sni::Unknown, "{len}");
            assert_eq!(seen.hello.incomplete, Some(IncompleteReason::Closed));
        }
    }
}

#[test]
fn overlaps_and_duplicates() {
    let bytes = hello().name("a.example").bytes();
    let mut scenario = Scenario::new();
    scenario.client(20, &bytes[20..60]).client(20, &bytes[20..60]).client(0, &bytes[..30]);
    scenario.client(10, &bytes[10..70]).client(0, &bytes).client(0, &bytes);
    scenario.gateway_closes(RST);
    let seen = scenario.handshake().hello;
    assert_eq!(seen.sni, Sni::Present("a.example".into()));
    assert_eq!(seen.segments, 4, "the duplicate and what came behind the end do not count");
}

#[test]
fn sequence_numbers_wrap_around() {
    let bytes = hello().name("a.example").bytes();
    for isn in [u32::MAX, u32::MAX - 1, u32::MAX - 30, u32::MAX - u32::try_from(bytes.len()).unwrap()] {
        let mut scenario = Scenario::new();
        scenario.connection.isn = isn;
        scenario.connection.gateway_isn = u32::MAX - 5;
        scenario.client(50, &bytes[50..]).client(0, &bytes[..50]);
        scenario.gateway(20, &server_hello()[20..]).gateway(0, &server_hello()[..20]);
        let seen = scenario.handshake();
        assert_eq!(seen.hello.sni, Sni::Present("a.example".into()));
        assert_eq!(seen.outcome, Outcome::ServerHello);
    }
}

#[test]
fn proxy_headers() {
    let bytes = hello().name("a.example").bytes();
    for (header, feature) in [(PROXY_V1.to_vec(), Feature::ProxyV1), (proxy_v2(), Feature::ProxyV2)] {
        let stream = [&header[..], &bytes].concat();
        for cut in 0..stream.len() {
            let mut scenario = Scenario::new();
            if cut > 0 {
                scenario.client(0, &stream[..cut]);
            }
            scenario.client(cut, &stream[cut..]).gateway_closes(RST);
            let seen = scenario.handshake();
            let proxied = seen.proxied.unwrap();
            assert_eq!(proxied.client, "203.0.113.7:56324".parse().unwrap());
            assert_eq!(proxied.destination, "198.51.100.1:443".parse().unwrap());
            assert_eq!(seen.flow.client, "192.0.2.1:40000".parse().unwrap());
            assert_eq!(seen.hello.sni, Sni::Present("a.example".into()));
            assert!(seen.hello.features.contains(feature));
            let prelude = if feature == Feature::ProxyV1 { Prelude::ProxyV1 } else { Prelude::ProxyV2 };
            assert_eq!(seen.hello.prelude, Some(prelude));
            let in_hello = if cut > header.len() { 2 } else { 1 };
            assert_eq!(seen.hello.segments, in_hello, "segments of the hello, not of the header ({cut})");
        }
    }
}

#[test]
fn proxy_header_without_a_hello() {
    for (behind, expected) in [
        (&b""[..], unclassified(IncompleteReason::Closed)),
        (b"GET / HTTP/1.1\r\n", non_tls(NonTls::Http)),
        (PROXY_V1, non_tls(NonTls::Other)),
    ] {
        let mut scenario = Scenario::new();
        scenario.client(0, &[PROXY_V1, behind].concat()).client_closes(FIN);
        assert_eq!(scenario.observations(), [expected]);
    }
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

#[test]
fn too_few_bytes_to_tell() {
    for bytes in [&b"P"[..], b"\r\n\r\n", &[0x80, 0x40]] {
        let mut scenario = Scenario::new();
        scenario.client(0, bytes).gateway_closes(RST);
        assert_eq!(scenario.observations(), [unclassified(IncompleteReason::Reset)]);
    }
    let mut scenario = Scenario::new();
    scenario.client(100, b"the first 100 bytes were lost").gateway(0, &server_hello());
    assert_eq!(scenario.observations(), [unclassified(IncompleteReason::NotSeen)]);
}

#[test]
fn fast_open_and_early_data() {
    let bytes = hello().name("a.example").extension(42, &[]).bytes();
    let mut scenario = Scenario::new();
    let mut event = scenario.connection.client(1, 0, &[bytes.clone(), record(23, &[9; 300])].concat());
    // The SYN acknowledges nothing.
    event.header.tcp_flags = tcp_flags::SYN;
    event.header.ack = 0;
    scenario.send(&event).client(bytes.len() + 305, &record(23, &[9; 300])).gateway(0, &server_hello());
    let seen = scenario.handshake();
    assert_eq!(seen.outcome, Outcome::ServerHello);
    assert_eq!(features(seen.hello.features), [Feature::EarlyData]);
    assert_eq!(seen.hello.segments, 1);
}

#[test]
fn early_data_that_overtakes_the_hello_is_no_segment_of_it() {
    let bytes = hello().bytes();
    let mut scenario = Scenario::new();
    scenario.client(bytes.len(), &record(23, &[9; 30])).client(0, &bytes).gateway_closes(RST);
    assert_eq!(scenario.handshake().hello.segments, 1);
}

#[test]
fn picked_up_in_mid_stream() {
    let bytes = hello().name("a.example").bytes();
    let mut scenario = Scenario::new();
    scenario.connection.syn_seen = false;
    scenario.client(70_000, &bytes[..40]).client(70_040, &bytes[40..]).gateway(0, &server_hello());
    assert_eq!(scenario.handshake().hello.sni, Sni::Present("a.example".into()));
}

#[test]
fn bytes_that_are_no_part_of_the_stream() {
    let mut scenario = Scenario::new();
    let connection = scenario.connection;
    let mut keep_alive = connection.client(1, 0, b"x");
    keep_alive.header.seq = connection.isn;
    scenario.send(&keep_alive).client(16_384, b"x").client(usize::from(u16::MAX), b"x");
    assert_eq!(scenario.tracker.flows(), 0);
    scenario.client(0, &hello().bytes()).send(&keep_alive).gateway_closes(RST);
    assert_eq!(scenario.handshake().outcome, Outcome::ResetByGateway);
}

#[test]
fn malformed_hellos_await_their_outcome() {
    for (bytes, reason, length) in [
        (record(22, &[1, 0, 0, 1, 3]), IncompleteReason::Malformed, 5),
        (vec![22, 3, 1, 0, 0], IncompleteReason::Malformed, 0),
        (vec![22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc], IncompleteReason::TooLarge, 16_384),
    ] {
        let mut scenario = Scenario::new();
        scenario.client(0, &bytes);
        assert_eq!(scenario.observations().len(), 1, "counted at once");
        scenario.gateway(0, &alert(2, 50));
        let seen = scenario.observations();
        let [Observation::Handshake(handshake)] = &seen[..] else { panic!("{seen:#?}") };
        assert_eq!(handshake.hello.sni, Sni::Unknown);
        assert_eq!(handshake.hello.incomplete, Some(reason));
        assert_eq!(handshake.hello.length, length);
        assert_eq!(handshake.outcome, by_gateway(AlertDescription::DecodeError));
    }
}

#[test]
fn longest_hello() {
    let bytes = hello().name("a.example").padded_to(16_379).bytes();
    let mut scenario = Scenario::new();
    for (at, segment) in bytes.chunks(1_448).enumerate() {
        scenario.client(at * 1_448, segment);
    }
    scenario.gateway_closes(RST);
    let seen = scenario.handshake().hello;
    assert_eq!(seen.sni, Sni::Present("a.example".into()));
    assert_eq!(seen.segments, 12);
}

#[test]
fn too_many_gaps() {
    let bytes = hello().bytes();
    let mut scenario = Scenario::new();
    scenario.client(0, &bytes[..10]);
    for gap in 0..=MAX_GAPS {
        let at = 20 + 2 * gap;
        scenario.client(at, &bytes[at..=at]);
    }
    scenario.gateway_closes(RST);
    let seen = scenario.handshake();
    assert_eq!(seen.hello.incomplete, Some(IncompleteReason::TooManyGaps));
    assert_eq!(seen.outcome, Outcome::ResetByGateway);

    let mut scenario = Scenario::new();
    for gap in 0..=MAX_GAPS {
        scenario.client(1 + 2 * gap, b"x");
    }
    scenario.gateway_closes(RST);
    assert_eq!(scenario.observations(), [unclassified(IncompleteReason::TooManyGaps)]);
}

// The end of a capture.

#[test]
fn each_open_hello_is_unfinished() {
    let bytes = hello().bytes();
    let mut tracker = Tracker::new(TrackerConfig::default());
    let streams = [&bytes[..], &bytes[..40], b"GET / HTTP/1.1\r\n", b"P"];
    for (port, data) in (1..).zip(streams) {
        tracker.handle_event(&Connection::new(port).client(u64::from(port), 0, data).borrow());
    }
    let answered = Connection::new(9);
    tracker.handle_event(&answered.client(5, 0, &bytes).borrow());
    tracker.handle_event(&answered.gateway(9_005, 0, &server_hello()).borrow());
    assert_eq!(observations(&mut tracker).len(), 4);
    tracker.finish();
    let seen = observations(&mut tracker);
    let [
        Observation::Handshake(whole),
        Observation::ClientHello { incomplete: Some(IncompleteReason::Unfinished), .. },
        Observation::Handshake(half),
        Observation::Unclassified { reason: IncompleteReason::Unfinished, .. },
    ] = &seen[..]
    else {
        panic!("{seen:#?}")
    };
    assert_eq!((whole.outcome, half.outcome), (Outcome::Unfinished, Outcome::Unfinished));
    assert_eq!(half.hello.incomplete, Some(IncompleteReason::Unfinished));
    assert_eq!(whole.latency, Duration::from_nanos(9_004), "to the last event");
    assert_eq!((tracker.flows(), tracker.held_bytes, tracker.poll_timeout()), (0, 0, None));
}

#[test]
fn a_warning_at_the_end_of_a_capture() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().bytes()).gateway(0, &alert(1, 112));
    scenario.tracker.finish();
    assert_eq!(scenario.handshake().outcome, by_gateway(AlertDescription::UnrecognizedName));
}

// Many connections.

#[test]
fn port_reuse() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().name("old.example").bytes());
    scenario.connection.isn = 99;
    scenario.client(0, &hello().name("new.example").bytes()).gateway_closes(RST);
    let seen = scenario.observations();
    let [
        Observation::ClientHello { .. },
        Observation::Handshake(old),
        Observation::Evicted { reason: EvictionReason::PortReuse },
        Observation::ClientHello { .. },
        Observation::Handshake(new),
    ] = &seen[..]
    else {
        panic!("{seen:#?}")
    };
    assert_eq!((old.hello.sni.name(), old.outcome), (Some("old.example"), Outcome::Evicted));
    assert_eq!((new.hello.sni.name(), new.outcome), (Some("new.example"), Outcome::ResetByGateway));
}

#[test]
fn port_reuse_seen_at_the_close_or_without_a_syn() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().bytes()[..9]);
    scenario.connection.isn = 99;
    scenario.client_closes(FIN);
    let seen = scenario.observations();
    assert!(matches!(
        seen[..],
        [
            Observation::ClientHello { incomplete: Some(IncompleteReason::Evicted), .. },
            Observation::Handshake(_),
            Observation::Evicted { reason: EvictionReason::PortReuse },
        ]
    ));

    let mut scenario = Scenario::new();
    scenario.client(0, &hello().bytes());
    scenario.connection.syn_seen = false;
    scenario.client(0, &hello().bytes()).client(500_000, &hello().bytes());
    assert_eq!(scenario.observations().len(), 4);
    assert_eq!(scenario.tracker.flows(), 1);
}

#[test]
fn at_capacity_the_oldest_goes() {
    let config = TrackerConfig { max_flows: 3, ..TrackerConfig::default() };
    let mut tracker = Tracker::new(config);
    assert_eq!(tracker.capacity(), 3);
    let bytes = hello().bytes();
    let mut send = |port: u16, data: &[u8]| {
        tracker.handle_event(&Connection::new(port).client(u64::from(port), 0, data).borrow());
        tracker.assert_consistent();
        observations(&mut tracker)
    };
    send(1, &bytes[..9]);
    send(2, &bytes);
    send(3, b"GET / HTTP/1.1\r\n");
    // One of which nothing more is to be learned goes first, and is no loss.
    let seen = send(4, &bytes);
    assert!(matches!(seen[..], [Observation::ClientHello { .. }]), "{seen:#?}");
    let seen = send(5, b"P");
    let [
        Observation::ClientHello { incomplete: Some(IncompleteReason::Evicted), .. },
        Observation::Handshake(first),
        Observation::Evicted { reason: EvictionReason::Capacity },
    ] = &seen[..]
    else {
        panic!("{seen:#?}")
    };
    assert_eq!((first.flow.client.port(), first.outcome), (1, Outcome::Evicted));
    let seen = send(6, &bytes);
    assert!(matches!(
        seen[..],
        [Observation::Handshake(_), Observation::Evicted { .. }, Observation::ClientHello { .. },]
    ));
    send(7, &bytes);
    let seen = send(8, &bytes);
    assert!(matches!(seen[0], Observation::Unclassified { reason: IncompleteReason::Evicted, .. }));
    assert_eq!(tracker.flows(), 3);
}

#[test]
fn a_flood_of_half_hellos_stays_within_its_bound() {
    let mut tracker = Tracker::new(TrackerConfig::default());
    let bytes = hello().padded_to(16_379).bytes();
    let mut evicted = 0;
    for port in 1..6_000 {
        tracker.handle_event(&Connection::new(port).client(u64::from(port), 0, &bytes[..16_000]).borrow());
        assert!(tracker.held_bytes <= MAX_HELD_BYTES);
        let is_eviction = |seen: &Observation| matches!(seen, Observation::Evicted { .. });
        evicted += observations(&mut tracker).into_iter().filter(is_eviction).count();
    }
    tracker.assert_consistent();
    assert!((3_500..=4_300).contains(&tracker.flows()), "{}", tracker.flows());
    assert_eq!(tracker.flows() + evicted, 5_999);
}

#[test]
fn memory_of_100_000_flows() {
    let mut tracker = Tracker::new(TrackerConfig::default());
    let bytes = hello().name("api-test.mydomain.com").alpn(&[b"h2", b"http/1.1"]).bytes();
    for flow in 0..100_000_u32 {
        let mut event = Connection::new(1).client(1, 0, &bytes);
        event.header.client_addr[12..].copy_from_slice(&flow.to_be_bytes());
        tracker.handle_event(&event.borrow());
        while tracker.poll_observation().is_some() {}
    }
    assert_eq!(tracker.flows(), 100_000);
    assert_eq!(FlowTable::<Flow>::SLOT_BYTES, 80);
    assert_eq!(State::AWAITING_BYTES, 72);
    // Two allocations a flow; glibc adds 8 bytes to each and rounds up to 16. The table grows by
    // doubling; what of it is not used yet is not resident either.
    let fields = tracker.held_bytes / 100_000;
    let allocated = |bytes: usize| (bytes + 8).next_multiple_of(16);
    let flow = FlowTable::<Flow>::SLOT_BYTES + allocated(State::AWAITING_BYTES) + allocated(fields);
    assert!(100_000 * flow < 30 << 20, "{flow} bytes a flow");
    assert!(tracker.flows.heap_bytes() < 12 << 20, "{} bytes of table", tracker.flows.heap_bytes());
}

#[test]
fn packing_a_hello_keeps_all_of_it() {
    let full = hello().name("a.example").alpn(&[b"h2", b"http/1.1", b""]).post_quantum();
    let segments = [full.bytes(), HelloBuilder::tls10().bytes(), sslv2_hello(0x0002)];
    let invalid = hello().extension(0, &[0xff; 400]).bytes();
    for bytes in segments.into_iter().chain([invalid]) {
        let mut scenario = Scenario::new();
        scenario.client(0, &bytes).gateway_closes(RST);
        let crate::opening::Content::Hello(whole) = crate::opening::read(&bytes).content else { panic!() };
        let seen = scenario.handshake().hello;
        assert_eq!(seen.sni, whole.hello.sni);
        assert_eq!(seen.body, Some(whole.hello.into_body(true)));
    }
}

#[test]
fn fingerprints_only_of_those_that_are_wanted() {
    for (fingerprints, of_named, of_nameless) in [
        (Fingerprints::All, true, true),
        (Fingerprints::WithoutSni, false, true),
        (Fingerprints::None, false, false),
    ] {
        for (hello, expected) in [(hello().name("a.example"), of_named), (hello(), of_nameless)] {
            let mut scenario = Scenario::with(TrackerConfig { fingerprints, ..TrackerConfig::default() });
            scenario.client(0, &hello.bytes()).gateway_closes(RST);
            let body = scenario.handshake().hello.body.unwrap();
            assert_eq!((body.ja3.is_some(), body.ja4.is_some()), (expected, expected));
        }
    }
}

#[test]
fn times_a_little_out_of_order() {
    let mut scenario = Scenario::new();
    let connection = scenario.connection;
    scenario.send(&connection.client(5_000, 0, &hello().bytes()));
    scenario.send(&Connection::new(2).client(4_000, 0, &hello().bytes()));
    scenario.send(&connection.gateway(4_500, 0, b"").with_flags(RST));
    let seen = scenario.observations();
    let Observation::Handshake(handshake) = &seen[2] else { panic!("{seen:#?}") };
    assert_eq!(handshake.latency, Duration::ZERO);
    assert_eq!(scenario.tracker.poll_timeout(), Some(Timestamp(30 * SECOND + 5_000)));
}

#[test]
fn events_of_a_later_version() {
    let mut scenario = Scenario::new();
    let mut event = scenario.connection.client(1, 0, &hello().bytes());
    event.header.kind = 99;
    scenario.send(&event);
    assert_eq!(scenario.observations(), []);
}

#[test]
fn labels_of_a_hello() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().name("a.example").bytes());
    let [
        Observation::ClientHello {
            sni: SniClass::Present, version: TlsVersion::Tls13, incomplete: None, ..
        },
    ] = scenario.observations()[..]
    else {
        panic!()
    };
}
