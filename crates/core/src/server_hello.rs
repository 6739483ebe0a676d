//! What a ServerHello chose, from as much of it as was copied.

use crate::observation::Negotiated;
use crate::reader::Reader;
use crate::record;
use crate::vocabulary::TlsVersion;

/// Extensions of a ServerHello (IANA's registry "TLS `ExtensionType` Values").
mod extension {
    pub(super) const PRE_SHARED_KEY: u16 = 41;
    pub(super) const SUPPORTED_VERSIONS: u16 = 43;
    pub(super) const KEY_SHARE: u16 = 51;
}

/// A ServerHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// What it chose.
    pub negotiated: Negotiated,
    /// Whether it goes on with an earlier session of TLS 1.3: the gateway sends no certificate then.
    pub is_resumed: bool,
    /// Bytes that follow the message in its record: further messages of TLS 1.2.
    pub followed_by: usize,
}

/// Parses the ServerHello at the start of `stream`, record header included, of which the last bytes may be missing.
///
/// `None` if the cipher suite is missing, or if the message is spread over several records.
///
/// ```
/// use sni_probe_core::server_hello;
/// use sni_probe_core::vocabulary::TlsVersion;
/// use sni_probe_testkit::answers;
///
/// let chosen = server_hello::parse(&answers::server_hello()).unwrap().negotiated;
/// assert_eq!((chosen.version, chosen.cipher_suite), (TlsVersion::Tls13, 0x1301));
/// assert_eq!(chosen.group, Some(0x001d));
/// ```
pub fn parse(stream: &[u8]) -> Option<ServerHello> {
    let &[_, _, _, high, low, _, len @ ..] = stream.first_chunk::<{ record::HEADER_LEN + 4 }>()?;
    let record_len = usize::from(u16::from_be_bytes([high, low]));
    let message_len = len.iter().fold(0, |len, &byte| len << 8 | usize::from(byte));
    let followed_by = record_len.checked_sub(record::MESSAGE_HEADER_LEN + message_len)?;
    let body = stream.get(record::HEADER_LEN + record::MESSAGE_HEADER_LEN..)?;
    let mut body = Reader::new(body.get(..message_len).unwrap_or(body));
    let legacy_version = body.u16()?;
    body.take(32)?;
    body.vec8()?;
    let cipher_suite = body.u16()?;
    // TLS 1.3 has suites of its own (RFC 8446, appendix B.4; RFC 9150).
    let is_tls13 = matches!(cipher_suite, 0x1301..=0x1307 | 0xc0b4 | 0xc0b5);
    let version = if is_tls13 { TlsVersion::Tls13 } else { TlsVersion::from_code(legacy_version) };
    let negotiated = Negotiated { version, cipher_suite, group: None };
    let mut hello = ServerHello { negotiated, is_resumed: false, followed_by };
    // The compression method, and the length of the extensions.
    if body.take(3).is_some() {
        extensions(body, &mut hello);
    }
    Some(hello)
}

/// Reads extensions up to the first one that is not there.
fn extensions(mut extensions: Reader<'_>, hello: &mut ServerHello) {
    while let (Some(kind), Some(len)) = (extensions.u16(), extensions.u16()) {
        match kind {
            extension::PRE_SHARED_KEY => hello.is_resumed = true,
            extension::SUPPORTED_VERSIONS => {
                if let Some(code) = extensions.clone().u16() {
                    hello.negotiated.version = TlsVersion::from_code(code);
                }
            }
            extension::KEY_SHARE => hello.negotiated.group = extensions.clone().u16(),
            _ => {}
        }
        if extensions.take(usize::from(len)).is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use sni_probe_testkit::answers;

    use super::*;

    #[test]
    fn older_versions() {
        let hello = parse(&answers::old_server_hello(0x0303, 0xc02f)).unwrap();
        let chosen = Negotiated { version: TlsVersion::Tls12, cipher_suite: 0xc02f, group: None };
        assert_eq!(hello, ServerHello { negotiated: chosen, is_resumed: false, followed_by: 0 });
        assert_eq!(
            parse(&answers::old_server_hello(0x0301, 0x002f)).unwrap().negotiated.version,
            TlsVersion::Tls10
        );
    }

    #[test]
    fn of_each_prefix_what_is_there() {
        let stream = answers::server_hello();
        let whole = parse(&stream).unwrap();
        for len in 0..stream.len() {
            let Some(part) = parse(&stream[..len]) else {
                assert!(len < 5 + 4 + 2 + 32 + 33 + 2, "{len}");
                continue;
            };
            assert_eq!(part.negotiated.version, TlsVersion::Tls13);
            assert_eq!(part.negotiated.cipher_suite, whole.negotiated.cipher_suite);
        }
    }

    #[test]
    fn other_messages_in_the_record() {
        let mut stream = answers::old_server_hello(0x0303, 0xc02f);
        stream.extend([11, 0, 1, 0]);
        stream[4] += 4;
        assert_eq!(parse(&stream).unwrap().followed_by, 4);
    }
}
