//! Objects of gateways, as their controllers know them.

use serde_json::{Value, json};
use system_tests::cluster::{GATEWAY_NAME, GATEWAY_NAMESPACE, SERVER_NAME};

fn route(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "apigee.cloud.google.com/v1alpha1",
        "kind": "ApigeeRoute",
        "metadata": { "name": name, "namespace": GATEWAY_NAMESPACE },
        "spec": spec,
        "status": { "state": "running" },
    })
}

fn ports(credential: &str) -> Value {
    json!([{ "number": 443, "protocol": "HTTPS", "tls": {
        "credentialName": credential, "minProtocolVersion": "TLS_AUTO", "mode": "SIMPLE",
    } }])
}

/// The route of an environment group, which names no wildcard route.
pub(crate) fn group() -> Value {
    route(
        "myorg-hyb-dev-grp-000-33620d0",
        &json!({
            "enableNonSniClient": false,
            "hostnames": [SERVER_NAME],
            "ports": ports("apigee-org-dev-grp"),
            "selector": { "app": GATEWAY_NAME },
        }),
    )
}

/// The wildcard route that serves clients without SNI.
pub(crate) fn wildcard() -> Value {
    route(
        "non-sni",
        &json!({
            "enableNonSniClient": true,
            "hostnames": ["*"],
            "ports": ports("org-dev-cert"),
            "selector": { "app": GATEWAY_NAME },
        }),
    )
}

/// A Gateway of Istio, of an old version.
pub(crate) fn istio_gateway(name: &str, host: &str, namespace: &str) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "Gateway",
        "metadata": { "name": name, "namespace": namespace },
        "spec": { "selector": { "istio": "ingressgateway" }, "servers": [{
            "port": { "number": 443, "name": "https", "protocol": "HTTPS" },
            "tls": { "mode": "SIMPLE", "credentialName": "c" },
            "hosts": [host],
        }] },
    })
}
