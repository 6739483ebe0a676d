//! The facts, as the page, the API, replay and diagnose show them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sni_probe_core::vocabulary::TlsVersion;

use crate::word::Word;

sni_probe_core::label! {
    /// The name of a [`Fact`].
    pub enum FactName {
        /// ClientHellos in several TCP segments are refused.
        SplitHello => "split_hello",
        /// ClientHellos from a length on are refused.
        HelloSize => "hello_size",
        /// ClientHellos in several TLS records are refused.
        TwoRecords => "two_records",
        /// ClientHellos with, or those without, a PROXY header are refused.
        ProxyHeader => "proxy_header",
        /// ClientHellos with certain ALPN protocols, or without any, are refused.
        Alpn => "alpn",
        /// ClientHellos with certain names are refused.
        OneName => "one_name",
        /// ClientHellos with a trailing dot in the name are refused.
        TrailingDot => "trailing_dot",
        /// ClientHellos with upper-case letters in the name are refused.
        UpperCase => "upper_case",
        /// ClientHellos with certain TLS versions are refused.
        Versions => "versions",
        /// The gateway refuses with any name and without SNI, and serves nothing.
        RefusesEverything => "refuses_everything",
        /// ClientHellos never became complete.
        Incomplete => "incomplete",
        /// The gateway answered a ClientHello in plain HTTP.
        PlainHttpAnswer => "plain_http_answer",
        /// Clients sent plain HTTP.
        PlainHttpRequest => "plain_http_request",
        /// Clients connect like health checks.
        HealthCheck => "health_check",
        /// What refusals look like, and which gateways refuse like that.
        RefusalShape => "refusal_shape",
    }
}

/// How sure a [`Fact`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// Enough handshakes show it, and nothing else explains them as well.
    Fact,
    /// Too few handshakes show it, or something else explains them as well.
    #[serde(other)]
    Hint,
}

/// What was seen of the refusals of one gateway.
///
/// ```
/// use sni_probe_model::facts::{Certainty, Fact, FactName};
///
/// let fact: Fact = serde_json::from_str(
///     r#"{"fact": "split_hello", "segments_from": 2, "certainty": "fact", "refused": 12, "served": 230,
///         "refused_otherwise": 0, "served_too": 0, "alternatives": [], "sentence": "..."}"#,
/// )?;
/// assert_eq!((fact.name(), fact.certainty), (Some(FactName::SplitHello), Certainty::Fact));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is.
    #[serde(flatten)]
    pub detail: Detail,
    /// How sure it is.
    pub certainty: Certainty,
    /// Refused handshakes that show it.
    pub refused: u64,
    /// Served handshakes that show it: of a property that separates, those without it.
    pub served: u64,
    /// Refused handshakes that no property explains; those without SNI, where the gateway serves none, apart.
    #[serde(default)]
    pub refused_otherwise: u64,
    /// Served handshakes with the property.
    #[serde(default)]
    pub served_too: u64,
    /// Of a hint: facts that would explain the same handshakes.
    #[serde(default)]
    pub alternatives: Vec<Word<FactName>>,
    /// The same for people, in printable ASCII.
    pub sentence: String,
}

/// What a [`Fact`] is, with what is known of it besides the counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Detail {
    /// See [`FactName::SplitHello`].
    SplitHello {
        /// So many TCP segments, and more, are refused.
        segments_from: u8,
    },
    /// See [`FactName::HelloSize`]. The boundary lies between the two lengths.
    HelloSize {
        /// The shortest refused ClientHello that counts here, in bytes.
        refused_from_bytes: u32,
        /// The longest served ClientHello that is shorter, in bytes.
        served_up_to_bytes: u32,
    },
    /// See [`FactName::TwoRecords`].
    TwoRecords {
        /// So many TLS records, and more, are refused.
        records_from: u8,
    },
    /// See [`FactName::ProxyHeader`].
    ProxyHeader {
        /// Whether those with a header are refused, or those without.
        refused_with_header: bool,
    },
    /// See [`FactName::Alpn`].
    Alpn {
        /// Protocols that refused ClientHellos offer; none if those without a protocol are refused.
        refused_protocols: Vec<String>,
        /// Protocols that served ClientHellos offer.
        served_protocols: Vec<String>,
    },
    /// See [`FactName::OneName`].
    OneName {
        /// The names, those refused most first.
        names: Vec<RefusedName>,
        /// How many more names there are.
        more_names: u64,
    },
    /// See [`FactName::TrailingDot`].
    TrailingDot {
        /// Names that were refused with the dot.
        names: Vec<String>,
    },
    /// See [`FactName::UpperCase`].
    UpperCase {
        /// Refused names, as the clients sent them.
        names: Vec<String>,
    },
    /// See [`FactName::Versions`].
    Versions {
        /// Which offers are refused.
        rule: Word<VersionRule>,
        /// The version that the rule is about.
        version: Word<TlsVersion>,
    },
    /// See [`FactName::RefusesEverything`].
    RefusesEverything {
        /// Refused handshakes with a name.
        with_name: u64,
        /// Refused handshakes without SNI.
        without_sni: u64,
    },
    /// See [`FactName::Incomplete`].
    Incomplete {
        /// How many, by the reason as in events.
        reasons: BTreeMap<String, u64>,
    },
    /// See [`FactName::PlainHttpAnswer`].
    PlainHttpAnswer {
        /// How many.
        handshakes: u64,
    },
    /// See [`FactName::PlainHttpRequest`].
    PlainHttpRequest {
        /// How many.
        connections: u64,
    },
    /// See [`FactName::HealthCheck`].
    HealthCheck {
        /// The addresses, or what stands for them (`--client-label`).
        clients: Vec<String>,
        /// How many more there are.
        more_clients: u64,
        /// The interval between two handshakes of one address, in seconds; `None` if only PROXY headers show it.
        interval_seconds: Option<f64>,
        /// Handshakes with the command LOCAL in their PROXY v2 header.
        proxy_local: u64,
        /// All handshakes of these clients.
        handshakes: u64,
    },
    /// See [`FactName::RefusalShape`].
    RefusalShape {
        /// How handshakes without SNI were refused.
        without_sni: Vec<ShapeCount>,
        /// How names that were never served were refused; each name counts once.
        unknown_names: Vec<ShapeCount>,
        /// Gateways that were measured and refuse like that.
        gateways: Vec<KnownGateway>,
    },
    /// A fact of a later version.
    #[serde(other)]
    Unknown,
}

impl Fact {
    /// Its name; `None` of a fact of a later version.
    pub fn name(&self) -> Option<FactName> {
        Some(match &self.detail {
            Detail::SplitHello { .. } => FactName::SplitHello,
            Detail::HelloSize { .. } => FactName::HelloSize,
            Detail::TwoRecords { .. } => FactName::TwoRecords,
            Detail::ProxyHeader { .. } => FactName::ProxyHeader,
            Detail::Alpn { .. } => FactName::Alpn,
            Detail::OneName { .. } => FactName::OneName,
            Detail::TrailingDot { .. } => FactName::TrailingDot,
            Detail::UpperCase { .. } => FactName::UpperCase,
            Detail::Versions { .. } => FactName::Versions,
            Detail::RefusesEverything { .. } => FactName::RefusesEverything,
            Detail::Incomplete { .. } => FactName::Incomplete,
            Detail::PlainHttpAnswer { .. } => FactName::PlainHttpAnswer,
            Detail::PlainHttpRequest { .. } => FactName::PlainHttpRequest,
            Detail::HealthCheck { .. } => FactName::HealthCheck,
            Detail::RefusalShape { .. } => FactName::RefusalShape,
            Detail::Unknown => return None,
        })
    }
}

/// A name that the gateway refused whenever it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedName {
    /// The name in lower case, without a trailing dot.
    pub name: String,
    /// Refused handshakes with it.
    pub refused: u64,
    /// Those of them that the gateway refused after a ServerHello.
    #[serde(default)]
    pub answered: u64,
}

sni_probe_core::label! {
    /// Which offers of TLS versions are refused.
    pub enum VersionRule {
        /// Nothing newer than the version is offered.
        AtMost => "at_most",
        /// The version, or a newer one, is offered.
        AtLeast => "at_least",
        /// Nothing older than the version is offered.
        OnlyFrom => "only_from",
    }
}

/// How often refusals looked like this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShapeCount {
    /// What they look like: `RST`, `FIN`, or the alert.
    pub shape: String,
    /// How many.
    pub count: u64,
}

/// A gateway that was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownGateway {
    /// The program.
    pub software: String,
    /// The versions that were run.
    pub versions: String,
    /// The configuration with which it refuses so.
    pub configuration: String,
}

/// The facts of one gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GatewayFacts {
    /// Its address and port.
    pub gateway: String,
    /// Handshakes with a complete ClientHello that it refused.
    pub refused: u64,
    /// Handshakes that it served.
    pub served: u64,
    /// Handshakes that it neither refused nor served.
    pub failed: u64,
    /// What was seen.
    pub facts: Vec<Fact>,
    /// Refused and served handshakes by property.
    #[serde(default)]
    pub properties: Vec<PropertyCounts>,
}

/// Handshakes by one property of the ClientHello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PropertyCounts {
    /// The property.
    pub property: Word<Property>,
    /// Its values; all others together are missing.
    pub values: Vec<ValueCounts>,
}

/// Handshakes with one value of a property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueCounts {
    /// The value.
    pub value: String,
    /// Refused handshakes.
    pub refused: u64,
    /// Served handshakes.
    pub served: u64,
}

sni_probe_core::label! {
    /// A property of a ClientHello by which handshakes are counted.
    pub enum Property {
        /// TCP segments: `1` to `3`, or `4+`.
        Segments => "segments",
        /// TLS records: `1` to `3`, or `4+`.
        Records => "records",
        /// Length in bytes, as a range.
        SizeClass => "size_class",
        /// `yes` or `no`.
        PostQuantum => "post_quantum",
        /// The protocols, with blanks between them; `none`, or `<other>`.
        Alpn => "alpn",
        /// The versions, with blanks between them, the newest first.
        OfferedVersions => "offered_versions",
        /// `yes` or `no`.
        ProxyHeader => "proxy_header",
        /// `upper_case`, `trailing_dot`, both, or `plain`.
        NameAsSent => "name_as_sent",
        /// `served` or `not_served` of a name, `absent`, `empty`, `invalid`; `<other>`.
        KnownName => "known_name",
    }
}

/// The facts of all gateways.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FactsReport {
    /// Gateways with refusals or facts, those with most refused handshakes first.
    pub gateways: Vec<GatewayFacts>,
    /// Refused handshakes of gateways that are not distinguished.
    #[serde(default)]
    pub other_refused: u64,
    /// Served handshakes of gateways that are not distinguished.
    #[serde(default)]
    pub other_served: u64,
}
