//! What becomes of a hello.

use std::time::Duration;

use super::{NAME, hello, with_or_without};
use crate::answers::{fatal_alert, hello_retry_request, server_hello};
use crate::captures::{Capture, Connection, Expected, Scenario};

const UNRECOGNIZED_NAME: u8 = 112;
/// Longer than a hello is waited for unless one says otherwise (30 s).
const LONGER_THAN_THE_TIMEOUT: Duration = Duration::from_secs(31);

/// All of this module.
pub fn all() -> Vec<Scenario> {
    vec![
        reset_by_gateway(None),
        reset_by_gateway(Some(NAME)),
        alert_of_gateway(),
        closed_by_gateway(),
        closed_by_client(),
        half_close_then_answer(),
        half_close_then_reset(),
        gateway_closed_first(),
        reset_by_client(),
        timeout(),
        unfinished(),
        hello_retry(),
        half_a_hello(),
    ]
}

/// RST right behind the hello.
pub fn reset_by_gateway(name: Option<&'static str>) -> Scenario {
    let scenario = format!("reset_by_gateway_{}", with_or_without(name));
    one(&scenario, name, "reset_by_gateway", Connection::gateway_reset)
}

/// The alert `unrecognized_name`.
pub fn alert_of_gateway() -> Scenario {
    let mut scenario = one("alert_unrecognized_name", Some(NAME), "alert", |connection| {
        connection.gateway(&fatal_alert(UNRECOGNIZED_NAME)).gateway_fin().client_fin()
    });
    scenario.expected = scenario.expected.into_iter().map(|one| one.alert("unrecognized_name")).collect();
    scenario
}

/// FIN of the gateway, without an answer.
pub fn closed_by_gateway() -> Scenario {
    one("closed_by_gateway", None, "closed_by_gateway", Connection::gateway_fin)
}

/// FIN of the client, to which the gateway answers with its own.
pub fn closed_by_client() -> Scenario {
    one("closed_by_client", None, "closed_by_client", |connection| connection.client_fin().gateway_fin())
}

/// FIN of the client, which the gateway answers all the same: the connection is closed by half.
pub fn half_close_then_answer() -> Scenario {
    one("half_close_then_answer", Some(NAME), "server_hello", |connection| {
        connection.client_fin().gateway(&server_hello()).gateway_fin()
    })
}

/// FIN of the client, and RST of the gateway.
pub fn half_close_then_reset() -> Scenario {
    one("half_close_then_reset", None, "reset_by_gateway", |connection| {
        connection.client_fin().gateway_reset()
    })
}

/// The gateway hangs up before the client says anything: it closed an idle connection.
pub fn gateway_closed_first() -> Scenario {
    let builder = hello(Some(NAME));
    let mut connection = Connection::v4();
    connection.open().gateway_fin().client(&builder.build()).gateway_reset();
    let expected = Expected::of(&connection, builder.handshake().len()).named(Some(NAME));
    Scenario {
        name: "gateway_closed_first".to_owned(),
        capture: connection.capture(),
        expected: vec![expected.outcome("gateway_closed_first")],
    }
}

/// RST of the client.
pub fn reset_by_client() -> Scenario {
    one("reset_by_client", None, "reset_by_client", Connection::client_reset)
}

/// No answer, and the capture goes on for longer than one is waited for.
pub fn timeout() -> Scenario {
    let builder = hello(None);
    let mut silent = Connection::v4();
    silent.open().client(&builder.build()).gateway_ack();
    let mut answered = Connection::v4().client_port(51_235);
    answered
        .after(LONGER_THAN_THE_TIMEOUT)
        .open()
        .client(&hello(Some(NAME)).build())
        .gateway(&server_hello());
    let length = builder.handshake().len();
    let expected = vec![
        Expected::of(&silent, length).outcome("timeout"),
        Expected::of(&answered, hello(Some(NAME)).handshake().len()).named(Some(NAME)),
    ];
    Scenario { name: "timeout".to_owned(), capture: Capture::of([&silent, &answered]), expected }
}

/// No answer before the capture ends.
pub fn unfinished() -> Scenario {
    one("unfinished", Some(NAME), "unfinished", Connection::gateway_ack)
}

/// A HelloRetryRequest, the second hello, and a ServerHello: one handshake.
pub fn hello_retry() -> Scenario {
    let second = hello(Some(NAME)).build();
    let mut scenario = one("hello_retry", Some(NAME), "server_hello", |connection| {
        connection.gateway(&hello_retry_request()).client(&second).gateway(&server_hello())
    });
    scenario.expected = scenario.expected.into_iter().map(|one| one.feature("hello_retry")).collect();
    scenario
}

/// Half a hello, its name included, then FIN.
pub fn half_a_hello() -> Scenario {
    let builder = hello(Some(NAME));
    let bytes = builder.build();
    let mut connection = Connection::v4();
    connection.open().client(&bytes[..bytes.len() / 2]).client_fin();
    let expected = Expected::of(&connection, builder.handshake().len());
    Scenario {
        name: "half_a_hello".to_owned(),
        capture: connection.capture(),
        expected: vec![expected.incomplete("closed").outcome("closed_by_client")],
    }
}

/// A connection with one hello, and what `answer` makes of it.
fn one(
    scenario: &str,
    name: Option<&'static str>,
    outcome: &'static str,
    answer: impl FnOnce(&mut Connection) -> &mut Connection,
) -> Scenario {
    let builder = hello(name);
    let mut connection = Connection::v4();
    answer(connection.open().client(&builder.build()));
    let expected = Expected::of(&connection, builder.handshake().len()).named(name).outcome(outcome);
    Scenario { name: scenario.to_owned(), capture: connection.capture(), expected: vec![expected] }
}
