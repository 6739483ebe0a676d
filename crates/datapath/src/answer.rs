//! The gateway's answer to a ClientHello, as one segment shows it.
//!
//! The TC programs and the core read it with this one function. So both agree on the segment that ends an
//! observation: what comes after it, the datapath does not pass on and the core does not wait for.

use crate::wire::{Read, Unreadable};

/// The random of a ServerHello that makes it a HelloRetryRequest (RFC 8446, section 4.1.3): the SHA-256 of
/// `HelloRetryRequest`.
pub const HELLO_RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Where the random starts in a segment that begins with a ServerHello: after the headers of the record and of the
/// message, and `legacy_version`.
const RANDOM_AT: usize = 5 + 4 + 2;

/// Bytes of a segment with which a ServerHello is read: up to the end of its random.
pub const SERVER_HELLO_LEN: usize = RANDOM_AT + HELLO_RETRY_RANDOM.len();

/// Bytes of a record with a plaintext alert.
pub const ALERT_LEN: usize = 7;

/// Alert levels (RFC 8446, section 6).
const WARNING: u8 = 1;
/// The alert that closes a connection, whatever its level.
const CLOSE_NOTIFY: u8 = 0;

/// What a segment of the gateway's answer begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A ServerHello of TLS or of SSLv2.
    ServerHello,
    /// A HelloRetryRequest: the gateway asks for another ClientHello.
    HelloRetryRequest,
    /// A plaintext alert.
    Alert {
        /// As on the wire: 1 is a warning, 2 is fatal.
        level: u8,
        /// The code of its description.
        description: u8,
    },
    /// Anything else, or too few bytes.
    Other,
}

impl Answer {
    /// Whether the answer decides by itself what became of the hello.
    #[inline(always)]
    pub const fn is_conclusive(self) -> bool {
        match self {
            Self::ServerHello => true,
            Self::Alert { level, description } => !may_go_on(level, description),
            Self::HelloRetryRequest | Self::Other => false,
        }
    }
}

/// Whether a handshake may go on after an alert: after a warning that does not close the connection (RFC 5246,
/// section 7.2). Servers in Java and OpenSSL can send `unrecognized_name` as such a warning.
#[inline(always)]
pub const fn may_go_on(level: u8, description: u8) -> bool {
    level == WARNING && description != CLOSE_NOTIFY
}

/// Reads the beginning of a segment's payload, `len` bytes from `at` on.
///
/// # Errors
///
/// [`Unreadable`]: bytes that the headers promise are not there.
#[inline(always)]
pub fn read<R: Read>(reader: &R, at: usize, len: usize) -> Result<Answer, Unreadable> {
    if len < ALERT_LEN {
        return Ok(Answer::Other);
    }
    let [first @ .., length_low, fifth, sixth] = reader.bytes_at::<ALERT_LEN>(at)?;
    let word = u32::from_be_bytes(first);
    if word >> 16 == 0x1503 {
        // An alert of another length is encrypted, and before a ServerHello nothing is.
        let is_plain = (word as u8, length_low) == (0, 2);
        return Ok(if is_plain { Answer::Alert { level: fifth, description: sixth } } else { Answer::Other });
    }
    if word >> 16 == 0x1603 {
        if len < SERVER_HELLO_LEN || fifth != 2 {
            return Ok(Answer::Other);
        }
        // Four bytes, for each read costs 15 ns in the kernel: one ServerHello in 2^32 has the same.
        let [a, b, c, d, ..] = HELLO_RETRY_RANDOM;
        let is_retry = reader.u32_at(at + RANDOM_AT)? == u32::from_be_bytes([a, b, c, d]);
        return Ok(if is_retry { Answer::HelloRetryRequest } else { Answer::ServerHello });
    }
    // SSLv2: two bytes of length with the high bit set, then type 4, SERVER-HELLO.
    Ok(if word & 0x8000_ff00 == 0x8000_0400 { Answer::ServerHello } else { Answer::Other })
}

#[cfg(test)]
mod tests {
    use sni_probe_testkit::answers;

    use super::*;

    fn answer(bytes: &[u8]) -> Answer {
        read(&bytes, 0, bytes.len()).unwrap()
    }

    /// Its first bytes, as many as decide.
    fn server_hello(random: [u8; 32]) -> [u8; SERVER_HELLO_LEN] {
        *answers::server_hello_with_random(random).first_chunk().unwrap()
    }

    #[test]
    fn server_hellos() {
        assert_eq!(answer(&server_hello([7; 32])), Answer::ServerHello);
        assert_eq!(answer(&server_hello(HELLO_RETRY_RANDOM)), Answer::HelloRetryRequest);
        let mut nearly = HELLO_RETRY_RANDOM;
        nearly[3] ^= 1;
        assert_eq!(answer(&server_hello(nearly)), Answer::ServerHello);
        assert_eq!(answer(&server_hello([7; 32])[..SERVER_HELLO_LEN - 1]), Answer::Other);
        assert_eq!(answer(&[0x80, 0x20, 4, 0, 1, 0, 2]), Answer::ServerHello);
    }

    #[test]
    fn alerts() {
        for (level, description, is_conclusive) in
            [(2, 112, true), (1, 112, false), (1, 0, true), (2, 0, true), (0, 40, true), (3, 40, true)]
        {
            let read = answer(&answers::alert(level, description));
            assert_eq!(read, Answer::Alert { level, description });
            assert_eq!(read.is_conclusive(), is_conclusive, "{level} {description}");
        }
        // Of another length: encrypted.
        assert_eq!(answer(&[21, 3, 3, 0, 26, 2, 40]), Answer::Other);
        assert_eq!(answer(&[21, 3, 3, 1, 2, 2, 40]), Answer::Other);
        assert_eq!(answer(&[21, 3, 3, 0, 2, 2]), Answer::Other);
    }

    #[test]
    fn other_bytes() {
        for bytes in [&b""[..], b"HTTP/1.1 400", &[23, 3, 3, 0, 60, 2, 40], &[22, 3, 3, 0, 60, 11, 0]] {
            assert_eq!(answer(bytes), Answer::Other, "{bytes:02x?}");
            assert!(!answer(bytes).is_conclusive());
        }
    }
}
