//! The HTTP server: `/metrics` for Prometheus, `/healthz` and `/readyz` for probes, and for people a page with its API.
//!
//! ```text
//! mod (accepts, bounds) ─▶ slots (who gives way) ─▶ tls ─▶ routes ─▶ admission, auth ─▶ page, readiness, metrics, api
//! ```
//!
//! Anybody on the node's network may reach it, so all is bounded: connections at once, the time and the requests of
//! each, the size of a request's head, the passwords that are checked. Bodies are not read.

mod admission;
mod auth;
mod failures;
mod page;
mod renewed;
mod routes;
mod slots;
mod tls;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use sni_probe_telemetry::metrics::Metrics;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use self::admission::Admission;
use self::auth::Auth;
use self::slots::{Progress, Slots};
use self::tls::Tls;
use crate::Api;
use crate::config::{PageVisitors, WebConfig};
use crate::readiness::Readiness;

/// Connections served at once; see [`slots`] for who gives way to the next one.
const MAX_CONNECTIONS: usize = 64;
/// From the accept to the end of the answer; a connection has one request.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// What a TLS handshake may take, and then a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a request's head.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// What connections under way are given when the server ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// Rest after a failed accept (no free descriptor, say), so as not to spin; and until the next look for a place.
const RETRY: Duration = Duration::from_millis(100);
/// Time between two log lines that connections cannot be accepted.
const ACCEPT_QUIET: Duration = Duration::from_mins(10);

/// What the pages show.
#[derive(Clone, Debug)]
pub(crate) struct ServerState {
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// For `/readyz`.
    pub readiness: Arc<Readiness>,
    /// For the page, and for `watch`.
    pub api: Arc<dyn Api>,
}

/// What is served, and to whom.
#[derive(Debug)]
pub(crate) struct Access {
    /// Of the page and its API, if they are served.
    page: Option<Admission>,
    auth: Option<Arc<Auth>>,
    tls: Option<Tls>,
}

impl Access {
    /// Reads the files that `config` names.
    ///
    /// # Errors
    /// Names the file, and the line in it, that is not what it should be.
    pub(crate) fn load(config: &WebConfig) -> anyhow::Result<Self> {
        let auth = config.auth_file.as_deref().map(Auth::load).transpose()?;
        let tls = match (&config.tls_cert, &config.tls_key) {
            (Some(certificate), Some(key)) => Some(Tls::load(certificate, key)?),
            // The command line takes both or neither.
            _ => None,
        };
        let page = (config.page != PageVisitors::None)
            .then(|| Admission::new(config.page, auth.is_some(), config.hosts.clone()));
        Ok(Self { page, auth: auth.map(Arc::new), tls })
    }

    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// Who sent a request: the other end of its connection.
#[derive(Clone, Copy, Debug)]
struct Peer {
    address: IpAddr,
    /// It is on this host: its address is a loopback one, or the same as that of this end, which no other host could use
    /// for a whole TCP handshake.
    is_local: bool,
}

impl Peer {
    /// The peer of a connection between these addresses.
    fn new(peer: SocketAddr, own: Option<SocketAddr>) -> Self {
        let address = peer.ip().to_canonical();
        let own = own.map(|own| own.ip().to_canonical());
        Self { address, is_local: address.is_loopback() || own == Some(address) }
    }
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
    access: Access,
    state: ServerState,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener).context("cannot serve metrics")?;
    let router = routes::router(state, access.page, access.auth.as_ref());
    let tls = access.tls.map(Arc::new);
    let mut slots = Slots::new(MAX_CONNECTIONS);
    // Accepted, and without a slot yet.
    let mut next: Option<(TcpStream, Peer)> = None;
    let mut trouble = AcceptTrouble::default();
    let mut shutdown = pin!(shutdown);
    loop {
        if let Some((stream, peer)) = next.take() {
            if slots.make_room() {
                slots.spawn(peer.address, |progress| {
                    serve_connection(stream, peer, tls.clone(), router.clone(), progress)
                });
            } else {
                next = Some((stream, peer));
            }
        }
        tokio::select! {
            () = &mut shutdown => break,
            () = slots.ended() => {}
            () = tokio::time::sleep(RETRY), if next.is_some() => {}
            accepted = listener.accept(), if next.is_none() => match accepted {
                Ok((stream, peer)) => {
                    trouble.is_over();
                    let peer = Peer::new(peer, stream.local_addr().ok());
                    next = Some((stream, peer));
                }
                Err(error) => {
                    trouble.is_there(&error);
                    tokio::time::sleep(RETRY).await;
                }
            },
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, slots.drain()).await;
    Ok(())
}

/// Logs once that connections cannot be accepted, for example because the limit of open files is reached, and once that
/// they can be accepted again.
#[derive(Debug, Default)]
struct AcceptTrouble {
    /// Failures since a connection was accepted.
    failures: u64,
    is_logged: bool,
    last_logged: Option<Instant>,
}

impl AcceptTrouble {
    /// Accepting failed. Returns whether that was logged.
    fn is_there(&mut self, error: &std::io::Error) -> bool {
        self.failures += 1;
        let is_quiet = self.last_logged.is_none_or(|last| last.elapsed() >= ACCEPT_QUIET);
        if self.is_logged || !is_quiet {
            return false;
        }
        self.is_logged = true;
        self.last_logged = Some(Instant::now());
        tracing::warn!(
            %error,
            "cannot accept connections to the metrics port, trying on; if there are too many open files, raise the \
             limit (`ulimit -n`, systemd: LimitNOFILE=)"
        );
        true
    }

    /// A connection was accepted.
    fn is_over(&mut self) {
        if std::mem::take(&mut self.is_logged) {
            tracing::info!(failures = self.failures, "connections to the metrics port are accepted again");
        }
        self.failures = 0;
    }
}

async fn serve_connection(
    stream: TcpStream,
    peer: Peer,
    tls: Option<Arc<Tls>>,
    router: Router,
    progress: Progress,
) {
    let connection = async {
        let Some(tls) = tls else { return serve_http(stream, peer, router, progress).await };
        match tokio::time::timeout(HEAD_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) => serve_http(stream, peer, router, progress).await,
            Ok(Err(error)) => tracing::debug!(peer = %peer.address, %error, "TLS handshake"),
            Err(_) => tracing::debug!(peer = %peer.address, "TLS handshake timed out"),
        }
    };
    if tokio::time::timeout(CONNECTION_TIMEOUT, connection).await.is_err() {
        tracing::debug!(peer = %peer.address, "HTTP connection timed out");
    }
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: Peer,
    router: Router,
    progress: Progress,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(|mut request: Request<Incoming>| {
        progress.head_is_complete();
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(peer = %peer.address, %error, "HTTP connection");
    }
}

#[cfg(test)]
mod tests;
