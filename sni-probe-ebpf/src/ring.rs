//! Events into the ring buffer, without a wake-up each.

use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{
    bpf_ringbuf_discard, bpf_ringbuf_query, bpf_ringbuf_reserve, bpf_ringbuf_submit, bpf_skb_load_bytes,
};
use aya_ebpf::programs::TcContext;
use sni_probe_datapath::counters::Counter;
use sni_probe_datapath::datapath::Sink;
use sni_probe_datapath::event::{CLIENT_WINDOW, EventHeader, FOLLOW_UP_COPY, REACTION_COPY, RING_BYTES};

use crate::{EVENTS, count, forget, opaque};

/// Sizes of the copied part of a record, for the kernel wants them constant: a close, a segment after the ServerHello, an
/// answer, hellos of usual lengths (517 bytes with padding, 1.8 KB with a post-quantum key share), the whole window.
const CLASSES: [usize; 7] =
    [REACTION_COPY as usize, FOLLOW_UP_COPY as usize, 256, 576, 1024, 2048, CLIENT_WINDOW as usize];

/// Bytes of a record before the copied part.
const HEADER: usize = size_of::<EventHeader>();

/// The ring buffer, as sink of one packet's event.
pub(crate) struct Ring<'a> {
    ctx: &'a TcContext,
}

impl<'a> Ring<'a> {
    #[inline(always)]
    pub(crate) fn new(ctx: &'a TcContext) -> Self {
        Self { ctx }
    }
}

impl Sink for Ring<'_> {
    #[inline(always)]
    fn emit(&mut self, header: &EventHeader, payload_offset: usize) {
        let len = header.data_len as usize;
        let mut size = CLASSES[6];
        if len <= CLASSES[0] {
            size = CLASSES[0];
        } else if len <= CLASSES[1] {
            size = CLASSES[1];
        } else if len <= CLASSES[2] {
            size = CLASSES[2];
        } else if len <= CLASSES[3] {
            size = CLASSES[3];
        } else if len <= CLASSES[4] {
            size = CLASSES[4];
        } else if len <= CLASSES[5] {
            size = CLASSES[5];
        }
        // SAFETY: a ring buffer's map; the verifier follows each size.
        let record =
            unsafe { bpf_ringbuf_reserve(events(), (HEADER + size) as u64, 0) }.cast::<EventHeader>();
        if record.is_null() {
            count(Counter::LostRingFull);
            return;
        }
        // SAFETY: there is room for a header, aligned to 8 bytes.
        unsafe { record.write(*header) };
        // The verifier wants to see the bounds of the length that the helper is given, from 1 on (before Linux 5.16),
        // in the very register that is compared: which the compiler must not take for another.
        let last = opaque(forget(len).wrapping_sub(1));
        if last < size {
            let len = last + 1;
            // SAFETY: `size` bytes follow the header.
            let result = unsafe {
                let to = record.add(1).cast();
                bpf_skb_load_bytes(self.ctx.as_ptr().cast(), payload_offset as u32, to, len as u32)
            };
            if result != 0 {
                // SAFETY: a record that was reserved and not submitted.
                unsafe { bpf_ringbuf_discard(record.cast(), u64::from(BPF_RB_NO_WAKEUP)) };
                count(Counter::LostCopyFailed);
                return;
            }
        }
        // SAFETY: as above.
        unsafe { bpf_ringbuf_submit(record.cast(), wakeup(header.time_ns)) };
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

/// The reader polls. It is woken early when a quarter of the ring has filled. That is looked at for one event
/// in 32 (by the clock, whose low bits are as good as random), for asking takes 10 ns and a wake-up microseconds.
#[inline(always)]
fn wakeup(time_ns: u64) -> u64 {
    const QUARTER: u64 = RING_BYTES as u64 / 4;
    let is_asked = time_ns & 0x1f0 == 0;
    // SAFETY: a ring buffer's map.
    let is_filling =
        is_asked && unsafe { bpf_ringbuf_query(events(), u64::from(BPF_RB_AVAIL_DATA)) } >= QUARTER;
    u64::from(if is_filling { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP })
}

#[inline(always)]
fn events() -> *mut c_void {
    (&raw const EVENTS).cast_mut().cast()
}
