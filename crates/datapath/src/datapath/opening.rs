//! Whether payload of an unknown flow is the beginning of a TLS connection.

use super::Segment;
use crate::wire::{Packet, Unreadable};

/// Whether the payload of an unknown flow begins as a client on a TLS port begins: a handshake record
/// with a ClientHello, an SSLv2 CLIENT-HELLO, or a PROXY protocol header.
///
/// A segment in the middle of an upload begins with bytes of any value. So what is read is as much as makes a
/// mistake unlikely: one in 2^30 of random bytes or less.
#[inline(always)]
pub(super) fn starts_like_a_client<P: Packet>(packet: &P, segment: &Segment) -> Result<bool, Unreadable> {
    // What all patterns need.
    if segment.payload_len < 6 {
        return Ok(false);
    }
    let at = segment.payload_offset;
    let [first @ .., next_0, next_1] = packet.bytes_at::<6>(at)?;
    let (word, next) = (u32::from_be_bytes(first), u16::from_be_bytes([next_0, next_1]));
    if word >> 16 == 0x1603 {
        // Record type 22, version 3.0 to 3.4, length; then handshake type 1.
        let record = (word & 0xff) << 8 | u32::from(next_0);
        if word >> 8 & 0xff > 4 || record == 0 || record > MAX_FRAGMENT || next_1 != 1 {
            return Ok(false);
        }
        if segment.payload_len < 11 || record < 6 {
            return Ok(true);
        }
        // The message's length, and the version that it has first.
        // (Where a capture was cut short before them, it may be a hello.)
        let Ok([length @ .., major, minor]) = packet.bytes_at::<5>(at + 6) else { return Ok(true) };
        let length = u32::from_be_bytes([0, length[0], length[1], length[2]]);
        return Ok(length <= MAX_HELLO && record <= length + 4 && major == 3 && minor <= 4);
    }
    if word & 0x8000_ff00 == 0x8000_0100 {
        // Two bytes of length with the high bit set, type 1, version 3.x or 0.2, three lengths, of which the sum is known.
        if !matches!((word as u8, next_0), (3, 0..=4) | (0, 2)) || segment.payload_len < 11 {
            return Ok(false);
        }
        let [ciphers_low, session_0, session_1, challenge_0, challenge_1] = packet.bytes_at::<5>(at + 6)?;
        let ciphers = u32::from(next & 0xff) << 8 | u32::from(ciphers_low);
        let session = u32::from_be_bytes([0, 0, session_0, session_1]);
        let challenge = u32::from_be_bytes([0, 0, challenge_0, challenge_1]);
        return Ok(word >> 16 & 0x7fff == 9 + ciphers + session + challenge);
    }
    if word == 0x5052_4f58 {
        return Ok(next == 0x5920);
    }
    // The first six bytes of the signature of PROXY protocol v2.
    Ok(word == 0x0d0a_0d0a && next == 0x000d)
}

/// The longest fragment of a record (RFC 8446, section 5.1), in bytes.
const MAX_FRAGMENT: u32 = 1 << 14;
/// A longer hello is none: the longest that a gateway was seen to accept has 40,000 bytes.
const MAX_HELLO: u32 = 1 << 17;
