//! The dashboard of `deploy/grafana`: Grafana knows all that it says, and a real Prometheus that scrapes a real daemon
//! has an answer to each of its queries.

mod picture;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use system_tests::clients::{self, Target};
use system_tests::envoy::{Envoy, EnvoyOptions};
use system_tests::grafana;
use system_tests::probe::Probe;
use system_tests::prometheus::{Prometheus, PrometheusOptions};
use system_tests::{CLIENT_INTERFACE, GATEWAY_V4, Lab, UNKNOWN_NAME, wait_until};

use crate::clients::with_names;
use crate::envoy::mixture;
use crate::site::TIMEOUT;

const DASHBOARD: &str = include_str!("../../../deploy/grafana/sni-probe.json");
const METRICS_REFERENCE: &str = include_str!("../../../docs/metrics.md");

/// What narrows each selector: the three variables.
const SELECTOR: &str = r#"{cluster=~"$cluster",namespace=~"$namespace",instance=~"$node""#;
/// The panels that Grafana brings along.
const CORE_PANELS: [&str; 8] =
    ["row", "stat", "timeseries", "table", "heatmap", "bargauge", "text", "state-timeline"];
/// The last schema version of this kind of dashboard: Grafana 12 and 13 write it, 11 reads it.
const SCHEMA_VERSION: u64 = 42;
/// Grafana's columns.
const COLUMNS: u64 = 24;

/// Panels that look for faults, and what they show where there is none.
const FAULTS: [(&str, f64); 3] =
    [("Hooks not attached", 0.0), ("Events lost", 0.0), ("Programs that hide packets", 0.0)];
/// A panel about the API server has nothing to say without `--kube`.
const ONLY_WITH_NAMES: [&str; 1] = ["API server"];

/// Clients besides the lab's own, and how many handshakes without SNI each begins in [`traffic`].
const CLIENTS: [(&str, u32); 2] = [("10.77.0.11", 3), ("10.77.0.12", 2)];
/// A load balancer, of which no SNI is expected.
const BALANCER: &str = "10.77.0.13";
/// Handshakes without SNI that are refused in [`traffic`]: of [`CLIENTS`], and of [`mixture`].
const REFUSED: f64 = 5.0 + 8.0;

fn dashboard() -> Value {
    serde_json::from_str(DASHBOARD).unwrap()
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana/sni-probe.json")
}

/// All panels, those inside of rows too.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let outer = dashboard["panels"].as_array().into_iter().flatten();
    outer.flat_map(|panel| std::iter::once(panel).chain(panels(panel))).collect()
}

fn title(panel: &Value) -> &str {
    panel["title"].as_str().unwrap()
}

fn targets(panel: &Value) -> impl Iterator<Item = &Value> {
    panel["targets"].as_array().into_iter().flatten()
}

/// Title and expression of each query.
fn queries(dashboard: &Value) -> Vec<(&str, &str)> {
    let of = |panel| targets(panel).map(move |target| (title(panel), target["expr"].as_str().unwrap()));
    panels(dashboard).into_iter().flat_map(of).collect()
}

fn query<'a>(dashboard: &'a Value, wanted: &str) -> &'a str {
    queries(dashboard).into_iter().find(|(title, _)| *title == wanted).unwrap().1
}

/// What Grafana puts in the place of its variables.
#[derive(Debug, Clone, Copy)]
struct Variables<'a> {
    cluster: &'a str,
    namespace: &'a str,
    node: &'a str,
}

impl Variables<'_> {
    const ALL: Self = Self { cluster: ".*", namespace: ".*", node: ".*" };

    fn fill(&self, query: &str, rate_interval: &str, range: &str, interval: &str) -> String {
        let filled = query
            .replace("$__rate_interval", rate_interval)
            .replace("$__range", range)
            .replace("$__interval", interval)
            .replace("$cluster", self.cluster)
            .replace("$namespace", self.namespace)
            .replace("$node", self.node);
        assert!(!filled.contains('$'), "a variable that this test does not know: {filled}");
        filled
    }

    /// Filled so that each range holds the whole test.
    fn fill_widely(&self, query: &str) -> String {
        self.fill(query, "1h", "1h", "1s")
    }
}

/// A cluster's node, chosen.
const CHOSEN: Variables<'_> = Variables { cluster: "europe", namespace: "sni-probe", node: "node-1" };

/// A Prometheus that gives its target these labels.
fn options_of_a_cluster() -> PrometheusOptions {
    let labels = [("cluster", CHOSEN.cluster), ("namespace", CHOSEN.namespace), ("instance", CHOSEN.node)];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    PrometheusOptions { labels, ..PrometheusOptions::default() }
}

#[test]
fn grafana_knows_its_keys_and_types() {
    grafana::check_dashboard(&path()).unwrap();
}

#[test]
fn grafana_would_not_know_a_misspelt_key_or_a_value_of_another_type() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dashboard.json");
    for (from, to, complaint) in [
        (r#""colorMode": "value""#, r#""colourMode": "value""#, "Grafana knows no colourMode"),
        (r#""drawStyle": "line""#, r#""drawStyle": "lines""#, "'lines' is no GraphDrawStyle"),
        (r#""h": 9"#, r#""h": "9""#, "'9' is no whole number"),
    ] {
        assert!(DASHBOARD.contains(from), "{from}");
        fs::write(&file, DASHBOARD.replace(from, to)).unwrap();
        let error = format!("{:#}", grafana::check_dashboard(&file).unwrap_err());
        assert!(error.contains(complaint), "{error}");
    }
}

#[test]
fn its_panels_are_whole_and_do_not_overlap() {
    let dashboard = dashboard();
    let source = json!({ "type": "prometheus", "uid": "${datasource}" });
    assert_eq!(dashboard["schemaVersion"], SCHEMA_VERSION);
    // What a file has that was exported for sharing: Grafana then asks for data sources, besides our own variable.
    assert!(dashboard["__inputs"].is_null() && dashboard["__requires"].is_null());
    assert!(dashboard["id"].is_null(), "the database's number of one Grafana");

    let panels = panels(&dashboard);
    let (mut ids, mut titles, mut cells) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for panel in &panels {
        let title = title(panel);
        assert!(!title.is_empty() && titles.insert(title), "{title}: twice");
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is another's");
        let kind = panel["type"].as_str().unwrap();
        assert!(CORE_PANELS.contains(&kind), "{title}: {kind} is a plugin");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().unwrap());
        assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{title}: outside of the grid");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "{title}: another is there, at {cell:?}");
        }
        if kind == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| text.len() > 30), "{title}: no description");
        assert_eq!(panel["datasource"], source, "{title}");
        // A heat map's unit is its axis'.
        let units = [&panel["fieldConfig"]["defaults"]["unit"], &panel["options"]["yAxis"]["unit"]];
        assert!(units.iter().any(|unit| unit.is_string()), "{title}: no unit");
        let mut names = BTreeSet::new();
        for target in targets(panel) {
            assert_eq!(target["datasource"], source, "{title}");
            assert!(names.insert(target["refId"].as_str().unwrap()), "{title}: two queries of one name");
            assert_ne!(target["instant"], target["range"], "{title}: either the last value or all");
        }
        assert!(!names.is_empty(), "{title}: no query");
    }
    // Grafana closes gaps above a panel, and the picture of the layout would be another.
    let height = cells.iter().map(|(_, y)| y + 1).max().unwrap();
    assert_eq!(cells.len() as u64, height * COLUMNS, "holes between the panels");
}

#[test]
fn its_queries_are_about_documented_metrics_of_the_chosen_probes() {
    let dashboard = dashboard();
    let mut annotations = Vec::new();
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        annotations.extend(annotation["expr"].as_str().map(|query| ("annotation", query)));
    }
    for (title, query) in queries(&dashboard).into_iter().chain(annotations) {
        let mut selectors = 0;
        for (at, _) in query.match_indices("sni_probe_").chain(query.match_indices("process_")) {
            let name = query[at..].split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap();
            let family = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(METRICS_REFERENCE.contains(&format!("`{family}`")), "{title}: {name} is no metric");
            let selector = &query[at + name.len()..];
            assert!(selector.starts_with(SELECTOR), "{title}: {name} of other probes too");
            selectors += 1;
        }
        assert!(selectors > 0 || query.starts_with("ALERTS{"), "{title}: {query}");
    }
}

/// A lab with more clients.
fn lab() -> Lab {
    let lab = Lab::new().unwrap();
    for address in CLIENTS.map(|(address, _)| address).into_iter().chain([BALANCER]) {
        lab.client.ip(&format!("address add {address}/24 dev {CLIENT_INTERFACE}")).unwrap();
    }
    lab
}

fn probe<'lab>(lab: &'lab Lab, options: &[String]) -> Probe<'lab> {
    let expected = format!("{BALANCER}/32");
    let mut all = vec!["--expected-non-sni", &expected];
    all.extend(options.iter().map(String::as_str));
    Probe::start(lab, &all).unwrap()
}

/// One handshake of curl from an address.
fn curl(lab: &Lab, from: &str, name: Option<&str>) {
    clients::curl(lab, Target::https(GATEWAY_V4, name), &["--interface", from]).unwrap();
}

/// Clients with and without SNI, refused names, an old version, no TLS, a load balancer; and waits until all is scraped.
fn traffic(lab: &Lab, prometheus: &Prometheus<'_>) {
    mixture(lab);
    for (address, count) in CLIENTS {
        (0..count).for_each(|_| curl(lab, address, None));
    }
    curl(lab, BALANCER, None);
    curl(lab, CLIENTS[0].0, Some(UNKNOWN_NAME));
    let all = r#"sum(sni_probe_handshakes_total{sni="absent"})"#;
    prometheus.wait_for(all, REFUSED + 1.0).unwrap();
    prometheus.wait_for("sum(sni_probe_server_name_handshakes_total)", 5.0).unwrap();
}

/// Runs each query of each panel and of each annotation.
fn check_queries(prometheus: &Prometheus<'_>, variables: Variables<'_>, silent: &[&str]) {
    let dashboard = dashboard();
    let queries = queries(&dashboard);
    assert!(queries.len() > 40, "{}", queries.len());
    for (title, query) in queries {
        let query = variables.fill_widely(query);
        if silent.contains(&title) {
            assert_eq!(prometheus.query(&query, None).unwrap(), [] as [f64; 0], "{title}");
            continue;
        }
        let values = prometheus.wait_for_data(&query).unwrap_or_else(|error| panic!("{title}: {error:#}"));
        if let Some((_, healthy)) = FAULTS.iter().find(|(fault, _)| *fault == title) {
            assert_eq!(values, [*healthy], "{title}");
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        let Some(query) = annotation["expr"].as_str() else { continue };
        let values = prometheus.query(&variables.fill_widely(query), None).unwrap();
        // There are no rules here, so that no alert fires.
        assert_eq!(values.is_empty(), query.starts_with("ALERTS{"), "{query}");
    }
    for (title, healthy) in FAULTS {
        assert!(panels(&dashboard).iter().any(|panel| panel["title"] == title), "{title} {healthy}");
    }
}

/// The values of each variable, as Grafana asks for them.
fn check_variables(prometheus: &Prometheus<'_>, variables: Variables<'_>, wanted: &[(&str, &[&str])]) {
    let dashboard = dashboard();
    let mut seen = BTreeMap::new();
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let Some(query) = variable["query"]["query"].as_str() else { continue };
        assert_eq!(query, variable["definition"]);
        let query = variables.fill_widely(query);
        let arguments = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
        let (selector, label) = arguments.rsplit_once(',').unwrap();
        let values = prometheus.get(&format!("label/{}/values", label.trim()), &[("match[]", selector)]);
        seen.insert(variable["name"].as_str().unwrap().to_owned(), values.unwrap());
        // What makes a variable do where its label does not exist.
        assert_eq!(variable["allValue"], ".*");
    }
    let wanted: BTreeMap<_, _> =
        wanted.iter().map(|(name, values)| ((*name).to_owned(), json!(values))).collect();
    assert_eq!(seen, wanted);
}

#[test]
fn every_query_has_data_in_a_plain_prometheus() {
    let lab = lab();
    let _envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    let _probe = probe(&lab, &[]);
    let prometheus = Prometheus::start(&lab, &PrometheusOptions::default()).unwrap();
    let dashboard = dashboard();
    let value = |title| {
        let query = Variables::ALL.fill_widely(query(&dashboard, title));
        prometheus.query(&query, Some(&prometheus.last_scrape().unwrap())).unwrap()
    };
    // Before: nobody is refused.
    prometheus.wait_for(&Variables::ALL.fill_widely(query(&dashboard, "State")), 0.0).unwrap();
    assert_eq!(value("First refusal"), [] as [f64; 0]);
    traffic(&lab, &prometheus);
    check_queries(&prometheus, Variables::ALL, &ONLY_WITH_NAMES);
    check_variables(
        &prometheus,
        Variables::ALL,
        &[("cluster", &[]), ("namespace", &[]), ("node", &["127.0.0.1:9917"])],
    );

    // After: what it says is so.
    assert_eq!(value("State"), [2.0]);
    assert_eq!(value("Handshakes refused"), [REFUSED]);
    assert_eq!(value("Clients refused"), [4.0], "the lab's own two addresses and the others");
    assert_eq!(value("Probes that see"), [1.0]);
    let (first, last) = (value("First refusal"), value("Last refusal"));
    let start = prometheus.query("process_start_time_seconds * 1000", None).unwrap();
    assert!(start[0] < first[0] && first <= last, "{start:?} {first:?} {last:?}");

    let refused = Variables::ALL.fill_widely(query(&dashboard, "Refused clients"));
    let rows = prometheus.series(&refused, None).unwrap();
    for (client, count) in CLIENTS {
        let of_client: Vec<_> = rows.iter().filter(|(labels, _)| labels["client"] == client).collect();
        let values: Vec<f64> = of_client.iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [f64::from(count)], "{client}: {rows:?}");
        let labels = &of_client[0].0;
        assert!(labels["likely"].contains("OpenSSL") && labels["ja4"].starts_with("t13i"), "{labels:?}");
        assert_eq!(labels["gateway_address"], "10.77.0.1:443");
    }
    assert!(!rows.iter().any(|(labels, _)| labels["client"] == BALANCER), "{rows:?}");
}

#[test]
fn every_query_has_data_with_the_labels_of_a_cluster() {
    let lab = lab();
    let _envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    let _probe = probe(&lab, &with_names(&lab));
    let prometheus = Prometheus::start(&lab, &options_of_a_cluster()).unwrap();
    traffic(&lab, &prometheus);
    for variables in [Variables::ALL, CHOSEN] {
        check_queries(&prometheus, variables, &[]);
        check_variables(
            &prometheus,
            variables,
            &[("cluster", &["europe"]), ("namespace", &["sni-probe"]), ("node", &["node-1"])],
        );
    }
    let dashboard = dashboard();
    let other = Variables { node: "node-2", ..CHOSEN };
    let elsewhere = prometheus.query(&other.fill_widely(query(&dashboard, "Handshakes refused")), None);
    assert_eq!(elsewhere.unwrap(), [] as [f64; 0], "another node's are not counted");
    // The series of a pod begin with its first handshake, which is no increase.
    curl(&lab, CLIENTS[0].0, None);
    let by_gateway = CHOSEN.fill_widely(query(&dashboard, "Refused without SNI, by gateway"));
    let refused = |(labels, value): &(BTreeMap<String, String>, f64)| {
        labels["workload"] == "apigee/apigee-ingressgateway" && *value > 0.0
    };
    wait_until("the gateway's name", TIMEOUT, || {
        let series = prometheus.series(&by_gateway, Some(&prometheus.last_scrape()?))?;
        Ok(series.iter().any(refused).then_some(()))
    })
    .unwrap();
}
