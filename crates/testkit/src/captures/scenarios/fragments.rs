//! Hellos in IP fragments: one TCP segment each.

use super::{EITHER, hello, with_or_without};
use crate::answers::server_hello;
use crate::captures::{Connection, Expected, FragmentOrder, Scenario};

/// Bytes of a datagram in each fragment: a hello takes three, and the first has its TCP header.
const FRAGMENT_LEN: usize = 104;

/// All of this module.
pub fn all() -> Vec<Scenario> {
    let orders = [FragmentOrder::InOrder, FragmentOrder::Reversed];
    let of_one =
        |name| orders.into_iter().flat_map(move |order| [over_ipv4(order, name), over_ipv6(order, name)]);
    EITHER.into_iter().flat_map(of_one).collect()
}

/// A hello in fragments of IPv4.
pub fn over_ipv4(order: FragmentOrder, name: Option<&'static str>) -> Scenario {
    scenario("ipv4", Connection::v4(), order, name)
}

/// A hello in fragments of IPv6.
pub fn over_ipv6(order: FragmentOrder, name: Option<&'static str>) -> Scenario {
    scenario("ipv6", Connection::v6(), order, name)
}

fn scenario(
    version: &str,
    mut connection: Connection,
    order: FragmentOrder,
    name: Option<&'static str>,
) -> Scenario {
    let builder = hello(name);
    connection.open().client_in_fragments(&builder.build(), FRAGMENT_LEN, order).gateway(&server_hello());
    let order = match order {
        FragmentOrder::InOrder => "in_order",
        FragmentOrder::Reversed => "reversed",
    };
    Scenario {
        name: format!("{version}_fragments_{order}_{}", with_or_without(name)),
        capture: connection.capture(),
        expected: vec![Expected::of(&connection, builder.handshake().len()).named(name)],
    }
}
