//! Events: a line for each handshake on stdout, for people or for programs, and in a file.
//!
//! ```text
//! Handshake ─▶ filter ─▶ rate limit ─▶ line (text or JSON) ─▶ pump ─▶ stdout, file
//! ```
//!
//! [`Format::line`] makes the lines. The daemon never waits for who takes them: they are handed over, a batch at a
//! time, to a thread that writes them ([`pump`]). A reader of stdout that is too slow loses lines, and one that goes away loses
//! all further lines. Both are counted.

mod config;
mod file;
mod filter;
pub mod json;
mod pump;
mod rate_limit;
pub mod text;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use sni_probe_core::flow::Timestamp;
use sni_probe_core::observation::Handshake;

pub use self::config::{EventsConfig, EventsFile, StdoutFormat};
use self::file::RotatingFile;
pub use self::filter::EventsFilter;
use self::pump::{Progress, Pump};
use self::rate_limit::RateLimit;

/// Bytes of lines that wait to be written, of each output; about 6,000 lines of JSON.
const MAX_PENDING_BYTES: usize = 4 * 1024 * 1024;

/// Writes a line for each handshake that the filter lets through, or nothing if events are off.
#[derive(Debug)]
pub struct EventWriter {
    filter: EventsFilter,
    rate_limit: RateLimit,
    outputs: Vec<Output>,
    dropped: DroppedLines,
}

/// Lines that were not written since the last flush.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DroppedLines {
    /// Those before them still wait for the reader, or the disk.
    pub slow_reader: u64,
    /// There were more than `--events-rate` in a second.
    pub rate_limit: u64,
    /// The file could not be written to.
    pub write_failed: u64,
    /// Standard output is closed: its reader has ended, or a write failed.
    pub closed: u64,
}

#[derive(Debug)]
struct Output {
    /// For messages.
    name: String,
    format: Format,
    /// Whole lines since the last flush.
    batch: Vec<u8>,
    has_warned: bool,
    pump: Pump,
    /// Whether the sink has failed. Lines are then counted, and not made.
    is_closed: bool,
    progress: Arc<Progress>,
    /// Lines that the file could not take.
    lost_lines: Arc<AtomicU64>,
}

/// Where a handshake was seen.
#[derive(Clone, Copy, Debug)]
pub enum Provenance<'a> {
    /// On an interface.
    Interface {
        /// Its name.
        name: &'a str,
        /// Whose the addresses are.
        pods: &'a Pods,
    },
    /// In a capture.
    Capture {
        /// Its name as the user gave it.
        file: &'a str,
        /// Number of the frame, from 1.
        frame: u64,
        /// The names in the gateway's certificate; empty if it is encrypted (TLS 1.3) or was not seen.
        certificate_names: &'a [String],
    },
}

/// The pods that have a handshake's addresses, as "namespace/name", with `--kube` and if they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pods {
    /// Of the client.
    pub client: Option<Arc<str>>,
    /// Of the gateway.
    pub gateway: Option<Arc<str>>,
}

/// The form of a line.
#[derive(Clone, Copy, Debug)]
pub enum Format {
    /// For people.
    Text {
        /// Whether with escape sequences.
        colour: bool,
    },
    /// For programs.
    Json {
        /// Whether with the ClientHello's random.
        client_random: bool,
    },
}

impl Format {
    /// Appends the handshake as one line.
    pub fn line(self, batch: &mut Vec<u8>, source: Provenance<'_>, handshake: &Handshake, clock: WallClock) {
        match self {
            Self::Json { client_random } => json::write(batch, source, handshake, clock, client_random),
            Self::Text { colour } => text::write(batch, source, handshake, clock, colour),
        }
    }
}

impl EventWriter {
    /// A writer with these settings.
    /// The threads that write give up their privileges by `drop_privileges`.
    ///
    /// # Errors
    /// If stdout is not open, the file cannot be written to, or no thread is to be had.
    pub fn open(config: &EventsConfig, drop_privileges: fn() -> io::Result<()>) -> anyhow::Result<Self> {
        let mut outputs = Vec::new();
        let json = Format::Json { client_random: config.client_random };
        let format = config.stdout.map(|format| match format {
            StdoutFormat::Text => Format::Text { colour: sni_probe_terminal::wants_colour(&io::stdout()) },
            StdoutFormat::Json => json,
        });
        if let Some(format) = format {
            // Not `io::Stdout`, whose buffer would split batches into several writes.
            let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
            let output = stdout.and_then(|stdout| {
                Output::new("standard output", format, stdout, Arc::default(), drop_privileges)
            });
            outputs.push(output.context("cannot write events to stdout")?);
        }
        if let Some(EventsFile { path, max_bytes }) = &config.file {
            let name = path.display().to_string();
            let lost_lines = Arc::default();
            let file = RotatingFile::open(path, *max_bytes, Arc::clone(&lost_lines));
            let output = file.and_then(|file| Output::new(&name, json, file, lost_lines, drop_privileges));
            outputs.push(output.with_context(|| {
                format!("cannot write events to {name}; choose another file with --events-file")
            })?);
        }
        Ok(Self::new(config.filter.clone(), config.rate, outputs))
    }

    fn new(filter: EventsFilter, rate: u32, outputs: Vec<Output>) -> Self {
        Self { filter, rate_limit: RateLimit::new(rate), outputs, dropped: DroppedLines::default() }
    }

    /// Adds a line that became known at `now`. It is written with the next [`EventWriter::flush`].
    pub fn handshake(
        &mut self,
        source: Provenance<'_>,
        handshake: &Handshake,
        clock: WallClock,
        now: Timestamp,
    ) {
        if self.outputs.is_empty() || !self.filter.passes(handshake) {
            return;
        }
        if !self.rate_limit.admits(now) {
            self.dropped.rate_limit += 1;
            return;
        }
        for output in &mut self.outputs {
            if output.is_closed {
                self.dropped.closed += 1;
            } else if output.progress.pending() + output.batch.len() >= MAX_PENDING_BYTES {
                self.dropped.slow_reader += 1;
            } else {
                output.format.line(&mut output.batch, source, handshake, clock);
            }
        }
    }

    /// Hands the lines over to be written, all in one. Never waits.
    ///
    /// Returns how many lines were dropped since the last flush.
    #[must_use = "what is not written is to be counted"]
    pub fn flush(&mut self) -> DroppedLines {
        let mut dropped = std::mem::take(&mut self.dropped);
        for output in &mut self.outputs {
            if dropped.slow_reader > 0 && !output.has_warned && output.progress.pending() > 0 {
                output.has_warned = true;
                tracing::warn!("events are dropped: the reader of {} is too slow", output.name);
            }
            output.flush();
            count_lost(&output.progress, &output.lost_lines, &mut dropped);
        }
        dropped
    }

    /// Flushes, and waits for the lines to be written, but not longer than `patience`.
    ///
    /// Returns the same as [`EventWriter::flush`].
    #[must_use = "what is not written is to be counted"]
    pub fn finish(mut self, patience: Duration) -> DroppedLines {
        let mut dropped = self.flush();
        for output in self.outputs {
            let Output { pump, progress, lost_lines, .. } = output;
            pump.finish(patience);
            count_lost(&progress, &lost_lines, &mut dropped);
        }
        dropped
    }
}

impl Output {
    fn new(
        name: &str,
        format: Format,
        sink: impl Write + Send + 'static,
        lost_lines: Arc<AtomicU64>,
        drop_privileges: fn() -> io::Result<()>,
    ) -> io::Result<Self> {
        let pump = Pump::start(sink, drop_privileges)?;
        let progress = Arc::clone(pump.progress());
        Ok(Self {
            name: name.to_owned(),
            format,
            batch: Vec::new(),
            has_warned: false,
            pump,
            is_closed: false,
            progress,
            lost_lines,
        })
    }

    /// Hands the batch to the thread, and notes whether the sink has failed.
    fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.pump.send(&mut self.batch);
        }
        if !self.is_closed && self.progress.is_closed() {
            self.is_closed = true;
            tracing::warn!(
                "{} is closed, so its events are off; sni_probe_event_lines_dropped_total{{reason=\"closed\"}} counts \
                 the lines",
                self.name
            );
        }
    }
}

/// Adds the lines that the thread could not write since the last call.
fn count_lost(progress: &Progress, lost_lines: &AtomicU64, dropped: &mut DroppedLines) {
    dropped.write_failed += lost_lines.swap(0, Ordering::Relaxed);
    dropped.closed += progress.take_unwritten_lines();
}

/// Tells the time of day of a [`Timestamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    /// Nanoseconds from 1970 to the epoch of the timestamps.
    offset_ns: i128,
}

impl WallClock {
    /// The clock of captures: their timestamps are the time of day.
    pub const UTC: Self = Self { offset_ns: 0 };

    /// A clock for timestamps of the epoch in which it was `now` when the time of day was `utc`.
    pub fn new(now: Timestamp, utc: SystemTime) -> Self {
        let since_1970 = match utc.duration_since(UNIX_EPOCH) {
            Ok(after) => nanoseconds(after),
            Err(before) => -nanoseconds(before.duration()),
        };
        Self { offset_ns: since_1970 - i128::from(now.0) }
    }

    /// This clock, or `newer` if that differs by more than reading two clocks one after the other explains: somebody has
    /// set the time. So the same event has the same time in two answers.
    #[must_use]
    pub fn followed_by(self, newer: Self) -> Self {
        const JITTER_NS: u128 = 10_000_000;
        if self.offset_ns.abs_diff(newer.offset_ns) > JITTER_NS { newer } else { self }
    }

    /// The time of day, in UTC.
    pub fn utc(self, time: Timestamp) -> jiff::Timestamp {
        jiff::Timestamp::from_nanosecond(self.offset_ns + i128::from(time.0)).unwrap_or_default()
    }
}

fn nanoseconds(duration: Duration) -> i128 {
    // A `Duration` has at most 2^64 seconds, so its nanoseconds take 94 bits.
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests;
