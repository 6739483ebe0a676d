//! What the tracker saw: the one output of the core.

use std::net::SocketAddr;
use std::time::Duration;

use crate::flow::{FlowKey, Place, Timestamp};
use crate::vocabulary::{
    AlertDescription, AlertSender, EvictionReason, Fate, Feature, IncompleteReason, NamedGroup, NonTls,
    OutcomeClass, Prelude, SniClass, TlsVersion,
};

/// Something worth telling. For each hello there is one [`Observation::ClientHello`] and, later,
/// exactly one [`Observation::Handshake`].
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// A hello became whole, or it became certain that it never will. Counted at once, so that a
    /// gateway that stops answering shows as hellos without outcomes.
    ClientHello {
        /// The connection as it is on the wire.
        flow: FlowKey,
        /// The client and the destination according to a PROXY protocol header, if there was one with addresses.
        proxied: Option<Proxied>,
        /// What it says of the server's name.
        sni: SniClass,
        /// The highest version that it offers.
        version: TlsVersion,
        /// Its properties, but for those that its answer shows ([`Feature::HelloRetry`]).
        features: Features,
        /// Why it never became whole; `None` if it did.
        incomplete: Option<IncompleteReason>,
    },
    /// A hello and what became of it.
    Handshake(Box<Handshake>),
    /// A connection to a gateway port whose first bytes are no TLS. Where preludes are followed
    /// ([`TrackerConfig::preludes`](crate::TrackerConfig::preludes)), one on which no hello ever came.
    NonTls {
        /// The connection.
        flow: FlowKey,
        /// When its first bytes were seen.
        time: Timestamp,
        /// What they look like.
        protocol: NonTls,
    },
    /// A flow ended of which bytes were seen, but too few or the wrong ones to tell whether it spoke
    /// TLS: its first bytes were not seen, or it sent fewer than classify it.
    Unclassified {
        /// The connection.
        flow: FlowKey,
        /// How it ended.
        reason: IncompleteReason,
    },
    /// The tracker gave a flow up before its outcome.
    Evicted {
        /// Why.
        reason: EvictionReason,
    },
}

/// A hello and its outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Handshake {
    /// The connection as it is on the wire.
    pub flow: FlowKey,
    /// Where the packet of `time` was seen.
    pub place: Place,
    /// The client and the destination according to a PROXY protocol header, if there was one with addresses.
    pub proxied: Option<Proxied>,
    /// When the hello was whole (its last segment was seen); of an incomplete one, when its first
    /// segment was seen.
    pub time: Timestamp,
    /// The hello; what is known of it if it never became whole.
    pub hello: Hello,
    /// What became of it.
    pub outcome: Outcome,
    /// From `time` to the ServerHello; without one, to the outcome.
    pub latency: Duration,
    /// What the gateway's answer says besides the outcome.
    pub answer: AnswerDetails,
}

/// What a gateway's answer says besides the outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerDetails {
    /// What the ServerHello chose; `None` without a ServerHello that could be read.
    pub negotiated: Option<Negotiated>,
    /// `legacy_record_version` of the record with the gateway's alert in answer to the hello: 0x0303 with most gateways,
    /// 0x0301 with some.
    pub alert_record_version: Option<u16>,
    /// Whether the gateway answered the hello in plain HTTP.
    pub is_plain_http: bool,
}

/// What a ServerHello chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The protocol version.
    pub version: TlsVersion,
    /// The cipher suite (IANA's TLS Cipher Suites registry).
    pub cipher_suite: u16,
    /// The group of the key exchange, of TLS 1.3 only (IANA's TLS Supported Groups registry).
    pub group: Option<u16>,
}

impl Negotiated {
    /// The group as a label.
    pub fn named_group(self) -> NamedGroup {
        NamedGroup::from_code(self.group)
    }
}

impl Handshake {
    /// An example, for documentation and tests: a client without SNI that the gateway reset.
    #[expect(clippy::missing_panics_doc, reason = "the addresses are addresses")]
    pub fn example() -> Self {
        let mut features = Features::default();
        features.insert(Feature::PostQuantum);
        features.insert(Feature::MultiSegment);
        let address = |text: &str| text.parse().expect("an address");
        Self {
            flow: FlowKey { client: address("192.0.2.7:51234"), gateway: address("198.51.100.9:443") },
            place: Place(2),
            proxied: None,
            time: Timestamp(627_000),
            hello: Hello {
                sni: Sni::Absent,
                body: Some(HelloBody {
                    sslv2: false,
                    legacy_version: 0x0303,
                    offered_versions: vec![0x0304, 0x0303],
                    version: TlsVersion::Tls13,
                    alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
                    name_as_sent: None,
                    ja3: Some("375c6162a492dfbf2795909110ce8424".to_owned()),
                    ja4: Some("t13i3012h2_1d37bd780c83_8537cf56674e".to_owned()),
                    random: vec![0; 32],
                }),
                incomplete: None,
                length: 1_551,
                segments: 2,
                records: 1,
                prelude: None,
                is_proxy_local: false,
                features,
            },
            outcome: Outcome::ResetByGateway,
            latency: Duration::from_nanos(45_800),
            answer: AnswerDetails::default(),
        }
    }

    /// The client: the one that a PROXY protocol header names, else the one on the wire.
    pub fn client(&self) -> SocketAddr {
        client(self.flow, self.proxied)
    }
}

/// The client of a connection: the one that a PROXY protocol header names, else the one on the wire.
pub fn client(flow: FlowKey, proxied: Option<Proxied>) -> SocketAddr {
    proxied.map_or(flow.client, |proxied| proxied.client)
}

/// Addresses in a PROXY protocol header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// The client for whom the peer relays.
    pub client: SocketAddr,
    /// Where that client connected to.
    pub destination: SocketAddr,
}

/// A ClientHello, or as much as is known of one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hello {
    /// What it says of the server's name.
    pub sni: Sni,
    /// What of the hello could be read; `None` if it never became whole.
    pub body: Option<HelloBody>,
    /// Why it never became whole; `None` if it did.
    pub incomplete: Option<IncompleteReason>,
    /// Length of the handshake message with its 4-byte header, in bytes; of an SSLv2 hello, of the
    /// record with its header. As announced, if it never became whole; 0 if not even that was seen.
    pub length: u32,
    /// TCP segments that carried bytes of it (duplicates not counted).
    pub segments: u32,
    /// TLS records that it spans.
    pub records: u32,
    /// What the client said before it; `None` if the hello came first.
    pub prelude: Option<Prelude>,
    /// Whether a PROXY v2 header with the command LOCAL came before it: the proxy's own connection, such as a health check.
    pub is_proxy_local: bool,
    /// Properties worth counting.
    pub features: Features,
}

/// The content of a whole ClientHello.
#[derive(Clone, Debug, PartialEq)]
pub struct HelloBody {
    /// Whether the hello has the SSLv2 format.
    pub sslv2: bool,
    /// `legacy_version` (TLS) or the version offered (SSLv2), as on the wire: 0x0303 is TLS 1.2.
    pub legacy_version: u16,
    /// The `supported_versions` extension in order, GREASE included; empty if absent.
    pub offered_versions: Vec<u16>,
    /// The highest version offered.
    pub version: TlsVersion,
    /// ALPN protocol names in order, as bytes.
    pub alpn: Vec<Vec<u8>>,
    /// The host name as the client sent it, a trailing dot included; `None` if the client sent it in lower case, or sent
    /// no host name.
    pub name_as_sent: Option<String>,
    /// JA3 fingerprint: 32 lower-case hexadecimal digits (MD5). Of an SSLv2 hello too, where it is
    /// made of version and cipher codes. `None` if nobody asked for it
    /// ([`TrackerConfig::fingerprints`](crate::TrackerConfig::fingerprints)).
    pub ja3: Option<String>,
    /// JA4 fingerprint, such as `t13d1516h2_8daaf6152771_e5627efa2ab1`. `None` if nobody asked for it.
    pub ja4: Option<String>,
    /// The client random; of an SSLv2 hello the challenge.
    pub random: Vec<u8>,
}

/// What a hello says of the server's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sni {
    /// A host name in lower case; a trailing dot, if there was one, stays.
    Present(String),
    /// No extension.
    Absent,
    /// The extension without a name.
    Empty,
    /// Something that is no host name: printable ASCII as it is, all other bytes as `\xNN`.
    Invalid(String),
    /// The hello never became whole.
    #[default]
    Unknown,
}

impl Sni {
    /// The label.
    pub fn class(&self) -> SniClass {
        match self {
            Self::Present(_) => SniClass::Present,
            Self::Absent => SniClass::Absent,
            Self::Empty => SniClass::Empty,
            Self::Invalid(_) => SniClass::Invalid,
            Self::Unknown => SniClass::Unknown,
        }
    }

    /// The name, valid or not.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Present(name) | Self::Invalid(name) => Some(name),
            Self::Absent | Self::Empty | Self::Unknown => None,
        }
    }
}

/// What became of a hello. Exactly one for each, by construction: the tracker gives a hello away by value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The gateway answered with a ServerHello (not a HelloRetryRequest), and the end of the handshake was not seen or does not decide.
    ServerHello,
    /// The client sent its Finished after the ServerHello, and the gateway's next record was not an alert.
    Established,
    /// The client sent an alert after the ServerHello: it rejects the gateway's certificate, or another part of the
    /// answer.
    RejectedByClient {
        /// What the alert says; `None` if it was encrypted.
        alert: Option<AlertDescription>,
    },
    /// The gateway answered the client's certificate, or an empty list of certificates, with an alert.
    ClientCertificateRefused {
        /// What the alert says; `None` if it was encrypted.
        alert: Option<AlertDescription>,
    },
    /// The gateway ended the handshake after a ServerHello, without a record that could hold a certificate.
    RefusedAfterServerHello {
        /// What the alert says; `None` if it was encrypted, or if there was none.
        alert: Option<AlertDescription>,
    },
    /// A TLS alert came in answer to the hello.
    Alert {
        /// What it says.
        description: AlertDescription,
        /// Who sent it.
        sender: AlertSender,
    },
    /// RST of the gateway.
    ResetByGateway,
    /// RST of the client.
    ResetByClient,
    /// FIN of the gateway before any of the above.
    ClosedByGateway,
    /// FIN of the client before any of the above, and no answer after it.
    ClosedByClient,
    /// FIN or RST of the gateway before the client had sent anything. No refusal: the gateway has not seen the hello.
    GatewayClosedFirst,
    /// Nothing within the handshake timeout.
    Timeout,
    /// The tracker gave the flow up.
    Evicted,
    /// The capture ended, or the daemon stopped, before any of the above.
    Unfinished,
}

impl Outcome {
    /// The alert and who sent it, if [`Outcome::Alert`] is the outcome.
    pub fn alert(self) -> Option<(AlertDescription, AlertSender)> {
        match self {
            Self::Alert { description, sender } => Some((description, sender)),
            _ => None,
        }
    }

    /// The alert that ended the handshake, before or after a ServerHello, and who sent it. `None` if there was none that
    /// could be read.
    pub fn last_alert(self) -> Option<(AlertDescription, AlertSender)> {
        match self {
            Self::RejectedByClient { alert } => Some((alert?, AlertSender::Client)),
            Self::ClientCertificateRefused { alert } | Self::RefusedAfterServerHello { alert } => {
                Some((alert?, AlertSender::Gateway))
            }
            other => other.alert(),
        }
    }

    /// What the outcome means for the client: the one definition of refused and served.
    ///
    /// ```
    /// use sni_probe_core::observation::Outcome;
    /// use sni_probe_core::vocabulary::{AlertDescription, AlertSender, Fate};
    ///
    /// let alert = |sender| Outcome::Alert { description: AlertDescription::UnknownCa, sender };
    /// assert_eq!(Outcome::ClosedByGateway.fate(), Fate::Refused);
    /// assert_eq!(alert(AlertSender::Gateway).fate(), Fate::Refused);
    /// assert_eq!(alert(AlertSender::Client).fate(), Fate::Failed);
    /// assert_eq!(Outcome::ServerHello.fate(), Fate::Served);
    /// ```
    pub fn fate(self) -> Fate {
        self.class().fate(self.alert().map(|(_, sender)| sender))
    }

    /// Whether the gateway refused the handshake.
    pub fn is_refused(self) -> bool {
        self.fate() == Fate::Refused
    }

    /// The label.
    pub fn class(self) -> OutcomeClass {
        match self {
            Self::ServerHello => OutcomeClass::ServerHello,
            Self::Established => OutcomeClass::Established,
            Self::RejectedByClient { .. } => OutcomeClass::RejectedByClient,
            Self::ClientCertificateRefused { .. } => OutcomeClass::ClientCertificateRefused,
            Self::RefusedAfterServerHello { .. } => OutcomeClass::RefusedAfterServerHello,
            Self::Alert { .. } => OutcomeClass::Alert,
            Self::ResetByGateway => OutcomeClass::ResetByGateway,
            Self::ResetByClient => OutcomeClass::ResetByClient,
            Self::ClosedByGateway => OutcomeClass::ClosedByGateway,
            Self::ClosedByClient => OutcomeClass::ClosedByClient,
            Self::GatewayClosedFirst => OutcomeClass::GatewayClosedFirst,
            Self::Timeout => OutcomeClass::Timeout,
            Self::Evicted => OutcomeClass::Evicted,
            Self::Unfinished => OutcomeClass::Unfinished,
        }
    }
}

/// A set of [`Feature`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(u16);

impl Features {
    /// Adds `feature`.
    pub fn insert(&mut self, feature: Feature) {
        self.0 |= 1 << feature as u16;
    }

    /// The set without `feature`.
    #[must_use]
    pub fn without(self, feature: Feature) -> Self {
        Self(self.0 & !(1 << feature as u16))
    }

    /// Whether `feature` is in the set.
    pub fn contains(self, feature: Feature) -> bool {
        self.0 & (1 << feature as u16) != 0
    }

    /// The features of the set, in the order of [`Feature`].
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        use crate::vocabulary::Label;
        Feature::ALL.iter().copied().filter(move |&feature| self.contains(feature))
    }
}
