//! The PROXY protocol, versions 1 and 2, that a load balancer puts before the client's own bytes
//! (HAProxy, `doc/proxy-protocol.txt`, sections 2.1 and 2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::observation::Proxied;
use crate::parsed::{Parsed, Rejected};
use crate::reader::Reader;

/// How a version 1 header starts.
pub const V1_SIGNATURE: &[u8] = b"PROXY ";

/// How a version 2 header starts.
pub const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest version 1 header, its CRLF included, in bytes: the specification's own bound.
pub const V1_MAX_LEN: usize = 107;

/// Length of a version 2 header without addresses and TLVs, in bytes.
const V2_FIXED_LEN: usize = 16;

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Its length, in bytes: the relayed stream starts behind them.
    pub len: usize,
    /// Its version.
    pub version: Version,
    /// Whether the command is LOCAL: the proxy speaks for itself, such as for a health check. Version 2 only.
    pub is_local: bool,
    /// The addresses in it; `None` if it says that there are none worth telling (`UNKNOWN`, `LOCAL`,
    /// `UNSPEC`, UNIX sockets).
    pub addresses: Option<Proxied>,
}

/// Version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Reads the PROXY header at the start of `stream`.
///
/// `limit` is how many bytes of the stream will ever be there: a longer header is
/// [`Rejected::TooLarge`] as soon as its length shows that.
///
/// Bytes that do not start with either signature are [`Rejected::ProxyHeader`].
pub fn parse(stream: &[u8], limit: usize) -> Parsed<ProxyHeader> {
    let is_prefix_of = |signature: &[u8]| {
        let common = stream.len().min(signature.len());
        stream[..common] == signature[..common]
    };
    if is_prefix_of(V1_SIGNATURE) {
        parse_v1(stream)
    } else if is_prefix_of(V2_SIGNATURE) {
        parse_v2(stream, limit)
    } else {
        Parsed::Rejected(Rejected::ProxyHeader)
    }
}

fn parse_v1(stream: &[u8]) -> Parsed<ProxyHeader> {
    let head = &stream[..stream.len().min(V1_MAX_LEN)];
    let Some(line_len) = head.windows(2).position(|pair| pair == b"\r\n") else {
        if head.len() == V1_MAX_LEN {
            return Parsed::Rejected(Rejected::ProxyHeader);
        }
        return Parsed::NeedMore { at_least: (stream.len() + 1).max(V1_SIGNATURE.len()) };
    };
    match v1_addresses(&head[..line_len]) {
        Ok(addresses) => {
            let header = ProxyHeader { len: line_len + 2, version: Version::V1, is_local: false, addresses };
            Parsed::Complete(header)
        }
        Err(rejected) => Parsed::Rejected(rejected),
    }
}

/// The addresses in a line such as `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443`.
fn v1_addresses(line: &[u8]) -> Result<Option<Proxied>, Rejected> {
    // "the receiver must ignore anything presented before the CRLF" behind UNKNOWN.
    let line = &line[V1_SIGNATURE.len()..];
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(None);
    }
    let line = std::str::from_utf8(line).map_err(|_| Rejected::ProxyHeader)?;
    tcp_addresses(line).map(Some).ok_or(Rejected::ProxyHeader)
}

fn tcp_addresses(line: &str) -> Option<Proxied> {
    let mut words = line.split(' ');
    let family = words.next()?;
    let (source, destination) = (words.next()?, words.next()?);
    let (source, destination): (IpAddr, IpAddr) = match family {
        "TCP4" => (source.parse::<Ipv4Addr>().ok()?.into(), destination.parse::<Ipv4Addr>().ok()?.into()),
        "TCP6" => (source.parse::<Ipv6Addr>().ok()?.into(), destination.parse::<Ipv6Addr>().ok()?.into()),
        _ => return None,
    };
    let (source_port, destination_port) = (v1_port(words.next()?)?, v1_port(words.next()?)?);
    if words.next().is_some() {
        return None;
    }
    Some(Proxied { client: socket(source, source_port), destination: socket(destination, destination_port) })
}

fn v1_port(word: &str) -> Option<u16> {
    let is_decimal = word.bytes().all(|byte| byte.is_ascii_digit());
    if is_decimal { word.parse().ok() } else { None }
}

fn parse_v2(stream: &[u8], limit: usize) -> Parsed<ProxyHeader> {
    // The version and the command are judged before the rest has come.
    let local = match stream.get(V2_SIGNATURE.len()) {
        None => return Parsed::NeedMore { at_least: V2_SIGNATURE.len() + 1 },
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Parsed::Rejected(Rejected::ProxyHeader),
    };
    let Some((fixed, rest)) = stream.split_at_checked(V2_FIXED_LEN) else {
        return Parsed::NeedMore { at_least: V2_FIXED_LEN };
    };
    let family = fixed[13];
    let rest_len = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let len = V2_FIXED_LEN + rest_len;
    if len > limit {
        return Parsed::Rejected(Rejected::TooLarge);
    }
    // Where the length leaves no room for the addresses, the header is malformed already.
    if !local && rest_len < v2_addresses_len(family) {
        return Parsed::Rejected(Rejected::ProxyHeader);
    }
    let Some(rest) = rest.get(..rest_len) else { return Parsed::NeedMore { at_least: len } };
    let addresses = if local { None } else { v2_addresses(family, Reader::new(rest)) };
    Parsed::Complete(ProxyHeader { len, version: Version::V2, is_local: local, addresses })
}

/// Length of the address block of a family (high nibble of the byte; the low one is the transport).
fn v2_addresses_len(family: u8) -> usize {
    match family >> 4 {
        1 => 12,
        2 => 36,
        3 => 216,
        // Unspecified or unknown: what follows is skipped by its length.
        _ => 0,
    }
}

/// The addresses; the TLVs behind them are skipped.
fn v2_addresses(family: u8, mut block: Reader<'_>) -> Option<Proxied> {
    let (source, destination): (IpAddr, IpAddr) = match family >> 4 {
        1 => {
            let mut address = || block.take(4).and_then(|octets| <[u8; 4]>::try_from(octets).ok());
            (address()?.into(), address()?.into())
        }
        2 => {
            let mut address = || block.take(16).and_then(|octets| <[u8; 16]>::try_from(octets).ok());
            (address()?.into(), address()?.into())
        }
        _ => return None,
    };
    Some(Proxied { client: socket(source, block.u16()?), destination: socket(destination, block.u16()?) })
}

/// IPv4 inside IPv6 is told as IPv4, as everywhere.
fn socket(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

#[cfg(test)]
mod tests {
    use sni_probe_testkit::proxy::{V1 as PROXY_V1, v2_of as v2, v2_with_tlv as proxy_v2};

    use super::*;

    const LIMIT: usize = 16_384;

    fn proxied(client: &str, destination: &str) -> Proxied {
        Proxied { client: client.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    #[track_caller]
    fn assert_complete(header: &[u8], version: Version, addresses: Option<Proxied>) {
        let is_local = version == Version::V2 && header[V2_SIGNATURE.len()] == 0x20;
        let expected = Parsed::Complete(ProxyHeader { len: header.len(), version, is_local, addresses });
        assert_eq!(parse(header, LIMIT), expected);
        assert_eq!(parse(&[header, b"\x16\x03\x01"].concat(), LIMIT), expected);
        for len in 0..header.len() {
            let Parsed::NeedMore { at_least } = parse(&header[..len], LIMIT) else {
                panic!("{len} bytes decide");
            };
            assert!(len < at_least && at_least <= header.len());
        }
    }

    #[track_caller]
    fn assert_rejected(header: &[u8]) {
        assert_eq!(parse(header, LIMIT), Parsed::Rejected(Rejected::ProxyHeader), "{header:02x?}");
    }

    #[test]
    fn version_1() {
        assert_complete(PROXY_V1, Version::V1, Some(proxied("203.0.113.7:56324", "198.51.100.1:443")));
        assert_complete(
            b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 1 65535\r\n",
            Version::V1,
            Some(proxied("[2001:db8::1]:1", "192.0.2.1:65535")),
        );
        assert_complete(b"PROXY UNKNOWN\r\n", Version::V1, None);
        assert_complete(b"PROXY UNKNOWN \xff what ever\r\n", Version::V1, None);
        let longest = [&b"PROXY UNKNOWN "[..], &[b'x'; 91], b"\r\n"].concat();
        assert_eq!(longest.len(), V1_MAX_LEN);
        assert_complete(&longest, Version::V1, None);
    }

    #[test]
    fn malformed_version_1() {
        assert_rejected(&[&b"PROXY UNKNOWN "[..], &[b'x'; 93]].concat());
        for line in [
            "TCP4 203.0.113.7 198.51.100.1 56324",
            "TCP4 203.0.113.7 198.51.100.1 56324 443 1",
            "TCP4 203.0.113.7 198.51.100.1 56324 65536",
            "TCP4 203.0.113.7 198.51.100.1 +1 443",
            "TCP4 203.0.113.7 198.51.100.1  443",
            "TCP4 203.0.113.700 198.51.100.1 56324 443",
            "TCP4 2001:db8::1 2001:db8::2 56324 443",
            "TCP6 203.0.113.7 198.51.100.1 56324 443",
            "UDP4 203.0.113.7 198.51.100.1 56324 443",
            "UNKNOWNS",
            "",
        ] {
            assert_rejected(format!("PROXY {line}\r\n").as_bytes());
        }
    }

    #[test]
    fn version_2() {
        assert_complete(&proxy_v2(), Version::V2, Some(proxied("203.0.113.7:56324", "198.51.100.1:443")));
        let source = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let rest = [&source[..], &source, &[0, 80, 1, 0xbb]].concat();
        let addresses = proxied("[2001:db8::1]:80", "[2001:db8::1]:443");
        assert_complete(&v2(0x21, 0x21, &rest), Version::V2, Some(addresses));
    }

    #[test]
    fn version_2_without_addresses() {
        assert_complete(&v2(0x20, 0x00, &[]), Version::V2, None);
        assert_complete(&v2(0x20, 0x11, &[9; 12]), Version::V2, None);
        assert_complete(&v2(0x21, 0x00, &[4, 0, 1, 0]), Version::V2, None);
        assert_complete(&v2(0x21, 0x31, &[0; 216]), Version::V2, None);
        assert_complete(&v2(0x21, 0x71, &[0; 3]), Version::V2, None);
    }

    #[test]
    fn malformed_version_2() {
        assert_rejected(&v2(0x11, 0x11, &[0; 12]));
        assert_rejected(&v2(0x22, 0x11, &[0; 12]));
        assert_rejected(&v2(0x21, 0x11, &[0; 11]));
        assert_rejected(&v2(0x21, 0x21, &[0; 35]));
        assert_rejected(&v2(0x21, 0x31, &[0; 215]));
        let too_large = [V2_SIGNATURE, &[0x20, 0, 0x3f, 0xf1]].concat();
        assert_eq!(parse(&too_large, LIMIT), Parsed::Rejected(Rejected::TooLarge));
    }

    #[test]
    fn other_protocols() {
        assert_rejected(b"GET / HTTP/1.1\r\n");
        assert_rejected(b"\x16");
        assert_rejected(b"\r\n\r\n\r\n");
    }
}
