//! Entries in the default text formats of Envoy and Istio.
//!
//! ```text
//! [start time] "method path protocol" status flags bytes_received … "upstream host"                           Envoy
//! [start time] "method path protocol" status flags details … "upstream host" cluster local local client name route   Istio
//! ```
//!
//! Envoy does not escape what clients sent. So the request ends where a quote has a protocol before it, and a status and flags after it; and
//! between the head and the last quote nothing is looked at.

use std::borrow::Cow;

use memchr::{memchr, memmem, memrchr};

use super::entry::{LogEntry, Name, something};

/// Of the words after the last quote: client, and after it name and route.
const CLIENT: usize = 3;

/// Words after the flags among which there are two numbers. The reason of a failure has spaces in old versions.
const MAX_WORDS_BEFORE_COUNTS: usize = 40;

/// What a protocol is at the end of a request.
const PROTOCOLS: [&[u8]; 6] = [b" -", b" HTTP/1.0", b" HTTP/1.1", b" HTTP/2", b" HTTP/2.0", b" HTTP/3"];

/// An entry, if the line is one.
pub(super) fn parse(line: &[u8]) -> Option<LogEntry<'_>> {
    let line = line.trim_ascii();
    let rest = line.strip_prefix(b"[")?;
    let (time, rest) = rest.split_at_checked(memchr(b']', rest)?)?;
    if !time.first()?.is_ascii_alphanumeric() {
        return None;
    }
    let rest = rest.strip_prefix(b"] \"")?;
    let (request, rest) = split_request(rest)?;
    let mut words = rest.split(|&byte| byte == b' ');
    let status = status(words.next()?)?;
    let flags = words.next()?;
    if !has_counts(words.clone()) {
        return None;
    }
    let details = words.next()?;
    // Envoy has a number of bytes here, old versions of Istio something in quotes.
    let is_istio = !details.iter().all(u8::is_ascii_digit) && !details.starts_with(b"\"");
    let (termination, upstream) = if is_istio { (words.next(), quoted(words.next())) } else { (None, None) };
    let used = |words: &mut dyn Iterator<Item = &[u8]>| {
        words
            .take(2)
            .any(|bytes| bytes.iter().all(u8::is_ascii_digit) && bytes.iter().any(|&digit| digit != b'0'))
    };
    let is_used = !is_istio && details != b"0" && details.iter().all(u8::is_ascii_digit) || used(&mut words);
    let tail = &line[memrchr(b'"', line)? + 1..];
    let (client, name) = client_and_name(tail);
    Some(LogEntry {
        time: word(time),
        client,
        name,
        status,
        has_request: request != b"- - -",
        details: is_istio.then(|| word(details)).flatten(),
        flags: word(flags),
        has_flags: true,
        termination: termination.and_then(word),
        upstream_failure: upstream.and_then(word),
        is_used,
        ..LogEntry::default()
    })
}

/// The request without its quotes, and what follows it.
fn split_request(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_end = |&at: &usize| {
        let mut words = text[at + 2..].split(|&byte| byte == b' ');
        words.next().is_some_and(|word| status(word).is_some()) && words.next().is_some_and(are_flags)
    };
    let has_protocol = |&at: &usize| PROTOCOLS.iter().any(|protocol| text[..at].ends_with(protocol));
    let ends = || memmem::find_iter(text, b"\" ").filter(is_end);
    // Formats of one's own may end otherwise.
    let end = ends().find(has_protocol).or_else(|| ends().next())?;
    Some((&text[..end], &text[end + 2..]))
}

/// Bytes received and sent, and the duration, stand behind each other: that tells the line from one of Apache or nginx.
fn has_counts<'w>(words: impl Iterator<Item = &'w [u8]>) -> bool {
    let mut is_after_number = false;
    words.take(MAX_WORDS_BEFORE_COUNTS).any(|word| {
        let is_number = !word.is_empty() && word.iter().all(u8::is_ascii_digit);
        std::mem::replace(&mut is_after_number, is_number) && is_number
    })
}

fn status(word: &[u8]) -> Option<u16> {
    let word = word.strip_suffix(b".0").unwrap_or(word);
    let is_status = (1..=3).contains(&word.len()) && word.iter().all(u8::is_ascii_digit);
    // Null is `-`.
    if word == b"-" {
        Some(0)
    } else {
        is_status.then(|| word.iter().fold(0, |all, digit| all * 10 + u16::from(digit - b'0')))
    }
}

fn are_flags(word: &[u8]) -> bool {
    word == b"-" || (!word.is_empty() && word.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b','))
}

fn quoted(word: Option<&[u8]>) -> Option<&[u8]> {
    word?.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// The words after the last quote, in Istio's format. A name that a client sent may have spaces; the route after it has none.
fn client_and_name(tail: &[u8]) -> (Option<Cow<'_, str>>, Name<'_>) {
    let mut words = tail.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let Some(client) = words.nth(CLIENT) else { return (None, Name::NotLogged) };
    let rest: Vec<&[u8]> = words.collect();
    let name = match &rest[..] {
        [] => return (word(client), Name::NotLogged),
        [name] | [name, _] => word(name),
        [names @ .., _] => Some(Cow::Owned(String::from_utf8_lossy(&names.join(&b' ')).into_owned())),
    };
    (word(client), Name::of(name))
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
        for (sent, name) in [
            ("b.example", Name::Present("b.example".into())),
            ("invalid:10.0.0.1:8443", Name::Invalid("10.0.0.1:8443".into())),
            ("invalid:a b", Name::Invalid("a b".into())),
        ] {
            let named = ISTIO.replace("10.138.0.28:19432 -", &format!("10.138.0.28:19432 {sent}"));
            assert_eq!(parse(named.as_bytes()).unwrap().name, name);
        }
    }

    #[test]
    fn other_forms_of_the_start_time() {
        for time in [
            "2025-05-19 04:46:20",
            "1747629980.117",
            "19/May/2025:04:46:20 +0000",
            "Mon May 19 04:46:20 2025",
        ] {
            let line = ISTIO.replace("2025-05-19T04:46:20.117Z", time);
            assert!(parse(line.as_bytes()).unwrap().timestamp().is_some(), "{line}");
        }
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

    /// What a client sends does not make an entry of another kind.
    #[test]
    fn quotes_and_spaces_in_the_path() {
        for path in ["/a\" b", "/a\"b?c\" d", "/a\" 0 NR x", "/a\" - - -\" x", "/\"", "/ \" \" "] {
            let line = format!(
                "[2025-05-19T04:46:21.117Z] \"GET {path} HTTP/1.1\" 200 - via_upstream - \"-\" 0 5 3 2 \"203.0.113.9\" \"ua\" \"id\" \"a.example\" \"10.0.0.9:80\" outbound|80||a 10.0.0.5:1 10.0.0.5:8443 203.0.113.9:7 a.example default"
            );
            let entry = parse(line.as_bytes()).unwrap();
            assert_eq!((entry.kind(), entry.status), (Kind::Served, 200), "{path}");
            assert_eq!(entry.client.as_deref(), Some("203.0.113.9:7"), "{path}");
        }
    }

    #[test]
    fn a_backend_that_cannot_be_reached() {
        let line = "[2026-11-29T16:30:19.405Z] \"- - -\" 0 UF,URX - - \"delayed_connect_error:_Connection_refused\" 0 0 1 - \"-\" \"-\" \"-\" \"-\" \"192.0.2.9:443\" outbound|443||db - 10.0.0.5:8443 198.51.100.28:43636 db.example.com -";
        let entry = parse(line.as_bytes()).unwrap();
        assert_eq!(entry.kind(), Kind::OtherFailure);
        assert!(
            entry.failure().ends_with("(delayed_connect_error:_Connection_refused)"),
            "{}",
            entry.failure()
        );
        let ended = "[2025-05-19T04:46:20.117Z] \"- - -\" 0 - - transport_socket_timeout \"-\" 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" - - 10.0.0.5:8443 10.138.0.28:19432 - -";
        assert_eq!(parse(ended.as_bytes()).unwrap().failure(), "transport_socket_timeout");
    }

    #[test]
    fn envoy_says_neither_client_nor_name() {
        let line = "[2025-05-19T04:46:20.117Z] \"- - -\" 0 NR 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\"";
        let entry = parse(line.as_bytes()).unwrap();
        assert_eq!(entry.kind(), Kind::NoFilterChain);
        assert_eq!((entry.client, entry.name, entry.details), (None, Name::NotLogged, None));
    }

    /// The handshake was over: there is a protocol.
    #[test]
    fn a_protocol_without_a_method_is_a_request() {
        let line = "[2025-05-19T04:46:25.117Z] \"- - HTTP/2\" 0 DPE http2.violation.of.messaging.rule - \"-\" 0 0 1 - \"-\" \"-\" \"-\" \"-\" \"-\" - - 10.0.0.5:8443 198.51.100.28:3 b.example -";
        assert_eq!(parse(line.as_bytes()).unwrap().kind(), Kind::Unremarkable);
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
            "[2025-05-19T04:46:20.117Z] \"- - -\" 4000 NR 0",
            "[2025-05-19 04:46:20.117][1][info][main] [source/server/server.cc:938] starting \"main\" loop",
            "[pod/a/b] {\"x\" 0 NR 0",
            "[2025-05-19T04:46:20.117Z] \"- - -\" 0 NR",
            // Apache: an access log of requests.
            "[19/May/2025:04:46:20 +0000] \"GET / HTTP/1.1\" 304 - \"-\" \"Mozilla/5.0 (X11; Linux x86_64) 126\"",
            "[19/May/2025:04:46:20 +0000] \"GET / HTTP/1.1\" 200 512 \"-\" \"curl\"",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
        for end in 0..ISTIO.len() {
            // What is cut off is no entry, or one that says less.
            let _ = parse(&ISTIO.as_bytes()[..end]);
        }
    }

    proptest::proptest! {
        #[test]
        fn damaged_lines(at in 0_usize..200, bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..8)) {
            let mut line = ISTIO.as_bytes().to_vec();
            let at = at.min(line.len());
            line.splice(at..(at + bytes.len()).min(ISTIO.len()), bytes);
            parse(&line);
            parse(&line[at..]);
        }
    }
}
