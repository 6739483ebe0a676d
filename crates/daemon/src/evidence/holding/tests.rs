use sni_probe_datapath::event::{flags, kind};

use super::*;
use crate::evidence::testing::{client_data, flow, reset};

const TIMEOUT: Duration = Duration::from_secs(30);
const HELLO: [u8; 500] = [0x16; 500];
const SECOND: u64 = 1_000_000_000;

/// Takes an event when it is stamped.
fn take(holding: &mut HeldEvents, event: &Event<'_>) -> u64 {
    holding.event(event, Timestamp(event.header.time_ns))
}

#[test]
fn a_flow_from_its_hello_to_its_end() {
    let mut holding = HeldEvents::new(TIMEOUT);
    assert_eq!(take(&mut holding, &client_data(1, 5, 0, &HELLO)), 0);
    take(&mut holding, &client_data(2, 6, 0, &HELLO));
    take(&mut holding, &reset(1, 7));
    let held = holding.settle(&flow(1), Timestamp(5)).unwrap();
    assert_eq!(held.packets.len(), 2);
    assert!(is_complete(&held));
    assert!(holding.settle(&flow(1), Timestamp(5)).is_none());
    assert_eq!(holding.0.connections(), 1);
}

/// The tracker knows nothing of such a flow, so nothing would be told of it.
#[test]
fn what_is_no_clients_data_opens_nothing() {
    let mut holding = HeldEvents::new(TIMEOUT);
    take(&mut holding, &reset(1, 1));
    let mut answer = client_data(1, 2, 0, b"\x16");
    answer.header.kind = kind::GATEWAY_DATA;
    take(&mut holding, &answer);
    assert_eq!(holding.0.connections(), 0);
}

#[test]
fn hellos_without_an_outcome_do_not_fill_the_memory() {
    let mut holding = HeldEvents::new(TIMEOUT);
    let mut given_up = 0;
    for port in 0..60_000 {
        given_up += take(&mut holding, &client_data(port, u64::from(port), 0, &HELLO));
        assert!(holding.0.bytes() <= MAX_HELD_BYTES);
    }
    assert_eq!(given_up, 60_000 - holding.0.connections() as u64);
    assert!(holding.0.connections() > 9_000, "{}", holding.0.connections());
    // The oldest are those that went.
    assert!(holding.settle(&flow(0), Timestamp(0)).is_none());
    assert!(is_complete(&holding.settle(&flow(59_999), Timestamp(59_999)).unwrap()));
}

#[test]
fn one_client_does_not_take_all_and_its_end_is_held() {
    let mut holding = HeldEvents::new(TIMEOUT);
    for offset in 0..16_384 {
        assert_eq!(take(&mut holding, &client_data(1, 1, offset, b"x")), 0);
    }
    take(&mut holding, &reset(1, 2));
    assert!(holding.0.bytes() <= MAX_FLOW_BYTES);
    let held = holding.settle(&flow(1), Timestamp(1)).unwrap();
    assert!(!is_complete(&held));
    assert_eq!(held.packets.last().unwrap().time_ns(), 2);
}

/// The longest hello there is, in segments of usual length.
#[test]
fn a_long_hello_is_whole() {
    let mut holding = HeldEvents::new(TIMEOUT);
    for offset in (0..16_384).step_by(536) {
        take(&mut holding, &client_data(1, 1, offset, &HELLO[..500]));
    }
    assert!(is_complete(&holding.settle(&flow(1), Timestamp(1)).unwrap()));
}

#[test]
fn a_flow_whose_first_bytes_are_missing_is_not_whole() {
    let mut holding = HeldEvents::new(TIMEOUT);
    take(&mut holding, &client_data(1, 1, 500, &HELLO));
    assert!(!is_complete(&holding.settle(&flow(1), Timestamp(1)).unwrap()));
}

#[test]
fn what_nothing_is_told_of_expires() {
    let mut holding = HeldEvents::new(TIMEOUT);
    take(&mut holding, &client_data(1, 0, 0, &HELLO));
    take(&mut holding, &client_data(2, 71 * SECOND, 0, &HELLO));
    assert!(holding.settle(&flow(1), Timestamp(0)).is_none());
    // One that is told of in time does not.
    take(&mut holding, &client_data(3, 140 * SECOND, 0, &HELLO));
    assert!(holding.settle(&flow(2), Timestamp(71 * SECOND)).is_some());
}

#[test]
fn one_stamp_from_the_future_ends_nothing() {
    const DAY: u64 = 86_400 * SECOND;
    let mut holding = HeldEvents::new(TIMEOUT);
    holding.event(&client_data(1, 1, 0, &HELLO), Timestamp(1));
    holding.event(&client_data(2, DAY, 0, &HELLO), Timestamp(2));
    assert!(holding.settle(&flow(1), Timestamp(1)).is_some());
    assert!(holding.settle(&flow(2), Timestamp(3)).is_some());
}

/// The tracker tells of the earlier connection after the later one's first packet has come.
#[test]
fn a_port_that_is_used_again_is_another_connections() {
    let mut holding = HeldEvents::new(TIMEOUT);
    take(&mut holding, &client_data(1, 1, 0, &HELLO));
    let mut later = client_data(1, 5, 0, &HELLO);
    later.header.isn += 100_000;
    later.header.seq += 100_000;
    // A late packet of another connection is neither's.
    take(&mut holding, &later);
    later.header.flags |= flags::FIRST;
    take(&mut holding, &later);
    take(&mut holding, &client_data(1, 6, 0, &HELLO));
    assert_eq!(holding.settle(&flow(1), Timestamp(5)).unwrap().packets.len(), 1);
    assert!(holding.settle(&flow(1), Timestamp(5)).is_none());

    // The tracker says at once what became of the one before.
    take(&mut holding, &client_data(1, 7, 0, &HELLO));
    later.header.time_ns = 8;
    take(&mut holding, &later);
    assert_eq!(holding.settle(&flow(1), Timestamp(7)).unwrap().packets[0].time_ns(), 7);
    assert_eq!(holding.settle(&flow(1), Timestamp(8)).unwrap().packets[0].time_ns(), 8);

    // The same where no SYN was seen.
    for (seq, packets) in [(1, 1), (17_385, 2), (17_386, 1)] {
        let mut first = client_data(2, 1, 0, &HELLO);
        first.header.flags = 0;
        take(&mut holding, &first);
        let mut second = first;
        second.header.seq = seq;
        take(&mut holding, &second);
        assert_eq!(holding.settle(&flow(2), Timestamp(1)).unwrap().packets.len(), packets, "{seq}");
    }
}
