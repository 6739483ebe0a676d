//! The plain manifests: the API server admits them without a warning, and then holds exactly what they say.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use system_tests::cluster::NAMESPACE;
use system_tests::manifests::{MANIFESTS, OVERLAY, copy_directory};

use crate::definitions::{MONITORING, define};
use crate::site::{cluster, root, wait_for_daemon_set, wait_for_no_pod};

/// Kubernetes before 1.22 knows no `maxSurge` in a `DaemonSet`.
const FOR_1_20: &str = r#"[{"op": "remove", "path": "/spec/updateStrategy/rollingUpdate/maxSurge"}]"#;

/// A copy of the manifests and of the example.
fn copy() -> PathBuf {
    let deploy = cluster().path("deploy");
    for directory in [MANIFESTS, OVERLAY] {
        copy_directory(&root().join(directory), &deploy.join(Path::new(directory).file_name().unwrap()))
            .unwrap();
    }
    deploy
}

/// An overlay of these resources and components for Kubernetes 1.20, and its directory.
fn overlay(name: &str, resource: &str, components: &[&str]) -> String {
    let directory = copy().join(name);
    fs::create_dir_all(&directory).unwrap();
    let components: Vec<String> =
        components.iter().map(|component| format!("../kubernetes/{component}")).collect();
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [resource],
        "components": components,
        "patches": [{ "target": { "kind": "DaemonSet" }, "patch": FOR_1_20 }],
    });
    fs::write(directory.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    directory.to_str().unwrap().to_owned()
}

/// Deletes an overlay's objects at the end, and with them the namespace.
struct Applied {
    directory: String,
}

impl Applied {
    /// `kubectl apply -k`, without a warning, after which `kubectl diff -k` finds nothing.
    #[track_caller]
    fn apply(directory: String) -> Self {
        define(&MONITORING);
        let applied = Self { directory };
        let done = cluster().try_kubectl(&["apply", "-k", &applied.directory]).unwrap();
        assert!(done.success() && done.stderr.is_empty(), "{}", done.stderr);
        let diff = cluster().try_kubectl(&["diff", "-k", &applied.directory]).unwrap();
        assert_eq!((diff.code, diff.stdout.as_str()), (0, ""), "{}", diff.stderr);
        applied
    }

    fn delete(&self) {
        cluster().kubectl_waiting(&["delete", "-k", &self.directory, "--ignore-not-found"]).unwrap();
        wait_for_no_pod();
    }
}

impl Drop for Applied {
    fn drop(&mut self) {
        if std::thread::panicking() {
            cluster().try_kubectl(&["delete", "-k", &self.directory, "--ignore-not-found"]).ok();
        } else {
            self.delete();
        }
    }
}

fn daemon_set() -> Value {
    cluster().get(&["-n", NAMESPACE, "daemonset", "sni-probe"]).unwrap()
}

#[test]
fn the_base_runs() {
    let _applied = Applied::apply(overlay("base", "../kubernetes", &[]));
    wait_for_daemon_set();
    assert_eq!(daemon_set()["status"]["numberReady"], 1);
}

#[test]
fn the_example_is_admitted() {
    let _applied = Applied::apply(overlay("example", "../kubernetes-example", &[]));
    // No node has the label of the example.
    assert_eq!(daemon_set()["status"]["desiredNumberScheduled"], 0);
}

#[test]
fn all_components_together_run() {
    let all = [
        "podmonitor",
        "prometheusrule",
        "podmonitoring",
        "gmprules",
        "dashboard",
        "rbac-routes",
        "networkpolicy",
        "kube",
        "af-packet",
    ];
    cluster().kubectl(&["create", "namespace", "apigee"]).ok();
    let mut there: Vec<String> = fs::read_dir(root().join(MANIFESTS))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    there.sort();
    let mut expected = all;
    expected.sort_unstable();
    assert_eq!(there, expected, "a component that no test applies");
    let _applied = Applied::apply(overlay("all", "../kubernetes", &all));
    wait_for_daemon_set();
}

/// A test for each component by itself.
macro_rules! components {
    ($($test:ident: $component:literal,)*) => {
        $(
            #[test]
            fn $test() {
                let _applied = Applied::apply(overlay($component, "../kubernetes", &[$component]));
            }
        )*
    };
}

components! {
    component_podmonitor: "podmonitor",
    component_prometheusrule: "prometheusrule",
    component_podmonitoring: "podmonitoring",
    component_gmprules: "gmprules",
    component_dashboard: "dashboard",
    component_networkpolicy: "networkpolicy",
    component_kube: "kube",
    component_af_packet: "af-packet",
}

#[test]
fn component_rbac_routes() {
    cluster().kubectl(&["create", "namespace", "apigee"]).ok();
    let _applied = Applied::apply(overlay("rbac-routes", "../kubernetes", &["rbac-routes"]));
}
