//! `ClientHello`s as bytes: what no real client can be made to send on demand.
//!
//! They are valid, so a gateway that has a certificate for them answers with a `ServerHello`.

/// TLS 1.0 as a protocol version.
pub const TLS_1_0: u16 = 0x0301;
/// TLS 1.2 as a protocol version.
pub const TLS_1_2: u16 = 0x0303;
/// TLS 1.3 as a protocol version.
pub const TLS_1_3: u16 = 0x0304;

/// The size of a record's header.
pub const RECORD_HEADER: usize = 5;
/// The size on the wire of the hello that a client with X25519MLKEM768 sends (Chrome's).
pub const POST_QUANTUM_BYTES: usize = 1789;

const X25519: u16 = 0x001d;
const SECP256R1: u16 = 0x0017;
const X25519_MLKEM768: u16 = 0x11ec;
const MLKEM768_KEY_BYTES: usize = 1184;

const CIPHER_SUITES: [u16; 10] =
    [0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xc013, 0x009c, 0x002f];

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

/// Builds a `ClientHello`.
#[derive(Debug, Clone)]
pub struct ClientHelloBuilder {
    server_name: ServerName,
    server_name_last: bool,
    versions: Vec<u16>,
    post_quantum: bool,
    size: Option<usize>,
}

impl Default for ClientHelloBuilder {
    fn default() -> Self {
        Self {
            server_name: ServerName::None,
            server_name_last: false,
            versions: vec![TLS_1_3, TLS_1_2],
            post_quantum: false,
            size: None,
        }
    }
}

impl ClientHelloBuilder {
    /// A hello without SNI that offers TLS 1.3 and 1.2.
    pub fn new() -> Self {
        Self::default()
    }

    /// With SNI.
    #[must_use]
    pub fn server_name(mut self, name: &str) -> Self {
        self.server_name = ServerName::HostName(name.as_bytes().to_vec());
        self
    }

    /// With an SNI extension whose name has no bytes.
    #[must_use]
    pub fn empty_server_name(mut self) -> Self {
        self.server_name = ServerName::HostName(Vec::new());
        self
    }

    /// With an SNI extension of these bytes, be they sense or not.
    #[must_use]
    pub fn raw_server_name(mut self, data: &[u8]) -> Self {
        self.server_name = ServerName::Raw(data.to_vec());
        self
    }

    /// Puts the SNI extension at the end, behind the large ones.
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

    /// Adds a key share for X25519MLKEM768 and pads to the size that Chrome's hello has.
    #[must_use]
    pub fn post_quantum(mut self) -> Self {
        self.post_quantum = true;
        self.padded_to(POST_QUANTUM_BYTES)
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
        let mut body = highest.min(TLS_1_2).to_be_bytes().to_vec();
        body.extend((0..32).map(|index: u8| index.wrapping_mul(7)));
        // A session id: clients of TLS 1.3 send one for middleboxes, others only to resume a session.
        let session_id: &[u8] = if highest >= TLS_1_3 { &[0x5a; 32] } else { &[] };
        put_vector8(&mut body, session_id);
        let suites = CIPHER_SUITES.iter().flat_map(|suite| suite.to_be_bytes());
        put_vector16(&mut body, &suites.collect::<Vec<_>>());
        put_vector8(&mut body, &[0]);

        let mut extensions = self.extensions(highest);
        let mut last = Vec::new();
        if self.server_name_last {
            self.put_server_name(&mut last);
        }
        if let Some(size) = self.size {
            let unpadded = RECORD_HEADER + 4 + body.len() + 2 + extensions.len() + last.len();
            let padding = size.checked_sub(unpadded + 4).expect("room for the padding extension");
            put_extension(&mut extensions, 21, &vec![0; padding]);
        }
        extensions.append(&mut last);
        put_vector16(&mut body, &extensions);
        let mut message = vec![1];
        message.extend_from_slice(&length(body.len()).to_be_bytes()[1..]);
        message.append(&mut body);
        message
    }

    /// The hello in one record.
    pub fn build(&self) -> Vec<u8> {
        self.in_records(1)
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

    fn extensions(&self, highest: u16) -> Vec<u8> {
        let mut extensions = Vec::new();
        if !self.server_name_last {
            self.put_server_name(&mut extensions);
        }
        let mut groups = vec![X25519, SECP256R1];
        if self.post_quantum {
            groups.insert(0, X25519_MLKEM768);
        }
        put_extension(&mut extensions, 10, &vector16(&shorts(&groups)));
        put_extension(&mut extensions, 11, &[1, 0]);
        let schemes = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0201];
        put_extension(&mut extensions, 13, &vector16(&shorts(&schemes)));
        put_extension(&mut extensions, 16, &vector16(b"\x02h2\x08http/1.1"));
        put_extension(&mut extensions, 23, &[]);
        if highest >= TLS_1_3 {
            put_extension(&mut extensions, 43, &vector8(&shorts(&self.versions)));
            put_extension(&mut extensions, 45, &[1, 1]);
            put_extension(&mut extensions, 51, &vector16(&self.key_shares()));
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
            shares.extend_from_slice(&X25519_MLKEM768.to_be_bytes());
            put_vector16(&mut shares, &share);
        }
        shares.extend_from_slice(&X25519.to_be_bytes());
        put_vector16(&mut shares, &x25519);
        shares
    }

    fn put_server_name(&self, extensions: &mut Vec<u8>) {
        match &self.server_name {
            ServerName::None => {}
            ServerName::Raw(data) => put_extension(extensions, 0, data),
            ServerName::HostName(name) => {
                let mut entry = vec![0];
                put_vector16(&mut entry, name);
                put_extension(extensions, 0, &vector16(&entry));
            }
        }
    }
}

/// A hello in `SSLv2`'s format (RFC 5246, appendix E.2) that offers TLS 1.2, as old Java sends it.
pub fn sslv2() -> Vec<u8> {
    let mut specifications = Vec::new();
    for suite in CIPHER_SUITES.iter().filter(|suite| *suite & 0xff00 != 0x1300) {
        specifications.push(0);
        specifications.extend_from_slice(&suite.to_be_bytes());
    }
    let challenge = [0x42; 32];
    let mut message = vec![1];
    message.extend_from_slice(&TLS_1_2.to_be_bytes());
    for part in [specifications.len(), 0, challenge.len()] {
        message.extend_from_slice(&short_length(part).to_be_bytes());
    }
    message.append(&mut specifications);
    message.extend_from_slice(&challenge);
    let mut bytes = (0x8000 | short_length(message.len())).to_be_bytes().to_vec();
    bytes.append(&mut message);
    bytes
}

/// One handshake record around `fragment`.
pub fn record(fragment: &[u8]) -> Vec<u8> {
    let mut record = vec![22, 3, 1];
    put_vector16(&mut record, fragment);
    record
}

fn shorts(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

fn length(length: usize) -> u32 {
    u32::try_from(length).expect("a hello is smaller than 16 MiB")
}

fn short_length(length: usize) -> u16 {
    u16::try_from(length).expect("a part of a hello is smaller than 64 KiB")
}

fn vector8(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_vector8(&mut out, data);
    out
}

fn vector16(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_vector16(&mut out, data);
    out
}

fn put_vector8(out: &mut Vec<u8>, data: &[u8]) {
    out.push(u8::try_from(data.len()).expect("a short vector has at most 255 bytes"));
    out.extend_from_slice(data);
}

fn put_vector16(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(&short_length(data.len()).to_be_bytes());
    out.extend_from_slice(data);
}

fn put_extension(out: &mut Vec<u8>, kind: u16, data: &[u8]) {
    out.extend_from_slice(&kind.to_be_bytes());
    put_vector16(out, data);
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
}
