//! How connections end: by a RST or FIN that its receiver obeys, and not by others (RFC 9293, section 3.10.7; RFC 5961).

use sni_probe_datapath::flow_table::MAX_ANSWERS;

use super::*;

fn named() -> Vec<u8> {
    hello().server_name("a.example").build()
}

/// A connection whose hello is there.
fn greeted() -> Scenario {
    let mut scenario = Scenario::new();
    scenario.client(0, &named());
    scenario
}

/// Moves a packet in its stream by so many bytes.
fn shifted(mut event: OwnedEvent, by: i32) -> OwnedEvent {
    event.header.seq = event.header.seq.wrapping_add_signed(by);
    event
}

impl Scenario {
    /// A RST of a side, so many bytes from where its stream ends.
    fn resets(&mut self, by: Side, from_end: i32) -> &mut Self {
        let time = self.tick();
        let event = match by {
            Side::Client => self.connection.client(time, self.ends[0], b""),
            Side::Gateway => self.connection.gateway(time, self.ends[1], b""),
        };
        self.send(&shifted(event.with_flags(RST), from_end))
    }

    /// The outcome of the one hello, and its latency in microseconds.
    #[track_caller]
    fn outcome(&mut self) -> (Outcome, u128) {
        let seen = self.handshake();
        (seen.outcome, seen.latency.as_micros())
    }

    #[track_caller]
    fn assert_undecided(&mut self) -> &mut Self {
        let undecided = self.tracker.flows.iter().filter(|(_, flow)| !flow.state.is_over()).count();
        assert_eq!(undecided, 1);
        self
    }
}

#[test]
fn who_ended_it() {
    type End = fn(&mut Scenario) -> &mut Scenario;
    let ends: [(End, Outcome, u128); 6] = [
        (|scenario| scenario.client_closes(RST), Outcome::ResetByClient, 1),
        (|scenario| scenario.client_closes(FIN | RST), Outcome::ResetByClient, 1),
        (|scenario| scenario.gateway_closes(FIN), Outcome::ClosedByGateway, 1),
        (|scenario| scenario.gateway_closes(RST), Outcome::ResetByGateway, 1),
        (|scenario| scenario.gateway_closes(FIN | RST), Outcome::ResetByGateway, 1),
        (|scenario| scenario.client_closes(FIN).wait(30), Outcome::ClosedByClient, 1),
    ];
    for (end, outcome, latency) in ends {
        let mut scenario = greeted();
        end(&mut scenario);
        assert_eq!(scenario.outcome(), (outcome, latency));
        // Whatever follows is not a second outcome.
        scenario.client_closes(FIN).gateway_closes(RST).wait(1_000);
        assert_eq!(scenario.observations(), []);
        assert_eq!(scenario.tracker.flows(), 0);
    }
}

#[test]
fn data_counts_before_the_fin_in_one_packet() {
    let mut scenario = Scenario::new();
    scenario.client_with(0, &named(), FIN).wait(30);
    assert_eq!(scenario.outcome(), (Outcome::ClosedByClient, 0));

    let mut scenario = greeted();
    scenario.gateway_with(0, &server_hello(), FIN);
    assert_eq!(scenario.outcome().0, Outcome::ServerHello);
}

#[test]
fn text_in_a_reset_is_not_data() {
    let mut scenario = greeted();
    scenario.gateway_with(0, &server_hello(), RST);
    assert_eq!(scenario.outcome().0, Outcome::ResetByGateway);

    let bytes = named();
    let mut scenario = Scenario::new();
    scenario.client(0, &bytes[..40]).client_with(40, &bytes[40..], RST);
    assert_eq!(scenario.handshake().hello.incomplete, Some(IncompleteReason::Reset));

    // Nor does it take numbers: what follows at the same place is the stream.
    let mut scenario = greeted();
    let reset = scenario.connection.gateway(2_000, 0, b"no such host").with_flags(RST);
    scenario.send(&shifted(reset, 70_000)).gateway(0, b"HTTP/1.1 400").gateway_closes(FIN);
    assert_eq!(scenario.outcome().0, Outcome::ClosedByGateway);
}

// Half-closes.

#[test]
fn a_client_that_half_closes_is_still_answered() {
    for (answer, outcome) in [
        (server_hello(), Outcome::ServerHello),
        (alert(2, 112), by_gateway(AlertDescription::UnrecognizedName)),
    ] {
        let mut scenario = Scenario::new();
        scenario.client_with(0, &named(), FIN).assert_undecided().gateway(0, &answer);
        assert_eq!(scenario.outcome(), (outcome, 1));
        let mut scenario = greeted();
        scenario.client_closes(FIN).client_closes(FIN).assert_undecided().gateway(0, &answer);
        assert_eq!(scenario.outcome(), (outcome, 3));
    }
}

#[test]
fn after_a_half_close() {
    type End = fn(&mut Scenario) -> &mut Scenario;
    let ends: [(End, Outcome, u128); 5] = [
        (|scenario| scenario.gateway_closes(FIN), Outcome::ClosedByClient, 1),
        (|scenario| scenario.gateway_closes(RST), Outcome::ResetByGateway, 2),
        (|scenario| scenario.client_closes(RST), Outcome::ClosedByClient, 1),
        (|scenario| scenario.wait(30), Outcome::ClosedByClient, 1),
        (
            |scenario| {
                scenario.tracker.finish();
                scenario
            },
            Outcome::ClosedByClient,
            1,
        ),
    ];
    for (end, outcome, latency) in ends {
        let mut scenario = greeted();
        end(scenario.client_closes(FIN));
        assert_eq!(scenario.outcome(), (outcome, latency));
    }
}

/// Of a client that goes on sending, or of a connection before.
#[test]
fn a_fin_before_data_that_was_seen_is_ignored() {
    let mut scenario = greeted();
    scenario.client_with(40, b"", FIN).client_with(named().len() - 2, b"", FIN).wait(30);
    assert_eq!(scenario.outcome().0, Outcome::Timeout);
    let mut scenario = greeted();
    let fin = scenario.connection.client(2_000, named().len(), b"").with_flags(FIN);
    scenario.send(&shifted(fin, 1 << 20)).wait(30);
    assert_eq!(scenario.outcome().0, Outcome::Timeout);
}

/// All that is before the FIN is there, and no more of the hello will come: what the gateway does is no answer to it.
#[test]
fn a_half_close_in_the_hello() {
    let bytes = named();
    let mut scenario = Scenario::new();
    scenario.client(0, &bytes[..40]).client_closes(FIN);
    let seen = scenario.handshake();
    assert_eq!(
        (seen.hello.incomplete, seen.outcome),
        (Some(IncompleteReason::Closed), Outcome::ClosedByClient)
    );
    assert_eq!(seen.latency, Duration::from_micros(1));
    scenario.gateway_closes(RST).wait(30);
    assert_eq!(scenario.observations(), []);

    // The last bytes come after it.
    let mut scenario = Scenario::new();
    scenario.client(0, &bytes[..20]).client_with(40, b"", FIN).assert_undecided().client(20, &bytes[20..40]);
    let seen = scenario.handshake();
    assert_eq!(
        (seen.hello.incomplete, seen.outcome),
        (Some(IncompleteReason::Closed), Outcome::ClosedByClient)
    );
    assert_eq!(seen.latency, Duration::from_micros(1), "when the FIN came");
}

#[test]
fn a_half_close_that_overtakes_the_hello() {
    let bytes = named();
    // The end of the hello is missing before the FIN.
    let mut scenario = Scenario::new();
    scenario.client(0, &bytes[..40]).client_with(bytes.len(), b"", FIN).assert_undecided();
    scenario.client(40, &bytes[40..]).gateway(0, &server_hello());
    let seen = scenario.handshake();
    assert_eq!((seen.hello.incomplete, seen.outcome), (None, Outcome::ServerHello));

    // It never comes.
    let mut scenario = Scenario::new();
    scenario.client(0, &bytes[..40]).client_with(bytes.len(), b"", FIN).wait(30);
    let seen = scenario.handshake();
    assert_eq!(
        (seen.hello.incomplete, seen.outcome),
        (Some(IncompleteReason::Closed), Outcome::ClosedByClient)
    );
    assert_eq!(seen.latency, Duration::from_micros(1), "when the FIN came");

    // The datapath saw it before any data.
    let mut scenario = Scenario::new();
    let event = scenario.connection.opening(1_000, &bytes).marked(flags::CLIENT_CLOSED);
    scenario.time = 1_000;
    scenario.send(&event).assert_undecided().wait(30);
    assert_eq!(scenario.outcome(), (Outcome::ClosedByClient, 0));
}

// The gateway hangs up.

#[test]
fn a_fin_waits_for_the_bytes_before_it() {
    let answer = server_hello();
    let mut scenario = greeted();
    scenario.gateway_closes_after(answer.len(), FIN).assert_undecided().gateway(0, &answer);
    assert_eq!(scenario.outcome(), (Outcome::ServerHello, 2));

    // In pieces: the last one decides, or shows that it was no answer.
    for (answer, outcome, latency) in
        [(answer, Outcome::ServerHello, 3), (b"HTTP/1.1 400 Bad".to_vec(), Outcome::ClosedByGateway, 1)]
    {
        let mut scenario = greeted();
        scenario.gateway_closes_after(answer.len(), FIN).gateway(9, &answer[9..]).assert_undecided();
        scenario.gateway(0, &answer[..9]);
        assert_eq!(scenario.outcome(), (outcome, latency));
    }

    // They never come.
    let mut scenario = greeted();
    scenario.gateway_closes_after(200, FIN).wait(30);
    assert_eq!(scenario.outcome(), (Outcome::ClosedByGateway, 1));
}

#[test]
fn a_fin_after_bytes_that_the_client_has() {
    // They were not seen, but the client has acknowledged them.
    let mut scenario = greeted();
    scenario.ends[1] = 700;
    scenario.client(named().len(), b"more").gateway_closes(FIN);
    assert_eq!(scenario.outcome().0, Outcome::ClosedByGateway);
    // Of these only the beginning is copied.
    let mut scenario = greeted();
    scenario.gateway(0, &[b'x'; 1_400]).gateway(1_400, &[b'x'; 1_400]).gateway_closes(FIN);
    assert_eq!(scenario.outcome().0, Outcome::ClosedByGateway);
}

#[test]
fn a_fin_that_overtakes_a_hello_in_pieces() {
    let mut scenario = Scenario::new();
    scenario
        .client(0, &named()[..40])
        .gateway_closes_after(7, FIN)
        .assert_undecided()
        .gateway(0, &alert(2, 50));
    let seen = scenario.handshake();
    assert_eq!(seen.hello.incomplete, Some(IncompleteReason::NotSeen));
    assert_eq!(seen.outcome, by_gateway(AlertDescription::DecodeError));

    let mut scenario = Scenario::new();
    scenario.client(0, &named()[..40]).gateway_closes_after(7, FIN).wait(30);
    let seen = scenario.handshake();
    assert_eq!(
        (seen.hello.incomplete, seen.outcome),
        (Some(IncompleteReason::Closed), Outcome::ClosedByGateway)
    );
}

#[test]
fn after_the_last_answer_that_is_passed_on() {
    type End = fn(&mut Scenario) -> &mut Scenario;
    let ends: [(End, Outcome); 2] = [
        (|scenario| scenario.gateway_closes_after(200_000, RST), Outcome::ResetByGateway),
        (|scenario| scenario.gateway_closes_after(200_000, FIN), Outcome::ClosedByGateway),
    ];
    for (end, outcome) in ends {
        for answers in [MAX_ANSWERS - 1, MAX_ANSWERS] {
            let mut scenario = greeted();
            for answer in 0..usize::from(answers) {
                scenario.gateway(answer, b"x");
            }
            end(&mut scenario);
            // Before that, what is so far away is of another connection.
            let expected = if answers == MAX_ANSWERS { outcome } else { Outcome::Timeout };
            assert_eq!(scenario.wait(30).outcome().0, expected, "{answers}");
        }
    }
}

#[test]
fn closed_before_the_hello() {
    let bytes = named();
    let closed = flags::GATEWAY_CLOSED;
    let mut scenario = Scenario::new();
    let event = scenario.connection.opening(1_000, &bytes).marked(closed);
    scenario.send(&event);
    assert_eq!(scenario.outcome(), (Outcome::GatewayClosedFirst, 0));
    scenario.gateway_closes(RST).client(0, &bytes).wait(30);
    assert_eq!(scenario.observations(), []);

    // In two segments, of which the first one says so.
    let mut scenario = Scenario::new();
    let event = scenario.connection.opening(1_000, &bytes[..40]).marked(closed);
    scenario.time = 1_000;
    scenario.send(&event).assert_undecided();
    // The same FIN comes again.
    scenario.gateway_closes(FIN).assert_undecided().client(40, &bytes[40..]);
    assert_eq!(scenario.outcome(), (Outcome::GatewayClosedFirst, 0));

    // Half of it, and then the gateway's TCP says that the connection is no more.
    let mut scenario = Scenario::new();
    scenario.time = 1_000;
    scenario.send(&event).gateway_closes(RST);
    let seen = scenario.handshake();
    assert_eq!(
        (seen.hello.incomplete, seen.outcome),
        (Some(IncompleteReason::Reset), Outcome::GatewayClosedFirst)
    );

    let mut scenario = Scenario::new();
    let other = scenario.connection.opening(1_000, b"GET / HTTP/1.1\r\n").marked(closed);
    assert_eq!(scenario.send(&other).observations(), [non_tls(NonTls::Http)]);
}

#[test]
fn a_hello_whose_answers_will_not_be_seen() {
    let bytes = named();
    let mut scenario = Scenario::new();
    let event = scenario.connection.opening(1_000, &bytes).marked(flags::UNFOLLOWED);
    scenario.send(&event);
    assert_eq!(scenario.outcome(), (Outcome::Evicted, 0));
    assert_eq!(scenario.send(&event).wait(30).observations(), []);

    // Its other half will not be seen either.
    let mut scenario = Scenario::new();
    let event = scenario.connection.opening(1_000, &bytes[..40]).marked(flags::UNFOLLOWED);
    let seen = scenario.send(&event).handshake();
    assert_eq!((seen.hello.incomplete, seen.outcome), (Some(IncompleteReason::Evicted), Outcome::Evicted));

    // It had an entry of the datapath's table, and has it no more.
    let mut scenario = greeted();
    let event = scenario.connection.opening(1_000, &bytes).marked(flags::UNFOLLOWED);
    assert_eq!(scenario.send(&event).outcome(), (Outcome::Evicted, 0));
}

// Resets.

#[test]
fn a_reset_outside_of_the_window_is_ignored() {
    for by in [Side::Client, Side::Gateway] {
        for off in [1 << 30, -(1 << 30), 65_536, -200_000] {
            let mut scenario = greeted();
            scenario.resets(by, off).assert_undecided().gateway(0, &server_hello());
            assert_eq!(scenario.outcome(), (Outcome::ServerHello, 2), "{by:?} {off}");
        }
    }
    // In the middle of a hello.
    let bytes = named();
    let mut scenario = Scenario::new();
    scenario.client(0, &bytes[..40]).resets(Side::Client, 1 << 30).resets(Side::Gateway, -70_000);
    scenario.client(40, &bytes[40..]).gateway(0, &server_hello());
    let seen = scenario.handshake();
    assert_eq!((seen.hello.incomplete, seen.outcome), (None, Outcome::ServerHello));
}

#[test]
fn a_reset_that_acknowledges_nothing_of_the_connection_is_ignored() {
    let mut scenario = greeted();
    let mut reset = scenario.connection.gateway(2_000, 0, b"").with_flags(RST);
    reset.header.ack = reset.header.ack.wrapping_add(1 << 24);
    scenario.send(&reset).assert_undecided();
    // Without an acknowledgement the sequence number alone tells.
    reset.header.tcp_flags = RST;
    scenario.send(&reset);
    assert_eq!(scenario.outcome().0, Outcome::ResetByGateway);
}

#[test]
fn a_reset_in_the_window() {
    for (by, outcome) in [(Side::Client, Outcome::ResetByClient), (Side::Gateway, Outcome::ResetByGateway)] {
        for ahead in [1, 1_000, 65_535] {
            // Nothing shows that its receiver has ignored it.
            let mut scenario = greeted();
            scenario.resets(by, ahead).assert_undecided().wait(30);
            assert_eq!(scenario.outcome(), (outcome, 1));
            // It has.
            let mut scenario = greeted();
            scenario.resets(by, ahead).gateway(0, &server_hello());
            assert_eq!(scenario.outcome(), (Outcome::ServerHello, 2));
        }
    }
}

#[test]
fn a_reset_in_the_window_of_a_stream_that_goes_on() {
    let long = vec![b'x'; 2_000];
    let mut scenario = greeted();
    scenario.resets(Side::Gateway, 1_000).gateway(0, &long).wait(30);
    assert_eq!(scenario.outcome().0, Outcome::Timeout);
    let mut scenario = greeted();
    scenario.resets(Side::Client, 1_000).client(named().len(), &record(23, &long)).wait(30);
    assert_eq!(scenario.outcome().0, Outcome::Timeout);
    // It was the end of these bytes: they were only late.
    let mut scenario = greeted();
    scenario.resets(Side::Gateway, 2_000).gateway(0, &long);
    assert_eq!(scenario.outcome(), (Outcome::ResetByGateway, 1));
}

#[test]
fn a_reset_between_what_is_acknowledged_and_what_was_sent() {
    let long = [b'x'; 2_000];
    let ends = |by, from_end, acknowledges: bool| {
        let mut scenario = greeted();
        scenario.gateway(0, &long);
        if acknowledges {
            scenario.client(named().len(), &record(23, &[b'y'; 20]));
        }
        scenario.resets(by, from_end).wait(30);
        scenario.outcome().0 != Outcome::Timeout
    };
    // The hello's packet acknowledges nothing of it.
    for (from_end, is_end) in [(0, true), (-700, true), (-2_000, true), (-2_001, false)] {
        assert_eq!(ends(Side::Gateway, from_end, false), is_end, "{from_end}");
    }
    // The next one all of it.
    for (from_end, is_end) in [(0, true), (-1, false), (-2_000, false)] {
        assert_eq!(ends(Side::Gateway, from_end, true), is_end, "{from_end}");
    }
    // The gateway has acknowledged the hello and not what came after it.
    for (from_end, is_end) in [(0, true), (-25, true), (-26, false)] {
        assert_eq!(ends(Side::Client, from_end, true), is_end, "{from_end}");
    }
}

#[test]
fn a_reset_of_a_connection_of_which_the_gateways_numbers_are_unknown() {
    // TCP fast open: the SYN acknowledges nothing, and is refused (RFC 9293, section 3.10.7.3).
    let mut scenario = Scenario::new();
    let mut event = scenario.connection.opening(1_000, &named());
    event.header.tcp_flags = tcp_flags::SYN;
    event.header.ack = 0;
    let mut reset = scenario.connection.gateway(2_000, 0, b"").with_flags(RST);
    reset.header.seq = 0;
    scenario.send(&event).send(&reset);
    assert_eq!(scenario.outcome().0, Outcome::ResetByGateway);
}
