//! A capture as large as one likes, of traffic as a gateway sees it, written as it is made.
//!
//! TLS connections from SYN to answer, thousands of them at once; and between them what else is on the
//! wire: application data of connections that were there before, HTTP, DNS. One in eight has IPv6, one in
//! sixteen a VLAN tag; one hello in three is post-quantum, in two segments.
//!
//! The same [`Mix`] gives the same bytes. Frames are patched together from templates, whose checksums are
//! sums that are known beforehand: a gigabyte takes seconds, also without optimisation.

mod checksum;
mod frames;
mod payloads;
mod random;
#[cfg(test)]
mod tests;
mod traffic;

use std::io::{self, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::frames::Frames;
use self::traffic::Traffic;
use super::Format;

/// Goes up when the same [`Mix`] no longer gives the same bytes.
pub const VERSION: u32 = 1;

/// How long the capture goes on: its frames are spread over this time by their sizes.
pub const DURATION: Duration = Duration::from_mins(10);

/// Bytes that are written at once.
const BATCH: usize = 1 << 20;

/// What a capture is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mix {
    /// Bytes of the file. A little more, by at most a few frames; more, if the hellos need it.
    pub bytes: u64,
    /// ClientHellos, one for each TLS connection that begins.
    pub hellos: u64,
    /// Those of them that have no SNI, and are answered with RST. All others get a ServerHello.
    pub without_sni: u64,
}

impl Default for Mix {
    fn default() -> Self {
        Self { bytes: 1_000_000_000, hellos: 500_000, without_sni: 4_000 }
    }
}

impl Mix {
    /// The same mix, this many times smaller.
    #[must_use]
    pub fn divided_by(self, divisor: u64) -> Self {
        Self {
            bytes: self.bytes / divisor,
            hellos: self.hellos / divisor,
            without_sni: self.without_sni / divisor,
        }
    }
}

/// What a capture has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// Bytes of the file.
    pub bytes: u64,
    /// Frames.
    pub packets: u64,
    /// ClientHellos.
    pub hellos: u64,
    /// Hellos without SNI. Each was reset by the gateway; each other one was answered.
    pub without_sni: u64,
    /// Hellos in two segments. Each of them is post-quantum.
    pub in_two_segments: u64,
    /// HTTP connections that began on port 80.
    pub http: u64,
}

/// Writes a capture (pcap, microseconds, Ethernet). `progress` hears from time to time how many bytes there are.
///
/// # Errors
/// When the writer fails.
///
/// # Panics
/// When more hellos are to have no SNI than there are.
pub fn write(mix: &Mix, writer: &mut impl Write, mut progress: impl FnMut(u64)) -> io::Result<Truth> {
    assert!(mix.without_sni <= mix.hellos, "more hellos without SNI than hellos");
    let header = Format::PCAP.header(None).map_err(io::Error::other)?;
    let mut frames = Frames::new(header, mix.bytes);
    let mut traffic = Traffic::new(*mix);
    while traffic.step(&mut frames) {
        if frames.batch.len() >= BATCH {
            writer.write_all(&frames.batch)?;
            frames.batch.clear();
            progress(frames.written);
        }
    }
    writer.write_all(&frames.batch)?;
    writer.flush()?;
    Ok(Truth { bytes: frames.written, packets: frames.count, ..traffic.truth })
}
