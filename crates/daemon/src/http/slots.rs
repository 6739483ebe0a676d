//! The places of connections, and who gives way when all are taken.
//!
//! Idle connections cost their peer nothing, so they must not keep a scrape or a probe waiting. The one that gives way
//! has not sent its request's head yet; of those, it is the oldest of the peer that has most of them. So a peer with a
//! thousand idle connections loses its own, and not that of Prometheus. If all have sent their head, one gives way
//! whose answer has been under way for long: its reader is slow.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::task::{AbortHandle, JoinSet};

/// An answer takes milliseconds; one that is under way for this long may be cut off for another's sake.
const SLOW_ANSWER: Duration = Duration::from_secs(2);

/// The connections that are being served.
#[derive(Debug)]
pub(super) struct Slots {
    capacity: usize,
    tasks: JoinSet<u64>,
    /// By age, the oldest first.
    open: BTreeMap<u64, Connection>,
    next: u64,
}

#[derive(Debug)]
struct Connection {
    peer: IpAddr,
    progress: Progress,
    task: AbortHandle,
}

/// How far a connection has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    answering_since: Arc<OnceLock<Instant>>,
}

impl Progress {
    /// The request's head is there; the answer is under way.
    pub(super) fn head_is_complete(&self) {
        self.answering_since.get_or_init(Instant::now);
    }

    fn is_waiting(&self) -> bool {
        self.answering_since.get().is_none()
    }

    fn is_slow(&self) -> bool {
        self.answering_since.get().is_some_and(|since| since.elapsed() >= SLOW_ANSWER)
    }
}

impl Slots {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, tasks: JoinSet::new(), open: BTreeMap::new(), next: 0 }
    }

    /// Whether there is room for one more, which another may have given way for.
    pub(super) fn make_room(&mut self) -> bool {
        if self.open.len() < self.capacity {
            return true;
        }
        let Some(victim) = self.victim().and_then(|id| self.open.remove(&id)) else { return false };
        victim.task.abort();
        tracing::debug!(peer = %victim.peer, "HTTP connection closed: another needs its place");
        true
    }

    /// Starts to serve a connection. There must be room: see [`Slots::make_room`].
    pub(super) fn spawn<F>(&mut self, peer: IpAddr, serve: impl FnOnce(Progress) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (id, progress) = (self.next, Progress::default());
        self.next += 1;
        let serving = serve(progress.clone());
        let task = self.tasks.spawn(async move {
            serving.await;
            id
        });
        self.open.insert(id, Connection { peer, progress, task });
    }

    /// Waits until a connection has ended; for ever if there is none.
    pub(super) async fn ended(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok(id)) => drop(self.open.remove(&id)),
            // It gave way, and its place is another's already; or it panicked, and is found by its task.
            Some(Err(_)) => self.open.retain(|_, connection| !connection.task.is_finished()),
            None => std::future::pending().await,
        }
    }

    /// Waits until all have ended.
    pub(super) async fn drain(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    fn victim(&self) -> Option<u64> {
        let waiting = || self.open.iter().filter(|(_, connection)| connection.progress.is_waiting());
        let mut counts = HashMap::new();
        for (_, connection) in waiting() {
            *counts.entry(connection.peer).or_insert(0_usize) += 1;
        }
        let most = counts.values().copied().max();
        let of_most = |connection: &Connection| counts.get(&connection.peer).copied() == most;
        let idle = waiting().find(|(_, connection)| of_most(connection));
        let slow = || self.open.iter().find(|(_, connection)| connection.progress.is_slow());
        idle.or_else(slow).map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREEDY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const MODEST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn in_runtime(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    fn idle(slots: &mut Slots, peer: IpAddr) {
        slots.spawn(peer, |_| std::future::pending());
    }

    fn peers(slots: &Slots) -> Vec<IpAddr> {
        slots.open.values().map(|connection| connection.peer).collect()
    }

    #[test]
    fn the_oldest_idle_connection_of_the_greediest_peer_gives_way() {
        in_runtime(async {
            let mut slots = Slots::new(3);
            idle(&mut slots, MODEST);
            idle(&mut slots, GREEDY);
            idle(&mut slots, GREEDY);
            for _ in 0..5 {
                assert!(slots.make_room());
                idle(&mut slots, GREEDY);
            }
            assert_eq!(peers(&slots), [MODEST, GREEDY, GREEDY]);
            assert_eq!(slots.open.keys().copied().collect::<Vec<_>>(), [0, 6, 7]);
        });
    }

    #[test]
    fn who_is_being_answered_does_not_give_way() {
        in_runtime(async {
            let mut slots = Slots::new(2);
            for _ in 0..2 {
                slots.spawn(GREEDY, |progress| {
                    progress.head_is_complete();
                    std::future::pending()
                });
            }
            assert!(!slots.make_room());
            assert_eq!(slots.open.len(), 2);
        });
    }

    #[test]
    fn whose_reader_is_slow_gives_way_after_all_who_say_nothing() {
        in_runtime(async {
            let mut slots = Slots::new(2);
            let long_ago = Instant::now().checked_sub(SLOW_ANSWER).unwrap();
            slots.spawn(MODEST, |progress| {
                progress.answering_since.set(long_ago).unwrap();
                std::future::pending()
            });
            idle(&mut slots, GREEDY);
            assert!(slots.make_room());
            assert_eq!(peers(&slots), [MODEST]);
            slots.spawn(GREEDY, |progress| {
                progress.head_is_complete();
                std::future::pending()
            });
            assert!(slots.make_room());
            assert_eq!(peers(&slots), [GREEDY]);
        });
    }

    #[test]
    fn a_place_is_free_when_its_connection_ends_or_panics() {
        in_runtime(async {
            let mut slots = Slots::new(2);
            slots.spawn(MODEST, |_| async {});
            slots.spawn(MODEST, |_| async { panic!("a mistake in an answer") });
            slots.ended().await;
            slots.ended().await;
            assert!(slots.open.is_empty());
        });
    }
}
