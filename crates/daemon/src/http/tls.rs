//! `--tls-cert` and `--tls-key`: HTTPS, with a certificate that may be renewed under way.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, anyhow, ensure};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::renewed::{self, Renewed};

const PLAIN_HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    this port speaks HTTPS: use https://\n";

/// What makes a plain connection a TLS one.
#[derive(Debug)]
pub(super) struct Tls(Renewed<ServerConfig>);

impl Tls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// Names the file that is missing or is not what it should be.
    pub(super) fn load(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        let paths = [certificate, key].map(Path::to_owned);
        let files = paths.to_vec();
        Ok(Self(Renewed::load("certificate", files, move || server_config(&paths[0], &paths[1]))?))
    }

    /// The server's side of a handshake. Who speaks plain HTTP is told so.
    ///
    /// # Errors
    /// When the handshake fails.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        // A TLS record with a handshake message begins with 22 (RFC 8446, 5.1), a request with its method.
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0].is_ascii_alphabetic() {
            // Closing a connection of which not all was read is a reset, which may overtake the answer.
            let mut request = [0; 2048];
            stream.try_read(&mut request)?;
            stream.writable().await?;
            stream.try_write(PLAIN_HTTP)?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP"));
        }
        let config = self.0.get(Instant::now()).await;
        TlsAcceptor::from(config).accept(stream).await
    }
}

fn server_config(certificate: &Path, key: &Path) -> anyhow::Result<ServerConfig> {
    let (shown, shown_key) = (certificate.display(), key.display());
    let chain = renewed::read(certificate).and_then(|text| {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let chain = chain.map_err(|error| pem_error(&error, "certificate"))?;
        ensure!(!chain.is_empty(), "there is no certificate in PEM in it");
        Ok(chain)
    });
    let chain = chain.with_context(|| format!("--tls-cert {shown}"))?;
    let key = renewed::read(key).and_then(|text| {
        PrivateKeyDer::from_pem_slice(&text)
            .map_err(|error| pem_error(&error, "private key without a passphrase"))
    });
    let key = key.with_context(|| format!("--tls-key {shown_key}"))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("cannot set up TLS")?;
    let mut config =
        builder.with_no_client_auth().with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                anyhow!("--tls-key {shown_key} is not the key of the certificate in --tls-cert {shown}")
            }
            error => anyhow!("--tls-cert {shown} with --tls-key {shown_key}: {error}"),
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn pem_error(error: &pem::Error, what: &str) -> anyhow::Error {
    match error {
        pem::Error::NoItemsFound => anyhow!("there is no {what} in PEM in it"),
        error => anyhow!("it is no good PEM: {error}"),
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
