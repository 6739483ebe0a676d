//! The pieces of YAML.
//!
//! Names are those of the user's own files. They are quoted wherever they are not plain, so that what is printed is
//! the YAML that it seems to be.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::routes::fix::{WildcardRoute, overrides_yaml, quoted, scalar, wildcard_route_yaml};
use crate::routes::report::VirtualHost;

/// Labels of the pods of Apigee's ingress gateway.
const INGRESS: &str = "app=apigee-ingressgateway";

/// A wildcard ApigeeRoute, and the name of the file for it.
pub(super) fn apigee_route(namespace: &str, name: &str, credential: &str) -> (String, String) {
    let file = if scalar(name) == name { format!("{name}.yaml") } else { "non-sni.yaml".to_owned() };
    let selector = [INGRESS.to_owned()];
    (file, wildcard_route_yaml(&WildcardRoute { name, namespace, credential, selector: &selector }))
}

/// A merge patch of an ApigeeRoute: what is given, and nothing else.
pub(super) fn route_patch(enable: bool, selector: &BTreeMap<String, String>) -> String {
    let mut yaml = String::from("spec:\n");
    if enable {
        yaml.push_str("  enableNonSniClient: true\n");
    }
    if !selector.is_empty() {
        yaml.push_str("  selector:\n");
    }
    for (key, value) in selector {
        // Writing to a `String` cannot fail.
        let _ = writeln!(yaml, "    {}: {}", scalar(key), scalar(value));
    }
    yaml
}

/// The lines of overrides.yaml that list the route `name` in each of the groups.
pub(super) fn overrides(hosts: &[VirtualHost], name: &str) -> String {
    let host = |host: &VirtualHost| VirtualHost { selector: Vec::new(), ..host.clone() };
    let hosts: Vec<VirtualHost> = hosts.iter().map(host).collect();
    overrides_yaml(&hosts, name)
}

/// A server of an Istio Gateway for whoever sends no name.
pub(super) fn istio_server(credential: &str, port: u16) -> String {
    format!(
        "\
spec:
  servers:
  - port:
      number: {port}
      name: https-non-sni
      protocol: HTTPS
    hosts:
    - \"*\"
    tls:
      mode: SIMPLE
      credentialName: {}
",
        scalar(credential)
    )
}

/// The same for the Gateway API: a listener without a hostname takes all.
pub(super) fn gateway_listener(credential: &str, port: u16) -> String {
    format!(
        "\
spec:
  listeners:
  - name: https-non-sni
    port: {port}
    protocol: HTTPS
    tls:
      mode: Terminate
      certificateRefs:
      - name: {}
",
        scalar(credential)
    )
}

/// The same for Envoy.
pub(super) fn envoy_chain() -> String {
    "\
filter_chains:
- name: non-sni
  transport_socket:
    name: envoy.transport_sockets.tls
    typed_config:
      \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
      common_tls_context:
        tls_certificates:
        - certificate_chain: { filename: CERTIFICATE.pem }
          private_key: { filename: PRIVATE_KEY.pem }
  filters: []  # those of the chain that has the name
"
    .to_owned()
}

/// Hosts of an Istio Gateway's server.
pub(super) fn hosts(names: &[String]) -> String {
    let hosts: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    format!("spec:\n  servers:\n  - hosts: [{}]\n", hosts.join(", "))
}

/// The lowest TLS version of an ApigeeRoute.
pub(super) fn min_version() -> String {
    "spec:\n  ports:\n  - number: 443\n    tls:\n      minProtocolVersion: TLSV1_0\n".to_owned()
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
