//! One HTTP request after the handshake: some gateways refuse clients without SNI only there.

use std::io::{ErrorKind, Read as _, Write as _};

use anyhow::ensure;
use rustls::ClientConnection;
use sni_probe_terminal::printable;

use super::stream::Stream;

/// Statuses with which gateways reject a client without SNI, or with another name than that of the request: 421 of Apache
/// 2.4.68 and later (403 with `SSLStrictSNIVHostCheck`), 400 of Tomcat 10.1 and 11 and of Jetty 9.4. Measured 2026-11-29.
const REJECTIONS: [u16; 3] = [400, 403, 421];
/// Bytes in which the status line has to be.
const MAX_LINE: usize = 8192;

/// A request that is made once.
#[derive(Debug)]
pub(super) struct Request(String);

impl Request {
    /// A GET of `path` from `host`.
    ///
    /// # Errors
    /// If the path is none that a request can have.
    pub(super) fn new(path: &str, host: &str) -> anyhow::Result<Self> {
        let is_path = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        ensure!(
            is_path,
            "--http {}: expected a path in ASCII that begins with /, such as /healthz",
            printable(path)
        );
        let agent = concat!("sni-probe/", env!("CARGO_PKG_VERSION"));
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n");
        Ok(Self(head + "Connection: close\r\n\r\n"))
    }

    /// Sends the request over a session, and returns the status of the answer.
    ///
    /// # Errors
    /// In words for people: why there was none.
    pub(super) fn send(&self, tls: &mut ClientConnection, stream: &mut Stream) -> Result<u16, String> {
        let no_answer = |why: &str| format!("no HTTP answer ({why})");
        let mut session = rustls::Stream::new(tls, stream);
        session.write_all(self.0.as_bytes()).map_err(|error| no_answer(&error.to_string()))?;
        let mut answer = Vec::new();
        let mut buffer = [0; 1024];
        while answer.len() < MAX_LINE && !answer.contains(&b'\n') {
            match session.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => answer.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A gateway that closes without a close_notify.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(no_answer("silence after the request"));
                }
                Err(error) => return Err(no_answer(&error.to_string())),
            }
        }
        if answer.is_empty() {
            return Err(no_answer("the connection was closed after the request"));
        }
        status(&answer).ok_or_else(|| {
            let line = String::from_utf8_lossy(&answer);
            no_answer(&format!(
                "the answer begins with {}",
                printable(line.lines().next().unwrap_or_default())
            ))
        })
    }
}

/// Whether a gateway may mean the missing name with this status.
pub(super) fn is_rejection(status: u16) -> bool {
    REJECTIONS.contains(&status)
}

/// `HTTP/1.1 421 Misdirected Request` (RFC 9112, section 4).
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|&byte| byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let is_http = words.next()?.starts_with("HTTP/");
    let status = words.next().filter(|word| is_http && word.len() == 3)?;
    status.parse().ok().filter(|status| (100..600).contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        for (answer, expected) in [
            ("HTTP/1.1 421 Misdirected Request\r\nx", Some(421)),
            ("HTTP/1.0 200\r\n", Some(200)),
            ("HTTP/1.1 4210 x\r\n", None),
            ("HTTP/1.1 +42 x\r\n", None),
            ("SSH-2.0-x\r\n", None),
            ("", None),
        ] {
            assert_eq!(status(answer.as_bytes()), expected, "{answer}");
        }
    }

    #[test]
    fn paths() {
        for path in ["", "a", "/a b", "/a\r\nHost: b", "/ä"] {
            assert!(Request::new(path, "a.example").is_err(), "{path:?}");
        }
        let request = Request::new("/a?b=c", "a.example").unwrap();
        assert!(request.0.starts_with("GET /a?b=c HTTP/1.1\r\nHost: a.example\r\n"));
    }

    proptest::proptest! {
        #[test]
        fn any_answer(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)) {
            status(&bytes);
            status(&[b"HTTP/1.1 ", &bytes[..]].concat());
        }
    }
}
