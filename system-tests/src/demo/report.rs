//! The demo's result: for people as it happens, for programs as one JSON document.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Result;
use serde::Serialize;

use super::Round;
use crate::as_of_0_1_0;
use crate::envoy::Stats;
use crate::metrics::Metrics;
use crate::netns::Lab;
use crate::probe::Event;

/// The SNI and the outcome of a handshake; neither where there was no hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Comparison<T = &'static str> {
    /// present, absent, empty, invalid or unknown.
    pub sni: Option<T>,
    /// What became of the hello.
    pub outcome: Option<T>,
}

/// One scenario as played.
#[derive(Debug, Clone, Serialize)]
pub struct ScenarioReport {
    /// Which gateway it was played against.
    pub round: &'static str,
    /// What it is, with the round: unique.
    pub name: String,
    /// What must be seen.
    pub expected: Comparison,
    /// What sni-probe said.
    pub seen: Comparison<String>,
    /// Whether they are the same, from exactly one event (or none where there was no hello).
    pub ok: bool,
    /// All events that sni-probe gave for it, as it gave them.
    pub events: Vec<serde_json::Value>,
    #[serde(skip)]
    title: &'static str,
    #[serde(skip)]
    pub(super) protocol: Option<&'static str>,
}

impl ScenarioReport {
    pub(super) fn new(
        round: &Round,
        title: &'static str,
        expected: Comparison,
        events: &[Event],
        protocol: Option<&'static str>,
    ) -> Self {
        let first = events.first();
        let seen = Comparison {
            sni: first.map(|event| event.sni.clone()),
            outcome: first.map(|event| event.outcome.clone()),
        };
        let is_outcome =
            |seen: Option<&str>| seen == expected.outcome || seen.map(as_of_0_1_0) == expected.outcome;
        let same = seen.sni.as_deref() == expected.sni && is_outcome(seen.outcome.as_deref());
        Self {
            round: round.name,
            name: format!("{}: {title}", round.name),
            expected,
            ok: same && events.len() <= 1,
            seen,
            events: events.iter().map(|event| event.json.clone()).collect(),
            title,
            protocol,
        }
    }
}

/// One number that sni-probe, the script and perhaps Envoy must agree about.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// The series of sni-probe, or their sum.
    pub metric: String,
    /// What sni-probe counted.
    pub sni_probe: u64,
    /// What was sent.
    pub sent: u64,
    /// Envoy's counter for the same, where it has one.
    pub envoy_counter: Option<&'static str>,
    /// What Envoy counted.
    pub envoy: Option<u64>,
    /// Whether all are equal.
    pub ok: bool,
}

impl Check {
    pub(super) fn new(metric: String, sni_probe: u64, sent: u64) -> Self {
        Self { metric, sni_probe, sent, envoy_counter: None, envoy: None, ok: sni_probe == sent }
    }

    pub(super) fn beside(mut self, counter: &'static str, value: u64) -> Self {
        self.envoy_counter = Some(counter);
        self.envoy = Some(value);
        self.ok &= value == self.sni_probe;
        self
    }
}

/// One round as played.
#[derive(Debug, Clone, Serialize)]
pub struct RoundReport {
    /// Its name.
    pub name: &'static str,
    /// Envoy's counters in this round.
    pub envoy: Stats,
    /// The numbers compared.
    pub checks: Vec<Check>,
    /// Whether all of it is right.
    pub ok: bool,
    #[serde(skip)]
    scenarios: Vec<ScenarioReport>,
}

impl RoundReport {
    pub(super) fn new(
        round: &Round,
        scenarios: Vec<ScenarioReport>,
        envoy: Stats,
        checks: Vec<Check>,
    ) -> Self {
        let ok = scenarios.iter().all(|one| one.ok) && checks.iter().all(|one| one.ok);
        Self { name: round.name, envoy, checks, ok, scenarios }
    }
}

/// The whole result.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether sni-probe's counts equal what was sent and what Envoy counted.
    pub ok: bool,
    /// All scenarios of both rounds.
    pub scenarios: Vec<ScenarioReport>,
    /// Envoy's counters, both rounds together.
    pub envoy: Stats,
    /// sni-probe's metrics at the end, without histogram buckets.
    pub metrics: BTreeMap<String, f64>,
    /// What was compared, round by round.
    pub rounds: Vec<RoundReport>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            ok: true,
            scenarios: Vec::new(),
            envoy: Stats::default(),
            metrics: BTreeMap::new(),
            rounds: Vec::new(),
        }
    }
}

impl Report {
    pub(super) fn add(&mut self, round: RoundReport) {
        self.ok &= round.ok;
        self.envoy = self.envoy.plus(&round.envoy);
        self.scenarios.extend(round.scenarios.iter().cloned());
        self.rounds.push(round);
    }
}

/// sni-probe's own series, without the many buckets.
pub(super) fn metrics_document(metrics: &Metrics) -> BTreeMap<String, f64> {
    let ours = metrics
        .samples()
        .iter()
        .filter(|sample| sample.name.starts_with("sni_probe_") && !sample.name.ends_with("_bucket"));
    ours.map(|sample| (sample.series.clone(), sample.value)).collect()
}

/// Prints for people; in JSON mode, what happens goes to standard error.
pub(super) struct Printer {
    json: bool,
}

impl Printer {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    fn line(&self, line: &str) {
        if self.json {
            eprintln!("{line}");
        } else {
            println!("{line}");
        }
    }

    pub(super) fn started(&self, lab: &Lab, address: SocketAddr) {
        self.line(&format!(
            "gateway in namespace {}, clients in {}; sni-probe run -i gw0 serves http://{address}/metrics",
            lab.gateway.name(),
            lab.client.name()
        ));
    }

    pub(super) fn round(&self, round: &Round) {
        self.line(&format!("\n{}: {}\n", round.name, round.title));
        self.line(&row(["", "client", "sni", "outcome", "", "what was sent"]));
    }

    pub(super) fn scenario(&self, report: &ScenarioReport) {
        let mark = if report.ok { "ok" } else { "WRONG" };
        if report.events.is_empty() {
            self.line(&row([mark, "-", "-", "-", "", report.title]));
        }
        for event in &report.events {
            let text = |key: &str| event[key].as_str().unwrap_or("").to_owned();
            let detail = match (event["alert"].as_str(), event["latency_us"].as_u64()) {
                (Some(alert), _) => alert.to_owned(),
                (None, Some(latency)) if latency >= 10_000 => format!("{} ms", latency / 1000),
                (None, Some(latency)) => format!("{latency} us"),
                (None, None) => String::new(),
            };
            let cells = [mark, &text("client"), &text("sni"), &text("outcome"), &detail, report.title];
            self.line(&row(cells));
        }
        if !report.ok {
            let Comparison { sni, outcome } = report.expected;
            let (sni, outcome) = (sni.unwrap_or("no hello"), outcome.unwrap_or("no outcome"));
            self.line(&format!("      expected one event: {sni}, {outcome}"));
        }
    }

    pub(super) fn table(&self, report: &RoundReport) {
        self.line(&format!(
            "\n{:<6} {:<70} {:>9} {:>5}  Envoy's own count",
            "", "sni-probe's metrics", "sni-probe", "sent"
        ));
        for check in &report.checks {
            let envoy = check.envoy_counter.zip(check.envoy);
            let envoy = envoy.map_or(String::new(), |(name, value)| format!("{value:>5} {name}"));
            let mark = if check.ok { "ok" } else { "WRONG" };
            let (metric, seen, sent) = (&check.metric, check.sni_probe, check.sent);
            let line = format!("{mark:<6} {metric:<70} {seen:>9} {sent:>5}  {envoy}");
            self.line(line.trim_end());
        }
    }

    pub(super) fn finished(&self, report: &Report) -> Result<()> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(report)?);
            return Ok(());
        }
        let right = report.scenarios.iter().filter(|scenario| scenario.ok).count();
        let total = report.scenarios.len();
        let verdict =
            if report.ok { "sni-probe, Envoy and what was sent agree." } else { "The counts differ." };
        println!("\n{right} of {total} connections as expected. {verdict}");
        Ok(())
    }

    pub(super) fn serving(&self, address: SocketAddr) {
        self.line(&format!("\nhttp://{address}/metrics stays up; Ctrl-C ends."));
    }
}

fn row(cells: [&str; 6]) -> String {
    let [mark, client, sni, outcome, detail, title] = cells;
    format!("{mark:<6}{client:<22} {sni:<8} {outcome:<17} {detail:<17} {title}")
}
