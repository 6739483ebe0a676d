//! The `server_name` extension (RFC 6066, section 3) and what counts as a host name.

use std::fmt::Write as _;

use crate::observation::Sni;
use crate::reader::Reader;

/// The longest host name, without a trailing dot (RFC 1035, section 2.3.4, as text).
pub const MAX_HOST_NAME_LEN: usize = 253;

/// The longest label of a host name (RFC 1035, section 2.3.4).
const MAX_LABEL_LEN: usize = 63;

/// Bytes shown of a name that is none. Stops a 16 KiB "name" from being carried to logs and labels.
pub const MAX_SHOWN_BYTES: usize = 255;

/// `host_name`, the one `NameType`.
const HOST_NAME: u8 = 0;

/// The content of a `server_name` extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerName {
    /// The name in lower case.
    pub sni: Sni,
    /// The host name as the client sent it; `None` if that is the name in lower case.
    pub as_sent: Option<String>,
}

/// Reads the body of a `server_name` extension.
///
/// Whatever the body is, the extension is there: malformed bytes are [`Sni::Invalid`], never absent. So are two host
/// names, which RFC 6066 forbids: OpenSSL and BoringSSL answer them with `decode_error`.
pub fn parse(body: &[u8]) -> ServerName {
    let without_case = |sni| ServerName { sni, as_sent: None };
    if body.is_empty() {
        return without_case(Sni::Empty);
    }
    match host_names(body).as_deref() {
        Some([] | [b""]) => without_case(Sni::Empty),
        Some([name]) => {
            let sni = classify(name);
            // A host name is ASCII.
            let has_upper_case = matches!(sni, Sni::Present(_)) && name.iter().any(u8::is_ascii_uppercase);
            let as_sent = has_upper_case.then(|| String::from_utf8_lossy(name).into_owned());
            ServerName { sni, as_sent }
        }
        Some(_) | None => without_case(Sni::Invalid(escape(body))),
    }
}

/// The `host_name`s of the list; `None` if its lengths contradict each other.
fn host_names(body: &[u8]) -> Option<Vec<&[u8]>> {
    let mut body = Reader::new(body);
    let mut list = Reader::new(body.vec16()?);
    if !body.is_empty() {
        return None;
    }
    let mut names = Vec::new();
    while !list.is_empty() {
        let name_type = list.u8()?;
        let name = list.vec16()?;
        if name_type == HOST_NAME {
            names.push(name);
        }
    }
    Some(names)
}

/// Tells host names from other bytes, and gives them in lower case. A trailing dot, which RFC 6066 does not allow, stays: gateways
/// compare names as they are, so that it is what a refusal may be about.
pub fn classify(name: &[u8]) -> Sni {
    let without_dot = name.strip_suffix(b".").unwrap_or(name);
    match (std::str::from_utf8(without_dot), std::str::from_utf8(name)) {
        (Ok(host_name), Ok(text)) if is_host_name(host_name) => Sni::Present(text.to_ascii_lowercase()),
        _ => Sni::Invalid(escape(name)),
    }
}

/// Letters, digits and hyphens in labels (RFC 1123, section 2.1), and underscores, which names in use have.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_LABEL_LEN).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // RFC 1123: a name is told from an IPv4 literal by its last label, which is not all digits.
    let ends_in_digits =
        name.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= MAX_HOST_NAME_LEN && name.split('.').all(is_label) && !ends_in_digits
}

/// Printable ASCII as it is, all other bytes, the backslash too, as `\xNN`; cut after
/// [`MAX_SHOWN_BYTES`] bytes with `...`.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in &bytes[..bytes.len().min(MAX_SHOWN_BYTES)] {
        if (byte.is_ascii_graphic() || byte == b' ') && byte != b'\\' {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    if bytes.len() > MAX_SHOWN_BYTES {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sni(body: &[u8]) -> Sni {
        parse(body).sni
    }

    fn present(name: &str) -> Sni {
        Sni::Present(name.to_owned())
    }

    fn invalid(name: &str) -> Sni {
        Sni::Invalid(name.to_owned())
    }

    #[test]
    fn host_names() {
        assert_eq!(classify(b"Api.Example.COM"), present("api.example.com"));
        assert_eq!(classify(b"example.com."), present("example.com."));
        assert_eq!(classify(b"gateway"), present("gateway"));
        assert_eq!(classify(b"my_host.example"), present("my_host.example"));
        assert_eq!(classify(b"xn--bcher-kva.example"), present("xn--bcher-kva.example"));
        assert_eq!(classify(b"1.example"), present("1.example"));
        assert_eq!(classify(b"4chan.org"), present("4chan.org"));
        let long = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        assert_eq!(classify(long.as_bytes()), present(&long));
    }

    #[test]
    fn what_is_no_host_name() {
        assert_eq!(classify(b"192.0.2.1"), invalid("192.0.2.1"));
        assert_eq!(classify(b"2001:db8::1"), invalid("2001:db8::1"));
        assert_eq!(classify(b"[2001:db8::1]"), invalid("[2001:db8::1]"));
        assert_eq!(classify(b"example.com:443"), invalid("example.com:443"));
        assert_eq!(classify(b"a..b"), invalid("a..b"));
        assert_eq!(classify(b"."), invalid("."));
        assert_eq!(classify(b"-a.example"), invalid("-a.example"));
        assert_eq!(classify(b"*.example.com"), invalid("*.example.com"));
        assert_eq!(classify(b"a b\\c\n"), invalid("a b\\x5cc\\x0a"));
        assert_eq!(classify("bücher.example".as_bytes()), invalid("b\\xc3\\xbccher.example"));
        let label = "a".repeat(64);
        assert_eq!(classify(label.as_bytes()), invalid(&label));
        let long = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(62));
        assert_eq!(classify(long.as_bytes()), invalid(&long));
        assert_eq!(classify(&[0xff; 300]), invalid(&("\\xff".repeat(255) + "...")));
    }

    #[test]
    fn extension_without_a_name_is_empty() {
        assert_eq!(sni(b""), Sni::Empty);
        assert_eq!(sni(&[0, 0]), Sni::Empty);
        assert_eq!(sni(&[0, 3, 0, 0, 0]), Sni::Empty);
        assert_eq!(sni(&[0, 4, 1, 0, 1, b'x']), Sni::Empty, "another name type");
    }

    #[test]
    fn the_one_host_name_counts() {
        assert_eq!(sni(&[0, 8, 7, 0, 1, b'x', 0, 0, 1, b'a']), present("a"));
        for body in [&[0, 8, 0, 0, 1, b'a', 0, 0, 1, b'b'][..], &[0, 8, 0, 0, 1, b'a', 0, 0, 1, b'a']] {
            assert_eq!(sni(body), Sni::Invalid(escape(body)), "{body:?}");
        }
        let with_an_empty_one = [0, 7, 0, 0, 0, 0, 0, 1, b'b'];
        assert_eq!(sni(&with_an_empty_one), Sni::Invalid(escape(&with_an_empty_one)));
    }

    #[test]
    fn contradictory_lengths_are_invalid() {
        for body in [
            &[0][..],
            &[0, 1],
            &[0, 4, 0, 0, 2, b'a'],
            &[0, 5, 0, 0, 1, b'a', b'b', 0],
            &[0, 4, 0, 0, 1, b'a', b'b'],
            &[0, 3, 0, 0, 1, b'a'],
        ] {
            assert_eq!(sni(body), Sni::Invalid(escape(body)), "{body:?}");
        }
    }
}
