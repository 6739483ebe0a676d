//! The daemon: drains the ring buffer into the tracker, and what the tracker saw into metrics and events.

mod interfaces;

use std::os::fd::AsRawFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use futures_util::{FutureExt as _, StreamExt as _};
use rustix::time::{ClockId, clock_gettime};
use sni_probe::capture::links::Netlink;
use sni_probe::capture::preflight;
use sni_probe::capture::programs::{Counters, EventRing, Programs};
use sni_probe_core::flow::Timestamp;
use sni_probe_core::observation::Observation;
use sni_probe_core::tracker::Fingerprints;
use sni_probe_core::{Tracker, TrackerConfig};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use self::interfaces::Interfaces;
use crate::cli::{Decapsulate, Events, RunOptions};
use crate::http::{self, Readiness, ServerState};
use crate::metrics::Metrics;
use crate::output::{EventWriter, WallClock};

/// How often the ring is looked at. The kernel wakes the daemon earlier when much has gathered.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How often the kernel's counters are read.
const COUNTERS_INTERVAL: Duration = Duration::from_secs(1);
/// How often interfaces are looked after without a notice, for one may have been missed.
const INTERFACES_INTERVAL: Duration = Duration::from_secs(10);
/// Events handled at a stretch, before the HTTP server and signals have their turn.
const BATCH: usize = 4096;
/// How long the reader of stdout is waited for at the end.
const EVENTS_PATIENCE: Duration = Duration::from_secs(2);

/// Watches the interfaces until SIGTERM or SIGINT, then detaches what it attached.
///
/// # Errors
/// If it cannot run: nothing is attached then.
pub(crate) async fn run(options: RunOptions) -> anyhow::Result<()> {
    // From here on a signal waits for the loop, so that nothing stays attached.
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    preflight::check()?;
    let listener = http::bind(options.listen)?;
    // Port 0 stands for one that the kernel picks.
    let address = listener.local_addr().context("cannot serve metrics")?;
    let events = EventWriter::stdout(options.events)?;
    let metrics = Arc::new(Metrics::new()?);
    let readiness = Arc::new(Readiness::default());
    let (netlink, link_changes) = Netlink::connect().context("cannot ask the kernel for interfaces")?;
    let mut link_changes = pin!(link_changes);
    let mut interfaces =
        Interfaces::find(netlink, &options, Arc::clone(&metrics), Arc::clone(&readiness)).await?;
    let mut programs = Programs::load(&options.ports, Decapsulate::tunnels(&options.decapsulate))?;
    #[cfg(feature = "kernel-log")]
    forward_kernel_log(&mut programs)?;
    let mut ring = readable(programs.take_events()?)?;
    let mut observer = Observer {
        tracker: Tracker::new(TrackerConfig {
            handshake_timeout: options.handshake_timeout,
            // Only events tell them.
            fingerprints: match options.events {
                Events::Off => Fingerprints::None,
                Events::Text | Events::Json => Fingerprints::All,
            },
            ..Default::default()
        }),
        counters: programs.take_counters()?,
        metrics: Arc::clone(&metrics),
        events,
    };
    interfaces.attach_all(&mut programs).await?;

    let (stop_server, server_stopped) = tokio::sync::oneshot::channel::<()>();
    let state = ServerState { metrics, readiness };
    let server = tokio::spawn(http::serve(listener, state, async {
        let _ = server_stopped.await;
    }));
    tracing::info!(metrics = %format_args!("http://{address}/metrics"), ports = ?options.ports, "watching");

    let mut poll = ticks(POLL_INTERVAL);
    let mut counters = ticks(COUNTERS_INTERVAL);
    let mut look_around = ticks(INTERFACES_INTERVAL);
    let mut is_more = false;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = counters.tick() => observer.read_counters(),
            _ = look_around.tick() => interfaces.reconcile(&mut programs).await,
            Some(()) = link_changes.next() => {
                // Notices come in bursts; one look answers all of them.
                while link_changes.next().now_or_never().flatten().is_some() {}
                interfaces.reconcile(&mut programs).await;
            }
            _ = poll.tick() => {}
            // Edge-triggered: cleared before the ring is drained, so that what comes meanwhile wakes again.
            ready = ring.readable_mut() => ready.context("cannot wait for events")?.clear_ready(),
            () = tokio::task::yield_now(), if is_more => {}
        }
        is_more = observer.drain(ring.get_mut(), &interfaces) == BATCH;
    }

    tracing::info!("stopping");
    interfaces.detach_all().await;
    while observer.drain(ring.get_mut(), &interfaces) == BATCH {}
    observer.finish(&interfaces);
    let _ = stop_server.send(());
    server.await.context("the HTTP server ended badly")?
}

/// Registers `inner`, which owns its descriptor, with the runtime's poll.
#[expect(
    deprecated,
    reason = "the successor is unsafe, for types that do not own their descriptor; this crate has no unsafe"
)]
fn readable<T: AsRawFd>(inner: T) -> anyhow::Result<AsyncFd<T>> {
    AsyncFd::with_interest(inner, Interest::READABLE).context("cannot wait for events of the kernel")
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Everything that an event goes through in user space.
struct Observer {
    tracker: Tracker,
    counters: Counters,
    metrics: Arc<Metrics>,
    events: EventWriter,
}

impl Observer {
    /// Handles at most [`BATCH`] events, and what has timed out; returns how many events there were.
    fn drain(&mut self, ring: &mut EventRing, interfaces: &Interfaces) -> usize {
        let clock = WallClock::new(now(), SystemTime::now());
        let Self { tracker, metrics, events, .. } = self;
        let mut publish = |tracker: &mut Tracker| publish(tracker, metrics, events, interfaces, clock);
        let count = ring.drain(BATCH, |event| match event {
            Some(event) => {
                tracker.handle_event(&event);
                publish(tracker);
            }
            None => metrics.record_invalid(),
        });
        // With events still waiting, an outcome may be among them.
        if count < BATCH {
            tracker.handle_timeout(now());
            publish(tracker);
        }
        metrics.event_lines_dropped(events.flush());
        metrics.set_flows(tracker.flows(), tracker.capacity());
        count
    }

    /// Reads the kernel's counters.
    fn read_counters(&mut self) {
        let Self { counters, metrics, .. } = self;
        if let Err(error) = counters.poll(|counter, n| metrics.add(counter, n)) {
            tracing::warn!(%error, "cannot read the counters of the programs");
        }
    }

    /// Gives the hellos that still wait their outcome, `unfinished`, and writes the last lines.
    fn finish(mut self, interfaces: &Interfaces) {
        self.read_counters();
        self.tracker.finish();
        let clock = WallClock::new(now(), SystemTime::now());
        publish(&mut self.tracker, &self.metrics, &mut self.events, interfaces, clock);
        self.metrics.event_lines_dropped(self.events.finish(EVENTS_PATIENCE));
    }
}

/// Hands what the tracker saw to metrics and events.
fn publish(
    tracker: &mut Tracker,
    metrics: &Metrics,
    events: &mut EventWriter,
    interfaces: &Interfaces,
    clock: WallClock,
) {
    while let Some(observation) = tracker.poll_observation() {
        metrics.observe(&observation);
        if let Observation::Handshake(handshake) = &observation {
            events.handshake(interfaces.name(handshake.ifindex), handshake, clock);
        }
    }
}

/// The clock that the programs stamp events with.
fn now() -> Timestamp {
    let now = clock_gettime(ClockId::Monotonic);
    let nanos = now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned();
    Timestamp(nanos)
}

/// Hands messages of the programs (aya-log) to the log.
#[cfg(feature = "kernel-log")]
fn forward_kernel_log(programs: &mut Programs) -> anyhow::Result<()> {
    let logger = aya_log::EbpfLogger::init(programs.ebpf()).context("cannot read the programs' log")?;
    let mut logger = readable(logger)?;
    tokio::spawn(async move {
        while let Ok(mut ready) = logger.readable_mut().await {
            ready.get_inner_mut().flush();
            ready.clear_ready();
        }
    });
    Ok(())
}
