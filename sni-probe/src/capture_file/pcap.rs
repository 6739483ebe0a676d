//! The older format: a header, then packets one after the other.
//!
//! The packets' headers are read here and not by pcap-parser, which does not know that old versions
//! have the two lengths the other way round.

use pcap_parser::parse_pcap_header;

use super::byte_order::ByteOrder;
use super::clock::Clock;
use super::error::{Problem, damaged};
use super::input::Input;
use super::{Interface, MAX_BLOCK_BYTES, Packet};

const FILE_HEADER_BYTES: usize = 24;
const PACKET_HEADER_BYTES: usize = 16;
/// In the header of each packet of a file of the modified kind (of Linux 2.2's patched libpcap), at its
/// end.
const MODIFIED_EXTRA_BYTES: usize = 8;

/// A pcap file from behind its header.
pub(super) struct Pcap {
    order: ByteOrder,
    lengths: Lengths,
    packet_header_bytes: usize,
    nanoseconds_per_tick: u64,
    link_type: u16,
}

/// Order of the two lengths of a packet.
#[derive(Clone, Copy)]
enum Lengths {
    CapturedFirst,
    /// Before version 2.3.
    WireFirst,
    /// In version 2.3 either: the shorter one is what was captured.
    Either,
}

/// The header of a packet.
struct Header {
    seconds: u32,
    ticks: u32,
    captured: usize,
    wire_len: u32,
}

/// Whether a file that begins like this is one that [`Pcap::open`] knows.
pub(super) fn is_magic(magic: [u8; 4]) -> bool {
    // Microseconds, nanoseconds, modified; of the last one pcap-parser knows one byte order.
    matches!(u32::from_le_bytes(magic), 0xa1b2_c3d4 | 0xd4c3_b2a1 | 0xa1b2_3c4d | 0x4d3c_b2a1 | 0xa1b2_cd34)
}

impl Pcap {
    /// Reads the file's header.
    pub(super) fn open(input: &mut Input) -> Result<(Self, Interface), Problem> {
        input.require(FILE_HEADER_BYTES)?;
        let (_, header) =
            parse_pcap_header(input.available()).map_err(|_| damaged("no header of a pcap file"))?;
        let lengths = match (header.version_major, header.version_minor) {
            (2, 0..=2) => Lengths::WireFirst,
            (2, 3) => Lengths::Either,
            (2, _) => Lengths::CapturedFirst,
            (major, minor) => {
                return Err(damaged(format_args!("pcap version {major}.{minor} is not known")));
            }
        };
        // The upper bits say whether frames end in a check sequence, and how long it is.
        let [low, high, ..] = header.network.0.to_le_bytes();
        let link_type = u16::from_le_bytes([low, high]);
        let extra = if header.is_modified_format() { MODIFIED_EXTRA_BYTES } else { 0 };
        input.consume(FILE_HEADER_BYTES);
        let pcap = Self {
            order: if header.is_bigendian() { ByteOrder::Big } else { ByteOrder::Little },
            lengths,
            packet_header_bytes: PACKET_HEADER_BYTES + extra,
            nanoseconds_per_tick: if header.is_nanosecond_precision() { 1 } else { 1_000 },
            link_type,
        };
        let interface =
            Interface { link_type, snap_len: header.snaplen, name: None, clock: Clock::NANOSECONDS };
        Ok((pcap, interface))
    }

    #[inline]
    pub(super) fn next(&self, input: &mut Input) -> Result<Option<Packet>, Problem> {
        loop {
            let Some(header) = self.header(input.available()) else {
                if !refill(input)? {
                    return Ok(None);
                }
                continue;
            };
            if header.captured > MAX_BLOCK_BYTES {
                return Err(damaged(format_args!("a packet of {} bytes", header.captured)));
            }
            let length = self.packet_header_bytes + header.captured;
            if input.available().len() < length {
                input.require(length)?;
            }
            let packet = Packet {
                // Cannot overflow, the fields are of 32 bits.
                time_ns: u64::from(header.seconds) * 1_000_000_000
                    + u64::from(header.ticks) * self.nanoseconds_per_tick,
                interface: 0,
                link_type: self.link_type,
                wire_len: header.wire_len,
                bytes: input.range(self.packet_header_bytes, header.captured),
            };
            input.consume(length);
            return Ok(Some(packet));
        }
    }

    #[inline]
    pub(super) fn is_drained(&self, input: &Input) -> bool {
        let available = input.available();
        let header = self.header(available);
        header.is_none_or(|header| available.len() < self.packet_header_bytes + header.captured)
    }

    /// `None` if there are too few bytes.
    #[inline]
    fn header(&self, bytes: &[u8]) -> Option<Header> {
        let head = bytes.first_chunk::<PACKET_HEADER_BYTES>()?;
        let lengths = (self.order.u32_at(head, 8), self.order.u32_at(head, 12));
        let (captured, wire_len) = match self.lengths {
            Lengths::CapturedFirst => lengths,
            Lengths::WireFirst => (lengths.1, lengths.0),
            Lengths::Either => (lengths.0.min(lengths.1), lengths.0.max(lengths.1)),
        };
        Some(Header {
            seconds: self.order.u32_at(head, 0),
            ticks: self.order.u32_at(head, 4),
            captured: captured as usize,
            wire_len,
        })
    }
}

/// Gets the header of a packet. `false` if the file ends before it.
#[cold]
fn refill(input: &mut Input) -> Result<bool, Problem> {
    if input.fill(PACKET_HEADER_BYTES)? {
        return Ok(true);
    }
    if input.available().is_empty() { Ok(false) } else { Err(Problem::EndsInside) }
}
