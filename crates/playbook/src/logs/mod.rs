//! `logs`: what a gateway's access logs say of clients that were refused before they had a certificate.
//!
//! ```text
//! file ─▶ lines ─▶ scan: prefix, recognise (json, text, logfmt, programs) ─▶ LogEntry ─▶ counts ─▶ report ─▶ show
//!            └─▶ hints (what a file without entries looks like)                          │
//! events ─────────────────────────────────────────────────────────────────────────▶ join ┘
//! ```

mod client;
mod config;
mod counts;
mod entry;
mod failure;
mod fields;
mod flags;
mod hints;
mod join;
mod json;
mod lines;
mod logfmt;
mod nested;
mod prefix;
mod programs;
mod quoted;
mod recognise;
pub mod report;
mod scan;
mod show;
mod split;
mod tally;
mod text;
mod time;
mod utf16;

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, bail, ensure};
use sni_probe_terminal::Progress;
use sni_probe_terminal::units::counted;

pub use self::config::Config;
use self::counts::Counts;
use self::hints::Hints;
use self::lines::{Line, Lines};
use self::report::LogsReport;
use self::scan::Scanner;
use crate::COULD_NOT_RUN;
use crate::replay;

/// The answer is bad: a client was refused before there was a certificate.
const REFUSALS_FOUND: u8 = 1;

/// Lines between two looks at the clock, the signals and the terminal.
const LINES_AT_A_STRETCH: u64 = 4096;

/// Reads the logs, and prints what they come to.
///
/// # Errors
/// As [`read`]; and if what was found cannot be written.
pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    if config.files.iter().any(|file| lines::is_stdin(file)) && io::stdin().is_terminal() {
        bail!("no log on standard input: name its files, or pipe it in: {GET_A_LOG} | sni-probe logs -");
    }
    let interrupted = replay::interruptible()?;
    let report = read_until(config, &interrupted)?;
    print(config, &report)?;
    for unread in &report.unread {
        sni_probe_terminal::report(unread);
    }
    Ok(if !report.unread.is_empty() {
        ExitCode::from(COULD_NOT_RUN)
    } else if report.no_filter_chain > 0 {
        ExitCode::from(REFUSALS_FOUND)
    } else {
        ExitCode::SUCCESS
    })
}

/// There is nothing in the logs yet: the files are empty, or not written.
#[derive(Debug)]
pub struct NothingWritten(String);

impl fmt::Display for NothingWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NothingWritten {}

/// Reads the logs. What of them cannot be read is in the report's `unread`.
///
/// # Errors
/// If there is no entry at all: a file cannot be read, or is no access log; or if the events cannot be read. It is
/// [`NothingWritten`] if all files are empty or do not exist.
pub fn read(config: &Config) -> anyhow::Result<LogsReport> {
    read_until(config, &AtomicBool::new(false))
}

/// What gets a log.
const GET_A_LOG: &str =
    "kubectl -n apigee logs -l app=apigee-ingressgateway --all-containers --prefix --tail=-1";

/// What is said of a file that is none.
fn expected() -> String {
    format!(
        "expected is the log of Apigee's ingress, or of Envoy or Istio as text or JSON; get it by: {GET_A_LOG} > access.log"
    )
}

fn read_until(config: &Config, interrupted: &AtomicBool) -> anyhow::Result<LogsReport> {
    let mut reading = Reading::new(!config.events.is_empty());
    let mut unread = Vec::new();
    let (mut empty, mut nothing) = (Vec::new(), Vec::new());
    for file in &config.files {
        match reading.file(file, interrupted) {
            Ok(Contents::Entries) => {}
            Ok(Contents::Nothing) => nothing.push(shown_name(file)),
            Ok(Contents::Empty) => empty.push(shown_name(file)),
            Err(error) => unread.push(error.context(shown_name(file))),
        }
        if interrupted.load(Ordering::Relaxed) {
            break;
        }
    }
    let (mut report, waiting) = reading.counts.finish();
    report.files = config.files.iter().map(|file| file.display().to_string()).collect();
    report.lines = reading.lines;
    report.other_lines = reading.scanner.other_lines;
    if report.entries == 0 {
        let is_unwritten = unread.iter().all(is_not_there);
        return Err(match unread.into_iter().next() {
            Some(error) if is_unwritten => NothingWritten(format!("{error:#}")).into(),
            Some(error) => error,
            None if empty.is_empty() => NothingWritten(format!(
                "{}: blank, or an answer without entries; {}",
                nothing.join(", "),
                expected()
            ))
            .into(),
            None => NothingWritten(format!("{}: empty; {}", empty.join(", "), expected())).into(),
        });
    }
    report
        .notes
        .extend(empty.iter().map(|file| format!("{file} is empty: nothing has been written to it yet")));
    report.notes.extend(
        nothing
            .iter()
            .map(|file| format!("{file} is blank, or an answer without entries: nothing was logged")),
    );
    report.unread = unread.iter().map(|error| format!("{error:#}")).collect();
    if let Some(mut waiting) = waiting {
        for file in &config.events {
            waiting.read(file)?;
        }
        report.joined = Some(waiting.finish());
    }
    Ok(report)
}

/// Whether a file could not be read because it does not exist.
fn is_not_there(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::NotFound)
}

fn shown_name(file: &Path) -> String {
    if lines::is_stdin(file) { "standard input".to_owned() } else { file.display().to_string() }
}

/// What is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contents {
    /// Entries; or the reading was interrupted.
    Entries,
    /// Blank lines, or an answer of a log store that found nothing.
    Nothing,
    /// No line.
    Empty,
}

/// What is known of the files so far.
#[derive(Debug)]
struct Reading {
    counts: Counts,
    scanner: Scanner,
    lines: u64,
    entries: u64,
}

impl Reading {
    fn new(is_joined: bool) -> Self {
        Self { counts: Counts::new(is_joined), scanner: Scanner::default(), lines: 0, entries: 0 }
    }

    /// Reads a file.
    fn file(&mut self, path: &Path, interrupted: &AtomicBool) -> anyhow::Result<Contents> {
        let mut lines = Lines::open(path)?;
        let progress = Progress::new(&shown_name(path), lines.length());
        let before = (self.lines, self.entries);
        let mut hints = Hints::default();
        let result = self.lines(&mut lines, &progress, &mut hints, interrupted);
        self.scanner.finish();
        self.counts.end_file();
        result?;
        let (lines, entries) = (self.lines - before.0, self.entries - before.1);
        if entries > 0 || interrupted.load(Ordering::Relaxed) {
            return Ok(Contents::Entries);
        }
        // One that is empty was just put aside, or its gateway just started.
        if lines == 0 {
            return Ok(Contents::Empty);
        }
        ensure!(
            hints.has_nothing(),
            "no entry of an access log in {}; {}",
            counted(lines, "line"),
            hints.sentence().map_or_else(expected, |looks| format!("it looks like {looks}"))
        );
        Ok(Contents::Nothing)
    }

    fn lines(
        &mut self,
        lines: &mut Lines,
        progress: &Progress,
        hints: &mut Hints,
        interrupted: &AtomicBool,
    ) -> anyhow::Result<()> {
        while let Some(line) = lines.next_line()? {
            let Self { counts, entries, .. } = self;
            let is_piece = matches!(line, Line::Part(_));
            let (Line::Text(text) | Line::Part(text) | Line::LastPart(text)) = &line;
            hints.see(text);
            self.scanner.take(&line, &mut |entry, text| {
                *entries += 1;
                counts.add(entry, text);
            });
            self.lines += u64::from(!is_piece);
            if self.lines.is_multiple_of(LINES_AT_A_STRETCH) || is_piece {
                progress.set(lines.position());
                if interrupted.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
        Ok(())
    }
}

fn print(config: &Config, report: &LogsReport) -> anyhow::Result<()> {
    let mut text = if config.json {
        serde_json::to_string_pretty(report).context("cannot write the report as JSON")?
    } else {
        show::show(report, sni_probe_terminal::wants_colour(&io::stdout()))
    };
    if config.json {
        text.push('\n');
    }
    match io::stdout().write_all(text.as_bytes()) {
        // The reader has left.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

#[cfg(test)]
mod tests;
