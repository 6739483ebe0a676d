//! A thread that writes batches of bytes, so that a stalled reader stalls nobody else.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

/// Rest before the next try, where the sink is one that does not block (a terminal or pipe that
/// another process made so).
const WOULD_BLOCK_RETRY: Duration = Duration::from_millis(10);

/// Hands batches over to its thread.
#[derive(Debug)]
pub(super) struct Pump {
    batches: Sender<Vec<u8>>,
    /// A buffer to use again. Disconnected when the thread has ended.
    spare: Receiver<Vec<u8>>,
    progress: Arc<Progress>,
}

/// What the thread has done so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Bytes that were sent and are neither written nor given up.
    pending: AtomicUsize,
    /// Whether the sink has failed. The thread then writes nothing more and counts the lines that it is sent.
    is_closed: AtomicBool,
    /// Lines that were sent and not written because the sink had failed, since they were last taken.
    unwritten_lines: AtomicU64,
}

impl Pump {
    /// Starts the thread, which gives up its privileges by `drop_privileges`.
    ///
    /// # Errors
    /// If the system gives no thread, or the thread cannot give up its privileges.
    pub(super) fn start(
        sink: impl Write + Send + 'static,
        drop_privileges: fn() -> io::Result<()>,
    ) -> io::Result<Self> {
        let (batches, to_write) = mpsc::channel();
        let (written, spare) = mpsc::sync_channel(1);
        let progress = Arc::new(Progress::default());
        let its_progress = Arc::clone(&progress);
        let (started, privileges) = mpsc::channel();
        thread::Builder::new().name("event-writer".to_owned()).spawn(move || {
            // Writing to what is open takes no privilege.
            let dropped = drop_privileges();
            let is_fine = dropped.is_ok();
            let _ = started.send(dropped);
            if is_fine {
                write_batches(sink, &to_write, &written, &its_progress);
            }
        })?;
        privileges.recv().map_err(io::Error::other)??;
        Ok(Self { batches, spare, progress })
    }

    /// Its progress, which can be read after [`Pump::finish`] as well.
    pub(super) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Gives `batch` to the thread and leaves an empty one in its place. Never waits.
    pub(super) fn send(&mut self, batch: &mut Vec<u8>) {
        let spare = self.spare.try_recv().unwrap_or_default();
        let batch = std::mem::replace(batch, spare);
        self.progress.pending.fetch_add(batch.len(), Ordering::Relaxed);
        if let Err(mpsc::SendError(batch)) = self.batches.send(batch) {
            // The thread ends only with this sender, or by a panic.
            self.progress.give_up(&batch, batch.len());
        }
    }

    /// Waits until all is written, or `patience` is over.
    pub(super) fn finish(self, patience: Duration) {
        let Self { batches, spare, .. } = self;
        drop(batches);
        let deadline = Instant::now() + patience;
        // Ends by the disconnection, when the thread has ended, or by the deadline.
        while spare.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok() {}
    }
}

impl Progress {
    /// Bytes that were sent and are neither written nor given up.
    pub(super) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Whether the sink has failed.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Returns how many lines were given up since the last call.
    pub(super) fn take_unwritten_lines(&self) -> u64 {
        self.unwritten_lines.swap(0, Ordering::Relaxed)
    }

    /// Counts the lines that end in `unwritten`, the rest of a batch of `length` bytes.
    fn give_up(&self, unwritten: &[u8], length: usize) {
        let lines = memchr::memchr_iter(b'\n', unwritten).count();
        self.unwritten_lines.fetch_add(lines as u64, Ordering::Relaxed);
        self.is_closed.store(true, Ordering::Relaxed);
        self.pending.fetch_sub(length, Ordering::Relaxed);
    }
}

/// Writes until there are no more senders. After the sink has failed, counts the lines of all further batches.
fn write_batches(
    mut sink: impl Write,
    batches: &Receiver<Vec<u8>>,
    written: &SyncSender<Vec<u8>>,
    progress: &Progress,
) {
    for mut batch in batches {
        let unwritten = if progress.is_closed() { &batch[..] } else { write_all(&mut sink, &batch) };
        if !unwritten.is_empty() {
            progress.give_up(unwritten, batch.len());
            continue;
        }
        progress.pending.fetch_sub(batch.len(), Ordering::Relaxed);
        batch.clear();
        // If there is a spare one already, this one goes.
        let _ = written.try_send(batch);
    }
}

/// Returns the bytes that the sink did not take.
fn write_all<'a>(sink: &mut impl Write, mut bytes: &'a [u8]) -> &'a [u8] {
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => break,
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(WOULD_BLOCK_RETRY),
            Err(_) => break,
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_keeps_its_privileges_is_not_started() {
        let refuse = || Err(io::Error::other("the kernel refuses"));
        let error = Pump::start(io::sink(), refuse).unwrap_err().to_string();
        assert_eq!(error, "the kernel refuses");
    }
}
