//! From a packet to an event: the one piece of code that both the TC programs and user space run.
//!
//! ```text
//! packet ─▶ gateway port? ─▶ SYN: open an entry of the flow table
//!                        ├─▶ nothing to say (pure ACK): done
//!                        └─▶ entry ─▶ handshake under way? ─▶ copy ─▶ Event
//!                               ├─▶ ServerHello seen? ─▶ copy the beginning ─▶ Event
//!                               └─▶ none, but starts like a ClientHello: open an entry, copy ─▶ Event
//! ```
//!
//! [`client_to_gateway`] looks only at packets whose destination is a gateway port,
//! [`gateway_to_client`] only at those whose source is one, so that the gateway's own outbound TLS is
//! never counted. Neither decides what a packet means; that is the core's part.

mod draft;
mod flow;
mod follow_up;
mod opening;

use self::draft::Draft;
use self::flow::{Flow, OneSide, Sender};
use self::opening::starts_like_a_client;
use crate::answer;
use crate::answer::Answer;
use crate::counters::Counter;
use crate::event::{ANSWER_COPY, CLIENT_WINDOW, EventHeader, FOLLOW_UP_COPY, flags, kind, tcp_flags};
use crate::flow_table::{
    self, Bucket, Entry, FlowHash, Found, Held, MAX_ANSWERS, Owners, Range, WAYS, closed, stage,
};
use crate::segment::{self, segment};
use crate::seq::SeqNumber;
use crate::tunnel::Tunnels;
use crate::wire::{Packet, Rejected};

/// Which connections are a gateway's, and where their entries live.
pub trait Flows {
    /// Whether a gateway listens on `port`.
    fn is_gateway_port(&self, port: u16) -> bool;
    /// The seed of [`FlowHash`].
    fn seed(&self) -> u64;
    /// Which tunnels are looked into.
    fn tunnels(&self) -> Tunnels;
    /// Whether handshakes are followed beyond the ServerHello, to their end.
    fn follows_up(&self) -> bool;
    /// The bucket of a flow. `None` only where the table is smaller than it says.
    fn bucket(&self, hash: FlowHash) -> Option<impl Bucket>;
    /// The epoch in which the packet comes, for the age of entries: see [`epoch_length`](flow_table::epoch_length).
    fn epoch<P: Packet>(&self, packet: &P) -> u8;
    /// Whether frames for other hosts (see [`Packet::is_for_other_host`]) belong to this gateway on the interface: on a
    /// bridge port, the host's end of a pod's veth, a mirror port.
    fn counts_other_hosts(&self, ifindex: u32) -> bool;
}

/// Where events and counts go.
pub trait Sink {
    /// Takes an event. The first `header.data_len` bytes of the frame from `payload_offset` on
    /// belong to it. A sink that has no room counts that.
    fn emit(&mut self, header: &EventHeader, payload_offset: usize);
    /// Adds one to a counter.
    fn count(&mut self, counter: Counter);
}

/// Looks at a packet on its way from a client to the gateway.
#[inline(always)]
pub fn client_to_gateway<P: Packet, F: Flows, S: Sink>(packet: &P, flows: &F, sink: &mut S) {
    let draft = from_client(packet, flows, sink);
    report(packet, draft, sink);
}

/// Looks at a packet on its way from the gateway to a client.
#[inline(always)]
pub fn gateway_to_client<P: Packet, F: Flows, S: Sink>(packet: &P, flows: &F, sink: &mut S) {
    let draft = from_gateway(packet, flows);
    report(packet, draft, sink);
}

/// The one place where events are made: code that is inlined once stays small in the kernel.
#[inline(always)]
fn report<P: Packet, S: Sink>(packet: &P, draft: Result<Option<Draft>, Rejected>, sink: &mut S) {
    let emitted = match draft {
        Ok(Some(draft)) => draft.emit(packet, sink),
        Ok(None) => Ok(()),
        Err(rejected) => Err(rejected),
    };
    if let Err(Rejected::Skipped(counter)) = emitted {
        sink.count(counter);
    }
}

#[inline(always)]
fn from_client<P: Packet, F: Flows, S: Sink>(
    packet: &P,
    flows: &F,
    sink: &mut S,
) -> Result<Option<Draft>, Rejected> {
    let Some(mut segment) = segment(packet, &OneSide { flows, sender: Sender::Client })? else {
        return Ok(None);
    };
    let hash = segment.flow.hash;
    let Some(bucket) = flows.bucket(hash) else { return Ok(None) };
    let is_syn = segment.flags & tcp_flags::SYN != 0;
    let mut seq = SeqNumber(segment.seq);
    let first = match flow_table::first(bucket, hash) {
        // Nearly all packets with data.
        Some(Held { entry, .. }) if !is_syn && entry.is_only_and_done(hash) => return Ok(None),
        // A repeated SYN.
        Some(Held { entry, .. })
            if is_syn && segment.payload_len == 0 && entry.is_only_and_fresh(hash, seq) =>
        {
            return Ok(None);
        }
        first => first.map(|first| first.forget_way(bucket)),
    };
    forget_lengths(packet, &mut segment);
    let is_plain = segment.flags & (tcp_flags::SYN | tcp_flags::FIN | tcp_flags::RST) == 0;
    let step = match first {
        // Nearly all hellos.
        Some(first) if is_plain && first.entry.is_only_and_fresh(hash, seq.minus(1)) => {
            let entry = first.entry.with_stage(stage::HANDSHAKE).renewed(flows.epoch(packet));
            Some(Step { before: first.entry, held: Held { entry, ..first }, flags: flags::FIRST })
        }
        first => step(packet, flows, sink, &segment, bucket, first)?,
    };
    let Some(Step { before, held, flags }) = step else { return Ok(None) };
    // The ways to an entry meet.
    let entry = Entry(packet.forget(held.entry.0 as usize) as u64);
    if before == Entry(0) {
        flow_table::store_at(bucket, held.way, entry);
    } else if entry != before {
        flow_table::update_at(bucket, held.way, entry);
    }
    if is_syn && segment.payload_len == 0 {
        return Ok(None);
    }
    let flags = forget_headers(packet, &mut segment, flags as usize) as u8;

    // TCP fast open (RFC 7413): the SYN carries data, which follows the number that SYN takes.
    if is_syn {
        seq = seq.plus(1);
    }
    // A RST carries no data, whatever it carries (RFC 9293, section 3.10.7.4); nor do bytes beyond the window count.
    let is_reset = segment.flags & tcp_flags::RST != 0;
    let is_answered = before.is_answered() && !is_syn;
    let room = if is_reset {
        0
    } else if is_answered {
        FOLLOW_UP_COPY
    } else {
        CLIENT_WINDOW.saturating_sub(stream_offset(seq, entry.isn()))
    };
    let data_len = (segment.payload_len as u32).min(room);
    if data_len == 0 && (!entry.has_spoken() || !closes(&segment)) {
        return Ok(None);
    }
    let data_kind = if is_answered { kind::CLIENT_FOLLOW_UP } else { kind::CLIENT_DATA };
    let kind = if data_len == 0 { kind::CLIENT_CLOSE } else { data_kind };
    let flags = flags | isn_flags(if is_answered { before } else { entry });
    Ok(Some(Draft { segment, sender: Sender::Client, kind, seq, isn: entry.isn(), flags, data_len }))
}

/// What a packet of a client makes of its flow.
struct Step {
    /// The entry before; of a new flow 0.
    before: Entry,
    held: Held,
    /// Of the event: bits of [`flags`].
    flags: u8,
}

/// Returns the step of a packet, given the [first](flow_table::first) entry with its tag. `None` if the packet is ignored.
#[inline(always)]
fn step<P: Packet, F: Flows, S: Sink, B: Bucket>(
    packet: &P,
    flows: &F,
    sink: &mut S,
    segment: &Segment,
    bucket: B,
    first: Option<Held>,
) -> Result<Option<Step>, Rejected> {
    let hash = segment.flow.hash;
    let is_syn = segment.flags & tcp_flags::SYN != 0;
    let seq = SeqNumber(segment.seq);
    let found = match first {
        None => Found::Nothing,
        Some(first) if is_syn => flow_table::find_opened(bucket, hash, seq, first),
        Some(first) => flow_table::find(bucket, hash, Some(seq), &by_sequence(segment.flags), first),
    };
    let mut flags = 0;
    match found {
        Found::Done => Ok(None),
        Found::Followed(held) => {
            let before = held.entry;
            if is_syn && segment.payload_len == 0 && before.is_fresh() {
                return Ok(None);
            }
            // Of a connection before this one, or a keep-alive probe.
            if !is_syn && stream_offset(seq, before.isn()) > i32::MAX as u32 {
                return Ok(None);
            }
            let entry = if is_syn {
                again(before, flows.epoch(packet), segment.payload_len, &mut flags)
            } else {
                go_on(packet, flows, before, segment, &mut flags)
            };
            let entry = if !is_syn && before.is_answered() && has_data(segment) {
                follow_up::client_data(entry, hash, segment.payload_len, &mut flags)
            } else {
                entry
            };
            Ok(Some(Step { before, held: Held { entry, ..held }, flags }))
        }
        Found::Nothing => {
            if !is_syn && !starts_like_a_client(packet, segment)? {
                return Ok(None);
            }
            if packet.is_for_other_host() && !flows.counts_other_hosts(packet.ifindex()) {
                return Err(Rejected::Skipped(Counter::SkippedOtherHost));
            }
            let (isn, stage) = if !is_syn {
                (seq.minus(1), stage::MID_STREAM)
            } else if segment.payload_len == 0 {
                (seq, stage::OPEN)
            } else {
                (seq, stage::HANDSHAKE)
            };
            flags = if is_syn { flags::FIRST } else { 0 };
            let epoch = flows.epoch(packet);
            let entry = Entry::new(hash, stage, epoch, isn);
            let (entry, taken) = match first {
                Some(first) => (entry.shared(), flow_table::share(bucket, hash, first)),
                None => (entry, None),
            };
            let entry = Entry(packet.forget(entry.0 as usize) as u64);
            let room = match taken {
                Some(way) => Some((way, None)),
                None => flow_table::make_room(bucket, hash, entry, epoch),
            };
            let way = match room {
                Some((way, None)) => way,
                Some((way, Some(counter))) => {
                    sink.count(counter);
                    way
                }
                None => {
                    sink.count(if is_syn { Counter::OpenEvicted } else { Counter::MidStreamEvicted });
                    flags |= flags::UNFOLLOWED;
                    WAYS as u64
                }
            };
            Ok(Some(Step { before: Entry(0), held: Held { way, entry }, flags }))
        }
    }
}

/// The entry after a SYN of a connection that is followed: opened again, unless the client has spoken, without a ServerHello,
/// and nothing has ended.
#[inline(always)]
fn again(entry: Entry, epoch: u8, payload_len: usize, flags: &mut u8) -> Entry {
    if entry.has_spoken() && !entry.is_answered() && !entry.is_over(epoch) {
        entry.with_stage(stage::REOPENED)
    } else if payload_len == 0 {
        entry.opened(epoch)
    } else {
        *flags = flags::FIRST;
        entry.opened(epoch).with_stage(stage::HANDSHAKE)
    }
}

/// The entry after another packet of a client whose connection is followed.
#[inline(always)]
fn go_on<P: Packet, F: Flows>(
    packet: &P,
    flows: &F,
    before: Entry,
    segment: &Segment,
    event_flags: &mut u8,
) -> Entry {
    let flags = segment.flags;
    if flags & tcp_flags::RST != 0 {
        return before.with_closed(closed::RESET);
    }
    let mut entry = before;
    if segment.payload_len != 0 && stream_offset(SeqNumber(segment.seq), before.isn()) < CLIENT_WINDOW {
        let was_closed = before.closed();
        if was_closed & closed::CLIENT != 0 {
            *event_flags |= flags::CLIENT_CLOSED;
        }
        let is_first = matches!(before.stage(), stage::OPEN | stage::REOPENED);
        if is_first {
            *event_flags |= flags::FIRST;
            if was_closed & closed::GATEWAY != 0 {
                *event_flags |= flags::GATEWAY_CLOSED;
            }
            entry = entry.with_stage(stage::HANDSHAKE);
        }
        if is_first || was_closed & closed::RESET != 0 {
            entry = entry.renewed(flows.epoch(packet));
        }
    }
    if flags & tcp_flags::FIN != 0 {
        entry = entry.with_closed(closed::CLIENT);
    }
    entry
}

#[inline(always)]
fn from_gateway<P: Packet, F: Flows>(packet: &P, flows: &F) -> Result<Option<Draft>, Rejected> {
    let Some(mut segment) = segment(packet, &OneSide { flows, sender: Sender::Gateway })? else {
        return Ok(None);
    };
    let hash = segment.flow.hash;
    let Some(bucket) = flows.bucket(hash) else { return Ok(None) };
    let first = match flow_table::first(bucket, hash) {
        Some(first) if !first.entry.is_only_and_done(hash) => first,
        _ => return Ok(None),
    };
    forget_lengths(packet, &mut segment);
    let ack = SeqNumber(segment.ack);
    let has_ack = segment.flags & tcp_flags::ACK != 0;
    let is_reset = segment.flags & tcp_flags::RST != 0;
    let is_fin = segment.flags & tcp_flags::FIN != 0;
    // Only a RST may come without an acknowledgement. It may then belong to any connection on which the client has sent
    // payload.
    if !has_ack && !is_reset {
        return Ok(None);
    }
    let number = if has_ack { Some(ack) } else { None };
    let found = flow_table::find(bucket, hash, number, &BY_ACKNOWLEDGEMENT, first.forget_way(bucket));
    let Found::Followed(held) = found else { return Ok(None) };
    forget_headers(packet, &mut segment, 0);
    let before = held.entry;
    let mut entry = before;
    let mut data_len = 0;
    let mut event_flags = isn_flags(before);
    if before.has_spoken() {
        if is_reset {
            entry = entry.with_closed(closed::RESET);
        } else if is_fin {
            entry = entry.with_closed(closed::GATEWAY);
        }
        if before.is_answered() {
            if has_data(&segment) {
                (entry, data_len) = follow_up::gateway_data(packet, &segment, entry, hash, &mut event_flags)?;
            }
        } else if has_data(&segment) && entry.answers() < MAX_ANSWERS {
            data_len = (segment.payload_len as u32).min(ANSWER_COPY);
            let answer = answer::read(packet, segment.payload_offset, segment.payload_len)?;
            entry = if answer == Answer::ServerHello && flows.follows_up() {
                entry.answered()
            } else if answer.is_conclusive() {
                before.done(hash)
            } else {
                entry.with_answer(packet.interface())
            };
        }
    } else if has_ack && (is_reset || is_fin) {
        // What the gateway says before the client has spoken is no answer to a hello. But it may hang up.
        entry = entry.with_closed(closed::GATEWAY);
    }
    if entry != before {
        flow_table::update_at(bucket, held.way, entry);
    }
    let data_len = packet.forget(data_len as usize) as u32;
    if !before.has_spoken() || (data_len == 0 && !closes(&segment)) {
        return Ok(None);
    }
    let data_kind = if before.is_answered() { kind::GATEWAY_FOLLOW_UP } else { kind::GATEWAY_DATA };
    let kind = if data_len == 0 { kind::GATEWAY_CLOSE } else { data_kind };
    let (seq, isn, flags) = (SeqNumber(segment.seq), before.isn(), event_flags);
    Ok(Some(Draft { segment, sender: Sender::Gateway, kind, seq, isn, flags, data_len }))
}

/// Of which connection a packet of the client is, by its sequence number. A RST comes after what the client has sent:
/// before its first payload, after the SYN.
#[inline(always)]
const fn by_sequence(flags: u8) -> Owners {
    let len = if flags & tcp_flags::RST != 0 { 2 } else { CLIENT_WINDOW + 1 };
    Owners { open: Range { before: 0, len }, spoken: NEAR, ends: closed::CLIENT | closed::RESET }
}

/// Of which connection a packet of the gateway is, by its acknowledgement. Before the client's first payload there is
/// only a SYN to acknowledge, and perhaps a FIN.
const BY_ACKNOWLEDGEMENT: Owners =
    Owners { open: Range { before: u32::MAX, len: 2 }, spoken: NEAR, ends: closed::GATEWAY | closed::RESET };
/// Numbers of a client that has spoken, and acknowledgements of them: a little before the ISN, and after it more than a
/// client sends before the gateway's answer (early data of TLS 1.3 included, of which servers take 16 KiB). Less than
/// 64,000, by which some stacks advance their numbers from one connection to the next.
const NEAR: Range = Range { before: 2 * 1024, len: 50 * 1024 };

/// Whether `number`, a sequence number of a client that has spoken or an acknowledgement of one, is near this ISN. A
/// packet of another connection with the same addresses and ports is not, but for one in 80,000.
pub const fn is_near(number: SeqNumber, isn: SeqNumber) -> bool {
    NEAR.contains(number, isn)
}

/// Here the ways to a segment meet: from now on the verifier follows one.
#[inline(always)]
fn forget_lengths<P: Packet>(packet: &P, segment: &mut Segment) {
    segment.payload_offset = packet.forget(segment.payload_offset);
    segment.payload_len = packet.forget(segment.payload_len);
}

/// As [`forget_lengths`], with what only an event needs, and another number of 16 bits, which it returns.
#[inline(always)]
fn forget_headers<P: Packet>(packet: &P, segment: &mut Segment, number: usize) -> usize {
    let both = packet.forget(segment.flow.header << 16 | number);
    segment.flow.header = both >> 16;
    both & 0xffff
}

#[inline(always)]
const fn isn_flags(entry: Entry) -> u8 {
    if entry.is_opened() { flags::ISN_KNOWN } else { 0 }
}

/// Whether the segment has payload that counts: that of a RST is text.
#[inline(always)]
fn has_data(segment: &Segment) -> bool {
    segment.payload_len != 0 && segment.flags & tcp_flags::RST == 0
}

#[inline(always)]
fn closes(segment: &Segment) -> bool {
    segment.flags & (tcp_flags::FIN | tcp_flags::RST) != 0
}

type Segment = segment::Segment<Flow>;

/// Position of a sequence number in the client's stream. What lies before the stream's first byte
/// (a retransmitted SYN, a keep-alive probe) comes out near 2^32 and so outside of the window.
#[inline(always)]
const fn stream_offset(seq: SeqNumber, isn: SeqNumber) -> u32 {
    seq.distance_from(isn.plus(1))
}
