//! Where the client and the gateway tell each other how a handshake stands: what a client cannot know, the gateway
//! writes here.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

/// How a handshake stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// The client is about to send its hello.
    Begun,
    /// The gateway has received all of the hello that comes.
    Received,
    /// The gateway has done what it does.
    Acted,
    /// The client has seen what there was to see.
    ClientDone,
}

/// One handshake.
#[derive(Debug, Clone)]
pub(super) struct Meeting(Arc<watch::Sender<Stage>>);

impl Meeting {
    /// Says that the handshake has come to `stage`.
    pub(super) fn advance(&self, stage: Stage) {
        self.0.send_if_modified(|known| {
            let is_news = stage > *known;
            *known = stage.max(*known);
            is_news
        });
    }

    /// Waits until the handshake has come to `stage`.
    pub(super) async fn reach(&self, stage: Stage) {
        // It fails without a sender, and this is one.
        self.0.subscribe().wait_for(|known| *known >= stage).await.ok();
    }
}

/// All handshakes that are under way.
#[derive(Debug, Default)]
pub(super) struct Meetings {
    handshakes: Mutex<HashMap<u64, Meeting>>,
    hang_ups: Mutex<HashMap<SocketAddr, Arc<Notify>>>,
}

impl Meetings {
    /// The client is about to send the hello with this number.
    pub(super) fn begin(&self, number: u64) -> Meeting {
        let meeting = Meeting(Arc::new(watch::Sender::new(Stage::Begun)));
        lock(&self.handshakes).insert(number, meeting.clone());
        meeting
    }

    /// The handshake with this number, which is under way.
    pub(super) fn find(&self, number: u64) -> Option<Meeting> {
        lock(&self.handshakes).get(&number).cloned()
    }

    /// The client has no more to do with this handshake.
    pub(super) fn end(&self, number: u64) {
        if let Some(meeting) = lock(&self.handshakes).remove(&number) {
            meeting.advance(Stage::ClientDone);
        }
    }

    /// What is notified when the gateway has reset the next connection from this address.
    pub(super) fn hang_up(&self, client: SocketAddr) -> Arc<Notify> {
        Arc::clone(lock(&self.hang_ups).entry(client).or_default())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
