//! The thread that follows the pods of this node.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use kube::runtime::watcher::{Config, DefaultBackoff, Event, watcher};
use kube::{Api, Client};
use tokio::sync::{mpsc, oneshot};

use super::connection::{Credentials, WATCH_DURATION};
use super::contact::{Contact, Failure};
use super::directory::{Directory, Listing};
use super::pod::Pod;
use super::{Shared, SyncState, runtime};

/// For the list with which a watch begins.
const LIST_TIMEOUT: Duration = Duration::from_mins(1);
/// The longest rest between two tries, where the backoff has none to say.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// What the thread follows, and for whom.
pub(super) struct Watch {
    pub(super) credentials: Credentials,
    pub(super) node: String,
    pub(super) directory: Directory,
    pub(super) shared: Arc<Shared>,
    pub(super) to_look_up: mpsc::Receiver<IpAddr>,
    /// Ends the thread when its other end is dropped.
    pub(super) stopped: oneshot::Receiver<Infallible>,
}

impl Watch {
    /// Starts the thread, and waits until it has a client (for the API server it does not wait). It stays in the
    /// network namespace of the calling thread, as do those that it starts to resolve the API server's name.
    ///
    /// # Errors
    /// If there is no configuration that is one, or no thread, or privileges cannot be dropped.
    pub(super) fn start(self, drop_privileges: fn() -> io::Result<()>) -> anyhow::Result<()> {
        let (started, has_started) = std_mpsc::sync_channel(1);
        thread::Builder::new()
            .name("kubernetes".to_owned())
            .spawn(move || {
                let runtime = match runtime() {
                    Ok(runtime) => runtime,
                    Err(error) => {
                        let _ = started.send(Err(error));
                        return;
                    }
                };
                runtime.block_on(async {
                    match self.credentials.connect_paced(Some(self.shared.pace.clone())).await {
                        Ok((client, server)) => {
                            // Only now, because the kubeconfig may be another user's.
                            let dropped = drop_privileges();
                            let is_fine = dropped.is_ok();
                            let _ = started.send(dropped.map_err(Into::into));
                            if !is_fine {
                                return;
                            }
                            tracing::info!(server, node = self.node, "asking for names of pods");
                            self.run(client).await;
                        }
                        Err(error) => {
                            let _ = started.send(Err(error));
                        }
                    }
                });
                // A name that is being resolved is not waited for.
                runtime.shutdown_background();
            })
            .context("--kube: cannot start a thread; see the limits on processes")?;
        has_started.recv().context("--kube: the thread ended before it began")?
    }

    async fn run(self, client: Client) {
        let Self { credentials, node, directory, shared, to_look_up, stopped } = self;
        let mut follower =
            Follower { node, directory, shared, to_look_up, contact: Contact::new("names of pods") };
        tokio::select! {
            never = follower.follow_forever(client, &credentials) => match never {},
            _ = stopped => {}
        }
    }
}

struct Follower {
    node: String,
    directory: Directory,
    shared: Arc<Shared>,
    to_look_up: mpsc::Receiver<IpAddr>,
    contact: Contact,
}

impl Follower {
    async fn follow_forever(&mut self, mut client: Client, credentials: &Credentials) -> Infallible {
        let mut backoff = DefaultBackoff::default();
        loop {
            let failure = self.follow(client.clone()).await;
            self.shared.pace.failed();
            self.shared.failures.fetch_add(1, Ordering::Relaxed);
            if self.contact.lost(&failure, Instant::now()) {
                self.shared.losses.fetch_add(1, Ordering::Relaxed);
            }
            self.shared.set_state(SyncState::Failing(failure));
            tokio::time::sleep(backoff.next().unwrap_or(LONGEST_REST)).await;
            // Certificates and tokens may have been renewed.
            match credentials.connect_paced(Some(self.shared.pace.clone())).await {
                Ok((new, _)) => client = new,
                Err(error) => tracing::debug!("the client stays as it was: {error:#}"),
            }
        }
    }

    /// Lists the pods, then follows their changes. Ends when anything is wrong, and a new list is the remedy: for
    /// an event that was lost or not understood, a version that is gone (410), an answer that does not come. kube's
    /// watcher would go on by itself, but after some of these with what it missed unknown, or with the version that
    /// is gone (410 as the status of the answer); and it does not say when it is well again.
    async fn follow(&mut self, client: Client) -> Failure {
        let Self { node, directory, shared, to_look_up, contact } = self;
        let pods = Api::<Pod>::all(client);
        let mut events = pin!(watcher(pods.clone(), watcher_config(node)));
        let mut lookups = pin!(shared.lookups.serve(pods, to_look_up));
        let mut list_timeout = pin!(tokio::time::sleep(LIST_TIMEOUT));
        let mut listing = Some(Listing::default());
        loop {
            let event = tokio::select! {
                // The stream of kube's watcher has no end.
                Some(event) = events.next() => event,
                () = &mut list_timeout, if listing.is_some() => return Failure::no_answer(LIST_TIMEOUT),
                never = &mut lookups => match never {},
            };
            let now = Instant::now();
            match event {
                Ok(Event::Init) => listing = Some(Listing::default()),
                Ok(Event::InitApply(pod)) => {
                    directory.list(listing.get_or_insert_default(), &pod);
                    continue;
                }
                Ok(Event::InitDone) => {
                    directory.replace(listing.take().unwrap_or_default(), now);
                    shared.publish(directory, now);
                    shared.set_state(SyncState::Synced);
                    contact.regained(Instant::now());
                    tell_synced(node, directory, shared);
                    continue;
                }
                Ok(Event::Apply(pod)) => directory.apply(&pod, now),
                Ok(Event::Delete(pod)) => directory.remove(&pod, now),
                Err(error) => return Failure::from(&error),
            }
            if listing.is_none() {
                shared.publish(directory, now);
            }
        }
    }
}

fn tell_synced(node: &str, directory: &Directory, shared: &Shared) {
    let (pods, refused) = (directory.len(), directory.refused());
    if shared.lists.fetch_add(1, Ordering::Relaxed) > 0 {
        tracing::debug!(node, pods, refused, "listed the pods of this node again");
    } else if pods == 0 {
        tracing::warn!(
            node,
            "there are no pods on this node: if that is not its name in the cluster, see --node"
        );
    } else {
        tracing::info!(node, pods, refused, "names of pods come from the Kubernetes API server");
    }
}

/// All pods of the node in one answer, out of the API server's memory, where they lie by node. In pages they would
/// come from its database, which knows no nodes: older versions read the pods of the whole cluster for it.
fn watcher_config(node: &str) -> Config {
    let config = Config::default()
        .fields(&format!("spec.nodeName={node}"))
        .timeout(u32::try_from(WATCH_DURATION.as_secs()).unwrap_or(u32::MAX))
        .any_semantic();
    Config { page_size: None, ..config }
}
