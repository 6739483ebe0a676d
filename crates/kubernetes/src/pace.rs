//! The pace at which watches are asked for.
//!
//! kube's watcher begins the next watch as soon as one ends. A server, or a proxy before it, that ends each watch at once
//! would be asked without a rest. [`PaceLayer`] holds back the answer to a watch that follows a short one.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::Request;
use tower::{Layer, Service};

use super::contact::{Contact, Failure};

/// A watch that lasts this long is well.
const LASTING: Duration = Duration::from_secs(30);
/// Rest after the first watch that was short. Each further one doubles it.
const FIRST_REST: Duration = Duration::from_millis(800);
/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// So many short watches in a row are logged.
const LOGGED_FROM: u32 = 3;

/// When watches began, and how many were short.
#[derive(Clone, Debug)]
pub(super) struct Pace(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<PaceState>,
    short: AtomicU64,
}

#[derive(Debug)]
struct PaceState {
    /// When the last watch began, after its rest.
    begun: Option<Instant>,
    short_in_a_row: u32,
    contact: Contact,
}

impl Pace {
    /// No watch has begun yet.
    pub(super) fn new() -> Self {
        let contact = Contact::new("lasting watches of pods");
        let state = PaceState { begun: None, short_in_a_row: 0, contact };
        Self(Arc::new(Shared { state: Mutex::new(state), short: AtomicU64::new(0) }))
    }

    /// Watches that ended within [`LASTING`], since the start.
    pub(super) fn short_watches(&self) -> u64 {
        self.0.short.load(Ordering::Relaxed)
    }

    /// The last watch failed, and the caller rests before the next one. It does not count as a short one.
    pub(super) fn failed(&self) {
        self.lock().begun = None;
    }

    /// A watch is to begin at `now`. Returns how long to rest before.
    fn rest(&self, now: Instant) -> Duration {
        let mut state = self.lock();
        let Some(begun) = state.begun else {
            state.begun = Some(now);
            return Duration::ZERO;
        };
        if now.saturating_duration_since(begun) >= LASTING {
            state.short_in_a_row = 0;
            state.begun = Some(now);
            state.contact.regained(now);
            return Duration::ZERO;
        }
        self.0.short.fetch_add(1, Ordering::Relaxed);
        let doublings = state.short_in_a_row.min(16);
        state.short_in_a_row = state.short_in_a_row.saturating_add(1);
        if state.short_in_a_row >= LOGGED_FROM {
            let failure = Failure::short_watches(state.short_in_a_row, LASTING);
            state.contact.lost(&failure, now);
        }
        let rest = LONGEST_REST.min(FIRST_REST * (1 << doublings));
        state.begun = Some(now + rest);
        rest
    }

    fn lock(&self) -> MutexGuard<'_, PaceState> {
        // A panic elsewhere leaves a state that is complete.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes services that rest before a watch, as [`Pace`] says.
#[derive(Clone, Debug)]
pub(super) struct PaceLayer(pub(super) Option<Pace>);

impl<S> Layer<S> for PaceLayer {
    type Service = Paced<S>;

    fn layer(&self, inner: S) -> Paced<S> {
        Paced { inner, pace: self.0.clone() }
    }
}

/// A service that rests before a watch.
#[derive(Clone, Debug)]
pub(super) struct Paced<S> {
    inner: S,
    pace: Option<Pace>,
}

impl<S, B> Service<Request<B>> for Paced<S>
where
    S: Service<Request<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let is_watch = request.uri().query().is_some_and(is_watch);
        let pace = self.pace.as_ref().filter(|_| is_watch);
        let rest = pace.map_or(Duration::ZERO, |pace| pace.rest(Instant::now()));
        let answer = self.inner.call(request);
        Box::pin(async move {
            if !rest.is_zero() {
                tokio::time::sleep(rest).await;
            }
            answer.await
        })
    }
}

fn is_watch(query: &str) -> bool {
    query.split('&').any(|parameter| parameter.split('=').next() == Some("watch"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rests before watches, each of which ends after so many seconds.
    fn rests(pace: &Pace, lasted: &[u64]) -> Vec<u128> {
        let mut now = Instant::now();
        let rests = lasted.iter().map(|seconds| {
            let rest = pace.rest(now);
            now += rest + Duration::from_secs(*seconds);
            rest.as_millis()
        });
        rests.collect()
    }

    #[test]
    fn watches_that_end_at_once_are_asked_for_less_and_less() {
        let pace = Pace::new();
        let expected = [0, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000, 30_000];
        assert_eq!(rests(&pace, &[0; 10]), expected);
        assert_eq!(pace.short_watches(), 9);
    }

    #[test]
    fn watches_that_end_soon_are_short_as_well() {
        let pace = Pace::new();
        assert_eq!(rests(&pace, &[29; 4]), [0, 800, 1_600, 3_200]);
    }

    #[test]
    fn a_watch_that_lasts_ends_the_rests() {
        let pace = Pace::new();
        assert_eq!(rests(&pace, &[290; 4]), [0; 4]);
        let pace = Pace::new();
        assert_eq!(rests(&pace, &[0, 0, 0, 30, 0, 0]), [0, 800, 1_600, 3_200, 0, 800]);
    }

    #[test]
    fn a_failure_has_a_rest_of_its_own() {
        let pace = Pace::new();
        assert_eq!(rests(&pace, &[0, 0]), [0, 800]);
        pace.failed();
        assert_eq!(rests(&pace, &[0, 0]), [0, 1_600]);
    }

    #[test]
    fn a_watch_is_known_by_its_query() {
        assert!(is_watch("watch=true") && is_watch("fieldSelector=a%3Db&watch=true&timeoutSeconds=290"));
        assert!(!is_watch("fieldSelector=watch%3Dtrue") && !is_watch("resourceVersion=0"));
    }
}
