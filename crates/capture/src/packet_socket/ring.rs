//! The ring of a packet socket (`TPACKET_V3`): blocks of memory that the kernel fills and user space gives back.
//!
//! The one place of this crate with `unsafe`: the mapping, and the options of sockets that no library has.
#![expect(unsafe_code, reason = "the kernel shares the memory of the ring")]
#![expect(clippy::cast_possible_truncation, reason = "sizes and constants of the kernel's interface")]

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use socket2::Socket;

/// Bytes of a block: room for three frames of the longest kind, a client's whole window with its headers.
pub(super) const BLOCK_BYTES: usize = 64 * 1024;
/// Blocks of a ring: 2 MiB, which 100,000 hellos a second fill in 28 ms. The kernel wakes the reader at each block.
pub(super) const BLOCKS: usize = 32;
/// How long the kernel holds back a block that is not full, in milliseconds: as long as the reader's own poll.
pub(super) const BLOCK_TIMEOUT_MS: u32 = 50;

/// A mapped ring with its socket.
#[derive(Debug)]
pub(super) struct Ring {
    socket: Socket,
    blocks: NonNull<u8>,
    /// The block that the kernel hands over next.
    next: usize,
}

// SAFETY: the mapping belongs to this value alone.
unsafe impl Send for Ring {}

impl Ring {
    /// Makes the ring and binds the socket to an interface: from then on frames come.
    pub(super) fn bind(socket: Socket, index: u32) -> io::Result<Self> {
        set_option(&socket, libc::PACKET_VERSION, &(libc::tpacket_versions::TPACKET_V3 as libc::c_int))?;
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK_BYTES as u32,
            tp_block_nr: BLOCKS as u32,
            // Of no meaning in this version, but checked: frames of any length are packed into a block.
            tp_frame_size: BLOCK_BYTES as u32,
            tp_frame_nr: BLOCKS as u32,
            tp_retire_blk_tov: BLOCK_TIMEOUT_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(&socket, libc::PACKET_RX_RING, &request)?;
        // SAFETY: a new mapping, of the size that the ring was made with.
        let blocks = unsafe {
            mmap(
                ptr::null_mut(),
                BLOCKS * BLOCK_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                socket.as_fd(),
                0,
            )?
        };
        let blocks = NonNull::new(blocks.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let ring = Self { socket, blocks, next: 0 };
        bind(&ring.socket, index)?;
        Ok(ring)
    }

    pub(super) const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The next block, if the kernel has handed it over. It stays until [`Ring::release`].
    pub(super) fn block(&self) -> Option<&[u8]> {
        if self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: a block of the mapping. The kernel has handed it over, and writes to it no more until `release`,
        // which takes `&mut self` and so ends this borrow.
        Some(unsafe {
            std::slice::from_raw_parts(self.blocks.as_ptr().add(self.next * BLOCK_BYTES), BLOCK_BYTES)
        })
    }

    /// Gives the block that [`Ring::block`] gave back to the kernel.
    pub(super) fn release(&mut self) {
        self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % BLOCKS;
    }

    fn status(&self) -> &AtomicU32 {
        const STATUS: usize = std::mem::offset_of!(libc::tpacket_block_desc, hdr)
            + std::mem::offset_of!(libc::tpacket_hdr_v1, block_status);
        // SAFETY: a field of a block of the mapping, aligned to 4 bytes; both sides use it as an atomic.
        unsafe { AtomicU32::from_ptr(self.blocks.as_ptr().add(self.next * BLOCK_BYTES + STATUS).cast()) }
    }

    /// How many frames were dropped since the last call, for the ring was full.
    pub(super) fn take_drops(&self) -> io::Result<u64> {
        let mut statistics = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
        let mut length = size_of_val(&statistics) as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes to `statistics`, a plain struct of integers.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut length,
            )
        };
        if result == 0 { Ok(statistics.tp_drops.into()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the whole of the mapping, of which no borrow is left.
        let _ = unsafe { munmap(self.blocks.as_ptr().cast(), BLOCKS * BLOCK_BYTES) };
    }
}

/// Sets an option of packet sockets; `T` is a plain struct or integer that it takes.
fn set_option<T: Copy>(socket: &Socket, name: libc::c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes of `value`.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, name, ptr::from_ref(value).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn bind(socket: &Socket, index: u32) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: i32::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes of `address`.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
