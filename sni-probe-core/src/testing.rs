//! What the tests send: the one way to build hellos, answers and events.

use std::net::Ipv4Addr;

use sni_probe_common::answer::HELLO_RETRY_RANDOM;
use sni_probe_common::event::{ANSWER_COPY, Event, EventHeader, flags, kind, tcp_flags};

use crate::record::MAX_FRAGMENT_LEN;
use crate::vocabulary::Prelude;

/// A TLS ClientHello in the making.
#[derive(Clone, Debug)]
pub(crate) struct HelloBuilder {
    pub(crate) legacy_version: u16,
    pub(crate) session_id: Vec<u8>,
    pub(crate) ciphers: Vec<u16>,
    /// `None`: no extension block at all.
    pub(crate) extensions: Option<Vec<(u16, Vec<u8>)>>,
}

/// The random of every hello.
pub(crate) const RANDOM: [u8; 32] = [0x5a; 32];

impl HelloBuilder {
    /// A TLS 1.3 client without SNI.
    pub(crate) fn new() -> Self {
        let hello = Self {
            legacy_version: 0x0303,
            session_id: vec![7; 32],
            ciphers: vec![0x1301, 0xc02f],
            extensions: Some(Vec::new()),
        };
        hello
            .extension(10, &vec16(&[0, 29]))
            .extension(13, &vec16(&[4, 3, 8, 4]))
            .extension(43, &vec8(&[3, 4, 3, 3]))
            .extension(51, &vec16(&key_share(29, 32)))
    }

    /// A TLS 1.0 client: no extension block.
    pub(crate) fn tls10() -> Self {
        let ciphers = vec![0x0035, 0x002f];
        Self { legacy_version: 0x0301, session_id: Vec::new(), ciphers, extensions: None }
    }

    pub(crate) fn name(self, name: &str) -> Self {
        let entry = [&[0][..], &vec16(name.as_bytes())].concat();
        self.extension(0, &vec16(&entry))
    }

    pub(crate) fn alpn(self, names: &[&[u8]]) -> Self {
        let names: Vec<u8> = names.iter().flat_map(|name| vec8(name)).collect();
        self.extension(16, &vec16(&names))
    }

    /// With the key share that makes hellos too long for one segment.
    pub(crate) fn post_quantum(self) -> Self {
        let shares = [key_share(0x11ec, 1216), key_share(29, 32)].concat();
        self.extension(51, &vec16(&shares))
    }

    /// With an extension behind all others, which an earlier one of its type gives way to.
    pub(crate) fn extension(mut self, kind: u16, body: &[u8]) -> Self {
        let extensions = self.extensions.get_or_insert_default();
        extensions.retain(|(other, _)| *other != kind);
        extensions.push((kind, body.to_vec()));
        self
    }

    /// Padded (RFC 7685) to a handshake message of `len` bytes.
    pub(crate) fn padded_to(self, len: usize) -> Self {
        let padding = len - self.clone().extension(21, &[]).message().len();
        self.extension(21, &vec![0; padding])
    }

    /// The handshake message.
    pub(crate) fn message(&self) -> Vec<u8> {
        let ciphers: Vec<u8> = self.ciphers.iter().flat_map(|cipher| cipher.to_be_bytes()).collect();
        let mut content = self.legacy_version.to_be_bytes().to_vec();
        content.extend(RANDOM);
        content.extend(vec8(&self.session_id));
        content.extend(vec16(&ciphers));
        content.extend(vec8(&[0]));
        if let Some(extensions) = &self.extensions {
            let block: Vec<u8> = extensions
                .iter()
                .flat_map(|(kind, body)| [&kind.to_be_bytes()[..], &vec16(body)].concat())
                .collect();
            content.extend(vec16(&block));
        }
        handshake(1, &content)
    }

    /// The message in as few records as it takes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.message().chunks(MAX_FRAGMENT_LEN).flat_map(|fragment| record(22, fragment)).collect()
    }

    /// The message in records that start at these offsets of it, and at 0.
    pub(crate) fn in_records(&self, starts: &[usize]) -> Vec<u8> {
        let message = self.message();
        let bounds: Vec<usize> = [&[0], starts, &[message.len()]].concat();
        bounds.windows(2).flat_map(|bound| record(22, &message[bound[0]..bound[1]])).collect()
    }
}

pub(crate) fn record(kind: u8, fragment: &[u8]) -> Vec<u8> {
    [&[kind, 3, 1][..], &vec16(fragment)].concat()
}

pub(crate) fn handshake(kind: u8, content: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[kind, high, middle, low], content].concat()
}

pub(crate) fn vec8(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

pub(crate) fn vec16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn key_share(group: u16, len: usize) -> Vec<u8> {
    [&group.to_be_bytes()[..], &vec16(&vec![0x11; len])].concat()
}

/// An SSLv2-format hello that offers `version`.
pub(crate) fn sslv2_hello(version: u16) -> Vec<u8> {
    let [major, minor] = version.to_be_bytes();
    let ciphers = [0, 0, 0x2f, 0, 0, 0x35, 1, 0, 0x80];
    let challenge = [0xc4; 16];
    let message = [&[1, major, minor, 0, 9, 0, 0, 0, 16][..], &ciphers, &challenge].concat();
    [&[0x80, u8::try_from(message.len()).unwrap()], &message[..]].concat()
}

pub(crate) const PROXY_V1: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n";

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

/// A PROXY v2 header for IPv4 with the addresses of [`PROXY_V1`] and a TLV.
pub(crate) fn proxy_v2() -> Vec<u8> {
    let addresses = [203, 0, 113, 7, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb];
    let tlv = [4, 0, 2, 0xaa, 0xbb];
    let rest = [&addresses[..], &tlv].concat();
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11", &vec16(&rest)[..]].concat()
}

pub(crate) fn server_hello() -> Vec<u8> {
    server_hello_with(&[0x77; 32])
}

pub(crate) fn hello_retry_request() -> Vec<u8> {
    server_hello_with(&HELLO_RETRY_RANDOM)
}

fn server_hello_with(random: &[u8]) -> Vec<u8> {
    let content = [&[3, 3], random, &vec8(&[7; 32]), &[0x13, 1, 0], &vec16(&[0, 43, 0, 2, 3, 4])].concat();
    record(22, &handshake(2, &content))
}

pub(crate) fn alert(level: u8, code: u8) -> Vec<u8> {
    record(21, &[level, code])
}

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
