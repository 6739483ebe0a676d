//! The ClientHello (RFC 8446, section 4.1.2; RFC 5246, section 7.4.1.2).
//!
//! tls-parser reads the fixed part. The extensions are walked here: tls-parser stops in silence at
//! the first one whose lengths contradict each other, and a hello whose SNI lies behind it would read
//! as one without.

use crate::ja3;
use crate::ja4;
use crate::lists::Lists;
use crate::observation::{Features, HelloBody, Sni};
use crate::parsed::Rejected;
use crate::reader::{Reader, u16_values};
use crate::record::MESSAGE_HEADER_LEN;
use crate::server_name::{self, ServerName};
use crate::vocabulary::{Feature, TlsVersion};

/// The handshake type of a ClientHello (RFC 8446, section 4).
pub const MESSAGE_TYPE: u8 = 1;

/// Extension types (IANA's registry of them) that are read.
mod extension {
    pub(super) const SERVER_NAME: u16 = 0;
    pub(super) const SUPPORTED_GROUPS: u16 = 10;
    pub(super) const EC_POINT_FORMATS: u16 = 11;
    pub(super) const SIGNATURE_ALGORITHMS: u16 = 13;
    pub(super) const ALPN: u16 = 16;
    pub(super) const SESSION_TICKET: u16 = 35;
    pub(super) const PRE_SHARED_KEY: u16 = 41;
    pub(super) const EARLY_DATA: u16 = 42;
    pub(super) const SUPPORTED_VERSIONS: u16 = 43;
    pub(super) const KEY_SHARE: u16 = 51;
    /// RFC 9849, section 5.
    pub(super) const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
}

/// Everything that a whole hello says.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientHello {
    /// What it says of the server's name.
    pub sni: Sni,
    /// The host name as the client sent it; `None` if that is the name in `sni`.
    pub name_as_sent: Option<String>,
    /// The properties that its content shows (not those of its transport).
    pub features: Features,
    /// The highest version that it offers.
    pub version: TlsVersion,
    /// The client random; of an SSLv2 hello the challenge.
    pub random: Vec<u8>,
    /// What it offers.
    pub offers: Offers,
}

/// What a hello offers, by its format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offers {
    /// The lists of a TLS hello.
    Tls(Lists),
    /// An SSLv2 hello.
    Sslv2 {
        /// The version that it offers.
        version: u16,
        /// Its cipher codes of three bytes.
        ciphers: Vec<u32>,
    },
}

impl ClientHello {
    /// What is told of it. The fingerprints, which cost most of all that is told, are made here if they are wanted.
    pub fn into_body(self, with_fingerprints: bool) -> HelloBody {
        let Self { version, random, offers, name_as_sent, .. } = self;
        match offers {
            Offers::Tls(lists) => HelloBody {
                sslv2: false,
                legacy_version: lists.legacy_version,
                version,
                ja3: with_fingerprints.then(|| ja3::fingerprint(&lists)),
                ja4: with_fingerprints.then(|| ja4::fingerprint(&lists)),
                random,
                offered_versions: lists.versions,
                alpn: lists.alpn,
                name_as_sent,
            },
            Offers::Sslv2 { version: code, ciphers } => HelloBody {
                sslv2: true,
                legacy_version: code,
                version,
                ja3: with_fingerprints.then(|| ja3::of_sslv2(code, &ciphers)),
                ja4: with_fingerprints.then(|| ja4::of_sslv2(code, &ciphers)),
                random,
                offered_versions: Vec::new(),
                alpn: Vec::new(),
                name_as_sent,
            },
        }
    }
}

/// Reads a whole handshake message, its header included.
///
/// # Errors
///
/// [`Rejected::MessageType`] if it is no ClientHello; [`Rejected::Hello`] if its lengths contradict
/// each other, so that nobody can say whether it has an SNI, or if it has two of them. The content of single extensions is
/// read leniently: a gateway that does not use one does not read it either.
pub fn parse(message: &[u8]) -> Result<ClientHello, Rejected> {
    let (header, content) = message.split_at_checked(MESSAGE_HEADER_LEN).ok_or(Rejected::Hello)?;
    if header[0] != MESSAGE_TYPE {
        return Err(Rejected::MessageType);
    }
    if u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize != content.len() {
        return Err(Rejected::Hello);
    }
    let (rest, fixed) = tls_parser::parse_tls_handshake_client_hello(content).map_err(|_| Rejected::Hello)?;
    // tls-parser takes an extension block that is longer than the message for none at all.
    if !rest.is_empty() {
        return Err(Rejected::Hello);
    }

    let mut lists = Lists {
        legacy_version: fixed.version.0,
        ciphers: fixed.ciphers.iter().map(|suite| suite.0).collect(),
        // Browsers send some 18.
        extensions: Vec::with_capacity(24),
        ..Lists::default()
    };
    let mut server_name = None;
    let mut features = Features::default();
    let mut extensions = Reader::new(fixed.ext.unwrap_or_default());
    while !extensions.is_empty() {
        let kind = extensions.u16().ok_or(Rejected::Hello)?;
        let body = extensions.vec16().ok_or(Rejected::Hello)?;
        lists.extensions.push(kind);
        match kind {
            // A second one is forbidden (RFC 8446, section 4.2). Gateways answer it with an alert or read one of the two.
            extension::SERVER_NAME if server_name.is_some() => return Err(Rejected::Hello),
            extension::SERVER_NAME => server_name = Some(server_name::parse(body)),
            extension::EARLY_DATA => features.insert(Feature::EarlyData),
            // An empty ticket only says that the client would like one (RFC 5077, section 3.2).
            extension::SESSION_TICKET if body.is_empty() => {}
            extension::PRE_SHARED_KEY | extension::SESSION_TICKET => features.insert(Feature::Resumption),
            extension::ENCRYPTED_CLIENT_HELLO => features.insert(Feature::Ech),
            _ => lists.read(kind, body),
        }
    }
    if lists.groups.iter().chain(&lists.key_shares).any(|&group| is_post_quantum(group)) {
        features.insert(Feature::PostQuantum);
    }
    let version = highest_version(&lists);
    // In a hello of TLS 1.3 the session ID is make-up for middleboxes (RFC 8446, appendix D.4).
    if !matches!(version, TlsVersion::Tls13 | TlsVersion::Unknown)
        && fixed.session_id.is_some_and(|id| !id.is_empty())
    {
        features.insert(Feature::Resumption);
    }
    let ServerName { sni, as_sent } = server_name.unwrap_or(ServerName { sni: Sni::Absent, as_sent: None });
    Ok(ClientHello {
        sni,
        name_as_sent: as_sent,
        features,
        version,
        random: fixed.random.to_vec(),
        offers: Offers::Tls(lists),
    })
}

impl Lists {
    /// Reads the body of one extension; what of it contradicts itself is left out.
    fn read(&mut self, kind: u16, body: &[u8]) {
        let mut body = Reader::new(body);
        match kind {
            extension::SUPPORTED_VERSIONS => {
                self.versions = u16_values(body.vec8().unwrap_or_default()).collect();
            }
            extension::SUPPORTED_GROUPS => {
                self.groups = u16_values(body.vec16().unwrap_or_default()).collect();
            }
            extension::SIGNATURE_ALGORITHMS => {
                self.signature_algorithms = u16_values(body.vec16().unwrap_or_default()).collect();
            }
            extension::EC_POINT_FORMATS => {
                self.point_formats = body.vec8().unwrap_or_default().to_vec();
            }
            extension::ALPN => {
                let mut names = Reader::new(body.vec16().unwrap_or_default());
                self.alpn = std::iter::from_fn(|| names.vec8()).map(<[u8]>::to_vec).collect();
            }
            extension::KEY_SHARE => {
                let mut shares = Reader::new(body.vec16().unwrap_or_default());
                let share = || {
                    let group = shares.u16()?;
                    shares.vec16().map(|_| group)
                };
                self.key_shares = std::iter::from_fn(share).collect();
            }
            _ => {}
        }
    }
}

/// `supported_versions` has the say where it is there (RFC 8446, section 4.2.1), else `legacy_version`.
fn highest_version(lists: &Lists) -> TlsVersion {
    // TlsVersion orders the newest first.
    let offered = lists.versions.iter().map(|&code| TlsVersion::from_code(code)).min();
    offered.unwrap_or_else(|| TlsVersion::from_code(lists.legacy_version))
}

/// Whether a group (IANA's TLS Supported Groups registry) is post-quantum, alone or in a hybrid.
fn is_post_quantum(group: u16) -> bool {
    matches!(
        group,
        // CECPQ2 (BoringSSL, 2019).
        0x4138
        // MLKEM512, MLKEM768, MLKEM1024 (draft-ietf-tls-mlkem).
        | 0x0200..=0x0202
        // SecP256r1MLKEM768, X25519MLKEM768, SecP384r1MLKEM1024 (draft-ietf-tls-ecdhe-mlkem),
        // curveSM2MLKEM768 (draft-yang-tls-hybrid-sm2-mlkem).
        | 0x11eb..=0x11ee
        // X25519Kyber768Draft00 (draft-tls-westerbaan-xyber768d00), SecP256r1Kyber768Draft00.
        | 0x6399 | 0x639a
        // X25519Kyber512Draft00, X25519Kyber768Draft00Old, P256Kyber768Draft00 (Cloudflare's and
        // BoringSSL's, 2022).
        | 0xfe30..=0xfe32
    )
}

#[cfg(test)]
mod tests;
