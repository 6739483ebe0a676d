//! What the daemon is to watch, and where its results go.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use glob::Pattern;
use sni_probe_capture::attach::Mode;
use sni_probe_capture::links::Orientation;
use sni_probe_core::clients::ClientsConfig;
use sni_probe_core::vocabulary::Follow;
use sni_probe_datapath::tunnel::Tunnels;
use sni_probe_telemetry::events::EventsConfig;

/// What the daemon is to watch, and where its results go.
#[derive(Clone, Debug)]
pub struct Config {
    /// What to watch.
    pub probe: ProbeConfig,
    /// Events: a line for each handshake.
    pub events: EventsConfig,
    /// Packet captures of failed handshakes.
    pub evidence: EvidenceConfig,
    /// The HTTP server.
    pub web: WebConfig,
}

/// What to watch, and how.
#[derive(Clone, Debug)]
pub struct ProbeConfig {
    /// The interfaces; those of the default routes without one.
    pub interfaces: Vec<InterfaceSelector>,
    /// The network namespace of the interfaces, as a path; that of the process without one.
    pub netns: Option<PathBuf>,
    /// Ports of gateways.
    pub ports: Vec<u16>,
    /// How to see packets.
    pub capture: Capture,
    /// How to attach programs; TCX where the kernel has it, else clsact, without one.
    pub attach: Option<Mode>,
    /// The priority of clsact filters; one that is free without one.
    pub priority: Option<u16>,
    /// Which way round to attach; decided for each interface without one.
    pub orientation: Option<Orientation>,
    /// Tunnels to look into.
    pub tunnels: Tunnels,
    /// The interfaces get copies of both directions.
    pub mirror_port: bool,
    /// Keeps all privileges.
    pub keep_privileges: bool,
    /// Has the kernel measure the time that the programs take.
    pub kernel_stats: bool,
    /// Time limit of a complete ClientHello, and again of the gateway's answer.
    pub handshake_timeout: Duration,
    /// How far handshakes are followed.
    pub follow: Follow,
    /// How clients are counted and named.
    pub clients: ClientsConfig,
    /// Names of pods from an API server, if wanted.
    pub kubernetes: Option<sni_probe_kubernetes::Config>,
    /// The name of this node.
    pub node: String,
}

/// How to see packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Capture {
    /// By TC programs where they can be had, else by packet sockets.
    #[default]
    Auto,
    /// By TC programs.
    Tc,
    /// By packet sockets.
    AfPacket,
}

/// Which interfaces to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceSelector {
    /// The interface of this name.
    Name(String),
    /// Interfaces with matching names, now or later.
    Matching(Pattern),
}

impl InterfaceSelector {
    /// Parses a name, or a pattern with `*`, `?` or `[`.
    ///
    /// # Errors
    /// Says in one line what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a name or a pattern is needed, such as eth0 or gke*".to_owned());
        }
        if !text.contains(['*', '?', '[']) {
            return Ok(Self::Name(text.to_owned()));
        }
        Pattern::new(text).map(Self::Matching).map_err(|error| format!("no pattern: {}", error.msg))
    }
}

/// Packet captures of failed handshakes.
#[derive(Clone, Debug)]
pub struct EvidenceConfig {
    /// The directory for them; none are written without one.
    pub directory: Option<PathBuf>,
    /// Handshakes to keep, at most.
    pub handshakes: usize,
    /// Bytes of all files, at most.
    pub bytes: u64,
}

impl EvidenceConfig {
    /// No captures.
    pub fn off() -> Self {
        Self { directory: None, handshakes: 0, bytes: 0 }
    }
}

/// The HTTP server.
#[derive(Clone, Debug)]
pub struct WebConfig {
    /// Its address and port.
    pub listen: SocketAddr,
    /// Who may see the page and its API, without a password.
    pub page: PageVisitors,
    /// Names by which the page and its API are asked for, besides `localhost` and addresses.
    pub hosts: Vec<HostName>,
    /// A file of users and passwords, as `htpasswd -B` makes it.
    pub auth_file: Option<PathBuf>,
    /// The certificate chain in PEM, with [`Self::tls_key`].
    pub tls_cert: Option<PathBuf>,
    /// The private key in PEM.
    pub tls_key: Option<PathBuf>,
}

/// Who may see the page and its API without a password. With [`WebConfig::auth_file`], whoever has one may, from everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageVisitors {
    /// There is no page.
    None,
    /// Connections from a loopback address: from this host, or by `kubectl port-forward`.
    Local,
    /// Whoever reaches the port.
    All,
}

/// A name of a host (RFC 1123, 2.1), without a dot at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

impl HostName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err("expected a host name without scheme and port, such as probe.example.com");
        }
        Ok(Self(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::{HostName, InterfaceSelector};

    #[test]
    fn names_and_patterns() {
        assert_eq!(InterfaceSelector::parse("eth0"), Ok(InterfaceSelector::Name("eth0".to_owned())));
        assert!(matches!(InterfaceSelector::parse("gke*"), Ok(InterfaceSelector::Matching(_))));
        assert!(matches!(InterfaceSelector::parse("eth[01]"), Ok(InterfaceSelector::Matching(_))));
        for wrong in ["", "eth[", "a***"] {
            assert!(InterfaceSelector::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn host_names() {
        for name in ["probe", "Probe.example.com", "a_b.example", "probe.example.com."] {
            assert_eq!(name.parse::<HostName>().unwrap().as_str(), name.trim_end_matches('.'));
        }
        let long = "x.".repeat(127) + "xx";
        for wrong in ["", ".", "http://probe", "probe:9917", "*.example.com", "a..b", "[::1]", &long] {
            assert!(wrong.parse::<HostName>().is_err(), "{wrong}");
        }
    }
}
