//! Hellos behind something else: found where preludes are followed, not looked for elsewhere.

use proptest::prelude::*;
use sni_probe_datapath::flow_table::MAX_ANSWERS;

use super::*;
use crate::assembler::MAX_STREAM_BYTES;
use crate::testing::PRELUDES;

/// What a gateway or proxy says to a prelude.
const ANSWER: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

fn config() -> TrackerConfig {
    TrackerConfig { preludes: true, ..TrackerConfig::default() }
}

impl Scenario {
    fn following() -> Self {
        Self::with(config())
    }
}

fn named() -> Vec<u8> {
    hello().server_name("a.example").build()
}

#[test]
fn behind_each_prelude() {
    for &(prelude, before) in PRELUDES {
        let mut scenario = Scenario::following();
        scenario.client(0, before).gateway(0, ANSWER);
        assert_eq!(scenario.observations(), []);
        let bytes = named();
        let (start, end) = (before.len(), ANSWER.len());
        scenario.client(start, &bytes[..40]).client(start + 40, &bytes[40..]);
        scenario.gateway(end, &server_hello());
        let seen = scenario.handshake();
        assert_eq!(seen.hello.prelude, Some(prelude));
        assert_eq!(seen.hello.sni, Sni::Present("a.example".into()));
        assert_eq!(seen.hello.segments, 2);
        assert_eq!(seen.time, Timestamp(4_000), "when it was whole");
        assert_eq!(seen.outcome, Outcome::ServerHello, "{prelude}");
        assert_eq!(seen.latency, Duration::from_micros(1));
        assert_eq!(scenario.tracker.flows(), 0);
    }
}

#[test]
fn not_looked_for_by_default() {
    for &(_, before) in PRELUDES {
        let mut scenario = Scenario::new();
        scenario.client(0, before).gateway(0, ANSWER).client(before.len(), &named());
        scenario.gateway_closes(RST);
        let seen = scenario.observations();
        assert!(matches!(seen[..], [Observation::NonTls { .. }]), "{seen:#?}");
    }
}

#[test]
fn split_anywhere_and_in_either_order() {
    let bytes = named();
    for &(prelude, before) in PRELUDES {
        let stream = [before, &bytes].concat();
        for cut in 0..stream.len() {
            for turned in [false, true] {
                let mut segments = [(0, &stream[..cut]), (cut, &stream[cut..])];
                if turned {
                    segments.reverse();
                }
                let mut scenario = Scenario::following();
                for (offset, segment) in segments {
                    if !segment.is_empty() {
                        scenario.client(offset, segment);
                    }
                }
                scenario.gateway_closes(RST);
                let seen = scenario.handshake();
                assert_eq!(seen.hello.prelude, Some(prelude), "{cut}");
                assert_eq!(seen.hello.sni.name(), Some("a.example"));
                assert_eq!(seen.hello.segments, if cut > before.len() { 2 } else { 1 });
                assert_eq!(seen.outcome, Outcome::ResetByGateway);
            }
        }
    }
}

#[test]
fn one_byte_each_behind_a_prelude() {
    for &(prelude, before) in PRELUDES {
        let mut scenario = Scenario::following();
        for (offset, byte) in [before, &named()].concat().iter().enumerate() {
            scenario.client(offset, &[*byte]);
        }
        scenario.gateway_closes(RST);
        assert_eq!(scenario.handshake().hello.prelude, Some(prelude));
    }
}

#[test]
fn behind_a_protocol_that_is_not_known() {
    let mut scenario = Scenario::following();
    scenario.client(0, b"NXSH-7.0.1\n").gateway(0, b"NXSH-7.0.1\n").client(11, &named());
    scenario.gateway(11, &alert(2, 112));
    let seen = scenario.handshake();
    assert_eq!(seen.hello.prelude, Some(Prelude::Other));
    assert_eq!(seen.outcome, by_gateway(AlertDescription::UnrecognizedName));
}

#[test]
fn a_hello_inside_an_upload_is_none() {
    let upload = [b"POST / HTTP/1.1\r\nContent-Length: 900\r\n\r\n", &named()[..]].concat();
    let mut scenario = Scenario::following();
    scenario.client(0, &upload).gateway(0, b"HTTP/1.1 200 OK\r\n\r\n").gateway_closes(FIN);
    assert_eq!(scenario.observations(), [non_tls(NonTls::Http)]);
}

#[test]
fn behind_a_proxy_header_and_a_prelude() {
    let before = b"EHLO mail.example\r\nSTARTTLS\r\n";
    for header in [PROXY_V1.to_vec(), proxy_v2()] {
        let mut scenario = Scenario::following();
        scenario.client(0, &header).client(header.len(), before).gateway(0, b"220 ready\r\n");
        scenario.client(header.len() + before.len(), &named()).gateway(11, &server_hello());
        let seen = scenario.handshake();
        assert_eq!(seen.hello.prelude, Some(Prelude::Smtp));
        assert_eq!(seen.proxied.unwrap().client, "203.0.113.7:56324".parse().unwrap());
        assert_eq!(seen.outcome, Outcome::ServerHello);
    }
}

#[test]
fn sslv2_behind_a_prelude() {
    let mut scenario = Scenario::following();
    scenario.client(0, &[PRELUDES[0].1, &sslv2_hello(0x0301)].concat()).gateway_closes(RST);
    assert!(scenario.handshake().hello.body.unwrap().sslv2);
}

/// A client that does not wait: the prelude's answer comes when the hello is there.
#[test]
fn an_answer_to_the_prelude_behind_the_hello() {
    let bytes = named();
    let (half, rest) = bytes.split_at(100);
    for &(_, before) in PRELUDES {
        let together = [before, &bytes].concat();
        let mut scenario = Scenario::following();
        scenario.client(0, &together).gateway(0, ANSWER).gateway(ANSWER.len(), &server_hello());
        assert_eq!(scenario.handshake().outcome, Outcome::ServerHello);

        // The same in segments out of order, the last of them cut.
        let mut scenario = Scenario::following();
        scenario.client(0, &together).gateway(ANSWER.len(), &server_hello()).gateway(20, &ANSWER[20..]);
        scenario.gateway(0, &ANSWER[..20]);
        assert_eq!(scenario.handshake().outcome, Outcome::ServerHello);

        // Between the hello's two segments.
        let mut scenario = Scenario::following();
        scenario.client(0, &[before, half].concat()).gateway(0, ANSWER);
        scenario.client(before.len() + half.len(), rest).gateway(ANSWER.len(), &alert(2, 40));
        assert_eq!(scenario.handshake().outcome, by_gateway(AlertDescription::HandshakeFailure));
    }
}

#[test]
fn a_retry_behind_a_prelude() {
    let mut scenario = Scenario::following();
    scenario.client(0, PRELUDES[0].1).gateway(0, ANSWER);
    let (start, end) = (PRELUDES[0].1.len(), ANSWER.len());
    scenario.client(start, &named()).gateway(end, &hello_retry_request());
    scenario.client(start + named().len(), &named());
    scenario.gateway(end + hello_retry_request().len(), &server_hello());
    let seen = scenario.handshake();
    assert_eq!(seen.outcome, Outcome::ServerHello);
    assert_eq!(features(seen.hello.features), [Feature::HelloRetry]);
}

#[test]
fn no_hello_ever() {
    for (bytes, protocol) in
        [(GET, NonTls::Http), (b"SSH-2.0-x\r\n", NonTls::Ssh), (PRELUDES[9].1, NonTls::Other)]
    {
        let ends: [fn(&mut Scenario); 6] = [
            |scenario| {
                scenario.client_closes(FIN);
            },
            |scenario| {
                scenario.client_closes(RST);
            },
            |scenario| {
                scenario.gateway_closes(FIN);
            },
            |scenario| {
                scenario.gateway_closes(RST);
            },
            |scenario| {
                scenario.wait(30);
            },
            |scenario| scenario.tracker.finish(),
        ];
        for end in ends {
            let mut scenario = Scenario::following();
            scenario.client(0, bytes).gateway(0, ANSWER).client(bytes.len(), b"more");
            assert_eq!(scenario.observations(), []);
            end(&mut scenario);
            assert_eq!(scenario.observations(), [non_tls(protocol)]);
            scenario.tracker.finish();
            assert_eq!(scenario.observations(), []);
        }
    }
}

#[test]
fn an_alert_to_other_bytes() {
    let mut scenario = Scenario::following();
    scenario.client(0, GET).gateway(0, &alert(2, 10));
    assert_eq!(scenario.observations(), [non_tls(NonTls::Http)]);
}

#[test]
fn as_many_answers_as_the_datapath_reports() {
    let mut scenario = Scenario::following();
    scenario.client(0, GET);
    let last = usize::from(MAX_ANSWERS) - 1;
    for answer in 0..last {
        scenario.gateway(answer, b"x");
    }
    assert_eq!(scenario.observations(), []);
    scenario.gateway(last, b"x");
    assert_eq!(scenario.observations(), [non_tls(NonTls::Http)]);
}

#[test]
fn the_window_ends() {
    let bytes = named();
    let before = PRELUDES[0].1;
    for (start, is_whole) in
        [(MAX_STREAM_BYTES - bytes.len(), true), (MAX_STREAM_BYTES - bytes.len() + 1, false)]
    {
        let mut prelude = before.to_vec();
        let room = start - before.len();
        prelude.splice(
            before.len() - 2..before.len() - 2,
            [b"X: ", &vec![b'x'; room - 5][..], b"\r\n"].concat(),
        );
        assert_eq!(prelude.len(), start);
        let mut scenario = Scenario::following();
        scenario.client(0, &prelude).client(start, &bytes).gateway_closes(RST);
        let seen = scenario.handshake();
        assert_eq!(seen.hello.prelude, Some(Prelude::HttpConnect));
        assert_eq!(seen.hello.incomplete, (!is_whole).then_some(IncompleteReason::TooLarge));
    }
    let mut scenario = Scenario::following();
    scenario.client(0, &[b'x'; MAX_STREAM_BYTES - 1]);
    assert_eq!(scenario.observations(), []);
    scenario.client(MAX_STREAM_BYTES - 1, b"x");
    assert_eq!(scenario.observations(), [non_tls(NonTls::Other)]);
    assert_eq!(scenario.tracker.held_bytes, 0);
}

#[test]
fn half_a_hello_behind_a_prelude() {
    let bytes = named();
    let before = PRELUDES[0].1;
    let mut scenario = Scenario::following();
    scenario.client(0, before).client(before.len(), &bytes[..60]).gateway_closes(RST);
    let seen = scenario.handshake();
    assert_eq!(seen.hello.incomplete, Some(IncompleteReason::Reset));
    assert_eq!(seen.hello.prelude, Some(Prelude::HttpConnect));
    assert_eq!(seen.hello.length as usize, bytes.len() - 5);
    assert_eq!(seen.time, Timestamp(2_000), "when the hello began");

    // Its other half was not seen.
    let mut scenario = Scenario::following();
    scenario.client(0, before).gateway(0, ANSWER).client(before.len(), &bytes[..60]);
    scenario.gateway(ANSWER.len(), &server_hello());
    let seen = scenario.handshake();
    assert_eq!(seen.hello.incomplete, Some(IncompleteReason::NotSeen));
    assert_eq!(seen.outcome, Outcome::ServerHello);

    // All of it was not seen.
    let mut scenario = Scenario::following();
    scenario.client(0, before).gateway(0, ANSWER).gateway(ANSWER.len(), &server_hello());
    scenario.gateway_closes(FIN);
    assert_eq!(scenario.observations().len(), 1);
}

#[test]
fn half_a_hello_at_the_start() {
    let mut scenario = Scenario::following();
    scenario.client(0, &named()[..60]).gateway(0, b"220 ready\r\n").gateway_closes(RST);
    let seen = scenario.handshake();
    assert_eq!((seen.hello.incomplete, seen.hello.prelude), (Some(IncompleteReason::NotSeen), None));
    assert_eq!(seen.outcome, Outcome::ResetByGateway);
}

#[test]
fn zeros_in_the_place_of_the_first_bytes() {
    let bytes = named();
    for before in [&b""[..], PRELUDES[0].1] {
        let mut scenario = Scenario::following();
        if !before.is_empty() {
            scenario.client(0, before);
        }
        scenario.client(before.len(), &[0; 6]).client(before.len(), &bytes);
        scenario.gateway(0, &[0; 6]).gateway(0, &server_hello());
        let seen = scenario.handshake();
        assert_eq!(seen.hello.sni.name(), Some("a.example"));
        assert_eq!(seen.hello.prelude, (!before.is_empty()).then_some(Prelude::HttpConnect));
        assert_eq!(seen.outcome, Outcome::ServerHello);
    }
}

#[test]
fn too_many_gaps_behind_other_bytes() {
    let mut scenario = Scenario::following();
    scenario.client(0, GET);
    for gap in 0..=MAX_GAPS {
        scenario.client(100 + 2 * gap, b"x");
    }
    assert_eq!(scenario.observations(), [non_tls(NonTls::Http)]);
    assert_eq!(scenario.tracker.held_bytes, 0);
}

#[test]
fn a_flood_of_preludes_stays_within_its_bound() {
    let mut tracker = Tracker::new(config());
    let mut non_tls = 0;
    for port in 1..6_000 {
        tracker.handle_event(&Connection::new(port).opening(u64::from(port), &[b'x'; 16_000]).borrow());
        assert!(tracker.held_bytes <= MAX_HELD_BYTES);
        let is_non_tls = |seen: &Observation| matches!(seen, Observation::NonTls { .. });
        non_tls += observations(&mut tracker).into_iter().filter(is_non_tls).count();
    }
    tracker.assert_consistent();
    assert_eq!(tracker.flows() + non_tls, 5_999);
    assert!(non_tls > 1_000);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// However a stream is cut, repeated and reordered.
    #[test]
    fn any_segmentation_finds_the_hello(
        (kind, segments) in (0..PRELUDES.len()).prop_flat_map(|kind| {
            let len = PRELUDES[kind].1.len() + named().len();
            (Just(kind), properties::any_segmentation(len))
        }),
        isn in any::<u32>(),
    ) {
        let (prelude, before) = PRELUDES[kind];
        let stream = [before, &named()].concat();
        let mut scenario = Scenario::following();
        scenario.connection.isn = isn;
        for segment in segments {
            scenario.client(segment.start, &stream[segment]);
        }
        scenario.gateway_closes(RST);
        let seen = scenario.handshake();
        prop_assert_eq!(seen.hello.prelude, Some(prelude));
        prop_assert_eq!(seen.hello.sni, Sni::Present("a.example".into()));
    }

    /// A stream that starts with TLS is read the same whether preludes are followed or not.
    #[test]
    fn tls_from_the_start_is_read_the_same(
        segments in properties::any_segmentation(named().len()),
        close in prop::sample::select(vec![FIN, RST]),
        answer in prop::sample::select(vec![server_hello(), alert(2, 40), hello_retry_request(), ANSWER.to_vec()]),
        after in 0_usize..20,
    ) {
        let bytes = named();
        let [with, without] = [true, false].map(|preludes| {
            let mut scenario = Scenario::with(TrackerConfig { preludes, ..TrackerConfig::default() });
            for (at, segment) in segments.iter().cloned().enumerate() {
                scenario.client(segment.start, &bytes[segment]);
                // Not before the start: what that is decides what an answer can mean.
                if at == after && segments[..=at].iter().any(|segment| segment.start == 0) {
                    scenario.gateway(0, &answer);
                }
            }
            scenario.gateway_closes(close);
            scenario.observations()
        });
        prop_assert_eq!(with, without);
    }
}
