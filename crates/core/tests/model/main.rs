//! Two connections on the same addresses and ports, interleaved by chance, through the real datapath and tracker: what
//! they say of each handshake is what a model of RFC 9293 at both ends says.

mod books;
mod random;
mod tap;
mod tcp;
mod wire;
mod world;

use std::cell::RefCell;
use std::rc::Rc;

use sni_probe_core::observation::{Handshake, Outcome};
use sni_probe_datapath::counters::Counter;
use sni_probe_datapath::userspace::Datapath;

use self::books::Book;
use self::world::{CONNECTIONS, World};

/// Worlds that are played. (2,500,000 were, on 29 November 2026.)
const WORLDS: u64 = 10_000;

#[test]
fn every_handshake_has_the_outcome_that_the_model_says() {
    let mut seen = Counts::default();
    let datapath = Rc::new(RefCell::new(Datapath::new([wire::GATEWAY_PORT], 1).with_follow_up(true)));
    for seed in 0..WORLDS {
        let mut world = World::new(seed, &datapath);
        world.run();
        let handshakes = world.tap.finish();
        for connection in 0..CONNECTIONS {
            let name = wire::name(connection);
            let of_connection: Vec<&Handshake> =
                handshakes.iter().filter(|handshake| handshake.hello.sni.name() == Some(&name)).collect();
            if let Err(wrong) = seen.check(&world.books[connection], &of_connection) {
                panic!(
                    "world {seed}, {name}: {wrong}\n{:#?}\n{}",
                    world.books[connection],
                    world.tap.trace()
                );
            }
        }
        let unreadable = handshakes.iter().filter(|handshake| handshake.hello.incomplete.is_some()).count();
        let incomplete = world.books.iter().filter(|book| !book.is_received || book.is_disturbed).count();
        assert!(unreadable <= incomplete, "world {seed}: {handshakes:#?}\n{}", world.tap.trace());
    }
    assert_eq!(datapath.borrow().counter(Counter::HandshakeEvicted), 0);
    seen.assert_all();
}

#[derive(Debug, Default)]
struct Counts {
    /// By outcome, in the order of its classes.
    outcomes: std::collections::BTreeMap<String, u64>,
    received: u64,
    ambiguous: u64,
}

impl Counts {
    fn check(&mut self, book: &Book, handshakes: &[&Handshake]) -> Result<(), String> {
        if !book.is_received {
            // Its bytes may have come all the same, to a gateway that knew nothing of the connection.
            let is_answered = |handshake: &&&Handshake| {
                matches!(handshake.outcome, Outcome::ServerHello | Outcome::Alert { .. })
            };
            if handshakes.len() > 1 || handshakes.iter().any(|handshake| is_answered(&handshake)) {
                return Err(format!("nothing received it: {handshakes:?}"));
            }
            return Ok(());
        }
        if book.is_disturbed && handshakes.is_empty() {
            return Ok(());
        }
        let [handshake] = handshakes else { return Err(format!("{} handshakes", handshakes.len())) };
        let expected = book.outcome.expect("it has one at the end");
        if handshake.outcome != expected && !book.or.contains(&handshake.outcome) {
            return Err(format!("{:?}, not {expected:?}", handshake.outcome));
        }
        self.received += 1;
        self.ambiguous += u64::from(handshake.outcome != expected);
        *self.outcomes.entry(expected.class().to_string()).or_default() += 1;
        Ok(())
    }

    /// Chance has played enough of everything.
    fn assert_all(&self) {
        assert!(self.received > WORLDS / 2, "{self:#?}");
        assert!(self.ambiguous * 50 < self.received, "{self:#?}");
        for outcome in [
            "server_hello",
            "alert",
            "reset_by_gateway",
            "reset_by_client",
            "closed_by_gateway",
            "closed_by_client",
            "gateway_closed_first",
            "timeout",
            "evicted",
        ] {
            assert!(self.outcomes.get(outcome).is_some_and(|&count| count > 10), "{outcome}: {self:#?}");
        }
    }
}
