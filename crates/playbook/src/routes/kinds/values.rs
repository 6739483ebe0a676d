//! Typed access to the fields of an object. An error names the path of the field and what it has.

use anyhow::{bail, ensure};
use serde_json::{Map, Value};
use sni_probe_terminal::printable_within;

/// Characters of a value in a message.
const MAX_SHOWN: usize = 80;

/// Labels of a selector, which are compared with those of other selectors.
const MAX_LABELS: usize = 64;

/// The parts of an object.
#[derive(Clone, Copy)]
pub(in super::super) struct Fields<'a> {
    pub(in super::super) metadata: &'a Map<String, Value>,
    pub(in super::super) spec: &'a Map<String, Value>,
    pub(in super::super) status: &'a Map<String, Value>,
}

impl Fields<'_> {
    /// Its name; empty if it has none.
    pub(in super::super) fn name(&self) -> String {
        text(self.metadata, "name", "").ok().flatten().unwrap_or_default()
    }

    /// Its namespace; `default` if it names none.
    pub(in super::super) fn namespace(&self) -> String {
        text(self.metadata, "namespace", "").ok().flatten().unwrap_or_else(|| "default".to_owned())
    }
}

fn wrong<T>(path: &str, key: &str, expected: &str, value: &Value) -> anyhow::Result<T> {
    let dot = if path.is_empty() { "" } else { "." };
    bail!("{path}{dot}{key}: expected {expected}, it has {}", printable_within(MAX_SHOWN, &value.to_string()))
}

pub(super) fn text(map: &Map<String, Value>, key: &str, path: &str) -> anyhow::Result<Option<String>> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => wrong(path, key, "a string", other),
    }
}

pub(super) fn flag(map: &Map<String, Value>, key: &str, path: &str) -> anyhow::Result<Option<bool>> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(other) => wrong(path, key, "true or false without quotes", other),
    }
}

pub(super) fn number(map: &Map<String, Value>, key: &str, path: &str) -> anyhow::Result<Option<u16>> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().map(u16::try_from) {
            Some(Ok(number)) => Ok(Some(number)),
            _ => wrong(path, key, "a port", value),
        },
    }
}

pub(super) fn texts(map: &Map<String, Value>, key: &str, path: &str) -> anyhow::Result<Vec<String>> {
    let expected = "a list of strings";
    match map.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(values)) => values
            .iter()
            .map(|value| match value {
                Value::String(text) => Ok(text.clone()),
                other => wrong(path, key, expected, other),
            })
            .collect(),
        Some(other) => wrong(path, key, expected, other),
    }
}

pub(super) fn map<'a>(
    map: &'a Map<String, Value>,
    key: &str,
    path: &str,
) -> anyhow::Result<Option<&'a Map<String, Value>>> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(other) => wrong(path, key, "a map", other),
    }
}

pub(super) fn maps<'a>(
    map: &'a Map<String, Value>,
    key: &str,
    path: &str,
) -> anyhow::Result<Vec<&'a Map<String, Value>>> {
    let expected = "a list of maps";
    match map.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(values)) => values
            .iter()
            .map(|value| match value {
                Value::Object(map) => Ok(map),
                other => wrong(path, key, expected, other),
            })
            .collect(),
        Some(other) => wrong(path, key, expected, other),
    }
}

/// A map of strings as `key=value`, in the order of the keys.
pub(super) fn labels(labels: &Map<String, Value>, key: &str, path: &str) -> anyhow::Result<Vec<String>> {
    let Some(labels) = map(labels, key, path)? else { return Ok(Vec::new()) };
    let path = format!("{path}.{key}");
    ensure!(labels.len() <= MAX_LABELS, "{path}: more than {MAX_LABELS} labels");
    let mut pairs = Vec::new();
    for key in labels.keys() {
        pairs.push(format!("{key}={}", text(labels, key, &path)?.unwrap_or_default()));
    }
    pairs.sort();
    Ok(pairs)
}
