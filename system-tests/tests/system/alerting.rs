//! From the packet to the page that wakes somebody: sni-probe and the rules as they are shipped, a real gateway,
//! Prometheus and Alertmanager. Clients without SNI are refused and the alert comes with their address; the gateway gets
//! its wildcard, and the alert resolves.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use system_tests::alertmanager::{self, Alertmanager, Notification};
use system_tests::clients::{self, Target};
use system_tests::dist::Tarball;
use system_tests::envoy::{Envoy, EnvoyOptions};
use system_tests::probe::{HTTP_PORT, Probe};
use system_tests::prometheus::{Prometheus, PrometheusOptions};
use system_tests::{CLIENT_V4, GATEWAY_INTERFACE, GATEWAY_V4, Lab, SERVER_NAME, wait_until};

const TIMEOUT: Duration = Duration::from_secs(30);
/// Longer than all windows of the rules, at their speed here.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(150);
/// By how much the rules' time is shortened: an hour of them takes 40 s here. promtool tests them as they are.
const SPEED: u64 = 90;

const REFUSED: &str = "SniProbeClientsRefused";

/// The shipped rules with all their durations made shorter by [`SPEED`]: nothing else differs.
fn sped_up(rules: &str) -> String {
    let mut text = String::with_capacity(rules.len());
    let mut rest = rules;
    while let Some(start) = rest.find(|character: char| character.is_ascii_digit()) {
        let end = rest[start..].find(|character: char| !character.is_ascii_digit());
        let (before, number) = rest[..end.map_or(rest.len(), |end| start + end)].split_at(start);
        rest = &rest[before.len() + number.len()..];
        text.push_str(before);
        let is_word = |character: char| character.is_alphanumeric() || character == '_';
        let seconds = match rest.chars().next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            _ => 0,
        };
        // `[5m]`, `offset 1h`, `for: 2m`; not `rate5m`, `0.5` or `4xx`.
        let is_alone = !before.ends_with(|character: char| is_word(character) || character == '.')
            && !rest.chars().nth(1).is_some_and(is_word);
        if seconds > 0 && is_alone {
            let milliseconds = number.parse::<u64>().unwrap() * seconds * 1000 / SPEED;
            write!(text, "{milliseconds}ms").unwrap();
            rest = &rest[1..];
        } else {
            text.push_str(number);
        }
    }
    text + rest
}

fn without_sni(lab: &Lab) -> bool {
    clients::curl(lab, Target::https(GATEWAY_V4, None), &[]).unwrap().success()
}

/// Whether it is that alert about the lab's client.
fn is_of_client(notification: &Notification, status: &str) -> bool {
    notification.name() == REFUSED
        && notification.status == status
        && notification.labels.get("client").is_some_and(|client| *client == CLIENT_V4.to_string())
}

#[test]
fn the_time_of_rules_is_shortened_and_nothing_else() {
    let rules =
        "record: a:b:rate5m\nexpr: rate(x[5m] offset 1h) > 0.5 and y[1d:10m] < 3600\nfor: 2m # 4xx in 90s";
    let sped_up = sped_up(rules);
    assert_eq!(
        sped_up,
        "record: a:b:rate5m\nexpr: rate(x[3333ms] offset 40000ms) > 0.5 and y[960000ms:6666ms] < 3600\n\
         for: 1333ms # 4xx in 1000ms"
    );
}

#[test]
fn an_alert_comes_with_the_client_and_resolves_when_the_gateway_has_a_wildcard() {
    let lab = Lab::new().unwrap();
    let strict = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    let shipped = Tarball::from_environment().unwrap().unpack(&unpacking(&lab)).unwrap();
    let command = lab.gateway.command(shipped.binary());
    let mut probe =
        Probe::start_by(&lab, command, HTTP_PORT, &["-i", GATEWAY_INTERFACE, "--orientation", "nic"])
            .unwrap();
    probe.wait_ready().unwrap();
    let alertmanager = Alertmanager::start(&lab).unwrap();
    let mut prometheus = Prometheus::start(&lab, &with_rules(&lab, &shipped.directory)).unwrap();

    // What is served makes no alert.
    for _ in 0..5 {
        assert!(clients::curl(&lab, Target::https(GATEWAY_V4, Some(SERVER_NAME)), &[]).unwrap().success());
    }
    let served = r#"sum(sni_probe_handshakes_total{outcome=~"server_hello|established|rejected_by_client"})"#;
    prometheus.wait_for(served, 5.0).unwrap();
    assert_eq!(alertmanager.notifications().unwrap(), []);

    let mut refused = 0;
    let firing = wait_until("the alert", TIMEOUT, || {
        assert!(!without_sni(&lab), "there is no certificate for clients without SNI");
        refused += 1;
        let all = alertmanager.notifications()?;
        Ok(all.into_iter().find(|notification| is_of_client(notification, "firing")))
    });
    let firing = firing.unwrap_or_else(|error| panic!("{error:#}: {}", prometheus.service().stderr()));
    assert!(refused >= 3, "{refused}");
    let summary = &firing.annotations["summary"];
    assert!(summary.contains(&CLIENT_V4.to_string()), "{summary}");
    assert!(summary.contains(&format!("{GATEWAY_V4}:443")), "{summary}");
    assert!(firing.annotations["description"].contains("JA4 t13i"), "{firing:#?}");
    assert!(firing.annotations["runbook_url"].ends_with(&format!("/docs/runbooks/{REFUSED}.md")));
    assert_eq!(firing.labels["severity"], "warning");

    // The fix: now they get another certificate.
    drop(strict);
    let _wildcard =
        Envoy::start(&lab, &EnvoyOptions { wildcard_chain: true, ..EnvoyOptions::default() }).unwrap();
    let resolved = wait_until("the end of the alert", RESOLVE_TIMEOUT, || {
        assert!(without_sni(&lab), "the gateway has a certificate for clients without SNI");
        let all = alertmanager.notifications()?;
        Ok(all.into_iter().find(|notification| is_of_client(notification, "resolved")))
    });
    let resolved = resolved.unwrap_or_else(|error| panic!("{error:#}: {:#?}", alertmanager.notifications()));
    assert_eq!(resolved.labels, firing.labels);
    assert_eq!(resolved.starts_at, firing.starts_at, "it fired once, and ended once");

    // Nothing else was wrong, least of all the probe.
    let others: Vec<_> = alertmanager.notifications().unwrap();
    let others: Vec<_> = others.iter().filter(|notification| notification.name() != REFUSED).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!(probe.stop().unwrap(), 0);
}

/// A directory of its own: the tarball has one entry.
fn unpacking(lab: &Lab) -> PathBuf {
    let directory = lab.path("unpacked");
    fs::create_dir(&directory).unwrap();
    directory
}

fn with_rules(lab: &Lab, shipped: &Path) -> PrometheusOptions {
    let rules = fs::read_to_string(shipped.join("deploy/prometheus/sni-probe.rules.yaml")).unwrap();
    let file = lab.path("sped-up.rules.yaml");
    fs::write(&file, sped_up(&rules)).unwrap();
    PrometheusOptions {
        rules: vec![file],
        alertmanager: Some(alertmanager::ADDRESS),
        ..PrometheusOptions::default()
    }
}
