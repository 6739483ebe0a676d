//! From lines to entries: which lines are entries, alone or several together.

use super::lines::Line;
use super::prefix::{self, Content};
use super::recognise::{self, Found, Sink};
use super::split::Splitter;
use super::text;

/// Bytes at the begin of a line that is longer than the buffer in which its first object is looked for.
const HEAD_BYTES: usize = 1024;

/// Puts entries together.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    pending: Pending,
    /// Lines that belong to no entry.
    pub(super) other_lines: u64,
}

impl Scanner {
    /// Takes a line, and calls `found` with each entry that it is, holds, or ends, and its text.
    pub(super) fn take(&mut self, line: &Line<'_>, found: &mut Sink<'_>) {
        match line {
            Line::Text(line) => self.text(line, found),
            Line::Part(bytes) => self.part(bytes, found),
            Line::LastPart(bytes) => {
                self.part(bytes, found);
                self.pending.lines += 1;
                self.give_up();
            }
        }
    }

    /// At the end of a file. An object that is cut off is no entry.
    pub(super) fn finish(&mut self) {
        self.give_up();
    }

    fn text(&mut self, line: &[u8], found: &mut Sink<'_>) {
        let content = prefix::strip(line);
        if !self.pending.is_empty() && self.go_on(content, found) {
            return;
        }
        match recognise::line(content.text, content.time, found) {
            Found::Entries(_) => {}
            Found::Unfinished => {
                self.give_up();
                self.pending.push(content, found);
            }
            Found::Nothing => self.other_lines += 1,
        }
    }

    /// Takes a piece of a line that is longer than the buffer: of such a line there are only the objects.
    fn part(&mut self, bytes: &[u8], found: &mut Sink<'_>) {
        if self.pending.is_long {
            self.pending.push_bytes(bytes, found);
            return;
        }
        self.give_up();
        self.pending.is_long = true;
        let head = &bytes[..bytes.len().min(HEAD_BYTES)];
        let start = head.windows(2).position(|pair| matches!(pair, b"{\"" | b"[{" | b"{ " | b"[ "));
        self.pending.is_skipped = start.is_none();
        self.pending.push_bytes(&bytes[start.unwrap_or(0)..], found);
    }

    /// Takes a line for the object that is open; `false` if it is none of its lines.
    fn go_on(&mut self, content: Content<'_>, found: &mut Sink<'_>) -> bool {
        match self.pending.fit(content.text) {
            Fit::Foreign => return false,
            Fit::Broken => {
                self.give_up();
                return false;
            }
            Fit::Fits => {}
        }
        self.pending.push(content, found);
        if !self.pending.splitter.is_open() {
            self.give_up();
        }
        true
    }

    /// Ends what is open. Its lines are other lines if there was no entry in them.
    fn give_up(&mut self) {
        if self.pending.entries == 0 {
            self.other_lines += self.pending.lines;
        }
        self.pending.clear();
    }
}

/// The lines of an object or a list that is not at its end, or the pieces of a long line.
#[derive(Debug, Default)]
struct Pending {
    splitter: Splitter,
    lines: u64,
    entries: u64,
    /// The time before the first line of the object.
    time: Option<String>,
    /// The last line was a part of one.
    is_part: bool,
    is_long: bool,
    /// A long line without an object.
    is_skipped: bool,
}

/// How a line stands to the object that is open.
enum Fit {
    Fits,
    /// Another container's, or of another log.
    Foreign,
    /// The object was cut off before it.
    Broken,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.lines == 0
    }

    fn fit(&self, content: &[u8]) -> Fit {
        if self.is_part {
            return Fit::Fits;
        }
        // No line ends in a string, and an object within is indented, or in a list.
        if self.splitter.is_in_string() || (content.starts_with(b"{") && !self.splitter.is_in_list()) {
            return Fit::Broken;
        }
        match content.trim_ascii_start().first() {
            Some(b'[') if text::parse(content).is_some() => Fit::Foreign,
            Some(b'"' | b'{' | b'}' | b'[' | b']' | b',') => Fit::Fits,
            _ => Fit::Foreign,
        }
    }

    /// Appends a line, without its end: JSON does not need them, and the parts of a line have none.
    fn push(&mut self, content: Content<'_>, found: &mut Sink<'_>) {
        self.lines += 1;
        self.is_part = content.is_part;
        if !self.splitter.has_object() {
            self.time = content.time.map(str::to_owned);
        }
        self.push_bytes(content.text, found);
    }

    fn push_bytes(&mut self, bytes: &[u8], found: &mut Sink<'_>) {
        if !self.is_skipped {
            let (entries, time) = (&mut self.entries, self.time.as_deref());
            self.splitter.push(bytes, |object| *entries += recognise::object(object, time, found));
        }
    }

    fn clear(&mut self) {
        let mut splitter = std::mem::take(&mut self.splitter);
        splitter.clear();
        *self = Self { splitter, ..Self::default() };
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
