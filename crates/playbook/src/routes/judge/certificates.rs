//! The certificate that clients without SNI get from an ingress gateway of Apigee: there can be only one.

use super::super::entry::RouteEntry;
use super::super::report::{Finding, FindingCode, NoteCode, VirtualHost};
use super::super::text::list;
use super::Found;
use super::selectors::agree;

/// Wildcard routes that are compared with one another, which is quadratic.
pub(super) const MAX_COMPARED: usize = 100;

/// Adds wildcard routes at one gateway, and environment groups with different certificates at the gateway of one.
pub(super) fn judge(
    wildcards: &[&RouteEntry],
    named: &[&RouteEntry],
    virtual_hosts: &[VirtualHost],
    found: &mut Found,
) {
    let compared = wildcards.get(..MAX_COMPARED).unwrap_or(wildcards);
    if let Some(first) = wildcards.first().filter(|_| compared.len() < wildcards.len()) {
        let sentence = format!(
            "Only the first {MAX_COMPARED} of {} wildcard routes are compared with one another.",
            wildcards.len()
        );
        found.note(NoteCode::TooManyToCompare, &first.object(), sentence);
    }
    for (index, entry) in compared.iter().enumerate() {
        let before = compared.get(..index).unwrap_or_default();
        if let Some(other) = before.iter().find(|other| is_at_one_gateway(entry, other)) {
            found.findings.push(several_routes(other, entry));
        }
        let mut certificates: Vec<&str> = Vec::new();
        for of_group in named.iter().filter(|other| is_at_one_gateway(entry, other)) {
            certificates.extend(of_group.certificates.iter().map(String::as_str));
        }
        // The routes of environment groups are made from the virtual hosts.
        for host in virtual_hosts.iter().filter(|_| named.is_empty()) {
            if agree(&entry.route.selector, &host.selector) {
                certificates.extend(host.certificate.as_deref());
            }
        }
        certificates.sort_unstable();
        certificates.dedup();
        let own: Vec<&str> = entry.certificates.iter().map(String::as_str).collect();
        if own.len() > 1 {
            let what = format!("Wildcard route {} has several certificates", entry.route.name);
            found.findings.push(several_certificates(entry, &own, &what));
        } else if certificates.len() > 1 {
            let what = format!(
                "Environment groups at the ingress gateway of wildcard route {} have different certificates, and clients \
                 without SNI get that of the wildcard route",
                entry.route.name
            );
            found.findings.push(several_certificates(entry, &certificates, &what));
        }
    }
}

/// Whether the same pods may have both, at the same port.
fn is_at_one_gateway(one: &RouteEntry, other: &RouteEntry) -> bool {
    let (ports, of_other) = (&one.tls_ports, &other.tls_ports);
    let shares_port =
        ports.is_empty() || of_other.is_empty() || ports.iter().any(|port| of_other.contains(port));
    shares_port && agree(&one.route.selector, &other.route.selector)
}

fn several_routes(first: &RouteEntry, entry: &RouteEntry) -> Finding {
    Finding {
        code: FindingCode::SeveralWildcardRoutes,
        object: entry.object(),
        path: "spec.hostnames".to_owned(),
        value: list(&[first.object(), entry.object()]),
        expected: "one wildcard route for an ingress gateway and port".to_owned(),
        sentence: format!(
            "Wildcard routes {} and {} are at one ingress gateway: which certificate clients without SNI get is not \
             defined. Google's page says not to create two.",
            first.route.name, entry.route.name
        ),
    }
}

fn several_certificates(entry: &RouteEntry, certificates: &[&str], what: &str) -> Finding {
    Finding {
        code: FindingCode::SeveralCertificates,
        object: entry.object(),
        path: "spec.ports".to_owned(),
        value: list(certificates),
        expected: "one certificate for all host names".to_owned(),
        sentence: format!(
            "{what}. Google's page says that all environment groups must use the same key and certificate."
        ),
    }
}
