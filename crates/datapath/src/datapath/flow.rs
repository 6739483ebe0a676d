//! Which segments are looked at, and the flow of each.

use super::Flows;
use crate::event::tcp_flags;
use crate::flow_table::FlowHash;
use crate::segment::Interest;
use crate::tunnel::Tunnels;
use crate::wire::{IpVersion, Read, Unreadable};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Gateway,
}

/// What of packets from one side is looked at.
pub(super) struct OneSide<'a, F> {
    pub(super) flows: &'a F,
    pub(super) sender: Sender,
}

/// The flow of a segment.
#[derive(Clone, Copy)]
pub(super) struct Flow {
    pub(super) hash: FlowHash,
    /// Source and destination: IPv4 addresses, or what IPv6 addresses were folded to.
    pub(super) addresses: (u32, u32),
    /// Twice the offset of the IP header, and 1 more for IPv6.
    pub(super) header: usize,
}

impl<F: Flows> Interest for OneSide<'_, F> {
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
        const SYN: u8 = tcp_flags::SYN;
        const SYN_ACK: u8 = SYN | tcp_flags::ACK;
        match self.sender {
            // SYN and ACK are sent by the side that accepts a connection. (Where both ports are gateway
            // ports, a packet is looked at from both sides.)
            Sender::Client if flags & SYN_ACK == SYN_ACK => false,
            // No connection begins with an end.
            Sender::Client if flags & SYN != 0 && flags & (tcp_flags::FIN | tcp_flags::RST) != 0 => false,
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
        let header = at << 1 | usize::from(version == IpVersion::V6);
        Ok(Flow { hash, addresses: (source, destination), header })
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
