//! Properties of the tracker under anything that a network may do.

use proptest::prelude::*;

use super::*;
use crate::testing::PRELUDES;
use crate::vocabulary::{Follow, Label as _};

/// Any event of one of a few connections, with bytes that often look like the start of something.
fn any_event() -> impl Strategy<Value = OwnedEvent> {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        Just(hello().server_name("a.example").build()),
        Just(hello().server_name("a.example").build()[..30].to_vec()),
        Just(hello().in_records_at(&[3])[..50].to_vec()),
        Just(sslv2_hello(0x0301)),
        Just(PROXY_V1.to_vec()),
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
        Just([PRELUDES[0].1, &hello().build()].concat()),
        prop::sample::select(PRELUDES).prop_map(|(_, prelude)| prelude.to_vec()),
        Just(server_hello()),
        Just(hello_retry_request()),
        Just(alert(2, 40)),
        Just(alert(1, 112)),
    ];
    let offset = prop_oneof![4 => Just(0_usize), 2 => 0_usize..300, 1 => 0_usize..40_000];
    (bytes, offset, 0_u16..5, 0_u32..3, any::<bool>(), any::<bool>(), 0_u64..40_000_000_000, 0_u8..32)
        .prop_map(|(bytes, offset, client_port, isn, is_client, syn_seen, time, flags)| {
            let connection = Connection { isn, syn_seen, ..Connection::new(client_port) };
            let event = if is_client {
                connection.client(time, offset, &bytes)
            } else {
                connection.gateway(time, offset, &bytes)
            };
            let mut event = event;
            if time % 3 == 0 {
                event = event.into_follow_up(time % 2 == 0);
            }
            // Most packets close nothing.
            if flags < 4 {
                event.with_flags(flags | FIN)
            } else if flags < 8 {
                event.with_flags(RST)
            } else {
                event
            }
        })
}

/// The cut points of a stream of `len` bytes and an order in which its segments arrive, some twice.
pub(super) fn any_segmentation(len: usize) -> impl Strategy<Value = Vec<std::ops::Range<usize>>> {
    prop::collection::btree_set(1..len, 0..12).prop_flat_map(move |cuts| {
        let bounds: Vec<usize> = [0].into_iter().chain(cuts).chain([len]).collect();
        let segments: Vec<_> = bounds.windows(2).map(|bound| bound[0]..bound[1]).collect();
        let repeated = prop::collection::vec(prop::sample::select(segments.clone()), 0..4);
        repeated.prop_flat_map(move |repeated| Just([segments.clone(), repeated].concat()).prop_shuffle())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_hello_has_one_outcome(
        events in prop::collection::vec(any_event(), 0..80),
        preludes in any::<bool>(),
        follow in prop::sample::select(Follow::ALL),
        is_finished in any::<bool>(),
    ) {
        let config = TrackerConfig { max_flows: 3, preludes, follow, ..TrackerConfig::default() };
        let mut tracker = Tracker::new(config);
        let (mut hellos, mut handshakes) = (0, 0);
        let mut count = |seen: Vec<Observation>| {
            for observation in seen {
                match observation {
                    Observation::ClientHello { .. } => hellos += 1,
                    Observation::Handshake(_) => handshakes += 1,
                    _ => {}
                }
            }
            assert!(handshakes <= hellos);
            hellos - handshakes
        };
        for event in events {
            tracker.handle_event(&event.borrow());
            if event.header.seq.is_multiple_of(3) {
                tracker.handle_timeout(Timestamp(event.header.time_ns));
            }
            tracker.assert_consistent();
            let seen = observations(&mut tracker);
            prop_assert!(seen.len() <= 8, "{seen:#?}");
            let open = count(seen);
            let is_open = |stage| matches!(stage, Stage::Awaiting | Stage::Answered);
            let waiting = tracker.flows.iter().filter(|(stage, _)| is_open(*stage)).count();
            prop_assert_eq!(open, waiting);
        }
        if is_finished {
            tracker.finish();
            prop_assert_eq!(count(observations(&mut tracker)), 0);
            prop_assert_eq!(tracker.flows(), 0);
        }
        let mut steps = 0;
        while let Some(next) = tracker.poll_timeout() {
            tracker.handle_timeout(next);
            steps += 1;
            // An event whose stamp is in doubt; and twice each flow.
            prop_assert!(steps <= 1 + 2 * 3);
        }
        prop_assert_eq!(count(observations(&mut tracker)), 0);
        prop_assert_eq!(tracker.flows(), 0);
        prop_assert_eq!(tracker.held_bytes, 0);
    }

    #[test]
    fn any_segmentation_gives_the_same_hello(
        (kind, segments) in (0_usize..4).prop_flat_map(|kind| (Just(kind), any_segmentation(streams()[kind].len()))),
        isn in any::<u32>(),
    ) {
        let stream = &streams()[kind];
        let mut whole = Scenario::new();
        whole.client(0, stream).gateway_closes(RST);
        let expected = whole.handshake();

        let mut scenario = Scenario::new();
        scenario.connection.isn = isn;
        for segment in segments {
            scenario.client(segment.start, &stream[segment]);
        }
        scenario.gateway_closes(RST);
        let seen = scenario.handshake();
        prop_assert_eq!(seen.hello.sni, expected.hello.sni);
        prop_assert_eq!(seen.hello.body, expected.hello.body);
        prop_assert_eq!(seen.hello.length, expected.hello.length);
        prop_assert_eq!(seen.hello.records, expected.hello.records);
        prop_assert_eq!(seen.proxied, expected.proxied);
        prop_assert_eq!(seen.outcome, expected.outcome);
    }

    #[test]
    fn parsers_survive_anything(bytes in prop::collection::vec(any::<u8>(), 0..600), start in 0_usize..6) {
        let starts: [&[u8]; 6] = [&[5, 1, 0], &[], &[22, 3, 1, 0], &[0x80, 40, 1, 3, 1], b"PROXY ", &[1, 0]];
        let bytes = [starts[start], &bytes].concat();
        let _ = crate::opening::read(&bytes);
        let _ = crate::prelude::kind(&bytes);
        let search = crate::prelude::find(&bytes, 0, 1, |at| at % 2 == 0);
        if let crate::prelude::Search::Found { at, prelude } = search {
            let _ = crate::opening::read_behind(&bytes, None, prelude, at);
        }
        let _ = crate::client_hello::parse(&bytes);
        let _ = crate::server_reply::message(&bytes);
        let _ = crate::server_name::parse(&bytes);
        let _ = crate::proxy_header::parse(&bytes, 16_384);
        let _ = crate::sslv2::parse(&bytes, 16_384);
    }

    #[test]
    fn a_changed_hello_survives(at in 0_usize..300, value in any::<u8>()) {
        let mut bytes = hello().server_name("a.example").alpn(&[b"h2"]).build();
        let at = at % bytes.len();
        bytes[at] = value;
        let mut scenario = Scenario::new();
        scenario.client(0, &bytes).gateway_closes(RST);
        let hellos = |seen: &&Observation| matches!(seen, Observation::ClientHello { .. });
        prop_assert!(scenario.observations().iter().filter(hellos).count() <= 1);
    }
}

fn streams() -> [Vec<u8>; 4] {
    let hello = hello().post_quantum().server_name("a.example").alpn(&[b"h2"]);
    [
        hello.build(),
        hello.in_records_at(&[1, 3, 700, 1_200]),
        [PROXY_V1, &hello.build()].concat(),
        sslv2_hello(0x0301),
    ]
}
