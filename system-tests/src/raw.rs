//! A TCP client that sends exactly the bytes, in exactly the segments, that a test asks for.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

use crate::netns::Namespace;
use crate::process::wait_until;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ACK_DEADLINE: Duration = Duration::from_secs(5);

/// How the gateway ended a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With a FIN.
    Closed,
    /// With a RST.
    Reset,
    /// Not within the time that the test gave it.
    StillOpen,
}

/// What came back on a connection.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The gateway's bytes.
    pub bytes: Vec<u8>,
    /// How it ended.
    pub end: End,
}

/// A connection from the client's namespace.
#[derive(Debug)]
pub struct RawClient<'ns> {
    namespace: &'ns Namespace,
    stream: TcpStream,
    local: SocketAddr,
}

impl<'ns> RawClient<'ns> {
    /// Connects to `address` from within `namespace`.
    ///
    /// # Errors
    /// When the gateway refuses the connection.
    pub fn connect(namespace: &'ns Namespace, address: SocketAddr) -> Result<Self> {
        let stream = namespace
            .run_in_thread(|| TcpStream::connect_timeout(&address, CONNECT_TIMEOUT))?
            .with_context(|| format!("connecting to {address}"))?;
        // Each write is a segment of its own, at once.
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        Ok(Self { namespace, stream, local })
    }

    /// The client's address and port, as sni-probe's events name it.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The socket, for options that only one test needs.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends `bytes` with one write.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("sending")
    }

    /// Sends each chunk once the gateway's kernel has acknowledged the one before, so that neither
    /// side's TCP can join two of them.
    ///
    /// # Errors
    /// When the connection is gone or an acknowledgement does not come.
    pub fn send_segments<'a>(&mut self, chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<()> {
        for chunk in chunks {
            self.wait_acknowledged()?;
            self.send(chunk)?;
        }
        Ok(())
    }

    /// Waits until all that was sent is acknowledged.
    ///
    /// # Errors
    /// When that has not come to pass within 5 s.
    pub fn wait_acknowledged(&self) -> Result<()> {
        wait_until("acknowledgement", ACK_DEADLINE, || {
            let queued = self.namespace.run_in_thread(|| unacknowledged(self.local))?;
            Ok((queued? == 0).then_some(()))
        })
    }

    /// Reads until the gateway ends the connection or `timeout` is over.
    ///
    /// # Errors
    /// For what is neither an end nor a timeout.
    pub fn read_to_end(&mut self, timeout: Duration) -> Result<Reply> {
        self.read_while(timeout, |_| true)
    }

    fn read_while(&mut self, timeout: Duration, more: impl Fn(&[u8]) -> bool) -> Result<Reply> {
        let deadline = Instant::now() + timeout;
        let mut bytes = Vec::new();
        let mut buffer = [0; 16 * 1024];
        let end = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !more(&bytes) {
                break End::StillOpen;
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut buffer) {
                Ok(0) => break End::Closed,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::ConnectionReset => break End::Reset,
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => break End::StillOpen,
                    ErrorKind::Interrupted => {}
                    _ => return Err(error).context("reading"),
                },
            }
        };
        Ok(Reply { bytes, end })
    }

    /// Reads what comes first: bytes (then the connection is still open) or its end.
    ///
    /// # Errors
    /// For what is neither bytes nor an end nor a timeout.
    pub fn read_first(&mut self, timeout: Duration) -> Result<Reply> {
        self.read_while(timeout, <[u8]>::is_empty)
    }

    /// Ends the client's side with a FIN and keeps reading possible.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn finish(&mut self) -> Result<()> {
        self.stream.shutdown(Shutdown::Write).context("sending FIN")
    }

    /// Ends the connection with a RST.
    ///
    /// # Errors
    /// When the socket refuses the option.
    pub fn reset(self) -> Result<()> {
        setsockopt(&self.stream, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 }).context("SO_LINGER")
    }
}

/// Bytes sent and not yet acknowledged on the socket with this local address, from the kernel's
/// table: the ioctl that says it (`TIOCOUTQ`) has no safe wrapper.
fn unacknowledged(local: SocketAddr) -> Result<u64> {
    let table = match local {
        SocketAddr::V4(_) => "/proc/thread-self/net/tcp",
        SocketAddr::V6(_) => "/proc/thread-self/net/tcp6",
    };
    let text = fs::read_to_string(table).with_context(|| format!("reading {table}"))?;
    let port = format!(":{:04X}", local.port());
    for line in text.lines().skip(1) {
        // sl local_address rem_address st tx_queue:rx_queue …
        let mut fields = line.split_whitespace().skip(1);
        if !fields.next().is_some_and(|address| address.ends_with(&port)) {
            continue;
        }
        let pair = fields.nth(2).and_then(|queues| queues.split_once(':'));
        let (sent, _) = pair.with_context(|| format!("no queues in {line}"))?;
        return Ok(u64::from_str_radix(sent, 16)?);
    }
    // The gateway has reset the connection: nothing waits any more.
    Ok(0)
}
