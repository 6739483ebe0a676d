//! Why a connection had no TLS session, or no answer.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use sni_probe_core::vocabulary::{AlertDescription, Label as _};
use sni_probe_terminal::printable;

use super::report::AttemptOutcome;

/// Why there was no TLS session.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) outcome: AttemptOutcome,
    pub(super) alert: Option<AlertDescription>,
    /// For people.
    pub(super) error: String,
}

impl Failure {
    fn new(outcome: AttemptOutcome, error: impl Into<String>) -> Self {
        Self { outcome, alert: None, error: error.into() }
    }

    pub(super) fn of_connect(error: &io::Error, address: SocketAddr, timeout: Duration) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => {
                Self::new(AttemptOutcome::Refused, format!("nobody listens on {address}"))
            }
            ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                Self::new(AttemptOutcome::Timeout, format!("no connection to {address} within {timeout:?}"))
            }
            ErrorKind::ConnectionReset => {
                Self::new(AttemptOutcome::Reset, format!("the connection to {address} was reset at once"))
            }
            _ => Self::new(AttemptOutcome::Unreachable, format!("cannot connect to {address}: {error}")),
        }
    }

    pub(super) fn of_alert(code: u8) -> Self {
        let alert = AlertDescription::from_code(code);
        let error = format!("alert {} ({code})", alert.as_str());
        Self { outcome: AttemptOutcome::Alert, alert: Some(alert), error }
    }

    pub(super) fn of_stream(error: &io::Error, first: &[u8], timeout: Duration) -> Self {
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
                Self::new(AttemptOutcome::Reset, format!("connection reset {}", when(first)))
            }
            // SO_RCVTIMEO ends in EAGAIN.
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Self::new(
                AttemptOutcome::Timeout,
                format!("not done within {timeout:?}: silence {}", when(first)),
            ),
            ErrorKind::InvalidData => Self::new(AttemptOutcome::Unsupported, error.to_string()),
            _ => Self::new(AttemptOutcome::Unreachable, format!("the connection broke: {error}")),
        }
    }

    pub(super) fn closed(first: &[u8]) -> Self {
        Self::new(AttemptOutcome::Closed, format!("connection closed {}", when(first)))
    }

    pub(super) fn not_tls(first: &[u8]) -> Self {
        let text = String::from_utf8_lossy(first);
        let line = printable(text.lines().next().unwrap_or_default());
        let protocol = match first {
            [b'H', b'T', b'T', b'P', ..] | [b'<', ..] => "plain HTTP",
            [b'S', b'S', b'H', ..] => "SSH",
            _ => "no TLS",
        };
        Self::new(AttemptOutcome::NotTls, format!("the answer is {protocol}: {line}"))
    }

    pub(super) fn of_tls(error: &rustls::Error) -> Self {
        if let rustls::Error::AlertReceived(description) = error {
            return Self::of_alert(u8::from(*description));
        }
        Self::new(AttemptOutcome::Unsupported, format!("this client gave up: {error}"))
    }
}

fn when(first: &[u8]) -> &'static str {
    if first.is_empty() { "after the hello" } else { "in the middle of the handshake" }
}
