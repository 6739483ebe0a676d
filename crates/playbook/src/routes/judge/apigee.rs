//! What is wrong with `ApigeeRoutes`, their settings and virtual hosts, in the order of Google's page on clients without SNI.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::super::entry::{Kind, RouteEntry};
use super::super::report::{Finding, FindingCode, Route, VirtualHost};
use super::super::text::{list, or_none};
use super::selectors::agree;
use super::{Found, Served, certificates, note_client_certificate, terminates};

/// The name that Google's page gives the wildcard route.
pub(in super::super) const USUAL_NAME: &str = "non-sni";
/// `status.state` of a route that is in effect.
const RUNNING: &str = "running";

/// All that is known of an Apigee installation.
pub(super) struct Apigee<'a> {
    /// Routes with a port that speaks TLS.
    pub(super) routes: Vec<&'a RouteEntry>,
    /// The settings of environment groups.
    pub(super) configs: Vec<&'a RouteEntry>,
    /// Names that `additionalGateways` may have.
    pub(super) gateways: HashSet<&'a str>,
    pub(super) virtual_hosts: &'a [VirtualHost],
    /// The name of the file with the virtual hosts.
    pub(super) overrides: &'a str,
    /// Labels of the ingress gateway's pods, as `key=value`.
    pub(super) ingress: &'a [String],
}

/// What names additional gateways: a virtual host of `overrides.yaml`, or the settings or the route made from one.
struct Group<'a> {
    object: String,
    path: String,
    what: String,
    listed: &'a [String],
    selector: &'a [String],
    /// Of a route; a virtual host has none.
    ports: &'a [u16],
    /// What to do if a name is missing.
    remedy: &'static str,
}

impl Apigee<'_> {
    /// Adds what is wrong, and says whether clients without SNI are served.
    pub(super) fn judge(&self, found: &mut Found) -> Served {
        let groups = self.groups();
        for entry in self.routes.iter().chain(&self.configs) {
            self.judge_route(entry, &mut found.findings);
            note_client_certificate(&entry.object(), &entry.route, false, found);
        }
        let named_with_flag =
            || self.routes.iter().chain(&self.configs).any(|entry| has_flag_on_names(&entry.route));
        let served = if self.routes.is_empty() {
            judge_groups_alone(&groups, &mut found.findings)
        } else {
            self.judge_routes(&groups, named_with_flag(), found)
        };
        // The flag may serve them where no wildcard route does.
        if served == Served::No && named_with_flag() { Served::Unknown } else { served }
    }

    fn judge_routes(&self, groups: &[Group<'_>], has_flag_on_names: bool, found: &mut Found) -> Served {
        self.judge_names(groups, &mut found.findings);
        let wildcards: Vec<&RouteEntry> =
            self.routes.iter().copied().filter(|entry| entry.route.wildcard).collect();
        if wildcards.is_empty() {
            // With the flag there is a finding of its own.
            if !has_flag_on_names {
                found.findings.push(self.no_wildcard_route());
            }
            return Served::No;
        }
        let kept_out: HashSet<&str> = found
            .findings
            .iter()
            .filter(|finding| finding.code.keeps_out())
            .map(|finding| finding.object.as_str())
            .collect();
        let sound: HashSet<String> = wildcards
            .iter()
            .map(|entry| entry.object())
            .filter(|object| !kept_out.contains(object.as_str()))
            .collect();
        let mut by_name: HashMap<&str, Vec<&RouteEntry>> = HashMap::new();
        for entry in &wildcards {
            by_name.entry(entry.route.name.as_str()).or_default().push(entry);
        }
        let first = wildcards.first().map_or(USUAL_NAME, |entry| entry.route.name.as_str());
        let mut is_served = !sound.is_empty();
        for group in groups {
            is_served &= judge_group(group, &by_name, first, &sound, &mut found.findings);
        }
        let named: Vec<&RouteEntry> =
            self.routes.iter().copied().filter(|entry| !entry.route.wildcard).collect();
        certificates::judge(&wildcards, &named, self.virtual_hosts, found);
        if is_served { Served::Yes } else { Served::No }
    }

    /// Virtual hosts, and routes other than those that are additional gateways themselves.
    fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for (index, host) in self.virtual_hosts.iter().enumerate() {
            groups.push(Group {
                object: self.overrides.to_owned(),
                path: format!("virtualhosts[{index}].additionalGateways"),
                what: format!("The virtual host of environment group {}", host.name),
                listed: &host.additional_gateways,
                selector: &host.selector,
                ports: &[],
                remedy: "add it, and apply the overrides",
            });
        }
        let of_routes = self.routes.iter().flat_map(|entry| &entry.route.additional_gateways);
        let of_hosts = self.virtual_hosts.iter().flat_map(|host| &host.additional_gateways);
        let of_configs = self.configs.iter().flat_map(|entry| &entry.route.additional_gateways);
        let additional: HashSet<&str> =
            of_routes.chain(of_hosts).chain(of_configs).map(|name| bare(name)).collect();
        for entry in self.configs.iter().chain(&self.routes) {
            let Route { name, wildcard, additional_gateways, selector, .. } = &entry.route;
            let is_route = entry.kind == Kind::ApigeeRoute;
            if *wildcard || is_route && additional.contains(name.as_str()) {
                continue;
            }
            groups.push(Group {
                object: entry.object(),
                path: "spec.additionalGateways".to_owned(),
                what: format!("{} {name}", if is_route { "Route" } else { "ApigeeRouteConfig" }),
                listed: additional_gateways,
                selector,
                ports: &entry.tls_ports,
                remedy: "it comes from additionalGateways of the virtual host in overrides.yaml: set it there, and \
                         apply the overrides",
            });
        }
        groups
    }

    /// What a route says of itself.
    fn judge_route(&self, entry: &RouteEntry, findings: &mut Vec<Finding>) {
        let Route { name, wildcard, hostnames, enable_non_sni_client, selector, credential, state, .. } =
            &entry.route;
        let mut add = |code, path: &str, value: String, expected: String, sentence: String| {
            findings.push(Finding {
                code,
                object: entry.object(),
                path: path.to_owned(),
                value,
                expected,
                sentence,
            });
        };
        let tls_path = entry.tls_path.as_deref().unwrap_or("spec.ports[0].tls");
        if *wildcard && *enable_non_sni_client != Some(true) {
            add(
                FindingCode::NonSniClientNotEnabled,
                "spec.enableNonSniClient",
                enable_non_sni_client.map_or_else(|| or_none(None), |flag| flag.to_string()),
                "true".to_owned(),
                format!("Wildcard route {name} does not enable clients without SNI."),
            );
        }
        if has_flag_on_names(&entry.route) {
            add(
                FindingCode::NonSniClientOnNames,
                "spec.enableNonSniClient",
                "true".to_owned(),
                "a route of its own with the host name *".to_owned(),
                format!(
                    "{} {name} is for host names and has enableNonSniClient. Google's page says that hostnames must be *; \
                     the CRD reference says that the flag adds * to the gateway. Which of them holds is not known: try it \
                     with `sni-probe check`.",
                    entry.kind.as_str()
                ),
            );
        }
        if *wildcard && !names_all(selector, self.ingress) {
            add(
                FindingCode::SelectorMismatch,
                "spec.selector",
                list(selector),
                list(self.ingress),
                format!(
                    "The selector of wildcard route {name} does not name the ingress gateway's pods. If these have other \
                     labels, name the labels with --ingress."
                ),
            );
        }
        if *wildcard && !terminates(&entry.route) {
            add(
                FindingCode::TlsNotTerminated,
                &format!("{tls_path}.mode"),
                or_none(entry.route.tls_mode.as_deref()),
                "SIMPLE".to_owned(),
                format!("Wildcard route {name} does not end TLS, so no certificate is sent."),
            );
        }
        if credential.is_none() && entry.kind == Kind::ApigeeRoute {
            add(
                FindingCode::NoCredential,
                &format!("{tls_path}.credentialName"),
                or_none(None),
                "the name of a TLS secret".to_owned(),
                format!("Route {name} names no certificate."),
            );
        }
        if let Some(state) = state.as_deref().filter(|state| *state != RUNNING) {
            add(
                FindingCode::NotRunning,
                "status.state",
                list(&[state]),
                RUNNING.to_owned(),
                format!("Route {name} is not in effect; `kubectl describe apigeeroute` says why."),
            );
        }
        if *wildcard && hostnames.len() > 1 {
            add(
                FindingCode::WildcardAmongOthers,
                "spec.hostnames",
                list(hostnames),
                list(&["*"]),
                format!("Wildcard route {name} has other host names beside *, which it covers."),
            );
        }
    }

    /// Names of gateways that there are not.
    fn judge_names(&self, groups: &[Group<'_>], findings: &mut Vec<Finding>) {
        for group in groups {
            for name in group.listed.iter().filter(|name| !self.gateways.contains(bare(name))) {
                findings.push(Finding {
                    code: FindingCode::UnknownAdditionalGateway,
                    object: group.object.clone(),
                    path: group.path.clone(),
                    value: list(&[name]),
                    expected: "the name of a route".to_owned(),
                    sentence: format!(
                        "{} names gateway {name}, and there is no route of that name.",
                        group.what
                    ),
                });
            }
        }
    }

    fn no_wildcard_route(&self) -> Finding {
        let namespace = self.routes.first().map_or("apigee", |entry| entry.route.namespace.as_str());
        let hostnames: Vec<&str> =
            self.routes.iter().flat_map(|entry| &entry.route.hostnames).map(String::as_str).collect();
        Finding {
            code: FindingCode::NoWildcardRoute,
            object: format!("namespace {namespace}"),
            path: "spec.hostnames".to_owned(),
            value: list(&hostnames),
            expected: list(&["*"]),
            sentence:
                "No ApigeeRoute with a TLS port has the host name *: clients without SNI get no certificate, and are reset."
                    .to_owned(),
        }
    }
}

/// Without routes: an environment group that names no gateway has no wildcard route, one that does may have one.
fn judge_groups_alone(groups: &[Group<'_>], findings: &mut Vec<Finding>) -> Served {
    let before = findings.len();
    findings.extend(
        groups.iter().filter(|group| group.listed.is_empty()).map(|group| not_listed(group, USUAL_NAME)),
    );
    match groups {
        [] => Served::Nothing,
        _ if findings.len() > before => Served::No,
        _ => Served::Unknown,
    }
}

/// Whether a route for host names is to take clients without SNI as well: two references differ about that.
fn has_flag_on_names(route: &Route) -> bool {
    route.enable_non_sni_client == Some(true) && !route.hostnames.iter().any(|host| host == "*")
}

/// Whether a group is bound to a wildcard route that serves it. `wildcards` are by name, `usual` is the one that a group
/// should list, and `sound` are the objects with which nothing else is wrong.
fn judge_group(
    group: &Group<'_>,
    wildcards: &HashMap<&str, Vec<&RouteEntry>>,
    usual: &str,
    sound: &HashSet<String>,
    findings: &mut Vec<Finding>,
) -> bool {
    let listed: BTreeSet<&str> = group.listed.iter().map(|name| bare(name)).collect();
    let bound: Vec<&RouteEntry> =
        listed.iter().filter_map(|name| wildcards.get(name)).flatten().copied().collect();
    let Some(first) = bound.first() else {
        findings.push(not_listed(group, usual));
        return false;
    };
    let here: Vec<&RouteEntry> =
        bound.iter().copied().filter(|entry| agree(&entry.route.selector, group.selector)).collect();
    if here.is_empty() {
        let finding = Finding {
            code: FindingCode::SelectorMismatch,
            object: first.object(),
            path: "spec.selector".to_owned(),
            value: list(&first.route.selector),
            expected: list(group.selector),
            sentence: format!(
                "{} is at another ingress gateway than its wildcard route {}.",
                group.what, first.route.name
            ),
        };
        findings.push(finding);
    }
    // Both may be wrong at once.
    let candidates = if here.is_empty() { &bound } else { &here };
    let is_missed = |port: &u16| !candidates.iter().any(|entry| has_port(entry, *port));
    if let (Some(first), true) = (candidates.first(), group.ports.iter().any(is_missed)) {
        findings.push(Finding {
            code: FindingCode::PortMismatch,
            object: first.object(),
            path: "spec.ports".to_owned(),
            value: numbers(&first.tls_ports),
            expected: numbers(group.ports),
            sentence: format!(
                "{} is at other ports than its wildcard route {}.",
                group.what, first.route.name
            ),
        });
        return false;
    }
    here.iter().any(|entry| sound.contains(&entry.object()))
}

/// Whether a route is at the port; one that names none may be at any.
fn has_port(entry: &RouteEntry, port: u16) -> bool {
    entry.tls_ports.is_empty() || entry.tls_ports.contains(&port)
}

fn numbers(ports: &[u16]) -> String {
    format!("{ports:?}")
}

fn not_listed(group: &Group<'_>, name: &str) -> Finding {
    let mut expected: Vec<&str> = group.listed.iter().map(String::as_str).collect();
    expected.push(name);
    Finding {
        code: FindingCode::NotInAdditionalGateways,
        object: group.object.clone(),
        path: group.path.clone(),
        value: list(group.listed),
        expected: list(&expected),
        sentence: format!("{} does not list wildcard route {name}; {}.", group.what, group.remedy),
    }
}

/// Whether the selector has each of the labels. It may have more: `ingress_name` is one of several gateways.
fn names_all(selector: &[String], labels: &[String]) -> bool {
    labels.iter().all(|label| selector.contains(label))
}

/// A gateway's name without a namespace.
fn bare(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
