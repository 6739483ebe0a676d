//! Events: a line for each handshake on stdout, for people or for programs.
//!
//! [`Format::line`] makes the lines. The daemon never waits for its reader: lines are handed over, a batch at a time, to a thread
//! that writes them ([`pump`]). A reader that is too slow loses lines, which are counted; one that
//! goes away switches events off.

mod json;
mod pump;
pub(crate) mod text;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use sni_probe_core::flow::Timestamp;
use sni_probe_core::observation::Handshake;

use self::pump::Pump;
use crate::cli::Events;
use crate::logging;

/// Bytes of lines that wait for the reader of stdout; about 6,000 lines of JSON.
const MAX_PENDING_BYTES: usize = 4 * 1024 * 1024;

/// Writes a line for each handshake, or nothing if events are off.
#[derive(Debug)]
pub(crate) struct EventWriter {
    output: Option<Output>,
}

#[derive(Debug)]
struct Output {
    format: Format,
    /// Whole lines since the last flush.
    batch: Vec<u8>,
    /// Lines since the last flush for which there was no room.
    dropped: u64,
    warned: bool,
    pump: Pump,
}

/// Where a handshake was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// On an interface of this name.
    Interface(&'a str),
    /// In a capture.
    Capture {
        /// Its name as the user gave it.
        file: &'a str,
        /// Number of the frame, from 1.
        frame: u64,
    },
}

/// The form of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    /// For people.
    Text {
        /// Whether with escape sequences.
        colour: bool,
    },
    /// For programs.
    Json,
}

impl Format {
    /// Appends the handshake as one line.
    pub(crate) fn line(
        self,
        batch: &mut Vec<u8>,
        source: Source<'_>,
        handshake: &Handshake,
        clock: WallClock,
    ) {
        match self {
            Self::Json => json::write(batch, source, handshake, clock),
            Self::Text { colour } => text::write(batch, source, handshake, clock, colour),
        }
    }
}

impl EventWriter {
    /// A writer to stdout as `--events` says.
    ///
    /// # Errors
    /// If stdout is not open, or no thread is to be had.
    pub(crate) fn stdout(events: Events) -> anyhow::Result<Self> {
        let format = match events {
            Events::Off => return Ok(Self { output: None }),
            Events::Text => Format::Text { colour: logging::colour(&io::stdout()) },
            Events::Json => Format::Json,
        };
        // Not `io::Stdout`, whose buffer would split batches into several writes.
        let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
        stdout.and_then(|stdout| Self::new(format, stdout)).context("cannot write events to stdout")
    }

    fn new(format: Format, sink: impl Write + Send + 'static) -> io::Result<Self> {
        let pump = Pump::new(sink)?;
        Ok(Self { output: Some(Output { format, batch: Vec::new(), dropped: 0, warned: false, pump }) })
    }

    /// Adds a line. It is written with the next [`EventWriter::flush`].
    pub(crate) fn handshake(&mut self, interface: &str, handshake: &Handshake, clock: WallClock) {
        let Some(output) = &mut self.output else { return };
        if output.pump.pending() + output.batch.len() >= MAX_PENDING_BYTES {
            output.dropped += 1;
            return;
        }
        output.format.line(&mut output.batch, Source::Interface(interface), handshake, clock);
    }

    /// Hands the lines over to be written, all in one. Never waits.
    ///
    /// Returns how many lines were dropped since the last flush, because those before them are
    /// still waiting for the reader.
    #[must_use = "what is not written is to be counted"]
    pub(crate) fn flush(&mut self) -> u64 {
        let Some(output) = &mut self.output else { return 0 };
        let dropped = std::mem::take(&mut output.dropped);
        if dropped > 0 && !output.warned {
            output.warned = true;
            tracing::warn!("events are dropped: the reader of standard output is too slow");
        }
        if !output.batch.is_empty() && output.pump.send(&mut output.batch).is_err() {
            tracing::warn!("events are off: standard output cannot be written to any more");
            self.output = None;
        }
        dropped
    }

    /// Flushes, and waits for the lines to be written, but not longer than `patience`.
    ///
    /// Returns the same as [`EventWriter::flush`].
    #[must_use = "what is not written is to be counted"]
    pub(crate) fn finish(mut self, patience: Duration) -> u64 {
        let dropped = self.flush();
        if let Some(output) = self.output {
            output.pump.finish(patience);
        }
        dropped
    }
}

/// Tells the time of day of a [`Timestamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WallClock {
    /// Nanoseconds from 1970 to the epoch of the timestamps.
    offset_ns: i128,
}

impl WallClock {
    /// The clock of captures: their timestamps are the time of day.
    pub(crate) const UTC: Self = Self { offset_ns: 0 };

    /// A clock for timestamps of the epoch in which it was `now` when the time of day was `utc`.
    pub(crate) fn new(now: Timestamp, utc: SystemTime) -> Self {
        let since_1970 = match utc.duration_since(UNIX_EPOCH) {
            Ok(after) => nanoseconds(after),
            Err(before) => -nanoseconds(before.duration()),
        };
        Self { offset_ns: since_1970 - i128::from(now.0) }
    }

    /// The time of day, in UTC.
    pub(crate) fn utc(self, time: Timestamp) -> jiff::Timestamp {
        jiff::Timestamp::from_nanosecond(self.offset_ns + i128::from(time.0)).unwrap_or_default()
    }
}

fn nanoseconds(duration: Duration) -> i128 {
    // A `Duration` has at most 2^64 seconds, so its nanoseconds take 94 bits.
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests;
