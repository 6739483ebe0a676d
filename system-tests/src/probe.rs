//! The daemon under test: `sni-probe run` in the gateway's namespace.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
pub use lab_interface::PROBE_VARIABLE;
use serde::Deserialize;

use crate::GATEWAY_INTERFACE;
use crate::metrics::Metrics;
use crate::netns::{Lab, Namespace};
use crate::process::{Service, wait_until};

/// The port of `/metrics`, `/healthz` and `/readyz`.
pub const HTTP_PORT: u16 = 9917;

const READY_DEADLINE: Duration = Duration::from_secs(20);

/// One line of `--events json`, as far as the tests look at it.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// RFC 3339, UTC.
    pub time: String,
    /// "ip:port" of the client: the one in the PROXY header, if there was one.
    pub client: String,
    /// "ip:port" on the wire of the side that opened the connection.
    pub peer: String,
    /// "ip:port" of the gateway.
    pub gateway: String,
    /// The client's address according to the PROXY header.
    #[serde(default)]
    pub proxied_client: Option<String>,
    /// present, absent, empty, invalid, unknown.
    pub sni: String,
    /// The name, when there was one.
    #[serde(default)]
    pub server_name: Option<String>,
    /// What became of the hello.
    pub outcome: String,
    /// The alert's description, when the outcome is one.
    #[serde(default)]
    pub alert: Option<String>,
    /// The JA4 fingerprint.
    #[serde(default)]
    pub ja4: Option<String>,
    /// From the hello to the outcome, in microseconds.
    #[serde(default)]
    pub latency_us: Option<u64>,
    /// The whole object.
    #[serde(skip)]
    pub json: serde_json::Value,
}

/// A running `sni-probe run`.
#[derive(Debug)]
pub struct Probe<'lab> {
    service: Service,
    namespace: &'lab Namespace,
    address: SocketAddr,
}

impl<'lab> Probe<'lab> {
    /// Starts it on the gateway's interface with events as JSON, and waits until it is ready.
    /// An option among `options` replaces the default of the same name.
    ///
    /// # Errors
    /// When it does not become ready; the message has what it wrote.
    pub fn start(lab: &'lab Lab, options: &[&str]) -> Result<Self> {
        // The gateway's interface is a veth whose peer is in another namespace, as a pod's own
        // eth0 is: seen from within the pod, ingress is what the client sends.
        let defaults = [
            ["-i", GATEWAY_INTERFACE],
            ["--orientation", "nic"],
            ["--events", "json"],
            ["--events-filter", "all"],
            ["--events-rate", "0"],
        ];
        let mut all: Vec<&str> =
            defaults.into_iter().filter(|[flag, _]| !options.contains(flag)).flatten().collect();
        all.extend_from_slice(options);
        let mut probe = Self::start_with(lab, &all)?;
        probe.wait_ready()?;
        Ok(probe)
    }

    /// Starts it with these options and no others (but `--listen`), and does not wait.
    ///
    /// # Errors
    /// When the binary is not there.
    pub fn start_with(lab: &'lab Lab, options: &[&str]) -> Result<Self> {
        Self::start_by(lab, lab.gateway.command(binary()?), HTTP_PORT, options)
    }

    /// Like [`Probe::start_with`], by a command whose last word is the daemon (`setpriv … sni-probe`),
    /// or with another port, for a second daemon in the same lab.
    ///
    /// # Errors
    /// When the command cannot be started.
    pub fn start_by(lab: &'lab Lab, command: Command, http_port: u16, options: &[&str]) -> Result<Self> {
        let command = with_options(command, http_port, options);
        Self::spawn(&lab.gateway, lab, command, http_port)
    }

    /// Starts the daemon by a complete command in the gateway's namespace, such as one that runs a container, and does
    /// not wait.
    ///
    /// # Errors
    /// When the command cannot be started.
    pub fn start_by_complete(lab: &'lab Lab, command: Command) -> Result<Self> {
        Self::spawn(&lab.gateway, lab, command, HTTP_PORT)
    }

    /// Like [`Probe::start_with`], in this namespace of the lab: beside the clients, say.
    ///
    /// # Errors
    /// When the binary is not there.
    pub fn start_in(namespace: &'lab Namespace, lab: &'lab Lab, options: &[&str]) -> Result<Self> {
        let command = with_options(namespace.command(binary()?), HTTP_PORT, options);
        Self::spawn(namespace, lab, command, HTTP_PORT)
    }

    fn spawn(namespace: &'lab Namespace, lab: &Lab, mut command: Command, http_port: u16) -> Result<Self> {
        let service = Service::start(&format!("sni-probe-{http_port}"), &mut command, lab.directory())?;
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), http_port);
        Ok(Self { service, namespace, address })
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Errors
    /// When it ends before that, or the time is over.
    pub fn wait_ready(&mut self) -> Result<()> {
        let (namespace, address) = (self.namespace, self.address);
        self.service.wait_for("sni-probe to be ready", READY_DEADLINE, || {
            matches!(namespace.http_get(address, "/readyz"), Ok((200, _)))
        })
    }

    /// The process.
    pub fn service(&mut self) -> &mut Service {
        &mut self.service
    }

    /// Status and body of a page of its HTTP server.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        self.namespace.http_get(self.address, path)
    }

    /// Scrapes `/metrics`.
    ///
    /// # Errors
    /// When it does not answer, or not in Prometheus' format.
    pub fn metrics(&self) -> Result<Metrics> {
        Metrics::parse(&self.get("/metrics")?.1)
    }

    /// Polls `/metrics` until `condition` holds.
    ///
    /// # Errors
    /// As [`wait_until`]; the message has the series that are not 0.
    pub fn wait_for_metrics(
        &self,
        deadline: Duration,
        condition: impl Fn(&Metrics) -> bool,
    ) -> Result<Metrics> {
        let mut last = Metrics::default();
        let result = wait_until("sni-probe's metrics", deadline, || {
            last = self.metrics()?;
            Ok(condition(&last).then(|| last.clone()))
        });
        result.with_context(|| format!("{:#?}", last.nonzero()))
    }

    /// The events so far.
    ///
    /// # Errors
    /// Names the line that is no event.
    pub fn events(&self) -> Result<Vec<Event>> {
        let text = self.service.stdout();
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(parse_event).collect()
    }

    /// Polls until there are at least `count` events, and gives all.
    ///
    /// # Errors
    /// As [`wait_until`].
    pub fn wait_for_events(&self, count: usize, deadline: Duration) -> Result<Vec<Event>> {
        wait_until(&format!("{count} events"), deadline, || {
            let events = self.events()?;
            Ok((events.len() >= count).then_some(events))
        })
    }

    /// Stops it with SIGTERM and gives its exit code.
    ///
    /// # Errors
    /// When it does not heed the signal.
    pub fn stop(&mut self) -> Result<i32> {
        self.service.stop()
    }
}

fn with_options(mut command: Command, http_port: u16, options: &[&str]) -> Command {
    command.args(["run", "--listen", &format!("0.0.0.0:{http_port}")]).args(options);
    command
}

fn parse_event(line: &str) -> Result<Event> {
    let json: serde_json::Value = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
    let mut event: Event =
        serde_json::from_value(json.clone()).with_context(|| format!("no event: {line}"))?;
    event.json = json;
    Ok(event)
}

/// Where the daemon is.
///
/// # Errors
/// When the variable `SNI_PROBE_BIN` is not set.
pub fn binary() -> Result<PathBuf> {
    let path = std::env::var_os(PROBE_VARIABLE);
    path.map(PathBuf::from).with_context(|| {
        format!("{PROBE_VARIABLE} is not set; run the system tests by: cargo xtask system-test")
    })
}
