//! Names of pods in metrics and events, with the `ClusterRole` of the chart, and what becomes of them in trouble.

use serde_json::{Value, json};
use system_tests::cluster::{
    Clients, DEADLINE, GATEWAY_NAME, GATEWAY_NAMESPACE, GATEWAY_PORT, NAMESPACE, SERVER_NAME,
};
use system_tests::dist::IMAGE;
use system_tests::metrics::Metrics;
use system_tests::wait_until;

use crate::site::{
    Release, assert_counts, cluster, counted, counted_by_name, gateway, log, pod, wait_for_daemon_set,
    wait_for_metrics,
};

const CLIENTS: Clients = Clients { served: 1, without: 2, unknown: 1 };
const ALL: u64 = 4;

fn with_names() -> Value {
    json!({ "kube": { "enabled": true } })
}

fn is_synced(metrics: &Metrics) -> bool {
    metrics.get("sni_probe_kubernetes_synced", &[]) > 0.0
}

fn wait_until_synced() -> Metrics {
    wait_for_metrics("the pods of the node", DEADLINE, is_synced)
}

fn wait_for_loss() {
    wait_for_metrics("the loss of the API server", DEADLINE, |metrics| !is_synced(metrics));
}

fn can(account: &str, words: &[&str]) -> bool {
    let account = format!("--as=system:serviceaccount:{account}");
    cluster().try_kubectl(&[&["auth", "can-i"], words, &[&account]].concat()).unwrap().success()
}

#[test]
fn gateways_have_the_names_of_their_deployments() {
    let gateway = gateway();
    let _release = Release::install(&with_names());
    wait_until_synced();
    let metrics = assert_counts(&gateway, Clients::default(), CLIENTS);
    assert_eq!(counted_by_name(&metrics), ALL);
    // It may list and watch pods, and nothing else.
    let account = "sni-probe:sni-probe";
    assert!(can(account, &["list", "pods", "-A"]) && can(account, &["watch", "pods", "-A"]));
    for words in
        [["get", "pods"], ["delete", "pods"], ["list", "secrets"], ["list", "nodes"], ["get", "configmaps"]]
    {
        assert!(!can(account, &[&words[..], &["-A"]].concat()), "{words:?}");
    }
}

#[test]
fn without_the_api_server_names_stay() {
    let gateway = gateway();
    let _release = Release::install(&with_names());
    wait_until_synced();
    let before = counted(&assert_counts(&gateway, Clients::default(), CLIENTS));
    let outage = cluster().kill_api_server().unwrap();
    wait_for_loss();
    let again = assert_counts(&gateway, before, CLIENTS);
    drop(outage);
    assert_eq!(counted_by_name(&again), 2 * ALL);
    let metrics = wait_until_synced();
    assert!(metrics.count("sni_probe_kubernetes_losses_total", &[]) >= 1);
}

#[test]
fn a_token_that_was_revoked_is_replaced() {
    let gateway = gateway();
    let _release = Release::install(&with_names());
    wait_until_synced();
    let before = counted(&assert_counts(&gateway, Clients::default(), CLIENTS));
    let pod = pod();
    let token = || cluster().token_secret(NAMESPACE, "sni-probe").unwrap();
    let old = token();
    let name = old["metadata"]["name"].as_str().unwrap();
    // The controller makes another one for this Secret, and only that is taken then.
    cluster()
        .kubectl(&["-n", NAMESPACE, "patch", "secret", name, "-p", r#"{"data": {"token": null}}"#])
        .unwrap();
    let new = wait_until("another token", DEADLINE, || {
        let new = token();
        Ok((new["data"]["token"] != old["data"]["token"]).then_some(new))
    });
    assert_eq!(new.unwrap()["metadata"]["uid"], old["metadata"]["uid"]);
    // A watch that is open goes on: the daemon has to ask once more.
    let outage = cluster().kill_api_server().unwrap();
    wait_for_loss();
    drop(outage);
    wait_until_synced();
    // A pod that it can know by the new token only.
    let gateway = gateway.replace(cluster()).unwrap();
    wait_for_metrics("the gateway's new pod", DEADLINE, |metrics| {
        metrics.get("sni_probe_kubernetes_pods", &[]) >= 2.0
    });
    let metrics = assert_counts(&gateway, before, CLIENTS);
    assert_eq!(counted_by_name(&metrics), 2 * ALL);
    assert_eq!(pod, self::pod(), "the daemon has gone on");
}

#[test]
fn a_rollout_restart_begins_anew() {
    let gateway = gateway();
    let _release = Release::install(&with_names());
    wait_until_synced();
    assert_counts(&gateway, Clients::default(), CLIENTS);
    let before = pod();
    cluster().kubectl(&["-n", NAMESPACE, "rollout", "restart", "daemonset/sni-probe"]).unwrap();
    wait_for_daemon_set();
    assert_ne!(before, pod());
    wait_until_synced();
    let metrics = assert_counts(&gateway, Clients::default(), CLIENTS);
    assert_eq!(counted_by_name(&metrics), ALL);
    assert_eq!(metrics.count("sni_probe_attached", &[]), 2, "{:#?}", metrics.nonzero());
}

#[test]
fn pods_made_anew_are_seen_on_their_own_interfaces() {
    let mut gateway = gateway();
    let mut values = with_names();
    values["interfaces"] = json!(["veth*"]);
    values["events"] = json!({ "enabled": true, "filter": ["all"] });
    let _release = Release::install(&values);
    wait_until_synced();
    let mut before = counted(&assert_counts(&gateway, Clients::default(), CLIENTS));
    for _ in 0..2 {
        gateway = gateway.replace(cluster()).unwrap();
        wait_for_metrics("one interface", DEADLINE, |metrics| metrics.count("sni_probe_attached", &[]) == 2);
        before = counted(&assert_counts(&gateway, before, CLIENTS));
    }
    // A client in the cluster. It comes again and again: its first container may be gone before its pod has an address.
    let target = format!("{}:{GATEWAY_PORT}", gateway.address);
    cluster()
        .kubectl(&[
            "-n",
            GATEWAY_NAMESPACE,
            "run",
            "checker",
            "--image",
            IMAGE,
            "--restart=Always",
            "--image-pull-policy=Never",
            "--",
            "check",
            &target,
            "--sni",
            SERVER_NAME,
        ])
        .unwrap();
    let event = wait_until("the client's name", DEADLINE, || {
        let events = log();
        let events = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let is_it = |event: &Value| event["client_pod"] == "apigee/checker" && event["sni"] == "absent";
        Ok(events.into_iter().find(is_it))
    });
    cluster().kubectl(&["-n", GATEWAY_NAMESPACE, "delete", "pod", "checker", "--now"]).unwrap();
    let event = event.unwrap();
    assert_eq!(event["gateway_pod"], format!("{GATEWAY_NAMESPACE}/{}", gateway.pod));
    assert!(gateway.pod.starts_with(GATEWAY_NAME));
    assert_eq!(event["outcome"], "reset_by_gateway");
}
