//! The packets of handshakes under way.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sni_probe_core::flow::{FlowKey, Origin, Relation, Timestamp};
use sni_probe_datapath::event::{Event, kind};

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
    /// The flow that the last event ended, by opening another one with its addresses and ports: the tracker says next what
    /// became of it.
    ended: Option<(FlowKey, Held)>,
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
    origin: Origin,
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
}

impl Holding {
    /// `handshake_timeout` is the tracker's.
    pub(super) fn new(handshake_timeout: Duration) -> Self {
        Self {
            flows: HashMap::new(),
            ended: None,
            order: BTreeMap::new(),
            next_number: 0,
            bytes: 0,
            // To become whole, and then to get its outcome.
            patience: 2 * handshake_timeout + GRACE,
        }
    }

    /// Takes an event that was seen `now`. Returns how many flows were given up for want of room.
    pub(super) fn event(&mut self, event: &Event<'_>, now: Timestamp) -> u64 {
        self.expire(now);
        self.ended = None;
        let key = FlowKey::of(&event.header);
        let known = self.flows.get(&key).map(|held| held.origin.relation(&event.header));
        if known == Some(Relation::Later) {
            self.ended = self.remove(&key).map(|held| (key, held));
        }
        match known {
            Some(Relation::Own) => self.add(&key, event, now),
            Some(Relation::Later) | None if event.header.kind == kind::CLIENT_DATA => {
                self.open(key, event, now);
            }
            // The tracker ignores it as well.
            Some(_) | None => {}
        }
        self.make_room()
    }

    /// Gives away the packets of a flow of which something was seen at `time` that is told of it now. `None` if there
    /// are none, or only those of a later connection with the same addresses and ports.
    pub(super) fn settle(&mut self, key: &FlowKey, time: Timestamp) -> Option<Held> {
        if self.flows.get(key).is_some_and(|held| held.since <= time) {
            return self.remove(key);
        }
        let ended = self.ended.take_if(|(ended, held)| ended == key && held.since <= time);
        ended.map(|(_, held)| held)
    }

    fn open(&mut self, key: FlowKey, event: &Event<'_>, now: Timestamp) {
        let number = self.next_number;
        self.next_number += 1;
        self.order.insert(number, key);
        self.bytes += FLOW_OVERHEAD;
        let held = Held {
            packets: Vec::new(),
            is_cut: false,
            number,
            since: time_of(event, now),
            origin: Origin::of(&event.header),
            bytes: FLOW_OVERHEAD,
        };
        self.flows.insert(key, held);
        self.add(&key, event, now);
    }

    fn add(&mut self, key: &FlowKey, event: &Event<'_>, now: Timestamp) {
        let Some(held) = self.flows.get_mut(key) else { return };
        let bytes = Packet::size(event);
        let reserved = if event.header.kind == kind::CLIENT_DATA { RESERVED_BYTES } else { 0 };
        if held.bytes + bytes + reserved > MAX_FLOW_BYTES {
            held.is_cut = true;
            return;
        }
        // Two CPUs may stamp events out of order by a little.
        held.since = held.since.min(time_of(event, now));
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

/// When an event was seen. A stamp from the future is wrong; the tracker does not believe it either.
fn time_of(event: &Event<'_>, now: Timestamp) -> Timestamp {
    let stamp = Timestamp(event.header.time_ns);
    if stamp > now.plus(GRACE) { now } else { stamp }
}

#[cfg(test)]
mod tests;
