//! Hellos over several TLS records.

use super::{EITHER, hello, with_or_without};
use crate::answers::server_hello;
use crate::captures::{Connection, Expected, Scenario};
use crate::hello::record;

/// All of this module.
pub fn all() -> Vec<Scenario> {
    let of_one =
        |name| [hello_over_records(2, name), hello_over_records(5, name), boundary_in_message_header(name)];
    EITHER.into_iter().flat_map(of_one).collect()
}

/// A hello in so many records of about the same size, all in one segment.
pub fn hello_over_records(count: usize, name: Option<&'static str>) -> Scenario {
    let builder = hello(name);
    scenario(
        format!("hello_over_{count}_records_{}", with_or_without(name)),
        &builder.in_records(count),
        |expected| expected.named(name).records(count),
        builder.handshake().len(),
    )
}

/// A hello whose first record ends inside the 4-byte header of the message.
pub fn boundary_in_message_header(name: Option<&'static str>) -> Scenario {
    let message = hello(name).handshake();
    scenario(
        format!("record_boundary_in_message_header_{}", with_or_without(name)),
        &[record(&message[..2]), record(&message[2..])].concat(),
        |expected| expected.named(name).records(2),
        message.len(),
    )
}

fn scenario(
    name: String,
    bytes: &[u8],
    expect: impl FnOnce(Expected) -> Expected,
    hello_bytes: usize,
) -> Scenario {
    let mut connection = Connection::v4();
    connection.open().client(bytes).gateway(&server_hello());
    let expected = vec![expect(Expected::of(&connection, hello_bytes))];
    Scenario { name, capture: connection.capture(), expected }
}
