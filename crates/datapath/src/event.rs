//! The record that the datapath hands to user space: a fixed [`EventHeader`], then the copied bytes.

use bytemuck::{Pod, Zeroable};

/// Bytes of a client's stream, from its first one, that are of interest.
///
/// A ClientHello must end within them. Envoy's limit for a hello is the same 16 KiB.
pub const CLIENT_WINDOW: u32 = 16 * 1024;

/// Bytes copied of each segment of the gateway's answer: a ServerHello's random (which tells a
/// HelloRetryRequest) ends at byte 43, and a HelloRetryRequest with a cookie of usual length fits.
pub const ANSWER_COPY: u32 = 256;

/// Bytes copied of a segment after the ServerHello, at most. They hold the headers of the records that decide. The header of the last
/// one ends at byte 86 where it comes after a `ClientKeyExchange` of TLS 1.2 with a key of 65 bytes and a change of cipher
/// specs; at byte 75 where it is an alert after JSSE's extensions.
pub const FOLLOW_UP_COPY: u32 = 88;

/// Bytes copied of the gateway's segments after the client has replied to the ServerHello: a plaintext alert has 7.
pub const REACTION_COPY: u32 = 8;

/// Size of the ring buffer between kernel and user space: 100,000 hellos of usual length in a second
/// fill two thirds of it between two polls of the reader, 50 ms apart.
pub const RING_BYTES: u32 = 4 * 1024 * 1024;

/// What happened, one packet each. Values of [`EventHeader::kind`].
pub mod kind {
    /// Payload of the client, inside its first [`CLIENT_WINDOW`](super::CLIENT_WINDOW) bytes.
    /// The packet may carry FIN or RST as well: see `tcp_flags`.
    pub const CLIENT_DATA: u8 = 1;
    /// The beginning of a payload segment of the gateway's answer. May carry FIN or RST as well.
    pub const GATEWAY_DATA: u8 = 2;
    /// FIN or RST of the client, without payload.
    pub const CLIENT_CLOSE: u8 = 3;
    /// FIN or RST of the gateway, without payload.
    pub const GATEWAY_CLOSE: u8 = 4;
    /// The beginning of a payload segment of the client after the ServerHello. May carry FIN or RST as well.
    pub const CLIENT_FOLLOW_UP: u8 = 5;
    /// The beginning of a payload segment of the gateway after the one with the ServerHello. May carry FIN or RST as well.
    pub const GATEWAY_FOLLOW_UP: u8 = 6;
}

/// Bits of [`EventHeader::tcp_flags`], as on the wire (RFC 9293, section 3.1).
pub mod tcp_flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgement field is significant.
    pub const ACK: u8 = 0x10;
}

/// Bits of [`EventHeader::flags`].
pub mod flags {
    /// The client's SYN was seen, so [`EventHeader::isn`](super::EventHeader::isn) is the
    /// connection's real initial sequence number. Without it the flow was picked up in mid
    /// stream, at a segment that starts like a ClientHello.
    pub const ISN_KNOWN: u8 = 0x01;
    /// With `CLIENT_DATA`: the first payload of the client since its SYN opened the flow table entry. A
    /// retransmission does not have it, nor does the same packet seen on a second interface.
    pub const FIRST: u8 = 0x02;
    /// With `CLIENT_DATA`: the client's FIN was seen before this packet (a FIN that overtook data).
    pub const CLIENT_CLOSED: u8 = 0x04;
    /// With `CLIENT_DATA`: the gateway's FIN or RST was seen before the client's first payload.
    pub const GATEWAY_CLOSED: u8 = 0x08;
    /// With `CLIENT_DATA`: no flow table entry could be had, so no answer will be seen.
    pub const UNFOLLOWED: u8 = 0x10;
    /// The capture has fewer bytes of the payload than were to be copied. The kernel's programs never set it.
    pub const TRUNCATED: u8 = 0x20;
    /// With `CLIENT_FOLLOW_UP` and `GATEWAY_FOLLOW_UP`: the last event of the connection.
    pub const LAST: u8 = 0x40;
}

/// One event, in host byte order. The copied bytes follow it directly in the ring buffer.
///
/// The ABI between the TC programs and the daemon: fixed-width fields and no padding, so that
/// `bytemuck` reads it from any byte slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct EventHeader {
    /// Nanoseconds: of `CLOCK_MONOTONIC` live, since 1970 in a replay.
    pub time_ns: u64,
    /// The side that opened the connection; IPv4 as `::ffff:a.b.c.d`.
    pub client_addr: [u8; 16],
    /// The side that listens on a gateway port; IPv4 as `::ffff:a.b.c.d`.
    pub gateway_addr: [u8; 16],
    /// The client's TCP port.
    pub client_port: u16,
    /// The gateway's TCP port.
    pub gateway_port: u16,
    /// Index of the interface that saw the packet; in a replay the number of its frame.
    pub ifindex: u32,
    /// Initial sequence number of the client: its first payload byte has `isn + 1`.
    /// For kinds of the gateway meaningless.
    pub isn: u32,
    /// Sequence number of this packet's first payload byte.
    pub seq: u32,
    /// Acknowledgement number of this packet.
    pub ack: u32,
    /// Length of the TCP payload according to the IP header, in bytes.
    pub payload_len: u32,
    /// How many bytes of the payload, from its start, follow this header.
    pub data_len: u32,
    /// One of [`kind`].
    pub kind: u8,
    /// The low byte of the TCP flags: see [`tcp_flags`].
    pub tcp_flags: u8,
    /// See [`flags`].
    pub flags: u8,
    /// Zero.
    pub padding: u8,
}

impl EventHeader {
    /// Whether the client sent the packet.
    pub const fn is_from_client(&self) -> bool {
        matches!(self.kind, kind::CLIENT_DATA | kind::CLIENT_FOLLOW_UP | kind::CLIENT_CLOSE)
    }
}

const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<EventHeader>() == 72);
    assert!(align_of::<EventHeader>() == 8);
    assert!(offset_of!(EventHeader, client_addr) == 8);
    assert!(offset_of!(EventHeader, client_port) == 40);
    assert!(offset_of!(EventHeader, isn) == 48);
    assert!(offset_of!(EventHeader, data_len) == 64);
    assert!(offset_of!(EventHeader, padding) == 71);
};

/// An event as user space handles it: the header and the bytes that were copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// What happened, where and when.
    pub header: EventHeader,
    /// The first `header.data_len` bytes of the TCP payload.
    pub data: &'a [u8],
}

impl<'a> Event<'a> {
    /// Reads a ring buffer record. The record may be longer than the event: the kernel reserves
    /// in size classes.
    ///
    /// `None` if the record is shorter than its header says (another program's ring, or another
    /// version's): the caller counts it as lost.
    pub fn from_record(record: &'a [u8]) -> Option<Self> {
        let (header, rest) = record.split_at_checked(size_of::<EventHeader>())?;
        let header: EventHeader = bytemuck::pod_read_unaligned(header);
        let data = rest.get(..header.data_len as usize)?;
        Some(Self { header, data })
    }
}
