use super::*;

const CLIENT: &str = "10.138.0.28:19432";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn event(client: &str, seconds: i64, sni: &str, name: Option<&str>) -> Event {
    Event {
        time: at(seconds),
        client: client.parse().unwrap(),
        peer: Some(client.parse().unwrap()),
        sni: sni.into(),
        server_name: name.map(str::to_owned),
    }
}

/// What events say of one entry of [`CLIENT`]: really without SNI, had a name, not seen.
fn joined(events: &[Event]) -> (u64, u64, u64) {
    let mut waiting = Waiting::default();
    waiting.add(Some(CLIENT.parse().unwrap()), Some(at(0)));
    for event in events {
        waiting.see(event);
    }
    let joined = waiting.finish();
    assert_eq!(joined.events, events.len() as u64);
    (joined.really_without_sni, joined.had_a_name, joined.not_seen)
}

#[test]
fn by_address_port_and_time() {
    for sni in ["absent", "empty", "invalid"] {
        assert_eq!(joined(&[event(CLIENT, 1, sni, None)]), (1, 0, 0));
    }
    assert_eq!(joined(&[event(CLIENT, -1, "present", Some("b.example"))]), (0, 1, 0));
    assert_eq!(joined(&[event("[::ffff:10.138.0.28]:19432", 0, "absent", None)]), (1, 0, 0));
    for other in [
        event("10.138.0.28:19433", 0, "absent", None),
        event("10.138.0.29:19432", 0, "absent", None),
        event(CLIENT, 60, "absent", None),
        event(CLIENT, -60, "absent", None),
        event(CLIENT, 0, "unknown", None),
    ] {
        assert_eq!(joined(&[other]), (0, 0, 1));
    }
}

#[test]
fn the_nearest_counts_in_any_order() {
    let near = || event(CLIENT, 1, "absent", None);
    let far = || event(CLIENT, -3, "present", Some("b.example"));
    assert_eq!(joined(&[near(), far()]), (1, 0, 0));
    assert_eq!(joined(&[far(), near()]), (1, 0, 0));
}

#[test]
fn a_port_that_came_again() {
    let mut waiting = Waiting::default();
    for seconds in [0, 60] {
        waiting.add(Some(CLIENT.parse().unwrap()), Some(at(seconds)));
    }
    waiting.see(&event(CLIENT, 60, "absent", None));
    waiting.see(&event(CLIENT, 0, "present", Some("b.example")));
    let joined = waiting.finish();
    assert_eq!((joined.really_without_sni, joined.had_a_name, joined.not_seen), (1, 1, 0));
    assert_eq!(joined.clients_without_sni[0].name, "10.138.0.28");
    assert_eq!(joined.names[0].name, "b.example");
}

#[test]
fn behind_a_proxy_by_its_own_address() {
    let mut proxied = event("192.0.2.7:5", 0, "absent", None);
    proxied.peer = Some(CLIENT.parse().unwrap());
    assert_eq!(joined(&[proxied]), (1, 0, 0));
}

/// What cannot wait is counted.
#[test]
fn more_entries_than_wait() {
    let mut waiting = Waiting { count: MAX_WAITING - 1, ..Waiting::default() };
    for _ in 0..3 {
        waiting.add(Some(CLIENT.parse().unwrap()), Some(at(0)));
    }
    waiting.add(None, Some(at(0)));
    waiting.add(Some(CLIENT.parse().unwrap()), None);
    waiting.see(&event(CLIENT, 0, "absent", None));
    let joined = waiting.finish();
    assert_eq!((joined.really_without_sni, joined.not_seen, joined.by_address_alone), (1, 0, 0));
    assert_eq!((joined.no_room, joined.without_port), (3, 1));
}

/// An entry with an unknown time is joined by address and port alone, and says so.
#[test]
fn without_a_time() {
    let joined = |events: &[Event]| {
        let mut waiting = Waiting::default();
        waiting.add(Some(CLIENT.parse().unwrap()), None);
        for event in events {
            waiting.see(event);
        }
        let joined = waiting.finish();
        assert_eq!(joined.by_address_alone, 1);
        (joined.really_without_sni, joined.had_a_name, joined.not_seen, joined.undecided)
    };
    let without = |seconds| event(CLIENT, seconds, "absent", None);
    let named = |seconds| event(CLIENT, seconds, "present", Some("b.example"));
    assert_eq!(joined(&[without(86_400)]), (1, 0, 0, 0));
    assert_eq!(joined(&[named(-86_400), named(5)]), (0, 1, 0, 0));
    assert_eq!(joined(&[named(-86_400), without(5), named(9)]), (0, 0, 0, 1));
    assert_eq!(joined(&[event("10.138.0.28:19433", 0, "absent", None)]), (0, 0, 1, 0));
}

/// An event near in time belongs to the entry that has a time, and to those of unknown time as well.
#[test]
fn with_and_without_a_time() {
    let mut waiting = Waiting::default();
    waiting.add(Some(CLIENT.parse().unwrap()), Some(at(0)));
    waiting.add(Some(CLIENT.parse().unwrap()), None);
    waiting.see(&event(CLIENT, 1, "absent", None));
    let joined = waiting.finish();
    assert_eq!((joined.really_without_sni, joined.by_address_alone), (2, 1));
}
