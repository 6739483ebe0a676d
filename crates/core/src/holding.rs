//! Packets that are held until the outcome of their handshake says whether they are kept.
//!
//! ```text
//! packet ─▶ hold ─▶ (outcome) ─▶ settle ─▶ kept or forgotten, by the caller
//!            └────▶ pop_expired, pop_excess ─▶ forgotten
//! ```

use std::collections::hash_map::{Entry, HashMap};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sni_probe_datapath::event::{EventHeader, kind};
use sni_probe_datapath::seq::SeqNumber;

use crate::flow::{FlowKey, Origin, Relation, Timestamp, WireKey};

/// Connections with the same addresses and ports that a packet can belong to: the latest ones. Stops a flood of SYNs with one
/// source port from taking a search of all of them for each packet.
const MAX_RECENT: usize = 4;

/// Bounds of [`HeldPackets`]: bytes of memory, and time.
#[derive(Clone, Copy, Debug)]
pub struct HoldingLimits {
    /// Bound of all connections together.
    pub total_bytes: usize,
    /// Bound of one connection.
    pub connection_bytes: usize,
    /// Part of `connection_bytes` that the client's data cannot take. It is for the answer and the end, which show the outcome.
    pub reserved_bytes: usize,
    /// Time after which a connection gets no outcome any more.
    pub patience: Duration,
}

/// Memory that a connection takes besides its packets: entries of two tables at their usual load, and a list of one.
pub const CONNECTION_OVERHEAD: usize = 256;

/// What a packet shows of the connection that it belongs to, among those with the same addresses and ports.
#[derive(Clone, Copy, Debug)]
pub enum ConnectionHint<'a> {
    /// The event that the datapath made of the packet.
    Event(&'a EventHeader),
    /// The sequence number of a client's SYN.
    Syn(SeqNumber),
    /// The numbers of another segment.
    Segment {
        /// The client's sequence number, or the number that the gateway acknowledges; `None` if it acknowledges nothing.
        number: Option<SeqNumber>,
        /// Whether the client sent data in it.
        is_client_data: bool,
    },
}

/// Selects one of several connections with the same addresses and ports.
#[derive(Clone, Copy, Debug)]
pub enum SettledConnection {
    /// The first one with data of the client: for a caller that settles all connections in order.
    First,
    /// The latest one that began at this time or before: for a caller that does not settle all connections.
    BegunBy(Timestamp),
}

/// Holds packets, by connection, until the caller settles the connection. `P` is what the caller holds for a packet.
///
/// The caller calls [`pop_expired`](Self::pop_expired) and [`pop_excess`](Self::pop_excess) until they return `None`, for each
/// packet.
///
/// ```
/// use std::time::Duration;
///
/// use sni_probe_core::holding::{ConnectionHint, HeldPackets, HoldingLimits, SettledConnection};
/// use sni_probe_core::{FlowKey, Timestamp};
/// use sni_probe_datapath::seq::SeqNumber;
///
/// let limits = HoldingLimits {
///     total_bytes: 1 << 20,
///     connection_bytes: 1 << 14,
///     reserved_bytes: 1 << 12,
///     patience: Duration::from_mins(1),
/// };
/// let mut held = HeldPackets::new(limits);
/// let flow = FlowKey {
///     client: "192.0.2.7:51234".parse().unwrap(),
///     gateway: "198.51.100.9:443".parse().unwrap(),
/// };
/// let hello = ConnectionHint::Segment { number: Some(SeqNumber(1_001)), is_client_data: true };
/// assert!(!held.hold(&flow, hello, Timestamp(1), 300, || "hello without a SYN"));
/// assert!(held.hold(&flow, ConnectionHint::Syn(SeqNumber(1_000)), Timestamp(2), 60, || "SYN"));
/// assert!(held.hold(&flow, hello, Timestamp(3), 300, || "hello"));
///
/// let settled = held.settle(&flow, SettledConnection::First);
/// assert_eq!(settled[0].packets, ["SYN", "hello"]);
/// assert_eq!(held.bytes(), 0);
/// ```
#[derive(Debug)]
pub struct HeldPackets<P> {
    limits: HoldingLimits,
    /// The connections of each 4-tuple in the order in which they began. No list is empty.
    connections: HashMap<WireKey, VecDeque<HeldConnection<P>>>,
    /// All connections in the order in which they began.
    order: BTreeMap<u64, WireKey>,
    next_number: u64,
    bytes: usize,
}

/// The held packets of one connection.
#[derive(Debug)]
pub struct HeldConnection<P> {
    /// In the order in which they came.
    pub packets: Vec<P>,
    /// Whether packets are missing.
    pub is_truncated: bool,
    number: u64,
    origin: Origin,
    /// The time of its earliest packet.
    since: Timestamp,
    has_client_data: bool,
    bytes: usize,
}

impl<P> HeldConnection<P> {
    /// Memory that the connection takes, [`CONNECTION_OVERHEAD`] included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl<P> HeldPackets<P> {
    /// Returns a table without connections.
    pub fn new(limits: HoldingLimits) -> Self {
        Self { limits, connections: HashMap::new(), order: BTreeMap::new(), next_number: 0, bytes: 0 }
    }

    /// Memory that all connections take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of connections.
    pub fn connections(&self) -> usize {
        self.order.len()
    }

    /// Whether a connection with these addresses and ports is held.
    pub fn contains(&self, key: &FlowKey) -> bool {
        self.connections.contains_key(&WireKey::from(*key))
    }

    /// Holds a packet of `bytes` bytes that was seen at `time`. Returns whether it is held.
    ///
    /// The client's SYN opens a connection, and so does an event of the client's data. A packet is not held if it belongs to no
    /// connection, or its connection has no room.
    pub fn hold(
        &mut self,
        key: &FlowKey,
        hint: ConnectionHint<'_>,
        time: Timestamp,
        bytes: usize,
        packet: impl FnOnce() -> P,
    ) -> bool {
        let key = WireKey::from(*key);
        if self.find(&key, hint).is_none() {
            self.open(key, hint, time);
        }
        let limits = self.limits;
        let Some(connection) = self.find(&key, hint) else { return false };
        let is_client_data = hint.is_client_data();
        connection.has_client_data |= is_client_data;
        let reserved = if is_client_data { limits.reserved_bytes } else { 0 };
        if connection.bytes + bytes + reserved > limits.connection_bytes {
            connection.is_truncated = true;
            return false;
        }
        // Two CPUs may stamp events out of order by a little.
        connection.since = connection.since.min(time);
        connection.bytes += bytes;
        connection.packets.push(packet());
        self.bytes += bytes;
        true
    }

    /// Marks a packet's connection: another packet of it is missing.
    pub fn mark_truncated(&mut self, key: &FlowKey, hint: ConnectionHint<'_>) {
        if let Some(connection) = self.find(&WireKey::from(*key), hint) {
            connection.is_truncated = true;
        }
    }

    /// Removes a connection that has its outcome, with those before it, which get none. Returns them in the order in which
    /// they began. If there is no such connection, nothing is returned; if none has data of the client,
    /// [`SettledConnection::First`] returns all.
    pub fn settle(&mut self, key: &FlowKey, settled: SettledConnection) -> Vec<HeldConnection<P>> {
        let key = WireKey::from(*key);
        let Some(connections) = self.connections.get(&key) else { return Vec::new() };
        let mut connections = connections.iter();
        let count = match settled {
            SettledConnection::First => {
                let all = connections.len();
                connections.position(|connection| connection.has_client_data).map_or(all, |at| at + 1)
            }
            SettledConnection::BegunBy(time) => {
                connections.rposition(|connection| connection.since <= time).map_or(0, |at| at + 1)
            }
        };
        self.remove(key, count)
    }

    /// Removes the oldest connection if it gets no outcome any more: it is not TLS, or its outcome was settled before.
    pub fn pop_expired(&mut self, now: Timestamp) -> Option<HeldConnection<P>> {
        let (_, key) = self.order.first_key_value()?;
        let oldest = self.connections.get(key)?.front()?;
        if oldest.since.plus(self.limits.patience) < now { self.pop_oldest() } else { None }
    }

    /// Removes the oldest connection if there are too many bytes. `other_bytes` are those that the caller holds elsewhere under
    /// the same bound.
    pub fn pop_excess(&mut self, other_bytes: usize) -> Option<HeldConnection<P>> {
        if self.bytes + other_bytes > self.limits.total_bytes { self.pop_oldest() } else { None }
    }

    fn find(&mut self, key: &WireKey, hint: ConnectionHint<'_>) -> Option<&mut HeldConnection<P>> {
        let connections = self.connections.get_mut(key)?;
        let recent = connections.iter().enumerate().rev().take(MAX_RECENT);
        let at = hint.choose(recent.map(|(at, connection)| (at, connection.origin)))?;
        connections.get_mut(at)
    }

    /// Opens a connection if the packet is the first one of it.
    fn open(&mut self, key: WireKey, hint: ConnectionHint<'_>, time: Timestamp) {
        let latest = self.connections.get(&key).and_then(VecDeque::back);
        let Some(origin) = hint.opened(latest.map(|connection| connection.origin)) else { return };
        let connections = self.connections.entry(key).or_default();
        // Nearly always the only one: a list takes room for four otherwise.
        connections.reserve_exact(1);
        connections.push_back(HeldConnection {
            packets: Vec::new(),
            is_truncated: false,
            number: self.next_number,
            origin,
            since: time,
            has_client_data: false,
            bytes: CONNECTION_OVERHEAD,
        });
        self.order.insert(self.next_number, key);
        self.next_number += 1;
        self.bytes += CONNECTION_OVERHEAD;
    }

    fn pop_oldest(&mut self) -> Option<HeldConnection<P>> {
        let (_, &key) = self.order.first_key_value()?;
        self.remove(key, 1).pop()
    }

    /// Removes the first `count` connections of a 4-tuple.
    fn remove(&mut self, key: WireKey, count: usize) -> Vec<HeldConnection<P>> {
        let Entry::Occupied(mut entry) = self.connections.entry(key) else { return Vec::new() };
        let removed: Vec<_> = entry.get_mut().drain(..count).collect();
        if entry.get().is_empty() {
            entry.remove();
        }
        for connection in &removed {
            self.order.remove(&connection.number);
            self.bytes -= connection.bytes;
        }
        removed
    }
}

impl ConnectionHint<'_> {
    fn is_client_data(self) -> bool {
        match self {
            Self::Event(header) => header.kind == kind::CLIENT_DATA,
            Self::Syn(_) => false,
            Self::Segment { is_client_data, .. } => is_client_data,
        }
    }

    /// Chooses the packet's connection among those with its addresses and ports, the latest first.
    fn choose(self, mut latest_first: impl Iterator<Item = (usize, Origin)>) -> Option<usize> {
        let chosen = match self {
            Self::Event(header) => latest_first.find(|(_, origin)| origin.relation(header) == Relation::Own),
            Self::Syn(number) => latest_first.find(|(_, origin)| origin.start == number.plus(1)),
            // The nearest one before the number. The SYN has a number of its own.
            Self::Segment { number: Some(number), .. } => {
                latest_first.min_by_key(|(_, origin)| number.distance_from(origin.start.minus(1)))
            }
            Self::Segment { number: None, .. } => latest_first.next(),
        };
        chosen.map(|(at, _)| at)
    }

    /// Returns the origin of the connection that the packet opens. `latest` is that of the latest connection with its addresses
    /// and ports. The packet belongs to none of those.
    fn opened(self, latest: Option<Origin>) -> Option<Origin> {
        match self {
            Self::Event(header) => {
                let is_later = latest.is_none_or(|latest| latest.relation(header) == Relation::Later);
                (header.kind == kind::CLIENT_DATA && is_later).then(|| Origin::of(header))
            }
            Self::Syn(number) => Some(Origin { start: number.plus(1), is_certain: true }),
            Self::Segment { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
