//! Lines of `key=value` pairs, with values in quotes where they have spaces.
//!
//! They come from formats that people write themselves (`peer=%DOWNSTREAM_REMOTE_ADDRESS% flags=%RESPONSE_FLAGS%`), and from programs in Go
//! (`time="…" level=debug msg="…"`), of which the message is looked at.

use std::borrow::Cow;

use memchr::memchr;

use super::entry::{LogEntry, something};
use super::fields::{Fields, Key, Scalar};

/// Pairs of a line that are looked at.
const MAX_PAIRS: usize = 64;

/// An entry, if the pairs are those of an access log. A time in brackets may stand before them.
pub(super) fn parse(line: &[u8]) -> Option<LogEntry<'_>> {
    memchr(b'=', line)?;
    let mut fields = Fields::default();
    if let Some(rest) = line.strip_prefix(b"[")
        && let Some(end) = memchr(b']', rest)
    {
        fields.set(Key::Time, Scalar::Text(String::from_utf8_lossy(&rest[..end])));
    }
    for (key, value) in pairs(line) {
        let key = Key::of(key);
        if key != Key::Other {
            fields.set(key, something(value).map_or(Scalar::Nothing, Scalar::Text));
        }
    }
    fields.finish()
}

/// The text of a program's message, and its time.
pub(super) fn message(line: &[u8]) -> Option<(Cow<'_, str>, Option<Cow<'_, str>>)> {
    let (mut message, mut time, mut has_level) = (None, None, false);
    for (key, value) in pairs(line) {
        match key {
            "level" | "lvl" | "severity" => has_level = true,
            "msg" | "message" => message = Some(value),
            "time" | "ts" | "timestamp" => time = Some(value),
            _ => {}
        }
    }
    message.filter(|_| has_level).map(|message| (message, time))
}

fn pairs(line: &[u8]) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    let mut rest = line;
    let next = move || loop {
        let equals = memchr(b'=', rest)?;
        let key = rest[..equals].rsplit(|byte| matches!(byte, b' ' | b'\t' | b'|' | b',' | b';')).next()?;
        rest = &rest[equals + 1..];
        let (value, length) = value(rest);
        rest = &rest[length..];
        if let Ok(key) = std::str::from_utf8(key)
            && !key.is_empty()
        {
            return Some((key, value));
        }
    };
    std::iter::from_fn(next).take(MAX_PAIRS)
}

/// A value and its length with quotes.
fn value(text: &[u8]) -> (Cow<'_, str>, usize) {
    if let Some(quoted) = text.strip_prefix(b"'")
        && let Some(length) = memchr(b'\'', quoted)
    {
        return (String::from_utf8_lossy(&quoted[..length]), length + 2);
    }
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let length = plain_length(text);
        return (String::from_utf8_lossy(&text[..length]), length);
    };
    let mut value = Vec::new();
    let mut is_escaped = false;
    for (at, &byte) in quoted.iter().enumerate() {
        match byte {
            _ if is_escaped => {
                value.push(if byte == b'n' { b'\n' } else { byte });
                is_escaped = false;
            }
            b'\\' => is_escaped = true,
            b'"' => return (Cow::Owned(String::from_utf8_lossy(&value).into_owned()), at + 2),
            _ => value.push(byte),
        }
    }
    (Cow::Owned(String::from_utf8_lossy(&value).into_owned()), text.len())
}

/// The length of a value without quotes. Spaces end it, and commas and semicolons before a space, a further pair or the end.
fn plain_length(text: &[u8]) -> usize {
    let is_end = |at: usize| match text[at] {
        b' ' | b'\t' => true,
        b',' | b';' => {
            let rest = text[at + 1..].trim_ascii_start();
            let name = rest.iter().position(|byte| !byte.is_ascii_alphanumeric() && !b"_-@.".contains(byte));
            rest.is_empty()
                || rest.len() < text.len() - at - 1
                || name.is_some_and(|name| name > 0 && rest[name] == b'=')
        }
        _ => false,
    };
    (0..text.len()).find(|&at| is_end(at)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Kind, Name};
    use super::*;

    #[test]
    fn formats_of_ones_own() {
        for line in [
            "[2021-07-06T17:09:05.190Z] call_duration_ms=2 client_address=198.51.100.7:40405 termination_reason=- response_flags=NR sni=-",
            "time=2021-07-06T17:09:05.190Z; peer=198.51.100.7:40405; response_flags=NR; sni=-;",
            "time=2021-07-06T17:09:05.190Z,peer=198.51.100.7:40405,response_flags=DC,NR,sni=-",
            "time='2021-07-06T17:09:05.190Z' peer='198.51.100.7:40405' response_flags='NR' sni='-'",
            "time=2021-07-06T17:09:05.190Z peer=198.51.100.7:40405 response_flags=NR sni=null",
            r#"conn peer=198.51.100.7:40405 tls=- sni=- flags=NR tls_fail="-" rx=0 tx=0 ms=1 ts=1625591345.190"#,
        ] {
            let entry = parse(line.as_bytes()).unwrap();
            assert_eq!((entry.kind(), &entry.name), (Kind::NoFilterChain, &Name::Null), "{line}");
            assert_eq!(entry.client.as_deref(), Some("198.51.100.7:40405"));
            assert_eq!(entry.timestamp(), Some("2021-07-06T17:09:05.190Z".parse().unwrap()));
        }
        let failed = parse(br#"peer=198.51.100.7:1 sni=a.example flags=- tls_fail="TLS_error:_Secret_is_not_supplied_by_SDS""#).unwrap();
        assert_eq!(
            (failed.kind(), &*failed.failure()),
            (Kind::OtherFailure, "TLS_error:_Secret_is_not_supplied_by_SDS")
        );
    }

    #[test]
    fn messages() {
        let line = br#"time="2020-09-19T01:41:43Z" level=debug msg="a \"b\" c""#;
        let found = (Cow::Borrowed(r#"a "b" c"#), Some(Cow::Borrowed("2020-09-19T01:41:43Z")));
        assert_eq!(message(line), Some(found));
        for other in ["msg=x", "level=info", "=", "a==", "\"=\""] {
            assert_eq!(message(other.as_bytes()), None, "{other}");
            assert_eq!(parse(other.as_bytes()), None, "{other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line(line in "[a= \"\\\\\\[\\]|é]{0,30}") {
            let _ = (parse(line.as_bytes()), message(line.as_bytes()));
        }
    }
}
