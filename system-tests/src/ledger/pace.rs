//! The pace of the clients: no faster than the observer reports. On a busy machine it would lose events, which is
//! another test's subject.

use std::cell::Cell;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::Instant;

/// Handshakes by which the observer may be behind. Their packets, and those of all clients' handshakes under way, have
/// room in the ring of a packet socket.
const MAX_BEHIND: u64 = 200;
/// Between two looks at the observer's events.
const INTERVAL: Duration = Duration::from_millis(10);
/// Without an event for so long, those that have not come are taken for missed, and no longer waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far the observer is.
#[derive(Debug)]
pub(super) struct Pace {
    /// Handshakes whose outcome clients have seen.
    settled: Cell<u64>,
    /// Events.
    reported: Cell<u64>,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self { settled: Cell::new(0), reported: Cell::new(0) }
    }

    /// A client has seen the outcome of a handshake.
    pub(super) fn settle(&self) {
        self.settled.set(self.settled.get() + 1);
    }

    /// Waits until the observer is not far behind.
    pub(super) async fn wait(&self) {
        let (mut reported, mut since) = (self.reported.get(), Instant::now());
        while self.settled.get() > self.reported.get() + MAX_BEHIND {
            tokio::time::sleep(INTERVAL).await;
            if self.reported.get() > reported {
                (reported, since) = (self.reported.get(), Instant::now());
            } else if since.elapsed() > PATIENCE {
                self.reported.set(self.settled.get());
            }
        }
    }

    /// Counts the lines of the observer's events, and never ends.
    pub(super) async fn follow(&self, events: &Path) -> Result<()> {
        let mut file = File::open(events).with_context(|| format!("opening {}", events.display()))?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => tokio::time::sleep(INTERVAL).await,
                Ok(count) => {
                    let lines = memchr::memchr_iter(b'\n', &buffer[..count]).count();
                    self.reported.set(self.reported.get() + lines as u64);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("reading events"),
            }
        }
    }
}
