//! A capture and what is to be said of it.

use std::net::SocketAddr;

use serde::Serialize;

use super::{Capture, Connection};

/// The features, in the order in which an event has them.
const FEATURES: [&str; 10] = [
    "post_quantum",
    "ech",
    "multi_segment",
    "multi_record",
    "sslv2",
    "proxy_v1",
    "proxy_v2",
    "early_data",
    "resumption",
    "hello_retry",
];

/// A capture with known answers.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it is about, in words that a file name may have.
    pub name: String,
    /// What was seen.
    pub capture: Capture,
    /// The handshakes in it, in the order of their outcomes.
    pub expected: Vec<Expected>,
}

/// What an event must say: fields of `docs/events.md`, under the same names, so that this as JSON is a
/// part of the event. (The others are the parsers' affair, or the clock's.)
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "they are those of docs/events.md")]
pub struct Expected {
    pub client: SocketAddr,
    pub peer: SocketAddr,
    pub gateway: SocketAddr,
    pub proxied_client: Option<SocketAddr>,
    pub sni: &'static str,
    pub server_name: Option<&'static str>,
    pub hello_bytes: usize,
    pub segments: usize,
    pub records: usize,
    pub format: &'static str,
    pub prelude: Option<&'static str>,
    pub features: Vec<&'static str>,
    pub incomplete: Option<&'static str>,
    pub outcome: &'static str,
    pub alert: Option<&'static str>,
    pub alert_sender: Option<&'static str>,
}

impl Expected {
    /// A hello without SNI, its handshake message `hello_bytes` long, in one record and one segment,
    /// that was answered with a ServerHello.
    pub(super) fn of(connection: &Connection, hello_bytes: usize) -> Self {
        Self {
            client: connection.client_address(),
            peer: connection.client_address(),
            gateway: connection.gateway_address(),
            proxied_client: None,
            sni: "absent",
            server_name: None,
            hello_bytes,
            segments: 1,
            records: 1,
            format: "tls",
            prelude: None,
            features: Vec::new(),
            incomplete: None,
            outcome: "server_hello",
            alert: None,
            alert_sender: None,
        }
    }

    /// With this name, if any.
    pub(super) fn named(mut self, name: Option<&'static str>) -> Self {
        if name.is_some() {
            self.sni = "present";
            self.server_name = name;
        }
        self
    }

    /// Never became whole, for this reason.
    pub(super) fn incomplete(mut self, reason: &'static str) -> Self {
        self.sni = "unknown";
        self.server_name = None;
        self.incomplete = Some(reason);
        self
    }

    pub(super) fn segments(mut self, count: usize) -> Self {
        self.segments = count;
        if count > 1 { self.feature("multi_segment") } else { self }
    }

    pub(super) fn records(mut self, count: usize) -> Self {
        self.records = count;
        if count > 1 { self.feature("multi_record") } else { self }
    }

    pub(super) fn outcome(mut self, outcome: &'static str) -> Self {
        self.outcome = outcome;
        self
    }

    /// An alert of the gateway.
    pub(super) fn alert(mut self, description: &'static str) -> Self {
        self.outcome = "alert";
        self.alert = Some(description);
        self.alert_sender = Some("gateway");
        self
    }

    pub(super) fn feature(mut self, feature: &'static str) -> Self {
        self.features.push(feature);
        self.features.sort_by_key(|feature| FEATURES.iter().position(|known| known == feature));
        self
    }
}
