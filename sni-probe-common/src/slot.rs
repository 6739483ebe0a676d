//! Flow slots: what the datapath remembers of a connection, in 64 bits.
//!
//! ```text
//! 63            40 39      35 34  32 31                             0
//! ┌───────────────┬──────────┬──────┬────────────────────────────────┐
//! │ tag (24 bits) │ answers  │ stage│ initial sequence number        │
//! └───────────────┴──────────┴──────┴────────────────────────────────┘
//! ```
//!
//! Slots live in buckets of [`WAYS`] that share half a cache line. A hash of the 4-tuple chooses the
//! bucket, the tag tells the flows in it apart. Nothing is allocated and nothing is locked: a new
//! flow takes a free way, else one whose client has not spoken yet, which loses little, for a
//! ClientHello starts its flow by itself; only where all ways hold handshakes under way is one of
//! those displaced. Either is counted.

use core::cell::Cell;

use crate::counters::Counter;

/// Slots in a bucket.
pub const WAYS: usize = 4;

/// Buckets of the kernel's table: 2^16 buckets of 4 slots of 8 bytes are 2 MiB, and enough that of
/// 100,000 handshakes under way at once about one in fifty is displaced; of 10,000, none.
pub const BUCKETS: u32 = 1 << 16;

/// Access to a bucket of [`WAYS`] slots. Loads and stores are single and unordered: two CPUs that
/// write the same way at the same moment cost one of the flows its slot, never a torn one.
pub trait Bucket: Copy {
    /// Where a slot is.
    type Place: Copy;
    /// The place of a way, less than [`WAYS`].
    fn place(&self, way: usize) -> Self::Place;
    /// The slot in a place.
    fn load(&self, place: Self::Place) -> Slot;
    /// Overwrites the slot in a place.
    fn store(&self, place: Self::Place, slot: Slot);
}

/// A bucket in user space.
impl<'a> Bucket for &'a [Cell<Slot>; WAYS] {
    type Place = &'a Cell<Slot>;

    fn place(&self, way: usize) -> Self::Place {
        &self[way]
    }

    fn load(&self, place: Self::Place) -> Slot {
        place.get()
    }

    fn store(&self, place: Self::Place, slot: Slot) {
        place.set(slot);
    }
}

/// Inconclusive segments of an answer that are copied before the datapath looks away.
pub const MAX_ANSWERS: u8 = 16;

/// How far the handshake of a flow is. The numbers are in the order of what it costs to lose the slot.
pub mod stage {
    /// No flow.
    pub const FREE: u8 = 0;
    /// A ServerHello, an alert or a reset was seen: packets of this flow are of no interest.
    pub const DONE: u8 = 1;
    /// SYN seen; the client has not sent any payload.
    pub const OPEN: u8 = 2;
    /// The client has spoken; the gateway's answer, if any, is not conclusive yet.
    pub const HANDSHAKE: u8 = 3;
    /// As `HANDSHAKE`, but the SYN was not seen: the sequence number before the client's first
    /// payload that was seen stands for the initial one.
    pub const MID_STREAM: u8 = 4;
}

/// The contents of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Slot(pub u64);

impl Slot {
    /// A slot of a flow with this tag.
    #[inline(always)]
    pub const fn new(tag: u32, stage: u8, answers: u8, isn: u32) -> Self {
        let progress = (answers << 3 | stage & 7) as u64;
        Self((tag as u64) << 40 | progress << 32 | isn as u64)
    }

    /// How far the handshake is: one of [`stage`].
    #[inline(always)]
    pub const fn stage(self) -> u8 {
        (self.0 >> 32) as u8 & 7
    }

    /// Inconclusive segments of the gateway's answer so far, up to [`MAX_ANSWERS`].
    #[inline(always)]
    pub const fn answers(self) -> u8 {
        (self.0 >> 35) as u8 & 0x1f
    }

    /// The client's initial sequence number.
    #[inline(always)]
    pub const fn isn(self) -> u32 {
        self.0 as u32
    }

    #[inline(always)]
    const fn tag(self) -> u32 {
        (self.0 >> 40) as u32
    }
}

/// Where a flow's slot is, derived from its 4-tuple and the table's seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowHash(u64);

impl FlowHash {
    /// Hashes a flow. `addresses` are client and gateway, as two 32-bit halves for IPv4 or already
    /// folded for IPv6; `ports` are client (high half) and gateway. The seed keeps a client from
    /// choosing ports that fall on another's bucket.
    #[inline(always)]
    pub const fn new(seed: u64, addresses: u64, ports: u32) -> Self {
        let mut hash = (addresses ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 32;
        hash = (hash ^ ports as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
        hash ^= hash >> 32;
        Self(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Index of the bucket in a table of `buckets`, a power of two.
    #[inline(always)]
    pub const fn bucket(self, buckets: u32) -> u32 {
        (self.0 >> 20) as u32 & (buckets - 1)
    }

    /// Tells the flows of a bucket apart.
    #[inline(always)]
    pub const fn tag(self) -> u32 {
        (self.0 >> 40) as u32
    }
}

/// A flow's slot in its bucket.
#[derive(Clone, Copy, Debug)]
pub struct Held<B: Bucket> {
    bucket: B,
    place: B::Place,
    /// What the slot held when it was looked up.
    pub slot: Slot,
}

impl<B: Bucket> Held<B> {
    /// Moves the flow on.
    #[inline(always)]
    pub fn set(&self, stage: u8, answers: u8) {
        self.bucket.store(self.place, Slot::new(self.slot.tag(), stage, answers, self.slot.isn()));
    }
}

/// The flow's slot, if it has one.
#[inline(always)]
pub fn find<B: Bucket>(bucket: B, tag: u32) -> Option<Held<B>> {
    for way in 0..WAYS {
        let place = bucket.place(way);
        let slot = bucket.load(place);
        if slot.tag() == tag && slot.stage() != stage::FREE {
            return Some(Held { bucket, place, slot });
        }
    }
    None
}

/// What became of a flow that was to be put into its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It has a way.
    Anew,
    /// It has that of another flow, which is to be counted so.
    InPlaceOf(Counter),
    /// It is there with the same initial sequence number, and its client has spoken: it stays as it is.
    Not,
}

/// Puts a flow into its bucket.
#[inline(always)]
pub fn insert<B: Bucket>(bucket: B, new: Slot) -> Inserted {
    let mut victim = bucket.place(0);
    let mut least = u8::MAX;
    for way in 0..WAYS {
        let place = bucket.place(way);
        let slot = bucket.load(place);
        let stage = slot.stage();
        if slot.tag() == new.tag() && stage != stage::FREE {
            if slot.isn() == new.isn() && stage != stage::OPEN {
                return Inserted::Not;
            }
            // A repeated SYN, a reused port.
            bucket.store(place, new);
            return Inserted::Anew;
        }
        // Stages are numbered by what the loss of their slot costs.
        if stage < least {
            least = stage;
            victim = place;
        }
    }
    bucket.store(victim, new);
    match least {
        stage::FREE | stage::DONE => Inserted::Anew,
        stage::OPEN => Inserted::InPlaceOf(Counter::OpenSlotDisplaced),
        _ => Inserted::InPlaceOf(Counter::SlotDisplaced),
    }
}
