//! The response of a gateway to a hello: refused in one of several ways, or served.

use super::super::wire::{APPLICATION_DATA, Connection, Side};

/// A gateway's response to a hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Response {
    /// RST without a byte.
    Reset,
    /// FIN without a byte.
    Closed,
    /// A fatal alert with this description, in a record of this version.
    Alert(u8, u16),
    /// A ServerHello, and then a protected alert instead of a certificate.
    AfterServerHello,
    /// The handshake continues.
    Served,
}

pub(super) use Response::{AfterServerHello, Alert, Closed, Reset, Served};

impl Response {
    /// Reads the response from a connection. `None`: the gateway neither answered nor closed.
    pub(super) fn of(connection: &Connection) -> Option<Self> {
        /// Longer than any record before the Finished, except that with a certificate.
        const SMALL: usize = 200;
        /// The shortest Finished that OpenSSL sends in TLS 1.3.
        const FINISHED: usize = 53;
        let gateway: Vec<_> = connection.records(Side::Gateway).collect();
        if connection.has_server_hello() {
            let is_small = gateway.iter().skip(1).all(|record| record.length < SMALL);
            let has_finished = connection
                .records(Side::Client)
                .any(|record| record.length >= FINISHED && record.kind == APPLICATION_DATA);
            let is_encrypted = gateway.iter().any(|record| record.kind == APPLICATION_DATA);
            return Some(if is_encrypted && is_small && !has_finished { AfterServerHello } else { Served });
        }
        let last = gateway.last();
        if let Some((_, description)) = last.and_then(|record| record.alert) {
            return Some(Alert(description, last?.version));
        }
        let by_gateway = connection.segments.iter().filter(|segment| segment.side == Side::Gateway);
        let mut ends = by_gateway.filter(|segment| segment.fin || segment.rst);
        ends.next().map(|segment| if segment.rst { Reset } else { Closed })
    }

    /// Whether outcome and alert of an event describe this response.
    pub(super) fn is_reported_by(self, outcome: &str, alert: Option<&str>) -> bool {
        match self {
            Reset => outcome == "reset_by_gateway",
            Closed => outcome == "closed_by_gateway",
            Alert(description, _) => outcome == "alert" && alert == Some(alert_name(description)),
            AfterServerHello => outcome == "refused_after_server_hello",
            Served => outcome == "established",
        }
    }
}

impl std::fmt::Display for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reset => f.write_str("RST"),
            Closed => f.write_str("FIN"),
            Alert(description, version) => {
                write!(f, "alert {description} {}, record {version:04x}", alert_name(*description))
            }
            AfterServerHello => f.write_str("ServerHello, then a protected alert"),
            Served => f.write_str("served"),
        }
    }
}

/// Returns the names of alerts that gateways of the list send.
fn alert_name(description: u8) -> &'static str {
    match description {
        40 => "handshake_failure",
        47 => "illegal_parameter",
        49 => "access_denied",
        70 => "protocol_version",
        80 => "internal_error",
        109 => "missing_extension",
        112 => "unrecognized_name",
        _ => "another",
    }
}
