//! What a line is: an entry, some of them, or what a log shipper made of them.
//!
//! ```text
//! line ─▶ after what stands before it ─▶ JSON object(s) ─▶ an entry
//!                                    │        └─ wrapper ─▶ its objects, or the text in it ─▶ line (one level deeper)
//!                                    ├─▶ Envoy's text ─▶ an entry
//!                                    ├─▶ key=value pairs ─▶ an entry
//!                                    └─▶ a line of another program ─▶ an entry
//! ```

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::entry::LogEntry;
use super::fields::{Fields, Key, Scalar};
use super::json::{self, Node, Parsed};
use super::{logfmt, programs, split, text};

/// Levels of wrappers: a shipper's object in another, a line in an object. Stops texts that wrap each other without end.
const MAX_WRAPPERS: u32 = 8;

/// What may stand before an entry that is not known (`name | ` of docker compose, stern, labels), in bytes.
const MAX_UNKNOWN_PREFIX: usize = 1024;

/// Places in a line that are tried as the begin of an entry.
const MAX_CANDIDATES: usize = 8;

/// Takes an entry and its text.
pub(super) type Sink<'s> = dyn FnMut(&LogEntry<'_>, &[u8]) + 's;

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// So many entries, at least one.
    Entries(u64),
    /// An object or a list that goes on in the next line.
    Unfinished,
    Nothing,
}

/// Fields in which shippers keep a line, without regard to case and to what is no letter. Texts in others are a client's, or an application's.
///
/// Sources: docs/log-formats.md.
const TEXT_FIELDS: [&str; 22] = [
    "log",
    "message",
    "line",
    "msg",
    "textpayload",
    "raw",
    "stringvalue",
    "body",
    "logprocessed",
    "original",
    "event",
    "logevent",
    "logentry",
    "logmessage",
    "text",
    "content",
    "data",
    "value",
    "values",
    "logline",
    "result",
    "rawlog",
];

/// Finds the entries of a line.
pub(super) fn line(content: &[u8], found: &mut Sink<'_>) -> Found {
    Context { level: 0, time: None }.line(content, found)
}

/// Finds the entries of a complete object.
pub(super) fn object(text: &[u8], found: &mut Sink<'_>) -> u64 {
    Context { level: 0, time: None }.object(text, found)
}

/// Where a text is.
#[derive(Clone, Copy, Debug)]
struct Context<'t> {
    /// Wrappers around it.
    level: u32,
    /// The time of the innermost wrapper that has one.
    time: Option<&'t str>,
}

impl<'t> Context<'t> {
    fn deeper(self, time: Option<&'t str>) -> Option<Self> {
        (self.level < MAX_WRAPPERS).then_some(Self { level: self.level + 1, time: time.or(self.time) })
    }

    #[inline]
    fn emit(self, entry: &LogEntry<'_>, text: &[u8], found: &mut Sink<'_>) -> Found {
        match self.time {
            Some(time) if entry.time.is_none() => {
                found(&LogEntry { time: Some(Cow::Borrowed(time)), ..entry.clone() }, text);
            }
            _ => found(entry, text),
        }
        Found::Entries(1)
    }

    fn line(self, content: &[u8], found: &mut Sink<'_>) -> Found {
        let content = content.trim_ascii();
        match content.first() {
            Some(b'{') => {
                let mut fields = Fields::default();
                match json::parse(content, &mut fields) {
                    Parsed::Object => match fields.settle() {
                        Some(entry) => self.emit(entry, content, found),
                        None => self.tree(content, found).into(),
                    },
                    Parsed::Unfinished => Found::Unfinished,
                    Parsed::Malformed => self.objects(content, found),
                }
            }
            Some(b'[') => match content[1..].trim_ascii_start().first() {
                Some(b'{') => self.objects(content, found),
                Some(b'"') => self.tree(content, found).into(),
                _ => match text::parse(content) {
                    Some(entry) => self.emit(&entry, content, found),
                    None => self.after_prefix(content, found),
                },
            },
            Some(_) => self.after_prefix(content, found),
            None => Found::Nothing,
        }
    }

    /// Texts of a shipper may have several lines.
    fn lines(self, content: &str, found: &mut Sink<'_>) -> u64 {
        content.split('\n').map(|one| self.line(one.as_bytes(), found).count()).sum()
    }

    /// Several objects, alone or in a list, and what follows them.
    fn objects(self, content: &[u8], found: &mut Sink<'_>) -> Found {
        if is_labels(content) {
            return self.after_labels(content, found);
        }
        let (mut count, mut rest) = (0, content);
        loop {
            rest = rest.trim_ascii_start();
            match rest.first() {
                None => return count.into(),
                Some(b'[' | b']' | b',')
                    if matches!(
                        rest[1..].trim_ascii_start().first(),
                        None | Some(b'{' | b'[' | b']' | b',')
                    ) =>
                {
                    rest = &rest[1..];
                }
                Some(b'{') => match split::length(rest) {
                    Some(length) => {
                        count += self.object(&rest[..length], found);
                        rest = &rest[length..];
                    }
                    None if count == 0 => return Found::Unfinished,
                    None => return Found::Entries(count),
                },
                // `{} line`: empty labels.
                Some(_) if count == 0 => {
                    let Some(deeper) = self.deeper(None) else { return Found::Nothing };
                    return deeper.line(rest, found);
                }
                Some(_) => return Found::Entries(count),
            }
        }
    }

    fn object(self, text: &[u8], found: &mut Sink<'_>) -> u64 {
        let mut fields = Fields::default();
        match json::parse(text, &mut fields) {
            Parsed::Object => match fields.settle() {
                Some(entry) => self.emit(entry, text, found).count(),
                None => self.tree(text, found),
            },
            Parsed::Unfinished | Parsed::Malformed => 0,
        }
    }

    /// `{app="gateway", pod="x"} line`, as logcli prints it.
    fn after_labels(self, content: &[u8], found: &mut Sink<'_>) -> Found {
        let (Some(length), Some(deeper)) = (split::length(content), self.deeper(None)) else {
            return Found::Nothing;
        };
        deeper.line(&content[length..], found)
    }

    fn tree(self, text: &[u8], found: &mut Sink<'_>) -> u64 {
        json::tree(text).map_or(0, |node| self.node(&node, text, found))
    }

    /// The entries of a wrapper. Several of its fields may hold the same line, as it was and parsed: the first that has entries counts.
    fn node(self, node: &Node<'_>, text: &[u8], found: &mut Sink<'_>) -> u64 {
        let fields = match node {
            Node::Scalar(_) => return 0,
            Node::List(items) => return self.list(items, text, found),
            Node::Object(fields) => fields,
        };
        let mut own = Fields::default();
        let mut time = Fields::default();
        for (name, value) in fields {
            if let Node::Scalar(value) = value {
                let key = Key::of(name);
                own.set(key, value.lend());
                if matches!(key, Key::Start | Key::Time) {
                    time.set(key, value.lend());
                }
            }
        }
        if let Some(entry) = own.finish().or_else(|| programs::of_object(node)) {
            return self.emit(&entry, text, found).count();
        }
        let time = time.into_time();
        let Some(deeper) = self.deeper(time.as_deref()) else { return 0 };
        let mut inner = fields.iter().filter(|(_, value)| !matches!(value, Node::Scalar(_)));
        let of_inner = inner.find_map(|(name, value)| {
            // A list of texts: only where texts are lines.
            let is_skipped = is_list_of_texts(value) && !is_text_field(name);
            let count = if is_skipped { 0 } else { deeper.node(value, text, found) };
            (count > 0).then_some(count)
        });
        of_inner.unwrap_or_else(|| {
            let mut texts =
                fields.iter().filter(|(name, _)| is_text_field(name)).filter_map(|(_, value)| value.text());
            texts.find_map(|text| Some(deeper.lines(text, found)).filter(|&count| count > 0)).unwrap_or(0)
        })
    }

    fn list(self, items: &[Node<'_>], text: &[u8], found: &mut Sink<'_>) -> u64 {
        if let Some(entry) = of_attributes(items) {
            return self.emit(&entry, text, found).count();
        }
        let Some(deeper) = self.deeper(None) else { return 0 };
        let of_item = |item: &Node<'_>| match item.text() {
            Some(text) => deeper.lines(text, found),
            None => deeper.node(item, text, found),
        };
        items.iter().map(of_item).sum()
    }

    /// An entry that does not stand at the begin of its line.
    fn after_prefix(self, content: &[u8], found: &mut Sink<'_>) -> Found {
        let Some(deeper) = self.deeper(None) else { return Found::Nothing };
        let head = &content[..content.len().min(MAX_UNKNOWN_PREFIX)];
        for start in memchr_iter(b'{', head).filter(|&start| start > 0).take(MAX_CANDIDATES) {
            let rest = &content[start..];
            let is_object = rest[1..].trim_ascii_start().first() == Some(&b'"');
            let entries = match (is_object, split::length(rest)) {
                (true, Some(_)) => deeper.objects(rest, found),
                (false, Some(length)) if length < rest.len() && is_labels(rest) => {
                    deeper.line(&rest[length..], found)
                }
                _ => Found::Nothing,
            };
            if let Found::Entries(_) = entries {
                return entries;
            }
        }
        for end in memmem::find_iter(head, b"] \"").take(MAX_CANDIDATES) {
            if let Some(start) = memrchr(b'[', &head[..end])
                && let Some(entry) = text::parse(&content[start..])
            {
                return self.emit(&entry, &content[start..], found);
            }
        }
        if let Some((text, time)) = logfmt::message(content) {
            let count = Context { time: time.as_deref().or(self.time), ..deeper }.lines(&text, found);
            if count > 0 {
                return Found::Entries(count);
            }
        }
        if let Some(entry) = programs::parse(content).or_else(|| logfmt::parse(content)) {
            return self.emit(&entry, content, found);
        }
        match without_colours(content) {
            Some(plain) => deeper.line(&plain, found),
            None => Found::Nothing,
        }
    }
}

impl Found {
    fn count(self) -> u64 {
        match self {
            Self::Entries(count) => count,
            Self::Unfinished | Self::Nothing => 0,
        }
    }
}

impl From<u64> for Found {
    fn from(count: u64) -> Self {
        if count > 0 { Self::Entries(count) } else { Self::Nothing }
    }
}

fn is_text_field(name: &str) -> bool {
    let letters = || name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase());
    TEXT_FIELDS.iter().any(|known| letters().eq(known.bytes()))
}

fn is_list_of_texts(node: &Node<'_>) -> bool {
    matches!(node, Node::List(items) if items.iter().any(|item| item.text().is_some()))
}

/// Loki's `{name="value", …}`: no JSON object begins so.
fn is_labels(content: &[u8]) -> bool {
    content.first() == Some(&b'{')
        && content[1..]
            .trim_ascii_start()
            .first()
            .is_some_and(|&byte| byte.is_ascii_alphabetic() || byte == b'_')
}

/// OpenTelemetry's attributes: `[{"key":"response_flags","value":{"stringValue":"NR"}},…]`.
fn of_attributes<'n>(items: &'n [Node<'n>]) -> Option<LogEntry<'n>> {
    let mut fields = Fields::default();
    for item in items {
        let key = item.get("key")?.text()?;
        let Some(Node::Object(value)) = item.get("value") else { return None };
        let value = value.iter().find_map(|(_, value)| match value {
            Node::Scalar(value) => Some(value.lend()),
            Node::List(_) | Node::Object(_) => None,
        });
        fields.set(Key::of(key), value.unwrap_or(Scalar::Nothing));
    }
    fields.finish()
}

/// The text without the colours of a terminal; `None` if it has none.
fn without_colours(content: &[u8]) -> Option<Vec<u8>> {
    const ESCAPE: u8 = 0x1b;
    memchr(ESCAPE, content)?;
    let mut plain = Vec::with_capacity(content.len());
    let mut bytes = content.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != ESCAPE {
            plain.push(byte);
        } else if bytes.next() == Some(b'[') {
            bytes.by_ref().find(|byte| (0x40..0x7f).contains(byte));
        }
    }
    Some(plain)
}

#[cfg(test)]
#[path = "recognise_tests.rs"]
mod tests;
