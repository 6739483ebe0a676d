//! Gathers what a diagnosis is made from. Here the verbs meet.

use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, bail, ensure};
use sni_probe_client::Daemon;

use super::config::Config;
use super::model::Inputs;
use super::wire::{self, WireFacts};
use super::{fix, message};
use crate::check;
use crate::logs;
use crate::logs::report::LogsReport;
use crate::routes;
use crate::routes::report::RoutesReport;

/// Bytes of a file with metrics: 10,000 clients with a dozen series each. Stops a file that is something else.
const MAX_SCRAPE_BYTES: u64 = 64 * 1024 * 1024;

/// Reads all that the config name. The active check comes last: what it sends is not to be counted as a client's.
///
/// # Errors
/// If no input is named, or one cannot be read.
pub(super) fn gather(config: &Config) -> anyhow::Result<Inputs> {
    let Config { daemon, metrics, capture, logs, routes, overrides, kube, check, message: text, .. } = config;
    let has_wire = daemon.url.is_some() || metrics.is_some() || capture.is_some();
    let has_routes = routes.is_some() || overrides.is_some() || *kube;
    if !has_wire && logs.is_empty() && !has_routes && check.is_none() && text.is_none() {
        bail!(
            "nothing to diagnose from; name at least one of --url, --metrics, --capture, --logs, --routes, --overrides, \
             --kube, --check, --message"
        );
    }
    let mut notes = Vec::new();
    Ok(Inputs {
        wire: wire(config)?,
        logs: match read_logs(logs) {
            // A gateway that just started has not written yet: that is no fault of the other inputs.
            Err(error)
                if error.is::<logs::NothingWritten>() && (has_wire || has_routes || check.is_some()) =>
            {
                notes.push(format!("--logs {error:#}"));
                None
            }
            read => read?,
        },
        notes,
        message: text.as_deref().map(message::meaning),
        routes: has_routes.then(|| read_routes(config)).transpose()?,
        check_flags: check.as_ref().map(check_flags).unwrap_or_default(),
        check: check.as_ref().map(check::examine).transpose()?,
    })
}

/// The flags with which the check was made, to make it again.
fn check_flags(check: &check::Config) -> String {
    let connect = check.connect.map(|connect| match connect.port {
        Some(port) => ("--connect", SocketAddr::new(connect.ip, port).to_string()),
        None => ("--connect", connect.ip.to_string()),
    });
    let sni = check.sni.clone().map(|name| ("--sni", name));
    let http = check.http.clone().map(|path| ("--http", path));
    let flags = [connect, sni, http].into_iter().flatten();
    flags.fold(String::new(), |words, (flag, value)| words + " " + flag + " " + &fix::target_word(&value))
}

fn read_logs(files: &[PathBuf]) -> anyhow::Result<Option<LogsReport>> {
    (!files.is_empty()).then(|| logs::read(&logs::Config::of(files.to_vec()))).transpose()
}

fn wire(config: &Config) -> anyhow::Result<Option<WireFacts>> {
    if let Some(url) = &config.daemon.url {
        return live(url, config).map(Some);
    }
    if let Some(file) = &config.metrics {
        let name = file.display().to_string();
        let facts = wire::of_scrape(&name, &text(file)?).with_context(|| format!("--metrics {name}"))?;
        return Ok(Some(facts));
    }
    config.capture.as_deref().map(wire::of_capture).transpose()
}

/// Asks a daemon for its statistics: those since its start, or those of the time that `--for` gives.
fn live(url: &str, config: &Config) -> anyhow::Result<WireFacts> {
    let daemon = Daemon::new(url, &config.daemon)?;
    let name = daemon.name();
    let ask = |with_handshakes| daemon.fetch(with_handshakes).with_context(|| name.clone());
    // The last handshakes show names that are served. With `--for` they may be older than what is looked at.
    let first = ask(config.span.is_none())?;
    let started = first.summary.started;
    let before = wire::of_snapshot(&name, first);
    let Some(span) = config.span else {
        let mut facts = before;
        // An older daemon has none.
        if let Some(refusals) = daemon.facts().with_context(|| name.clone())? {
            facts.refusals = refusals.report;
        }
        facts.remarks.push(format!("counted since {started} (--for looks only at what comes from now on)"));
        return Ok(facts);
    };
    tracing::info!("looking at {name} for {}", humantime::format_duration(span));
    thread::sleep(span);
    let now = ask(false)?;
    let is_restarted = now.summary.started != started;
    let facts = wire::of_snapshot(&name, now);
    // A daemon that was restarted counts from 0.
    let mut facts = if is_restarted { facts } else { facts.since(&before) };
    facts
        .remarks
        .push("facts about refusals are of the last hour, so they are left out with --for".to_owned());
    Ok(facts)
}

fn text(file: &Path) -> anyhow::Result<String> {
    let name = file.display();
    let mut text = String::new();
    let opened = File::open(file).with_context(|| format!("cannot open {name}"))?;
    let read = opened.take(MAX_SCRAPE_BYTES + 1).read_to_string(&mut text);
    read.with_context(|| format!("{name}: expected text"))?;
    ensure!(
        text.len() as u64 <= MAX_SCRAPE_BYTES,
        "{name}: more than {MAX_SCRAPE_BYTES} bytes; is this a scrape?"
    );
    Ok(text)
}

fn read_routes(config: &Config) -> anyhow::Result<RoutesReport> {
    let Config { routes: file, overrides, kube, kubeconfig, namespace, .. } = config.clone();
    let mut wanted = routes::Config {
        files: file.into_iter().collect(),
        overrides,
        kube,
        kubeconfig,
        ..routes::Config::default()
    };
    if let Some(namespace) = namespace {
        wanted.namespace = namespace;
    }
    routes::read(&wanted)
}
