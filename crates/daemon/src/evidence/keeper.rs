//! A thread that writes evidence, so that a slow disk holds up nobody.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sni_probe_capture::privileges;
use sni_probe_telemetry::metrics::{EvidenceLoss, Metrics};

use super::case::Case;
use super::directory::Directory;

/// Bytes of memory of cases that wait to be written; some 4,000 usual ones. Stops a disk that hangs from filling the
/// memory. Nor are there ever more than are kept in the directory: what newer ones push out would be removed there.
const MAX_QUEUED_BYTES: usize = 4 << 20;

/// Rest after each file: at most 100 a second. Stops a flood of refused clients from taking a core for files that the next
/// ones replace.
const PAUSE: Duration = Duration::from_millis(10);

/// How often the thread looks for files that others added or removed.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

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
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    /// Oldest first.
    cases: VecDeque<Case>,
    /// What they take.
    bytes: usize,
    /// There will be no more.
    is_closed: bool,
}

/// What the thread has to do next.
enum Next {
    Case(Case),
    /// No case came in time.
    Nothing,
    /// There will be no more cases.
    End,
}

impl Keeper {
    /// Starts the thread, and waits until it knows that it can write.
    ///
    /// # Errors
    /// If it cannot, or the system gives no thread.
    pub(super) fn start(directory: Directory, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        Self::start_with(directory, metrics, LOOK_INTERVAL, privileges::drop_all)
    }

    fn start_with(
        mut directory: Directory,
        metrics: Arc<Metrics>,
        look_interval: Duration,
        drop_privileges: fn() -> io::Result<()>,
    ) -> anyhow::Result<Self> {
        let queue = Arc::new(Queue::default());
        let max_queued = directory.limits().handshakes;
        let (ready, is_ready) = mpsc::channel();
        let (running, ended) = mpsc::channel();
        let (its_queue, its_metrics) = (Arc::clone(&queue), Arc::clone(&metrics));
        let thread = thread::Builder::new().name("evidence".to_owned());
        let spawned = thread.spawn(move || {
            // Writing to a directory of one's own takes no privilege.
            let stock = drop_privileges().map_err(Into::into).and_then(|()| directory.take_stock());
            its_metrics.set_evidence(directory.files(), directory.bytes());
            let is_fine = stock.is_ok();
            if ready.send(stock).is_ok() && is_fine {
                write_cases(&mut directory, &its_queue, &its_metrics, look_interval);
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

impl QueueState {
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
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // Nothing panics while it holds the lock, and the queue is whole at all times.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Waits for the next case, but not longer than `patience`.
    fn next(&self, patience: Duration) -> Next {
        let waits = |state: &mut QueueState| state.cases.is_empty() && !state.is_closed;
        let (mut state, _) = self
            .changed
            .wait_timeout_while(self.lock(), patience, waits)
            .unwrap_or_else(PoisonError::into_inner);
        match state.pop() {
            Some(case) => Next::Case(case),
            None if state.is_closed => Next::End,
            None => Next::Nothing,
        }
    }

    /// Rests, but not when it is the end.
    fn pause(&self) {
        // Either way it goes on.
        let _ = self.changed.wait_timeout_while(self.lock(), PAUSE, |state| !state.is_closed);
    }
}

/// Writes until there are no more cases. A file that cannot be written is counted, and the next one may be well.
fn write_cases(directory: &mut Directory, queue: &Queue, metrics: &Metrics, look_interval: Duration) {
    let mut warned = false;
    let mut last_look = Instant::now();
    let mut look_failed = false;
    loop {
        let is_written = match queue.next(look_interval.saturating_sub(last_look.elapsed())) {
            Next::Case(case) => {
                let written = case.to_pcapng().and_then(|contents| directory.add(case.name, &contents));
                if let Err(error) = written {
                    metrics.evidence_lost(EvidenceLoss::WriteFailed, 1);
                    if !warned {
                        warned = true;
                        tracing::warn!(
                            %error,
                            "evidence cannot be written; sni_probe_evidence_lost_total counts what is lost"
                        );
                    }
                }
                true
            }
            Next::Nothing => false,
            Next::End => return,
        };
        if last_look.elapsed() >= look_interval {
            last_look = Instant::now();
            if let Err(error) = directory.follow(last_look) {
                if !look_failed {
                    tracing::warn!(%error, "the directory of --evidence cannot be read; its gauges may be wrong");
                }
                look_failed = true;
            } else {
                look_failed = false;
            }
        }
        metrics.set_evidence(directory.files(), directory.bytes());
        if is_written {
            queue.pause();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::directory::Limits;
    use super::super::testing::case;
    use super::*;

    /// Without a thread that takes anything out.
    fn hanging(max_queued: usize) -> (Keeper, mpsc::Sender<Infallible>) {
        let (running, ended) = mpsc::channel();
        let metrics = Arc::new(Metrics::for_captures().unwrap());
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

    /// Waits until the gauges have these values.
    #[track_caller]
    fn wait_for(metrics: &Metrics, files: usize, bytes: usize) {
        let expected =
            [format!("sni_probe_evidence_files {files}\n"), format!("sni_probe_evidence_bytes {bytes}\n")];
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let text = metrics.encode().unwrap();
            if expected.iter().all(|line| text.contains(line)) {
                return;
            }
            assert!(Instant::now() < deadline, "{text}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn the_gauges_follow_the_directory() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path();
        let metrics = Arc::new(Metrics::for_captures().unwrap());
        let limits = Limits { handshakes: 5, bytes: 1 << 20 };
        let directory = Directory::open(path, limits).unwrap();
        let interval = Duration::from_millis(10);
        let keeper = Keeper::start_with(directory, Arc::clone(&metrics), interval, || Ok(())).unwrap();
        for port in [1, 2, 3] {
            keeper.take(case(port));
        }
        let size = |port| case(port).to_pcapng().unwrap().len();
        let all = size(1) + size(2) + size(3);
        wait_for(&metrics, 3, all);
        std::fs::remove_file(path.join(case(2).name.as_str())).unwrap();
        wait_for(&metrics, 2, all - size(2));
        std::fs::write(path.join(case(9).name.as_str()), b"12345").unwrap();
        std::fs::write(path.join("notes.txt"), b"12345").unwrap();
        wait_for(&metrics, 3, all - size(2) + 5);
        // Beyond the bound: those of others go first.
        for port in [6, 7, 8] {
            std::fs::write(path.join(case(port).name.as_str()), b"12345").unwrap();
        }
        // The gauges may be those of a look before the third of them.
        let (oldest, deadline) = (path.join(case(6).name.as_str()), Instant::now() + Duration::from_secs(30));
        while oldest.exists() {
            assert!(Instant::now() < deadline, "{}", metrics.encode().unwrap());
            thread::sleep(Duration::from_millis(5));
        }
        wait_for(&metrics, 5, all - size(2) + 15);
        for entry in std::fs::read_dir(path).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        wait_for(&metrics, 0, 0);
        keeper.take(case(4));
        wait_for(&metrics, 1, size(4));
        std::fs::remove_dir_all(path).unwrap();
        wait_for(&metrics, 0, 0);
        keeper.finish(Duration::from_secs(10));
    }

    #[test]
    fn a_thread_that_keeps_its_privileges_ends_the_start() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::open(temporary.path(), Limits { handshakes: 5, bytes: 1 << 20 }).unwrap();
        let refuse = || Err(io::Error::other("the kernel refuses"));
        let started =
            Keeper::start_with(directory, Arc::new(Metrics::for_captures().unwrap()), LOOK_INTERVAL, refuse);
        assert_eq!(started.unwrap_err().to_string(), "the kernel refuses");
    }
}
