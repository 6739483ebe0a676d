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
    /// With the name, without SNI, with a name that surely is not served, with the name exactly as it was given, post-quantum; in
    /// this order. The first is left out if the target is an address and no name is given, the fourth if it would be as the
    /// first, the last if only TLS 1.2 is offered; all but one if nothing could be connected to.
    pub attempts: Vec<Attempt>,
    /// What rustls offers: a gateway that takes none of it refuses this client whatever the name.
    pub offered: Offered,
    /// What follows from the attempts.
    pub verdict: CheckVerdict,
    /// The same in a sentence for people.
    pub sentence: String,
}

/// What this client offers, by the names of IANA's registries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Offered {
    /// Signature algorithms.
    pub signature_algorithms: Vec<String>,
    /// Groups of the key exchange.
    pub groups: Vec<String>,
}

/// One connection.
#[derive(Clone, Debug, Serialize)]
pub struct Attempt {
    /// What the hello said.
    pub kind: AttemptKind,
    /// What sent the hello.
    pub client: CheckClient,
    /// The name in the hello.
    pub server_name: Option<String>,
    /// Whether there was a TCP connection.
    pub connected: bool,
    /// What became of it.
    pub outcome: AttemptOutcome,
    /// The status of the HTTP answer, if a request was made and answered.
    pub http_status: Option<u16>,
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
    /// The name exactly as it was given: with a dot at its end, in upper case, an IP address.
    ExactName,
    /// The name of the target, if there is one, in a hello of 1,789 bytes in two segments, as clients with X25519MLKEM768 send it.
    PostQuantum,
}

/// What sends a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckClient {
    /// rustls, which completes the handshake.
    Rustls,
    /// This program itself: it sends a ClientHello and reads the first answer. The handshake is not completed.
    HelloOnly,
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// A TLS session.
    Handshake,
    /// A ServerHello in answer to a hello that rustls cannot send. The handshake was not completed.
    ServerHello,
    /// A TLS session in which the gateway answered the request by HTTP 400, 403 or 421.
    RejectedByHttp,
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
    /// Clients without SNI complete the handshake, and the gateway rejects their requests by HTTP, but not those of clients with the
    /// name. This is not a refusal of the handshake.
    RejectedByHttp,
    /// This client is refused with the name as well.
    NameRefused,
    /// It cannot be told: nobody answers, or not by TLS.
    Unknown,
}
