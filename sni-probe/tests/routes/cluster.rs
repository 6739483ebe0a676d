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

const ISTIO: &str = "/apis/networking.istio.io/v1/gateways";
const GATEWAYS: &str = "/apis/gateway.networking.k8s.io/v1/gateways";
const SETS: &str = "/apis/gateway.networking.k8s.io/v1/listenersets";

/// The answer to requests for a path.
#[derive(Clone)]
enum Answer {
    /// A page for each object.
    Objects(Vec<Value>),
    Error(u16),
}

/// An API server that answers 404 to other paths. Serves until it is dropped.
struct FakeApi {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Clone)]
struct Api {
    answers: Arc<HashMap<String, Answer>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl FakeApi {
    /// Answers to requests for ApigeeRoutes only.
    fn start(routes: Vec<Value>, error: Option<u16>) -> Self {
        let answer = error.map_or(Answer::Objects(routes), Answer::Error);
        Self::answering(&[(PATH, answer)])
    }

    fn answering(answers: &[(&str, Answer)]) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let answers = answers.iter().map(|(path, answer)| ((*path).to_owned(), answer.clone())).collect();
        let api = Api { answers: Arc::new(answers), requests: Arc::clone(&requests) };
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

    fn requests_of(&self, path: &str) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|uri| uri.split('?').next() == Some(path)).cloned().collect()
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
    let objects = match api.answers.get(uri.path()) {
        Some(Answer::Objects(objects)) => Ok(objects),
        Some(Answer::Error(code)) => Err(*code),
        None => Err(404),
    };
    let objects = objects.map_err(|code| {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "it is\nso",
            "reason": "Reason", "code": code,
        });
        json_response(StatusCode::from_u16(code).unwrap(), &status)
    });
    let objects = match objects {
        Ok(objects) => objects,
        Err(response) => return response,
    };
    let at = query.get("continue").map_or(0, |token| token.parse::<usize>().unwrap());
    let more = if at + 1 < objects.len() { (at + 1).to_string() } else { String::new() };
    let page = json!({
        "kind": "List",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": "7", "continue": more},
        "items": objects.get(at).into_iter().collect::<Vec<_>>(),
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
    assert_eq!(report["notes"][0]["code"], "kind_missing");
    let requests = api.requests_of(PATH);
    assert!(requests.len() == 2 && requests[1].contains("continue=1"), "{requests:?}");
}

#[test]
fn a_server_that_refuses_is_told_with_what_to_do() {
    for (error, expected) in [
        (
            403,
            "does not allow to list ApigeeRoutes; allow it by the Role and the ClusterRole of docs/routes.md",
        ),
        (404, "knows no ApigeeRoutes (apigee.cloud.google.com/v1alpha1)"),
        (401, "does not take the credentials"),
        (500, "it is so"),
    ] {
        let api = FakeApi::start(Vec::new(), Some(error));
        let line = api.bench().refusal(&KUBE);
        assert!(line.starts_with("--kube: ") && line.contains(expected), "{line}");
        assert_eq!(api.requests_of(PATH).len(), 1, "it is asked once");
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

fn istio_gateway(name: &str, host: &str) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": "istio-system"},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [{
            "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
            "tls": {"mode": "SIMPLE", "credentialName": "c"}, "hosts": [host]}]},
    })
}

fn shared_gateway() -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "shared", "namespace": "infra"},
        "spec": {"gatewayClassName": "istio", "allowedListeners": {"namespaces": {"from": "All"}},
            "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
    })
}

fn listener_set() -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "ListenerSet",
        "metadata": {"name": "set", "namespace": "team"},
        "spec": {"parentRef": {"name": "shared", "namespace": "infra"}, "listeners": [{"name": "https", "port": 443,
            "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "c"}]}}]},
    })
}

/// Codes of the notes of a report.
fn notes(report: &Value) -> Vec<&str> {
    report["notes"].as_array().unwrap().iter().map(|note| note["code"].as_str().unwrap()).collect()
}

#[test]
fn gateways_and_listener_sets_come_from_all_namespaces() {
    let api = FakeApi::answering(&[
        (ISTIO, Answer::Objects(vec![istio_gateway("g", "*")])),
        (GATEWAYS, Answer::Objects(vec![shared_gateway()])),
        (SETS, Answer::Objects(vec![listener_set()])),
    ]);
    let (report, code) = api.bench().report(&KUBE);
    assert_eq!((code, &report["findings"]), (0, &json!([])), "{report:#}");
    let kinds: Vec<&str> =
        report["routes"].as_array().unwrap().iter().map(|route| route["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Gateway (Istio)", "Gateway (Gateway API)", "ListenerSet (Gateway API)"]);
    assert_eq!(notes(&report), ["kind_missing"]);
    let missing = report["notes"][0]["sentence"].as_str().unwrap();
    assert!(missing.contains("ApigeeRoutes") && missing.contains("XListenerSets"), "{missing}");
}

#[test]
fn an_older_version_of_a_kind_is_read() {
    let path = ISTIO.replace("/v1/", "/v1alpha3/");
    let api = FakeApi::answering(&[(&path, Answer::Objects(vec![istio_gateway("g", "*")]))]);
    assert_eq!(api.bench().report(&KUBE).1, 0);
}

#[test]
fn a_missing_right_is_a_note() {
    let api = FakeApi::answering(&[
        (PATH, Answer::Objects(vec![group(), wildcard()])),
        (ISTIO, Answer::Error(403)),
        ("/apis/networking.istio.io/v1/namespaces/apigee/gateways", Answer::Error(403)),
        (GATEWAYS, Answer::Error(403)),
        (
            "/apis/gateway.networking.k8s.io/v1/namespaces/apigee/gateways",
            Answer::Objects(vec![shared_gateway()]),
        ),
        (SETS, Answer::Error(500)),
    ]);
    let (report, code) = api.bench().report(&KUBE);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(notes(&report), ["kind_missing", "not_allowed", "not_allowed", "not_listed"]);
    let sentence = |index: usize| report["notes"][index]["sentence"].as_str().unwrap();
    assert!(sentence(1).ends_with(": Gateways of Istio."), "{}", sentence(1));
    assert!(sentence(2).contains("in namespace apigee only"), "{}", sentence(2));
    assert!(sentence(3).contains("ListenerSets"), "{}", sentence(3));
}

#[test]
fn a_file_counts_before_the_cluster() {
    let api = FakeApi::answering(&[(ISTIO, Answer::Objects(vec![istio_gateway("g", "a.example.com")]))]);
    let bench = api.bench();
    assert_eq!(bench.report(&KUBE).1, 1);
    bench.put("new.json", istio_gateway("g", "*").to_string().as_bytes());
    let arguments = [&KUBE[..], &["--file", "new.json"]].concat();
    let (report, code) = bench.report(&arguments);
    assert_eq!((code, report["routes"].as_array().unwrap().len()), (0, 1));
    assert_eq!(notes(&report), ["replaced", "kind_missing"]);
    assert_eq!(report["sources"].as_array().unwrap().len(), 2);
    // A cluster without any is no error then.
    let empty = FakeApi::start(Vec::new(), None);
    let bench = empty.bench();
    bench.put("new.json", istio_gateway("g", "*").to_string().as_bytes());
    let (report, code) = bench.report(&arguments);
    assert_eq!((code, notes(&report)), (0, vec!["nothing_in_cluster"]));
}
