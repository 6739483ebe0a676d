//! `Gateway` of Istio (networking.istio.io).

use serde_json::{Map, Value};

use super::super::entry::{Clients, Kind, RouteEntry};
use super::super::report::Route;
use super::values::{Fields, labels, map, maps, number, text, texts};

/// An entry for each server.
pub(super) fn servers(fields: Fields<'_>) -> anyhow::Result<Vec<RouteEntry>> {
    maps(fields.spec, "servers", "spec")?
        .into_iter()
        .enumerate()
        .map(|(index, server)| istio_server(fields, index, server))
        .collect()
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
    let speaks_tls = matches!(protocol.as_str(), "HTTPS" | "TLS") || tls.is_some() && !is_http(&protocol);
    let mut tls = tls.unwrap_or_default();
    if speaks_tls {
        // The first of the enum ServerTLSSettings.TLSmode.
        tls.mode.get_or_insert_with(|| "PASSTHROUGH".to_owned());
    }
    let of_server = text(server, "name", &path)?.or(text(port, "name", &port_path)?);
    let ports: Vec<u16> = number(port, "number", &port_path)?.into_iter().collect();
    let clients = match tls.mode.as_deref() {
        Some("AUTO_PASSTHROUGH") => Clients::OtherClusters,
        Some("ISTIO_MUTUAL") => Clients::MeshWorkloads,
        _ => Clients::Any,
    };
    let takes_clients = speaks_tls && clients == Clients::Any;
    Ok(RouteEntry {
        kind: Kind::Istio,
        gateway: fields.name(),
        hosts_path: format!("{path}.hosts"),
        tls_path: speaks_tls.then_some(tls_path),
        tls_ports: if speaks_tls { ports.clone() } else { Vec::new() },
        certificates: Vec::new(),
        clients,
        listener: None,
        route: Route {
            kind: Kind::Istio.as_str().to_owned(),
            namespace: fields.namespace(),
            name: format!("{}/{}", fields.name(), of_server.unwrap_or_else(|| index.to_string())),
            wildcard: takes_clients && hostnames.iter().any(|host| host_name(host) == "*"),
            hostnames,
            enable_non_sni_client: None,
            selector: labels(fields.spec, "selector", "spec")?,
            credential: tls.credential,
            tls_mode: tls.mode,
            min_tls_version: tls.min_version,
            ports,
            additional_gateways: Vec::new(),
            state: None,
        },
    })
}

/// A host without the namespace of the routes that may have it (`namespace/host`).
pub(in super::super) fn host_name(host: &str) -> &str {
    host.rsplit('/').next().unwrap_or(host)
}

/// Whether Istio takes the protocol, in upper case, for HTTP without TLS, whatever `tls` says
/// (istio/istio, pkg/config/gateway, `IsTLSServer`; pkg/config/protocol, `IsHTTP`).
pub(super) fn is_http(protocol: &str) -> bool {
    matches!(protocol, "HTTP" | "HTTP2" | "HTTP_PROXY" | "GRPC" | "GRPC-WEB")
}

/// `tls` of Istio, and of Apigee, which makes Gateways of Istio from its routes.
#[derive(Default)]
pub(super) struct Tls {
    pub(super) credential: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) min_version: Option<String>,
}

pub(super) fn tls(map_with_tls: &Map<String, Value>, path: &str) -> anyhow::Result<Option<Tls>> {
    let parent = path.strip_suffix(".tls").unwrap_or(path);
    let Some(tls) = map(map_with_tls, "tls", parent)? else { return Ok(None) };
    let credential = text(tls, "credentialName", path)?.filter(|name| !name.is_empty());
    let credential = credential.or(texts(tls, "credentialNames", path)?.into_iter().next());
    // Istio also takes files of the gateway's container.
    let mut credential = credential.or(text(tls, "serverCertificate", path)?);
    for (index, certificate) in maps(tls, "tlsCertificates", path)?.into_iter().enumerate() {
        let file = text(certificate, "serverCertificate", &format!("{path}.tlsCertificates[{index}]"))?;
        credential = credential.or(file);
    }
    let credential = credential.filter(|name| !name.is_empty());
    let min_version = text(tls, "minProtocolVersion", path)?;
    Ok(Some(Tls { credential, mode: text(tls, "mode", path)?, min_version }))
}
