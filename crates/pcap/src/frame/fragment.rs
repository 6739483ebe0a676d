//! One fragment of an IP datagram (RFC 791, section 3.1; RFC 8200, section 4.5).

use super::network::{IPV4_MORE, IPV4_OFFSET, IPV6_MORE, IPV6_OFFSET, protocol};
use super::step::{FragmentAt, Payload, u16_at};
use super::tunnel;

/// Greatest length that an IP header can say.
const MAX_LEN: usize = u16::MAX as usize;

/// What the fragments of a datagram have in common. (The protocol is no part of it in IPv6.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    V4 { src: [u8; 4], dst: [u8; 4], id: u16, protocol: u8 },
    V6 { src: [u8; 16], dst: [u8; 16], id: u32 },
}

/// A fragment in its frame.
#[derive(Debug)]
pub(super) struct Fragment<'a> {
    pub(super) key: Key,
    /// Where its data is in the datagram's.
    pub(super) offset: usize,
    pub(super) is_last: bool,
    /// The IP header; for IPv6 with the extension headers before the fragment header, which is left out.
    pub(super) header: &'a [u8],
    /// What the datagram carries, and where its header is to say so.
    pub(super) protocol: u8,
    pub(super) protocol_at: usize,
    /// As far as captured.
    pub(super) data: &'a [u8],
    /// Length of the data according to the IP header.
    pub(super) data_len: usize,
}

impl<'a> Fragment<'a> {
    /// Reads the fragment in an IP packet at which [`ip`](super::network::ip) stopped.
    pub(super) fn read(packet: Payload<'a>, at: FragmentAt) -> Option<Self> {
        let [header_len, protocol_at, data_at] = [at.header_len, at.protocol_at, at.data].map(usize::from);
        let header = packet.bytes.get(..header_len)?;
        let data = packet.bytes.get(data_at..)?;
        let (key, offset, more, protocol);
        if header.first()? >> 4 == 4 {
            let header: &[u8; 20] = header.first_chunk()?;
            let [src, dst] = [12, 16].map(|at| array_at(header, at));
            let flags = u16_at(header, 6);
            protocol = header[9];
            key = Key::V4 { src, dst, id: u16_at(header, 4), protocol };
            (offset, more) = (usize::from(flags & IPV4_OFFSET) * 8, flags & IPV4_MORE);
        } else {
            let header: &[u8; 40] = header.first_chunk()?;
            let fragment_header: &[u8; 8] = packet.bytes.get(header_len..)?.first_chunk()?;
            let [src, dst] = [8, 24].map(|at| array_at(header, at));
            let flags = u16_at(fragment_header, 2);
            protocol = fragment_header[0];
            key = Key::V6 { src, dst, id: u32::from_be_bytes(array_at(fragment_header, 4)) };
            (offset, more) = (usize::from(flags & IPV6_OFFSET), flags & IPV6_MORE);
        }
        let data_len = packet.wire_len - data_at;
        Some(Self { key, offset, is_last: more == 0, header, protocol, protocol_at, data, data_len })
    }

    /// Whether it shows that its datagram is none of our business: UDP whose ports are no tunnel's.
    pub(super) fn is_irrelevant(&self) -> bool {
        let ports = self.data.first_chunk().filter(|_| self.offset == 0 && self.protocol == protocol::UDP);
        ports.is_some_and(|&ports| !tunnel::is_tunnel(ports))
    }

    /// Whether its length or place is impossible.
    pub(super) fn is_malformed(&self) -> bool {
        let fills_units = self.is_last || self.data_len.is_multiple_of(8);
        !fills_units || self.data_len == 0 || self.offset + self.data_len > MAX_LEN
    }
}

/// The bytes at a constant offset.
fn array_at<const N: usize, const M: usize>(header: &[u8; N], offset: usize) -> [u8; M] {
    std::array::from_fn(|i| header[offset + i])
}
