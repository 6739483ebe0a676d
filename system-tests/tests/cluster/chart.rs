//! The chart: what it renders is admitted with every set of values, and Helm installs, upgrades, rolls back and removes it.

use serde_json::{Value, json};
use system_tests::cluster::NAMESPACE;
use system_tests::manifests::{self, CHART};

use crate::definitions::{MONITORING, define};
use crate::site::{
    RELEASE, Release, chart, cluster, make_namespace, root, wait_for_daemon_set, wait_for_metrics,
    wait_for_no_pod,
};

/// `helm template | kubectl apply`: admitted without a warning, and then `kubectl diff` finds nothing.
#[track_caller]
fn assert_admitted(values: &[&str]) {
    define(&MONITORING);
    make_namespace();
    for namespace in ["apigee", "monitoring"] {
        cluster().kubectl(&["create", "namespace", namespace]).ok();
    }
    let chart = chart();
    let mut words = vec!["template", RELEASE, chart.to_str().unwrap(), "--namespace", NAMESPACE];
    // No node has this label: what runs is the subject of other tests.
    words.extend(["--set-string", "nodeSelector.nowhere=true"]);
    words.extend(values);
    let file = cluster().write("rendered.yaml", &cluster().helm(&words).unwrap()).unwrap();
    let done = cluster().try_kubectl(&["apply", "-f", &file]).unwrap();
    let diff = cluster().try_kubectl(&["diff", "-f", &file]).unwrap();
    cluster().kubectl_waiting(&["delete", "--ignore-not-found", "-f", &file]).unwrap();
    assert!(done.success() && done.stderr.is_empty(), "{}", done.stderr);
    assert_eq!((diff.code, diff.stdout.as_str()), (0, ""), "{}", diff.stderr);
}

fn value_set(name: &str) -> String {
    root().join(CHART).join("values").join(name).to_str().unwrap().to_owned()
}

#[test]
fn default_values_are_admitted() {
    assert_admitted(&[]);
}

#[test]
fn all_values_together_are_admitted() {
    let values = cluster().write("everything.json", &manifests::everything().to_string()).unwrap();
    assert_admitted(&["--values", &values]);
}

/// A test for each set of values.
macro_rules! value_sets {
    ($($test:ident: $file:literal,)*) => {
        $(
            #[test]
            fn $test() {
                assert_admitted(&["--values", &value_set($file)]);
            }
        )*

        #[test]
        fn each_set_of_values_has_a_test() {
            let files = std::fs::read_dir(root().join(CHART).join("values")).unwrap();
            let mut names: Vec<String> =
                files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            assert_eq!(names, [$($file),*]);
        }
    };
}

value_sets! {
    values_of_gke_apigee_are_admitted: "gke-apigee.yaml",
    values_of_gke_dataplane_v2_are_admitted: "gke-dataplane-v2.yaml",
    values_of_istio_are_admitted: "istio.yaml",
    values_of_nginx_are_admitted: "nginx.yaml",
}

/// What Helm says of the release.
fn history() -> Vec<(u64, String)> {
    let words = ["history", RELEASE, "--namespace", NAMESPACE, "--output", "json"];
    let history: Value = serde_json::from_str(&cluster().helm(&words).unwrap()).unwrap();
    let revision =
        |entry: &Value| (entry["revision"].as_u64().unwrap(), entry["status"].as_str().unwrap().to_owned());
    history.as_array().unwrap().iter().map(revision).collect()
}

#[test]
fn helm_installs_upgrades_rolls_back_and_uninstalls() {
    let release = Release::install(&json!({}));
    let follows_names = || cluster().get(&["clusterroles"]).unwrap().to_string().contains("\"sni-probe");
    assert!(!follows_names());
    release.upgrade(&json!({ "kube": { "enabled": true } }));
    assert!(follows_names());
    wait_for_metrics("names of pods", system_tests::cluster::DEADLINE, |metrics| {
        metrics.get("sni_probe_kubernetes_synced", &[]) > 0.0
    });
    cluster().helm(&["rollback", RELEASE, "1", "--namespace", NAMESPACE]).unwrap();
    wait_for_daemon_set();
    assert!(!follows_names());
    wait_for_metrics("no names of pods", system_tests::cluster::DEADLINE, |metrics| {
        !metrics.has("sni_probe_kubernetes_synced", &[])
    });
    let expected = [(1, "superseded"), (2, "superseded"), (3, "deployed")];
    assert_eq!(history(), expected.map(|(revision, status)| (revision, status.to_owned())));
    cluster().helm(&["uninstall", RELEASE, "--namespace", NAMESPACE]).unwrap();
    wait_for_no_pod();
    let left =
        cluster().get(&["-n", NAMESPACE, "all,configmaps,serviceaccounts,roles,rolebindings"]).unwrap();
    let left: Vec<&str> = left["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| object["metadata"]["name"].as_str().unwrap())
        // Kubernetes' own, of every namespace.
        .filter(|name| !["default", "kube-root-ca.crt"].contains(name))
        .collect();
    assert_eq!(left, [""; 0]);
}
