//! `--write`: the packets of the selected handshakes, from SYN to outcome, as a capture.
//!
//! ```text
//! frame ─▶ held, by flow ─▶ (outcome) ─▶ selected? ─▶ written, in the order of the capture
//!                                   └──▶ not: forgotten
//! ```
//!
//! One pass, so that a pipe will do: which handshakes are selected is known only when they end, and until
//! then their packets are held. A written packet waits for those before it whose handshake is still open.

mod open_flows;
mod output;
mod segment;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sni_probe_core::flow::FlowKey;
use sni_probe_pcap::Record;
use sni_probe_pcap::frame::Unwrapped;

use self::open_flows::OpenFlows;
use self::output::Output;
use self::segment::Segment;

/// Bytes of packets that are held at once, with what their bookkeeping takes. Stops a capture of 100,000
/// connections that never end from filling the memory.
pub(super) const MAX_HELD_BYTES: usize = 24 << 20;

/// Bytes of packets of one connection that are held: enough for any handshake (16 KiB of client, 16
/// segments of answer). Stops an upload in which a hello is still looked for from taking all.
pub(super) const MAX_FLOW_BYTES: usize = 128 << 10;

/// Bytes of IP fragments that wait for the rest of their datagram, as they are in the capture.
const MAX_FRAGMENT_BYTES: usize = 4 << 20;

/// What a held packet takes besides its bytes: its place in the queue and in its flow, and what the
/// allocator adds.
const OVERHEAD: usize = 136;

/// Holds packets until their handshakes end, and writes those that are selected.
pub(super) struct PacketSelection {
    output: Output,
    /// For each interface of the capture that is read, its number in the one that is written.
    interfaces: HashMap<u32, u32>,
    /// In the order of the capture.
    held: VecDeque<Held>,
    /// The number of the first of them.
    first: u64,
    /// The packets of the connections that have no outcome yet.
    flows: HashMap<FlowKey, OpenFlows>,
    /// The fragments of datagrams that are not whole: number of the frame, place among the held packets.
    fragments: VecDeque<(u64, u64)>,
    fragment_bytes: usize,
    held_bytes: usize,
    /// How long an open handshake can last.
    patience_ns: u64,
    /// See [`PacketSelectionCounts`].
    given_up: u64,
    incomplete: u64,
}

/// What became of the packets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PacketSelectionCounts {
    /// Packets that were forgotten before their handshake had an outcome, for want of room: the oldest.
    pub(super) given_up: u64,
    /// Handshakes that were selected and of which not all packets were there.
    pub(super) incomplete: u64,
}

#[derive(Debug)]
struct Held {
    /// `None`: a fragment, whose connection shows when its datagram is whole.
    key: Option<FlowKey>,
    fate: Fate,
    packet: Stored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Selected,
    Forgotten,
}

/// A packet as it is in the capture.
#[derive(Debug)]
struct Stored {
    interface: u32,
    time_ns: u64,
    wire_len: usize,
    bytes: Box<[u8]>,
}

impl PacketSelection {
    /// A selection for the file at `path`.
    ///
    /// # Errors
    /// If the file is one of those that are to be read.
    pub(super) fn new(path: &Path, inputs: &[PathBuf], patience: Duration) -> anyhow::Result<Self> {
        // To become whole, and then to get its outcome.
        let patience_ns = u64::try_from((2 * patience).as_nanos()).unwrap_or(u64::MAX);
        Ok(Self {
            output: Output::new(path, inputs)?,
            interfaces: HashMap::new(),
            held: VecDeque::new(),
            first: 0,
            flows: HashMap::new(),
            fragments: VecDeque::new(),
            fragment_bytes: 0,
            held_bytes: 0,
            patience_ns,
            given_up: 0,
            incomplete: 0,
        })
    }

    /// The next file has interfaces of its own.
    pub(super) fn next_file(&mut self) {
        self.interfaces.clear();
    }

    /// Takes a packet. `number` is its frame's in the replay, `now_ns` the time before it, `event_flow` the connection that
    /// the datapath found it to be of.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn take(
        &mut self,
        number: u64,
        now_ns: u64,
        record: &Record<'_>,
        unwrapped: &Unwrapped<'_>,
        event_flow: Option<FlowKey>,
    ) -> anyhow::Result<()> {
        let (packet, fragments): (_, &[u64]) = match unwrapped {
            Unwrapped::Ip(packet) => (packet, &[]),
            Unwrapped::Reassembled { packet, frames } => (packet, frames),
            Unwrapped::Fragment => {
                let packet = self.store(record)?;
                self.hold_fragment(number, packet);
                return self.make_room(now_ns);
            }
            Unwrapped::Other | Unwrapped::NotIp | Unwrapped::Skipped(_) | Unwrapped::Unread { .. } => {
                return Ok(());
            }
        };
        let segment = Segment::read(packet);
        let flow = event_flow.or_else(|| segment.as_ref().and_then(|segment| self.flow_of(segment)));
        let Some(key) = flow else { return Ok(()) };
        for &fragment in fragments.iter().filter(|&&fragment| fragment != number) {
            self.assign_fragment(fragment, key);
        }
        let packet = self.store(record)?;
        self.hold(key, segment.as_ref(), packet);
        self.make_room(now_ns)
    }

    /// The connection has its outcome, or there was no hello in it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn settle(&mut self, key: &FlowKey, is_selected: bool) -> anyhow::Result<()> {
        let Entry::Occupied(mut open) = self.flows.entry(*key) else {
            self.incomplete += u64::from(is_selected);
            return Ok(());
        };
        let flow = open.get_mut().take_first();
        if open.get().is_empty() {
            open.remove();
        }
        self.incomplete += u64::from(is_selected && flow.is_cut);
        for number in flow.packets {
            let Some(held) = index(self.first, number).and_then(|at| self.held.get_mut(at)) else { continue };
            if is_selected {
                held.fate = Fate::Selected;
            } else {
                self.held_bytes -= forget(held);
            }
        }
        self.write_decided()
    }

    /// Forgets what has no outcome, and writes the rest.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn finish(mut self) -> anyhow::Result<PacketSelectionCounts> {
        for held in &mut self.held {
            if held.fate == Fate::Open {
                forget(held);
            }
        }
        self.write_decided()?;
        let Self { output, given_up, incomplete, .. } = self;
        output.finish()?;
        Ok(PacketSelectionCounts { given_up, incomplete })
    }

    fn store(&mut self, record: &Record<'_>) -> anyhow::Result<Stored> {
        let interface = match self.interfaces.entry(record.interface) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => *entry.insert(self.output.add_interface(record.description)?),
        };
        let Record { time_ns, wire_len, .. } = *record;
        Ok(Stored { interface, time_ns, wire_len, bytes: record.bytes.into() })
    }

    fn hold(&mut self, key: FlowKey, segment: Option<&Segment>, packet: Stored) {
        let flow = self.flows.entry(key).or_default().of(&key, segment);
        let bytes = OVERHEAD + packet.bytes.len();
        if flow.bytes + bytes > MAX_FLOW_BYTES {
            flow.is_cut = true;
            return;
        }
        flow.bytes += bytes;
        flow.packets.push(self.first + self.held.len() as u64);
        self.held_bytes += bytes;
        self.held.push_back(Held { key: Some(key), fate: Fate::Open, packet });
    }

    /// Holds a fragment in its place until its datagram is whole.
    fn hold_fragment(&mut self, number: u64, packet: Stored) {
        let bytes = OVERHEAD + packet.bytes.len();
        self.fragments.push_back((number, self.first + self.held.len() as u64));
        self.fragment_bytes += bytes;
        self.held_bytes += bytes;
        self.held.push_back(Held { key: None, fate: Fate::Open, packet });
        while self.fragment_bytes > MAX_FRAGMENT_BYTES
            && let Some((_, place)) = self.fragments.pop_front()
        {
            self.forget_fragment(place);
        }
    }

    fn forget_fragment(&mut self, place: u64) {
        let Some(held) = index(self.first, place).and_then(|at| self.held.get_mut(at)) else { return };
        let bytes = forget(held);
        self.held_bytes -= bytes;
        self.fragment_bytes -= bytes;
    }

    /// The fragment of a frame turns out to be the connection's.
    fn assign_fragment(&mut self, number: u64, key: FlowKey) {
        let flow = self.flows.entry(key).or_default().of(&key, None);
        let found = self.fragments.binary_search_by_key(&number, |&(number, _)| number);
        let place = found.ok().and_then(|at| self.fragments.remove(at)).map(|(_, place)| place);
        let held = place.and_then(|place| index(self.first, place)).and_then(|at| self.held.get_mut(at));
        let (Some(place), Some(held)) = (place, held) else {
            flow.is_cut = true;
            return;
        };
        held.key = Some(key);
        let bytes = OVERHEAD + held.packet.bytes.len();
        self.fragment_bytes -= bytes;
        flow.bytes += bytes;
        flow.packets.push(place);
    }

    /// The connection that a packet without an event is to be held for: one that it opens, or one of which
    /// packets are held.
    fn flow_of(&self, segment: &Segment) -> Option<FlowKey> {
        let Segment { source, destination, .. } = *segment;
        let from_client = FlowKey { client: source, gateway: destination };
        if segment.opens() {
            return Some(from_client);
        }
        let from_gateway = FlowKey { client: destination, gateway: source };
        [from_client, from_gateway].into_iter().find(|key| self.flows.contains_key(key))
    }

    /// Gives up what is too old to get an outcome, and, where that is not enough, first the order of what is
    /// written, then the oldest handshake.
    fn make_room(&mut self, now_ns: u64) -> anyhow::Result<()> {
        while let Some(oldest) = self.held.front()
            && oldest.packet.time_ns.saturating_add(self.patience_ns) < now_ns
        {
            // No hello came, or one of which the tracker has told already.
            self.give_up_oldest()?;
        }
        if self.held_bytes <= MAX_HELD_BYTES {
            return Ok(());
        }
        for held in &mut self.held {
            if held.fate == Fate::Selected {
                self.output.write(&held.packet)?;
                self.held_bytes -= forget(held);
            }
        }
        while self.held_bytes > MAX_HELD_BYTES / 2
            && let Some(oldest) = self.held.front()
        {
            let key = oldest.key;
            let packets = |flows: &HashMap<_, OpenFlows>| {
                key.and_then(|key| flows.get(&key)).map_or(0, OpenFlows::packets)
            };
            let before = packets(&self.flows);
            self.give_up_oldest()?;
            self.given_up += (before - packets(&self.flows)).max(1);
        }
        Ok(())
    }

    /// Forgets the oldest packet, with the others of its connection.
    fn give_up_oldest(&mut self) -> anyhow::Result<()> {
        let Some(oldest) = self.held.front() else { return Ok(()) };
        match oldest.key {
            Some(key) if self.flows.contains_key(&key) => self.settle(&key, false),
            Some(_) => {
                // Of a connection that is settled, every packet is decided: this is for safety's sake.
                self.held_bytes -= self.held.front_mut().map_or(0, forget);
                self.write_decided()
            }
            None => {
                // The fragments that wait are in the order of the held packets.
                if let Some((_, place)) = self.fragments.pop_front() {
                    self.forget_fragment(place);
                }
                self.write_decided()
            }
        }
    }

    /// Writes and forgets from the front as far as all is decided.
    fn write_decided(&mut self) -> anyhow::Result<()> {
        while let Some(held) = self.held.front_mut()
            && held.fate != Fate::Open
        {
            if held.fate == Fate::Selected {
                self.output.write(&held.packet)?;
                self.held_bytes -= forget(held);
            }
            self.held.pop_front();
            self.first += 1;
        }
        Ok(())
    }
}

/// Drops a packet's bytes; its place in the queue stays. Returns how many bytes less are held.
fn forget(held: &mut Held) -> usize {
    held.fate = Fate::Forgotten;
    let bytes = std::mem::take(&mut held.packet.bytes);
    OVERHEAD + bytes.len()
}

fn index(first: u64, number: u64) -> Option<usize> {
    usize::try_from(number.checked_sub(first)?).ok()
}

#[cfg(test)]
mod tests;
