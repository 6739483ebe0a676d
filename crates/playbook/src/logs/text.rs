//! Entries in the default text formats of Envoy and Istio.
//!
//! ```text
//! [start time] "method path protocol" status flags bytes_received … "upstream host"                           Envoy
//! [start time] "method path protocol" status flags details … "upstream host" cluster local local client name route   Istio
//! ```
//!
//! Envoy does not escape what clients sent: between the head and the last quote nothing is looked at.

use std::borrow::Cow;

use memchr::{memchr, memmem, memrchr};

use super::entry::{LogEntry, Name, something};

/// Of the words after the last quote: client and server name.
const CLIENT_AND_NAME: usize = 3;

/// An entry, if the line is one.
pub(super) fn parse(line: &[u8]) -> Option<LogEntry<'_>> {
    let line = line.trim_ascii();
    let rest = line.strip_prefix(b"[")?;
    let (time, rest) = rest.split_at_checked(memchr(b']', rest)?)?;
    if !time.first()?.is_ascii_digit() {
        return None;
    }
    let rest = rest.strip_prefix(b"] \"")?;
    let (request, rest) = rest.split_at_checked(memmem::find(rest, b"\" ")?)?;
    let mut words = rest[2..].split(|&byte| byte == b' ');
    let status = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
    let flags = words.next()?;
    let details = words.next()?;
    // Envoy has a number of bytes here, old versions of Istio something in quotes.
    let has_details = !details.iter().all(u8::is_ascii_digit) && !details.starts_with(b"\"");
    let tail = &line[memrchr(b'"', line)? + 1..];
    let mut tail = tail.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).skip(CLIENT_AND_NAME);
    let client = tail.next().and_then(word);
    let name = tail.next().map_or(Name::NotLogged, |name| word(name).map_or(Name::Null, Name::Present));
    Some(LogEntry {
        time: word(time),
        client,
        name,
        status,
        has_request: !request.starts_with(b"- "),
        details: has_details.then(|| word(details)).flatten(),
        flags: word(flags),
        transport_failure: None,
    })
}

fn word(bytes: &[u8]) -> Option<Cow<'_, str>> {
    something(String::from_utf8_lossy(bytes))
}

#[cfg(test)]
mod tests {
    use super::super::entry::Kind;
    use super::*;

    const ISTIO: &str = "[2025-05-19T04:46:20.117Z] \"- - -\" 0 NR filter_chain_not_found - \"-\" 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" - - 10.0.0.5:8443 10.138.0.28:19432 - -";

    #[test]
    fn istio() {
        let entry = parse(ISTIO.as_bytes()).unwrap();
        assert_eq!(entry.kind(), Kind::NoFilterChain);
        assert_eq!(entry.client.as_deref(), Some("10.138.0.28:19432"));
        assert_eq!(entry.name, Name::Null);
        assert!(entry.timestamp().is_some());
        let named = ISTIO.replace("10.138.0.28:19432 -", "10.138.0.28:19432 b.example");
        assert_eq!(parse(named.as_bytes()).unwrap().name, Name::Present("b.example".into()));
    }

    #[test]
    fn istio_served_with_quotes_in_the_user_agent() {
        let line = "[2025-05-19T04:46:20.117Z] \"GET /a?b HTTP/2\" 200 - via_upstream - \"-\" 0 5 3 2 \"10.0.0.1\" \"odd\" agent\" \"id\" \"a.example\" \"10.0.0.9:80\" outbound|80||a 10.0.0.5:1 10.0.0.5:8443 10.138.0.28:19432 a.example default\n";
        let entry = parse(line.as_bytes()).unwrap();
        assert_eq!(entry.kind(), Kind::Served);
        assert_eq!(entry.client.as_deref(), Some("10.138.0.28:19432"));
        assert_eq!(entry.name, Name::Present("a.example".into()));
        assert_eq!(entry.details.as_deref(), Some("via_upstream"));
    }

    #[test]
    fn envoy_says_neither_client_nor_name() {
        let line = "[2025-05-19T04:46:20.117Z] \"- - -\" 0 NR 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\"";
        let entry = parse(line.as_bytes()).unwrap();
        assert_eq!(entry.kind(), Kind::NoFilterChain);
        assert_eq!((entry.client, entry.name, entry.details), (None, Name::NotLogged, None));
    }

    #[test]
    fn what_is_no_entry() {
        for line in [
            "",
            "[",
            "[2025",
            "[2025]",
            "[2025-05-19T04:46:20.117Z] \"",
            "[2025-05-19T04:46:20.117Z] \"- - -\" ",
            "[2025-05-19T04:46:20.117Z] \"- - -\" x NR 0",
            "[2025-05-19 04:46:20.117][1][info][main] [source/server/server.cc:938] starting \"main\" loop",
            "[pod/a/b] \"x\" 0 NR 0",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
        for end in 0..ISTIO.len() {
            // What is cut off is no entry, or one that says less.
            let _ = parse(&ISTIO.as_bytes()[..end]);
        }
    }
}
