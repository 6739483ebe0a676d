//! Capture files: pcap and pcapng, either byte order, plain, `.gz` or `.zst`, from a file or a pipe.
//!
//! ```text
//! file, pipe -> compression -> input (one buffer) -> pcap | pcapng -> Record
//! ```
//!
//! The format is known by its magic, never by its name. Packets are lent from the buffer: none is
//! copied, and nothing is allocated for a packet. No input makes the reader panic; what makes no sense
//! is an error that says where, and all packets before it have been given out by then.
//!
//! [`frame`] takes the link layers and tunnels off a packet, and [`engine`] leads frames through the datapath and the
//! tracker.
#![forbid(unsafe_code)]

mod byte_order;
mod clock;
mod compression;
pub mod engine;
mod error;
pub mod frame;
mod guess;
mod input;
pub mod magic;
mod pcap;
mod pcapng;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use clock::Clock;
use compression::Stream;
pub use compression::Unpacked;
use error::Problem;
pub use error::{OpenError, ReadError};
use input::Input;
use pcap::Pcap;
use pcapng::Pcapng;
pub use writer::{PacketToWrite, Writer};

/// Longest packet, and longest pcapng block, in bytes. What claims to be longer is damage: the longest
/// that a kernel gives is 256 KiB, a few tools write up to 1 MiB. Also the bound of the buffer's
/// growth.
pub const MAX_BLOCK_BYTES: usize = 16 * 1024 * 1024;

/// Most interfaces of one file, over all its sections. Each costs memory as long as the file is open.
pub const MAX_INTERFACES: usize = 65_536;

/// A packet, lent until the next one is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// From 1, in the file; Wireshark's frame number.
    pub number: u64,
    /// Nanoseconds since 1970, UTC; times before and after what fits are 0 and `u64::MAX`. Of pcapng's
    /// simple packets, which have none, the time of the packet before.
    pub time_ns: u64,
    /// For [`Reader::interface`]. Counts through all sections of the file.
    pub interface: u32,
    /// What is known of that interface.
    pub description: &'a Interface,
    /// `LINKTYPE_` value of the interface, as the file has it.
    pub link_type: u16,
    /// Bytes on the wire; never less than were captured.
    pub wire_len: usize,
    /// What was captured, from the link-layer header on.
    pub bytes: &'a [u8],
}

/// Where packets were captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// `LINKTYPE_` value.
    pub link_type: u16,
    /// Bytes at which packets were cut; 0 if unlimited or unknown.
    pub snap_len: u32,
    /// The interface's name, where the file has it (pcap never does).
    pub name: Option<String>,
    clock: Clock,
}

impl Interface {
    /// An interface for a [`Writer`].
    pub fn new(link_type: u16, snap_len: u32, name: Option<String>) -> Self {
        Self { link_type, snap_len, name, clock: Clock::NANOSECONDS }
    }
}

/// Reads a capture, packet by packet.
///
/// ```
/// use std::io::Cursor;
///
/// use sni_probe_pcap::{Interface, PacketToWrite, Reader, Writer};
///
/// let mut writer = Writer::new(Vec::new(), None)?;
/// let interface = writer.add_interface(&Interface::new(101, 0, Some("eth0".to_owned())))?;
/// let bytes = [0x45, 0, 0, 20];
/// writer.write_packet(&PacketToWrite { interface, time_ns: 1, wire_len: 20, bytes: &bytes, comment: None })?;
///
/// let mut reader = Reader::from_stream(Cursor::new(writer.finish()?))?;
/// while let Some(record) = reader.next_record()? {
///     assert_eq!((record.number, record.time_ns, record.wire_len, record.bytes), (1, 1, 20, &bytes[..]));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Reader {
    input: Input,
    format: Format,
    interfaces: Vec<Interface>,
    /// Packets given out.
    count: u64,
    /// The end was reached, or an error.
    ended: bool,
    length: Option<u64>,
}

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// What a format found in the buffer.
struct Packet {
    time_ns: u64,
    interface: u32,
    link_type: u16,
    wire_len: u32,
    bytes: Range<usize>,
}

impl Reader {
    /// Opens a file, a named pipe or a device. `-` has no meaning here.
    ///
    /// # Errors
    /// If there is no such file, or it is not a capture. The message does not name the file.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let file = File::open(path).map_err(OpenError::Open)?;
        let metadata = file.metadata().map_err(OpenError::Open)?;
        if metadata.is_dir() {
            return Err(OpenError::Directory);
        }
        let reader = Self::from_stream(file)?;
        Ok(Self { length: metadata.is_file().then_some(metadata.len()), ..reader })
    }

    /// Reads from a stream, for example standard input. Reads no more ahead than the stream has to give
    /// at once, and needs no buffering by the caller.
    ///
    /// # Errors
    /// If the stream fails, or what it begins with is not a capture.
    pub fn from_stream(stream: impl Read + Send + 'static) -> Result<Self, OpenError> {
        let stream = Stream::open(Box::new(stream)).map_err(OpenError::Read)?;
        let packed = stream.packed();
        let mut input = Input::new(stream);
        let mut interfaces = Vec::new();
        let format = Format::open(&mut input, &mut interfaces)
            .map_err(|problem| OpenError::new(problem, packed))?
            .map_or_else(|| guess::not_a_capture(&mut input, packed), Ok)?;
        Ok(Self { input, format, interfaces, count: 0, ended: false, length: None })
    }

    /// The next packet; `None` at a clean end, and after an error.
    ///
    /// # Errors
    /// If the file is damaged or cut off. All packets before that place have been given out.
    #[inline]
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        if self.ended {
            return Ok(None);
        }
        let found = match &mut self.format {
            Format::Pcap(pcap) => pcap.next(&mut self.input),
            Format::Pcapng(pcapng) => pcapng.next(&mut self.input, &mut self.interfaces),
        };
        match found {
            Ok(Some(packet)) => {
                self.count += 1;
                Ok(Some(Record {
                    number: self.count,
                    time_ns: packet.time_ns,
                    interface: packet.interface,
                    description: &self.interfaces[packet.interface as usize],
                    link_type: packet.link_type,
                    wire_len: (packet.wire_len as usize).max(packet.bytes.len()),
                    bytes: self.input.bytes(packet.bytes),
                }))
            }
            Ok(None) => {
                self.ended = true;
                Ok(None)
            }
            Err(problem) => Err(self.failed(problem)),
        }
    }

    #[cold]
    fn failed(&mut self, problem: Problem) -> ReadError {
        self.ended = true;
        ReadError::new(problem, self.count + 1, self.input.offset(), self.input.packed())
    }

    /// Whether the next call of [`next_record`](Self::next_record) may have to wait for the stream.
    /// Then it is time to flush what was made of the packets so far. Says yes rather too often, never
    /// too seldom.
    #[inline]
    pub fn is_drained(&self) -> bool {
        match &self.format {
            Format::Pcap(pcap) => pcap.is_drained(&self.input),
            Format::Pcapng(pcapng) => pcapng.is_drained(&self.input),
        }
    }

    /// An interface by a record's index. Those of a pcapng file are known from the first packet on that
    /// follows their description.
    pub fn interface(&self, index: u32) -> Option<&Interface> {
        self.interfaces.get(index as usize)
    }

    /// Bytes read so far, of the file as it is: packed ones, if it is packed.
    pub fn position(&self) -> u64 {
        self.input.position()
    }

    /// Bytes of the file as it is; `None` if it is not a regular one.
    pub fn length(&self) -> Option<u64> {
        self.length
    }
}

impl Format {
    /// Reads the file's header. `None` if the magic is neither format's.
    fn open(input: &mut Input, interfaces: &mut Vec<Interface>) -> Result<Option<Self>, Problem> {
        if !input.fill(4)? {
            return Ok(None);
        }
        match input.available() {
            [a, b, c, d, ..] if magic::PcapMagic::read([*a, *b, *c, *d]).is_some() => {
                let (pcap, interface) = Pcap::open(input)?;
                interfaces.push(interface);
                Ok(Some(Self::Pcap(pcap)))
            }
            head if head.starts_with(&magic::PCAPNG) => Ok(Some(Self::Pcapng(Pcapng::open(input)?))),
            _ => Ok(None),
        }
    }
}
