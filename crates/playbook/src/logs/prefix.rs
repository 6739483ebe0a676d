//! What stands before a line where it was not the gateway that wrote it to a file.
//!
//! ```text
//! [pod/name/container] …            kubectl logs --prefix
//! 2025-05-19T04:46:20.117000000Z …  kubectl logs --timestamps; after the other, if both
//! 2025-05-19T04:46:20.117000000Z stdout F …   the container runtime's files (P: a part of a line)
//! ```

use memchr::memchr;

/// What a line is without what stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content<'a> {
    pub(super) text: &'a [u8],
    /// The time that stood before the line.
    pub(super) time: Option<&'a str>,
    /// The next line goes on where this one ends.
    pub(super) is_part: bool,
}

/// Takes off what is known to stand before lines. One space ends it: those that follow are the line's own.
pub(super) fn strip(line: &[u8]) -> Content<'_> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = strip_pod(line).unwrap_or(line);
    let Some((time, line)) = strip_time(line) else {
        return Content { text: line, time: None, is_part: false };
    };
    let time = Some(time);
    for (stream, is_part) in
        [("stdout F", false), ("stderr F", false), ("stdout P", true), ("stderr P", true)]
    {
        if let Some(text) = line.strip_prefix(stream.as_bytes()) {
            return Content { text: text.strip_prefix(b" ").unwrap_or(text), time, is_part };
        }
    }
    Content { text: line, time, is_part: false }
}

fn strip_pod(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"[pod/")?;
    let end = memchr(b']', rest)?;
    rest[end + 1..].strip_prefix(b" ")
}

/// `2025-05-19T…Z ` or with `+02:00`.
fn strip_time(line: &[u8]) -> Option<(&str, &[u8])> {
    let is_date =
        line.len() > 20 && line[..4].iter().all(u8::is_ascii_digit) && line[4] == b'-' && line[10] == b'T';
    // After a tab there is a level: the time belongs to the line. A quote begins a field of CSV.
    let is_before_line =
        |end: &usize| *end <= 40 && !line[..*end].iter().any(|byte| matches!(byte, b'\t' | b'"'));
    let end = memchr(b' ', line).filter(|end| is_date && is_before_line(end))?;
    Some((std::str::from_utf8(&line[..end]).ok()?, &line[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_a_line() {
        let time = "2025-05-19T04:46:20.117123456Z";
        for (line, text, is_part) in [
            ("{}".to_owned(), "{}", false),
            ("[pod/apigee-ingressgateway-x/istio-proxy] {}".to_owned(), "{}", false),
            ("[pod/apigee-ingressgateway-x/istio-proxy]   \"a\": 1,".to_owned(), "  \"a\": 1,", false),
            (format!("{time} {{}}\r"), "{}", false),
            (format!("[pod/a/b] {time} {{}}"), "{}", false),
            (format!("{time} stdout F {{}}"), "{}", false),
            (format!("{time} stdout F   x"), "  x", false),
            (format!("{time} stderr P {{\"a"), "{\"a", true),
            ("2025-05-19T06:46:20.117+02:00 {}".to_owned(), "{}", false),
            // Not before the line, but the line.
            (
                "2025-05-19T04:46:20Z,\"{\"\"a\"\": 1}\"".to_owned(),
                "2025-05-19T04:46:20Z,\"{\"\"a\"\": 1}\"",
                false,
            ),
            (format!("[{time}] \"- - -\" 0 NR"), &format!("[{time}] \"- - -\" 0 NR"), false),
            ("[pod/a".to_owned(), "[pod/a", false),
            ("2025-05-19T".to_owned(), "2025-05-19T", false),
        ] {
            let content = strip(line.as_bytes());
            assert_eq!((content.text, content.is_part), (text.as_bytes(), is_part), "{line}");
            // A time that is taken off is kept.
            let is_shorter = line.replacen("[pod/a/b] ", "", 1).trim_end().len() > content.text.len();
            assert_eq!(content.time.is_some(), is_shorter && !line.starts_with("[pod/apigee"), "{line}");
        }
    }
}
