//! Secrets by the names of their fields.

use serde_json::{Map, Value};
use serde_saphyr::{Options, options};

use super::names::{is_login_flag, is_reference, is_secret, is_secret_of_jwk};
use super::{REDACTED, Redactor};

/// How deep a tree is looked into, and JSON and YAML in strings of it. Stops one that would overflow the stack;
/// what is deeper is taken out.
const MAX_DEPTH: u32 = 64;

/// What is around a value.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    depth: u32,
    /// In an object of the kind Secret: its `data` are secrets, whatever their names.
    in_secret: bool,
    /// Under a name that says where a secret is: `key` is then the name of one.
    in_reference: bool,
}

/// The tree without its secrets.
pub(super) fn redact(redactor: &mut Redactor, value: Value) -> Value {
    visit(redactor, value, Place::default())
}

/// The documents, without the values with the tag `!!binary`: nothing can be told of what is in them.
///
/// # Errors
/// If it is no YAML. The error may cite the text, with the secrets in it.
pub(super) fn parse_yaml(redactor: &mut Redactor, text: &str) -> Result<Vec<Value>, serde_saphyr::Error> {
    let parse = |as_it_is| serde_saphyr::from_multiple_with_options(text, yaml_options(as_it_is));
    let mut documents: Vec<Value> = parse(true)?;
    // The tag may be written in several ways.
    if text.contains("binary") || text.contains("%TAG") || text.contains("!<") {
        let decoded: Vec<Value> = parse(false)?;
        for (document, decoded) in documents.iter_mut().zip(&decoded) {
            take_out_binary(redactor, document, decoded);
        }
    }
    Ok(documents)
}

fn yaml_options(binary_as_it_is: bool) -> Options {
    options! { ignore_binary_tag_for_string: binary_as_it_is, with_snippet: false }
}

/// What differs once it is decoded has the tag.
fn take_out_binary(redactor: &mut Redactor, value: &mut Value, decoded: &Value) {
    match (value, decoded) {
        (Value::Object(object), Value::Object(decoded)) => {
            for (value, decoded) in object.values_mut().zip(decoded.values()) {
                take_out_binary(redactor, value, decoded);
            }
        }
        (Value::Array(values), Value::Array(decoded)) => {
            for (value, decoded) in values.iter_mut().zip(decoded) {
                take_out_binary(redactor, value, decoded);
            }
        }
        (value, decoded) if value != decoded => *value = take_out(redactor, value.take()),
        _ => {}
    }
}

/// The value as YAML.
pub(super) fn write_yaml(value: &Value) -> String {
    // JSON is YAML too.
    serde_saphyr::to_string(value).unwrap_or_else(|_| format!("{value:#}\n"))
}

fn visit(redactor: &mut Redactor, value: Value, place: Place) -> Value {
    if place.depth >= MAX_DEPTH {
        return take_out(redactor, value);
    }
    let place = Place { depth: place.depth + 1, ..place };
    match value {
        Value::Object(object) => Value::Object(visit_object(redactor, object, place)),
        Value::Array(values) => {
            let (mut flag_before, mut login_before) = (false, false);
            let mut visited = Vec::with_capacity(values.len());
            for value in values {
                let word = value.as_str().unwrap_or_default();
                // `--password` and its value are two words; `--password=value` is one.
                let is_flag = word == "-p" || word.starts_with('-') && !word.contains('=') && is_secret(word);
                let is_value = std::mem::replace(&mut flag_before, is_flag) && !word.starts_with("--");
                let is_after_login = std::mem::replace(&mut login_before, is_login_flag(word));
                visited.push(if is_value || is_after_login && word.contains(':') {
                    take_out(redactor, value)
                } else {
                    visit(redactor, value, place)
                });
            }
            Value::Array(visited)
        }
        Value::String(text) => Value::String(visit_string(redactor, &text, place)),
        other => other,
    }
}

fn visit_object(redactor: &mut Redactor, object: Map<String, Value>, place: Place) -> Map<String, Value> {
    let word = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let in_secret = place.in_secret || word("kind").starts_with("Secret");
    // An entry of `env`.
    let is_secret_value = is_secret(word("name"));
    // `key` of a toleration or a selector is no secret.
    let has_operator = object.contains_key("operator");
    let is_jwk = object.contains_key("kty");
    let mut visited = Map::new();
    for (name, value) in object {
        let is_data = in_secret && matches!(name.as_str(), "data" | "stringData");
        let is_name_of_key = name == "key" && (place.in_reference || has_operator);
        let is_plain_secret = is_secret(&name) && !is_name_of_key || is_jwk && is_secret_of_jwk(&name);
        let value = if is_data {
            all_values(redactor, value)
        } else if is_plain_secret || (name == "value" && is_secret_value) {
            take_out(redactor, value)
        } else {
            let in_reference = is_reference(&name);
            visit(redactor, value, Place { in_secret, in_reference, ..place })
        };
        visited.insert(redactor.text(&name), value);
    }
    visited
}

/// A string may itself be JSON or YAML: an annotation, a file in a ConfigMap.
fn visit_string(redactor: &mut Redactor, text: &str, place: Place) -> String {
    if text.trim_start().starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str(text)
    {
        return visit(redactor, value, place).to_string();
    }
    if text.contains('\n') && text.contains(':') {
        let documents = parse_yaml(redactor, text).unwrap_or_default();
        if !documents.is_empty()
            && documents.iter().all(|document| document.is_object() || document.is_array())
        {
            let written = documents.into_iter().map(|document| write_yaml(&visit(redactor, document, place)));
            return written.collect::<Vec<_>>().join("---\n");
        }
    }
    redactor.text(text)
}

/// The names stay, which tell what there is.
fn all_values(redactor: &mut Redactor, value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let values =
                object.into_iter().map(|(name, value)| (redactor.text(&name), take_out(redactor, value)));
            Value::Object(values.collect())
        }
        other => take_out(redactor, other),
    }
}

/// Nothing, or yes and no, is no secret.
fn take_out(redactor: &mut Redactor, value: Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) => value,
        Value::String(text) if text.is_empty() => Value::String(text),
        _ => {
            redactor.count += 1;
            Value::String(REDACTED.to_owned())
        }
    }
}
