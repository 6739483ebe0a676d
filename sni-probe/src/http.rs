//! The HTTP server: `/metrics` for Prometheus, `/healthz` and `/readyz` for probes.
//!
//! Anybody on the node's network may reach it, so all is bounded: connections at once, the time
//! and the requests of each, the size of a request's head. Bodies are not read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
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
    interfaces: Mutex<BTreeMap<String, Status>>,
}

/// The state of an interface that is to be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Both programs are attached.
    Attached,
    /// Nothing is seen there, for this reason.
    Detached(String),
}

impl Readiness {
    /// Notes the state of `interface`.
    pub(crate) fn set(&self, interface: &str, status: Status) {
        // A panic elsewhere leaves a map that is whole: entries are replaced, never half changed.
        let mut interfaces = self.interfaces.lock().unwrap_or_else(PoisonError::into_inner);
        interfaces.insert(interface.to_owned(), status);
    }

    /// Ready if there are interfaces and all are attached; and a line for each.
    fn report(&self) -> (bool, String) {
        let interfaces = self.interfaces.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = !interfaces.is_empty() && interfaces.values().all(|status| *status == Status::Attached);
        let mut text = String::from(if ready { "ready\n" } else { "not ready\n" });
        if interfaces.is_empty() {
            text.push_str("no interface yet\n");
        }
        for (interface, status) in &*interfaces {
            // Writing to a `String` cannot fail.
            let _ = match status {
                Status::Attached => writeln!(text, "{interface}: attached"),
                Status::Detached(reason) => writeln!(text, "{interface}: not attached: {reason}"),
            };
        }
        (ready, text)
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
