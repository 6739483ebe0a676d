//! A TCP segment as an IP packet, whole or in fragments.

use std::net::SocketAddr;

use etherparse::{
    IpFragOffset, IpNumber, Ipv4Header, Ipv6FragmentHeader, Ipv6Header, PacketBuilder, TcpHeader,
};

const HOP_LIMIT: u8 = 64;
const WINDOW: u16 = 64_240;
/// Of the datagrams that come in fragments. One for each connection is enough: none has two of them.
const IDENTIFICATION: u16 = 0x5e1f;

/// A TCP segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) seq: u32,
    /// What it acknowledges; only a client's SYN does not.
    pub(super) ack: Option<u32>,
    pub(super) flags: Flags,
    pub(super) options: &'a [u8],
    pub(super) payload: &'a [u8],
}

/// The flags of a segment, besides ACK.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Flags {
    #[default]
    None,
    Syn,
    Fin,
    Rst,
}

impl Segment<'_> {
    /// The segment in one IP packet.
    pub(super) fn packet(&self) -> Vec<u8> {
        let mut tcp = TcpHeader::new(self.source.port(), self.destination.port(), self.seq, WINDOW);
        tcp.syn = self.flags == Flags::Syn;
        tcp.fin = self.flags == Flags::Fin;
        tcp.rst = self.flags == Flags::Rst;
        tcp.psh = !self.payload.is_empty();
        tcp.ack = self.ack.is_some();
        tcp.acknowledgment_number = self.ack.unwrap_or(0);
        tcp.set_options_raw(self.options).expect("options fit a TCP header");
        let builder = match (self.source, self.destination) {
            (SocketAddr::V4(source), SocketAddr::V4(destination)) => {
                PacketBuilder::ipv4(source.ip().octets(), destination.ip().octets(), HOP_LIMIT)
            }
            (SocketAddr::V6(source), SocketAddr::V6(destination)) => {
                PacketBuilder::ipv6(source.ip().octets(), destination.ip().octets(), HOP_LIMIT)
            }
            _ => panic!("both ends of a connection have addresses of one family"),
        };
        let mut bytes = Vec::new();
        builder.tcp_header(tcp).write(&mut bytes, self.payload).expect("a segment fits an IP packet");
        bytes
    }
}

/// The packet in fragments of `payload_len` bytes (a multiple of 8) behind the IP header.
pub(super) fn fragments(packet: &[u8], payload_len: usize) -> Vec<Vec<u8>> {
    assert_eq!(payload_len % 8, 0, "fragments are counted in units of 8 bytes");
    let (head, payload) = Head::parse(packet);
    let count = payload.len().div_ceil(payload_len);
    let chunks = payload.chunks(payload_len).enumerate();
    chunks
        .map(|(index, chunk)| {
            let offset = u16::try_from(index * payload_len / 8).expect("a packet has less than 64 KiB");
            let offset = IpFragOffset::try_new(offset).expect("13 bits are enough for units of 8 bytes");
            head.fragment(chunk, offset, index + 1 < count)
        })
        .collect()
}

#[derive(Debug)]
enum Head {
    V4(Ipv4Header),
    V6(Ipv6Header),
}

impl Head {
    fn parse(packet: &[u8]) -> (Self, &[u8]) {
        if packet[0] >> 4 == 4 {
            let (header, payload) = Ipv4Header::from_slice(packet).expect("a packet of this module");
            (Self::V4(header), payload)
        } else {
            let (header, payload) = Ipv6Header::from_slice(packet).expect("a packet of this module");
            (Self::V6(header), payload)
        }
    }

    fn fragment(&self, chunk: &[u8], offset: IpFragOffset, more: bool) -> Vec<u8> {
        let mut bytes = match self {
            Self::V4(header) => {
                let mut header = header.clone();
                header.set_payload_len(chunk.len()).expect("part of a packet");
                header.identification = IDENTIFICATION;
                header.dont_fragment = false;
                header.fragment_offset = offset;
                header.more_fragments = more;
                header.header_checksum = header.calc_header_checksum();
                header.to_bytes().to_vec()
            }
            Self::V6(header) => {
                let mut header = header.clone();
                let extension =
                    Ipv6FragmentHeader::new(header.next_header, offset, more, IDENTIFICATION.into());
                header.next_header = IpNumber::IPV6_FRAGMENTATION_HEADER;
                header.set_payload_length(Ipv6FragmentHeader::LEN + chunk.len()).expect("part of a packet");
                [&header.to_bytes()[..], &extension.to_bytes()].concat()
            }
        };
        bytes.extend_from_slice(chunk);
        bytes
    }
}
