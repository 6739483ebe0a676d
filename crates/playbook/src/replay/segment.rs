//! The ends of a connection, from any segment of it.

use std::net::{IpAddr, SocketAddr};

use sni_probe_core::holding::ConnectionHint;
use sni_probe_datapath::event::tcp_flags;
use sni_probe_datapath::segment::{Interest, segment};
use sni_probe_datapath::seq::SeqNumber;
use sni_probe_datapath::tunnel::Tunnels;
use sni_probe_datapath::userspace::{Frame, Layer};
use sni_probe_datapath::wire::{IpVersion, Read, Unreadable};
use sni_probe_pcap::frame::IpPacket;

/// A TCP segment of a frame.
pub(super) struct Segment<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// The low byte of the TCP flags.
    flags: u8,
    pub(super) seq: SeqNumber,
    ack: SeqNumber,
    payload_len: usize,
    /// The part of the payload that is in the capture.
    pub(super) payload: &'a [u8],
}

impl<'a> Segment<'a> {
    /// `None` if the packet is no TCP.
    pub(super) fn read(packet: &IpPacket<'a>) -> Option<Self> {
        let IpPacket { bytes, wire_len, .. } = *packet;
        let frame = Frame { layer: Layer::Ip, wire_len, ..Frame::new(bytes, 0) };
        let segment = segment(&frame, &Ends).ok()??;
        // As the tracker has them: an IPv4 address in an IPv6 header is one.
        let [source, destination] = segment.flow.map(|address| address.to_canonical());
        let [source_port, destination_port] = [segment.ports >> 16, segment.ports & 0xffff];
        let payload = bytes.get(segment.payload_offset..).unwrap_or_default();
        let end = |address, port| Some(SocketAddr::new(address, u16::try_from(port).ok()?));
        Some(Self {
            source: end(source, source_port)?,
            destination: end(destination, destination_port)?,
            flags: segment.flags,
            seq: SeqNumber(segment.seq),
            ack: SeqNumber(segment.ack),
            payload_len: segment.payload_len,
            payload: payload.get(..segment.payload_len).unwrap_or(payload),
        })
    }

    /// Whether it is a client's SYN.
    pub(super) fn opens(&self) -> bool {
        self.flags & (tcp_flags::SYN | tcp_flags::ACK) == tcp_flags::SYN
    }

    /// Returns what the segment shows of its connection with this client.
    pub(super) fn hint(&self, client: SocketAddr) -> ConnectionHint<'static> {
        if self.opens() {
            return ConnectionHint::Syn(self.seq);
        }
        let is_of_client = self.source == client;
        let acknowledged = (self.flags & tcp_flags::ACK != 0).then_some(self.ack);
        ConnectionHint::Segment {
            number: if is_of_client { Some(self.seq) } else { acknowledged },
            is_client_data: is_of_client && self.payload_len != 0,
        }
    }
}

/// Both addresses, of any segment.
struct Ends;

impl Interest for Ends {
    type Flow = [IpAddr; 2];

    fn wants_ports(&self, _: u32) -> bool {
        true
    }

    fn wants_segment(&self, _: u8, _: usize) -> bool {
        true
    }

    fn flow<R: Read>(
        &self,
        reader: &R,
        version: IpVersion,
        at: usize,
        _: u32,
    ) -> Result<Self::Flow, Unreadable> {
        Ok(match version {
            IpVersion::V4 => {
                let address = |at| reader.bytes_at::<4>(at).map(IpAddr::from);
                [address(at + 12)?, address(at + 16)?]
            }
            IpVersion::V6 => {
                let address = |at| reader.bytes_at::<16>(at).map(IpAddr::from);
                [address(at + 8)?, address(at + 24)?]
            }
        })
    }

    fn tunnels(&self) -> Tunnels {
        // The packet has been taken out of them.
        Tunnels::NONE
    }
}
