//! `ApigeeRoute` and `ApigeeRouteConfig` (apigee.cloud.google.com/v1alpha1).

use anyhow::ensure;
use serde_json::{Map, Value};

use super::super::entry::{Clients, Kind, RouteEntry};
use super::super::report::Route;
use super::istio::{Tls, is_http, tls};
use super::values::{Fields, flag, labels, maps, number, text, texts};

/// Ports of a route, which are compared with those of other routes.
const MAX_PORTS: usize = 64;

/// A route, from its hosts and ports.
pub(super) fn route(fields: Fields<'_>) -> anyhow::Result<RouteEntry> {
    let spec = fields.spec;
    let ports = maps(spec, "ports", "spec")?;
    ensure!(ports.len() <= MAX_PORTS, "spec.ports: more than {MAX_PORTS} ports");
    let mut numbers = Vec::new();
    let mut tls_ports = Vec::new();
    let mut certificates = Vec::new();
    let mut of_tls: Option<(Tls, String)> = None;
    let mut speaks_tls = ports.is_empty();
    for (index, port) in ports.into_iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        let port_number = number(port, "number", &path)?;
        numbers.extend(port_number);
        let tls_path = format!("{path}.tls");
        let tls = tls(port, &tls_path)?;
        if is_plain(port, tls.is_some(), &path)? {
            continue;
        }
        speaks_tls = true;
        tls_ports.extend(port_number);
        let Some(tls) = tls else { continue };
        if let Some(name) = tls.credential.as_ref().filter(|name| !certificates.contains(*name)) {
            certificates.push(name.clone());
        }
        // The first port, unless a later one has no certificate.
        if of_tls.as_ref().is_none_or(|(first, _)| first.credential.is_some() && tls.credential.is_none()) {
            of_tls = Some((tls, tls_path));
        }
    }
    let (tls, tls_path) = of_tls.unwrap_or_else(|| (Tls::default(), "spec.ports[0].tls".to_owned()));
    let tls_path = speaks_tls.then_some(tls_path);
    entry(Kind::ApigeeRoute, fields, tls, tls_path, (numbers, tls_ports), certificates)
}

/// The settings of an environment group. Its host names come from Apigee.
pub(super) fn route_config(fields: Fields<'_>) -> anyhow::Result<RouteEntry> {
    let tls_path = "spec.tls".to_owned();
    let tls = tls(fields.spec, &tls_path)?.unwrap_or_default();
    let certificates = tls.credential.iter().cloned().collect();
    entry(Kind::ApigeeRouteConfig, fields, tls, Some(tls_path), (Vec::new(), Vec::new()), certificates)
}

fn entry(
    kind: Kind,
    fields: Fields<'_>,
    tls: Tls,
    tls_path: Option<String>,
    (ports, tls_ports): (Vec<u16>, Vec<u16>),
    certificates: Vec<String>,
) -> anyhow::Result<RouteEntry> {
    let spec = fields.spec;
    let hostnames = texts(spec, "hostnames", "spec")?;
    Ok(RouteEntry {
        kind,
        gateway: fields.name(),
        hosts_path: "spec.hostnames".to_owned(),
        tls_ports,
        certificates,
        clients: Clients::Any,
        listener: None,
        route: Route {
            kind: kind.as_str().to_owned(),
            namespace: fields.namespace(),
            name: fields.name(),
            wildcard: tls_path.is_some() && hostnames.iter().any(|host| host == "*"),
            hostnames,
            enable_non_sni_client: flag(spec, "enableNonSniClient", "spec")?,
            selector: labels(spec, "selector", "spec")?,
            credential: tls.credential,
            tls_mode: tls.mode,
            min_tls_version: tls.min_version,
            ports,
            additional_gateways: texts(spec, "additionalGateways", "spec")?,
            state: text(fields.status, "state", "status")?,
        },
        tls_path,
    })
}

/// Whether a port does not speak TLS. Without a protocol and without `tls` it is unknown, and TLS is assumed.
fn is_plain(port: &Map<String, Value>, has_tls: bool, path: &str) -> anyhow::Result<bool> {
    Ok(match text(port, "protocol", path)?.map(|protocol| protocol.to_ascii_uppercase()).as_deref() {
        None | Some("HTTPS" | "TLS") => false,
        Some(protocol) => is_http(protocol) || !has_tls,
    })
}
