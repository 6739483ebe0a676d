//! Starts each gateway of the list, sends hellos to it, and collects the responses and the events.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::super::gateways;
use super::super::lab_files::write_files;
use super::super::places::{Places, ProgramVersions};
use super::super::situation::Version;
use super::super::watch::{ClientPorts, event_of, settle, start_daemons, start_tcpdump};
use super::list::{ALL, Implementation, Refuser};
use super::report::{Answer, Refusals, Reported};
use super::response::Response;
use super::rustls_gateway::RustlsGateway;
use super::sent_name::SentName;
use crate::netns::Lab;
use crate::process::{Service, run};
use crate::{GATEWAY_V4, SERVER_NAME};

const CLIENT_TIMEOUT: Duration = Duration::from_secs(20);
const FIRST_GATEWAY_PORT: u16 = 4_000;
/// The port of a gateway, and that of its backend.
const PORTS_PER_GATEWAY: u16 = 2;

/// Runs the gateways of the list with the filter in their names or configurations.
///
/// `progress` is called for each gateway.
///
/// # Errors
/// When a gateway does not start, a client sends no hello, or a daemon ends.
pub fn run_all(filter: Option<&str>, progress: impl Fn(&str)) -> Result<Vec<Refusals>> {
    let lab = Lab::new()?;
    let places = Places::find()?;
    write_files(lab.directory())?;
    let is_wanted = |refuser: &&Refuser| {
        let name = format!("{}, {}", refuser.software.0, refuser.configuration);
        filter.is_none_or(|filter| name.contains(filter))
    };
    let ports = (FIRST_GATEWAY_PORT..).step_by(usize::from(PORTS_PER_GATEWAY));
    let wanted: Vec<(&Refuser, u16)> = ALL.iter().filter(is_wanted).zip(ports).collect();
    let all_ports: Vec<u16> = wanted.iter().map(|(_, port)| *port).collect();
    let daemons = start_daemons(&lab, &all_ports)?;
    let mut versions = ProgramVersions::default();
    let mut client_ports = ClientPorts::new();
    let mut all = Vec::new();
    for (refuser, port) in wanted {
        let (name, script) = refuser.software;
        let version = versions.get(&lab, &places, refuser.release, name, script)?;
        progress(&format!("{}, {}", format!("{name} {version}").trim_end(), refuser.configuration));
        let packets = lab.path(&format!("packets-{port}.pcap"));
        let tcpdump = start_tcpdump(&lab, &packets)?;
        let running = start(&lab, &places, refuser, port)?;
        let mut sent = Vec::new();
        for version in Version::ALL {
            for name in SentName::ALL {
                let range = client_ports.assign(&lab)?;
                send(&lab, port, version, name)?;
                sent.push((version, name, range));
            }
        }
        drop(running);
        let ranges: Vec<_> = sent.iter().map(|(_, _, range)| range.clone()).collect();
        let connections = settle(&daemons, &packets, &[port], &ranges)?;
        drop(tcpdump);
        let mut answers = Vec::new();
        for (version, sent_name, range) in sent {
            let connection = connections.iter().find(|connection| range.contains(&connection.port));
            let connection =
                connection.with_context(|| format!("{name}: no hello with {}", sent_name.word()))?;
            let mut reported = Vec::new();
            for (capture, daemon) in &daemons {
                let events = daemon.events()?;
                let event = event_of(&events, connection);
                let outcome = event.map_or("no event", |event| event.outcome.as_str()).to_owned();
                reported.push(Reported {
                    capture,
                    outcome,
                    alert: event.and_then(|event| event.alert.clone()),
                });
            }
            answers.push(Answer {
                version,
                name: sent_name,
                expected: refuser.expected(version, sent_name),
                seen: Response::of(connection),
                reported,
                records: connection.to_string(),
            });
        }
        all.push(Refusals { refuser: *refuser, version, answers });
    }
    Ok(all)
}

/// Sends one hello with OpenSSL, and a request if the gateway serves it.
fn send(lab: &Lab, port: u16, version: Version, name: SentName) -> Result<()> {
    let version = if version == Version::Tls12 { "-tls1_2" } else { "-tls1_3" };
    let name = name.server_name().map_or("-noservername".to_owned(), |name| format!("-servername {name}"));
    let script = format!(
        "{{ printf 'GET / HTTP/1.0\\r\\nHost: {SERVER_NAME}\\r\\n\\r\\n'; sleep 0.2; }} | \
         timeout 5 openssl s_client -connect {GATEWAY_V4}:{port} {name} {version} -ign_eof"
    );
    run(lab.client.command("sh").args(["-c", &script]), CLIENT_TIMEOUT)?;
    Ok(())
}

/// A gateway that runs until it is dropped.
struct Running {
    _programs: Vec<Service>,
    _rustls: Option<RustlsGateway>,
}

fn start(lab: &Lab, places: &Places, refuser: &Refuser, port: u16) -> Result<Running> {
    match refuser.implementation {
        Implementation::Programs(setup) => {
            let key = (refuser.software.0, refuser.release);
            let programs = gateways::start(lab, places, key, &setup(port), &[port])?;
            Ok(Running { _programs: programs, _rustls: None })
        }
        Implementation::Rustls => {
            let gateway =
                RustlsGateway::start(&lab.gateway, lab.directory(), port, |by_name, _| Arc::new(by_name))?;
            Ok(Running { _programs: Vec::new(), _rustls: Some(gateway) })
        }
    }
}
