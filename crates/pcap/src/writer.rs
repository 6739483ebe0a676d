//! Writes pcapng: one section, little-endian, times in nanoseconds.

use std::borrow::Cow;
use std::io::{self, Write};

use pcap_parser::{InterfaceDescriptionBlock, Linktype, OptionCode, PcapNGOption, SectionHeaderBlock, ToVec};

use super::{Interface, MAX_BLOCK_BYTES, MAX_INTERFACES};

const ENHANCED_PACKET: u32 = 6;
/// Of an enhanced packet block, without the packet and its options.
const OVERHEAD_BYTES: usize = 32;
/// `opt_comment`.
const COMMENT: u16 = 1;
/// Code and length of an option; both 0 at the end of the options.
const OPTION_HEADER_BYTES: usize = 4;
/// `if_tsresol`: 10 to the power of minus 9 seconds.
const NANOSECONDS: u8 = 9;
/// `section_len` of a section whose length is not said.
const UNKNOWN_LENGTH: i64 = -1;

/// Writes packets to a file that Wireshark, tshark and tcpdump open. Calls `write` several times for
/// each packet: give it something buffered.
pub struct Writer<W: Write> {
    sink: W,
    interfaces: u32,
}

/// A packet for [`Writer::write_packet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketToWrite<'a> {
    /// What [`Writer::add_interface`] gave.
    pub interface: u32,
    /// Nanoseconds since 1970, UTC.
    pub time_ns: u64,
    /// The packet's length before it was cut, in bytes.
    pub wire_len: usize,
    /// What there is of it, from the header on that the interface's link type says.
    pub bytes: &'a [u8],
    /// What Wireshark shows beside it; cut at 65,535 bytes.
    pub comment: Option<&'a str>,
}

impl<W: Write> Writer<W> {
    /// Writes the header, with a comment on the whole file if there is one.
    ///
    /// # Errors
    /// If the sink fails.
    pub fn new(mut sink: W, comment: Option<&str>) -> io::Result<Self> {
        let application = concat!("sni-probe ", env!("CARGO_PKG_VERSION"));
        let comment = comment.map(|comment| option(OptionCode(COMMENT), comment.as_bytes()));
        let application = option(OptionCode::ShbUserAppl, application.as_bytes());
        let mut header = SectionHeaderBlock {
            block_type: 0,
            block_len1: 0,
            bom: 0,
            major_version: 1,
            minor_version: 0,
            section_len: UNKNOWN_LENGTH,
            options: comment.into_iter().chain([application]).collect(),
            block_len2: 0,
        };
        sink.write_all(&header.to_vec().map_err(io::Error::other)?)?;
        Ok(Self { sink, interfaces: 0 })
    }

    /// Describes an interface, with the link type, snap length and name that it has. Gives its number for
    /// [`write_packet`](Self::write_packet).
    ///
    /// # Errors
    /// If the sink fails, or there are [`MAX_INTERFACES`].
    pub fn add_interface(&mut self, interface: &Interface) -> io::Result<u32> {
        if self.interfaces as usize >= MAX_INTERFACES {
            return Err(io::Error::other("too many interfaces for one capture file"));
        }
        let name = interface.name.as_ref().map(|name| option(OptionCode::IfName, name.as_bytes()));
        let mut description = InterfaceDescriptionBlock {
            block_type: 0,
            block_len1: 0,
            linktype: Linktype(i32::from(interface.link_type)),
            reserved: 0,
            snaplen: interface.snap_len,
            options: name.into_iter().chain([option(OptionCode::IfTsresol, &[NANOSECONDS])]).collect(),
            block_len2: 0,
            if_tsresol: NANOSECONDS,
            if_tsoffset: 0,
        };
        self.sink.write_all(&description.to_vec().map_err(io::Error::other)?)?;
        let number = self.interfaces;
        self.interfaces += 1;
        Ok(number)
    }

    /// Writes a packet.
    ///
    /// # Errors
    /// If the sink fails, there is no such interface, or the packet is longer than a reader would take.
    pub fn write_packet(&mut self, packet: &PacketToWrite<'_>) -> io::Result<()> {
        let &PacketToWrite { interface, time_ns, wire_len, bytes, comment } = packet;
        let comment = comment.map(str::as_bytes).map(|text| &text[..text.len().min(usize::from(u16::MAX))]);
        // The comment, and the option that says there are no more.
        let options = comment.map_or(0, |text| 2 * OPTION_HEADER_BYTES + text.len().next_multiple_of(4));
        let length = OVERHEAD_BYTES + bytes.len().next_multiple_of(4) + options;
        if interface >= self.interfaces || length > MAX_BLOCK_BYTES {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let length = saturate(length).to_le_bytes();
        let mut header = [[0; 4]; 7];
        header[0] = ENHANCED_PACKET.to_le_bytes();
        header[1] = length;
        header[2] = interface.to_le_bytes();
        header[3] = saturate(time_ns >> 32).to_le_bytes();
        header[4] = saturate(time_ns & u64::from(u32::MAX)).to_le_bytes();
        header[5] = saturate(bytes.len()).to_le_bytes();
        header[6] = saturate(wire_len).to_le_bytes();
        self.sink.write_all(header.as_flattened())?;
        self.write_padded(bytes)?;
        if let Some(text) = comment {
            let [code, size] = [COMMENT, u16::try_from(text.len()).unwrap_or(u16::MAX)].map(u16::to_le_bytes);
            self.sink.write_all([code, size].as_flattened())?;
            self.write_padded(text)?;
            self.sink.write_all(&[0; OPTION_HEADER_BYTES])?;
        }
        self.sink.write_all(&length)
    }

    /// Fields of a block are filled up to 32 bits.
    fn write_padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        let padding = bytes.len().next_multiple_of(4) - bytes.len();
        self.sink.write_all(bytes)?;
        self.sink.write_all(&[0; 4][..padding])
    }

    /// Flushes the sink and gives it back.
    ///
    /// # Errors
    /// If the sink fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.sink.flush()?;
        Ok(self.sink)
    }
}

fn saturate(number: impl TryInto<u32>) -> u32 {
    number.try_into().unwrap_or(u32::MAX)
}

/// Cut at what an option's length can say.
fn option(code: OptionCode, value: &[u8]) -> PcapNGOption<'_> {
    let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
    PcapNGOption { code, len, value: Cow::Borrowed(&value[..usize::from(len)]) }
}
