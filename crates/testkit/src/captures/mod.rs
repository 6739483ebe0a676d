//! Captures with known answers: what no public capture shows, and how much of it there is.
//!
//! A [`Connection`] is a simulated TCP connection; its packets, alone or with those of others, are a
//! [`Capture`], which becomes a pcap or pcapng file in any [`Format`]. A [`Scenario`] is a capture and
//! what sni-probe must say of it, in the words of `docs/events.md`; [`all`] gives them.
//! [`mixed`] writes captures of any size, for measurements.
//!
//! The same call gives the same bytes.

mod connection;
mod format;
pub mod mixed;
mod packet;
mod scenario;
mod scenarios;
#[cfg(test)]
mod tests;

use std::io::Write;

use anyhow::Result;

pub use connection::{Connection, FragmentOrder};
pub use format::{ByteOrder, Container, Format, LinkType};
pub use scenario::{Expected, Scenario};
pub use scenarios::{all, fragments, openings, outcomes, records, segments, sizes};

/// When the captures begin: 2026-03-05T14:03:22Z, in nanoseconds since 1970.
pub const START_NS: u64 = 1_772_719_402_000_000_000;

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The end that opened the connection.
    Client,
    /// The end that accepted it.
    Gateway,
}

/// An IP packet and when it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedPacket {
    /// Nanoseconds since 1970.
    pub time_ns: u64,
    /// Who sent it.
    pub sender: Side,
    /// The packet from its IP header on.
    pub bytes: Vec<u8>,
}

/// A frame as a capture holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedFrame {
    /// Nanoseconds since 1970.
    pub time_ns: u64,
    /// The frame from its link layer's header on, cut at the snap length.
    pub bytes: Vec<u8>,
    /// Its length before it was cut, in bytes.
    pub wire_len: usize,
}

/// Packets in the order of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capture {
    packets: Vec<TimedPacket>,
    snap_len: Option<usize>,
}

impl Capture {
    /// What was seen of these connections. Packets of the same time keep the order of the connections.
    pub fn of<'a>(connections: impl IntoIterator<Item = &'a Connection>) -> Self {
        let packets = connections.into_iter().flat_map(|connection| connection.packets().iter().cloned());
        let mut packets: Vec<_> = packets.collect();
        packets.sort_by_key(|packet| packet.time_ns);
        Self { packets, snap_len: None }
    }

    /// Cuts each frame to so many bytes, its link layer's header included, as `tcpdump -s` does.
    #[must_use]
    pub fn snap_len(mut self, bytes: usize) -> Self {
        self.snap_len = Some(bytes);
        self
    }

    /// Leaves the first packets out, as a capture that began later.
    #[must_use]
    pub fn skip(mut self, count: usize) -> Self {
        self.packets.drain(..count);
        self
    }

    /// The packets, whole.
    pub fn packets(&self) -> &[TimedPacket] {
        &self.packets
    }

    /// The frames as they were seen on a link of this type.
    pub fn frames(&self, link_type: LinkType) -> impl Iterator<Item = TimedFrame> {
        self.packets.iter().map(move |packet| {
            let mut bytes = link_type.header(packet);
            bytes.extend_from_slice(&packet.bytes);
            let wire_len = bytes.len();
            bytes.truncate(self.snap_len.unwrap_or(wire_len));
            TimedFrame { time_ns: packet.time_ns, bytes, wire_len }
        })
    }

    /// Writes the capture as a file of this format.
    ///
    /// # Errors
    /// When the writer fails, or a frame is larger than the format allows.
    pub fn write(&self, format: Format, writer: &mut impl Write) -> Result<()> {
        writer.write_all(&format.header(self.snap_len)?)?;
        for frame in self.frames(format.link_type) {
            writer.write_all(&format.record(&frame)?)?;
        }
        Ok(())
    }

    /// The capture as the bytes of a file of this format.
    ///
    /// # Errors
    /// When a frame is larger than the format allows.
    pub fn to_bytes(&self, format: Format) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(format, &mut bytes)?;
        Ok(bytes)
    }
}
