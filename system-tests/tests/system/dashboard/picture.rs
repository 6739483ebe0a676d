//! The pictures of the documentation: the dashboard, drawn by Chromium from a real Prometheus' data.
//!
//! `SNI_PROBE_BLESS=1 cargo xtask system-test dashboard::picture --capture tc` writes them anew. Without that the traffic is
//! shorter, and the test only sees that all can be drawn.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sni_probe_testkit::hello::{ClientHelloBuilder, TLS_1_0, TLS_1_2};
use system_tests::browser::Browser;
use system_tests::clients::{self, Target};
use system_tests::envoy::{Envoy, EnvoyOptions};
use system_tests::prometheus::{Prometheus, PrometheusOptions};
use system_tests::raw::RawClient;
use system_tests::{CLIENT_INTERFACE, GATEWAY_V4, GATEWAY_V6, Lab, SERVER_NAME};

use super::{
    BALANCER, CHOSEN, Variables, curl, dashboard, lab, options_of_a_cluster, panels, probe, targets,
};
use crate::clients::with_names;
use crate::envoy::java;
use crate::site::TIMEOUT;

/// Draws the dashboard.
const PAGE: &str = include_str!("picture.html");
/// Of the pictures: width, and bytes at most.
const WIDTH: u32 = 1600;
const LARGEST: usize = 400_000;

/// How long the traffic of the picture lasts: to be looked at, or only to see that all can be drawn.
fn duration_of_the_picture() -> Duration {
    Duration::from_secs(if std::env::var_os("SNI_PROBE_BLESS").is_some() { 150 } else { 8 })
}

/// Begins `act` again and again, `pause` apart, in a part of the time: from and to in hundredths.
fn repeat(start: Instant, part: [u32; 2], pause: Duration, mut act: impl FnMut(u32)) {
    let total = duration_of_the_picture();
    thread::sleep((total * part[0] / 100).saturating_sub(start.elapsed()));
    for count in 0.. {
        if start.elapsed() >= total * part[1] / 100 {
            return;
        }
        act(count);
        thread::sleep(pause);
    }
}

/// Traffic with a shape: served clients, a deployment that forgets the name, an old service, names of another gateway.
fn traffic_for_the_picture(lab: &Lab) {
    let millis = Duration::from_millis;
    let start = Instant::now();
    let send = |bytes: &[u8]| {
        let mut client = RawClient::connect(&lab.client, SocketAddr::new(GATEWAY_V4, 443)).unwrap();
        client.send(bytes).unwrap();
        client.read_first(TIMEOUT).unwrap();
    };
    let named = |name: &str| ClientHelloBuilder::new().server_name(name);
    let (modern, right) = (named(SERVER_NAME).post_quantum().build(), named(SERVER_NAME));
    let older = right.clone().versions(&[TLS_1_2]).build();
    let oldest = right.clone().versions(&[TLS_1_0]).build();
    let (right, literal) = (right.build(), named("10.77.0.1:443").build());
    thread::scope(|scope| {
        let stream = |part, pause, act: Box<dyn FnMut(u32) + Send>| {
            scope.spawn(move || repeat(start, part, pause, act));
        };
        // Served: a wave, more and more of it post-quantum.
        stream([0, 100], millis(0), {
            Box::new(|count| {
                let share = start.elapsed().as_secs_f64() / duration_of_the_picture().as_secs_f64();
                let modern_share = f64::from(count % 100) / 100.0 < 0.3 + 0.4 * share;
                send(if modern_share {
                    &modern
                } else if count % 5 == 0 {
                    &older
                } else {
                    &right
                });
                thread::sleep(millis(40).mul_f64(1.0 + 0.5 * (share * 12.0).sin()));
            })
        });
        stream([0, 100], millis(900), Box::new(|_| curl(lab, BALANCER, None)));
        stream([28, 100], millis(450), Box::new(|_| curl(lab, "10.77.0.11", None)));
        stream([45, 72], millis(600), Box::new(|_| curl(lab, "10.77.0.12", None)));
        stream([36, 100], millis(1500), {
            Box::new(|_| {
                clients::python(lab, Target::https(GATEWAY_V6, None)).unwrap();
            })
        });
        stream([55, 100], millis(1100), {
            Box::new(|_| {
                let options = ["-bind", "10.77.0.14:0"];
                clients::openssl(lab, Target::https(GATEWAY_V4, None), &options).unwrap();
            })
        });
        stream([32, 100], millis(5000), {
            Box::new(|_| {
                java(lab, "10.77.0.1", &[]);
            })
        });
        for (name, part, pause) in [
            ("old-api.mydomain.com", [10, 100], 1300),
            ("shop.example.com", [20, 60], 2100),
            ("mail.example.org", [50, 100], 4000),
        ] {
            stream(part, millis(pause), Box::new(move |_| curl(lab, "10.77.0.15", Some(name))));
        }
        stream([15, 100], millis(2500), Box::new(|_| send(&oldest)));
        stream([60, 85], millis(2500), Box::new(|_| send(&literal)));
        stream([5, 100], millis(3100), Box::new(|_| send(b"GET / HTTP/1.1\r\n\r\n")));
        stream([5, 95], millis(500), Box::new(|_| send(&right[..60])));
    });
}

/// The answers to all queries of the dashboard, by panel and query, for the time from `from` to `to`.
fn answers(prometheus: &Prometheus<'_>, variables: Variables<'_>, [from, to]: [f64; 2]) -> Value {
    let range = format!("{}s", (to - from).round());
    let mut answers = serde_json::Map::new();
    let dashboard = dashboard();
    for panel in panels(&dashboard) {
        for target in targets(panel) {
            let query = variables.fill(target["expr"].as_str().unwrap(), "12s", &range, "1s");
            let [from, to] = [from, to].map(|time| format!("{time:.3}"));
            let mut data = if target["instant"] == true {
                prometheus.get("query", &[("query", &query), ("time", &to)])
            } else {
                let parameters = [("query", query.as_str()), ("start", &from), ("end", &to), ("step", "1")];
                prometheus.get("query_range", &parameters)
            }
            .unwrap();
            let key = format!("{}:{}", panel["id"], target["refId"].as_str().unwrap());
            answers.insert(key, data["result"].take());
        }
    }
    answers.into()
}

#[test]
fn all_can_be_drawn() {
    let lab = lab();
    for address in ["10.77.0.14", "10.77.0.15"] {
        lab.client.ip(&format!("address add {address}/24 dev {CLIENT_INTERFACE}")).unwrap();
    }
    let patience = Duration::from_secs(2);
    let options = EnvoyOptions { listener_filters_timeout: patience, ..EnvoyOptions::default() };
    let _envoy = Envoy::start(&lab, &options).unwrap();
    let _probe = probe(&lab, &with_names(&lab));
    let options = PrometheusOptions { interval: Duration::from_secs(1), ..options_of_a_cluster() };
    let prometheus = Prometheus::start(&lab, &options).unwrap();
    let time = || prometheus.last_scrape().unwrap().parse::<f64>().unwrap();
    let from = time();
    traffic_for_the_picture(&lab);
    let to = time();

    let data = json!({
        "dashboard": dashboard(),
        "answers": answers(&prometheus, CHOSEN, [from, to]),
        "from": from,
        "to": to,
        "chosen": { "datasource": "Prometheus", "cluster": "All", "namespace": "All", "node": "All" },
        "note": "Drawn from the data of a real Prometheus by sni-probe's own renderer; not a screenshot of Grafana.",
    });
    let page = lab.path("dashboard.html");
    let script = format!("<script>const DATA = {};</script>\n", data.to_string().replace("</", "<\\/"));
    fs::write(&page, PAGE.replacen("<script>", &format!("{script}<script>"), 1)).unwrap();
    let browser = Browser::start(&lab.gateway, lab.directory(), |_| None).unwrap();
    browser.resize(WIDTH, 1000).unwrap();
    browser.open(&format!("file://{}", page.display())).unwrap();
    // From the state to whom, and what comes after.
    let rows: Vec<u64> = panels(&data["dashboard"])
        .into_iter()
        .filter(|panel| panel["type"] == "row")
        .map(|panel| panel["gridPos"]["y"].as_u64().unwrap())
        .collect();
    for (name, first, end) in [("dashboard.png", 0, rows[3]), ("dashboard-more.png", rows[3], 1000)] {
        let height = browser.evaluate(&format!("draw({first}, {end})")).unwrap();
        browser.resize(WIDTH, u32::try_from(height.as_u64().unwrap()).unwrap()).unwrap();
        let picture = browser.screenshot().unwrap();
        assert!(picture.starts_with(b"\x89PNG") && picture.len() < LARGEST, "{name}: {}", picture.len());
        if std::env::var_os("SNI_PROBE_BLESS").is_some() {
            let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/images");
            fs::write(images.join(name), picture).unwrap();
        }
    }
    assert_eq!(browser.seen().unwrap().complaints, Vec::<String>::new());
}
