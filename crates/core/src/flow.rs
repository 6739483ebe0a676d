//! Which connection, and when.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use sni_probe_datapath::event::{CLIENT_WINDOW, EventHeader, flags, kind};
use sni_probe_datapath::seq::SeqNumber;

/// A point in time, in nanoseconds since an epoch that the driver chooses: boot (`CLOCK_MONOTONIC`)
/// for the daemon, 1970 for a replay. Only differences mean anything here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(
    /// Nanoseconds since the driver's epoch.
    pub u64,
);

/// Where a packet was seen, as a number that the driver chooses: the index of an interface for the daemon, the number of a
/// frame for a replay (its lower 32 bits). See [`EventHeader::ifindex`], which carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place(
    /// The number.
    pub u32,
);

impl Timestamp {
    /// The time that has passed since `earlier`; zero if `earlier` is later (two CPUs may stamp
    /// events out of order by a little).
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This point plus `span`, saturating.
    #[must_use]
    pub fn plus(self, span: std::time::Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

/// The two ends of a TCP connection, by role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// The side that opened the connection.
    pub client: SocketAddr,
    /// The side that listens on a gateway port.
    pub gateway: SocketAddr,
}

impl FlowKey {
    /// The connection that an event belongs to.
    pub fn of(header: &EventHeader) -> Self {
        WireKey::of(header).into()
    }
}

/// Where a connection begins: what distinguishes it from others with the same addresses and ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Sequence number of the first byte of the client's stream; of the first one that was seen, if the SYN was not.
    pub start: SeqNumber,
    /// Whether the SYN was seen.
    pub is_certain: bool,
}

/// What a packet is to a connection that has its addresses and ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It is one of the connection.
    Own,
    /// It is one of another connection, which does not follow this one: a late one of a connection before it.
    Foreign,
    /// It is the client's first data on a connection that began later.
    Later,
}

impl Origin {
    /// The origin of a connection of which this packet of the client is the first one.
    pub fn of(header: &EventHeader) -> Self {
        let is_certain = header.flags & flags::ISN_KNOWN != 0;
        let start = if is_certain { SeqNumber(header.isn).plus(1) } else { SeqNumber(header.seq) };
        Self { start, is_certain }
    }

    /// What a packet is to the connection, by the numbers of its client.
    pub fn relation(self, header: &EventHeader) -> Relation {
        let is_isn_known = header.flags & flags::ISN_KNOWN != 0;
        match header.kind {
            kind::CLIENT_DATA | kind::CLIENT_FOLLOW_UP | kind::CLIENT_CLOSE if is_isn_known => {
                let is_first = header.kind == kind::CLIENT_DATA && header.flags & flags::FIRST != 0;
                if SeqNumber(header.isn).plus(1) == self.start {
                    Relation::Own
                } else if is_first {
                    Relation::Later
                } else {
                    Relation::Foreign
                }
            }
            kind::CLIENT_DATA => {
                // The byte before the first may be a keep-alive probe's.
                let is_near = SeqNumber(header.seq).is_within(self.start.minus(1), CLIENT_WINDOW + 2);
                if is_near { Relation::Own } else { Relation::Later }
            }
            kind::CLIENT_FOLLOW_UP | kind::CLIENT_CLOSE => Relation::Own,
            _ if is_isn_known && self.is_certain && SeqNumber(header.isn).plus(1) != self.start => {
                Relation::Foreign
            }
            _ => Relation::Own,
        }
    }
}

/// A [`FlowKey`] in the 36 bytes of the wire instead of 64, for tables of many connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WireKey {
    client_addr: [u8; 16],
    gateway_addr: [u8; 16],
    client_port: u16,
    gateway_port: u16,
}

impl WireKey {
    pub(crate) fn of(header: &EventHeader) -> Self {
        Self {
            client_addr: header.client_addr,
            gateway_addr: header.gateway_addr,
            client_port: header.client_port,
            gateway_port: header.gateway_port,
        }
    }
}

/// As whole numbers: a derived one hashes the length of each array, too.
impl Hash for WireKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from_ne_bytes(self.client_addr));
        state.write_u128(u128::from_ne_bytes(self.gateway_addr));
        state.write_u32(u32::from(self.client_port) << 16 | u32::from(self.gateway_port));
    }
}

impl From<WireKey> for FlowKey {
    fn from(key: WireKey) -> Self {
        Self {
            client: SocketAddr::new(ip(key.client_addr), key.client_port),
            gateway: SocketAddr::new(ip(key.gateway_addr), key.gateway_port),
        }
    }
}

impl From<FlowKey> for WireKey {
    fn from(FlowKey { client, gateway }: FlowKey) -> Self {
        let [client_addr, gateway_addr] = [client, gateway].map(|end| match end.ip() {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        });
        Self { client_addr, gateway_addr, client_port: client.port(), gateway_port: gateway.port() }
    }
}

fn ip(octets: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(octets).to_canonical()
}
