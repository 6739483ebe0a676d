//! Starts each gateway refusing, and again with the lines, and sends the same hellos.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::super::gateways::{self, Setup};
use super::super::lab_files::write_files;
use super::super::places::{Places, ProgramVersions};
use super::super::refusals::rustls_gateway::RustlsGateway;
use super::super::refusals::sent_name::SentName;
use super::super::situation::Version;
use super::answer::Answer;
use super::list::{ALL, Implementation, Trial};
use super::rustls_lines;
use super::snippets::{self, Listed};
use crate::netns::Lab;
use crate::process::run;
use crate::{GATEWAY_V4, SERVER_NAME};

const CLIENT_TIMEOUT: Duration = Duration::from_secs(20);
const FIRST_PORT: u16 = 4_000;
/// Ports of a trial: the refusing gateway and its backend, the healed one and its backend.
const PORTS_PER_TRIAL: u16 = 4;
/// The version of rustls that this program is built with.
const RUSTLS_VERSION: &str = "0.23";

/// The answers of one gateway before and after.
#[derive(Debug, Clone)]
pub struct Healing {
    pub(super) trial: Trial,
    pub(super) version: String,
    pub(super) listed: Listed,
    /// One for each name and version of TLS.
    pub(super) before: Vec<(SentName, Answer)>,
    pub(super) after: Vec<(SentName, Answer)>,
}

/// Runs the trials with the filter in their gateways, situations or snippets.
///
/// `progress` is called for each trial.
///
/// # Errors
/// When a gateway does not start, the lines do not fit the configuration, or a client does not run.
pub fn run_all(filter: Option<&str>, progress: impl Fn(&str)) -> Result<Vec<Healing>> {
    let lab = Lab::new()?;
    let places = Places::find()?;
    write_files(lab.directory())?;
    fs::create_dir_all(lab.path("fixed")).context("the directory of edited programs")?;
    let name = |trial: &Trial| format!("{}, {}, {}", trial.software.0, trial.situation, trial.snippet);
    let wanted = ALL.iter().filter(|trial| filter.is_none_or(|filter| name(trial).contains(filter)));
    let ports = (FIRST_PORT..).step_by(usize::from(PORTS_PER_TRIAL));
    let mut versions = ProgramVersions::default();
    let mut all = Vec::new();
    for (trial, port) in wanted.zip(ports) {
        let (software, script) = trial.software;
        let version = match trial.implementation {
            Implementation::Rustls => RUSTLS_VERSION.to_owned(),
            Implementation::Programs { .. } => {
                let version = versions.get(&lab, &places, trial.release, software, script)?;
                version.trim_start_matches('v').to_owned()
            }
        };
        progress(&format!("{software} {version}: {}, {}", trial.situation, trial.snippet));
        let listed = snippets::listed(trial.snippet)?;
        let attempt = |port: u16, is_healed: bool| -> Result<Vec<(SentName, Answer)>> {
            let _running = start(&lab, &places, trial, port, is_healed)?;
            answers(&lab, port)
        };
        let before = attempt(port, false).with_context(|| format!("{} before", name(trial)))?;
        let after = attempt(port + 2, true).with_context(|| format!("{} after", name(trial)))?;
        all.push(Healing { trial: *trial, version, listed, before, after });
    }
    Ok(all)
}

/// Starts the gateway until the result is dropped.
fn start(
    lab: &Lab,
    places: &Places,
    trial: &Trial,
    port: u16,
    is_healed: bool,
) -> Result<Box<dyn std::any::Any>> {
    match trial.implementation {
        Implementation::Programs { refusing, text, apply } => {
            let mut setup: Setup = refusing(port);
            if is_healed {
                apply(&mut setup, port, &snippets::filled(text, port))?;
            }
            let key = (trial.software.0, trial.release);
            // A gateway with a second process has its backend on the next port.
            let ports = [port, port + 1];
            let ports = if setup.scripts.len() > 1 { &ports[..] } else { &ports[..1] };
            Ok(Box::new(gateways::start(lab, places, key, &setup, ports)?))
        }
        Implementation::Rustls => {
            let gateway = RustlsGateway::start(&lab.gateway, lab.directory(), port, |by_name, fallback| {
                if is_healed { rustls_lines::with_fallback(by_name, fallback) } else { Arc::new(by_name) }
            })?;
            Ok(Box::new(gateway))
        }
    }
}

/// Sends each hello, and a request if there is a session.
fn answers(lab: &Lab, port: u16) -> Result<Vec<(SentName, Answer)>> {
    let mut answers = Vec::new();
    for version in Version::ALL {
        let version = if version == Version::Tls12 { "-tls1_2" } else { "-tls1_3" };
        for name in SentName::ALL {
            let sni =
                name.server_name().map_or("-noservername".to_owned(), |name| format!("-servername {name}"));
            let host = name.server_name().unwrap_or(SERVER_NAME);
            let script = format!(
                "{{ printf 'GET / HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n'; sleep 0.2; }} | \
                 timeout 10 openssl s_client -connect {GATEWAY_V4}:{port} {sni} {version} -ign_eof"
            );
            let finished = run(lab.client.command("sh").args(["-c", &script]), CLIENT_TIMEOUT)?;
            answers.push((name, Answer::read(&finished.stdout, &finished.stderr)));
        }
    }
    Ok(answers)
}
