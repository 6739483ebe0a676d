//! What the facts take: whatever clients send, no more than 4 MiB; and nothing for a handshake like one before.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use sni_probe_core::clients::ClientLabel;
use sni_probe_core::observation::{Handshake, Outcome, Sni};
use sni_probe_model::facts::{MAX_ENTRIES, MAX_GATEWAYS, RefusalFacts};

const HANDSHAKES: u32 = 300_000;
const AT_MOST_BYTES: i64 = 4 << 20;

#[test]
fn a_handshake_like_one_before_takes_nothing() {
    let mut facts = RefusalFacts::default();
    let mut named = Handshake::example();
    named.hello.sni = Sni::Present("api.example.".to_owned());
    named.hello.body.as_mut().expect("a complete hello").name_as_sent = Some("Api.example.".to_owned());
    let handshakes = [Handshake::example(), named];
    for handshake in &handshakes {
        facts.add(handshake);
    }
    let memory = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            for handshake in &handshakes {
                facts.add(handshake);
            }
        }
    });
    assert_eq!(memory.count_total, 0, "allocations");
}

#[test]
fn hostile_handshakes_cost_no_more_than_4_mib() {
    for gateways in [1, 1_000] {
        hostile_handshakes(gateways);
    }
}

fn hostile_handshakes(gateways: u32) {
    let mut facts = RefusalFacts::default();
    let memory = allocation_counter::measure(|| {
        for number in 0..HANDSHAKES {
            facts.add(&hostile(number, gateways));
        }
    });
    let held = memory.bytes_current;
    let begin = Instant::now();
    let report = facts.report(&ClientLabel::Ip);
    println!("{gateways} gateways: {held} bytes, {:?} for a report", begin.elapsed());
    assert!(held <= AT_MOST_BYTES, "{held} bytes");
    assert!(held > 100_000, "all are freed: {held} bytes");
    assert!(begin.elapsed() < Duration::from_secs(20));

    assert!(report.gateways.len() <= MAX_GATEWAYS);
    let all: u64 = report.gateways.iter().map(|gateway| gateway.refused + gateway.served).sum();
    assert_eq!(all + report.other_refused + report.other_served, u64::from(HANDSHAKES));

    // In two halves it is no more.
    let mut sum = facts.clone();
    sum.add_later(&facts);
    let values: usize = sum
        .report(&ClientLabel::Ip)
        .gateways
        .iter()
        .flat_map(|gateway| &gateway.properties)
        .map(|property| property.values.len())
        .sum();
    assert!(values < 10 * MAX_ENTRIES);
}

/// Another name, ALPN list, length and address each time.
fn hostile(number: u32, gateways: u32) -> Handshake {
    let mut handshake = Handshake::example();
    let hello = &mut handshake.hello;
    let body = hello.body.as_mut().expect("a complete hello");
    if !number.is_multiple_of(3) {
        let name = format!("{number:x>63}.{number:y>63}.{number:z>63}.{number:a>50}.example");
        body.name_as_sent = Some(name.to_ascii_uppercase());
        hello.sni = Sni::Present(name);
    }
    body.alpn = vec![format!("{:0>50}", number / 2).into_bytes(), vec![b'x']];
    body.ja4 = Some(number.to_string());
    hello.length = number.wrapping_mul(2_654_435_761) % 20_000;
    hello.segments = number % 7;
    hello.records = number % 5;
    hello.is_proxy_local = number.is_multiple_of(11);
    let address = |base, number: u32| IpAddr::V4(Ipv4Addr::from_bits(base + number));
    handshake.flow.client = SocketAddr::new(address(0x0a00_0000, number), 40_000);
    handshake.flow.gateway = SocketAddr::new(address(0xc000_0000, number % gateways), 443);
    handshake.outcome = if number.is_multiple_of(2) { Outcome::ResetByGateway } else { Outcome::Established };
    handshake
}
