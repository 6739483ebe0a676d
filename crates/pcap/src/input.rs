//! The buffer that packets are lent from.

use std::io::{self, Read};
use std::ops::Range;

use super::compression::Stream;
use super::error::{Packed, Problem};

/// The buffer's size as long as no block is longer: small enough for the second-level cache, large
/// enough that the system calls do not count.
const BUFFER_BYTES: usize = 256 * 1024;

/// A stream behind a buffer. Its bytes stay where they are until the next [`fill`](Self::fill), also
/// those that are consumed.
pub(super) struct Input {
    stream: Stream,
    buffer: Vec<u8>,
    /// Of `buffer`: what is read and not yet consumed.
    start: usize,
    end: usize,
    /// Offset in the capture of the buffer's first byte.
    base: u64,
}

impl Input {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, buffer: vec![0; BUFFER_BYTES], start: 0, end: 0, base: 0 }
    }

    /// What is in the buffer and not consumed.
    #[inline]
    pub(super) fn available(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Where in the buffer `length` of the available bytes are, `at` bytes from their beginning.
    #[inline]
    pub(super) fn range(&self, at: usize, length: usize) -> Range<usize> {
        self.start + at..self.start + at + length
    }

    /// The bytes of a [`range`](Self::range) that was asked for since the last `fill`.
    #[inline]
    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Steps over `count` of the available bytes.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Reads until at least `want` bytes are available; `false` if the stream ends before.
    #[inline(never)]
    pub(super) fn fill(&mut self, want: usize) -> io::Result<bool> {
        // What is moved is less than a packet.
        self.buffer.copy_within(self.start..self.end, 0);
        self.base += self.start as u64;
        self.end -= self.start;
        self.start = 0;
        while self.end < want {
            if self.end == self.buffer.len() {
                // Step by step: a wrong length makes the buffer no larger than twice what the file has.
                self.buffer.resize(2 * self.buffer.len(), 0);
            }
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// As [`fill`](Self::fill), where the capture must not end.
    pub(super) fn require(&mut self, want: usize) -> Result<(), Problem> {
        if self.fill(want)? { Ok(()) } else { Err(Problem::EndsInside) }
    }

    /// Offset in the capture, unpacked, of the first available byte.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    pub(super) fn position(&self) -> u64 {
        self.stream.position()
    }

    pub(super) fn packed(&self) -> Option<Packed> {
        self.stream.packed()
    }
}
