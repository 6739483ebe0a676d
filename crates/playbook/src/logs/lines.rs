//! The lines of a file or of standard input, unpacked, lent from one buffer.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context as _, bail};
use memchr::memchr;
use sni_probe_pcap::Unpacked;

/// Longest line, in bytes. Stops a file without line ends from filling the memory; a longer one is no entry.
pub(super) const MAX_LINE_BYTES: usize = 1024 * 1024;

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Text(&'a [u8]),
    /// Longer than [`MAX_LINE_BYTES`]: stepped over.
    TooLong,
}

/// Reads lines.
#[derive(Debug)]
pub(super) struct Lines {
    stream: Unpacked,
    /// Bytes of the file, packed as they are; not known of a pipe.
    length: Option<u64>,
    buffer: Vec<u8>,
    /// Of `buffer`: what is read and not yet lent.
    start: usize,
    end: usize,
}

impl Lines {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// If there is no such file, it is a directory, or cannot be read. The message lacks the file's name.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if is_stdin(path) {
            return Self::new(Box::new(io::stdin()), None);
        }
        let file = File::open(path).context("cannot be opened")?;
        let metadata = file.metadata().context("cannot be opened")?;
        if metadata.is_dir() {
            bail!("is a directory: name the files in it");
        }
        Self::new(Box::new(file), metadata.is_file().then_some(metadata.len()))
    }

    fn new(stream: Box<dyn Read + Send>, length: Option<u64>) -> anyhow::Result<Self> {
        let stream = Unpacked::open(stream).context("cannot be read")?;
        Ok(Self { stream, length, buffer: vec![0; MAX_LINE_BYTES], start: 0, end: 0 })
    }

    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Bytes that were read, packed as they are.
    pub(super) fn position(&self) -> u64 {
        self.stream.position()
    }

    /// The next line; the last one may lack its end.
    ///
    /// # Errors
    /// If the system does not read on, or what is packed is damaged or cut off. All lines before have been given out.
    pub(super) fn next_line(&mut self) -> anyhow::Result<Option<Line<'_>>> {
        let mut is_too_long = false;
        // Bytes after `start` that have no line end.
        let mut searched = 0;
        loop {
            if let Some(at) = memchr(b'\n', &self.buffer[self.start + searched..self.end]) {
                let line = self.start..self.start + searched + at;
                self.start = line.end + 1;
                return Ok(Some(if is_too_long { Line::TooLong } else { Line::Text(&self.buffer[line]) }));
            }
            searched = self.end - self.start;
            if searched == self.buffer.len() {
                is_too_long = true;
                (self.start, self.end, searched) = (0, 0, 0);
            }
            if self.fill()? == 0 {
                let line = self.start..self.end;
                self.start = self.end;
                return Ok(match (is_too_long, line.is_empty()) {
                    (true, _) => Some(Line::TooLong),
                    (false, true) => None,
                    (false, false) => Some(Line::Text(&self.buffer[line])),
                });
            }
        }
    }

    /// Reads more behind what is there; 0 at the end.
    fn fill(&mut self) -> anyhow::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        loop {
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(match self.stream.format() {
                        Some(format) => anyhow::Error::new(error).context(format!(
                            "the {format} data are damaged or end early (what came before counts; copy the file again)"
                        )),
                        None => anyhow::Error::new(error).context("cannot be read to its end"),
                    });
                }
            }
        }
    }
}

/// Whether the path stands for standard input.
pub(super) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: Vec<u8>) -> Vec<Option<Vec<u8>>> {
        let mut lines = Lines::new(Box::new(io::Cursor::new(bytes)), None).unwrap();
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            all.push(match line {
                Line::Text(text) => Some(text.to_vec()),
                Line::TooLong => None,
            });
        }
        all
    }

    #[test]
    fn lines_with_and_without_an_end() {
        let text = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(lines(b"a\n\nbc\nd".to_vec()), [text("a"), text(""), text("bc"), text("d")]);
        assert_eq!(lines(Vec::new()), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_stepped_over() {
        let mut bytes = vec![b'x'; 3 * MAX_LINE_BYTES + 5];
        bytes.extend(b"\nnext\n");
        assert_eq!(lines(bytes), [None, Some(b"next".to_vec())]);
        assert_eq!(lines(vec![b'x'; MAX_LINE_BYTES]), [None]);
        let mut longest = vec![b'x'; MAX_LINE_BYTES - 1];
        longest.push(b'\n');
        assert_eq!(lines(longest)[0].as_ref().unwrap().len(), MAX_LINE_BYTES - 1);
    }

    #[test]
    fn lines_over_the_ends_of_the_buffer() {
        let all: Vec<Vec<u8>> =
            (0..5000_usize).map(|index| vec![b"abcdefg"[index % 7]; index % 997]).collect();
        let read: Vec<Vec<u8>> = lines(all.join(&b'\n')).into_iter().map(Option::unwrap).collect();
        assert_eq!(read.len(), all.len());
        assert!(read == all);
    }
}
