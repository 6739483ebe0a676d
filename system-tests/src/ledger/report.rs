//! What a run of the ledger has found.

use std::fmt;
use std::time::Duration;

use super::Settings;
use super::balance::{Balance, Tally};
use super::behaviour::Opening;
use super::list::{List, Texts};
use super::network::Kernel;
use super::table::BEHAVIOURS;
use crate::metrics::Metrics;

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
    /// What follows from differences: metrics that do not agree with the list, connections that took another course.
    consequences: Vec<String>,
    /// What is not as it must be, whatever the differences are.
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
        let mut consequences = balance.compare(list, metrics);
        let mut faults = vain(list, kernel);
        if !list.astray.is_empty() {
            consequences.push(format!("connections that did not go as the table says:\n{}", list.astray));
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
            differences: balance.differences,
            consequences,
            faults,
        }
    }

    /// Whether each handshake was reported once and right, and nothing else was, but for so many. Then each metric may
    /// differ by as much.
    pub fn is_balanced(&self, allowed: u64) -> bool {
        let differing = |tally: &Tally| tally.missed + tally.invented + tally.wrong;
        let differences = self.unknown + self.tallies.iter().map(differing).sum::<u64>();
        self.faults.is_empty() && differences <= allowed && (self.consequences.is_empty() || allowed > 0)
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
        for fault in self.consequences.iter().chain(&self.faults) {
            writeln!(f, "{fault}")?;
        }
        write!(f, "{}", self.differences)
    }
}
