use super::*;
use crate::testing::{HelloBuilder, RANDOM, handshake, vec8, vec16};

fn parsed(hello: &HelloBuilder) -> ClientHello {
    parse(&hello.message()).unwrap()
}

fn features(hello: &HelloBuilder) -> Vec<Feature> {
    parsed(hello).features.iter().collect()
}

#[test]
fn names() {
    let hello = HelloBuilder::new();
    assert_eq!(parsed(&hello).sni, Sni::Absent);
    assert_eq!(parsed(&hello.clone().name("Api.Example.com.")).sni, Sni::Present("api.example.com.".into()));
    assert_eq!(parsed(&hello.clone().name("")).sni, Sni::Empty);
    assert_eq!(parsed(&hello.clone().extension(0, &[])).sni, Sni::Empty);
    assert_eq!(parsed(&hello.clone().name("192.0.2.1")).sni, Sni::Invalid("192.0.2.1".into()));
    assert_eq!(parsed(&hello.clone().extension(0, &[0, 9, 0])).sni, Sni::Invalid("\\x00\\x09\\x00".into()));
    assert_eq!(parsed(&HelloBuilder::tls10()).sni, Sni::Absent);
}

#[test]
fn two_name_extensions_are_malformed() {
    for (first, second) in [("a.example", "b.example"), ("a.example", "a.example"), ("", "a.example")] {
        let mut hello = HelloBuilder::new().name(first);
        let second = HelloBuilder::new().name(second).extensions.unwrap().pop().unwrap();
        hello.extensions.as_mut().unwrap().push(second);
        assert_eq!(parse(&hello.message()), Err(Rejected::Hello));
    }
}

#[test]
fn content() {
    let body = parsed(&HelloBuilder::new().name("a.example").alpn(&[b"h2", b"http/1.1"])).into_body(true);
    assert_eq!(body.legacy_version, 0x0303);
    assert_eq!(body.offered_versions, [0x0304, 0x0303]);
    assert_eq!(body.alpn, [&b"h2"[..], b"http/1.1"]);
    assert_eq!(body.random, RANDOM);
    assert!(!body.sslv2);
    let ja4 = body.ja4.unwrap();
    assert!(ja4.starts_with("t13d0206h2_"), "{ja4}");
}

#[test]
fn versions() {
    let offering =
        |versions: &[u8]| parsed(&HelloBuilder::new().extension(43, &vec8(versions))).into_body(true);
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
        let hello = HelloBuilder { legacy_version, ..HelloBuilder::tls10() };
        assert_eq!(parsed(&hello).version, version);
    }
}

#[test]
fn features_by_content() {
    let hello = HelloBuilder::new();
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
    let tls13 = HelloBuilder::new();
    assert_eq!(features(&tls13), [], "a session ID for middleboxes");
    assert_eq!(features(&tls13.clone().extension(41, &[0; 40])), [Feature::Resumption]);
    assert_eq!(features(&tls13.clone().extension(35, &[])), [], "a ticket is asked for");
    assert_eq!(features(&tls13.clone().extension(35, &[1; 100])), [Feature::Resumption]);
    assert_eq!(features(&tls13.extension(43, &vec8(&[0x1a, 0x1a, 3, 3]))), [Feature::Resumption]);
    assert_eq!(features(&HelloBuilder::tls10()), []);
    let old = HelloBuilder { session_id: vec![7; 32], ..HelloBuilder::tls10() };
    assert_eq!(features(&old), [Feature::Resumption]);
    assert_eq!(features(&HelloBuilder { legacy_version: 0x0399, ..old }), [], "a version that is not known");
}

#[test]
fn contradictions_in_other_extensions_do_not_hide_the_name() {
    let mut hello = HelloBuilder::new();
    for kind in [10, 11, 13, 16, 43, 51] {
        hello = hello.extension(kind, &[0xff]);
    }
    assert_eq!(parsed(&hello.name("a.example")).sni, Sni::Present("a.example".into()));
}

#[test]
fn no_prefix_is_a_hello() {
    let message = HelloBuilder::new().name("a.example").message();
    for len in 0..message.len() {
        assert_eq!(parse(&message[..len]), Err(Rejected::Hello));
        // Nor when its length says that it ends there. But where a hello without extensions ends.
        let cut = handshake(1, &message[4..len.max(4)]);
        let is_without_extensions = len == 4 + 2 + 32 + 33 + 6 + 2;
        assert_eq!(parse(&cut).is_ok(), is_without_extensions, "{len}");
    }
}

#[test]
fn contradictory_lengths() {
    let hello = HelloBuilder::new().name("a.example");
    let message = hello.message();
    let block_at = message.len()
        - hello.extensions.as_ref().unwrap().iter().map(|(_, body)| 4 + body.len()).sum::<usize>()
        - 2;
    for value in [0_u16, 1, 20, 0xffff] {
        let mut message = message.clone();
        message[block_at..block_at + 2].copy_from_slice(&value.to_be_bytes());
        assert_eq!(parse(&message), Err(Rejected::Hello), "extension block of {value} bytes");
    }
    let mut message = message.clone();
    message[block_at + 5] += 1;
    assert_eq!(parse(&message), Err(Rejected::Hello), "an extension one byte longer");
    assert_eq!(
        parse(&handshake(1, &[&hello.message()[4..], &[0]].concat())),
        Err(Rejected::Hello),
        "trailing byte"
    );
    assert_eq!(parse(&handshake(2, &hello.message()[4..])), Err(Rejected::MessageType));
}
