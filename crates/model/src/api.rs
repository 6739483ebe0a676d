//! The answers of `/api/v1/`, as `docs/api.md` describes them.
//!
//! The daemon writes them, `watch` reads them: of its own capture without a detour, of a daemon's by HTTP.
//! Readers ignore fields that they do not know; of those that a reader needs and an older daemon does not
//! send, each has a default.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sni_probe_core::vocabulary::{AlertDescription, AlertSender, Fate, OutcomeClass, SniClass, TlsVersion};

use crate::facts::FactsReport;
use crate::word::Word;

/// The answers of `/api/v1/` at one time.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// `GET /api/v1/summary`.
    pub summary: Summary,
    /// `GET /api/v1/clients`.
    pub clients: Clients,
    /// `GET /api/v1/handshakes`, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshakes: Option<Handshakes>,
}

/// `GET /api/v1/summary`: how things are, in one answer.
///
/// ```
/// use sni_probe_model::api::Summary;
///
/// let summary: Summary = serde_json::from_str(include_str!("../samples/summary.json"))?;
/// assert!(summary.ready && summary.ports.contains(&443));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Version of the daemon.
    pub version: String,
    /// Name of the node on which it runs.
    pub node: String,
    /// When this was made.
    pub time: Timestamp,
    /// When the daemon began to watch.
    pub started: Timestamp,
    /// How things are, in a word.
    pub state: GatewayState,
    /// How things are, in a sentence for people: "12 clients without SNI were reset in the last hour; the
    /// gateway accepts none".
    pub sentence: String,
    /// Whether every interface is being watched.
    pub ready: bool,
    /// The interfaces, by name.
    pub interfaces: Vec<Interface>,
    /// The gateway's ports.
    pub ports: Vec<u16>,
    /// How many clients connected without SNI since the start, those of `--expected-non-sni` apart: an estimate.
    pub clients_without_sni: u64,
    /// How many of them the gateway refused in the last hour: an estimate.
    pub clients_refused: u64,
    /// Handshakes since the start; those that did not occur are left out.
    pub handshakes: Vec<Count>,
    /// Handshakes of the last hour.
    pub last_hour: History,
    /// Alerts since the start by class of SNI, description and sender; `None` from a daemon of version 0.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts: Option<Vec<AlertCount>>,
    /// Handshakes since the start by the highest TLS version that their ClientHello offers.
    #[serde(default)]
    pub tls_versions: Vec<VersionCount>,
    /// What was not seen, or not reported; only what occurred.
    pub not_seen: Vec<NotSeen>,
    /// Flows that are followed.
    pub flows: Flows,
}

/// How things are, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayState {
    /// Not every interface is watched: what follows may be a part of the truth.
    NotReady,
    /// No ClientHello in the last hour.
    Idle,
    /// The gateway served clients, and no client without SNI was seen, known clients apart.
    Fine,
    /// Clients without SNI, of which the gateway served some and refused none.
    Accepting,
    /// Clients without SNI, of which the gateway served some and refused some.
    Mixed,
    /// Clients without SNI, of which the gateway refused some and served none.
    Refusing,
    /// The gateway served no handshake with SNI, or answered none without SNI; or it served none at all.
    Failing,
    /// No refusal was seen, but events were lost, or every ClientHello is incomplete.
    #[serde(other)]
    Unclear,
}

/// An interface that is, or is to be, watched.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Whether all its packets are seen.
    pub ready: bool,
    /// A line for people.
    pub status: String,
}

/// A number of handshakes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// `expected` for clients of `--expected-non-sni`, else `other`; not told within one client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `present`, `absent`, `empty`, `invalid` or `unknown`.
    pub sni: Word<SniClass>,
    /// As in `sni_probe_handshakes_total`.
    pub outcome: Word<OutcomeClass>,
    /// How many.
    pub handshakes: u64,
    /// How many of these handshakes the gateway refused; `None` from a daemon of version 0.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<u64>,
}

impl Count {
    /// How many of these handshakes the gateway refused. The sender of alerts is unknown where `refused` is missing: then they
    /// are not counted.
    pub fn refused(&self) -> u64 {
        let known = || if self.outcome.fate(None) == Fate::Refused { self.handshakes } else { 0 };
        self.refused.unwrap_or_else(known)
    }
}

/// A number of alerts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertCount {
    /// As in [`Count`].
    pub sni: Word<SniClass>,
    /// The alert's name in IANA's registry.
    pub description: Word<AlertDescription>,
    /// `gateway` or `client`.
    pub sender: Word<AlertSender>,
    /// How many.
    pub alerts: u64,
}

impl AlertCount {
    /// What the alerts mean for the client.
    pub fn fate(&self) -> Fate {
        OutcomeClass::Alert.fate(self.sender.known())
    }
}

/// A number of handshakes by offered version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionCount {
    /// The highest version that the ClientHello offers.
    pub tls_version: Word<TlsVersion>,
    /// How many.
    pub handshakes: u64,
}

/// A number of refusals by server name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameCount {
    /// The host name in the ClientHello.
    pub server_name: String,
    /// How many handshakes with this name the gateway refused.
    pub refused: u64,
    /// How many of these handshakes had Encrypted Client Hello: their name may be the outer one.
    #[serde(default)]
    pub with_ech: u64,
}

/// Handshakes over time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct History {
    /// Length of a step in seconds.
    pub step_seconds: u32,
    /// End of the last step, which is under way.
    pub end: Timestamp,
    /// One for each pair of sni and outcome that occurred; all sources together.
    pub series: Vec<Series>,
}

/// Handshakes of one kind over time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    /// As in [`Count`].
    pub sni: Word<SniClass>,
    /// As in [`Count`].
    pub outcome: Word<OutcomeClass>,
    /// How many in each step, oldest first.
    pub handshakes: Vec<u64>,
    /// How many of these handshakes the gateway refused in each step; `None` from a daemon of version 0.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Vec<u64>>,
}

/// Something that was not seen, or not told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NotSeen {
    /// The metric that counts it, without prefix: `events_lost_total`, `packets_skipped_total`, …
    pub metric: String,
    /// Its `reason` label; empty if it has none.
    pub reason: String,
    /// How many since the start.
    pub count: u64,
}

impl NotSeen {
    /// Whether this counts events that did not reach the daemon: a handshake may be missing for each.
    pub fn is_lost_event(&self) -> bool {
        self.metric == EVENTS_LOST
    }
}

/// The counter of events that did not reach the daemon, without prefix.
pub const EVENTS_LOST: &str = "events_lost_total";

/// The tracker's flows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Flows {
    /// In memory now.
    pub open: u64,
    /// At most.
    pub capacity: u64,
}

/// `GET /api/v1/clients`: the top clients without SNI, those with most refusals first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Clients {
    /// When this was made.
    pub time: Timestamp,
    /// What `client` is: `ip`, `subnet`, `hash` or `none` (`--client-label`).
    pub label: String,
    /// How many are told at most (`--top-clients`).
    pub capacity: u64,
    /// The clients.
    pub clients: Vec<Client>,
    /// Handshakes without SNI of all other clients.
    pub other: Vec<Count>,
    /// Handshakes without SNI of known clients (`--expected-non-sni`).
    pub expected: Vec<Count>,
    /// The server names that were refused most, most first.
    #[serde(default)]
    pub refused_names: Vec<NameCount>,
    /// Refused handshakes with any other server name.
    #[serde(default)]
    pub other_names_refused: u64,
}

/// A client without SNI, or several under one label.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Client {
    /// Its address, subnet or hash.
    pub client: String,
    /// Namespace and name of the pod that has the address, with `--kube`.
    #[serde(default)]
    pub name: Option<String>,
    /// Handshakes since it is among the top.
    pub handshakes: u64,
    /// How many of these handshakes the gateway refused.
    pub refused: u64,
    /// The same by sni and outcome.
    pub outcomes: Vec<Count>,
    /// First and last handshake since it is among the top.
    pub first_seen: Timestamp,
    /// As above.
    pub last_seen: Timestamp,
    /// The last one that was refused.
    #[serde(default)]
    pub last_refused: Option<Timestamp>,
    /// The gateway's address and port of the last handshake.
    pub gateway: String,
    /// The software that is likely behind its fingerprint.
    #[serde(default)]
    pub likely: Option<String>,
    /// Of the last hello: JA4.
    #[serde(default)]
    pub ja4: Option<String>,
    /// Of the last hello: JA3.
    #[serde(default)]
    pub ja3: Option<String>,
    /// Of the last hello: the highest version offered, such as `1.3`.
    pub tls_version: String,
    /// Of the last hello: `supported_versions`, such as `0x0304`.
    pub offered_versions: Vec<String>,
    /// Of the last hello: ALPN names.
    pub alpn: Vec<String>,
    /// Handshakes in each of the last 60 minutes, oldest first; the last is under way.
    pub per_minute: Vec<u64>,
    /// The last handshakes, newest first.
    pub last_handshakes: Vec<LastHandshake>,
}

/// One of the last handshakes of a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LastHandshake {
    /// When its hello was whole.
    pub time: Timestamp,
    /// As in [`Count`].
    pub sni: Word<SniClass>,
    /// As in [`Count`].
    pub outcome: Word<OutcomeClass>,
    /// Description of the alert that ended the handshake.
    #[serde(default)]
    pub alert: Option<String>,
    /// Who sent the alert.
    #[serde(default)]
    pub alert_sender: Option<Word<AlertSender>>,
    /// The TLS version that the gateway chose, such as `1.3`; `None` without a ServerHello, and from a daemon of version
    /// 0.1.0.
    #[serde(default)]
    pub negotiated_version: Option<String>,
    /// The cipher suite that the gateway chose: its name, or its code.
    #[serde(default)]
    pub cipher_suite: Option<String>,
    /// The group that the gateway chose, of TLS 1.3 only: its name, or its code.
    #[serde(default)]
    pub group: Option<String>,
    /// From the ClientHello to the ServerHello; without one, to the outcome. In microseconds.
    pub latency_us: u64,
    /// The gateway's address and port.
    pub gateway: String,
}

impl LastHandshake {
    /// What became of the client.
    pub fn fate(&self) -> Fate {
        self.outcome.fate(self.alert_sender.as_ref().and_then(Word::known))
    }

    /// What the gateway chose: `TLS 1.3, TLS_AES_128_GCM_SHA256, x25519`; `None` if this is unknown.
    pub fn negotiated(&self) -> Option<String> {
        let version = self.negotiated_version.as_deref().map(|version| {
            let known = Word::<TlsVersion>::from(version).known().and_then(TlsVersion::name);
            known.map_or_else(|| version.to_owned(), str::to_owned)
        });
        let parts = [version, self.cipher_suite.clone(), self.group.clone()];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// `GET /api/v1/handshakes`: the last handshakes that `--events-filter` lets through, newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Handshakes {
    /// When this was made.
    pub time: Timestamp,
    /// How many are kept at most.
    pub capacity: u64,
    /// The handshakes, as `docs/events.md` describes them.
    pub handshakes: Vec<serde_json::Value>,
}

/// `GET /api/v1/facts`: what the refusals of each gateway show.
///
/// ```
/// use sni_probe_model::api::Facts;
/// use sni_probe_model::facts::FactName;
///
/// let facts: Facts = serde_json::from_str(include_str!("../samples/facts.json"))?;
/// let gateway = &facts.report.gateways[0];
/// assert_eq!(gateway.facts[0].name(), Some(FactName::OneName));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// When this was made.
    pub time: Timestamp,
    /// Since when the handshakes are counted: one to two hours, or since the start.
    pub since: Timestamp,
    /// The facts.
    #[serde(flatten)]
    pub report: FactsReport,
}
