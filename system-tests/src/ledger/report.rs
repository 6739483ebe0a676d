//! What a run of the ledger has found.

use std::fmt;
use std::time::Duration;

use super::Settings;
use super::balance::{Balance, Disagreement, Tally};
use super::behaviour::Opening;
use super::list::{List, Texts};
use super::network::Kernel;
use super::table::BEHAVIOURS;
use crate::metrics::Metrics;

/// Metrics that say that something was not seen.
const MUST_BE_ZERO: [&str; 3] =
    ["sni_probe_events_lost_total", "sni_probe_event_lines_dropped_total", "sni_probe_packets_skipped_total"];

/// The result of a run, as a table for people.
#[derive(Debug)]
pub struct Report {
    handshakes: u64,
    connections: u64,
    duration: Duration,
    seed: u64,
    tallies: Vec<Tally>,
    unknown: u64,
    slow: u64,
    evictions: u64,
    lost: u64,
    kernel: Kernel,
    differences: Texts,
    /// Metrics that do not agree with the list.
    disagreements: Vec<Disagreement>,
    /// Connections that did not go as the table says.
    astray: Option<String>,
    /// What no difference excuses.
    faults: Vec<String>,
}

impl Report {
    pub(super) fn new(
        settings: &Settings,
        list: &List,
        balance: Balance,
        metrics: &Metrics,
        kernel: Kernel,
        duration: Duration,
        exit_code: i32,
    ) -> Self {
        let disagreements = balance.compare(list, metrics);
        let mut faults = vain(list, kernel);
        for name in MUST_BE_ZERO {
            let count = metrics.count(name, &[]);
            if count != 0 {
                faults.push(format!("{name}: {count}, not 0"));
            }
        }
        if exit_code != 0 {
            faults.push(format!("the observer ended with exit code {exit_code}"));
        }
        Self {
            handshakes: list.entries.len() as u64,
            connections: list.entries.len() as u64 + list.others.iter().sum::<u64>(),
            duration,
            seed: settings.seed,
            evictions: metrics.count("sni_probe_flow_evictions_total", &[]),
            lost: metrics.count("sni_probe_events_lost_total", &[]),
            tallies: balance.tallies,
            unknown: balance.unknown,
            slow: balance.slow,
            kernel,
            disagreements,
            astray: (!list.astray.is_empty()).then(|| list.astray.to_string()),
            differences: balance.differences,
            faults,
        }
    }

    /// Whether each handshake was reported once and right, and nothing else was: up to `allowed` differences. Only with a
    /// difference may a metric disagree, by as much, and a connection go astray.
    pub fn is_balanced(&self, allowed: u64) -> bool {
        let of_line = |tally: &Tally| tally.missed + tally.invented + tally.wrong;
        let differences = self.unknown + self.tallies.iter().map(of_line).sum::<u64>();
        differences <= allowed
            && self.disagreements.iter().all(|disagreement| disagreement.by <= differences)
            && (self.astray.is_none() || differences > 0)
            && self.faults.is_empty()
    }

    /// How many handshakes there were.
    pub const fn handshakes(&self) -> u64 {
        self.handshakes
    }
}

/// What the kernels did not do, though the test is about it.
fn vain(list: &List, kernel: Kernel) -> Vec<String> {
    let fast_open = list.entries.iter().filter(|entry| entry.behaviour().opening == Opening::FastOpen);
    let facts = [
        ("packets dropped before the watched interface", kernel.dropped_before, 1),
        ("packets dropped after the watched interface", kernel.dropped_after, 1),
        ("retransmissions", kernel.retransmitted, 1),
        ("challenge ACKs", kernel.challenges, 1),
        ("hellos in a SYN", kernel.fast_open, fast_open.count() as u64 / 2),
    ];
    let vain = facts.into_iter().filter(|(_, count, least)| count < least);
    vain.map(|(what, count, least)| format!("{what}: {count}, expected at least {least}")).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<24} {:>10} {:>8} {:>8} {:>8}", "behaviour", "begun", "missed", "invented", "wrong")?;
        let mut all = Tally::default();
        for (behaviour, tally) in BEHAVIOURS.iter().zip(&self.tallies) {
            let Tally { begun, missed, invented, wrong } = *tally;
            writeln!(f, "{:<24} {begun:>10} {missed:>8} {invented:>8} {wrong:>8}", behaviour.name)?;
            all.begun += begun;
            all.missed += missed;
            all.invented += invented;
            all.wrong += wrong;
        }
        let Tally { begun, missed, invented, wrong } = all;
        writeln!(f, "{:<24} {begun:>10} {missed:>8} {invented:>8} {wrong:>8}", "all")?;
        let Self { handshakes, connections, seed, unknown, slow, evictions, lost, .. } = self;
        writeln!(
            f,
            "{handshakes} handshakes on {connections} connections in {:.1} s, seed {seed}",
            self.duration.as_secs_f64()
        )?;
        writeln!(
            f,
            "events of no handshake {unknown}, slower than the timeout {slow}, evictions {evictions}, events lost {lost}"
        )?;
        let Kernel { dropped_before, dropped_after, retransmitted, fast_open, challenges } = self.kernel;
        writeln!(
            f,
            "kernels: dropped {dropped_before} packets before and {dropped_after} after the watched interface, \
             retransmitted {retransmitted}, took {fast_open} hellos from a SYN, sent {challenges} challenge ACKs"
        )?;
        for Disagreement { text, .. } in &self.disagreements {
            writeln!(f, "{text}")?;
        }
        if let Some(astray) = &self.astray {
            writeln!(f, "connections that did not go as the table says:\n{astray}")?;
        }
        for fault in &self.faults {
            writeln!(f, "{fault}")?;
        }
        write!(f, "{}", self.differences)
    }
}
