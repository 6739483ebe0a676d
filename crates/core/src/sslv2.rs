//! The CLIENT-HELLO in the format of SSL 2.0, which old clients send to offer newer versions as well
//! (RFC 5246, appendix E.2; for the fields of plain SSL 2.0 the Netscape draft of 1995).
//!
//! The format has no extensions, so it never has an SNI.

use crate::client_hello::{ClientHello, Offers};
use crate::observation::{Features, Sni};
use crate::parsed::{Parsed, Rejected};
use crate::reader::Reader;
use crate::vocabulary::{Feature, TlsVersion};

/// Length of the record's header: a bit that is 1, and 15 bits of length.
const HEADER_LEN: usize = 2;

/// Bytes that tell this format from others: header, message type, version.
pub const SIGNATURE_LEN: usize = 5;

/// `MSG-CLIENT-HELLO`.
const MESSAGE_TYPE: u8 = 1;

/// `MSG-SERVER-HELLO`.
const SERVER_MESSAGE_TYPE: u8 = 4;

/// Message type, version and three lengths.
const FIXED_LEN: usize = 9;

/// Whether `stream`, as far as it has come, starts like this format. Certain from [`SIGNATURE_LEN`]
/// bytes on.
pub fn is_prefix(stream: &[u8]) -> bool {
    let is = |at: usize, test: fn(u8) -> bool| stream.get(at).copied().is_none_or(test);
    let is_version = match stream.get(3..SIGNATURE_LEN) {
        Some(&[major, minor]) => (major, minor) == (0, 2) || (major == 3 && minor <= 4),
        _ => is(3, |major| major == 0 || major == 3),
    };
    is(0, |byte| byte & 0x80 != 0) && is(2, |message| message == MESSAGE_TYPE) && is_version
}

/// Whether the lengths in the first 11 bytes agree with each other. Behind other bytes than the
/// stream's first, where this format is less to be expected, [`is_prefix`] alone proves little.
pub fn is_consistent(stream: &[u8]) -> bool {
    let Some(&lengths) = stream.get(SIGNATURE_LEN..).and_then(|lengths| lengths.first_chunk::<6>()) else {
        return false;
    };
    let [ciphers, session_id, challenge] =
        [0, 2, 4].map(|at| u16::from_be_bytes([lengths[at], lengths[at + 1]]));
    let sum =
        HEADER_LEN + FIXED_LEN + [ciphers, session_id, challenge].map(usize::from).iter().sum::<usize>();
    ciphers != 0 && is_valid(ciphers, session_id, challenge) && sum == announced_len(stream)
}

fn is_valid(ciphers_len: u16, session_id_len: u16, challenge_len: u16) -> bool {
    ciphers_len.is_multiple_of(3) && matches!(session_id_len, 0 | 16) && (16..=32).contains(&challenge_len)
}

/// Whether `answer` starts with a SERVER-HELLO in this format; certain from 3 bytes on.
pub fn is_server_hello(answer: &[u8]) -> bool {
    matches!(answer, &[high, _, SERVER_MESSAGE_TYPE, ..] if high & 0x80 != 0)
}

/// Length of the record with its header, as announced; 0 before that is seen.
pub fn announced_len(stream: &[u8]) -> usize {
    match *stream {
        [high, low, ..] => HEADER_LEN + usize::from(u16::from_be_bytes([high & 0x7f, low])),
        _ => 0,
    }
}

/// Reads the hello at the start of `stream`, and gives its length with the record's header.
///
/// `limit` is how many bytes of the stream will ever be there.
pub fn parse(stream: &[u8], limit: usize) -> Parsed<(ClientHello, usize)> {
    if !is_prefix(stream) {
        return Parsed::Rejected(Rejected::MessageType);
    }
    if stream.len() < SIGNATURE_LEN {
        return Parsed::NeedMore { at_least: SIGNATURE_LEN };
    }
    let len = announced_len(stream);
    if len < HEADER_LEN + FIXED_LEN {
        return Parsed::Rejected(Rejected::Hello);
    }
    if len > limit {
        return Parsed::Rejected(Rejected::TooLarge);
    }
    let Some(message) = stream.get(HEADER_LEN..len) else { return Parsed::NeedMore { at_least: len } };
    match parse_message(message) {
        Some(hello) => Parsed::Complete((hello, len)),
        None => Parsed::Rejected(Rejected::Hello),
    }
}

fn parse_message(message: &[u8]) -> Option<ClientHello> {
    let mut reader = Reader::new(message);
    reader.u8()?;
    let version = reader.u16()?;
    let (ciphers_len, session_id_len, challenge_len) = (reader.u16()?, reader.u16()?, reader.u16()?);
    if !is_valid(ciphers_len, session_id_len, challenge_len) {
        return None;
    }
    let mut features = Features::default();
    features.insert(Feature::Sslv2);
    let ciphers = reader.take(usize::from(ciphers_len))?;
    let ciphers: Vec<u32> =
        ciphers.chunks_exact(3).map(|code| u32::from_be_bytes([0, code[0], code[1], code[2]])).collect();
    if !reader.take(usize::from(session_id_len))?.is_empty() {
        features.insert(Feature::Resumption);
    }
    let challenge = reader.take(usize::from(challenge_len))?;
    if !reader.is_empty() {
        return None;
    }
    Some(ClientHello {
        sni: Sni::Absent,
        name_as_sent: None,
        features,
        version: TlsVersion::from_code(version),
        random: challenge.to_vec(),
        offers: Offers::Sslv2 { version, ciphers },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sslv2_hello;

    #[test]
    fn hello() {
        let stream = sslv2_hello(0x0301);
        let Parsed::Complete((hello, len)) = parse(&stream, 16_384) else { panic!() };
        assert_eq!(len, stream.len());
        assert_eq!(hello.sni, Sni::Absent);
        assert_eq!(hello.version, TlsVersion::Tls10);
        assert_eq!(hello.random, [0xc4; 16]);
        assert!(hello.features.contains(Feature::Sslv2));
        let body = hello.into_body(true);
        let (ja3, ja4) = (body.ja3.unwrap(), body.ja4.unwrap());
        assert!(ja4.starts_with("t10i030000_"), "{ja4}");
        assert_eq!((ja3.len(), ja4.len()), (32, 36));
        let Parsed::Complete((hello, _)) = parse(&sslv2_hello(0x0002), 16_384) else { panic!() };
        assert_eq!(hello.version, TlsVersion::Ssl2);
        for len in 0..stream.len() {
            assert!(matches!(parse(&stream[..len], 16_384), Parsed::NeedMore { .. }), "{len}");
        }
    }

    #[test]
    fn resumption() {
        let features = |session_id: &[u8]| {
            let mut stream = sslv2_hello(0x0002);
            let at = HEADER_LEN + FIXED_LEN + 9;
            stream.splice(at..at, session_id.iter().copied());
            stream[1] += u8::try_from(session_id.len()).unwrap();
            stream[8] = u8::try_from(session_id.len()).unwrap();
            assert!(is_consistent(&stream));
            let Parsed::Complete((hello, _)) = parse(&stream, 16_384) else { panic!() };
            hello.features
        };
        assert!(features(&[7; 16]).contains(Feature::Resumption));
        assert!(!features(&[]).contains(Feature::Resumption));
    }

    #[test]
    fn contradictory_lengths() {
        let valid = sslv2_hello(0x0301);
        for (at, value) in
            [(1, 0x21), (1, 0x23), (1, 8), (6, 8), (6, 12), (8, 1), (8, 16), (10, 15), (10, 17)]
        {
            let mut stream = [valid.clone(), vec![0; 64]].concat();
            stream[at] = value;
            assert_eq!(parse(&stream, 16_384), Parsed::Rejected(Rejected::Hello), "byte {at} = {value}");
        }
        assert_eq!(parse(&valid, 20), Parsed::Rejected(Rejected::TooLarge));
    }

    #[test]
    fn other_bytes() {
        for stream in [&[0x16, 3, 1][..], &[0x80, 40, 2], &[0x80, 40, 1, 2], &[0x80, 40, 1, 3, 9]] {
            assert!(!is_prefix(stream));
            assert_eq!(parse(stream, 16_384), Parsed::Rejected(Rejected::MessageType));
        }
    }
}
