use sni_probe_testkit::hello::{ClientHelloBuilder, server_name_list};
use sni_probe_testkit::wire::{handshake, vec8, vec16};

use super::*;
use crate::testing::tls10;

fn parsed(hello: &ClientHelloBuilder) -> ClientHello {
    parse(&hello.handshake()).unwrap()
}

/// Where the extension block of a message begins: after headers, random, session ID, cipher suites, compression methods.
fn block_at(message: &[u8]) -> usize {
    let suites_at = 4 + 2 + 32 + 1 + usize::from(message[38]);
    let suites = u16::from_be_bytes([message[suites_at], message[suites_at + 1]]);
    suites_at + 2 + usize::from(suites) + 2
}

fn features(hello: &ClientHelloBuilder) -> Vec<Feature> {
    parsed(hello).features.iter().collect()
}

#[test]
fn names() {
    let hello = ClientHelloBuilder::new();
    assert_eq!(parsed(&hello).sni, Sni::Absent);
    assert_eq!(
        parsed(&hello.clone().server_name("Api.Example.com.")).sni,
        Sni::Present("api.example.com.".into())
    );
    assert_eq!(parsed(&hello.clone().server_name("")).sni, Sni::Empty);
    assert_eq!(parsed(&hello.clone().extension(0, &[])).sni, Sni::Empty);
    assert_eq!(parsed(&hello.clone().server_name("192.0.2.1")).sni, Sni::Invalid("192.0.2.1".into()));
    assert_eq!(parsed(&hello.clone().extension(0, &[0, 9, 0])).sni, Sni::Invalid("\\x00\\x09\\x00".into()));
    assert_eq!(parsed(&tls10()).sni, Sni::Absent);
}

#[test]
fn names_as_sent() {
    let as_sent =
        |name: &str| parsed(&ClientHelloBuilder::new().server_name(name)).into_body(false).name_as_sent;
    assert_eq!(as_sent("Api.Example.com.").as_deref(), Some("Api.Example.com."));
    for name in ["api.example.com.", "", "NOT:a.name"] {
        assert_eq!(as_sent(name), None, "{name}");
    }
}

#[test]
fn two_name_extensions_are_malformed() {
    for (first, second) in [("a.example", "b.example"), ("a.example", "a.example"), ("", "a.example")] {
        let second = server_name_list(second.as_bytes());
        let hello = ClientHelloBuilder::new().server_name(first).repeated_extension(0, &second);
        assert_eq!(parse(&hello.handshake()), Err(Rejected::Hello));
    }
}

#[test]
fn content() {
    let hello =
        ClientHelloBuilder::new().server_name("a.example").alpn(&[b"h2", b"x/1.1"]).random([0x5a; 32]);
    let body = parsed(&hello).into_body(true);
    assert_eq!(body.legacy_version, 0x0303);
    assert_eq!(body.offered_versions, [0x0304, 0x0303]);
    assert_eq!(body.alpn, [&b"h2"[..], b"x/1.1"]);
    assert_eq!(body.random, [0x5a; 32]);
    assert!(!body.sslv2);
    let ja4 = body.ja4.unwrap();
    assert!(ja4.starts_with("t13d1009h2_"), "{ja4}");
}

#[test]
fn versions() {
    let offering =
        |versions: &[u8]| parsed(&ClientHelloBuilder::new().extension(43, &vec8(versions))).into_body(true);
    assert_eq!(offering(&[0x1a, 0x1a, 3, 3, 3, 4, 3, 2]).version, TlsVersion::Tls13);
    assert_eq!(offering(&[0x1a, 0x1a, 3, 3]).offered_versions, [0x1a1a, 0x0303]);
    assert_eq!(offering(&[0x1a, 0x1a, 3, 3]).version, TlsVersion::Tls12);
    assert_eq!(offering(&[0x7f, 0x1c, 3, 3]).version, TlsVersion::Tls13);
    assert_eq!(offering(&[9, 9]).version, TlsVersion::Unknown);
    for (legacy_version, version) in [
        (0x0303, TlsVersion::Tls12),
        (0x0302, TlsVersion::Tls11),
        (0x0301, TlsVersion::Tls10),
        (0x0300, TlsVersion::Ssl3),
        (0x0399, TlsVersion::Unknown),
    ] {
        let hello = tls10().legacy_version(legacy_version);
        assert_eq!(parsed(&hello).version, version);
    }
}

#[test]
fn features_by_content() {
    let hello = ClientHelloBuilder::new();
    assert_eq!(features(&hello), []);
    assert_eq!(features(&hello.clone().post_quantum()), [Feature::PostQuantum]);
    for group in [0x11eb_u16, 0x11ed, 0x6399, 0xfe31, 0x0201] {
        let offering = hello.clone().extension(10, &vec16(&group.to_be_bytes()));
        assert_eq!(features(&offering), [Feature::PostQuantum], "{group:04x}");
    }
    assert_eq!(features(&hello.clone().extension(0xfe0d, &[0; 8])), [Feature::Ech]);
    assert_eq!(features(&hello.clone().extension(42, &[])), [Feature::EarlyData]);
}

#[test]
fn resumption() {
    let tls13 = ClientHelloBuilder::new();
    assert_eq!(features(&tls13), [], "a session ID for middleboxes");
    assert_eq!(features(&tls13.clone().extension(41, &[0; 40])), [Feature::Resumption]);
    assert_eq!(features(&tls13.clone().extension(35, &[])), [], "a ticket is asked for");
    assert_eq!(features(&tls13.clone().extension(35, &[1; 100])), [Feature::Resumption]);
    assert_eq!(features(&tls13.extension(43, &vec8(&[0x1a, 0x1a, 3, 3]))), [Feature::Resumption]);
    assert_eq!(features(&tls10()), []);
    let old = tls10().session_id(&[7; 32]);
    assert_eq!(features(&old), [Feature::Resumption]);
    assert_eq!(features(&old.legacy_version(0x0399)), [], "a version that is not known");
}

#[test]
fn contradictions_in_other_extensions_do_not_hide_the_name() {
    let mut hello = ClientHelloBuilder::new();
    for kind in [10, 11, 13, 16, 43, 51] {
        hello = hello.extension(kind, &[0xff]);
    }
    assert_eq!(parsed(&hello.server_name("a.example")).sni, Sni::Present("a.example".into()));
}

#[test]
fn no_prefix_is_a_hello() {
    let message = ClientHelloBuilder::new().server_name("a.example").handshake();
    let without_extensions = block_at(&message);
    for len in 0..message.len() {
        assert_eq!(parse(&message[..len]), Err(Rejected::Hello));
        // Nor when its length says that it ends there. But where a hello without extensions ends.
        let cut = handshake(1, &message[4..len.max(4)]);
        let is_without_extensions = len == without_extensions;
        assert_eq!(parse(&cut).is_ok(), is_without_extensions, "{len}");
    }
}

#[test]
fn contradictory_lengths() {
    let hello = ClientHelloBuilder::new().server_name("a.example");
    let message = hello.handshake();
    let block_at = block_at(&message);
    for value in [0_u16, 1, 20, 0xffff] {
        let mut message = message.clone();
        message[block_at..block_at + 2].copy_from_slice(&value.to_be_bytes());
        assert_eq!(parse(&message), Err(Rejected::Hello), "extension block of {value} bytes");
    }
    let mut message = message.clone();
    message[block_at + 5] += 1;
    assert_eq!(parse(&message), Err(Rejected::Hello), "an extension one byte longer");
    assert_eq!(
        parse(&handshake(1, &[&hello.handshake()[4..], &[0]].concat())),
        Err(Rejected::Hello),
        "trailing byte"
    );
    assert_eq!(parse(&handshake(2, &hello.handshake()[4..])), Err(Rejected::MessageType));
}
