//! Puts the bytes of one direction of a TCP connection together from segments in any order.
//!
//! The usual hello comes in one segment and never gets here: the tracker reads it from the event.
//! Bytes are copied (once) only when a flow must wait for more of them.

use std::iter;
use std::ops::Range;

use sni_probe_datapath::event::CLIENT_WINDOW;
use thiserror::Error;

/// Bytes of a stream that are kept, counted from its first byte. Stops a connection that never ends
/// its hello from growing; a ClientHello, with all that comes before it, must end within them.
pub const MAX_STREAM_BYTES: usize = CLIENT_WINDOW as usize;

/// Holes between segments that are kept at once. Stops a peer that sends every other byte from
/// making each insertion slow. Linux's own limit for what a peer may report as missing is less (SACK
/// has room for 4 blocks).
pub const MAX_GAPS: usize = 16;

/// More than [`MAX_GAPS`] holes: the stream cannot be followed any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("more than {MAX_GAPS} holes between segments")]
pub struct TooManyGaps;

/// Zeros that may stand where a stream has other bytes: the padding of an Ethernet frame (60 bytes) that is as short
/// as headers of Ethernet, IPv4 and TCP let it be (54). Middleboxes that count it as payload make such segments; and
/// the probe of a keep-alive may carry one byte of any value (RFC 1122, section 4.2.3.6), which is 0 in practice.
pub const MAX_PADDING: usize = 6;

/// The first [`MAX_STREAM_BYTES`] bytes of a stream, up to the last one that has come.
///
/// Where segments overlap, the byte that came first stays. A retransmission has the same bytes. Of two bytes that
/// differ, no observer can know which one the receiver took: [`contradiction`](Self::contradiction) says where.
#[derive(Clone, Debug, Default)]
pub struct Assembler {
    /// Bytes at their offsets; what no range covers is zero and never shown.
    bytes: Vec<u8>,
    /// What has come: sorted, disjoint, not adjacent. So there is a gap before each but the one that
    /// starts at 0.
    ranges: Vec<Range<usize>>,
    /// The segments that brought something new, as they came: one for each new byte at most.
    segments: Vec<Range<u16>>,
    /// See [`Assembler::contradiction`].
    contradiction: Option<u16>,
}

impl Assembler {
    /// Adds a segment that lies `offset` bytes after the start of the stream. What lies before the start or after the
    /// bound is left out.
    ///
    /// # Errors
    ///
    /// [`TooManyGaps`]: nothing was added.
    pub fn insert(&mut self, offset: i32, segment: &[u8]) -> Result<(), TooManyGaps> {
        let before_start = usize::try_from(offset.saturating_neg()).unwrap_or(0);
        let segment = segment.get(before_start..).unwrap_or_default();
        let start = usize::try_from(offset).unwrap_or(0);
        let room = MAX_STREAM_BYTES.saturating_sub(start);
        let segment = &segment[..segment.len().min(room)];
        let end = start + segment.len();

        // The ranges that the segment overlaps or touches become one with it.
        let first = self.ranges.partition_point(|range| range.end < start);
        let past = self.ranges.partition_point(|range| range.start <= end);
        let touched = &self.ranges[first..past];
        if let Some(at) = self.first_difference(touched, start, segment).map(narrow) {
            // What has come in order was delivered: no receiver lets padding replace it.
            let is_ignored = is_padding(segment) && end <= self.contiguous().len();
            self.contradiction = match self.contradiction {
                known if is_ignored => known,
                known => Some(known.map_or(at, |known| known.min(at))),
            };
        }
        let is_known = touched.iter().any(|range| range.start <= start && end <= range.end);
        if segment.is_empty() || is_known {
            return Ok(());
        }
        let merged = touched.first().map_or(start, |range| range.start.min(start))
            ..touched.last().map_or(end, |range| range.end.max(end));
        let starts_at_0 = merged.start == 0 || self.ranges.first().is_some_and(|range| range.start == 0);
        let gaps = self.ranges.len() - touched.len() + usize::from(!starts_at_0);
        if gaps > MAX_GAPS {
            return Err(TooManyGaps);
        }

        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let mut at = start;
        for known in touched.iter().cloned().chain(iter::once(end..end)) {
            if at < known.start {
                self.bytes[at..known.start].copy_from_slice(&segment[at - start..known.start - start]);
            }
            at = at.max(known.end);
        }
        self.ranges.splice(first..past, [merged]);
        self.segments.push(narrow(start)..narrow(end));
        Ok(())
    }

    /// Where a segment first has another byte than is kept of the known ranges.
    fn first_difference(&self, known: &[Range<usize>], start: usize, segment: &[u8]) -> Option<usize> {
        let end = start + segment.len();
        known.iter().find_map(|range| {
            let common = range.start.max(start)..range.end.min(end);
            let kept = self.bytes.get(common.clone()).unwrap_or_default();
            let came = segment.get(common.start - start..common.end - start).unwrap_or_default();
            let at = kept.iter().zip(came).position(|(kept, came)| kept != came)?;
            Some(common.start + at)
        })
    }

    /// The first offset for which two segments brought different bytes.
    pub fn contradiction(&self) -> Option<usize> {
        self.contradiction.map(usize::from)
    }

    /// The bytes from the start of the stream to the first hole.
    pub fn contiguous(&self) -> &[u8] {
        self.bytes_at(0)
    }

    /// The bytes from `offset` to the next hole; empty if `offset` is in one.
    pub fn bytes_at(&self, offset: usize) -> &[u8] {
        let range = self.ranges.iter().find(|range| range.contains(&offset));
        range.map_or(&[], |range| &self.bytes[offset..range.end])
    }

    /// Whether a segment starts or ends at `offset`.
    pub fn is_boundary(&self, offset: usize) -> bool {
        let is_bound =
            |segment: &Range<u16>| usize::from(segment.start) == offset || usize::from(segment.end) == offset;
        self.segments.iter().any(is_bound)
    }

    /// The first boundary behind `offset`.
    pub fn next_boundary(&self, offset: usize) -> Option<usize> {
        let bounds = self.segments.iter().flat_map(|segment| [segment.start, segment.end]);
        bounds.map(usize::from).filter(|&bound| bound > offset).min()
    }

    /// How many segments brought bytes of `range`. One that repeated only what was there does not count.
    pub fn segments_within(&self, range: Range<usize>) -> u32 {
        let within = |segment: &&Range<u16>| {
            usize::from(segment.start) < range.end && usize::from(segment.end) > range.start
        };
        u32::try_from(self.segments.iter().filter(within).count()).unwrap_or(u32::MAX)
    }

    /// Heap memory in use, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
            + self.ranges.capacity() * size_of::<Range<usize>>()
            + self.segments.capacity() * size_of::<Range<u16>>()
    }
}

/// Whether these bytes can be [padding](MAX_PADDING) that was taken for payload.
pub fn is_padding(segment: &[u8]) -> bool {
    segment.len() <= MAX_PADDING && segment.iter().all(|&byte| byte == 0)
}

/// An offset within [`MAX_STREAM_BYTES`] fits.
fn narrow(offset: usize) -> u16 {
    const { assert!(MAX_STREAM_BYTES <= u16::MAX as usize) };
    u16::try_from(offset).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn assembled(segments: &[(i32, &[u8])]) -> Assembler {
        let mut assembler = Assembler::default();
        for &(offset, segment) in segments {
            assembler.insert(offset, segment).unwrap();
        }
        assembler
    }

    #[test]
    fn segments_in_order() {
        let assembler = assembled(&[(0, b"abc"), (3, b"de")]);
        assert_eq!(assembler.contiguous(), b"abcde");
        assert_eq!(assembler.segments_within(0..5), 2);
    }

    #[test]
    fn a_hole_hides_what_is_behind_it() {
        let mut assembler = assembled(&[(2, b"cd"), (6, b"g")]);
        assert_eq!(assembler.contiguous(), b"");
        assert_eq!(assembler.bytes_at(3), b"d");
        assert_eq!(assembler.bytes_at(4), b"");
        assembler.insert(0, b"ab").unwrap();
        assert_eq!(assembler.contiguous(), b"abcd");
        assembler.insert(4, b"ef").unwrap();
        assert_eq!(assembler.contiguous(), b"abcdefg");
    }

    #[test]
    fn the_byte_that_came_first_stays() {
        let assembler = assembled(&[(2, b"cd"), (5, b"f"), (0, b"ABCDEFG")]);
        assert_eq!(assembler.contiguous(), b"ABcdEfG");
    }

    #[test]
    fn duplicates_do_not_count() {
        let assembler = assembled(&[(0, b"abcd"), (1, b"xx"), (0, b"abcd"), (3, b"de"), (0, b"")]);
        assert_eq!(assembler.contiguous(), b"abcde");
        assert_eq!(assembler.segments_within(0..5), 2);
        assert_eq!(assembler.segments_within(4..5), 1);
    }

    #[test]
    fn boundaries() {
        let assembler = assembled(&[(0, b"abcd"), (2, b"cdef"), (8, b"i")]);
        let boundaries: Vec<usize> = (0..12).filter(|&at| assembler.is_boundary(at)).collect();
        assert_eq!(boundaries, [0, 2, 4, 6, 8, 9]);
        assert_eq!(assembler.next_boundary(0), Some(2));
        assert_eq!(assembler.next_boundary(6), Some(8));
        assert_eq!(assembler.next_boundary(9), None);
    }

    #[test]
    fn bytes_before_the_start_are_left_out() {
        let assembler = assembled(&[(-3, b"xyzab"), (-4, b"xyz")]);
        assert_eq!(assembler.contiguous(), b"ab");
    }

    #[test]
    fn bytes_behind_the_bound_are_left_out() {
        let mut assembler = Assembler::default();
        assembler.insert(0, &vec![7; MAX_STREAM_BYTES + 1]).unwrap();
        assembler.insert(16_384, b"x").unwrap();
        assembler.insert(i32::MAX, b"x").unwrap();
        assembler.insert(i32::MIN, b"x").unwrap();
        assert_eq!(assembler.contiguous().len(), MAX_STREAM_BYTES);
    }

    #[test]
    fn one_gap_too_many() {
        let mut assembler = Assembler::default();
        for gap in 0..16 {
            assembler.insert(1 + 2 * gap, b"x").unwrap();
        }
        assert_eq!(assembler.insert(33, b"x"), Err(TooManyGaps));
        assembler.insert(0, b"x").unwrap();
        assembler.insert(33, b"x").unwrap();
        assert_eq!(assembler.contiguous(), b"xx");
    }

    #[test]
    fn contradictions() {
        let repeated =
            assembled(&[(0, b"abcd"), (2, b"cdef"), (0, b"abcdef"), (4, b"e"), (9, b"x"), (5, b"fghi")]);
        assert_eq!(repeated.contradiction(), None);
        // The first of them, whatever the order in which they come, and whether the segment brings something new or not.
        for (segments, first) in [
            (&[(0, &b"abcd"[..]), (1, b"bXd")][..], 2),
            (&[(4, b"efgh"), (0, b"abcdeXgh")], 5),
            (&[(0, b"abcd"), (3, b"X"), (1, b"X")], 1),
            (&[(2, b"cd"), (6, b"gh"), (0, b"abcdefgX")], 7),
            (&[(2, b"cd"), (1, b"bXX")], 2),
            (&[(0, b"abcd"), (-2, b"yzaX")], 1),
        ] {
            assert_eq!(assembled(segments).contradiction(), Some(first), "{segments:?}");
        }
    }

    #[test]
    fn padding_that_repeats_what_was_delivered_is_no_contradiction() {
        let zeros = [0; MAX_PADDING + 1];
        let padding = &zeros[..MAX_PADDING];
        assert_eq!(assembled(&[(0, b"abcdefghij"), (2, padding), (9, b"\0")]).contradiction(), None);
        // Where bytes are missing before it, or it goes further, a receiver may take it.
        assert_eq!(assembled(&[(1, b"bcdefghij"), (2, padding)]).contradiction(), Some(2));
        assert_eq!(assembled(&[(0, b"abc"), (2, padding)]).contradiction(), Some(2));
        assert_eq!(assembled(&[(0, b"abcdefghij"), (2, &zeros)]).contradiction(), Some(2));
        assert_eq!(assembled(&[(0, padding), (0, b"abcdefghij")]).contradiction(), Some(0));
    }

    proptest! {
        #[test]
        fn like_a_plain_array(inserts in prop::collection::vec((-20i32..200, 0usize..40, 0_u8..3), 0..60)) {
            let mut assembler = Assembler::default();
            let mut model: Vec<Option<u8>> = vec![None; 300];
            let mut contradiction: Option<usize> = None;
            for (offset, len, fill) in inserts {
                if assembler.insert(offset, &vec![fill; len]).is_err() {
                    continue;
                }
                let delivered = model.iter().take_while(|byte| byte.is_some()).count();
                let first = usize::try_from(offset.max(0)).unwrap();
                let end = usize::try_from(offset + i32::try_from(len).unwrap()).unwrap_or(0);
                let is_ignored = fill == 0 && end.saturating_sub(first) <= MAX_PADDING && end <= delivered;
                for (at, known) in model.iter_mut().enumerate().take(end).skip(first) {
                    if *known.get_or_insert(fill) != fill && !is_ignored {
                        contradiction = Some(contradiction.map_or(at, |known| known.min(at)));
                    }
                }
            }
            let expected: Vec<u8> = model.iter().map_while(|byte| *byte).collect();
            prop_assert_eq!(assembler.contiguous(), expected);
            prop_assert_eq!(assembler.contradiction(), contradiction);
            prop_assert!(assembler.ranges.len() <= MAX_GAPS + 1);
        }
    }
}
