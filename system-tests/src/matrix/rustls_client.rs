//! A client with rustls, in a thread that has entered the client's namespace.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::SERVER_NAME;
use crate::netns::Namespace;
use crate::process::Finished;

/// How its error for a rejected certificate begins.
pub(super) const REJECTS: &str = "invalid peer certificate";

const TIMEOUT: Duration = Duration::from_secs(10);

/// Opens `connections` connections, one after the other. Returns exit code and output as a program would.
///
/// # Errors
/// When the certificates cannot be read, or the namespace cannot be entered.
pub(super) fn run(
    namespace: &Namespace,
    files: &Path,
    gateway: SocketAddr,
    certificate: Option<&str>,
    connections: u32,
) -> Result<Finished> {
    let configuration = Arc::new(configure(files, certificate)?);
    let fetch_all = || (0..connections).try_for_each(|_| fetch(&configuration, gateway));
    let result = namespace.run_in_thread(fetch_all)?;
    let (code, stderr) = match result {
        Ok(()) => (0, String::new()),
        Err(error) => (1, error.to_string()),
    };
    Ok(Finished { code, stdout: String::new(), stderr })
}

fn configure(files: &Path, certificate: Option<&str>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(files.join("ca.crt")).context("ca.crt")?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    let Some(certificate) = certificate else { return Ok(builder.with_no_client_auth()) };
    let file = files.join(format!("{certificate}.pem"));
    let chain = vec![CertificateDer::from_pem_file(&file).context("the client's certificate")?];
    let key = PrivateKeyDer::from_pem_file(&file).context("the client's key")?;
    Ok(builder.with_client_auth_cert(chain, key)?)
}

fn fetch(configuration: &Arc<ClientConfig>, gateway: SocketAddr) -> std::io::Result<()> {
    let name = ServerName::try_from(SERVER_NAME).expect("a name");
    let connection = ClientConnection::new(Arc::clone(configuration), name).map_err(std::io::Error::other)?;
    let socket = TcpStream::connect_timeout(&gateway, TIMEOUT)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    let mut stream = StreamOwned::new(connection, socket);
    stream.write_all(format!("GET / HTTP/1.0\r\nHost: {SERVER_NAME}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // Some gateways close without close_notify.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof && !answer.is_empty() => {}
        other => {
            other?;
        }
    }
    stream.conn.send_close_notify();
    stream.flush().ok();
    Ok(())
}
