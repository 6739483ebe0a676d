//! `routes`, `diagnose` and `collect` with `--kube`, by an account that has the roles of the chart and nothing more.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use system_tests::cluster::{Clients, GATEWAY_NAMESPACE, NAMESPACE};
use system_tests::probe;
use system_tests::process::{Finished, run};

use crate::definitions::{APIGEE, Defined, GATEWAY_API, ISTIO};
use crate::objects::{group, istio_gateway, wildcard};
use crate::site::{PORT, Release, assert_counts, cluster, control_plane, gateway, make_namespace};

const TIMEOUT: Duration = Duration::from_mins(1);
const ACCOUNT: &str = "reader";

/// Runs a verb on the node with this kubeconfig.
fn verb(kubeconfig: &str, words: &[&str]) -> Finished {
    let mut command = Command::new(probe::binary().unwrap());
    command.args(words).args(["--kube", "--kubeconfig", kubeconfig]);
    command.current_dir(control_plane().path("home"));
    run(&mut command, TIMEOUT).unwrap()
}

#[test]
fn verbs_of_people_need_the_roles_of_the_chart_only() {
    let gateway = gateway();
    let _defined = Defined::new(&[&APIGEE[..], &ISTIO, &GATEWAY_API].concat());
    make_namespace();
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": ACCOUNT, "namespace": NAMESPACE },
    });
    cluster().apply(&account.to_string()).unwrap();
    cluster().apply(&group().to_string()).unwrap();
    let subject = json!({ "kind": "ServiceAccount", "name": ACCOUNT });
    let _release =
        Release::install(&json!({ "rbac": { "routes": { "enabled": true, "subjects": [subject] } } }));
    assert_counts(&gateway, Clients::default(), Clients { served: 3, without: 5, unknown: 0 });
    let token = cluster().token(NAMESPACE, ACCOUNT).unwrap();
    let kubeconfig = cluster().kubeconfig(ACCOUNT, &token).unwrap();
    let kubeconfig = kubeconfig.to_str().unwrap();

    // The group's route names no wildcard route.
    let routes = verb(kubeconfig, &["routes", "--json"]);
    assert_eq!((routes.code, routes.stderr.as_str()), (1, ""), "{}", routes.stdout);
    let report: Value = serde_json::from_str(&routes.stdout).unwrap();
    assert_eq!(report["serves_non_sni"], false);
    let not_read = ["not_allowed", "not_listed"];
    let notes = report["notes"].as_array().unwrap();
    assert!(!notes.iter().any(|note| not_read.iter().any(|code| note["code"] == *code)), "{notes:#?}");

    let url = format!("http://127.0.0.1:{PORT}");
    let diagnosis = verb(kubeconfig, &["diagnose", "--url", &url, "--json"]);
    assert_eq!((diagnosis.code, diagnosis.stderr.as_str()), (1, ""), "{}", diagnosis.stdout);
    let report: Value = serde_json::from_str(&diagnosis.stdout).unwrap();
    assert_eq!(report["cause"], "no_wildcard_route", "{report:#}");

    let bundle = verb(kubeconfig, &["collect", "--url", &url, "-o", "bundle.tar.zst"]);
    assert_eq!(bundle.code, 0, "{}", bundle.stderr);
    let mut list = Command::new("tar");
    list.args(["--zstd", "-xOf"]).arg(control_plane().path("home").join("bundle.tar.zst"));
    let text = run(&mut list, TIMEOUT).unwrap();
    assert!(text.success() && text.stdout.contains("myorg-hyb-dev-grp"), "{}", text.stderr);

    // What the page on the problem asks for.
    cluster().apply(&wildcard().to_string()).unwrap();
    let mut with_wildcard = group();
    with_wildcard["spec"]["additionalGateways"] = json!(["non-sni"]);
    cluster().apply(&with_wildcard.to_string()).unwrap();
    let routes = verb(kubeconfig, &["routes", "--json"]);
    assert_eq!(routes.code, 0, "{}", routes.stdout);

    // Gateways of all namespaces.
    cluster().apply(&istio_gateway("istio-gateway", "*", "default").to_string()).unwrap();
    let routes = verb(kubeconfig, &["routes", "--json"]);
    assert!(routes.stdout.contains("istio-gateway"), "{}", routes.stdout);

    let user = format!("--as=system:serviceaccount:{NAMESPACE}:{ACCOUNT}");
    for (what, resource, namespace) in [
        ("get", "apigeeroutes", GATEWAY_NAMESPACE),
        ("list", "apigeeroutes", "default"),
        ("list", "pods", GATEWAY_NAMESPACE),
        ("list", "secrets", GATEWAY_NAMESPACE),
        ("update", "apigeeroutes", GATEWAY_NAMESPACE),
    ] {
        let may = cluster().try_kubectl(&["auth", "can-i", what, resource, "-n", namespace, &user]).unwrap();
        assert_eq!(may.stdout.trim(), "no", "{what} {resource} in {namespace}");
    }
}
