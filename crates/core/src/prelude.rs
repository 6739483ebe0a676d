//! What a client says before its ClientHello: a request for a tunnel, or that TLS may start.
//!
//! None of these protocols is followed: their answers are not read, nor what comes after a refusal.
//! A hello is looked for where one can begin, and then the bytes before it say what they were. It can
//! begin right behind a prelude that is whole ([`kind`]); behind bytes of any other protocol only where
//! a segment begins, because that client has waited for an answer. So a hello inside of an upload, or in
//! the packets of another protocol (`OpenVPN`), is not taken for the connection's own.

use crate::client_hello;
use crate::reader::Reader;
use crate::record::{self, content_type};
use crate::sslv2;
use crate::vocabulary::Prelude;

/// Bytes that tell a hello's beginning from others.
pub const SIGNATURE_LEN: usize = 11;

/// The shortest content of a ClientHello: version, random, and of four vectors the lengths, of which
/// the one of the cipher suites has two bytes and extensions may be left out.
const SHORTEST_HELLO: usize = 2 + 32 + 1 + 2 + 1;

/// Where a hello begins behind a prelude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// There.
    Found {
        /// Where its first record starts.
        at: usize,
        /// What the bytes before it are.
        prelude: Prelude,
    },
    /// Nowhere yet.
    NotYet {
        /// Where to go on once there are more bytes: what is before will never begin a hello.
        from: usize,
    },
}

/// Looks for a hello at `from` or behind it. The prelude begins at `start`, behind a PROXY header.
///
/// `starts_segment` says whether a segment starts (or ends) at an offset of the stream.
pub fn find(stream: &[u8], start: usize, from: usize, starts_segment: impl Fn(usize) -> bool) -> Search {
    for at in from..stream.len() {
        match begins_hello(&stream[at..]) {
            Some(false) => {}
            Some(true) => {
                let kind = kind(&stream[start..at]);
                if kind.is_some() || starts_segment(at) {
                    return Search::Found { at, prelude: kind.unwrap_or(Prelude::Other) };
                }
            }
            None => return Search::NotYet { from: at },
        }
    }
    Search::NotYet { from: stream.len() }
}

/// Whether bytes begin like a ClientHello with all that its first [`SIGNATURE_LEN`] bytes can show:
/// stricter than at the start of a stream, where TLS is what is to be expected. `None` if they are
/// too few to tell.
pub fn begins_hello(bytes: &[u8]) -> Option<bool> {
    // What is certain of a few bytes, for the sake of speed: nearly every position ends here.
    let &first = bytes.first()?;
    if first == content_type::HANDSHAKE {
        if bytes.get(1).is_some_and(|&major| major != 3) {
            return Some(false);
        }
        let (record, message) = bytes.get(..SIGNATURE_LEN)?.split_at(record::HEADER_LEN);
        let fragment_len = usize::from(u16::from_be_bytes([record[3], record[4]]));
        let content_len = u32::from_be_bytes([0, message[1], message[2], message[3]]) as usize;
        // The first fragment holds the whole signature, and nothing behind the message.
        let message_len = record::MESSAGE_HEADER_LEN + content_len;
        let is_plausible = record[2] <= 4
            && message[0] == client_hello::MESSAGE_TYPE
            && message[4] == 3
            && message[5] <= 4
            && (SHORTEST_HELLO..=record::MAX_FRAGMENT_LEN).contains(&content_len)
            && (SIGNATURE_LEN - record::HEADER_LEN..=message_len).contains(&fragment_len);
        Some(is_plausible)
    } else if first & 0x80 != 0 {
        if !sslv2::is_prefix(bytes) {
            return Some(false);
        }
        bytes.get(..SIGNATURE_LEN).map(sslv2::is_consistent)
    } else {
        Some(false)
    }
}

/// What `before` is, if it is a whole prelude, after which a hello may follow at once.
pub fn kind(before: &[u8]) -> Option<Prelude> {
    type IsWhole = fn(&[u8]) -> bool;
    let formats: [(Prelude, IsWhole); 6] = [
        (Prelude::HttpConnect, is_http_connect),
        (Prelude::Socks, is_socks),
        (Prelude::Postgresql, is_postgresql),
        (Prelude::Mysql, is_mysql),
        (Prelude::Ldap, is_ldap),
        (Prelude::Rdp, is_rdp),
    ];
    let found = formats.into_iter().find(|(_, is_match)| is_match(before));
    found.map(|(prelude, _)| prelude).or_else(|| starttls(before))
}

/// One CONNECT, or several where a proxy wanted credentials first.
fn is_http_connect(before: &[u8]) -> bool {
    before.starts_with(b"CONNECT ") && before.ends_with(b"\r\n\r\n")
}

fn is_socks(before: &[u8]) -> bool {
    let mut reader = Reader::new(before);
    let is_whole = match reader.u8() {
        Some(4) => socks4(&mut reader),
        Some(5) => socks5(&mut reader),
        _ => None,
    };
    is_whole.is_some() && reader.is_empty()
}

/// Command, port, address, user; in SOCKS 4a, where the address is 0.0.0.x, the name.
fn socks4(reader: &mut Reader<'_>) -> Option<()> {
    reader.take(3)?;
    let address = reader.take(4)?;
    reader.terminated()?;
    if matches!(*address, [0, 0, 0, last] if last != 0) {
        reader.terminated()?;
    }
    Some(())
}

/// Methods; user and password, if there are any (RFC 1929); the request.
fn socks5(reader: &mut Reader<'_>) -> Option<()> {
    reader.vec8()?;
    let mut version = reader.u8()?;
    if version == 1 {
        reader.vec8()?;
        reader.vec8()?;
        version = reader.u8()?;
    }
    let [_command, 0, address_type] = reader.take(3)? else { return None };
    match address_type {
        1 => reader.take(4)?,
        3 => reader.vec8()?,
        4 => reader.take(16)?,
        _ => return None,
    };
    reader.u16()?;
    (version == 5).then_some(())
}

/// `SSLRequest`, after a `GSSENCRequest` that was refused or not (`PostgreSQL`'s documentation of
/// its protocol, "Message Formats").
fn is_postgresql(before: &[u8]) -> bool {
    const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
    const GSS_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 48];
    before.strip_prefix(GSS_REQUEST).unwrap_or(before) == SSL_REQUEST
}

/// The first packet of a client, cut short behind the fixed part, with the capability `CLIENT_SSL`.
fn is_mysql(before: &[u8]) -> bool {
    const CLIENT_SSL: u16 = 0x0800;
    // Length in little endian, sequence number, capabilities. The old protocol's has 5 bytes.
    let Some((&[length @ (5 | 32), 0, 0, 1], rest)) = before.split_first_chunk() else { return false };
    rest.len() == usize::from(length) && u16::from_le_bytes([rest[0], rest[1]]) & CLIENT_SSL != 0
}

/// BER messages, the last of which asks for `StartTLS`.
fn is_ldap(before: &[u8]) -> bool {
    const SEQUENCE: u8 = 0x30;
    const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
    let mut reader = Reader::new(before);
    let mut last: &[u8] = &[];
    while !reader.is_empty() {
        if reader.u8() != Some(SEQUENCE) {
            return false;
        }
        let Some(message) = reader.ber() else { return false };
        last = message;
    }
    last.windows(START_TLS.len()).any(|window| window == START_TLS)
}

/// A TPKT header (RFC 1006), and in it X.224's connection request.
fn is_rdp(before: &[u8]) -> bool {
    const CONNECTION_REQUEST: u8 = 0xe0;
    matches!(*before, [3, 0, high, low, _, CONNECTION_REQUEST, ..]
        if usize::from(u16::from_be_bytes([high, low])) == before.len())
}

/// The protocols of lines of text: what the last of them says.
fn starttls(before: &[u8]) -> Option<Prelude> {
    let text = before.strip_suffix(b"\n")?;
    let last = text.rsplit(|&byte| byte == b'\n').next()?;
    let last = last.trim_ascii_end().to_ascii_uppercase();
    match &last[..] {
        b"STLS" => Some(Prelude::Pop3),
        b"AUTH TLS" | b"AUTH SSL" | b"AUTH TLS-C" | b"AUTH TLS-P" => Some(Prelude::Ftp),
        // Other protocols have the same command (NNTP, ManageSieve), but not the greeting.
        b"STARTTLS" => says_hello(text).then_some(Prelude::Smtp),
        [tag @ .., b' ', b'S', b'T', b'A', b'R', b'T', b'T', b'L', b'S'] => {
            let is_tag = !tag.is_empty() && tag.iter().all(u8::is_ascii_graphic);
            is_tag.then_some(Prelude::Imap)
        }
        _ => None,
    }
}

/// Whether one of the lines is the greeting of an SMTP or LMTP client.
fn says_hello(text: &[u8]) -> bool {
    text.split(|&byte| byte == b'\n').any(|line| {
        let command = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        [b"EHLO", b"HELO", b"LHLO"].into_iter().any(|greeting| command.eq_ignore_ascii_case(greeting))
    })
}

#[cfg(test)]
mod tests {
    use sni_probe_testkit::hello::ClientHelloBuilder;

    use super::*;
    use crate::testing::{PRELUDES, sslv2_hello, tls10};

    fn found(stream: &[u8], from: usize, boundaries: &[usize]) -> Search {
        find(stream, 0, from, |at| boundaries.contains(&at))
    }

    fn not_found(stream: &[u8]) -> Search {
        Search::NotYet { from: stream.len() }
    }

    #[test]
    fn whole_preludes() {
        for &(prelude, before) in PRELUDES {
            assert_eq!(kind(before), Some(prelude), "{before:02x?}");
            for len in 0..before.len() {
                assert_eq!(kind(&before[..len]), None, "{prelude} {len}");
            }
            assert_eq!(kind(&[before, b"x"].concat()), None, "{prelude}");
        }
    }

    #[test]
    fn other_bytes() {
        for before in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"STARTTLS\r\n",
            b"NOOP\r\nSTARTTLS\r\n",
            b"EHLO a.example\r\nQUIT\r\n",
            b" STARTTLS\r\n",
            b"\xff STARTTLS\r\n",
            b"AUTH GSSAPI\r\n",
            b"STLS",
            b"\r\n",
            b"\n",
            // Half a request, a request of no known address type, too much.
            &[4, 1, 1, 0xbb, 0, 0, 0, 1, b'u', 0],
            &[5, 1, 0, 5, 1, 0, 2, 1, 2, 3, 4, 1, 0xbb],
            &[5, 1, 0, 5, 1, 1, 1, 1, 2, 3, 4, 1, 0xbb],
            &[5, 1, 0, 4, 1, 0, 1, 1, 2, 3, 4, 1, 0xbb],
            &[5, 1, 0, 5, 1, 0, 1, 1, 2, 3, 4, 1, 0xbb, 0],
            // Another code, a GSSAPI request alone.
            &[0, 0, 0, 8, 4, 210, 22, 46],
            &[0, 0, 0, 8, 4, 210, 22, 48],
            // MySQL's login without TLS; a message of LDAP that is none, or has a length that is none.
            &[5, 0, 0, 1, 0, 0, 0, 0, 0],
            &[0x30, 2, 5, 0],
            &[0x31, 0],
            &[0x30, 0x85, 0, 0, 0, 0, 0],
            &[3, 0, 0, 8, 2, 0xe0, 0, 0, 0],
        ] {
            assert_eq!(kind(before), None, "{before:02x?}");
        }
    }

    #[test]
    fn a_hello_behind_a_prelude() {
        for hello in [ClientHelloBuilder::new().build(), tls10().build(), sslv2_hello(0x0301)] {
            for &(prelude, before) in PRELUDES {
                let stream = [before, &hello].concat();
                let at = before.len();
                assert_eq!(found(&stream, 1, &[]), Search::Found { at, prelude });
                for len in 0..at + SIGNATURE_LEN {
                    let Search::NotYet { from } = found(&stream[..len], 0, &[]) else { panic!("{len}") };
                    assert!(from <= at, "{prelude} {len}");
                    assert_eq!(found(&stream, from, &[]), Search::Found { at, prelude });
                }
            }
        }
    }

    #[test]
    fn behind_other_bytes_only_at_a_boundary() {
        let hello = ClientHelloBuilder::new().build();
        let stream = [b"POST / HTTP/1.1\r\n\r\n", &hello[..]].concat();
        assert_eq!(found(&stream, 1, &[]), not_found(&stream));
        assert_eq!(found(&stream, 1, &[18]), not_found(&stream));
        assert_eq!(found(&stream, 1, &[19]), Search::Found { at: 19, prelude: Prelude::Other });
    }

    #[test]
    fn the_beginning_of_a_hello() {
        let hello = ClientHelloBuilder::new().build();
        let hellos = [&hello, &ClientHelloBuilder::new().in_records_at(&[6, 30]), &sslv2_hello(0x0002)];
        for hello in hellos {
            assert_eq!(begins_hello(hello), Some(true));
            for len in 0..SIGNATURE_LEN {
                assert_eq!(begins_hello(&hello[..len]), None);
            }
        }
        for (at, byte) in [(0, 23), (1, 2), (2, 5), (3, 0x40), (5, 2), (6, 1), (9, 2), (10, 5)] {
            let mut changed = hello.clone();
            changed[at] = byte;
            assert_eq!(begins_hello(&changed), Some(false), "{at}");
        }
        // A record that ends within the signature, or behind the message; a message that is too short.
        assert_eq!(begins_hello(&[22, 3, 1, 0, 5, 1, 0, 0, 100, 3, 3]), Some(false));
        assert_eq!(begins_hello(&[22, 3, 1, 0, 105, 1, 0, 0, 100, 3, 3]), Some(false));
        assert_eq!(begins_hello(&[22, 3, 1, 0, 10, 1, 0, 0, 37, 3, 3]), Some(false));
        for (at, byte) in [(0, 0x81), (1, 50), (2, 4), (3, 4), (6, 8), (8, 1), (10, 15)] {
            let mut changed = sslv2_hello(0x0301);
            changed[at] = byte;
            assert_eq!(begins_hello(&changed), Some(false), "{at}");
        }
    }
}
