//! Certificates in base64 are no secrets. A private key or a keystore begins with the same characters.

use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// How a certificate begins: DER in base64, PEM in base64, PEM.
const BEGINNINGS: [&str; 3] = ["MII", "LS0tLS1CRUdJTiBDRVJU", BEGIN];
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Returns whether the text is one certificate or several, and nothing else: DER in base64, PEM, or PEM in base64.
pub(super) fn is_certificate(text: &str) -> bool {
    let text = text.trim();
    if !BEGINNINGS.iter().any(|begin| text.starts_with(begin)) {
        return false;
    }
    if text.starts_with(BEGIN) {
        return is_pem(text);
    }
    decoded(text).is_some_and(|bytes| is_der(&bytes) || std::str::from_utf8(&bytes).is_ok_and(is_pem))
}

/// The bytes of a text in base64. The parser of PEM decodes it.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let pem = format!("{BEGIN}\n{}\n{END}\n", text.trim());
    parse_x509_pem(pem.as_bytes()).ok().map(|(_, pem)| pem.contents)
}

/// Whether the text is blocks of PEM with a certificate in each of them.
fn is_pem(text: &str) -> bool {
    let mut rest = text.trim();
    while let Some(block) = rest.strip_prefix(BEGIN) {
        let Some((body, after)) = block.split_once(END) else { return false };
        if !decoded(body).is_some_and(|bytes| is_der(&bytes)) {
            return false;
        }
        rest = after.trim_start();
        if rest.is_empty() {
            return true;
        }
    }
    false
}

fn is_der(bytes: &[u8]) -> bool {
    X509Certificate::from_der(bytes).is_ok_and(|(rest, _)| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = include_str!("testdata/certificate.pem");
    const CERTIFICATE_IN_BASE64: &str = include_str!("testdata/certificate.pem.base64");
    const BUNDLE_IN_BASE64: &str = include_str!("testdata/certificate-and-key.pem.base64");
    /// The beginnings of keys: PKCS #1, PKCS #8, SEC 1, PKCS #12.
    const KEYS: [&str; 4] = [
        "MIIEpAIBAAKCAQEA7bq0",
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7",
        "MIHcAgEBBEIBKEY",
        "MIIKEwIBAzCCCc8GCSqGSIb3DQEHAaCC",
    ];

    #[test]
    fn a_certificate_and_nothing_else() {
        let body: String = CERTIFICATE.lines().filter(|line| !line.starts_with('-')).collect();
        for text in [CERTIFICATE, &body, CERTIFICATE_IN_BASE64, &format!("{CERTIFICATE}\n{CERTIFICATE}")] {
            assert!(is_certificate(text), "{text}");
        }
        for text in [
            &body[..body.len() - 4],
            &format!("{body}MIIE"),
            &format!("{CERTIFICATE}hunter2x"),
            BUNDLE_IN_BASE64,
            "MIISEKRET20SEKRET20SEKRET20SEKRET20",
            "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t",
            "",
        ] {
            assert!(!is_certificate(text), "{text}");
        }
        for key in KEYS {
            assert!(!is_certificate(key), "{key}");
        }
    }
}
