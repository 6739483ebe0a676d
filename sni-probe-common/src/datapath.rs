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
use crate::segment::{self, Interest, segment};
use crate::slot::{self, Bucket, FlowHash, Inserted, MAX_ANSWERS, Slot, stage};
use crate::tunnel::Tunnels;
use crate::wire::{IpVersion, Packet, Read, Rejected, Unreadable};

/// Which connections are a gateway's, and where their slots live.
pub trait Flows {
    /// Whether a gateway listens on `port`.
    fn is_gateway_port(&self, port: u16) -> bool;
    /// The seed of [`FlowHash`].
    fn seed(&self) -> u64;
    /// Which tunnels are looked into.
    fn tunnels(&self) -> Tunnels;
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
    let Some(mut segment) = segment(packet, &Seen { flows, sender: Sender::Client })? else {
        return Ok(None);
    };
    let tag = segment.flow.hash.tag();
    forget_lengths(packet, &mut segment);
    let Some(bucket) = flows.bucket(segment.flow.hash) else { return Ok(None) };
    let is_syn = segment.flags & tcp_flags::SYN != 0;
    let held = if is_syn { None } else { slot::find(bucket, tag) };
    let mut seq = segment.seq;

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
            (segment.seq, stage)
        } else if starts_like_a_client(packet, &segment)? {
            (seq.wrapping_sub(1), stage::MID_STREAM)
        } else {
            return Ok(None);
        };
        match slot::insert(bucket, Slot::new(tag, stage, 0, isn)) {
            Inserted::Anew => {}
            Inserted::InPlaceOf(counter) => sink.count(counter),
            // A SYN that is repeated after the client has spoken: the handshake under way goes on.
            Inserted::Not => return Ok(None),
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
    Ok(Some(Draft { segment, sender: Sender::Client, kind, seq, isn, flags, data_len }))
}

#[inline(always)]
fn from_gateway<P: Packet, F: Flows>(packet: &P, flows: &F) -> Result<Option<Draft>, Rejected> {
    let Some(mut segment) = segment(packet, &Seen { flows, sender: Sender::Gateway })? else {
        return Ok(None);
    };
    forget_lengths(packet, &mut segment);
    let Some(bucket) = flows.bucket(segment.flow.hash) else { return Ok(None) };
    let Some(held) = slot::find(bucket, segment.flow.hash.tag()) else { return Ok(None) };
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
    let data_len = (segment.payload_len as u32).min(ANSWER_COPY);
    let kind = if data_len == 0 { kind::GATEWAY_CLOSE } else { kind::GATEWAY_DATA };
    let (seq, isn, flags) = (segment.seq, held.slot.isn(), isn_flags(stage));
    Ok(Some(Draft { segment, sender: Sender::Gateway, kind, seq, isn, flags, data_len }))
}

/// Here the ways to a segment meet: from now on the verifier follows one.
#[inline(always)]
fn forget_lengths<P: Packet>(packet: &P, segment: &mut Segment) {
    segment.payload_offset = packet.forget(segment.payload_offset);
    segment.payload_len = packet.forget(segment.payload_len);
}

#[inline(always)]
const fn isn_flags(stage: u8) -> u8 {
    if stage == stage::MID_STREAM { 0 } else { flags::ISN_KNOWN }
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
    let [first @ .., next_0, next_1] = packet.bytes_at::<6>(segment.payload_offset)?;
    let (word, next) = (u32::from_be_bytes(first), u16::from_be_bytes([next_0, next_1]));
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
    let [first @ .., _, fifth, sixth] = packet.bytes_at::<7>(segment.payload_offset)?;
    let word = u32::from_be_bytes(first);
    if word >> 16 == 0x1503 {
        // Level, description. A warning lets the handshake go on, unless it is close_notify.
        return Ok(fifth == 2 || sixth == 0);
    }
    if word >> 16 == 0x1603 {
        // The first bytes of SHA-256("HelloRetryRequest") (RFC 8446, section 4.1.3).
        return Ok(segment.payload_len >= 43
            && fifth == 2
            && packet.u32_at(segment.payload_offset + 11)? != 0xcf21_ad74);
    }
    // SSLv2: two bytes of length with the high bit set, then type 4, SERVER-HELLO.
    Ok(word & 0x8000_ff00 == 0x8000_0400)
}

type Segment = segment::Segment<Flow>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sender {
    Client,
    Gateway,
}

/// What of packets from one side is looked at.
struct Seen<'a, F> {
    flows: &'a F,
    sender: Sender,
}

/// The flow of a segment.
#[derive(Clone, Copy)]
struct Flow {
    hash: FlowHash,
    /// Source and destination: IPv4 addresses, or what IPv6 addresses were folded to.
    addresses: (u32, u32),
}

impl<F: Flows> Interest for Seen<'_, F> {
    type Flow = Flow;

    #[inline(always)]
    fn wants_ports(&self, ports: u32) -> bool {
        let gateway = match self.sender {
            Sender::Client => ports,
            Sender::Gateway => ports >> 16,
        };
        self.flows.is_gateway_port(gateway as u16)
    }

    #[inline(always)]
    fn wants_segment(&self, flags: u8, payload_len: usize) -> bool {
        const SYN_ACK: u8 = tcp_flags::SYN | tcp_flags::ACK;
        match self.sender {
            // SYN and ACK are sent by the side that accepts a connection. (Where both ports are gateway
            // ports, a packet is looked at from both sides.)
            Sender::Client if flags & SYN_ACK == SYN_ACK => false,
            Sender::Gateway if flags & tcp_flags::SYN != 0 => false,
            // No payload, and no flag that opens or ends a connection: most packets of a download.
            _ => payload_len != 0 || flags & (tcp_flags::SYN | tcp_flags::FIN | tcp_flags::RST) != 0,
        }
    }

    #[inline(always)]
    fn flow<R: Read>(
        &self,
        reader: &R,
        version: IpVersion,
        at: usize,
        ports: u32,
    ) -> Result<Flow, Unreadable> {
        let seed = self.flows.seed();
        let (source, destination) = match version {
            IpVersion::V4 => (reader.u32_at(at + 12)?, reader.u32_at(at + 16)?),
            IpVersion::V6 => (fold(reader, at + 8, seed)?, fold(reader, at + 24, seed)?),
        };
        let (client, gateway, ports) = match self.sender {
            Sender::Client => (source, destination, ports),
            Sender::Gateway => (destination, source, ports.rotate_left(16)),
        };
        let hash = FlowHash::new(seed, u64::from(client) << 32 | u64::from(gateway), ports);
        Ok(Flow { hash, addresses: (source, destination) })
    }

    #[inline(always)]
    fn tunnels(&self) -> Tunnels {
        self.flows.tunnels()
    }
}

/// An IPv6 address in 32 bits. The seed goes in first: a client that owns a whole prefix could else choose
/// an address that comes out as another's, whatever the seed.
#[inline(always)]
fn fold<R: Read>(packet: &R, offset: usize, seed: u64) -> Result<u32, Unreadable> {
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
    segment: Segment,
    sender: Sender,
    kind: u8,
    seq: u32,
    isn: u32,
    flags: u8,
    data_len: u32,
}

impl Draft {
    #[inline(always)]
    fn emit<P: Packet, S: Sink>(&self, packet: &P, sink: &mut S) -> Result<(), Rejected> {
        let Self { segment, .. } = self;
        let (source, destination) = if packet.forget(segment.version as usize) == IpVersion::V4 as usize {
            let (source, destination) = segment.flow.addresses;
            (ipv4_mapped(source), ipv4_mapped(destination))
        } else {
            let addresses = segment::ipv6_addresses(packet, packet.forget(segment.network))?;
            let addresses: [[u8; 16]; 2] = bytemuck::cast(addresses);
            if segment::has_mapped_address(addresses) {
                return Err(Rejected::Skipped(Counter::SkippedMappedAddress));
            }
            let [source, destination] = addresses;
            (source, destination)
        };
        let (source_port, destination_port) = ((segment.ports >> 16) as u16, segment.ports as u16);
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
            ack: segment.ack,
            payload_len: segment.payload_len as u32,
            data_len: self.data_len,
            kind: self.kind,
            tcp_flags: segment.flags,
            flags: self.flags,
            padding: 0,
        };
        sink.emit(&header, segment.payload_offset);
        Ok(())
    }
}

#[inline(always)]
fn ipv4_mapped(address: u32) -> [u8; 16] {
    bytemuck::cast([0, 0, 0xffff_u32.to_be(), address.to_be()])
}
