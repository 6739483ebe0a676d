//! Capture without eBPF: packet sockets, one for each interface, with `CAP_NET_RAW` alone.
//!
//! ```text
//! filter (gateway ports, in the kernel) ─▶ ring (mapped) ─▶ block (frames) ─▶ datapath in user space
//! ```
//!
//! Which packets are of interest the kernel's programs know by the flow's slot; a filter of a packet socket has no
//! memory. All data on gateway ports is therefore copied into the ring, up to what the datapath may want of it.

mod block;
mod filter;
mod ring;

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use rustix::io::Errno;
use sni_probe_datapath::userspace::Frame;
use socket2::{Domain, Socket, Type};

use self::block::Block;
pub use self::filter::{Filter, FilterError};
use self::ring::Ring;
use super::links::Link;
use super::preflight;

/// Why an interface cannot be watched by a packet socket.
#[derive(Debug, thiserror::Error)]
pub enum PacketSocketError {
    /// The link layer is not Ethernet.
    #[error(
        "{0} has no Ethernet header (link type {1}), which is not supported; name another with --interface"
    )]
    NotEthernet(String, String),
    /// The process is in a user namespace that does not own the network namespace.
    #[error(
        "cannot open a packet socket on {0}: this process is in a user namespace (rootless container, hostUsers: false) \
         to which the network namespace does not belong; run it outside of user namespaces"
    )]
    UserNamespace(String),
    /// There are too many open files.
    #[error(
        "cannot open a packet socket on {0}: too many open files; raise the limit (`ulimit -n`, systemd: LimitNOFILE=), \
         or end what holds files open"
    )]
    TooManyFiles(String),
    /// The kernel refuses.
    #[error("cannot open a packet socket on {interface}: {error}")]
    Refused {
        /// The interface.
        interface: String,
        /// What it says.
        error: io::Error,
    },
}

impl PacketSocketError {
    fn new(link: &Link, error: io::Error, is_in_user_namespace: bool) -> Self {
        let interface = link.name.clone();
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::PERM) if is_in_user_namespace => Self::UserNamespace(interface),
            Some(Errno::MFILE | Errno::NFILE) => Self::TooManyFiles(interface),
            _ => Self::Refused { interface, error },
        }
    }
}

/// How long the kernel holds frames back, so as to hand over many at a time.
pub const HELD_BACK: Duration = Duration::from_millis(ring::BLOCK_TIMEOUT_MS as u64);

/// Size of each socket's ring.
pub const RING_BYTES: usize = ring::BLOCKS * ring::BLOCK_BYTES;

/// Which of an interface's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Those that it has received.
    Received,
    /// Those that it sends.
    Sent,
}

/// The frames of one interface that the filter lets pass.
#[derive(Debug)]
pub struct PacketSocket {
    ring: Ring,
    index: u32,
}

impl PacketSocket {
    /// Opens a socket on `link`. From the first moment on only what `filter` lets pass gets into it.
    pub fn open(link: &Link, filter: &Filter) -> Result<Self, PacketSocketError> {
        if !link.has_ethernet_header {
            return Err(PacketSocketError::NotEthernet(link.name.clone(), link.layer.clone()));
        }
        let open = || {
            // Without a protocol it receives nothing until it is bound with one.
            let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
            socket.set_nonblocking(true)?;
            socket.attach_filter(filter.instructions())?;
            Ring::bind(socket, link.index)
        };
        match open() {
            Ok(ring) => Ok(Self { ring, index: link.index }),
            Err(error) => Err(PacketSocketError::new(link, error, preflight::is_in_user_namespace())),
        }
    }

    /// Index of its interface.
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Hands the frames of the next block to `handle`, oldest first, each with its time as nanoseconds of the wall
    /// clock, and gives the block back to the kernel. Returns how many there were; `None` if no block is ready.
    pub fn drain_block(&mut self, mut handle: impl FnMut(Direction, &Frame<'_>)) -> Option<usize> {
        let index = self.index;
        let count = Block::new(self.ring.block()?).frames().map(|frame| {
            let direction = if frame.is_outgoing { Direction::Sent } else { Direction::Received };
            let frame = Frame {
                wire_len: frame.wire_len,
                ifindex: index,
                has_tag_apart: frame.has_tag_apart,
                is_for_other_host: frame.is_for_other_host,
                ..Frame::new(frame.bytes, frame.time_ns)
            };
            handle(direction, &frame);
        });
        let count = count.count();
        self.ring.release();
        Some(count)
    }

    /// How many frames the kernel has dropped since the last call for want of room in the ring.
    pub fn take_drops(&self) -> io::Result<u64> {
        self.ring.take_drops()
    }

    /// The error that has come up on the socket since the last call, such as that its interface is down.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.ring.socket().take_error()
    }
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.socket().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(errno: Errno, is_in_user_namespace: bool) -> String {
        let link = Link { index: 2, name: "eth0".to_owned(), ..Link::default() };
        PacketSocketError::new(&link, errno.into(), is_in_user_namespace).to_string()
    }

    #[test]
    fn a_refusal_says_what_helps() {
        assert!(message(Errno::PERM, true).contains("user namespace"));
        assert!(message(Errno::PERM, false).ends_with("eth0: Operation not permitted (os error 1)"));
        assert!(message(Errno::MFILE, true).contains("too many open files; raise the limit"));
        assert!(message(Errno::NFILE, false).contains("too many open files; raise the limit"));
        assert!(message(Errno::NODEV, true).ends_with("eth0: No such device (os error 19)"));
    }
}
