//! `routes`: what the configuration of a gateway says of clients without SNI.
//!
//! ```text
//! --file       input ─▶ objects ─▶ kinds ─┐
//! --kube     cluster ─▶ objects ─▶ kinds ─┤
//! --overrides  input ─▶ overrides ────────┴─▶ judge: apigee, istio, gateway_api ─▶ text or JSON
//! ```

mod cluster;
mod config;
mod entry;
pub mod fix;
mod input;
mod judge;
mod kinds;
mod listener;
mod objects;
mod overrides;
pub mod report;
mod template;
pub mod text;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};

pub use self::config::{Config, DEFAULT_INGRESS, DEFAULT_NAMESPACE};
use self::judge::judge;
use self::objects::Objects;
use self::report::RoutesReport;
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
/// If something cannot be read, or there is nothing in it that decides about clients without SNI: one line, with file, line and column.
pub fn read(config: &Config) -> anyhow::Result<RoutesReport> {
    let mut objects = Objects::default();
    let mut sources = Vec::new();
    let mut notes = Vec::new();
    for file in &config.files {
        let source = input::read(file)?;
        objects.add_file(&source)?;
        sources.push(source.name);
    }
    objects.keep_last(&mut notes);
    if config.kube {
        let (server, of_cluster) = cluster::list(config, &mut notes)?;
        objects.merge_cluster(of_cluster, &mut notes)?;
        sources.push(format!("{server} (namespace {})", config.namespace));
    }
    let mut virtual_hosts = Vec::new();
    let overrides = config.overrides.as_deref().map(input::read).transpose()?;
    if let Some(source) = &overrides {
        virtual_hosts = overrides::parse(source)?;
        sources.push(source.name.clone());
    }
    let overrides = overrides.as_ref().map_or("", |source| &source.name);
    let mut report = judge(objects, virtual_hosts, overrides, &config.ingress, notes);
    report.sources = sources;
    Ok(report)
}

/// The file as messages name it.
fn display(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

#[cfg(test)]
mod tests;
