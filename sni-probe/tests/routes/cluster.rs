//! `--kube` against an API server that speaks HTTP, and has faults.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Bench, OVERRIDES, group, list, wildcard};

const PATH: &str = "/apis/apigee.cloud.google.com/v1alpha1/namespaces/apigee/apigeeroutes";

/// An API server whose answers are a page for each route, or an error. Serves until it is dropped.
struct FakeApi {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Clone)]
struct Api {
    routes: Arc<Vec<Value>>,
    error: Option<u16>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl FakeApi {
    fn start(routes: Vec<Value>, error: Option<u16>) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let api = Api { routes: Arc::new(routes), error, requests: Arc::clone(&requests) };
        let service = Router::new().fallback(answer).with_state(api);
        let (stop, stopped) = oneshot::channel();
        let (started, address_known) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                started.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    result = axum::serve(listener, service) => result.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        let address = address_known.recv().unwrap();
        Self { address, requests, stop: Some(stop), thread: Some(thread) }
    }

    /// A directory with a kubeconfig for this server.
    fn bench(&self) -> Bench {
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        });
        Bench::new(&[("kubeconfig", &kubeconfig.to_string()), ("overrides.yaml", OVERRIDES)])
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

async fn answer(State(api): State<Api>, uri: Uri, Query(query): Query<HashMap<String, String>>) -> Response {
    api.requests.lock().unwrap().push(uri.to_string());
    let code = if uri.path() == PATH { api.error } else { Some(404) };
    if let Some(code) = code {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "it is\nso",
            "reason": "Reason", "code": code,
        });
        return json_response(StatusCode::from_u16(code).unwrap(), &status);
    }
    let at = query.get("continue").map_or(0, |token| token.parse::<usize>().unwrap());
    let more = if at + 1 < api.routes.len() { (at + 1).to_string() } else { String::new() };
    let page = json!({
        "kind": "ApigeeRouteList",
        "apiVersion": "apigee.cloud.google.com/v1alpha1",
        "metadata": {"resourceVersion": "7", "continue": more},
        "items": api.routes.get(at).into_iter().collect::<Vec<_>>(),
    });
    json_response(StatusCode::OK, &page)
}

fn json_response(code: StatusCode, body: &Value) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

const KUBE: [&str; 3] = ["--kube", "--kubeconfig", "kubeconfig"];

#[test]
fn routes_come_from_the_cluster_page_by_page() {
    let api = FakeApi::start(vec![group(), wildcard()], None);
    let bench = api.bench();
    let (report, code) = bench.report(&[&KUBE[..], &["--overrides", "overrides.yaml"]].concat());
    assert_eq!((code, &report["findings"]), (0, &json!([])));
    assert_eq!(report["sources"][0], format!("http://{}/ (namespace apigee)", api.address));
    // The same as from a file.
    bench.put("routes.json", list(&[group(), wildcard()]).as_bytes());
    assert_eq!(report["routes"], bench.report(&["--file", "routes.json"]).0["routes"]);
    let requests = api.requests.lock().unwrap();
    assert!(requests.len() == 2 && requests[1].contains("continue=1"), "{requests:?}");
}

#[test]
fn a_server_that_refuses_is_told_with_what_to_do() {
    for (error, expected) in [
        (
            403,
            "allow it by a Role with apiGroups [apigee.cloud.google.com], resources [apigeeroutes], verbs [list]",
        ),
        (404, "knows no ApigeeRoutes (apigee.cloud.google.com/v1alpha1)"),
        (401, "does not take the credentials"),
        (500, "it is so"),
    ] {
        let api = FakeApi::start(Vec::new(), Some(error));
        let line = api.bench().refusal(&KUBE);
        assert!(line.starts_with("--kube: ") && line.contains(expected), "{line}");
        assert_eq!(api.requests.lock().unwrap().len(), 1, "it is asked once");
    }
}

#[test]
fn a_namespace_without_routes_is_told() {
    let api = FakeApi::start(Vec::new(), None);
    let line = api.bench().refusal(&KUBE);
    assert!(line.contains("no ApigeeRoute in namespace apigee"), "{line}");
    let line = api.bench().refusal(&[&KUBE[..], &["--namespace", "other"]].concat());
    assert!(line.contains("knows no ApigeeRoutes"), "{line}");
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let api = FakeApi::start(Vec::new(), None);
    let bench = api.bench();
    drop(api);
    let line = bench.refusal(&KUBE);
    assert!(line.contains("cannot list ApigeeRoutes of http://127.0.0.1"), "{line}");
    let line = bench.refusal(&["--kube", "--kubeconfig", "nothing"]);
    assert!(line.contains("--kube: ") && line.contains("nothing"), "{line}");
}
