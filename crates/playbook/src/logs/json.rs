//! JSON: objects that are entries themselves, in one pass, and trees of all others.
//!
//! Each object is parsed to its end: a field's name in some client's path or user agent is not taken for the field. Values
//! that do not matter are skipped, and those that do are borrowed.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::fields::{Fields, Key, Scalar};

/// Values of a list that are looked at.
const MAX_VALUES: usize = 16;

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A complete object.
    Object,
    /// An object that goes on.
    Unfinished,
    /// Not an object, or not one alone.
    Malformed,
}

/// Reads the fields of an object, with nothing after it but what a list of objects has.
pub(super) fn parse<'a>(text: &'a [u8], fields: &mut Fields<'a>) -> Parsed {
    let text = text.trim_ascii_end();
    let text = text.strip_suffix(b",").unwrap_or(text);
    // One look at the whole line is faster than one at each of its texts.
    match std::str::from_utf8(text) {
        Ok(text) => read(serde_json::Deserializer::from_str(text), fields),
        Err(_) => read(serde_json::Deserializer::from_slice(text), fields),
    }
}

fn read<'a, R: serde_json::de::Read<'a>>(
    mut deserializer: serde_json::Deserializer<R>,
    fields: &mut Fields<'a>,
) -> Parsed {
    match deserializer.deserialize_map(ObjectVisitor(fields)).and_then(|()| deserializer.end()) {
        Ok(()) => Parsed::Object,
        Err(error) if error.is_eof() => Parsed::Unfinished,
        Err(_) => Parsed::Malformed,
    }
}

/// Any value, with all that is in it.
#[derive(Debug)]
pub(super) enum Node<'a> {
    Scalar(Scalar<'a>),
    List(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// Parses a value. Its size is bounded by that of the text, its depth by `serde_json` (128).
pub(super) fn tree(text: &[u8]) -> Option<Node<'_>> {
    serde_json::from_slice(text).ok()
}

impl<'a> Node<'a> {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Scalar(Scalar::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A value; of a list of values (Elasticsearch's `fields`) all texts, with commas.
    pub(super) fn scalar(&self) -> Option<Scalar<'_>> {
        match self {
            Self::Scalar(value) => Some(value.lend()),
            Self::List(items) if !items.is_empty() && items.len() <= MAX_VALUES => {
                let values: Option<Vec<Scalar<'_>>> = items
                    .iter()
                    .map(|item| match item {
                        Self::Scalar(value) => Some(value.lend()),
                        Self::List(_) | Self::Object(_) => None,
                    })
                    .collect();
                Some(joined(values?))
            }
            Self::List(_) | Self::Object(_) => None,
        }
    }

    /// The text of a list of bytes, as `journalctl -o json` writes what is not plain.
    pub(super) fn bytes(&self) -> Option<String> {
        let Self::List(items) = self else { return None };
        let byte = |item: &Node<'_>| match item {
            Node::Scalar(Scalar::Integer(number)) => u8::try_from(*number).ok(),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = items.iter().map(byte).collect();
        bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The value of an object's field.
    pub(super) fn get(&self, name: &str) -> Option<&Node<'a>> {
        match self {
            Self::Object(fields) => fields.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            Self::Scalar(_) | Self::List(_) => None,
        }
    }
}

/// Texts are joined by commas, as flags are; one value alone is that value.
fn joined(mut values: Vec<Scalar<'_>>) -> Scalar<'_> {
    if values.len() <= 1 {
        return values.pop().unwrap_or(Scalar::Nothing);
    }
    let texts: Vec<&str> = values
        .iter()
        .filter_map(|value| match value {
            Scalar::Text(text) => Some(&**text),
            _ => None,
        })
        .collect();
    if texts.is_empty() { Scalar::Nothing } else { Scalar::Text(Cow::Owned(texts.join(","))) }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                Ok(Key::of(name))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// Sets fields in their place: they are large, and a log has many.
struct ObjectVisitor<'f, 'a>(&'f mut Fields<'a>);

impl<'de: 'a, 'a> Visitor<'de> for ObjectVisitor<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Other => drop(map.next_value::<IgnoredAny>()?),
                Key::Use | Key::Protocol if self.0.has_request() => drop(map.next_value::<IgnoredAny>()?),
                known => self.0.set(known, map.next_value()?),
            }
        }
        Ok(())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Scalar::Integer(number))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Scalar::Nothing)
            }

            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Scalar::Float(number))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Scalar::Nothing)
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Scalar::Nothing)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while values.len() < MAX_VALUES
                    && let Some(value) = list.next_element()?
                {
                    values.push(value);
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(joined(values))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Nothing)
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}

/// A field's name.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Scalar::deserialize(deserializer)? {
            Scalar::Text(text) => Ok(Self(text)),
            _ => Ok(Self(Cow::Borrowed(""))),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Node<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NodeVisitor;
        impl<'de> Visitor<'de> for NodeVisitor {
            type Value = Node<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Node::Scalar(Scalar::Text(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Node::Scalar(Scalar::Text(Cow::Owned(text.to_owned()))))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Node::Scalar(Scalar::Integer(number)))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Node::Scalar(Scalar::Nothing))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Node::Scalar(Scalar::Float(number)))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Node::Scalar(Scalar::Nothing))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Node::Scalar(Scalar::Nothing))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut nodes = Vec::new();
                while let Some(node) = list.next_element()? {
                    nodes.push(node);
                }
                Ok(Node::List(nodes))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((Text(name), value)) = map.next_entry()? {
                    fields.push((name, value));
                }
                Ok(Node::Object(fields))
            }
        }
        deserializer.deserialize_any(NodeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Kind, LogEntry, Name};
    use super::*;

    fn entry(text: &str) -> LogEntry<'_> {
        let mut fields = Fields::default();
        assert_eq!(parse(text.as_bytes(), &mut fields), Parsed::Object, "{text}");
        fields.finish().unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn fields_by_their_other_names() {
        let given = entry(
            r#"{"start_time":"2025-05-19T04:46:20.117Z","downstream_remote_address":"[2001:db8::7]:19432",
                "requested_server_name":"a.example","response_code":"0","response_flags":"NR",
                "response_code_details":"filter_chain_not_found","method":null}"#,
        );
        assert_eq!(given.kind(), Kind::NoFilterChain);
        assert_eq!(given.client.as_deref(), Some("[2001:db8::7]:19432"));
        assert_eq!(given.name, Name::Present("a.example".into()));
    }

    #[test]
    fn a_word_in_another_field_is_not_the_field() {
        let given = entry(
            r#"{"request_path":"/?\"status_details\":\"filter_chain_not_found\"","user_agent":"NR",
                "request_method":"GET","status":200,"status_details":"via_upstream","sni_host":"a.example"}"#,
        );
        assert_eq!(given.kind(), Kind::Served);
    }

    #[test]
    fn values_of_any_type() {
        let given =
            entry(r#"{"status":{"a":[1]},"status_details":[{}],"response_flags":-1.5,"sni_host":true}"#);
        assert_eq!(given, LogEntry { name: Name::Null, has_flags: true, ..LogEntry::default() });
    }

    #[test]
    fn lists_of_values_and_texts_for_null() {
        for flags in [r#"["NR"]"#, r#"["DC","NR"]"#] {
            let text = format!(
                r#"{{"response_flags":{flags},"response_code_details":null,"requested_server_name":"null","remote_address":["10.0.0.1:2"]}}"#
            );
            let given = entry(&text);
            assert_eq!((given.kind(), &given.name), (Kind::NoFilterChain, &Name::Null), "{text}");
            assert_eq!(given.client.as_deref(), Some("10.0.0.1:2"));
        }
        let bytes = tree(b"[97,98,10]").and_then(|node| node.bytes());
        assert_eq!(bytes.as_deref(), Some("ab\n"));
        assert_eq!(tree(b"[97,300]").and_then(|node| node.bytes()), None);
    }

    #[test]
    fn what_is_no_entry() {
        for text in [
            r#"{"level":"info","time":"2025-05-19T04:46:20Z","msg":"filter_chain_not_found"}"#,
            r#"{"status":"ok"}"#,
            "{}",
        ] {
            let mut fields = Fields::default();
            assert_eq!(parse(text.as_bytes(), &mut fields), Parsed::Object, "{text}");
            assert_eq!(fields.finish(), None, "{text}");
        }
        for text in ["{]", "{\"a\":\"\u{1}\"}", "{} {}", "[{}]"] {
            assert_eq!(parse(text.as_bytes(), &mut Fields::default()), Parsed::Malformed, "{text}");
        }
        for text in ["{", r#"{"status"#, r#"{"status":0,"#] {
            assert_eq!(parse(text.as_bytes(), &mut Fields::default()), Parsed::Unfinished, "{text}");
        }
        // Deep nesting neither recurses without end nor is it taken for more.
        assert_eq!(parse("{\"a\":".repeat(100_000).as_bytes(), &mut Fields::default()), Parsed::Unfinished);
        assert!(tree("{\"a\":".repeat(100_000).as_bytes()).is_none());
        assert!(tree("[".repeat(100_000).as_bytes()).is_none());
    }

    #[test]
    fn a_tree() {
        let node = tree(br#"{"a":[1,"x\n",null],"b":{"c":"d"}}"#).unwrap();
        assert_eq!(node.get("b").and_then(|b| b.get("c")).and_then(Node::text), Some("d"));
        let Some(Node::List(list)) = node.get("a") else { panic!("{node:?}") };
        assert_eq!(list[1].text(), Some("x\n"));
    }
}
