//! Lines of a log in the quotes of another format: fields of CSV, and Ruby's hashes as Fluent Bit prints them.

use std::borrow::Cow;

use memchr::{memchr, memmem};

/// Fields of a line of CSV that are looked at.
const MAX_FIELDS: usize = 64;

/// The fields of a line of CSV, without their quotes; `None` if it is none, or has no field in which quotes are doubled.
pub(super) fn csv(line: &[u8]) -> Option<Vec<Cow<'_, str>>> {
    memmem::find(line, b"\"\"")?;
    let mut fields = Vec::new();
    let (mut rest, mut has_doubled) = (line, false);
    loop {
        let length = if let Some(quoted) = rest.strip_prefix(b"\"") {
            let (field, length, is_doubled) = csv_field(quoted)?;
            has_doubled |= is_doubled;
            fields.push(Cow::Owned(field));
            length + 1
        } else {
            let length = memchr(b',', rest).unwrap_or(rest.len());
            // A quote within is none of CSV.
            if memchr(b'"', &rest[..length]).is_some() {
                return None;
            }
            fields.push(String::from_utf8_lossy(&rest[..length]));
            length
        };
        rest = &rest[length..];
        if rest.is_empty() {
            return has_doubled.then_some(fields);
        }
        rest = rest.strip_prefix(b",")?;
        if fields.len() == MAX_FIELDS {
            return None;
        }
    }
}

/// A field after its first quote: text, length with the last quote, and whether a quote in it is doubled.
fn csv_field(quoted: &[u8]) -> Option<(String, usize, bool)> {
    let (mut field, mut at, mut is_doubled) = (Vec::new(), 0, false);
    loop {
        let end = at + memchr(b'"', &quoted[at..])?;
        field.extend_from_slice(&quoted[at..end]);
        if quoted.get(end + 1) != Some(&b'"') {
            return Some((String::from_utf8_lossy(&field).into_owned(), end + 1, is_doubled));
        }
        field.push(b'"');
        (at, is_doubled) = (end + 2, true);
    }
}

/// The values of a Ruby hash by name: `[0] tag: [[1747629980.117, {}], {"log"=>"…", "stream"=>"stdout"}]`.
pub(super) fn ruby(line: &[u8]) -> impl Iterator<Item = (&str, String)> {
    let ends = memmem::find_iter(line, b"\"=>\"").take(MAX_FIELDS);
    ends.filter_map(|end| {
        let start = memchr::memrchr(b'"', &line[..end])? + 1;
        let name = std::str::from_utf8(&line[start..end]).ok()?;
        Some((name, unescaped(&line[end + 4..])?))
    })
}

/// The time of such a line, in seconds since 1970.
pub(super) fn ruby_time(line: &[u8]) -> Option<&str> {
    let head = &line[..memmem::find(line, b"{\"")?];
    let start = head.iter().rposition(|&byte| byte == b'[').filter(|&at| at > 0)?;
    let end = memchr(b',', &head[start..])? + start;
    std::str::from_utf8(&head[start + 1..end]).ok()
}

/// A text up to its quote.
fn unescaped(quoted: &[u8]) -> Option<String> {
    let mut text = Vec::new();
    let mut bytes = quoted.iter();
    loop {
        match *bytes.next()? {
            b'"' => return Some(String::from_utf8_lossy(&text).into_owned()),
            b'\\' => text.push(match *bytes.next()? {
                b'n' => b'\n',
                b't' => b'\t',
                other => other,
            }),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_csv() {
        for (line, fields) in [
            (r#""t","a ""b"" c""#, Some(&["t", r#"a "b" c"#][..])),
            (r#"t,"{""a"":1}",x"#, Some(&["t", r#"{"a":1}"#, "x"])),
            (r#""","a""b""#, Some(&["", "a\"b"])),
            // Without doubled quotes there is nothing to undo.
            (r#""t","a""#, None),
            (r#"[t] "" 0"#, None),
            (r#""a""#, None),
            (r#""a"" b"#, None),
        ] {
            let found = csv(line.as_bytes());
            assert_eq!(
                found.as_deref().map(<[_]>::to_vec),
                fields.map(|all| all.iter().map(|&one| Cow::Borrowed(one)).collect()),
                "{line}"
            );
        }
    }

    #[test]
    fn hashes_of_ruby() {
        let line = br#"[0] kube.var: [[1747629980.117, {}], {"log"=>"a \"b\"\n", "stream"=>"stdout"}]"#;
        let found: Vec<(&str, String)> = ruby(line).collect();
        assert_eq!(found, [("log", "a \"b\"\n".to_owned()), ("stream", "stdout".to_owned())]);
        assert_eq!(ruby_time(br#"[0] t: [1747629980.117, {"log"=>"a"}]"#), Some("1747629980.117"));
        assert_eq!(ruby(br#""=>"a"#).count(), 0);
    }

    proptest::proptest! {
        #[test]
        fn any_line(line in "[\",=>a\\\\ \\[{é]{0,40}") {
            let _ = (csv(line.as_bytes()), ruby(line.as_bytes()).count(), ruby_time(line.as_bytes()));
        }
    }
}
