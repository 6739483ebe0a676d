//! A listener that records the ClientHello of each connection, and closes it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::socket;
use sni_probe_core::client_hello;
use sni_probe_core::observation::Sni;
use sni_probe_core::parsed::Parsed;
use sni_probe_core::record;

use crate::netns::Namespace;

/// Time limit for a connection that sends nothing.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a hello. The largest of a client here is of 1,800.
const MAX_HELLO: usize = 64 * 1024;
/// Hellos that are kept. A client that retries stops long before.
const MAX_HELLOS: usize = 1_000;

/// What comes before TLS on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// Nothing.
    None,
    /// An `SSLRequest` of `PostgreSQL`, and the answer that TLS is there.
    Postgres,
    /// The greeting of a `MariaDB` server, and the client's request for TLS.
    MariaDb,
}

/// A listener, until it is dropped.
#[derive(Debug)]
pub(super) struct Recorder {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
    hellos: Arc<Mutex<Vec<Sni>>>,
}

impl Recorder {
    /// Listens on a port of a namespace.
    pub(super) fn start(namespace: &Namespace, port: u16, opening: Opening) -> Result<Self> {
        let bind = || TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
        let listener = namespace.run_in_thread(bind)?.with_context(|| format!("listening on {port}"))?;
        let accepting = listener.try_clone().context("a second descriptor")?;
        let hellos = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&hellos);
        let thread = thread::spawn(move || {
            let mut connections = Vec::new();
            // Fails when the listener is shut down.
            while let Ok((stream, _)) = accepting.accept() {
                let kept = Arc::clone(&kept);
                connections.push(thread::spawn(move || {
                    // A connection without a hello is not one of TLS.
                    if let Ok(sni) = read_hello(stream, opening) {
                        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                        if kept.len() < MAX_HELLOS {
                            kept.push(sni);
                        }
                    }
                }));
            }
            for connection in connections {
                connection.join().ok();
            }
        });
        Ok(Self { listener, thread: Some(thread), hellos })
    }

    /// Stops, and returns what the hellos said of the server's name.
    pub(super) fn stop(mut self) -> Vec<Sni> {
        self.end();
        std::mem::take(&mut self.hellos.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn end(&mut self) {
        socket::shutdown(self.listener.as_raw_fd(), socket::Shutdown::Both).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.end();
    }
}

fn read_hello(mut stream: TcpStream, opening: Opening) -> Result<Sni> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    match opening {
        Opening::None => {}
        Opening::Postgres => open_postgres(&mut stream)?,
        Opening::MariaDb => open_mariadb(&mut stream)?,
    }
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match record::handshake_message(&bytes, MAX_HELLO) {
            Parsed::Complete(message) => {
                let hello = client_hello::parse(&message.bytes);
                stream.shutdown(Shutdown::Both).ok();
                return match hello {
                    Ok(hello) => Ok(hello.sni),
                    Err(error) => bail!("a hello that cannot be parsed: {error:?}"),
                };
            }
            Parsed::NeedMore { .. } => {}
            Parsed::Rejected(_) => bail!("not TLS"),
        }
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            bail!("no hello");
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
}

/// Answers `SSLRequest`; a request for GSSAPI encryption may come before it.
fn open_postgres(stream: &mut TcpStream) -> Result<()> {
    const SSL_REQUEST: u32 = 80_877_103;
    const GSS_REQUEST: u32 = 80_877_104;
    for _ in 0..2 {
        let mut request = [0; 8];
        stream.read_exact(&mut request)?;
        let code = u32::from_be_bytes([request[4], request[5], request[6], request[7]]);
        match code {
            SSL_REQUEST => return Ok(stream.write_all(b"S")?),
            GSS_REQUEST => stream.write_all(b"N")?,
            _ => bail!("not a request for encryption"),
        }
    }
    bail!("no request for TLS")
}

/// Sends a greeting with the capability TLS, and reads the client's request for it.
fn open_mariadb(stream: &mut TcpStream) -> Result<()> {
    // CLIENT_LONG_PASSWORD, CLIENT_CONNECT_WITH_DB, CLIENT_PROTOCOL_41, CLIENT_SSL, CLIENT_SECURE_CONNECTION.
    const LOW: u16 = 0x0001 | 0x0008 | 0x0200 | 0x0800 | 0x8000;
    // CLIENT_PLUGIN_AUTH.
    const HIGH: u16 = 0x0008;
    const REQUEST_BYTES: usize = 36;
    let mut greeting = vec![10];
    greeting.extend_from_slice(b"11.8.0-MariaDB\0");
    greeting.extend_from_slice(&1_u32.to_le_bytes());
    greeting.extend_from_slice(b"12345678\0");
    greeting.extend_from_slice(&LOW.to_le_bytes());
    // utf8mb4, SERVER_STATUS_AUTOCOMMIT.
    greeting.extend_from_slice(&[45, 2, 0]);
    greeting.extend_from_slice(&HIGH.to_le_bytes());
    greeting.push(21);
    greeting.extend_from_slice(&[0; 10]);
    greeting.extend_from_slice(b"123456789012\0mysql_native_password\0");
    let length = u32::try_from(greeting.len())?.to_le_bytes();
    stream.write_all(&[&length[..3], &[0], &greeting[..]].concat())?;
    let mut request = [0; REQUEST_BYTES];
    Ok(stream.read_exact(&mut request)?)
}
