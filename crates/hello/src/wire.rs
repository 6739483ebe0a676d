//! The parts that all TLS messages are made of: vectors, records, handshake messages.

/// TLS 1.0 as a protocol version.
pub const TLS_1_0: u16 = 0x0301;
/// TLS 1.2 as a protocol version.
pub const TLS_1_2: u16 = 0x0303;
/// TLS 1.3 as a protocol version.
pub const TLS_1_3: u16 = 0x0304;

/// The size of a record's header.
pub const RECORD_HEADER: usize = 5;
/// The most bytes that a record may have after its header (RFC 8446, section 5.1).
pub const MAX_FRAGMENT: usize = 1 << 14;

/// The content type of records with alerts.
pub const ALERT: u8 = 21;
/// The content type of records with handshake messages.
pub const HANDSHAKE: u8 = 22;

/// A record of TLS 1.2, as gateways send it.
pub fn record(kind: u8, fragment: &[u8]) -> Vec<u8> {
    record_of_version(kind, TLS_1_2, fragment)
}

/// A record with this version in its header.
pub fn record_of_version(kind: u8, version: u16, fragment: &[u8]) -> Vec<u8> {
    let [major, minor] = version.to_be_bytes();
    [&[kind, major, minor][..], &vec16(fragment)].concat()
}

/// A handshake message of this type.
///
/// # Panics
/// When the content has 16 MiB or more.
pub fn handshake(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).ok().filter(|length| *length < 1 << 24);
    let [_, high, middle, low] = length.expect("a message is smaller than 16 MiB").to_be_bytes();
    [&[kind, high, middle, low], content].concat()
}

/// A vector with a length of one byte.
///
/// # Panics
/// When it has more than 255 bytes.
pub fn vec8(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).expect("a short vector has at most 255 bytes")], bytes].concat()
}

/// A vector with a length of two bytes.
///
/// # Panics
/// When it has 64 KiB or more.
pub fn vec16(bytes: &[u8]) -> Vec<u8> {
    [&short_length(bytes.len()).to_be_bytes()[..], bytes].concat()
}

/// An extension of a hello.
pub fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vec16(body)].concat()
}

/// Numbers of 16 bits, one after another.
pub fn shorts(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

pub(crate) fn short_length(length: usize) -> u16 {
    u16::try_from(length).expect("a vector is smaller than 64 KiB")
}
