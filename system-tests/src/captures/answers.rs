//! What a gateway answers to a hello, as short as the protocol allows.

use crate::hello::{TLS_1_2, TLS_1_3};

/// The random of a HelloRetryRequest: SHA-256 of its name (RFC 8446, section 4.1.3).
const HELLO_RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const SERVER_HELLO: u8 = 2;
const FATAL: u8 = 2;
const TLS_AES_128_GCM_SHA256: u16 = 0x1301;
const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;
const SECP256R1: u16 = 0x0017;
const X25519: u16 = 0x001d;

/// A record with a ServerHello of TLS 1.3.
pub fn server_hello() -> Vec<u8> {
    let mut key_share = X25519.to_be_bytes().to_vec();
    key_share.extend_from_slice(&32_u16.to_be_bytes());
    key_share.extend_from_slice(&[0x33; 32]);
    server_hello_with([0xa7; 32], &key_share)
}

/// A record with a HelloRetryRequest that asks for a key share of another group.
pub fn hello_retry_request() -> Vec<u8> {
    server_hello_with(HELLO_RETRY_RANDOM, &SECP256R1.to_be_bytes())
}

/// A record with a fatal alert.
pub fn alert(description: u8) -> Vec<u8> {
    record(ALERT, &[FATAL, description])
}

fn server_hello_with(random: [u8; 32], key_share: &[u8]) -> Vec<u8> {
    let mut extensions = Vec::new();
    for (kind, data) in [(SUPPORTED_VERSIONS, &TLS_1_3.to_be_bytes()[..]), (KEY_SHARE, key_share)] {
        extensions.extend_from_slice(&kind.to_be_bytes());
        extensions.extend_from_slice(&short(data));
        extensions.extend_from_slice(data);
    }
    let mut body = TLS_1_2.to_be_bytes().to_vec();
    body.extend_from_slice(&random);
    // The client's session id, which the server repeats; the one of `hello`.
    body.push(32);
    body.extend_from_slice(&[0x5a; 32]);
    body.extend_from_slice(&TLS_AES_128_GCM_SHA256.to_be_bytes());
    body.push(0);
    body.extend_from_slice(&short(&extensions));
    body.extend_from_slice(&extensions);
    let mut message = vec![SERVER_HELLO, 0];
    message.extend_from_slice(&short(&body));
    message.extend_from_slice(&body);
    record(HANDSHAKE, &message)
}

fn record(kind: u8, fragment: &[u8]) -> Vec<u8> {
    let mut record = vec![kind];
    record.extend_from_slice(&TLS_1_2.to_be_bytes());
    record.extend_from_slice(&short(fragment));
    record.extend_from_slice(fragment);
    record
}

/// The length of `data` in two bytes.
fn short(data: &[u8]) -> [u8; 2] {
    u16::try_from(data.len()).expect("an answer is short").to_be_bytes()
}
