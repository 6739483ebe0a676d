//! What can be wrong with a capture, each in one line that follows the file's name and a colon. The system's own
//! words are in that line, so no error has another as its source.

use std::fmt;
use std::io;

/// Why a file cannot be read as a capture.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system does not open it.
    #[error("cannot be opened: {0}")]
    Open(io::Error),
    /// It is a directory.
    #[error("a directory: name the capture files in it")]
    Directory,
    /// There is not one byte.
    #[error("empty: not even the header of a capture was written; was the capture stopped with SIGKILL?")]
    Empty,
    /// Neither pcap nor pcapng.
    #[error("not a capture (pcap or pcapng): it looks like {looks_like}")]
    NotACapture {
        /// A noun phrase, with what to do about it.
        looks_like: String,
    },
    /// It ends before the first packet could begin.
    #[error("ends inside the header of the capture: copy it again, or look for the whole file")]
    EndsInsideHeader,
    /// The header has the magic of a capture and makes no sense.
    #[error("damaged in the header of the capture: {what}")]
    Damaged {
        /// What is wrong.
        what: String,
    },
    /// The packed data are damaged or end early.
    #[error("cannot be unpacked: the {format} data are damaged or end early ({error}); copy the file again")]
    Unpack {
        /// "gzip" or "zstd".
        format: &'static str,
        /// The decoder's words.
        error: io::Error,
    },
    /// The system does not read it.
    #[error("cannot be read: {0}")]
    Read(io::Error),
}

/// Why reading ends before the end. All packets before have been given out.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file ends where a packet or block has begun.
    #[error(
        "ends inside packet {number}, at byte {offset}: the capture was cut off; everything before it counts"
    )]
    EndsInsidePacket {
        /// The packet that is cut off, from 1.
        number: u64,
        /// Where it begins, in the unpacked capture.
        offset: u64,
    },
    /// The packed data end before the capture does.
    #[error(
        "the {format} data end early, in packet {number}: the file was cut off; everything before it counts \
         (copy the file again for the rest)"
    )]
    PackedEndsEarly {
        /// "gzip" or "zstd".
        format: &'static str,
        /// The packet that cannot be read, from 1.
        number: u64,
    },
    /// The packed data are damaged.
    #[error("damaged {format} data in packet {number} ({error}): everything before it counts")]
    PackedDamaged {
        /// "gzip" or "zstd".
        format: &'static str,
        /// The packet that cannot be read, from 1.
        number: u64,
        /// The decoder's words.
        error: io::Error,
    },
    /// What is there makes no sense.
    #[error("damaged at byte {offset}, packet {number}: {what}; everything before it counts")]
    Damaged {
        /// The packet that cannot be read, from 1.
        number: u64,
        /// Where it, or a block before it, begins, in the unpacked capture.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// The system does not read it.
    #[error("cannot be read on from packet {number}: {error}")]
    Io {
        /// The packet that cannot be read, from 1.
        number: u64,
        /// The system's error.
        error: io::Error,
    },
}

/// How a capture is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packed {
    Gzip,
    Zstd,
}

impl Packed {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// What a format's parser meets.
pub(super) enum Problem {
    EndsInside,
    Damaged(String),
    Io(io::Error),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// For `map_err`, out of the way of the packets.
#[cold]
pub(super) fn damaged(what: impl fmt::Display) -> Problem {
    Problem::Damaged(what.to_string())
}

impl OpenError {
    pub(super) fn new(problem: Problem, packed: Option<Packed>) -> Self {
        match (problem, packed) {
            (Problem::EndsInside, _) => Self::EndsInsideHeader,
            (Problem::Damaged(what), _) => Self::Damaged { what },
            (Problem::Io(error), Some(packed)) if is_decoders(&error) => {
                Self::Unpack { format: packed.name(), error }
            }
            (Problem::Io(error), _) => Self::Read(error),
        }
    }
}

impl ReadError {
    pub(super) fn new(problem: Problem, number: u64, offset: u64, packed: Option<Packed>) -> Self {
        match (problem, packed) {
            (Problem::EndsInside, _) => Self::EndsInsidePacket { number, offset },
            (Problem::Damaged(what), _) => Self::Damaged { number, offset, what },
            (Problem::Io(error), Some(packed)) if is_decoders(&error) => {
                let format = packed.name();
                if error.kind() == io::ErrorKind::UnexpectedEof {
                    Self::PackedEndsEarly { format, number }
                } else {
                    Self::PackedDamaged { format, number, error }
                }
            }
            (Problem::Io(error), _) => Self::Io { number, error },
        }
    }
}

/// Whether the decoder made the error, not the system.
fn is_decoders(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
}
