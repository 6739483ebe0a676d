//! No word from the wire makes two series of one name.

use std::collections::BTreeSet;
use std::time::Duration;

use sni_probe_core::client_hello;
use sni_probe_core::clients::{ClientLabel, ClientsConfig, ExpectedSources, HashKey, SubnetSizes};
use sni_probe_core::flow::Timestamp;
use sni_probe_core::observation::Hello;
use sni_probe_model::{KNOWN_CLIENTS, OTHER_CLIENTS, OTHER_FINGERPRINTS, OTHER_GATEWAYS, REST};
use sni_probe_testkit::hello::ClientHelloBuilder;

use super::tests::handshake;
use super::*;

/// Prometheus drops one of two series of one name.
#[test]
fn no_word_from_the_wire_makes_a_series_twice() {
    let reserved =
        [REST, OTHER_CLIENTS, KNOWN_CLIENTS, OTHER_FINGERPRINTS, OTHER_GATEWAYS[1], "", "unknown", "several"];
    let labels = [
        ClientLabel::Ip,
        ClientLabel::Subnet(SubnetSizes::default()),
        ClientLabel::Hash(HashKey::new(*b"key")),
        ClientLabel::None,
    ];
    for label in labels {
        let expected = ExpectedSources::new(&["203.0.113.0/24".parse().unwrap()]);
        let config = ClientsConfig { top: 20, label, expected, ..Default::default() };
        let clients = Arc::new(Mutex::new(Clients::new(config)));
        let metrics = Metrics::new(Arc::clone(&clients), Some(&Names::fixed(&[]))).unwrap();
        for word in reserved {
            let alert = |sender| Outcome::Alert { description: AlertDescription::from_code(255), sender };
            for outcome in [
                Outcome::ResetByGateway,
                Outcome::ServerHello,
                Outcome::RefusedAfterServerHello { alert: None },
                alert(AlertSender::Gateway),
                alert(AlertSender::Client),
            ] {
                for client in ["192.0.2.1", "203.0.113.1", "2001:db8::1"] {
                    for hello in [hello(Some(word)), hello(None)] {
                        let name = hello.sni.clone();
                        let Observation::Handshake(mut handshake) = handshake(name, outcome, Duration::ZERO)
                        else {
                            unreachable!("it is one")
                        };
                        handshake.hello = hello;
                        handshake.flow.client.set_ip(client.parse().unwrap());
                        clients.lock().unwrap().handshake(&handshake, Timestamp(0));
                        let gateway = GatewayName { namespace: "apigee".into(), workload: word.into() };
                        let parties = Parties { source: ClientSource::Other, gateway: Some(&gateway) };
                        metrics.handshake(&handshake, parties);
                    }
                }
            }
        }
        let text = metrics.encode().unwrap();
        let mut series = BTreeSet::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, _) = line.rsplit_once(' ').unwrap();
            assert!(series.insert(without_empty_labels(name)), "twice: {name}");
        }
        // A name that was the word for the rest until version 0.1.0.
        let other =
            r#"sni_probe_server_name_handshakes_total{outcome="reset_by_gateway",server_name="other"}"#;
        assert!(series.contains(other), "{other}");
    }
}

/// To Prometheus a label without a value is none.
fn without_empty_labels(series: &str) -> String {
    let Some((family, labels)) = series.split_once('{') else { return series.to_owned() };
    let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.ends_with("=\"\""));
    format!("{family}{{{}}}", labels.collect::<Vec<_>>().join(","))
}

/// A hello with this name, as it is read from the wire.
fn hello(name: Option<&str>) -> Hello {
    let builder = ClientHelloBuilder::new();
    let builder = name.map_or_else(|| builder.clone(), |name| builder.clone().server_name(name));
    let parsed = client_hello::parse(&builder.handshake()).expect("a ClientHello");
    Hello { sni: parsed.sni.clone(), body: Some(parsed.into_body(true)), ..Hello::default() }
}
