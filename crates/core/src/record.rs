//! The TLS record layer, as far as a ClientHello needs it: plaintext records of handshake data
//! (RFC 8446, section 5.1; the same in RFC 5246, section 6.2.1), and the message that they carry.
//!
//! A message may span several records, cut anywhere, also inside its own 4-byte header.

use std::borrow::Cow;

use crate::parsed::{Parsed, Rejected};

/// Length of a record's header: content type, version, length.
pub const HEADER_LEN: usize = 5;

/// Length of a handshake message's header: type, 24-bit length.
pub const MESSAGE_HEADER_LEN: usize = 4;

/// The longest plaintext fragment (RFC 8446, section 5.1), in bytes.
pub const MAX_FRAGMENT_LEN: usize = 1 << 14;

/// Content types (RFC 8446, appendix B.1).
pub mod content_type {
    /// `change_cipher_spec`.
    pub const CHANGE_CIPHER_SPEC: u8 = 20;
    /// `alert`.
    pub const ALERT: u8 = 21;
    /// `handshake`.
    pub const HANDSHAKE: u8 = 22;
    /// `application_data`.
    pub const APPLICATION_DATA: u8 = 23;
}

/// A whole handshake message and where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeMessage<'a> {
    /// The message with its header. Borrowed if it lies in one record; else joined, the one copy.
    pub bytes: Cow<'a, [u8]>,
    /// How many records it spans.
    pub records: u32,
    /// Where its last byte ends, counted from its first record's header.
    pub end: usize,
    /// Where the next record begins. Behind `end`, if the last record goes on.
    pub next_record: usize,
}

/// What can be said of a message before it is whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Its length with its header, as announced; 0 before that is seen.
    pub length: u32,
    /// How many records have begun.
    pub records: u32,
}

/// Reads the handshake message at the start of `stream`, the record headers included.
///
/// `limit` is how many bytes of the stream, from its start, will ever be there: a message that ends
/// behind it is [`Rejected::TooLarge`] as soon as its length shows that.
pub fn handshake_message(stream: &[u8], limit: usize) -> Parsed<HandshakeMessage<'_>> {
    walk(stream, limit).0
}

/// What is known of the message at the start of `stream`, whole or not.
pub fn outline(stream: &[u8]) -> Outline {
    walk(stream, usize::MAX).1
}

/// Reads up to `wanted` bytes of the handshake message at the start of `stream`: those that are there.
///
/// # Errors
///
/// The record layer contradicts itself, or another record comes before the message's end.
pub fn message_prefix(stream: &[u8], wanted: usize) -> Result<Vec<u8>, Rejected> {
    let mut prefix = Vec::with_capacity(wanted);
    let mut fragments = Fragments::new(stream);
    while let Some(fragment) = fragments.next()? {
        prefix.extend(fragment.bytes.iter().take(wanted - prefix.len()));
        if prefix.len() == wanted || !fragment.is_whole() {
            break;
        }
    }
    Ok(prefix)
}

fn walk(stream: &[u8], limit: usize) -> (Parsed<HandshakeMessage<'_>>, Outline) {
    let mut outline = Outline::default();
    let mut joined: Vec<u8> = Vec::new();
    let mut header = [0; MESSAGE_HEADER_LEN];
    let mut fragments = Fragments::new(stream);
    loop {
        let fragment = match fragments.next() {
            Ok(Some(fragment)) => fragment,
            Ok(None) => return (need(fragments.at + HEADER_LEN, limit), outline),
            Err(rejected) => return (Parsed::Rejected(rejected), outline),
        };
        outline.records += 1;
        let before = joined.len();
        for (byte, from) in header.iter_mut().skip(before).zip(fragment.bytes) {
            *byte = *from;
        }
        if before + fragment.bytes.len() >= MESSAGE_HEADER_LEN {
            let [_, high, middle, low] = header;
            let body = u32::from_be_bytes([0, high, middle, low]) as usize;
            outline.length = u32::try_from(MESSAGE_HEADER_LEN + body).unwrap_or(u32::MAX);
            let missing = MESSAGE_HEADER_LEN + body - before;
            let end = fragment.start + missing;
            if end > limit {
                return (Parsed::Rejected(Rejected::TooLarge), outline);
            }
            if let Some(tail) = fragment.bytes.get(..missing) {
                let bytes = if before == 0 {
                    Cow::Borrowed(tail)
                } else {
                    joined.extend_from_slice(tail);
                    Cow::Owned(joined)
                };
                let next_record = fragment.start + fragment.length;
                let message = HandshakeMessage { bytes, records: outline.records, end, next_record };
                return (Parsed::Complete(message), outline);
            }
            if !fragment.is_whole() {
                return (need(end.min(fragment.start + fragment.length), limit), outline);
            }
        } else if !fragment.is_whole() {
            return (need(stream.len() + 1, limit), outline);
        }
        joined.extend_from_slice(fragment.bytes);
    }
}

fn need<T>(at_least: usize, limit: usize) -> Parsed<T> {
    if at_least > limit { Parsed::Rejected(Rejected::TooLarge) } else { Parsed::NeedMore { at_least } }
}

/// The fragments of consecutive records of handshake data.
struct Fragments<'a> {
    stream: &'a [u8],
    /// Where the next record's header starts.
    at: usize,
}

struct Fragment<'a> {
    /// As much of it as is there.
    bytes: &'a [u8],
    /// Its length according to the record's header.
    length: usize,
    /// Where it starts in the stream.
    start: usize,
}

impl<'a> Fragments<'a> {
    fn new(stream: &'a [u8]) -> Self {
        Self { stream, at: 0 }
    }

    /// The next fragment; `None` before all of its record's header is there. Each byte of a header is
    /// judged as soon as it is there.
    fn next(&mut self) -> Result<Option<Fragment<'a>>, Rejected> {
        let record = self.stream.get(self.at..).unwrap_or_default();
        if record.first().is_some_and(|&byte| byte != content_type::HANDSHAKE) {
            return Err(Rejected::RecordType);
        }
        if record.get(1).is_some_and(|&major| major != 3) {
            return Err(Rejected::RecordVersion);
        }
        let Some((&[_, _, _, high, low], rest)) = record.split_first_chunk() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length == 0 || length > MAX_FRAGMENT_LEN {
            return Err(Rejected::RecordLength);
        }
        let start = self.at + HEADER_LEN;
        self.at = start + length;
        Ok(Some(Fragment { bytes: &rest[..length.min(rest.len())], length, start }))
    }
}

impl Fragment<'_> {
    fn is_whole(&self) -> bool {
        self.bytes.len() == self.length
    }
}

#[cfg(test)]
mod tests {
    use sni_probe_testkit::hello::ClientHelloBuilder;
    use sni_probe_testkit::wire::record as record_of;

    use super::*;

    const LIMIT: usize = 16_384;

    fn complete(stream: &[u8]) -> HandshakeMessage<'_> {
        match handshake_message(stream, LIMIT) {
            Parsed::Complete(message) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_record_is_borrowed() {
        let hello = ClientHelloBuilder::new().server_name("a.example");
        let stream = [hello.build(), record_of(23, b"early data")].concat();
        let message = complete(&stream);
        assert!(matches!(message.bytes, Cow::Borrowed(_)));
        assert_eq!(message.bytes, hello.handshake());
        assert_eq!((message.records, message.end), (1, hello.build().len()));
        assert_eq!(message.next_record, message.end);
    }

    #[test]
    fn several_records_are_joined() {
        let hello = ClientHelloBuilder::new().server_name("a.example");
        for starts in [&[1][..], &[4], &[3, 5], &[1, 2, 3, 4], &[20, 40, 60, 80]] {
            let stream = hello.in_records_at(starts);
            let message = complete(&stream);
            assert_eq!(message.bytes, hello.handshake(), "{starts:?}");
            assert_eq!(message.records as usize, starts.len() + 1);
            assert_eq!(message.end, stream.len());
        }
    }

    #[test]
    fn every_prefix_needs_more_and_says_how_much() {
        let hello = ClientHelloBuilder::new().server_name("a.example");
        for stream in [hello.build(), hello.in_records_at(&[2, 50])] {
            for len in 0..stream.len() {
                let Parsed::NeedMore { at_least } = handshake_message(&stream[..len], LIMIT) else {
                    panic!("{len} bytes decide");
                };
                assert!(len < at_least && at_least <= stream.len());
            }
        }
    }

    #[test]
    fn a_record_that_goes_on_behind_the_message() {
        let message = ClientHelloBuilder::new().handshake();
        let stream = record_of(22, &[&message[..], &[2, 0, 0, 0]].concat());
        let seen = &stream[..HEADER_LEN + message.len()];
        assert_eq!(complete(seen).end, seen.len());
        assert_eq!(complete(seen).next_record, stream.len());
    }

    #[test]
    fn what_no_continuation_makes_valid() {
        for (stream, rejected) in [
            (&[23][..], Rejected::RecordType),
            (&[22, 2], Rejected::RecordVersion),
            (&[22, 3, 1, 0, 0], Rejected::RecordLength),
            (&[22, 3, 1, 0x40, 1], Rejected::RecordLength),
            (&[22, 3, 1, 0, 1, 1, 21], Rejected::RecordType),
            (&[22, 3, 1, 0, 1, 1, 22, 3, 1, 0, 0], Rejected::RecordLength),
            (&[22, 3, 1, 0, 4, 1, 0, 0x3f, 0xf8], Rejected::TooLarge),
        ] {
            assert_eq!(handshake_message(stream, LIMIT), Parsed::Rejected(rejected), "{stream:02x?}");
        }
    }

    #[test]
    fn the_longest_message_that_fits() {
        let longest = ClientHelloBuilder::new().padded_to(LIMIT);
        assert_eq!(complete(&longest.build()).bytes.len(), LIMIT - HEADER_LEN);
        let longer = ClientHelloBuilder::new().padded_to(LIMIT + 1).build();
        assert_eq!(handshake_message(&longer[..8], LIMIT), Parsed::NeedMore { at_least: 9 });
        assert_eq!(handshake_message(&longer[..9], LIMIT), Parsed::Rejected(Rejected::TooLarge));
        assert_eq!(outline(&longer).length, 16_380);
    }

    #[test]
    fn prefix_over_records() {
        let hello = ClientHelloBuilder::new();
        let stream = hello.in_records_at(&[1, 6]);
        assert_eq!(message_prefix(&stream, 38).unwrap(), hello.handshake()[..38]);
        assert_eq!(message_prefix(&stream[..6], 38).unwrap(), hello.handshake()[..1]);
        assert_eq!(message_prefix(&[22, 3, 3], 38).unwrap(), b"");
    }
}
