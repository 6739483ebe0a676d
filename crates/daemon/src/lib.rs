//! The daemon: watches interfaces, follows handshakes, and shows what it sees by HTTP, metrics, events and packet
//! captures of failed handshakes.
//!
//! ```text
//! run (interfaces, source, observer) ─┬─▶ telemetry (metrics, events)
//!                                     ├─▶ evidence (packets of failed handshakes)
//!                                     └─▶ board (counts, the last hour) ─▶ verdict ─▶ http: page, API
//! ```
#![forbid(unsafe_code)]

mod board;
mod config;
mod evidence;
mod http;
mod readiness;
mod run;
mod verdict;

use std::fmt;

use sni_probe_kubernetes::runtime;
use sni_probe_model::api::{Clients, Facts, Handshakes, Summary};

pub use self::board::Board;
pub use self::config::{
    Capture, Config, EvidenceConfig, HostName, InterfaceSelector, PageVisitors, ProbeConfig, WebConfig,
};
pub use self::run::Background;

/// Who knows the answers of `/api/v1/`.
pub trait Api: fmt::Debug + Send + Sync {
    /// `GET /api/v1/summary`.
    fn summary(&self) -> Summary;
    /// `GET /api/v1/clients`.
    fn clients(&self) -> Clients;
    /// `GET /api/v1/handshakes`: all that are kept.
    fn handshakes(&self) -> Handshakes;
    /// `GET /api/v1/facts`.
    fn facts(&self) -> Facts;
}

/// Watches the interfaces until SIGTERM, SIGINT or SIGHUP, then detaches what it attached.
///
/// # Errors
/// If it cannot run: nothing is attached then.
pub fn run(config: Config) -> anyhow::Result<()> {
    runtime()?.block_on(run::run(config))
}
