//! ClientHellos as bytes: also those that no real client can be made to send on demand.
//!
//! They are valid, so a gateway that has a certificate for them answers with a ServerHello. The crate makes bytes and nothing
//! else: the same call gives the same bytes. `check` sends such hellos, and the tests of all crates are made of them.
//!
//! ```
//! use sni_probe_hello::{ClientHelloBuilder, RECORD_HEADER};
//!
//! let hello = ClientHelloBuilder::new().server_name("a.example.").build();
//! assert_eq!(hello[..2], [22, 3]);
//! assert_eq!(hello.len() - RECORD_HEADER, usize::from(u16::from_be_bytes([hello[3], hello[4]])));
//! ```
#![forbid(unsafe_code)]

pub mod wire;

use crate::wire::{
    HANDSHAKE, MAX_FRAGMENT, extension, handshake, record_of_version, short_length, shorts, vec8, vec16,
};
pub use crate::wire::{RECORD_HEADER, TLS_1_0, TLS_1_2, TLS_1_3};

/// The size on the wire of the hello that a client with X25519MLKEM768 sends (Chrome's).
pub const POST_QUANTUM_BYTES: usize = 1789;
/// Where a hello's random is: after the headers of record and message, and `legacy_version`.
pub const RANDOM_AT: usize = RECORD_HEADER + 4 + 2;
/// The first bytes of a hello of 517 bytes, enough to recognise it as one.
pub const HELLO_START: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 7, 14];

const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const PADDING: u16 = 21;

const X25519: u16 = 0x001d;
const SECP256R1: u16 = 0x0017;
const X25519_MLKEM768: u16 = 0x11ec;
const MLKEM768_KEY_BYTES: usize = 1184;

const CIPHER_SUITES: [u16; 10] =
    [0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xc013, 0x009c, 0x002f];
const ECDHE_RSA_WITH_AES_128_GCM_SHA256: u16 = 0xc02f;

/// What the `server_name` extension says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ServerName {
    /// There is no such extension.
    None,
    /// A list with one `host_name` of these bytes.
    HostName(Vec<u8>),
    /// These bytes as the extension's data.
    Raw(Vec<u8>),
}

/// Builds a ClientHello.
#[derive(Debug, Clone)]
pub struct ClientHelloBuilder {
    /// `None`: as the versions say.
    legacy_version: Option<u16>,
    random: [u8; 32],
    /// `None`: as the versions say.
    session_id: Option<Vec<u8>>,
    cipher_suites: Vec<u16>,
    server_name: ServerName,
    server_name_last: bool,
    /// Whether it has the extensions that clients usually send.
    has_usual_extensions: bool,
    versions: Vec<u16>,
    post_quantum: bool,
    /// Extensions after the usual ones.
    others: Vec<(u16, Vec<u8>)>,
    size: Option<usize>,
}

impl Default for ClientHelloBuilder {
    fn default() -> Self {
        let mut random = [0; 32];
        for (index, byte) in (0_u8..).zip(&mut random) {
            *byte = index.wrapping_mul(7);
        }
        Self {
            legacy_version: None,
            random,
            session_id: None,
            cipher_suites: CIPHER_SUITES.to_vec(),
            server_name: ServerName::None,
            server_name_last: false,
            has_usual_extensions: true,
            versions: vec![TLS_1_3, TLS_1_2],
            post_quantum: false,
            others: Vec::new(),
            size: None,
        }
    }
}

impl ClientHelloBuilder {
    /// A hello without SNI that offers TLS 1.3 and 1.2.
    pub fn new() -> Self {
        Self::default()
    }

    /// The shortest hello, of TLS 1.2: one cipher suite, no session ID, no extensions.
    pub fn bare() -> Self {
        Self {
            random: [0x5a; 32],
            cipher_suites: vec![ECDHE_RSA_WITH_AES_128_GCM_SHA256],
            has_usual_extensions: false,
            versions: vec![TLS_1_2],
            ..Self::default()
        }
    }

    /// With `legacy_version` other than the offered versions say.
    #[must_use]
    pub fn legacy_version(mut self, version: u16) -> Self {
        self.legacy_version = Some(version);
        self
    }

    /// With this random.
    #[must_use]
    pub fn random(mut self, random: [u8; 32]) -> Self {
        self.random = random;
        self
    }

    /// With this session ID.
    #[must_use]
    pub fn session_id(mut self, id: &[u8]) -> Self {
        self.session_id = Some(id.to_vec());
        self
    }

    /// Offers these cipher suites.
    #[must_use]
    pub fn cipher_suites(mut self, suites: &[u16]) -> Self {
        self.cipher_suites = suites.to_vec();
        self
    }

    /// With SNI.
    #[must_use]
    pub fn server_name(mut self, name: &str) -> Self {
        self.server_name = ServerName::HostName(name.as_bytes().to_vec());
        self
    }

    /// With an SNI extension that has a name of no bytes.
    #[must_use]
    pub fn empty_server_name(mut self) -> Self {
        self.server_name = ServerName::HostName(Vec::new());
        self
    }

    /// With an SNI extension of these bytes, which need not make sense.
    #[must_use]
    pub fn raw_server_name(mut self, data: &[u8]) -> Self {
        self.server_name = ServerName::Raw(data.to_vec());
        self
    }

    /// Puts the SNI extension at the end, after the large ones.
    #[must_use]
    pub fn server_name_last(mut self) -> Self {
        self.server_name_last = true;
        self
    }

    /// Offers these versions, the highest first. Without TLS 1.3 there is no `supported_versions`.
    #[must_use]
    pub fn versions(mut self, versions: &[u16]) -> Self {
        self.versions = versions.to_vec();
        self
    }

    /// Offers these application protocols.
    #[must_use]
    pub fn alpn(self, names: &[&[u8]]) -> Self {
        let names: Vec<u8> = names.iter().flat_map(|name| vec8(name)).collect();
        self.extension(ALPN, &vec16(&names))
    }

    /// Adds a key share for X25519MLKEM768 and pads to the size that Chrome's hello has.
    #[must_use]
    pub fn post_quantum(mut self) -> Self {
        self.post_quantum = true;
        self.padded_to(POST_QUANTUM_BYTES)
    }

    /// Adds an extension, instead of one that the hello has of this type.
    #[must_use]
    pub fn extension(mut self, kind: u16, body: &[u8]) -> Self {
        self.others.retain(|(other, _)| *other != kind);
        self.repeated_extension(kind, body)
    }

    /// Adds an extension. One of this type that was added by [`Self::extension`], or is the server name, stays: such
    /// a hello is malformed (RFC 8446, section 4.2).
    #[must_use]
    pub fn repeated_extension(mut self, kind: u16, body: &[u8]) -> Self {
        self.others.push((kind, body.to_vec()));
        self
    }

    /// Pads to so many bytes on the wire, one record header included.
    #[must_use]
    pub fn padded_to(mut self, bytes: usize) -> Self {
        self.size = Some(bytes);
        self
    }

    /// The handshake message, without record headers.
    ///
    /// # Panics
    /// When the size asked for is smaller than the hello without padding.
    pub fn handshake(&self) -> Vec<u8> {
        let highest = self.versions.iter().copied().max().unwrap_or(TLS_1_2);
        let mut body = self.legacy_version.unwrap_or(highest.min(TLS_1_2)).to_be_bytes().to_vec();
        body.extend(self.random);
        // Clients of TLS 1.3 send a session ID for middleboxes, others only to resume a session.
        let usual_id: &[u8] = if highest >= TLS_1_3 { &[0x5a; 32] } else { &[] };
        body.extend(vec8(self.session_id.as_deref().unwrap_or(usual_id)));
        body.extend(vec16(&shorts(&self.cipher_suites)));
        body.extend(vec8(&[0]));

        let mut extensions = self.extensions(highest);
        let mut last = Vec::new();
        if self.server_name_last {
            self.put_server_name(&mut last);
        }
        if let Some(size) = self.size {
            let unpadded = RECORD_HEADER + 4 + body.len() + 2 + extensions.len() + last.len();
            let padding = size.checked_sub(unpadded + 4).expect("room for the padding extension");
            extensions.extend(extension(PADDING, &vec![0; padding]));
        }
        extensions.append(&mut last);
        if self.has_usual_extensions || !extensions.is_empty() {
            body.extend(vec16(&extensions));
        }
        handshake(CLIENT_HELLO, &body)
    }

    /// The hello in as few records as it takes.
    pub fn build(&self) -> Vec<u8> {
        self.handshake().chunks(MAX_FRAGMENT).flat_map(record).collect()
    }

    /// The hello cut into `count` records of about the same size.
    ///
    /// # Panics
    /// When `count` is 0.
    pub fn in_records(&self, count: usize) -> Vec<u8> {
        let message = self.handshake();
        let chunks = message.chunks(message.len().div_ceil(count));
        chunks.flat_map(record).collect()
    }

    /// The hello cut into records that begin at these offsets of the message, and at 0.
    ///
    /// # Panics
    /// When the offsets are not in order, or lie outside the message.
    pub fn in_records_at(&self, starts: &[usize]) -> Vec<u8> {
        let message = self.handshake();
        let bounds = [&[0], starts, &[message.len()]].concat();
        bounds.windows(2).flat_map(|bound| record(&message[bound[0]..bound[1]])).collect()
    }

    fn extensions(&self, highest: u16) -> Vec<u8> {
        let mut extensions = Vec::new();
        if !self.server_name_last {
            self.put_server_name(&mut extensions);
        }
        if self.has_usual_extensions {
            let is_replaced = |kind: u16| self.others.iter().any(|(other, _)| *other == kind);
            for (kind, body) in self.usual_extensions(highest) {
                if !is_replaced(kind) {
                    extensions.extend(extension(kind, &body));
                }
            }
        }
        for (kind, body) in &self.others {
            extensions.extend(extension(*kind, body));
        }
        extensions
    }

    fn usual_extensions(&self, highest: u16) -> Vec<(u16, Vec<u8>)> {
        let mut groups = vec![X25519, SECP256R1];
        if self.post_quantum {
            groups.insert(0, X25519_MLKEM768);
        }
        let schemes = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0201];
        let mut extensions = vec![
            (10, vec16(&shorts(&groups))),
            (11, vec![1, 0]),
            (13, vec16(&shorts(&schemes))),
            (ALPN, vec16(b"\x02h2\x08http/1.1")),
            (23, Vec::new()),
        ];
        if highest >= TLS_1_3 {
            extensions.push((43, vec8(&shorts(&self.versions))));
            extensions.push((45, vec![1, 1]));
            extensions.push((51, vec16(&self.key_shares())));
        }
        extensions
    }

    fn key_shares(&self) -> Vec<u8> {
        // The base point: a valid X25519 public key.
        let mut x25519 = [0; 32];
        x25519[0] = 9;
        let mut shares = Vec::new();
        if self.post_quantum {
            // Coefficients of 0 are a valid encoding of an ML-KEM key; random bytes are not.
            let mut share = vec![0; MLKEM768_KEY_BYTES];
            share.extend_from_slice(&x25519);
            shares.extend(extension(X25519_MLKEM768, &share));
        }
        shares.extend(extension(X25519, &x25519));
        shares
    }

    fn put_server_name(&self, extensions: &mut Vec<u8>) {
        match &self.server_name {
            ServerName::None => {}
            ServerName::Raw(data) => extensions.extend(extension(SERVER_NAME, data)),
            ServerName::HostName(name) => extensions.extend(extension(SERVER_NAME, &server_name_list(name))),
        }
    }
}

/// The data of an SNI extension with one `host_name`.
pub fn server_name_list(name: &[u8]) -> Vec<u8> {
    vec16(&[&[0][..], &vec16(name)].concat())
}

/// A hello in SSLv2's format (RFC 5246, appendix E.2) that offers TLS 1.2, as old Java sends it.
pub fn sslv2() -> Vec<u8> {
    let suites = CIPHER_SUITES.iter().filter(|suite| *suite & 0xff00 != 0x1300);
    let specifications: Vec<[u8; 3]> = suites
        .map(|suite| {
            let [high, low] = suite.to_be_bytes();
            [0, high, low]
        })
        .collect();
    sslv2_of(TLS_1_2, &specifications, &[0x42; 32])
}

/// A hello in SSLv2's format with this version, these cipher specifications, no session ID, and this challenge.
pub fn sslv2_of(version: u16, specifications: &[[u8; 3]], challenge: &[u8]) -> Vec<u8> {
    let specifications = specifications.concat();
    let [major, minor] = version.to_be_bytes();
    let mut message = vec![CLIENT_HELLO, major, minor];
    for part in [specifications.len(), 0, challenge.len()] {
        message.extend(short_length(part).to_be_bytes());
    }
    message.extend(specifications);
    message.extend(challenge);
    let mut bytes = (0x8000 | short_length(message.len())).to_be_bytes().to_vec();
    bytes.append(&mut message);
    bytes
}

/// One handshake record around `fragment`, with the version that clients put into it.
pub fn record(fragment: &[u8]) -> Vec<u8> {
    record_of_version(HANDSHAKE, TLS_1_0, fragment)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths in a hello's headers, checked against its bytes.
    fn assert_one_record(bytes: &[u8]) {
        assert_eq!(bytes[0], 22);
        assert_eq!(usize::from(u16::from_be_bytes([bytes[3], bytes[4]])), bytes.len() - 5);
        let handshake = u32::from_be_bytes([0, bytes[6], bytes[7], bytes[8]]);
        assert_eq!(handshake as usize, bytes.len() - 9);
    }

    #[test]
    fn lengths_agree() {
        assert_one_record(&ClientHelloBuilder::new().build());
        assert_one_record(&ClientHelloBuilder::new().server_name("a.example").build());
        assert_one_record(&ClientHelloBuilder::new().versions(&[TLS_1_0]).build());
    }

    #[test]
    fn post_quantum_has_its_size_wherever_the_sni_is() {
        let builder = ClientHelloBuilder::new().server_name("a.example").post_quantum();
        assert_eq!(builder.build().len(), POST_QUANTUM_BYTES);
        assert_one_record(&builder.build());
        let last = builder.server_name_last().build();
        assert_eq!(last.len(), POST_QUANTUM_BYTES);
        assert!(last.ends_with(b"a.example"));
        assert_one_record(&last);
    }

    #[test]
    fn records_hold_the_whole_message() {
        let builder = ClientHelloBuilder::new();
        let bytes = builder.in_records(3);
        assert_eq!(bytes.len(), builder.handshake().len() + 3 * RECORD_HEADER);
        assert_eq!(&bytes[RECORD_HEADER..RECORD_HEADER + 4], &builder.handshake()[..4]);
    }

    #[test]
    fn sslv2_lengths_agree() {
        let bytes = sslv2();
        let length = u16::from_be_bytes([bytes[0] & 0x7f, bytes[1]]);
        assert_eq!(usize::from(length), bytes.len() - 2);
    }

    #[test]
    fn a_bare_hello_has_no_extension_block() {
        let bytes = ClientHelloBuilder::bare().build();
        assert_one_record(&bytes);
        assert_eq!(bytes.len(), RANDOM_AT + 32 + 1 + 4 + 2);
        let named = ClientHelloBuilder::bare().server_name("a.example").build();
        assert_eq!(named.len(), bytes.len() + 2 + 9 + "a.example".len());
    }

    #[test]
    fn an_extension_replaces_the_usual_one() {
        let count = |builder: ClientHelloBuilder| {
            builder.build().windows(4).filter(|window| *window == [0, 45, 0, 2]).count()
        };
        assert_eq!(count(ClientHelloBuilder::new()), 1);
        assert_eq!(count(ClientHelloBuilder::new().extension(45, &[1, 0])), 1);
        let twice = ClientHelloBuilder::new().extension(45, &[1, 0]).repeated_extension(45, &[1, 0]);
        assert_eq!(count(twice), 2);
    }

    #[test]
    fn records_begin_where_they_are_asked_to() {
        let builder = ClientHelloBuilder::new();
        let bytes = builder.in_records_at(&[3]);
        assert_eq!(bytes[..8], [22, 3, 1, 0, 3, 1, 0, 0]);
        assert_eq!(bytes[8..10], [22, 3]);
        assert_eq!(bytes.len(), builder.handshake().len() + 2 * RECORD_HEADER);
        let large = builder.padded_to(20_000);
        assert_eq!(large.build().len(), large.handshake().len() + 2 * RECORD_HEADER);
    }

    #[test]
    fn the_start_of_a_hello() {
        assert!(ClientHelloBuilder::new().padded_to(517).build().starts_with(HELLO_START));
    }
}
