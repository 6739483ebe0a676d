//! From a packet to an event: the one piece of code that both the TC programs and user space run.
//!
//! ```text
//! packet ─▶ gateway port? ─▶ SYN: open a slot
//!                        ├─▶ nothing to say (pure ACK): done
//!                        └─▶ slot ─▶ handshake under way? ─▶ copy ─▶ Event
//!                               └─▶ none, but starts like a ClientHello: open a slot, copy ─▶ Event
//! ```
//!
//! [`client_to_gateway`] looks only at packets whose destination is a gateway port,
//! [`gateway_to_client`] only at those whose source is one, so that the gateway's own outbound TLS is
//! never counted. Neither decides what a packet means; that is the core's part.

use crate::counters::Counter;
use crate::event::{ANSWER_COPY, CLIENT_WINDOW, EventHeader, flags, kind, tcp_flags};
use crate::slot::{self, Bucket, FlowHash, MAX_ANSWERS, Slot, stage};
use crate::wire::{IpVersion, Location, Packet, Rejected, Segment, Unreadable, locate, segment};

/// Which connections are a gateway's, and where their slots live.
pub trait Flows {
    /// Whether a gateway listens on `port`.
    fn is_gateway_port(&self, port: u16) -> bool;
    /// The seed of [`FlowHash`].
    fn seed(&self) -> u64;
    /// The bucket of a flow. `None` only where the table is smaller than it says.
    fn bucket(&self, hash: FlowHash) -> Option<impl Bucket>;
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
        Ok(Some(draft)) => draft.emit(packet, sink).map_err(Rejected::from),
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
    let location = locate(packet)?;
    let ports = packet.u32_at(location.transport)?;
    if !flows.is_gateway_port(ports as u16) {
        return Ok(None);
    }
    let segment = segment(packet, &location)?;
    if says_nothing(&segment) || is_syn_ack(&segment) {
        return Ok(None);
    }
    let hash = hash(packet, flows, &location, ports, Sender::Client)?;
    let Some(bucket) = flows.bucket(hash) else { return Ok(None) };
    let mut seq = packet.u32_at(location.transport + 4)?;
    let is_syn = segment.flags & tcp_flags::SYN != 0;
    let mut held = slot::find(bucket, hash.tag());
    if is_syn {
        // Repeated after the client has spoken: the handshake under way goes on.
        if held.is_some_and(|held| held.slot.isn() == seq && held.slot.stage() != stage::OPEN) {
            return Ok(None);
        }
        held = None;
    }

    let (isn, flags) = if let Some(held) = held {
        let stage = held.slot.stage();
        if stage == stage::DONE {
            return Ok(None);
        }
        let isn = held.slot.isn();
        let is_data = segment.payload_len != 0 && stream_offset(seq, isn) < CLIENT_WINDOW;
        if segment.flags & tcp_flags::RST != 0 {
            held.set(stage::DONE, 0);
        } else if is_data && stage == stage::OPEN {
            held.set(stage::HANDSHAKE, 0);
        }
        let is_close = stage != stage::OPEN && closes(&segment);
        if !is_data && !is_close {
            return Ok(None);
        }
        (isn, isn_flags(stage))
    } else {
        let (isn, stage) = if is_syn {
            // TCP fast open (RFC 7413): the SYN carries data, which follows the number that SYN takes.
            let stage = if segment.payload_len == 0 { stage::OPEN } else { stage::HANDSHAKE };
            seq = seq.wrapping_add(1);
            (seq.wrapping_sub(1), stage)
        } else if starts_like_a_client(packet, &segment)? {
            (seq.wrapping_sub(1), stage::MID_STREAM)
        } else {
            return Ok(None);
        };
        if let Some(counter) = slot::insert(bucket, hash.tag(), Slot::new(hash.tag(), stage, 0, isn)) {
            sink.count(counter);
        }
        if segment.payload_len == 0 {
            return Ok(None);
        }
        (isn, isn_flags(stage))
    };
    // Payload behind the window that carries FIN or RST: only the close is of interest.
    let offset = stream_offset(seq, isn);
    let room = CLIENT_WINDOW.saturating_sub(offset);
    let data_len = (segment.payload_len as u32).min(room);
    let kind = if data_len == 0 { kind::CLIENT_CLOSE } else { kind::CLIENT_DATA };
    Ok(Some(Draft { location, segment, ports, sender: Sender::Client, kind, seq, isn, flags, data_len }))
}

#[inline(always)]
fn from_gateway<P: Packet, F: Flows>(packet: &P, flows: &F) -> Result<Option<Draft>, Rejected> {
    let location = locate(packet)?;
    let ports = packet.u32_at(location.transport)?;
    if !flows.is_gateway_port((ports >> 16) as u16) {
        return Ok(None);
    }
    let segment = segment(packet, &location)?;
    if says_nothing(&segment) || segment.flags & tcp_flags::SYN != 0 {
        return Ok(None);
    }
    let hash = hash(packet, flows, &location, ports, Sender::Gateway)?;
    let Some(bucket) = flows.bucket(hash) else { return Ok(None) };
    let Some(held) = slot::find(bucket, hash.tag()) else { return Ok(None) };
    let stage = held.slot.stage();
    if stage == stage::DONE {
        return Ok(None);
    }
    let mut answers = held.slot.answers();
    let mut is_done = segment.flags & tcp_flags::RST != 0;
    // What the gateway says before the client has spoken is no answer to a hello.
    let is_answer = stage != stage::OPEN;
    if is_answer && segment.payload_len != 0 {
        answers += 1;
        is_done |= answers >= MAX_ANSWERS || is_conclusive(packet, &segment)?;
    }
    held.set(if is_done { stage::DONE } else { stage }, answers);
    if !is_answer {
        return Ok(None);
    }
    let seq = packet.u32_at(location.transport + 4)?;
    let data_len = (segment.payload_len as u32).min(ANSWER_COPY);
    let kind = if data_len == 0 { kind::GATEWAY_CLOSE } else { kind::GATEWAY_DATA };
    let isn = held.slot.isn();
    Ok(Some(Draft {
        location,
        segment,
        ports,
        sender: Sender::Gateway,
        kind,
        seq,
        isn,
        flags: isn_flags(stage),
        data_len,
    }))
}

#[inline(always)]
const fn isn_flags(stage: u8) -> u8 {
    if stage == stage::MID_STREAM { 0 } else { flags::ISN_KNOWN }
}

/// No payload, and no flag that opens or ends a connection: most packets of a download.
#[inline(always)]
fn says_nothing(segment: &Segment) -> bool {
    segment.payload_len == 0 && segment.flags & (tcp_flags::SYN | tcp_flags::FIN | tcp_flags::RST) == 0
}

/// Sent by the side that accepts a connection. (Where both ports are gateway ports, a packet is
/// looked at from both sides.)
#[inline(always)]
fn is_syn_ack(segment: &Segment) -> bool {
    const SYN_ACK: u8 = tcp_flags::SYN | tcp_flags::ACK;
    segment.flags & SYN_ACK == SYN_ACK
}

#[inline(always)]
fn closes(segment: &Segment) -> bool {
    segment.flags & (tcp_flags::FIN | tcp_flags::RST) != 0
}

/// Whether a payload whose flow is not known begins as a client on a TLS port begins: a handshake record
/// with a ClientHello, an SSLv2 CLIENT-HELLO, or a PROXY protocol header.
#[inline(always)]
fn starts_like_a_client<P: Packet>(packet: &P, segment: &Segment) -> Result<bool, Unreadable> {
    // What all three patterns need.
    if segment.payload_len < 6 {
        return Ok(false);
    }
    let word = packet.u32_at(segment.payload_offset)?;
    let next = packet.u16_at(segment.payload_offset + 4)?;
    if word >> 16 == 0x1603 {
        // Record type 22, major version 3, minor version, length; then handshake type 1.
        return Ok(next & 0xff == 1);
    }
    if word & 0x8000_ff00 == 0x8000_0100 {
        // Two bytes of length with the high bit set, type 1, version 3.x or 0.2.
        return Ok(matches!((word as u8, next >> 8), (3, _) | (0, 2)));
    }
    // "PROX", or the first four bytes of the v2 signature.
    Ok(word == 0x5052_4f58 || word == 0x0d0a_0d0a)
}

/// Whether a segment settles what became of the hello: a ServerHello that is no HelloRetryRequest, or
/// an alert that ends the handshake.
#[inline(always)]
fn is_conclusive<P: Packet>(packet: &P, segment: &Segment) -> Result<bool, Unreadable> {
    // An alert record has 7 bytes; a ServerHello's random begins at byte 11 and this reads its first four.
    if segment.payload_len < 7 {
        return Ok(false);
    }
    let word = packet.u32_at(segment.payload_offset)?;
    if word >> 16 == 0x1503 {
        // Level, description. A warning lets the handshake go on, unless it is close_notify.
        let [level, description] = packet.u16_at(segment.payload_offset + 5)?.to_be_bytes();
        return Ok(level == 2 || description == 0);
    }
    if word >> 16 == 0x1603 {
        // The first bytes of SHA-256("HelloRetryRequest") (RFC 8446, section 4.1.3).
        return Ok(segment.payload_len >= 43
            && packet.u16_at(segment.payload_offset + 4)? & 0xff == 2
            && packet.u32_at(segment.payload_offset + 11)? != 0xcf21_ad74);
    }
    // SSLv2: two bytes of length with the high bit set, then type 4, SERVER-HELLO.
    Ok(word & 0x8000_ff00 == 0x8000_0400)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sender {
    Client,
    Gateway,
}

/// Hashes the flow of a packet, whichever way it goes.
#[inline(always)]
fn hash<P: Packet, F: Flows>(
    packet: &P,
    flows: &F,
    location: &Location,
    ports: u32,
    sender: Sender,
) -> Result<FlowHash, Unreadable> {
    let (source, destination) = match location.version {
        IpVersion::V4 => (packet.u32_at(location.network + 12)?, packet.u32_at(location.network + 16)?),
        IpVersion::V6 => {
            let seed = flows.seed();
            (fold(packet, location.network + 8, seed)?, fold(packet, location.network + 24, seed)?)
        }
    };
    let (client, gateway, ports) = match sender {
        Sender::Client => (source, destination, ports),
        Sender::Gateway => (destination, source, ports.rotate_left(16)),
    };
    Ok(FlowHash::new(flows.seed(), u64::from(client) << 32 | u64::from(gateway), ports))
}

/// An IPv6 address in 32 bits. The seed goes in first: a client that owns a whole prefix could else choose
/// an address that comes out as another's, whatever the seed.
#[inline(always)]
fn fold<P: Packet>(packet: &P, offset: usize, seed: u64) -> Result<u32, Unreadable> {
    let high = u64::from(packet.u32_at(offset)?) << 32 | u64::from(packet.u32_at(offset + 4)?);
    let low = u64::from(packet.u32_at(offset + 8)?) << 32 | u64::from(packet.u32_at(offset + 12)?);
    let mixed = (high ^ seed).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ mixed >> 32 ^ low).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    Ok((mixed >> 32) as u32)
}

/// Position of a sequence number in the client's stream. What lies before the stream's first byte
/// (a retransmitted SYN, a keep-alive probe) comes out near 2^32 and so outside of the window.
#[inline(always)]
const fn stream_offset(seq: u32, isn: u32) -> u32 {
    seq.wrapping_sub(isn).wrapping_sub(1)
}

/// What is known of a packet that is to become an event.
struct Draft {
    location: Location,
    segment: Segment,
    ports: u32,
    sender: Sender,
    kind: u8,
    seq: u32,
    isn: u32,
    flags: u8,
    data_len: u32,
}

impl Draft {
    #[inline(always)]
    fn emit<P: Packet, S: Sink>(&self, packet: &P, sink: &mut S) -> Result<(), Unreadable> {
        let (source, destination) = match self.location.version {
            IpVersion::V4 => (
                ipv4_mapped(packet, self.location.network + 12)?,
                ipv4_mapped(packet, self.location.network + 16)?,
            ),
            IpVersion::V6 => {
                (ipv6(packet, self.location.network + 8)?, ipv6(packet, self.location.network + 24)?)
            }
        };
        let (source_port, destination_port) = ((self.ports >> 16) as u16, self.ports as u16);
        let (client_addr, gateway_addr, client_port, gateway_port) = match self.sender {
            Sender::Client => (source, destination, source_port, destination_port),
            Sender::Gateway => (destination, source, destination_port, source_port),
        };
        let header = EventHeader {
            time_ns: packet.time_ns(),
            client_addr,
            gateway_addr,
            client_port,
            gateway_port,
            ifindex: packet.ifindex(),
            isn: self.isn,
            seq: self.seq,
            ack: packet.u32_at(self.location.transport + 8)?,
            payload_len: self.segment.payload_len as u32,
            data_len: self.data_len,
            kind: self.kind,
            tcp_flags: self.segment.flags,
            flags: self.flags,
            padding: 0,
        };
        sink.emit(&header, self.segment.payload_offset);
        Ok(())
    }
}

#[inline(always)]
fn ipv4_mapped<P: Packet>(packet: &P, at: usize) -> Result<[u8; 16], Unreadable> {
    Ok(address_bytes([0, 0, 0xffff, packet.u32_at(at)?]))
}

#[inline(always)]
fn ipv6<P: Packet>(packet: &P, at: usize) -> Result<[u8; 16], Unreadable> {
    Ok(address_bytes([
        packet.u32_at(at)?,
        packet.u32_at(at + 4)?,
        packet.u32_at(at + 8)?,
        packet.u32_at(at + 12)?,
    ]))
}

#[inline(always)]
fn address_bytes(words: [u32; 4]) -> [u8; 16] {
    bytemuck::cast(words.map(u32::to_be))
}
