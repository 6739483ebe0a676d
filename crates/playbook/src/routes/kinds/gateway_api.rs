//! Kinds of the Gateway API (gateway.networking.k8s.io): `Gateway`, `ListenerSet`, `TLSRoute`, `TCPRoute`, `GatewayClass`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::super::entry::{Clients, Kind, RouteEntry};
use super::super::listener::{Certificate, Condition, From, Listener};
use super::super::report::Route;
use super::values::{Fields, labels, map, maps, number, text, texts};

/// With which GKE names the certificates of a Gateway outside of its listeners.
const GKE_CERTIFICATES: &str = "networking.gke.io/certmap";
/// Options of a listener's `tls` that name a certificate. Sources: GKE, "Secure a Gateway"; AWS Gateway API controller
/// (VPC Lattice), "HTTPS".
const CERTIFICATE_OPTIONS: [&str; 3] = [
    "networking.gke.io/pre-shared-certs",
    "networking.gke.io/cert-manager-certs",
    "application-networking.k8s.aws/certificate-arn",
];
/// Prefixes of options that name no certificate: of implementations that read it from `certificateRefs` only.
const OTHER_OPTIONS: [&str; 4] =
    ["gateway.istio.io/", "kgateway.dev/", "gateway.gloo.solo.io/", "nginx.org/"];
/// Istio: `MUTUAL`, `ISTIO_MUTUAL`, `ISTIO_SIMPLE`; the last two have the certificate of the gateway's workload.
const ISTIO_MODE: &str = "gateway.istio.io/tls-terminate-mode";
/// Istio: `auto-passthrough`.
const ISTIO_PROTOCOL: &str = "gateway.istio.io/listener-protocol";

/// A Gateway beside its listeners.
#[derive(Debug)]
pub(in super::super) struct GatewayFacts {
    pub(in super::super) class: Option<String>,
    /// Namespaces of the `ListenerSets` that may attach.
    pub(in super::super) sets_from: From,
    pub(in super::super) frontend: FrontendValidation,
    pub(in super::super) conditions: Vec<Condition>,
}

/// `spec.tls.frontend` of a Gateway: whether clients of its HTTPS listeners need a certificate. Gateway API 1.5, GEP-91.
#[derive(Debug, Default)]
pub(in super::super) struct FrontendValidation {
    default: bool,
    /// Ports for which `default` does not count.
    ports: HashMap<u16, bool>,
}

impl FrontendValidation {
    /// Whether clients need a certificate at one of the ports.
    pub(in super::super) fn asks_at(&self, ports: &[u16]) -> bool {
        ports.iter().any(|port| self.ports.get(port).copied().unwrap_or(self.default))
    }
}

/// A `ListenerSet` beside its listeners.
#[derive(Debug)]
pub(in super::super) struct SetFacts {
    pub(in super::super) parent: ParentRef,
    pub(in super::super) conditions: Vec<Condition>,
}

/// A route that takes the connections of a TLS listener.
#[derive(Debug)]
pub(in super::super) struct AttachedRoute {
    pub(in super::super) parents: Vec<RouteParent>,
    /// A `TLSRoute`; otherwise a `TCPRoute`.
    pub(in super::super) is_tls: bool,
    /// Whether it takes only clients with one of its names. Only a `TLSRoute` before v1 may have none.
    pub(in super::super) needs_name: bool,
}

/// A reference of a route, and the condition `Accepted` that its status has of it.
#[derive(Debug)]
pub(in super::super) struct RouteParent {
    pub(in super::super) reference: ParentRef,
    pub(in super::super) accepted: Option<Condition>,
}

/// A reference to a Gateway or a `ListenerSet`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct ParentRef {
    /// `None` if it is of another kind.
    pub(in super::super) kind: Option<Kind>,
    /// "namespace/name".
    pub(in super::super) object: String,
    /// The listener's name; `None` for all of them.
    pub(in super::super) section: Option<String>,
    pub(in super::super) port: Option<u16>,
}

/// An entry for each listener of a Gateway or a `ListenerSet`.
pub(super) fn listeners(kind: Kind, fields: Fields<'_>) -> anyhow::Result<Vec<RouteEntry>> {
    let mut states = HashMap::new();
    for (index, state) in maps(fields.status, "listeners", "status")?.into_iter().enumerate() {
        let path = format!("status.listeners[{index}]");
        states.insert(text(state, "name", &path)?.unwrap_or_default(), conditions(fields, state, &path)?);
    }
    let mut entries = Vec::new();
    for (index, listener) in maps(fields.spec, "listeners", "spec")?.into_iter().enumerate() {
        let mut entry = read_listener(kind, fields, index, listener)?;
        if let Some(facts) = &mut entry.listener {
            facts.conditions = states.remove(&facts.name).unwrap_or_default();
        }
        entries.push(entry);
    }
    Ok(entries)
}

pub(super) fn gateway(fields: Fields<'_>) -> anyhow::Result<GatewayFacts> {
    let nothing = Map::new();
    let allowed = map(fields.spec, "allowedListeners", "spec")?.unwrap_or(&nothing);
    Ok(GatewayFacts {
        class: text(fields.spec, "gatewayClassName", "spec")?,
        sets_from: from(allowed, "spec.allowedListeners")?.unwrap_or(From::None),
        frontend: frontend(fields.spec)?,
        conditions: conditions(fields, fields.status, "status")?,
    })
}

fn frontend(spec: &Map<String, Value>) -> anyhow::Result<FrontendValidation> {
    let path = "spec.tls.frontend";
    let Some(tls) = map(spec, "tls", "spec")? else { return Ok(FrontendValidation::default()) };
    let Some(frontend) = map(tls, "frontend", "spec.tls")? else { return Ok(FrontendValidation::default()) };
    let asks = |settings: Option<&Map<String, Value>>, path: &str| {
        let Some(settings) = settings else { return Ok(false) };
        let Some(validation) = map(settings, "validation", path)? else { return Ok(false) };
        let mode = text(validation, "mode", &format!("{path}.validation"))?;
        Ok::<_, anyhow::Error>(mode.as_deref() != Some("AllowInsecureFallback"))
    };
    let default = asks(map(frontend, "default", path)?, &format!("{path}.default"))?;
    let mut ports = HashMap::new();
    for (index, entry) in maps(frontend, "perPort", path)?.into_iter().enumerate() {
        let path = format!("{path}.perPort[{index}]");
        let of_port = asks(map(entry, "tls", &path)?, &format!("{path}.tls"))?;
        ports.extend(number(entry, "port", &path)?.map(|port| (port, of_port)));
    }
    Ok(FrontendValidation { default, ports })
}

pub(super) fn listener_set(fields: Fields<'_>) -> anyhow::Result<SetFacts> {
    let nothing = Map::new();
    let parent = map(fields.spec, "parentRef", "spec")?.unwrap_or(&nothing);
    Ok(SetFacts {
        parent: parent_ref(fields, parent, "spec.parentRef")?,
        conditions: conditions(fields, fields.status, "status")?,
    })
}

pub(super) fn attached_route(
    kind: Kind,
    api_version: &str,
    fields: Fields<'_>,
) -> anyhow::Result<AttachedRoute> {
    let states = parent_states(fields)?;
    let mut parents = Vec::new();
    for (index, parent) in maps(fields.spec, "parentRefs", "spec")?.into_iter().enumerate() {
        let reference = parent_ref(fields, parent, &format!("spec.parentRefs[{index}]"))?;
        let accepted = states.get(&reference).cloned();
        parents.push(RouteParent { reference, accepted });
    }
    let has_names = !texts(fields.spec, "hostnames", "spec")?.is_empty();
    // From v1 on the API server takes no TLSRoute without hostnames.
    let needs_name = kind == Kind::TlsRoute && (has_names || api_version.ends_with("/v1"));
    Ok(AttachedRoute { parents, is_tls: kind == Kind::TlsRoute, needs_name })
}

/// The condition `Accepted` of each parent in a route's status.
fn parent_states(fields: Fields<'_>) -> anyhow::Result<HashMap<ParentRef, Condition>> {
    let mut states: HashMap<ParentRef, Condition> = HashMap::new();
    let nothing = Map::new();
    for (index, state) in maps(fields.status, "parents", "status")?.into_iter().enumerate() {
        let path = format!("status.parents[{index}]");
        let parent = map(state, "parentRef", &path)?.unwrap_or(&nothing);
        let reference = parent_ref(fields, parent, &format!("{path}.parentRef"))?;
        let conditions = conditions(fields, state, &path)?;
        let Some(accepted) = conditions.into_iter().find(|condition| condition.name == "Accepted") else {
            continue;
        };
        // Of several controllers, one that accepts it is enough.
        let is_certain = |condition: &Condition| condition.status == "True" && !condition.is_outdated;
        if !states.get(&reference).is_some_and(is_certain) {
            states.insert(reference, accepted);
        }
    }
    Ok(states)
}

pub(super) fn controller(fields: Fields<'_>) -> anyhow::Result<Option<String>> {
    text(fields.spec, "controllerName", "spec")
}

fn read_listener(
    kind: Kind,
    fields: Fields<'_>,
    index: usize,
    listener: &Map<String, Value>,
) -> anyhow::Result<RouteEntry> {
    let path = format!("spec.listeners[{index}]");
    let tls_path = format!("{path}.tls");
    // The API compares protocols without regard to case.
    let protocol = text(listener, "protocol", &path)?.unwrap_or_default().to_ascii_uppercase();
    let speaks_tls = matches!(protocol.as_str(), "HTTPS" | "TLS");
    // Without one it takes every name, and none.
    let hostname = text(listener, "hostname", &path)?.filter(|name| !name.is_empty());
    let hostname = hostname.unwrap_or_else(|| "*".to_owned());
    let nothing = Map::new();
    let tls = map(listener, "tls", &path)?;
    let has_tls = tls.is_some();
    let tls = tls.unwrap_or(&nothing);
    let mode = text(tls, "mode", &tls_path)?.unwrap_or_else(|| "Terminate".to_owned());
    let mut credential = None;
    for (index, reference) in maps(tls, "certificateRefs", &tls_path)?.into_iter().enumerate() {
        let name = text(reference, "name", &format!("{tls_path}.certificateRefs[{index}]"))?;
        credential = credential.or(name);
    }
    // Implementations have their own ways to name one.
    let options = labels(tls, "options", &tls_path)?;
    let option = |key: &str| {
        options
            .iter()
            .filter_map(|option| option.split_once('='))
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    };
    let annotations = map(fields.metadata, "annotations", "metadata")?.unwrap_or(&nothing);
    let of_option = CERTIFICATE_OPTIONS.iter().find_map(|key| Some(format!("{key}={}", option(key)?)));
    let credential =
        credential.or(of_option).or(text(annotations, GKE_CERTIFICATES, "metadata.annotations")?);
    let istio_mode = option(ISTIO_MODE);
    let is_known = |option: &String| OTHER_OPTIONS.iter().any(|prefix| option.starts_with(prefix));
    let certificate = if credential.is_some() || matches!(istio_mode, Some("ISTIO_SIMPLE" | "ISTIO_MUTUAL")) {
        Certificate::Named
    } else if !options.iter().all(is_known) {
        Certificate::Option
    } else if has_tls {
        Certificate::Missing
    } else {
        Certificate::NoTls
    };
    let clients = if mode == "Passthrough" && option(ISTIO_PROTOCOL) == Some("auto-passthrough") {
        Clients::OtherClusters
    } else if mode == "Terminate" && istio_mode == Some("ISTIO_MUTUAL") {
        Clients::MeshWorkloads
    } else {
        Clients::Any
    };
    let name = text(listener, "name", &path)?.unwrap_or_else(|| index.to_string());
    let ports: Vec<u16> = number(listener, "port", &path)?.into_iter().collect();
    let allowed_path = format!("{path}.allowedRoutes");
    let allowed = map(listener, "allowedRoutes", &path)?.unwrap_or(&nothing);
    let mut route_kinds = Vec::new();
    for (index, route_kind) in maps(allowed, "kinds", &allowed_path)?.into_iter().enumerate() {
        route_kinds.extend(text(route_kind, "kind", &format!("{allowed_path}.kinds[{index}]"))?);
    }
    Ok(RouteEntry {
        kind,
        gateway: fields.name(),
        hosts_path: format!("{path}.hostname"),
        tls_path: speaks_tls.then_some(tls_path.clone()),
        tls_ports: if speaks_tls { ports.clone() } else { Vec::new() },
        certificates: Vec::new(),
        clients,
        route: Route {
            kind: kind.as_str().to_owned(),
            namespace: fields.namespace(),
            name: format!("{}/{name}", fields.name()),
            wildcard: speaks_tls && clients == Clients::Any && hostname == "*",
            hostnames: vec![hostname],
            enable_non_sni_client: None,
            selector: Vec::new(),
            credential,
            tls_mode: speaks_tls.then_some(mode),
            min_tls_version: None,
            ports,
            additional_gateways: Vec::new(),
            state: None,
        },
        listener: Some(Listener {
            name,
            is_tls: protocol == "TLS",
            route_kinds,
            routes_from: from(allowed, &allowed_path)?.unwrap_or(From::Same),
            asks_for_certificate: map(tls, "frontendValidation", &tls_path)?.is_some()
                || istio_mode == Some("MUTUAL"),
            certificate,
            conditions: Vec::new(),
        }),
    })
}

/// `namespaces.from`; `None` if it is not set. A value that is not known is taken for a selector: it may allow.
fn from(allowed: &Map<String, Value>, path: &str) -> anyhow::Result<Option<From>> {
    let Some(namespaces) = map(allowed, "namespaces", path)? else { return Ok(None) };
    let from = text(namespaces, "from", &format!("{path}.namespaces"))?;
    Ok(from.map(|from| match from.as_str() {
        "None" => From::None,
        "Same" => From::Same,
        "All" => From::All,
        _ => From::Selector,
    }))
}

fn parent_ref(fields: Fields<'_>, parent: &Map<String, Value>, path: &str) -> anyhow::Result<ParentRef> {
    let group = text(parent, "group", path)?.unwrap_or_else(|| "gateway.networking.k8s.io".to_owned());
    let kind = text(parent, "kind", path)?.unwrap_or_else(|| "Gateway".to_owned());
    let kind = Kind::of(&format!("{group}/v1"), &kind);
    let namespace = text(parent, "namespace", path)?.unwrap_or_else(|| fields.namespace());
    let name = text(parent, "name", path)?.unwrap_or_default();
    Ok(ParentRef {
        kind: kind.filter(|kind| matches!(kind, Kind::GatewayApi | Kind::ListenerSet)),
        object: format!("{namespace}/{name}"),
        section: text(parent, "sectionName", path)?.filter(|name| !name.is_empty()),
        port: number(parent, "port", path)?,
    })
}

fn conditions(fields: Fields<'_>, status: &Map<String, Value>, path: &str) -> anyhow::Result<Vec<Condition>> {
    let generation = fields.metadata.get("generation").and_then(Value::as_u64);
    let mut conditions = Vec::new();
    for (index, condition) in maps(status, "conditions", path)?.into_iter().enumerate() {
        let path = format!("{path}.conditions[{index}]");
        let observed = condition.get("observedGeneration").and_then(Value::as_u64);
        let word = |key: &str| Ok::<_, anyhow::Error>(text(condition, key, &path)?.unwrap_or_default());
        conditions.push(Condition {
            name: word("type")?,
            status: word("status")?,
            reason: word("reason")?,
            message: word("message")?,
            is_outdated: matches!((observed, generation), (Some(observed), Some(now)) if observed < now),
        });
    }
    Ok(conditions)
}
