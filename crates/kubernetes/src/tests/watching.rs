//! The pods of this node, with an API server that is well and one that is not.

use super::fake_api::Fault;
use super::*;
use crate::connection::MAX_ANSWER_BYTES;
use crate::directory::MAX_PODS;

/// Adds a pod, and waits for its name: the watch is alive.
#[track_caller]
fn assert_follows(api: &FakeApi, names: &Names) {
    api.set(pod("newcomer", "10.0.0.99"));
    wait_for("the newcomer", || pod_at(names, "10.0.0.99:443").is_some());
}

#[test]
fn pods_are_listed_and_followed() {
    let api = FakeApi::start([pod("gateway-7d4b9c-x", "10.0.0.5"), pod_elsewhere("other", "10.0.1.5")]);
    let names = start_synced(&api);
    assert_eq!(
        names.gateway("10.0.0.5:443".parse().unwrap()),
        Some(gateway("apigee", "gateway", "gateway-7d4b9c-x"))
    );
    assert_eq!(client_at(&names, "10.0.0.5").as_deref(), Some("apigee/gateway-7d4b9c-x"));
    // IPv4 as a socket of IPv6 tells it.
    assert_eq!(pod_at(&names, "[::ffff:10.0.0.5]:443").as_deref(), Some("gateway-7d4b9c-x"));
    assert_eq!(client_at(&names, "::ffff:10.0.0.5").as_deref(), Some("apigee/gateway-7d4b9c-x"));
    assert_eq!(pod_at(&names, "10.0.1.5:443"), None);

    api.set(pod("second", "10.0.0.6"));
    wait_for("the second pod", || pod_at(&names, "10.0.0.6:443").is_some());
    api.set(pod("second", "10.0.0.7"));
    wait_for("its new address", || pod_at(&names, "10.0.0.7:443").is_some());
    // The old one keeps the name, until somebody else has it.
    assert_eq!(pod_at(&names, "10.0.0.6:443").as_deref(), Some("second"));
    api.set(pod("third", "10.0.0.6"));
    wait_for("the third pod", || pod_at(&names, "10.0.0.6:443").as_deref() == Some("third"));

    api.delete("third");
    wait_for("the end of the third pod", || names.status().pods == 2);
    assert_eq!(pod_at(&names, "10.0.0.6:443").as_deref(), Some("third"));
    let status = names.status();
    assert_eq!((status.lists, status.losses, status.failures, status.problem), (1, 0, 0, None));
}

#[test]
fn the_server_selects_by_node_from_its_memory() {
    let api = FakeApi::start([pod("gateway", "10.0.0.5")]);
    let _names = start_synced(&api);
    wait_for("the watch", || api.watches() == 1);
    let [list] = &api.lists()[..] else { panic!("{:?}", api.lists()) };
    let [watch] = &api.watch_requests()[..] else { panic!("{:?}", api.watch_requests()) };
    for request in [list, watch] {
        assert_eq!(request["fieldSelector"], format!("spec.nodeName={NODE}"));
    }
    assert_eq!((&*list["resourceVersion"], list.get("limit")), ("0", None));
    assert_eq!(watch["allowWatchBookmarks"], "true");
}

#[test]
fn a_version_that_is_gone_is_followed_by_a_new_list() {
    for as_event in [true, false] {
        let api = FakeApi::start([pod("gateway", "10.0.0.5")]);
        let names = start_synced(&api);
        wait_for("the watch", || api.watches() == 1);
        // What the watch never says shows that there was a list.
        api.set_silently(pod("missed", "10.0.0.6"));
        if as_event {
            let status = json!({"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"});
            api.send(&json!({"type": "ERROR", "object": status}).to_string());
        } else {
            api.next_watch(Fault::Status(410));
            api.end_watches();
        }
        wait_for("the missed pod", || pod_at(&names, "10.0.0.6:443").is_some());
        assert_follows(&api, &names);
        assert_eq!(names.status().lists, 2);
        assert_eq!(names.status().losses, 1);
    }
}

#[test]
fn a_broken_connection_is_made_anew() {
    let api = FakeApi::start([pod("gateway", "10.0.0.5")]);
    let names = start_synced(&api);
    wait_for("the watch", || api.watches() == 1);
    api.break_watches();
    api.set(pod("meanwhile", "10.0.0.6"));
    wait_for("the pod of the gap", || pod_at(&names, "10.0.0.6:443").is_some());
    assert_follows(&api, &names);
    assert_eq!(pod_at(&names, "10.0.0.5:443").as_deref(), Some("gateway"));
}

#[test]
fn a_watch_that_ends_goes_on_at_the_last_bookmark() {
    let api = FakeApi::start([pod("gateway", "10.0.0.5")]);
    let names = start_synced(&api);
    wait_for("the watch", || api.watches() == 1);
    api.bookmark();
    api.end_watches();
    wait_for("the second watch", || api.watch_requests().len() == 2);
    let versions: Vec<u64> =
        api.watch_requests().iter().map(|watch| watch["resourceVersion"].parse().unwrap()).collect();
    assert_eq!(versions[1], versions[0] + 1000);
    assert_follows(&api, &names);
    assert_eq!(names.status().lists, 1);
    assert_eq!(names.status().losses, 0);
}

#[test]
fn slow_answers_hold_nobody_up() {
    let api = FakeApi::start([pod("gateway", "10.0.0.5")]);
    api.next_list(Fault::Slow(Duration::from_secs(2)));
    let names = start(api.address());
    wait_for("the request", || !api.lists().is_empty());
    for _ in 0..1000 {
        assert_eq!(pod_at(&names, "10.0.0.5:443"), None);
        assert_eq!(client_at(&names, "10.0.0.5"), None);
    }
    assert!(!names.status().synced);
    wait_for("the answer", || names.status().synced);
    assert_eq!(pod_at(&names, "10.0.0.5:443").as_deref(), Some("gateway"));
    assert_eq!(names.status().losses, 0);
    // Whose addresses are this node's was not known, so nobody was asked for.
    assert!(api.lookups().is_empty());
}

#[test]
fn a_server_may_come_later_and_go() {
    // An address that no other test uses, so that its port stays free.
    let address = FakeApi::start_at("127.0.0.2:0".parse().unwrap(), []).address();
    let names = start(address);
    wait_for("the refusal", || names.status().failures > 0);
    let problem = names.status().problem.unwrap();
    assert!(problem.contains("refused"), "{problem}");

    let api = FakeApi::start_at(address, [pod("gateway", "10.0.0.5")]);
    wait_for("the pods", || names.status().synced);
    assert_eq!(names.status().problem, None);
    assert_eq!(names.status().losses, 1);

    drop(api);
    wait_for("the loss", || !names.status().synced);
    assert_eq!(names.status().losses, 2);
    assert_eq!(pod_at(&names, "10.0.0.5:443").as_deref(), Some("gateway"));
}

#[test]
fn garbage_is_no_answer() {
    let api = FakeApi::start([pod("gateway", "10.0.0.5")]);
    api.next_list(Fault::Text("<html>\n<title>Welcome to the hotel's network</title>".to_owned()));
    api.next_watch(Fault::Text("{\"type\":\"ADDED\",\"object\":[1,2]}\n".to_owned()));
    let names = start(api.address());
    wait_for("the garbage", || names.status().failures == 2);
    wait_for("the pods", || names.status().synced);
    assert_follows(&api, &names);
}

#[test]
fn garbage_in_the_midst_of_a_watch_is_followed_by_a_new_list() {
    let api = FakeApi::start([pod("gateway", "10.0.0.5")]);
    let names = start_synced(&api);
    wait_for("the watch", || api.watches() == 1);
    // Nobody knows what it stood for.
    api.set_silently(pod("missed", "10.0.0.6"));
    api.send("}\0not JSON");
    wait_for("the missed pod", || pod_at(&names, "10.0.0.6:443").is_some());
    assert_follows(&api, &names);
}

#[test]
fn what_is_missing_is_told() {
    for (code, expected) in [(401, "credentials"), (403, "ClusterRole"), (500, "InternalServerError")] {
        let api = FakeApi::start([pod("gateway", "10.0.0.5")]);
        api.next_list(Fault::Status(code));
        let names = start(api.address());
        wait_for("the refusal", || names.status().problem.is_some());
        let problem = names.status().problem.unwrap();
        assert!(problem.starts_with(&code.to_string()) && problem.contains(expected), "{problem}");
        wait_for("the pods", || names.status().synced);
    }
}

#[test]
fn more_pods_than_a_node_has_are_counted() {
    let pods = (0..3000_usize).map(|i| pod(&format!("pod-{i}"), &format!("10.1.{}.{}", i / 250, i % 250)));
    let api = FakeApi::start(pods);
    let names = start_synced(&api);
    let status = names.status();
    assert_eq!((status.pods, status.pods_refused), (MAX_PODS, 3000 - MAX_PODS));
    api.set(pod("one-more", "10.2.0.1"));
    wait_for("the count", || names.status().pods_refused == 3001 - MAX_PODS);
    assert_eq!(names.status().pods, MAX_PODS);
    assert_eq!(pod_at(&names, "10.2.0.1:443"), None);
}

#[test]
fn an_answer_has_a_bound() {
    let api = FakeApi::start([pod("gateway", "10.0.0.5")]);
    api.next_list(Fault::Text(" ".repeat(MAX_ANSWER_BYTES + 1)));
    let names = start(api.address());
    wait_for("the refusal", || names.status().problem.is_some());
    let problem = names.status().problem.unwrap();
    assert!(problem.contains("length limit exceeded"), "{problem}");
    wait_for("the pods", || names.status().synced);
}

#[test]
fn watches_that_end_at_once_are_asked_for_less_and_less() {
    let api = FakeApi::start([pod("gateway", "10.0.0.5")]);
    api.end_all_watches_at_once();
    let names = start_synced(&api);
    let start = Instant::now();
    wait_for("some watches", || api.watch_requests().len() >= 3);
    // After 0.8 s and 1.6 s, not at once.
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    std::thread::sleep(Duration::from_secs(2));
    let requests = api.watch_requests().len();
    assert!(requests <= 4, "{requests} requests");
    // The pods are known, their number is not in doubt, and the watches are counted.
    let status = names.status();
    assert_eq!((status.lists, status.losses), (1, 0));
    assert!(status.failures >= 2, "{}", status.failures);
    assert_eq!(pod_at(&names, "10.0.0.5:443").as_deref(), Some("gateway"));
}

#[test]
fn a_thread_that_keeps_its_privileges_ends_the_start() {
    let api = FakeApi::start([pod("gateway", "10.0.0.5")]);
    let file = kubeconfig(api.address());
    let (lookups, to_look_up) = Lookups::new();
    let (_stop, stopped) = oneshot::channel();
    let watch = Watch {
        credentials: Credentials::File(file.path().to_owned()),
        node: NODE.to_owned(),
        directory: Directory::new(&PORTS),
        shared: Arc::new(Shared::new(Snapshot::default(), lookups)),
        to_look_up,
        stopped,
    };
    let error = watch.start(|| Err(io::Error::other("the kernel refuses"))).unwrap_err();
    assert_eq!(error.to_string(), "the kernel refuses");
    assert!(api.lists().is_empty());
}

#[test]
fn the_thread_ends_with_the_last_of_the_names() {
    let api = FakeApi::start([pod("gateway", "10.0.0.5")]);
    let names = start_synced(&api);
    let other = names.clone();
    wait_for("the watch", || api.watches() == 1);
    drop(names);
    assert_follows(&api, &other);
    drop(other);
    wait_for("the end of the watch", || api.watches() == 0);
}

#[test]
fn what_is_no_configuration_is_told_in_one_line() {
    let mut garbage = NamedTempFile::new().unwrap();
    garbage.write_all(b"{]").unwrap();
    let mut empty = NamedTempFile::new().unwrap();
    empty.write_all(b"apiVersion: v1\nkind: Config\n").unwrap();
    for (path, expected) in [
        (std::path::Path::new("/nowhere/at/all"), "No such file"),
        (garbage.path(), "parse kubeconfig"),
        (empty.path(), "current context"),
    ] {
        let config = Config { kubeconfig: Some(path.to_owned()), node: NODE.to_owned() };
        let error = format!("{:#}", Names::start(&config, &PORTS, || Ok(())).unwrap_err());
        assert!(error.starts_with("--kube: ") && error.contains(expected), "{error}");
        assert!(error.contains("kubectl") && !error.contains('\n'), "{error}");
    }
}
