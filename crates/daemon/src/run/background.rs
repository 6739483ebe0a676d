//! A probe on a thread of its own, for `watch`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, anyhow};
use sni_probe_capture::privileges;
use sni_probe_kubernetes::runtime;
use sni_probe_telemetry::events::EventsConfig;
use tokio::sync::oneshot;

use super::probe::Probe;
use crate::board::Board;
use crate::config::{EvidenceConfig, ProbeConfig};

/// A probe that runs until it is told to stop.
pub struct Background {
    board: Arc<Board>,
    has_ended: Arc<AtomicBool>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Background {
    /// Starts it, and waits until it watches.
    ///
    /// # Errors
    /// If it cannot: nothing is attached then.
    pub fn start(config: ProbeConfig) -> anyhow::Result<Self> {
        let keep_privileges = config.keep_privileges;
        let (opened, board) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let has_ended = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new()
            .name("probe".to_owned())
            .spawn({
                let has_ended = Arc::clone(&has_ended);
                move || {
                    let outcome = run(&config, &opened, stopped);
                    has_ended.store(true, Ordering::Relaxed);
                    outcome
                }
            })
            .context("cannot start a thread")?;
        // Without a board the thread has ended, and says why.
        let Ok(board) = board.recv() else {
            return Err(ended(thread).err().unwrap_or_else(|| anyhow!("ended")));
        };
        if !keep_privileges {
            // Those of the other thread are its own affair: this one draws, and needs none.
            privileges::drop_all().context("cannot drop privileges; see --keep-privileges")?;
        }
        Ok(Self { board, has_ended, stop, thread })
    }

    /// What it sees.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Turns true when it sees nothing any more.
    pub fn has_ended(&self) -> &Arc<AtomicBool> {
        &self.has_ended
    }

    /// Detaches what it attached.
    ///
    /// # Errors
    /// If it ended before because it could not go on.
    pub fn stop(self) -> anyhow::Result<()> {
        // If it has ended, nobody receives this.
        let _ = self.stop.send(());
        ended(self.thread)
    }
}

fn run(
    config: &ProbeConfig,
    opened: &mpsc::Sender<Arc<Board>>,
    stopped: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let probe = Probe::open(config, &EventsConfig::off(), &EvidenceConfig::off()).await?;
        // If nobody waits any more, the sender of `stopped` is gone as well.
        let _ = opened.send(Arc::clone(probe.board()));
        probe
            .watch(async {
                let _ = stopped.await;
            })
            .await
    })
}

fn ended(thread: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    thread.join().unwrap_or_else(|_| Err(anyhow!("the probe ended badly; please report this")))
}
