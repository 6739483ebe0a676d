//! What a ClientHello offers, as lists of numbers: what its fingerprints are made of.

/// The lists in a hello that fingerprints are made of, in the order of the wire, GREASE included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// `legacy_version`.
    pub legacy_version: u16,
    /// `supported_versions`; empty if absent.
    pub versions: Vec<u16>,
    /// Cipher suites.
    pub ciphers: Vec<u16>,
    /// Types of the extensions.
    pub extensions: Vec<u16>,
    /// `supported_groups`.
    pub groups: Vec<u16>,
    /// `ec_point_formats`.
    pub point_formats: Vec<u8>,
    /// `signature_algorithms`.
    pub signature_algorithms: Vec<u16>,
    /// ALPN protocol names.
    pub alpn: Vec<Vec<u8>>,
    /// Groups for which `key_share` has a share.
    pub key_shares: Vec<u16>,
}

/// Whether `value` is one of the 16 that clients offer to keep servers tolerant (RFC 8701, section 2).
pub fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}
