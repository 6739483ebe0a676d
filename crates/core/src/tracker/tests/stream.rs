//! The client's stream: in segments of any form and order.

use super::*;

#[test]
fn every_two_way_split_in_either_order() {
    let hello = hello().server_name("a.example").alpn(&[b"h2"]);
    for bytes in [hello.build(), hello.in_records_at(&[2, 60])] {
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
    let bytes = hello().post_quantum().server_name("a.example").build();
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
    let hello = hello().server_name("a.example");
    for bytes in [hello.build(), hello.in_records_at(&[1, 40]), tls10().build()] {
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
    let bytes = hello().server_name("a.example").build();
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
    let bytes = hello().server_name("a.example").build();
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
    let bytes = hello().server_name("a.example").build();
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
fn proxy_header_of_the_proxy_itself() {
    for (command, is_local) in [(0x20, true), (0x21, false)] {
        let header = v2_of(command, 0, &[]);
        let mut scenario = Scenario::new();
        scenario.client(0, &[&header[..], &hello().build()].concat()).gateway_closes(RST);
        let seen = scenario.handshake();
        assert_eq!((seen.hello.is_proxy_local, seen.proxied), (is_local, None));
        let whole = hello().build();
        let mut scenario = Scenario::new();
        scenario.client(0, &[&header[..], &whole[..100]].concat()).gateway_closes(RST);
        assert_eq!(scenario.handshake().hello.is_proxy_local, is_local);
    }
}

/// What waits for its outcome is packed, and nothing is lost by that.
#[test]
fn a_name_keeps_its_case() {
    for (name, as_sent) in [("Api.Example.", Some("Api.Example.")), ("api.example.", None)] {
        let mut scenario = Scenario::new();
        scenario.client(0, &hello().server_name(name).build()).gateway_closes(RST);
        let seen = scenario.handshake();
        assert_eq!(seen.hello.sni, Sni::Present("api.example.".into()));
        assert_eq!(seen.hello.body.unwrap().name_as_sent.as_deref(), as_sent);
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
    let bytes = hello().server_name("a.example").extension(42, &[]).build();
    let mut scenario = Scenario::new();
    let mut event = scenario.connection.opening(1, &[bytes.clone(), record(23, &[9; 300])].concat());
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
    let bytes = hello().build();
    let mut scenario = Scenario::new();
    scenario.client(bytes.len(), &record(23, &[9; 30])).client(0, &bytes).gateway_closes(RST);
    assert_eq!(scenario.handshake().hello.segments, 1);
}

#[test]
fn picked_up_in_mid_stream() {
    let bytes = hello().server_name("a.example").build();
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
    scenario.send(&keep_alive).client(16_384, b"x").client(40_000, b"x");
    assert_eq!(scenario.tracker.flows(), 0);
    let hello = hello().build();
    scenario.send(&connection.opening(2_000, &hello)).send(&keep_alive);
    scenario.gateway_with(0, b"", RST);
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
    let bytes = hello().server_name("a.example").padded_to(16_384).build();
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
    let bytes = hello().build();
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

// Two bytes for one place.

/// A hello that says its name, the same without a name, and with another one: all of one length.
fn three_hellos() -> [Vec<u8>; 3] {
    let named = hello().server_name("aaaa.example").build();
    let extension = [0, 0, 0, 17, 0, 15, 0, 0, 12];
    let at = named.windows(extension.len()).position(|window| window == extension).unwrap();
    let mut nameless = named.clone();
    nameless[at..at + 2].fill(0xaa);
    [named, nameless, hello().server_name("bbbb.example").build()]
}

#[test]
fn contradicting_overlaps() {
    let [named, nameless, _] = three_hellos();
    let end = named.len();
    for segments in [
        &[(50, &nameless[50..]), (49, &named[49..]), (0, &named[..49])][..],
        &[(50, &named[50..]), (49, &nameless[49..]), (0, &nameless[..49])],
        &[(0, &nameless[..end - 1]), (0, &named)],
        &[(1, &named[1..]), (1, &nameless[1..end - 9]), (0, &named[..1])],
    ] {
        let mut scenario = Scenario::new();
        for &(offset, segment) in segments {
            scenario.client(offset, segment);
        }
        scenario.gateway(0, &server_hello());
        let seen = scenario.handshake();
        assert_eq!((seen.hello.sni, seen.hello.body), (Sni::Unknown, None));
        assert_eq!(seen.hello.incomplete, Some(IncompleteReason::Contradictory));
        assert_eq!(seen.hello.length as usize, end - 5);
        assert_eq!(seen.outcome, Outcome::ServerHello);
    }
}

#[test]
fn overlaps_without_contradiction_and_contradictions_after_the_hello() {
    let [named, nameless, other] = three_hellos();
    let sni = Sni::Present("aaaa.example".into());
    // What differs lies after the first segment.
    let mut scenario = Scenario::new();
    scenario.client(0, &nameless[..60]).client(0, &named).gateway_closes(RST);
    assert_eq!(scenario.handshake().hello.sni, sni);
    // The hello is complete, and counted.
    let mut scenario = Scenario::new();
    scenario.client(0, &named).client(0, &other).client(0, &nameless).gateway_closes(RST);
    assert_eq!(scenario.handshake().hello.sni, sni);
    // Early data.
    let mut scenario = Scenario::new();
    let end = named.len();
    scenario.client(end, b"one").client(end, b"two").client(0, &named).gateway_closes(RST);
    assert_eq!(scenario.handshake().hello.sni, sni);
}

/// What happens last.
type End = fn(&mut Scenario) -> &mut Scenario;

#[test]
fn a_contradiction_in_a_hello_that_never_ends() {
    let [named, nameless, _] = three_hellos();
    let ends: [(End, Outcome); 3] = [
        (|scenario| scenario.gateway_closes(RST), Outcome::ResetByGateway),
        (|scenario| scenario.wait(30), Outcome::Timeout),
        (|scenario| scenario.gateway(0, &server_hello()), Outcome::ServerHello),
    ];
    for (end, outcome) in ends {
        let mut scenario = Scenario::new();
        let len = named.len() - 1;
        end(scenario.client(0, &named[..len]).client(0, &nameless[..len]));
        let seen = scenario.handshake();
        assert_eq!(seen.hello.incomplete, Some(IncompleteReason::Contradictory));
        assert_eq!(seen.outcome, outcome);
    }
}

#[test]
fn a_contradiction_about_being_a_hello() {
    let bytes = hello().build();
    // The second copy of its beginning is another protocol's: nothing is certain.
    for preludes in [false, true] {
        let mut scenario = Scenario::with(TrackerConfig { preludes, ..TrackerConfig::default() });
        scenario.client(1, b"ET / HTTP").client(0, &bytes).gateway_closes(RST);
        assert_eq!(scenario.observations(), [unclassified(IncompleteReason::Contradictory)]);
    }
    // In a PROXY header: whose hello is it?
    let stream = [PROXY_V1, &bytes].concat();
    let mut scenario = Scenario::new();
    scenario.client(12, b"1").client(0, &stream).gateway_closes(RST);
    assert_eq!(scenario.handshake().hello.incomplete, Some(IncompleteReason::Contradictory));
}

#[test]
fn a_keep_alive_probe_is_no_contradiction() {
    let bytes = hello().build();
    let mut scenario = Scenario::new();
    scenario.client(0, &bytes[..100]).client(99, &[0]).client(100, &bytes[100..]).gateway_closes(RST);
    assert_eq!(scenario.handshake().hello.sni, Sni::Absent);
}

/// No observer can know which of the copies the gateway took. So a hello is readable only if all copies of its bytes that
/// came before it was complete are the same.
#[test]
fn ambiguous_streams() {
    let hellos = three_hellos();
    let end = hellos[0].len();
    let mut state = 5_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut count = [0; 2];
    for _ in 0..2_000 {
        let mut segments: Vec<_> = (0..3 + random(4))
            .map(|_| {
                let (copy, start) = (random(3), random(end));
                (copy, start..start + 1 + random(end - start))
            })
            .collect();
        segments.extend([(0, 0..30), (0, 0..end)]);
        let mut scenario = Scenario::new();
        let mut came: Vec<Option<u8>> = vec![None; end];
        let (mut is_ambiguous, mut is_complete) = (false, false);
        for (copy, span) in segments {
            for at in span.clone() {
                let byte = *came[at].get_or_insert(hellos[copy][at]);
                is_ambiguous |= !is_complete && byte != hellos[copy][at];
            }
            is_complete |= came.iter().all(Option::is_some);
            scenario.client(span.start, &hellos[copy][span]);
        }
        scenario.gateway_closes(RST);
        let seen = scenario.handshake().hello;
        let expected = is_ambiguous.then_some(IncompleteReason::Contradictory);
        assert_eq!(seen.incomplete, expected);
        assert_eq!(seen.sni == Sni::Unknown, is_ambiguous);
        count[usize::from(is_ambiguous)] += 1;
    }
    assert!(count.iter().all(|&count| count > 100), "{count:?}");
}
