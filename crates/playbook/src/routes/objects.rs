//! Objects of Kubernetes, of which three kinds tell of host names.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, bail};
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use sni_probe_terminal::printable_within;

use super::entry::{Kind, RouteEntry};
use super::fields::{self, Fields};
use super::input::InputText;

/// Routes and listeners, of all files: what is judged, and printed.
pub(super) const MAX_ROUTES: usize = 20_000;
/// Kinds that are counted one by one; those after them as `other`.
const MAX_KINDS: usize = 32;
/// Lists in lists.
const MAX_LIST_DEPTH: usize = 4;
/// Characters of a kind.
const MAX_KIND: usize = 64;
/// What is kept of `spec`, `status` and `metadata`. Objects of other kinds may be large.
const WANTED: [&str; 11] = [
    "additionalGateways",
    "annotations",
    "enableNonSniClient",
    "hostnames",
    "listeners",
    "name",
    "namespace",
    "ports",
    "selector",
    "servers",
    "state",
];

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) entries: Vec<RouteEntry>,
    /// Objects that were passed over, by kind.
    pub(super) skipped: BTreeMap<String, usize>,
}

/// An object, or a list of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Object {
    api_version: Option<String>,
    kind: Option<String>,
    metadata: Wanted,
    spec: Wanted,
    status: Wanted,
    items: Option<Vec<Object>>,
}

/// The [`WANTED`] fields of a map; none of what is no map.
#[derive(Debug, Default)]
struct Wanted(Map<String, Value>);

impl RouteEntry {
    /// "namespace/name" of the object.
    pub(super) fn object(&self) -> String {
        format!("{}/{}", self.route.namespace, self.gateway)
    }
}

impl Objects {
    /// Takes the objects of a file.
    ///
    /// # Errors
    /// If it is no JSON and no YAML, a field is not of its type, or none of its objects is a route.
    pub(super) fn add_file(&mut self, source: &InputText) -> anyhow::Result<()> {
        let documents: Vec<Object> = source.documents()?;
        let mut of_file = Self::default();
        for object in documents {
            of_file.add(object, 0).with_context(|| source.name.clone())?;
        }
        if of_file.entries.is_empty() {
            let kinds: Vec<String> =
                of_file.skipped.iter().map(|(kind, count)| format!("{kind} ({count})")).collect();
            let found = if kinds.is_empty() {
                "it has no objects".to_owned()
            } else {
                format!("it has {}", kinds.join(", "))
            };
            bail!(
                "{}: no ApigeeRoute and no Gateway of Istio or the Gateway API: {found}; expected the output of \
                 `kubectl get apigeeroutes -A -o json`",
                source.name
            );
        }
        self.merge(of_file)
    }

    /// Takes an object, or those of a list.
    ///
    /// # Errors
    /// If a field is not of its type: which one of which object; or if there are more than [`MAX_ROUTES`].
    pub(super) fn add(&mut self, object: Object, depth: usize) -> anyhow::Result<()> {
        let Object { api_version, kind, metadata, spec, status, items } = object;
        let api_version = api_version.unwrap_or_default();
        let kind = kind.unwrap_or_default();
        if let Some(items) = items {
            if depth >= MAX_LIST_DEPTH {
                bail!("more than {MAX_LIST_DEPTH} lists within one another");
            }
            for mut item in items {
                // The API server leaves out of the items what the list says.
                if item.kind.is_none() && kind.len() > "List".len() {
                    item.kind = kind.strip_suffix("List").map(str::to_owned);
                    item.api_version = Some(api_version.clone());
                }
                self.add(item, depth + 1)?;
            }
            return Ok(());
        }
        let Some(known) = Kind::of(&api_version, &kind) else {
            self.skip(&kind, 1);
            return Ok(());
        };
        let parts = Fields { metadata: &metadata.0, spec: &spec.0, status: &status.0 };
        let entries = fields::entries(known, parts)
            .with_context(|| format!("{} {}", known.as_str(), printable_within(MAX_KIND, &parts.name())))?;
        self.extend(entries)
    }

    fn extend(&mut self, entries: Vec<RouteEntry>) -> anyhow::Result<()> {
        self.entries.extend(entries);
        if self.entries.len() > MAX_ROUTES {
            bail!(
                "more than {MAX_ROUTES} routes and listeners; name fewer files, or one namespace (kubectl -n)"
            );
        }
        Ok(())
    }

    fn merge(&mut self, other: Self) -> anyhow::Result<()> {
        for (kind, count) in other.skipped {
            self.skip(&kind, count);
        }
        self.extend(other.entries)
    }

    fn skip(&mut self, kind: &str, count: usize) {
        let kind =
            if kind.is_empty() { "without a kind".to_owned() } else { printable_within(MAX_KIND, kind) };
        let is_known = self.skipped.len() < MAX_KINDS || self.skipped.contains_key(&kind);
        *self.skipped.entry(if is_known { kind } else { "other".to_owned() }).or_default() += count;
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WantedVisitor)
    }
}

struct WantedVisitor;

impl<'de> Visitor<'de> for WantedVisitor {
    type Value = Wanted;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fields of an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Wanted, A::Error> {
        let mut wanted = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if WANTED.contains(&key.as_str()) {
                wanted.insert(key, map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Wanted(wanted))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Wanted, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Wanted::default())
    }

    fn visit_unit<E>(self) -> Result<Wanted, E> {
        Ok(Wanted::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Wanted, E> {
        Ok(Wanted::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Wanted, E> {
        Ok(Wanted::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Wanted, E> {
        Ok(Wanted::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Wanted, E> {
        Ok(Wanted::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Wanted, E> {
        Ok(Wanted::default())
    }
}
