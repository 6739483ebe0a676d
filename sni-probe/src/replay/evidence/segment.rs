//! The ends of a connection, from any segment of it.

use std::net::{IpAddr, SocketAddr};

use sni_probe_common::segment::{Interest, segment};
use sni_probe_common::tunnel::Tunnels;
use sni_probe_common::userspace::{Frame, Layer};
use sni_probe_common::wire::{IpVersion, Read, Unreadable};
use sni_probe_core::frame::IpPacket;

/// What tells a TCP segment's connection.
pub(super) struct Segment {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// The low byte of the TCP flags.
    pub(super) flags: u8,
}

impl Segment {
    /// `None` if the packet is no TCP.
    pub(super) fn read(packet: &IpPacket<'_>) -> Option<Self> {
        let IpPacket { bytes, wire_len, .. } = *packet;
        let frame = Frame { layer: Layer::Ip, wire_len, ..Frame::new(bytes, 0) };
        let segment = segment(&frame, &Ends).ok()??;
        // As the tracker has them: an IPv4 address in an IPv6 header is one.
        let [source, destination] = segment.flow.map(|address| address.to_canonical());
        let [source_port, destination_port] = [segment.ports >> 16, segment.ports & 0xffff];
        let end = |address, port| Some(SocketAddr::new(address, u16::try_from(port).ok()?));
        Some(Self {
            source: end(source, source_port)?,
            destination: end(destination, destination_port)?,
            flags: segment.flags,
        })
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
