//! Events into the ring buffer, without a wake-up each.

use core::mem::MaybeUninit;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use aya_ebpf::programs::TcContext;
use sni_probe_common::counters::Counter;
use sni_probe_common::datapath::Sink;
use sni_probe_common::event::{CLIENT_WINDOW, EventHeader, RING_BYTES};

use crate::{EVENTS, count};

/// Sizes of the copied part of a record. The kernel wants them constant; each a power of two, so
/// that a mask bounds the length where the verifier can see it.
const SMALL: usize = 256;
const HELLO: usize = 1024;
const LARGE_HELLO: usize = 2048;
const WINDOW: usize = CLIENT_WINDOW as usize;

const AFTER_SMALL: usize = SMALL + 1;
const AFTER_HELLO: usize = HELLO + 1;

#[repr(C)]
struct Record<const N: usize> {
    header: EventHeader,
    data: [u8; N],
}

/// The ring buffer, as sink of one packet's event.
pub(crate) struct Ring<'a> {
    ctx: &'a TcContext,
}

impl<'a> Ring<'a> {
    #[inline(always)]
    pub(crate) fn new(ctx: &'a TcContext) -> Self {
        Self { ctx }
    }

    #[inline(always)]
    fn write<const N: usize>(&self, header: &EventHeader, payload_offset: usize) {
        let Some(mut entry) = EVENTS.reserve::<Record<N>>(0) else {
            count(Counter::LostRingFull);
            return;
        };
        let record: *mut Record<N> = MaybeUninit::as_mut_ptr(&mut entry);
        // SAFETY: the entry has room for a record, aligned to 8 bytes.
        unsafe { (&raw mut (*record).header).write(*header) };
        if N != 0 {
            // 1 ..= N: the caller chose a class with room for data_len, which is not 0.
            let len = (header.data_len.wrapping_sub(1) & (N as u32).wrapping_sub(1)) + 1;
            // SAFETY: `data` has room for N bytes.
            let result = unsafe {
                bpf_skb_load_bytes(
                    self.ctx.as_ptr().cast(),
                    payload_offset as u32,
                    (&raw mut (*record).data).cast(),
                    len,
                )
            };
            if result != 0 {
                entry.discard(u64::from(BPF_RB_NO_WAKEUP));
                count(Counter::LostCopyFailed);
                return;
            }
        }
        entry.submit(wakeup::<N>());
    }
}

impl Sink for Ring<'_> {
    #[inline(always)]
    fn emit(&mut self, header: &EventHeader, payload_offset: usize) {
        match header.data_len as usize {
            0 => self.write::<0>(header, payload_offset),
            1..=SMALL => self.write::<SMALL>(header, payload_offset),
            AFTER_SMALL..=HELLO => self.write::<HELLO>(header, payload_offset),
            AFTER_HELLO..=LARGE_HELLO => self.write::<LARGE_HELLO>(header, payload_offset),
            _ => self.write::<WINDOW>(header, payload_offset),
        }
        #[cfg(feature = "kernel-log")]
        aya_log_ebpf::debug!(
            self.ctx,
            "event kind {} client port {} gateway port {} payload {} copied {}",
            header.kind,
            header.client_port,
            header.gateway_port,
            header.payload_len,
            header.data_len
        );
    }

    #[inline(always)]
    fn count(&mut self, counter: Counter) {
        count(counter);
    }
}

/// The reader polls. It is woken early each time that another quarter of the ring has filled, and not
/// at every event beyond that, for a wake-up costs microseconds. Twice the record's length, so that
/// two CPUs which reserve at the same moment do not both step over the mark; should more do so, the
/// next quarter or the next poll makes up for it.
#[inline(always)]
fn wakeup<const N: usize>() -> u64 {
    const QUARTER: u64 = RING_BYTES as u64 / 4;
    let waiting = EVENTS.query(u64::from(BPF_RB_AVAIL_DATA));
    let is_crossing = waiting >= QUARTER && waiting & (QUARTER - 1) < 2 * size_of::<Record<N>>() as u64;
    u64::from(if is_crossing { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP })
}
