//! Which path answers what, to whom, with which headers.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::admission::Admission;
use super::auth::{Auth, Authentication};
use super::{Peer, ServerState, page};

/// Seconds after which somebody with too many wrong passwords may try again.
const RETRY_AFTER: &str = "5";

const METRICS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) const INDEX: &str = "\
sni-probe

/metrics  metrics in the text format of Prometheus
/healthz  200 while the process lives
/readyz   200 when every interface is being watched, else 503
";

/// In every answer. What it says is of now, for whoever asked, and no document or picture for other sites.
const HEADERS: [(&str, &str); 4] = [
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// Everything that is served; the page and its API only by an admission.
pub(super) fn router(state: ServerState, page: Option<Admission>, auth: Option<&Arc<Auth>>) -> Router {
    let turn = Arc::new(Semaphore::new(1));
    let guarded = |router: Router<ServerState>| {
        let router = router.layer(middleware::from_fn_with_state(Arc::clone(&turn), take_turns));
        match auth {
            Some(auth) => router.layer(middleware::from_fn_with_state(Arc::clone(auth), guard)),
            None => router,
        }
    };
    let others = Router::new()
        .route("/metrics", get(metrics))
        .route("/readyz", get(readyz))
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such page; see /\n") });
    let router = match page {
        Some(admission) => {
            let page = Router::new()
                .route("/", get(|| async { page::answer() }))
                .route("/api/v1/summary", get(summary))
                .route("/api/v1/clients", get(clients))
                .route("/api/v1/handshakes", get(handshakes))
                .route("/api/v1/facts", get(facts));
            // Before passwords: a site that rebinds its name is not to try them either.
            let page = guarded(page).route_layer(middleware::from_fn_with_state(Arc::new(admission), admit));
            guarded(others).merge(page)
        }
        None => guarded(others.route("/", get(|| async { INDEX }))),
    };
    router
        // What comes after the layers is not behind them: a kubelet's probes have no password, and do not wait.
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(middleware::map_response(with_headers))
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

async fn summary(State(state): State<ServerState>) -> Response {
    Json(state.api.summary()).into_response()
}

async fn clients(State(state): State<ServerState>) -> Response {
    Json(state.api.clients()).into_response()
}

async fn facts(State(state): State<ServerState>) -> Response {
    Json(state.api.facts()).into_response()
}

#[derive(Deserialize)]
struct Selection {
    /// How many of the last ones are wanted.
    limit: Option<usize>,
}

async fn handshakes(State(state): State<ServerState>, Query(selection): Query<Selection>) -> Response {
    let mut handshakes = state.api.handshakes();
    handshakes.handshakes.truncate(selection.limit.unwrap_or(usize::MAX));
    Json(handshakes).into_response()
}

/// Makes one answer at a time. To encode all metrics takes a millisecond or more of the daemon's only
/// thread: so events, and probes, wait for one of them and not for all that were asked for at once.
async fn take_turns(State(turn): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(_turn) = turn.acquire().await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    next.run(request).await
}

/// Lets pass who may see the page.
async fn admit(State(admission): State<Arc<Admission>>, request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    match admission.check(peer, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            tracing::debug!(peer = %peer.address, reason = refusal.1.trim_end(), "the page is refused");
            refusal.into_response()
        }
    }
}

/// Lets pass who has a password.
async fn guard(State(auth): State<Arc<Auth>>, request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    match auth.check(request.headers().get(header::AUTHORIZATION), peer.address).await {
        Authentication::Allowed => next.run(request).await,
        Authentication::Denied => {
            let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"sni-probe\", charset=\"UTF-8\"")];
            (StatusCode::UNAUTHORIZED, challenge, "wrong user or password\n").into_response()
        }
        Authentication::TooMany => {
            let wait = [(header::RETRY_AFTER, RETRY_AFTER)];
            (StatusCode::TOO_MANY_REQUESTS, wait, "too many wrong passwords; wait\n").into_response()
        }
    }
}

async fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
