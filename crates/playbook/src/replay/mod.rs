//! `replay`: captures through the code that runs live.
//!
//! ```text
//! file ─▶ capture_file::Reader ─▶ core::replay ─▶ Observation ─▶ selection ─▶ report: lines, summary, metrics
//!                   └──────────────────────────────────────────────────────▶ evidence (--write)
//! ```

mod certificates;
mod config;
mod evidence;
mod facts;
mod observations;
mod report;
mod segment;
mod selection;
mod session;
mod summary;
mod unread;

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, anyhow};
use signal_hook::consts::SIGINT;
use signal_hook::flag;
use sni_probe_core::flow::Timestamp;
use sni_probe_core::observation::Observation;
use sni_probe_pcap::Reader;
use sni_probe_pcap::engine::FrameContents;
use sni_probe_terminal::Progress;

use self::certificates::CertificateNames;
pub use self::config::{Config, Format};
use self::evidence::{PacketSelection, PacketSelectionCounts};
pub use self::observations::observations;
use self::report::Report;
use self::session::Session;
use crate::COULD_NOT_RUN;

/// The answer is bad: see `--fail-on-reset`.
const REFUSED: u8 = 1;
/// What a shell says of a program that SIGINT ended.
const INTERRUPTED: u8 = 130;
/// Frames between two looks at the clock, the signals and the terminal.
const FRAMES_AT_A_STRETCH: u64 = 4096;

/// Why reading a file ended early.
enum Failure {
    /// The file is bad: the next one may be good.
    Input(anyhow::Error),
    /// Nobody reads the lines any more.
    Closed,
    /// What is to be written cannot be.
    Output(anyhow::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Closed
        } else {
            Self::Output(anyhow::Error::new(error).context("cannot write to standard output"))
        }
    }
}

/// Reads the captures, and prints what is in them.
///
/// # Errors
/// If nothing can be read, or what was found cannot be written. A file that cannot be read, or has no frame that can be
/// read, is reported on stderr, does not hinder the others, and shows in the exit code.
pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let interrupted = interruptible()?;
    let report = Report::new(config)?;
    let session = Session::new(config, report.fingerprints());
    let mut replay = Replay {
        report,
        session,
        certificates: None,
        evidence: None,
        interrupted,
        is_broken: false,
        fail_on_reset: config.fail_on_reset,
    };
    replay.certificates = replay.report.shows_certificates().then(CertificateNames::default);
    if let Some(path) = &config.write {
        replay.evidence = Some(PacketSelection::new(path, &config.files, config.handshake_timeout)?);
    }
    for file in &config.files {
        match replay.read(file) {
            Ok(()) => {}
            Err(Failure::Input(error)) => {
                replay.report.flush()?;
                sni_probe_terminal::report(&format!("{error:#}"));
                replay.is_broken = true;
            }
            Err(Failure::Closed) => return Ok(replay.exit_code()),
            Err(Failure::Output(error)) => return Err(error),
        }
        if replay.interrupted.load(Ordering::Relaxed) {
            break;
        }
    }
    let code = replay.exit_code();
    match replay.finish() {
        Ok(code) => Ok(code),
        Err(Failure::Closed) => Ok(code),
        Err(Failure::Input(error) | Failure::Output(error)) => Err(error),
    }
}

/// The first SIGINT ends the reading, and what was read is told; the second ends the program.
pub fn interruptible() -> anyhow::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    flag::register_conditional_shutdown(SIGINT, i32::from(INTERRUPTED), Arc::clone(&interrupted))
        .and_then(|_| flag::register(SIGINT, Arc::clone(&interrupted)))
        .context("cannot handle SIGINT")?;
    Ok(interrupted)
}

struct Replay {
    report: Report,
    session: Session,
    certificates: Option<CertificateNames>,
    evidence: Option<PacketSelection>,
    interrupted: Arc<AtomicBool>,
    /// A file could not be read, or not to its end.
    is_broken: bool,
    fail_on_reset: bool,
}

impl Replay {
    fn read(&mut self, file: &Path) -> Result<(), Failure> {
        let is_stdin = Config::is_stdin(file);
        let name = if is_stdin { "standard input".to_owned() } else { file.display().to_string() };
        let opened = if is_stdin { Reader::from_stream(io::stdin()) } else { Reader::open(file) };
        let mut reader = opened.with_context(|| name.clone()).map_err(Failure::Input)?;
        let progress = Progress::new(&name, reader.length());
        self.session.next_file(if is_stdin { "-" } else { &name });
        if let Some(evidence) = &mut self.evidence {
            evidence.next_file();
        }
        loop {
            // A pipe may have nothing more for a while.
            if is_stdin && reader.is_drained() {
                progress.suspend(|| self.report.flush())?;
            }
            match self.step(&mut reader) {
                Ok(true) => {}
                Ok(false) => {
                    let why = self.session.why_unreadable().map(|why| anyhow!("{name}: {why}"));
                    return why.map_or(Ok(()), |why| Err(Failure::Input(why)));
                }
                Err(Failure::Input(error)) => return Err(Failure::Input(error.context(name))),
                Err(failure) => return Err(failure),
            }
            if self.report.is_full() {
                progress.suspend(|| self.report.flush())?;
            }
            if self.session.frames().is_multiple_of(FRAMES_AT_A_STRETCH) {
                progress.set(reader.position());
                if self.interrupted.load(Ordering::Relaxed) {
                    return Ok(());
                }
            }
        }
    }

    /// Takes a frame; `false` at the end of the file.
    fn step(&mut self, reader: &mut Reader) -> Result<bool, Failure> {
        let Self { report, session, certificates, evidence, .. } = self;
        let record = match reader.next_record() {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(false),
            Err(error) => return Err(Failure::Input(error.into())),
        };
        if session.is_another_capture(record.time_ns) {
            end_capture(session, report, certificates, evidence)?;
        }
        let number = session.frames() + 1;
        let now = session.time().unwrap_or(Timestamp(record.time_ns));
        let FrameContents { unwrapped, event } = session.frame(&record);
        if let Some(certificates) = certificates {
            certificates.take(&unwrapped, event.as_ref());
        }
        if let Some(evidence) = evidence {
            evidence.take(number, now, &record, &unwrapped, event.as_ref()).map_err(Failure::Output)?;
        }
        publish(session, report, certificates, evidence)?;
        Ok(true)
    }

    /// Ends what is open, and prints what all captures come to.
    fn finish(mut self) -> Result<ExitCode, Failure> {
        let Self { report, session, certificates, evidence, .. } = &mut self;
        end_capture(session, report, certificates, evidence)?;
        if let Some(evidence) = self.evidence.take() {
            let PacketSelectionCounts { given_up, incomplete, .. } =
                evidence.finish().map_err(Failure::Output)?;
            if given_up > 0 || incomplete > 0 {
                tracing::warn!(
                    given_up,
                    incomplete,
                    "--write: not all packets could be held until their handshake had ended"
                );
            }
        }
        if let Some(no_room @ 1..) = self.certificates.as_ref().map(CertificateNames::no_room) {
            tracing::warn!(
                no_room,
                "the certificates of this many handshakes were not read: too many at once"
            );
        }
        if let Some(metrics) = self.report.metrics() {
            self.session.count(metrics);
        }
        let code = self.exit_code();
        self.report.finish(&self.session.totals())?;
        Ok(code)
    }

    /// What is to be told by the exit code so far.
    fn exit_code(&self) -> ExitCode {
        if self.is_broken {
            ExitCode::from(COULD_NOT_RUN)
        } else if self.report.refused_without_sni() && self.fail_on_reset {
            ExitCode::from(REFUSED)
        } else {
            ExitCode::SUCCESS
        }
    }
}

/// Gives what is open its outcome, and begins anew.
fn end_capture(
    session: &mut Session,
    report: &mut Report,
    certificates: &mut Option<CertificateNames>,
    evidence: &mut Option<PacketSelection>,
) -> Result<(), Failure> {
    session.end_capture();
    publish(session, report, certificates, evidence)?;
    if let Some(certificates) = certificates {
        certificates.clear();
    }
    session.begin_capture();
    Ok(())
}

/// Hands what was seen to the report, and settles whose packets are written.
fn publish(
    session: &mut Session,
    report: &mut Report,
    certificates: &mut Option<CertificateNames>,
    evidence: &mut Option<PacketSelection>,
) -> Result<(), Failure> {
    while let Some(observation) = session.poll_observation() {
        let flow = match &observation {
            Observation::Handshake(handshake) => Some(&handshake.flow),
            Observation::NonTls { flow, .. } | Observation::Unclassified { flow, .. } => Some(flow),
            Observation::ClientHello { .. } | Observation::Evicted { .. } => None,
        };
        let names = certificates.as_mut().zip(flow).map(|(certificates, flow)| certificates.settle(flow));
        let names = names.unwrap_or_default();
        let is_selected = report.observe(&observation, &names, |place| session.place(place));
        if let (Some(evidence), Some(flow)) = (evidence.as_mut(), flow) {
            evidence.settle(flow, is_selected).map_err(Failure::Output)?;
        }
    }
    Ok(())
}
