//! What is kept of one handshake, and its file.

use std::io;

use sni_probe_core::flow::Timestamp;
use sni_probe_core::observation::Handshake;
use sni_probe_pcap::{Interface, PacketToWrite, Writer};
use sni_probe_telemetry::events::{Format, Pods, Provenance, WallClock};

use super::file_name::FileName;
use super::holding::{HeldFlow, is_complete};
use super::packet::{LINK_TYPE, Packet, Rebuilt};

/// On the file, so that nobody takes it for what was on the wire.
const NOTE: &str = "\
Rebuilt from what sni-probe copied of a handshake that failed; this is no raw capture. \
As on the wire: addresses, ports, sequence and acknowledgement numbers, flags, lengths, times, and payload (the client's \
first 16 KiB; the first 256 bytes of each segment of the answer). \
Filled in, for it is not known: TTL 64, window 65535, no IP or TCP options, no link layer; checksums are calculated. \
Not here: the SYN,ACK, packets without payload but for FIN and RST, and all that came after the outcome.";

const NOTE_ON_MISSING_PACKETS: &str = " Packets are missing besides: there was no room for all of them.";

const NOTE_ON_SYN: &str = "Rebuilt from its sequence number; its time and options are not known.";

const NOTE_ON_FIN: &str = "Rebuilt: the gateway had closed or reset the connection before the client sent data; when, \
and with which number, is not known.";

/// A handshake that failed, with its packets.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: FileName,
    interface: String,
    /// What an event line for people says.
    summary: String,
    clock: WallClock,
    packets: Vec<Packet>,
    is_complete: bool,
    /// See [`Case::size`].
    bytes: usize,
}

impl Case {
    pub(super) fn new(handshake: &Handshake, interface: &str, clock: WallClock, held: HeldFlow) -> Self {
        let mut line = Vec::new();
        Format::Text { colour: false }.line(
            &mut line,
            Provenance::Interface { name: interface, pods: &Pods::default() },
            handshake,
            clock,
        );
        Self {
            name: FileName::new(handshake, clock),
            interface: interface.to_owned(),
            summary: String::from_utf8_lossy(&line).trim_end().to_owned(),
            clock,
            is_complete: is_complete(&held),
            bytes: held.bytes(),
            packets: held.packets,
        }
    }

    /// Bytes of memory that it takes, about.
    pub(super) fn size(&self) -> usize {
        self.bytes
    }

    /// The file.
    ///
    /// # Errors
    /// None that can be: the writer has all it takes.
    pub(super) fn to_pcapng(&self) -> io::Result<Vec<u8>> {
        let missing = if self.is_complete { "" } else { NOTE_ON_MISSING_PACKETS };
        let mut writer = Writer::new(Vec::new(), Some(&format!("{NOTE}{missing}\n{}", self.summary)))?;
        let interface = writer.add_interface(&Interface::new(LINK_TYPE, 0, Some(self.interface.clone())))?;
        let mut write = |packet: &Rebuilt, time_ns, comment| {
            let Rebuilt { bytes, wire_len } = packet;
            writer.write_packet(&PacketToWrite { interface, time_ns, wire_len: *wire_len, bytes, comment })
        };
        let mut summary = Some(self.summary.as_str());
        for packet in &self.packets {
            let time_ns = self.time_ns(packet);
            if summary.is_some()
                && let Some(syn) = packet.syn()
            {
                write(&syn, time_ns, Some(NOTE_ON_SYN))?;
            }
            if let Some(fin) = packet.gateway_fin() {
                write(&fin, time_ns, Some(NOTE_ON_FIN))?;
            }
            write(&packet.rebuild(), time_ns, summary.take())?;
        }
        writer.finish()
    }

    /// Nanoseconds since 1970.
    fn time_ns(&self, packet: &Packet) -> u64 {
        let time = self.clock.utc(Timestamp(packet.time_ns()));
        u64::try_from(time.as_nanosecond()).unwrap_or_default()
    }
}
