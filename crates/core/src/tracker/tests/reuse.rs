//! Connections that follow each other on the same addresses and ports, and one connection with two numberings.

use super::*;

/// The gateway's numbers begin elsewhere at each connection.
const GATEWAY_ISN: u32 = 3_000_000_000;

fn old() -> Vec<u8> {
    hello().server_name("old.example").build()
}

fn new() -> Vec<u8> {
    hello().server_name("new.example").build()
}

/// The name and the outcome of each hello that has one.
fn outcomes(scenario: &mut Scenario) -> Vec<(String, Outcome)> {
    let handshake = |observation| match observation {
        Observation::Handshake(handshake) => {
            Some((handshake.hello.sni.name().unwrap_or_default().to_owned(), handshake.outcome))
        }
        _ => None,
    };
    scenario.observations().into_iter().filter_map(handshake).collect()
}

fn of_old(outcome: Outcome) -> (String, Outcome) {
    ("old.example".to_owned(), outcome)
}

fn of_new(outcome: Outcome) -> (String, Outcome) {
    ("new.example".to_owned(), outcome)
}

#[test]
fn a_port_is_used_again() {
    let mut scenario = Scenario::new();
    scenario.client(0, &old()).reconnect(99, GATEWAY_ISN).client(0, &new()).gateway_closes(RST);
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

/// What was seen of the old connection's end is its outcome now, for it has ended.
#[test]
fn a_port_is_used_again_after_an_end_in_doubt() {
    type End = fn(&mut Scenario) -> &mut Scenario;
    let ends: [(End, Outcome); 5] = [
        (|scenario| scenario.client_closes(FIN), Outcome::ClosedByClient),
        (|scenario| scenario.gateway(0, &alert(1, 112)), by_gateway(AlertDescription::UnrecognizedName)),
        (|scenario| scenario.gateway_closes_after(700, FIN), Outcome::ClosedByGateway),
        (|scenario| scenario.gateway_closes_after(700, RST), Outcome::ResetByGateway),
        (|scenario| scenario.client_with(5_000, b"", RST), Outcome::ResetByClient),
    ];
    for (end, outcome) in ends {
        let mut scenario = Scenario::new();
        end(scenario.client(0, &old()));
        scenario.reconnect(99, GATEWAY_ISN).client(0, &new()).gateway(0, &server_hello());
        let seen = scenario.observations();
        assert!(!seen.iter().any(|seen| matches!(seen, Observation::Evicted { .. })), "{seen:#?}");
        let Observation::Handshake(handshake) = &seen[1] else { panic!("{seen:#?}") };
        assert_eq!((handshake.outcome, handshake.latency.as_micros()), (outcome, 1));
    }
}

#[test]
fn late_packets_of_the_old_connection_do_not_touch_the_new_one() {
    let mut scenario = Scenario::new();
    let before = scenario.connection;
    scenario.client(0, &old()).reconnect(99, GATEWAY_ISN).client(0, &new());
    let len = old().len();
    for event in [
        before.client(9_000, 0, &old()),
        before.client(9_000, len, b"more"),
        before.client(9_000, len, b"").with_flags(FIN),
        before.client(9_000, len, b"").with_flags(RST),
        before.gateway(9_000, 0, &server_hello()),
        before.gateway(9_000, 0, b"").with_flags(FIN),
        before.gateway(9_000, 0, b"").with_flags(RST),
    ] {
        scenario.send(&event);
    }
    assert_eq!(outcomes(&mut scenario), [of_old(Outcome::Evicted)]);
    scenario.gateway(0, &alert(2, 112));
    assert_eq!(outcomes(&mut scenario), [of_new(by_gateway(AlertDescription::UnrecognizedName))]);
    // Nor do they begin another one, once it is over.
    let mut scenario = Scenario::new();
    scenario.client(0, &old()).reconnect(99, GATEWAY_ISN).client(0, &new()).gateway_closes(RST);
    scenario.send(&before.client(9_000, 0, &old()));
    assert_eq!(outcomes(&mut scenario).len(), 2);
}

/// It may be of either connection: only its number tells.
#[test]
fn a_reset_without_an_acknowledgement() {
    for (is_of_new, outcome) in [(true, Outcome::ResetByGateway), (false, Outcome::ServerHello)] {
        let mut scenario = Scenario::new();
        let before = scenario.connection;
        scenario.client(0, &old()).reconnect(99, GATEWAY_ISN).client(0, &new());
        // The datapath takes it for the old connection's.
        let mut reset = before.gateway(9_000, 0, b"");
        reset.header.tcp_flags = RST;
        if is_of_new {
            reset.header.seq = GATEWAY_ISN.wrapping_add(1);
        }
        scenario.send(&reset).gateway(0, &server_hello());
        assert_eq!(outcomes(&mut scenario), [of_old(Outcome::Evicted), of_new(outcome)]);
    }
}

#[test]
fn a_port_that_is_used_again_is_seen_without_a_syn() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().build());
    scenario.connection.syn_seen = false;
    scenario.client(0, &hello().build()).client(500_000, &hello().build());
    assert_eq!(scenario.observations().len(), 4);
    assert_eq!(scenario.tracker.flows(), 1);
}

/// A device that begins each time with the same number.
#[test]
fn the_same_initial_sequence_number_each_time() {
    type End = fn(&mut Scenario) -> &mut Scenario;
    let ends: [(End, Outcome); 4] = [
        (|scenario| scenario.gateway_closes(RST), Outcome::ResetByGateway),
        (|scenario| scenario.gateway_closes(FIN), Outcome::ClosedByGateway),
        (|scenario| scenario.gateway(0, &server_hello()), Outcome::ServerHello),
        // It was switched off in the middle of a handshake.
        (|scenario| scenario, Outcome::Evicted),
    ];
    for (end, outcome) in ends {
        let mut scenario = Scenario::new();
        let isn = scenario.connection.isn;
        for gateway_isn in [GATEWAY_ISN, 77, 1_000_000_000] {
            end(scenario.reconnect(isn, gateway_isn).client(0, &old()));
        }
        let seen = outcomes(&mut scenario);
        let ended = if outcome == Outcome::Evicted { 2 } else { 3 };
        assert_eq!(seen, vec![of_old(outcome); ended]);
    }
}

/// The FIN of a connection that begins with the same number overtakes its data.
#[test]
fn a_fin_of_the_next_connection_with_the_same_number() {
    let mut scenario = Scenario::new();
    let isn = scenario.connection.isn;
    scenario.client(0, &old()).reconnect(isn, GATEWAY_ISN).client_with(new().len(), b"", FIN);
    scenario.client(0, &new()).gateway(0, &server_hello());
    assert_eq!(outcomes(&mut scenario), [of_old(Outcome::Evicted), of_new(Outcome::ServerHello)]);
}

/// A copy of a hello after its connection's end: late, or seen by a second interface.
#[test]
fn a_late_copy_of_a_hello_is_no_new_one() {
    type End = fn(&mut Scenario) -> &mut Scenario;
    let ends: [End; 3] = [
        |scenario| scenario.gateway_closes(RST),
        |scenario| scenario.client_closes(RST),
        |scenario| scenario.client_closes(FIN).gateway_closes(FIN),
    ];
    for end in ends {
        for marks in [0, flags::FIRST] {
            let mut scenario = Scenario::new();
            end(scenario.client(0, &old()));
            assert_eq!(outcomes(&mut scenario).len(), 1);
            let copy = scenario.connection.client(scenario.time, 0, &old()).marked(marks);
            scenario.send(&copy);
            scenario.tracker.handle_timeout(Timestamp(SECOND));
            assert_eq!(scenario.send(&copy).observations(), []);
            // After that nothing is sent again.
            scenario.tracker.handle_timeout(Timestamp(3 * SECOND));
            assert_eq!(scenario.tracker.flows(), 0);
        }
    }
}

/// Two clients may have one entry in the datapath, which then knows one first payload.
#[test]
fn a_hello_that_the_datapath_takes_for_a_copy() {
    let mut scenario = Scenario::new();
    scenario.client(0, &old());
    scenario.send(&Connection::new(40_001).client(scenario.time, 0, &new()));
    scenario.tracker.finish();
    assert_eq!(outcomes(&mut scenario), [of_old(Outcome::Unfinished), of_new(Outcome::Unfinished)]);
}

/// By chance both connections of the client begin with the same number, and those of the gateway are near each other.
#[test]
fn the_same_number_again_by_chance() {
    for ends in [RST, FIN] {
        let mut scenario = Scenario::new();
        scenario.client(0, &old());
        if ends == FIN {
            scenario.gateway_closes(FIN);
        }
        scenario.client_closes(ends);
        let connection = scenario.connection;
        scenario.reconnect(connection.isn, connection.gateway_isn + 16_829);
        scenario.client(0, &new()).gateway(0, &server_hello());
        let seen = outcomes(&mut scenario);
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert_eq!(seen[1], of_new(Outcome::ServerHello));
    }
}

/// Bytes of the connection before, after the outcome of the one that has its place.
#[test]
fn what_is_left_of_the_connection_before_opens_no_flow() {
    let connection_before = Scenario::new().connection;
    for distance in [-8_222_i32, 15_625] {
        for closes in [false, true] {
            let mut scenario = Scenario::new();
            scenario.reconnect(connection_before.isn.wrapping_add_signed(distance), 9_000_000);
            scenario.client(0, &new());
            if closes {
                scenario.gateway_closes(RST);
            } else {
                scenario.gateway(0, &server_hello());
            }
            assert_eq!(outcomes(&mut scenario).len(), 1);
            scenario.send(&connection_before.client(scenario.time, 6_476, &old()));
            scenario.send(&connection_before.client(scenario.time, 6_476, b"").with_flags(FIN));
            scenario.wait(60);
            assert_eq!(scenario.observations(), [], "{distance}");
        }
    }
}

/// A capture on both sides of a proxy that numbers the gateway's side anew.
#[test]
fn two_numberings_of_the_gateways_side() {
    type End = fn(&mut Scenario) -> &mut Scenario;
    let ends: [(End, Outcome); 5] = [
        (|scenario| scenario.gateway(0, &server_hello()), Outcome::ServerHello),
        (|scenario| scenario.gateway(0, &alert(2, 112)), by_gateway(AlertDescription::UnrecognizedName)),
        (|scenario| scenario.gateway_closes(RST), Outcome::ResetByGateway),
        (|scenario| scenario.gateway_closes(FIN), Outcome::ClosedByGateway),
        (
            |scenario| scenario.gateway(0, &hello_retry_request()).gateway_closes(FIN),
            Outcome::ClosedByGateway,
        ),
    ];
    for (end, outcome) in ends {
        for answers_of in [GATEWAY_ISN, 7_000_000] {
            let mut scenario = Scenario::new();
            scenario.connection.gateway_isn = 7_000_000;
            scenario.client(0, &old());
            // The same packet on the other side.
            scenario.connection.gateway_isn = GATEWAY_ISN;
            scenario.client(0, &old());
            scenario.connection.gateway_isn = answers_of;
            end(&mut scenario);
            assert_eq!(outcomes(&mut scenario), [of_old(outcome)], "{answers_of}");
        }
    }
}

/// Of the other side nothing but the answer is seen.
#[test]
fn an_answer_that_begins_elsewhere() {
    for (answer, outcome) in [
        (server_hello(), Outcome::ServerHello),
        (alert(2, 112), by_gateway(AlertDescription::UnrecognizedName)),
        (alert(1, 112), Outcome::Timeout),
        (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), Outcome::Timeout),
    ] {
        let mut scenario = Scenario::new();
        scenario.client(0, &old());
        scenario.connection.gateway_isn = GATEWAY_ISN;
        scenario.gateway(0, &answer).wait(30);
        assert_eq!(outcomes(&mut scenario), [of_old(outcome)]);
    }
}
