//! The HTTP server: `/metrics` for Prometheus, `/healthz` and `/readyz` for probes.
//!
//! Anybody on the node's network may reach it, so all is bounded: connections at once, the time
//! and the requests of each, the size of a request's head. Bodies are not read.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use sni_probe::capture::neighbours::Neighbour;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::metrics::Metrics;

/// Connections served at once; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 64;
/// From the accept to the end of the answer; a connection has one request.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// What connections under way are given when the server ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// Rest after a failed accept (no free descriptor, say), so as not to spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

const METRICS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const INDEX: &str = "\
sni-probe

/metrics  metrics in the text format of Prometheus
/healthz  200 while the process lives
/readyz   200 when every interface is being watched, else 503
";

/// What the pages show.
#[derive(Clone, Debug)]
pub(crate) struct ServerState {
    /// For `/metrics`.
    pub(crate) metrics: Arc<Metrics>,
    /// For `/readyz`.
    pub(crate) readiness: Arc<Readiness>,
}

/// Opens the server's socket.
///
/// # Errors
/// If the address is not to be had: the port is in use, say.
pub(crate) fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|error: std::io::Error| {
        anyhow::anyhow!("cannot serve metrics on {address}: {error}; choose another address with --listen")
    })
}

/// Serves until `shutdown` is ready, then gives connections under way a moment to end.
///
/// # Errors
/// If the runtime does not take the socket.
pub(crate) async fn serve(
    listener: TcpListener,
    state: ServerState,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener).context("cannot serve metrics")?;
    let router = router(state);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let full = connections.len() >= MAX_CONNECTIONS;
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if !full => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, router.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to the metrics port");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            },
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, drained).await;
    Ok(())
}

async fn serve_connection(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "HTTP connection"),
        Err(_) => tracing::debug!("HTTP connection timed out"),
    }
}

fn router(state: ServerState) -> Router {
    Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(state)
}

async fn metrics(State(state): State<ServerState>) -> Response {
    match state.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!("cannot encode the metrics: {error:#}");
            (StatusCode::INTERNAL_SERVER_ERROR, "cannot encode the metrics; see the log\n").into_response()
        }
    }
}

async fn readyz(State(state): State<ServerState>) -> (StatusCode, String) {
    let (ready, text) = state.readiness.report();
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}

/// Whether the daemon sees what it was told to watch.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    state: Mutex<Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    interfaces: BTreeMap<String, Status>,
    /// The patterns by which interfaces are found, if any.
    pattern: Option<String>,
}

/// The state of an interface that is to be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It is watched.
    Attached {
        /// Whom packets meet before.
        before: Vec<Neighbour>,
    },
    /// Nothing is seen there, for this reason.
    Detached(String),
}

impl Status {
    fn is_ready(&self) -> bool {
        match self {
            Self::Attached { before } => !before.iter().any(|neighbour| neighbour.ends_chain),
            Self::Detached(_) => false,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attached { before } => {
                f.write_str("attached")?;
                for neighbour in before {
                    let what = if neighbour.ends_chain {
                        "packets that it takes are not seen; see --attach, --priority and --netns"
                    } else {
                        "it may hide packets"
                    };
                    write!(f, "; behind {neighbour}: {what}")?;
                }
                Ok(())
            }
            Self::Detached(reason) => write!(f, "not attached: {reason}"),
        }
    }
}

impl Readiness {
    /// Notes the state of `interface`.
    pub(crate) fn set(&self, interface: &str, status: Status) {
        self.lock().interfaces.insert(interface.to_owned(), status);
    }

    /// Forgets an interface.
    pub(crate) fn remove(&self, interface: &str) {
        self.lock().interfaces.remove(interface);
    }

    /// Notes by which patterns interfaces are found.
    pub(crate) fn set_pattern(&self, pattern: Option<String>) {
        self.lock().pattern = pattern;
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        // A panic elsewhere leaves a state that is whole: entries are replaced, never half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready if there are interfaces and all are seen; and a line for each.
    fn report(&self) -> (bool, String) {
        let state = self.lock();
        let Watched { interfaces, pattern } = &*state;
        let ready = !interfaces.is_empty() && interfaces.values().all(Status::is_ready);
        let mut text = String::from(if ready { "ready\n" } else { "not ready\n" });
        // Writing to a `String` cannot fail.
        if interfaces.is_empty() {
            let _ = match pattern {
                Some(pattern) => writeln!(text, "no interface matches {pattern} yet"),
                None => writeln!(text, "no interface yet"),
            };
        }
        for (interface, status) in interfaces {
            let _ = writeln!(text, "{interface}: {status}");
        }
        (ready, text)
    }
}

#[cfg(test)]
mod tests;
