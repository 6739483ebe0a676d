//! The fields of the three kinds, as routes.

use anyhow::bail;
use serde_json::{Map, Value};
use sni_probe_terminal::printable_within;

use super::entry::{Kind, RouteEntry};
use super::report::Route;

/// Characters of a value in a message.
const MAX_SHOWN: usize = 80;
/// With which GKE names the certificates of a Gateway outside of its listeners.
const GKE_CERTIFICATES: &str = "networking.gke.io/certmap";

/// The parts of an object.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) metadata: &'a Map<String, Value>,
    pub(super) spec: &'a Map<String, Value>,
    pub(super) status: &'a Map<String, Value>,
}

impl Fields<'_> {
    /// Its name; empty if it has none.
    pub(super) fn name(&self) -> String {
        text(self.metadata, "name", "").ok().flatten().unwrap_or_default()
    }

    fn namespace(&self) -> String {
        text(self.metadata, "namespace", "").ok().flatten().unwrap_or_else(|| "default".to_owned())
    }
}

/// The routes of an object: one, or one for each server or listener.
///
/// # Errors
/// If a field is not of its type: its path, and what it has.
pub(super) fn entries(kind: Kind, fields: Fields<'_>) -> anyhow::Result<Vec<RouteEntry>> {
    match kind {
        Kind::ApigeeRoute => Ok(vec![apigee_route(fields)?]),
        Kind::Istio => maps(fields.spec, "servers", "spec")?
            .into_iter()
            .enumerate()
            .map(|(index, server)| istio_server(fields, index, server))
            .collect(),
        Kind::GatewayApi => maps(fields.spec, "listeners", "spec")?
            .into_iter()
            .enumerate()
            .map(|(index, listener)| gateway_listener(fields, index, listener))
            .collect(),
    }
}

fn apigee_route(fields: Fields<'_>) -> anyhow::Result<RouteEntry> {
    let spec = fields.spec;
    let hostnames = texts(spec, "hostnames", "spec")?;
    let mut ports = Vec::new();
    let mut of_tls: Option<(Tls, String)> = None;
    for (index, port) in maps(spec, "ports", "spec")?.into_iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        ports.extend(number(port, "number", &path)?);
        let path = format!("{path}.tls");
        let Some(tls) = tls(port, &path)? else { continue };
        // The first port, unless a later one has no certificate.
        if of_tls.as_ref().is_none_or(|(first, _)| first.credential.is_some() && tls.credential.is_none()) {
            of_tls = Some((tls, path));
        }
    }
    let (tls, tls_path) = of_tls.unwrap_or_else(|| (Tls::default(), "spec.ports[0].tls".to_owned()));
    Ok(RouteEntry {
        kind: Kind::ApigeeRoute,
        gateway: fields.name(),
        hosts_path: "spec.hostnames".to_owned(),
        tls_path: Some(tls_path),
        route: Route {
            kind: Kind::ApigeeRoute.as_str().to_owned(),
            namespace: fields.namespace(),
            name: fields.name(),
            wildcard: hostnames.iter().any(|host| host == "*"),
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
    })
}

fn istio_server(fields: Fields<'_>, index: usize, server: &Map<String, Value>) -> anyhow::Result<RouteEntry> {
    let path = format!("spec.servers[{index}]");
    let no_port = Map::new();
    let port = map(server, "port", &path)?.unwrap_or(&no_port);
    let port_path = format!("{path}.port");
    let hostnames = texts(server, "hosts", &path)?;
    let tls_path = format!("{path}.tls");
    let protocol = text(port, "protocol", &port_path)?.unwrap_or_default().to_ascii_uppercase();
    let tls = tls(server, &tls_path)?;
    // With `tls` on a port of HTTP there is only `httpsRedirect`.
    let speaks_tls = matches!(protocol.as_str(), "HTTPS" | "TLS") || tls.is_some() && protocol != "HTTP";
    let mut tls = tls.unwrap_or_default();
    if speaks_tls {
        // The first of the enum ServerTLSSettings.TLSmode.
        tls.mode.get_or_insert_with(|| "PASSTHROUGH".to_owned());
    }
    let of_server = text(server, "name", &path)?.or(text(port, "name", &port_path)?);
    Ok(RouteEntry {
        kind: Kind::Istio,
        gateway: fields.name(),
        hosts_path: format!("{path}.hosts"),
        tls_path: speaks_tls.then_some(tls_path),
        route: Route {
            kind: Kind::Istio.as_str().to_owned(),
            namespace: fields.namespace(),
            name: format!("{}/{}", fields.name(), of_server.unwrap_or_else(|| index.to_string())),
            // The name before the slash is a namespace: whose routes may have the host.
            wildcard: hostnames.iter().any(|host| host.rsplit('/').next() == Some("*")),
            hostnames,
            enable_non_sni_client: None,
            selector: labels(fields.spec, "selector", "spec")?,
            credential: tls.credential,
            tls_mode: tls.mode,
            min_tls_version: tls.min_version,
            ports: number(port, "number", &port_path)?.into_iter().collect(),
            additional_gateways: Vec::new(),
            state: None,
        },
    })
}

fn gateway_listener(
    fields: Fields<'_>,
    index: usize,
    listener: &Map<String, Value>,
) -> anyhow::Result<RouteEntry> {
    let path = format!("spec.listeners[{index}]");
    let tls_path = format!("{path}.tls");
    let protocol = text(listener, "protocol", &path)?.unwrap_or_default();
    let speaks_tls = matches!(protocol.as_str(), "HTTPS" | "TLS");
    // Without one it takes every name, and none.
    let hostname = text(listener, "hostname", &path)?.filter(|name| !name.is_empty());
    let hostname = hostname.unwrap_or_else(|| "*".to_owned());
    let no_tls = Map::new();
    let tls = map(listener, "tls", &path)?.unwrap_or(&no_tls);
    let mode = text(tls, "mode", &tls_path)?.unwrap_or_else(|| "Terminate".to_owned());
    let mut credential = None;
    for (index, reference) in maps(tls, "certificateRefs", &tls_path)?.into_iter().enumerate() {
        let name = text(reference, "name", &format!("{tls_path}.certificateRefs[{index}]"))?;
        credential = credential.or(name);
    }
    // Implementations have their own ways to name one.
    let options = labels(tls, "options", &tls_path)?.into_iter().next();
    let annotations = map(fields.metadata, "annotations", "metadata")?.unwrap_or(&no_tls);
    let credential = credential.or(options).or(text(annotations, GKE_CERTIFICATES, "metadata.annotations")?);
    let name = text(listener, "name", &path)?.unwrap_or_else(|| index.to_string());
    Ok(RouteEntry {
        kind: Kind::GatewayApi,
        gateway: fields.name(),
        hosts_path: format!("{path}.hostname"),
        tls_path: speaks_tls.then_some(tls_path),
        route: Route {
            kind: Kind::GatewayApi.as_str().to_owned(),
            namespace: fields.namespace(),
            name: format!("{}/{name}", fields.name()),
            wildcard: hostname == "*",
            hostnames: vec![hostname],
            enable_non_sni_client: None,
            selector: Vec::new(),
            credential,
            tls_mode: speaks_tls.then_some(mode),
            min_tls_version: None,
            ports: number(listener, "port", &path)?.into_iter().collect(),
            additional_gateways: Vec::new(),
            state: None,
        },
    })
}

/// `tls` of `ApigeeRoutes` and of Istio.
#[derive(Default)]
struct Tls {
    credential: Option<String>,
    mode: Option<String>,
    min_version: Option<String>,
}

fn tls(map_with_tls: &Map<String, Value>, path: &str) -> anyhow::Result<Option<Tls>> {
    let parent = path.strip_suffix(".tls").unwrap_or(path);
    let Some(tls) = map(map_with_tls, "tls", parent)? else { return Ok(None) };
    let credential = text(tls, "credentialName", path)?.filter(|name| !name.is_empty());
    let credential = credential.or(texts(tls, "credentialNames", path)?.into_iter().next());
    // Istio also takes files of the gateway's container.
    let credential = credential.or(text(tls, "serverCertificate", path)?);
    let min_version = text(tls, "minProtocolVersion", path)?;
    Ok(Some(Tls { credential, mode: text(tls, "mode", path)?, min_version }))
}

fn wrong<T>(path: &str, key: &str, expected: &str, value: &Value) -> anyhow::Result<T> {
    let dot = if path.is_empty() { "" } else { "." };
    bail!("{path}{dot}{key}: expected {expected}, it has {}", printable_within(MAX_SHOWN, &value.to_string()))
}

fn text(map: &Map<String, Value>, key: &str, path: &str) -> anyhow::Result<Option<String>> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => wrong(path, key, "a string", other),
    }
}

fn flag(map: &Map<String, Value>, key: &str, path: &str) -> anyhow::Result<Option<bool>> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(other) => wrong(path, key, "true or false without quotes", other),
    }
}

fn number(map: &Map<String, Value>, key: &str, path: &str) -> anyhow::Result<Option<u16>> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().map(u16::try_from) {
            Some(Ok(number)) => Ok(Some(number)),
            _ => wrong(path, key, "a port", value),
        },
    }
}

fn texts(map: &Map<String, Value>, key: &str, path: &str) -> anyhow::Result<Vec<String>> {
    let expected = "a list of strings";
    match map.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(values)) => values
            .iter()
            .map(|value| match value {
                Value::String(text) => Ok(text.clone()),
                other => wrong(path, key, expected, other),
            })
            .collect(),
        Some(other) => wrong(path, key, expected, other),
    }
}

fn map<'a>(
    map: &'a Map<String, Value>,
    key: &str,
    path: &str,
) -> anyhow::Result<Option<&'a Map<String, Value>>> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(other) => wrong(path, key, "a map", other),
    }
}

fn maps<'a>(
    map: &'a Map<String, Value>,
    key: &str,
    path: &str,
) -> anyhow::Result<Vec<&'a Map<String, Value>>> {
    let expected = "a list of maps";
    match map.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(values)) => values
            .iter()
            .map(|value| match value {
                Value::Object(map) => Ok(map),
                other => wrong(path, key, expected, other),
            })
            .collect(),
        Some(other) => wrong(path, key, expected, other),
    }
}

/// A map of strings as `key=value`, in the order of the keys.
fn labels(labels: &Map<String, Value>, key: &str, path: &str) -> anyhow::Result<Vec<String>> {
    let Some(labels) = map(labels, key, path)? else { return Ok(Vec::new()) };
    let path = format!("{path}.{key}");
    let mut pairs = Vec::new();
    for key in labels.keys() {
        pairs.push(format!("{key}={}", text(labels, key, &path)?.unwrap_or_default()));
    }
    pairs.sort();
    Ok(pairs)
}
