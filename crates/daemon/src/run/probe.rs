//! What watches interfaces, from attaching to detaching.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use caps::Capability;
use futures_util::stream::LocalBoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use sni_probe_capture::links::Netlink;
use sni_probe_capture::netns;
use sni_probe_capture::privileges::{self, BoundingSet};
use sni_probe_core::clients::Clients;
use sni_probe_core::tracker::Fingerprints;
use sni_probe_core::{Tracker, TrackerConfig};
use sni_probe_kubernetes::Names;
use sni_probe_telemetry::events::{EventWriter, EventsConfig};
use sni_probe_telemetry::metrics::Metrics;
use tokio::select;
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::interface_names::InterfaceNames;
use super::interfaces::Interfaces;
use super::observer::{BATCH, Observer, Sinks};
use super::source::PacketSource;
use crate::board::Board;
use crate::config::{EvidenceConfig, ProbeConfig};
use crate::evidence::FailureCaptures;
use crate::readiness::Readiness;

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
    source: PacketSource,
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
        config: &ProbeConfig,
        events: &EventsConfig,
        evidence: &EvidenceConfig,
    ) -> anyhow::Result<Self> {
        let filter = events.filter.clone();
        // Of the others only lines and files tell them.
        let all = events.are_on() || evidence.directory.is_some();
        let fingerprints = if all { Fingerprints::All } else { Fingerprints::WithoutSni };
        let events = EventWriter::open(events, privileges::drop_all)?;
        let names = config
            .kubernetes
            .as_ref()
            .map(|kubernetes| Names::start(kubernetes, &config.ports, privileges::drop_all))
            .transpose()?;
        let clients = Arc::new(Mutex::new(Clients::new(config.clients.clone())));
        let metrics = Arc::new(Metrics::new(Arc::clone(&clients), names.as_ref())?);
        let readiness = Arc::new(Readiness::default());
        let evidence = FailureCaptures::open(evidence, config.handshake_timeout, &metrics)?;
        // What was opened before stays in the first namespace: connections to the API server, say.
        if let Some(path) = &config.netns {
            netns::enter(path)?;
        }
        let source = PacketSource::open(config)?;
        let (netlink, link_changes) =
            Netlink::connect(config.interfaces.is_empty()).context("cannot ask the kernel for interfaces")?;
        let mut interfaces =
            Interfaces::find(netlink, config, Arc::clone(&metrics), Arc::clone(&readiness)).await?;
        #[cfg(feature = "kernel-log")]
        source.forward_kernel_log()?;
        let board = Arc::new(Board::new(
            config.node.clone(),
            config.ports.clone(),
            filter,
            Arc::clone(&clients),
            Arc::clone(&metrics),
            Arc::clone(&readiness),
            names.clone(),
        ));
        let observer = Observer {
            tracker: Tracker::new(tracker_config(config, fingerprints)),
            sinks: Sinks { metrics, clients, board, events, evidence, names },
            complaint: None,
        };
        let source = RefCell::new(source);
        interfaces.watch_named(&source).await?;
        let dropped = drop_privileges(config, &source.borrow(), &interfaces);
        if let Err(error) = dropped {
            interfaces.unwatch_all(&source).await;
            return Err(error);
        }
        let source = source.into_inner();
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
    /// If it cannot go on: nothing is attached then, and all that was seen is reported.
    pub(super) async fn watch(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { source, mut interfaces, mut link_changes, mut observer, .. } = self;
        let source = RefCell::new(source);
        let names = Rc::clone(interfaces.names());
        let stop_following = Rc::clone(interfaces.stop());
        // An error ends the daemon as a signal does: nothing is lost, nothing stays attached.
        let outcome = {
            let mut observe = pin!(observe(&mut observer, &source, &names));
            let mut follow = pin!(follow(&mut interfaces, &mut link_changes, &source));
            let (outcome, follows, observes) = select! {
                () = stop => (Ok(()), true, true),
                outcome = &mut observe => (outcome, true, false),
                outcome = &mut follow => (outcome, false, true),
            };
            // It ends where nothing is half attached; events are read meanwhile.
            stop_following.set();
            if follows && observes {
                select! {
                    _ = &mut follow => {}
                    _ = &mut observe => {}
                }
            } else if follows {
                let _ = follow.await;
            }
            outcome
        };

        tracing::info!("stopping");
        let held_back = source.borrow().held_back();
        sleep(held_back).await;
        {
            // The kernel takes its time to detach: what comes meanwhile is read.
            let mut observe = pin!(observe(&mut observer, &source, &names));
            let mut unwatch = pin!(interfaces.unwatch_all(&source));
            let is_detached = select! {
                biased;
                _ = &mut observe => false,
                () = &mut unwatch => true,
            };
            if !is_detached {
                unwatch.await;
            }
        }
        while observer.drain(&mut source.borrow_mut(), &names.borrow()) == BATCH {}
        observer.finish(&mut source.borrow_mut(), &names.borrow());
        outcome
    }
}

/// Reads events, and what was lost, as long as nothing fails.
async fn observe(
    observer: &mut Observer,
    source: &RefCell<PacketSource>,
    names: &RefCell<InterfaceNames>,
) -> anyhow::Result<()> {
    let mut poll_interval = POLL_INTERVAL;
    let mut counters = ticks(COUNTERS_INTERVAL);
    let mut is_more = true;
    loop {
        select! {
            _ = counters.tick() => observer.read_counters(&mut source.borrow_mut()),
            () = sleep(poll_interval) => {}
            ready = poll_fn(|context| source.borrow_mut().poll_readable(context)) => ready?,
            () = yield_now(), if is_more => {}
        }
        let count = observer.drain(&mut source.borrow_mut(), &names.borrow());
        is_more = count == BATCH;
        poll_interval = if count == 0 { IDLE_POLL_INTERVAL.min(poll_interval * 2) } else { POLL_INTERVAL };
    }
}

/// Follows the interfaces, as long as nothing fails and the daemon is not about to stop.
async fn follow(
    interfaces: &mut Interfaces,
    link_changes: &mut LocalBoxStream<'static, ()>,
    source: &RefCell<PacketSource>,
) -> anyhow::Result<()> {
    let stop = Rc::clone(interfaces.stop());
    let mut look_around = ticks(INTERFACES_INTERVAL);
    while !stop.is_set() {
        select! {
            // The first one comes at once.
            _ = look_around.tick() => interfaces.look_around(source).await?,
            Some(()) = link_changes.next() => {
                // Notices come in bursts; one look answers all of them.
                while link_changes.next().now_or_never().flatten().is_some() {}
                interfaces.reconcile(source).await?;
            }
            () = stop.wait() => {}
        }
    }
    Ok(())
}

/// How the tracker is to work: the one place at which [`ProbeConfig::follow`] reaches it.
fn tracker_config(config: &ProbeConfig, fingerprints: Fingerprints) -> TrackerConfig {
    let ProbeConfig { handshake_timeout, follow, .. } = *config;
    TrackerConfig { handshake_timeout, follow, fingerprints, ..TrackerConfig::default() }
}

/// Gives up every capability that is not needed any more.
fn drop_privileges(
    config: &ProbeConfig,
    source: &PacketSource,
    interfaces: &Interfaces,
) -> anyhow::Result<()> {
    if config.keep_privileges {
        return Ok(());
    }
    let kept = source.needed(interfaces.may_change(), interfaces.has_filters());
    let bounding_set =
        privileges::keep_only(&kept).context("cannot drop privileges; see --keep-privileges")?;
    let bounding_set = match bounding_set {
        BoundingSet::Reduced => "reduced",
        BoundingSet::Unchanged => "unchanged, because reducing it takes CAP_SETPCAP",
    };
    let reason = reason(&kept, interfaces.may_change(), interfaces.has_filters());
    let kept = match &kept[..] {
        [] => "none".to_owned(),
        kept => kept.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    tracing::info!(capabilities = kept, no_new_privs = true, reason, bounding_set, "privileges dropped");
    Ok(())
}

/// Why these capabilities are kept.
fn reason(kept: &[Capability], attaches_more: bool, has_filters: bool) -> String {
    if kept.is_empty() {
        return "nothing is to be attached any more".to_owned();
    }
    let attaching = match (has_filters, attaches_more) {
        (true, true) => "puts filters back and attaches to interfaces that come",
        (true, false) => "puts filters back",
        (false, _) => "attaches to interfaces that come",
    };
    let of_each = kept.iter().map(|capability| match capability {
        Capability::CAP_BPF => "CAP_BPF reads maps (before Linux 5.19)".to_owned(),
        other => format!("{other} {attaching}"),
    });
    of_each.collect::<Vec<_>>().join(", ")
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_capability_that_is_kept_has_its_reason() {
        let both = [Capability::CAP_NET_ADMIN, Capability::CAP_BPF];
        for (kept, attaches_more, has_filters, expected) in [
            (&[][..], false, false, "nothing is to be attached any more"),
            (&both[..1], false, true, "CAP_NET_ADMIN puts filters back"),
            (&both[..1], true, false, "CAP_NET_ADMIN attaches to interfaces that come"),
            (&both[..1], true, true, "CAP_NET_ADMIN puts filters back and attaches to interfaces that come"),
            (&both[1..], false, false, "CAP_BPF reads maps (before Linux 5.19)"),
            (
                &both[..],
                false,
                true,
                "CAP_NET_ADMIN puts filters back, CAP_BPF reads maps (before Linux 5.19)",
            ),
            (&[Capability::CAP_NET_RAW], true, false, "CAP_NET_RAW attaches to interfaces that come"),
        ] {
            assert_eq!(reason(kept, attaches_more, has_filters), expected);
        }
    }
}
