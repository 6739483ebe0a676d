//! Takes a stream of JSON apart into its objects, in bounded memory.
//!
//! A list around objects does not count, be it of millions. An object that is longer than the bound is taken for a wrapper: the objects in it
//! are given out instead (`{"events":[{…},{…},…]}` in one line of 100 MB).

/// Longest object, in bytes. Stops a bomb from filling the memory; a longer one is a wrapper, or is no entry.
pub(super) const MAX_OBJECT_BYTES: usize = 1024 * 1024;

/// Containers around objects that are given out, at most. Bounds how often bytes are scanned again.
const MAX_DEPTH: u32 = 16;

/// Where a scan stands.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    depth: u32,
    in_string: bool,
    is_escaped: bool,
    /// Of each open container, the innermost in the lowest bit: whether it is a list.
    lists: u128,
}

/// What a byte is in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Open,
    Close,
    Other,
}

impl State {
    #[inline]
    fn step(&mut self, byte: u8) -> Step {
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' if self.in_string => self.is_escaped = true,
            b'"' => self.in_string = !self.in_string,
            _ if self.in_string => {}
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                self.lists = self.lists << 1 | u128::from(byte == b'[');
                return Step::Open;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.lists >>= 1;
                return Step::Close;
            }
            _ => {}
        }
        Step::Other
    }
}

/// The length of the object or list that the text begins with; `None` if it goes on.
pub(super) fn length(text: &[u8]) -> Option<usize> {
    let mut state = State::default();
    let end = text.iter().position(|&byte| state.step(byte) == Step::Close && state.depth == 0)?;
    Some(end + 1)
}

/// Gives out objects.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// From the begin of the object that is open, or empty.
    kept: Vec<u8>,
    has_object: bool,
    /// Containers around the objects that are given out.
    base: u32,
    state: State,
}

impl Splitter {
    /// Takes the next bytes, and calls `found` with each object that ends in them.
    pub(super) fn push(&mut self, bytes: &[u8], mut found: impl FnMut(&[u8])) {
        self.scan(bytes, &mut found);
        while self.kept.len() > MAX_OBJECT_BYTES {
            // A wrapper: what of it has ended is given out, and what is open is the next object.
            let kept = std::mem::take(&mut self.kept);
            self.has_object = false;
            self.state = State {
                depth: self.base,
                lists: self.state.lists >> (self.state.depth - self.base).min(127),
                ..State::default()
            };
            self.base += 1;
            self.scan(&kept, &mut found);
        }
    }

    /// Whether the begin of an object has been seen, and not its end.
    pub(super) fn has_object(&self) -> bool {
        self.has_object
    }

    /// Whether a list or an object is open.
    pub(super) fn is_open(&self) -> bool {
        self.state.depth > 0 || self.state.in_string
    }

    /// Whether a line cannot end here.
    pub(super) fn is_in_string(&self) -> bool {
        self.state.in_string
    }

    /// Whether the innermost container that is open is a list.
    pub(super) fn is_in_list(&self) -> bool {
        self.state.depth > 0 && self.state.lists & 1 == 1
    }

    /// Bytes that are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Begins anew, with the memory that is there.
    pub(super) fn clear(&mut self) {
        let mut kept = std::mem::take(&mut self.kept);
        kept.clear();
        *self = Self { kept, ..Self::default() };
    }

    fn scan(&mut self, bytes: &[u8], found: &mut impl FnMut(&[u8])) {
        // Where in `bytes` the open object's bytes begin that are not yet kept.
        let mut start = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            match self.state.step(byte) {
                Step::Open if self.has_object => {}
                Step::Open if byte == b'[' && self.state.depth == self.base + 1 => self.base += 1,
                Step::Open if self.state.depth == self.base + 1 && self.base < MAX_DEPTH => {
                    (self.has_object, start) = (true, at);
                }
                Step::Close if self.has_object && self.state.depth == self.base => {
                    self.has_object = false;
                    if self.kept.is_empty() {
                        found(&bytes[start..=at]);
                    } else {
                        self.kept.extend_from_slice(&bytes[start..=at]);
                        found(&self.kept);
                        self.kept.clear();
                    }
                }
                Step::Close => self.base = self.base.min(self.state.depth),
                _ => {}
            }
        }
        if self.has_object {
            self.kept.extend_from_slice(&bytes[start..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&str]) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut all = Vec::new();
        for piece in pieces {
            splitter.push(piece.as_bytes(), |object| all.push(String::from_utf8(object.to_vec()).unwrap()));
            assert!(splitter.kept() <= MAX_OBJECT_BYTES);
        }
        all
    }

    #[test]
    fn objects_of_lists_and_of_a_line() {
        for (text, objects) in [
            (r#"{"a":1}"#, &[r#"{"a":1}"#][..]),
            (r#"{"a":1}{"b":{}} {"c":[{}]}"#, &[r#"{"a":1}"#, r#"{"b":{}}"#, r#"{"c":[{}]}"#]),
            (r#"[{"a":"]}{["},{"b":"\"}"}]"#, &[r#"{"a":"]}{["}"#, r#"{"b":"\"}"}"#]),
            (r#"[[{"a":1}],[{"b":1}]] {"c":1}"#, &[r#"{"a":1}"#, r#"{"b":1}"#, r#"{"c":1}"#]),
            (r#"]}{"a":1}"#, &[r#"{"a":1}"#]),
            ("[1,2,\"x\"]", &[]),
            ("", &[]),
        ] {
            assert_eq!(split(&[text]), objects, "{text}");
            // Wherever the stream is cut.
            for at in 0..text.len() {
                let (head, tail) = text.split_at(at);
                assert_eq!(split(&[head, tail]), objects, "{head} | {tail}");
            }
        }
    }

    #[test]
    fn an_object_over_the_bound_is_a_wrapper() {
        let inner: Vec<String> =
            (0..5000).map(|n| format!(r#"{{"n":{n},"x":"{}","y":[{{}}]}}"#, "x".repeat(1000))).collect();
        let list = inner.join(",");
        for (head, tail) in [
            (r#"{"events":["#, "]}"),
            (r#"{"took":1,"hits":{"total":{"value":1},"hits":["#, "]}}"),
            ("[", "]"),
            (r#"{"result":"#, "}"),
        ] {
            let text = format!("{head}{list}{tail}");
            let pieces: Vec<&str> =
                text.as_bytes().chunks(100_000).map(|piece| std::str::from_utf8(piece).unwrap()).collect();
            let found: Vec<String> =
                split(&pieces).into_iter().filter(|object| object.starts_with("{\"n\"")).collect();
            assert!(found == inner, "{head}: {}", found.len());
        }
    }

    #[test]
    fn bombs_are_bounded() {
        for bomb in ["{\"a\":", "[", "{", "[{\"a\":[", "\"", "{\"a\":\"x\","] {
            let mut splitter = Splitter::default();
            for _ in 0..40 {
                splitter.push(bomb.repeat(100_000 / bomb.len()).as_bytes(), |_| {});
                assert!(splitter.kept() <= MAX_OBJECT_BYTES, "{bomb}");
            }
        }
    }

    #[test]
    fn lengths() {
        assert_eq!(length(b"{\"a\":\"}\"} rest"), Some(9));
        assert_eq!(length(br#"{app="a}", pod="b"} rest"#), Some(19));
        assert_eq!(length(b"{"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_in_any_pieces(pieces in proptest::collection::vec("[\\[\\]{}\"\\\\, a]{0,9}", 0..20)) {
            let whole = pieces.concat();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            proptest::prop_assert_eq!(split(&pieces), split(&[&whole]));
        }
    }
}
