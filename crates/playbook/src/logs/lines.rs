//! The lines of a file or of standard input, unpacked, lent from one buffer.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context as _, bail};
use memchr::memchr;
use sni_probe_pcap::Unpacked;

use super::utf16::{self, Utf16};

/// Longest line that is lent in one piece, in bytes. Stops a file without line ends from filling the memory; a longer one comes in pieces.
pub(super) const MAX_LINE_BYTES: usize = 1024 * 1024;

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Text(&'a [u8]),
    /// A piece of a line that is longer than [`MAX_LINE_BYTES`].
    Part(&'a [u8]),
    /// The last piece of such a line; may be empty.
    LastPart(&'a [u8]),
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
    /// Pieces of the current line have been lent.
    is_long: bool,
    /// What the first bytes say of the encoding; `None` before them.
    encoding: Option<Encoding>,
}

/// How the text is encoded.
#[derive(Debug)]
enum Encoding {
    Utf8,
    Utf16(Utf16),
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
        let buffer = vec![0; MAX_LINE_BYTES];
        Ok(Self { stream, length, buffer, start: 0, end: 0, is_long: false, encoding: None })
    }

    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Bytes that were read, packed as they are.
    pub(super) fn position(&self) -> u64 {
        self.stream.position()
    }

    /// The next line, or the next piece of a long one; the last line may lack its end.
    ///
    /// # Errors
    /// If the system does not read on, or what is packed is damaged or cut off. All lines before have been given out.
    pub(super) fn next_line(&mut self) -> anyhow::Result<Option<Line<'_>>> {
        // Bytes after `start` that have no line end.
        let mut searched = 0;
        loop {
            if let Some(at) = memchr(b'\n', &self.buffer[self.start + searched..self.end]) {
                let line = self.start..self.start + searched + at;
                self.start = line.end + 1;
                let text = &self.buffer[line];
                return Ok(Some(if std::mem::take(&mut self.is_long) {
                    Line::LastPart(text)
                } else {
                    Line::Text(text)
                }));
            }
            searched = self.end - self.start;
            if searched + utf16::MAX_UNIT_BYTES > self.buffer.len() {
                let part = self.start..self.end;
                (self.start, self.end, self.is_long) = (0, 0, true);
                return Ok(Some(Line::Part(&self.buffer[part])));
            }
            if self.fill()? == 0 {
                let line = self.start..self.end;
                self.start = self.end;
                let is_empty = line.is_empty();
                let text = &self.buffer[line];
                return Ok(match (std::mem::take(&mut self.is_long), is_empty) {
                    (true, _) => Some(Line::LastPart(text)),
                    (false, true) => None,
                    (false, false) => Some(Line::Text(text)),
                });
            }
        }
    }

    /// Reads more after what is there; 0 at the end.
    fn fill(&mut self) -> anyhow::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        loop {
            let read = match &mut self.encoding {
                None | Some(Encoding::Utf8) => self.stream.read(&mut self.buffer[self.end..]),
                Some(Encoding::Utf16(utf16)) => utf16.read(&mut self.stream, &mut self.buffer[self.end..]),
            };
            match read {
                Ok(count) => {
                    self.end += count;
                    if self.encoding.is_none() && count > 0 {
                        self.begin()?;
                    }
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.describe(error)),
            }
        }
    }

    /// Looks at the first bytes: a byte order mark is not part of the text, and UTF-16 is decoded.
    fn begin(&mut self) -> anyhow::Result<()> {
        while self.end < utf16::MARK_BYTES {
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.describe(error)),
            }
        }
        let first = &self.buffer[..self.end];
        let (encoding, mark) = match Utf16::detect(first) {
            Some((utf16, mark)) => (Encoding::Utf16(utf16), mark),
            None => (Encoding::Utf8, if first.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 }),
        };
        self.start = mark;
        if let Encoding::Utf16(mut utf16) = encoding {
            // What was read is decoded in place of it: it gets longer by half at most.
            let raw = self.buffer[mark..self.end].to_vec();
            let mut text = Vec::with_capacity(raw.len() / 2 * 3);
            utf16.decode(&raw, &mut text);
            if text.len() > self.buffer.len() {
                self.buffer.resize(text.len(), 0);
            }
            self.buffer[..text.len()].copy_from_slice(&text);
            (self.start, self.end) = (0, text.len());
            self.encoding = Some(Encoding::Utf16(utf16));
        } else {
            self.encoding = Some(encoding);
        }
        Ok(())
    }

    fn describe(&self, error: io::Error) -> anyhow::Error {
        match self.stream.format() {
            Some(format) => anyhow::Error::new(error).context(format!(
                "the {format} data are damaged or end early (what came before counts; copy the file again)"
            )),
            None => anyhow::Error::new(error).context("cannot be read to its end"),
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

    /// The lines, each in one piece, and how many came in several.
    fn read(bytes: Vec<u8>) -> (Vec<Vec<u8>>, usize) {
        let mut lines = Lines::new(Box::new(io::Cursor::new(bytes)), None).unwrap();
        let (mut all, mut long, mut parts) = (Vec::new(), 0, Vec::new());
        while let Some(line) = lines.next_line().unwrap() {
            match line {
                Line::Text(text) => all.push(text.to_vec()),
                Line::Part(part) => parts.extend_from_slice(part),
                Line::LastPart(part) => {
                    parts.extend_from_slice(part);
                    all.push(std::mem::take(&mut parts));
                    long += 1;
                }
            }
        }
        assert!(parts.is_empty());
        (all, long)
    }

    fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
        read(bytes.to_vec()).0
    }

    #[test]
    fn lines_with_and_without_an_end() {
        assert_eq!(lines(b"a\n\nbc\nd"), [&b"a"[..], b"", b"bc", b"d"]);
        assert_eq!(lines(b""), Vec::<Vec<u8>>::new());
        assert_eq!(lines(b"\xef\xbb\xbfa\n\xef\xbb\xbfb"), [&b"a"[..], b"\xef\xbb\xbfb"]);
    }

    #[test]
    fn a_long_line_comes_in_pieces() {
        let long = vec![b'x'; 3 * MAX_LINE_BYTES + 5];
        assert!(read([&long[..], b"\nnext\n"].concat()) == (vec![long.clone(), b"next".to_vec()], 1));
        assert!(read(long.clone()) == (vec![long], 1));
        let longest = vec![b'x'; MAX_LINE_BYTES - utf16::MAX_UNIT_BYTES];
        assert!(read([&longest[..], b"\n"].concat()) == (vec![longest], 0));
    }

    #[test]
    fn lines_over_the_ends_of_the_buffer() {
        let all: Vec<Vec<u8>> =
            (0..5000_usize).map(|index| vec![b"abcdefg"[index % 7]; index % 997]).collect();
        assert!(lines(&all.join(&b'\n')) == all);
    }

    /// PowerShell writes UTF-16 with a mark, other programs of Windows without.
    #[test]
    fn utf16_with_and_without_a_mark() {
        let texts: Vec<String> =
            (0..20_000).map(|number| format!("{{\"n\": {number}, \"ü€😀\": \"\"}}")).collect();
        let text = texts.join("\r\n");
        for (mark, is_big) in [("\u{feff}", false), ("\u{feff}", true), ("", false), ("", true)] {
            let units = format!("{mark}{text}");
            let bytes: Vec<u8> = units
                .encode_utf16()
                .flat_map(|unit| if is_big { unit.to_be_bytes() } else { unit.to_le_bytes() })
                .collect();
            let read: Vec<String> = lines(&bytes)
                .into_iter()
                .map(|line| String::from_utf8(line).unwrap().trim_end().to_owned())
                .collect();
            assert!(read == texts, "{mark:?} {is_big}: {:?}", read.first());
        }
    }

    #[test]
    fn damaged_utf16() {
        // Half a pair, and an odd number of bytes.
        assert_eq!(
            lines(b"\xff\xfe\x3d\xd8a\0\n\0b"),
            ["\u{fffd}a".as_bytes().to_vec(), "\u{fffd}".as_bytes().to_vec()]
        );
        for first in [&b"\xff"[..], b"\xff\xfe", b"\xef\xbb", b"\0", b"a"] {
            assert!(lines(first).len() <= 1);
        }
    }
}
