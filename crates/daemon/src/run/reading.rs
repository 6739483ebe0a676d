//! What the TC programs and packet sockets have in common as sources of events: losses, and waiting in the runtime's poll.

use std::os::fd::AsRawFd;

use anyhow::Context as _;
use sni_probe_datapath::counters::Counter;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What was lost or skipped since the last reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// What the datapath counts.
    Datapath(Counter),
    /// Frames that found no room in the ring of a packet socket.
    PacketRingFull,
}

/// Registers `inner`, which owns its descriptor, with the runtime's poll.
#[expect(
    deprecated,
    reason = "the successor is unsafe, for types that do not own their descriptor; this crate has no unsafe"
)]
pub(super) fn readable<T: AsRawFd>(inner: T) -> anyhow::Result<AsyncFd<T>> {
    AsyncFd::with_interest(inner, Interest::READABLE).context("cannot wait for events of the kernel")
}
