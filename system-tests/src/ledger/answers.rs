//! The bytes that the gateway sends.

use sni_probe_testkit::answers::{fatal_alert, server_hello};

use super::behaviour::Gateway;
use crate::raw::End;

/// A segment that decides nothing.
pub(super) const BABBLE: &[u8] = b"* OK still looking\r\n";
/// More segments of it than an observer reads.
pub(super) const BABBLE_SEGMENTS: usize = 24;
/// The answer to an HTTP request.
pub(super) const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
/// A warning `unrecognized_name`, after which a server may go on (RFC 6066, section 3).
pub(super) const WARNING: &[u8] = &[21, 3, 3, 0, 2, 1, 112];

const HANDSHAKE_FAILURE: u8 = 40;

/// What the client has to see of the gateway's answer, a HelloRetryRequest apart.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    /// What follows; `None` if the connection stays open.
    pub(super) end: Option<End>,
}

/// What the client has to see of what this gateway does.
pub(super) fn answer(gateway: Gateway) -> Answer {
    let (bytes, end) = match gateway {
        Gateway::ServerHello | Gateway::Retry | Gateway::ServerHelloLate | Gateway::ServerHelloUntilReset => {
            (server_hello(), None)
        }
        Gateway::ServerHelloClose => (server_hello(), Some(End::Closed)),
        Gateway::Warning => ([WARNING, &server_hello()].concat(), None),
        Gateway::Alert => (fatal_alert(HANDSHAKE_FAILURE), Some(End::Closed)),
        Gateway::RetryReset
        | Gateway::Reset
        | Gateway::ResetUnread
        | Gateway::ResetLate
        | Gateway::Babble
        | Gateway::ResetAfterEnd => (Vec::new(), Some(End::Reset)),
        Gateway::Close | Gateway::CloseAfterEnd => (Vec::new(), Some(End::Closed)),
        Gateway::Silence
        | Gateway::SilenceUntilReset
        | Gateway::SilenceAfterEnd
        | Gateway::Forget
        | Gateway::HungUp => (Vec::new(), None),
    };
    Answer { bytes, end }
}
