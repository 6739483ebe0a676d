//! Read access to the packet: directly where it is linear, else by a helper.

use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::{bpf_ktime_get_ns, bpf_skb_load_bytes};
use aya_ebpf::programs::TcContext;
use sni_probe_common::wire::{Packet, Unreadable};

/// A packet as its TC program sees it.
pub(crate) struct Skb<'a> {
    ctx: &'a TcContext,
    data: usize,
    data_end: usize,
}

impl<'a> Skb<'a> {
    #[inline(always)]
    pub(crate) fn new(ctx: &'a TcContext) -> Self {
        Self { ctx, data: ctx.data(), data_end: ctx.data_end() }
    }

    /// Reads `T`, an integer of at most 32 bits, as it is in memory. Drivers may leave all but the
    /// Ethernet header in fragments of the skb: what is not in its linear part is fetched by
    /// `bpf_skb_load_bytes`, which reads all parts.
    #[inline(always)]
    fn read<T: Copy + Into<u32>>(&self, offset: usize) -> Result<u32, Unreadable> {
        let at = self.data + offset;
        if at + size_of::<T>() <= self.data_end {
            // SAFETY: [at, at + size) lies in [data, data_end), as the verifier checks too.
            return Ok(unsafe { (at as *const T).read_unaligned() }.into());
        }
        u32::try_from(load(self.ctx.as_ptr(), offset as u32, size_of::<T>() as u32)).map_err(|_| Unreadable)
    }
}

/// Reads `size` bytes, at most 4, from any part of the skb; beyond `u32` on failure. Out of line, for it is
/// rare and there are many readers.
#[cold]
#[inline(never)]
fn load(skb: *mut c_void, offset: u32, size: u32) -> u64 {
    let mut value = 0_u32;
    // SAFETY: `value` has room for the size given.
    let result = unsafe { bpf_skb_load_bytes(skb.cast(), offset, (&raw mut value).cast(), size) };
    if result == 0 { value.into() } else { u64::MAX }
}

impl Packet for Skb<'_> {
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
    fn u16_at(&self, offset: usize) -> Result<u16, Unreadable> {
        Ok(u16::from_be(self.read::<u16>(offset)? as u16))
    }

    #[inline(always)]
    fn u32_at(&self, offset: usize) -> Result<u32, Unreadable> {
        Ok(u32::from_be(self.read::<u32>(offset)?))
    }
}
