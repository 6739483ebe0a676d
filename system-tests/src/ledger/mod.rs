//! The ledger: two real kernels and an observer between them, which must agree.
//!
//! Many clients open connections to a gateway, each again and again from a port of its own, and keep a list of every
//! handshake that they begin: its random, what was done, and what came of it. What a client cannot know, the gateway
//! tells it ([`meetings`]). At the end each handshake must be in the observer's events exactly once, with the outcome that
//! the [table of behaviours](table) says, and nothing else may be there ([`balance`]).
//!
//! ```text
//! client ─┬─ list ────────────────┐
//!         │ veth, packets dropped │
//! observer ── events, metrics ────┤ balance ─▶ report
//!         │                       │
//! gateway ┴─ meetings ──▶ list ───┘
//! ```

mod answers;
mod balance;
mod behaviour;
mod client;
mod connection;
mod gateway;
mod generator;
mod hello;
mod list;
mod meetings;
mod network;
mod pace;
mod report;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lab_interface::{HANDSHAKES_VARIABLE, PACKETS_VARIABLE};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::Notify;

use self::behaviour::Port;
use self::list::List;
use self::meetings::Meetings;
pub use self::report::Report;
use crate::frames::stay_on_cpu;
use crate::metrics::Metrics;
use crate::netns::Lab;
use crate::probe::Probe;
use crate::process::wait_until;

/// Handshakes unless the variable says otherwise.
const DEFAULT_HANDSHAKES: u64 = 50_000;

/// What a client sends that is not TLS. As long as what the gateway reads of a hello before it knows what to do.
const HTTP_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: ledger.example\r\nAccept: */*\r\n\r\n";
/// How long the observer may go without an event, if some are still to come.
const STANDSTILL: Duration = Duration::from_secs(20);
/// Open sockets that the client's and the gateway's side take for each client, those included that clients forget.
const SOCKETS_PER_CLIENT: u64 = 24;

/// What a run of the ledger is to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Handshakes that clients begin, at least.
    pub handshakes: u64,
    /// Clients at once, each with its own source port.
    pub clients: u16,
    /// The observer's `--handshake-timeout`.
    pub handshake_timeout: Duration,
    /// Where all that is random begins.
    pub seed: u64,
    /// A file for the packets of the watched interface.
    pub packets: Option<PathBuf>,
}

impl Settings {
    /// As the environment says.
    ///
    /// # Errors
    /// When a variable is not a number.
    pub fn from_environment() -> Result<Self> {
        let handshakes = match std::env::var(HANDSHAKES_VARIABLE) {
            Ok(text) => text.parse().with_context(|| format!("{HANDSHAKES_VARIABLE}: {text}"))?,
            Err(_) => DEFAULT_HANDSHAKES,
        };
        Ok(Self {
            handshakes,
            clients: 512,
            handshake_timeout: Duration::from_secs(5),
            seed: std::process::id().into(),
            packets: std::env::var_os(PACKETS_VARIABLE).map(PathBuf::from),
        })
    }
}

/// Runs the ledger in a lab with nothing in it.
///
/// # Errors
/// When the lab or the observer cannot be set up. What is not right is in the report.
pub fn run(lab: &Lab, settings: &Settings) -> Result<Report> {
    allow_sockets(u64::from(settings.clients) * SOCKETS_PER_CLIENT)?;
    network::prepare(lab)?;
    let ports = Port::ALL.map(|port| port.number().to_string()).join(",");
    let timeout = format!("{}s", settings.handshake_timeout.as_secs());
    let mut probe =
        Probe::start(lab, &["--port", &ports, "--handshake-timeout", &timeout, "--client-random"])?;
    let packets = settings.packets.as_deref().map(|path| network::capture(lab, path)).transpose()?;

    let start = Instant::now();
    let events = probe.service().stdout_path().to_owned();
    let list = connections(lab, settings, &events)?;
    let metrics = wait_for_events(&probe, &list)?;
    let duration = start.elapsed();
    let kernel = network::count(lab)?;
    drop(packets);
    let code = probe.stop()?;
    let balance = balance::balance(settings, &list, &events)?;
    Ok(Report::new(settings, &list, balance, &metrics, kernel, duration, code))
}

/// Runs gateway and clients, and gives the clients' list.
fn connections(lab: &Lab, settings: &Settings, events: &Path) -> Result<List> {
    let meetings = Arc::new(Meetings::default());
    let (stop, (ready, is_ready)) = (Notify::new(), mpsc::channel());
    thread::scope(|scope| {
        let gateway = scope.spawn(|| {
            lab.gateway.run_in_thread(|| {
                stay_on_cpu(1)?;
                gateway::run(&meetings, &ready, &stop)
            })
        });
        let list = match is_ready.recv_timeout(STANDSTILL) {
            Ok(()) => lab.client.run_in_thread(|| {
                // A hello and the RST after it take the same way.
                stay_on_cpu(0)?;
                client::run(settings, &meetings, events)
            }),
            Err(_) => bail!("the gateway does not listen"),
        };
        stop.notify_one();
        match gateway.join() {
            Ok(result) => result??,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        list?
    })
}

/// Waits until the observer has reported as many handshakes as there were, or no more come.
fn wait_for_events(probe: &Probe<'_>, list: &List) -> Result<Metrics> {
    let expected = list.entries.len() as u64;
    let mut reported = 0;
    let mut since = Instant::now();
    wait_until("the observer's events", Duration::MAX, || {
        let metrics = probe.metrics()?;
        let now = metrics.count("sni_probe_handshakes_total", &[]);
        if now != reported {
            (reported, since) = (now, Instant::now());
        }
        Ok((now >= expected || since.elapsed() > STANDSTILL).then_some(metrics))
    })
}

/// Allows this process so many open files, if its hard limit does.
fn allow_sockets(count: u64) -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("asking for the limit of open files")?;
    if soft < count {
        setrlimit(Resource::RLIMIT_NOFILE, count.min(hard), hard)
            .context("raising the limit of open files")?;
    }
    Ok(())
}
