//! Entries that are JSON objects: Apigee's ingress log, and other formats of Envoy by the usual names of fields.
//!
//! Each line is parsed to its end: a field's name in some client's path or user agent is not taken for the field. Values
//! that do not matter are stepped over, and those that do are borrowed.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::entry::{LogEntry, Name, something};

/// What a piece of text is.
#[derive(Debug)]
pub(super) enum Parsed<'a> {
    Entry(LogEntry<'a>),
    /// An object of a log shipper around a line.
    Wrapped(Cow<'a, str>),
    /// An object that goes on.
    Unfinished,
    NoEntry,
}

/// Looks at an object, with nothing after it but what a list of objects has.
pub(super) fn parse(text: &[u8]) -> Parsed<'_> {
    let text = text.trim_ascii_end();
    let text = text.strip_suffix(b",").unwrap_or(text);
    match serde_json::from_slice::<Object<'_>>(text) {
        Ok(object) => object.into_parsed(),
        Err(error) if error.is_eof() => Parsed::Unfinished,
        Err(_) => Parsed::NoEntry,
    }
}

/// What is read of an object.
#[derive(Debug, Default)]
struct Object<'a> {
    entry: LogEntry<'a>,
    /// A field that only access logs have.
    has_details: bool,
    has_status: bool,
    /// Envoy's fields of the connection.
    has_connection: bool,
    /// What a shipper put into its own object.
    line: Option<Cow<'a, str>>,
    payload: Option<Box<Object<'a>>>,
}

impl<'a> Object<'a> {
    fn into_parsed(self) -> Parsed<'a> {
        if self.has_details || (self.has_status && self.has_connection) {
            return Parsed::Entry(self.entry);
        }
        match (self.payload, self.line) {
            (Some(payload), _) => payload.into_parsed(),
            (None, Some(line)) => Parsed::Wrapped(line),
            (None, None) => Parsed::NoEntry,
        }
    }

    fn set(&mut self, key: Key, value: Scalar<'a>) {
        let entry = &mut self.entry;
        match key {
            Key::Time => entry.time = value.text().or(entry.time.take()),
            Key::Client => {
                entry.client = value.text().or(entry.client.take());
                self.has_connection = true;
            }
            Key::Name => {
                match value.text() {
                    Some(name) => entry.name = Name::Present(name),
                    None if entry.name == Name::NotLogged => entry.name = Name::Null,
                    None => {}
                }
                self.has_connection = true;
            }
            Key::Status => {
                entry.status = value.status();
                self.has_status = true;
            }
            Key::Details => {
                entry.details = value.text();
                self.has_details = true;
            }
            Key::Flags => {
                entry.flags = value.text();
                self.has_details = true;
            }
            Key::Method => entry.has_request = value.text().is_some(),
            Key::TransportFailure => {
                entry.transport_failure = value.text();
                self.has_details = true;
            }
            Key::Line => self.line = value.text(),
            Key::Payload | Key::Other => {}
        }
    }
}

/// The names of fields that are known.
#[derive(Clone, Copy, Debug)]
enum Key {
    Time,
    Client,
    Name,
    Status,
    Details,
    Flags,
    Method,
    TransportFailure,
    /// Docker's files, and Cloud Logging's lines that are no JSON.
    Line,
    /// Cloud Logging's.
    Payload,
    Other,
}

impl Key {
    fn of(name: &str) -> Self {
        match name {
            "start_time" => Self::Time,
            "remote_address" | "downstream_remote_address" => Self::Client,
            "sni_host" | "requested_server_name" => Self::Name,
            "status" | "response_code" => Self::Status,
            "status_details" | "response_code_details" => Self::Details,
            "upstream_response_flags" | "response_flags" => Self::Flags,
            "request_method" | "method" => Self::Method,
            "downstream_transport_failure_reason" => Self::TransportFailure,
            "log" | "textPayload" => Self::Line,
            "jsonPayload" => Self::Payload,
            _ => Self::Other,
        }
    }
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

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut object = Object::default();
                while let Some(key) = map.next_key::<Key>()? {
                    match key {
                        Key::Other => drop(map.next_value::<IgnoredAny>()?),
                        Key::Payload => object.payload = Some(Box::new(map.next_value()?)),
                        known => object.set(known, map.next_value()?),
                    }
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// A value, as far as it is text or a number.
#[derive(Debug)]
enum Scalar<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Nothing,
}

impl<'a> Scalar<'a> {
    fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => something(text),
            Self::Number(_) | Self::Nothing => None,
        }
    }

    /// Formats without typed values write `"200"`.
    fn status(self) -> u16 {
        match self {
            Self::Text(text) => text.parse().unwrap_or(0),
            Self::Number(number) => u16::try_from(number).unwrap_or(0),
            Self::Nothing => 0,
        }
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
                Ok(Scalar::Number(number))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Scalar::Nothing)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Scalar::Nothing)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Scalar::Nothing)
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Scalar::Nothing)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Nothing)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Nothing)
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Kind;
    use super::*;

    fn entry(text: &str) -> LogEntry<'_> {
        match parse(text.as_bytes()) {
            Parsed::Entry(entry) => entry,
            other => panic!("{text}: {other:?}"),
        }
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
        assert_eq!(given, LogEntry { name: Name::Null, ..LogEntry::default() });
    }

    #[test]
    fn what_is_no_entry() {
        for text in [
            r#"{"level":"info","time":"2025-05-19T04:46:20Z","msg":"filter_chain_not_found"}"#,
            r#"{"status":"ok"}"#,
            "{}",
            "{]",
            "{\"a\":\"\u{1}\"}",
        ] {
            assert!(matches!(parse(text.as_bytes()), Parsed::NoEntry), "{text}");
        }
        for text in ["{", r#"{"status"#, r#"{"status":0,"#] {
            assert!(matches!(parse(text.as_bytes()), Parsed::Unfinished), "{text}");
        }
        // Deep nesting neither recurses without end nor is it taken for more.
        assert!(matches!(parse("{\"a\":".repeat(100_000).as_bytes()), Parsed::Unfinished));
        assert!(matches!(parse("{\"jsonPayload\":".repeat(100_000).as_bytes()), Parsed::NoEntry));
    }

    #[test]
    fn in_the_objects_of_log_shippers() {
        let docker = r#"{"log":"{\"status\":0}\n","stream":"stdout","time":"2025-05-19T04:46:20Z"}"#;
        assert!(matches!(parse(docker.as_bytes()), Parsed::Wrapped(line) if line == "{\"status\":0}\n"));
        let cloud = r#"{"insertId":"1","jsonPayload":{"status":0,"upstream_response_flags":"NR"}},"#;
        assert_eq!(entry(cloud).kind(), Kind::NoFilterChain);
    }
}
