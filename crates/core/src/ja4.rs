//! JA4: a fingerprint of a client that can be read in part (`technical_details/JA4.md` of its makers, `FoxIO`).
//!
//! `t13d1516h2_8daaf6152771_e5627efa2ab1`: TLS over TCP, version, SNI extension there (`d`) or not (`i`),
//! number of cipher suites and of extensions, first ALPN name; hash of the sorted cipher suites; hash
//! of the sorted extensions and the signature algorithms. GREASE is ignored everywhere.

use sha2::{Digest, Sha256};

use crate::digits::{push_hex, push_hex_bytes};
use crate::lists::{Lists, is_grease};

/// `server_name`, the extension that tells `d` from `i`.
const SERVER_NAME: u32 = 0;
/// `application_layer_protocol_negotiation`.
const ALPN: u32 = 16;

/// A hash of nothing is written so.
const NO_VALUES: &str = "000000000000";

/// Length of a fingerprint in characters.
const LENGTH: usize = 36;

/// The fingerprint: 36 ASCII characters.
pub fn fingerprint(lists: &Lists) -> String {
    let version = without_grease(&lists.versions).max().unwrap_or(lists.legacy_version);
    let mut ciphers: Vec<u32> = without_grease(&lists.ciphers).map(u32::from).collect();
    let mut extensions: Vec<u32> = without_grease(&lists.extensions).map(u32::from).collect();
    let has_sni = extensions.contains(&SERVER_NAME);
    let mut text = String::with_capacity(LENGTH);
    push_first(&mut text, version, has_sni, [ciphers.len(), extensions.len()]);
    push_alpn(&mut text, lists.alpn.first().map_or(&[], Vec::as_slice));
    // Both are told in the first part, so that the last one stays the same for the same client.
    extensions.retain(|&extension| extension != SERVER_NAME && extension != ALPN);
    extensions.sort_unstable();
    ciphers.sort_unstable();
    push_hash(&mut text, &hex_list(ciphers));
    let mut offers = hex_list(extensions);
    let signature_algorithms = hex_list(without_grease(&lists.signature_algorithms).map(u32::from));
    if !offers.is_empty() && !signature_algorithms.is_empty() {
        offers.push('_');
        offers.push_str(&signature_algorithms);
    }
    push_hash(&mut text, &offers);
    text
}

/// The fingerprint of an SSLv2-format hello: no extensions, no ALPN. Its own cipher kinds, which no
/// TLS cipher suite has as a code, are written with their three bytes.
pub(crate) fn of_sslv2(version: u16, ciphers: &[u32]) -> String {
    let mut ciphers = ciphers.to_vec();
    ciphers.sort_unstable();
    let mut text = String::with_capacity(LENGTH);
    push_first(&mut text, version, false, [ciphers.len(), 0]);
    push_alpn(&mut text, &[]);
    push_hash(&mut text, &hex_list(ciphers));
    push_hash(&mut text, "");
    text
}

fn without_grease(values: &[u16]) -> impl Iterator<Item = u16> {
    values.iter().copied().filter(|&value| !is_grease(value))
}

/// TLS over TCP, version, SNI, and the numbers of cipher suites and extensions with two digits each.
fn push_first(text: &mut String, version: u16, has_sni: bool, counts: [usize; 2]) {
    text.push('t');
    text.push_str(version_code(version));
    text.push(if has_sni { 'd' } else { 'i' });
    for count in counts {
        let count = u8::try_from(count).map_or(99, |count| count.min(99));
        text.extend([count / 10, count % 10].map(|digit| char::from(b'0' + digit)));
    }
}

fn version_code(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// First and last character of a protocol name; where either is not alphanumeric, first and last
/// digit of the name in hexadecimal.
fn push_alpn(text: &mut String, name: &[u8]) {
    let (Some(&first), Some(&last)) = (name.first(), name.last()) else { return text.push_str("00") };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        text.extend([first, last].map(char::from));
    } else {
        // The digits of the first byte and the last one are those of the whole name.
        let mut digits = String::new();
        push_hex_bytes(&mut digits, &[first, last]);
        text.push_str(&digits[..1]);
        text.push_str(&digits[3..]);
    }
}

/// The values with four digits each, or more if they need them.
fn hex_list(values: impl IntoIterator<Item = u32>) -> String {
    let values = values.into_iter();
    let mut text = String::with_capacity(values.size_hint().1.unwrap_or(0) * "1301,".len());
    for value in values {
        if !text.is_empty() {
            text.push(',');
        }
        push_hex(&mut text, value);
    }
    text
}

/// Appends the first 12 hexadecimal digits of the SHA-256.
fn push_hash(text: &mut String, list: &str) {
    text.push('_');
    if list.is_empty() {
        text.push_str(NO_VALUES);
    } else {
        push_hex_bytes(text, &Sha256::digest(list)[..NO_VALUES.len() / 2]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification, with GREASE put in.
    fn example() -> Lists {
        Lists {
            legacy_version: 0x0303,
            versions: vec![0x6a6a, 0x0304, 0x0303],
            ciphers: vec![
                0xeaea, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013,
                0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
            ],
            extensions: vec![
                0x3a3a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023,
                0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015,
            ],
            signature_algorithms: vec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            ..Lists::default()
        }
    }

    #[test]
    fn known_answer() {
        assert_eq!(fingerprint(&example()), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    /// `FoxIO`'s capture `sigalg-grease`: Chrome 152 puts a GREASE value first in `signature_algorithms`, another one in each
    /// hello. The lists are those of the `JA4_ro` and `JA4_r` that `FoxIO` publishes with the capture (python/test/testdata).
    #[test]
    fn known_answer_with_grease_in_signature_algorithms() {
        for grease in (0x0a0a..=0xfafa).step_by(0x1010) {
            let mut lists = Lists {
                extensions: vec![
                    0x5a5a, 0xfe0d, 0x0010, 0x0017, 0x0033, 0x44cd, 0xff01, 0x000a, 0x000d, 0x0023, 0x002b,
                    0x000b, 0xca34, 0x002d, 0x0000, 0x0005, 0x001b, 0x0012,
                ],
                signature_algorithms: vec![
                    grease, 0x0904, 0x0905, 0x0906, 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806,
                    0x0601,
                ],
                ..example()
            };
            assert_eq!(fingerprint(&lists), "t13d1517h2_8daaf6152771_cb7bf5808d99", "{grease:04x}");
            lists.signature_algorithms.remove(0);
            assert_eq!(fingerprint(&lists), "t13d1517h2_8daaf6152771_cb7bf5808d99");
            // The next value is not GREASE, so it counts.
            lists.signature_algorithms.insert(0, grease + 1);
            assert_ne!(fingerprint(&lists), "t13d1517h2_8daaf6152771_cb7bf5808d99");
        }
    }

    #[test]
    fn known_answer_without_signature_algorithms() {
        let lists = Lists { signature_algorithms: Vec::new(), ..example() };
        assert_eq!(fingerprint(&lists), "t13d1516h2_8daaf6152771_6d807ffa2a79");
    }

    #[test]
    fn without_sni_extensions_and_ciphers() {
        let lists = Lists { legacy_version: 0x0300, ..Lists::default() };
        assert_eq!(fingerprint(&lists), "ts3i000000_000000000000_000000000000");
    }

    #[test]
    fn only_sni_and_alpn() {
        let lists = Lists { legacy_version: 0x0301, extensions: vec![0, 16], ..Lists::default() };
        assert_eq!(fingerprint(&lists), "t10d000200_000000000000_000000000000");
    }

    #[test]
    fn counts_stop_at_99() {
        let lists = Lists { ciphers: vec![1; 120], extensions: vec![1; 200], ..Lists::default() };
        assert!(fingerprint(&lists).starts_with("t00i999900_"));
    }

    #[test]
    fn alpn_of_other_characters() {
        for (name, code) in [
            (&b""[..], "00"),
            (b"x", "xx"),
            (b"http/1.1", "h1"),
            (&[0xab], "ab"),
            (&[0xab, 0xcd], "ad"),
            (&[0x30, 0xab], "3b"),
            (&[0x30, 0x31, 0xab, 0xcd], "3d"),
            (&[0x30, 0xab, 0xcd, 0x31], "01"),
        ] {
            let mut text = String::new();
            push_alpn(&mut text, name);
            assert_eq!(text, code, "{name:02x?}");
        }
    }
}
