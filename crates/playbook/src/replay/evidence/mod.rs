//! `--write`: the packets of the selected handshakes, from SYN to outcome, as a capture.
//!
//! ```text
//! frame ─▶ held, by flow ─▶ (outcome) ─▶ selected? ─▶ written, in the order of the capture
//!                                   └──▶ not: forgotten
//! ```
//!
//! One pass, so that a pipe will do: which handshakes are selected is known only when they end, and until
//! then their packets are held. A written packet waits for those before it whose handshake is still open.

mod output;
mod queue;

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sni_probe_core::flow::{FlowKey, Timestamp};
use sni_probe_core::holding::{
    ConnectionHint, HeldConnection, HeldPackets, HoldingLimits, SettledConnection,
};
use sni_probe_datapath::event::{EventHeader, kind};
use sni_probe_pcap::Record;
use sni_probe_pcap::frame::{IpPacket, Unwrapped};

use self::output::Output;
use self::queue::{PacketQueue, StoredPacket};
use super::segment::Segment;

/// Bytes of packets that are held at once, with what their bookkeeping takes. Stops a capture of 100,000
/// connections that never end from filling the memory.
const MAX_HELD_BYTES: usize = 24 << 20;

/// Bytes of packets of one connection that are held: enough for any handshake (16 KiB of client, 16
/// segments of answer). Stops an upload in which a hello is still looked for from taking all.
const MAX_FLOW_BYTES: usize = 160 << 10;

/// Part of [`MAX_FLOW_BYTES`] that such an upload cannot take, for the packets that show its outcome.
const RESERVED_BYTES: usize = 32 << 10;

/// Bytes of IP fragments that wait for the rest of their datagram, as they are in the capture.
const MAX_FRAGMENT_BYTES: usize = 4 << 20;

/// Holds packets until their handshakes end, and writes those that are selected.
pub(super) struct PacketSelection {
    output: Output,
    /// For each interface of the capture that is read, its number in the one that is written.
    interfaces: HashMap<u32, u32>,
    queue: PacketQueue,
    /// Places in the queue: the packets of connections that have no outcome yet.
    held: HeldPackets<u64>,
    /// The fragments of datagrams that are not complete, so that their connection is unknown: number of the frame, place in the
    /// queue.
    fragments: VecDeque<(u64, u64)>,
    fragment_bytes: usize,
    /// Time after which an open handshake gets no outcome any more.
    patience: Duration,
    counts: PacketSelectionCounts,
}

/// What became of the packets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PacketSelectionCounts {
    /// Packets that were forgotten before their handshake had an outcome, for want of room: the oldest.
    pub(super) given_up: u64,
    /// Handshakes that were selected and of which not all packets were there.
    pub(super) incomplete: u64,
}

impl PacketSelection {
    /// A selection for the file at `path`.
    ///
    /// # Errors
    /// If the file is one of those that are to be read.
    pub(super) fn new(path: &Path, inputs: &[PathBuf], handshake_timeout: Duration) -> anyhow::Result<Self> {
        // A complete ClientHello, and then its outcome.
        let patience = 2 * handshake_timeout;
        let limits = HoldingLimits {
            total_bytes: MAX_HELD_BYTES,
            connection_bytes: MAX_FLOW_BYTES,
            reserved_bytes: RESERVED_BYTES,
            patience,
        };
        Ok(Self {
            output: Output::new(path, inputs)?,
            interfaces: HashMap::new(),
            queue: PacketQueue::default(),
            held: HeldPackets::new(limits),
            fragments: VecDeque::new(),
            fragment_bytes: 0,
            patience,
            counts: PacketSelectionCounts::default(),
        })
    }

    /// The next file has interfaces of its own.
    pub(super) fn next_file(&mut self) {
        self.interfaces.clear();
    }

    /// Takes a packet. `number` is its frame's in the replay, `now` the time before it, `event` what the datapath made of it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn take(
        &mut self,
        number: u64,
        now: Timestamp,
        record: &Record<'_>,
        unwrapped: &Unwrapped<'_>,
        event: Option<&EventHeader>,
    ) -> anyhow::Result<()> {
        match unwrapped {
            Unwrapped::Ip(packet) => self.hold(number, now, record, packet, &[], event)?,
            Unwrapped::Reassembled { packet, frames } => {
                self.hold(number, now, record, packet, frames, event)?;
            }
            Unwrapped::Fragment => {
                let packet = self.store(record)?;
                self.fragment_bytes += packet.size();
                self.fragments.push_back((number, self.queue.push(packet)));
            }
            Unwrapped::Other | Unwrapped::NotIp | Unwrapped::Skipped(_) | Unwrapped::Unread { .. } => {
                return Ok(());
            }
        }
        self.make_room(now)
    }

    /// The connection has its outcome, or there was no hello in it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn settle(&mut self, key: &FlowKey, is_selected: bool) -> anyhow::Result<()> {
        // Those before the first one with data had no hello: their packets are taken with it.
        let settled = self.held.settle(key, SettledConnection::First);
        let is_truncated = settled.is_empty() || settled.iter().any(|connection| connection.is_truncated);
        self.counts.incomplete += u64::from(is_selected && is_truncated);
        for place in settled.into_iter().flat_map(|connection| connection.packets) {
            if is_selected {
                self.queue.select(place);
            } else {
                self.queue.remove(place);
            }
        }
        self.write_ready()
    }

    /// Writes what is selected. The rest has no outcome.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn finish(mut self) -> anyhow::Result<PacketSelectionCounts> {
        self.write_selected()?;
        self.output.finish()?;
        Ok(self.counts)
    }

    fn store(&mut self, record: &Record<'_>) -> anyhow::Result<StoredPacket> {
        let interface = match self.interfaces.entry(record.interface) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => *entry.insert(self.output.add_interface(record.description)?),
        };
        let Record { time_ns, wire_len, .. } = *record;
        Ok(StoredPacket { interface, time_ns, wire_len, bytes: record.bytes.into() })
    }

    /// Holds a packet, and the fragments in the frames before that it was put together from.
    fn hold(
        &mut self,
        number: u64,
        now: Timestamp,
        record: &Record<'_>,
        packet: &IpPacket<'_>,
        frames: &[u64],
        event: Option<&EventHeader>,
    ) -> anyhow::Result<()> {
        let (key, hint) = if let Some(header) = event.filter(|header| header.kind == kind::CLIENT_DATA) {
            (FlowKey::of(header), ConnectionHint::Event(header))
        } else {
            // The numbers of a segment are its connection's; those of the event are of the latest one.
            let Some(segment) = Segment::read(packet) else { return Ok(()) };
            let Some(key) = self.flow_of(&segment) else { return Ok(()) };
            (key, segment.hint(key.client))
        };
        let packet = self.store(record)?;
        // A stamp from the past does not make a connection old.
        let time = now.max(Timestamp(packet.time_ns));
        self.held.hold(&key, hint, time, packet.size(), || self.queue.push(packet));
        for &frame in frames.iter().filter(|&&frame| frame != number) {
            let place = self.take_fragment(frame);
            let Some((place, fragment)) = place.and_then(|place| Some((place, self.queue.get(place)?)))
            else {
                self.held.mark_truncated(&key, hint);
                continue;
            };
            if !self.held.hold(&key, hint, time, fragment.size(), || place) {
                self.queue.remove(place);
            }
        }
        Ok(())
    }

    /// Takes the fragment of a frame from those that wait. Returns its place.
    fn take_fragment(&mut self, number: u64) -> Option<u64> {
        let at = self.fragments.binary_search_by_key(&number, |&(number, _)| number).ok()?;
        let (_, place) = self.fragments.remove(at)?;
        self.fragment_bytes -= self.queue.get(place)?.size();
        Some(place)
    }

    /// The connection that a packet is to be held for: one that it opens, or one of which packets are held.
    fn flow_of(&self, segment: &Segment<'_>) -> Option<FlowKey> {
        let Segment { source, destination, .. } = *segment;
        let from_client = FlowKey { client: source, gateway: destination };
        if segment.opens() {
            return Some(from_client);
        }
        let from_gateway = FlowKey { client: destination, gateway: source };
        [from_client, from_gateway].into_iter().find(|key| self.held.contains(key))
    }

    /// Gives up what is too old to get an outcome. If that is not enough, gives up first the order of what is written, then
    /// the oldest handshakes.
    fn make_room(&mut self, now: Timestamp) -> anyhow::Result<()> {
        while let Some(expired) = self.held.pop_expired(now) {
            self.forget(&expired);
        }
        let patience = self.patience;
        let is_expired = |packet: &StoredPacket| Timestamp(packet.time_ns).plus(patience) < now;
        while let Some(&(number, place)) = self.fragments.front()
            && (self.fragment_bytes > MAX_FRAGMENT_BYTES || self.queue.get(place).is_none_or(is_expired))
        {
            self.take_fragment(number);
            self.queue.remove(place);
        }
        if self.bytes() > MAX_HELD_BYTES {
            self.write_selected()?;
        }
        while let Some(oldest) = self.held.pop_excess(self.fragment_bytes) {
            self.counts.given_up += oldest.packets.len().max(1) as u64;
            self.forget(&oldest);
        }
        self.write_ready()
    }

    fn bytes(&self) -> usize {
        self.held.bytes() + self.queue.selected_bytes() + self.fragment_bytes
    }

    fn forget(&mut self, connection: &HeldConnection<u64>) {
        for &place in &connection.packets {
            self.queue.remove(place);
        }
    }

    /// Writes from the front of the queue up to the first packet of an open handshake.
    fn write_ready(&mut self) -> anyhow::Result<()> {
        while let Some(packet) = self.queue.pop_ready() {
            self.output.write(&packet)?;
        }
        Ok(())
    }

    /// Writes all that is selected.
    fn write_selected(&mut self) -> anyhow::Result<()> {
        while let Some(packet) = self.queue.pop_selected() {
            self.output.write(&packet)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
