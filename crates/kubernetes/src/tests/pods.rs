//! What is read of a pod.

use super::*;
use crate::pod::{Pod, Port};

fn parsed(pod: Value) -> Pod {
    serde_json::from_value(pod).unwrap()
}

/// The workload of a pod "name-hash-x" with this owner.
fn workload(owners: Value, labels: Value) -> String {
    let mut pod = pod("name-7d4b9c-x", "10.0.0.5");
    pod["metadata"]["ownerReferences"] = owners;
    pod["metadata"]["labels"] = labels;
    parsed(pod).workload
}

#[test]
fn the_workload_is_what_people_deployed() {
    let hash = json!({"pod-template-hash": "7d4b9c"});
    let owner =
        |kind: &str, name: &str| json!([{"kind": kind, "name": name, "uid": "u", "controller": true}]);
    assert_eq!(workload(owner("ReplicaSet", "name-7d4b9c"), hash.clone()), "name");
    // A ReplicaSet that somebody made by hand.
    assert_eq!(workload(owner("ReplicaSet", "name"), json!({"app": "x"})), "name");
    assert_eq!(workload(owner("ReplicaSet", "name7d4b9c"), hash.clone()), "name7d4b9c");
    assert_eq!(workload(owner("ReplicaSet", "-7d4b9c"), hash.clone()), "-7d4b9c");
    assert_eq!(workload(owner("StatefulSet", "db"), hash.clone()), "db");
    assert_eq!(workload(owner("DaemonSet", "agent"), json!(null)), "agent");
    assert_eq!(workload(owner("Job", "backup-28391520"), json!({})), "backup-28391520");
    // A static pod.
    assert_eq!(workload(owner("Node", NODE), json!(null)), "name-7d4b9c-x");
    for nobody in [json!(null), json!([]), json!([{"kind": "Thing", "name": "thing"}])] {
        assert_eq!(workload(nobody, hash.clone()), "name-7d4b9c-x");
    }
}

#[test]
fn nothing_but_names_addresses_and_ports_is_kept() {
    let pod = parsed(pod("gateway", "10.0.0.5"));
    let text = format!("{pod:?}");
    for dropped in ["SECRET", "annotations: Some", "labels: Some", "managed_fields: Some"] {
        assert!(!text.contains(dropped), "{text}");
    }
    assert_eq!((pod.namespace(), pod.name(), pod.uid()), ("apigee", "gateway", "uid-of-gateway"));
    assert_eq!(pod.ports, [Port { container: 8443, host: None, host_address: None }]);
}

#[test]
fn a_pod_may_have_next_to_nothing() {
    let pod = parsed(json!({"metadata": {"name": "pending"}}));
    assert_eq!((pod.name(), &*pod.workload, pod.has_ended), ("pending", "pending", false));
    assert!(pod.addresses.is_empty() && pod.ports.is_empty());
    let pod = parsed(json!({
        "metadata": {"name": "old", "labels": null, "ownerReferences": null},
        "spec": {"containers": null, "initContainers": null},
        "status": {"podIP": "10.0.0.5", "podIPs": null},
    }));
    assert_eq!(pod.addresses, [ip("10.0.0.5")]);
}

#[test]
fn ports_of_sidecars_count_and_those_that_are_none_do_not() {
    let mut sidecar = pod("gateway", "10.0.0.5");
    sidecar["spec"]["containers"][0]["ports"] = json!([
        {"containerPort": 0x1_0000},
        {"containerPort": -1},
        {"containerPort": 53, "protocol": "UDP"},
        {"containerPort": 8443, "hostPort": 0},
    ]);
    sidecar["spec"]["initContainers"] = json!([{"ports": [{"containerPort": 15443, "hostPort": 443}]}]);
    let ports = parsed(sidecar).ports;
    assert_eq!(
        ports,
        [
            Port { container: 8443, host: None, host_address: None },
            Port { container: 15443, host: Some(443), host_address: None },
        ]
    );
}
