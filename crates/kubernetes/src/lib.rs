//! Names of gateways and clients from the API server of a Kubernetes cluster.
//!
//! ```text
//! watch (thread) ─▶ directory: pods of this node ─▶ snapshot ─▶ Names::gateway, Names::client
//!       └─ lookups: pods of other nodes, on demand ──────────────────────────────────┘
//! ```
//!
//! Whoever asks for a name gets what is known at that moment and never waits. When the API server is away, what was
//! known stays.
#![forbid(unsafe_code)]

mod connection;
mod contact;
mod directory;
mod lookups;
mod pace;
mod pod;
mod watch;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

pub use self::connection::Credentials;
pub use self::contact::Failure;
use self::directory::{Directory, Known, Snapshot};
use self::lookups::Lookups;
use self::pace::Pace;
use self::watch::Watch;

/// Whose pods to follow, and how to reach the API server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The kubeconfig that names the API server; the pod's service account or the user's kubeconfig without one.
    pub kubeconfig: Option<PathBuf>,
    /// The name of this node in the cluster.
    pub node: String,
}

/// The names of pods, as far as they are known. Cheap to clone; when the last one is dropped, the thread ends.
#[derive(Clone, Debug)]
pub struct Names(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    /// Its end tells the thread to end. `None` if there is no thread.
    _stop: Option<oneshot::Sender<Infallible>>,
}

/// The pod that is reached at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// What it is for metrics.
    pub name: GatewayName,
    /// "namespace/name" of the pod.
    pub pod: Arc<str>,
}

/// A gateway by its workload: that stays when pods come and go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GatewayName {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// The name of its Deployment, `StatefulSet`, DaemonSet, Job or other controller; the pod's own name if it has none.
    pub workload: Arc<str>,
}

/// The pod that connects from an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName {
    /// "namespace/name".
    pub pod: Arc<str>,
    /// As [`GatewayName::workload`], in the same namespace.
    pub workload: Arc<str>,
}

/// How the thread does, for metrics and pages. Counters (`u64`) count since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether the pods of this node are known and followed. If not, what was known before still is.
    pub synced: bool,
    /// Why not, in one line, with what to do. `None` also before the first answer.
    pub problem: Option<String>,
    /// Pods of this node that are known.
    pub pods: usize,
    /// Pods of this node that are not followed: there are too many, or their names are not names of Kubernetes.
    pub pods_refused: usize,
    /// Answers about clients on other nodes that are remembered, "no such pod" included.
    pub lookups_remembered: usize,
    /// How often the pods of this node were listed whole: at the start, and after each failure.
    pub lists: u64,
    /// How often the API server was lost; a loss ends with the next list.
    pub losses: u64,
    /// Lists and watches that failed, also the tries during a loss, and watches that ended within 30 s.
    pub failures: u64,
    /// Questions about a client on another node that the API server answered.
    pub lookups: u64,
    /// Those that it did not.
    pub lookup_failures: u64,
    /// Those that were not asked, because too many waited.
    pub lookups_skipped: u64,
}

/// What the thread writes and the daemon reads.
#[derive(Debug)]
struct Shared {
    snapshot: RwLock<Snapshot>,
    lookups: Lookups,
    state: Mutex<SyncState>,
    pods: AtomicUsize,
    pods_refused: AtomicUsize,
    lists: AtomicU64,
    losses: AtomicU64,
    failures: AtomicU64,
    pace: Pace,
}

/// How the watch is.
#[derive(Clone, Debug, Default)]
enum SyncState {
    /// There was no answer yet.
    #[default]
    Starting,
    Synced,
    Failing(Failure),
}

/// Builds the async runtime of the daemon and of requests to an API server. It runs on the calling thread: requests and
/// handshakes are few, and packets stay in the kernel.
///
/// # Errors
/// If the limits on open files do not let it start.
pub fn runtime() -> anyhow::Result<Runtime> {
    let built = Builder::new_current_thread().enable_all().build();
    built.context("cannot start the async runtime; see the limits on open files and processes")
}

impl Names {
    /// Starts to follow the pods of this node, of which those count that are reached at `ports` where several share
    /// an address. Does not wait for the API server. Its connections stay in the network namespace of the calling
    /// thread, which gives up its privileges by `drop_privileges`.
    ///
    /// # Errors
    /// If there is no configuration from which to learn where the API server is, or privileges cannot be dropped.
    pub fn start(
        config: &Config,
        ports: &[u16],
        drop_privileges: fn() -> io::Result<()>,
    ) -> anyhow::Result<Self> {
        let (lookups, to_look_up) = Lookups::new();
        let shared = Arc::new(Shared::new(Snapshot::default(), lookups));
        let (stop, stopped) = oneshot::channel();
        let watch = Watch {
            credentials: Credentials::choose(config.kubeconfig.as_deref()),
            node: config.node.clone(),
            directory: Directory::new(ports),
            shared: Arc::clone(&shared),
            to_look_up,
            stopped,
        };
        watch.start(drop_privileges)?;
        Ok(Self(Arc::new(Inner { shared, _stop: Some(stop) })))
    }

    /// The pod of this node that is reached at `address`, or was until a few minutes ago. Where several pods share
    /// the address (`hostNetwork`, `hostPort`), the one that declares the port.
    pub fn gateway(&self, address: SocketAddr) -> Option<Gateway> {
        self.0.shared.read(|snapshot| snapshot.gateway(address))
    }

    /// The pod that connects from `address`, of this node or another. Of those on other nodes the first call
    /// gets `None`, and asks for the name. No name is given where pods share the address: other programs of
    /// the node connect from it as well.
    pub fn client(&self, address: IpAddr) -> Option<ClientName> {
        let address = address.to_canonical();
        match self.0.shared.read(|snapshot| snapshot.client(address)) {
            Known::Pod(name) => Some(name),
            Known::Elsewhere => self.0.shared.lookups.name(address, Instant::now()),
            Known::Shared | Known::Outside => None,
        }
    }

    /// How the thread does.
    pub fn status(&self) -> Status {
        let shared = &*self.0.shared;
        let state = shared.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Status {
            synced: matches!(state, SyncState::Synced),
            problem: match state {
                SyncState::Starting | SyncState::Synced => None,
                SyncState::Failing(failure) => Some(failure.to_string()),
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

    /// Knows these pods and no others, and asks no server: address, namespace, workload, name.
    pub fn fixed(pods: &[(IpAddr, &str, &str, &str)]) -> Self {
        let pods = pods.iter().map(|(address, namespace, workload, pod)| {
            (*address, directory::PodNames::new(namespace, workload, pod))
        });
        // No thread answers requests.
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

    fn set_state(&self, state: SyncState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

#[cfg(test)]
mod tests;
