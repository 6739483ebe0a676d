//! The three answers that every parser here gives: complete, need more, rejected.

use thiserror::Error;

use crate::vocabulary::IncompleteReason;

/// What a parser makes of the bytes that are there so far.
///
/// The answer never changes its mind: more bytes behind those of a `Complete` or a `Rejected` do not
/// alter it, and a `NeedMore` was right to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// All of it is there.
    Complete(T),
    /// The bytes are a proper prefix of something valid.
    NeedMore {
        /// Fewer bytes than this, counted from where the parser began, cannot complete it. (They may show that
        /// nothing can.)
        at_least: usize,
    },
    /// No continuation can make this valid.
    Rejected(Rejected),
}

/// Why bytes are no ClientHello, or none that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejected {
    /// A PROXY header that contradicts its specification.
    #[error("malformed PROXY protocol header")]
    ProxyHeader,
    /// A record of another content type where handshake data must be.
    #[error("a record of another type inside the handshake message")]
    RecordType,
    /// A record whose major version is not 3.
    #[error("a record of an unknown version")]
    RecordVersion,
    /// A record without a fragment (RFC 8446, section 5.1 forbids it for handshake data), or one of
    /// more than 2^14 bytes.
    #[error("a record of a forbidden length")]
    RecordLength,
    /// A handshake message of another type.
    #[error("no ClientHello")]
    MessageType,
    /// A message that ends behind the part of the stream that is followed.
    #[error("too large")]
    TooLarge,
    /// A hello whose lengths contradict each other.
    #[error("malformed ClientHello")]
    Hello,
}

impl From<Rejected> for IncompleteReason {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::TooLarge => Self::TooLarge,
            Rejected::ProxyHeader
            | Rejected::RecordType
            | Rejected::RecordVersion
            | Rejected::RecordLength
            | Rejected::MessageType
            | Rejected::Hello => Self::Malformed,
        }
    }
}
