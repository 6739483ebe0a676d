#[derive(Debug)]
struct WithFallback {
    by_name: rustls::server::ResolvesServerCertUsingSni,
    fallback: std::sync::Arc<rustls::sign::CertifiedKey>,
}

impl rustls::server::ResolvesServerCert for WithFallback {
    fn resolve(
        &self,
        hello: rustls::server::ClientHello<'_>,
    ) -> Option<std::sync::Arc<rustls::sign::CertifiedKey>> {
        self.by_name.resolve(hello).or_else(|| Some(self.fallback.clone()))
    }
}
