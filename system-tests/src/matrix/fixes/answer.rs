//! What a client got: a page, an HTTP error that says that the host is wrong, or no session.

/// What a client got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// An HTTP answer.
    Served,
    /// HTTP 400, 403 or 421 after the handshake.
    RejectedByHttp(u16),
    /// No HTTP answer: RST, FIN, an alert.
    Refused(String),
}

/// Statuses by which gateways reject a host.
const REJECTIONS: [u16; 3] = [400, 403, 421];

impl Answer {
    /// Reads the output of `openssl s_client`.
    pub(super) fn read(stdout: &str, stderr: &str) -> Self {
        let status = stdout.lines().find_map(|line| {
            let (_, rest) = line.split_once("HTTP/1.")?;
            rest.split(' ').nth(1)?.trim().parse::<u16>().ok()
        });
        match status {
            Some(status) if REJECTIONS.contains(&status) => Self::RejectedByHttp(status),
            Some(_) => Self::Served,
            None => Self::Refused(end(&format!("{stdout}\n{stderr}"))),
        }
    }

    pub(super) fn is_served(&self) -> bool {
        *self == Self::Served
    }
}

/// Returns how the connection ended.
fn end(output: &str) -> String {
    if let Some((_, rest)) = output.split_once("SSL alert number ") {
        return format!("alert {}", rest.split_whitespace().next().unwrap_or_default());
    }
    let ends = [("errno=104", "RST"), ("unexpected eof", "FIN")];
    let known = ends.iter().find(|(words, _)| output.contains(words));
    known.map_or("no answer", |(_, end)| end).to_owned()
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Served => f.write_str("served"),
            Self::RejectedByHttp(status) => write!(f, "HTTP {status}"),
            Self::Refused(end) => f.write_str(end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_of_openssl_are_read() {
        let refused = |end: &str| Answer::Refused(end.to_owned());
        for (stdout, stderr, expected) in [
            ("read R BLOCK\nHTTP/1.1 200 OK\r\n", "", Answer::Served),
            ("HTTP/1.1 404 Not Found\r\n", "", Answer::Served),
            ("HTTP/1.0 421 Misdirected Request\r\n", "", Answer::RejectedByHttp(421)),
            ("HTTP/1.1 400 \r\n", "", Answer::RejectedByHttp(400)),
            ("", "…:tlsv1 unrecognized name:…:SSL alert number 112\n", refused("alert 112")),
            ("", "write:errno=104\n", refused("RST")),
            ("", "…:unexpected eof while reading:…\n", refused("FIN")),
            ("CONNECTED(00000003)\n", "", refused("no answer")),
        ] {
            assert_eq!(Answer::read(stdout, stderr), expected);
        }
    }
}
