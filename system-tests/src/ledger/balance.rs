//! The balance: the client's list beside the observer's events.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Settings;
use super::behaviour::Opening;
use super::hello::{Mark, Random, Template};
use super::list::{List, ListedConnection, Texts};
use super::table::BEHAVIOURS;
use crate::metrics::Metrics;

/// The fields of an event that the balance reads.
#[derive(Debug, Deserialize)]
struct Event {
    time: String,
    peer: String,
    gateway: String,
    random: Option<String>,
    sni: String,
    outcome: String,
    incomplete: Option<String>,
    latency_us: u64,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, peer, gateway, random, sni, outcome, incomplete, latency_us } = self;
        write!(f, "event of {time}, {peer} -> {gateway}, {outcome} after {latency_us} us, sni {sni}")?;
        if let Some(reason) = incomplete {
            write!(f, ", incomplete ({reason})")?;
        }
        // An event of the list's handshake has its random.
        random.as_ref().map_or(Ok(()), |random| write!(f, ", random {random}"))
    }
}

/// What became of the handshakes of one behaviour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// In the client's list. Without a hello: connections.
    pub(super) begun: u64,
    /// Without an event.
    pub(super) missed: u64,
    /// Events beyond the first.
    pub(super) invented: u64,
    /// With an event that is not right.
    pub(super) wrong: u64,
}

/// A metric that does not agree with the list.
#[derive(Debug)]
pub(super) struct Disagreement {
    pub(super) text: String,
    /// How much too high or too low it is.
    pub(super) by: u64,
}

/// Both sides, compared.
#[derive(Debug)]
pub(super) struct Balance {
    /// By line in the table of behaviours.
    pub(super) tallies: Vec<Tally>,
    /// Events that belong to no handshake of the list.
    pub(super) unknown: u64,
    /// `timeout` where the client's clock says that the outcome took longer than the timeout.
    pub(super) slow: u64,
    pub(super) differences: Texts,
    /// Events by outcome.
    outcomes: HashMap<String, u64>,
    /// Those of incomplete hellos by reason.
    reasons: HashMap<String, u64>,
}

/// The two ends of a connection, as events spell them.
type Ends = (String, String);

struct Balancer<'a> {
    settings: &'a Settings,
    list: &'a List,
    templates: Vec<Template>,
    /// By number of the handshake.
    events: Vec<u32>,
    /// Numbers of the handshakes whose hello is incomplete, or may be, and has no event yet. Their events have no random.
    incomplete: HashMap<Ends, VecDeque<usize>>,
    balance: Balance,
}

/// Compares the list with the events of a file.
pub(super) fn balance(settings: &Settings, list: &List, events: &Path) -> Result<Balance> {
    let mut balancer = Balancer::new(settings, list);
    let file = File::open(events).with_context(|| format!("opening {}", events.display()))?;
    for line in BufReader::new(file).lines() {
        let line = line?;
        let event = serde_json::from_str(&line).with_context(|| format!("no event: {line}"))?;
        balancer.take(&event);
    }
    Ok(balancer.finish())
}

impl<'a> Balancer<'a> {
    fn new(settings: &'a Settings, list: &'a List) -> Self {
        let mut tallies = vec![Tally::default(); BEHAVIOURS.len()];
        let mut incomplete: HashMap<Ends, VecDeque<usize>> = HashMap::new();
        for (number, entry) in list.entries.iter().enumerate() {
            tallies[usize::from(entry.behaviour)].begun += 1;
            // A SYN has no room for a large hello, and of one that was slow the rest may have come too late.
            let may_be = entry.is_refused || entry.is_slow(settings.handshake_timeout);
            if entry.behaviour().incomplete.is_some() || may_be {
                let ends = (entry.place.client().to_string(), entry.place.gateway().to_string());
                incomplete.entry(ends).or_default().push_back(number);
            }
        }
        for (tally, others) in tallies.iter_mut().zip(&list.others) {
            tally.begun += others;
        }
        let balance = Balance {
            tallies,
            unknown: 0,
            slow: 0,
            differences: Texts::default(),
            outcomes: HashMap::new(),
            reasons: HashMap::new(),
        };
        let events = vec![0; list.entries.len()];
        Self { settings, list, templates: Template::all(), events, incomplete, balance }
    }

    fn take(&mut self, event: &Event) {
        *self.balance.outcomes.entry(event.outcome.clone()).or_default() += 1;
        if let Some(reason) = &event.incomplete {
            *self.balance.reasons.entry(reason.clone()).or_default() += 1;
        }
        let number = match &event.random {
            Some(random) => self.number(random),
            None => self.incomplete_number(event),
        };
        let Some(number) = number else {
            self.balance.unknown += 1;
            let kind = format!("{} of no handshake of the list", event.outcome);
            self.balance.differences.add(kind, || event.to_string());
            return;
        };
        let entry = &self.list.entries[number];
        self.events[number] += 1;
        let tally = &mut self.balance.tallies[usize::from(entry.behaviour)];
        if self.events[number] > 1 {
            tally.invented += 1;
            let kind = format!("{}: {} once more", entry.behaviour().name, event.outcome);
            self.balance.differences.add(kind, || format!("{}: {event}", describe(number, entry)));
            return;
        }
        let timeout = self.settings.handshake_timeout;
        if entry.is_right(event, timeout) && entry.is_described(event, &self.templates, timeout) {
            let is_slow = !entry.is_refused && !entry.behaviour().accepts(&event.outcome);
            self.balance.slow += u64::from(is_slow);
        } else {
            tally.wrong += 1;
            let kind = format!("{}: {} is not right", entry.behaviour().name, event.outcome);
            self.balance.differences.add(kind, || format!("{}: {event}", describe(number, entry)));
        }
    }

    /// The handshake that a random belongs to.
    fn number(&self, random: &str) -> Option<usize> {
        let random = parse_random(random)?;
        let number = Mark::of(&random).number;
        let index = usize::try_from(number).ok()?;
        let entry = self.list.entries.get(index)?;
        let is_complete = entry.behaviour().incomplete.is_none();
        (is_complete && entry.random(number, self.settings.seed) == random).then_some(index)
    }

    /// The first handshake on the connection of an event without a random for which the event is right.
    fn incomplete_number(&mut self, event: &Event) -> Option<usize> {
        let numbers = self.incomplete.get_mut(&(event.peer.clone(), event.gateway.clone()))?;
        let (list, timeout) = (self.list, self.settings.handshake_timeout);
        // Of those that may be incomplete most are not.
        numbers.retain(|&number| self.events[number] == 0);
        let position = numbers.iter().position(|&number| list.entries[number].is_right(event, timeout))?;
        numbers.remove(position)
    }

    fn finish(mut self) -> Balance {
        for (number, (&events, entry)) in self.events.iter().zip(&self.list.entries).enumerate() {
            if events == 0 {
                self.balance.tallies[usize::from(entry.behaviour)].missed += 1;
                let kind = format!("{}: missed", entry.behaviour().name);
                self.balance.differences.add(kind, || describe(number, entry));
            }
        }
        self.balance
    }
}

impl ListedConnection {
    /// Whether it took longer than the timeout by the client's clock.
    fn is_slow(&self, timeout: Duration) -> bool {
        self.took.is_some_and(|took| took >= timeout)
    }

    /// Whether the event has the outcome of this handshake. What took longer than the timeout by the client's clock, an
    /// observer may have seen time out.
    fn is_right(&self, event: &Event, timeout: Duration) -> bool {
        if self.is_refused {
            let is_whole_or_reset = matches!(event.incomplete.as_deref(), None | Some("reset"));
            return event.outcome == "reset_by_gateway" && is_whole_or_reset;
        }
        let behaviour = self.behaviour();
        let is_slow = self.is_slow(timeout);
        let has_outcome = behaviour.accepts(&event.outcome) || is_slow && event.outcome == "timeout";
        let is_late = is_slow && event.incomplete.as_deref() == Some("timeout");
        has_outcome && (event.incomplete.as_deref() == behaviour.incomplete || is_late)
    }

    /// Whether the event says of this handshake what is true, its outcome apart.
    fn is_described(&self, event: &Event, templates: &[Template], timeout: Duration) -> bool {
        let sni = match event.incomplete {
            None => templates[usize::from(self.template)].sni,
            Some(_) => "unknown",
        };
        let latency = Duration::from_micros(event.latency_us);
        event.peer == self.place.client().to_string()
            && event.gateway == self.place.gateway().to_string()
            && event.sni == sni
            && if event.outcome == "timeout" { latency == timeout } else { latency <= timeout }
    }
}

fn parse_random(text: &str) -> Option<Random> {
    let mut random = [0; 32];
    if text.len() != 2 * random.len() || !text.is_ascii() {
        return None;
    }
    for (index, byte) in random.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(random)
}

/// A handshake, for people: `tcpdump -tt` has the same time.
fn describe(number: usize, entry: &ListedConnection) -> String {
    let (client, gateway) = (entry.place.client(), entry.place.gateway());
    let began = entry.began.as_secs_f64();
    format!("{number} {client} -> {gateway} at {began:.6}, took {:?}", entry.took)
}

impl Balance {
    /// What the observer's counters do not say as the list and the events do.
    pub(super) fn compare(&self, list: &List, metrics: &Metrics) -> Vec<Disagreement> {
        let mut disagreements = Vec::new();
        let mut check = |name: &str, labels: &[(&str, &str)], expected: u64| {
            let counted = metrics.count(name, labels);
            if counted != expected {
                let text = format!("{name}{labels:?}: {counted}, not {expected}");
                disagreements.push(Disagreement { text, by: counted.abs_diff(expected) });
            }
        };
        check("sni_probe_client_hellos_total", &[], list.entries.len() as u64);
        check("sni_probe_handshakes_total", &[], self.outcomes.values().sum());
        for (outcome, &events) in &self.outcomes {
            check("sni_probe_handshakes_total", &[("outcome", outcome)], events);
        }
        let others = |opening: Opening| {
            let lines = BEHAVIOURS.iter().zip(&list.others);
            lines.filter(|(line, _)| line.opening == opening).map(|(_, count)| count).sum()
        };
        check("sni_probe_non_tls_connections_total", &[], others(Opening::Http));
        check("sni_probe_non_tls_connections_total", &[("protocol", "http")], others(Opening::Http));
        check("sni_probe_unclassified_flows_total", &[], others(Opening::OneByte));
        check("sni_probe_unclassified_flows_total", &[("reason", "closed")], others(Opening::OneByte));
        check("sni_probe_incomplete_client_hellos_total", &[], self.reasons.values().sum());
        for (reason, &events) in &self.reasons {
            check("sni_probe_incomplete_client_hellos_total", &[("reason", reason)], events);
        }
        let evicted = self.outcomes.get("evicted").copied().unwrap_or_default();
        check("sni_probe_flow_evictions_total", &[("reason", "port_reuse")], evicted);
        check("sni_probe_flow_evictions_total", &[], evicted);
        disagreements
    }
}
