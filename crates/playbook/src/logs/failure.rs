//! Why a connection failed before a request, by the words of a log.

use super::report::Counted;

/// A kind of failure. The names are those of the causes of `diagnose` where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// Plain HTTP on the TLS port.
    PlainHttp,
    /// The gateway has no certificate, or its secret is missing.
    NoCertificate,
    /// No TLS version, cipher suite, group or signature algorithm in common.
    TlsMismatch,
    /// A client certificate is missing or refused.
    ClientCertificate,
    /// The client rejected the gateway's certificate.
    CertificateRejected,
    /// The gateway cannot reach its backend.
    UpstreamUnreachable,
    /// The ClientHello was incomplete, malformed or too large.
    IncompleteHello,
    /// All fields are null and the flags are `-`.
    NoReason,
    Other,
}

/// All kinds with their names.
const KINDS: [(FailureKind, &str); 9] = [
    (FailureKind::PlainHttp, "plain_http_client"),
    (FailureKind::NoCertificate, "no_certificate"),
    (FailureKind::TlsMismatch, "tls_mismatch"),
    (FailureKind::ClientCertificate, "client_certificate_required"),
    (FailureKind::CertificateRejected, "certificate_rejected"),
    (FailureKind::UpstreamUnreachable, "upstream_unreachable"),
    (FailureKind::IncompleteHello, "incomplete_hellos"),
    (FailureKind::NoReason, "no_reason"),
    (FailureKind::Other, "other"),
];

/// Words of reasons, in upper case and with `_` for a space, and their kind. The first that is found counts.
///
/// Sources: BoringSSL's reasons as Envoy 1.40 and 1.36 log them; Go's `crypto/tls`; nginx 1.22 and 1.30; HAProxy 2.6 and 3.2.
const WORDS: [(&str, FailureKind); 53] = [
    ("HANDSHAKING_TO_UPSTREAM", FailureKind::UpstreamUnreachable),
    ("CONNECTING_TO_UPSTREAM", FailureKind::UpstreamUnreachable),
    ("HTTP_REQUEST", FailureKind::PlainHttp),
    ("CLIENT_SENT_AN_HTTP_REQUEST", FailureKind::PlainHttp),
    ("CLIENT_SENT_PLAIN_HTTP", FailureKind::PlainHttp),
    ("SECRET_IS_NOT_SUPPLIED", FailureKind::NoCertificate),
    ("NO_CERTIFICATE_SET", FailureKind::NoCertificate),
    ("NO_CERTIFICATE_ASSIGNED", FailureKind::NoCertificate),
    ("NO_CERTIFICATES_CONFIGURED", FailureKind::NoCertificate),
    ("NO_\"SSL_CERTIFICATE\"_IS_DEFINED", FailureKind::NoCertificate),
    ("CANNOT_LOAD_CERTIFICATE", FailureKind::NoCertificate),
    ("CERT_CB_ERROR", FailureKind::NoCertificate),
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", FailureKind::ClientCertificate),
    ("DIDN'T_PROVIDE_A_CERTIFICATE", FailureKind::ClientCertificate),
    ("FAILED_TO_VERIFY_CERTIFICATE", FailureKind::ClientCertificate),
    ("FAILED_TO_VERIFY_CLIENT_CERTIFICATE", FailureKind::ClientCertificate),
    ("CERTIFICATE_VERIFY_FAILED", FailureKind::ClientCertificate),
    ("CLIENT_SSL_CERTIFICATE_VERIFY_ERROR", FailureKind::ClientCertificate),
    ("UNSUPPORTED_PROTOCOL", FailureKind::TlsMismatch),
    ("WRONG_VERSION", FailureKind::TlsMismatch),
    ("UNSUPPORTED_VERSIONS", FailureKind::TlsMismatch),
    ("NO_SUPPORTED_VERSIONS", FailureKind::TlsMismatch),
    ("VERSION_TOO_LOW", FailureKind::TlsMismatch),
    ("PROTOCOL_VERSION", FailureKind::TlsMismatch),
    ("WRONG_SSL_VERSION", FailureKind::TlsMismatch),
    ("UNKNOWN_PROTOCOL", FailureKind::TlsMismatch),
    ("NO_SHARED_CIPHER", FailureKind::TlsMismatch),
    ("NO_CIPHER_SUITE_SUPPORTED", FailureKind::TlsMismatch),
    ("NO_COMMON_SIGNATURE", FailureKind::TlsMismatch),
    ("NO_SHARED_SIGNATURE", FailureKind::TlsMismatch),
    ("NO_SUITABLE_SIGNATURE", FailureKind::TlsMismatch),
    ("NO_SHARED_GROUP", FailureKind::TlsMismatch),
    ("NO_SUITABLE_KEY_SHARE", FailureKind::TlsMismatch),
    ("NO_APPLICATION_PROTOCOL", FailureKind::TlsMismatch),
    ("UNSUPPORTED_APPLICATION_PROTOCOLS", FailureKind::TlsMismatch),
    ("INAPPROPRIATE_FALLBACK", FailureKind::TlsMismatch),
    ("CLIENTHELLO_PARSE_FAILED", FailureKind::IncompleteHello),
    ("CLIENTHELLO_TOO_LARGE", FailureKind::IncompleteHello),
    ("LISTENER_FILTER_TIMEOUT", FailureKind::IncompleteHello),
    ("TIMEOUT_DURING_SSL_HANDSHAKE", FailureKind::IncompleteHello),
    ("ALERT_UNKNOWN_CA", FailureKind::CertificateRejected),
    ("ALERT_CERTIFICATE", FailureKind::CertificateRejected),
    ("ALERT_BAD_CERTIFICATE", FailureKind::CertificateRejected),
    ("ALERT_UNSUPPORTED_CERTIFICATE", FailureKind::CertificateRejected),
    ("REMOTE_ERROR:_TLS:_UNKNOWN_CERTIFICATE", FailureKind::CertificateRejected),
    ("REMOTE_ERROR:_TLS:_BAD_CERTIFICATE", FailureKind::CertificateRejected),
    ("REMOTE_ERROR:_TLS:_EXPIRED_CERTIFICATE", FailureKind::CertificateRejected),
    ("REMOTE_ERROR:_TLS:_UNKNOWN_CERTIFICATE_AUTHORITY", FailureKind::CertificateRejected),
    ("NO_HEALTHY_UPSTREAM", FailureKind::UpstreamUnreachable),
    ("UPSTREAM_", FailureKind::UpstreamUnreachable),
    ("CLUSTER_NOT_FOUND", FailureKind::UpstreamUnreachable),
    ("DELAYED_CONNECT_ERROR", FailureKind::UpstreamUnreachable),
    ("<NOSRV>", FailureKind::UpstreamUnreachable),
];

impl FailureKind {
    /// The kind that the words of a reason stand for.
    pub(super) fn of_reason(reason: &str) -> Self {
        let reason = reason.to_ascii_uppercase().replace(' ', "_");
        WORDS.iter().find(|(word, _)| reason.contains(word)).map_or(Self::Other, |&(_, kind)| kind)
    }

    fn index(self) -> usize {
        KINDS.iter().position(|&(kind, _)| kind == self).unwrap_or(KINDS.len() - 1)
    }
}

/// How often each kind came.
#[derive(Clone, Debug, Default)]
pub(super) struct Kinds([u64; KINDS.len()]);

impl FailureKind {
    /// Its name.
    pub(super) fn name(self) -> &'static str {
        KINDS[self.index()].1
    }
}

impl Kinds {
    pub(super) fn add(&mut self, kind: FailureKind) {
        self.0[kind.index()] += 1;
    }

    pub(super) fn count(&self, kind: FailureKind) -> u64 {
        self.0[kind.index()]
    }

    /// Those that came, most first.
    pub(super) fn counted(&self) -> Vec<Counted> {
        let came = KINDS.iter().zip(self.0).filter(|&(_, count)| count > 0);
        let mut all: Vec<Counted> =
            came.map(|(&(_, name), count)| Counted { name: name.to_owned(), count }).collect();
        all.sort_by_key(|kind| std::cmp::Reverse(kind.count));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_reasons() {
        for (reason, kind) in [
            (
                "TLS_error|error:1000009c:SSL_routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end",
                FailureKind::PlainHttp,
            ),
            ("TLS_error:_Secret_is_not_supplied_by_SDS", FailureKind::NoCertificate),
            ("TLS error: Secret is not supplied by SDS", FailureKind::NoCertificate),
            (
                "TLS_error:|268435640:SSL_routines:OPENSSL_internal:NO_SHARED_CIPHER:TLS_error_end",
                FailureKind::TlsMismatch,
            ),
            (
                "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end",
                FailureKind::ClientCertificate,
            ),
            (
                "TLS_error:|268436504:SSL_routines:OPENSSL_internal:TLSV1_ALERT_UNKNOWN_CA:TLS_error_end",
                FailureKind::CertificateRejected,
            ),
            (
                "TLS_error|error:10000089:SSL routines:OPENSSL_internal:CLIENTHELLO_PARSE_FAILED",
                FailureKind::IncompleteHello,
            ),
            ("tls: client offered only unsupported versions: [301]", FailureKind::TlsMismatch),
            ("remote error: tls: unknown certificate", FailureKind::CertificateRejected),
            ("listener_filter_timeout", FailureKind::IncompleteHello),
            ("upstream_reset_before_response_started{connection_failure}", FailureKind::UpstreamUnreachable),
            ("no_healthy_upstream", FailureKind::UpstreamUnreachable),
            ("rbac_access_denied", FailureKind::Other),
        ] {
            assert_eq!(FailureKind::of_reason(reason), kind, "{reason}");
        }
    }

    #[test]
    fn all_kinds_have_a_name() {
        let mut kinds = Kinds::default();
        for (kind, _) in KINDS {
            kinds.add(kind);
            assert_eq!(kinds.count(kind), 1);
        }
        assert_eq!(kinds.counted().len(), KINDS.len());
    }
}
