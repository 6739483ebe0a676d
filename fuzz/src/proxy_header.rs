//! The PROXY protocol header.

use std::net::{IpAddr, SocketAddr};

use sni_probe_core::assembler::MAX_STREAM_BYTES;
use sni_probe_core::parsed::{Parsed, Rejected};
use sni_probe_core::proxy_header::{ProxyHeader, V1_MAX_LEN, V1_SIGNATURE, V2_SIGNATURE, Version, parse};

use crate::answers::settle;

/// Length of a version 2 header without addresses.
const V2_MIN_LEN: usize = 16;

/// Takes the bytes for the start of a client's stream that may have a PROXY header.
///
/// # Panics
///
/// An invariant is broken.
pub fn proxy_header(bytes: &[u8]) {
    let answer = settle(bytes, |stream| parse(stream, MAX_STREAM_BYTES));
    match answer {
        Parsed::Complete(header) => assert_consistent(&header, bytes),
        Parsed::NeedMore { at_least } => {
            assert!(at_least <= MAX_STREAM_BYTES);
            let is_prefix = |signature: &[u8]| signature.starts_with(bytes) || bytes.starts_with(signature);
            assert!(is_prefix(V1_SIGNATURE) || is_prefix(V2_SIGNATURE));
        }
        Parsed::Rejected(reason) => assert!(matches!(reason, Rejected::ProxyHeader | Rejected::TooLarge)),
    }
    // A lower limit refuses what is longer, and alters nothing else.
    for limit in [V1_MAX_LEN, 2 * V1_MAX_LEN] {
        match (settle(bytes, |stream| parse(stream, limit)), answer) {
            (Parsed::Rejected(Rejected::TooLarge), Parsed::Complete(header)) => assert!(header.len > limit),
            (Parsed::Rejected(Rejected::TooLarge), Parsed::NeedMore { at_least }) => {
                assert!(at_least > limit);
            }
            (Parsed::Rejected(Rejected::TooLarge), _) => {}
            (limited, unlimited) => assert_eq!(limited, unlimited),
        }
    }
}

fn assert_consistent(header: &ProxyHeader, bytes: &[u8]) {
    assert!(header.len <= bytes.len().min(MAX_STREAM_BYTES));
    let (own, behind) = bytes.split_at(header.len);
    assert_eq!(parse(own, MAX_STREAM_BYTES), Parsed::Complete(*header), "{behind:02x?} belongs to it");
    match header.version {
        Version::V1 => {
            assert!(own.starts_with(V1_SIGNATURE) && own.ends_with(b"\r\n") && own.len() <= V1_MAX_LEN);
        }
        Version::V2 => assert!(own.starts_with(V2_SIGNATURE) && own.len() >= V2_MIN_LEN),
    }
    if let Some(addresses) = header.addresses {
        let is_mapped = |address: SocketAddr| match address.ip() {
            IpAddr::V4(_) => false,
            IpAddr::V6(ip) => ip.to_ipv4_mapped().is_some(),
        };
        assert!(!is_mapped(addresses.client) && !is_mapped(addresses.destination));
    }
}
