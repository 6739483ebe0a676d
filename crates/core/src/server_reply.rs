//! The gateway's answer to a hello, from the first bytes of each of its segments.
//!
//! Only [`ANSWER_COPY`](sni_probe_datapath::event::ANSWER_COPY) bytes of a segment are copied: enough
//! to tell a ServerHello, a HelloRetryRequest and an alert. Behind a record that was not copied to
//! its end, reading goes on at the next record if that is known, else at the next segment: a gateway
//! that has sent a HelloRetryRequest waits for the client, so its next flight starts a segment.

use std::ops::Range;

use sni_probe_datapath::answer::{self, Answer, HELLO_RETRY_RANDOM};

use crate::assembler::Assembler;
use crate::parsed::Parsed;
use crate::record::{self, content_type};
use crate::sslv2;
use crate::vocabulary::AlertDescription;

/// The handshake type of a ServerHello.
const SERVER_HELLO: u8 = 2;

/// Where the random starts in a ServerHello: after the message's header and `legacy_version`.
const RANDOM_AT: usize = record::MESSAGE_HEADER_LEN + 2;

/// The first message of an answer, told as soon as the bytes leave no doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A ServerHello, in the format of TLS or of SSLv2.
    ServerHello,
    /// The gateway asks for another hello.
    HelloRetryRequest,
    /// An alert.
    Alert {
        /// Whether the handshake may go on after it: a warning (Java's and OpenSSL's servers can send
        /// `unrecognized_name` as one) that does not close the connection.
        may_go_on: bool,
        /// What it says.
        description: AlertDescription,
    },
    /// TLS 1.3's disguise as TLS 1.2 behind a HelloRetryRequest (RFC 8446, appendix D.4).
    ChangeCipherSpec,
    /// Fewer bytes than it takes to tell.
    NeedMore,
    /// No TLS, or nothing that may come in answer to a hello.
    NotTls,
}

/// Reads the message at the start of `stream`, record headers included.
///
/// What one segment of usual form shows is read as the datapath reads it ([`answer::read`]); the rest here, too: a
/// message in pieces.
pub fn message(stream: &[u8]) -> Message {
    match answer(stream) {
        Answer::ServerHello => Message::ServerHello,
        Answer::HelloRetryRequest => Message::HelloRetryRequest,
        Answer::Alert { level, description } => {
            let may_go_on = answer::may_go_on(level, description);
            Message::Alert { may_go_on, description: AlertDescription::from_code(description) }
        }
        Answer::Other => piece(stream),
    }
}

/// What the datapath sees in a segment of the gateway's, of which these are the bytes that were copied.
pub fn answer(segment: &[u8]) -> Answer {
    // All bytes are there, so they can be read.
    answer::read(&segment, 0, segment.len()).unwrap_or(Answer::Other)
}

fn piece(stream: &[u8]) -> Message {
    match *stream {
        [] | [content_type::HANDSHAKE | content_type::ALERT | content_type::CHANGE_CIPHER_SPEC] => {
            Message::NeedMore
        }
        [content_type::HANDSHAKE, ..] => handshake(stream),
        // An alert of another length is encrypted, and before a ServerHello nothing is.
        [content_type::ALERT, 3, ref rest @ ..]
            if matches!(*rest, [] | [_] | [_, 0] | [_, 0, 2] | [_, 0, 2, _]) =>
        {
            Message::NeedMore
        }
        [content_type::CHANGE_CIPHER_SPEC, 3, ..] => Message::ChangeCipherSpec,
        [high, ..] if high & 0x80 != 0 => match stream.len() {
            0..3 => Message::NeedMore,
            _ if sslv2::is_server_hello(stream) => Message::ServerHello,
            _ => Message::NotTls,
        },
        _ => Message::NotTls,
    }
}

fn handshake(stream: &[u8]) -> Message {
    let Ok(prefix) = record::message_prefix(stream, RANDOM_AT + HELLO_RETRY_RANDOM.len()) else {
        return Message::NotTls;
    };
    match prefix.first() {
        None => Message::NeedMore,
        Some(&SERVER_HELLO) => {
            let random = prefix.get(RANDOM_AT..).unwrap_or_default();
            if random == HELLO_RETRY_RANDOM {
                Message::HelloRetryRequest
            } else if HELLO_RETRY_RANDOM.starts_with(random) {
                Message::NeedMore
            } else {
                Message::ServerHello
            }
        }
        Some(_) => Message::NotTls,
    }
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A ServerHello came (that is no HelloRetryRequest).
    ServerHello,
    /// An alert came that ends the handshake.
    Alert(AlertDescription),
    /// Nothing yet that decides.
    Pending,
}

/// Follows the gateway's stream until something decides.
#[derive(Clone, Debug, Default)]
pub struct ReplyReader {
    bytes: Assembler,
    /// Where the next record starts.
    at: usize,
    /// The parts of segments that were not copied.
    not_copied: Vec<Range<usize>>,
    warning: Option<AlertDescription>,
    retried: bool,
    is_other: bool,
    /// Other segments may come first: answers to what came before the hello.
    skips_others: bool,
}

/// Segments that were not copied to their end and are remembered. Stops a gateway that never
/// decides from growing its flow; a reader needs the one in which its next record would start.
const MAX_NOT_COPIED: usize = 16;

impl ReplyReader {
    /// Takes a segment of `payload_len` bytes at `offset` of the gateway's stream, of which `data`
    /// are the first.
    pub fn segment(&mut self, offset: i32, data: &[u8], payload_len: u32) -> Reply {
        // A stream that cannot be followed does not decide: the connection's end will.
        if self.bytes.insert(offset, data).is_err() {
            return Reply::Pending;
        }
        let copied = i64::from(offset) + i64::try_from(data.len()).unwrap_or(i64::MAX);
        let end = i64::from(offset) + i64::from(payload_len);
        if let (Ok(copied), Ok(end)) = (usize::try_from(copied), usize::try_from(end))
            && copied < end
            && self.not_copied.len() < MAX_NOT_COPIED
        {
            self.not_copied.push(copied..end);
        }
        if self.is_other { Reply::Pending } else { self.read() }
    }

    /// Bytes from the start of the stream up to the first one that has not come.
    pub fn contiguous(&self) -> usize {
        let mut end = 0;
        loop {
            let copied = end + self.bytes.bytes_at(end).len();
            let next = self
                .not_copied
                .iter()
                .find(|range| range.contains(&copied))
                .map_or(copied, |range| range.end);
            if next == end {
                return end;
            }
            end = next;
        }
    }

    /// A reader for the answer to a hello behind a prelude. Where the client did not wait for the
    /// prelude's answer, that comes first: segments that do not start like TLS are passed over.
    pub fn behind_prelude() -> Self {
        Self { skips_others: true, ..Self::default() }
    }

    /// Whether the stream begins like an answer of HTTP/1 (RFC 9112, section 4), or like a page without a status line, as in HTTP/0.9:
    /// Python 3.11's `http.server` answers so to what is not HTTP.
    pub fn is_plain_http(&self) -> bool {
        let begin = self.bytes.bytes_at(0);
        let is_page = |page: &[u8]| begin.get(..page.len()).is_some_and(|it| it.eq_ignore_ascii_case(page));
        begin.starts_with(b"HTTP/") || is_page(b"<!DOCTYPE") || is_page(b"<html")
    }

    /// The contiguous bytes from the record on that was read last.
    pub fn unread(&self) -> &[u8] {
        self.bytes.bytes_at(self.at)
    }

    /// Whether a HelloRetryRequest came.
    pub fn retried(&self) -> bool {
        self.retried
    }

    /// The last alert that let the handshake go on, if no more came.
    pub fn warning(&self) -> Option<AlertDescription> {
        self.warning
    }

    /// Heap memory in use, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.heap_bytes() + self.not_copied.capacity() * size_of::<Range<usize>>()
    }

    fn read(&mut self) -> Reply {
        loop {
            let stream = self.bytes.bytes_at(self.at);
            let next = match message(stream) {
                Message::ServerHello => return Reply::ServerHello,
                Message::Alert { may_go_on: false, description } => return Reply::Alert(description),
                Message::Alert { may_go_on: true, description } => {
                    self.warning = Some(description);
                    next_record(stream)
                }
                Message::HelloRetryRequest => {
                    self.retried = true;
                    next_record(stream)
                }
                Message::ChangeCipherSpec => next_record(stream),
                Message::NeedMore => None,
                Message::NotTls if self.skips_others => match self.bytes.next_boundary(self.at) {
                    Some(boundary) => Some(boundary - self.at),
                    None => return Reply::Pending,
                },
                Message::NotTls => {
                    self.is_other = true;
                    return Reply::Pending;
                }
            };
            let end = self.at + stream.len();
            self.at = match (next, self.not_copied.iter().find(|hole| hole.contains(&end))) {
                (Some(next), _) => self.at + next,
                (None, Some(hole)) => hole.end,
                (None, None) => return Reply::Pending,
            };
        }
    }
}

/// Where the record behind the message at the start of `stream` starts; `None` before that is known.
fn next_record(stream: &[u8]) -> Option<usize> {
    if let Parsed::Complete(message) = record::handshake_message(stream, usize::MAX) {
        return Some(message.next_record);
    }
    let &[_, _, _, high, low] = stream.first_chunk()?;
    Some(record::HEADER_LEN + usize::from(u16::from_be_bytes([high, low])))
}

#[cfg(test)]
mod tests {
    use sni_probe_datapath::answer::SERVER_HELLO_LEN;
    use sni_probe_testkit::answers::{alert, hello_retry_request, server_hello};
    use sni_probe_testkit::wire::{handshake, record as record_of};

    use super::*;

    const FATAL_NAME: Message =
        Message::Alert { may_go_on: false, description: AlertDescription::UnrecognizedName };

    /// Feeds segments of a stream in order, each cut to 256 bytes.
    fn replies(segments: &[Vec<u8>]) -> Vec<Reply> {
        let mut reader = ReplyReader::default();
        let mut offset = 0;
        let reply = |segment: &Vec<u8>| {
            let len = u32::try_from(segment.len()).unwrap();
            let reply = reader.segment(offset, &segment[..segment.len().min(256)], len);
            offset += len.cast_signed();
            reply
        };
        segments.iter().map(reply).collect()
    }

    #[test]
    fn messages() {
        assert_eq!(message(&server_hello()), Message::ServerHello);
        assert_eq!(message(&hello_retry_request()), Message::HelloRetryRequest);
        assert_eq!(message(&alert(2, 112)), FATAL_NAME);
        assert_eq!(message(&record_of(20, &[1])), Message::ChangeCipherSpec);
        assert_eq!(message(&[0x80, 0x20, 4, 0, 1, 0, 2]), Message::ServerHello);
        assert_eq!(message(b"HTTP/1.1 400 Bad Request\r\n"), Message::NotTls);
        assert_eq!(message(b"<!DOCTYPE HTML>\n"), Message::NotTls);
        assert_eq!(message(&record_of(22, &handshake(11, &[0; 40]))), Message::NotTls);
        assert_eq!(message(&record_of(23, &[0; 40])), Message::NotTls);
        assert_eq!(message(&record_of(21, &[0; 40])), Message::NotTls);
        assert_eq!(message(&[0x80, 3, 0, 0, 1]), Message::NotTls);
        let closed = AlertDescription::CloseNotify;
        assert_eq!(message(&alert(1, 0)), Message::Alert { may_go_on: false, description: closed });
    }

    #[test]
    fn a_server_hello_is_told_by_its_first_other_byte() {
        let answer = server_hello();
        for len in 0..12 {
            assert_eq!(message(&answer[..len]), Message::NeedMore, "{len}");
        }
        assert_eq!(message(&answer[..12]), Message::ServerHello);
        let retry = hello_retry_request();
        for len in 0..SERVER_HELLO_LEN {
            assert_eq!(message(&retry[..len]), Message::NeedMore, "{len}");
        }
        assert_eq!(message(&retry[..SERVER_HELLO_LEN]), Message::HelloRetryRequest);
    }

    #[test]
    fn over_several_records() {
        let content = server_hello().split_off(5);
        let answer = [record_of(22, &content[..3]), record_of(22, &content[3..])].concat();
        assert_eq!(message(&answer), Message::ServerHello);
    }

    #[test]
    fn a_byte_each() {
        let segments: Vec<Vec<u8>> = server_hello().iter().take(12).map(|&byte| vec![byte]).collect();
        let replies = replies(&segments);
        assert_eq!(replies[11], Reply::ServerHello);
        assert!(replies[..11].iter().all(|&reply| reply == Reply::Pending));
    }

    #[test]
    fn after_a_retry_the_real_answer_counts() {
        let change = record_of(20, &[1]);
        let retry = hello_retry_request();
        let together = [retry.clone(), change.clone()].concat();
        assert_eq!(replies(&[together, server_hello()]), [Reply::Pending, Reply::ServerHello]);
        let name = Reply::Alert(AlertDescription::UnrecognizedName);
        assert_eq!(replies(&[retry, change, alert(2, 112)]), [Reply::Pending, Reply::Pending, name]);
    }

    #[test]
    fn behind_a_retry_that_was_not_copied_whole() {
        let mut content = hello_retry_request().split_off(9);
        for cookie in [200, 400] {
            content.resize(content.len() + cookie, 0);
            let retry = record_of(22, &handshake(2, &content));
            // The change of cipher specs starts in what was not copied, or one byte before.
            let flight = [retry.clone(), record_of(20, &[1])].concat();
            assert_eq!(replies(&[flight, server_hello()]), [Reply::Pending, Reply::ServerHello]);
            assert_eq!(replies(&[retry, server_hello()]), [Reply::Pending, Reply::ServerHello]);
        }
        for len in 250..258 {
            let mut content = hello_retry_request().split_off(9);
            content.resize(len - 9, 0);
            let retry = record_of(22, &handshake(2, &content));
            let flight = [retry, record_of(20, &[1])].concat();
            assert_eq!(replies(&[flight, server_hello()]), [Reply::Pending, Reply::ServerHello], "{len}");
        }
    }

    #[test]
    fn a_warning_is_not_the_end() {
        let mut reader = ReplyReader::default();
        assert_eq!(reader.segment(0, &alert(1, 112), 7), Reply::Pending);
        assert_eq!(reader.warning(), Some(AlertDescription::UnrecognizedName));
        let answer = server_hello();
        assert_eq!(reader.segment(7, &answer, u32::try_from(answer.len()).unwrap()), Reply::ServerHello);
    }

    #[test]
    fn what_has_come_of_the_stream() {
        let mut reader = ReplyReader::default();
        assert_eq!(reader.contiguous(), 0);
        reader.segment(1_400, &[9; 256], 1_400);
        assert_eq!(reader.contiguous(), 0);
        reader.segment(0, &[9; 256], 1_400);
        assert_eq!(reader.contiguous(), 2_800);
        // Also of another protocol's.
        reader.segment(2_800, b"HTTP", 4);
        assert_eq!(reader.contiguous(), 2_804);
        reader.segment(2_805, b"x", 1);
        assert_eq!(reader.contiguous(), 2_804);
    }

    #[test]
    fn other_protocols_never_decide() {
        assert_eq!(replies(&[b"HTTP/1.1".to_vec(), server_hello()]), [Reply::Pending; 2]);
    }
}
