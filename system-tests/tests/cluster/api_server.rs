//! `--kube` with a real API server and no node, beside the stand-in of other tests, which has faults.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use system_tests::cluster::{ControlPlane, DEADLINE, GATEWAY_NAMESPACE};
use system_tests::metrics::Metrics;
use system_tests::netns::http_get;
use system_tests::process::{Finished, Service, run, run_ok};
use system_tests::resetting::{ResettingGateway, send_hello};
use system_tests::{GATEWAY_INTERFACE, probe, wait_until};

use crate::definitions::{APIGEE, Defined, Definition, GATEWAY_API, ISTIO};
use crate::objects::{group, istio_gateway, wildcard};
use crate::site::control_plane;

const TIMEOUT: Duration = Duration::from_mins(1);
/// Where the test's own daemon listens: not where the DaemonSet's does.
const PORT: u16 = 9918;
/// The port of the gateway in these tests.
const GATEWAY_PORT: u16 = 4443;
/// A node without a kubelet.
const EMPTY_NODE: &str = "node-2";

/// Kinds until the end of the test, and namespaces.
fn define_in_namespaces(definitions: &[Definition]) -> Defined {
    for name in [GATEWAY_NAMESPACE, "infra", "team"] {
        apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }));
    }
    Defined::new(definitions)
}

fn apply(object: &Value) {
    control_plane().apply(&object.to_string()).unwrap();
}

fn admin() -> PathBuf {
    control_plane().admin()
}

/// A kubeconfig of a service account, with these rules in all namespaces.
fn account(name: &str, rules: &Value) -> PathBuf {
    let subject = json!({ "kind": "ServiceAccount", "name": name, "namespace": "default" });
    apply(&json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": "default" } },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": name },
            "rules": rules,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
            "subjects": [subject],
        },
    ] }));
    let token = control_plane().token("default", name).unwrap();
    control_plane().kubeconfig(name, &token).unwrap()
}

/// Runs a verb with `--kube`.
fn verb(kubeconfig: &Path, words: &[&str]) -> Finished {
    let mut command = Command::new(probe::binary().unwrap());
    command.args(words).arg("--kube").arg("--kubeconfig").arg(kubeconfig);
    run(command.current_dir(control_plane().path("home")), TIMEOUT).unwrap()
}

/// The report of `routes`, and its exit code.
#[track_caller]
fn report(kubeconfig: &Path, words: &[&str]) -> (Value, i32) {
    let done = verb(kubeconfig, &[&["routes", "--json"], words].concat());
    assert_eq!(done.stderr, "", "{}", done.stdout);
    (serde_json::from_str(&done.stdout).unwrap(), done.code)
}

/// The one line of `routes`, which ends with 2.
#[track_caller]
fn refusal(kubeconfig: &Path, words: &[&str]) -> String {
    let done = verb(kubeconfig, &[&["routes"], words].concat());
    assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{}", done.stderr);
    assert_eq!(done.stderr.matches('\n').count(), 1, "{}", done.stderr);
    done.stderr
}

fn codes(report: &Value) -> Vec<&str> {
    report["notes"].as_array().unwrap().iter().map(|note| note["code"].as_str().unwrap()).collect()
}

#[test]
fn routes_come_page_by_page() {
    const ROUTES: usize = 501;
    let _defined = define_in_namespaces(&APIGEE);
    // One more than a page has.
    let routes = (0..ROUTES).map(|number| {
        let mut route = group();
        route["metadata"]["name"] = json!(format!("route-{number}"));
        route["spec"]["hostnames"] = json!([format!("host-{number}.example.com")]);
        route
    });
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": routes.collect::<Vec<_>>() });
    let file = control_plane().write("routes.json", &list.to_string()).unwrap();
    control_plane().kubectl(&["create", "-f", &file]).unwrap();
    let (report, code) = report(&admin(), &[]);
    assert_eq!((code, report["routes"].as_array().unwrap().len()), (1, ROUTES));
    assert_eq!(report["sources"][0], format!("{}/ (namespace {GATEWAY_NAMESPACE})", ControlPlane::server()));
}

#[test]
fn a_refusal_says_what_to_do() {
    let defined = define_in_namespaces(&[]);
    assert!(refusal(&admin(), &[]).contains("knows no ApigeeRoutes"));
    drop(defined);
    let _defined = define_in_namespaces(&APIGEE);
    let account = account("without-rights", &json!([]));
    let line = refusal(&account, &[]);
    assert!(line.contains("does not allow to list ApigeeRoutes"), "{line}");
    let unknown = control_plane().kubeconfig("unknown", "no-token").unwrap();
    let line = refusal(&unknown, &[]);
    assert!(line.contains("does not take the credentials"), "{line}");
    let line = refusal(&admin(), &[]);
    assert!(line.contains("no ApigeeRoute in namespace apigee"), "{line}");
}

#[test]
fn an_api_server_that_is_down_is_named() {
    let _defined = define_in_namespaces(&[]);
    let outage = control_plane().kill_api_server().unwrap();
    let line = verb(&admin(), &["routes"]);
    drop(outage);
    assert_eq!(line.code, 2);
    let expected = format!("cannot list ApigeeRoutes of {}", ControlPlane::server());
    assert!(line.stderr.contains(&expected), "{}", line.stderr);
}

#[test]
fn kinds_of_all_namespaces_and_older_versions_are_read() {
    let _defined = define_in_namespaces(&[&ISTIO[..], &GATEWAY_API].concat());
    apply(&istio_gateway("old", "*", "infra"));
    apply(&json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": { "name": "shared", "namespace": "infra" },
        "spec": {
            "gatewayClassName": "istio",
            "allowedListeners": { "namespaces": { "from": "All" } },
            "listeners": [{ "name": "http", "port": 80, "protocol": "HTTP" }],
        },
    }));
    apply(&json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "ListenerSet",
        "metadata": { "name": "set", "namespace": "team" },
        "spec": {
            "parentRef": { "name": "shared", "namespace": "infra" },
            "listeners": [{ "name": "https", "port": 443, "protocol": "HTTPS", "tls": { "certificateRefs": [{ "name": "c" }] } }],
        },
    }));
    let (report, code) = report(&admin(), &[]);
    assert_eq!((code, &report["findings"]), (0, &json!([])), "{report:#}");
    let kinds: Vec<&str> =
        report["routes"].as_array().unwrap().iter().map(|route| route["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Gateway (Istio)", "Gateway (Gateway API)", "ListenerSet (Gateway API)"]);
    assert_eq!(codes(&report), ["kind_missing"]);
}

#[test]
fn a_missing_right_is_a_note() {
    let _defined = define_in_namespaces(&[&APIGEE[..], &ISTIO].concat());
    apply(&wildcard());
    apply(&istio_gateway("not-read", "*", "infra"));
    let rules = json!([{
        "apiGroups": ["apigee.cloud.google.com"], "resources": ["apigeeroutes", "apigeerouteconfigs"], "verbs": ["list"],
    }]);
    let (report, code) = report(&account("of-apigee", &rules), &[]);
    assert_eq!(code, 0, "{report:#}");
    assert!(codes(&report).contains(&"not_allowed"), "{report:#}");
    assert_eq!(report["routes"].as_array().unwrap().len(), 1);
}

#[test]
fn a_file_counts_before_the_cluster() {
    let _defined = define_in_namespaces(&ISTIO);
    apply(&istio_gateway("g", "a.example.com", "infra"));
    assert_eq!(report(&admin(), &[]).1, 1);
    let new = istio_gateway("g", "*", "infra").to_string();
    let file = control_plane().write("new.json", &new).unwrap();
    let (report, code) = report(&admin(), &["--file", &file]);
    assert_eq!((code, report["routes"].as_array().unwrap().len()), (0, 1));
    assert!(codes(&report).contains(&"replaced"), "{report:#}");
}

#[test]
fn a_bundle_has_the_routes() {
    let _defined = define_in_namespaces(&APIGEE);
    let mut route = group();
    route["metadata"]["annotations"] = json!({ "token": "hunter2x" });
    apply(&route);
    let done = verb(&admin(), &["collect", "-o", "routes.tar.zst"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let mut tar = Command::new("tar");
    tar.args(["--zstd", "-xOf"]).arg(control_plane().path("home").join("routes.tar.zst"));
    let text = run_ok(&mut tar, TIMEOUT).unwrap();
    assert!(text.contains("myorg-hyb-dev-grp") && !text.contains("hunter2x"));
}

/// A pod of the node without a kubelet, of the Deployment `name`: only the API server knows it.
fn pod(name: &str, address: &str) {
    let full = format!("{name}-7d4b9c-x");
    apply(&json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "Node", "metadata": { "name": EMPTY_NODE } },
        {
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": "gateway", "namespace": GATEWAY_NAMESPACE },
        },
        {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": full, "namespace": GATEWAY_NAMESPACE,
                "labels": { "pod-template-hash": "7d4b9c" },
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{name}-7d4b9c"), "uid": "u",
                    "controller": true,
                }],
            },
            "spec": {
                "nodeName": EMPTY_NODE, "serviceAccountName": "gateway", "automountServiceAccountToken": false,
                "containers": [{ "name": "envoy", "image": "envoy:1", "ports": [{ "containerPort": GATEWAY_PORT }] }],
            },
        },
    ] }));
    let status = json!({ "status": { "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }] } });
    // kubectl of today patches the status as well, by its subresource.
    let words =
        ["-n", GATEWAY_NAMESPACE, "patch", "pod", &full, "--subresource=status", "--type=merge", "-p"];
    control_plane().kubectl(&[&words[..], &[&status.to_string()]].concat()).unwrap();
}

fn delete_pod(name: &str) {
    let full = format!("{name}-7d4b9c-x");
    let words = ["-n", GATEWAY_NAMESPACE, "delete", "pod", &full, "--force", "--grace-period=0"];
    control_plane().kubectl(&words).unwrap();
}

/// A daemon of the node without a kubelet, and a gateway at two addresses.
struct Daemon {
    _service: Service,
    _gateway: ResettingGateway,
}

impl Daemon {
    fn start(kubeconfig: &Path) -> Self {
        for address in ADDRESSES {
            let words = ["address", "replace", &format!("{address}/32"), "dev", "lo"];
            run_ok(Command::new("ip").args(words), TIMEOUT).unwrap();
        }
        let gateway = ResettingGateway::start_here(GATEWAY_PORT).unwrap();
        let mut command = Command::new(probe::binary().unwrap());
        command.args(["run", "-i", GATEWAY_INTERFACE, "--port", &GATEWAY_PORT.to_string()]);
        command.args([
            "--listen",
            &format!("127.0.0.1:{PORT}"),
            "--kube",
            "--node",
            EMPTY_NODE,
            "--kubeconfig",
        ]);
        let service =
            Service::start("sni-probe", command.arg(kubeconfig), &control_plane().path("log")).unwrap();
        let daemon = Self { _service: service, _gateway: gateway };
        daemon.wait("the daemon", |metrics| metrics.count("sni_probe_attached", &[]) == 2);
        daemon
    }

    #[expect(clippy::unused_self, reason = "a daemon must be there")]
    #[track_caller]
    fn wait(&self, what: &str, condition: impl Fn(&Metrics) -> bool) -> Metrics {
        let address = SocketAddr::from(([127, 0, 0, 1], PORT));
        let mut last = Metrics::default();
        let metrics = wait_until(what, DEADLINE, || {
            let Ok((_, body)) = http_get(address, "/metrics") else { return Ok(None) };
            last = Metrics::parse(&body)?;
            Ok(condition(&last).then(|| last.clone()))
        });
        metrics.unwrap_or_else(|error| panic!("{error:#}\n{:#?}", last.nonzero()))
    }

    fn wait_for_pods(&self, count: u64) -> Metrics {
        self.wait("the pods", |metrics| {
            metrics.count("sni_probe_kubernetes_synced", &[]) == 1
                && metrics.count("sni_probe_kubernetes_pods", &[]) == count
        })
    }

    /// Sends a client without SNI to an address, and waits until the daemon has counted `counts` for the gateways.
    #[track_caller]
    fn visit(&self, address: &str, counts: &[(&str, u64)]) {
        let address = SocketAddr::new(address.parse().unwrap(), GATEWAY_PORT);
        send_hello(control_plane().client(), address).unwrap();
        let counts: BTreeMap<&str, u64> = counts.iter().copied().collect();
        self.wait(&format!("{counts:?}"), |metrics| {
            counts.iter().all(|(gateway, count)| {
                metrics.count("sni_probe_handshakes_total", &[("gateway", gateway)]) == *count
            })
        });
    }
}

/// Of the gateway's pods.
const ADDRESSES: [&str; 2] = ["10.99.0.1", "10.99.0.2"];

fn pods_reader(name: &str) -> PathBuf {
    account(name, &json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"] }]))
}

#[test]
fn names_follow_the_pods_of_the_node() {
    let _defined = define_in_namespaces(&[]);
    let [one, two] = ADDRESSES;
    pod("one", one);
    let daemon = Daemon::start(&pods_reader("follower"));
    daemon.wait_for_pods(1);
    daemon.visit(one, &[("one", 1)]);
    pod("two", two);
    daemon.wait_for_pods(2);
    daemon.visit(two, &[("one", 1), ("two", 1)]);
    // The API server goes, and comes back: what was known is, and what came is read.
    let outage = control_plane().kill_api_server().unwrap();
    daemon.visit(one, &[("one", 2), ("two", 1)]);
    drop(outage);
    daemon.wait_for_pods(2);
    delete_pod("one");
    daemon.wait_for_pods(1);
    pod("three", one);
    daemon.wait_for_pods(2);
    daemon.visit(one, &[("one", 2), ("two", 1), ("three", 1)]);
    for name in ["two", "three"] {
        delete_pod(name);
    }
}

#[test]
fn without_the_right_the_daemon_goes_on_and_says_why() {
    let _defined = define_in_namespaces(&[]);
    let daemon = Daemon::start(&account("may-nothing", &json!([])));
    daemon.wait("a failure", |metrics| metrics.count("sni_probe_kubernetes_failures_total", &[]) >= 1);
    daemon.visit(ADDRESSES[0], &[("", 1)]);
    let log = control_plane().path("log");
    let said =
        ["sni-probe.out", "sni-probe.err"].map(|name| fs::read_to_string(log.join(name)).unwrap()).concat();
    assert!(said.contains("403") && said.contains("ClusterRole"), "{said}");
    // Once it may, it knows.
    pods_reader("may-nothing");
    daemon.wait("the pods", |metrics| metrics.count("sni_probe_kubernetes_synced", &[]) == 1);
}
