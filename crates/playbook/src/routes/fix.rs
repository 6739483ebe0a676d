//! The YAML that makes a gateway serve clients without SNI.

use serde::{Serialize, Serializer};
use serde_saphyr::{DoubleQuoted, FlowSeq, SerializerOptions};

use super::report::VirtualHost;

/// A wildcard route of Apigee hybrid.
#[derive(Clone, Copy, Debug)]
pub struct WildcardRoute<'a> {
    /// Its name, which `additionalGateways` lists.
    pub name: &'a str,
    /// That of the other routes.
    pub namespace: &'a str,
    /// The secret with the certificate that clients without SNI get.
    pub credential: &'a str,
    /// Labels of the ingress gateway's pods, as `key=value`.
    pub selector: &'a [String],
}

/// An object of Kubernetes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a, S> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    spec: S,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    namespace: &'a str,
}

/// The `spec` of an `ApigeeRoute`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RouteSpec<'a> {
    hostnames: [DoubleQuoted<&'static str>; 1],
    ports: [RoutePort<'a>; 1],
    #[serde(skip_serializing_if = "Labels::is_empty")]
    selector: Labels<'a>,
    enable_non_sni_client: bool,
}

#[derive(Serialize)]
struct RoutePort<'a> {
    number: u16,
    protocol: &'static str,
    tls: RouteTls<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RouteTls<'a> {
    credential_name: &'a str,
    mode: &'static str,
    min_protocol_version: &'static str,
}

/// The part of `overrides.yaml` that lists gateways.
#[derive(Serialize)]
struct Overrides<'a> {
    virtualhosts: Vec<VirtualHostEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VirtualHostEntry<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    selector: Labels<'a>,
    additional_gateways: FlowSeq<Vec<DoubleQuoted<&'a str>>>,
}

/// Labels, in the order in which they were given.
struct Labels<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Labels<'a> {
    fn of(selector: &'a [String]) -> Self {
        Self(selector.iter().filter_map(|label| label.split_once('=')).collect())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// The `ApigeeRoute` to apply: that of Google's page on clients without SNI.
pub fn wildcard_route_yaml(route: &WildcardRoute<'_>) -> String {
    let WildcardRoute { name, namespace, credential, selector } = *route;
    let tls = RouteTls { credential_name: credential, mode: "SIMPLE", min_protocol_version: "TLS_AUTO" };
    yaml(&Object {
        api_version: "apigee.cloud.google.com/v1alpha1",
        kind: "ApigeeRoute",
        metadata: Metadata { name, namespace },
        spec: RouteSpec {
            hostnames: [DoubleQuoted("*")],
            ports: [RoutePort { number: 443, protocol: "HTTPS", tls }],
            selector: Labels::of(selector),
            enable_non_sni_client: true,
        },
    })
}

/// The lines of `overrides.yaml` with which each virtual host lists the gateway beside those that it lists already. Other
/// fields of the virtual hosts stay as they are.
pub fn overrides_yaml(virtual_hosts: &[VirtualHost], gateway: &str) -> String {
    let entries = virtual_hosts.iter().map(|host| {
        let VirtualHost { name, additional_gateways, selector, .. } = host;
        let mut gateways: Vec<_> =
            additional_gateways.iter().map(|name| DoubleQuoted(name.as_str())).collect();
        if !additional_gateways.iter().any(|name| name == gateway) {
            gateways.push(DoubleQuoted(gateway));
        }
        VirtualHostEntry { name, selector: Labels::of(selector), additional_gateways: FlowSeq(gateways) }
    });
    yaml(&Overrides { virtualhosts: entries.collect() })
}

/// A value as a document of YAML. Strings are quoted wherever YAML 1.2, or YAML 1.1 (which kubectl reads), would take
/// them for something else.
pub fn yaml(value: &impl Serialize) -> String {
    let mut options = SerializerOptions::default();
    // A name with a line feed stays on its line.
    options.prefer_block_scalars = false;
    // Strings, lists and maps with string keys can all be written.
    serde_saphyr::to_string_with_options(value, options)
        .unwrap_or_else(|error| format!("# this cannot be written as YAML: {error}\n"))
}
