//! From lines to entries: which lines are entries, alone or several together.

use memchr::memchr;

use super::entry::LogEntry;
use super::json::{self, Parsed};
use super::lines::{Line, MAX_LINE_BYTES};
use super::prefix::{self, Content};
use super::text;

/// What may stand before an entry that is not known (`name | ` of docker compose, stern), in bytes.
const MAX_UNKNOWN_PREFIX: usize = 256;

/// Puts entries together.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    pending: Pending,
    /// Lines that belong to no entry.
    pub(super) other_lines: u64,
}

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Entry,
    /// An object that goes on in the next line.
    Unfinished,
    Nothing,
}

impl Scanner {
    /// Takes a line, and calls `found` with the entry that it is, or ends, and its text.
    pub(super) fn take(&mut self, line: &Line<'_>, mut found: impl FnMut(&LogEntry<'_>, &[u8])) {
        let Line::Text(line) = line else {
            self.give_up();
            self.other_lines += 1;
            return;
        };
        let content = prefix::strip(line);
        if !self.pending.is_empty() && self.go_on(content, &mut found) {
            return;
        }
        match recognise(content.text, &mut found) {
            Found::Entry => {}
            Found::Unfinished => {
                self.give_up();
                self.pending.push(content);
            }
            Found::Nothing => self.other_lines += 1,
        }
    }

    /// At the end of a file. An object that is cut off is no entry.
    pub(super) fn finish(&mut self) {
        self.give_up();
    }

    /// Takes a line for the object that is open; `false` if it is none of its lines.
    fn go_on(&mut self, content: Content<'_>, found: &mut impl FnMut(&LogEntry<'_>, &[u8])) -> bool {
        match self.pending.fit(content.text) {
            Fit::Foreign => return false,
            Fit::Broken => {
                self.give_up();
                return false;
            }
            Fit::Fits => {}
        }
        if self.pending.push(content) {
            if recognise(&self.pending.text, found) == Found::Entry {
                self.pending.clear();
            } else {
                self.give_up();
            }
        } else if self.pending.text.len() > MAX_LINE_BYTES {
            self.give_up();
        }
        true
    }

    fn give_up(&mut self) {
        self.other_lines += self.pending.lines;
        self.pending.clear();
    }
}

fn recognise(content: &[u8], found: &mut impl FnMut(&LogEntry<'_>, &[u8])) -> Found {
    match parse(content) {
        Parsed::Entry(entry) => {
            found(&entry, content);
            Found::Entry
        }
        Parsed::Unfinished => Found::Unfinished,
        Parsed::NoEntry => Found::Nothing,
        // Only once: a shipper's object is not in another.
        Parsed::Wrapped(line) => match parse(line.as_bytes()) {
            Parsed::Entry(entry) => {
                found(&entry, line.as_bytes());
                Found::Entry
            }
            Parsed::Wrapped(_) | Parsed::Unfinished | Parsed::NoEntry => Found::Nothing,
        },
    }
}

fn parse(content: &[u8]) -> Parsed<'_> {
    let content = content.trim_ascii();
    match content.first() {
        Some(b'{') => json::parse(content),
        Some(b'[') if content.get(1).is_some_and(u8::is_ascii_digit) => {
            text::parse(content).map_or(Parsed::NoEntry, Parsed::Entry)
        }
        _ => parse_after_unknown_prefix(content),
    }
}

fn parse_after_unknown_prefix(content: &[u8]) -> Parsed<'_> {
    let head = &content[..content.len().min(MAX_UNKNOWN_PREFIX)];
    if content.ends_with(b"}")
        && let Some(start) = memchr(b'{', head)
        && let parsed @ (Parsed::Entry(_) | Parsed::Wrapped(_)) = json::parse(&content[start..])
    {
        return parsed;
    }
    let entry = memchr::memmem::find(head, b"[2").and_then(|start| text::parse(&content[start..]));
    entry.map_or(Parsed::NoEntry, Parsed::Entry)
}

/// The lines of an object that is not at its end.
#[derive(Debug, Default)]
struct Pending {
    text: Vec<u8>,
    lines: u64,
    /// The last line was a part of one.
    is_part: bool,
    depth: usize,
    in_string: bool,
    is_escaped: bool,
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
        // No line ends in a string, and an object within is indented.
        if self.in_string || content.starts_with(b"{") {
            return Fit::Broken;
        }
        match content.trim_ascii_start().first() {
            Some(b'[') if text::parse(content).is_some() => Fit::Foreign,
            Some(b'"' | b'{' | b'}' | b'[' | b']' | b',') => Fit::Fits,
            _ => Fit::Foreign,
        }
    }

    /// Appends a line; `true` if the object is at its end. Without the line ends: JSON does not need them, and the parts
    /// of a line have none.
    fn push(&mut self, content: Content<'_>) -> bool {
        self.lines += 1;
        self.is_part = content.is_part;
        self.text.extend_from_slice(content.text);
        for &byte in content.text {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.in_string => self.is_escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' => self.depth += 1,
                b'}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        self.depth == 0
    }

    fn clear(&mut self) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        *self = Self { text, ..Self::default() };
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
