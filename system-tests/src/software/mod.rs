//! What real clients send: how each is made to connect, in which places they are, and the table that names them by their
//! fingerprints (`crates/core/src/software.tsv`).
//!
//! `cargo xtask record-software` makes the table; a system test runs the clients that the machine has, and
//! compares what sni-probe says of them.

pub mod clients;
pub mod place;
pub mod table;

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::netns::Lab;
use crate::probe::{Event, Probe};
use crate::process::{Service, wait_until};
use crate::{GATEWAY_V4, SERVER_NAME};
use clients::ClientProgram;
use place::Place;

/// The port of a gateway that completes the handshake, whoever asks; see [`start_serving`].
pub const SERVING_PORT: u16 = 8443;

/// How long the first event of a client may take once the client has ended.
const EVENT_DEADLINE: Duration = Duration::from_secs(1);
/// Several times the daemon's period: what has not come by then will not.
const QUIET: Duration = Duration::from_millis(250);

/// Starts a gateway with one certificate and session tickets, on [`SERVING_PORT`].
///
/// # Errors
/// When openssl is missing or does not listen.
pub fn start_serving(lab: &Lab) -> Result<Service> {
    let certificate = lab.certificate(SERVER_NAME)?;
    let mut command = lab.gateway.command("openssl");
    command.args(["s_server", "-quiet", "-www", "-accept", &SERVING_PORT.to_string()]);
    command.arg("-cert").arg(&certificate.certificate).arg("-key").arg(&certificate.key);
    let mut service = Service::start("s_server", &mut command, lab.directory())?;
    service.wait_for("openssl s_server to listen", Duration::from_secs(10), || {
        crate::netns::listens_by_table(&lab.gateway, SERVING_PORT)
    })?;
    Ok(service)
}

/// Names of the gateway for [`hellos`], after [`write_names`]: OpenSSL can pad hellos of some lengths, so that a
/// client's fingerprint depends on the length of the name.
pub const NAMES: [&str; 2] =
    ["gw.example", "a-long-name-of-a-gateway.in-a-domain-with-a-longer-name-still.example"];

/// Makes the [`NAMES`] known to all clients of the lab, and `relay.example` for their own machine.
///
/// # Errors
/// When the file cannot be written.
pub fn write_names(lab: &Lab) -> Result<()> {
    let [short, long] = NAMES;
    let hosts = format!("127.0.0.1 localhost relay.example\n{GATEWAY_V4} {short} {long}\n");
    std::fs::write(lab.path("hosts"), hosts).context("writing the lab's hosts")
}

/// Runs a client against this port of the gateway, and gives the events of its hellos. None: it sent no hello. The client
/// is given the gateway's IP address, or the name.
///
/// # Errors
/// When the client hangs, or the daemon has ended.
pub fn hellos(
    lab: &Lab,
    probe: &Probe<'_>,
    place: &Place,
    client: &ClientProgram,
    (name, port): (Option<&str>, u16),
) -> Result<Vec<Event>> {
    let before = probe.events()?.len();
    let address = GATEWAY_V4.to_string();
    place
        .run(lab, client.script, (name.unwrap_or(&address), port))
        .with_context(|| format!("{}: {}", place.name(), client.program))?;
    // That none comes is an answer as well.
    if probe.wait_for_events(before + 1, EVENT_DEADLINE).is_err() {
        return Ok(Vec::new());
    }
    let mut count = 0;
    let events = wait_until("the last event", Duration::from_secs(20), || {
        let events = probe.events()?;
        let is_last = events.len() == count;
        count = events.len();
        if !is_last {
            std::thread::sleep(QUIET);
        }
        Ok(is_last.then_some(events))
    })?;
    Ok(events[before..].to_vec())
}
