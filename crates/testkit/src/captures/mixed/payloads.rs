//! What the segments carry.

use super::checksum::{sum, sum_at_odd_offset};
use super::random::Random;
use crate::answers::server_hello;
use crate::hello::{ClientHelloBuilder, POST_QUANTUM_BYTES, TLS_1_2};

/// The payload of a full segment with timestamps.
pub(super) const MSS: usize = 1448;

/// Where a hello's random is, but for its first byte: the rest begins at an even offset.
const RANDOM_AT: usize = 12;
/// A name with eight digits that are patched.
const NAME: &str = "host-00000000.example.com";
const DIGITS_IN_NAME: usize = 5;
const DIGITS: usize = 8;

/// Sizes of hellos that are not post-quantum.
const CLASSIC_BYTES: std::ops::Range<usize> = 300..700;
const CLASSIC_KINDS: usize = 40;
const POST_QUANTUM_KINDS: usize = 12;

/// The bytes of a segment.
#[derive(Debug, Clone)]
pub(super) struct Payload {
    pub(super) bytes: Vec<u8>,
    /// The sum of their words; a patch's bytes are 0 in it.
    pub(super) sum: u32,
    /// Where eight digits go.
    digits_at: Option<usize>,
    /// Where eight random bytes go: an even offset.
    random_at: Option<usize>,
}

/// What is patched in a payload.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Patch {
    pub(super) number: u64,
    pub(super) random: u64,
}

impl Payload {
    fn new(bytes: Vec<u8>) -> Self {
        Self { sum: sum(&bytes), bytes, digits_at: None, random_at: None }
    }

    pub(super) fn empty() -> Self {
        Self::new(Vec::new())
    }

    /// Segment `range` of a hello.
    fn of_hello(hello: &[u8], range: std::ops::Range<usize>) -> Self {
        let mut bytes = hello[range].to_vec();
        let is_first = bytes.first_chunk() == hello.first_chunk::<RANDOM_AT>();
        let random_at = is_first.then_some(RANDOM_AT);
        let name_at = bytes.windows(NAME.len()).position(|window| window == NAME.as_bytes());
        let digits_at = name_at.map(|at| at + DIGITS_IN_NAME);
        for at in [random_at, digits_at].into_iter().flatten() {
            bytes[at..at + 8].fill(0);
        }
        Self { digits_at, random_at, ..Self::new(bytes) }
    }

    /// Patches the payload's copy in a frame, and gives what that adds to the sum.
    pub(super) fn patch(&self, copy: &mut [u8], patch: Patch) -> u32 {
        let mut added = 0;
        if let Some(at) = self.random_at {
            let random = patch.random.to_be_bytes();
            copy[at..at + 8].copy_from_slice(&random);
            added += sum(&random);
        }
        if let Some(at) = self.digits_at {
            let mut digits = [b'0'; DIGITS];
            let mut number = patch.number;
            for digit in digits.iter_mut().rev() {
                *digit += u8::try_from(number % 10).expect("a digit");
                number /= 10;
            }
            copy[at..at + 8].copy_from_slice(&digits);
            // At an odd offset, the bytes of each word are the other way round.
            added += if at % 2 == 0 { sum(&digits) } else { sum_at_odd_offset(&digits) };
        }
        added
    }
}

/// A hello in its segments.
#[derive(Debug)]
pub(super) struct Hello {
    pub(super) segments: Vec<Payload>,
}

impl Hello {
    fn new(builder: &ClientHelloBuilder) -> Self {
        let bytes = builder.build();
        let starts = (0..bytes.len()).step_by(MSS);
        let segments = starts.map(|start| Payload::of_hello(&bytes, start..bytes.len().min(start + MSS)));
        Self { segments: segments.collect() }
    }
}

/// All payloads.
#[derive(Debug)]
pub(super) struct Library {
    pub(super) empty: Payload,
    /// Hellos with SNI and without, the small ones.
    pub(super) classic: [Vec<Hello>; 2],
    /// The same, post-quantum, in two segments.
    pub(super) post_quantum: [Vec<Hello>; 2],
    pub(super) server_hello: Payload,
    /// Full segments with the start of a record, and without.
    pub(super) record_starts: Vec<Payload>,
    pub(super) record_rests: Vec<Payload>,
    /// Small records.
    pub(super) uploads: Vec<Payload>,
    pub(super) http_request: Payload,
    pub(super) http_response: Payload,
    pub(super) http_body: Payload,
    pub(super) dns_query: Vec<u8>,
    pub(super) dns_response: Vec<u8>,
}

impl Library {
    pub(super) fn new(random: &mut Random) -> Self {
        let with_and_without = [ClientHelloBuilder::new().server_name(NAME), ClientHelloBuilder::new()];
        let classic = with_and_without.clone().map(|builder| {
            let step = (CLASSIC_BYTES.end - CLASSIC_BYTES.start) / CLASSIC_KINDS;
            let sizes = CLASSIC_BYTES.step_by(step).enumerate();
            let kind = |(index, size)| {
                // One in four knows TLS 1.2 and nothing newer.
                let builder = builder.clone().padded_to(size);
                Hello::new(&if index % 4 == 3 { builder.versions(&[TLS_1_2]) } else { builder })
            };
            sizes.map(kind).collect()
        });
        let post_quantum = with_and_without.map(|builder| {
            let kind = |index| {
                let builder = builder.clone().post_quantum().padded_to(POST_QUANTUM_BYTES - 4 * index);
                Hello::new(&if index % 3 == 2 { builder.server_name_last() } else { builder })
            };
            (0..POST_QUANTUM_KINDS).map(kind).collect()
        });
        // The ServerHello, and the beginning of what is encrypted behind it.
        let mut flight = server_hello();
        flight.extend_from_slice(&[20, 3, 3, 0, 1, 1]);
        flight.append(&mut application_data(100, random));
        let body = [b"<p>a line of text</p>\n".repeat(MSS / 22), b"<p>the rest</p>\n".to_vec()].concat();
        let [dns_query, dns_response] = dns();
        Self {
            empty: Payload::empty(),
            classic,
            post_quantum,
            server_hello: Payload::new(flight),
            record_starts: (0..8).map(|_| Payload::new(record_start(random))).collect(),
            record_rests: (0..32).map(|_| Payload::new(encrypted(MSS, random))).collect(),
            uploads: (1..16).map(|index| Payload::new(application_data(80 * index, random))).collect(),
            http_request: Payload::new(
                b"GET /index.html HTTP/1.1\r\nHost: www.example.com\r\nAccept: */*\r\n\r\n".to_vec(),
            ),
            http_response: Payload::new(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n".to_vec(),
            ),
            http_body: Payload::new(body),
            dns_query,
            dns_response,
        }
    }
}

/// Bytes that look encrypted, and like the beginning of no protocol: a full segment of them may be all that
/// is seen of its connection.
fn encrypted(length: usize, random: &mut Random) -> Vec<u8> {
    let words = length.div_ceil(8);
    let mut bytes: Vec<u8> = (0..words).flat_map(|_| random.next().to_be_bytes()).collect();
    bytes.truncate(length);
    bytes[0] = 1;
    bytes
}

/// A whole record.
fn application_data(length: usize, random: &mut Random) -> Vec<u8> {
    let [high, low] = u16::try_from(length).expect("a record is short").to_be_bytes();
    [vec![23, 3, 3, high, low], encrypted(length, random)].concat()
}

/// A full segment with the start of a record of 16 KiB.
fn record_start(random: &mut Random) -> Vec<u8> {
    const HEADER: [u8; 5] = [23, 3, 3, 0x40, 0x11];
    [&HEADER[..], &encrypted(MSS - HEADER.len(), random)].concat()
}

/// A query for an address, and the answer. The id is patched.
fn dns() -> [Vec<u8>; 2] {
    const QUESTION: &[u8] = b"\x03www\x07example\x03com\0\0\x01\0\x01";
    const ANSWER: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\xc6\x33\x64\x09";
    let query = [b"\0\0\x01\0\0\x01\0\0\0\0\0\0", QUESTION].concat();
    let response = [b"\0\0\x81\x80\0\x01\0\x01\0\0\0\0", QUESTION, ANSWER].concat();
    [query, response]
}
