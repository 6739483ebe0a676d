//! Lines of other programs that name a refused client.
//!
//! ```text
//! nginx    2023/05/01 10:00:00 [info] 29#29: *1 … while SSL handshaking, client: ADDRESS, server: …
//! HAProxy  … ADDRESS [05/Jan/2024:15:06:36.978] frontend/1: SSL handshake failure
//! HAProxy  … ADDRESS [05/Jan/2024:15:06:36.978] frontend backend/<NOSRV> -1/-1/0 0 SC …
//! Apache   [time] [ssl:error] … [client ADDRESS] AH02033: No hostname was provided via SNI …
//! Go       http: TLS handshake error from ADDRESS: REASON                       (Traefik, Caddy, and any server in Go)
//! Caddy    … no certificate matching TLS ClientHello {"remote":"ADDRESS","server_name":"…"}
//! Envoy    [time][1][debug][…] … closing connection from ADDRESS: no matching filter chain found
//! Envoy    [time][1][debug][…] … remote address:ADDRESS,TLS_error:…
//! ```
//!
//! Sources and versions: docs/log-formats.md.

use std::borrow::Cow;

use super::client::ClientAddress;
use super::entry::{Kind, LogEntry, Name, ProgramEntry};
use super::json::{self, Node};

/// Words before the time of a line.
const MAX_WORDS_BEFORE_TIME: usize = 16;

/// What APISIX 3 writes of a name without a certificate, and of a ClientHello without a name.
const APISIX_NO_CERTIFICATE: &str = "failed to match any SSL certificate by SNI: ";
const APISIX_NO_NAME: &str = "failed to find SNI";
/// What nginx was doing when a connection to the backend failed: connecting, or SSL handshaking.
const TO_UPSTREAM: &str = "ing to upstream";
/// Longest line that is looked at, in bytes.
const MAX_LINE_BYTES: usize = 8192;

const GO_ERROR: &str = "http: TLS handshake error from ";
const NO_CERTIFICATE: &str = "no certificate matching TLS ClientHello";
const HANDSHAKING: &str = "while SSL handshaking";
const PLAIN_HTTP: &str = "client sent plain HTTP request to HTTPS port";
const NO_HOST: &str = "no host in upstream \"";
const NO_CHAIN: &str = "closing connection from ";
const TLS_ERROR: &str = "remote address:";

/// The program that writes two lines for one refusal.
pub(super) const CADDY: &str = "Caddy";

/// The program that refuses clients without SNI after their handshake.
pub(super) const APACHE: &str = "Apache";
const NO_SNI_OF_APACHE: &str = "AH02033: No hostname was provided via SNI";

/// HAProxy's place of a server where there is none.
const NO_SERVER: &str = "/<NOSRV> ";

/// What HAProxy writes of a connection that did not become a session.
const OF_HAPROXY: [&str; 6] = [
    "SSL handshake failure",
    "Connection error during SSL handshake",
    "Connection closed during SSL handshake",
    "Timeout during SSL handshake",
    "Received something which does not look like a PROXY protocol header",
    "Connection closed while waiting for PROXY protocol header",
];

/// An entry, if another program wrote the line and names a client.
pub(super) fn parse(line: &[u8]) -> Option<LogEntry<'_>> {
    let line = std::str::from_utf8(&line[..line.len().min(MAX_LINE_BYTES)]).ok()?;
    of_go(line)
        .or_else(|| of_caddy_console(line))
        .or_else(|| of_apisix(line))
        .or_else(|| of_nginx(line))
        .or_else(|| of_envoy(line))
        .or_else(|| of_haproxy(line))
        .or_else(|| of_apache(line))
}

/// Whether the line of Caddy is that of the certificate, not that of the handshake.
pub(super) fn is_of_certificate(line: &[u8]) -> bool {
    memchr::memmem::find(line, NO_CERTIFICATE.as_bytes()).is_some()
}

/// The same of an object: Caddy's JSON.
pub(super) fn of_object<'n>(node: &'n Node<'_>) -> Option<LogEntry<'n>> {
    let text = |name| node.get(name).and_then(Node::text);
    (text("msg") == Some(NO_CERTIFICATE)).then(|| of_caddy(node)).flatten()
}

fn of_caddy<'n>(node: &'n Node<'_>) -> Option<LogEntry<'n>> {
    let client = node.get("remote")?.text()?;
    let name = node.get("server_name").and_then(Node::text).unwrap_or_default();
    let mut entry = entry(CADDY, Kind::NoFilterChain, client);
    entry.name = name_of(Cow::Borrowed(name));
    // A number with a fraction, or without (`unix_nano`), or a text.
    entry.time = match node.get("ts") {
        Some(Node::Scalar(time)) => time.lend().time(),
        _ => None,
    };
    Some(entry)
}

fn of_caddy_console(line: &str) -> Option<LogEntry<'static>> {
    let (head, fields) = line.split_once(NO_CERTIFICATE)?;
    let node = json::tree(fields.trim().as_bytes())?;
    let found = of_caddy(&node)?;
    let name = match found.name {
        Name::Present(name) => Name::Present(Cow::Owned(name.into_owned())),
        _ => Name::Null,
    };
    let client = found.client.map(|client| Cow::Owned(client.into_owned()));
    let time = time_in(head).map(|time| Cow::Owned(time.to_owned()));
    Some(local(LogEntry { name, client, time, program: found.program, ..LogEntry::default() }))
}

/// `ADDRESS: REASON`; the address of IPv6 is in brackets.
fn of_go(line: &str) -> Option<LogEntry<'_>> {
    let at = line.find(GO_ERROR)?;
    let (client, reason) = line[at + GO_ERROR.len()..].split_once(": ")?;
    let reason = reason.trim();
    let quoted = [
        ("no certificate available for '", '\'', CADDY),
        ("strict SNI enabled - No certificate found for domain: \"", '"', "Traefik"),
        ("acme/autocert: host \"", '"', "Go"),
    ];
    let unescaped: Cow<'_, str> =
        if reason.contains("\\\"") { reason.replace("\\\"", "\"").into() } else { reason.into() };
    for (words, end, program) in quoted {
        if let Some((_, name)) = unescaped.split_once(words)
            && let Some((name, _)) = name.split_once(end)
        {
            let mut entry = entry(program, Kind::NoFilterChain, client);
            entry.name = name_of(Cow::Owned(name.to_owned()));
            entry.time = time_in(&line[..at]).map(Cow::Borrowed);
            return Some(local(entry));
        }
    }
    let is_nameless = reason.contains("missing server name");
    let has_left = matches!(reason, "EOF")
        || reason.ends_with("connection reset by peer")
        || reason.ends_with("i/o timeout");
    let kind = match (is_nameless, has_left) {
        (true, _) => Kind::NoFilterChain,
        (false, true) => Kind::Unremarkable,
        (false, false) => Kind::OtherFailure,
    };
    let mut entry = entry("Go", kind, client);
    if is_nameless {
        entry.name = Name::Null;
    }
    entry.transport_failure = Some(Cow::Borrowed(reason.trim_end_matches('"')));
    entry.time = time_in(&line[..at]).map(Cow::Borrowed);
    Some(local(entry))
}

/// `[lua] …: failed to match any SSL certificate by SNI: NAME, context: …, client: ADDRESS` of APISIX's error log, which is nginx's.
fn of_apisix(line: &str) -> Option<LogEntry<'_>> {
    let (head, rest) = line.split_once(", client: ")?;
    let client = rest.split([',', ' ']).next()?;
    let name = match head.split_once(APISIX_NO_CERTIFICATE) {
        Some((_, name)) => name_of(Cow::Borrowed(name.split(',').next().unwrap_or_default())),
        None if head.contains(APISIX_NO_NAME) => Name::Null,
        None => return None,
    };
    let mut entry = entry("APISIX", Kind::NoFilterChain, client);
    entry.name = name;
    entry.time = time_in(head).map(Cow::Borrowed);
    Some(local(entry))
}

fn of_nginx(line: &str) -> Option<LogEntry<'_>> {
    let (_, rest) = line.split_once(", client: ")?;
    let client = rest.split([',', ' ']).next()?;
    let head = &line[..line.len() - rest.len()];
    let is_rejected = head.contains("handshake rejected while SSL handshaking");
    // The name of `$ssl_preread_server_name` is empty; a port may follow it.
    let upstream = head.split_once(NO_HOST).map(|(_, upstream)| upstream);
    let has_no_host = upstream.is_some_and(|upstream| upstream.starts_with(['"', ':']));
    let is_upstream = head.contains(TO_UPSTREAM);
    if !is_rejected
        && !has_no_host
        && !is_upstream
        && !head.contains(HANDSHAKING)
        && !head.contains(PLAIN_HTTP)
    {
        return None;
    }
    // `time [level] pid#tid: *connection reason while …`
    let (_, message) = head.split_once(": *")?;
    let (_, message) = message.split_once(' ')?;
    let reason = message.split(if is_upstream { ", client: " } else { " while " }).next()?;
    let reason = reason.trim_end_matches(", client: ");
    let has_left = ["client closed connection", "peer closed connection", "Connection reset by peer"]
        .iter()
        .any(|words| reason.contains(words));
    let kind = match (is_rejected || has_no_host, has_left && !is_upstream) {
        (true, _) => Kind::NoFilterChain,
        (false, true) => Kind::Unremarkable,
        (false, false) => Kind::OtherFailure,
    };
    let mut entry = entry("nginx", kind, client);
    if kind != Kind::NoFilterChain {
        entry.transport_failure = Some(Cow::Borrowed(reason));
    }
    entry.time = time_in(head).map(Cow::Borrowed);
    Some(local(entry))
}

/// `ADDRESS [time] frontend backend/<NOSRV> timers bytes STATE …` of mode tcp. Without a backend the frontend's name is in its place: no rule
/// for the name.
fn of_haproxy_tcp(line: &str) -> Option<LogEntry<'_>> {
    let (head, rest) = line.split_once(NO_SERVER)?;
    let mut words = rest.split(' ');
    let (_, _, state) = (words.next()?, words.next()?, words.next()?);
    // In mode http there is a status, and the handshake was over.
    if state.len() != 2 || !state.starts_with(['P', 'S']) {
        return None;
    }
    let (head, bind) = head.rsplit_once("] ")?;
    let (frontend, backend) = bind.split_once(' ')?;
    let (client, time) = client_and_time_of_haproxy(head)?;
    let is_unrouted = frontend.trim_end_matches('~') == backend;
    let kind = if is_unrouted { Kind::NoFilterChain } else { Kind::OtherFailure };
    let mut entry = LogEntry { client: Some(client), ..entry("HAProxy", kind, "") };
    if !is_unrouted {
        entry.transport_failure = Some(Cow::Borrowed("<NOSRV>: no server of the backend is up"));
    }
    entry.time = Some(Cow::Borrowed(time));
    Some(local(entry))
}

/// `… ADDRESS [05/Jan/2024:15:06:36.978`.
fn client_and_time_of_haproxy(head: &str) -> Option<(Cow<'_, str>, &str)> {
    let (head, time) = head.rsplit_once(" [").or_else(|| head.rsplit_once('['))?;
    super::time::parse(time)?;
    let client = ClientAddress::parse_haproxy(head.rsplit(' ').next()?)?.socket()?;
    Some((Cow::Owned(client.to_string()), time))
}

fn of_haproxy(line: &str) -> Option<LogEntry<'_>> {
    if line.contains(NO_SERVER) {
        return of_haproxy_tcp(line);
    }
    let (at, reason) = OF_HAPROXY.iter().find_map(|reason| line.find(reason).map(|at| (at, *reason)))?;
    // `frontend/1: `, or what an `error-log-format` has there.
    let (head, _) = line[..at].rsplit_once("] ")?;
    let (client, time) = client_and_time_of_haproxy(head)?;
    let mut entry = LogEntry { client: Some(client), ..entry("HAProxy", Kind::OtherFailure, "") };
    // With the reason of the library in parentheses, where HAProxy has it (2.5 and later).
    let end =
        line[at + reason.len()..].find(')').map_or(at + reason.len(), |end| at + reason.len() + end + 1);
    entry.transport_failure = Some(Cow::Borrowed(line[at..end].trim()));
    entry.time = Some(Cow::Borrowed(time));
    Some(local(entry))
}

fn of_envoy(line: &str) -> Option<LogEntry<'_>> {
    if let Some((head, rest)) = line.split_once(NO_CHAIN)
        && let Some((client, reason)) = rest.split_once(": ")
        && reason.starts_with("no matching filter chain found")
    {
        let time = time_in(head).map(Cow::Borrowed);
        return Some(local(LogEntry { time, ..entry("Envoy's debug log", Kind::NoFilterChain, client) }));
    }
    let (head, rest) = line.split_once(TLS_ERROR)?;
    let (client, reason) = rest.split_once(',').filter(|(_, reason)| reason.starts_with("TLS_error"))?;
    // Istio's form of the log ends with a thread.
    let failure = Some(Cow::Borrowed(reason.split('\t').next()?.trim()));
    Some(local(LogEntry {
        time: time_in(head).map(Cow::Borrowed),
        transport_failure: failure,
        ..entry("Envoy's debug log", Kind::OtherFailure, client)
    }))
}

/// `[time] [ssl:error] [pid …] [client ADDRESS] AH02033: …`. Apache answers with 403, after the handshake.
fn of_apache(line: &str) -> Option<LogEntry<'_>> {
    let (head, _) = line.split_once(NO_SNI_OF_APACHE)?;
    let (head, client) = head.rsplit_once("[client ")?;
    let (client, _) = client.split_once(']')?;
    let mut entry = entry(APACHE, Kind::NoFilterChain, client);
    entry.name = Name::Null;
    entry.time = time_in(head).map(Cow::Borrowed);
    Some(local(entry))
}

fn entry<'a>(name: &'static str, kind: Kind, client: &'a str) -> LogEntry<'a> {
    let program = Some(ProgramEntry { name, kind, is_local_time: false });
    LogEntry { client: Some(Cow::Borrowed(client)), program, ..LogEntry::default() }
}

/// An empty name, or an address: Caddy takes the address where a client sends no name.
fn name_of(name: Cow<'_, str>) -> Name<'_> {
    if name.is_empty() || name.parse::<std::net::IpAddr>().is_ok() { Name::Null } else { Name::Present(name) }
}

/// Sets that the time has no zone, unless it has one.
fn local(mut entry: LogEntry<'_>) -> LogEntry<'_> {
    let is_local = entry.time.as_deref().is_some_and(|time| !super::time::has_zone(time));
    if let Some(program) = &mut entry.program {
        program.is_local_time = is_local;
    }
    entry
}

/// The first time in what stands before a message: `2023/05/01 10:00:00`, `[2020-08-07 23:50:10.468]`, `[Mon May 19 04:46:20 2025]` or one word.
/// Before it there may be the name of a container, or syslog's time without a year.
pub(super) fn time_in(head: &str) -> Option<&str> {
    let head = head.trim_end();
    let starts = std::iter::once(0).chain(head.match_indices([' ', '\t']).map(|(at, _)| at + 1));
    starts.take(MAX_WORDS_BEFORE_TIME).find_map(|start| {
        let rest = &head[start..];
        if let Some(rest) = rest.strip_prefix('[') {
            let (time, _) = rest.split_once(']')?;
            return Some(time).filter(|time| is_time(time));
        }
        if !rest.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        let mut ends = rest.match_indices([' ', '\t']).map(|(at, _)| at).chain(std::iter::once(rest.len()));
        let (first, second) = (ends.next()?, ends.next());
        let both = second.map(|end| &rest[..end]).filter(|time| is_time(time));
        both.or_else(|| Some(&rest[..first]).filter(|time| is_time(time)))
    })
}

/// Whether it is a date with a clock: numbers of processes and epochs are not.
fn is_time(text: &str) -> bool {
    text.contains(':') && super::time::parse(text).is_some()
}

#[cfg(test)]
#[path = "programs_tests.rs"]
mod tests;
