use super::*;
use crate::testing::{Connection, OwnedEvent};

const LIMITS: HoldingLimits = HoldingLimits {
    total_bytes: 100_000,
    connection_bytes: 10_000,
    reserved_bytes: 2_000,
    patience: Duration::from_mins(1),
};
const BYTES: usize = 500;
const SECOND: u64 = 1_000_000_000;

/// Packets by the time at which they were seen.
type Held = HeldPackets<u64>;

fn flow(port: u16) -> FlowKey {
    FlowKey::of(&Connection::new(port).opening(0, b"x").header)
}

fn hold(held: &mut Held, port: u16, hint: ConnectionHint<'_>, time: u64) -> bool {
    let is_held = held.hold(&flow(port), hint, Timestamp(time), BYTES, || time);
    check(held);
    is_held
}

fn hold_event(held: &mut Held, event: &OwnedEvent) -> bool {
    let header = &event.header;
    hold(held, header.client_port, ConnectionHint::Event(header), header.time_ns)
}

fn segment(number: u32) -> ConnectionHint<'static> {
    ConnectionHint::Segment { number: Some(SeqNumber(number)), is_client_data: false }
}

fn client_data(number: u32) -> ConnectionHint<'static> {
    ConnectionHint::Segment { number: Some(SeqNumber(number)), is_client_data: true }
}

fn settle(held: &mut Held, port: u16, settled: SettledConnection) -> Vec<Vec<u64>> {
    let settled = held.settle(&flow(port), settled);
    check(held);
    settled.into_iter().map(|connection| connection.packets).collect()
}

/// The sums and both tables agree.
fn check(held: &Held) {
    let connections = || held.connections.values().flatten();
    assert_eq!(held.bytes, connections().map(|connection| connection.bytes).sum::<usize>());
    assert_eq!(held.order.len(), connections().count());
    assert!(held.connections.values().all(|connections| !connections.is_empty()));
    for (key, connections) in &held.connections {
        assert!(connections.iter().all(|connection| held.order.get(&connection.number) == Some(key)));
        assert!(connections.iter().is_sorted_by_key(|connection| connection.number));
    }
}

#[test]
fn packets_are_held_until_their_connection_is_settled() {
    let mut held = Held::new(LIMITS);
    assert!(hold_event(&mut held, &Connection::new(1).opening(1, b"hello")));
    assert!(hold_event(&mut held, &Connection::new(2).opening(2, b"hello")));
    assert!(hold_event(&mut held, &Connection::new(1).gateway(3, 0, b"")));
    assert!(held.contains(&flow(1)));
    assert_eq!(settle(&mut held, 1, SettledConnection::First), [[1, 3]]);
    assert!(!held.contains(&flow(1)));
    assert!(settle(&mut held, 1, SettledConnection::First).is_empty());
    assert_eq!((held.connections(), held.bytes()), (1, CONNECTION_OVERHEAD + BYTES));
}

#[test]
fn a_syn_and_an_event_of_client_data_open_a_connection_and_nothing_else_does() {
    let mut held = Held::new(LIMITS);
    assert!(!hold_event(&mut held, &Connection::new(1).client(1, 0, b"")));
    assert!(!hold_event(&mut held, &Connection::new(1).gateway(2, 0, b"\x16")));
    assert!(!hold(&mut held, 1, client_data(5), 3));
    assert_eq!(held.connections(), 0);
    assert!(hold(&mut held, 1, ConnectionHint::Syn(SeqNumber(999_999)), 4));
    assert!(hold_event(&mut held, &Connection::new(2).opening(5, b"hello")));
    assert_eq!(held.connections(), 2);
}

#[test]
fn one_connection_has_a_bound_and_a_reserve() {
    let mut held = Held::new(LIMITS);
    let held_data =
        (0..100).filter(|&time| hold_event(&mut held, &Connection::new(1).client(time, 0, b"x"))).count();
    assert_eq!(held_data, (10_000 - 2_000 - CONNECTION_OVERHEAD) / BYTES);
    assert!(hold_event(&mut held, &Connection::new(1).gateway(200, 0, b"")));
    let others = (201..300).filter(|&time| hold(&mut held, 1, segment(1_000_001), time)).count();
    assert!((3..4).contains(&others), "{others}");
    assert!(held.bytes() <= 10_000);
    let [connection] = &held.settle(&flow(1), SettledConnection::First)[..] else { panic!() };
    assert!(connection.is_truncated);
    assert!(connection.packets.contains(&200));
}

#[test]
fn a_connection_within_its_bound_is_not_truncated_unless_the_caller_marks_it() {
    for is_marked in [false, true] {
        let mut held = Held::new(LIMITS);
        hold_event(&mut held, &Connection::new(1).opening(1, b"hello"));
        if is_marked {
            held.mark_truncated(&flow(1), segment(1_000_003));
        }
        held.mark_truncated(&flow(2), segment(1_000_003));
        let [connection] = &held.settle(&flow(1), SettledConnection::First)[..] else { panic!() };
        assert_eq!((connection.is_truncated, connection.bytes()), (is_marked, CONNECTION_OVERHEAD + BYTES));
    }
}

#[test]
fn the_oldest_go_when_there_are_too_many_bytes() {
    let mut held = Held::new(LIMITS);
    let mut removed = Vec::new();
    for port in 0..1_000 {
        hold_event(&mut held, &Connection::new(port).opening(u64::from(port), b"hello"));
        while let Some(connection) = held.pop_excess(0) {
            removed.extend(connection.packets);
            check(&held);
        }
        assert!(held.bytes() <= LIMITS.total_bytes);
    }
    let expected = LIMITS.total_bytes / (CONNECTION_OVERHEAD + BYTES);
    assert_eq!(held.connections(), expected);
    assert!(removed.iter().copied().eq(0..1_000 - expected as u64));
    // Bytes of the caller's under the same bound.
    while held.pop_excess(50_000).is_some() {}
    assert!(held.bytes() <= 50_000);
    assert_eq!(settle(&mut held, 999, SettledConnection::First), [[999]]);
    while held.pop_excess(200_000).is_some() {}
    assert_eq!((held.connections(), held.bytes()), (0, 0));
}

#[test]
fn connections_expire() {
    let mut held = Held::new(LIMITS);
    hold_event(&mut held, &Connection::new(1).opening(SECOND, b"hello"));
    hold_event(&mut held, &Connection::new(2).opening(2 * SECOND, b"hello"));
    hold_event(&mut held, &Connection::new(1).gateway(60 * SECOND, 0, b""));
    assert!(held.pop_expired(Timestamp(61 * SECOND)).is_none());
    let expired = held.pop_expired(Timestamp(61 * SECOND + 1)).unwrap();
    assert_eq!(expired.packets, [SECOND, 60 * SECOND]);
    assert!(held.pop_expired(Timestamp(61 * SECOND + 1)).is_none());
    assert!(held.pop_expired(Timestamp(u64::MAX)).is_some());
    assert!(held.pop_expired(Timestamp(u64::MAX)).is_none());
    check(&held);
}

/// Two CPUs may stamp events out of order by a little.
#[test]
fn a_connection_began_with_its_earliest_packet() {
    let mut held = Held::new(LIMITS);
    hold_event(&mut held, &Connection::new(1).client(7, 5, b"hello"));
    hold_event(&mut held, &Connection::new(1).client(6, 0, b"hello"));
    assert!(settle(&mut held, 1, SettledConnection::BegunBy(Timestamp(5))).is_empty());
    assert_eq!(settle(&mut held, 1, SettledConnection::BegunBy(Timestamp(6))), [[7, 6]]);
}

#[test]
fn events_show_which_of_successive_connections_they_are_of() {
    let first = Connection::new(1);
    let second = Connection { isn: first.isn + 100_000, ..first };
    let mut held = Held::new(LIMITS);
    assert!(hold_event(&mut held, &first.opening(1, b"hello")));
    // A late packet of another connection is of neither.
    assert!(!hold_event(&mut held, &second.client(2, 0, b"hello")));
    assert!(hold_event(&mut held, &second.opening(3, b"hello")));
    assert!(hold_event(&mut held, &first.client(4, 0, b"hello")));
    assert!(hold_event(&mut held, &second.gateway(5, 0, b"")));
    assert_eq!(settle(&mut held, 1, SettledConnection::BegunBy(Timestamp(2))), [[1, 4]]);
    assert!(!hold_event(&mut held, &first.client(6, 0, b"hello")));
    assert_eq!(settle(&mut held, 1, SettledConnection::BegunBy(Timestamp(5))), [[3, 5]]);
}

/// The window of a stream's first bytes is 16 KiB.
#[test]
fn without_a_syn_the_distance_shows_it() {
    for (offset, connections) in [(0, 1), (16_384, 1), (16_385, 2)] {
        let connection = Connection { syn_seen: false, ..Connection::new(1) };
        let mut held = Held::new(LIMITS);
        hold_event(&mut held, &connection.client(1, 0, b"hello"));
        hold_event(&mut held, &connection.client(2, offset, b"hello"));
        assert_eq!(held.connections(), connections, "{offset}");
    }
}

#[test]
fn segments_are_of_the_connection_that_began_nearest_before_them() {
    // Numbers that go up, down, and around the circle.
    for [first, second] in
        [[1_000, 16_625], [16_625, 1_000], [u32::MAX - 100, 10_000], [10_000, u32::MAX - 100]]
    {
        let mut held = Held::new(LIMITS);
        for (time, isn) in [(1, first), (2, second), (3, first), (4, second)] {
            assert!(hold(&mut held, 1, ConnectionHint::Syn(SeqNumber(isn)), time));
        }
        for (time, isn) in [(5, first), (6, second)] {
            assert!(hold(&mut held, 1, client_data(isn.wrapping_add(1)), time));
            // A keep-alive probe of the first byte.
            assert!(hold(&mut held, 1, segment(isn), time + 2));
        }
        // A segment without a number, such as a RST without an acknowledgement, is of the latest one.
        assert!(hold(&mut held, 1, ConnectionHint::Segment { number: None, is_client_data: false }, 9));
        assert_eq!(settle(&mut held, 1, SettledConnection::First), [[1, 3, 5, 7]], "{first} {second}");
        assert_eq!(settle(&mut held, 1, SettledConnection::First), [[2, 4, 6, 8, 9]], "{first} {second}");
    }
}

/// A SYN that came after the data that follows it, and an event after the SYN.
#[test]
fn syns_and_events_show_the_same_connection() {
    let connection = Connection::new(1);
    let syn = ConnectionHint::Syn(SeqNumber(connection.isn));
    let late_start = Connection { syn_seen: false, ..connection };
    for event in [connection.opening(2, b"hello"), late_start.client(2, 0, b"hello")] {
        for is_syn_first in [false, true] {
            let mut held = Held::new(LIMITS);
            if is_syn_first {
                hold(&mut held, 1, syn, 1);
            }
            hold_event(&mut held, &event);
            hold(&mut held, 1, syn, 3);
            assert_eq!(held.connections(), 1);
        }
    }
}

#[test]
fn those_before_a_settled_connection_come_with_it() {
    let mut held = Held::new(LIMITS);
    for (time, isn) in [(1, 1_000), (2, 2_000), (3, 3_000)] {
        hold(&mut held, 1, ConnectionHint::Syn(SeqNumber(isn)), time);
    }
    hold(&mut held, 1, client_data(2_001), 4);
    assert_eq!(settle(&mut held, 1, SettledConnection::First), [vec![1], vec![2, 4]]);
    // No connection with data is left.
    assert_eq!(settle(&mut held, 1, SettledConnection::First), [[3]]);
}

/// Each has its own packets, and a packet is looked for in the latest ones only.
#[test]
fn many_connections_of_one_port() {
    let mut held = Held::new(LIMITS);
    for number in 0..100 {
        hold(&mut held, 1, ConnectionHint::Syn(SeqNumber(number * 1_000)), u64::from(number));
    }
    hold(&mut held, 1, client_data(96_001), 100);
    hold(&mut held, 1, client_data(95_001), 101);
    let settled = settle(&mut held, 1, SettledConnection::First);
    assert_eq!(settled.len(), 97);
    assert_eq!(settled[96], [96, 100]);
    assert_eq!(settled[95], [95]);
    assert_eq!(settle(&mut held, 1, SettledConnection::First), [vec![97], vec![98], vec![99, 101]]);
    assert_eq!(held.bytes(), 0);
}

#[test]
fn a_late_copy_of_a_settled_connection_does_not_take_the_place_of_the_next_one() {
    let first = Connection::new(1);
    let second = Connection { isn: first.isn + 100_000, ..first };
    let mut held = Held::new(LIMITS);
    hold_event(&mut held, &first.opening(1, b"hello"));
    settle(&mut held, 1, SettledConnection::BegunBy(Timestamp(1)));
    hold_event(&mut held, &first.opening(2, b"hello"));
    hold_event(&mut held, &second.opening(3, b"hello"));
    // The copy has no outcome of its own.
    assert_eq!(settle(&mut held, 1, SettledConnection::BegunBy(Timestamp(3))), [[2], [3]]);
}
