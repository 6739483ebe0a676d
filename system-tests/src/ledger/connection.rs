//! A TCP connection of either side, and the ways to end it.

use std::io::{self, ErrorKind};
use std::net;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::linux::net::TcpStreamExt as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::libc::linger;
use nix::sys::socket::{self, Shutdown, setsockopt, sockopt};
use tokio::net::TcpStream;

use crate::raw::End;

/// Between two looks at a connection that must not be read.
const POLL: Duration = Duration::from_millis(5);

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Each write is a segment of its own, if the windows have room.
    pub(super) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Sends all of `bytes`.
    pub(super) async fn send(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("sending"),
            }
        }
        Ok(())
    }

    /// Reads on until `received` has `wanted` bytes, or to the end of what the peer sends.
    pub(super) async fn receive(&self, received: &mut Vec<u8>, wanted: usize) -> Result<Option<End>> {
        let mut buffer = [0; 4096];
        while received.len() < wanted {
            self.stream.readable().await?;
            let room = buffer.len().min(wanted - received.len());
            match self.stream.try_read(&mut buffer[..room]) {
                Ok(0) => return Ok(Some(End::Closed)),
                Ok(count) => received.extend_from_slice(&buffer[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => {}
                    // Refused: a RST before the SYN-ACK, of a connection with a hello in its SYN.
                    ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused => return Ok(Some(End::Reset)),
                    _ => return Err(error).context("reading"),
                },
            }
        }
        Ok(None)
    }

    /// Reads to the end, and forgets what was read.
    pub(super) async fn drain(&self) -> Result<End> {
        loop {
            if let Some(end) = self.receive(&mut Vec::new(), 4096).await? {
                return Ok(end);
            }
        }
    }

    /// Waits for the peer's RST, after its FIN or without one.
    pub(super) async fn wait_reset(&self) -> Result<()> {
        let error = loop {
            match self.stream.take_error() {
                Ok(None) => tokio::time::sleep(POLL).await,
                Ok(Some(error)) | Err(error) => break error,
            }
        };
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Ok(()),
            kind => bail!("expected a RST, got {kind}"),
        }
    }

    /// Waits until there are bytes to read, and leaves them unread.
    pub(super) async fn wait_unread(&self) -> Result<()> {
        self.stream.peek(&mut [0]).await?;
        Ok(())
    }

    /// Has the kernel acknowledge at once what it has received.
    pub(super) fn acknowledge(&self) -> io::Result<()> {
        let descriptor = self.stream.as_fd().try_clone_to_owned()?;
        net::TcpStream::from(descriptor).set_quickack(true)
    }

    /// Sends a FIN. What the peer sends can still be read.
    pub(super) fn finish(&self) -> Result<()> {
        socket::shutdown(self.stream.as_raw_fd(), Shutdown::Write).context("sending a FIN")
    }

    /// Ends the connection with a RST.
    pub(super) fn reset(self) -> Result<()> {
        setsockopt(&self.stream, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 }).context("SO_LINGER")
    }

    /// Ends the connection on this side only: no packet says so.
    pub(super) fn forget(self) -> Result<()> {
        setsockopt(&self.stream, sockopt::TcpRepair, &1).context("TCP_REPAIR (needs CAP_NET_ADMIN)")
    }
}
