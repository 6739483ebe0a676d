//! Which captures to replay, and what to print of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use sni_probe_core::vocabulary::{Follow, OutcomeClass, SniClass};

/// Which captures to replay, and what to print of them.
#[derive(Clone, Debug)]
pub struct Config {
    /// Capture files; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Ports of gateways; all ports without one.
    pub ports: Vec<u16>,
    /// The form of the output; text on a terminal, else JSON without one.
    pub format: Option<Format>,
    /// JSON has the random bytes of each ClientHello.
    pub client_random: bool,
    /// Selects handshakes with one of these; all without one.
    pub sni: Vec<SniClass>,
    /// Selects handshakes with one of these; all without one.
    pub outcome: Vec<OutcomeClass>,
    /// Selects handshakes of clients in one of these networks; all without one.
    pub client: Vec<IpNet>,
    /// The capture file to write with the packets of the selected handshakes.
    pub write: Option<PathBuf>,
    /// The exit code is 1 if a client without SNI was refused.
    pub fail_on_reset: bool,
    /// Time limit of a complete ClientHello, and again of the gateway's answer.
    pub handshake_timeout: Duration,
    /// How far handshakes are followed.
    pub follow: Follow,
}

impl Config {
    /// Whether a file of [`Self::files`] is standard input.
    pub fn is_stdin(file: &Path) -> bool {
        file == Path::new("-")
    }
}

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line for each handshake, then a summary.
    Text,
    /// A JSON object a line for each handshake.
    Json,
    /// The summary.
    Summary,
    /// Metrics in Prometheus' text format.
    Prometheus,
}
