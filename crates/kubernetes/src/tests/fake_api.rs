//! An API server that knows pods, and what goes wrong with API servers.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

/// What an answer is instead of the right one.
pub(super) enum Fault {
    /// An error of the API, as `Status` object.
    Status(u16),
    /// This text.
    Text(String),
    /// The right one, later.
    Slow(Duration),
    /// Of a watch: it ends at once.
    End,
}

/// The query of a request, all of which are `GET /api/v1/pods`.
pub(super) type Request = HashMap<String, String>;

/// Serves until it is dropped.
pub(super) struct FakeApi {
    address: SocketAddr,
    state: Arc<Mutex<Api>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Api {
    version: u64,
    pods: Vec<Value>,
    /// All that was ever told to watches, by version.
    events: Vec<(u64, Value)>,
    watches: Vec<(Request, mpsc::UnboundedSender<io::Result<Bytes>>)>,
    requests: Vec<Request>,
    list_faults: VecDeque<Fault>,
    watch_faults: VecDeque<Fault>,
    /// Of all watches, after those above.
    ends_watches: bool,
}

impl FakeApi {
    pub(super) fn start(pods: impl IntoIterator<Item = Value>) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), pods)
    }

    pub(super) fn start_at(address: SocketAddr, pods: impl IntoIterator<Item = Value>) -> Self {
        let state = Arc::new(Mutex::new(Api { version: 1000, ..Api::default() }));
        for pod in pods {
            state.lock().unwrap().set(pod);
        }
        let router = Router::new().route("/api/v1/pods", get(answer)).with_state(Arc::clone(&state));
        let (stop, stopped) = oneshot::channel();
        let (started, address_known) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind(address).await.unwrap();
                started.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    result = axum::serve(listener, router) => result.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        let address = address_known.recv().unwrap();
        Self { address, state, stop: Some(stop), thread: Some(thread) }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    fn lock(&self) -> MutexGuard<'_, Api> {
        self.state.lock().unwrap()
    }

    /// Adds a pod, or changes it.
    pub(super) fn set(&self, pod: Value) {
        self.lock().set(pod);
    }

    pub(super) fn delete(&self, name: &str) {
        let mut api = self.lock();
        let at = api.pods.iter().position(|pod| pod["metadata"]["name"] == name).unwrap();
        let mut pod = api.pods.remove(at);
        api.stamp(&mut pod);
        api.tell("DELETED", &pod);
    }

    /// Changes pods without a word to watches: their events are lost.
    pub(super) fn set_silently(&self, pod: Value) {
        let mut api = self.lock();
        let watches = std::mem::take(&mut api.watches);
        api.set(pod);
        api.events.pop();
        api.watches = watches;
    }

    /// Sends a line of an open watch.
    pub(super) fn send(&self, line: &str) {
        self.lock().send(line);
    }

    pub(super) fn bookmark(&self) {
        let mut api = self.lock();
        api.version += 1000;
        let version = api.version.to_string();
        let object = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": version}});
        api.send(&json!({"type": "BOOKMARK", "object": object}).to_string());
    }

    /// Breaks the connections of all watches off in the middle.
    pub(super) fn break_watches(&self) {
        let watches = std::mem::take(&mut self.lock().watches);
        for (_, watch) in watches {
            let _ = watch.send(Ok(Bytes::from_static(br#"{"type":"MODIF"#)));
            let _ = watch.send(Err(io::Error::other("broken off")));
        }
    }

    /// Ends all watches properly.
    pub(super) fn end_watches(&self) {
        self.lock().watches.clear();
    }

    pub(super) fn end_all_watches_at_once(&self) {
        self.lock().ends_watches = true;
    }

    pub(super) fn next_list(&self, fault: Fault) {
        self.lock().list_faults.push_back(fault);
    }

    pub(super) fn next_watch(&self, fault: Fault) {
        self.lock().watch_faults.push_back(fault);
    }

    /// Watches that are open.
    pub(super) fn watches(&self) -> usize {
        self.lock().watches.iter().filter(|(_, watch)| !watch.is_closed()).count()
    }

    pub(super) fn lists(&self) -> Vec<Request> {
        let api = self.lock();
        api.requests.iter().filter(|request| is_list_of_node(request)).cloned().collect()
    }

    pub(super) fn watch_requests(&self) -> Vec<Request> {
        self.lock().requests.iter().filter(|request| is_watch(request)).cloned().collect()
    }

    /// The selectors of lookups.
    pub(super) fn lookups(&self) -> Vec<String> {
        let api = self.lock();
        let selectors = api.requests.iter().filter_map(|request| request.get("fieldSelector"));
        selectors.filter(|selector| selector.starts_with("status.podIP=")).cloned().collect()
    }
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn is_watch(request: &Request) -> bool {
    request.contains_key("watch")
}

fn is_list_of_node(request: &Request) -> bool {
    !is_watch(request)
        && request.get("fieldSelector").is_some_and(|selector| selector.starts_with("spec.nodeName="))
}

impl Api {
    fn set(&mut self, mut pod: Value) {
        self.stamp(&mut pod);
        let uid = &pod["metadata"]["uid"];
        let is_new = if let Some(old) = self.pods.iter_mut().find(|old| old["metadata"]["uid"] == *uid) {
            *old = pod.clone();
            false
        } else {
            self.pods.push(pod.clone());
            true
        };
        self.tell(if is_new { "ADDED" } else { "MODIFIED" }, &pod);
    }

    fn stamp(&mut self, pod: &mut Value) {
        self.version += 1;
        pod["metadata"]["resourceVersion"] = json!(self.version.to_string());
    }

    fn tell(&mut self, kind: &str, pod: &Value) {
        let event = json!({"type": kind, "object": pod});
        let line = line(&event.to_string());
        self.watches.retain(|(request, watch)| {
            !selects(request, &event["object"]) || watch.send(Ok(line.clone())).is_ok()
        });
        self.events.push((self.version, event));
    }

    fn send(&mut self, text: &str) {
        self.watches.retain(|(_, watch)| watch.send(Ok(line(text))).is_ok());
    }

    fn list(&self, request: &Request) -> Value {
        let items: Vec<&Value> = self.pods.iter().filter(|pod| selects(request, pod)).collect();
        json!({
            "kind": "PodList",
            "apiVersion": "v1",
            "metadata": {"resourceVersion": self.version.to_string()},
            "items": items,
        })
    }

    fn watch(&mut self, request: Request) -> Body {
        let from: u64 = request["resourceVersion"].parse().unwrap();
        let (watch, lines) = mpsc::unbounded_channel();
        for (version, event) in &self.events {
            if *version > from && selects(&request, &event["object"]) {
                watch.send(Ok(line(&event.to_string()))).unwrap();
            }
        }
        self.watches.push((request, watch));
        Body::from_stream(futures_util::stream::unfold(lines, |mut lines| async {
            lines.recv().await.map(|line| (line, lines))
        }))
    }
}

fn line(text: &str) -> Bytes {
    format!("{text}\n").into()
}

/// As the API server compares: `status.podIP` is the first address only.
fn selects(request: &Request, pod: &Value) -> bool {
    match request["fieldSelector"].split_once('=').unwrap() {
        ("spec.nodeName", node) => pod["spec"]["nodeName"] == node,
        ("status.podIP", address) => {
            let address: IpAddr = address.parse().unwrap();
            pod["status"]["podIP"].as_str().is_some_and(|text| text.parse() == Ok(address))
        }
        (field, _) => panic!("an API server cannot select pods by {field}"),
    }
}

async fn answer(State(state): State<Arc<Mutex<Api>>>, Query(request): Query<Request>) -> Response {
    let fault = {
        let mut api = state.lock().unwrap();
        api.requests.push(request.clone());
        if is_watch(&request) {
            let next = api.watch_faults.pop_front();
            next.or_else(|| api.ends_watches.then_some(Fault::End))
        } else {
            api.list_faults.pop_front()
        }
    };
    match fault {
        Some(Fault::Status(code)) => return status(code),
        Some(Fault::Text(text)) => return json_response(text),
        Some(Fault::End) => return json_response(Body::empty()),
        Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
        None => {}
    }
    let mut api = state.lock().unwrap();
    if is_watch(&request) {
        json_response(api.watch(request))
    } else {
        json_response(api.list(&request).to_string())
    }
}

fn json_response(body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.into()).into_response()
}

fn status(code: u16) -> Response {
    let code = StatusCode::from_u16(code).unwrap();
    let reason = code.canonical_reason().unwrap().replace(' ', "");
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": format!("it is {reason}"),
        "reason": reason,
        "code": code.as_u16(),
    });
    (code, json_response(status.to_string())).into_response()
}
