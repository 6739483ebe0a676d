//! What a gateway's certificate says. It is looked at, never trusted.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::report::Certificate;
use super::target::Host;
use crate::certificate::{alternative_names, common_name, ip_address, names};

/// A verifier that takes every certificate, and remembers the last one.
#[derive(Debug, Default)]
pub(super) struct Looking(Mutex<Option<CertificateDer<'static>>>);

impl Looking {
    /// The first certificate of the chain that the gateway showed.
    pub(super) fn seen(&self) -> Option<CertificateDer<'static>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Looking {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(end_entity.clone().into_owned());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

/// The signature algorithms that are offered: more than could be verified, because a gateway is to show what it has.
pub(super) fn schemes() -> Vec<SignatureScheme> {
    vec![
        SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureScheme::ECDSA_NISTP384_SHA384,
        SignatureScheme::ECDSA_NISTP521_SHA512,
        SignatureScheme::ED25519,
        SignatureScheme::ED448,
        SignatureScheme::RSA_PSS_SHA256,
        SignatureScheme::RSA_PSS_SHA384,
        SignatureScheme::RSA_PSS_SHA512,
        SignatureScheme::RSA_PKCS1_SHA256,
        SignatureScheme::RSA_PKCS1_SHA384,
        SignatureScheme::RSA_PKCS1_SHA512,
        SignatureScheme::RSA_PKCS1_SHA1,
        SignatureScheme::ECDSA_SHA1_Legacy,
    ]
}

/// Reads the certificate; `None` if it is none.
pub(super) fn read(der: &[u8], expected: &Host) -> Option<Certificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let alternatives = alternative_names(&certificate);
    let not_after = certificate.validity().not_after.timestamp();
    Some(Certificate {
        names: names(&certificate),
        subject: common_name(certificate.subject()).unwrap_or_default(),
        issuer: certificate.issuer().to_string(),
        not_after: Timestamp::from_second(not_after).unwrap_or(Timestamp::MAX),
        sha256: format!("{:x}", Sha256::digest(der)),
        matches_host: alternatives.iter().any(|name| is_for(name, expected)),
    })
}

/// RFC 9525, section 6: only alternative names of the host's own kind count, the common name never.
fn is_for(presented: &GeneralName<'_>, expected: &Host) -> bool {
    match (presented, expected) {
        (GeneralName::DNSName(presented), Host::Name(name)) => is_for_name(presented, name.as_ref()),
        (GeneralName::IPAddress(bytes), Host::Address(address)) => ip_address(bytes) == Some(*address),
        _ => false,
    }
}

/// RFC 9525, section 6.3: `*` stands for exactly one label, the first, and never for a part of it.
fn is_for_name(presented: &str, name: &str) -> bool {
    match presented.strip_prefix("*.") {
        Some(parent) => name
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
        None => presented.eq_ignore_ascii_case(name),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, DnsName};

    use super::{Host, is_for_name, read};

    /// Expired in 2001; `CN=gateway`; names `a.example`, `*.b.example`, `10.1.2.3`, `fd77::1`. Made for this test.
    const EXPIRED: &str = include_str!("testdata/expired.crt");
    /// Of the common name `a.example` and no other.
    const COMMON_NAME_ONLY: &str = include_str!("testdata/common-name-only.crt");

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    fn name(name: &str) -> Host {
        Host::Name(DnsName::try_from(name.to_owned()).unwrap())
    }

    #[test]
    fn what_it_says() {
        let certificate = read(&der(EXPIRED), &name("a.example")).unwrap();
        assert_eq!(certificate.names, ["a.example", "*.b.example", "10.1.2.3", "fd77::1"]);
        assert_eq!(
            (certificate.subject.as_str(), certificate.issuer.as_str()),
            ("gateway", "O=Lab, CN=gateway")
        );
        assert!(certificate.not_after.to_string().starts_with("2001-"), "{}", certificate.not_after);
        assert_eq!(certificate.sha256.len(), 64);
    }

    #[test]
    fn hosts_that_it_is_for() {
        let matches = |host: &Host| read(&der(EXPIRED), host).unwrap().matches_host;
        for host in ["a.example", "A.EXAMPLE", "x.b.example"] {
            assert!(matches(&name(host)), "{host}");
        }
        for host in ["b.example", "x.y.b.example", "gateway", "x.a.example", "10.1.2.3.example"] {
            assert!(!matches(&name(host)), "{host}");
        }
        for (address, expected) in
            [("10.1.2.3", true), ("fd77::1", true), ("10.1.2.4", false), ("::1", false)]
        {
            assert_eq!(matches(&Host::Address(address.parse().unwrap())), expected, "{address}");
        }
    }

    #[test]
    fn a_common_name_is_told_and_does_not_match() {
        let certificate = read(&der(COMMON_NAME_ONLY), &name("a.example")).unwrap();
        assert_eq!(certificate.names, ["a.example"]);
        assert!(!certificate.matches_host);
    }

    #[test]
    fn wildcards_are_whole_first_labels() {
        assert!(is_for_name("*.Example.com", "a.example.com"));
        for presented in ["*", "*.", "*.com", "a*.example.com", "*a.example.com", "a.*.com", "*.*.com", ""] {
            assert!(!is_for_name(presented, "a.example.com"), "{presented}");
        }
    }

    proptest! {
        #[test]
        fn bytes_that_are_no_certificate(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            read(&bytes, &name("a.example"));
        }

        #[test]
        fn damaged_certificates(at in 0_usize..300, byte: u8) {
            let mut damaged = der(EXPIRED).to_vec();
            if let Some(place) = damaged.get_mut(at) {
                *place = byte;
            }
            read(&damaged, &name("a.example"));
        }
    }
}
