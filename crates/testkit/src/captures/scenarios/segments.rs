//! Hellos in TCP segments that come otherwise than one after the other.

use std::time::Duration;

use super::{NAME, hello};
use crate::answers::server_hello;
use crate::captures::{Connection, Expected, Scenario};
use crate::hello::ClientHelloBuilder;

/// How long Linux waits at least before it sends again.
const RETRANSMISSION_TIMEOUT: Duration = Duration::from_millis(200);
/// The payload of a full segment with timestamps.
const MSS: usize = 1448;

/// All of this module.
pub fn all() -> Vec<Scenario> {
    vec![
        out_of_order(),
        sequence_numbers_wrap_around(),
        overlapping(),
        retransmitted_with_other_boundaries(),
        one_byte_each(),
        retransmission_is_no_second_hello(),
        post_quantum_in_two_segments(),
    ]
}

/// Three segments, of which the last comes first and the first last.
pub fn out_of_order() -> Scenario {
    scenario("segments_out_of_order", &hello(Some(NAME)), Connection::v4(), 3, |connection, bytes| {
        let (first, second) = (100, 200);
        connection.client_at(second, &bytes[second..]);
        connection.client_at(first, &bytes[first..second]);
        connection.client_at(0, &bytes[..first]);
    })
}

/// Sequence numbers that wrap around inside the hello.
pub fn sequence_numbers_wrap_around() -> Scenario {
    let connection = Connection::v6().isns(u32::MAX - 120, u32::MAX);
    scenario("sequence_numbers_wrap_around", &hello(Some(NAME)), connection, 2, |connection, bytes| {
        connection.client_at(150, &bytes[150..]).client_at(0, &bytes[..150]);
    })
}

/// Two segments with some bytes in common.
pub fn overlapping() -> Scenario {
    scenario("segments_overlapping", &hello(Some(NAME)), Connection::v4(), 2, |connection, bytes| {
        connection.client_at(0, &bytes[..180]).client_at(90, &bytes[90..]);
    })
}

/// Two segments; then all again, in two that have another boundary, of which the second brings the rest.
pub fn retransmitted_with_other_boundaries() -> Scenario {
    let name = "retransmitted_with_other_boundaries";
    scenario(name, &hello(Some(NAME)), Connection::v4(), 3, |connection, bytes| {
        connection.client_at(0, &bytes[..80]).client_at(80, &bytes[80..160]);
        connection.after(RETRANSMISSION_TIMEOUT);
        connection.client_at(0, &bytes[..120]).client_at(120, &bytes[120..]);
    })
}

/// A segment for each byte.
pub fn one_byte_each() -> Scenario {
    let builder = hello(Some(NAME));
    let segments = builder.build().len();
    scenario("one_byte_each", &builder, Connection::v4(), segments, |connection, bytes| {
        connection.client_in_segments(bytes, 1);
    })
}

/// The same hello three times, once behind the answer.
pub fn retransmission_is_no_second_hello() -> Scenario {
    let builder = hello(Some(NAME));
    let bytes = builder.build();
    let mut connection = Connection::v4();
    connection.open().client(&bytes);
    connection.after(RETRANSMISSION_TIMEOUT).client_at(0, &bytes);
    connection.gateway(&server_hello()).after(RETRANSMISSION_TIMEOUT).client_at(0, &bytes);
    Scenario {
        name: "retransmission_is_no_second_hello".to_owned(),
        capture: connection.capture(),
        expected: vec![Expected::of(&connection, builder.handshake().len()).named(Some(NAME))],
    }
}

/// A hello of Chrome's size with the name at its end, in the second segment.
pub fn post_quantum_in_two_segments() -> Scenario {
    let builder = hello(Some(NAME)).post_quantum().server_name_last();
    let name = "post_quantum_in_two_segments_sni_last";
    let mut scenario = scenario(name, &builder, Connection::v4(), 2, |connection, bytes| {
        connection.client_in_segments(bytes, MSS);
    });
    scenario.expected = scenario.expected.into_iter().map(|one| one.feature("post_quantum")).collect();
    scenario
}

/// A connection on which `send` sends the hello, which has [`NAME`], in so many segments that bring something new.
fn scenario(
    name: &str,
    builder: &ClientHelloBuilder,
    mut connection: Connection,
    segments: usize,
    send: impl FnOnce(&mut Connection, &[u8]),
) -> Scenario {
    connection.open();
    send(&mut connection, &builder.build());
    connection.gateway(&server_hello());
    let expected = Expected::of(&connection, builder.handshake().len()).named(Some(NAME)).segments(segments);
    Scenario { name: name.to_owned(), capture: connection.capture(), expected: vec![expected] }
}
