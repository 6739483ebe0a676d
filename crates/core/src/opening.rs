//! What a client's stream starts with: a PROXY header or none, then a ClientHello, or something else.
//!
//! One pure function of the bytes that are there so far, [`read`]. It decides as early as it is
//! certain, and more bytes never change a decision. Where a hello may come behind something else,
//! [`prelude`](crate::prelude) says where, and [`read_behind`] reads it.

use std::ops::Range;

use crate::assembler::MAX_STREAM_BYTES;
use crate::client_hello::{self, ClientHello};
use crate::parsed::{Parsed, Rejected};
use crate::proxy_header::{self, ProxyHeader, Version};
use crate::record::{self, content_type};
use crate::sslv2;
use crate::vocabulary::{NonTls, Prelude};

/// What the bytes so far are.
#[derive(Clone, Debug, PartialEq)]
pub struct Opening {
    /// The PROXY header that comes first, if it is there and whole.
    pub proxy: Option<ProxyHeader>,
    /// Whatever else comes before the content; see [`Opening::prelude`](Self::prelude()).
    pub behind: Option<Prelude>,
    /// What comes then.
    pub content: Content,
}

/// What a stream starts with, behind a PROXY header.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Too few bytes to tell. Reading again is in vain before the stream has `at_least` bytes.
    Undecided {
        /// Bytes of the stream, from its start.
        at_least: usize,
    },
    /// No TLS.
    NonTls(NonTls),
    /// A ClientHello that is not whole. Reading again is in vain before the stream has `at_least` bytes.
    Partial {
        /// Bytes of the stream, from its start.
        at_least: usize,
        /// What is known of it.
        partial: PartialHello,
    },
    /// A ClientHello that will never be readable.
    Rejected {
        /// Why.
        reason: Rejected,
        /// What is known of it.
        partial: PartialHello,
    },
    /// A whole ClientHello.
    Hello(Box<WholeHello>),
}

/// What is known of a hello without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialHello {
    /// Whether it has the SSLv2 format.
    pub sslv2: bool,
    /// Its length as announced, in bytes; 0 before that is seen.
    pub length: u32,
    /// TLS records that have begun.
    pub records: u32,
    /// Where its first record starts in the stream.
    pub start: usize,
}

impl PartialHello {
    /// Where it ends in the stream at the earliest: each record after the first one takes a header more.
    pub fn least_end(&self) -> usize {
        let header = if self.sslv2 { 0 } else { record::HEADER_LEN };
        self.start.saturating_add(header).saturating_add(usize::try_from(self.length).unwrap_or(usize::MAX))
    }
}

/// A hello and where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct WholeHello {
    /// Its content.
    pub hello: ClientHello,
    /// Length of the handshake message with its header; of an SSLv2 hello, of its record. In bytes.
    pub length: u32,
    /// TLS records that it spans (1 for an SSLv2 hello).
    pub records: u32,
    /// Its bytes in the stream, from its first record's header.
    pub span: Range<usize>,
    /// Where in the stream the record behind it starts.
    pub next_record: usize,
}

impl Opening {
    fn new(proxy: Option<ProxyHeader>, content: Content) -> Self {
        Self { proxy, behind: None, content }
    }

    /// What comes before the content.
    pub fn prelude(&self) -> Option<Prelude> {
        let of_proxy = |header: ProxyHeader| match header.version {
            Version::V1 => Prelude::ProxyV1,
            Version::V2 => Prelude::ProxyV2,
        };
        self.behind.or(self.proxy.map(of_proxy))
    }
}

/// Reads the first bytes of a client's stream.
pub fn read(stream: &[u8]) -> Opening {
    match classify(stream, true) {
        Start::Proxy => match proxy_header::parse(stream, MAX_STREAM_BYTES) {
            Parsed::Complete(header) => {
                let content = read_content(stream, header.len, classify(&stream[header.len..], false));
                Opening::new(Some(header), content)
            }
            Parsed::NeedMore { at_least } => Opening::new(None, Content::Undecided { at_least }),
            Parsed::Rejected(_) => Opening::new(None, Content::NonTls(NonTls::Other)),
        },
        start => Opening::new(None, read_content(stream, 0, start)),
    }
}

/// Reads the hello that begins at `at`, behind a PROXY header or none and then a prelude.
pub fn read_behind(stream: &[u8], proxy: Option<ProxyHeader>, prelude: Prelude, at: usize) -> Opening {
    let content = read_content(stream, at, classify(&stream[at..], false));
    Opening { proxy, behind: Some(prelude), content }
}

/// What the first bytes look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Undecided,
    Proxy,
    Tls,
    Sslv2,
    NonTls(NonTls),
}

/// HTTP's methods (RFC 9110, section 9.3; RFC 5789) and the preface of HTTP/2 (RFC 9113, section 3.4).
const HTTP: [&[u8]; 10] = [
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"PUT ",
    b"OPTIONS ",
    b"DELETE ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
    b"PRI * HTTP/2.0\r\n",
];

/// An SSH identification string (RFC 4253, section 4.2).
const SSH: &[u8] = b"SSH-";

fn classify(stream: &[u8], proxy_may_come: bool) -> Start {
    let proxies = [proxy_header::V1_SIGNATURE, proxy_header::V2_SIGNATURE].map(|text| (text, Start::Proxy));
    let proxies = proxies.into_iter().filter(|_| proxy_may_come);
    let http = HTTP.map(|text| (text, Start::NonTls(NonTls::Http)));
    let signatures = proxies.chain(http).chain([(SSH, Start::NonTls(NonTls::Ssh))]);
    let mut may_be_text = false;
    for (signature, start) in signatures {
        if stream.starts_with(signature) {
            return start;
        }
        may_be_text |= signature.starts_with(stream);
    }
    if may_be_text {
        Start::Undecided
    } else if is_tls(stream) {
        Start::Tls
    } else if sslv2::is_prefix(stream) {
        if stream.len() < sslv2::SIGNATURE_LEN { Start::Undecided } else { Start::Sslv2 }
    } else {
        Start::NonTls(NonTls::Other)
    }
}

/// Whether the bytes so far can start a handshake record with a ClientHello. That its length is one
/// that a record may have is the record layer's to judge.
fn is_tls(stream: &[u8]) -> bool {
    let is = |at: usize, value: u8| stream.get(at).is_none_or(|&byte| byte == value);
    let is_length =
        |length: &[u8; 2]| (1..=record::MAX_FRAGMENT_LEN).contains(&usize::from(u16::from_be_bytes(*length)));
    let has_length = stream.get(3..).and_then(|length| length.first_chunk()).is_none_or(is_length);
    is(0, content_type::HANDSHAKE)
        && is(1, 3)
        && (!has_length || is(record::HEADER_LEN, client_hello::MESSAGE_TYPE))
}

fn read_content(stream: &[u8], at: usize, start: Start) -> Content {
    match start {
        Start::Undecided => Content::Undecided { at_least: stream.len() + 1 },
        Start::Tls => read_tls(&stream[at..], at),
        Start::Sslv2 => read_sslv2(&stream[at..], at),
        Start::NonTls(protocol) => Content::NonTls(protocol),
        // A second PROXY header: the specification has none.
        Start::Proxy => Content::NonTls(NonTls::Other),
    }
}

fn read_tls(stream: &[u8], at: usize) -> Content {
    let outline = record::outline(stream);
    let (length, records) = (outline.length, outline.records);
    let partial = PartialHello { sslv2: false, length, records, start: at };
    match record::handshake_message(stream, MAX_STREAM_BYTES - at) {
        Parsed::NeedMore { at_least } => Content::Partial { at_least: at + at_least, partial },
        Parsed::Rejected(reason) => Content::Rejected { reason, partial },
        Parsed::Complete(message) => match client_hello::parse(&message.bytes) {
            Err(reason) => Content::Rejected { reason, partial },
            Ok(hello) => Content::Hello(Box::new(WholeHello {
                hello,
                length,
                records,
                span: at..at + message.end,
                next_record: at + message.next_record,
            })),
        },
    }
}

fn read_sslv2(stream: &[u8], at: usize) -> Content {
    let length = u32::try_from(sslv2::announced_len(stream)).unwrap_or(u32::MAX);
    let partial = PartialHello { sslv2: true, length, records: 1, start: at };
    match sslv2::parse(stream, MAX_STREAM_BYTES - at) {
        Parsed::NeedMore { at_least } => Content::Partial { at_least: at + at_least, partial },
        Parsed::Rejected(reason) => Content::Rejected { reason, partial },
        Parsed::Complete((hello, len)) => {
            let end = at + len;
            Content::Hello(Box::new(WholeHello {
                hello,
                length,
                records: 1,
                span: at..end,
                next_record: end,
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use sni_probe_testkit::hello::ClientHelloBuilder;
    use sni_probe_testkit::proxy::{V1 as PROXY_V1, v2_with_tlv as proxy_v2};
    use sni_probe_testkit::wire::record as record_of;

    use super::*;
    use crate::testing::{sslv2_hello, tls10};

    fn content(stream: &[u8]) -> Content {
        read(stream).content
    }

    #[test]
    fn other_protocols() {
        for (stream, protocol) in [
            (&b"GET / HTTP/1.1\r\n"[..], NonTls::Http),
            (b"PUT ", NonTls::Http),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NonTls::Http),
            (b"SSH-2.0-OpenSSH_9.2\r\n", NonTls::Ssh),
            (b"GETS", NonTls::Other),
            (b"get ", NonTls::Other),
            (b"PROXIES", NonTls::Other),
            (b"PROXY NONSENSE\r\n", NonTls::Other),
            (&[0x16, 2], NonTls::Other),
            (&[0x16, 3, 3, 0, 40, 2], NonTls::Other),
            (&[0x17, 3, 3, 0, 40, 1], NonTls::Other),
            (&[0x80, 40, 2], NonTls::Other),
            (&[0], NonTls::Other),
        ] {
            assert_eq!(content(stream), Content::NonTls(protocol), "{stream:02x?}");
        }
        let twice = [PROXY_V1, PROXY_V1].concat();
        assert_eq!(content(&twice), Content::NonTls(NonTls::Other));
    }

    #[test]
    fn too_few_bytes() {
        for stream in
            [&b""[..], b"P", b"PR", b"PROXY TCP4", b"GET", b"S", b"\r\n\r\n", &[0x80], &[0x80, 40, 1, 3]]
        {
            assert!(matches!(content(stream), Content::Undecided { .. }), "{stream:02x?}");
        }
        assert!(matches!(content(PROXY_V1), Content::Undecided { .. }));
        for stream in [&[0x16][..], &[0x16, 3], &[0x16, 3, 1], &[0x16, 3, 1, 2, 0, 1]] {
            assert!(matches!(content(stream), Content::Partial { .. }), "{stream:02x?}");
        }
    }

    #[test]
    fn broken_hellos() {
        let rejected = |stream: &[u8]| match content(stream) {
            Content::Rejected { reason, .. } => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(rejected(&[0x16, 3, 1, 0, 0]), Rejected::RecordLength);
        assert_eq!(rejected(&[0x16, 3, 1, 0x40, 1]), Rejected::RecordLength);
        assert_eq!(rejected(&[0x16, 3, 1, 0, 4, 1, 1, 0, 0]), Rejected::TooLarge);
        assert_eq!(rejected(&record_of(22, &[1, 0, 0, 1, 3])), Rejected::Hello);
        // The PROXY header takes from the room.
        let longest = ClientHelloBuilder::new().padded_to(MAX_STREAM_BYTES).build();
        assert!(matches!(content(&longest), Content::Hello(_)));
        assert_eq!(rejected(&[PROXY_V1, &longest].concat()), Rejected::TooLarge);
    }

    #[test]
    fn hello_behind_a_proxy_header() {
        let hello = ClientHelloBuilder::new().server_name("a.example").build();
        for header in [PROXY_V1.to_vec(), proxy_v2()] {
            let stream = [&header[..], &hello].concat();
            let opening = read(&stream);
            assert_eq!(opening.proxy.map(|proxy| proxy.len), Some(header.len()));
            let Content::Hello(whole) = opening.content else { panic!() };
            assert_eq!(whole.span, header.len()..stream.len());
            assert_eq!(whole.next_record, stream.len());
        }
    }

    /// No prefix of a hello says anything of its name; a decision stands, and is not late.
    #[test]
    fn every_prefix() {
        let hello = ClientHelloBuilder::new().post_quantum().server_name("a.example");
        for stream in [
            hello.build(),
            hello.in_records_at(&[2, 1000]),
            tls10().build(),
            sslv2_hello(0x0301),
            [PROXY_V1, &hello.build()].concat(),
            [proxy_v2(), hello.build()].concat(),
            [PROXY_V1, &sslv2_hello(0x0301)].concat(),
        ] {
            let mut needed = 0;
            for len in 0..stream.len() {
                let (Content::Undecided { at_least } | Content::Partial { at_least, .. }) =
                    content(&stream[..len])
                else {
                    panic!("{len} bytes decide");
                };
                assert!(len < at_least && at_least <= stream.len(), "{len}");
                assert!(needed <= at_least);
                needed = at_least;
            }
            assert!(matches!(content(&stream), Content::Hello(_)));
            assert_eq!(content(&stream), content(&[&stream[..], b"early data"].concat()));
        }
    }
}
