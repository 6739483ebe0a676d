//! The stream below a capture: counted, and unpacked if its first bytes say gzip or zstd.

use std::io::{self, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use super::error::Packed;
use super::magic;

/// Packed bytes are read in pieces of this size.
const PACKED_BUFFER_BYTES: usize = 128 * 1024;

/// The capture's bytes. Both decoders go on with the next gzip member or zstd frame where one ends.
pub(super) enum Stream {
    Plain(Replayed),
    Gzip(Box<MultiGzDecoder<BufReader<Replayed>>>),
    Zstd(zstd::Decoder<'static, BufReader<Replayed>>),
}

/// The stream with the bytes in front again that were read to see what it is.
type Replayed = Chain<Cursor<Vec<u8>>, Counted>;

/// Counts the bytes that it reads.
pub(super) struct Counted {
    stream: Box<dyn Read + Send>,
    count: u64,
}

impl Stream {
    pub(super) fn open(stream: Box<dyn Read + Send>) -> io::Result<Self> {
        let mut stream = Counted { stream, count: 0 };
        let mut head = Vec::with_capacity(magic::COMPRESSION_BYTES);
        stream.by_ref().take(magic::COMPRESSION_BYTES as u64).read_to_end(&mut head)?;
        let packed = magic::compression(&head);
        let stream = Cursor::new(head).chain(stream);
        Ok(match packed {
            None => Self::Plain(stream),
            Some(Packed::Gzip) => {
                let stream = BufReader::with_capacity(PACKED_BUFFER_BYTES, stream);
                Self::Gzip(Box::new(MultiGzDecoder::new(stream)))
            }
            Some(Packed::Zstd) => {
                let stream = BufReader::with_capacity(PACKED_BUFFER_BYTES, stream);
                Self::Zstd(zstd::Decoder::with_buffer(stream)?)
            }
        })
    }

    pub(super) fn packed(&self) -> Option<Packed> {
        match self {
            Self::Plain(_) => None,
            Self::Gzip(_) => Some(Packed::Gzip),
            Self::Zstd(_) => Some(Packed::Zstd),
        }
    }

    /// Bytes read from the stream below.
    pub(super) fn position(&self) -> u64 {
        let replayed = match self {
            Self::Plain(replayed) => replayed,
            Self::Gzip(decoder) => decoder.get_ref().get_ref(),
            Self::Zstd(decoder) => decoder.get_ref().get_ref(),
        };
        replayed.get_ref().1.count
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Gzip(stream) => stream.read(buffer),
            Self::Zstd(stream) => stream.read(buffer),
        }
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}

/// Any stream, unpacked while it is read if its first bytes say gzip or zstd: what is no capture comes packed as well.
pub struct Unpacked(Stream);

impl Unpacked {
    /// Reads the first bytes.
    ///
    /// # Errors
    /// The stream's own, or the decoder's.
    pub fn open(stream: Box<dyn Read + Send>) -> io::Result<Self> {
        Stream::open(stream).map(Self)
    }

    /// Bytes read from the stream, packed as they are.
    pub fn position(&self) -> u64 {
        self.0.position()
    }

    /// "gzip" or "zstd", if it is packed.
    pub fn format(&self) -> Option<&'static str> {
        self.0.packed().map(Packed::name)
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl std::fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacked").field("format", &self.format()).finish_non_exhaustive()
    }
}
