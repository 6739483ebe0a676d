//! An entry of the flow table, and the hash by which it is found.

use crate::seq::SeqNumber;

/// Inconclusive segments of an answer that are passed on; then only FIN and RST are.
pub const MAX_ANSWERS: u8 = 15;

/// Segments of the gateway between the ServerHello and the client's reply that are passed on: those that may hold an
/// alert. A gateway that refuses sends at most three (a change of cipher specs, extensions, the alert).
pub const MAX_FLIGHT_PIECES: u8 = 4;

/// Segments of the client's reply to the ServerHello that are passed on, after the first. A reply with a chain of
/// certificates takes three.
pub const MAX_REPLY_PIECES: u8 = 5;

/// Values of [`Entry::pieces`] in stage `REPLIED` beyond [`MAX_REPLY_PIECES`].
pub mod pieces {
    /// The gateway has sent a record after the client's reply.
    pub const REACTED: u8 = 6;
}

/// Epochs after which an entry is too old: the time that a handshake may take, and what is left of the epoch in which it
/// began. See [`epoch_length`].
pub const MAX_AGE: u8 = 3;

/// Different values of an entry's epoch. An entry that nothing has taken for so many looks young again, in three of 32
/// epochs; that all entries of a bucket do at once is rare (6 in 10^9).
const EPOCHS: u8 = 32;

/// How far the handshake of a flow is. The numbers are in the order of what it costs to lose the entry.
pub mod stage {
    /// No flow.
    pub const FREE: u8 = 0;
    /// All that decides was seen: packets of this flow are of no interest.
    pub const DONE: u8 = 1;
    /// A ServerHello was seen, and no payload of the client after it.
    pub const ANSWERED: u8 = 2;
    /// The client has sent payload after the ServerHello.
    pub const REPLIED: u8 = 3;
    /// As `HANDSHAKE`, but the SYN was not seen: the sequence number before the client's first
    /// payload that was seen stands for the initial one.
    pub const MID_STREAM: u8 = 4;
    /// SYN seen; the client has not sent any payload.
    pub const OPEN: u8 = 5;
    /// The client has spoken; the gateway's answer, if any, is not conclusive yet.
    pub const HANDSHAKE: u8 = 6;
    /// As `HANDSHAKE`, and the same SYN came again: a delayed copy, or a new connection of a device that begins with the
    /// same sequence number each time. The core decides by the acknowledgement number of the client's next payload.
    pub const REOPENED: u8 = 7;
}

/// Bits of [`Entry::closed`].
pub mod closed {
    /// FIN of the client.
    pub const CLIENT: u8 = 0x01;
    /// FIN of the gateway; before the client has spoken, a RST in answer to this SYN as well.
    pub const GATEWAY: u8 = 0x02;
    /// RST of either side, but for the gateway's before the client has spoken. Whether its receiver obeyed, the core decides; so the flow is still followed.
    pub const RESET: u8 = 0x04;
}

/// The length of an epoch, in nanoseconds: the handshake timeout, which a handshake may take twice (once for a complete
/// hello, once for its answer).
pub const fn epoch_length(handshake_timeout_ns: u64) -> u64 {
    if handshake_timeout_ns == 0 { 1 } else { handshake_timeout_ns }
}

/// The length of an epoch for the usual handshake timeout, 30 s.
pub const DEFAULT_EPOCH_LENGTH: u64 = epoch_length(30_000_000_000);

/// An entry of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Entry(pub u64);

impl Entry {
    const STAGE: u32 = 32;
    const CLOSED: u32 = 35;
    const EPOCH: u32 = 38;
    const ANSWERS: u32 = 43;
    /// After a ServerHello, in place of the highest bit of the answers: the SYN was not seen.
    const UNOPENED: u32 = 46;
    const INTERFACE: u32 = 47;
    pub(super) const SHARED: u32 = 50;
    pub(super) const TAG: u32 = 51;

    /// The entry of a flow with its first packet in `epoch`.
    #[inline(always)]
    pub const fn new(hash: FlowHash, stage: u8, epoch: u8, isn: SeqNumber) -> Self {
        Self(
            hash.tag()
                | ((epoch & (EPOCHS - 1)) as u64) << Self::EPOCH
                | (stage as u64) << Self::STAGE
                | isn.0 as u64,
        )
    }

    /// The entry after all that decides. Above the ISN it has more of the hash, so that packets of another flow do not
    /// match it.
    #[inline(always)]
    #[must_use]
    pub const fn done(self, hash: FlowHash) -> Self {
        let kept = self.0 & (1 << Self::SHARED | 0xffff_ffff);
        Self(kept | Self::upper_of_done(hash))
    }

    /// What an entry that is done has above its ISN.
    #[inline(always)]
    const fn upper_of_done(hash: FlowHash) -> u64 {
        hash.tag() | hash.check() | (stage::DONE as u64) << Self::STAGE
    }

    /// The same, beside another entry with its tag.
    #[inline(always)]
    #[must_use]
    pub const fn shared(self) -> Self {
        Self(self.0 | 1 << Self::SHARED)
    }

    /// Whether this is the only entry with its tag, and the flow's observation is done.
    #[inline(always)]
    pub const fn is_only_and_done(self, hash: FlowHash) -> bool {
        self.0 ^ Self::upper_of_done(hash) < 1 << Self::STAGE
    }

    /// Whether this is the only entry with its tag, and nothing came after the SYN with this number.
    #[inline(always)]
    pub const fn is_only_and_fresh(self, hash: FlowHash, isn: SeqNumber) -> bool {
        const KEPT: u64 = !(!0 << Entry::EPOCH & !(!0 << Entry::SHARED));
        let fresh = hash.tag() | (stage::OPEN as u64) << Self::STAGE | isn.0 as u64;
        (self.0 ^ fresh) & KEPT == 0
    }

    /// Whether another entry of the bucket may have its tag.
    #[inline(always)]
    pub const fn is_shared(self) -> bool {
        self.0 & 1 << Self::SHARED != 0
    }

    /// How far the handshake is: one of [`stage`].
    #[inline(always)]
    pub const fn stage(self) -> u8 {
        (self.0 >> Self::STAGE) as u8 & 7
    }

    /// What was seen of the connection's end: bits of [`closed`].
    #[inline(always)]
    pub const fn closed(self) -> u8 {
        (self.0 >> Self::CLOSED) as u8 & 7
    }

    /// The client's initial sequence number.
    #[inline(always)]
    pub const fn isn(self) -> SeqNumber {
        SeqNumber(self.0 as u32)
    }

    /// Inconclusive segments of the gateway's answer so far, up to [`MAX_ANSWERS`].
    #[inline(always)]
    pub const fn answers(self) -> u8 {
        (self.0 >> Self::ANSWERS) as u8 & 15
    }

    /// The entry after a ServerHello, of a handshake that is followed to its end.
    #[inline(always)]
    #[must_use]
    pub const fn answered(self) -> Self {
        let is_unopened = (self.stage() == stage::MID_STREAM) as u64;
        let cleared = self.0 & !(15 << Self::ANSWERS) | is_unopened << Self::UNOPENED;
        Self(cleared).with_stage(stage::ANSWERED)
    }

    /// Whether a ServerHello was seen and the handshake is followed on.
    #[inline(always)]
    pub const fn is_answered(self) -> bool {
        self.stage() & 6 == stage::ANSWERED
    }

    /// After a ServerHello: in stage `ANSWERED` the segments of the gateway that were passed on, in stage `REPLIED` the
    /// segments of the client after its first, or one of [`pieces`].
    #[inline(always)]
    pub const fn pieces(self) -> u8 {
        (self.0 >> Self::ANSWERS) as u8 & 7
    }

    /// The same with another number of [`Entry::pieces`], in this stage.
    #[inline(always)]
    #[must_use]
    pub const fn with_pieces(self, stage: u8, pieces: u8) -> Self {
        Self(self.0 & !(7 << Self::ANSWERS) | (pieces as u64) << Self::ANSWERS).with_stage(stage)
    }

    /// Whether the client's SYN was seen, so that [`Entry::isn`] is its initial sequence number. Meaningless in stages
    /// `FREE` and `DONE`.
    #[inline(always)]
    pub const fn is_opened(self) -> bool {
        if self.is_answered() { self.0 & 1 << Self::UNOPENED == 0 } else { self.stage() != stage::MID_STREAM }
    }

    /// Whether nothing came after the SYN.
    #[inline(always)]
    pub const fn is_fresh(self) -> bool {
        (self.0 >> Self::STAGE) as u8 & 0x3f == stage::OPEN
    }

    /// Whether the client has sent payload.
    #[inline(always)]
    pub const fn has_spoken(self) -> bool {
        self.stage() != stage::OPEN
    }

    /// The entry that a SYN opens again in `epoch`: the flow is the same, and nothing else.
    #[inline(always)]
    #[must_use]
    pub const fn opened(self, epoch: u8) -> Self {
        let kept = self.0 & (!0 << Self::SHARED | 0xffff_ffff);
        Self(kept | ((epoch & (EPOCHS - 1)) as u64) << Self::EPOCH | (stage::OPEN as u64) << Self::STAGE)
    }

    /// The same with another stage.
    #[inline(always)]
    #[must_use]
    pub const fn with_stage(self, stage: u8) -> Self {
        Self(self.0 & !(7 << Self::STAGE) | (stage as u64) << Self::STAGE)
    }

    /// The same, with this end of the connection seen as well.
    #[inline(always)]
    #[must_use]
    pub const fn with_closed(self, closed: u8) -> Self {
        Self(self.0 | (closed as u64) << Self::CLOSED)
    }

    /// The same, after more data of the client in `epoch`: a RST did not end the connection.
    #[inline(always)]
    #[must_use]
    pub const fn renewed(self, epoch: u8) -> Self {
        let cleared =
            self.0 & !(((EPOCHS - 1) as u64) << Self::EPOCH | (closed::RESET as u64) << Self::CLOSED);
        Self(cleared | ((epoch & (EPOCHS - 1)) as u64) << Self::EPOCH)
    }

    /// The same after an inconclusive segment that the interface saw. The interface of the first one counts them, so
    /// that a packet on two watched interfaces counts once. (Of the number of an interface three bits are kept.)
    #[inline(always)]
    #[must_use]
    pub const fn with_answer(self, interface: u32) -> Self {
        let interface = ((interface ^ interface >> 3) & 7) as u64;
        if self.answers() == 0 {
            return Self(self.0 | interface << Self::INTERFACE | 1 << Self::ANSWERS);
        }
        let is_first_interface = (self.0 >> Self::INTERFACE) & 7 == interface;
        Self(self.0 + ((is_first_interface as u64) << Self::ANSWERS))
    }

    /// Whether nothing more is expected of the connection: a RST, FINs of both sides, a gateway that hung up
    /// without an answer, or silence for [`MAX_AGE`] epochs. Packets that come all the same are still followed. Where the
    /// gateway hung up before the client has spoken, the hello may be on its way.
    #[inline(always)]
    pub const fn is_over(self, epoch: u8) -> bool {
        self.over(epoch) != 0
    }

    /// [`Entry::is_over`] as 1 or 0, by arithmetic: each branch would double the paths that the verifier follows through
    /// a bucket.
    #[inline(always)]
    const fn over(self, epoch: u8) -> u64 {
        let closed = self.0 >> Self::CLOSED;
        let (client, gateway, reset) = (closed & 1, closed >> 1 & 1, closed >> 2 & 1);
        let spoken = is_positive(self.0 >> Self::STAGE & 7 ^ stage::OPEN as u64, 3);
        let age = (epoch as u64).wrapping_sub(self.0 >> Self::EPOCH) & (EPOCHS - 1) as u64;
        let is_old = (age + (EPOCHS - MAX_AGE) as u64) >> 5;
        reset | gateway & (client | spoken) | is_old
    }

    /// What it costs to lose the entry: a [`stage`], or that of `DONE` where the connection is over.
    #[inline(always)]
    pub(super) const fn cost(self, epoch: u8) -> u64 {
        let stage = self.0 >> Self::STAGE & 7;
        let is_followed = (stage + 6) >> 3;
        stage - (stage.wrapping_sub(1)) * (is_followed & self.over(epoch))
    }
}

/// Where a flow's entry is, derived from its 4-tuple and the table's seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowHash(pub(super) u64);

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
        (self.0 >> 32) as u32 & (buckets - 1)
    }

    /// Distinguishes the flows of a bucket: the top bits, where entries have them. Never that of a free entry, which is 0.
    #[inline(always)]
    pub(super) const fn tag(self) -> u64 {
        (self.0 | 1 << 63) >> Entry::TAG << Entry::TAG
    }

    /// Confirms the tag in entries of which nothing but the ISN is of interest: 15 bits, where others have the rest.
    #[inline(always)]
    const fn check(self) -> u64 {
        self.0 << Entry::CLOSED & !(!0 << Entry::SHARED)
    }
}

/// 1 if `value`, a number of `bits` bits, is not 0.
#[inline(always)]
const fn is_positive(value: u64, bits: u32) -> u64 {
    (value + (1 << bits) - 1) >> bits
}
