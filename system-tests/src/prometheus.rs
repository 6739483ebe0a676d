//! A real Prometheus in the gateway's namespace, which scrapes the lab's sni-probe.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::netns::Lab;
use crate::probe::HTTP_PORT;
use crate::process::{Service, wait_until};

/// Where it listens, inside of the gateway's namespace.
pub const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// How long it may take to start, to scrape, and to have what a test waits for.
const DEADLINE: Duration = Duration::from_secs(30);

/// How it is set up.
#[derive(Debug, Clone)]
pub struct PrometheusOptions {
    /// Time between two scrapes, and between two evaluations of rules. The default is short, so that `rate()` has
    /// its two samples soon.
    pub interval: Duration,
    /// Labels of the target, besides `job="sni-probe"` and `instance`: what a cluster's Prometheus would add.
    pub labels: BTreeMap<String, String>,
    /// Files with rules.
    pub rules: Vec<PathBuf>,
    /// Where an Alertmanager listens, inside of the same namespace.
    pub alertmanager: Option<SocketAddr>,
}

impl Default for PrometheusOptions {
    fn default() -> Self {
        let interval = Duration::from_millis(200);
        Self { interval, labels: BTreeMap::new(), rules: Vec::new(), alertmanager: None }
    }
}

impl PrometheusOptions {
    /// The configuration file. It is JSON, which is YAML.
    fn configuration(&self) -> Value {
        let interval = format!("{}ms", self.interval.as_millis());
        let mut configuration = json!({
            "global": {
                "scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval,
            },
            "rule_files": self.rules,
            "scrape_configs": [{
                "job_name": "sni-probe",
                "static_configs": [{
                    "targets": [format!("127.0.0.1:{HTTP_PORT}")],
                    "labels": self.labels,
                }],
            }],
        });
        if let Some(address) = self.alertmanager {
            configuration["alerting"] =
                json!({ "alertmanagers": [{ "static_configs": [{ "targets": [address.to_string()] }] }] });
        }
        configuration
    }
}

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus<'lab> {
    lab: &'lab Lab,
    service: Service,
}

impl<'lab> Prometheus<'lab> {
    /// Starts it, and waits until it has scraped sni-probe once: what sni-probe counts from now on is an increase.
    ///
    /// # Errors
    /// When it does not become ready, or sni-probe does not answer it; the message has what it wrote.
    pub fn start(lab: &'lab Lab, options: &PrometheusOptions) -> Result<Self> {
        let configuration = lab.path("prometheus.yml");
        fs::write(&configuration, options.configuration().to_string())
            .with_context(|| format!("writing {}", configuration.display()))?;
        let mut command = lab.gateway.command("prometheus");
        command.arg("--config.file").arg(&configuration);
        command.arg("--storage.tsdb.path").arg(lab.path("prometheus"));
        command.args(["--web.listen-address", &ADDRESS.to_string(), "--log.level", "warn"]);
        let mut service = Service::start("prometheus", &mut command, lab.directory())?;
        let is_ready = || matches!(lab.gateway.http_get(ADDRESS, "/-/ready"), Ok((200, _)));
        service.wait_for("Prometheus to be ready", DEADLINE, is_ready)?;
        let prometheus = Self { lab, service };
        prometheus.wait_for("up", 1.0)?;
        Ok(prometheus)
    }

    /// The process.
    pub fn service(&mut self) -> &mut Service {
        &mut self.service
    }

    /// The data of a page of its HTTP API (`query`, `alerts`, `label/NAME/values`).
    ///
    /// # Errors
    /// When it has none, or has a warning besides.
    pub fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", percent_encoded(value)));
        let address = format!("/api/v1/{path}?{}", pairs.collect::<Vec<_>>().join("&"));
        let (status, body) = self.lab.gateway.http_get(ADDRESS, &address)?;
        ensure!(status == 200, "{path} {parameters:?}: {body}");
        let mut answer: Value = serde_json::from_str(&body).with_context(|| format!("{path}: {body}"))?;
        ensure!(answer["status"] == "success", "{path} {parameters:?}: {body}");
        ensure!(answer["warnings"].is_null(), "{path} {parameters:?}: {body}");
        Ok(answer["data"].take())
    }

    /// The series of an instant query at `time`, in seconds since the epoch, or now: labels and value of each.
    ///
    /// # Errors
    /// As [`Prometheus::get`].
    pub fn series(&self, query: &str, time: Option<&str>) -> Result<Vec<(BTreeMap<String, String>, f64)>> {
        let mut parameters = vec![("query", query)];
        parameters.extend(time.map(|time| ("time", time)));
        let mut data = self.get("query", &parameters)?;
        let result = data["result"].as_array_mut().context("no list of series")?;
        let series = result.iter_mut().map(|series| {
            let labels = serde_json::from_value(series["metric"].take())?;
            let value = series["value"][1].as_str().context("no value")?.parse()?;
            Ok((labels, value))
        });
        series.collect::<Result<_>>().with_context(|| format!("{query}: the query must give a vector"))
    }

    /// The values of an instant query at `time`, in seconds since the epoch, or now.
    ///
    /// # Errors
    /// As [`Prometheus::get`].
    pub fn query(&self, query: &str, time: Option<&str>) -> Result<Vec<f64>> {
        Ok(self.series(query, time)?.into_iter().map(|(_, value)| value).collect())
    }

    /// Waits until the query has this value, and no other.
    ///
    /// # Errors
    /// As [`wait_until`]; the message has the values that it had last.
    pub fn wait_for(&self, query: &str, wanted: f64) -> Result<()> {
        let mut seen = Vec::new();
        let result = wait_until(query, DEADLINE, || {
            seen = self.query(query, None)?;
            Ok((seen == [wanted]).then_some(()))
        });
        result.with_context(|| format!("{query} is {seen:?} and must be {wanted}"))
    }

    /// When the last scrape was. At this moment `increase()` has nothing to guess: it is exact.
    ///
    /// # Errors
    /// As [`Prometheus::get`], and when there was none.
    pub fn last_scrape(&self) -> Result<String> {
        let times = self.query("max(timestamp(sni_probe_build_info))", None)?;
        Ok(format!("{:.3}", times.first().context("no scrape of sni-probe")?))
    }

    /// Waits until the query has data at the time of a scrape, all of it numbers, and gives it: a rate takes two
    /// scrapes of a series, and some series begin with their first handshake.
    ///
    /// # Errors
    /// As [`wait_until`]; the message has the values that it had last.
    pub fn wait_for_data(&self, query: &str) -> Result<Vec<f64>> {
        let mut values = Vec::new();
        let result = wait_until(query, DEADLINE, || {
            values = self.query(query, Some(&self.last_scrape()?))?;
            let has_data = !values.is_empty() && values.iter().all(|value| value.is_finite());
            Ok(has_data.then(|| values.clone()))
        });
        result.with_context(|| format!("{query} is {values:?}"))
    }
}

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(encode).collect()
}
