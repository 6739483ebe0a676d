//! The daemon: a probe and the HTTP server that shows what it sees.
//!
//! ```text
//! interfaces (which, and their changes) ─▶ source (TC programs or packet sockets) ─▶ observer ─▶ metrics, events, board
//!                                      └────────────────── probe ──────────────────┘
//! ```

mod background;
mod interface_names;
mod interfaces;
mod monotonic;
mod observer;
mod other_hosts;
mod packets;
mod probe;
mod reading;
mod sample;
mod selection;
mod source;
mod wall_clock;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

pub use self::background::Background;
use self::probe::Probe;
use crate::config::Config;
use crate::http::{self, Access, ServerState};

/// Watches the interfaces until SIGTERM, SIGINT or SIGHUP, then detaches what it attached.
///
/// # Errors
/// If it cannot run: nothing is attached then.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    // From here on a signal waits for the loop, so that nothing stays attached.
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    // The terminal has gone: there is nothing to read anew, as other daemons do.
    let mut hangup = signal(SignalKind::hangup()).context("cannot handle SIGHUP")?;
    let access = Access::load(&config.web)?;
    // The server stays in the namespace where its socket was opened; the probe may be in another one.
    let listener = http::bind(config.web.listen)?;
    // Port 0 stands for one that the kernel picks.
    let address = listener.local_addr().context("cannot serve metrics")?;
    let probe = Probe::open(&config.probe, &config.events, &config.evidence).await?;

    let (stop_server, server_stopped) = tokio::sync::oneshot::channel::<()>();
    let scheme = access.scheme();
    let state = ServerState {
        metrics: probe.metrics().clone(),
        readiness: probe.readiness().clone(),
        api: probe.board().clone(),
    };
    let server = tokio::spawn(http::serve(listener, access, state, async {
        let _ = server_stopped.await;
    }));
    tracing::info!(metrics = %format_args!("{scheme}://{address}/metrics"), ports = ?config.probe.ports, "watching");

    let outcome = probe
        .watch(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {}
            }
        })
        .await;
    let _ = stop_server.send(());
    server.await.context("the HTTP server ended badly")??;
    outcome
}
