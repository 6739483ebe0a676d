//! What a check is to do.

use std::net::IpAddr;
use std::time::Duration;

/// Time limit of a connection unless another is given.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a check is to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// The gateway: `HOST[:PORT]`, or a URL. The port is 443 without one.
    pub target: String,
    /// Connects to this address instead of those that the host name has.
    pub connect: Option<Connect>,
    /// The name to send, and for which the certificate should be; the host of the target without one. If it is not a host name
    /// in lower case, a further hello has it exactly as it is written.
    pub sni: Option<String>,
    /// The path of one HTTP request after each handshake with the name and without SNI; no request without one.
    pub http: Option<String>,
    /// The only version of TLS to offer; 1.2 and 1.3 without one.
    pub tls: Option<OfferedTls>,
    /// Prints JSON instead of text.
    pub json: bool,
    /// Time limit of the name lookup, and of each connection with its handshake.
    pub timeout: Duration,
}

impl Config {
    /// The check of `target` (`HOST[:PORT]`) with defaults for everything else.
    pub fn of(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            connect: None,
            sni: None,
            http: None,
            tls: None,
            json: false,
            timeout: DEFAULT_TIMEOUT,
        }
    }
}

/// The address to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The IP address.
    pub ip: IpAddr,
    /// The port; the target's without one.
    pub port: Option<u16>,
}

/// A version of TLS that a check may offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferedTls {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}
