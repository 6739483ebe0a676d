//! The newer format: blocks, in sections that have a byte order and interfaces of their own.
//!
//! The packet blocks are read here and not by pcap-parser, which allocates for the options that most of
//! them have, and refuses a packet for an option that nobody asks for.

use pcap_parser::{
    InterfaceDescriptionBlock, OptionCode, parse_interfacedescriptionblock_be,
    parse_interfacedescriptionblock_le, parse_sectionheaderblock,
};

use super::byte_order::ByteOrder;
use super::clock::Clock;
use super::error::{Problem, damaged};
use super::input::Input;
use super::{Interface, MAX_BLOCK_BYTES, MAX_INTERFACES, Packet};

/// Block types.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
/// Obsolete since 2009; still written by a few devices.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Type, length, and for a section header the byte-order magic. No block is shorter.
const START_BYTES: usize = 12;
/// Type and length.
const BLOCK_HEADER_BYTES: usize = 8;
/// The length once more, at the end.
const TRAILER_BYTES: usize = 4;
/// Before the bytes of the packet.
const ENHANCED_PACKET_BYTES: usize = 20;
const SIMPLE_PACKET_BYTES: usize = 4;

/// `if_tsresol` where it is missing: microseconds.
const DEFAULT_RESOLUTION: u8 = 6;

/// A pcapng file from behind its first section header.
pub(super) struct Pcapng {
    order: ByteOrder,
    /// Index of the section's first interface.
    section_start: usize,
    last_time_ns: u64,
}

/// The beginning of a block.
struct Start {
    order: ByteOrder,
    block_type: u32,
    length: usize,
}

impl Pcapng {
    /// Reads the first section header.
    pub(super) fn open(input: &mut Input) -> Result<Self, Problem> {
        input.require(START_BYTES)?;
        let mut pcapng = Self { order: ByteOrder::Little, section_start: 0, last_time_ns: 0 };
        let start = pcapng.start(input.available())?.ok_or(Problem::EndsInside)?;
        input.require(start.length)?;
        let block = &input.available()[..start.length];
        check_trailer(&start, block)?;
        pcapng.begin_section(&start, block, 0)?;
        input.consume(start.length);
        Ok(pcapng)
    }

    #[inline]
    pub(super) fn next(
        &mut self,
        input: &mut Input,
        interfaces: &mut Vec<Interface>,
    ) -> Result<Option<Packet>, Problem> {
        loop {
            let Some(start) = self.start(input.available())? else {
                if !refill(input)? {
                    return Ok(None);
                }
                continue;
            };
            if input.available().len() < start.length {
                input.require(start.length)?;
            }
            let block = &input.available()[..start.length];
            check_trailer(&start, block)?;
            let packet = match start.block_type {
                ENHANCED_PACKET | PACKET => Some(self.packet(&start, block, input, interfaces)?),
                SIMPLE_PACKET => Some(self.simple_packet(block, input, interfaces)?),
                INTERFACE_DESCRIPTION => {
                    self.add_interface(block, interfaces)?;
                    None
                }
                SECTION_HEADER => {
                    self.begin_section(&start, block, interfaces.len())?;
                    None
                }
                // Statistics, names, secrets, what vendors define.
                _ => None,
            };
            input.consume(start.length);
            if packet.is_some() {
                return Ok(packet);
            }
        }
    }

    /// Blocks that are no packets do not keep the reader from waiting.
    #[inline]
    pub(super) fn is_drained(&self, input: &Input) -> bool {
        let mut available = input.available();
        while let Ok(Some(start)) = self.start(available) {
            match start.block_type {
                ENHANCED_PACKET | SIMPLE_PACKET | PACKET => return available.len() < start.length,
                // Another byte order might follow.
                SECTION_HEADER => return true,
                _ => available = available.get(start.length..).unwrap_or_default(),
            }
        }
        true
    }

    /// The beginning of the block that `bytes` begin with; `None` if there are too few.
    #[inline]
    fn start(&self, bytes: &[u8]) -> Result<Option<Start>, Problem> {
        let Some(head) = bytes.first_chunk::<START_BYTES>() else { return Ok(None) };
        let block_type = self.order.u32_at(head, 0);
        let order = if block_type == SECTION_HEADER { section_order(head)? } else { self.order };
        let length = order.u32_at(head, 4) as usize;
        if !(START_BYTES..=MAX_BLOCK_BYTES).contains(&length) || !length.is_multiple_of(4) {
            return Err(damaged(format_args!("a block of {length} bytes (type {block_type:#x})")));
        }
        Ok(Some(Start { order, block_type, length }))
    }

    #[cold]
    fn begin_section(&mut self, start: &Start, block: &[u8], interfaces: usize) -> Result<(), Problem> {
        let (_, header) =
            parse_sectionheaderblock(block).map_err(|_| damaged("no header of a pcapng section"))?;
        if header.major_version != 1 {
            let (major, minor) = (header.major_version, header.minor_version);
            return Err(damaged(format_args!("pcapng version {major}.{minor} is not known")));
        }
        self.order = start.order;
        self.section_start = interfaces;
        Ok(())
    }

    #[cold]
    fn add_interface(&self, block: &[u8], interfaces: &mut Vec<Interface>) -> Result<(), Problem> {
        if interfaces.len() == MAX_INTERFACES {
            return Err(damaged(format_args!("more than {MAX_INTERFACES} interfaces")));
        }
        let parsed = match self.order {
            ByteOrder::Little => parse_interfacedescriptionblock_le(block),
            ByteOrder::Big => parse_interfacedescriptionblock_be(block),
        };
        let (_, description) = parsed.map_err(|_| damaged("no description of an interface"))?;
        interfaces.push(self.interface(&description));
        Ok(())
    }

    /// Reads the options itself: pcap-parser has `if_tsoffset` always little-endian, and no binary
    /// resolution.
    fn interface(&self, description: &InterfaceDescriptionBlock<'_>) -> Interface {
        let option = |code| {
            let found = description.options.iter().find(|option| option.code == code)?;
            found.as_bytes().ok()
        };
        let resolution = match option(OptionCode::IfTsresol) {
            Some([resolution, ..]) => *resolution,
            _ => DEFAULT_RESOLUTION,
        };
        let offset = option(OptionCode::IfTsoffset).and_then(|bytes| bytes.first_chunk::<8>());
        let offset = offset.map_or(0, |bytes| match self.order {
            ByteOrder::Little => i64::from_le_bytes(*bytes),
            ByteOrder::Big => i64::from_be_bytes(*bytes),
        });
        let name = option(OptionCode::IfName).map(|bytes| {
            // Some writers count the final NUL.
            String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
        });
        let [low, high, ..] = description.linktype.0.to_le_bytes();
        Interface {
            link_type: u16::from_le_bytes([low, high]),
            snap_len: description.snaplen,
            name: name.filter(|name| !name.is_empty()),
            clock: Clock::new(resolution, offset),
        }
    }

    /// An enhanced packet block, or the obsolete packet block: they differ in the first field.
    #[inline]
    fn packet(
        &mut self,
        start: &Start,
        block: &[u8],
        input: &Input,
        interfaces: &[Interface],
    ) -> Result<Packet, Problem> {
        let body = body(block);
        let Some((head, rest)) = body.split_first_chunk::<ENHANCED_PACKET_BYTES>() else {
            return Err(damaged("a packet block that is too short"));
        };
        let id = match start.block_type {
            PACKET => u32::from(self.order.u16_at(head, 0)),
            _ => self.order.u32_at(head, 0),
        };
        let (index, interface) = self.find(id, interfaces)?;
        let ticks = u64::from(self.order.u32_at(head, 4)) << 32 | u64::from(self.order.u32_at(head, 8));
        let captured = self.order.u32_at(head, 12) as usize;
        if captured > rest.len() {
            return Err(damaged(format_args!(
                "a packet of {captured} bytes in a block that has room for {}",
                rest.len()
            )));
        }
        self.last_time_ns = interface.clock.nanoseconds(ticks);
        Ok(Packet {
            time_ns: self.last_time_ns,
            interface: index,
            link_type: interface.link_type,
            wire_len: self.order.u32_at(head, 16),
            bytes: input.range(BLOCK_HEADER_BYTES + ENHANCED_PACKET_BYTES, captured),
        })
    }

    /// Has neither time nor interface, nor the captured length: that follows from the snap length.
    fn simple_packet(
        &self,
        block: &[u8],
        input: &Input,
        interfaces: &[Interface],
    ) -> Result<Packet, Problem> {
        let Some((head, rest)) = body(block).split_first_chunk::<SIMPLE_PACKET_BYTES>() else {
            return Err(damaged("a simple packet block that is too short"));
        };
        let (index, interface) = self.find(0, interfaces)?;
        let wire_len = self.order.u32_at(head, 0);
        let snap_len = if interface.snap_len == 0 { u32::MAX } else { interface.snap_len };
        let captured = wire_len.min(snap_len) as usize;
        if captured > rest.len() {
            return Err(damaged(format_args!(
                "a packet of {captured} bytes in a block that has room for {}",
                rest.len()
            )));
        }
        Ok(Packet {
            time_ns: self.last_time_ns,
            interface: index,
            link_type: interface.link_type,
            wire_len,
            bytes: input.range(BLOCK_HEADER_BYTES + SIMPLE_PACKET_BYTES, captured),
        })
    }

    /// An interface by its number in the section.
    #[inline]
    fn find<'a>(&self, id: u32, interfaces: &'a [Interface]) -> Result<(u32, &'a Interface), Problem> {
        let index = self.section_start + id as usize;
        match (interfaces.get(index), u32::try_from(index)) {
            (Some(interface), Ok(index)) => Ok((index, interface)),
            _ => Err(damaged(format_args!(
                "a packet of interface {id}, and the section describes {}",
                interfaces.len() - self.section_start
            ))),
        }
    }
}

/// What is between a block's lengths. Blocks have at least [`START_BYTES`].
#[inline]
fn body(block: &[u8]) -> &[u8] {
    &block[BLOCK_HEADER_BYTES..block.len() - TRAILER_BYTES]
}

#[inline]
fn check_trailer(start: &Start, block: &[u8]) -> Result<(), Problem> {
    match block.last_chunk::<TRAILER_BYTES>() {
        Some(trailer) if start.order.u32_at(trailer, 0) as usize == start.length => Ok(()),
        _ => Err(damaged("a block with two different lengths, at its beginning and at its end")),
    }
}

/// The section header has its byte order in it.
#[cold]
fn section_order(head: &[u8; START_BYTES]) -> Result<ByteOrder, Problem> {
    match head[8..] {
        [0x4d, 0x3c, 0x2b, 0x1a] => Ok(ByteOrder::Little),
        [0x1a, 0x2b, 0x3c, 0x4d] => Ok(ByteOrder::Big),
        _ => Err(damaged("a pcapng section of unknown byte order")),
    }
}

/// Gets the beginning of a block. `false` if the file ends before it.
#[cold]
fn refill(input: &mut Input) -> Result<bool, Problem> {
    if input.fill(START_BYTES)? {
        return Ok(true);
    }
    if input.available().is_empty() { Ok(false) } else { Err(Problem::EndsInside) }
}
