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

/// Bytes of memory of cases that wait to be written; some 4,000 usual ones. Stops a disk that hangs from filling the
/// memory. Nor are there ever more than are kept in the directory: what newer ones push out would be removed there.
const MAX_QUEUED_BYTES: usize = 4 << 20;

/// Rest after each file: at most 100 a second. Stops a flood of refused clients from taking a core for files that the next
/// ones replace.
const PAUSE: Duration = Duration::from_millis(10);

/// Hands cases over to its thread.
#[derive(Debug)]
pub(super) struct Keeper {
    queue: Arc<Queue>,
    /// Cases that may wait.
    max_queued: usize,
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
    /// What they take.
    bytes: usize,
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
        let max_queued = directory.limits().handshakes;
        let (ready, is_ready) = mpsc::channel();
        let (running, ended) = mpsc::channel();
        let (its_queue, its_metrics) = (Arc::clone(&queue), Arc::clone(&metrics));
        let thread = thread::Builder::new().name("evidence".to_owned());
        let spawned = thread.spawn(move || {
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
        Ok(Self { queue, max_queued, metrics, ended })
    }

    /// Gives a case to the thread. Never waits for the disk.
    pub(super) fn take(&self, case: Case) {
        let mut state = self.queue.lock();
        state.push(case);
        while state.cases.len() > self.max_queued || state.bytes > MAX_QUEUED_BYTES {
            if state.pop().is_none() {
                break;
            }
            self.metrics.evidence_lost(EvidenceLoss::QueueFull, 1);
        }
        drop(state);
        self.queue.changed.notify_one();
    }

    /// Waits until all is written, or `patience` is over.
    pub(super) fn finish(self, patience: Duration) {
        self.queue.close();
        // Ends by the disconnection, when the thread has ended, or by the time.
        let _ = self.ended.recv_timeout(patience);
        let left = self.queue.lock().cases.len();
        if left > 0 {
            tracing::warn!(handshakes = left, "evidence was not written in time");
        }
    }
}

/// The thread ends when all is written, also where nobody waits for it.
impl Drop for Keeper {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl State {
    fn push(&mut self, case: Case) {
        self.bytes += case.size();
        self.cases.push_back(case);
    }

    /// Takes the oldest.
    fn pop(&mut self) -> Option<Case> {
        let case = self.cases.pop_front()?;
        self.bytes -= case.size();
        Some(case)
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and the queue is whole at all times.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Waits for the next case; `None` when there will be none.
    fn next(&self) -> Option<Case> {
        let waits = |state: &mut State| state.cases.is_empty() && !state.is_closed;
        let state = self.changed.wait_while(self.lock(), waits);
        state.unwrap_or_else(PoisonError::into_inner).pop()
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

    /// Without a thread that takes anything out.
    fn hanging(max_queued: usize) -> (Keeper, mpsc::Sender<Infallible>) {
        let (running, ended) = mpsc::channel();
        let metrics = Arc::new(Metrics::empty());
        (Keeper { queue: Arc::default(), max_queued, metrics, ended }, running)
    }

    fn lost(keeper: &Keeper) -> usize {
        let text = keeper.metrics.encode().unwrap();
        let series = r#"sni_probe_evidence_lost_total{reason="queue_full"} "#;
        text.lines().find_map(|line| line.strip_prefix(series)).unwrap().parse().unwrap()
    }

    #[test]
    fn no_more_wait_than_are_kept() {
        let (keeper, _running) = hanging(100);
        for port in 0..1_000 {
            keeper.take(case(port));
        }
        assert_eq!(lost(&keeper), 900);
        let state = keeper.queue.lock();
        assert_eq!(state.cases.len(), 100);
        assert_eq!(state.cases.front().unwrap().name, case(900).name);
        assert_eq!(state.cases.back().unwrap().name, case(999).name);
        drop(state);
        keeper.finish(Duration::from_millis(1));
    }

    #[test]
    fn a_disk_that_hangs_does_not_fill_the_memory() {
        let (keeper, _running) = hanging(100_000);
        for port in 0..10_000 {
            keeper.take(case(port));
            assert!(keeper.queue.lock().bytes <= MAX_QUEUED_BYTES);
        }
        let state = keeper.queue.lock();
        assert!((3_000..9_000).contains(&state.cases.len()), "{}", state.cases.len());
        assert_eq!(state.bytes, state.cases.iter().map(Case::size).sum::<usize>());
        let waiting = state.cases.len();
        drop(state);
        assert_eq!(lost(&keeper), 10_000 - waiting);
    }
}
