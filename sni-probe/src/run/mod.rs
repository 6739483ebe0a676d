//! The daemon: events go into the tracker, and what the tracker saw into metrics and lines.
//!
//! ```text
//! interfaces (which, and their changes) ─▶ source (TC programs or packet sockets) ─▶ observer ─▶ metrics, events
//! ```

mod interfaces;
mod observer;
mod sample;
mod selection;
mod source;

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::{FutureExt as _, StreamExt as _};
use sni_probe::capture::links::Netlink;
use sni_probe::capture::netns;
use sni_probe::privileges;
use sni_probe_core::clients::Clients;
use sni_probe_core::tracker::Fingerprints;
use sni_probe_core::{Tracker, TrackerConfig};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};

use self::interfaces::Interfaces;
use self::observer::{BATCH, Observer, Sinks};
use self::source::Source;
use crate::api::Board;
use crate::cli::RunOptions;
use crate::evidence::Evidence;
use crate::http::{self, Access, Readiness, ServerState};
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

/// Watches the interfaces until SIGTERM or SIGINT, then detaches what it attached.
///
/// # Errors
/// If it cannot run: nothing is attached then.
pub(crate) async fn run(options: RunOptions) -> anyhow::Result<()> {
    // From here on a signal waits for the loop, so that nothing stays attached.
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    let access = Access::load(&options.web)?;
    let listener = http::bind(options.web.listen)?;
    // Port 0 stands for one that the kernel picks.
    let address = listener.local_addr().context("cannot serve metrics")?;
    let events = EventWriter::open(&options.events)?;
    let names = options.kube.kube.then(|| Names::start(&options.kube, &options.ports)).transpose()?;
    let clients = Arc::new(Mutex::new(Clients::new(options.clients.config()?)));
    let metrics = Arc::new(Metrics::new(Arc::clone(&clients), names.as_ref())?);
    let readiness = Arc::new(Readiness::default());
    let evidence = Evidence::open(&options.evidence, options.handshake_timeout, &metrics)?;
    // The server stays in the namespace where its socket was opened; all that follows is in the other one.
    if let Some(path) = &options.netns {
        netns::enter(path)?;
    }
    let mut source = Source::open(&options)?;
    let (netlink, link_changes) = Netlink::connect().context("cannot ask the kernel for interfaces")?;
    let mut link_changes = pin!(link_changes);
    let mut interfaces =
        Interfaces::find(netlink, &options, Arc::clone(&metrics), Arc::clone(&readiness)).await?;
    #[cfg(feature = "kernel-log")]
    source.forward_kernel_log()?;
    let board = Arc::new(Board::new(
        options.kube.node(),
        options.ports.clone(),
        options.events.events_filter.clone(),
        Arc::clone(&clients),
        Arc::clone(&metrics),
        Arc::clone(&readiness),
        names.clone(),
    ));
    let mut observer = Observer {
        tracker: Tracker::new(TrackerConfig {
            handshake_timeout: options.handshake_timeout,
            // Of the others only events tell them.
            fingerprints: if options.events.are_on() { Fingerprints::All } else { Fingerprints::WithoutSni },
            ..Default::default()
        }),
        sinks: Sinks {
            metrics: Arc::clone(&metrics),
            clients,
            board: Arc::clone(&board),
            events,
            evidence,
            names,
        },
    };
    interfaces.watch_all(&mut source).await?;
    if let Err(error) = drop_privileges(&options, &source, &interfaces) {
        interfaces.unwatch_all(&mut source).await;
        return Err(error);
    }

    let (stop_server, server_stopped) = tokio::sync::oneshot::channel::<()>();
    let scheme = access.scheme();
    let state = ServerState { metrics, readiness, api: board };
    let server = tokio::spawn(http::serve(listener, access, state, async {
        let _ = server_stopped.await;
    }));
    tracing::info!(metrics = %format_args!("{scheme}://{address}/metrics"), ports = ?options.ports, "watching");

    let mut poll_interval = POLL_INTERVAL;
    let mut counters = ticks(COUNTERS_INTERVAL);
    let mut look_around = ticks(INTERFACES_INTERVAL);
    let mut is_more = false;
    // An error ends the daemon as a signal does: nothing is lost, nothing stays attached.
    let mut outcome = Ok(());
    while outcome.is_ok() {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
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
        poll_interval = if count == 0 { IDLE_POLL_INTERVAL.min(poll_interval * 2) } else { POLL_INTERVAL };
    }

    tracing::info!("stopping");
    source.settle().await;
    while observer.drain(&mut source, &interfaces) == BATCH {}
    interfaces.unwatch_all(&mut source).await;
    while observer.drain(&mut source, &interfaces) == BATCH {}
    observer.finish(&mut source, &interfaces);
    let _ = stop_server.send(());
    server.await.context("the HTTP server ended badly")??;
    outcome
}

/// Gives up every capability that is not needed any more.
fn drop_privileges(options: &RunOptions, source: &Source, interfaces: &Interfaces) -> anyhow::Result<()> {
    if options.keep_privileges {
        return Ok(());
    }
    let kept = source.needed(interfaces.may_change(), interfaces.has_filters());
    privileges::keep_only(&kept).context("cannot drop privileges; see --keep-privileges")?;
    let kept = match &kept[..] {
        [] => "none".to_owned(),
        kept => kept.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    tracing::info!(capabilities = kept, no_new_privs = true, "privileges dropped");
    Ok(())
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
