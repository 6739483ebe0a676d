//! `watch`: who connects without SNI, live in the terminal.
//!
//! ```text
//! source (a daemon's API, or a capture of its own) ─▶ feed (a thread) ─┬▶ state ─▶ view       on a terminal
//!                                                  keys (a thread) ────┘
//!                                                                      └▶ plain               elsewhere
//! ```
//!
//! A source is a closure that gives a [`Snapshot`]. It is called in a thread of its own: however long it takes,
//! keys are heeded.

mod details;
mod feed;
mod help;
mod keys;
mod kinds;
mod look;
mod plain;
mod rates;
mod screen;
mod state;
mod table;
#[cfg(test)]
mod testing;
mod view;
mod words;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use anyhow::ensure;
use sni_probe_client::Daemon;
use sni_probe_daemon::Api as _;
use sni_probe_daemon::Background;
use sni_probe_model::api::Snapshot;

use crate::cli::{WatchFormat, WatchOptions};

/// Watches until the user ends it, a signal does, or what was asked for is printed.
///
/// # Errors
/// If it cannot run: the flags contradict each other, a file cannot be read, the terminal cannot be used.
pub(crate) fn run(options: &WatchOptions) -> anyhow::Result<ExitCode> {
    if let Some(url) = &options.daemon.url {
        let daemon = Daemon::new(url, &options.daemon.clone().config())?;
        let with_handshakes = wants_handshakes(options);
        return show(options, daemon.name(), move || daemon.fetch(with_handshakes));
    }
    let probe = Background::start(options.probe.clone().config()?)?;
    let board = Arc::clone(probe.board());
    let has_ended = Arc::clone(probe.has_ended());
    let with_handshakes = wants_handshakes(options);
    let mut is_first = !is_live(options);
    let interval = options.interval;
    let shown = show(options, "this machine".to_owned(), move || {
        // Nothing was seen yet: a report of nothing helps nobody.
        if std::mem::take(&mut is_first) {
            thread::sleep(interval);
        }
        ensure!(!has_ended.load(Ordering::Relaxed), "the capture has ended; quit to see why");
        Ok(Snapshot {
            summary: board.summary(),
            clients: board.clients(),
            handshakes: with_handshakes.then(|| board.handshakes()),
        })
    });
    // Whatever happened, nothing stays attached.
    let stopped = probe.stop();
    let code = shown?;
    stopped.map(|()| code)
}

/// Shows what `source` gives, in the form that the options and standard output ask for.
///
/// `place` names the source for people. The source is called at each interval, in a thread that outlives this
/// call by at most one interval and one call. What it fails with is shown, and it is called again.
///
/// # Errors
/// If the terminal or standard output cannot be used; in plain text also if the first call fails.
pub(crate) fn show(
    options: &WatchOptions,
    place: String,
    source: impl FnMut() -> anyhow::Result<Snapshot> + Send + 'static,
) -> anyhow::Result<ExitCode> {
    let stop = feed::stop_on_signals()?;
    if is_live(options) {
        screen::run(options.interval, place, source, &stop)?;
    } else {
        plain::run(options, &place, source, &stop)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether [`Snapshot::handshakes`] will be printed.
pub(crate) fn wants_handshakes(options: &WatchOptions) -> bool {
    options.format == Some(WatchFormat::Json)
}

/// Whether the log has to be silent: it would be written across the screen.
pub(crate) fn takes_over_stderr(options: &WatchOptions) -> bool {
    is_live(options) && io::stderr().is_terminal()
}

/// Whether the screen is drawn, rather than lines printed.
fn is_live(options: &WatchOptions) -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    options.format.is_none() && options.limit().is_none() && io::stdout().is_terminal() && !is_dumb
}
