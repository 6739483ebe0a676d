//! What a gateway answers to a hello, as short as the protocol allows.

use crate::wire::{ALERT, HANDSHAKE, TLS_1_2, TLS_1_3, extension, handshake, record, shorts, vec8, vec16};

/// The random of a HelloRetryRequest: SHA-256 of its name (RFC 8446, section 4.1.3).
pub const HELLO_RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

const SERVER_HELLO: u8 = 2;
const FATAL: u8 = 2;
const TLS_AES_128_GCM_SHA256: u16 = 0x1301;
const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;
const SECP256R1: u16 = 0x0017;
const X25519: u16 = 0x001d;

/// A record with a ServerHello of TLS 1.3.
pub fn server_hello() -> Vec<u8> {
    server_hello_with_random([0xa7; 32])
}

/// [`server_hello`] with another random. With [`HELLO_RETRY_RANDOM`] it is a HelloRetryRequest of the same size.
pub fn server_hello_with_random(random: [u8; 32]) -> Vec<u8> {
    server_hello_with(random, &[&X25519.to_be_bytes()[..], &vec16(&[0x33; 32])].concat())
}

/// A record with a HelloRetryRequest that asks for a key share of another group.
pub fn hello_retry_request() -> Vec<u8> {
    server_hello_with(HELLO_RETRY_RANDOM, &SECP256R1.to_be_bytes())
}

/// A record with a ServerHello of this version, which is TLS 1.2 or older: one cipher suite, no extensions.
pub fn old_server_hello(version: u16, cipher_suite: u16) -> Vec<u8> {
    let fixed = [&version.to_be_bytes()[..], &[0x77; 32], &[0]].concat();
    record(HANDSHAKE, &handshake(SERVER_HELLO, &[&fixed[..], &cipher_suite.to_be_bytes(), &[0]].concat()))
}

/// A record with a fatal alert.
pub fn fatal_alert(description: u8) -> Vec<u8> {
    alert(FATAL, description)
}

/// A record with an alert.
pub fn alert(level: u8, description: u8) -> Vec<u8> {
    record(ALERT, &[level, description])
}

fn server_hello_with(random: [u8; 32], key_share: &[u8]) -> Vec<u8> {
    let versions = extension(SUPPORTED_VERSIONS, &TLS_1_3.to_be_bytes());
    let extensions = [versions, extension(KEY_SHARE, key_share)].concat();
    // The client's session ID, which the server repeats; the one of `hello`.
    let session_id = vec8(&[0x5a; 32]);
    let choice = [&shorts(&[TLS_AES_128_GCM_SHA256])[..], &[0]].concat();
    let content = [TLS_1_2.to_be_bytes().to_vec(), random.to_vec(), session_id, choice, vec16(&extensions)];
    record(HANDSHAKE, &handshake(SERVER_HELLO, &content.concat()))
}
