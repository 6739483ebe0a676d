//! A simulated TCP connection: who says what, in which segments, when.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::packet::{Flags, Segment, fragments};
use super::{Capture, START_NS, Side, TimedPacket};

const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 7);
const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 9);
const GATEWAY_PORT: u16 = 443;
const CLIENT_PORT: u16 = 51_234;

/// Maximum segment size, SACK permitted, window scale; padded.
const SYN_OPTIONS: [u8; 12] = [2, 4, 0x05, 0xb4, 4, 2, 1, 1, 3, 3, 7, 1];
/// The same with a cookie of TCP fast open (RFC 7413, section 4.1.1).
const FAST_OPEN_OPTIONS: [u8; 24] =
    [2, 4, 0x05, 0xb4, 4, 2, 1, 1, 3, 3, 7, 1, 34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1];

/// Between two packets, unless [`Connection::after`] says otherwise.
const STEP: Duration = Duration::from_micros(200);

/// In which order fragments come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FragmentOrder {
    /// The first one first.
    InOrder,
    /// The last one first.
    Reversed,
}

/// A connection between a client and a gateway, packet by packet.
#[derive(Debug, Clone)]
pub struct Connection {
    client: End,
    gateway: End,
    /// When the next packet is seen, in nanoseconds since 1970.
    now_ns: u64,
    packets: Vec<TimedPacket>,
}

#[derive(Debug, Clone, Copy)]
struct End {
    address: SocketAddr,
    isn: u32,
    /// Numbers that it has sent: its SYN, its bytes, its FIN.
    sent: u32,
}

impl End {
    /// The number behind all that it has sent.
    fn next(&self) -> u32 {
        self.isn.wrapping_add(self.sent)
    }
}

impl Connection {
    /// A connection of which nothing was seen yet.
    pub fn new(client: SocketAddr, gateway: SocketAddr) -> Self {
        Self {
            client: End { address: client, isn: 0x1234_5678, sent: 0 },
            gateway: End { address: gateway, isn: 0x9abc_def0, sent: 0 },
            now_ns: START_NS,
            packets: Vec::new(),
        }
    }

    /// One over IPv4, to port 443.
    pub fn v4() -> Self {
        Self::between(CLIENT_V4.into(), GATEWAY_V4.into())
    }

    /// One over IPv6, to port 443.
    pub fn v6() -> Self {
        Self::between(CLIENT_V6.into(), GATEWAY_V6.into())
    }

    fn between(client: IpAddr, gateway: IpAddr) -> Self {
        Self::new(SocketAddr::new(client, CLIENT_PORT), SocketAddr::new(gateway, GATEWAY_PORT))
    }

    /// From another port of the client.
    #[must_use]
    pub fn client_port(mut self, port: u16) -> Self {
        self.client.address.set_port(port);
        self
    }

    /// To another port of the gateway.
    #[must_use]
    pub fn gateway_port(mut self, port: u16) -> Self {
        self.gateway.address.set_port(port);
        self
    }

    /// With these initial sequence numbers.
    #[must_use]
    pub fn isns(mut self, client: u32, gateway: u32) -> Self {
        self.client.isn = client;
        self.gateway.isn = gateway;
        self
    }

    /// With its first packet at this time, in nanoseconds since 1970.
    #[must_use]
    pub fn starting_at(mut self, time_ns: u64) -> Self {
        self.now_ns = time_ns;
        self
    }

    /// The client's address and port.
    pub fn client_address(&self) -> SocketAddr {
        self.client.address
    }

    /// The gateway's address and port.
    pub fn gateway_address(&self) -> SocketAddr {
        self.gateway.address
    }

    /// What was seen so far.
    pub fn packets(&self) -> &[TimedPacket] {
        &self.packets
    }

    /// A capture of this connection alone.
    pub fn capture(&self) -> Capture {
        Capture::of([self])
    }

    /// Lets time pass before the next packet.
    pub fn after(&mut self, pause: Duration) -> &mut Self {
        self.now_ns += nanoseconds(pause);
        self
    }

    /// The three packets that open a connection.
    pub fn open(&mut self) -> &mut Self {
        self.syn().syn_ack().ack()
    }

    /// The client's SYN.
    pub fn syn(&mut self) -> &mut Self {
        self.fast_open_or_syn(&SYN_OPTIONS, &[])
    }

    /// The client's SYN with data: TCP fast open.
    pub fn syn_with_data(&mut self, payload: &[u8]) -> &mut Self {
        self.fast_open_or_syn(&FAST_OPEN_OPTIONS, payload)
    }

    fn fast_open_or_syn(&mut self, options: &[u8], payload: &[u8]) -> &mut Self {
        let packet = Segment {
            source: self.client.address,
            destination: self.gateway.address,
            seq: self.client.isn,
            ack: None,
            flags: Flags::Syn,
            options,
            payload,
        };
        self.see(Side::Client, packet.packet());
        self.client.sent = 1 + length(payload);
        self
    }

    /// The gateway's SYN.
    pub fn syn_ack(&mut self) -> &mut Self {
        let packet = self.segment(Side::Gateway, self.gateway.isn, Flags::Syn, &SYN_OPTIONS, &[]);
        self.see(Side::Gateway, packet);
        self.gateway.sent = 1;
        self
    }

    /// A bare ACK of the client.
    pub fn ack(&mut self) -> &mut Self {
        self.only(Side::Client, Flags::None)
    }

    /// A bare ACK of the gateway.
    pub fn gateway_ack(&mut self) -> &mut Self {
        self.only(Side::Gateway, Flags::None)
    }

    /// The next bytes of the client, in one segment.
    pub fn client(&mut self, payload: &[u8]) -> &mut Self {
        self.send(Side::Client, payload)
    }

    /// The next bytes of the client, in segments of at most `size` bytes.
    pub fn client_in_segments(&mut self, payload: &[u8], size: usize) -> &mut Self {
        payload.chunks(size).fold(self, |connection, chunk| connection.client(chunk))
    }

    /// A segment of the client that begins `offset` bytes behind the start of its stream: one that
    /// comes too early, too late, or again.
    ///
    /// # Panics
    /// When the offset has more than 32 bits.
    pub fn client_at(&mut self, offset: usize, payload: &[u8]) -> &mut Self {
        let before = 1 + u32::try_from(offset).expect("a stream of a scenario is short");
        let seq = self.client.isn.wrapping_add(before);
        let packet = self.segment(Side::Client, seq, Flags::None, &[], payload);
        self.see(Side::Client, packet);
        self.client.sent = self.client.sent.max(before + length(payload));
        self
    }

    /// The next bytes of the client, in one segment whose packet comes in IP fragments with
    /// `fragment_len` bytes each (a multiple of 8).
    ///
    /// # Panics
    /// When it is no multiple of 8.
    pub fn client_in_fragments(
        &mut self,
        payload: &[u8],
        fragment_len: usize,
        order: FragmentOrder,
    ) -> &mut Self {
        let packet = self.segment(Side::Client, self.client.next(), Flags::None, &[], payload);
        let mut fragments = fragments(&packet, fragment_len);
        if order == FragmentOrder::Reversed {
            fragments.reverse();
        }
        for fragment in fragments {
            self.see(Side::Client, fragment);
        }
        self.client.sent += length(payload);
        self
    }

    /// The next bytes of the gateway, in one segment.
    pub fn gateway(&mut self, payload: &[u8]) -> &mut Self {
        self.send(Side::Gateway, payload)
    }

    /// FIN of the client.
    pub fn client_fin(&mut self) -> &mut Self {
        self.fin(Side::Client)
    }

    /// FIN of the gateway.
    pub fn gateway_fin(&mut self) -> &mut Self {
        self.fin(Side::Gateway)
    }

    /// RST of the client.
    pub fn client_reset(&mut self) -> &mut Self {
        self.only(Side::Client, Flags::Rst)
    }

    /// RST of the gateway, as Envoy sends it to a hello that no filter chain matches.
    pub fn gateway_reset(&mut self) -> &mut Self {
        self.only(Side::Gateway, Flags::Rst)
    }

    fn send(&mut self, side: Side, payload: &[u8]) -> &mut Self {
        let packet = self.segment(side, self.end(side).next(), Flags::None, &[], payload);
        self.see(side, packet);
        self.end_mut(side).sent += length(payload);
        self
    }

    fn only(&mut self, side: Side, flags: Flags) -> &mut Self {
        let packet = self.segment(side, self.end(side).next(), flags, &[], &[]);
        self.see(side, packet);
        self
    }

    fn fin(&mut self, side: Side) -> &mut Self {
        self.only(side, Flags::Fin);
        self.end_mut(side).sent += 1;
        self
    }

    fn segment(&self, side: Side, seq: u32, flags: Flags, options: &[u8], payload: &[u8]) -> Vec<u8> {
        let (source, destination) = match side {
            Side::Client => (&self.client, &self.gateway),
            Side::Gateway => (&self.gateway, &self.client),
        };
        let segment = Segment {
            source: source.address,
            destination: destination.address,
            seq,
            ack: Some(destination.next()),
            flags,
            options,
            payload,
        };
        segment.packet()
    }

    fn see(&mut self, sender: Side, bytes: Vec<u8>) {
        self.packets.push(TimedPacket { time_ns: self.now_ns, sender, bytes });
        self.now_ns += nanoseconds(STEP);
    }

    fn end(&self, side: Side) -> &End {
        match side {
            Side::Client => &self.client,
            Side::Gateway => &self.gateway,
        }
    }

    fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Gateway => &mut self.gateway,
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("a capture is shorter than centuries")
}

fn length(payload: &[u8]) -> u32 {
    u32::try_from(payload.len()).expect("a segment fits an IP packet")
}
