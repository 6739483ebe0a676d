//! Floods of distinct hellos, by tcpreplay.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sni_probe_testkit::hello::ClientHelloBuilder;
use system_tests::frames::{Segment, Wire};
use system_tests::probe::Probe;
use system_tests::process::run_ok;
use system_tests::{CLIENT_INTERFACE, Lab};

use super::{Plan, daemon};
use crate::progress;

/// Hellos a second that are to be seen without a loss.
pub(super) const RATE: u32 = 100_000;
const PATIENCE: Duration = Duration::from_mins(2);

/// What became of a flood.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flood {
    /// As tcpreplay says.
    pub(super) sent: u64,
    /// Hellos a second.
    pub(super) rate: f64,
    pub(super) seen: u64,
    pub(super) lost: u64,
    /// The daemon's processor time for each hello that it saw, in microseconds.
    pub(super) cpu_us_per_hello: f64,
}

/// The flood at a fixed rate, and the one at top speed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Floods {
    pub(super) at_rate: Flood,
    pub(super) top_speed: Flood,
}

pub(super) fn measure(plan: &Plan) -> Result<Floods> {
    progress(&format!("a flood of {} hellos at {RATE} a second", plan.hellos));
    let at_rate = flood(plan.hellos, &format!("--pps={RATE}"))?;
    progress(&format!("a flood of {} hellos at top speed", plan.hellos));
    Ok(Floods { at_rate, top_speed: flood(plan.hellos, "--topspeed")? })
}

fn flood(hellos: u32, speed: &str) -> Result<Flood> {
    let lab = Lab::new()?;
    let capture = lab.path("flood.pcap");
    let hello = ClientHelloBuilder::new().padded_to(517).build();
    Wire::from_clients(&lab)?.save(&Segment::data(&hello), 0..hellos, &capture)?;
    let mut probe =
        Probe::start(&lab, &["--capture", "tc", "--events", "off", "--handshake-timeout", "10m"])?;
    let pid = probe.service().pid();
    let before = daemon::cpu(pid)?;
    let mut command = lab.client.command("tcpreplay");
    command.args(["--intf1", CLIENT_INTERFACE, "--preload-pcap", speed]).arg(&capture);
    let text = run_ok(&mut command, PATIENCE)?;
    let sent = number(&text, "Successful packets:")?;
    let count = |metrics: &system_tests::metrics::Metrics| {
        [
            metrics.count("sni_probe_client_hellos_total", &[]),
            metrics.count("sni_probe_events_lost_total", &[]),
        ]
    };
    // tcpreplay says what it gave to the interface: all of it passes the programs.
    let metrics = probe.wait_for_metrics(PATIENCE, |metrics| count(metrics).iter().sum::<u64>() >= sent)?;
    let [seen, lost] = count(&metrics);
    ensure!(seen + lost == sent, "of {sent} hellos {seen} were seen and {lost} lost: some are counted twice");
    let used = daemon::cpu(pid)?.saturating_sub(before);
    probe.stop()?;
    // "Rated: 57100000.0 Bps, 456.80 Mbps, 100000.00 pps"
    let rate = text.lines().find(|line| line.contains(" pps")).context("tcpreplay tells no rate")?;
    let rate = rate.rsplit(", ").next().unwrap_or_default().trim_end_matches(" pps").trim().parse()?;
    let cpu_us_per_hello = used.as_secs_f64() * 1e6 / f64::from(u32::try_from(seen)?);
    Ok(Flood { sent, rate, seen, lost, cpu_us_per_hello })
}

fn number(text: &str, label: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(label));
    let number = line.with_context(|| format!("tcpreplay tells no {label}"))?;
    number.trim().parse().with_context(|| format!("{label} {number}"))
}
