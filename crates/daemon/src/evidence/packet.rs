//! From an event back to a packet.
//!
//! What an event does not tell is filled in, always with the same: no link layer, a TTL of 64, "don't fragment", the
//! widest window, no options. All else is as it was on the wire, checksums included where all payload was copied.

use etherparse::{IpNumber, Ipv4Header, Ipv6Header, TcpHeader};
use sni_probe_core::flow::FlowKey;
use sni_probe_datapath::event::{Event, EventHeader, flags, kind, tcp_flags};
use sni_probe_datapath::seq::SeqNumber;

/// `LINKTYPE_RAW`: packets begin with their IP header, of either version.
pub(super) const LINK_TYPE: u16 = 101;

const TTL: u8 = 64;
/// Not 0: that would mean that nothing may be sent.
const WINDOW: u16 = u16::MAX;

/// An event that is kept.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    header: EventHeader,
    data: Box<[u8]>,
}

/// A packet as it may have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rebuilt {
    /// From the IP header on; not all of the payload where not all was copied.
    pub(super) bytes: Vec<u8>,
    /// Length on the wire in bytes, from the IP header on.
    pub(super) wire_len: usize,
}

impl Packet {
    pub(super) fn of(event: &Event<'_>) -> Self {
        Self { header: event.header, data: event.data.into() }
    }

    /// Bytes of memory that it takes.
    pub(super) fn size(event: &Event<'_>) -> usize {
        size_of::<Self>() + event.data.len()
    }

    /// See [`EventHeader::time_ns`].
    pub(super) fn time_ns(&self) -> u64 {
        self.header.time_ns
    }

    /// Whether it carries the first byte that the client sent.
    pub(super) fn begins_stream(&self) -> bool {
        let EventHeader { kind, seq, isn, .. } = self.header;
        kind == kind::CLIENT_DATA && SeqNumber(seq) == SeqNumber(isn).plus(1)
    }

    /// The SYN that opened the connection, if it was seen: no event is made of it, but its sequence number is in
    /// all that follow. Its time is not known, and is that of this packet. `None` if this packet is the SYN.
    pub(super) fn syn(&self) -> Option<Rebuilt> {
        let header = &self.header;
        if header.flags & flags::ISN_KNOWN == 0 || header.tcp_flags & tcp_flags::SYN != 0 {
            return None;
        }
        let FlowKey { client, gateway } = FlowKey::of(header);
        let mut tcp = TcpHeader::new(client.port(), gateway.port(), header.isn, WINDOW);
        tcp.syn = true;
        Some(rebuild(header.client_addr, header.gateway_addr, tcp, &[], 0))
    }

    /// The FIN of the gateway that was seen before the client's first data. Whether it was a RST is not known, and its
    /// number is the one before what the client acknowledges. `None` if there was none.
    pub(super) fn gateway_fin(&self) -> Option<Rebuilt> {
        let header = &self.header;
        if header.flags & flags::GATEWAY_CLOSED == 0 {
            return None;
        }
        let FlowKey { client, gateway } = FlowKey::of(header);
        let seq = SeqNumber(header.ack).minus(1);
        let mut tcp = TcpHeader::new(gateway.port(), client.port(), seq.0, WINDOW);
        (tcp.fin, tcp.ack) = (true, true);
        tcp.acknowledgment_number = SeqNumber(header.isn).plus(1).0;
        Some(rebuild(header.gateway_addr, header.client_addr, tcp, &[], 0))
    }

    pub(super) fn rebuild(&self) -> Rebuilt {
        let Self { header, data } = self;
        let of_client = header.is_from_client();
        let client = (header.client_addr, header.client_port);
        let gateway = (header.gateway_addr, header.gateway_port);
        let (source, destination) = if of_client { (client, gateway) } else { (gateway, client) };
        // SYN takes a number of its own, before the data that came with it.
        let is_syn = header.tcp_flags & tcp_flags::SYN != 0;
        let seq = SeqNumber(header.seq).minus(u32::from(is_syn));
        let mut tcp = TcpHeader::new(source.1, destination.1, seq.0, WINDOW);
        tcp.acknowledgment_number = header.ack;
        let has = |bit: u8| header.tcp_flags & bit != 0;
        // The bits without a name here are of RFC 9293 and 3168.
        (tcp.fin, tcp.syn, tcp.rst, tcp.psh) = (has(tcp_flags::FIN), is_syn, has(tcp_flags::RST), has(0x08));
        (tcp.ack, tcp.urg, tcp.ece, tcp.cwr) = (has(tcp_flags::ACK), has(0x20), has(0x40), has(0x80));
        rebuild(source.0, destination.0, tcp, data, header.payload_len as usize)
    }
}

/// `payload_len` is the length on the wire, of which `payload` is the beginning.
fn rebuild(
    source: [u8; 16],
    destination: [u8; 16],
    mut tcp: TcpHeader,
    payload: &[u8],
    payload_len: usize,
) -> Rebuilt {
    let segment_len = TcpHeader::MIN_LEN + payload_len;
    let mut bytes = Vec::with_capacity(Ipv6Header::LEN + TcpHeader::MIN_LEN + payload.len());
    // An error would be a segment that is too long, and none can be.
    let ip_len = if let (Some(source), Some(destination)) = (ipv4(source), ipv4(destination)) {
        let longest = usize::from(u16::MAX) - Ipv4Header::MIN_LEN;
        let mut ip = Ipv4Header {
            total_len: field(segment_len.min(longest) + Ipv4Header::MIN_LEN),
            time_to_live: TTL,
            dont_fragment: true,
            protocol: IpNumber::TCP,
            source,
            destination,
            ..Ipv4Header::default()
        };
        ip.header_checksum = ip.calc_header_checksum();
        tcp.checksum = tcp.calc_checksum_ipv4(&ip, payload).unwrap_or_default();
        bytes.extend(ip.to_bytes());
        Ipv4Header::MIN_LEN
    } else {
        let ip = Ipv6Header {
            payload_length: field(segment_len),
            next_header: IpNumber::TCP,
            hop_limit: TTL,
            source,
            destination,
            ..Ipv6Header::default()
        };
        tcp.checksum = tcp.calc_checksum_ipv6(&ip, payload).unwrap_or_default();
        bytes.extend(ip.to_bytes());
        Ipv6Header::LEN
    };
    bytes.extend(tcp.to_bytes());
    bytes.extend(payload);
    Rebuilt { bytes, wire_len: ip_len + segment_len }
}

/// The IPv4 address that is in one of IPv6.
fn ipv4(address: [u8; 16]) -> Option<[u8; 4]> {
    std::net::Ipv6Addr::from(address).to_ipv4_mapped().map(|address| address.octets())
}

/// Packets that the kernel has put together may be longer than the field of their header.
fn field(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}
