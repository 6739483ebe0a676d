//! Whose an address is.

use super::*;
use crate::directory::{DEPARTED_KEPT, Listing, MAX_DEPARTED};
use crate::pod::Pod;

fn parsed(pod: Value) -> Pod {
    serde_json::from_value(pod).unwrap()
}

/// A pod on the node's network, with these ports.
fn on_node(name: &str, ports: &Value) -> Pod {
    let mut pod = pod(name, "192.168.0.1");
    pod["spec"]["hostNetwork"] = json!(true);
    pod["spec"]["containers"][0]["ports"] = ports.clone();
    pod["status"]["podIPs"] = json!([{"ip": "192.168.0.1"}, {"ip": "fd00::1"}]);
    parsed(pod)
}

fn directory(pods: &[Pod]) -> Directory {
    let mut directory = Directory::new(&PORTS);
    for pod in pods {
        directory.apply(pod, Instant::now());
    }
    directory
}

fn at(directory: &mut Directory, address: &str) -> Option<String> {
    let snapshot = directory.snapshot(Instant::now());
    snapshot.gateway(address.parse().unwrap()).map(|gateway| own_name(&gateway.pod))
}

#[test]
fn pods_on_the_nodes_network_are_told_by_port() {
    let mut directory = directory(&[
        on_node("ingress", &json!([{"containerPort": 8443, "hostPort": 8443}])),
        on_node("strict", &json!([{"containerPort": 443}, {"containerPort": 443, "protocol": "UDP"}])),
        on_node("exporter", &json!([{"containerPort": 9100}])),
        on_node("agent", &json!(null)),
    ]);
    for address in ["192.168.0.1", "[fd00::1]"] {
        assert_eq!(at(&mut directory, &format!("{address}:8443")).as_deref(), Some("ingress"));
        assert_eq!(at(&mut directory, &format!("{address}:443")).as_deref(), Some("strict"));
        // No gateway port.
        assert_eq!(at(&mut directory, &format!("{address}:9100")), None);
    }
    // Nor is any of them known as client.
    let snapshot = directory.snapshot(Instant::now());
    assert_eq!(snapshot.client(ip("192.168.0.1")), Known::Shared);
}

#[test]
fn a_port_of_the_node_leads_to_the_pod() {
    let mut gateway = pod("gateway", "10.0.0.5");
    gateway["spec"]["containers"][0]["ports"] = json!([
        {"containerPort": 8443, "hostPort": 443, "hostIP": "0.0.0.0"},
        {"containerPort": 8444, "hostPort": 8443, "hostIP": "192.168.0.2"},
    ]);
    let mut directory = directory(&[parsed(gateway)]);
    assert_eq!(at(&mut directory, "192.168.0.1:443").as_deref(), Some("gateway"));
    assert_eq!(at(&mut directory, "192.168.0.1:8443"), None);
    assert_eq!(at(&mut directory, "10.0.0.5:8443").as_deref(), Some("gateway"));
}

#[test]
fn what_two_pods_claim_is_nobodys() {
    let port = json!([{"containerPort": 443}]);
    let pods = [on_node("one", &port), on_node("two", &port)];
    let mut directory = directory(&pods);
    assert_eq!(at(&mut directory, "192.168.0.1:443"), None);
    directory.remove(&pods[0], Instant::now());
    assert_eq!(at(&mut directory, "192.168.0.1:443").as_deref(), Some("two"));
}

#[test]
fn a_pod_has_the_addresses_of_both_families() {
    let mut gateway = pod("gateway", "10.0.0.5");
    gateway["status"]["podIPs"] = json!([{"ip": "10.0.0.5"}, {"ip": "FD00:0::5"}, {"ip": "garbage"}, {}]);
    let mut directory = directory(&[parsed(gateway)]);
    assert_eq!(at(&mut directory, "10.0.0.5:443").as_deref(), Some("gateway"));
    assert_eq!(at(&mut directory, "[fd00::5]:443").as_deref(), Some("gateway"));
}

#[test]
fn a_pod_that_has_ended_keeps_its_name_for_a_while() {
    let start = Instant::now();
    let mut directory = Directory::new(&PORTS);
    let mut job = pod("job", "10.0.0.5");
    directory.apply(&parsed(job.clone()), start);
    job["status"]["phase"] = json!("Succeeded");
    // Its status still has the address.
    directory.apply(&parsed(job.clone()), start);
    assert_eq!(at(&mut directory, "10.0.0.5:443").as_deref(), Some("job"));
    directory.remove(&parsed(job.clone()), start);
    assert_eq!(at(&mut directory, "10.0.0.5:443").as_deref(), Some("job"));

    let later = start + DEPARTED_KEPT;
    assert_eq!(directory.snapshot(later).client(ip("10.0.0.5")), Known::Elsewhere);
    // One that had ended before it was seen never had the address, as far as is known here.
    directory.apply(&parsed(job), later);
    assert_eq!(directory.snapshot(later).client(ip("10.0.0.5")), Known::Elsewhere);
}

#[test]
fn a_list_leaves_out_who_is_gone() {
    let mut directory = directory(&[parsed(pod("old", "10.0.0.5")), parsed(pod("both", "10.0.0.6"))]);
    let mut listing = Listing::default();
    for new in [pod("both", "10.0.0.6"), pod("new", "10.0.0.7")] {
        directory.list(&mut listing, &parsed(new));
    }
    directory.replace(listing, Instant::now());
    assert_eq!(directory.len(), 2);
    for (address, name) in [("10.0.0.5:443", "old"), ("10.0.0.6:443", "both"), ("10.0.0.7:443", "new")] {
        assert_eq!(at(&mut directory, address).as_deref(), Some(name));
    }
}

#[test]
fn names_that_are_kept_have_a_bound() {
    let mut directory = Directory::new(&PORTS);
    let start = Instant::now();
    for index in 0..2 * MAX_DEPARTED {
        let address = format!("10.1.{}.{}", index / 250, index % 250);
        let pod = parsed(pod(&format!("pod-{index}"), &address));
        let now = start + Duration::from_millis(index as u64);
        directory.apply(&pod, now);
        directory.remove(&pod, now);
    }
    assert_eq!(directory.departed(), MAX_DEPARTED);
    assert_eq!(at(&mut directory, "10.1.0.0:443"), None);
    assert_eq!(at(&mut directory, "10.1.8.40:443").as_deref(), Some("pod-2040"));
}

#[test]
fn names_that_kubernetes_would_not_give_are_left_out() {
    let mut directory = directory(&[parsed(pod(&"x".repeat(254), "10.0.0.5")), parsed(pod("", "10.0.0.6"))]);
    assert_eq!((directory.len(), directory.refused()), (0, 2));
    assert_eq!(at(&mut directory, "10.0.0.5:443"), None);
}

/// Names are labels of metrics, fields of events and cells of tables.
#[test]
fn names_with_characters_that_do_something_are_left_out() {
    let bad = ["a\nb", "a\x1b[31mb", "a\u{9b}31mb", "a\0b", "a\u{202e}b", "a b", "a\"b", "a<b>", "a/b", "ä"];
    for field in ["/metadata/name", "/metadata/namespace", "/metadata/ownerReferences/0/name"] {
        for text in bad {
            let mut pod = pod("gateway", "10.0.0.5");
            *pod.pointer_mut(field).unwrap() = json!(text);
            pod["metadata"]["ownerReferences"][0]["kind"] = json!("StatefulSet");
            let pod = parsed(pod);
            let mut directory = directory(&[]);
            let mut listing = Listing::default();
            directory.list(&mut listing, &pod);
            directory.replace(listing, Instant::now());
            assert_eq!((directory.len(), directory.refused()), (0, 1), "{field}: {text:?}");
            directory.apply(&pod, Instant::now());
            assert_eq!(directory.len(), 0, "{field}: {text:?}");
            assert_eq!(at(&mut directory, "10.0.0.5:443"), None, "{field}: {text:?}");
            // Nor where the pod is on another node.
            let (lookups, _requests) = Lookups::new();
            lookups.learn(ip("10.0.0.5"), &[pod], Instant::now());
            assert_eq!(lookups.name(ip("10.0.0.5"), Instant::now()), None, "{field}: {text:?}");
        }
    }
}

#[test]
fn names_of_other_kinds_may_have_more_than_letters() {
    for name in ["web-0", "kube-dns.v2", "Job_7", "system:node", "a@b"] {
        let mut pod = pod("gateway", "10.0.0.5");
        pod["metadata"]["ownerReferences"][0]["kind"] = json!("StatefulSet");
        pod["metadata"]["ownerReferences"][0]["name"] = json!(name);
        assert_eq!(directory(&[parsed(pod)]).len(), 1, "{name}");
    }
}
