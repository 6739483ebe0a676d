//! Facts of a capture.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use sni_probe_core::clients::ClientLabel;
use sni_probe_core::observation::{Handshake, Observation};
use sni_probe_core::software;
use sni_probe_core::tally::Tally;
use sni_probe_core::vocabulary::{EvictionReason, IncompleteReason, NonTls};
use sni_probe_model::api::AlertCount;
use sni_probe_model::facts::{Ports, RefusalFacts};
use sni_probe_model::{AlertDescription, AlertSender, Fate, Label as _, OutcomeClass, SniClass, Word};

use super::scrape::most_first;
use super::{ClientFacts, Count, MAX_TOLD_APART, RefusalCount, WireFacts};
use crate::replay;

/// Reads a capture.
///
/// # Errors
/// If it is none, or has no frame that can be read.
pub(crate) fn of_capture(file: &Path) -> anyhow::Result<WireFacts> {
    let mut seen = CaptureCounts::default();
    let read = replay::observations(file, |observation| seen.take(observation))?;
    let mut facts = seen.facts(file.display().to_string());
    if let Some(why) = read.cut {
        facts.unread.push(format!("the capture was read to frame {} only: {why}", read.frames));
    }
    facts.unread.extend(read.not_read.iter().map(|(what, count)| format!("{what}: {count}")));
    Ok(facts)
}

/// The facts that these observations hold.
#[cfg(test)]
pub(crate) fn of_observations<'a>(observations: impl IntoIterator<Item = &'a Observation>) -> WireFacts {
    let mut seen = CaptureCounts::default();
    for observation in observations {
        seen.take(observation);
    }
    seen.facts("test".to_owned())
}

struct CaptureCounts {
    counts: HashMap<(SniClass, OutcomeClass), u64>,
    alerts: HashMap<(SniClass, AlertDescription, AlertSender), u64>,
    clients: Tally<IpAddr, ClientFacts, u64>,
    names: Tally<String, u64>,
    served_names: Tally<String, u64>,
    versions: HashMap<&'static str, u64>,
    refusals: RefusalFacts,
    /// Connections that were reset before a `ClientHello`, and those that ended in another way.
    reset: u64,
    ended: u64,
    not_tls: u64,
    evicted: u64,
}

impl Default for CaptureCounts {
    fn default() -> Self {
        Self {
            counts: HashMap::new(),
            alerts: HashMap::new(),
            clients: Tally::new(MAX_TOLD_APART),
            names: Tally::new(MAX_TOLD_APART),
            served_names: Tally::new(MAX_TOLD_APART),
            versions: HashMap::new(),
            refusals: RefusalFacts::for_captures(Ports::All),
            reset: 0,
            ended: 0,
            not_tls: 0,
            evicted: 0,
        }
    }
}

impl CaptureCounts {
    fn take(&mut self, observation: &Observation) {
        self.refusals.observe(observation);
        match observation {
            Observation::Handshake(handshake) => self.handshake(handshake),
            Observation::Unclassified { reason: IncompleteReason::Reset, .. } => self.reset += 1,
            Observation::Unclassified { .. } => self.ended += 1,
            Observation::NonTls { protocol: NonTls::Ssh | NonTls::Other, .. } => self.not_tls += 1,
            Observation::Evicted { reason: EvictionReason::Capacity } => self.evicted += 1,
            Observation::Evicted { .. } | Observation::NonTls { .. } | Observation::ClientHello { .. } => {}
        }
    }

    fn handshake(&mut self, handshake: &Handshake) {
        let sni = handshake.hello.sni.class();
        *self.counts.entry((sni, handshake.outcome.class())).or_default() += 1;
        if let Some((description, sender)) = handshake.outcome.alert() {
            *self.alerts.entry((sni, description, sender)).or_default() += 1;
        }
        if let Some(body) = &handshake.hello.body {
            *self.versions.entry(body.version.as_str()).or_default() += 1;
        }
        let is_refused = handshake.outcome.is_refused();
        if sni.is_without_sni() {
            let address = handshake.client().ip();
            let new = || ClientFacts { label: address.to_string(), ..ClientFacts::default() };
            match self.clients.entry(&address, || Some(new())) {
                Ok(client) => {
                    client.refusals.add(RefusalCount { handshakes: 1, refused: is_refused.into() });
                    let likely = software::likely_sender(&handshake.hello);
                    client.likely = likely.map(str::to_owned).or(client.likely.take());
                }
                Err(others) => *others += 1,
            }
        } else if let Some(name) = handshake.hello.sni.name() {
            match handshake.outcome.fate() {
                Fate::Refused => *self.names.of(name) += 1,
                Fate::Served => *self.served_names.of(name) += 1,
                Fate::Failed | Fate::Unknown => {}
            }
        }
    }

    fn facts(self, source: String) -> WireFacts {
        let refusals = self.refusals.report(&ClientLabel::Ip);
        let mut facts = WireFacts { source, refusals, ..WireFacts::default() };
        // Without a TLS handshake, they are of other services.
        if !self.counts.is_empty() {
            facts.add_unread(self.reset, self.evicted);
        }
        let remarks = [
            (self.ended, "connections that ended before a ClientHello was seen"),
            (self.not_tls, "connections that are not TLS"),
        ];
        facts.remarks.extend(remarks.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{what}: {n}")));
        let mut counts: Vec<_> = self.counts.into_iter().collect();
        counts.sort_unstable_by_key(|((sni, outcome), _)| (sni.as_str(), outcome.as_str()));
        let count = |((sni, outcome), handshakes)| Count {
            sni: Word::Known(sni),
            outcome: Word::Known(outcome),
            handshakes,
        };
        facts.counts = counts.into_iter().map(count).collect();
        let mut alerts: Vec<_> = self.alerts.into_iter().collect();
        alerts.sort_unstable_by_key(|((sni, description, sender), _)| {
            (description.as_str(), sni.as_str(), sender.as_str())
        });
        let alert = |((sni, description, sender), alerts)| AlertCount {
            sni: Word::Known(sni),
            description: Word::Known(description),
            sender: Word::Known(sender),
            alerts,
        };
        facts.alerts = alerts.into_iter().map(alert).collect();
        let (clients, of_other_clients) = self.clients.into_parts();
        for (_, client) in clients {
            facts.add_client(client);
        }
        facts.clients.sort_by(|one, other| {
            other.refusals.refused.cmp(&one.refusals.refused).then_with(|| one.label.cmp(&other.label))
        });
        let (names, of_other_names) = self.names.into_parts();
        facts.refused_names = most_first(names);
        let refused_names = facts.refused_names.iter().map(|(name, _)| name);
        facts.served_names =
            refused_names.filter(|name| self.served_names.get(name.as_str()).is_some()).cloned().collect();
        facts.tls_versions = most_first(self.versions.into_iter().map(|(word, n)| (word.to_owned(), n)));
        let not_told_apart = of_other_clients + of_other_names;
        if not_told_apart > 0 {
            facts.remarks.push(format!(
                "{not_told_apart} handshakes of further clients or names, after the first {MAX_TOLD_APART}"
            ));
        }
        facts
    }
}
