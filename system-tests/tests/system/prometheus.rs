//! What a real Prometheus makes of `/metrics`: promtool finds no fault with it, queries give the right
//! numbers, and so do the dashboard's and the documentation's.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use system_tests::envoy::{Envoy, EnvoyOptions};
use system_tests::probe::{HTTP_PORT, Probe};
use system_tests::{Lab, Service, wait_until};

use crate::envoy::mixture;

const DEADLINE: Duration = Duration::from_secs(30);
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
/// Short, so that `rate()` has its two samples soon.
const SCRAPE_INTERVAL: &str = "200ms";
/// A range that holds the whole test.
const RANGE: &str = "1h";

const RESETS: &str = r#"sni_probe_handshakes_total{source="other",sni="absent",outcome="reset_by_gateway"}"#;
/// Resets of hellos without SNI in one [`mixture`].
const RESETS_OF_A_MIXTURE: f64 = 8.0;

const DASHBOARD: &str = include_str!("../../../deploy/grafana/sni-probe.json");
const METRICS_REFERENCE: &str = include_str!("../../../docs/metrics.md");

/// A Prometheus that scrapes the lab's sni-probe.
struct Prometheus<'lab> {
    lab: &'lab Lab,
    _service: Service,
}

impl<'lab> Prometheus<'lab> {
    /// Starts it and waits for a scrape with [`RESETS`] at 0, so that what comes is an increase.
    fn start(lab: &'lab Lab) -> Self {
        let configuration = lab.path("prometheus.yml");
        // JSON is YAML.
        let text = json!({
            "global": { "scrape_interval": SCRAPE_INTERVAL, "scrape_timeout": SCRAPE_INTERVAL },
            "scrape_configs": [{
                "job_name": "sni-probe",
                "static_configs": [{ "targets": [format!("127.0.0.1:{HTTP_PORT}")] }],
            }],
        });
        fs::write(&configuration, text.to_string()).unwrap();
        let mut command = lab.gateway.command("prometheus");
        command.arg("--config.file").arg(&configuration);
        command.arg("--storage.tsdb.path").arg(lab.path("prometheus"));
        command.args(["--web.listen-address", &ADDRESS.to_string(), "--log.level", "warn"]);
        let mut service = Service::start("prometheus", &mut command, lab.directory()).unwrap();
        let is_ready = || matches!(lab.gateway.http_get(ADDRESS, "/-/ready"), Ok((200, _)));
        service.wait_for("Prometheus to be ready", DEADLINE, is_ready).unwrap();
        let prometheus = Self { lab, _service: service };
        prometheus.wait_for(RESETS, 0.0);
        prometheus
    }

    /// The result of a page of its HTTP API.
    fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", percent_encoded(value)));
        let path = format!("/api/v1/{path}?{}", pairs.collect::<Vec<_>>().join("&"));
        let (status, body) = self.lab.gateway.http_get(ADDRESS, &path).unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        let mut answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["status"], "success", "{path}: {body}");
        assert!(answer["warnings"].is_null(), "{path}: {body}");
        answer["data"].take()
    }

    /// The values of an instant query at `time`, in seconds, or now.
    fn query(&self, query: &str, time: Option<&str>) -> Vec<f64> {
        let mut parameters = vec![("query", query)];
        parameters.extend(time.map(|time| ("time", time)));
        let data = self.get("query", &parameters);
        let series = data["result"].as_array().unwrap();
        series.iter().map(|series| series["value"][1].as_str().unwrap().parse().unwrap()).collect()
    }

    /// Waits until the query has this value, and no other.
    fn wait_for(&self, query: &str, wanted: f64) {
        let mut seen = Vec::new();
        let result = wait_until(query, DEADLINE, || {
            seen = self.query(query, None);
            Ok((seen == [wanted]).then_some(()))
        });
        assert_eq!(seen, [wanted], "{query}");
        result.unwrap();
    }

    /// When the last scrape was. At this moment `increase()` has nothing to guess: it is exact.
    fn last_scrape(&self) -> String {
        let times = self.query(&format!("timestamp({RESETS})"), None);
        assert_eq!(times.len(), 1);
        format!("{:.3}", times[0])
    }

    /// Waits until the query has data, and all of it numbers: a rate takes two scrapes of a series, and some begin with their
    /// first handshake.
    fn check_has_data(&self, query: &str) {
        let query = without_grafanas_variables(query);
        let mut values = Vec::new();
        let result = wait_until(&query, DEADLINE, || {
            values = self.query(&query, Some(&self.last_scrape()));
            let has_data = !values.is_empty() && values.iter().all(|value| value.is_finite());
            Ok(has_data.then_some(()))
        });
        assert!(result.is_ok(), "{query}: {values:?}");
    }
}

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(encode).collect()
}

fn without_grafanas_variables(query: &str) -> String {
    let query =
        query.replace("$__rate_interval", RANGE).replace("$__range", RANGE).replace("$instance", ".*");
    assert!(!query.contains('$'), "a variable that this test does not know: {query}");
    query
}

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
    let prometheus = Prometheus::start(&lab);
    assert_eq!(prometheus.query("up", None), [1.0]);
    for round in [1.0, 2.0] {
        mixture(&lab);
        let resets = round * RESETS_OF_A_MIXTURE;
        prometheus.wait_for(RESETS, resets);
        let time = prometheus.last_scrape();
        assert_eq!(prometheus.query(&format!("increase({RESETS}[{RANGE}])"), Some(&time)), [resets]);
    }
}

#[test]
fn every_query_of_the_dashboard_and_the_documentation_has_data() {
    let lab = Lab::new().unwrap();
    let _envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    let _probe = Probe::start(&lab, &[]).unwrap();
    let prometheus = Prometheus::start(&lab);
    mixture(&lab);
    prometheus.wait_for(RESETS, RESETS_OF_A_MIXTURE);

    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut queries = Vec::new();
    for panel in panels(&dashboard) {
        let targets = panel["targets"].as_array().into_iter().flatten();
        queries.extend(targets.map(|target| (&panel["title"], target["expr"].as_str().unwrap())));
    }
    assert!(queries.len() > 20, "{queries:#?}");
    for (title, query) in &queries {
        eprintln!("{title}: {query}");
        prometheus.check_has_data(query);
    }

    let in_range = queries.iter().find(|(_, query)| query.contains("$__range")).unwrap().1;
    let refused = prometheus.query(&without_grafanas_variables(in_range), Some(&prometheus.last_scrape()));
    assert_eq!(refused, [RESETS_OF_A_MIXTURE], "{in_range}");

    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let Some(query) = variable["definition"].as_str() else { continue };
        let arguments = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
        let (selector, label) = arguments.rsplit_once(',').unwrap();
        let values = prometheus.get(&format!("label/{}/values", label.trim()), &[("match[]", selector)]);
        assert!(values.as_array().is_some_and(|values| !values.is_empty()), "{query}: {values}");
    }

    let documented = documented_queries();
    assert!(documented.len() > 3, "{documented:#?}");
    for query in documented {
        let query = query.replace("[5m]", &format!("[{RANGE}]"));
        // These two find what is wrong, and nothing is.
        if query.ends_with("== 0") || query.ends_with("> 0") {
            assert_eq!(prometheus.query(&query, None), [] as [f64; 0], "{query}");
        } else {
            prometheus.check_has_data(&query);
        }
    }
}

/// All panels, those inside of rows too.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let outer = dashboard["panels"].as_array().into_iter().flatten();
    outer.flat_map(|panel| std::iter::once(panel).chain(panels(panel))).collect()
}

/// The queries of the table in docs/metrics.md.
fn documented_queries() -> Vec<String> {
    let rows = METRICS_REFERENCE.lines().skip_while(|line| !line.starts_with("| question |"));
    let rows = rows.skip(2).take_while(|line| line.starts_with('|'));
    let query = |row: &str| Some(row.split_once('`')?.1.rsplit_once('`')?.0.replace(r"\|", "|"));
    rows.map(|row| query(row).unwrap()).collect()
}
