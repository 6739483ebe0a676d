//! The flow table: what the datapath remembers of a connection, in 64 bits.
//!
//! ```text
//! 63    51   50  49      47 46   43 42  38 37    35 34   32 31                           0
//! ┌───────┬──────┬──────────┬───────┬──────┬────────┬───────┬──────────────────────────────┐
//! │ tag   │shared│ interface│answers│ epoch│ closed │ stage │ initial sequence number      │
//! └───────┴──────┴──────────┴───────┴──────┴────────┴───────┴──────────────────────────────┘
//! ```
//!
//! Entries live in buckets of [`WAYS`], which fill a cache line. A seeded hash of the 4-tuple chooses the bucket; the
//! tag and the client's initial sequence number (ISN) distinguish its flows. Two entries of one 4-tuple may be alive
//! at once: a SYN with another ISN does not end the connection before it, only the gateway's answer shows whether
//! it does. Two entries with one tag are marked as shared. An entry that is not is the only one with its tag: nearly
//! every packet needs to look at one entry.
//!
//! **Life cycle.** A SYN opens an entry. The same SYN opens it again once the connection is over ([`Entry::is_over`]):
//! after a reset, a close, or a conclusive answer. Nothing is allocated, locked or swept. A new flow takes the entry
//! that costs least: a free one, one in stage `DONE`, one that is over or too old, one with a ServerHello, one that a single packet
//! in mid stream opened, one without payload of the client; a handshake without an answer comes last. Each loss is counted.

mod entry;

use core::cell::Cell;

pub use self::entry::{
    DEFAULT_EPOCH_LENGTH, Entry, FlowHash, MAX_AGE, MAX_ANSWERS, MAX_FLIGHT_PIECES, MAX_REPLY_PIECES, closed,
    epoch_length, pieces, stage,
};
use crate::counters::Counter;
use crate::seq::SeqNumber;

/// Entries in a bucket: 64 bytes, a cache line.
pub const WAYS: usize = 8;

/// Buckets of the table: 2^16 buckets of 8 entries of 8 bytes are 4 MiB. With 10,000 handshakes under way none is
/// evicted (simulated with 10,000,000 connections: see `tests/flow_table.rs`).
pub const BUCKETS: u32 = 1 << 16;

/// Access to a bucket of [`WAYS`] entries. Loads and stores are single and unordered: two CPUs that
/// write the same entry at the same moment cost one of the flows its entry, never a torn one.
pub trait Bucket: Copy + core::fmt::Debug {
    /// Where an entry is.
    type Place: Copy + core::fmt::Debug;
    /// The place of a way, less than [`WAYS`].
    fn place(&self, way: usize) -> Self::Place;
    /// The entry in a place.
    fn load(&self, place: Self::Place) -> Entry;
    /// Overwrites the entry in a place.
    fn store(&self, place: Self::Place, entry: Entry);
    /// `value` itself, as [`Packet::forget`](crate::wire::Packet::forget) returns it.
    #[inline(always)]
    fn forget(&self, value: u64) -> u64 {
        value
    }
}

/// A bucket in user space.
impl<'a> Bucket for &'a [Cell<Entry>; WAYS] {
    type Place = &'a Cell<Entry>;

    fn place(&self, way: usize) -> Self::Place {
        &self[way]
    }

    fn load(&self, place: Self::Place) -> Entry {
        place.get()
    }

    fn store(&self, place: Self::Place, entry: Entry) {
        place.set(entry);
    }
}

/// A way of a bucket and the entry that it held when it was looked up.
///
/// The way is a number and no place: where the verifier does not know which way it is, it follows one path instead of
/// [`WAYS`].
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Less than [`WAYS`].
    pub way: u64,
    /// Its entry.
    pub entry: Entry,
}

impl Held {
    /// Hides the way from the verifier, which then follows one path instead of [`WAYS`].
    #[inline(always)]
    #[must_use]
    pub fn forget_way<B: Bucket>(self, bucket: B) -> Self {
        Self { way: bucket.forget(self.way), ..self }
    }
}

/// What a bucket knows of a packet's connection.
#[derive(Clone, Copy, Debug)]
pub enum Found {
    /// It is followed.
    Followed(Held),
    /// Its observation is done.
    Done,
    /// Nothing.
    Nothing,
}

/// Which entries a packet can be of, by its number: a sequence number of the client's, or an acknowledgement of one.
#[derive(Clone, Copy, Debug)]
pub struct Owners {
    /// Range around the ISN in which the number is, before the client has sent payload.
    pub open: Range,
    /// The same range, after the client has sent payload. In stage `DONE` every number matches.
    pub spoken: Range,
    /// Bits of [`Entry::closed`] after which the sender of the packet has no more to send.
    pub ends: u8,
}

impl Owners {
    /// Whether a packet with this number can be of the connection of an entry with its tag.
    #[inline(always)]
    const fn contain(&self, entry: Entry, number: SeqNumber, hash: FlowHash) -> bool {
        if entry.stage() == stage::DONE {
            return entry.0 == entry.done(hash).0;
        }
        if entry.has_spoken() {
            self.spoken.contains(number, entry.isn())
        } else {
            self.open.contains(number, entry.isn())
        }
    }
}

/// A range of sequence numbers around an ISN.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// How far before the ISN it begins.
    pub before: u32,
    /// Its length.
    pub len: u32,
}

impl Range {
    /// Whether `number` is in the range around `isn`.
    #[inline(always)]
    pub const fn contains(self, number: SeqNumber, isn: SeqNumber) -> bool {
        number.is_within(isn.minus(self.before), self.len)
    }
}

/// Writes a block out for each way, with its number as a constant. A loop would advance a pointer beyond the bucket,
/// which the verifier refuses without `CAP_PERFMON`, even if nothing is read there.
macro_rules! each_way {
    ($way:ident => $block:block) => {
        each_way!($way => $block, 0, 1, 2, 3, 4, 5, 6, 7);
        const _: () = assert!(WAYS == 8);
    };
    ($way:ident => $block:block, $($number:literal),+) => {
        $({
            const $way: usize = $number;
            $block
        })+
    };
}

/// The first entry with the tag of a packet's 4-tuple: nearly always the only one.
#[inline(always)]
pub fn first<B: Bucket>(bucket: B, hash: FlowHash) -> Option<Held> {
    let (way, entry);
    'found: {
        each_way!(WAY => {
            let loaded = bucket.load(bucket.place(WAY));
            if (loaded.0 ^ hash.tag()) < (1 << Entry::TAG) {
                (way, entry) = (WAY as u64, loaded);
                break 'found;
            }
        });
        return None;
    }
    Some(Held { way, entry })
}

/// Looks for the entry of a packet's connection, from the [first] one with its tag on. `number` is the packet's; without
/// one the packet matches every connection on which the client has sent payload.
///
/// If several connections match, one with an ISN before the number comes first, then one that the packet's sender has not
/// closed, then the one with the nearest ISN. (Linux advances the ISNs of a 4-tuple by 15,625 in a millisecond, and by 65,537 after `TIME_WAIT`:
/// if a port is used again at once, the ISNs are near each other, and the later one may be the lower one.)
#[inline(always)]
pub fn find<B: Bucket>(
    bucket: B,
    hash: FlowHash,
    number: Option<SeqNumber>,
    owners: &Owners,
    first: Held,
) -> Found {
    const NOTHING: u64 = 1 << 38;
    let number_for = |entry: Entry| number.unwrap_or(entry.isn());
    let is_followed = first.entry.stage() != stage::DONE;
    if is_followed && !first.entry.is_shared() && owners.contain(first.entry, number_for(first.entry), hash) {
        return Found::Followed(first);
    }
    // Whether the number is before the ISN, and whether the sender's end was seen; below them a distance, whether the observation is
    // done, and the way.
    let mut nearest = bucket.forget(NOTHING);
    let mut found = bucket.forget(0);
    each_way!(WAY => {
        let entry = bucket.load(bucket.place(WAY));
        if (entry.0 ^ hash.tag()) < (1 << Entry::TAG) {
            let number = number_for(entry);
            let is_done = u64::from(entry.stage() == stage::DONE);
            let has_end = is_done | u64::from(entry.closed() & owners.ends != 0);
            let distance = u64::from(number.distance_from(entry.isn()));
            let is_before = distance >> 31;
            let rank = is_before << 37 | has_end << 36 | distance << 4 | is_done << 3 | WAY as u64;
            if owners.contain(entry, number, hash) && rank < nearest {
                (nearest, found) = (bucket.forget(rank), bucket.forget(entry.0));
            }
        }
    });
    let entry = Entry(found);
    if nearest == NOTHING {
        Found::Nothing
    } else if entry.stage() == stage::DONE {
        Found::Done
    } else {
        Found::Followed(Held { way: nearest & 7, entry })
    }
}

/// Looks for the entry that a SYN with this number has opened, from the [first] one with its tag on.
#[inline(always)]
pub fn find_opened<B: Bucket>(bucket: B, hash: FlowHash, isn: SeqNumber, first: Held) -> Found {
    let is_own = |entry: Entry| {
        (entry.0 ^ hash.tag()) < (1 << Entry::TAG) && entry.stage() > stage::DONE && entry.isn().0 == isn.0
    };
    if is_own(first.entry) {
        return Found::Followed(first);
    }
    if !first.entry.is_shared() {
        return Found::Nothing;
    }
    let (way, entry);
    'found: {
        each_way!(WAY => {
            let loaded = bucket.load(bucket.place(WAY));
            if is_own(loaded) {
                (way, entry) = (bucket.forget(WAY as u64), loaded);
                break 'found;
            }
        });
        return Found::Nothing;
    }
    Found::Followed(Held { way, entry })
}

/// Marks the [first] entry with a new entry's tag as shared. Returns the way of an entry with the tag in stage `DONE` that
/// the new one may overwrite, if there are two: one stays, because late copies of its hello would otherwise count as
/// hellos in mid stream.
#[inline(always)]
pub fn share<B: Bucket>(bucket: B, hash: FlowHash, first: Held) -> Option<u64> {
    if !first.entry.is_shared() {
        update_at(bucket, first.way, first.entry.shared());
        return None;
    }
    let (mut done, mut way) = (bucket.forget(0), bucket.forget(0));
    each_way!(WAY => {
        let entry = bucket.load(bucket.place(WAY));
        if (entry.0 ^ hash.tag()) < (1 << Entry::TAG) && entry.stage() == stage::DONE {
            (done, way) = (bucket.forget(done + 1), bucket.forget(WAY as u64));
        }
    });
    (done > 1).then_some(way)
}

/// The way for a new flow, which the caller fills, and what the flow before it loses: `None` if all others are worth
/// more.
///
/// Among entries of equal worth the victim is any: the hash chooses.
#[inline(always)]
pub fn make_room<B: Bucket>(
    bucket: B,
    hash: FlowHash,
    new: Entry,
    epoch: u8,
) -> Option<(u64, Option<Counter>)> {
    let way;
    'found: {
        each_way!(WAY => {
            if bucket.load(bucket.place(WAY)).stage() == stage::FREE {
                way = bucket.forget(WAY as u64);
                break 'found;
            }
        });
        return evict(bucket, hash, new, epoch);
    }
    Some((way, None))
}

/// Returns the entry that costs least to lose, in a bucket without a free one. Among entries of equal cost the hash
/// chooses, so that entries in stage `DONE` last: they prevent that late copies of their hellos count again.
#[inline(always)]
fn evict<B: Bucket>(bucket: B, hash: FlowHash, new: Entry, epoch: u8) -> Option<(u64, Option<Counter>)> {
    let mut least = u64::MAX >> 1;
    each_way!(WAY => {
        let way = WAY as u64;
        let entry = bucket.load(bucket.place(WAY));
        let cost = entry.cost(epoch);
        let worth = cost << 6 | (way.wrapping_add(hash.0) & 7) << 3 | way;
        let change = worth.wrapping_sub(least);
        least = bucket.forget(least.wrapping_add(change & mask(change >> 63)));
    });
    let (way, cost) = (least & 7, (least >> 6) as u8);
    if cost > new.stage() {
        return None;
    }
    let loses = match cost {
        stage::FREE | stage::DONE => None,
        stage::ANSWERED | stage::REPLIED => Some(Counter::AnsweredEvicted),
        stage::MID_STREAM => Some(Counter::MidStreamEvicted),
        stage::OPEN => Some(Counter::OpenEvicted),
        _ => Some(Counter::HandshakeEvicted),
    };
    Some((way, loses))
}

/// All ones for 1, zero for 0.
#[inline(always)]
const fn mask(bit: u64) -> u64 {
    bit.wrapping_neg()
}

/// Writes the entry of a new flow to a way that is not known beforehand: the verifier follows constant offsets only.
#[inline(always)]
pub fn store_at<B: Bucket>(bucket: B, way: u64, entry: Entry) {
    each_way!(WAY => {
        if WAY as u64 == way {
            return bucket.store(bucket.place(WAY), entry);
        }
    });
}

/// Writes the same flow's next entry. Meanwhile another CPU may have marked the entry as shared, which stays, or given the
/// place to another flow, which keeps it.
#[inline(always)]
pub fn update_at<B: Bucket>(bucket: B, way: u64, entry: Entry) {
    each_way!(WAY => {
        if WAY as u64 == way {
            let place = bucket.place(WAY);
            let change = bucket.load(place).0 ^ entry.0;
            if change & (!0 << Entry::TAG | 0xffff_ffff) == 0 {
                bucket.store(place, Entry(entry.0 | change & 1 << Entry::SHARED));
            }
            return;
        }
    });
}
