//! Clients that are pods of other nodes: asked of the API server one by one, and remembered.
//!
//! Nobody waits for an answer: who asks first gets none, and the name with a later handshake.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::Api;
use kube::api::{ListParams, VersionMatch};
use kube::runtime::watcher::DefaultBackoff;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::ClientName;
use super::contact::{Contact, Failure};
use super::directory::PodNames;
use super::pod::Pod;

/// Answers that are remembered, those that there is no such pod included.
pub(super) const MAX_ANSWERS: usize = 4096;
/// Addresses that wait to be asked for. Those beyond are counted, and asked for with a later handshake.
pub(super) const MAX_WAITING: usize = 256;
/// Between two questions: the API server goes through the pods of the whole cluster for each.
pub(super) const LOOKUP_INTERVAL: Duration = Duration::from_millis(200);
/// For an answer.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// A name that is in use is asked for again after this time ...
const NAME_FRESH: Duration = Duration::from_mins(5);
/// ... and given until then meanwhile.
const NAME_KEPT: Duration = Duration::from_mins(10);
/// The same if there is no such pod: it may be so new that the API server does not know its address. Doubles each
/// time, up to [`MAX_NOBODY_FRESH`].
const NOBODY_FRESH: Duration = Duration::from_secs(30);
const MAX_NOBODY_FRESH: Duration = Duration::from_mins(16);

/// What was asked, and what waits to be.
#[derive(Debug)]
pub(super) struct Lookups {
    state: Mutex<LookupState>,
    requests: mpsc::Sender<IpAddr>,
    /// Questions that were answered.
    pub(super) answered: AtomicU64,
    /// Questions that were not.
    pub(super) failed: AtomicU64,
    /// Questions that were not asked, for too many waited.
    pub(super) skipped: AtomicU64,
}

#[derive(Debug, Default)]
struct LookupState {
    answers: HashMap<IpAddr, Answer>,
    waiting: HashSet<IpAddr>,
}

#[derive(Debug)]
struct Answer {
    name: Option<ClientName>,
    /// When to ask again.
    stale: Instant,
    /// When to forget it.
    end: Instant,
    /// How long an answer without a name is taken for true.
    nobody_fresh: Duration,
    last_used: Instant,
}

impl Lookups {
    /// With the other end of the queue.
    pub(super) fn new() -> (Self, mpsc::Receiver<IpAddr>) {
        let (requests, to_ask) = mpsc::channel(MAX_WAITING);
        let lookups = Self {
            state: Mutex::default(),
            requests,
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
        };
        (lookups, to_ask)
    }

    /// The name at `address` if it is known; if not, or not for sure, it will be asked for.
    pub(super) fn name(&self, address: IpAddr, now: Instant) -> Option<ClientName> {
        let mut state = self.lock();
        let LookupState { answers, waiting } = &mut *state;
        let mut name = None;
        if let Some(answer) = answers.get_mut(&address) {
            answer.last_used = now;
            if now < answer.end {
                name.clone_from(&answer.name);
            }
            if now < answer.stale {
                return name;
            }
        }
        if !waiting.contains(&address) {
            if self.requests.try_send(address).is_ok() {
                waiting.insert(address);
            } else {
                self.skipped.fetch_add(1, Ordering::Relaxed);
            }
        }
        name
    }

    /// Answers that are remembered.
    pub(super) fn len(&self) -> usize {
        self.lock().answers.len()
    }

    /// Asks for whatever is in the queue, as long as it is polled.
    pub(super) async fn serve(&self, pods: Api<Pod>, to_ask: &mut mpsc::Receiver<IpAddr>) -> Infallible {
        let mut pace = interval(LOOKUP_INTERVAL);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut backoff = DefaultBackoff::default();
        let mut contact = Contact::new("names of clients on other nodes");
        loop {
            // The other end is in `self`.
            let Some(address) = to_ask.recv().await else { return std::future::pending().await };
            let _asking = Asking(self, address);
            pace.tick().await;
            let answer = timeout(LOOKUP_TIMEOUT, pods.list(&question(address))).await;
            let failure = match answer {
                Ok(Ok(list)) => {
                    contact.regained(Instant::now());
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    self.learn(address, &list.items, Instant::now());
                    continue;
                }
                Ok(Err(error)) => Failure::from(&error),
                Err(_) => Failure::no_answer(LOOKUP_TIMEOUT),
            };
            self.failed.fetch_add(1, Ordering::Relaxed);
            contact.lost(&failure, Instant::now());
            sleep(backoff.next().unwrap_or(LOOKUP_TIMEOUT)).await;
        }
    }

    /// Notes the pods that have `address`.
    pub(super) fn learn(&self, address: IpAddr, pods: &[Pod], now: Instant) {
        // One that has ended keeps the address in its status, though another may have it by now.
        let mut holders = pods.iter().filter(|pod| !pod.has_ended && pod.addresses.contains(&address));
        let holder = match (holders.next(), holders.next()) {
            (Some(pod), None) if !pod.on_host_network => PodNames::of(pod).map(|names| (pod, names)),
            _ => None,
        };
        let mut state = self.lock();
        let Some((pod, names)) = holder else {
            let fresh = match state.answers.get(&address) {
                Some(Answer { name: None, nobody_fresh, .. }) => MAX_NOBODY_FRESH.min(*nobody_fresh * 2),
                _ => NOBODY_FRESH,
            };
            // Kept for as long again, to know next time how often nobody was there.
            let answer = Answer {
                name: None,
                stale: now + fresh,
                end: now + fresh * 2,
                nobody_fresh: fresh,
                last_used: now,
            };
            state.remember(address, answer, now);
            return;
        };
        // The API server selects by the first of a pod's addresses only: this is how the others become known.
        for address in &pod.addresses {
            let answer = Answer {
                name: Some(names.client.clone()),
                stale: now + NAME_FRESH,
                end: now + NAME_KEPT,
                nobody_fresh: NOBODY_FRESH,
                last_used: now,
            };
            state.remember(*address, answer, now);
        }
    }

    /// When `address`, which was asked for, will be asked for again.
    #[cfg(test)]
    pub(super) fn stale(&self, address: IpAddr) -> Instant {
        self.lock().answers[&address].stale
    }

    fn lock(&self) -> MutexGuard<'_, LookupState> {
        // A panic elsewhere leaves a state that is whole: entries are replaced, never half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LookupState {
    fn remember(&mut self, address: IpAddr, answer: Answer, now: Instant) {
        if self.answers.len() >= MAX_ANSWERS && !self.answers.contains_key(&address) {
            self.answers.retain(|_, answer| now < answer.end);
        }
        if self.answers.len() >= MAX_ANSWERS && !self.answers.contains_key(&address) {
            // Names are worth more than the knowledge that there is none. This goes through all, at most once for
            // each answer of the API server.
            let least =
                self.answers.iter().min_by_key(|(_, answer)| (answer.name.is_some(), answer.last_used));
            if let Some(least) = least.map(|(address, _)| *address) {
                self.answers.remove(&least);
            }
        }
        self.answers.insert(address, answer);
    }
}

/// A question that is being asked. However it ends, it may be asked again.
struct Asking<'a>(&'a Lookups, IpAddr);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting.remove(&self.1);
    }
}

/// The pods that have `address` for their first, out of the API server's memory rather than from its database.
fn question(address: IpAddr) -> ListParams {
    ListParams {
        field_selector: Some(format!("status.podIP={address}")),
        resource_version: Some("0".to_owned()),
        version_match: Some(VersionMatch::NotOlderThan),
        ..ListParams::default()
    }
}
