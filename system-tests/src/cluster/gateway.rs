//! Envoy as the gateway's Deployment, and clients outside of the cluster.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Cluster, DEADLINE};
use crate::clients::{self, Target};
use crate::envoy::{STATS, Stats, listener_filter, socket_address};
use crate::process::wait_until;

/// The namespace of the gateway, as Apigee hybrid calls it.
pub const GATEWAY_NAMESPACE: &str = "apigee";
/// Its Deployment.
pub const GATEWAY_NAME: &str = "apigee-ingressgateway";
/// The port of its pods.
pub const GATEWAY_PORT: u16 = 8443;
/// The one name that it serves.
pub const SERVER_NAME: &str = "api.example.com";

const UNKNOWN_NAME: &str = "nobody.example.org";
const ADMIN_PORT: u16 = 9901;

/// Clients by what they send as SNI.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clients {
    /// The name that the gateway serves.
    pub served: u64,
    /// None.
    pub without: u64,
    /// A name that the gateway does not know.
    pub unknown: u64,
}

/// The gateway's one pod.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// The name of the pod.
    pub pod: String,
    /// Its address.
    pub address: IpAddr,
}

impl Gateway {
    /// Makes the namespace, the certificate and the Deployment, unless they are there, and waits for the pod.
    ///
    /// # Errors
    /// When the pod does not become ready.
    pub fn deploy(cluster: &Cluster) -> Result<Self> {
        use base64::Engine as _;
        let encode = |path| -> Result<String> {
            Ok(base64::engine::general_purpose::STANDARD.encode(std::fs::read(path)?))
        };
        let (certificate, key) = cluster.certificate("gateway");
        let metadata = |name: &str| json!({ "name": name, "namespace": GATEWAY_NAMESPACE });
        let objects = json!({
            "apiVersion": "v1",
            "kind": "List",
            "items": [
                { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": GATEWAY_NAMESPACE } },
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": metadata("certificate"),
                    "type": "kubernetes.io/tls",
                    "data": { "tls.crt": encode(certificate)?, "tls.key": encode(key)? },
                },
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": metadata("envoy"),
                    "data": { "envoy.json": configuration().to_string() },
                },
                deployment(),
            ],
        });
        cluster.apply(&objects.to_string())?;
        Self::wait(cluster, |_| true)
    }

    /// Deletes the pod, and waits for the one that takes its place.
    ///
    /// # Errors
    /// When no other pod becomes ready.
    pub fn replace(&self, cluster: &Cluster) -> Result<Self> {
        cluster.kubectl(&["-n", GATEWAY_NAMESPACE, "delete", "pod", &self.pod, "--wait=false"])?;
        Self::wait(cluster, |gateway| gateway.pod != self.pod)
    }

    /// Waits for a pod that is ready and wanted.
    fn wait(cluster: &Cluster, is_wanted: impl Fn(&Self) -> bool) -> Result<Self> {
        let pod = wait_until("the gateway's pod", DEADLINE, || {
            let pods = cluster.pods(GATEWAY_NAMESPACE)?;
            let pods = pods.iter().filter(|pod| is_ready(pod)).filter_map(|pod| {
                let pod_name = pod["metadata"]["name"].as_str()?.to_owned();
                Some(Self { pod: pod_name, address: pod["status"]["podIP"].as_str()?.parse().ok()? })
            });
            Ok(pods.into_iter().find(&is_wanted))
        });
        pod.with_context(|| {
            cluster.kubectl(&["-n", GATEWAY_NAMESPACE, "describe", "pods"]).unwrap_or_default()
        })
    }

    /// Connects clients one after the other.
    ///
    /// # Errors
    /// When one cannot be started. What the gateway did is for others to tell.
    pub fn visit(&self, cluster: &Cluster, clients: Clients) -> Result<()> {
        let each = [
            (clients.served, Some(SERVER_NAME)),
            (clients.without, None),
            (clients.unknown, Some(UNKNOWN_NAME)),
        ];
        for (count, server_name) in each {
            for _ in 0..count {
                let address = SocketAddr::new(self.address, GATEWAY_PORT);
                clients::openssl_in(cluster.client(), Target { address, server_name }, &[])?;
            }
        }
        Ok(())
    }

    /// Envoy's own counters.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn stats(&self) -> Result<Stats> {
        let (_, body) = crate::netns::http_get(SocketAddr::new(self.address, ADMIN_PORT), STATS)?;
        Stats::parse(&body).context("Envoy's counters")
    }
}

/// Whether a pod is ready and is not being deleted.
pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let is_true = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    conditions.into_iter().any(is_true) && pod["metadata"]["deletionTimestamp"].is_null()
}

/// An Envoy that knows one name and closes the connections of all other clients, as Apigee's does by default.
fn configuration() -> Value {
    json!({
        // For its own address only, as a sidecar of Istio has it; the tests ask from the node.
        "admin": { "address": socket_address("0.0.0.0", ADMIN_PORT) },
        "static_resources": { "listeners": [{
            "name": "gateway",
            "stat_prefix": "gateway",
            "address": socket_address("0.0.0.0", GATEWAY_PORT),
            "listener_filters": [listener_filter("tls_inspector", "TlsInspector")],
            "filter_chains": [{
                "filter_chain_match": { "server_names": [SERVER_NAME] },
                "transport_socket": { "name": "envoy.transport_sockets.tls", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                    "common_tls_context": { "tls_certificates": [{
                        "certificate_chain": { "filename": "/certificate/tls.crt" },
                        "private_key": { "filename": "/certificate/tls.key" },
                    }] },
                } },
                "filters": [{ "name": "envoy.filters.network.echo", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo",
                } }],
            }],
        }] },
    })
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": GATEWAY_NAME, "namespace": GATEWAY_NAMESPACE },
        "spec": {
            "selector": { "matchLabels": { "app": GATEWAY_NAME } },
            "template": {
                "metadata": { "labels": { "app": GATEWAY_NAME } },
                "spec": {
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "envoy",
                        "image": "envoy:1",
                        "imagePullPolicy": "Never",
                        "args": [
                            "--config-path", "/configuration/envoy.json", "--concurrency", "1",
                            "--disable-hot-restart", "--log-level", "warning",
                        ],
                        "ports": [{ "containerPort": GATEWAY_PORT }],
                        // Not the port of TLS: Envoy would count these connections.
                        "readinessProbe": {
                            "httpGet": { "path": "/ready", "port": ADMIN_PORT },
                            "periodSeconds": 1,
                        },
                        "volumeMounts": [
                            { "name": "configuration", "mountPath": "/configuration" },
                            { "name": "certificate", "mountPath": "/certificate" },
                        ],
                    }],
                    "volumes": [
                        { "name": "configuration", "configMap": { "name": "envoy" } },
                        { "name": "certificate", "secret": { "secretName": "certificate" } },
                    ],
                },
            },
        },
    })
}
