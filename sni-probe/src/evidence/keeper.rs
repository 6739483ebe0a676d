//! A thread that writes evidence, so that a slow disk holds up nobody.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use sni_probe::privileges;

use super::case::Case;
use super::directory::Directory;
use crate::metrics::{EvidenceLoss, Metrics};

/// Cases that wait to be written; each has at most 32 KiB, usually 1. Stops a disk that hangs from filling the
/// memory. What newer ones push out would soon be removed from the directory as well.
pub(super) const MAX_QUEUED: usize = 128;

/// Rest after each file: at most 100 a second. Stops a flood of refused clients from taking a core for files that the next
/// ones replace.
const PAUSE: Duration = Duration::from_millis(10);

/// Hands cases over to its thread.
#[derive(Debug)]
pub(super) struct Keeper {
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
    /// Disconnected when the thread has ended.
    ended: Receiver<Infallible>,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Oldest first.
    cases: VecDeque<Case>,
    /// There will be no more.
    is_closed: bool,
}

impl Keeper {
    /// Starts the thread, and waits until it knows that it can write.
    ///
    /// # Errors
    /// If it cannot, or the system gives no thread.
    pub(super) fn start(mut directory: Directory, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let queue = Arc::new(Queue::default());
        let (ready, is_ready) = mpsc::channel();
        let (running, ended) = mpsc::channel();
        let (its_queue, its_metrics) = (Arc::clone(&queue), Arc::clone(&metrics));
        let thread = thread::Builder::new().name("evidence".to_owned());
        let spawned = thread.spawn(move || {
            let running: mpsc::Sender<Infallible> = running;
            // Writing to a directory of one's own takes no privilege. If the kernel refuses, they stay what they were.
            let _ = privileges::keep_only(&[]);
            let stock = directory.take_stock();
            its_metrics.set_evidence(directory.files(), directory.bytes());
            let is_fine = stock.is_ok();
            if ready.send(stock).is_ok() && is_fine {
                write_cases(&mut directory, &its_queue, &its_metrics);
            }
            drop(running);
        });
        spawned.context("cannot start the thread that writes evidence")?;
        is_ready.recv().context("the thread that writes evidence has ended")??;
        Ok(Self { queue, metrics, ended })
    }

    /// Gives a case to the thread. Never waits for the disk.
    pub(super) fn take(&self, case: Case) {
        let mut state = self.queue.lock();
        state.cases.push_back(case);
        if state.cases.len() > MAX_QUEUED {
            state.cases.pop_front();
            self.metrics.evidence_lost(EvidenceLoss::QueueFull, 1);
        }
        drop(state);
        self.queue.changed.notify_one();
    }

    /// Waits until all is written, or `patience` is over.
    pub(super) fn finish(self, patience: Duration) {
        self.queue.lock().is_closed = true;
        self.queue.changed.notify_one();
        // Ends by the disconnection, when the thread has ended, or by the time.
        let _ = self.ended.recv_timeout(patience);
        let left = self.queue.lock().cases.len();
        if left > 0 {
            tracing::warn!(handshakes = left, "evidence was not written in time");
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and the queue is whole at all times.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next case; `None` when there will be none.
    fn next(&self) -> Option<Case> {
        let waits = |state: &mut State| state.cases.is_empty() && !state.is_closed;
        let state = self.changed.wait_while(self.lock(), waits);
        state.unwrap_or_else(PoisonError::into_inner).cases.pop_front()
    }

    /// Rests, but not when it is the end.
    fn pause(&self) {
        // Either way it goes on.
        let _ = self.changed.wait_timeout_while(self.lock(), PAUSE, |state| !state.is_closed);
    }
}

/// Writes until there are no more cases. A file that cannot be written is counted, and the next one may be well.
fn write_cases(directory: &mut Directory, queue: &Queue, metrics: &Metrics) {
    let mut warned = false;
    while let Some(case) = queue.next() {
        let written = case.to_pcapng().and_then(|contents| directory.add(case.name, &contents));
        if let Err(error) = written {
            metrics.evidence_lost(EvidenceLoss::WriteFailed, 1);
            if !warned {
                warned = true;
                tracing::warn!(%error, "evidence cannot be written; sni_probe_evidence_lost_total counts what is lost");
            }
        }
        metrics.set_evidence(directory.files(), directory.bytes());
        queue.pause();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::case;
    use super::*;

    #[test]
    fn a_disk_that_hangs_does_not_fill_the_memory() {
        // No thread takes anything out.
        let (_running, ended) = mpsc::channel();
        let metrics = Arc::new(Metrics::new().unwrap());
        let keeper = Keeper { queue: Arc::default(), metrics: Arc::clone(&metrics), ended };
        for port in 0..1_000 {
            keeper.take(case(port));
        }
        let state = keeper.queue.lock();
        assert_eq!(state.cases.len(), MAX_QUEUED);
        assert_eq!(state.cases.front().unwrap().name, case(1_000 - 128).name);
        assert_eq!(state.cases.back().unwrap().name, case(999).name);
        drop(state);
        let lost = r#"sni_probe_evidence_lost_total{reason="queue_full"} 872"#;
        assert!(metrics.encode().unwrap().contains(lost));
        keeper.finish(Duration::from_millis(1));
    }
}
