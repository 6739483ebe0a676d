//! Names of gateways and clients from the API server of a Kubernetes cluster.
//!
//! ```text
//! watch (thread) ─▶ directory: pods of this node ─▶ snapshot ─▶ Names::gateway, Names::client
//!       └─ lookups: pods of other nodes, on demand ──────────────────────────────────┘
//! ```
//!
//! Whoever asks for a name gets what is known at that moment and never waits. When the API server is away, what was
//! known stays.

mod connection;
mod contact;
mod directory;
mod lookups;
mod pace;
mod pod;
mod watch;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::oneshot;

pub(crate) use self::connection::Credentials;
pub(crate) use self::contact::Failure;
use self::directory::{Directory, Known, Snapshot};
use self::lookups::Lookups;
use self::pace::Pace;
use self::watch::Watch;
use crate::cli::KubeOptions;

/// The names of pods, as far as they are known. Cheap to clone; when the last one is dropped, the thread ends.
#[derive(Clone, Debug)]
pub(crate) struct Names(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    /// Its end tells the thread to end. `None` if there is no thread.
    _stop: Option<oneshot::Sender<Infallible>>,
}

/// The pod that is reached at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gateway {
    /// What it is for metrics.
    pub(crate) name: GatewayName,
    /// "namespace/name" of the pod.
    pub(crate) pod: Arc<str>,
}

/// A gateway by its workload: that stays when pods come and go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct GatewayName {
    /// Its namespace.
    pub(crate) namespace: Arc<str>,
    /// The name of its Deployment, `StatefulSet`, DaemonSet, Job or other controller; the pod's own name if it has none.
    pub(crate) workload: Arc<str>,
}

/// The pod that connects from an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientName {
    /// "namespace/name".
    pub(crate) pod: Arc<str>,
    /// As [`GatewayName::workload`], in the same namespace.
    pub(crate) workload: Arc<str>,
}

/// How the thread does, for metrics and pages. Counters (`u64`) count since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// Whether the pods of this node are known and followed. If not, what was known before still is.
    pub(crate) synced: bool,
    /// Why not, in one line, with what to do. `None` also before the first answer.
    pub(crate) problem: Option<String>,
    /// Pods of this node that are known.
    pub(crate) pods: usize,
    /// Pods of this node that are not followed: there are too many, or their names are not names of Kubernetes.
    pub(crate) pods_refused: usize,
    /// Answers about clients on other nodes that are remembered, "no such pod" included.
    pub(crate) lookups_remembered: usize,
    /// How often the pods of this node were listed whole: at the start, and after each failure.
    pub(crate) lists: u64,
    /// How often the API server was lost; a loss ends with the next list.
    pub(crate) losses: u64,
    /// Lists and watches that failed, also the tries during a loss, and watches that ended within 30 s.
    pub(crate) failures: u64,
    /// Questions about a client on another node that the API server answered.
    pub(crate) lookups: u64,
    /// Those that it did not.
    pub(crate) lookup_failures: u64,
    /// Those that were not asked, because too many waited.
    pub(crate) lookups_skipped: u64,
}

/// What the thread writes and the daemon reads.
#[derive(Debug)]
struct Shared {
    snapshot: RwLock<Snapshot>,
    lookups: Lookups,
    state: Mutex<State>,
    pods: AtomicUsize,
    pods_refused: AtomicUsize,
    lists: AtomicU64,
    losses: AtomicU64,
    failures: AtomicU64,
    pace: Pace,
}

/// How the watch is.
#[derive(Clone, Debug, Default)]
enum State {
    /// There was no answer yet.
    #[default]
    Starting,
    Synced,
    Failing(Failure),
}

impl Names {
    /// Starts to follow the pods of this node, of which those count that are reached at `ports` where several share
    /// an address. Does not wait for the API server. Its connections stay in the network namespace of the calling
    /// thread.
    ///
    /// # Errors
    /// If there is no configuration from which to learn where the API server is.
    pub(crate) fn start(options: &KubeOptions, ports: &[u16]) -> anyhow::Result<Self> {
        let (lookups, to_look_up) = Lookups::new();
        let shared = Arc::new(Shared::new(Snapshot::default(), lookups));
        let (stop, stopped) = oneshot::channel();
        let watch = Watch {
            credentials: Credentials::choose(options.kubeconfig.as_deref()),
            node: options.node(),
            directory: Directory::new(ports),
            shared: Arc::clone(&shared),
            to_look_up,
            stopped,
        };
        watch.start()?;
        Ok(Self(Arc::new(Inner { shared, _stop: Some(stop) })))
    }

    /// The pod of this node that is reached at `address`, or was until a few minutes ago. Where several pods share
    /// the address (`hostNetwork`, `hostPort`), the one that declares the port.
    pub(crate) fn gateway(&self, address: SocketAddr) -> Option<Gateway> {
        self.0.shared.read(|snapshot| snapshot.gateway(address))
    }

    /// The pod that connects from `address`, of this node or another. Of those on other nodes the first call
    /// gets `None`, and asks for the name. No name is given where pods share the address: other programs of
    /// the node connect from it as well.
    pub(crate) fn client(&self, address: IpAddr) -> Option<ClientName> {
        let address = address.to_canonical();
        match self.0.shared.read(|snapshot| snapshot.client(address)) {
            Known::Pod(name) => Some(name),
            Known::Elsewhere => self.0.shared.lookups.name(address, Instant::now()),
            Known::Shared | Known::Outside => None,
        }
    }

    /// How the thread does.
    pub(crate) fn status(&self) -> Status {
        let shared = &*self.0.shared;
        let state = shared.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Status {
            synced: matches!(state, State::Synced),
            problem: match state {
                State::Starting | State::Synced => None,
                State::Failing(failure) => Some(failure.to_string()),
            },
            pods: shared.pods.load(Ordering::Relaxed),
            pods_refused: shared.pods_refused.load(Ordering::Relaxed),
            lookups_remembered: shared.lookups.len(),
            lists: count(&shared.lists),
            losses: count(&shared.losses),
            failures: count(&shared.failures) + shared.pace.short_watches(),
            lookups: count(&shared.lookups.answered),
            lookup_failures: count(&shared.lookups.failed),
            lookups_skipped: count(&shared.lookups.skipped),
        }
    }

    /// Knows these pods and no others: address, namespace, workload, name.
    #[cfg(test)]
    pub(crate) fn fixed(pods: &[(IpAddr, &str, &str, &str)]) -> Self {
        let pods = pods.iter().map(|(address, namespace, workload, pod)| {
            (*address, directory::PodNames::new(namespace, workload, pod))
        });
        // Nobody answers requests.
        let (lookups, _) = Lookups::new();
        let shared = Arc::new(Shared::new(Snapshot::fixed(pods), lookups));
        Self(Arc::new(Inner { shared, _stop: None }))
    }
}

impl Shared {
    fn new(snapshot: Snapshot, lookups: Lookups) -> Self {
        Self {
            snapshot: RwLock::new(snapshot),
            lookups,
            state: Mutex::default(),
            pods: AtomicUsize::new(0),
            pods_refused: AtomicUsize::new(0),
            lists: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            pace: Pace::new(),
        }
    }

    fn read<T>(&self, look: impl FnOnce(&Snapshot) -> T) -> T {
        // A panic elsewhere leaves a snapshot that is whole: they are replaced, never changed.
        look(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes known what the directory knows. Readers wait for no more than the exchange of two pointers.
    fn publish(&self, directory: &mut Directory, now: Instant) {
        let mut snapshot = directory.snapshot(now);
        std::mem::swap(&mut *self.snapshot.write().unwrap_or_else(PoisonError::into_inner), &mut snapshot);
        self.pods.store(directory.len(), Ordering::Relaxed);
        self.pods_refused.store(directory.refused(), Ordering::Relaxed);
    }

    fn set_state(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

#[cfg(test)]
mod tests;
