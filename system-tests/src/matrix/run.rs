//! Runs combinations, and compares the events with what the clients report.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use anyhow::{Context as _, Result};

use super::authority::Leaf;
use super::clients::{Call, Report};
use super::combination::Combination;
use super::gateways::{self, Gateway, Listener};
use super::lab_files::write_files;
use super::places::{COMMAND_TIMEOUT, PROGRAM_SECONDS, Places, ProgramVersions, Release};
use super::report::{self, Judgement, Trial};
use super::rustls_client;
use super::situation::Version;
use super::watch::{ClientPorts, Daemon, event_of, settle, start_daemons, start_tcpdump};
use super::wire::Connection;
use crate::netns::Lab;
use crate::process::{run, run_ok};
use crate::{GATEWAY_V4, SERVER_NAME};

const FIRST_GATEWAY_PORT: u16 = 4_000;
const PORTS_PER_GATEWAY: u16 = 10;

/// Clients for which the `prepare` script has run, by place and name.
type Prepared = Vec<(Release, &'static str)>;

/// A client that has ended.
struct Finished<'a> {
    combination: &'a Combination,
    client_version: String,
    ports: RangeInclusive<u16>,
    report: Report,
}

/// Runs combinations, and returns a trial for each.
///
/// `progress` is called for each gateway.
///
/// # Errors
/// When a gateway does not start, a client hangs, or a daemon ends.
pub fn run_all(combinations: &[Combination], progress: impl Fn(&str)) -> Result<Vec<Trial>> {
    let lab = Lab::new()?;
    let places = Places::find()?;
    write_files(lab.directory())?;
    let batches = by_gateway(combinations);
    let ports_of = |number| listeners(number).iter().map(|listener| listener.port).collect::<Vec<u16>>();
    let all_ports: Vec<u16> = batches.iter().zip(0..).flat_map(|(_, number)| ports_of(number)).collect();
    let daemons = start_daemons(&lab, &all_ports)?;
    let mut versions = ProgramVersions::default();
    let mut prepared = Prepared::new();
    let mut client_ports = ClientPorts::new();
    let mut trials = Vec::new();
    for ((gateway, batch), number) in batches.iter().zip(0..) {
        let gateway_version = versions.get(&lab, &places, gateway.release, gateway.name, gateway.version)?;
        progress(&format!("{} {gateway_version}, combinations: {}", gateway.name, batch.len()));
        let packets = lab.path(&format!("packets-{number}.pcap"));
        let tcpdump = start_tcpdump(&lab, &packets)?;
        let gateway_ports = ports_of(number);
        let setup = (gateway.setup)(&listeners(number));
        let services =
            gateways::start(&lab, &places, (gateway.name, gateway.release), &setup, &gateway_ports)?;
        let mut all_finished = Vec::new();
        for combination in batch {
            let client = &combination.client;
            let client_version = versions.get(&lab, &places, client.release, client.name, client.version)?;
            let ports = client_ports.assign(&lab)?;
            let listener = listener_of(number, combination)?;
            let report = run_client(&lab, &places, &mut prepared, combination, listener.port)?;
            all_finished.push(Finished { combination, client_version, ports, report });
        }
        drop(services);
        let ranges: Vec<_> = all_finished.iter().map(|finished| finished.ports.clone()).collect();
        let connections = settle(&daemons, &packets, &gateway_ports, &ranges)?;
        drop(tcpdump);
        for finished in all_finished {
            trials.push(judge(&daemons, gateway_version.clone(), finished, &connections)?);
        }
    }
    Ok(trials)
}

/// Groups combinations by gateway and release.
fn by_gateway(combinations: &[Combination]) -> Vec<(Gateway, Vec<Combination>)> {
    let mut batches: Vec<(Gateway, Vec<Combination>)> = Vec::new();
    for combination in combinations {
        let key = |gateway: &Gateway| (gateway.name, gateway.release);
        match batches.iter_mut().find(|(gateway, _)| key(gateway) == key(&combination.gateway)) {
            Some((_, batch)) => batch.push(*combination),
            None => batches.push((combination.gateway, vec![*combination])),
        }
    }
    batches
}

/// Returns the listeners of a gateway. Each TLS version has one for each gateway certificate, and one that requires a client
/// certificate.
fn listeners(number: u16) -> Vec<Listener> {
    let certificates = [
        (Leaf::Gateway, false),
        (Leaf::WrongName, false),
        (Leaf::Expired, false),
        (Leaf::Distrusted, false),
        (Leaf::Gateway, true),
    ];
    let each =
        Version::ALL.into_iter().flat_map(|version| certificates.map(|(leaf, asks)| (version, leaf, asks)));
    let first = FIRST_GATEWAY_PORT + number * PORTS_PER_GATEWAY;
    each.zip(first..).map(|((version, leaf, asks), port)| Listener { port, version, leaf, asks }).collect()
}

fn listener_of(number: u16, combination: &Combination) -> Result<Listener> {
    let (leaf, asks) = (combination.situation.leaf(), combination.situation.asks());
    let mut all = listeners(number).into_iter();
    let is_it = |listener: &Listener| {
        (listener.version, listener.leaf, listener.asks) == (combination.version, leaf, asks)
    };
    all.find(is_it).context("a listener for each situation")
}

fn run_client(
    lab: &Lab,
    places: &Places,
    prepared: &mut Prepared,
    combination: &Combination,
    port: u16,
) -> Result<Report> {
    let client = &combination.client;
    let certificate = combination.situation.client_leaf().map(Leaf::stem);
    let connections = combination.situation.connections();
    let finished = match client.call {
        Call::Rustls => {
            let gateway = SocketAddr::new(GATEWAY_V4, port);
            rustls_client::run(&lab.client, lab.directory(), gateway, certificate, connections)?
        }
        Call::Script(script) => {
            let place = places.get(client.release)?;
            let release = ("RELEASE", client.release.word());
            let key = (client.release, client.name);
            if !client.prepare.is_empty() && !prepared.contains(&key) {
                let mut command = place.command_in(&lab.client, lab, client.prepare, &[release], None);
                run_ok(&mut command, COMMAND_TIMEOUT)
                    .with_context(|| format!("preparing {}", client.name))?;
                prepared.push(key);
            }
            let variables = [
                ("HOST", &*GATEWAY_V4.to_string()),
                ("PORT", &*port.to_string()),
                ("NAME", SERVER_NAME),
                ("CERTIFICATE", certificate.unwrap_or_default()),
                ("TIMES", &*connections.to_string()),
                ("SITUATION", combination.situation.word()),
                ("OPTIONS", client.options),
                release,
            ];
            let mut command = place.command_in(&lab.client, lab, script, &variables, Some(PROGRAM_SECONDS));
            run(&mut command, COMMAND_TIMEOUT).with_context(|| combination.name())?
        }
    };
    Ok(client.report(finished.code, &(finished.stdout + "\n" + &finished.stderr)))
}

/// Compares the events of a combination with the client's report.
fn judge(
    daemons: &[Daemon<'_>],
    gateway_version: String,
    finished: Finished<'_>,
    connections: &[Connection],
) -> Result<Trial> {
    let Finished { combination, client_version, ports, report } = finished;
    let mut of_trial: Vec<Connection> =
        connections.iter().filter(|connection| ports.contains(&connection.port)).cloned().collect();
    // Of a resumption, only the last connection counts.
    if combination.situation.connections() > 1 && of_trial.len() > 1 {
        of_trial.drain(..of_trial.len() - 1);
    }
    let expected = report::expected(combination, &report);
    let mut judgements = Vec::new();
    for (capture, daemon) in daemons {
        let events = daemon.events()?;
        for connection in &of_trial {
            let event = event_of(&events, connection);
            judgements.push((*capture, Judgement::new(expected, event, connection, combination.situation)));
        }
    }
    Ok(Trial {
        combination: *combination,
        gateway_version,
        client_version,
        report,
        expected,
        judgements,
        connections: of_trial,
    })
}
