//! Hellos as large as they are followed, larger, and larger than what the capture holds of them.

use super::{NAME, RECORD_HEADER, hello};
use crate::answers::server_hello;
use crate::captures::{Connection, Expected, Scenario};

/// How much of a client's stream sni-probe follows.
const FOLLOWED: usize = 16_384;
/// The payload of a full segment.
const MSS: usize = 1460;
/// Of a capture that is to show headers.
const SNAP_LEN: usize = 128;

/// All of this module.
pub fn all() -> Vec<Scenario> {
    vec![as_large_as_followed(), one_byte_too_large(), cut_by_the_snap_length()]
}

/// A hello of 16 KiB with the header of its record, its name last.
pub fn as_large_as_followed() -> Scenario {
    let segments = FOLLOWED.div_ceil(MSS);
    large("hello_of_16_kib", FOLLOWED, |expected| expected.named(Some(NAME)).segments(segments))
}

/// A hello of one byte more. Its first segment says so.
pub fn one_byte_too_large() -> Scenario {
    large("hello_of_16_kib_and_one_byte", FOLLOWED + 1, |expected| expected.incomplete("too_large"))
}

/// A hello in a capture that holds but the beginning of each frame: no name in it, but there may be one.
pub fn cut_by_the_snap_length() -> Scenario {
    let builder = hello(Some(NAME)).server_name_last();
    let mut connection = Connection::v4();
    connection.open().client(&builder.build()).gateway(&server_hello());
    let expected = Expected::of(&connection, builder.handshake().len()).incomplete("truncated");
    Scenario {
        name: "hello_cut_by_the_snap_length".to_owned(),
        capture: connection.capture().snap_len(SNAP_LEN),
        expected: vec![expected],
    }
}

fn large(name: &str, size: usize, expect: impl FnOnce(Expected) -> Expected) -> Scenario {
    let bytes = hello(Some(NAME)).server_name_last().padded_to(size).build();
    let mut connection = Connection::v4();
    connection.open().client_in_segments(&bytes, MSS).gateway(&server_hello());
    let expected = expect(Expected::of(&connection, size - RECORD_HEADER));
    Scenario { name: name.to_owned(), capture: connection.capture(), expected: vec![expected] }
}
