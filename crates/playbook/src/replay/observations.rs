//! What is in one capture, for other verbs.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use sni_probe_core::observation::Observation;
use sni_probe_core::tracker::Fingerprints;
use sni_probe_core::vocabulary::Follow;
use sni_probe_pcap::Reader;
use sni_probe_terminal::Progress;

use super::session::Session;

/// As `--handshake-timeout` of `replay`.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Frames between two looks at the clock and the terminal.
const FRAMES_AT_A_STRETCH: u64 = 4096;

/// What was read of a capture.
#[derive(Debug)]
pub struct CaptureRead {
    /// Frames.
    pub frames: u64,
    /// Why it was not read to its end; what came before counts.
    pub cut: Option<String>,
    /// What was not read, in words with how many.
    pub not_read: Vec<(String, u64)>,
}

/// Reads a capture with the code of `replay`, on every port, and hands each observation to `take`.
///
/// # Errors
/// If it cannot be opened, is no capture, breaks off before its first frame, or has no frame that can be read.
pub fn observations(file: &Path, mut take: impl FnMut(&Observation)) -> anyhow::Result<CaptureRead> {
    let name = file.display().to_string();
    let mut reader = Reader::open(file).with_context(|| name.clone())?;
    let progress = Progress::new(&name, reader.length());
    let mut session = Session::on_ports(&[], HANDSHAKE_TIMEOUT, Follow::Handshake, Fingerprints::WithoutSni);
    session.next_file(&name);
    let cut = loop {
        match reader.next_record() {
            Ok(Some(record)) => {
                session.frame(&record);
            }
            Ok(None) => {
                if let Some(why) = session.why_unreadable() {
                    bail!("{name}: {why}");
                }
                break None;
            }
            Err(error) if session.frames() == 0 => return Err(error).context(name),
            Err(error) => break Some(error.to_string()),
        }
        publish(&mut session, &mut take);
        if session.frames().is_multiple_of(FRAMES_AT_A_STRETCH) {
            progress.set(reader.position());
        }
    };
    session.end_capture();
    publish(&mut session, &mut take);
    session.begin_capture();
    Ok(CaptureRead { frames: session.frames(), cut, not_read: session.not_read() })
}

fn publish(session: &mut Session, take: &mut impl FnMut(&Observation)) {
    while let Some(observation) = session.poll_observation() {
        take(&observation);
    }
}
