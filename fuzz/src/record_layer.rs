//! The record layer and what else a client's stream can begin with.

use sni_probe_core::assembler::MAX_STREAM_BYTES;
use sni_probe_core::observation::Sni;
use sni_probe_core::opening::{self, Content, Opening};
use sni_probe_core::parsed::{Parsed, Rejected};
use sni_probe_core::record::{
    HEADER_LEN, HandshakeMessage, MAX_FRAGMENT_LEN, MESSAGE_HEADER_LEN, handshake_message, message_prefix,
    outline,
};
use sni_probe_core::{server_reply, sslv2};

use crate::answers::settle;
use crate::input::cuts;

/// Takes the bytes for the start of a stream: of records, or of anything else.
///
/// # Panics
///
/// An invariant is broken.
pub fn record_layer(bytes: &[u8]) {
    // More will never be read: see the assembler.
    let bytes = &bytes[..bytes.len().min(MAX_STREAM_BYTES)];
    for limit in [MAX_STREAM_BYTES, 64] {
        let answer = settle(bytes, |stream| handshake_message(stream, limit));
        assert_outline_agrees(bytes, &answer);
        assert_prefix_agrees(bytes, &answer);
        if let Parsed::NeedMore { at_least } = answer {
            assert!(at_least <= limit);
        }
        if let Parsed::Complete(message) = answer {
            assert!(message.end <= bytes.len().min(limit));
            assert_located(&message);
            assert_eq!(message.bytes, joined(bytes).get(..message.bytes.len()).unwrap_or_default());
        }
    }
    let sslv2 = settle(bytes, |stream| sslv2::parse(stream, MAX_STREAM_BYTES));
    if let Parsed::Complete((hello, len)) = sslv2 {
        assert_eq!(hello.sni, Sni::Absent);
        assert!(hello.into_body(true).sslv2);
        assert!(sslv2::is_prefix(bytes) && len == sslv2::announced_len(bytes));
    }
    assert_opening_settles(bytes);
    let _ = server_reply::message(bytes);
}

/// Another reading of the same bytes: all fragments, one behind the other, as far as there are records
/// of handshake data.
fn joined(bytes: &[u8]) -> Vec<u8> {
    let mut joined = Vec::new();
    let mut rest = bytes;
    while let Some((&[22, 3, _, high, low], behind)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len == 0 || len > MAX_FRAGMENT_LEN {
            break;
        }
        let (fragment, behind) = behind.split_at(len.min(behind.len()));
        joined.extend_from_slice(fragment);
        rest = behind;
    }
    joined
}

fn assert_located(message: &HandshakeMessage<'_>) {
    assert!(message.records >= 1 && message.next_record >= message.end);
    // Its bytes, and a header for each record.
    assert_eq!(message.end, message.bytes.len() + message.records as usize * HEADER_LEN);
    let &[_, high, middle, low, ..] = &message.bytes[..] else { panic!("no header in {message:?}") };
    let announced = u32::from_be_bytes([0, high, middle, low]) as usize;
    assert_eq!(message.bytes.len(), MESSAGE_HEADER_LEN + announced);
}

fn assert_outline_agrees(bytes: &[u8], answer: &Parsed<HandshakeMessage<'_>>) {
    let outline = outline(bytes);
    if let Parsed::Complete(message) = answer {
        assert_eq!(outline.length as usize, message.bytes.len());
        assert_eq!(outline.records, message.records);
    }
    if outline.length != 0 {
        assert!(outline.records != 0 && outline.length as usize >= MESSAGE_HEADER_LEN);
    }
}

fn assert_prefix_agrees(bytes: &[u8], answer: &Parsed<HandshakeMessage<'_>>) {
    let all = joined(bytes);
    for wanted in [0, 1, MESSAGE_HEADER_LEN, 38, bytes.len() + 1] {
        match (message_prefix(bytes, wanted), answer) {
            (Ok(prefix), _) => assert_eq!(prefix, all[..all.len().min(wanted)]),
            // A message that is whole or may become so has nothing to reject up to its end.
            (Err(reason), Parsed::Complete(message)) => {
                assert!(wanted > message.bytes.len(), "{reason} in {message:?}");
            }
            (Err(reason), Parsed::NeedMore { .. }) => panic!("{reason}, yet more is waited for"),
            (Err(reason), Parsed::Rejected(other)) => {
                assert!(reason == *other || *other == Rejected::TooLarge, "{reason}, or {other}");
            }
        }
    }
}

/// What a stream starts with is decided once, and never before a hello is whole.
fn assert_opening_settles(bytes: &[u8]) {
    let mut last = opening::read(&[]);
    for len in cuts(bytes).into_iter().chain([bytes.len()]) {
        let opening = opening::read(&bytes[..len]);
        assert_plausible(&opening, len);
        if last.proxy.is_some() {
            assert_eq!(last.proxy, opening.proxy);
        }
        match (&last.content, &opening.content) {
            (
                Content::Undecided { at_least: before } | Content::Partial { at_least: before, .. },
                Content::Undecided { at_least } | Content::Partial { at_least, .. },
            ) => assert!(before <= at_least),
            (Content::Undecided { at_least } | Content::Partial { at_least, .. }, Content::Hello(_)) => {
                assert!(*at_least <= len);
            }
            (Content::Undecided { .. } | Content::Partial { .. }, _) => {}
            // What is known of a hello that was given up may still grow.
            (Content::Rejected { reason: before, .. }, Content::Rejected { reason, .. }) => {
                assert_eq!(before, reason);
            }
            (decided, now) => assert_eq!(decided, now),
        }
        last = opening;
    }
}

fn assert_plausible(opening: &Opening, len: usize) {
    assert!(opening.proxy.is_none_or(|header| header.len <= len));
    assert_eq!(opening.prelude().is_some(), opening.proxy.is_some());
    let start = opening.proxy.map_or(0, |header| header.len);
    match &opening.content {
        Content::Undecided { at_least } => assert!(*at_least > len),
        Content::Partial { at_least, partial } => {
            assert!(*at_least > len && *at_least <= MAX_STREAM_BYTES && partial.start == start);
        }
        Content::Rejected { partial, .. } => assert_eq!(partial.start, start),
        Content::NonTls(_) => {}
        Content::Hello(whole) => {
            assert!(
                whole.span.start == start && whole.span.end <= len && whole.next_record >= whole.span.end
            );
            assert!(whole.length as usize <= whole.span.len());
        }
    }
}
