//! `--tls-cert` and `--tls-key`: HTTPS, with a certificate that may be renewed under way.
//!
//! cert-manager, or a kubelet, replaces the files. They are looked at when a connection comes, every ten seconds at most.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Bytes of each file.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

const PLAIN_HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    this port speaks HTTPS: use https://\n";

/// What makes a plain connection a TLS one.
#[derive(Debug)]
pub(super) struct Tls {
    files: Arc<Files>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    /// Of the files that were read last, though they may have been no good.
    stamp: Stamp,
    looked: Instant,
}

/// What tells a file from the one that was there before. Whoever replaces it as kubelets do, by a symbolic link,
/// leaves the time of change alone, but not the inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

/// Of the certificate and the key; nothing for a file that cannot be looked at.
type Stamp = [Option<FileStamp>; 2];

impl Tls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// Names the file that is missing or is not what it should be.
    pub(super) fn load(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned() };
        // Before reading: a change in between is found at the next look.
        let stamp = files.stamp();
        let config = files.load()?;
        let current = Current { config, stamp, looked: Instant::now() };
        Ok(Self { files: Arc::new(files), current: Mutex::new(current) })
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
        let config = self.config(Instant::now()).await;
        TlsAcceptor::from(config).accept(stream).await
    }

    /// The configuration with the certificate that is in the files now, or the last that was good.
    async fn config(&self, now: Instant) -> Arc<ServerConfig> {
        let last = {
            let mut current = self.lock();
            if now.duration_since(current.looked) < LOOK_INTERVAL {
                return Arc::clone(&current.config);
            }
            current.looked = now;
            current.stamp
        };
        let files = Arc::clone(&self.files);
        // Files may be on a slow disk.
        let look = tokio::task::spawn_blocking(move || {
            let stamp = files.stamp();
            (stamp != last).then(|| (stamp, files.load()))
        });
        let changed = look.await.ok().flatten();
        let mut current = self.lock();
        if let Some((stamp, loaded)) = changed {
            current.stamp = stamp;
            match loaded {
                Ok(config) => {
                    tracing::info!(certificate = %self.files.certificate.display(), "certificate renewed");
                    current.config = config;
                }
                Err(error) => {
                    tracing::warn!("the new certificate is no good, the old one stays: {error:#}");
                }
            }
        }
        Arc::clone(&current.config)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        // Its fields are replaced whole.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    fn stamp(&self) -> Stamp {
        [&self.certificate, &self.key].map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some(FileStamp {
                device: metadata.dev(),
                inode: metadata.ino(),
                bytes: metadata.size(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
            })
        })
    }

    fn load(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let (shown, shown_key) = (self.certificate.display(), self.key.display());
        let chain = read(&self.certificate).and_then(|text| {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
            let chain = chain.map_err(|error| pem_error(&error, "certificate"))?;
            ensure!(!chain.is_empty(), "there is no certificate in PEM in it");
            Ok(chain)
        });
        let chain = chain.with_context(|| format!("--tls-cert {shown}"))?;
        let key = read(&self.key).and_then(|text| {
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
        Ok(Arc::new(config))
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = fs::metadata(path).context("cannot be read")?.len();
    ensure!(bytes <= MAX_FILE_BYTES, "it has {bytes} bytes, more than {MAX_FILE_BYTES}");
    fs::read(path).context("cannot be read")
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
