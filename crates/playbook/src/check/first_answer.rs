//! A ClientHello of this program's own, and the gateway's first answer to it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::Duration;

use sni_probe_core::server_hello;
use sni_probe_core::server_reply::{Message, message};
use sni_probe_core::vocabulary::{Label as _, TlsVersion};

use super::failure::Failure;
use super::stream::Stream;

/// Between two segments: longer than a gateway takes to read the first, shorter than its patience.
const PAUSE: Duration = Duration::from_millis(200);
/// Bytes of a record with an alert.
const ALERT_RECORD: usize = 7;
/// Bytes of the first answer that are read: a ServerHello with a post-quantum key share has 1,200.
const MAX_ANSWER: usize = 4096;

/// Sends the segments, and returns the version of the ServerHello, as in `1.3`, if it says one.
///
/// # Errors
/// Why no ServerHello came. A HelloRetryRequest is an answer as good as one: the gateway goes on.
pub(super) fn of(
    segments: &[Vec<u8>],
    stream: &mut Stream,
    timeout: Duration,
) -> Result<Option<String>, Failure> {
    let mut answer = Vec::new();
    let mut buffer = [0; MAX_ANSWER];
    let mut written = Ok(());
    for (number, segment) in segments.iter().enumerate() {
        if number > 0 {
            // A gateway may end the connection before it has the whole hello.
            match stream.read_within(PAUSE, &mut buffer) {
                Ok(0) => return Err(Failure::closed(stream.first())),
                Ok(count) => answer.extend_from_slice(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(Failure::of_stream(&error, stream.first(), timeout)),
            }
        }
        if answer.is_empty() && written.is_ok() {
            written = stream.write_all(segment).and_then(|()| stream.flush());
        }
    }
    while answer.len() < MAX_ANSWER {
        if let Some(result) = judge(&mut answer, stream.first()) {
            return result;
        }
        match stream.read(&mut buffer) {
            Ok(0) => {
                // What stopped the writing, if anything did, says more than the end.
                written.map_err(|error| Failure::of_stream(&error, stream.first(), timeout))?;
                return Err(Failure::closed(stream.first()));
            }
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::of_stream(&error, stream.first(), timeout)),
        }
    }
    Err(Failure::not_tls(stream.first()))
}

/// What the answer says so far; `None` if it takes more bytes to say. A warning is left out, such as Java's `unrecognized_name`:
/// the answer follows it.
fn judge(answer: &mut Vec<u8>, first: &[u8]) -> Option<Result<Option<String>, Failure>> {
    loop {
        return Some(match message(answer) {
            Message::NeedMore => return None,
            Message::ServerHello => {
                let version = server_hello::parse(answer).map(|hello| hello.negotiated.version);
                let version = version.filter(|version| *version != TlsVersion::Unknown);
                Ok(version.map(|version| version.as_str().to_owned()))
            }
            Message::HelloRetryRequest => Ok(Some(TlsVersion::Tls13.as_str().to_owned())),
            Message::Alert { may_go_on: true, .. } => {
                answer.drain(..ALERT_RECORD.min(answer.len()));
                continue;
            }
            Message::Alert { .. } => {
                Err(Failure::of_alert(answer.get(ALERT_RECORD - 1).copied().unwrap_or_default()))
            }
            Message::ChangeCipherSpec | Message::NotTls => Err(Failure::not_tls(first)),
        });
    }
}
