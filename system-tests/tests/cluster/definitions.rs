//! Stubs of the custom resources of others: the kinds, with any fields.

use serde_json::{Value, json};

use crate::site::control_plane;

/// A kind of a custom resource.
#[derive(Clone, Copy)]
pub(crate) struct Definition {
    group: &'static str,
    /// The first one is stored.
    versions: &'static [&'static str],
    kind: &'static str,
    is_cluster_wide: bool,
}

const fn namespaced(
    group: &'static str,
    versions: &'static [&'static str],
    kind: &'static str,
) -> Definition {
    Definition { group, versions, kind, is_cluster_wide: false }
}

const fn cluster_wide(
    group: &'static str,
    versions: &'static [&'static str],
    kind: &'static str,
) -> Definition {
    Definition { is_cluster_wide: true, ..namespaced(group, versions, kind) }
}

/// Of the Prometheus Operator and of Google's collector.
pub(crate) const MONITORING: [Definition; 5] = [
    namespaced("monitoring.coreos.com", &["v1"], "PodMonitor"),
    namespaced("monitoring.coreos.com", &["v1"], "PrometheusRule"),
    namespaced("monitoring.googleapis.com", &["v1"], "PodMonitoring"),
    namespaced("monitoring.googleapis.com", &["v1"], "Rules"),
    cluster_wide("monitoring.googleapis.com", &["v1"], "ClusterRules"),
];
/// Of Apigee hybrid.
pub(crate) const APIGEE: [Definition; 2] = [
    namespaced("apigee.cloud.google.com", &["v1alpha1"], "ApigeeRoute"),
    namespaced("apigee.cloud.google.com", &["v1alpha1"], "ApigeeRouteConfig"),
];
/// Of Istio, in an older version than today's.
pub(crate) const ISTIO: [Definition; 1] = [namespaced("networking.istio.io", &["v1alpha3"], "Gateway")];
/// Of the Gateway API.
pub(crate) const GATEWAY_API: [Definition; 3] = [
    namespaced("gateway.networking.k8s.io", &["v1"], "Gateway"),
    namespaced("gateway.networking.k8s.io", &["v1"], "ListenerSet"),
    cluster_wide("gateway.networking.k8s.io", &["v1"], "GatewayClass"),
];

impl Definition {
    fn plural(self) -> String {
        let kind = self.kind.to_lowercase();
        if kind.ends_with("class") {
            kind + "es"
        } else if kind.ends_with('s') {
            kind
        } else {
            kind + "s"
        }
    }

    fn name(self) -> String {
        format!("{}.{}", self.plural(), self.group)
    }

    fn object(self) -> Value {
        let versions = self.versions.iter().enumerate().map(|(index, version)| {
            json!({
                "name": version,
                "served": true,
                "storage": index == 0,
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
            })
        });
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": self.name(),
                // Asked of groups below k8s.io.
                "annotations": { "api-approved.kubernetes.io": "unapproved, a stub" },
            },
            "spec": {
                "group": self.group,
                "scope": if self.is_cluster_wide { "Cluster" } else { "Namespaced" },
                "names": {
                    "plural": self.plural(),
                    "singular": self.kind.to_lowercase(),
                    "kind": self.kind,
                    "listKind": format!("{}List", self.kind),
                },
                "versions": versions.collect::<Vec<_>>(),
            },
        })
    }
}

/// Makes the kinds known to the API server. Those that are there stay.
pub(crate) fn define(definitions: &[Definition]) {
    if definitions.is_empty() {
        return;
    }
    let control_plane = control_plane();
    let objects: Vec<Value> = definitions.iter().map(|definition| definition.object()).collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    control_plane.apply(&list.to_string()).unwrap();
    for definition in definitions {
        let name = format!("crd/{}", definition.name());
        control_plane.kubectl_waiting(&["wait", "--for=condition=Established", &name]).unwrap();
    }
}

/// Kinds that are known until this is dropped, with all of their objects.
pub(crate) struct Defined(Vec<Definition>);

impl Defined {
    pub(crate) fn new(definitions: &[Definition]) -> Self {
        let defined = Self(definitions.to_vec());
        define(definitions);
        defined
    }
}

impl Drop for Defined {
    fn drop(&mut self) {
        for definition in &self.0 {
            let name = format!("crd/{}", definition.name());
            // Not a second panic while a test fails.
            if let Err(error) = control_plane().kubectl_waiting(&["delete", "--ignore-not-found", &name]) {
                eprintln!("{error:#}");
            }
        }
    }
}
