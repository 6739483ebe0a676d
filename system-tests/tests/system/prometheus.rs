//! What a real Prometheus makes of `/metrics`: promtool finds no fault with it, queries give the right
//! numbers, and so do the documentation's. The dashboard's are in [`crate::dashboard`].

use std::fs::{self, File};
use std::process::Command;

use system_tests::Lab;
use system_tests::envoy::{Envoy, EnvoyOptions};
use system_tests::probe::Probe;
use system_tests::prometheus::{Prometheus, PrometheusOptions};

use crate::envoy::mixture;

/// A range that holds the whole test.
const RANGE: &str = "1h";

const RESETS: &str = r#"sni_probe_handshakes_total{source="other",sni="absent",outcome="reset_by_gateway"}"#;
/// Resets of hellos without SNI in one [`mixture`].
const RESETS_OF_A_MIXTURE: f64 = 8.0;

const METRICS_REFERENCE: &str = include_str!("../../../docs/metrics.md");

#[test]
fn promtool_finds_no_fault_with_the_metrics() {
    let lab = Lab::new().unwrap();
    let _envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    let probe = Probe::start(&lab, &[]).unwrap();
    let (expected, _) = mixture(&lab);
    expected.check_metrics(&probe);
    let scrape = lab.path("metrics.txt");
    fs::write(&scrape, probe.get("/metrics").unwrap().1).unwrap();
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(File::open(&scrape).unwrap());
    let output = promtool.output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert_eq!(said, ["", ""]);
    assert!(output.status.success(), "{}", output.status);
}

#[test]
fn prometheus_answers_with_the_right_number() {
    let lab = Lab::new().unwrap();
    let _envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    let _probe = Probe::start(&lab, &[]).unwrap();
    let prometheus = Prometheus::start(&lab, &PrometheusOptions::default()).unwrap();
    assert_eq!(prometheus.query("up", None).unwrap(), [1.0]);
    for round in [1.0, 2.0] {
        mixture(&lab);
        let resets = round * RESETS_OF_A_MIXTURE;
        prometheus.wait_for(RESETS, resets).unwrap();
        let time = prometheus.last_scrape().unwrap();
        let increase = format!("increase({RESETS}[{RANGE}])");
        assert_eq!(prometheus.query(&increase, Some(&time)).unwrap(), [resets]);
    }
}

#[test]
fn every_query_of_the_documentation_has_data() {
    let lab = Lab::new().unwrap();
    let _envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    let _probe = Probe::start(&lab, &[]).unwrap();
    let prometheus = Prometheus::start(&lab, &PrometheusOptions::default()).unwrap();
    mixture(&lab);
    prometheus.wait_for(RESETS, RESETS_OF_A_MIXTURE).unwrap();
    let documented = documented_queries();
    assert!(documented.len() > 3, "{documented:#?}");
    for query in documented {
        let query = query.replace("[5m]", &format!("[{RANGE}]"));
        // These find what is wrong, and nothing is.
        if query.ends_with("== 0") || query.ends_with("> 0") {
            assert_eq!(prometheus.query(&query, None).unwrap(), [] as [f64; 0], "{query}");
        } else {
            prometheus.wait_for_data(&query).unwrap();
        }
    }
}

/// The queries of the table in docs/metrics.md.
fn documented_queries() -> Vec<String> {
    let rows = METRICS_REFERENCE.lines().skip_while(|line| !line.starts_with("| question |"));
    let rows = rows.skip(2).take_while(|line| line.starts_with('|'));
    let query = |row: &str| Some(row.split_once('`')?.1.rsplit_once('`')?.0.replace(r"\|", "|"));
    rows.map(|row| query(row).unwrap()).collect()
}
