//! A thread that writes batches of bytes, so that a stalled reader stalls nobody else.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use sni_probe::privileges;

/// Rest before the next try, where the sink is one that does not block (a terminal or pipe that
/// another process made so).
const WOULD_BLOCK_RETRY: Duration = Duration::from_millis(10);

/// Hands batches over to its thread.
#[derive(Debug)]
pub(super) struct Pump {
    batches: Sender<Vec<u8>>,
    /// A buffer to use again. Disconnected when the thread has ended.
    spare: Receiver<Vec<u8>>,
    pending: Arc<AtomicUsize>,
}

/// The sink takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed;

impl Pump {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives no thread, or the thread cannot give up its privileges.
    pub(super) fn new(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (batches, to_write) = mpsc::channel();
        let (written, spare) = mpsc::sync_channel(1);
        let pending = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&pending);
        let (started, privileges) = mpsc::channel();
        thread::Builder::new().name("event-writer".to_owned()).spawn(move || {
            // Writing to what is open takes no privilege.
            let dropped = privileges::keep_only(&[]);
            let is_fine = dropped.is_ok();
            let _ = started.send(dropped);
            if is_fine {
                write_batches(sink, &to_write, &written, &counter);
            }
        })?;
        privileges.recv().map_err(io::Error::other)??;
        Ok(Self { batches, spare, pending })
    }

    /// Bytes that were sent and are not yet written.
    pub(super) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Gives `batch` to the thread and leaves an empty one in its place. Never waits.
    pub(super) fn send(&mut self, batch: &mut Vec<u8>) -> Result<(), Closed> {
        let spare = self.spare.try_recv().unwrap_or_default();
        let batch = std::mem::replace(batch, spare);
        self.pending.fetch_add(batch.len(), Ordering::Relaxed);
        self.batches.send(batch).map_err(|_| Closed)
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

/// Writes until there are no more senders, or the sink fails.
fn write_batches(
    mut sink: impl Write,
    batches: &Receiver<Vec<u8>>,
    written: &SyncSender<Vec<u8>>,
    pending: &AtomicUsize,
) {
    for mut batch in batches {
        if write_all(&mut sink, &batch).is_err() {
            return;
        }
        pending.fetch_sub(batch.len(), Ordering::Relaxed);
        batch.clear();
        // If there is a spare one already, this one goes.
        let _ = written.try_send(batch);
    }
}

fn write_all(sink: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(WOULD_BLOCK_RETRY),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
