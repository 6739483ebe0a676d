use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use proptest::prelude::*;

use super::{MIN_CANDIDATES, MIN_LEAD, Top};
use crate::flow::Timestamp;

const IDLE: Duration = Duration::from_hours(1);

fn at(seconds: u64) -> Timestamp {
    Timestamp(seconds * 1_000_000_000)
}

/// Counts what [`Top::add`] counts, as a caller does.
fn add(top: &mut Top<u32, u64>, key: u32, now: Timestamp) -> bool {
    top.add(&key, now).map(|count| *count += 1).is_some()
}

fn keys(top: &Top<u32, u64>) -> Vec<u32> {
    let mut keys: Vec<u32> = top.iter().map(|(&key, ..)| key).collect();
    keys.sort_unstable();
    keys
}

/// All that must hold between two calls.
fn check(top: &Top<u32, u64>) {
    assert!(top.best.len() <= top.places);
    assert!(top.heap.len() <= top.candidates());
    assert_eq!(top.entries.len(), top.best.len() + top.heap.len());
    assert_eq!(top.index.len(), top.entries.len());
    for (list, in_top) in [(&top.best, true), (&top.heap, false)] {
        for (place, &number) in list.iter().enumerate() {
            let entry = &top.entries[number as usize];
            assert_eq!((entry.at as usize, entry.value.is_some()), (place, in_top));
            assert_eq!(top.find(&entry.key), Some(number as usize));
            assert!(entry.error <= entry.score);
            assert!(!in_top || entry.score >= top.weakest);
        }
    }
    for child in 1..top.heap.len() {
        assert!(top.score_at((child - 1) / 2) <= top.score_at(child), "a heap");
    }
}

#[test]
fn the_first_keys_are_let_in_at_once() {
    let mut top = Top::new(2, IDLE);
    assert!(add(&mut top, 1, at(0)));
    assert!(add(&mut top, 2, at(0)));
    assert!(!add(&mut top, 3, at(0)));
    assert!(add(&mut top, 1, at(0)));
    assert_eq!(top.iter().map(|(&key, _, &count)| (key, count)).collect::<Vec<_>>(), [(1, 2), (2, 1)]);
}

#[test]
fn one_that_is_well_ahead_takes_the_place_of_the_weakest_and_starts_anew() {
    let mut top = Top::new(2, IDLE);
    for key in [1, 1, 1, 1, 1, 1, 2] {
        add(&mut top, key, at(0));
    }
    let mut seen = 0;
    while !add(&mut top, 3, at(1)) {
        seen += 1;
        check(&top);
    }
    assert_eq!(seen, MIN_LEAD, "with one more it has 1 + MIN_LEAD");
    assert_eq!(keys(&top), [1, 3]);
    let (_, last, &count) = top.iter().find(|(key, ..)| **key == 3).unwrap();
    assert_eq!((last, count), (at(1), 1));
    // The one that left is a candidate with what it had.
    assert!(!add(&mut top, 2, at(1)));
    check(&top);
}

#[test]
fn equals_do_not_take_turns() {
    let mut top = Top::new(10, IDLE);
    for _ in 0..1_000 {
        for key in 0..20 {
            add(&mut top, key, at(0));
        }
    }
    assert_eq!(keys(&top), (0..10).collect::<Vec<_>>());
    assert!(top.iter().all(|(.., &count)| count == 1_000));
}

#[test]
fn idle_keys_leave_and_make_room() {
    let mut top = Top::new(2, IDLE);
    add(&mut top, 1, at(0));
    add(&mut top, 2, at(1_000));
    add(&mut top, 3, at(1_000));
    top.expire(at(3_599));
    assert_eq!(keys(&top), [1, 2]);
    top.expire(at(3_600));
    check(&top);
    assert_eq!(keys(&top), [2]);
    assert!(add(&mut top, 3, at(3_600)), "a candidate gets the place");
    assert!(!add(&mut top, 1, at(3_600)));
    check(&top);
    assert_eq!(keys(&top), [2, 3]);
}

#[test]
fn what_was_heavy_long_ago_does_not_keep_out_what_is_heavy_now() {
    let mut top = Top::new(1, IDLE);
    for _ in 0..1_000_000 {
        add(&mut top, 1, at(0));
    }
    // Both come once a minute from now on: half an hour later the old one's score is a quarter.
    let mut minutes = 0;
    loop {
        minutes += 1;
        add(&mut top, 1, at(60 * minutes));
        let mut is_in = false;
        for _ in 0..100 {
            is_in |= add(&mut top, 2, at(60 * minutes));
        }
        if is_in {
            break;
        }
        assert!(minutes < 300, "never");
    }
    assert!(minutes > 15);
    check(&top);
}

#[test]
fn without_places_all_are_others() {
    let mut top = Top::new(0, IDLE);
    assert!(!add(&mut top, 1, at(0)));
    top.expire(at(10_000));
    assert!(top.is_empty() && top.entries.is_empty());
}

/// 1,000,000 addresses that come once or twice, and among them 50 that come often: those are in the top, nothing is lost,
/// few series come and go, and memory stays where it was.
#[test]
fn a_million_addresses() {
    const PLACES: usize = 100;
    const HEAVY: u32 = 50;
    let mut top = Top::<Ipv4Addr, u64>::new(PLACES, IDLE);
    let mut other = 0_u64;
    let mut left_with = 0_u64;
    let mut changes = 0;
    let mut total = 0_u64;
    let mut members: HashMap<Ipv4Addr, u64> = HashMap::new();
    for address in 0..1_000_000_u32 {
        let mut count = |key: u32| {
            // 10.0.0.0/8, the heavy ones between the others.
            let key = Ipv4Addr::from(0x0a00_0000 + key);
            total += 1;
            match top.add(&key, at(u64::from(address) / 1_000)) {
                Some(value) => {
                    *value += 1;
                    members.insert(key, *value);
                    // As many as places, unless one took the place of another.
                    if members.len() > PLACES {
                        let now: Vec<Ipv4Addr> = top.iter().map(|(&key, ..)| key).collect();
                        members.retain(|key, value| {
                            let stays = now.contains(key);
                            if !stays {
                                left_with += *value;
                                changes += 1;
                            }
                            stays
                        });
                    }
                }
                None => other += 1,
            }
        };
        count(address);
        // One of the heavy ones each twentieth time: each makes up 0.1 % of what comes.
        if address % 20 == 0 {
            count(address / 20 % HEAVY * 20_000);
        }
    }
    let counted: u64 = top.iter().map(|(.., &count)| count).sum();
    assert_eq!(counted + left_with + other, total, "each adds to one");
    let heavy = (0..HEAVY).map(|number| Ipv4Addr::from(0x0a00_0000 + number * 20_000));
    for address in heavy {
        assert!(top.iter().any(|(&key, ..)| key == address), "{address}");
    }
    assert!(changes <= 2 * HEAVY, "{changes} series went");
    assert_eq!(top.len(), PLACES);
    assert_eq!(top.entries.len(), PLACES + MIN_CANDIDATES);
}

proptest! {
    #[test]
    fn whatever_comes_its_parts_agree(
        places in 0_usize..6,
        steps in prop::collection::vec((0_u32..40, 0_u64..400, prop::bool::weighted(0.05)), 0..2_000),
    ) {
        let mut top = Top::new(places, IDLE);
        let mut now = 0;
        for (key, pause, expire) in steps {
            now += pause;
            if expire {
                top.expire(at(now));
            } else {
                add(&mut top, key * key, at(now));
            }
        }
        check(&top);
    }
}
