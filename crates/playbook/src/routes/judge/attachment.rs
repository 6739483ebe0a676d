//! Which `ListenerSets` add their listeners to which Gateway, and which routes take the connections of a TLS listener.

use std::collections::HashMap;

use super::super::entry::{Kind, RouteEntry};
use super::super::kinds::gateway_api::{AttachedRoute, RouteParent, SetFacts};
use super::super::kinds::{Facts, Item};
use super::super::listener::{Condition, From, Listener};
use super::super::report::{Finding, FindingCode, NoteCode};
use super::conditions::{self, Subject, status};
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
    item: &'a Item,
    route: &'a AttachedRoute,
    parent: &'a RouteParent,
}

/// Routes by the object to which they attach.
#[derive(Debug, Default)]
pub(super) struct Attached<'a> {
    of_parents: HashMap<(Kind, String), Vec<Reference<'a>>>,
}

/// What becomes of clients without SNI at a TLS listener, by its routes. The greatest is the answer for several routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ByRoutes {
    /// Every route takes clients with its names only.
    NeedsName,
    /// A `TCPRoute` would take every connection, but its status says that it is not accepted.
    NotAccepted,
    /// No route that decides was read.
    Unknown,
    /// A `TCPRoute` takes every connection.
    Taken,
}

/// Whether its status says that a route is not accepted.
fn is_refused(parent: &RouteParent) -> bool {
    let is_false = |accepted: &Condition| accepted.status == "False" && !accepted.is_outdated;
    parent.accepted.as_ref().is_some_and(is_false)
}

impl<'a> Attached<'a> {
    pub(super) fn new(items: &'a [Item]) -> Self {
        let mut attached = Self::default();
        for item in items {
            let Facts::Attached(route) = &item.facts else { continue };
            for parent in &route.parents {
                let Some(kind) = parent.reference.kind else { continue };
                let routes = attached.of_parents.entry((kind, parent.reference.object.clone())).or_default();
                routes.push(Reference { item, route, parent });
            }
        }
        attached
    }

    /// The routes that refer to a listener, and whether each may attach to it.
    fn references(
        &self,
        entry: &RouteEntry,
        listener: &Listener,
    ) -> impl Iterator<Item = (&Reference<'a>, Served)> {
        let object = entry.object();
        let routes = self.of_parents.get(&(entry.kind, object.clone())).map_or(&[][..], Vec::as_slice);
        routes.iter().filter_map(move |reference| {
            let RouteParent { reference: parent, accepted } = reference.parent;
            let refers = parent.section.as_ref().is_none_or(|section| *section == listener.name)
                && parent.port.is_none_or(|port| entry.route.ports.contains(&port));
            let by_namespace = allows(listener.routes_from, &reference.item.namespace, &object);
            // A controller that accepted it, or did not, knows.
            let may_attach = match accepted {
                Some(accepted) if accepted.is_outdated => by_namespace.max(Served::Unknown),
                Some(accepted) if accepted.status == "True" => Served::Yes,
                Some(accepted) if accepted.status == "False" => Served::No,
                Some(_) => by_namespace.max(Served::Unknown),
                None => by_namespace,
            };
            refers.then_some((reference, may_attach))
        })
    }

    /// What the routes of a TLS listener do with clients without SNI.
    pub(super) fn of(&self, entry: &RouteEntry, listener: &Listener) -> ByRoutes {
        let may_have = |kind: &str| {
            listener.route_kinds.is_empty() || listener.route_kinds.iter().any(|allowed| allowed == kind)
        };
        let of_route = |(Reference { route, parent, .. }, may_attach): (&Reference<'a>, Served)| {
            match (route.needs_name, route.is_tls, may_attach) {
                (false, false, Served::No) if is_refused(parent) => Some(ByRoutes::NotAccepted),
                (_, _, Served::No) => None,
                (true, ..) => Some(ByRoutes::NeedsName),
                (false, false, Served::Yes) if may_have("TCPRoute") => Some(ByRoutes::Taken),
                // A TLSRoute without names: implementations differ.
                _ => Some(ByRoutes::Unknown),
            }
        };
        // Without a TCPRoute there can be no route that takes them.
        let without = if may_have("TCPRoute") { ByRoutes::Unknown } else { ByRoutes::NeedsName };
        self.references(entry, listener).filter_map(of_route).max().unwrap_or(without)
    }

    /// The `TCPRoutes` of a TLS listener that are not accepted.
    pub(super) fn not_accepted(&self, entry: &RouteEntry, listener: &Listener) -> Vec<Finding> {
        let mut found = Found::default();
        for (Reference { item, route, parent }, may_attach) in self.references(entry, listener) {
            let (Some(accepted), false, Served::No) = (&parent.accepted, route.is_tls, may_attach) else {
                continue;
            };
            let object = item.object();
            let subject = Subject {
                object: &object,
                path: format!("status.parents[{}]", parent.reference.object),
                what: format!("TCPRoute {object}"),
            };
            conditions::judge(&subject, std::slice::from_ref(accepted), &mut found);
        }
        found.findings
    }
}
