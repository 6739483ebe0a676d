//! Writes pcapng: one section, little-endian, times in nanoseconds.

use std::borrow::Cow;
use std::io::{self, Write};

use pcap_parser::{InterfaceDescriptionBlock, Linktype, OptionCode, PcapNGOption, SectionHeaderBlock, ToVec};

use super::{Interface, MAX_BLOCK_BYTES, MAX_INTERFACES};

const ENHANCED_PACKET: u32 = 6;
/// Of an enhanced packet block, without the packet.
const OVERHEAD_BYTES: usize = 32;
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

impl<W: Write> Writer<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// If the sink fails.
    pub fn new(mut sink: W) -> io::Result<Self> {
        let application = concat!("sni-probe ", env!("CARGO_PKG_VERSION"));
        let mut header = SectionHeaderBlock {
            block_type: 0,
            block_len1: 0,
            bom: 0,
            major_version: 1,
            minor_version: 0,
            section_len: UNKNOWN_LENGTH,
            options: vec![option(OptionCode::ShbUserAppl, application.as_bytes())],
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

    /// Writes a packet. `interface` is what [`add_interface`](Self::add_interface) gave; `time_ns` is in
    /// nanoseconds since 1970, `wire_len` the packet's length before it was cut.
    ///
    /// # Errors
    /// If the sink fails, there is no such interface, or the packet is longer than a reader would take.
    pub fn write_packet(
        &mut self,
        interface: u32,
        time_ns: u64,
        wire_len: usize,
        bytes: &[u8],
    ) -> io::Result<()> {
        let length = OVERHEAD_BYTES + bytes.len().next_multiple_of(4);
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
        let padding = bytes.len().next_multiple_of(4) - bytes.len();
        self.sink.write_all(header.as_flattened())?;
        self.sink.write_all(bytes)?;
        self.sink.write_all(&[0; 4][..padding])?;
        self.sink.write_all(&length)
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
