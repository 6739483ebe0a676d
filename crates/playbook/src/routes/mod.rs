//! `routes`: what the configuration of a gateway says of clients without SNI.
//!
//! ```text
//! --file       input ─▶ objects ─┐
//! --kube     cluster ─▶ objects ─┼─▶ routes ─┐
//! --overrides  input ─▶ overrides ───────────┴─▶ findings: apigee, listeners ─▶ text or JSON
//! ```

mod apigee;
mod cluster;
mod config;
mod entry;
mod fields;
pub mod fix;
mod input;
mod listeners;
mod objects;
mod overrides;
pub mod report;
pub mod text;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};

use self::apigee::Apigee;
pub use self::config::{Config, DEFAULT_INGRESS, DEFAULT_NAMESPACE};
use self::entry::Kind;
use self::objects::Objects;
use self::report::{RoutesReport, VirtualHost};
use crate::COULD_NOT_RUN;

/// They are not served, or something is not as it should be.
const NOT_SERVED: u8 = 1;

/// Reads what the config name, and prints what it says of clients without SNI.
///
/// # Errors
/// If something cannot be read, or standard output cannot be written.
pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    ensure!(
        config.kube || !config.files.is_empty() || config.overrides.is_some(),
        "nothing to read: name what `kubectl get apigeeroutes -A -o yaml` has printed with --file, or overrides.yaml with \
         --overrides, or read the cluster with --kube"
    );
    let report = read(config)?;
    let text = if config.json {
        serde_json::to_string_pretty(&report).context("cannot write the report as JSON")? + "\n"
    } else {
        text::render(&report, sni_probe_terminal::wants_colour(&io::stdout()))
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        // A reader that has left (`| head`) wants no more.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(error).context("cannot write to standard output");
        }
        _ => {}
    }
    Ok(match report.serves_non_sni {
        Some(true) if report.findings.is_empty() => ExitCode::SUCCESS,
        None if report.findings.is_empty() => ExitCode::from(COULD_NOT_RUN),
        _ => ExitCode::from(NOT_SERVED),
    })
}

/// Reads what the config name, and judges it.
///
/// # Errors
/// If something cannot be read, or there is nothing in it of which this can tell: one line, with file, line and column.
pub fn read(config: &Config) -> anyhow::Result<RoutesReport> {
    let mut objects = Objects::default();
    let mut sources = Vec::new();
    for file in &config.files {
        let source = input::read(file)?;
        objects.add_file(&source)?;
        sources.push(source.name);
    }
    if config.kube {
        let server = cluster::list(config, &mut objects)?;
        sources.push(format!("{server} (namespace {})", config.namespace));
    }
    let mut virtual_hosts = Vec::new();
    let overrides = config.overrides.as_deref().map(input::read).transpose()?;
    if let Some(source) = &overrides {
        virtual_hosts = overrides::parse(source)?;
        sources.push(source.name.clone());
    }
    let overrides = overrides.as_ref().map_or("", |source| &source.name);
    let mut report = judge(objects, virtual_hosts, overrides, &config.ingress);
    report.sources = sources;
    Ok(report)
}

/// What is wrong with all of it. `overrides` is the name of the file with the virtual hosts.
fn judge(
    objects: Objects,
    virtual_hosts: Vec<VirtualHost>,
    overrides: &str,
    ingress: &[String],
) -> RoutesReport {
    let entries = &objects.entries;
    let apigee = Apigee {
        routes: entries.iter().filter(|entry| entry.kind == Kind::ApigeeRoute).collect(),
        gateways: entries.iter().map(|entry| entry.gateway.as_str()).collect(),
        virtual_hosts: &virtual_hosts,
        overrides,
        ingress,
    };
    let (mut findings, apigee_serves) = apigee.judge();
    let listeners_serve = listeners::judge(entries, &mut findings);
    // A stable sort: those of a kind stay in the order of the objects.
    findings.sort_by_key(|finding| finding.code);
    RoutesReport {
        sources: Vec::new(),
        routes: objects.entries.into_iter().map(|entry| entry.route).collect(),
        virtual_hosts,
        skipped: objects.skipped,
        findings,
        serves_non_sni: match (apigee_serves, listeners_serve) {
            (Some(apigee), Some(listeners)) => Some(apigee && listeners),
            (one, other) => one.or(other),
        },
    }
}

/// The file as messages name it.
fn display(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

#[cfg(test)]
mod tests;
