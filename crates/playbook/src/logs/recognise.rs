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
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::entry::{LogEntry, ProgramEntry};
use super::fields::{Fields, Key, Scalar};
use super::json::{self, Node, Parsed};
use super::{logfmt, nested, programs, quoted, split, text, time};

/// Levels of wrappers: a shipper's object in another, a line in an object. Stops texts that wrap each other without end.
const MAX_WRAPPERS: u32 = 8;

/// Objects and lists around an entry, in all texts together. Bounds the stack.
const MAX_DEPTH: u32 = 48;

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
const TEXT_FIELDS: [&str; 28] = [
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
    "fullmessage",
    "shortmessage",
    "rawstring",
    "rawmsg",
    "payload",
    "entry",
];

/// Fields that may hold the line that another field of the object holds too, besides [`TEXT_FIELDS`].
const PARSED_FIELDS: [&str; 6] = ["source", "fields", "json", "parsed", "jsonpayload", "structured"];

/// Finds the entries of a line. `time` is what stood before it.
pub(super) fn line(content: &[u8], time: Option<&str>, found: &mut Sink<'_>) -> Found {
    Context { level: 0, depth: 0, time }.line(content, found)
}

/// Finds the entries of a complete object.
pub(super) fn object(text: &[u8], time: Option<&str>, found: &mut Sink<'_>) -> u64 {
    Context { level: 0, depth: 0, time }.object(text, found)
}

/// Where a text is.
#[derive(Clone, Copy, Debug)]
struct Context<'t> {
    /// Texts around it.
    level: u32,
    /// Objects and lists around it, in all texts.
    depth: u32,
    /// The time of the innermost wrapper that has one.
    time: Option<&'t str>,
}

impl<'t> Context<'t> {
    fn deeper(self, time: Option<&'t str>) -> Option<Self> {
        (self.level < MAX_WRAPPERS).then_some(Self {
            level: self.level + 1,
            time: time.or(self.time),
            ..self
        })
    }

    /// The same text, with the time of a wrapper if it has one.
    fn timed<'s>(self, time: Option<&'s str>) -> Context<'s>
    where
        't: 's,
    {
        Context { time: time.or(self.time), ..self }
    }

    #[inline]
    fn emit(self, entry: &LogEntry<'_>, text: &[u8], found: &mut Sink<'_>) -> Found {
        // The time of a program without a zone says less than that of a wrapper with one.
        let is_local = entry.program.is_some_and(|program| program.is_local_time);
        match self.time {
            Some(around) if entry.time.is_none() || (is_local && time::has_zone(around)) => {
                let program = entry
                    .program
                    .map(|program| ProgramEntry { is_local_time: !time::has_zone(around), ..program });
                found(&LogEntry { time: Some(Cow::Borrowed(around)), program, ..entry.clone() }, text);
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
        if self.depth == MAX_DEPTH {
            return 0;
        }
        let this = Self { depth: self.depth + 1, ..self };
        let fields = match node {
            Node::Scalar(_) => return 0,
            Node::List(items) => return this.list(items, text, found),
            Node::Object(fields) => fields,
        };
        let mut own = Fields::default();
        let mut time = Fields::default();
        for (name, value) in fields {
            if let Some(value) = value.scalar() {
                let key = Key::of(name);
                if matches!(key, Key::Start | Key::Time) {
                    time.set(key, value.clone());
                }
                own.set(key, value);
            }
        }
        let of_nested = nested::entry(fields);
        if let Some(entry) = own.finish().or(of_nested).or_else(|| programs::of_object(node)) {
            return self.emit(&entry, text, found).count();
        }
        let time = time.into_time();
        let timed = this.timed(time.as_deref());
        let count = timed.inner(fields, text, found);
        if count > 0 {
            return count;
        }
        let Some(deeper) = timed.deeper(None) else { return 0 };
        let mut texts = fields.iter().filter(|(name, _)| is_text_field(name)).filter_map(|(_, value)| {
            value.text().map(Cow::Borrowed).or_else(|| value.bytes().map(Cow::Owned))
        });
        texts.find_map(|text| Some(deeper.lines(&text, found)).filter(|&count| count > 0)).unwrap_or(0)
    }

    /// The entries of the objects and lists in an object. Fields that may hold one line twice count once; of the others (a pod each) all count,
    /// but not what an earlier one had.
    fn inner(self, fields: &[(Cow<'_, str>, Node<'_>)], text: &[u8], found: &mut Sink<'_>) -> u64 {
        let mut count = 0;
        let mut earlier: HashSet<u64> = HashSet::new();
        let mut has_line = false;
        for (name, value) in fields.iter().filter(|(_, value)| !matches!(value, Node::Scalar(_))) {
            let is_line = is_text_field(name) || is_one_of(name, &PARSED_FIELDS);
            // A list of texts: only where texts are lines.
            if (is_line && has_line) || (is_list_of_texts(value) && !is_text_field(name)) {
                continue;
            }
            let mut own = Vec::new();
            let before = count;
            self.node(value, text, &mut |entry, text| {
                let identity = identity(entry);
                if identity.is_none_or(|identity| !earlier.contains(&identity)) {
                    own.extend(identity);
                    count += 1;
                    found(entry, text);
                }
            });
            earlier.extend(own);
            has_line |= is_line && count > before;
        }
        count
    }

    fn list(self, items: &[Node<'_>], text: &[u8], found: &mut Sink<'_>) -> u64 {
        if let Some(pairs) = pairs(items) {
            return self.pairs(&pairs, text, found);
        }
        let of_item = |item: &Node<'_>| match (item.text(), self.deeper(None)) {
            (Some(text), Some(deeper)) => deeper.lines(text, found),
            (Some(_), None) => 0,
            (None, _) => self.node(item, text, found),
        };
        items.iter().map(of_item).sum()
    }

    /// Attributes of an entry, or one of them is its line.
    fn pairs(self, pairs: &[(&str, Scalar<'_>)], text: &[u8], found: &mut Sink<'_>) -> u64 {
        let (mut fields, mut time) = (Fields::default(), Fields::default());
        for (name, value) in pairs {
            let key = Key::of(name);
            fields.set(key, value.lend());
            if matches!(key, Key::Start | Key::Time) {
                time.set(key, value.lend());
            }
        }
        if let Some(entry) = fields.finish() {
            return self.emit(&entry, text, found).count();
        }
        let time = time.into_time();
        let Some(deeper) = self.deeper(time.as_deref()) else { return 0 };
        let mut lines =
            pairs.iter().filter(|(name, _)| is_text_field(name)).map(|(_, value)| value.lend().text());
        lines.find_map(|line| Some(deeper.lines(&line?, found)).filter(|&count| count > 0)).unwrap_or(0)
    }

    /// An entry that does not stand at the begin of its line.
    fn after_prefix(self, content: &[u8], found: &mut Sink<'_>) -> Found {
        let Some(deeper) = self.deeper(None) else { return Found::Nothing };
        if let Some(fields) = quoted::csv(content) {
            let time = fields.iter().find(|field| time::parse(field).is_some());
            let deeper = deeper.timed(time.map(|time| &**time));
            let count = fields.iter().map(|field| deeper.lines(field, found)).find(|&count| count > 0);
            return count.unwrap_or(0).into();
        }
        let head = &content[..content.len().min(MAX_UNKNOWN_PREFIX)];
        for start in memchr_iter(b'{', head).filter(|&start| start > 0).take(MAX_CANDIDATES) {
            let rest = &content[start..];
            let is_object = rest[1..].trim_ascii_start().first() == Some(&b'"');
            let entries = match (is_object, split::length(rest)) {
                (true, Some(_)) => {
                    let before = std::str::from_utf8(&head[..start]).ok();
                    deeper.timed(before.and_then(programs::time_in)).objects(rest, found)
                }
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
        let ruby = quoted::ruby(content).filter(|(name, _)| is_text_field(name));
        for (_, text) in ruby {
            let count = deeper.timed(quoted::ruby_time(content)).lines(&text, found);
            if count > 0 {
                return Found::Entries(count);
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
    is_one_of(name, &TEXT_FIELDS)
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    let letters = || name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase());
    names.iter().any(|known| letters().eq(known.bytes()))
}

/// A connection by its client and time; `None` if the entry has no client.
fn identity(entry: &LogEntry<'_>) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    (entry.client.as_ref()?, &entry.time).hash(&mut hasher);
    Some(hasher.finish())
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

/// A list of names and values: OpenTelemetry's attributes (`[{"key":"response_flags","value":{"stringValue":"NR"}},…]`) and `CloudWatch` Logs
/// Insights (`[{"field":"@message","value":"…"},…]`).
fn pairs<'n>(items: &'n [Node<'n>]) -> Option<Vec<(&'n str, Scalar<'n>)>> {
    let pair = |item: &'n Node<'n>| {
        let name = item.get("key").or_else(|| item.get("field"))?.text()?;
        let value = match item.get("value")? {
            Node::Object(value) => value.iter().find_map(|(_, value)| value.scalar()),
            value => value.scalar(),
        };
        Some((name, value.unwrap_or(Scalar::Nothing)))
    };
    (!items.is_empty()).then(|| items.iter().map(pair).collect()).flatten()
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
