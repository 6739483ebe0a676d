//! Which `ListenerSets` add their listeners to which Gateway, and which routes take the connections of a TLS listener.

use std::collections::HashMap;

use super::super::entry::{Kind, RouteEntry};
use super::super::kinds::gateway_api::{AttachedRoute, ParentRef, SetFacts};
use super::super::kinds::{Facts, Item};
use super::super::listener::{From, Listener};
use super::super::report::{Finding, FindingCode, NoteCode};
use super::conditions::status;
use super::{Found, Served};

/// Where the listeners of an object are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// "namespace/name" of the Gateway.
    pub(super) gateway: String,
    /// `Yes` if they are there, `Unknown` if they may be.
    pub(super) is_there: Served,
}

/// Where the listeners of a `ListenerSet` are; `None` if they are nowhere.
pub(super) fn place(
    item: &Item,
    facts: &SetFacts,
    gateways: &HashMap<String, &Item>,
    found: &mut Found,
) -> Option<Place> {
    let object = item.object();
    let gateway = facts.parent.object.clone();
    if facts.parent.kind != Some(Kind::GatewayApi) {
        let sentence = format!("ListenerSet {object} has a parent that is not a Gateway: left out.");
        found.note(NoteCode::ParentUnknown, &object, sentence);
        return None;
    }
    // A controller that accepted it, or did not, knows.
    match status(&facts.conditions, "Accepted") {
        Some("True") => return Some(Place { gateway, is_there: Served::Yes }),
        Some("False") => return Some(Place { gateway, is_there: Served::No }),
        _ => {}
    }
    let Some(Facts::Gateway(parent)) = gateways.get(&gateway).map(|item| &item.facts) else {
        let sentence = format!(
            "Gateway {gateway}, the parent of ListenerSet {object}, was not read: it has to allow it."
        );
        found.note(NoteCode::ParentUnknown, &object, sentence);
        return Some(Place { gateway, is_there: Served::Unknown });
    };
    let is_there = allows(parent.sets_from, &item.namespace, &gateway);
    match is_there {
        Served::No => found.findings.push(not_allowed(&object, &gateway, parent.sets_from)),
        Served::Unknown => {
            let sentence = format!(
                "Gateway {gateway} allows ListenerSets by labels of their namespace, which are not read: whether it has \
                 the listeners of {object} is unknown."
            );
            found.note(NoteCode::ParentUnknown, &object, sentence);
        }
        Served::Yes | Served::Nothing => {}
    }
    Some(Place { gateway, is_there })
}

/// Whether something of this namespace may be attached to an object "namespace/name".
fn allows(from: From, namespace: &str, object: &str) -> Served {
    match from {
        From::All => Served::Yes,
        From::Same if object.split('/').next() == Some(namespace) => Served::Yes,
        From::Same | From::None => Served::No,
        From::Selector => Served::Unknown,
    }
}

fn not_allowed(object: &str, gateway: &str, from: From) -> Finding {
    let (value, expected) =
        if from == From::Same { ("Same", "All") } else { ("None", "Same, All or Selector") };
    Finding {
        code: FindingCode::ListenerSetNotAllowed,
        object: gateway.to_owned(),
        path: "spec.allowedListeners.namespaces.from".to_owned(),
        value: value.to_owned(),
        expected: expected.to_owned(),
        sentence: format!(
            "Gateway {gateway} does not allow ListenerSet {object}, so its listeners are not in effect. Without \
             allowedListeners no ListenerSet is allowed."
        ),
    }
}

/// A route's reference to an object.
#[derive(Debug)]
struct Reference<'a> {
    namespace: &'a str,
    route: &'a AttachedRoute,
    parent: &'a ParentRef,
}

/// Routes by the object to which they attach.
#[derive(Debug, Default)]
pub(super) struct Attached<'a> {
    of_parents: HashMap<(Kind, &'a str), Vec<Reference<'a>>>,
}

/// What becomes of clients without SNI at a TLS listener, by its routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByRoutes {
    /// A `TCPRoute` takes every connection.
    Taken,
    /// Every route takes clients with its names only.
    NeedsName,
    /// No route that decides was read.
    Unknown,
}

impl<'a> Attached<'a> {
    pub(super) fn new(items: &'a [Item]) -> Self {
        let mut attached = Self::default();
        for item in items {
            let Facts::Attached(route) = &item.facts else { continue };
            for parent in &route.parents {
                let Some(kind) = parent.kind else { continue };
                let routes = attached.of_parents.entry((kind, parent.object.as_str())).or_default();
                routes.push(Reference { namespace: &item.namespace, route, parent });
            }
        }
        attached
    }

    /// What the routes of a TLS listener do with clients without SNI.
    pub(super) fn of(&self, entry: &RouteEntry, listener: &Listener) -> ByRoutes {
        let object = entry.object();
        let routes = self.of_parents.get(&(entry.kind, object.as_str())).map_or(&[][..], Vec::as_slice);
        let may_have = |kind: &str| {
            listener.route_kinds.is_empty() || listener.route_kinds.iter().any(|allowed| allowed == kind)
        };
        let mut answer = None;
        for Reference { namespace, route, parent } in routes {
            let refers = parent.section.as_ref().is_none_or(|section| *section == listener.name)
                && parent.port.is_none_or(|port| entry.route.ports.contains(&port));
            if !refers || allows(listener.routes_from, namespace, &object) == Served::No {
                continue;
            }
            let is_certain = allows(listener.routes_from, namespace, &object) == Served::Yes;
            let of_route = match (route.needs_name, route.is_tls) {
                (true, _) => ByRoutes::NeedsName,
                (false, false) if is_certain && may_have("TCPRoute") => return ByRoutes::Taken,
                // A TLSRoute without names: implementations differ.
                _ => ByRoutes::Unknown,
            };
            let is_first = answer.is_none_or(|answer| answer == ByRoutes::NeedsName);
            answer = if is_first { Some(of_route) } else { answer };
        }
        match answer {
            Some(answer) => answer,
            // Then there can be no route that takes them.
            None if !may_have("TCPRoute") => ByRoutes::NeedsName,
            None => ByRoutes::Unknown,
        }
    }
}
