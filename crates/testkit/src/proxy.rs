//! Headers of the PROXY protocol.

use crate::wire::vec16;

/// A header of version 1 for IPv4.
pub const V1: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n";

/// What a header of version 2 begins with.
pub const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The addresses and ports of [`V1`] as version 2 has them.
pub const V2_ADDRESSES: [u8; 12] = [203, 0, 113, 7, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb];

/// Version 2 and the command PROXY, as a header's 13th byte.
const PROXY: u8 = 0x21;
/// TCP over IPv4, as a header's 14th byte.
const TCP4: u8 = 0x11;

/// A header of version 2: the bytes for version and command, and for family and protocol, then a length and the rest.
pub fn v2_of(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    [V2_SIGNATURE, &[command, family], &vec16(rest)].concat()
}

/// A header of version 2 for IPv4 with the addresses of [`V1`].
pub fn v2() -> Vec<u8> {
    v2_of(PROXY, TCP4, &V2_ADDRESSES)
}

/// [`v2`] with a TLV after the addresses.
pub fn v2_with_tlv() -> Vec<u8> {
    v2_of(PROXY, TCP4, &[&V2_ADDRESSES[..], &[4, 0, 2, 0xaa, 0xbb]].concat())
}
