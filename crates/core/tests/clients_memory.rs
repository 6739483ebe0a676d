//! What the books of clients take: 1,000,000 different clients, names and fingerprints cost no more than 8 MiB.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use sni_probe_core::clients::{Clients, ClientsConfig};
use sni_probe_core::flow::{FlowKey, Place, Timestamp};
use sni_probe_core::observation::{AnswerDetails, Handshake, Hello, HelloBody, Outcome, Sni};
use sni_probe_core::vocabulary::TlsVersion;

const CLIENTS: u32 = 1_000_000;
const AT_MOST_BYTES: i64 = 8 << 20;

#[test]
fn a_million_clients_cost_no_more_than_8_mib() {
    let mut clients = Clients::new(ClientsConfig::default());
    let memory = allocation_counter::measure(|| {
        for number in 0..CLIENTS {
            let now = Timestamp(u64::from(number) * 1_000_000);
            clients.handshake(&handshake(number, Sni::Absent), now);
            clients.handshake(&handshake(number, Sni::Present(format!("{number:0>240}.example"))), now);
            if number % 10_000 == 0 {
                clients.expire(now);
            }
        }
    });
    let held = memory.bytes_current;
    println!("{held} bytes for {CLIENTS} clients, names and fingerprints");
    assert!(held <= AT_MOST_BYTES, "{held} bytes");
    assert!(held > 100_000, "all are freed: {held} bytes");

    let all: u64 = clients.top().map(|(_, record)| record.outcomes.total()).sum();
    assert_eq!(all + clients.other().total(), u64::from(CLIENTS));
    let estimate = clients.distinct();
    assert!(estimate.abs_diff(u64::from(CLIENTS)) < 40_000, "{estimate}");
}

fn handshake(number: u32, sni: Sni) -> Handshake {
    // Now and then one that offers more than is kept.
    let offers = if number.is_multiple_of(100) { 17 } else { 2 };
    let client = IpAddr::V6(Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(number)));
    let body = HelloBody {
        sslv2: false,
        legacy_version: 0x0303,
        offered_versions: vec![0x0304; offers],
        version: TlsVersion::Tls13,
        alpn: vec![vec![b'x'; 255]; offers],
        name_as_sent: None,
        ja3: Some(format!("{number:032x}")),
        ja4: Some(format!("t13i0102h2_{number:012x}_{number:012x}")),
        random: vec![0; 32],
    };
    Handshake {
        flow: FlowKey {
            client: SocketAddr::new(client, 40_000),
            gateway: SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 443),
        },
        place: Place(1),
        proxied: None,
        time: Timestamp(u64::from(number)),
        hello: Hello { sni, body: Some(body), ..Hello::default() },
        outcome: Outcome::ResetByGateway,
        latency: Duration::from_micros(45),
        answer: AnswerDetails::default(),
    }
}
