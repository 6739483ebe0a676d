//! What is wrong with listeners of Istio and of the Gateway API.

use std::collections::BTreeMap;

use super::entry::{Kind, RouteEntry};
use super::report::{Finding, FindingCode, Route};
use super::text::{list, or_none};

/// Judges the listeners that speak TLS. Whether clients without SNI are served by all gateways; `None` if there are
/// no such listeners.
pub(super) fn judge(entries: &[RouteEntry], findings: &mut Vec<Finding>) -> Option<bool> {
    let mut of_ports: BTreeMap<String, Vec<&RouteEntry>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.kind != Kind::ApigeeRoute && entry.tls_path.is_some()) {
        of_ports.entry(port_of(entry)).or_default().push(entry);
    }
    let mut serves = None;
    for listeners in of_ports.values() {
        serves = Some(judge_port(listeners, findings) && serves.unwrap_or(true));
    }
    serves
}

/// Those with the same choose by SNI among one another: Istio puts together all servers of the same pods and port.
fn port_of(entry: &RouteEntry) -> String {
    let gateway = match entry.kind {
        Kind::Istio => entry.route.selector.join(","),
        Kind::GatewayApi | Kind::ApigeeRoute => entry.object(),
    };
    format!("{} {gateway} {:?}", entry.kind.as_str(), entry.route.ports)
}

/// Judges the listeners of a port. Whether one of them serves clients without SNI.
fn judge_port(listeners: &[&RouteEntry], findings: &mut Vec<Finding>) -> bool {
    let wildcards: Vec<&RouteEntry> =
        listeners.iter().copied().filter(|entry| entry.route.wildcard).collect();
    if wildcards.is_empty() {
        findings.extend(listeners.first().map(|first| no_wildcard(first, listeners)));
        return false;
    }
    let mut serves = false;
    for entry in wildcards {
        let before = findings.len();
        judge_wildcard(entry, findings);
        serves |= findings.len() == before;
    }
    serves
}

fn judge_wildcard(entry: &RouteEntry, findings: &mut Vec<Finding>) {
    let Route { name, tls_mode, credential, .. } = &entry.route;
    let tls_path = entry.tls_path.as_deref().unwrap_or_default();
    let (mode, certificate) = match entry.kind {
        Kind::GatewayApi => ("Terminate", "certificateRefs"),
        Kind::Istio | Kind::ApigeeRoute => ("SIMPLE", "credentialName"),
    };
    if !terminates(&entry.route) {
        findings.push(Finding {
            code: FindingCode::TlsNotTerminated,
            object: entry.object(),
            path: format!("{tls_path}.mode"),
            value: or_none(tls_mode.as_deref()),
            expected: mode.to_owned(),
            sentence: format!("Listener {name} passes TLS on, so the gateway sends no certificate itself."),
        });
    } else if credential.is_none() && tls_mode.as_deref() != Some("ISTIO_MUTUAL") {
        findings.push(Finding {
            code: FindingCode::NoCredential,
            object: entry.object(),
            path: format!("{tls_path}.{certificate}"),
            value: or_none(None),
            expected: "the name of a TLS secret".to_owned(),
            sentence: format!("Listener {name} names no certificate."),
        });
    }
}

fn no_wildcard(first: &RouteEntry, listeners: &[&RouteEntry]) -> Finding {
    let hostnames: Vec<&str> =
        listeners.iter().flat_map(|entry| &entry.route.hostnames).map(String::as_str).collect();
    let expected = match first.kind {
        Kind::GatewayApi => "a listener without hostname".to_owned(),
        Kind::Istio | Kind::ApigeeRoute => list(&["*"]),
    };
    Finding {
        code: FindingCode::NoWildcardRoute,
        object: first.object(),
        path: first.hosts_path.clone(),
        value: list(&hostnames),
        expected,
        sentence: format!(
            "No TLS listener of port {} takes every host name: clients without SNI get no certificate, and are reset.",
            first.route.ports.first().map_or_else(|| "?".to_owned(), u16::to_string)
        ),
    }
}

/// Whether the gateway itself speaks TLS with the client. Of routes without a mode it is assumed.
pub(super) fn terminates(route: &Route) -> bool {
    !matches!(route.tls_mode.as_deref(), Some("PASSTHROUGH" | "AUTO_PASSTHROUGH" | "Passthrough"))
}
