//! What watches interfaces, from attaching to detaching.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::stream::LocalBoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use sni_probe::capture::links::Netlink;
use sni_probe::capture::netns;
use sni_probe::privileges;
use sni_probe_core::clients::Clients;
use sni_probe_core::tracker::Fingerprints;
use sni_probe_core::{Tracker, TrackerConfig};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::interfaces::Interfaces;
use super::observer::{BATCH, Observer, Sinks};
use super::source::Source;
use crate::api::Board;
use crate::cli::{EventOptions, EvidenceOptions, ProbeOptions};
use crate::evidence::Evidence;
use crate::http::Readiness;
use crate::kubernetes::Names;
use crate::metrics::Metrics;
use crate::output::EventWriter;

/// How often events are looked for. The kernel wakes the daemon earlier when much has gathered.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The same when there are none: each look that finds nothing doubles the time to the next, up to this. It costs some
/// 70 us of processor time.
const IDLE_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How often the kernel's counters are read.
const COUNTERS_INTERVAL: Duration = Duration::from_secs(1);
/// How often interfaces are looked after without a notice, for one may have been missed.
const INTERFACES_INTERVAL: Duration = Duration::from_secs(10);

/// Attached, and not yet watching.
pub(super) struct Probe {
    source: Source,
    interfaces: Interfaces,
    link_changes: LocalBoxStream<'static, ()>,
    observer: Observer,
    readiness: Arc<Readiness>,
}

impl Probe {
    /// Attaches to the interfaces, and gives up the privileges that are not needed any more.
    ///
    /// # Errors
    /// If it cannot watch: nothing is attached then.
    pub(super) async fn open(
        options: &ProbeOptions,
        events: &EventOptions,
        evidence: &EvidenceOptions,
    ) -> anyhow::Result<Self> {
        let filter = events.events_filter.clone();
        // Of the others only lines and files tell them.
        let all = events.are_on() || evidence.evidence.is_some();
        let fingerprints = if all { Fingerprints::All } else { Fingerprints::WithoutSni };
        let events = EventWriter::open(events)?;
        let names = options.kube.kube.then(|| Names::start(&options.kube, &options.ports)).transpose()?;
        let clients = Arc::new(Mutex::new(Clients::new(options.clients.config()?)));
        let metrics = Arc::new(Metrics::new(Arc::clone(&clients), names.as_ref())?);
        let readiness = Arc::new(Readiness::default());
        let evidence = Evidence::open(evidence, options.handshake_timeout, &metrics)?;
        // What was opened before stays in the first namespace: connections to the API server, say.
        if let Some(path) = &options.netns {
            netns::enter(path)?;
        }
        let mut source = Source::open(options)?;
        let (netlink, link_changes) = Netlink::connect().context("cannot ask the kernel for interfaces")?;
        let mut interfaces =
            Interfaces::find(netlink, options, Arc::clone(&metrics), Arc::clone(&readiness)).await?;
        #[cfg(feature = "kernel-log")]
        source.forward_kernel_log()?;
        let board = Arc::new(Board::new(
            options.kube.node(),
            options.ports.clone(),
            filter,
            Arc::clone(&clients),
            Arc::clone(&metrics),
            Arc::clone(&readiness),
            names.clone(),
        ));
        let observer = Observer {
            tracker: Tracker::new(TrackerConfig {
                handshake_timeout: options.handshake_timeout,
                fingerprints,
                ..Default::default()
            }),
            sinks: Sinks { metrics, clients, board, events, evidence, names },
            complaint: None,
        };
        interfaces.watch_all(&mut source).await?;
        if let Err(error) = drop_privileges(options, &source, &interfaces) {
            interfaces.unwatch_all(&mut source).await;
            return Err(error);
        }
        Ok(Self { source, interfaces, link_changes: link_changes.boxed_local(), observer, readiness })
    }

    /// Its metrics.
    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.observer.sinks.metrics
    }

    /// Whether it sees all.
    pub(super) fn readiness(&self) -> &Arc<Readiness> {
        &self.readiness
    }

    /// What it remembers for people.
    pub(super) fn board(&self) -> &Arc<Board> {
        &self.observer.sinks.board
    }

    /// Watches until `stop` is ready, then detaches what it attached.
    ///
    /// # Errors
    /// If it cannot go on: nothing is attached then, and all that was seen is told.
    pub(super) async fn watch(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { mut source, mut interfaces, mut link_changes, mut observer, .. } = self;
        let mut stop = pin!(stop);
        let mut poll_interval = POLL_INTERVAL;
        let mut counters = ticks(COUNTERS_INTERVAL);
        let mut look_around = ticks(INTERFACES_INTERVAL);
        let mut is_more = false;
        // An error ends the daemon as a signal does: nothing is lost, nothing stays attached.
        let mut outcome = Ok(());
        while outcome.is_ok() {
            tokio::select! {
                () = &mut stop => break,
                _ = counters.tick() => observer.read_counters(&mut source),
                _ = look_around.tick() => outcome = interfaces.look_around(&mut source).await,
                Some(()) = link_changes.next() => {
                    // Notices come in bursts; one look answers all of them.
                    while link_changes.next().now_or_never().flatten().is_some() {}
                    outcome = interfaces.reconcile(&mut source).await;
                }
                () = sleep(poll_interval) => {}
                ready = source.readable() => outcome = ready,
                () = tokio::task::yield_now(), if is_more => {}
            }
            let count = observer.drain(&mut source, &interfaces);
            is_more = count == BATCH;
            poll_interval =
                if count == 0 { IDLE_POLL_INTERVAL.min(poll_interval * 2) } else { POLL_INTERVAL };
        }

        tracing::info!("stopping");
        source.settle().await;
        while observer.drain(&mut source, &interfaces) == BATCH {}
        interfaces.unwatch_all(&mut source).await;
        while observer.drain(&mut source, &interfaces) == BATCH {}
        observer.finish(&mut source, &interfaces);
        outcome
    }
}

/// Gives up every capability that is not needed any more.
fn drop_privileges(options: &ProbeOptions, source: &Source, interfaces: &Interfaces) -> anyhow::Result<()> {
    if options.keep_privileges {
        return Ok(());
    }
    let kept = source.needed(interfaces.may_change(), interfaces.has_filters());
    privileges::keep_only(&kept).context("cannot drop privileges; see --keep-privileges")?;
    let reason = match (&kept[..], interfaces.has_filters()) {
        ([], _) => "nothing is to be attached any more",
        (_, true) => "to put filters back, and to attach to what comes",
        (_, false) => "to attach to what comes",
    };
    let kept = match &kept[..] {
        [] => "none".to_owned(),
        kept => kept.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    tracing::info!(capabilities = kept, no_new_privs = true, reason, "privileges dropped");
    Ok(())
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
