//! What `cargo xtask` and the lab agree upon: the variables by which xtask says where things are, the files of a release,
//! container engines, the options of a command of both, and the guests of virtual machines.
//!
//! xtask starts the lab's programs and tests, and does not link them: it needs no more of them than this.
#![forbid(unsafe_code)]

pub mod cluster;
pub mod deploy;
pub mod dist;
pub mod engines;
pub mod gateways;
pub mod virtual_machine;

use std::fs;
use std::path::{Path, PathBuf};

/// The variable that says where the daemon is.
pub const PROBE_VARIABLE: &str = "SNI_PROBE_BIN";
/// The variable that says where the Envoy binary is.
pub const ENVOY_VARIABLE: &str = "SNI_PROBE_ENVOY";
/// The variable that says where the Python with `grafana-foundation-sdk` is.
pub const GRAFANA_PYTHON_VARIABLE: &str = "SNI_PROBE_GRAFANA_PYTHON";
/// The variable that says where the Debian releases with gateways and clients are.
pub const GATEWAYS_VARIABLE: &str = "SNI_PROBE_GATEWAYS";
/// The variable that says how many handshakes the ledger has.
pub const HANDSHAKES_VARIABLE: &str = "SNI_PROBE_LEDGER_HANDSHAKES";
/// The variable that names a file for the packets that the ledger's daemon watches.
pub const PACKETS_VARIABLE: &str = "SNI_PROBE_LEDGER_PACKETS";

/// Finds the Envoy binary in the Python environment `envoy` below `tools`.
pub fn find_envoy(tools: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(tools.join("envoy/lib")).ok()?.flatten();
    let candidates = entries.map(|entry| entry.path().join("site-packages/envoy/_bin/envoy"));
    candidates.into_iter().find(|path| path.exists())
}
