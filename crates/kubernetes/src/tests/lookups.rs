//! Clients on other nodes.

use super::fake_api::Fault;
use super::*;
use crate::lookups::{MAX_ANSWERS, MAX_WAITING};
use crate::pod::Pod;

fn parsed(pod: Value) -> Pod {
    serde_json::from_value(pod).unwrap()
}

/// The `index`th of many addresses.
fn address(index: usize) -> IpAddr {
    let first = u32::from_be_bytes([10, 8, 0, 0]);
    IpAddr::V4((first + u32::try_from(index).unwrap()).into())
}

#[test]
fn a_client_on_another_node_is_asked_for_once() {
    let api = FakeApi::start([pod("gateway", "10.0.0.5"), pod_elsewhere("batch", "10.0.1.5")]);
    let names = start_synced(&api);
    assert_eq!(client_at(&names, "10.0.1.5"), None);
    wait_for("the name", || client_at(&names, "10.0.1.5").is_some());
    for _ in 0..100 {
        let client = ClientName { pod: "apigee/batch".into(), workload: "gateway".into() };
        assert_eq!(names.client(ip("10.0.1.5")), Some(client));
    }
    assert_eq!(api.lookups(), ["status.podIP=10.0.1.5"]);
    assert_eq!((names.status().lookups, names.status().lookups_remembered), (1, 1));
    // It is no gateway of this node.
    assert_eq!(pod_at(&names, "10.0.1.5:443"), None);
}

#[test]
fn nobody_is_an_answer_too() {
    let api = FakeApi::start([pod("gateway", "10.0.0.5")]);
    let names = start_synced(&api);
    assert_eq!(client_at(&names, "172.16.0.1"), None);
    wait_for("the answer", || names.status().lookups == 1);
    for _ in 0..100 {
        assert_eq!(client_at(&names, "172.16.0.1"), None);
    }
    // One more goes the whole way, so that a second question for the first would have been seen.
    client_at(&names, "172.16.0.2");
    wait_for("the next answer", || names.status().lookups == 2);
    assert_eq!(api.lookups(), ["status.podIP=172.16.0.1", "status.podIP=172.16.0.2"]);
}

#[test]
fn who_shares_an_address_or_has_ended_has_no_name() {
    let on_node = |name, address| {
        let mut pod = pod_elsewhere(name, address);
        pod["spec"]["hostNetwork"] = json!(true);
        pod
    };
    let mut ended = pod_elsewhere("ended", "10.0.1.7");
    ended["status"]["phase"] = json!("Succeeded");
    let pods = [
        pod("gateway", "10.0.0.5"),
        on_node("agent-1", "192.168.0.2"),
        on_node("agent-2", "192.168.0.2"),
        on_node("agent-3", "192.168.0.3"),
        ended,
        pod_elsewhere("heir", "10.0.1.7"),
    ];
    let api = FakeApi::start(pods);
    let names = start_synced(&api);
    for address in ["192.168.0.2", "192.168.0.3", "10.0.1.7"] {
        assert_eq!(client_at(&names, address), None);
    }
    wait_for("the answers", || names.status().lookups == 3);
    assert_eq!(client_at(&names, "192.168.0.2"), None);
    assert_eq!(client_at(&names, "192.168.0.3"), None);
    assert_eq!(client_at(&names, "10.0.1.7").as_deref(), Some("apigee/heir"));
}

#[test]
fn addresses_from_outside_are_not_asked_for() {
    // Pods may have public addresses: their neighbours are asked for.
    let api = FakeApi::start([pod("gateway", "10.0.0.5"), pod("public", "198.51.100.9")]);
    let names = start_synced(&api);
    // Of the node's own address it is known that many share it.
    for address in
        ["203.0.113.1", "8.8.8.8", "2001:db8::1", "127.0.0.1", "169.254.1.1", "192.168.0.1", "0.0.0.0"]
    {
        assert_eq!(client_at(&names, address), None);
    }
    for address in ["198.51.7.7", "100.64.0.1", "240.0.0.1", "fd00::1"] {
        assert_eq!(client_at(&names, address), None);
    }
    wait_for("the answers", || names.status().lookups == 4);
    let expected = ["198.51.7.7", "100.64.0.1", "240.0.0.1", "fd00::1"];
    assert_eq!(api.lookups(), expected.map(|address| format!("status.podIP={address}")));
}

#[test]
fn an_answer_tells_all_addresses_of_the_pod() {
    let mut batch = pod_elsewhere("batch", "10.0.1.5");
    batch["status"]["podIPs"] = json!([{"ip": "10.0.1.5"}, {"ip": "fd00::1:5"}]);
    let api = FakeApi::start([pod("gateway", "10.0.0.5"), batch]);
    let names = start_synced(&api);
    client_at(&names, "10.0.1.5");
    wait_for("the name", || client_at(&names, "10.0.1.5").is_some());
    assert_eq!(client_at(&names, "fd00::1:5").as_deref(), Some("apigee/batch"));
    assert_eq!(api.lookups().len(), 1);
}

#[test]
fn a_question_that_fails_is_asked_again() {
    let api = FakeApi::start([pod("gateway", "10.0.0.5"), pod_elsewhere("batch", "10.0.1.5")]);
    let names = start_synced(&api);
    api.next_list(Fault::Status(500));
    assert_eq!(client_at(&names, "10.0.1.5"), None);
    wait_for("the failure", || names.status().lookup_failures == 1);
    wait_for("the name", || client_at(&names, "10.0.1.5").is_some());
    // The watch is another matter.
    assert_eq!(names.status().losses, 0);
}

#[test]
fn a_question_under_way_when_the_server_goes_is_asked_again() {
    let pods = || [pod("gateway", "10.0.0.5"), pod_elsewhere("batch", "10.0.1.5")];
    // An address that no other test uses, so that its port stays free.
    let api = FakeApi::start_at("127.0.0.3:0".parse().unwrap(), pods());
    let names = start_synced(&api);
    api.next_list(Fault::Slow(PATIENCE));
    client_at(&names, "10.0.1.5");
    wait_for("the question", || !api.lookups().is_empty());
    let address = api.address();
    drop(api);
    wait_for("the loss", || !names.status().synced);
    let _api = FakeApi::start_at(address, pods());
    wait_for("the name", || client_at(&names, "10.0.1.5").is_some());
}

#[test]
fn the_queue_has_a_bound() {
    let api = FakeApi::start([pod("gateway", "10.0.0.5")]);
    let names = start_synced(&api);
    api.next_list(Fault::Slow(PATIENCE));
    let count = 4 * MAX_WAITING;
    for index in 0..count {
        names.client(address(index));
    }
    let skipped = usize::try_from(names.status().lookups_skipped).unwrap();
    // One at most is out of the queue, at the server.
    assert!((count - MAX_WAITING - 1..=count - MAX_WAITING).contains(&skipped), "{skipped}");
    assert!(api.lookups().len() <= 1);
}

#[test]
fn answers_have_a_bound_and_names_stay() {
    let (lookups, _to_ask) = Lookups::new();
    let now = Instant::now();
    let batch = parsed(pod_elsewhere("batch", "10.0.1.5"));
    lookups.learn(ip("10.0.1.5"), &[batch], now);
    for index in 0..2 * MAX_ANSWERS {
        lookups.learn(address(index), &[], now);
    }
    assert_eq!(lookups.len(), MAX_ANSWERS);
    assert!(lookups.name(ip("10.0.1.5"), now).is_some());
}

#[test]
fn a_name_is_asked_for_again_in_time_and_forgotten_at_last() {
    let (lookups, mut to_ask) = Lookups::new();
    let start = Instant::now();
    let at = |minutes| start + Duration::from_mins(minutes);
    let client = ip("10.0.1.5");
    lookups.learn(client, &[parsed(pod_elsewhere("batch", "10.0.1.5"))], start);
    assert!(lookups.name(client, at(4)).is_some());
    assert!(to_ask.try_recv().is_err());
    assert!(lookups.name(client, at(6)).is_some());
    assert_eq!(to_ask.try_recv(), Ok(client));
    assert!(lookups.name(client, at(11)).is_none());
}

#[test]
fn nobody_is_asked_for_ever_less_often() {
    let (lookups, _to_ask) = Lookups::new();
    let client = ip("10.0.1.5");
    let mut now = Instant::now();
    let mut rests = Vec::new();
    for _ in 0..8 {
        lookups.learn(client, &[], now);
        let fresh = lookups.stale(client).duration_since(now);
        rests.push(fresh.as_secs());
        now += fresh;
    }
    assert_eq!(rests, [30, 60, 120, 240, 480, 960, 960, 960]);
}
