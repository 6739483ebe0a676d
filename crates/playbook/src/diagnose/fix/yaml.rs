//! The pieces of YAML.
//!
//! Names are those of the user's own files. They are quoted wherever they are not plain, so that what is printed is
//! the YAML that it seems to be.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_saphyr::{DoubleQuoted, FlowSeq};

use crate::routes::fix::{WildcardRoute, overrides_yaml, wildcard_route_yaml, yaml};
use crate::routes::report::VirtualHost;

/// Labels of the pods of Apigee's ingress gateway.
const INGRESS: &str = "app=apigee-ingressgateway";
/// The name of a listener or server for clients without SNI.
const NON_SNI: &str = "https-non-sni";
const ANY_HOST: DoubleQuoted<&str> = DoubleQuoted("*");

/// A document that has only a `spec`: what is given, and nothing else.
#[derive(Serialize)]
struct Patch<S> {
    spec: S,
}

/// A wildcard ApigeeRoute, and the name of the file for it.
pub(super) fn apigee_route(namespace: &str, name: &str, credential: &str) -> (String, String) {
    let file = if is_file_name(name) { format!("{name}.yaml") } else { "non-sni.yaml".to_owned() };
    let selector = [INGRESS.to_owned()];
    (file, wildcard_route_yaml(&WildcardRoute { name, namespace, credential, selector: &selector }))
}

/// Whether a name may be the stem of a file name, and a word of a shell.
pub(super) fn is_file_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// A merge patch of an ApigeeRoute: what is given, and nothing else.
pub(super) fn route_patch(enable: bool, selector: &BTreeMap<String, String>) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Spec<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        enable_non_sni_client: Option<bool>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        selector: &'a BTreeMap<String, String>,
    }
    yaml(&Patch { spec: Spec { enable_non_sni_client: enable.then_some(true), selector } })
}

/// The lines of overrides.yaml that list the route `name` in each of the groups.
pub(super) fn overrides(hosts: &[VirtualHost], name: &str) -> String {
    let host = |host: &VirtualHost| VirtualHost { selector: Vec::new(), ..host.clone() };
    let hosts: Vec<VirtualHost> = hosts.iter().map(host).collect();
    overrides_yaml(&hosts, name)
}

/// The `spec` of an Istio Gateway.
#[derive(Serialize)]
struct IstioGateway<S> {
    servers: [S; 1],
}

/// A server of an Istio Gateway for whoever sends no name.
pub(super) fn istio_server(credential: &str, port: u16) -> String {
    #[derive(Serialize)]
    struct Server<'a> {
        port: Port,
        hosts: [DoubleQuoted<&'static str>; 1],
        tls: Tls<'a>,
    }
    #[derive(Serialize)]
    struct Port {
        number: u16,
        name: &'static str,
        protocol: &'static str,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Tls<'a> {
        mode: &'static str,
        credential_name: &'a str,
    }
    let server = Server {
        port: Port { number: port, name: NON_SNI, protocol: "HTTPS" },
        hosts: [ANY_HOST],
        tls: Tls { mode: "SIMPLE", credential_name: credential },
    };
    yaml(&Patch { spec: IstioGateway { servers: [server] } })
}

/// The same for the Gateway API: a listener without a hostname takes all.
pub(super) fn gateway_listener(credential: &str, port: u16) -> String {
    #[derive(Serialize)]
    struct Gateway<'a> {
        listeners: [Listener<'a>; 1],
    }
    #[derive(Serialize)]
    struct Listener<'a> {
        name: &'static str,
        port: u16,
        protocol: &'static str,
        tls: Tls<'a>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Tls<'a> {
        mode: &'static str,
        certificate_refs: [Reference<'a>; 1],
    }
    #[derive(Serialize)]
    struct Reference<'a> {
        name: &'a str,
    }
    let tls = Tls { mode: "Terminate", certificate_refs: [Reference { name: credential }] };
    let listener = Listener { name: NON_SNI, port, protocol: "HTTPS", tls };
    yaml(&Patch { spec: Gateway { listeners: [listener] } })
}

/// The same for Envoy, of [`super::gateways`]. Its `filters` are to be those of the chain that has the name.
pub(super) fn envoy_chain() -> String {
    include_str!("gateways/envoy.yaml").to_owned()
}

/// Hosts of an Istio Gateway's server.
pub(super) fn hosts(names: &[String]) -> String {
    #[derive(Serialize)]
    struct Server<'a> {
        hosts: FlowSeq<Vec<DoubleQuoted<&'a str>>>,
    }
    let hosts = FlowSeq(names.iter().map(|name| DoubleQuoted(name.as_str())).collect());
    yaml(&Patch { spec: IstioGateway { servers: [Server { hosts }] } })
}

/// The lowest TLS version of an ApigeeRoute.
pub(super) fn min_version() -> String {
    #[derive(Serialize)]
    struct Route {
        ports: [Port; 1],
    }
    #[derive(Serialize)]
    struct Port {
        number: u16,
        tls: Tls,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Tls {
        min_protocol_version: &'static str,
    }
    let tls = Tls { min_protocol_version: "TLSV1_0" };
    yaml(&Patch { spec: Route { ports: [Port { number: 443, tls }] } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_names() {
        for name in ["non-sni", "true", "a: b", "x\n  evil: 1", "\"", "ü", "1e3", ""] {
            let (_, yaml) = apigee_route("apigee", name, "c");
            let read: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
            assert_eq!(read["metadata"]["name"], name, "{yaml}");
            let host = VirtualHost {
                name: name.to_owned(),
                additional_gateways: Vec::new(),
                selector: Vec::new(),
                certificate: None,
            };
            let read: serde_json::Value = serde_saphyr::from_str(&overrides(&[host], name)).unwrap();
            assert_eq!(read["virtualhosts"][0]["additionalGateways"][0], name);
        }
    }

    #[test]
    fn what_is_listed_stays_listed() {
        let host = VirtualHost {
            name: "dev".to_owned(),
            additional_gateways: vec!["other".to_owned()],
            selector: Vec::new(),
            certificate: None,
        };
        let yaml = overrides(&[host], "non-sni");
        assert_eq!(yaml, "virtualhosts:\n- name: dev\n  additionalGateways: [\"other\", \"non-sni\"]\n");
    }

    #[test]
    fn all_pieces_are_yaml() {
        for yaml in [
            istio_server("c", 443),
            gateway_listener("c", 443),
            envoy_chain(),
            hosts(&["a.b".to_owned()]),
            min_version(),
        ] {
            serde_saphyr::from_str::<serde_json::Value>(&yaml).unwrap();
        }
    }
}
