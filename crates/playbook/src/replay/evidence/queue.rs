//! Packets in the order of the capture.

use std::collections::{BTreeSet, VecDeque};

/// What a packet in the queue takes besides its bytes: its place in the queue and in its connection, and what the allocator
/// adds.
pub(super) const OVERHEAD: usize = 64;

/// A packet as it is in the capture.
#[derive(Debug)]
pub(super) struct StoredPacket {
    pub(super) interface: u32,
    pub(super) time_ns: u64,
    pub(super) wire_len: usize,
    pub(super) bytes: Box<[u8]>,
}

impl StoredPacket {
    /// Memory that the packet takes in the queue.
    pub(super) fn size(&self) -> usize {
        OVERHEAD + self.bytes.len()
    }
}

/// A queue of packets that are selected or forgotten in any order and leave it in the order of the capture.
#[derive(Debug, Default)]
pub(super) struct PacketQueue {
    /// `None`: forgotten, or taken already.
    packets: VecDeque<Option<StoredPacket>>,
    /// The place of the first of them.
    first: u64,
    /// Places of selected packets.
    selected: BTreeSet<u64>,
    selected_bytes: usize,
}

impl PacketQueue {
    /// Adds a packet. Returns its place.
    pub(super) fn push(&mut self, packet: StoredPacket) -> u64 {
        self.packets.push_back(Some(packet));
        self.first + self.packets.len() as u64 - 1
    }

    pub(super) fn get(&self, place: u64) -> Option<&StoredPacket> {
        self.packets.get(self.index(place)?)?.as_ref()
    }

    /// Selects a packet: it leaves the queue when all packets before it are selected or forgotten.
    pub(super) fn select(&mut self, place: u64) {
        if let Some(packet) = self.get(place) {
            self.selected_bytes += packet.size();
            self.selected.insert(place);
        }
    }

    /// Removes a packet that is not selected. Its place stays until it is the first.
    pub(super) fn remove(&mut self, place: u64) -> Option<StoredPacket> {
        let at = self.index(place)?;
        self.packets.get_mut(at)?.take()
    }

    /// Takes the first packet, if it is selected.
    pub(super) fn pop_ready(&mut self) -> Option<StoredPacket> {
        while let Some(None) = self.packets.front() {
            self.packets.pop_front();
            self.first += 1;
        }
        if self.selected.first() == Some(&self.first) { self.pop_selected() } else { None }
    }

    /// Takes the first selected packet, whatever is before it.
    pub(super) fn pop_selected(&mut self) -> Option<StoredPacket> {
        let packet = self.selected.pop_first().and_then(|place| self.remove(place))?;
        self.selected_bytes -= packet.size();
        Some(packet)
    }

    /// Memory that the selected packets take.
    pub(super) fn selected_bytes(&self) -> usize {
        self.selected_bytes
    }

    /// Number of places, those without a packet included.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    fn index(&self, place: u64) -> Option<usize> {
        usize::try_from(place.checked_sub(self.first)?).ok()
    }
}
