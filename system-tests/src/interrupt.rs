//! Ctrl-C for the demo: a flag instead of death, so that namespaces and processes are cleaned up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static REQUESTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Turns SIGINT, SIGTERM and SIGHUP of this process into [`requested`].
///
/// With handlers, not by blocking the signals: children inherit what is blocked, and would then not
/// heed SIGTERM; handlers end at exec.
///
/// # Errors
/// When a handler cannot be set.
pub fn catch() -> Result<()> {
    let flag = REQUESTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(flag)).context("catching Ctrl-C")?;
    }
    Ok(())
}

/// Whether the user asked to stop.
pub fn requested() -> bool {
    REQUESTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}
