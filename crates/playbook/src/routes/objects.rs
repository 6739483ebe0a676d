//! Objects of Kubernetes, of which some kinds decide about clients without SNI.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use anyhow::{Context as _, bail};
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use sni_probe_terminal::printable_within;

use super::entry::Kind;
use super::input::InputText;
use super::kinds::{self, Facts, Fields, Item};
use super::report::{Note, NoteCode};
use super::text::list;

/// Routes, listeners and other objects of all inputs that are judged.
pub(super) const MAX_ROUTES: usize = 20_000;
/// Kinds that are counted one by one; those after them as `other`.
const MAX_KINDS: usize = 32;
/// Lists in lists.
const MAX_LIST_DEPTH: usize = 4;
/// Characters of a kind.
const MAX_KIND: usize = 64;
/// What is kept of `spec`, `status` and `metadata`. Objects of other kinds may be large.
const WANTED: [&str; 20] = [
    "additionalGateways",
    "allowedListeners",
    "annotations",
    "conditions",
    "controllerName",
    "enableNonSniClient",
    "gatewayClassName",
    "generation",
    "hostnames",
    "listeners",
    "name",
    "namespace",
    "parentRef",
    "parentRefs",
    "parents",
    "ports",
    "selector",
    "servers",
    "state",
    "tls",
];

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) items: Vec<Item>,
    /// Objects that were skipped, by kind.
    pub(super) skipped: BTreeMap<String, usize>,
    /// Routes, listeners, references of routes, and objects without any.
    count: usize,
}

/// An object, a list of them, or an event of a watch (`kubectl get --watch --output-watch-events`).
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Object {
    api_version: Option<String>,
    kind: Option<String>,
    metadata: Wanted,
    spec: Wanted,
    status: Wanted,
    items: Option<Vec<Object>>,
    /// Of an event of a watch: `ADDED`, `MODIFIED`, `DELETED`.
    r#type: Option<Value>,
    /// Of an event of a watch.
    #[serde(rename = "object")]
    watched: Option<Box<Object>>,
}

/// The [`WANTED`] fields of a map; none of what is no map.
#[derive(Debug, Default)]
struct Wanted(Map<String, Value>);

impl Objects {
    /// Takes the objects of a file.
    ///
    /// # Errors
    /// If it is no JSON and no YAML, a field is not of its type, or none of its objects is of a kind that is read.
    pub(super) fn add_file(&mut self, source: &InputText) -> anyhow::Result<()> {
        let documents: Vec<Object> = source.documents()?;
        let mut of_file = Self::default();
        for object in documents {
            of_file.add(object, 0).with_context(|| source.name.clone())?;
        }
        if of_file.items.is_empty() {
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
        let Object { api_version, kind, metadata, spec, status, items, r#type, watched } = object;
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
        if let (Some(changed), true) = (watched, kind.is_empty()) {
            if depth >= MAX_LIST_DEPTH {
                bail!("more than {MAX_LIST_DEPTH} events within one another");
            }
            let before = self.items.len();
            self.add(*changed, depth + 1)?;
            if r#type.as_ref().and_then(Value::as_str) == Some("DELETED") {
                for item in self.items.iter_mut().skip(before) {
                    item.entries.clear();
                    item.facts = Facts::Deleted;
                }
            }
            return Ok(());
        }
        let Some(known) = Kind::of(&api_version, &kind) else {
            self.skip(&Kind::skipped(&api_version, &kind), 1);
            return Ok(());
        };
        let parts = Fields { metadata: &metadata.0, spec: &spec.0, status: &status.0 };
        let item = kinds::read(known, &api_version, parts)
            .with_context(|| format!("{} {}", known.as_str(), printable_within(MAX_KIND, &parts.name())))?;
        self.push(item)
    }

    fn push(&mut self, item: Item) -> anyhow::Result<()> {
        let parents = if let Facts::Attached(route) = &item.facts { route.parents.len() } else { 0 };
        self.count += item.entries.len().max(parents).max(1);
        self.items.push(item);
        if self.count > MAX_ROUTES {
            bail!(
                "more than {MAX_ROUTES} routes and listeners; name fewer files, or one namespace (kubectl -n)"
            );
        }
        Ok(())
    }

    /// Adds the objects of another input.
    ///
    /// # Errors
    /// If there are more than [`MAX_ROUTES`].
    pub(super) fn merge(&mut self, other: Self) -> anyhow::Result<()> {
        for (kind, count) in other.skipped {
            self.skip(&kind, count);
        }
        other.items.into_iter().try_for_each(|item| self.push(item))
    }

    /// Adds the objects of the cluster: an object of a file counts instead of the cluster's, as if it were applied.
    ///
    /// # Errors
    /// As [`merge`](Self::merge).
    pub(super) fn merge_cluster(&mut self, mut cluster: Self, notes: &mut Vec<Note>) -> anyhow::Result<()> {
        let of_files: HashSet<_> = self.items.iter().filter_map(identity).collect();
        let (replaced, kept): (Vec<Item>, Vec<Item>) = cluster
            .items
            .into_iter()
            .partition(|item| identity(item).is_some_and(|key| of_files.contains(&key)));
        note_replaced(&replaced, "counts as the file has it, not as the cluster has it", notes);
        cluster.items = kept;
        self.merge(cluster)
    }

    /// Keeps the last of objects that are there several times, and none that a watch says is deleted.
    pub(super) fn keep_last(&mut self, notes: &mut Vec<Note>) {
        let last: HashMap<_, usize> = self
            .items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| Some((identity(item)?, index)))
            .collect();
        let is_last: Vec<bool> = self
            .items
            .iter()
            .enumerate()
            .map(|(index, item)| identity(item).is_none_or(|key| last.get(&key) == Some(&index)))
            .collect();
        let mut is_last = is_last.into_iter();
        let (kept, replaced) =
            std::mem::take(&mut self.items).into_iter().partition(|_| is_last.next().unwrap_or(true));
        self.items = kept;
        self.items.retain(|item| !matches!(item.facts, Facts::Deleted));
        note_replaced(&replaced, "is there several times; the last one counts", notes);
    }

    fn skip(&mut self, kind: &str, count: usize) {
        let kind =
            if kind.is_empty() { "without a kind".to_owned() } else { printable_within(MAX_KIND, kind) };
        let is_known = self.skipped.len() < MAX_KINDS || self.skipped.contains_key(&kind);
        *self.skipped.entry(if is_known { kind } else { "other".to_owned() }).or_default() += count;
    }
}

/// What makes two objects the same; `None` of one without a name.
fn identity(item: &Item) -> Option<(Kind, String)> {
    (!item.name.is_empty()).then(|| (item.kind, item.object()))
}

fn note_replaced(items: &[Item], what: &str, notes: &mut Vec<Note>) {
    let Some(first) = items.first() else { return };
    let names: Vec<String> =
        items.iter().map(|item| format!("{} {}", item.kind.as_str(), item.object())).collect();
    let sentence = if names.len() == 1 {
        format!("{} {what}.", first.kind.as_str())
    } else {
        format!("Each of {} {what}.", list(&names))
    };
    notes.push(Note { code: NoteCode::Replaced, object: first.object(), sentence });
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
