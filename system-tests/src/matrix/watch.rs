//! Watches the packets of a run: two daemons, and tcpdump for each gateway.

use std::fs;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::wire::{self, Connection};
use crate::GATEWAY_INTERFACE;
use crate::netns::Lab;
use crate::probe::{self, Event, Probe};
use crate::process::{Service, wait_until};

/// Time limit for the last event after the last client. Longer than the daemon's time limit for a handshake.
const EVENT_DEADLINE: Duration = Duration::from_secs(40);
const FIRST_CLIENT_PORT: u16 = 20_000;
/// Client ports of one combination. Some clients connect several times.
const PORTS_PER_COMBINATION: u16 = 16;
/// Values of `--capture`, and the HTTP port of the daemon that has it.
const CAPTURES: [(&str, u16); 2] = [("tc", probe::HTTP_PORT), ("af-packet", probe::HTTP_PORT + 1)];

/// A running daemon, and its value of `--capture`.
pub(super) type Daemon<'lab> = (&'static str, Probe<'lab>);

/// Starts a daemon for each way to see packets.
pub(super) fn start_daemons<'lab>(lab: &'lab Lab, gateway_ports: &[u16]) -> Result<Vec<Daemon<'lab>>> {
    let ports: Vec<String> = gateway_ports.iter().map(u16::to_string).collect();
    let mut daemons = Vec::new();
    for (capture, http_port) in CAPTURES {
        let mut options = vec!["-i", GATEWAY_INTERFACE, "--orientation", "nic", "--capture", capture];
        options.extend(["--events", "json", "--events-filter", "all", "--events-rate", "0"]);
        options.extend(ports.iter().flat_map(|port| ["-p", port]));
        let command = lab.gateway.command(probe::binary()?);
        let mut daemon = Probe::start_by(lab, command, http_port, &options)?;
        daemon.wait_ready()?;
        daemons.push((capture, daemon));
    }
    Ok(daemons)
}

/// Starts tcpdump, and waits until it captures.
pub(super) fn start_tcpdump(lab: &Lab, file: &Path) -> Result<Service> {
    let mut command = lab.gateway.command("tcpdump");
    command.args(["-Z", "root", "-U", "--immediate-mode", "-B", "16384", "-i", GATEWAY_INTERFACE, "-w"]);
    let mut service = Service::start("tcpdump", command.arg(file).arg("tcp"), lab.directory())?;
    let log = lab.path("tcpdump.err");
    service.wait_for("tcpdump to listen", Duration::from_secs(10), || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("listening on"))
    })?;
    Ok(service)
}

/// Hands out client ports: a range for each combination.
#[derive(Debug)]
pub(super) struct ClientPorts {
    next: u16,
}

impl ClientPorts {
    pub(super) const fn new() -> Self {
        Self { next: FIRST_CLIENT_PORT }
    }

    /// Makes the kernel choose client ports from the next range, and returns that range.
    pub(super) fn assign(&mut self, lab: &Lab) -> Result<RangeInclusive<u16>> {
        let first = self.next;
        self.next = first.checked_add(PORTS_PER_COMBINATION).context("too many combinations")?;
        let last = self.next - 1;
        let set = || fs::write("/proc/sys/net/ipv4/ip_local_port_range", format!("{first} {last}"));
        lab.client.run_in_thread(set)?.context("setting the range of client ports")?;
        Ok(first..=last)
    }
}

/// Waits until tcpdump has a hello from each range of client ports, and both daemons have an event for each hello. Returns the
/// connections with a hello.
///
/// After [`EVENT_DEADLINE`] it returns the connections that there are: the report shows missing hellos and events.
pub(super) fn settle(
    daemons: &[Daemon<'_>],
    packets: &Path,
    gateway_ports: &[u16],
    client_ports: &[RangeInclusive<u16>],
) -> Result<Vec<Connection>> {
    let end = Instant::now() + EVENT_DEADLINE;
    wait_until("an event for each hello", 2 * EVENT_DEADLINE, || {
        let mut connections = wire::read(packets, |port| gateway_ports.contains(&port))?;
        connections.retain(Connection::has_hello);
        let is_range_seen = |range: &RangeInclusive<u16>| {
            connections.iter().any(|connection| range.contains(&connection.port))
        };
        let mut is_complete = client_ports.iter().all(is_range_seen);
        for (_, daemon) in daemons {
            let events = daemon.events()?;
            is_complete &= connections.iter().all(|connection| event_of(&events, connection).is_some());
        }
        Ok((is_complete || Instant::now() > end).then_some(connections))
    })
}

/// Returns the event of a connection. Connections with the same client port have their events in the same order.
pub(super) fn event_of<'a>(events: &'a [Event], connection: &Connection) -> Option<&'a Event> {
    let port = |event: &Event| event.client.parse::<SocketAddr>().ok().map(|address| address.port());
    let mut of_port: Vec<&Event> =
        events.iter().filter(|event| port(event) == Some(connection.port)).collect();
    of_port.sort_by(|one, two| one.time.cmp(&two.time));
    of_port.get(connection.repetition).copied()
}
