//! The kinds that are read: from the fields of an object to routes, listeners, and the facts that decide between them.

mod apigee;
pub(super) mod gateway_api;
pub(super) mod istio;
mod values;

use anyhow::bail;
use serde_json::{Map, Value};

use self::gateway_api::{AttachedRoute, GatewayFacts, SetFacts};
pub(super) use self::values::Fields;
use super::entry::{Kind, RouteEntry};
use super::template;

/// An object that was read.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) namespace: String,
    pub(super) name: String,
    /// One, or one for each server or listener; none of a kind that only decides between others.
    pub(super) entries: Vec<RouteEntry>,
    pub(super) facts: Facts,
}

/// Facts of an object beside its routes and listeners.
#[derive(Debug)]
pub(super) enum Facts {
    None,
    Gateway(GatewayFacts),
    Set(SetFacts),
    Attached(AttachedRoute),
    /// `spec.controllerName` of a `GatewayClass`.
    Controller(Option<String>),
    /// An event of a watch says that the object is deleted.
    Deleted,
}

impl Item {
    /// "namespace/name".
    pub(super) fn object(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// Reads an object of a known kind.
///
/// # Errors
/// If a field is not of its type: its path, and what it has; or if its values are a template that is not rendered.
pub(super) fn read(kind: Kind, api_version: &str, fields: Fields<'_>) -> anyhow::Result<Item> {
    let template = template_in_map(fields.spec)
        .or_else(|| ["name", "namespace"].iter().find_map(|key| template_in(fields.metadata.get(*key)?)));
    if let Some(template) = template {
        bail!("{}", template::unrendered(template));
    }
    let (entries, facts) = match kind {
        Kind::ApigeeRoute => (vec![apigee::route(fields)?], Facts::None),
        Kind::ApigeeRouteConfig => (vec![apigee::route_config(fields)?], Facts::None),
        Kind::Istio => (istio::servers(fields)?, Facts::None),
        Kind::GatewayApi => {
            (gateway_api::listeners(kind, fields)?, Facts::Gateway(gateway_api::gateway(fields)?))
        }
        Kind::ListenerSet => {
            (gateway_api::listeners(kind, fields)?, Facts::Set(gateway_api::listener_set(fields)?))
        }
        Kind::TlsRoute | Kind::TcpRoute => {
            (Vec::new(), Facts::Attached(gateway_api::attached_route(kind, api_version, fields)?))
        }
        Kind::GatewayClass => (Vec::new(), Facts::Controller(gateway_api::controller(fields)?)),
    };
    Ok(Item { kind, namespace: fields.namespace(), name: fields.name(), entries, facts })
}

fn template_in(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => template::in_value(text),
        Value::Array(values) => values.iter().find_map(template_in),
        Value::Object(map) => template_in_map(map),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn template_in_map(map: &Map<String, Value>) -> Option<&str> {
    map.values().find_map(template_in)
}
