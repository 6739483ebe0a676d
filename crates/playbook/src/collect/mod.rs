//! `collect`: what support asks for, in one file, without secrets.
//!
//! ```text
//! sources (daemon, files, cluster, this machine) ─▶ redact ─▶ bundle (tar, zstd, MANIFEST.json)
//! ```
//!
//! What cannot be collected is listed, and does not hinder the rest.

mod bundle;
mod cluster;
mod config;
mod limits;
mod output;
mod redact;
mod sources;

use std::process::ExitCode;

use anyhow::ensure;

use self::bundle::Bundle;
pub use self::config::Config;
use self::redact::Redactor;

/// Collects, and writes the bundle.
///
/// # Errors
/// If nothing could be collected but what each machine has, or the bundle cannot be written, or something else is in its
/// place.
pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    ensure!(
        sources::is_asked(config),
        "nothing to collect; name --url, --kube, --overrides, --routes, --events-file or --evidence"
    );
    output::check(&config.output, &sources::inputs(config))?;
    let redactor = Redactor::new(config.redact_addresses);
    let mut bundle = Bundle::create(&config.output, redactor)?;
    let is_worth_it = sources::collect(config, &mut bundle)?;
    let (collected, missing) = (bundle.collected(), bundle.missing());
    // Nobody needs a bundle that says only what machine this is.
    ensure!(
        is_worth_it,
        "nothing could be collected: {}",
        missing.first().map_or("", |missing| missing.reason.as_str())
    );
    for missing in missing {
        sni_probe_terminal::report(&format!("not collected: {}: {}", missing.name, missing.reason));
    }
    bundle.finish()?;
    tracing::info!("{collected} files in {}", config.output.display());
    Ok(ExitCode::SUCCESS)
}
