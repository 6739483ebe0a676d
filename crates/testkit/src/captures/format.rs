//! The file formats of captures, and what a link layer puts before an IP packet.

use anyhow::{Context as _, Result};
use pcap_parser::{
    EnhancedPacketBlock, InterfaceDescriptionBlock, LegacyPcapBlock, Linktype, PcapHeader, PcapNGOption,
    SectionHeaderBlock, ToVec,
};

use super::{Side, TimedFrame, TimedPacket};

const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x0c];
const GATEWAY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x09];

/// The snap length that tcpdump writes when it does not cut.
const WHOLE: u32 = 262_144;
const MICROSECONDS_MAGIC: u32 = 0xa1b2_c3d4;
const NANOSECONDS_MAGIC: u32 = 0xa1b2_3c4d;
const NS_PER_S: u64 = 1_000_000_000;

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// libpcap's.
    Pcap,
    /// Wireshark's.
    Pcapng,
}

/// Of the numbers in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// That of today's machines.
    Little,
    /// The other one.
    Big,
}

/// What a frame begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkType {
    /// An Ethernet header.
    Ethernet,
    /// An Ethernet header with a VLAN tag.
    Vlan,
    /// Nothing: the IP header comes first.
    RawIp,
    /// What `tcpdump -i any` used to write: `LINUX_SLL`.
    LinuxCooked,
    /// What `tcpdump -i any` writes: `LINUX_SLL2`.
    LinuxCooked2,
}

/// How a capture is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// The file format.
    pub container: Container,
    /// Of the numbers.
    pub byte_order: ByteOrder,
    /// Whether times are in nanoseconds, and not in microseconds.
    pub nanoseconds: bool,
    /// What the frames begin with.
    pub link_type: LinkType,
}

impl Format {
    /// What tcpdump writes: pcap, microseconds, Ethernet.
    pub const PCAP: Self = Self {
        container: Container::Pcap,
        byte_order: ByteOrder::Little,
        nanoseconds: false,
        link_type: LinkType::Ethernet,
    };
    /// What dumpcap writes: pcapng, nanoseconds, Ethernet.
    pub const PCAPNG: Self = Self { container: Container::Pcapng, nanoseconds: true, ..Self::PCAP };

    /// What comes before the first frame.
    pub(super) fn header(self, snap_len: Option<usize>) -> Result<Vec<u8>> {
        let snap_len = snap_len.map_or(Ok(WHOLE), u32::try_from).context("the snap length")?;
        match self.container {
            Container::Pcap => self.pcap_header(snap_len),
            Container::Pcapng => self.pcapng_header(snap_len),
        }
    }

    /// A frame with its header.
    pub(super) fn record(self, frame: &TimedFrame) -> Result<Vec<u8>> {
        match self.container {
            Container::Pcap => self.pcap_record(frame),
            Container::Pcapng => self.pcapng_record(frame),
        }
    }

    fn pcap_header(self, snap_len: u32) -> Result<Vec<u8>> {
        let header = PcapHeader {
            magic_number: self.word(if self.nanoseconds { NANOSECONDS_MAGIC } else { MICROSECONDS_MAGIC }),
            version_major: self.half(2),
            version_minor: self.half(4),
            thiszone: 0,
            sigfigs: 0,
            snaplen: self.word(snap_len),
            network: Linktype(self.word(self.link_type.number().into()).cast_signed()),
        };
        header.to_vec_raw().context("writing a pcap header")
    }

    fn pcap_record(self, frame: &TimedFrame) -> Result<Vec<u8>> {
        let fraction = frame.time_ns % NS_PER_S / if self.nanoseconds { 1 } else { 1_000 };
        let record = LegacyPcapBlock {
            ts_sec: self.number(frame.time_ns / NS_PER_S)?,
            ts_usec: self.number(fraction)?,
            caplen: self.number(frame.bytes.len())?,
            origlen: self.number(frame.wire_len)?,
            data: &frame.bytes,
        };
        record.to_vec_raw().context("writing a pcap record")
    }

    fn pcapng_header(self, snap_len: u32) -> Result<Vec<u8>> {
        let mut section = SectionHeaderBlock {
            block_type: 0,
            block_len1: 0,
            bom: 0,
            major_version: 0,
            minor_version: 0,
            section_len: -1,
            options: Vec::new(),
            block_len2: 0,
        };
        // The serializer computes lengths, and writes little-endian: what is swapped before comes out
        // big-endian. (A section's type is a palindrome, its unknown length all ones.)
        section.fix();
        section.bom = self.word(section.bom);
        section.major_version = self.half(section.major_version);
        section.block_len1 = self.word(section.block_len1);
        section.block_len2 = section.block_len1;
        let mut bytes = section.to_vec_raw().context("writing a section header")?;

        let mut interface = InterfaceDescriptionBlock {
            block_type: 0,
            block_len1: 0,
            linktype: Linktype(self.half(self.link_type.number()).into()),
            reserved: 0,
            snaplen: self.word(snap_len),
            options: Vec::new(),
            block_len2: 0,
            if_tsresol: if self.nanoseconds { 9 } else { 6 },
            if_tsoffset: 0,
        };
        interface.fix();
        interface.block_type = self.word(interface.block_type);
        interface.block_len1 = self.word(interface.block_len1);
        interface.block_len2 = interface.block_len1;
        self.swap_options(&mut interface.options);
        bytes.append(&mut interface.to_vec_raw().context("writing an interface description")?);
        Ok(bytes)
    }

    fn pcapng_record(self, frame: &TimedFrame) -> Result<Vec<u8>> {
        let time = frame.time_ns / if self.nanoseconds { 1 } else { 1_000 };
        let mut packet = EnhancedPacketBlock {
            block_type: 0,
            block_len1: 0,
            if_id: 0,
            ts_high: self.number(time >> 32)?,
            ts_low: self.number(time & u64::from(u32::MAX))?,
            caplen: self.number(frame.bytes.len())?,
            origlen: self.number(frame.wire_len)?,
            data: &frame.bytes,
            options: Vec::new(),
            block_len2: 0,
        };
        packet.fix();
        packet.block_type = self.word(packet.block_type);
        packet.block_len1 = self.word(packet.block_len1);
        packet.block_len2 = packet.block_len1;
        packet.to_vec_raw().context("writing a packet block")
    }

    fn swap_options(self, options: &mut [PcapNGOption<'_>]) {
        for option in options {
            option.code.0 = self.half(option.code.0);
            option.len = self.half(option.len);
        }
    }

    fn number(self, number: impl TryInto<u32>) -> Result<u32> {
        let number = number.try_into().ok().context("a number of a capture file has 32 bits")?;
        Ok(self.word(number))
    }

    /// What the serializer, which is little-endian, writes in this byte order.
    fn word(self, word: u32) -> u32 {
        if self.byte_order == ByteOrder::Big { word.swap_bytes() } else { word }
    }

    fn half(self, half: u16) -> u16 {
        if self.byte_order == ByteOrder::Big { half.swap_bytes() } else { half }
    }
}

impl LinkType {
    /// The number in a capture file's header.
    pub fn number(self) -> u16 {
        match self {
            Self::Ethernet | Self::Vlan => 1,
            Self::RawIp => 101,
            Self::LinuxCooked => 113,
            Self::LinuxCooked2 => 276,
        }
    }

    /// What comes before this packet.
    pub(super) fn header(self, packet: &TimedPacket) -> Vec<u8> {
        const VLAN: [u8; 4] = [0x81, 0x00, 0x00, 0x2a];
        let protocol: [u8; 2] = if packet.bytes[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
        // The capture is one of the gateway's node: what the client sends is for it.
        let (source, destination, cooked_type) = match packet.sender {
            Side::Client => (CLIENT_MAC, GATEWAY_MAC, 0),
            Side::Gateway => (GATEWAY_MAC, CLIENT_MAC, 4),
        };
        match self {
            Self::Ethernet => [&destination[..], &source, &protocol].concat(),
            Self::Vlan => [&destination[..], &source, &VLAN, &protocol].concat(),
            Self::RawIp => Vec::new(),
            Self::LinuxCooked => [&[0, cooked_type, 0, 1, 0, 6][..], &source, &[0, 0], &protocol].concat(),
            Self::LinuxCooked2 => {
                let rest = [0, 0, 0, 0, 0, 2, 0, 1, cooked_type, 6];
                [&protocol[..], &rest, &source, &[0, 0]].concat()
            }
        }
    }
}
