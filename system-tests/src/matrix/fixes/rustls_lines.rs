//! The lines for rustls, compiled.

include!("../../../../crates/playbook/src/diagnose/fix/gateways/rustls.rust");

/// Returns the resolver of the lines.
pub(super) fn with_fallback(
    by_name: rustls::server::ResolvesServerCertUsingSni,
    fallback: std::sync::Arc<rustls::sign::CertifiedKey>,
) -> std::sync::Arc<dyn rustls::server::ResolvesServerCert> {
    std::sync::Arc::new(WithFallback { by_name, fallback })
}
