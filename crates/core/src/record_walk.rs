//! Where the records of one direction of a connection begin, of which only the beginnings of segments are at hand.
//!
//! The position in the stream is kept here and not in the datapath. A record need not begin at a segment. Where its header was not
//! copied, it is unseen, and the walk goes on with the next segment that begins like a record.

use sni_probe_datapath::seq::SeqNumber;

use crate::record::{self, content_type};

/// Longest fragment of a protected record (RFC 5246, section 6.2.3).
const MAX_FRAGMENT: u16 = (1 << 14) + 2048;

/// Segments that wait for one before them. Stops a peer that leaves a hole from filling the memory. A client's reply to a
/// ServerHello has at most six segments that are passed on.
const MAX_WAITING: usize = 4;

/// The beginning of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordStart {
    /// One of [`content_type`], or another number.
    pub(crate) content_type: u8,
    /// Length of the fragment, in bytes.
    pub(crate) len: u16,
    /// The fragment's first two bytes, as many as are there.
    pub(crate) first: Option<u8>,
    /// See `first`.
    pub(crate) second: Option<u8>,
    /// Where the record ends.
    pub(crate) end: SeqNumber,
}

/// What becomes of a hole before a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holes {
    /// The segments after it wait until it is filled.
    Wait,
    /// They are skipped: the datapath does not pass them on.
    Skip,
}

/// A segment of which the first bytes are there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) seq: SeqNumber,
    /// Length of the payload on the wire.
    pub(crate) payload_len: u32,
    /// Its first bytes.
    pub(crate) data: &'a [u8],
}

/// The position in a stream of records.
#[derive(Debug)]
pub(crate) struct RecordWalk {
    /// Where the next record begins; where it is lost, the least number at which one may begin.
    next: SeqNumber,
    /// Bytes of the next record's header that have come.
    header: [u8; record::HEADER_LEN],
    header_len: usize,
    is_lost: bool,
    holes: Holes,
    waiting: Vec<WaitingPiece>,
}

#[derive(Debug)]
struct WaitingPiece {
    seq: SeqNumber,
    payload_len: u32,
    data: Box<[u8]>,
}

impl RecordWalk {
    /// A walk from the record that begins at `next`.
    pub(crate) fn new(next: SeqNumber, holes: Holes) -> Self {
        Self { next, header: [0; 5], header_len: 0, is_lost: false, holes, waiting: Vec::new() }
    }

    /// A walk from the first segment on that is not before `from` and begins like a record.
    pub(crate) fn lost(from: SeqNumber, holes: Holes) -> Self {
        Self { is_lost: true, ..Self::new(from, holes) }
    }

    /// Takes a segment, and gives away the records that begin in it, or in those that have waited for it.
    pub(crate) fn segment(&mut self, piece: Piece<'_>, mut on_record: impl FnMut(RecordStart)) {
        self.walk(piece, &mut on_record);
        while let Some(at) = self.waiting.iter().position(|waiting| self.place_in(waiting.seq) >= 0) {
            let WaitingPiece { seq, payload_len, data } = self.waiting.swap_remove(at);
            self.walk(Piece { seq, payload_len, data: &data }, &mut on_record);
        }
    }

    /// Where the next record begins; `None` where that is lost.
    pub(crate) fn position(&self) -> Option<SeqNumber> {
        (!self.is_lost).then_some(self.next)
    }

    /// Heap memory in use, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let data: usize = self.waiting.iter().map(|waiting| waiting.data.len()).sum();
        self.waiting.capacity() * size_of::<WaitingPiece>() + data
    }

    /// Where in a segment at `seq` the next byte is that is wanted.
    fn place_in(&self, seq: SeqNumber) -> i32 {
        self.next.plus(u32::try_from(self.header_len).unwrap_or_default()).offset_from(seq)
    }

    fn walk(&mut self, piece: Piece<'_>, on_record: &mut impl FnMut(RecordStart)) {
        let Piece { seq, payload_len, data } = piece;
        let end = seq.plus(payload_len);
        if self.place_in(seq) < 0 && self.holes == Holes::Wait && !self.is_lost {
            if self.waiting.len() < MAX_WAITING {
                self.waiting.push(WaitingPiece { seq, payload_len, data: data.into() });
            }
            return;
        }
        if self.is_lost || self.place_in(seq) < 0 {
            let is_next = seq.offset_from(self.next) >= 0;
            if !is_next || !begins_record(data) {
                return;
            }
            (self.next, self.header_len, self.is_lost) = (seq, 0, false);
        }
        while let Ok(at) = usize::try_from(self.place_in(seq))
            && self.place_in(seq).cast_unsigned() < payload_len
        {
            let Some(bytes) = data.get(at..).filter(|bytes| !bytes.is_empty()) else {
                return self.lose(end);
            };
            let wanted = &mut self.header[self.header_len..];
            let taken = wanted.len().min(bytes.len());
            wanted[..taken].copy_from_slice(&bytes[..taken]);
            self.header_len += taken;
            if self.header_len < record::HEADER_LEN {
                continue;
            }
            if !begins_record(&self.header) {
                return self.lose(end);
            }
            let [content_type, _, _, high, low] = self.header;
            let len = u16::from_be_bytes([high, low]);
            let fragment = &bytes[taken..];
            let fragment = &fragment[..fragment.len().min(len.into())];
            self.next = self.next.plus(5 + u32::from(len));
            self.header_len = 0;
            let (first, second) = (fragment.first().copied(), fragment.get(1).copied());
            on_record(RecordStart { content_type, len, first, second, end: self.next });
        }
    }

    /// The next header was not copied, or is none.
    fn lose(&mut self, end: SeqNumber) {
        (self.next, self.header_len, self.is_lost) = (end, 0, true);
    }
}

/// Whether these bytes begin like a record of TLS 1.0 to 1.3 (RFC 8446, section 5.1).
fn begins_record(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(|&[content_type, major, minor, high, low]| {
        (content_type::CHANGE_CIPHER_SPEC..=content_type::APPLICATION_DATA).contains(&content_type)
            && (major, minor) <= (3, 4)
            && major == 3
            && u16::from_be_bytes([high, low]) <= MAX_FRAGMENT
    })
}

#[cfg(test)]
mod tests {
    use sni_probe_testkit::wire::record as record_of;

    use super::*;

    fn lengths(walk: &mut RecordWalk, seq: u32, data: &[u8], payload_len: usize) -> Vec<u16> {
        let mut lengths = Vec::new();
        let payload_len = u32::try_from(payload_len).unwrap();
        walk.segment(Piece { seq: SeqNumber(seq), payload_len, data }, |record| lengths.push(record.len));
        lengths
    }

    fn stream() -> Vec<u8> {
        [record_of(20, &[1]), record_of(23, &[7; 53]), record_of(23, &[8; 300])].concat()
    }

    #[test]
    fn records_however_they_are_cut() {
        let stream = stream();
        for size in 1..stream.len() {
            let mut walk = RecordWalk::new(SeqNumber(u32::MAX - 20), Holes::Wait);
            let mut seen = Vec::new();
            for (at, piece) in stream.chunks(size).enumerate() {
                let seq = (u32::MAX - 20).wrapping_add(u32::try_from(at * size).unwrap());
                seen.extend(lengths(&mut walk, seq, piece, piece.len()));
                // A copy changes nothing.
                seen.extend(lengths(&mut walk, seq, piece, piece.len()));
            }
            assert_eq!(seen, [1, 53, 300], "{size}");
        }
    }

    #[test]
    fn a_segment_waits_for_the_one_before_it() {
        let stream = stream();
        let mut walk = RecordWalk::new(SeqNumber(0), Holes::Wait);
        assert!(lengths(&mut walk, 10, &stream[10..], 300).is_empty());
        assert_eq!(lengths(&mut walk, 0, &stream[..10], 10), [1, 53, 300]);
        assert_eq!(walk.waiting.len(), 0);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut walk = RecordWalk::new(SeqNumber(0), Holes::Wait);
        for at in 1..100 {
            assert!(lengths(&mut walk, at * 100, &[7; 64], 64).is_empty());
        }
        assert_eq!(walk.waiting.len(), MAX_WAITING);
        assert!(walk.heap_bytes() < 1_000);
    }

    #[test]
    fn a_header_that_was_not_copied_is_unseen() {
        let stream = stream();
        let mut walk = RecordWalk::new(SeqNumber(0), Holes::Wait);
        assert_eq!(lengths(&mut walk, 0, &stream[..60], stream.len()), [1, 53]);
        // The next segment begins with a record again, or not.
        let end = u32::try_from(stream.len()).unwrap();
        assert!(lengths(&mut walk, end, b"no record", 9).is_empty());
        assert_eq!(lengths(&mut walk, end + 9, &record_of(23, &[0; 19]), 24), [19]);
    }

    #[test]
    fn a_hole_is_skipped_where_segments_are_not_passed_on() {
        let mut walk = RecordWalk::new(SeqNumber(0), Holes::Skip);
        assert_eq!(lengths(&mut walk, 0, &record_of(22, &[2; 90])[..64], 95), [90]);
        assert_eq!(lengths(&mut walk, 4_000, &record_of(23, &[0; 19]), 24), [19]);
        assert!(lengths(&mut walk, 2_000, &record_of(23, &[0; 19]), 24).is_empty(), "an old one");
    }
}
