//! Frames from templates: headers and payloads are copied, what differs is patched, and checksums are sums
//! that are known but for it.

use std::net::SocketAddr;

use super::DURATION;
use super::checksum::{fold, sum, words};
use super::payloads::{Patch, Payload};
use crate::captures::packet::{Flags, Segment};
use crate::captures::{LinkType, START_NS, Side, TimedPacket};

const RECORD_HEADER: usize = 16;
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const NS_PER_S: u64 = 1_000_000_000;

/// TCP's flags, as they are on the wire.
pub(super) mod flags {
    pub(in super::super) const FIN_ACK: u8 = 0x11;
    pub(in super::super) const SYN: u8 = 0x02;
    pub(in super::super) const RST_ACK: u8 = 0x14;
    pub(in super::super) const PSH_ACK: u8 = 0x18;
    pub(in super::super) const ACK: u8 = 0x10;
    pub(in super::super) const SYN_ACK: u8 = 0x12;
}

/// Who talks to the gateway, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path {
    pub(super) is_v6: bool,
    pub(super) has_vlan_tag: bool,
    /// The last 32 bits of the client's address.
    pub(super) client: u32,
    pub(super) client_port: u16,
    pub(super) gateway_port: u16,
}

/// A TCP segment of a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tcp<'a> {
    pub(super) sender: Side,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) payload: &'a Payload,
    /// What the patch of the payload says, if it has one.
    pub(super) patch: Patch,
}

/// The headers of a frame, all that differs from frame to frame being 0.
#[derive(Debug)]
struct Headers {
    bytes: Vec<u8>,
    /// Where the IP header begins.
    network: usize,
    /// Where the TCP header begins.
    transport: usize,
    /// Where the last 32 bits of the client's address are.
    client: usize,
    /// The sum of the IP header's words (IPv4).
    network_sum: u32,
    /// The sum of the words of the TCP header and the pseudo-header.
    transport_sum: u32,
}

impl Headers {
    fn new(is_v6: bool, link_type: LinkType, sender: Side) -> Self {
        let gateway = if is_v6 { "[2001:db8:2::9]:0" } else { "198.51.100.9:0" };
        let client = if is_v6 { "[2001:db8:1::]:0" } else { "0.0.0.0:0" };
        let [client, gateway]: [SocketAddr; 2] =
            [client, gateway].map(|text| text.parse().expect("an address"));
        let (source, destination) = match sender {
            Side::Client => (client, gateway),
            Side::Gateway => (gateway, client),
        };
        let segment = Segment {
            source,
            destination,
            seq: 0,
            ack: None,
            flags: Flags::None,
            options: &[],
            payload: &[],
        };
        let mut packet = TimedPacket { time_ns: 0, sender, bytes: segment.packet() };
        let link = link_type.header(&packet);
        let network = link.len();
        let transport = network + packet.bytes.len() - TCP_HEADER;
        let (length_at, source_at, address_len) = if is_v6 { (4, 8, 16) } else { (2, 12, 4) };
        packet.bytes[length_at..length_at + 2].fill(0);
        if !is_v6 {
            packet.bytes[10..12].fill(0);
        }
        let tcp = packet.bytes.len() - TCP_HEADER;
        packet.bytes[tcp + 16..tcp + 18].fill(0);
        let addresses = sum(&packet.bytes[source_at..source_at + 2 * address_len]);
        let protocol = 6;
        let client = source_at + address_len - 4 + if sender == Side::Client { 0 } else { address_len };
        Self {
            network,
            transport,
            client: network + client,
            network_sum: sum(&packet.bytes[..tcp]),
            transport_sum: addresses + protocol + sum(&packet.bytes[tcp..]),
            bytes: [link, packet.bytes].concat(),
        }
    }
}

/// The capture file, as far as it is not yet written.
#[derive(Debug)]
pub(super) struct Frames {
    headers: Vec<Headers>,
    pub(super) batch: Vec<u8>,
    /// Bytes so far, those of the batch included.
    pub(super) written: u64,
    /// Frames so far.
    pub(super) count: u64,
    /// Of the whole file.
    bytes: u64,
}

impl Frames {
    pub(super) fn new(header: Vec<u8>, bytes: u64) -> Self {
        let mut headers = Vec::new();
        for is_v6 in [false, true] {
            for link_type in [LinkType::Ethernet, LinkType::Vlan] {
                for sender in [Side::Client, Side::Gateway] {
                    headers.push(Headers::new(is_v6, link_type, sender));
                }
            }
        }
        let written = header.len() as u64;
        Self { headers, batch: header, written, count: 0, bytes }
    }

    /// Adds a TCP segment.
    pub(super) fn tcp(&mut self, path: &Path, tcp: &Tcp<'_>) {
        let index = usize::from(path.is_v6) * 4
            + usize::from(path.has_vlan_tag) * 2
            + usize::from(tcp.sender == Side::Gateway);
        let headers = &self.headers[index];
        let (network, transport) = (headers.network, headers.transport);
        let (client_at, network_sum) = (headers.client, headers.network_sum);
        let mut checksum = headers.transport_sum + tcp.payload.sum;
        let payload_len = tcp.payload.bytes.len();
        let start = self.batch.len() + RECORD_HEADER;
        let frame_len = headers.bytes.len() + payload_len;
        let record = self.record_header(frame_len);
        self.batch.extend_from_slice(&record);
        self.batch.extend_from_slice(&self.headers[index].bytes);
        self.batch.extend_from_slice(&tcp.payload.bytes);

        let frame = &mut self.batch[start..];
        let client = path.client.to_be_bytes();
        put(frame, client_at, &client);
        checksum += words(path.client);
        let (source, destination) = match tcp.sender {
            Side::Client => (path.client_port, path.gateway_port),
            Side::Gateway => (path.gateway_port, path.client_port),
        };
        put(frame, transport, &source.to_be_bytes());
        put(frame, transport + 2, &destination.to_be_bytes());
        put(frame, transport + 4, &tcp.seq.to_be_bytes());
        put(frame, transport + 8, &tcp.ack.to_be_bytes());
        frame[transport + 13] = tcp.flags;
        checksum += u32::from(source) + u32::from(destination);
        checksum += words(tcp.seq) + words(tcp.ack) + u32::from(tcp.flags);
        let segment_len = TCP_HEADER + payload_len;
        checksum += narrow(segment_len);
        checksum += tcp.payload.patch(&mut frame[transport + TCP_HEADER..], tcp.patch);
        put(frame, transport + 16, &fold(checksum));
        if path.is_v6 {
            put(frame, network + 4, &short(segment_len));
        } else {
            let length = transport - network + segment_len;
            put(frame, network + 2, &short(length));
            put(frame, network + 10, &fold(network_sum + words(path.client) + narrow(length)));
        }
    }

    /// Adds a UDP datagram over IPv4. It has no checksum, as UDP allows (RFC 768).
    pub(super) fn udp(&mut self, path: &Path, sender: Side, id: u16, payload: &[u8]) {
        const UDP: u8 = 17;
        const TCP: u32 = 6;
        let headers = &self.headers[usize::from(sender == Side::Gateway)];
        let (network, transport, client_at) = (headers.network, headers.transport, headers.client);
        let network_sum = headers.network_sum + u32::from(UDP) - TCP;
        let datagram_len = UDP_HEADER + payload.len();
        let record = self.record_header(transport + datagram_len);
        let start = self.batch.len() + RECORD_HEADER;
        self.batch.extend_from_slice(&record);
        let headers = &self.headers[usize::from(sender == Side::Gateway)];
        self.batch.extend_from_slice(&headers.bytes[..transport]);
        let (source, destination) = match sender {
            Side::Client => (path.client_port, path.gateway_port),
            Side::Gateway => (path.gateway_port, path.client_port),
        };
        for field in [source.to_be_bytes(), destination.to_be_bytes(), short(datagram_len), [0, 0]] {
            self.batch.extend_from_slice(&field);
        }
        self.batch.extend_from_slice(payload);
        let frame = &mut self.batch[start..];
        put(frame, client_at, &path.client.to_be_bytes());
        frame[network + 9] = UDP;
        put(frame, transport + UDP_HEADER, &id.to_be_bytes());
        let length = transport - network + datagram_len;
        put(frame, network + 2, &short(length));
        put(frame, network + 10, &fold(network_sum + words(path.client) + narrow(length)));
    }

    /// Counts a frame, and gives its record's header. The link is as fast as it must be for the capture
    /// to last as long as it is to.
    fn record_header(&mut self, frame_len: usize) -> [u8; RECORD_HEADER] {
        let duration = u64::try_from(DURATION.as_nanos()).expect("a capture lasts minutes");
        let past = u128::from(duration) * u128::from(self.written) / u128::from(self.bytes.max(1));
        let time_ns = START_NS + u64::try_from(past).expect("a capture lasts minutes");
        self.count += 1;
        self.written += (RECORD_HEADER + frame_len) as u64;
        let length = narrow(frame_len).to_le_bytes();
        let seconds = u32::try_from(time_ns / NS_PER_S).expect("before 2106").to_le_bytes();
        let micros = u32::try_from(time_ns % NS_PER_S / 1_000).expect("less than a second").to_le_bytes();
        let mut header = [0; RECORD_HEADER];
        for (field, value) in header.chunks_exact_mut(4).zip([seconds, micros, length, length]) {
            field.copy_from_slice(&value);
        }
        header
    }
}

fn put(frame: &mut [u8], at: usize, bytes: &[u8]) {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
}

fn narrow(length: usize) -> u32 {
    u32::try_from(length).expect("a frame is short")
}

fn short(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("a packet is short").to_be_bytes()
}
