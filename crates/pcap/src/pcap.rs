//! The older format: a header, then packets one after the other.
//!
//! The headers are read here and not by pcap-parser, which does not know that old versions have the two lengths the
//! other way round, nor the variants with longer packet headers.

use super::byte_order::ByteOrder;
use super::clock::Clock;
use super::error::{Problem, damaged};
use super::input::Input;
use super::magic::PcapMagic;
use super::{Interface, MAX_BLOCK_BYTES, Packet};

const FILE_HEADER_BYTES: usize = 24;
const PACKET_HEADER_BYTES: usize = 16;

/// Longest packet that is expected of a file with a shorter snap length.
const MAX_USUAL_PACKET: usize = 256 * 1024;

/// Bytes that are looked at for each of these packets, if the first look does not tell.
const FIRST_LOOK_BYTES: usize = 2_048;

/// Packets that are looked at to tell the variant.
const PACKETS_TO_TELL: usize = 8;

/// A pcap file from behind its header.
pub(super) struct Pcap {
    order: ByteOrder,
    lengths: Lengths,
    packet_header_bytes: usize,
    /// The extra bytes that packet headers may have, until the first packet was read.
    variants: &'static [usize],
    nanoseconds_per_tick: u64,
    snap_len: u32,
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

/// Whether packet headers of some length make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    None,
    /// In the part of the file that is there, which ends in the first packet or in a header.
    InPart,
    Whole,
}

impl Pcap {
    /// Reads the file's header.
    pub(super) fn open(input: &mut Input) -> Result<(Self, Interface), Problem> {
        input.require(FILE_HEADER_BYTES)?;
        let header = input.available().first_chunk::<FILE_HEADER_BYTES>().ok_or(Problem::EndsInside)?;
        let magic = PcapMagic::read([header[0], header[1], header[2], header[3]]);
        let PcapMagic { order, nanoseconds_per_tick, variants } =
            magic.ok_or_else(|| damaged("no header of a pcap file"))?;
        let lengths = match (order.u16_at(header, 4), order.u16_at(header, 6)) {
            (2, 0..=2) => Lengths::WireFirst,
            (2, 3) => Lengths::Either,
            (2, _) => Lengths::CapturedFirst,
            (major, minor) => {
                return Err(damaged(format_args!("pcap version {major}.{minor} is not known")));
            }
        };
        let snap_len = order.u32_at(header, 16);
        // The upper bits say whether frames end in a check sequence, and how long it is.
        let [low, high, ..] = order.u32_at(header, 20).to_le_bytes();
        let link_type = u16::from_le_bytes([low, high]);
        input.consume(FILE_HEADER_BYTES);
        let packet_header_bytes = PACKET_HEADER_BYTES + variants[0];
        let pcap =
            Self { order, lengths, packet_header_bytes, variants, nanoseconds_per_tick, snap_len, link_type };
        let interface = Interface { link_type, snap_len, name: None, clock: Clock::NANOSECONDS };
        Ok((pcap, interface))
    }

    #[inline]
    pub(super) fn next(&mut self, input: &mut Input) -> Result<Option<Packet>, Problem> {
        loop {
            let Some(header) = self.header(input.available()) else {
                if !refill(input)? {
                    return Ok(None);
                }
                continue;
            };
            if !self.variants.is_empty() {
                self.tell_variant(input)?;
                continue;
            }
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
        let header = self.header(available).filter(|_| self.variants.is_empty());
        header.is_none_or(|header| available.len() < self.packet_header_bytes + header.captured)
    }

    /// Finds out how long the headers of packets are, by the first of them. Where they do not tell, it is the usual length.
    #[cold]
    fn tell_variant(&mut self, input: &mut Input) -> Result<(), Problem> {
        let variants = std::mem::take(&mut self.variants);
        loop {
            match self.fit(input.available(), variants[0]) {
                // A stream that has given a part has the rest.
                Fit::InPart if input.fill(input.available().len() + 1)? => {}
                // In part: the file was cut. (One packet of a variant looks the same.)
                Fit::Whole | Fit::InPart => return Ok(()),
                Fit::None => break,
            }
        }
        input.fill(PACKETS_TO_TELL * FIRST_LOOK_BYTES)?;
        let fits = |&&extra: &&usize| self.fit(input.available(), extra) == Fit::Whole;
        let found = variants[1..].iter().find(fits);
        self.packet_header_bytes = PACKET_HEADER_BYTES + found.unwrap_or(&variants[0]);
        Ok(())
    }

    /// Whether packets with so many extra bytes in their headers make sense in the bytes that are there.
    fn fit(&self, mut bytes: &[u8], extra: usize) -> Fit {
        let ticks_per_second = 1_000_000_000 / self.nanoseconds_per_tick;
        // Some writers leave the snap length at 0, or exceed it a little.
        let most =
            if self.snap_len == 0 { MAX_BLOCK_BYTES } else { (self.snap_len as usize).max(MAX_USUAL_PACKET) };
        for packet in 0..PACKETS_TO_TELL {
            let Some(header) = self.header(bytes) else {
                return if bytes.is_empty() { Fit::Whole } else { Fit::InPart };
            };
            let makes_sense = u64::from(header.ticks) < ticks_per_second
                && header.captured <= most.min(MAX_BLOCK_BYTES)
                && header.captured <= header.wire_len as usize;
            if !makes_sense {
                return Fit::None;
            }
            let length = PACKET_HEADER_BYTES + extra + header.captured;
            let Some(rest) = bytes.get(length..) else {
                return if packet == 0 { Fit::InPart } else { Fit::Whole };
            };
            bytes = rest;
        }
        Fit::Whole
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
