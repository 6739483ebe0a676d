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

use memchr::{memchr, memchr_iter, memmem, memrchr, memrchr_iter};

use super::entry::{LogEntry, Name, something};

/// Of the words after the last quote of the format: the gateway's address, the client's, and after them name and route.
const CLIENT: usize = 3;

/// Quotes after which the address of the client is looked for. Formats have at most 20; those of a client's user agent count too.
const MAX_QUOTES: usize = 64;

/// What Istio (since 1.23.2) writes before a name that is no host name.
const INVALID: &[u8] = b"invalid:";

/// What a failure of a client's TLS begins and ends with.
const TLS_ERROR: &[u8] = b"TLS_error";
const TLS_ERROR_END: &[u8] = b"TLS_error_end";

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
    // A null may be left empty (`omit_empty_values`).
    let is_count = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    let is_istio = !is_count(details) && !details.starts_with(b"\"");
    let (termination, upstream) = if is_istio { (words.next(), quoted(words.next())) } else { (None, None) };
    let used = |words: &mut dyn Iterator<Item = &[u8]>| {
        words
            // In Envoy's format the details are the bytes received, and the duration follows the bytes sent.
            .take(if is_istio { 2 } else { 1 })
            .any(|bytes| bytes.iter().all(u8::is_ascii_digit) && bytes.iter().any(|&digit| digit != b'0'))
    };
    let is_used = !is_istio && details != b"0" && is_count(details) || used(&mut words);
    let is_without_request = matches!(request, b"- - -" | b"  ");
    let tail = tail(line, is_without_request);
    let Tail { client, name, transport_failure } =
        tail.map(|tail| read_tail(tail, request)).unwrap_or_default();
    Some(LogEntry {
        time: word(time),
        client,
        name,
        status,
        has_request: !is_without_request,
        details: is_istio.then(|| word(details)).flatten(),
        flags: word(flags),
        has_flags: true,
        termination: termination.and_then(word),
        upstream_failure: upstream.and_then(word),
        transport_failure,
        is_used,
        has_use: true,
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

/// The words after the last quote of the format. Others may follow: people append fields to the format, also in quotes.
fn tail(line: &[u8], is_without_request: bool) -> Option<&[u8]> {
    let after = |at: usize| &line[at + 1..];
    let has_addresses = |tail: &&[u8]| {
        let mut words =
            tail.strip_prefix(b" ").unwrap_or_default().split(|&byte| byte == b' ').skip(CLIENT - 1);
        words.next().is_some_and(is_address) && words.next().is_some_and(is_address)
    };
    let last = after(memrchr(b'"', line)?);
    // What a client sends is before them: its user agent; or after them, where there is no request: its name.
    let found = if is_without_request {
        memchr_iter(b'"', line).take(MAX_QUOTES).map(after).find(has_addresses)
    } else {
        memrchr_iter(b'"', line).take(MAX_QUOTES).map(after).find(has_addresses)
    };
    Some(found.unwrap_or(last))
}

/// `10.0.0.5:8443`, `[2001:db8::1]:8443`.
fn is_address(word: &[u8]) -> bool {
    let first = word.first().is_some_and(|&byte| byte.is_ascii_digit() || byte == b'[');
    first && std::str::from_utf8(word).is_ok_and(|word| word.parse::<std::net::SocketAddr>().is_ok())
}

/// What the words after the last quote say.
#[derive(Debug, Default)]
struct Tail<'a> {
    client: Option<Cow<'a, str>>,
    name: Name<'a>,
    transport_failure: Option<Cow<'a, str>>,
}

fn read_tail<'a>(tail: &'a [u8], request: &[u8]) -> Tail<'a> {
    // Nulls are left empty, and those at the end of the line have been trimmed.
    let is_omitting = request == b"  ";
    let mut words = tail.strip_prefix(b" ").unwrap_or(tail).split(|&byte| byte == b' ');
    let Some(client) = words.nth(CLIENT) else { return Tail::default() };
    let words: Vec<&[u8]> = words.collect();
    let (name, length) = match &words[..] {
        [] if is_omitting => (Name::Null, 0),
        [] => (Name::NotLogged, 0),
        words => {
            let length = if words[0].starts_with(INVALID) { invalid_length(words) } else { 1 };
            (Name::of(word_of(&words[..length])), length)
        }
    };
    Tail { client: word(client), name, transport_failure: transport_failure(&words[length..]) }
}

/// The words of a name that is no host name: it alone may have spaces. The route ends it.
fn invalid_length(words: &[&[u8]]) -> usize {
    let is_route = |word: &&[u8]| matches!(*word, b"-" | b"default") || word.contains(&b'=');
    words.iter().skip(1).position(is_route).map_or_else(|| words.len().saturating_sub(1).max(1), |at| at + 1)
}

/// A failure of TLS among the fields that are appended. It has spaces in old versions.
fn transport_failure<'a>(words: &[&'a [u8]]) -> Option<Cow<'a, str>> {
    let is_begin = |word: &&[u8]| memmem::find(word, TLS_ERROR).is_some();
    let start = words.iter().position(is_begin)?;
    let end = words[start..].iter().position(|word| memmem::find(word, TLS_ERROR_END).is_some());
    let all = word_of(&words[start..=start + end.unwrap_or(0)])?;
    let begin = all.find("TLS_error").unwrap_or(0);
    Some(Cow::Owned(all[begin..].trim_end_matches('"').to_owned()))
}

fn word_of<'a>(words: &[&'a [u8]]) -> Option<Cow<'a, str>> {
    match words {
        [one] => word(one),
        words => something(Cow::Owned(String::from_utf8_lossy(&words.join(&b' ')).into_owned())),
    }
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

    /// Fields that people append to the format, and nulls that are left empty: name, kind.
    #[test]
    fn fields_after_the_route() {
        let tls = "TLS_error|error:1000009c:SSL_routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end";
        let named = |name: &str| ISTIO.replace("10.138.0.28:19432 -", &format!("10.138.0.28:19432 {name}"));
        let b = || Name::Present("b.example".into());
        for (line, name, kind) in [
            (format!("{ISTIO} traceID=-"), Name::Null, Kind::NoFilterChain),
            (format!("{ISTIO} \"-\""), Name::Null, Kind::NoFilterChain),
            (format!("{ISTIO} \"-\" \"x y\" -"), Name::Null, Kind::NoFilterChain),
            (format!("{ISTIO} - 0af7651916cd43dd"), Name::Null, Kind::NoFilterChain),
            (format!("{} traceID=-", named("b.example")), b(), Kind::NoFilterChain),
            (format!("{} \"x\"", named("b.example")), b(), Kind::NoFilterChain),
            (format!("{} traceID=-", named("invalid:a b")), Name::Invalid("a b".into()), Kind::NoFilterChain),
            (format!("{ISTIO} {tls}"), Name::Null, Kind::OtherFailure),
            (format!("{ISTIO} \"{tls}\""), Name::Null, Kind::OtherFailure),
            (
                format!("{ISTIO} tls={}", tls.replace('_', " ").replace("TLS error", "TLS_error")),
                Name::Null,
                Kind::OtherFailure,
            ),
            // `omit_empty_values`.
            (ISTIO.replace('-', "").replace("20250519", "2025-05-19"), Name::Null, Kind::NoFilterChain),
            // A name is a client's.
            (named("x\" - - 1.1.1.1:1 2.2.2.2:2 -"), Name::Present("x\"".into()), Kind::NoFilterChain),
        ] {
            let entry = parse(line.as_bytes()).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((&entry.name, entry.kind()), (&name, kind), "{line}");
            assert_eq!(entry.client.as_deref(), Some("10.138.0.28:19432"), "{line}");
        }
    }

    #[test]
    fn a_failure_with_nulls_that_are_left_empty() {
        let line = "[2025-05-19T04:46:20.117Z] \"  \" 0 UF   \"x\" 0 0 0  \"\" \"\" \"\" \"\" \"10.0.0.9:80\" c  10.0.0.5:8443 198.51.100.28:19432 b.example ";
        let entry = parse(line.as_bytes()).unwrap();
        assert_eq!((entry.kind(), &entry.name), (Kind::OtherFailure, &Name::Present("b.example".into())));
        assert_eq!(entry.upstream_failure.as_deref(), Some("x"));
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
