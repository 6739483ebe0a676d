//! What is wrong with servers of Istio's Gateways.

use std::collections::BTreeMap;

use super::super::entry::RouteEntry;
use super::super::kinds::istio::host_name;
use super::super::report::{Finding, FindingCode, NoteCode, Route};
use super::super::text::{list, or_none};
use super::certificates::MAX_COMPARED;
use super::selectors::agree;
use super::{Found, Served, is_left_out, note_client_certificate, terminates};

/// Servers of the same pods and port choose by SNI among one another, whichever Gateway has them: by selector.
type Groups<'a> = BTreeMap<&'a [String], Vec<&'a RouteEntry>>;

/// What clients without SNI meet at the servers for every host of a selector.
#[derive(Clone, Copy)]
struct Wildcard<'a> {
    first: &'a RouteEntry,
    served: Served,
}

/// Judges the servers that speak TLS. Whether clients without SNI are served at all ports.
pub(super) fn judge(servers: &[&RouteEntry], found: &mut Found) -> Served {
    let mut of_ports: BTreeMap<&[u16], Groups<'_>> = BTreeMap::new();
    for entry in servers {
        if entry.tls_path.is_none() {
            note_ignored(entry, found);
            continue;
        }
        if is_left_out(entry, found) {
            continue;
        }
        found.findings.extend(upper_case(entry));
        note_client_certificate(&entry.object(), &entry.route, false, found);
        let groups = of_ports.entry(entry.route.ports.as_slice()).or_default();
        groups.entry(entry.route.selector.as_slice()).or_default().push(entry);
    }
    let mut served = Served::Nothing;
    for groups in of_ports.values() {
        served = served.max(judge_port(groups, found));
    }
    served
}

/// Notes that `tls` of a server has no effect. On a port of protocol HTTP it often is `httpsRedirect` alone.
fn note_ignored(entry: &RouteEntry, found: &mut Found) {
    let Some(mode) = entry.route.tls_mode.as_deref() else { return };
    let sentence = format!(
        "Server {} has tls with mode {mode}, but Istio speaks no TLS at a port with a protocol of HTTP (HTTP, HTTP2, GRPC, \
         GRPC-WEB): protocol HTTPS is the one with TLS.",
        entry.route.name
    );
    found.note(NoteCode::TlsIgnored, &entry.object(), sentence);
}

/// Judges the servers of a port.
fn judge_port(groups: &Groups<'_>, found: &mut Found) -> Served {
    let mut of_wildcards: BTreeMap<&[String], Wildcard<'_>> = BTreeMap::new();
    for (selector, servers) in groups {
        let mut wildcards = servers.iter().copied().filter(|entry| entry.route.wildcard);
        let Some(first) = wildcards.next() else { continue };
        let served = wildcards
            .fold(judge_wildcard(first, found), |served, entry| either(served, judge_wildcard(entry, found)));
        of_wildcards.insert(selector, Wildcard { first, served });
    }
    let is_comparable = of_wildcards.len() <= MAX_COMPARED;
    if let (Some(first), false) = (groups.values().flatten().next(), is_comparable) {
        let sentence = format!(
            "There are {} selectors of servers for every host: more than {MAX_COMPARED}, so only equal selectors are taken for \
             those of the same pods.",
            of_wildcards.len()
        );
        found.note(NoteCode::TooManyToCompare, &first.object(), sentence);
    }
    let mut served = Served::Nothing;
    for (selector, servers) in groups {
        // A selector with fewer labels selects these pods as well.
        let reaches = |labels: &[String]| {
            // Both are sorted.
            let mut rest = selector.iter();
            labels.iter().all(|label| rest.any(|other| other == label))
        };
        let of_group = if is_comparable {
            let here = of_wildcards.iter().filter(|(labels, _)| reaches(labels)).map(|(_, here)| here.served);
            here.reduce(either).or_else(|| {
                // Pods may have the labels of both.
                let mut others = of_wildcards.iter().filter(|(labels, _)| agree(selector, labels));
                let (_, other) = others.find(|(_, other)| other.served != Served::No)?;
                note_pods(servers.first()?, other.first, found);
                Some(Served::Unknown)
            })
        } else {
            of_wildcards.get(selector).map(|here| here.served)
        };
        served = served.max(of_group.unwrap_or_else(|| {
            found.findings.extend(servers.first().map(|first| no_wildcard(first, servers)));
            Served::No
        }));
    }
    served
}

/// What clients without SNI meet at two servers for every host. One that serves is enough; but which of two takes them is
/// not known, if one of them passes TLS on.
fn either(one: Served, other: Served) -> Served {
    if one == Served::Unknown || other == Served::Unknown { Served::Unknown } else { one.min(other) }
}

fn note_pods(server: &RouteEntry, wildcard: &RouteEntry, found: &mut Found) {
    let sentence = format!(
        "Server {} takes every host name, but its selector {} differs from {}, that of server {}. Whether both are at the \
         same pods depends on the labels of the pods, which are not read.",
        wildcard.route.name,
        list(&wildcard.route.selector),
        list(&server.route.selector),
        server.route.name
    );
    found.note(NoteCode::PodsUnknown, &server.object(), sentence);
}

fn judge_wildcard(entry: &RouteEntry, found: &mut Found) -> Served {
    let Route { name, tls_mode, credential, .. } = &entry.route;
    let tls_path = entry.tls_path.as_deref().unwrap_or_default();
    let (code, path, value, expected, sentence, served) = if terminates(&entry.route) {
        if credential.is_some() {
            return Served::Yes;
        }
        (
            FindingCode::NoCredential,
            "credentialName",
            or_none(None),
            "the name of a TLS secret",
            format!("Server {name} names no certificate."),
            Served::No,
        )
    } else if credential.is_none() {
        let sentence = format!(
            "Server {name} passes TLS on: whether clients without SNI are served is decided by its VirtualService and the \
             backend."
        );
        found.note(NoteCode::DecidedByBackend, &entry.object(), sentence);
        return Served::Unknown;
    } else {
        (
            FindingCode::TlsNotTerminated,
            "mode",
            or_none(tls_mode.as_deref()),
            "SIMPLE",
            format!(
                "Server {name} names a certificate but passes TLS on, so the backend decides. Without a mode it is PASSTHROUGH."
            ),
            Served::Unknown,
        )
    };
    found.findings.push(Finding {
        code,
        object: entry.object(),
        path: format!("{tls_path}.{path}"),
        value,
        expected: expected.to_owned(),
        sentence,
    });
    served
}

fn no_wildcard(first: &RouteEntry, servers: &[&RouteEntry]) -> Finding {
    let hostnames: Vec<&str> =
        servers.iter().flat_map(|entry| &entry.route.hostnames).map(String::as_str).collect();
    Finding {
        code: FindingCode::NoWildcardRoute,
        object: first.object(),
        path: first.hosts_path.clone(),
        value: list(&hostnames),
        expected: list(&["*"]),
        sentence: format!(
            "No TLS server of port {} takes every host name: clients without SNI get no certificate, and are reset.",
            first.route.ports.first().map_or_else(|| "?".to_owned(), u16::to_string)
        ),
    }
}

/// Envoy compares the name that the client sent, in lower case, with the host as it is written.
fn upper_case(entry: &RouteEntry) -> Option<Finding> {
    let is_upper = |host: &&String| host_name(host).bytes().any(|byte| byte.is_ascii_uppercase());
    let hosts: Vec<&String> = entry.route.hostnames.iter().filter(is_upper).collect();
    if hosts.is_empty() {
        return None;
    }
    let lower = |host: &&String| {
        let (namespace, name) = host.split_at(host.len() - host_name(host).len());
        format!("{namespace}{}", name.to_ascii_lowercase())
    };
    Some(Finding {
        code: FindingCode::UpperCaseHost,
        object: entry.object(),
        path: entry.hosts_path.clone(),
        value: list(&hosts),
        expected: list(&hosts.iter().map(lower).collect::<Vec<_>>()),
        sentence: format!(
            "Server {} has a host in upper case, which no client matches: Envoy compares names in lower case with it.",
            entry.route.name
        ),
    })
}
