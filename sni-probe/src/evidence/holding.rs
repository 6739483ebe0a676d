//! The packets of handshakes under way.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sni_probe_common::event::{CLIENT_WINDOW, Event, EventHeader, flags, kind};
use sni_probe_core::flow::{FlowKey, Timestamp};

use super::packet::Packet;

/// Bytes of memory that all flows take together; 5,000 usual hellos. Stops a gateway that hangs, or a flood of hellos,
/// from filling the memory: the oldest flow is given up, and counted.
pub(super) const MAX_HELD_BYTES: usize = 8 << 20;

/// Bytes of memory that one flow takes: the longest hello (16 KiB) in usual segments and its answer. Stops a client
/// that sends one byte a segment from taking a hundred for each.
pub(super) const MAX_FLOW_BYTES: usize = 32 << 10;

/// What of a flow's bytes is for the gateway's answer and the end: they tell the outcome. Enough for the 16 segments of
/// an answer that the datapath copies.
const RESERVED_BYTES: usize = 8 << 10;

/// What a flow takes besides its packets: its places in both tables, at their usual load.
const FLOW_OVERHEAD: usize = 256;

/// How much later than its time the tracker may say that a flow is over: it handles events first.
const GRACE: Duration = Duration::from_secs(10);

/// Holds packets, by flow.
#[derive(Debug)]
pub(super) struct Holding {
    flows: HashMap<FlowKey, Held>,
    /// The flows in the order in which they were opened.
    order: BTreeMap<u64, FlowKey>,
    next_number: u64,
    bytes: usize,
    /// How long a handshake can be under way.
    patience: Duration,
}

/// The packets of a flow.
#[derive(Debug)]
pub(super) struct Held {
    /// In the order in which they came; not empty.
    pub(super) packets: Vec<Packet>,
    /// Not all packets are here.
    is_cut: bool,
    number: u64,
    /// The time of its earliest packet.
    since: Timestamp,
    /// See [`EventHeader::isn`].
    isn: u32,
    bytes: usize,
}

impl Held {
    /// Whether all packets are here that the datapath made events of.
    pub(super) fn is_whole(&self) -> bool {
        !self.is_cut && self.packets.iter().any(Packet::begins_stream)
    }

    /// Bytes of memory that they take, with what their bookkeeping takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the packet is one of a later connection with the same addresses and ports: as the tracker tells it.
    fn is_of_another_connection(&self, header: &EventHeader) -> bool {
        if header.flags & flags::ISN_KNOWN != 0 {
            return header.isn != self.isn;
        }
        // The byte before the first may be a keep-alive probe's.
        header.kind == kind::CLIENT_DATA && header.seq.wrapping_sub(self.isn) > CLIENT_WINDOW + 1
    }
}

impl Holding {
    /// `handshake_timeout` is the tracker's.
    pub(super) fn new(handshake_timeout: Duration) -> Self {
        Self {
            flows: HashMap::new(),
            order: BTreeMap::new(),
            next_number: 0,
            bytes: 0,
            // To become whole, and then to get its outcome.
            patience: 2 * handshake_timeout + GRACE,
        }
    }

    /// Takes an event. Returns how many flows were given up for want of room.
    pub(super) fn event(&mut self, event: &Event<'_>) -> u64 {
        self.expire(Timestamp(event.header.time_ns));
        let key = FlowKey::of(&event.header);
        let is_of_client = matches!(event.header.kind, kind::CLIENT_DATA | kind::CLIENT_CLOSE);
        if is_of_client
            && self.flows.get(&key).is_some_and(|held| held.is_of_another_connection(&event.header))
        {
            self.remove(&key);
        }
        if self.flows.contains_key(&key) {
            self.add(&key, event);
        } else if event.header.kind == kind::CLIENT_DATA {
            self.open(key, event);
        }
        self.make_room()
    }

    /// Gives away the packets of a flow of which something was seen at `time` that is told of it now. `None` if there
    /// are none, or only those of a later connection with the same addresses and ports.
    pub(super) fn settle(&mut self, key: &FlowKey, time: Timestamp) -> Option<Held> {
        if self.flows.get(key)?.since > time {
            return None;
        }
        self.remove(key)
    }

    fn open(&mut self, key: FlowKey, event: &Event<'_>) {
        let number = self.next_number;
        self.next_number += 1;
        self.order.insert(number, key);
        self.bytes += FLOW_OVERHEAD;
        let held = Held {
            packets: Vec::new(),
            is_cut: false,
            number,
            since: Timestamp(event.header.time_ns),
            isn: event.header.isn,
            bytes: FLOW_OVERHEAD,
        };
        self.flows.insert(key, held);
        self.add(&key, event);
    }

    fn add(&mut self, key: &FlowKey, event: &Event<'_>) {
        let Some(held) = self.flows.get_mut(key) else { return };
        let bytes = Packet::size(event);
        let reserved = if event.header.kind == kind::CLIENT_DATA { RESERVED_BYTES } else { 0 };
        if held.bytes + bytes + reserved > MAX_FLOW_BYTES {
            held.is_cut = true;
            return;
        }
        // Two CPUs may stamp events out of order by a little.
        held.since = held.since.min(Timestamp(event.header.time_ns));
        held.bytes += bytes;
        self.bytes += bytes;
        held.packets.push(Packet::of(event));
    }

    fn remove(&mut self, key: &FlowKey) -> Option<Held> {
        let held = self.flows.remove(key)?;
        self.order.remove(&held.number);
        self.bytes -= held.bytes;
        Some(held)
    }

    fn remove_oldest(&mut self) -> bool {
        let Some((_, key)) = self.order.first_key_value() else { return false };
        let key = *key;
        self.remove(&key).is_some()
    }

    /// Forgets flows of which the tracker will tell nothing any more: connections that are no TLS, late segments.
    fn expire(&mut self, now: Timestamp) {
        while let Some((_, key)) = self.order.first_key_value()
            && self.flows.get(key).is_none_or(|held| held.since.plus(self.patience) < now)
        {
            if !self.remove_oldest() {
                return;
            }
        }
    }

    fn make_room(&mut self) -> u64 {
        let mut given_up = 0;
        while self.bytes > MAX_HELD_BYTES && self.remove_oldest() {
            given_up += 1;
        }
        given_up
    }
}

#[cfg(test)]
mod tests;
