//! Names against an API server that speaks list and watch over HTTP, and has faults.

mod directory;
mod fake_api;
mod lookups;
mod pods;
mod watching;

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::NamedTempFile;

use self::fake_api::FakeApi;
use super::*;

/// The node whose pods are followed.
const NODE: &str = "node-1";
const PORTS: [u16; 2] = [443, 8443];
/// For what will come, on however busy a machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A pod of [`NODE`] that runs and belongs to a Deployment `gateway`.
fn pod(name: &str, address: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "apigee",
            "uid": format!("uid-of-{name}"),
            "labels": {"app": "gateway", "pod-template-hash": "7d4b9c"},
            "annotations": {"a": "b"},
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}],
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "gateway-7d4b9c", "uid": "u", "controller": true}
            ],
        },
        "spec": {
            "nodeName": NODE,
            "containers": [
                {"name": "envoy", "image": "envoy", "env": [{"name": "SECRET", "value": "s"}],
                 "ports": [{"containerPort": 8443, "protocol": "TCP"}]}
            ],
        },
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "hostIP": "192.168.0.1",
            "hostIPs": [{"ip": "192.168.0.1"}],
        },
    })
}

/// The same on another node.
fn pod_elsewhere(name: &str, address: &str) -> Value {
    let mut pod = pod(name, address);
    pod["spec"]["nodeName"] = json!("node-2");
    pod
}

fn kubeconfig(server: SocketAddr) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    let text = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{server}")}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    });
    write!(file, "{text}").unwrap();
    file
}

fn start(server: SocketAddr) -> Names {
    let file = kubeconfig(server);
    let config = Config { kubeconfig: Some(file.path().to_owned()), node: NODE.to_owned() };
    Names::start(&config, &PORTS, || Ok(())).unwrap()
}

/// Follows the pods of `api`, and knows them.
fn start_synced(api: &FakeApi) -> Names {
    let names = start(api.address());
    wait_for("the pods", || names.status().synced);
    names
}

#[track_caller]
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The name of a pod without its namespace.
fn own_name(pod: &str) -> String {
    pod.split_once('/').unwrap().1.to_owned()
}

fn gateway(namespace: &str, workload: &str, pod: &str) -> Gateway {
    let name = GatewayName { namespace: namespace.into(), workload: workload.into() };
    Gateway { name, pod: format!("{namespace}/{pod}").into() }
}

/// The name of the pod that is reached at `address`.
fn pod_at(names: &Names, address: &str) -> Option<String> {
    names.gateway(address.parse().unwrap()).map(|gateway| own_name(&gateway.pod))
}

fn client_at(names: &Names, address: &str) -> Option<String> {
    names.client(ip(address)).map(|client| client.pod.to_string())
}

#[test]
fn fixed_names_need_no_server() {
    let names = Names::fixed(&[(ip("10.0.0.5"), "apigee", "gateway", "gateway-7d4b9c-x")]);
    assert_eq!(
        names.gateway("10.0.0.5:443".parse().unwrap()),
        Some(gateway("apigee", "gateway", "gateway-7d4b9c-x"))
    );
    let client = ClientName { pod: "apigee/gateway-7d4b9c-x".into(), workload: "gateway".into() };
    assert_eq!(names.clone().client(ip("10.0.0.5")), Some(client));
    assert_eq!(names.client(ip("10.0.0.6")), None);
    assert_eq!(names.gateway("10.0.0.6:443".parse().unwrap()), None);
}
