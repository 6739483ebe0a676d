use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::{
    ClientKey, ClientLabel, Clients, ClientsConfig, ExpectedSources, MAX_RECENT, Outcomes, Refusals,
    SubnetSizes,
};
use crate::flow::{FlowKey, Place, Timestamp};
use crate::observation::{AnswerDetails, Handshake, Hello, HelloBody, Outcome, Proxied, Sni};
use crate::vocabulary::{AlertDescription, AlertSender, OutcomeClass, SniClass, TlsVersion};

fn at(seconds: u64) -> Timestamp {
    Timestamp(seconds * 1_000_000_000)
}

fn handshake(client: &str, sni: Sni, outcome: Outcome) -> Handshake {
    let body = HelloBody {
        sslv2: false,
        legacy_version: 0x0303,
        offered_versions: vec![0x0304, 0x0303],
        version: TlsVersion::Tls13,
        alpn: vec![b"h2".to_vec()],
        name_as_sent: None,
        ja3: None,
        ja4: Some("t13i0102h2_aaaaaaaaaaaa_bbbbbbbbbbbb".to_owned()),
        random: Vec::new(),
    };
    Handshake {
        flow: FlowKey {
            client: SocketAddr::new(client.parse().unwrap(), 40_000),
            gateway: "198.51.100.1:443".parse().unwrap(),
        },
        place: Place(1),
        proxied: None,
        time: at(1),
        hello: Hello { sni, body: Some(body), ..Hello::default() },
        outcome,
        latency: Duration::from_micros(45),
        answer: AnswerDetails::default(),
    }
}

fn of(outcomes: &Outcomes, sni: SniClass, outcome: OutcomeClass) -> u64 {
    outcomes.iter().find(|(s, o, _)| (*s, *o) == (sni, outcome)).unwrap().2
}

fn top(clients: &Clients) -> HashMap<String, u64> {
    clients.top().map(|(key, record)| (key.to_string(), record.outcomes.total())).collect()
}

#[test]
fn each_handshake_without_sni_adds_to_one_client_and_one_fingerprint() {
    let mut clients = Clients::new(ClientsConfig { top: 1, ..Default::default() });
    for (client, sni, outcome) in [
        ("192.0.2.1", Sni::Absent, Outcome::ResetByGateway),
        ("192.0.2.1", Sni::Empty, Outcome::ServerHello),
        ("192.0.2.2", Sni::Invalid("192.0.2.9".to_owned()), Outcome::Timeout),
        ("192.0.2.3", Sni::Unknown, Outcome::ResetByGateway),
        ("192.0.2.3", Sni::Present("a.example".to_owned()), Outcome::ServerHello),
    ] {
        clients.handshake(&handshake(client, sni, outcome), at(1));
    }
    assert_eq!(top(&clients), [("192.0.2.1".to_owned(), 2)].into());
    assert_eq!(clients.other().total(), 1);
    assert_eq!(of(clients.other(), SniClass::Invalid, OutcomeClass::Timeout), 1);
    let fingerprints: Vec<_> =
        clients.fingerprints().map(|(ja4, outcomes)| (ja4, outcomes.total())).collect();
    assert_eq!(fingerprints, [("t13i0102h2_aaaaaaaaaaaa_bbbbbbbbbbbb", 3)]);
    assert_eq!((clients.distinct(), clients.distinct_refused()), (2, 1));
    let (_, record) = clients.top().next().unwrap();
    assert_eq!(record.outcomes.total_refused(), 1);
    assert_eq!(of(&record.outcomes, SniClass::Absent, OutcomeClass::ResetByGateway), 1);
    assert_eq!(record.offer.as_ref().unwrap().alpn, [b"h2"]);
}

#[test]
fn a_name_is_told_if_the_gateway_refused_it() {
    let mut clients = Clients::new(ClientsConfig { top: 1, ..Default::default() });
    let alert = |sender| Outcome::Alert { description: AlertDescription::UnrecognizedName, sender };
    for (name, outcome) in [
        ("a.example", Outcome::ResetByGateway),
        ("a.example", alert(AlertSender::Gateway)),
        ("a.example", alert(AlertSender::Client)),
        ("a.example", Outcome::ServerHello),
        ("b.example", Outcome::ClosedByGateway),
    ] {
        clients.handshake(&handshake("192.0.2.1", Sni::Present(name.to_owned()), outcome), at(1));
    }
    let names: Vec<_> = clients.names().collect();
    let counts = |refusals: &Refusals| refusals.iter().map(|(_, count)| count).collect::<Vec<_>>();
    assert_eq!(names.len(), 1);
    assert_eq!((names[0].0, counts(names[0].1)), ("a.example", vec![0, 1, 1, 0]));
    assert_eq!(counts(clients.other_names()), [0, 0, 0, 1]);
    assert!(clients.top().next().is_none());
    assert_eq!(clients.distinct(), 0);
}

#[test]
fn the_client_is_the_one_that_the_proxy_names() {
    let mut clients = Clients::new(ClientsConfig::default());
    let mut relayed = handshake("192.0.2.1", Sni::Absent, Outcome::ResetByGateway);
    relayed.proxied = Some(Proxied {
        client: "203.0.113.5:4711".parse().unwrap(),
        destination: "198.51.100.1:443".parse().unwrap(),
    });
    clients.handshake(&relayed, at(1));
    assert_eq!(top(&clients), [("203.0.113.5".to_owned(), 1)].into());
}

#[test]
fn expected_sources_are_apart() {
    let subnet = "203.0.113.0/24".parse().unwrap();
    let expected = ExpectedSources::new(&[subnet]);
    let mut clients = Clients::new(ClientsConfig { expected, ..Default::default() });
    for client in ["203.0.113.5", "203.0.113.6", "192.0.2.1"] {
        clients.handshake(&handshake(client, Sni::Absent, Outcome::ResetByGateway), at(1));
    }
    assert_eq!(top(&clients), [("192.0.2.1".to_owned(), 1)].into());
    assert_eq!(of(clients.expected(), SniClass::Absent, OutcomeClass::ResetByGateway), 2);
    assert_eq!((clients.distinct(), clients.distinct_refused()), (1, 1));
}

#[test]
fn without_labels_all_are_others_but_for_their_number() {
    let mut clients = Clients::new(ClientsConfig { label: ClientLabel::None, ..Default::default() });
    for client in ["192.0.2.1", "192.0.2.2"] {
        clients.handshake(&handshake(client, Sni::Absent, Outcome::ResetByGateway), at(1));
    }
    assert_eq!((clients.top().count(), clients.other().total(), clients.distinct()), (0, 2, 2));
}

#[test]
fn a_record_keeps_the_last_handshakes_and_the_last_offer() {
    let mut clients = Clients::new(ClientsConfig::default());
    for second in 0..20 {
        let mut handshake = handshake("192.0.2.1", Sni::Absent, Outcome::ResetByGateway);
        handshake.time = at(second);
        let body = handshake.hello.body.as_mut().unwrap();
        if second == 19 {
            body.ja4 = Some("t12i".to_owned());
            body.alpn = vec![vec![b'x'; 255]; 1_000];
            body.offered_versions = vec![0x0303; 100];
        }
        clients.handshake(&handshake, at(second));
    }
    let (_, record) = clients.top().next().unwrap();
    assert_eq!((record.first_seen, record.last_seen, record.last_refused), (at(0), at(19), Some(at(19))));
    assert_eq!(record.recent.len(), MAX_RECENT);
    assert_eq!(record.recent.back().unwrap().time, at(19));
    assert_eq!(record.per_minute.iter(at(19)).map(|(_, &count)| count).collect::<Vec<_>>(), [20]);
    let offer = record.offer.as_ref().unwrap();
    assert_eq!((offer.ja4.as_deref(), offer.alpn.len(), offer.alpn[0].len()), (Some("t12i"), 16, 32));
    assert_eq!(offer.offered_versions.len(), 16);
}

#[test]
fn idle_ones_leave_with_their_counts_and_an_hour_later_nobody_was_refused() {
    let mut clients = Clients::new(ClientsConfig::default());
    clients.handshake(&handshake("192.0.2.1", Sni::Absent, Outcome::ResetByGateway), at(0));
    clients.handshake(
        &handshake("192.0.2.1", Sni::Present("a.example".to_owned()), Outcome::ResetByGateway),
        at(0),
    );
    clients.expire(at(3_599));
    assert_eq!((clients.top().count(), clients.fingerprints().count(), clients.names().count()), (1, 1, 1));
    clients.expire(at(3_600));
    assert_eq!((clients.top().count(), clients.fingerprints().count(), clients.names().count()), (0, 0, 0));
    assert_eq!((clients.other().total(), clients.other_fingerprints().total()), (0, 0));
    assert_eq!((clients.distinct(), clients.distinct_refused()), (1, 0));
}

#[test]
fn labels_put_clients_together() {
    let label = ClientLabel::Subnet(SubnetSizes::default());
    let mut clients = Clients::new(ClientsConfig { label, ..Default::default() });
    for client in ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"] {
        clients.handshake(&handshake(client, Sni::Absent, Outcome::ResetByGateway), at(1));
    }
    assert_eq!(top(&clients), [("192.0.2.0/24".to_owned(), 2), ("2001:db8::/64".to_owned(), 2)].into());
    assert_eq!(clients.distinct(), 4);
    assert!(clients.top().all(|(key, _)| matches!(key, ClientKey::Subnet(_))));
}
