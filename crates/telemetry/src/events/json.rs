//! An event as a JSON object. Its fields are documented in `docs/events.md`.

use std::fmt::{self, Display};
use std::net::SocketAddr;

use serde::{Serialize, Serializer};
use serde_json::Value;
use sni_probe_core::observation::{Handshake, Negotiated};
use sni_probe_core::software;
use sni_probe_core::vocabulary::{Feature, Label, NamedGroup, TlsVersion, cipher_suite_name};

use super::{Provenance, WallClock};

/// Appends the event as one line, with the field `random` if `client_random` is set.
pub(super) fn write(
    batch: &mut Vec<u8>,
    source: Provenance<'_>,
    handshake: &Handshake,
    clock: WallClock,
    client_random: bool,
) {
    let start = batch.len();
    let mut event = Event::new(source, handshake, clock);
    if client_random {
        let body = handshake.hello.body.as_ref();
        event.random = Some(Random(body.map(|body| AsText(Hexadecimal(&body.random)))));
    }
    match serde_json::to_writer(&mut *batch, &event) {
        Ok(()) => batch.push(b'\n'),
        // A `Vec` takes all, and the keys are strings: this does not happen. But half a line is
        // worse than none.
        Err(_) => batch.truncate(start),
    }
}

/// The event as a value.
pub fn value(source: Provenance<'_>, handshake: &Handshake, clock: WallClock) -> Value {
    // As above: this does not fail.
    serde_json::to_value(Event::new(source, handshake, clock)).unwrap_or_default()
}

/// A protocol version as events spell it.
pub fn version(version: u16) -> String {
    Version(version).to_string()
}

/// The version that the gateway chose, as events spell it.
pub fn negotiated_version(negotiated: Negotiated) -> Option<&'static str> {
    Some(negotiated.version).filter(|version| *version != TlsVersion::Unknown).map(Label::as_str)
}

/// The cipher suite that the gateway chose, as events spell it: its name, or its code.
pub fn cipher_suite(negotiated: Negotiated) -> String {
    CipherSuite(negotiated.cipher_suite).to_string()
}

/// The group that the gateway chose, as events spell it: its name, or its code.
pub fn group(negotiated: Negotiated) -> Option<String> {
    negotiated.group.map(|code| Group(code).to_string())
}

/// Bytes that are mostly text, such as an ALPN name, as events spell them.
pub fn escaped(bytes: &[u8]) -> String {
    Escaped(bytes).to_string()
}

/// The fields, in the order in which they are written. All are there always, but for those of the
/// source (an interface, or a capture and a frame in it) and `random`, which is there if it was asked for.
#[derive(Debug, Serialize)]
struct Event<'a> {
    time: AsText<Microseconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capture: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<u64>,
    client: AsText<SocketAddr>,
    peer: AsText<SocketAddr>,
    gateway: AsText<SocketAddr>,
    proxied_client: Option<AsText<SocketAddr>>,
    client_pod: Option<&'a str>,
    gateway_pod: Option<&'a str>,
    sni: &'static str,
    server_name: Option<&'a str>,
    legacy_version: Option<AsText<Version>>,
    offered_versions: Vec<AsText<Version>>,
    tls_version: &'static str,
    alpn: Vec<AsText<Escaped<'a>>>,
    ja4: Option<&'a str>,
    ja3: Option<&'a str>,
    likely: Option<&'static str>,
    hello_bytes: u32,
    segments: u32,
    records: u32,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    random: Option<Random<'a>>,
    prelude: Option<&'static str>,
    features: Vec<&'static str>,
    incomplete: Option<&'static str>,
    outcome: &'static str,
    alert: Option<&'static str>,
    alert_sender: Option<&'static str>,
    negotiated_version: Option<&'static str>,
    cipher_suite: Option<AsText<CipherSuite>>,
    group: Option<AsText<Group>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_names: Option<&'a [String]>,
    latency_us: u128,
}

impl<'a> Event<'a> {
    fn new(source: Provenance<'a>, handshake: &'a Handshake, clock: WallClock) -> Self {
        let hello = &handshake.hello;
        let body = hello.body.as_ref();
        let alert = handshake.outcome.last_alert();
        let negotiated = handshake.answer.negotiated;
        let (interface, capture, frame, certificate_names, pods) = match source {
            Provenance::Interface { name, pods } => (Some(name), None, None, None, Some(pods)),
            Provenance::Capture { file, frame, certificate_names } => {
                (None, Some(file), Some(frame), Some(certificate_names), None)
            }
        };
        Self {
            time: AsText(Microseconds(clock.utc(handshake.time))),
            interface,
            capture,
            frame,
            client: AsText(handshake.client()),
            peer: AsText(handshake.flow.client),
            gateway: AsText(handshake.flow.gateway),
            proxied_client: handshake.proxied.map(|proxied| AsText(proxied.client)),
            client_pod: pods.and_then(|pods| pods.client.as_deref()),
            gateway_pod: pods.and_then(|pods| pods.gateway.as_deref()),
            sni: hello.sni.class().as_str(),
            server_name: hello.sni.name(),
            legacy_version: body.map(|body| AsText(Version(body.legacy_version))),
            offered_versions: body.map_or_else(Vec::new, |body| {
                body.offered_versions.iter().map(|&version| AsText(Version(version))).collect()
            }),
            tls_version: body.map_or(TlsVersion::Unknown, |body| body.version).as_str(),
            alpn: body
                .map_or_else(Vec::new, |body| body.alpn.iter().map(|name| AsText(Escaped(name))).collect()),
            ja4: body.and_then(|body| body.ja4.as_deref()),
            ja3: body.and_then(|body| body.ja3.as_deref()),
            likely: software::likely_sender(hello),
            hello_bytes: hello.length,
            segments: hello.segments,
            records: hello.records,
            format: if hello.features.contains(Feature::Sslv2) { "sslv2" } else { "tls" },
            random: None,
            prelude: hello.prelude.map(Label::as_str),
            features: hello.features.iter().map(Label::as_str).collect(),
            incomplete: hello.incomplete.map(Label::as_str),
            outcome: handshake.outcome.class().as_str(),
            alert: alert.map(|(description, _)| description.as_str()),
            alert_sender: alert.map(|(_, sender)| sender.as_str()),
            negotiated_version: negotiated.and_then(negotiated_version),
            cipher_suite: negotiated.map(|negotiated| AsText(CipherSuite(negotiated.cipher_suite))),
            group: negotiated.and_then(|negotiated| negotiated.group).map(|code| AsText(Group(code))),
            certificate_names,
            latency_us: handshake.latency.as_micros(),
        }
    }
}

/// The random of a ClientHello; null if the hello is incomplete.
#[derive(Debug, Serialize)]
struct Random<'a>(Option<AsText<Hexadecimal<'a>>>);

/// Serialised as it is displayed, without a `String` in between.
#[derive(Debug)]
struct AsText<T>(T);

impl<T: Display> Serialize for AsText<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// RFC 3339 with six decimals, in UTC.
#[derive(Debug)]
struct Microseconds(jiff::Timestamp);

impl Display for Microseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.0)
    }
}

/// A protocol version as on the wire.
#[derive(Debug)]
struct Version(u16);

impl Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

/// A cipher suite by its name in IANA's registry, or else by its code.
#[derive(Debug)]
struct CipherSuite(u16);

impl Display for CipherSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match cipher_suite_name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#06x}", self.0),
        }
    }
}

/// A group by its name, or else by its code.
#[derive(Debug)]
struct Group(u16);

impl Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NamedGroup::from_code(Some(self.0)) {
            NamedGroup::Other => write!(f, "{:#06x}", self.0),
            group => write!(f, "{group}"),
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
#[derive(Debug)]
struct Hexadecimal<'a>(&'a [u8]);

impl Display for Hexadecimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Bytes that are mostly text: printable ASCII as it is, all others as `\xNN`. So is a backslash,
/// so that what is read is what was sent.
#[derive(Debug)]
struct Escaped<'a>(&'a [u8]);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0 {
            match byte {
                b' '..=b'~' if byte != b'\\' => write!(f, "{}", char::from(byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}
