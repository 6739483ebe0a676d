//! From what the datapath knows of a packet to the event.

use super::flow::Sender;
use super::{Segment, Sink};
use crate::counters::Counter;
use crate::event::EventHeader;
use crate::segment;
use crate::seq::SeqNumber;
use crate::wire::{Packet, Rejected};

/// What is known of a packet that is to become an event.
pub(super) struct Draft {
    pub(super) segment: Segment,
    pub(super) sender: Sender,
    pub(super) kind: u8,
    pub(super) seq: SeqNumber,
    pub(super) isn: SeqNumber,
    pub(super) flags: u8,
    pub(super) data_len: u32,
}

impl Draft {
    #[inline(always)]
    pub(super) fn emit<P: Packet, S: Sink>(&self, packet: &P, sink: &mut S) -> Result<(), Rejected> {
        let Self { segment, .. } = self;
        let (source, destination) = if segment.flow.header & 1 == 0 {
            let (source, destination) = segment.flow.addresses;
            (ipv4_mapped(source), ipv4_mapped(destination))
        } else {
            let addresses = segment::ipv6_addresses(packet, segment.flow.header >> 1)?;
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
            isn: self.isn.0,
            seq: self.seq.0,
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
