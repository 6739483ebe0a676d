//! Read access to the packet: its head directly, all else by a helper.

use core::cell::Cell;
use core::ffi::c_void;
use core::mem::MaybeUninit;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::{bpf_ktime_get_ns, bpf_skb_load_bytes};
use aya_ebpf::programs::TcContext;
use sni_probe_datapath::wire::{Layer, Packet, Read, Unreadable};

/// A packet as its TC program sees it.
pub(crate) struct Skb<'a> {
    ctx: &'a TcContext,
    /// A place on the stack for [`Skb::end_speculation`]. It lives as long as the program runs, so that the compiler
    /// does not let a buffer share it: the verifier refuses to overwrite a part of a pointer.
    barrier: Cell<MaybeUninit<*mut c_void>>,
}

impl<'a> Skb<'a> {
    #[inline(always)]
    pub(crate) fn new(ctx: &'a TcContext) -> Self {
        Self { ctx, barrier: Cell::new(MaybeUninit::uninit()) }
    }

    /// Ends the paths that the verifier follows because a processor may take them by speculation. Stands before each
    /// helper call that writes to the stack.
    ///
    /// Without `CAP_PERFMON`, Linux 6.17 and 6.18 up to 6.18.12 reject a program with such a call on such a path
    /// ("verifier bug: speculation barrier after jump instruction", fixed by kernel commit cd3b6a3d49f8). A pointer
    /// that is stored on the stack always gets a speculation barrier, and these kernels follow a speculative path up
    /// to the first barrier only: it never comes to the call.
    ///
    /// The store costs nothing that can be measured. Without `CAP_PERFMON` the barrier costs 15 ns (2026-11-29, AMD
    /// EPYC). A buffer in a per-CPU map would need none, but is not safe on a kernel with `PREEMPT_RT`, from 6.18 on:
    /// there one program may interrupt another on the same processor.
    #[inline(always)]
    fn end_speculation(&self) {
        // SAFETY: a live place for a pointer. Volatile, because nothing reads it.
        unsafe { self.barrier.as_ptr().write_volatile(MaybeUninit::new(self.ctx.as_ptr())) };
    }
}

/// The beginning of a packet, in the linear part of its skb. Drivers may leave all but the Ethernet header in
/// other parts.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    data: usize,
    len: usize,
}

impl Head {
    /// Reads `T`, an integer, as it is in memory.
    #[inline(always)]
    fn read<T: Copy>(self, offset: usize) -> Result<T, Unreadable> {
        if offset + size_of::<T>() > self.len {
            return Err(Unreadable);
        }
        // SAFETY: `len` bytes are there, as the verifier checks too.
        Ok(unsafe { ((self.data + offset) as *const T).read_unaligned() })
    }
}

impl Read for Head {
    #[inline(always)]
    fn bytes_at<const N: usize>(&self, offset: usize) -> Result<[u8; N], Unreadable> {
        self.read(offset)
    }

    #[inline(always)]
    fn u16_at(&self, offset: usize) -> Result<u16, Unreadable> {
        self.read(offset).map(u16::from_be)
    }

    #[inline(always)]
    fn u32_at(&self, offset: usize) -> Result<u32, Unreadable> {
        self.read(offset).map(u32::from_be)
    }
}

/// From any part of the skb, at any offset. Some 15 ns a call.
impl Read for Skb<'_> {
    #[inline(always)]
    fn bytes_at<const N: usize>(&self, offset: usize) -> Result<[u8; N], Unreadable> {
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        let to = bytes.as_mut_ptr().cast();
        self.end_speculation();
        // SAFETY: there is room for N bytes.
        let result = unsafe { bpf_skb_load_bytes(self.ctx.as_ptr().cast(), offset as u32, to, N as u32) };
        // SAFETY: the helper has filled all of them, or none and said so.
        if result == 0 { Ok(unsafe { bytes.assume_init() }) } else { Err(Unreadable) }
    }

    #[inline(always)]
    fn u16_at(&self, offset: usize) -> Result<u16, Unreadable> {
        self.bytes_at(offset).map(u16::from_be_bytes)
    }

    #[inline(always)]
    fn u32_at(&self, offset: usize) -> Result<u32, Unreadable> {
        self.bytes_at(offset).map(u32::from_be_bytes)
    }
}

impl Packet for Skb<'_> {
    type Head = Head;

    #[inline(always)]
    fn head(&self, len: usize) -> Option<Head> {
        let data = self.ctx.data();
        (data + len <= self.ctx.data_end()).then_some(Head { data, len })
    }

    #[inline(always)]
    fn layer(&self) -> Layer {
        Layer::Ethernet
    }

    #[inline(always)]
    fn wire_len(&self) -> usize {
        self.ctx.len() as usize
    }

    #[inline(always)]
    fn time_ns(&self) -> u64 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_ktime_get_ns() }
    }

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        // SAFETY: the context of a running program is valid.
        unsafe { (*self.ctx.skb.skb).ifindex }
    }

    #[inline(always)]
    fn has_tag_apart(&self) -> bool {
        // SAFETY: as in `ifindex`.
        unsafe { (*self.ctx.skb.skb).vlan_present != 0 }
    }

    #[inline(always)]
    fn is_for_other_host(&self) -> bool {
        /// `linux/if_packet.h`.
        const PACKET_OTHERHOST: u32 = 3;
        // SAFETY: as in `ifindex`.
        unsafe { (*self.ctx.skb.skb).pkt_type == PACKET_OTHERHOST }
    }

    #[inline(always)]
    fn forget(&self, value: usize) -> usize {
        crate::forget(value)
    }
}
