//! What the tests send: bytes of `sni-probe-testkit` as events.

use std::net::Ipv4Addr;

use sni_probe_datapath::event::{ANSWER_COPY, Event, EventHeader, FOLLOW_UP_COPY, flags, kind, tcp_flags};
use sni_probe_testkit::hello::{ClientHelloBuilder, TLS_1_0, sslv2_of};

use crate::vocabulary::Prelude;

/// A TLS 1.0 client: no extension block.
pub(crate) fn tls10() -> ClientHelloBuilder {
    ClientHelloBuilder::bare().legacy_version(TLS_1_0).cipher_suites(&[0x0035, 0x002f])
}

/// A hello in SSLv2's format that offers `version`.
pub(crate) fn sslv2_hello(version: u16) -> Vec<u8> {
    sslv2_of(version, &[[0, 0, 0x2f], [0, 0, 0x35], [1, 0, 0x80]], &[0xc4; 16])
}

/// What a client says before its hello, each whole.
pub(crate) const PRELUDES: &[(Prelude, &[u8])] = &[
    (Prelude::HttpConnect, b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"),
    (
        Prelude::HttpConnect,
        b"CONNECT a.example:443 HTTP/1.1\r\nX: 1\r\n\tfolded\r\nProxy-Authorization: Basic eDp5\r\n\r\n",
    ),
    (Prelude::Socks, b"\x04\x01\x01\xbb\xc0\x00\x02\x02user\0"),
    (Prelude::Socks, b"\x04\x01\x01\xbb\0\0\0\x01user\0a.example\0"),
    (Prelude::Socks, b"\x05\x01\0\x05\x01\0\x01\xc0\0\x02\x02\x01\xbb"),
    (Prelude::Socks, b"\x05\x02\0\x02\x01\x01u\x02pw\x05\x01\0\x03\x09a.example\x01\xbb"),
    (Prelude::Socks, b"\x05\x01\0\x05\x01\0\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x01\xbb"),
    (Prelude::Smtp, b"EHLO mail.example\r\nSTARTTLS\r\n"),
    (Prelude::Smtp, b"lhlo mail.example\nstarttls\n"),
    (Prelude::Imap, b"a1 CAPABILITY\r\na2 STARTTLS\r\n"),
    (Prelude::Pop3, b"CAPA\r\nSTLS\r\n"),
    (Prelude::Ftp, b"AUTH TLS\r\n"),
    (Prelude::Ftp, b"FEAT\r\nAUTH SSL\r\n"),
    (Prelude::Ldap, b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"),
    (Prelude::Ldap, b"\x30\x84\0\0\0\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"),
    (
        Prelude::Mysql,
        b"\x20\0\0\x01\x85\xae\x7f\0\0\0\0\x01\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ),
    (Prelude::Mysql, b"\x05\0\0\x01\x05\xae\0\0\0"),
    (Prelude::Postgresql, b"\0\0\0\x08\x04\xd2\x16\x2f"),
    (Prelude::Postgresql, b"\0\0\0\x08\x04\xd2\x16\x30\0\0\0\x08\x04\xd2\x16\x2f"),
    (Prelude::Rdp, b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0"),
];

/// A connection that makes events. It keeps no account of what was sent: acknowledgements are of nothing but the SYN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub(crate) client_port: u16,
    pub(crate) isn: u32,
    pub(crate) gateway_isn: u32,
    /// Whether the datapath saw the SYN.
    pub(crate) syn_seen: bool,
}

/// One that owns its bytes.
#[derive(Clone, Debug)]
pub(crate) struct OwnedEvent {
    pub(crate) header: EventHeader,
    pub(crate) data: Vec<u8>,
}

impl OwnedEvent {
    pub(crate) fn borrow(&self) -> Event<'_> {
        Event { header: self.header, data: &self.data }
    }

    /// The same as the datapath passes it on after a ServerHello, with fewer bytes.
    pub(crate) fn into_follow_up(mut self, is_last: bool) -> Self {
        self.header.kind = match self.header.kind {
            kind::CLIENT_DATA => kind::CLIENT_FOLLOW_UP,
            kind::GATEWAY_DATA => kind::GATEWAY_FOLLOW_UP,
            other => other,
        };
        self.data.truncate(FOLLOW_UP_COPY as usize);
        self.header.data_len = u32::try_from(self.data.len()).unwrap();
        if is_last {
            self.header.flags |= flags::LAST;
        }
        self
    }

    pub(crate) fn with_flags(mut self, tcp_flags: u8) -> Self {
        self.header.tcp_flags |= tcp_flags;
        self
    }

    /// The same with bits of [`EventHeader::flags`].
    pub(crate) fn marked(mut self, flags: u8) -> Self {
        self.header.flags |= flags;
        self
    }
}

impl Connection {
    pub(crate) fn new(client_port: u16) -> Self {
        Self { client_port, isn: 1_000_000, gateway_isn: 7_000_000, syn_seen: true }
    }

    /// A client's segment at `offset` of its stream.
    pub(crate) fn client(self, time_ns: u64, offset: usize, data: &[u8]) -> OwnedEvent {
        let kind = if data.is_empty() { kind::CLIENT_CLOSE } else { kind::CLIENT_DATA };
        let seq = self.isn.wrapping_add(1).wrapping_add(u32::try_from(offset).unwrap());
        let mut event = self.event(time_ns, kind, seq, data, data.len());
        event.header.ack = self.gateway_isn.wrapping_add(1);
        if !self.syn_seen {
            event.header.isn = seq.wrapping_sub(1);
        }
        event
    }

    /// A client's first segment with data.
    pub(crate) fn opening(self, time_ns: u64, data: &[u8]) -> OwnedEvent {
        let mut event = self.client(time_ns, 0, data);
        if self.syn_seen {
            event.header.flags |= flags::FIRST;
        }
        event
    }

    /// A segment of the gateway at `offset` of its stream, cut as the datapath cuts it.
    pub(crate) fn gateway(self, time_ns: u64, offset: usize, data: &[u8]) -> OwnedEvent {
        let kind = if data.is_empty() { kind::GATEWAY_CLOSE } else { kind::GATEWAY_DATA };
        let seq = self.gateway_isn.wrapping_add(1).wrapping_add(u32::try_from(offset).unwrap());
        let copied = &data[..data.len().min(ANSWER_COPY as usize)];
        let mut event = self.event(time_ns, kind, seq, copied, data.len());
        event.header.ack = self.isn.wrapping_add(1);
        event
    }

    fn event(self, time_ns: u64, kind: u8, seq: u32, data: &[u8], payload_len: usize) -> OwnedEvent {
        let header = EventHeader {
            time_ns,
            client_addr: Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().octets(),
            gateway_addr: Ipv4Addr::new(192, 0, 2, 2).to_ipv6_mapped().octets(),
            client_port: self.client_port,
            gateway_port: 443,
            ifindex: 3,
            isn: self.isn,
            seq,
            ack: 0,
            payload_len: u32::try_from(payload_len).unwrap(),
            data_len: u32::try_from(data.len()).unwrap(),
            kind,
            tcp_flags: tcp_flags::ACK,
            flags: if self.syn_seen { flags::ISN_KNOWN } else { 0 },
            padding: 0,
        };
        OwnedEvent { header, data: data.to_vec() }
    }
}
