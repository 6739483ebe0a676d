//! Many connections, and connections that follow each other; the end of a capture.

use super::*;

#[test]
fn at_capacity_the_oldest_goes() {
    let config = TrackerConfig { max_flows: 3, ..TrackerConfig::default() };
    let mut tracker = Tracker::new(config);
    assert_eq!(tracker.capacity(), 3);
    let bytes = hello().build();
    let mut send = |port: u16, data: &[u8]| {
        tracker.handle_event(&Connection::new(port).opening(u64::from(port), data).borrow());
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
    let bytes = hello().padded_to(16_384).build();
    let mut evicted = 0;
    for port in 1..6_000 {
        tracker.handle_event(&Connection::new(port).opening(u64::from(port), &bytes[..16_000]).borrow());
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
    let bytes = hello().server_name("api-test.mydomain.com").alpn(&[b"h2", b"http/1.1"]).build();
    for flow in 0..100_000_u32 {
        let mut event = Connection::new(1).opening(1, &bytes);
        event.header.client_addr[12..].copy_from_slice(&flow.to_be_bytes());
        tracker.handle_event(&event.borrow());
        while tracker.poll_observation().is_some() {}
    }
    assert_eq!(tracker.flows(), 100_000);
    assert_eq!(FlowTable::<Flow>::SLOT_BYTES, 104);
    assert_eq!(Awaiting::BYTES, 56);
    // Two allocations a flow; glibc adds 8 bytes to each and rounds up to 16. The table grows by
    // doubling; what of it is not used yet is not resident either.
    let fields = tracker.held_bytes / 100_000;
    let allocated = |bytes: usize| (bytes + 8).next_multiple_of(16);
    let flow = FlowTable::<Flow>::SLOT_BYTES + allocated(Awaiting::BYTES) + allocated(fields);
    assert!(100_000 * flow < 30 << 20, "{flow} bytes a flow");
    assert!(tracker.flows.heap_bytes() < 15 << 20, "{} bytes of table", tracker.flows.heap_bytes());
}

#[test]
fn packing_a_hello_keeps_all_of_it() {
    let full = hello().server_name("a.example").alpn(&[b"h2", b"http/1.1", b""]).post_quantum();
    let segments = [full.build(), tls10().build(), sslv2_hello(0x0002)];
    let invalid = hello().extension(0, &[0xff; 400]).build();
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
        for (hello, expected) in [(hello().server_name("a.example"), of_named), (hello(), of_nameless)] {
            let mut scenario = Scenario::with(TrackerConfig { fingerprints, ..TrackerConfig::default() });
            scenario.client(0, &hello.build()).gateway_closes(RST);
            let body = scenario.handshake().hello.body.unwrap();
            assert_eq!((body.ja3.is_some(), body.ja4.is_some()), (expected, expected));
        }
    }
}

#[test]
fn events_of_a_later_version() {
    let mut scenario = Scenario::new();
    let mut event = scenario.connection.opening(1, &hello().build());
    event.header.kind = 99;
    scenario.send(&event);
    assert_eq!(scenario.observations(), []);
}

#[test]
fn labels_of_a_hello() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().server_name("a.example").build());
    let [
        Observation::ClientHello {
            sni: SniClass::Present, version: TlsVersion::Tls13, incomplete: None, ..
        },
    ] = scenario.observations()[..]
    else {
        panic!()
    };
}

// The end of a capture.

#[test]
fn each_open_hello_is_unfinished() {
    let bytes = hello().build();
    let mut tracker = Tracker::new(TrackerConfig::default());
    let streams = [&bytes[..], &bytes[..40], b"GET / HTTP/1.1\r\n", b"P"];
    for (port, data) in (1..).zip(streams) {
        tracker.handle_event(&Connection::new(port).opening(u64::from(port), data).borrow());
    }
    let answered = Connection::new(9);
    tracker.handle_event(&answered.opening(5, &bytes).borrow());
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
    scenario.client(0, &hello().build()).gateway(0, &alert(1, 112));
    scenario.tracker.finish();
    assert_eq!(scenario.handshake().outcome, by_gateway(AlertDescription::UnrecognizedName));
}
