//! What `check` found: also its `--json`.

use jiff::Timestamp;
use serde::Serialize;

/// The answers of one gateway.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// As the user named it.
    pub target: String,
    /// The address that was connected to; `None` if the name has none.
    pub address: Option<String>,
    /// With the name, without SNI, with a name that surely is not served; in this order. The first is left out if the
    /// target is an address and no name is given; all but one if nothing could be connected to.
    pub attempts: Vec<Attempt>,
    /// What follows from them.
    pub verdict: CheckVerdict,
    /// The same in a sentence for people.
    pub sentence: String,
}

/// One connection.
#[derive(Clone, Debug, Serialize)]
pub struct Attempt {
    /// What the hello said.
    pub kind: AttemptKind,
    /// The name in the hello.
    pub server_name: Option<String>,
    /// Whether there was a TCP connection.
    pub connected: bool,
    /// What became of it.
    pub outcome: AttemptOutcome,
    /// The alert's name in IANA's registry, if one came.
    pub alert: Option<String>,
    /// The negotiated version, such as `1.3`.
    pub tls_version: Option<String>,
    /// The negotiated cipher suite, by its name in IANA's registry.
    pub cipher: Option<String>,
    /// What the gateway showed.
    pub certificate: Option<Certificate>,
    /// From the begin of the connection to the outcome, in microseconds.
    pub latency_us: u64,
    /// What the system said of a connection that failed, for people.
    pub error: Option<String>,
}

/// What a hello said of the server's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptKind {
    /// The name of the target.
    Named,
    /// Nothing.
    WithoutSni,
    /// A name that nobody serves.
    UnknownName,
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// A TLS session.
    Handshake,
    /// RST after the hello.
    Reset,
    /// A TLS alert.
    Alert,
    /// FIN after the hello.
    Closed,
    /// Nobody listens.
    Refused,
    /// Nothing within the time.
    Timeout,
    /// Something that is no TLS.
    NotTls,
    /// No route, no address.
    Unreachable,
    /// TLS, but of a kind that this client does not take, so that it gave up itself.
    Unsupported,
}

/// The first certificate of a chain; nothing of it is checked but the name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// Subject alternative names (DNS and IP), or the common name where there are none.
    pub names: Vec<String>,
    /// The subject's common name.
    pub subject: String,
    /// The issuer.
    pub issuer: String,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// SHA-256 over the DER encoding, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Whether one of its names is the target's.
    pub matches_host: bool,
}

/// What follows from the attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckVerdict {
    /// Clients without SNI are refused; those with the name are not, or it is not known.
    NonSniRefused,
    /// Clients without SNI get the certificate that those with the name get; if no name is known, one for the address.
    NonSniSameCertificate,
    /// They get another one; if no name is known, one that is not for the address.
    NonSniOtherCertificate,
    /// Clients with the name are refused as well.
    NameRefused,
    /// It cannot be told: nobody answers, or not by TLS.
    Unknown,
}
