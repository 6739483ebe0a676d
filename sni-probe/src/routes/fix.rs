//! The YAML that makes a gateway serve clients without SNI.

use std::fmt::Write as _;

use super::report::VirtualHost;

/// A wildcard route of Apigee hybrid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WildcardRoute<'a> {
    /// Its name, which `additionalGateways` lists.
    pub(crate) name: &'a str,
    /// That of the other routes.
    pub(crate) namespace: &'a str,
    /// The secret with the certificate that clients without SNI get.
    pub(crate) credential: &'a str,
    /// Labels of the ingress gateway's pods, as `key=value`.
    pub(crate) selector: &'a [String],
}

/// The `ApigeeRoute` to apply: that of Google's page on clients without SNI.
pub(crate) fn wildcard_route_yaml(route: &WildcardRoute<'_>) -> String {
    let WildcardRoute { name, namespace, credential, selector } = route;
    format!(
        "\
apiVersion: apigee.cloud.google.com/v1alpha1
kind: ApigeeRoute
metadata:
  name: {}
  namespace: {}
spec:
  hostnames:
  - \"*\"
  ports:
  - number: 443
    protocol: HTTPS
    tls:
      credentialName: {}
      mode: SIMPLE
      minProtocolVersion: TLS_AUTO
{}  enableNonSniClient: true
",
        scalar(name),
        scalar(namespace),
        scalar(credential),
        selector_yaml(selector),
    )
}

/// The lines of `overrides.yaml` with which each virtual host lists the gateway beside those that it lists already. Other
/// fields of the virtual hosts stay as they are.
pub(crate) fn overrides_yaml(virtual_hosts: &[VirtualHost], gateway: &str) -> String {
    let mut yaml = String::from("virtualhosts:\n");
    for VirtualHost { name, additional_gateways, selector, .. } in virtual_hosts {
        let mut gateways: Vec<String> = additional_gateways.iter().map(|name| quoted(name)).collect();
        if !additional_gateways.iter().any(|name| name == gateway) {
            gateways.push(quoted(gateway));
        }
        // Writing to a `String` cannot fail.
        let _ = writeln!(yaml, "- name: {}", scalar(name));
        yaml.push_str(&selector_yaml(selector));
        let _ = writeln!(yaml, "  additionalGateways: [{}]", gateways.join(", "));
    }
    yaml
}

fn selector_yaml(selector: &[String]) -> String {
    if selector.is_empty() {
        return String::new();
    }
    let mut yaml = String::from("  selector:\n");
    for (key, value) in selector.iter().filter_map(|label| label.split_once('=')) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(yaml, "    {}: {}", scalar(key), scalar(value));
    }
    yaml
}

/// A string as it is where YAML takes it for nothing else, else in quotes.
pub(crate) fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    // Of YAML 1.1 as well, which kubectl reads.
    let is_a_word_of_yaml = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text);
    if is_plain && !is_a_word_of_yaml { text.to_owned() } else { quoted(text) }
}

/// A JSON string, which is one of YAML too.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
