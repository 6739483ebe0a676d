//! The demo: real traffic through a real gateway, and whether sni-probe and Envoy count the same.

mod compare;
mod report;
mod scenarios;

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::envoy::{Envoy, EnvoyOptions, Stats};
use crate::interrupt;
use crate::metrics::Metrics;
use crate::netns::Lab;
use crate::probe::{Event, HTTP_PORT, Probe};
use crate::process::wait_until;
pub use report::Check;
pub use report::{Comparison, Report, RoundReport, ScenarioReport};
use scenarios::{SCENARIOS, Scenario};

/// Envoy's patience with a silent client; its default of 15 s would only make the demo long.
const LISTENER_FILTERS_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an event may take after the client is done.
const EVENT_DEADLINE: Duration = Duration::from_secs(3);
/// How long a connection without a hello is watched for an event that must not come.
const QUIET: Duration = Duration::from_millis(300);
/// How long the counters may take to agree after the last event.
const AGREE_DEADLINE: Duration = Duration::from_secs(3);

/// How to run the demo.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// End after the report instead of serving `/metrics` until Ctrl-C.
    pub once: bool,
    /// Print the report as one JSON document and nothing else on standard output.
    pub json: bool,
}

/// One pass over all scenarios.
#[derive(Debug, Clone, Copy)]
struct Round {
    name: &'static str,
    title: &'static str,
    wildcard_chain: bool,
}

const ROUNDS: [Round; 2] = [
    Round {
        name: "strict",
        title: "a gateway that picks its certificate by SNI and has none for other clients",
        wildcard_chain: false,
    },
    Round {
        name: "wildcard",
        title: "the same gateway with a wildcard chain (non-SNI clients enabled)",
        wildcard_chain: true,
    },
];

/// Runs the demo and says whether sni-probe's counts equal what was sent and what Envoy counted.
///
/// To be called as root. Ctrl-C ends it in order, see [`interrupt::catch`].
///
/// # Errors
/// When a part of the lab does not start, or the user pressed Ctrl-C before the report.
pub fn run(options: Options) -> Result<bool> {
    interrupt::catch()?;
    let printer = report::Printer::new(options.json);
    let lab = Lab::new()?;
    let host_address = SocketAddr::new(lab.link_host()?.into(), HTTP_PORT);
    // Longer than the gateway's patience, so that the gateway's own verdict is what is seen.
    let mut probe = Probe::start(&lab, &["--handshake-timeout", "10s"])?;
    printer.started(&lab, host_address);

    let mut report = Report::default();
    for round in &ROUNDS {
        report.add(play_round(&lab, &probe, round, &printer)?);
    }
    report.metrics = report::metrics_document(&probe.metrics()?);
    printer.finished(&report)?;
    if !options.once && !options.json {
        printer.serving(host_address);
        while !interrupt::requested() {
            if let Some(code) = probe.service().exit_code()? {
                bail!("sni-probe ended with exit code {code}:\n{}", probe.service().stderr());
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
    let code = probe.stop()?;
    if code != 0 {
        bail!("sni-probe ended with exit code {code}:\n{}", probe.service().stderr());
    }
    Ok(report.ok)
}

fn play_round(lab: &Lab, probe: &Probe<'_>, round: &Round, printer: &report::Printer) -> Result<RoundReport> {
    let envoy = Envoy::start(
        lab,
        &EnvoyOptions {
            wildcard_chain: round.wildcard_chain,
            listener_filters_timeout: LISTENER_FILTERS_TIMEOUT,
            ..EnvoyOptions::default()
        },
    )?;
    printer.round(round);
    let before = probe.metrics()?;
    let mut reports = Vec::new();
    for scenario in SCENARIOS {
        let report = play(lab, probe, round, scenario)
            .with_context(|| format!("{}: {}", round.name, scenario.name))?;
        printer.scenario(&report);
        reports.push(report);
    }
    let (envoy, checks) = settle(probe, &envoy, &before, &reports)?;
    let report = RoundReport::new(round, reports, envoy, checks);
    printer.table(&report);
    Ok(report)
}

/// Plays one scenario and waits for what sni-probe says about it.
fn play(lab: &Lab, probe: &Probe<'_>, round: &Round, scenario: &Scenario) -> Result<ScenarioReport> {
    let before = probe.events()?.len();
    let expected = scenario.expected(round.wildcard_chain);
    let client = (scenario.act)(lab)?;
    // Clients that we do not make ourselves keep their port to themselves; they run alone, so what
    // came since is theirs.
    let is_ours = |event: &Event| client.is_none_or(|client| event.peer == client.to_string());
    let ours = || -> Result<Vec<Event>> {
        let new = probe.events()?.into_iter().skip(before);
        Ok(new.filter(|event| is_ours(event)).collect())
    };
    let events = if expected.sni.is_some() {
        let found = wait_until("an event", EVENT_DEADLINE, || {
            let events = ours()?;
            Ok((!events.is_empty()).then_some(events))
        });
        match found {
            Ok(events) => events,
            Err(error) if interrupt::requested() => return Err(error),
            // Nothing seen is a result, and shown as one.
            Err(_) => Vec::new(),
        }
    } else {
        let start = Instant::now();
        while start.elapsed() < QUIET && ours()?.is_empty() {
            thread::sleep(Duration::from_millis(10));
        }
        ours()?
    };
    Ok(ScenarioReport::new(round, scenario.name, expected, &events, scenario.protocol))
}

/// Waits until all counters agree; if they never do, gives them as they are.
fn settle(
    probe: &Probe<'_>,
    envoy: &Envoy<'_>,
    before: &Metrics,
    scenarios: &[ScenarioReport],
) -> Result<(Stats, Vec<Check>)> {
    let start = Instant::now();
    loop {
        let stats = envoy.stats()?;
        let checks = compare::compare(before, &probe.metrics()?, &stats, scenarios);
        if checks.iter().all(|check| check.ok) || start.elapsed() > AGREE_DEADLINE {
            return Ok((stats, checks));
        }
        thread::sleep(Duration::from_millis(20));
    }
}
