//! A gateway with rustls, which has a certificate for one name.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::socket::{Shutdown, shutdown};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ResolvesServerCert, ResolvesServerCertUsingSni};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};

use crate::SERVER_NAME;
use crate::netns::Namespace;

/// Time limit for each read and write. Dropping the gateway waits for the connection that is open.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A gateway with rustls, in a thread of this process, until it is dropped.
pub(in super::super) struct RustlsGateway {
    listener: TcpListener,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl RustlsGateway {
    /// Starts it on a port. `resolver` adds what decides on hellos that the resolver by name refuses.
    pub(in super::super) fn start(
        namespace: &Namespace,
        files: &Path,
        port: u16,
        resolver: impl FnOnce(ResolvesServerCertUsingSni, Arc<CertifiedKey>) -> Arc<dyn ResolvesServerCert>,
    ) -> Result<Self> {
        let mut by_name = ResolvesServerCertUsingSni::new();
        let chain = vec![CertificateDer::from_pem_file(files.join("gateway.crt")).context("gateway.crt")?];
        let key = PrivateKeyDer::from_pem_file(files.join("gateway.key")).context("gateway.key")?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = CertifiedKey::from_der(chain, key, &provider)?;
        by_name.add(SERVER_NAME, certificate.clone())?;
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let resolver = resolver(by_name, Arc::new(certificate));
        let configuration = Arc::new(builder.with_no_client_auth().with_cert_resolver(resolver));
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let listener =
            namespace.run_in_thread(|| TcpListener::bind(address))?.context("the port of rustls")?;
        let accepting = listener.try_clone()?;
        let thread = std::thread::spawn(move || {
            // Fails when the listener is shut down.
            while let Ok((socket, _)) = accepting.accept() {
                answer(&configuration, socket).ok();
            }
        });
        Ok(Self { listener, thread: Some(thread) })
    }
}

impl Drop for RustlsGateway {
    fn drop(&mut self) {
        shutdown(self.listener.as_raw_fd(), Shutdown::Both).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn answer(configuration: &Arc<ServerConfig>, mut socket: TcpStream) -> Result<()> {
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    let mut connection = ServerConnection::new(Arc::clone(configuration))?;
    while connection.is_handshaking() {
        if connection.complete_io(&mut socket).is_err() {
            // complete_io has sent the alert.
            bail!("refused");
        }
    }
    let mut stream = rustls::Stream::new(&mut connection, &mut socket);
    let mut request = [0; 1024];
    let _read = stream.read(&mut request)?;
    stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello\n")?;
    stream.conn.send_close_notify();
    stream.flush()?;
    Ok(())
}
