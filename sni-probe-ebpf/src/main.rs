//! The TC programs: entry points and maps. What they do is [`sni_probe_datapath::datapath`].
//!
//! An observer never ends the chain and never touches a packet: one constant verdict on every path.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(clippy::inline_always, reason = "a call is a subprogram, which the verifier treats apart")]
#![expect(
    clippy::cast_possible_truncation,
    reason = "lengths and offsets in a packet fit 32 bits; no panics here"
)]
#![expect(clippy::needless_pass_by_value, reason = "the classifier macro passes the context so")]
#![expect(missing_docs, unreachable_pub, reason = "the classifier macro makes items of its own")]

mod ring;
mod skb;

use core::arch::asm;

use aya_ebpf::bindings::TC_ACT_UNSPEC;
use aya_ebpf::macros::{classifier, map};
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, RingBuf};
use aya_ebpf::programs::TcContext;
use sni_probe_datapath::counters::Counter;
use sni_probe_datapath::datapath::{self, Flows};
use sni_probe_datapath::event::RING_BYTES;
use sni_probe_datapath::flow_table::{BUCKETS, Bucket, Entry, FlowHash, WAYS};
use sni_probe_datapath::ports::{PORT_WORDS, word_and_bit};
use sni_probe_datapath::tunnel::Tunnels;
use sni_probe_datapath::wire::Packet;

use crate::ring::Ring;
use crate::skb::Skb;

/// "No verdict": the next filter decides. The same number is `TCX_NEXT`.
const VERDICT: i32 = TC_ACT_UNSPEC;

/// Seed of the flow hash; written by the loader.
#[unsafe(no_mangle)]
static HASH_SEED: u64 = 0;

/// The tunnels that are looked into; written by the loader.
#[unsafe(no_mangle)]
static TUNNELS: u32 = Tunnels::NONE.bits();

/// Whether handshakes are followed beyond the ServerHello; written by the loader.
#[unsafe(no_mangle)]
static FOLLOW_UP: u32 = 0;

/// Events for user space.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// The gateway's ports, as a bitmap; written by the loader. A map, for it is read at a place that depends on the
/// packet: to add that to a pointer makes a verifier without `CAP_PERFMON` explore each path anew.
#[map]
static GATEWAY_PORTS: Array<u64> = Array::with_max_entries(PORT_WORDS as u32, 0);

/// The flow table: its buckets.
#[map]
static FLOWS: Array<[u64; WAYS]> = Array::with_max_entries(BUCKETS, 0);

/// The current epoch, for the age of entries; written by the daemon again and again.
#[map]
static EPOCH: Array<u32> = Array::with_max_entries(1, 0);

/// Interfaces on which frames for other hosts count; written by the daemon. Its size bounds them.
#[map]
static OTHER_HOSTS: HashMap<u32, u8> = HashMap::with_max_entries(4_096, 0);

/// What was skipped or missed, indexed by [`Counter`].
#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::ALL.len() as u32, 0);

/// Looks at packets on their way from clients to the gateway.
// Inlined: else the compiler makes one large program a function that the entry point calls.
#[classifier]
#[inline(always)]
pub fn client_to_gateway(ctx: TcContext) -> i32 {
    datapath::client_to_gateway(&Skb::new(&ctx), &Maps, &mut Ring::new(&ctx));
    VERDICT
}

/// Looks at packets on their way from the gateway to clients.
#[classifier]
#[inline(always)]
pub fn gateway_to_client(ctx: TcContext) -> i32 {
    datapath::gateway_to_client(&Skb::new(&ctx), &Maps, &mut Ring::new(&ctx));
    VERDICT
}

struct Maps;

impl Flows for Maps {
    #[inline(always)]
    fn is_gateway_port(&self, port: u16) -> bool {
        let (word, bit) = word_and_bit(port);
        GATEWAY_PORTS.get(word as u32).is_some_and(|word| word & bit != 0)
    }

    #[inline(always)]
    fn seed(&self) -> u64 {
        // SAFETY: a live, aligned static. Volatile, for the loader replaces the zero.
        unsafe { (&raw const HASH_SEED).read_volatile() }
    }

    #[inline(always)]
    fn tunnels(&self) -> Tunnels {
        // SAFETY: as in `seed`.
        Tunnels::from_bits(unsafe { (&raw const TUNNELS).read_volatile() })
    }

    #[inline(always)]
    fn follows_up(&self) -> bool {
        // SAFETY: as in `seed`.
        unsafe { (&raw const FOLLOW_UP).read_volatile() != 0 }
    }

    #[inline(always)]
    fn bucket(&self, hash: FlowHash) -> Option<impl Bucket> {
        FLOWS.get_ptr_mut(hash.bucket(BUCKETS)).map(|entries| MapBucket(entries.cast()))
    }

    #[inline(always)]
    fn epoch<P: Packet>(&self, _: &P) -> u8 {
        EPOCH.get(0).map_or(0, |epoch| *epoch as u8)
    }

    #[inline(always)]
    fn counts_other_hosts(&self, ifindex: u32) -> bool {
        OTHER_HOSTS.get_ptr(ifindex).is_some()
    }
}

/// A value of the flow table. Such values live as long as the program and are aligned to 8 bytes.
#[derive(Clone, Copy, Debug)]
struct MapBucket(*mut Entry);

impl Bucket for MapBucket {
    type Place = *mut Entry;

    #[inline(always)]
    fn place(&self, way: usize) -> *mut Entry {
        // SAFETY: a value has WAYS entries, and callers stay below that (the verifier checks it).
        opaque(unsafe { self.0.add(way) } as usize) as *mut Entry
    }

    #[inline(always)]
    fn load(&self, place: *mut Entry) -> Entry {
        // SAFETY: a place of this bucket.
        unsafe { place.read_volatile() }
    }

    #[inline(always)]
    fn store(&self, place: *mut Entry, entry: Entry) {
        // SAFETY: as in `load`.
        unsafe { place.write_volatile(entry) }
    }

    #[inline(always)]
    fn forget(&self, value: u64) -> u64 {
        forget(value as usize) as u64
    }
}

/// A number or address of which the compiler does not know where it comes from. It would else make "one of these
/// four pointers" into "this pointer and one of these four offsets", which the verifier does not allow without
/// `CAP_PERFMON`; or compare one register, and use another of which the verifier then knows nothing.
#[inline(always)]
fn opaque(mut value: usize) -> usize {
    // Not `pure`: the compiler would keep the places of a bucket on the stack, to use them again.
    // SAFETY: a copy to itself. (Not without any instruction: the verifier refuses two source lines for one.)
    unsafe { asm!("{0} = {0}", inout(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Zero, in memory that could be written: the verifier does not know what is in it.
#[unsafe(no_mangle)]
static mut ZERO: usize = 0;

/// See [`Packet::forget`](sni_probe_datapath::wire::Packet::forget).
#[inline(always)]
pub(crate) fn forget(value: usize) -> usize {
    // SAFETY: nobody writes it.
    value + unsafe { (&raw const ZERO).read_volatile() }
}

/// Adds one to this CPU's counter.
#[inline(always)]
fn count(counter: Counter) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter.index()) {
        // SAFETY: a per-CPU value, which only this CPU writes; programs are not preempted by themselves.
        unsafe { *value += 1 };
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The programs have no panics: one that crept in is an endless loop, which the verifier refuses.
    loop {}
}

/// Some helpers are for GPL-compatible programs only; the licence text is what the kernel asks for.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
