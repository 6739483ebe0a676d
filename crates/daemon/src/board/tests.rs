use std::time::Duration;

use sni_probe_capture::links::{LinkKind, LinkState};
use sni_probe_core::clients::{ClientsConfig, SubnetSizes};
use sni_probe_core::observation::{Negotiated, Outcome, Proxied, Sni};
use sni_probe_core::vocabulary::{AlertDescription, AlertSender, NonTls};
use sni_probe_model::Fate;
use sni_probe_model::api::GatewayState;
use sni_probe_model::facts::{Fact, FactName};

use super::*;
use crate::readiness::Status;

/// 2026-03-05 14:03:20 UTC is 1,000 s of the daemon's clock.
fn clock() -> WallClock {
    let utc = std::time::UNIX_EPOCH + Duration::from_secs(1_772_719_400);
    WallClock::new(seconds(1_000), utc)
}

fn seconds(seconds: u64) -> Timestamp {
    Timestamp(seconds * 1_000_000_000)
}

struct Daemon {
    board: Board,
    clients: Arc<Mutex<Clients>>,
    now: u64,
}

impl Daemon {
    fn new(config: ClientsConfig) -> Self {
        let clients = Arc::new(Mutex::new(Clients::new(config)));
        let metrics = Arc::new(Metrics::new(Arc::clone(&clients), None).unwrap());
        metrics.set_flows(3, 10);
        let readiness = Arc::new(Readiness::default());
        readiness.set(
            "eth0",
            Status::Attached { before: Vec::new(), state: LinkState::Up, kind: LinkKind::Other },
        );
        let names = Names::fixed(&[("192.0.2.1".parse().unwrap(), "shop", "cart", "cart-1")]);
        let filter = EventsFilter::parse("failed").unwrap();
        let board = Board::new(
            "node-1".to_owned(),
            vec![443],
            filter,
            Arc::clone(&clients),
            metrics,
            readiness,
            Some(names),
        );
        let mut daemon = Self { board, clients, now: 0 };
        daemon.pass(1_000);
        daemon
    }

    fn pass(&mut self, seconds_more: u64) {
        self.now += seconds_more;
        self.board.set_time(seconds(self.now), clock());
        self.clients.lock().unwrap().expire(seconds(self.now));
    }

    fn see(&self, client: &str, sni: Sni, outcome: Outcome) {
        let mut handshake = Handshake::example();
        handshake.flow.client.set_ip(client.parse().unwrap());
        handshake.time = seconds(self.now);
        handshake.hello.sni = sni;
        handshake.outcome = outcome;
        self.take(handshake);
    }

    fn take(&self, handshake: Handshake) {
        let mut clients = self.clients.lock().unwrap();
        let is_expected = clients.is_expected(handshake.client().ip());
        clients.handshake(&handshake, seconds(self.now));
        drop(clients);
        let source = if is_expected { ClientSource::Expected } else { ClientSource::Other };
        self.board.handshake(source, "eth0", Pods::default(), Box::new(handshake));
    }
}

#[test]
fn a_board_without_handshakes_says_so() {
    let mut daemon = Daemon::new(ClientsConfig::default());
    let summary = daemon.board.summary();
    assert_eq!((summary.state, summary.ready, summary.node.as_str()), (GatewayState::Idle, true, "node-1"));
    assert!(summary.handshakes.is_empty() && summary.last_hour.series.is_empty());
    assert_eq!((summary.flows.open, summary.flows.capacity), (3, 10));
    daemon.board.readiness.set("eth1", Status::Detached("it is gone".to_owned()));
    let summary = daemon.board.summary();
    assert_eq!(summary.state, GatewayState::NotReady);
    assert_eq!(summary.sentence, "Not everything is seen: eth1: not attached: it is gone.");
    daemon.pass(1);
}

#[test]
fn the_last_hour_is_told_by_minutes_and_in_a_sentence() {
    let mut daemon = Daemon::new(ClientsConfig::default());
    daemon.see("192.0.2.1", Sni::Absent, Outcome::ResetByGateway);
    daemon.see("192.0.2.2", Sni::Absent, Outcome::ResetByGateway);
    daemon.see("192.0.2.2", Sni::Present("a.example".to_owned()), Outcome::ServerHello);
    daemon.pass(120);
    daemon.see("192.0.2.2", Sni::Absent, Outcome::ResetByGateway);
    let summary = daemon.board.summary();
    assert_eq!(summary.state, GatewayState::Refusing);
    assert_eq!(
        summary.sentence,
        "2 clients without SNI were reset in the last hour; the gateway accepts none."
    );
    assert_eq!((summary.clients_without_sni, summary.clients_refused), (2, 2));
    let [named, resets] = &summary.last_hour.series[..] else { panic!("{:?}", summary.last_hour.series) };
    assert_eq!((named.sni.as_str(), named.outcome.as_str()), ("present", "server_hello"));
    assert_eq!((resets.sni.as_str(), resets.outcome.as_str()), ("absent", "reset_by_gateway"));
    assert_eq!(resets.handshakes.len(), 60);
    assert_eq!(resets.handshakes[57..], [2, 0, 1]);
    // 1,120 s is in the minute that ends at 1,140 s.
    assert_eq!(summary.last_hour.end.to_string(), "2026-03-05T14:05:40Z");
    let totals: Vec<_> =
        summary.handshakes.iter().map(|count| (count.sni.as_str(), count.handshakes)).collect();
    assert_eq!(totals, [("present", 1), ("absent", 3)]);

    daemon.pass(3_600);
    let summary = daemon.board.summary();
    assert_eq!(summary.state, GatewayState::Idle);
    assert!(summary.last_hour.series.is_empty());
    assert_eq!(summary.handshakes.len(), 2, "totals stay");
}

#[test]
fn the_same_handshake_has_the_same_time_in_each_answer_until_the_clock_is_set() {
    let mut daemon = Daemon::new(ClientsConfig::default());
    daemon.see("192.0.2.1", Sni::Absent, Outcome::ResetByGateway);
    let first_seen = |daemon: &Daemon| daemon.board.clients().clients[0].first_seen;
    let before = first_seen(&daemon);
    let utc = std::time::UNIX_EPOCH + Duration::from_secs(1_772_719_400);
    daemon.board.set_time(seconds(daemon.now), WallClock::new(Timestamp(1_000_000_000_300), utc));
    assert_eq!(first_seen(&daemon), before);
    daemon.board.set_time(seconds(daemon.now), WallClock::new(seconds(1_000), utc + Duration::from_mins(1)));
    assert_eq!(first_seen(&daemon).duration_since(before).as_secs(), 60);
    daemon.pass(1);
}

#[test]
fn expected_sources_do_not_make_the_sentence() {
    let subnet = "203.0.113.0/24".parse().unwrap();
    let expected = sni_probe_core::clients::ExpectedSources::new(&[subnet]);
    let daemon = Daemon::new(ClientsConfig { expected, ..Default::default() });
    daemon.see("203.0.113.5", Sni::Absent, Outcome::ResetByGateway);
    daemon.see("192.0.2.1", Sni::Present("a.example".to_owned()), Outcome::ServerHello);
    let summary = daemon.board.summary();
    assert_eq!(summary.state, GatewayState::Fine);
    assert_eq!(summary.handshakes[1].source.as_deref(), Some("expected"));
    assert_eq!(
        summary.sentence,
        "1 handshake of the last hour had SNI. The gateway refused 1 handshake of known clients without SNI, the last from \
         203.0.113.5."
    );
    let clients = daemon.board.clients();
    assert!(clients.clients.is_empty());
    assert_eq!(clients.expected[0].handshakes, 1);
}

#[test]
fn clients_are_told_with_what_they_offer_those_refused_most_first() {
    let daemon = Daemon::new(ClientsConfig::default());
    daemon.see("192.0.2.1", Sni::Absent, Outcome::ServerHello);
    daemon.see("192.0.2.1", Sni::Absent, Outcome::ServerHello);
    let sender = AlertSender::Gateway;
    let alert = Outcome::Alert { description: AlertDescription::UnrecognizedName, sender };
    daemon.see("192.0.2.2", Sni::Empty, alert);
    let clients = daemon.board.clients();
    assert_eq!((clients.label.as_str(), clients.capacity), ("ip", 100));
    let [first, second] = &clients.clients[..] else { panic!("{clients:?}") };
    assert_eq!((first.client.as_str(), first.refused, first.handshakes), ("192.0.2.2", 1, 1));
    assert_eq!((second.client.as_str(), second.refused, second.handshakes), ("192.0.2.1", 0, 2));
    assert_eq!(first.offered_versions, ["0x0304", "0x0303"]);
    assert_eq!(first.alpn, ["h2", "http/1.1"]);
    assert_eq!(first.gateway, "198.51.100.9:443");
    assert_eq!(first.likely.as_deref(), Some("OpenSSL 3.5 to 3.6"));
    assert_eq!(first.last_refused, Some(first.last_seen));
    assert_eq!(first.last_handshakes[0].alert.as_deref(), Some("unrecognized_name"));
    assert_eq!(first.per_minute.iter().sum::<u64>(), 1);
    assert_eq!(first.outcomes.len(), 1);
    assert_eq!((first.name.as_deref(), second.name.as_deref()), (None, Some("shop/cart-1")));
}

#[test]
fn the_last_handshakes_that_the_filter_lets_through_are_kept() {
    let daemon = Daemon::new(ClientsConfig::default());
    daemon.see("192.0.2.1", Sni::Absent, Outcome::ServerHello);
    for number in 0..MAX_HANDSHAKES + 5 {
        daemon.see(&format!("198.51.{}.{}", number / 100, number % 100), Sni::Absent, Outcome::Timeout);
    }
    let told = daemon.board.handshakes();
    assert_eq!(told.capacity, 200);
    assert_eq!(told.handshakes.len(), MAX_HANDSHAKES);
    assert_eq!(told.handshakes[0]["client"], "198.51.2.4:51234", "the newest first");
    assert_eq!(told.handshakes[MAX_HANDSHAKES - 1]["client"], "198.51.0.5:51234");
    assert_eq!(told.handshakes[0]["interface"], "eth0");
}

#[test]
fn labels_hide_addresses() {
    let label = ClientLabel::Subnet(SubnetSizes::default());
    let daemon = Daemon::new(ClientsConfig { label, ..Default::default() });
    let mut relayed = Handshake::example();
    relayed.proxied = Some(Proxied {
        client: "203.0.113.5:40000".parse().unwrap(),
        destination: "198.51.100.9:443".parse().unwrap(),
    });
    daemon.take(relayed);
    let event = &daemon.board.handshakes().handshakes[0];
    assert_eq!(event["client"], "203.0.113.0/24");
    assert_eq!(event["proxied_client"], "203.0.113.0/24");
    assert_eq!(event["peer"], "192.0.2.0/24");
    assert_eq!(daemon.board.clients().clients[0].client, "203.0.113.0/24");
    let everything = serde_json::to_string(&daemon.board.handshakes()).unwrap();
    assert!(!everything.contains("203.0.113.5") && !everything.contains("192.0.2.7"));

    let daemon = Daemon::new(ClientsConfig { label: ClientLabel::None, ..Default::default() });
    daemon.see("192.0.2.1", Sni::Absent, Outcome::ResetByGateway);
    assert_eq!(daemon.board.handshakes().handshakes[0]["client"], "-");
}

#[test]
fn an_alert_of_the_client_is_no_refusal() {
    let daemon = Daemon::new(ClientsConfig::default());
    let alert = |sender| Outcome::Alert { description: AlertDescription::UnknownCa, sender };
    daemon.see("192.0.2.1", Sni::Absent, alert(AlertSender::Client));
    daemon.see("192.0.2.2", Sni::Absent, alert(AlertSender::Gateway));
    daemon.see("192.0.2.2", Sni::Absent, alert(AlertSender::Gateway));
    let summary = daemon.board.summary();
    let [alerts] = &summary.handshakes[..] else { panic!("{:?}", summary.handshakes) };
    assert_eq!((alerts.handshakes, alerts.refused()), (3, 2));
    assert_eq!(summary.last_hour.series[0].refused.as_ref().unwrap()[59], 2);
    let clients = daemon.board.clients();
    let refused: Vec<_> = clients.clients.iter().map(|client| client.outcomes[0].refused()).collect();
    assert_eq!(refused, [2, 0]);
    assert_eq!(summary.tls_versions[0].handshakes, 3);
}

#[test]
fn the_last_handshakes_of_a_client_say_what_the_gateway_chose_and_how_it_ended() {
    let daemon = Daemon::new(ClientsConfig::default());
    let mut handshake = Handshake::example();
    handshake.time = seconds(daemon.now);
    handshake.outcome = Outcome::RejectedByClient { alert: Some(AlertDescription::UnknownCa) };
    handshake.answer.negotiated =
        Some(Negotiated { version: TlsVersion::Tls13, cipher_suite: 0x1301, group: Some(0x11ec) });
    daemon.take(handshake);
    daemon.see("192.0.2.7", Sni::Absent, Outcome::ClientCertificateRefused { alert: None });
    daemon.see("192.0.2.7", Sni::Absent, Outcome::RefusedAfterServerHello { alert: None });
    let clients = daemon.board.clients();
    let [client] = &clients.clients[..] else { panic!("{clients:?}") };
    assert_eq!((client.handshakes, client.refused), (3, 1));
    let [refused, certificate, rejected] = &client.last_handshakes[..] else { panic!("{client:?}") };
    assert_eq!(rejected.negotiated().as_deref(), Some("TLS 1.3, TLS_AES_128_GCM_SHA256, x25519mlkem768"));
    assert_eq!(rejected.alert.as_deref(), Some("unknown_ca"));
    assert_eq!(rejected.alert_sender, Some(AlertSender::Client.as_str().into()));
    assert_eq!(refused.negotiated(), None);
    let fates = [refused, certificate, rejected].map(LastHandshake::fate);
    assert_eq!(fates, [Fate::Refused, Fate::Failed, Fate::Served]);
}

#[test]
fn events_that_were_lost_are_reported_for_an_hour() {
    let mut daemon = Daemon::new(ClientsConfig::default());
    daemon.see("192.0.2.1", Sni::Present("a.example".to_owned()), Outcome::ServerHello);
    assert_eq!(daemon.board.summary().state, GatewayState::Fine);
    daemon.board.metrics.add(sni_probe_datapath::counters::Counter::LostRingFull, 7);
    daemon.pass(1);
    let summary = daemon.board.summary();
    assert_eq!(summary.state, GatewayState::Unclear);
    assert!(summary.sentence.contains(" 7 events were lost in the last hour"), "{}", summary.sentence);
    daemon.pass(3_600);
    assert_eq!(daemon.board.summary().state, GatewayState::Idle);
}

#[test]
fn names_that_were_refused_are_listed_most_first() {
    let daemon = Daemon::new(ClientsConfig { top: 2, ..Default::default() });
    for (name, count) in [("a.example", 1), ("other", 2), ("c.example", 1)] {
        for _ in 0..count {
            daemon.see("192.0.2.1", Sni::Present(name.to_owned()), Outcome::ResetByGateway);
        }
    }
    let clients = daemon.board.clients();
    let names: Vec<_> =
        clients.refused_names.iter().map(|name| (name.server_name.as_str(), name.refused)).collect();
    assert_eq!((names, clients.other_names_refused), (vec![("other", 2), ("a.example", 1)], 1));
}

#[test]
fn facts_are_of_the_last_hours_and_hide_addresses() {
    let label = ClientLabel::Subnet(SubnetSizes::default());
    let mut daemon = Daemon::new(ClientsConfig { label, ..Default::default() });
    for _ in 0..6 {
        daemon.pass(10);
        daemon.see("192.0.2.1", Sni::Absent, Outcome::ResetByGateway);
    }
    let flow = Handshake::example().flow;
    daemon.board.non_tls(&Observation::NonTls { flow, time: seconds(0), protocol: NonTls::Http });
    let answer = daemon.board.facts();
    assert_eq!(answer.since, clock().utc(seconds(1_010)));
    let facts = &answer.report.gateways[0].facts;
    assert_eq!(
        facts.iter().filter_map(Fact::name).collect::<Vec<_>>(),
        [FactName::PlainHttpRequest, FactName::HealthCheck, FactName::RefusalShape]
    );
    let json = serde_json::to_string(&answer).unwrap();
    assert!(json.contains("192.0.2.0/24") && !json.contains("192.0.2.1"), "{json}");
    daemon.pass(3 * 3_600);
    assert!(daemon.board.facts().report.gateways.is_empty());
}
