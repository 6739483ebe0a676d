//! Time: the driver's clock, the stamps of packets, and stamps that are wrong.

use super::*;

const DAY: u64 = 86_400 * SECOND;

fn at(seconds: u64) -> Timestamp {
    Timestamp(seconds * SECOND)
}

/// A hello of a client's port, and the RST that answers it, stamped so.
fn hello_of(port: u16, time_ns: u64) -> OwnedEvent {
    Connection::new(port).opening(time_ns, &hello().build())
}

fn reset_of(port: u16, time_ns: u64) -> OwnedEvent {
    let mut event = Connection::new(port).gateway(time_ns, 0, b"").with_flags(RST);
    event.header.ack += u32::try_from(hello().build().len()).unwrap();
    event
}

fn outcomes(tracker: &mut Tracker) -> Vec<(u16, Outcome, Duration)> {
    let handshake = |observation| match observation {
        Observation::Handshake(handshake) => {
            Some((handshake.flow.client.port(), handshake.outcome, handshake.latency))
        }
        _ => None,
    };
    observations(tracker).into_iter().filter_map(handshake).collect()
}

/// What becomes of the hellos after these packets; the tracker has no other clock.
fn replayed(events: &[OwnedEvent]) -> (Vec<(u16, Outcome, Duration)>, u64) {
    let mut tracker = Tracker::new(TrackerConfig::default());
    for event in events {
        tracker.handle_event(&event.borrow());
        tracker.assert_consistent();
    }
    tracker.finish();
    (outcomes(&mut tracker), tracker.time_jumps())
}

const TIMEOUT: Duration = Duration::from_secs(30);

#[test]
fn a_timeout_is_as_long_as_the_timeout() {
    // The driver's clock is at zero, or beyond the packets, which waited in a ring.
    for seconds in [0, 5] {
        let mut tracker = Tracker::new(TrackerConfig::default());
        tracker.handle_timeout(at(seconds));
        tracker.handle_event(&hello_of(1, SECOND).borrow());
        tracker.handle_event(&Connection::new(2).opening(2 * SECOND, &hello().build()[..40]).borrow());
        // The driver looks an hour later.
        tracker.handle_timeout(at(3_600));
        assert_eq!(outcomes(&mut tracker), [(2, Outcome::Timeout, TIMEOUT), (1, Outcome::Timeout, TIMEOUT)]);
    }
}

#[test]
fn what_comes_after_the_timeout_is_too_late() {
    let mut tracker = Tracker::new(TrackerConfig::default());
    tracker.handle_event(&hello_of(1, SECOND).borrow());
    tracker.handle_event(&hello_of(2, 20 * SECOND).borrow());
    // No driver has looked, but the packet itself says how late it is.
    tracker.handle_event(&reset_of(1, 32 * SECOND).borrow());
    tracker.handle_event(&reset_of(2, 33 * SECOND).borrow());
    let later = Duration::from_secs(13);
    assert_eq!(outcomes(&mut tracker), [(1, Outcome::Timeout, TIMEOUT), (2, Outcome::ResetByGateway, later)]);
}

#[test]
fn one_stamp_from_the_future() {
    let second = Duration::from_secs(1);
    let handshake = [hello_of(1, SECOND), reset_of(1, 2 * SECOND)];
    // On another connection's packet, on this one's first, on its last.
    let [hello, reset] = handshake.clone();
    let other = hello_of(2, DAY);
    let (seen, jumps) = replayed(&[hello.clone(), other, reset.clone(), hello_of(3, 3 * SECOND)]);
    assert_eq!(seen[0], (1, Outcome::ResetByGateway, second));
    assert_eq!(seen[1..].iter().map(|seen| seen.1).collect::<Vec<_>>(), [Outcome::Unfinished; 2]);
    assert_eq!(jumps, 1);

    let late = reset_of(1, DAY);
    let (seen, jumps) =
        replayed(&[hello.clone(), late.clone(), hello_of(2, 3 * SECOND), reset_of(2, 4 * SECOND)]);
    assert_eq!(seen, [(1, Outcome::ResetByGateway, Duration::ZERO), (2, Outcome::ResetByGateway, second)]);
    assert_eq!(jumps, 1);

    // There is nothing that says that it is wrong.
    let (seen, jumps) = replayed(&[hello, late]);
    assert_eq!((seen, jumps), (vec![(1, Outcome::Timeout, TIMEOUT)], 0));
}

#[test]
fn one_stamp_from_the_past() {
    let second = Duration::from_secs(1);
    let early = hello_of(2, SECOND);
    let events = [hello_of(1, DAY), early, reset_of(1, DAY + SECOND), reset_of(2, DAY + SECOND)];
    let (seen, jumps) = replayed(&events);
    assert_eq!(seen, [(1, Outcome::ResetByGateway, second), (2, Outcome::ResetByGateway, second)]);
    assert_eq!(jumps, 1);
}

/// The first packet was stamped by a wrong clock: those after it are right.
#[test]
fn the_clock_is_set_back() {
    let events = [hello_of(1, DAY), hello_of(2, SECOND), hello_of(3, 2 * SECOND), reset_of(2, 3 * SECOND)];
    let (seen, jumps) = replayed(&events);
    let two = Duration::from_secs(2);
    assert_eq!(seen[0], (2, Outcome::ResetByGateway, two));
    assert_eq!(seen.len(), 3);
    assert_eq!(jumps, 1);

    // The hello before has waited for as long as it was there.
    let events = [hello_of(1, DAY), hello_of(2, SECOND), hello_of(3, 2 * SECOND), reset_of(1, 3 * SECOND)];
    assert_eq!(replayed(&events).0[0], (1, Outcome::ResetByGateway, two));

    // Those that wait go on waiting as long as they would have.
    let mut tracker = Tracker::new(TrackerConfig::default());
    for event in [hello_of(1, DAY), hello_of(2, SECOND), hello_of(3, 2 * SECOND)] {
        tracker.handle_event(&event.borrow());
        tracker.assert_consistent();
    }
    assert_eq!(tracker.poll_timeout(), Some(at(31)));
    for time in [20, 30, 31, 32] {
        tracker.handle_stamp(at(time));
        tracker.assert_consistent();
    }
    let seen: Vec<_> = outcomes(&mut tracker).into_iter().map(|(port, outcome, _)| (port, outcome)).collect();
    assert_eq!(seen, [(1, Outcome::Timeout), (2, Outcome::Timeout), (3, Outcome::Timeout)]);
}

/// A gap is no jump: the packet after it confirms the first one.
#[test]
fn a_gap_in_a_capture() {
    let events = [hello_of(1, SECOND), hello_of(2, 3_600 * SECOND), reset_of(2, 3_601 * SECOND)];
    let (seen, jumps) = replayed(&events);
    let second = Duration::from_secs(1);
    assert_eq!(seen, [(1, Outcome::Timeout, TIMEOUT), (2, Outcome::ResetByGateway, second)]);
    assert_eq!(jumps, 0);
    // Every packet comes after one.
    let events: Vec<_> = (1..6).map(|port| hello_of(port, u64::from(port) * 100 * SECOND)).collect();
    let (seen, jumps) = replayed(&events);
    assert_eq!(seen[..4], [1, 2, 3, 4].map(|port| (port, Outcome::Timeout, TIMEOUT)));
    assert_eq!((seen[4].1, jumps), (Outcome::Unfinished, 0));
}

#[test]
fn stamps_of_packets_that_are_no_events() {
    let mut tracker = Tracker::new(TrackerConfig::default());
    tracker.handle_stamp(at(86_400));
    tracker.handle_event(&hello_of(1, SECOND).borrow());
    assert_eq!((tracker.flows(), tracker.time()), (0, at(86_400)), "it waits for the next stamp");
    tracker.handle_stamp(at(2));
    assert_eq!((tracker.flows(), tracker.time(), tracker.time_jumps()), (1, at(2), 1));
    tracker.handle_stamp(at(86_400));
    tracker.handle_stamp(at(30));
    assert_eq!(observations(&mut tracker).len(), 1);
    tracker.handle_stamp(at(31));
    assert_eq!(outcomes(&mut tracker), [(1, Outcome::Timeout, TIMEOUT)]);
    assert_eq!(tracker.time_jumps(), 2);
}

#[test]
fn the_driver_decides_on_a_stamp_in_doubt() {
    // It was wrong.
    let mut tracker = Tracker::new(TrackerConfig::default());
    tracker.handle_timeout(at(1_000));
    tracker.handle_event(&hello_of(1, DAY).borrow());
    assert_eq!((tracker.flows(), tracker.poll_timeout()), (0, Some(at(1_000))));
    tracker.handle_timeout(at(1_001));
    assert_eq!((tracker.flows(), tracker.poll_timeout()), (1, Some(at(1_030))));
    assert_eq!(tracker.time_jumps(), 1);
    tracker.handle_timeout(at(1_030));
    assert_eq!(outcomes(&mut tracker), [(1, Outcome::Timeout, TIMEOUT)]);

    // The driver had not looked for a while.
    let mut tracker = Tracker::new(TrackerConfig::default());
    tracker.handle_timeout(at(1_000));
    tracker.handle_event(&hello_of(1, 1_100 * SECOND).borrow());
    tracker.handle_timeout(at(1_101));
    assert_eq!((tracker.poll_timeout(), tracker.time_jumps()), (Some(at(1_130)), 0));
}

/// One wrong time of the driver's own, before there was anything.
#[test]
fn one_wrong_time_of_the_driver_is_forgotten() {
    let mut tracker = Tracker::new(TrackerConfig::default());
    tracker.handle_timeout(at(86_400));
    tracker.handle_event(&hello_of(1, SECOND).borrow());
    tracker.handle_timeout(at(3_600));
    assert_eq!(outcomes(&mut tracker), [(1, Outcome::Timeout, TIMEOUT)]);
}

#[test]
fn times_a_little_out_of_order() {
    let mut scenario = Scenario::new();
    let connection = scenario.connection;
    scenario.send(&connection.opening(5_000, &hello().build()));
    scenario.send(&Connection::new(2).opening(4_000, &hello().build()));
    scenario.send(&connection.gateway(4_500, 0, b"").with_flags(RST));
    let seen = scenario.observations();
    let Observation::Handshake(handshake) = &seen[2] else { panic!("{seen:#?}") };
    assert_eq!(handshake.latency, Duration::ZERO);
    assert_eq!(scenario.tracker.poll_timeout(), Some(Timestamp(2 * SECOND + 5_000)));
    scenario.wait(31);
    let seen = scenario.observations();
    let [Observation::Handshake(handshake)] = &seen[..] else { panic!("{seen:#?}") };
    assert_eq!((handshake.outcome, handshake.latency), (Outcome::Timeout, TIMEOUT));
}

/// However stamps jump, every hello has one outcome, and none waits for ever.
#[test]
fn a_held_event_at_the_end() {
    let mut tracker = Tracker::new(TrackerConfig::default());
    tracker.handle_event(&hello_of(1, SECOND).borrow());
    tracker.handle_event(&hello_of(2, DAY).borrow());
    assert_eq!(tracker.flows(), 1);
    tracker.finish();
    let seen = outcomes(&mut tracker);
    assert_eq!(seen[0], (1, Outcome::Timeout, TIMEOUT));
    assert_eq!((seen[1].0, seen[1].1), (2, Outcome::Unfinished));
}
