//! Secrets by the names of their fields.

use serde_json::{Map, Value};
use serde_saphyr::{Options, options};

use super::certificates::is_certificate;
use super::commands::{Part, Words};
use super::kept::{self, Field};
use super::names::{is_login_place, is_reference, is_secret, is_secret_of_jwk, is_secret_scalar};
use super::{REDACTED, Redactor, opaque};

/// How deep a tree is looked into, and JSON and YAML in strings of it. Stops one that would overflow the stack;
/// what is deeper is taken out.
const MAX_DEPTH: u32 = 64;

/// What is around a value.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each holds for a part of the tree of its own")]
struct Place {
    depth: u32,
    /// In an object of the kind Secret: its `data` are secrets, whatever their names.
    in_secret: bool,
    /// Under a name that says where a secret is: `key` is then the name of one.
    in_reference: bool,
    /// In a file of the user's: words that look like keys are taken out.
    is_configuration: bool,
    /// Under a name with values that stay, whatever they look like.
    is_kept: bool,
    /// In a map of variables: the names in it are no names of fields.
    is_variable: bool,
    /// The field that `routes` and `diagnose` read, or that leads to some.
    field: Option<&'static Field>,
}

/// Types of Secrets, and the beginning of those of Kubernetes.
const SECRET_TYPES: [&str; 3] = ["Opaque", "kubernetes.io/", "helm.sh/release"];
/// Names of the field that has the name of a setting, beside its value.
const SETTING_NAMES: [&str; 18] = [
    "name",
    "key",
    "k",
    "id",
    "property",
    "field",
    "parameter",
    "param",
    "setting",
    "option",
    "attribute",
    "variable",
    "var",
    "header",
    "label",
    "title",
    "type",
    "envvar",
];
/// Names of the field with the value of a setting.
const SETTING_VALUES: [&str; 10] =
    ["value", "val", "v", "default", "defaultvalue", "content", "data", "values", "text", "string"];

/// The tree without its secrets.
pub(super) fn redact(redactor: &mut Redactor, value: Value) -> Value {
    visit(redactor, value, Place::default())
}

/// The tree of a user's configuration without its secrets, and without words that look like some.
pub(super) fn redact_configuration(redactor: &mut Redactor, value: Value) -> Value {
    let place = Place { is_configuration: true, field: Some(&kept::OVERRIDES), ..Place::default() };
    visit(redactor, value, place)
}

/// The documents, without the values with the tag `!!binary`: their content is unknown.
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
        Value::Array(values) if place.field.is_some() => {
            Value::Array(values.into_iter().map(|value| visit(redactor, value, place)).collect())
        }
        Value::Array(mut values) => {
            // A pair: `["password", "…"]`.
            if let [Value::String(name), value] = values.as_mut_slice()
                && !value.is_object()
                && !value.is_array()
                && (is_secret(name) || is_secret_scalar(name))
            {
                *value = take_out(redactor, value.take());
            }
            let mut words = Words::of_list();
            let visit = |value: Value| match words.word(value.as_str().unwrap_or_default()) {
                Part::From(0) => take_out(redactor, value),
                Part::From(at) => take_out_end(redactor, &value, at),
                Part::Nothing => visit(redactor, value, place),
            };
            Value::Array(values.into_iter().map(visit).collect())
        }
        Value::String(text) => Value::String(visit_string(redactor, &text, place)),
        other => other,
    }
}

fn visit_object(redactor: &mut Redactor, object: Map<String, Value>, place: Place) -> Map<String, Value> {
    let in_secret = place.in_secret || is_of_secret(&object);
    let is_secret_value = names_secret(&object);
    // `key` of a toleration, of a selector or of a file in a volume is no secret.
    let is_no_key =
        ["operator", "path", "effect"].iter().any(|name| object.contains_key(*name)) || is_secret_value;
    let is_jwk = object.contains_key("kty");
    let parent = if place.is_configuration { Field::of_object(&object).or(place.field) } else { None };
    let mut visited = Map::new();
    for (name, value) in object {
        let field = parent.and_then(|parent| parent.field(&name));
        if field.is_some() {
            let is_variable = opaque::has_variables(&name);
            let value =
                visit(redactor, value, Place { in_secret, field, is_kept: false, is_variable, ..place });
            visited.insert(redactor.message(&name), value);
            continue;
        }
        let is_data = in_secret && matches!(name.as_str(), "data" | "stringData") || name == "binaryData";
        let is_name_of_key = name == "key" && (place.in_reference || is_no_key);
        let is_plain_secret = is_secret(&name) && !is_name_of_key
            || is_jwk && is_secret_of_jwk(&name)
            || is_secret_scalar(&name) && !value.is_object() && !value.is_array();
        let is_value = is_secret_value && is_any_of(&name, &SETTING_VALUES)
            || is_login_place(&name) && value.as_str().is_some_and(is_login);
        let value = if is_data {
            all_values(redactor, value)
        } else if is_plain_secret || is_value {
            take_out(redactor, value)
        } else {
            let in_reference = is_reference(&name);
            let is_kept = !place.is_variable && opaque::is_kept(&name, &value);
            let is_variable = value.is_object() && opaque::has_variables(&name);
            visit(redactor, value, Place { in_secret, in_reference, is_kept, is_variable, field, ..place })
        };
        visited.insert(redactor.message(&name), value);
    }
    visited
}

/// Whether the object is a Secret: its `data` are secrets, whatever their names.
fn is_of_secret(object: &Map<String, Value>) -> bool {
    let word = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = word("kind").to_ascii_lowercase();
    kind.starts_with("secret") || SECRET_TYPES.iter().any(|begin| word("type").starts_with(begin))
}

/// Whether the object is a setting with the name of a secret, such as an entry of `env`.
fn names_secret(object: &Map<String, Value>) -> bool {
    object
        .iter()
        .filter(|(name, _)| is_any_of(name, &SETTING_NAMES))
        .any(|(_, value)| value.as_str().is_some_and(|value| is_secret(value) || is_secret_scalar(value)))
}

fn is_any_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether the text is a user and a password, where the name promises the place of them.
fn is_login(text: &str) -> bool {
    text.split_once(':').is_some_and(|(user, password)| {
        !user.is_empty()
            && !password.is_empty()
            && !text.contains(['/', '\\'])
            && !text.contains(char::is_whitespace)
            && !password.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// A string may itself be JSON or YAML: an annotation, a file in a ConfigMap.
fn visit_string(redactor: &mut Redactor, text: &str, place: Place) -> String {
    if place.field.is_some_and(Field::is_value) {
        return if kept::is_name(text) {
            redactor.addresses(text.to_owned())
        } else {
            redactor.message(text)
        };
    }
    if is_certificate(text) {
        return text.to_owned();
    }
    let place = Place { field: None, ..place };
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
    let text = redactor.text(text);
    if place.is_configuration && !place.is_kept { opaque::redact(&text, &mut redactor.count) } else { text }
}

/// The names stay, which tell what there is.
fn all_values(redactor: &mut Redactor, value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let values =
                object.into_iter().map(|(name, value)| (redactor.message(&name), take_out(redactor, value)));
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

/// The word without its end.
fn take_out_end(redactor: &mut Redactor, value: &Value, at: usize) -> Value {
    let word = value.as_str().unwrap_or_default();
    redactor.count += 1;
    let begin = redactor.text(&word[..at]);
    Value::String(format!("{begin}{REDACTED}"))
}
