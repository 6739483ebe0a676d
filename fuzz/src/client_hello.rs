//! The ClientHello.

use sni_probe_core::client_hello::{ClientHello, MESSAGE_TYPE, Offers, parse};
use sni_probe_core::lists::is_grease;
use sni_probe_core::observation::Sni;
use sni_probe_core::opening::{self, Content};
use sni_probe_core::record::{MAX_FRAGMENT_LEN, MESSAGE_HEADER_LEN};
use sni_probe_core::server_name::{MAX_HOST_NAME_LEN, MAX_SHOWN_BYTES};

use crate::input::cuts;

/// The `server_name` extension.
const SERVER_NAME: u16 = 0;

/// A 24-bit length can say no more.
const MAX_CONTENT_LEN: usize = (1 << 24) - 1;

/// Takes the bytes for a handshake message: as they are, and with a header that is right.
///
/// # Panics
///
/// An invariant is broken.
pub fn client_hello(bytes: &[u8]) {
    assert_message(bytes);
    let content = bytes.get(MESSAGE_HEADER_LEN..).unwrap_or_default();
    let message = message_of(&content[..content.len().min(MAX_CONTENT_LEN)]);
    if message != bytes {
        assert_message(&message);
    }
}

fn message_of(content: &[u8]) -> Vec<u8> {
    let len = u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[MESSAGE_TYPE, len[1], len[2], len[3]], content].concat()
}

fn assert_message(message: &[u8]) {
    let parsed = parse(message);
    assert_eq!(parsed, parse(message), "the same bytes read the same");
    let skeleton = Skeleton::of(message);
    assert_eq!(parsed.is_ok(), skeleton.is_some(), "{parsed:?}, but {skeleton:?}");
    let (Ok(hello), Some(skeleton)) = (parsed, skeleton) else { return };
    assert_agree(&hello, &skeleton);
    assert_no_prefix_is_one(message, &skeleton);
    assert_grease_is_ignored(&hello, message, &skeleton);
    assert_same_in_a_record(&hello, message);
}

/// Another reading of a hello, which knows of nothing but lengths.
#[derive(Debug)]
struct Skeleton<'a> {
    legacy_version: u16,
    random: &'a [u8],
    /// Where the length of the extension block is; `None` without one.
    block_at: Option<usize>,
    /// Types and bodies.
    extensions: Vec<(u16, &'a [u8])>,
}

impl<'a> Skeleton<'a> {
    fn of(message: &'a [u8]) -> Option<Self> {
        let (&[MESSAGE_TYPE, high, middle, low], content) = message.split_first_chunk()? else { return None };
        if u32::from_be_bytes([0, high, middle, low]) as usize != content.len() {
            return None;
        }
        let (version, rest) = content.split_first_chunk()?;
        let (random, rest) = rest.split_at_checked(32)?;
        let (session_id, rest) = vector(rest, 1)?;
        let (ciphers, rest) = vector(rest, 2)?;
        let (_compressions, rest) = vector(rest, 1)?;
        if session_id.len() > 32 || !ciphers.len().is_multiple_of(2) {
            return None;
        }
        let block_at = (!rest.is_empty()).then_some(message.len() - rest.len());
        let mut extensions = Vec::new();
        if block_at.is_some() {
            let (mut block, behind) = vector(rest, 2)?;
            if !behind.is_empty() {
                return None;
            }
            while !block.is_empty() {
                let (kind, rest) = block.split_first_chunk()?;
                let (body, rest) = vector(rest, 2)?;
                extensions.push((u16::from_be_bytes(*kind), body));
                block = rest;
            }
            // Which of two names counts, nothing says (RFC 8446, section 4.2).
            if extensions.iter().filter(|(kind, _)| *kind == SERVER_NAME).count() > 1 {
                return None;
            }
        }
        Some(Self { legacy_version: u16::from_be_bytes(*version), random, block_at, extensions })
    }
}

/// A vector whose length has so many bytes, and what is behind it.
fn vector(bytes: &[u8], length_bytes: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(length_bytes)?;
    let length = length.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
    rest.split_at_checked(length)
}

fn assert_agree(hello: &ClientHello, skeleton: &Skeleton<'_>) {
    assert_eq!(hello.random, skeleton.random);
    let Offers::Tls(lists) = &hello.offers else { panic!("no SSLv2: {hello:?}") };
    assert_eq!(lists.legacy_version, skeleton.legacy_version);
    assert!(lists.extensions.iter().eq(skeleton.extensions.iter().map(|(kind, _)| kind)));

    let server_name = skeleton.extensions.iter().find(|(kind, _)| *kind == SERVER_NAME);
    assert_eq!(hello.sni == Sni::Absent, server_name.is_none(), "{:?}", hello.sni);
    assert_ne!(hello.sni, Sni::Unknown, "the hello is whole");
    match &hello.sni {
        Sni::Present(name) => {
            assert!(!name.is_empty() && name.len() <= MAX_HOST_NAME_LEN);
            assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()));
        }
        Sni::Invalid(shown) => {
            assert!(!shown.is_empty() && shown.is_ascii() && !shown.bytes().any(|byte| byte < b' '));
            // Four characters for each byte, and room to say that there were more.
            assert!(shown.len() <= 4 * MAX_SHOWN_BYTES + 8, "{shown}");
        }
        Sni::Absent | Sni::Empty | Sni::Unknown => {}
    }

    let none = hello.clone().into_body(false);
    assert_eq!((none.ja3, none.ja4), (None, None));
    let body = hello.clone().into_body(true);
    assert!(!body.sslv2 && body.version == hello.version);
    let (ja3, ja4) = (body.ja3.unwrap_or_default(), body.ja4.unwrap_or_default());
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    assert!(ja3.len() == 32 && ja3.bytes().all(is_hex), "{ja3}");
    assert!(ja4.len() == 36 && ja4.is_ascii(), "{ja4}");
    let extensions = skeleton.extensions.iter().filter(|(kind, _)| !is_grease(*kind)).count();
    assert_eq!(ja4[6..8], format!("{:02}", extensions.min(99)));
    let ja4 = ja4.as_bytes();
    assert_eq!((ja4[0], ja4[10], ja4[23]), (b't', b'_', b'_'));
    assert_eq!(ja4[3], if server_name.is_some() { b'd' } else { b'i' });
}

/// Half a hello is none: neither as it is, nor if its header were right, unless it ends where a hello
/// without extensions may.
fn assert_no_prefix_is_one(message: &[u8], skeleton: &Skeleton<'_>) {
    for len in cuts(message) {
        let prefix = &message[..len];
        assert!(parse(prefix).is_err(), "{len} bytes of {}", message.len());
        if len >= MESSAGE_HEADER_LEN && skeleton.block_at != Some(len) {
            assert!(parse(&message_of(&prefix[MESSAGE_HEADER_LEN..])).is_err(), "{len} of {}", message.len());
        }
    }
}

/// One more GREASE extension changes nothing that is told.
fn assert_grease_is_ignored(hello: &ClientHello, message: &[u8], skeleton: &Skeleton<'_>) {
    const GREASE: &[u8] = &[0x5a, 0x5a, 0, 1, 0];
    let Some(block_at) = skeleton.block_at else { return };
    let block = &message[block_at + 2..];
    let Ok(block_len) = u16::try_from(block.len() + GREASE.len()) else { return };
    let before = &message[MESSAGE_HEADER_LEN..block_at];
    let greased = message_of(&[before, &block_len.to_be_bytes(), block, GREASE].concat());
    let told = |hello: ClientHello| (hello.sni.clone(), hello.features, hello.into_body(true));
    assert_eq!(parse(&greased).map(told), Ok(told(hello.clone())));
}

fn assert_same_in_a_record(hello: &ClientHello, message: &[u8]) {
    if message.len() > MAX_FRAGMENT_LEN / 2 {
        return;
    }
    let record = |fragment: &[u8]| {
        let len = u16::try_from(fragment.len()).unwrap_or(u16::MAX).to_be_bytes();
        [&[22, 3, 1, len[0], len[1]], fragment].concat()
    };
    // In one record, and with its header in another than its content.
    let (header, content) = message.split_at(MESSAGE_HEADER_LEN);
    for stream in [record(message), [record(header), record(content)].concat()] {
        let Content::Hello(whole) = opening::read(&stream).content else {
            panic!("no hello in {stream:02x?}")
        };
        assert_eq!(whole.hello, *hello);
        assert_eq!(whole.span, 0..stream.len());
    }
}
