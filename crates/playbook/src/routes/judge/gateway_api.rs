//! What is wrong with listeners of the Gateway API.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::entry::{Kind, RouteEntry};
use super::super::kinds::{Facts, Item};
use super::super::listener::{Certificate, Condition, Listener};
use super::super::report::{Finding, FindingCode, NoteCode, Route};
use super::super::text::{list, or_none};
use super::attachment::{Attached, ByRoutes, place};
use super::class::{Behaviour, CatchAll, Place, WithoutMatch, behaviour};
use super::conditions::{self, Subject, status};
use super::{Found, Served, is_left_out, note_client_certificate, terminates};

/// A TLS listener, and how well it can serve by its status and that of its objects.
struct Candidate<'a> {
    entry: &'a RouteEntry,
    listener: &'a Listener,
    in_effect: Served,
}

/// The listeners of a port of a Gateway: they choose by SNI among one another.
type Ports<'a> = BTreeMap<(String, &'a [u16]), Vec<Candidate<'a>>>;

/// What is known of all of it.
struct Known<'a> {
    gateways: HashMap<String, &'a Item>,
    /// Controllers of classes.
    controllers: HashMap<&'a str, Option<&'a str>>,
    attached: Attached<'a>,
}

/// Judges the listeners that speak TLS. Whether clients without SNI are served at all ports of all Gateways.
pub(super) fn judge(items: &[Item], found: &mut Found) -> Served {
    let of_kind = |kind: Kind| items.iter().filter(move |item| item.kind == kind);
    let known = Known {
        gateways: of_kind(Kind::GatewayApi).map(|item| (item.object(), item)).collect(),
        controllers: of_kind(Kind::GatewayClass).map(|item| (item.name.as_str(), controller(item))).collect(),
        attached: Attached::new(items),
    };
    let of_gateways = judge_gateways(items, found);
    let of_gateway = |gateway: &str| of_gateways.get(gateway).copied().unwrap_or(Served::Yes);
    let mut ports = Ports::new();
    for item in items {
        match &item.facts {
            Facts::Gateway(_) => {
                let object = item.object();
                add(item, &object, of_gateway(&object), &known, &mut ports, found);
            }
            Facts::Set(facts) => {
                let Some(place) = place(item, facts, &known.gateways, found) else { continue };
                let of_parent = unless_programmed(of_gateway(&place.gateway), &facts.conditions);
                let own = if has_clients(item) {
                    judge_status(item, &facts.conditions, found)
                } else {
                    Served::Yes
                };
                let of_set = own.max(of_parent).max(place.is_there);
                add(item, &place.gateway, of_set, &known, &mut ports, found);
            }
            Facts::None | Facts::Attached(_) | Facts::Controller(_) | Facts::Deleted => {}
        }
    }
    let mut served = Served::Nothing;
    for ((gateway, _), candidates) in &ports {
        served = served.max(judge_port(gateway, candidates, &known, found));
    }
    served
}

fn controller(class: &Item) -> Option<&str> {
    if let Facts::Controller(name) = &class.facts { name.as_deref() } else { None }
}

/// Whether an object has listeners that are judged.
fn has_clients(item: &Item) -> bool {
    item.entries.iter().any(RouteEntry::takes_clients)
}

/// The status of each Gateway that has TLS listeners, of its own or of its `ListenerSets`.
fn judge_gateways(items: &[Item], found: &mut Found) -> HashMap<String, Served> {
    let of_sets: HashSet<&str> = items
        .iter()
        .filter(|item| has_clients(item))
        .filter_map(|item| if let Facts::Set(facts) = &item.facts { Some(&facts.parent) } else { None })
        .filter(|parent| parent.kind == Some(Kind::GatewayApi))
        .map(|parent| parent.object.as_str())
        .collect();
    let mut served = HashMap::new();
    for item in items {
        let Facts::Gateway(facts) = &item.facts else { continue };
        let object = item.object();
        if has_clients(item) || of_sets.contains(object.as_str()) {
            served.insert(object, judge_status(item, &facts.conditions, found));
        }
    }
    served
}

/// What the status of a parent says of something. Its own status is the more exact one.
fn unless_programmed(of_parent: Served, conditions: &[Condition]) -> Served {
    let is_programmed = status(conditions, "Programmed") == Some("True");
    if is_programmed && of_parent == Served::No { Served::Unknown } else { of_parent }
}

/// The status of a Gateway or a `ListenerSet` with TLS listeners.
fn judge_status(item: &Item, conditions: &[Condition], found: &mut Found) -> Served {
    let object = item.object();
    let kind = if item.kind == Kind::ListenerSet { "ListenerSet" } else { "Gateway" };
    let subject = Subject { object: &object, path: "status".to_owned(), what: format!("{kind} {object}") };
    conditions::judge(&subject, conditions, found)
}

/// Adds the TLS listeners of an object to those of their port.
fn add<'a>(
    item: &'a Item,
    gateway: &str,
    of_object: Served,
    known: &Known<'_>,
    ports: &mut Ports<'a>,
    found: &mut Found,
) {
    for entry in &item.entries {
        let (Some(listener), true) = (&entry.listener, entry.tls_path.is_some()) else { continue };
        if is_left_out(entry, found) {
            continue;
        }
        let object = entry.object();
        let subject = Subject {
            object: &object,
            path: format!("status.listeners[{}]", listener.name),
            what: format!("Listener {}", entry.route.name),
        };
        let own = conditions::judge(&subject, &listener.conditions, found);
        let of_object = unless_programmed(of_object, &listener.conditions);
        let is_asked = match known.gateways.get(gateway).map(|item| &item.facts) {
            Some(Facts::Gateway(facts)) if !listener.is_tls => facts.frontend.asks_at(&entry.route.ports),
            _ => false,
        };
        note_client_certificate(&object, &entry.route, is_asked || listener.asks_for_certificate, found);
        let port = (gateway.to_owned(), entry.route.ports.as_slice());
        ports.entry(port).or_default().push(Candidate { entry, listener, in_effect: own.max(of_object) });
    }
}

/// Judges the listeners of a port.
fn judge_port(gateway: &str, candidates: &[Candidate<'_>], known: &Known<'_>, found: &mut Found) -> Served {
    let class = match known.gateways.get(gateway).map(|item| &item.facts) {
        Some(Facts::Gateway(facts)) => facts.class.as_deref(),
        _ => None,
    };
    let controller = class.and_then(|class| known.controllers.get(class).copied().flatten());
    let behaviour = behaviour(class, controller);
    let wildcards = candidates.iter().filter(|candidate| candidate.entry.route.wildcard);
    let mut best = None;
    let mut may_pass_on = false;
    for candidate in wildcards {
        let served = judge_wildcard(candidate, behaviour, &known.attached, found).max(candidate.in_effect);
        may_pass_on |= !terminates(&candidate.entry.route) && served == Served::Unknown;
        best = Some(best.map_or(served, |best: Served| best.min(served)));
    }
    match best {
        // Which of two takes them is not known, if one of them passes TLS on.
        Some(Served::Yes) if may_pass_on => return Served::Unknown,
        // One that serves is enough.
        Some(best) => return best,
        None => {}
    }
    // Its other listeners are not known either.
    if !known.gateways.contains_key(gateway) {
        return Served::Unknown;
    }
    found.findings.extend(candidates.first().map(|first| no_wildcard(first, candidates, class, behaviour)));
    match behaviour.without_match {
        WithoutMatch::Reset | WithoutMatch::Alert => Served::No,
        WithoutMatch::DefaultCertificate | WithoutMatch::Unknown => Served::Unknown,
    }
}

/// Judges a listener that takes every host name, without regard to its status.
fn judge_wildcard(
    candidate: &Candidate<'_>,
    behaviour: Behaviour,
    attached: &Attached<'_>,
    found: &mut Found,
) -> Served {
    let Candidate { entry, listener, .. } = candidate;
    let Route { name, tls_mode, .. } = &entry.route;
    let tls_path = entry.tls_path.as_deref().unwrap_or_default();
    let finding = |code, path: String, value: String, expected: &str, sentence: String| Finding {
        code,
        object: entry.object(),
        path,
        value,
        expected: expected.to_owned(),
        sentence,
    };
    let by_routes = if listener.is_tls { attached.of(entry, listener) } else { ByRoutes::Taken };
    if by_routes == ByRoutes::NotAccepted {
        found.findings.extend(attached.not_accepted(entry, listener));
        return Served::No;
    }
    if by_routes == ByRoutes::NeedsName {
        found.findings.push(finding(
            FindingCode::OnlyTlsRoutes,
            entry.hosts_path.replace("hostname", "allowedRoutes"),
            list(&["TLSRoute"]),
            "a TCPRoute, or protocol HTTPS",
            format!("Listener {name} has TLSRoutes only, and a TLSRoute with host names matches no client without SNI."),
        ));
        return Served::No;
    }
    if !terminates(&entry.route) {
        if !listener.is_tls {
            found.findings.push(finding(
                FindingCode::TlsNotTerminated,
                format!("{tls_path}.mode"),
                or_none(tls_mode.as_deref()),
                "Terminate",
                format!("Listener {name} has protocol HTTPS, for which the only mode is Terminate."),
            ));
            return Served::No;
        }
        let routes = if by_routes == ByRoutes::Taken { "" } else { "its routes and " };
        let sentence = format!(
            "Listener {name} passes TLS on: whether clients without SNI are served is decided by {routes}the backend."
        );
        found.note(NoteCode::DecidedByBackend, &entry.object(), sentence);
        return Served::Unknown;
    }
    let is_named = match (listener.certificate, behaviour.certificates) {
        (Certificate::Named, _) => Some(true),
        // The API server takes no `tls` with neither certificates nor options.
        (Certificate::Missing, Place::Unknown)
        | (Certificate::Missing | Certificate::NoTls, Place::Listener) => Some(false),
        _ => None,
    };
    if is_named == Some(false) {
        found.findings.push(finding(
            FindingCode::NoCredential,
            format!("{tls_path}.certificateRefs"),
            or_none(None),
            "the name of a TLS secret",
            format!("Listener {name} names no certificate."),
        ));
        return Served::No;
    }
    if is_named.is_none() {
        let sentence = format!(
            "Listener {name} has no certificateRefs. Implementations may take a certificate from tls.options or from objects \
             of their own, which are not read."
        );
        found.note(NoteCode::CertificateUnknown, &entry.object(), sentence);
        return Served::Unknown;
    }
    if by_routes == ByRoutes::Unknown {
        let sentence = format!(
            "Listener {name} has protocol TLS: a TCPRoute takes clients without SNI, a TLSRoute with host names does not. \
             Read its TLSRoutes and TCPRoutes as well."
        );
        found.note(NoteCode::DecidedByRoutes, &entry.object(), sentence);
        return Served::Unknown;
    }
    if !listener.is_tls && behaviour.catch_all != CatchAll::Served {
        return note_catch_all(entry, behaviour.catch_all, found);
    }
    if behaviour.without_match == WithoutMatch::DefaultCertificate {
        let sentence = format!(
            "Traefik chooses certificates by name, not by listener: clients without SNI get its default certificate, not \
             that of listener {name}."
        );
        found.note(NoteCode::DefaultCertificate, &entry.object(), sentence);
    }
    Served::Yes
}

/// Notes what decides about clients without SNI at an HTTPS listener without hostname.
fn note_catch_all(entry: &RouteEntry, catch_all: CatchAll, found: &mut Found) -> Served {
    let name = &entry.route.name;
    let (code, sentence) = match catch_all {
        CatchAll::Served => return Served::Yes,
        CatchAll::ByRoutes => (
            NoteCode::DecidedByRoutes,
            format!(
                "Contour serves clients without SNI at listener {name} only if an HTTPRoute without hostnames is attached. \
                 HTTPRoutes are not read."
            ),
        ),
        CatchAll::ByVersion => (
            NoteCode::DependsOnVersion,
            format!(
                "NGINX Gateway Fabric serves clients without SNI at listener {name} from March 2026 on \
                 (nginx/nginx-gateway-fabric#4878). Earlier versions refuse them, and the version is not read."
            ),
        ),
    };
    found.note(code, &entry.object(), sentence);
    Served::Unknown
}

fn no_wildcard(
    first: &Candidate<'_>,
    candidates: &[Candidate<'_>],
    class: Option<&str>,
    behaviour: Behaviour,
) -> Finding {
    // The Gateway's own listener is the one to have a second beside it.
    let first = candidates.iter().find(|other| other.entry.kind == Kind::GatewayApi).unwrap_or(first).entry;
    let hostnames: Vec<&str> =
        candidates.iter().flat_map(|other| &other.entry.route.hostnames).map(String::as_str).collect();
    let consequence = match behaviour.without_match {
        WithoutMatch::Reset => ": clients without SNI get no certificate, and are reset.".to_owned(),
        WithoutMatch::Alert => ": clients without SNI get no certificate, but an alert.".to_owned(),
        WithoutMatch::DefaultCertificate => {
            ". Traefik sends its default certificate to clients without SNI, unless sniStrict is set."
                .to_owned()
        }
        WithoutMatch::Unknown => {
            let class = class.map_or_else(|| "this Gateway".to_owned(), |class| format!("class {class}"));
            format!(". What {class} does with clients without SNI is not known.")
        }
    };
    Finding {
        code: FindingCode::NoWildcardRoute,
        object: first.object(),
        path: first.hosts_path.clone(),
        value: list(&hostnames),
        expected: "a listener without hostname".to_owned(),
        sentence: format!(
            "No TLS listener of port {} takes every host name{consequence}",
            first.route.ports.first().map_or_else(|| "?".to_owned(), u16::to_string)
        ),
    }
}
