//! What becomes of a hello: the gateway's answer, or the connection's end.

use super::*;

#[test]
fn no_answer_at_all() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().build());
    assert_eq!(scenario.tracker.poll_timeout(), Some(Timestamp(30 * SECOND + 1_000)));
    scenario.wait(29);
    assert_eq!(scenario.observations().len(), 1);
    // Retransmissions do not prolong it.
    scenario.client(0, &hello().build()).wait(1);
    let seen = scenario.observations();
    let [Observation::Handshake(handshake)] = &seen[..] else { panic!("{seen:#?}") };
    assert_eq!(handshake.outcome, Outcome::Timeout);
    assert_eq!(handshake.latency, Duration::from_secs(30));
    // Nor does a late one count as another hello.
    scenario.wait(60).client(0, &hello().build()).wait(120).client(0, &hello().build());
    assert_eq!(scenario.observations(), []);
    scenario.wait(130);
    assert_eq!(scenario.tracker.flows(), 0);
}

#[test]
fn the_outcome_has_its_own_time() {
    let bytes = hello().build();
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
        scenario.client(0, &hello().build()[..50]).gateway(0, &answer);
        let seen = scenario.handshake();
        assert_eq!(seen.hello.incomplete, Some(IncompleteReason::NotSeen));
        assert_eq!(seen.hello.sni, Sni::Unknown);
        assert_eq!(seen.outcome, outcome);
    }
}

#[test]
fn an_answer_that_is_no_tls() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().build()).gateway(0, b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!(scenario.observations().len(), 1);
    scenario.gateway_closes(FIN);
    let seen = scenario.observations();
    let [Observation::Handshake(handshake)] = &seen[..] else { panic!("{seen:#?}") };
    assert_eq!(handshake.outcome, Outcome::ClosedByGateway);
}

#[test]
fn an_answer_in_tiny_segments() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().build());
    for (offset, byte) in server_hello()[..16].iter().enumerate() {
        scenario.gateway(offset, &[*byte]);
    }
    // The datapath may still report the client's next flight.
    scenario.client(hello().build().len(), &record(20, &[1])).gateway_closes(FIN);
    assert_eq!(scenario.handshake().outcome, Outcome::ServerHello);
    scenario.client_closes(FIN).wait(2);
    assert_eq!(scenario.tracker.flows(), 0);
}

#[test]
fn an_answer_out_of_order() {
    let answer = server_hello();
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().build()).gateway(8, &answer[8..]).gateway(0, &answer[..8]);
    assert_eq!(scenario.handshake().outcome, Outcome::ServerHello);
}

#[test]
fn a_warning_decides_only_if_nothing_else_comes() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().build()).gateway(0, &[alert(1, 112), server_hello()].concat());
    assert_eq!(scenario.handshake().outcome, Outcome::ServerHello);

    let mut scenario = Scenario::new();
    scenario.client(0, &hello().build()).gateway(0, &alert(1, 112)).wait(5).gateway_closes(FIN);
    let seen = scenario.handshake();
    assert_eq!(seen.outcome, by_gateway(AlertDescription::UnrecognizedName));
    assert_eq!(seen.latency, Duration::from_micros(1), "when the alert came");
}

#[test]
fn an_alert_of_the_client() {
    let bytes = hello().build();
    let early_data = record(23, &[0; 100]);
    for (before, flag) in [(vec![], 0), (early_data, FIN)] {
        let mut scenario = Scenario::new();
        let after = [before, alert(2, 48)].concat();
        scenario.client(0, &bytes).client_with(bytes.len(), &after, flag).gateway_closes(RST);
        let outcome =
            Outcome::Alert { description: AlertDescription::UnknownCa, sender: AlertSender::Client };
        assert_eq!(scenario.handshake().outcome, outcome);
        assert_eq!(scenario.wait(2).tracker.flows(), 0);
    }
}

#[test]
fn retry_then_the_real_answer() {
    let bytes = hello().server_name("a.example").build();
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
    scenario.client(0, &hello().build()).gateway(0, &retry).gateway(retry.len(), &server_hello());
    assert_eq!(scenario.handshake().outcome, Outcome::ServerHello);
}

#[test]
fn retry_then_silence_or_reset() {
    let mut scenario = Scenario::new();
    scenario.client(0, &hello().build()).gateway(0, &hello_retry_request()).gateway_closes(RST);
    let seen = scenario.handshake();
    assert_eq!(seen.outcome, Outcome::ResetByGateway);
    assert_eq!(features(seen.hello.features), [Feature::HelloRetry]);
}
