//! The answers of `/api/v1/`, as `docs/api.md` describes them.
//!
//! The daemon writes them, `watch` reads them: of its own capture without a detour, of a daemon's by HTTP.
//! Readers ignore fields that they do not know; of those that a reader needs and an older daemon does not
//! send, each has a default.

#![expect(clippy::struct_field_names, reason = "fields are named as they are sent")]

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `GET /api/v1/summary`: how things are, in one answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Version of the daemon.
    pub(crate) version: String,
    /// Name of the node on which it runs.
    pub(crate) node: String,
    /// When this was made.
    pub(crate) time: Timestamp,
    /// When the daemon began to watch.
    pub(crate) started: Timestamp,
    /// How things are, in a word.
    pub(crate) state: State,
    /// How things are, in a sentence for people: "12 clients without SNI were reset in the last hour; the
    /// gateway accepts none".
    pub(crate) sentence: String,
    /// Whether every interface is being watched.
    pub(crate) ready: bool,
    /// The interfaces, by name.
    pub(crate) interfaces: Vec<Interface>,
    /// The gateway's ports.
    pub(crate) ports: Vec<u16>,
    /// How many clients connected without SNI since the start, those of `--expected-non-sni` apart: an estimate.
    pub(crate) clients_without_sni: u64,
    /// How many of them the gateway refused in the last hour: an estimate.
    pub(crate) clients_refused: u64,
    /// Handshakes since the start; those that did not occur are left out.
    pub(crate) handshakes: Vec<Count>,
    /// Handshakes of the last hour.
    pub(crate) last_hour: History,
    /// What was not seen, or not told; only what occurred.
    pub(crate) not_seen: Vec<NotSeen>,
    /// Flows that are followed.
    pub(crate) flows: Flows,
}

/// How things are, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Not every interface is watched: what follows may be a part of the truth.
    NotReady,
    /// No hello in the last hour.
    Idle,
    /// Hellos, and all of them with SNI (or of expected sources).
    Fine,
    /// Clients without SNI, and the gateway refused none of them.
    Accepting,
    /// Clients without SNI, some refused and some not.
    Mixed,
    /// Clients without SNI, and the gateway accepted none.
    Refusing,
}

/// An interface that is, or is to be, watched.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Interface {
    /// Its name.
    pub(crate) name: String,
    /// Whether all its packets are seen.
    pub(crate) ready: bool,
    /// A line for people.
    pub(crate) status: String,
}

/// A number of handshakes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    /// `expected` for clients of `--expected-non-sni`, else `other`; not told within one client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    /// `present`, `absent`, `empty`, `invalid` or `unknown`.
    pub(crate) sni: String,
    /// As in `sni_probe_handshakes_total`.
    pub(crate) outcome: String,
    /// How many.
    pub(crate) handshakes: u64,
}

/// Handshakes over time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct History {
    /// Length of a step in seconds.
    pub(crate) step_seconds: u32,
    /// End of the last step, which is under way.
    pub(crate) end: Timestamp,
    /// One for each pair of sni and outcome that occurred; all sources together.
    pub(crate) series: Vec<Series>,
}

/// Handshakes of one kind over time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Series {
    /// As in [`Count`].
    pub(crate) sni: String,
    /// As in [`Count`].
    pub(crate) outcome: String,
    /// How many in each step, oldest first.
    pub(crate) handshakes: Vec<u64>,
}

/// Something that was not seen, or not told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NotSeen {
    /// The metric that counts it, without prefix: `events_lost_total`, `packets_skipped_total`, …
    pub(crate) metric: String,
    /// Its `reason` label; empty if it has none.
    pub(crate) reason: String,
    /// How many since the start.
    pub(crate) count: u64,
}

/// The tracker's flows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Flows {
    /// In memory now.
    pub(crate) open: u64,
    /// At most.
    pub(crate) capacity: u64,
}

/// `GET /api/v1/clients`: the top clients without SNI, those with most refusals first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Clients {
    /// When this was made.
    pub(crate) time: Timestamp,
    /// What `client` is: `ip`, `subnet`, `hash` or `none` (`--client-label`).
    pub(crate) label: String,
    /// How many are told at most (`--top-clients`).
    pub(crate) capacity: u64,
    /// The clients.
    pub(crate) clients: Vec<Client>,
    /// Handshakes without SNI of all other clients.
    pub(crate) other: Vec<Count>,
    /// Handshakes without SNI of expected sources.
    pub(crate) expected: Vec<Count>,
}

/// A client without SNI, or several under one label.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Client {
    /// Its address, subnet or hash.
    pub(crate) client: String,
    /// Namespace and name of the pod that has the address, with `--kube`.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Handshakes since it is among the top.
    pub(crate) handshakes: u64,
    /// Those of them that the gateway refused: reset, closed or answered with an alert.
    pub(crate) refused: u64,
    /// The same by sni and outcome.
    pub(crate) outcomes: Vec<Count>,
    /// First and last handshake since it is among the top.
    pub(crate) first_seen: Timestamp,
    /// As above.
    pub(crate) last_seen: Timestamp,
    /// The last one that was refused.
    #[serde(default)]
    pub(crate) last_refused: Option<Timestamp>,
    /// The gateway's address and port of the last handshake.
    pub(crate) gateway: String,
    /// The software that is likely behind its fingerprint.
    #[serde(default)]
    pub(crate) likely: Option<String>,
    /// Of the last hello: JA4.
    #[serde(default)]
    pub(crate) ja4: Option<String>,
    /// Of the last hello: JA3.
    #[serde(default)]
    pub(crate) ja3: Option<String>,
    /// Of the last hello: the highest version offered, such as `1.3`.
    pub(crate) tls_version: String,
    /// Of the last hello: `supported_versions`, such as `0x0304`.
    pub(crate) offered_versions: Vec<String>,
    /// Of the last hello: ALPN names.
    pub(crate) alpn: Vec<String>,
    /// Handshakes in each of the last 60 minutes, oldest first; the last is under way.
    pub(crate) per_minute: Vec<u64>,
    /// The last handshakes, newest first.
    pub(crate) last_handshakes: Vec<LastHandshake>,
}

/// One of the last handshakes of a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LastHandshake {
    /// When its hello was whole.
    pub(crate) time: Timestamp,
    /// As in [`Count`].
    pub(crate) sni: String,
    /// As in [`Count`].
    pub(crate) outcome: String,
    /// Description of the alert, if that is the outcome.
    #[serde(default)]
    pub(crate) alert: Option<String>,
    /// From hello to outcome, in microseconds.
    pub(crate) latency_us: u64,
    /// The gateway's address and port.
    pub(crate) gateway: String,
}

/// `GET /api/v1/handshakes`: the last handshakes that `--events-filter` lets through, newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Handshakes {
    /// When this was made.
    pub(crate) time: Timestamp,
    /// How many are kept at most.
    pub(crate) capacity: u64,
    /// The handshakes, as `docs/events.md` describes them.
    pub(crate) handshakes: Vec<serde_json::Value>,
}
