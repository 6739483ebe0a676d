//! Which interfaces see a hello and the gateway's reset: by TC, and by packet sockets.

use std::net::IpAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use system_tests::probe::{Event, HTTP_PORT, Probe, binary};
use system_tests::resetting::{ResettingGateway, send_hello};
use system_tests::wait_until;

use super::topologies::{BRIDGE, IPVLAN_L3S, Network, TOPOLOGIES, Topology, WatchPoint, Watcher};
use super::{PATIENCE, PORT};

const CAPTURES: [&str; 2] = ["tc", "af-packet"];
/// Time for packets that are under way, and for the daemons to read them.
const SETTLED: Duration = Duration::from_secs(1);

/// The rows of the table.
pub(super) fn rows() -> Result<Value> {
    let network = Network::new()?;
    let made: Vec<Option<String>> = TOPOLOGIES.iter().map(|topology| make(topology, &network)).collect();
    let are_there: Vec<&Topology> = TOPOLOGIES
        .iter()
        .zip(&made)
        .filter(|(_, reason)| reason.is_none())
        .map(|(topology, _)| topology)
        .collect();
    let _on_node = ResettingGateway::start(&network.lab.gateway, PORT)?;
    let _in_pod = ResettingGateway::start(&network.pod, PORT)?;
    let all = Watcher::ALL.into_iter().flat_map(|watcher| CAPTURES.map(|capture| (watcher, capture)));
    let mut watches = all
        .zip(HTTP_PORT..)
        .map(|((watcher, capture), http_port)| {
            Watch::start(&network, &are_there, watcher, capture, http_port)
        })
        .collect::<Result<Vec<_>>>()?;
    for watch in &mut watches {
        watch.wait_attached()?;
    }
    for topology in &are_there {
        let gateway = (IpAddr::V4(topology.gateway), PORT).into();
        send_hello(&network.lab.client, gateway).with_context(|| topology.name)?;
    }
    thread::sleep(SETTLED);
    let seen = Sightings::of(watches)?;
    let mut rows = Vec::new();
    for (topology, reason) in TOPOLOGIES.iter().zip(&made) {
        if let Some(reason) = reason {
            rows.push(json!({ "topology": topology.name, "unavailable": reason }));
            continue;
        }
        for point in topology.points {
            rows.push(json!({
                "topology": topology.name,
                "interface": point.label,
                "orientation": seen.orientation(point)?,
                "tc": seen.by(CAPTURES[0], topology, point)?,
                "af-packet": seen.by(CAPTURES[1], topology, point)?,
            }));
        }
    }
    Ok(rows.into())
}

/// Makes a topology. Returns why this is not possible.
fn make(topology: &Topology, network: &Network) -> Option<String> {
    let error = (topology.set_up)(network).err()?;
    println!("{}: {error:?}", topology.name);
    Some(format!("{error:#}").lines().map(str::trim).collect::<Vec<_>>().join(" "))
}

/// A daemon that watches.
struct Watch<'network> {
    watcher: Watcher,
    capture: &'static str,
    interfaces: Vec<&'static str>,
    probe: Probe<'network>,
}

impl<'network> Watch<'network> {
    fn start(
        network: &'network Network,
        topologies: &[&Topology],
        watcher: Watcher,
        capture: &'static str,
        http_port: u16,
    ) -> Result<Self> {
        let points = topologies.iter().flat_map(|topology| topology.points);
        let mut interfaces: Vec<_> =
            points.filter(|point| point.watcher == watcher).map(|point| point.interface).collect();
        interfaces.sort_unstable();
        interfaces.dedup();
        let mut options = vec!["--capture", capture, "--orientation", "auto"];
        options.extend(["--events", "json", "--events-filter", "all", "--events-rate", "0"]);
        options.extend(interfaces.iter().flat_map(|interface| ["-i", *interface]));
        let pod = Path::new("/run/netns").join(network.pod.name());
        match watcher {
            Watcher::Upper | Watcher::Lower => {}
            Watcher::Decapsulating => options.extend(["--decapsulate", "vxlan,geneve"]),
            Watcher::Pod => options.extend(["--netns", pod.to_str().context("a path of ASCII")?]),
        }
        let command = network.lab.gateway.command(binary()?);
        let probe = Probe::start_by(&network.lab, command, http_port, &options)?;
        Ok(Self { watcher, capture, interfaces, probe })
    }

    /// Waits until `/readyz` reports each interface as it should.
    fn wait_attached(&mut self) -> Result<()> {
        let mut last = String::new();
        let waited = wait_until("/readyz", PATIENCE, || {
            thread::sleep(Duration::from_millis(200));
            if let Some(code) = self.probe.service().exit_code()? {
                bail!("exit code {code}");
            }
            let Ok((status, page)) = self.probe.get("/readyz") else { return Ok(None) };
            let is_it = is_as_expected(&self.interfaces, status, &page);
            last = page;
            Ok(is_it.then_some(()))
        });
        waited.with_context(|| {
            let said = self.probe.service().stderr();
            format!("{:?} by {}: {last}\nit says:\n{said}", self.watcher, self.capture)
        })
    }
}

/// Whether `/readyz` reports all interfaces as attached, and those with a blind spot as such. Only ipvlan in mode l3s is a
/// reason for 503.
fn is_as_expected(interfaces: &[&str], status: u16, page: &str) -> bool {
    let is_reported = |interface: &&str| {
        let prefix = format!("{interface}: attached");
        let Some(rest) = page.lines().find_map(|line| line.strip_prefix(&prefix)) else { return false };
        // Two daemons are on one NIC, which the one that came first reports.
        let rest = rest.split("; behind ").next().unwrap_or_default();
        match *interface {
            BRIDGE => rest.starts_with("; it is a bridge: "),
            IPVLAN_L3S => rest.starts_with("; it is an ipvlan interface in mode l3s: "),
            _ => rest.is_empty(),
        }
    };
    let expected = if interfaces.contains(&IPVLAN_L3S) { 503 } else { 200 };
    status == expected && interfaces.iter().all(is_reported)
}

/// What the daemons reported.
struct Sightings(Vec<Sighting>);

struct Sighting {
    watcher: Watcher,
    capture: &'static str,
    log: String,
    events: Vec<Event>,
}

impl Sightings {
    /// Stops the daemons: each reports what it has seen so far.
    fn of(mut watches: Vec<Watch<'_>>) -> Result<Self> {
        for watch in &mut watches {
            watch.probe.service().signal(Signal::SIGTERM)?;
        }
        let sightings = watches.into_iter().map(|mut watch| {
            let exit = watch.probe.service().wait(PATIENCE)?;
            let log = watch.probe.service().stderr();
            ensure!(exit == 0, "{:?} by {}: exit code {exit}: {log}", watch.watcher, watch.capture);
            let events = watch.probe.events()?;
            Ok(Sighting { watcher: watch.watcher, capture: watch.capture, log, events })
        });
        Ok(Self(sightings.collect::<Result<_>>()?))
    }

    /// The orientation that the daemons chose, by their logs.
    fn orientation(&self, point: &WatchPoint) -> Result<String> {
        let attached = format!("attached interface=\"{}\"", point.interface);
        let mut chosen = Vec::new();
        for sighting in self.0.iter().filter(|sighting| sighting.watcher == point.watcher) {
            let line = sighting.log.lines().find(|line| line.contains(&attached));
            let orientation =
                line.and_then(|line| line.split_once("orientation=")).map(|(_, rest)| rest.trim());
            chosen.push(orientation.with_context(|| format!("no {attached} in: {}", sighting.log))?);
        }
        chosen.dedup();
        Ok(chosen.join(", "))
    }

    /// What a daemon has seen of a connection, in words.
    fn by(&self, capture: &str, topology: &Topology, point: &WatchPoint) -> Result<String> {
        let mut sightings = self.0.iter();
        let found =
            sightings.find(|sighting| sighting.watcher == point.watcher && sighting.capture == capture);
        let events = &found.context("a daemon for each watcher")?.events;
        let gateway = format!("{}:{PORT}", topology.gateway);
        let of_it: Vec<&Event> = events.iter().filter(|event| event.gateway == gateway).collect();
        let words = match of_it[..] {
            [] => "nothing".to_owned(),
            [event] if event.json["interface"] != point.interface => {
                format!("reported by {}", event.json["interface"])
            }
            [event] if event.sni == "absent" && event.outcome == "reset_by_gateway" => {
                "hello and reset".to_owned()
            }
            [event] if event.sni == "absent" => "hello".to_owned(),
            [event] => format!("a hello with SNI {}", event.sni),
            _ => format!("{} events", of_it.len()),
        };
        Ok(words)
    }
}
