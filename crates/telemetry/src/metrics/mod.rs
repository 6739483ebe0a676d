//! The metrics: what is counted, and the counting.
//!
//! Observing a handshake allocates nothing and hashes nothing: the series of closed label sets are
//! all made at the start, and each is found by the indexes of its labels (see [`table`]).
//! `docs/metrics.md` is written by the tests in [`reference`] from what a scrape gives.

mod by_gateway;
mod collector;
mod families;
mod kubernetes;
mod negotiated;
mod table;
mod top;
mod vocabulary;
mod wait_end;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    CounterVec, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
};
use sni_probe_core::clients::Clients;
use sni_probe_core::observation::{Features, Handshake, Observation, Outcome};
use sni_probe_core::vocabulary::{
    AlertDescription, AlertSender, Feature, IncompleteReason, Label, NonTls, OutcomeClass, SniClass,
    TlsVersion,
};
use sni_probe_datapath::counters::Counter;
use sni_probe_datapath::event::RING_BYTES;
use sni_probe_kubernetes::{GatewayName, Names};
use sni_probe_model::Word;
use sni_probe_model::api::{AlertCount, NotSeen};
use sni_probe_pcap::frame;

use self::by_gateway::ByGateway;
use self::families::Family;
use self::kubernetes::KubernetesCollector;
use self::negotiated::VersionAndGroup;
use self::table::{Key, Table};
use self::top::TopCollector;
pub use self::vocabulary::{
    AttachMode, ChainEffect, ClientSource, EvidenceLoss, Hook, InterfaceChange, SlotUse,
};
use self::vocabulary::{Direction, FlowEviction, LineDropReason, LostReason, SkipReason};
use self::wait_end::WaitEnd;
use crate::events::DroppedLines;

/// All metrics of the daemon.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    client_hellos: ByGateway<(ClientSource, SniClass, TlsVersion)>,
    client_hello_features: Table<Feature, IntCounter>,
    incomplete_client_hellos: Table<IncompleteReason, IntCounter>,
    handshakes: ByGateway<(ClientSource, SniClass, OutcomeClass)>,
    handshake_outcome: Table<WaitEnd, Histogram>,
    negotiated: Table<VersionAndGroup, IntCounter>,
    alerts: Table<(SniClass, AlertDescription, AlertSender), IntCounter>,
    non_tls_connections: Table<NonTls, IntCounter>,
    unclassified_flows: Table<IncompleteReason, IntCounter>,
    flow_evictions: Table<FlowEviction, IntCounter>,
    events_lost: Table<LostReason, IntCounter>,
    packets_skipped: Table<SkipReason, IntCounter>,
    event_lines_dropped: Table<LineDropReason, IntCounter>,
    time_jumps: IntCounter,
    flows: IntGauge,
    flows_capacity: IntGauge,
    attached: IntGaugeVec,
    interface_changes: IntCounterVec,
    interface_packets: IntCounterVec,
    programs_before: IntGaugeVec,
    interfaces_refused: IntCounter,
    default_route_changes: IntCounter,
    ring_bytes: IntGauge,
    ring_used_bytes: IntGauge,
    ring_used_bytes_max: IntGauge,
    slots_capacity: IntGauge,
    slots: Table<SlotUse, IntGauge>,
    program_runs: IntCounterVec,
    program_run_seconds: CounterVec,
    evidence_files: IntGauge,
    evidence_bytes: IntGauge,
    evidence_lost: Table<EvidenceLoss, IntCounter>,
}

/// Whose a hello is, for the labels.
#[derive(Clone, Copy, Debug)]
pub struct Parties<'a> {
    /// Of the client.
    pub source: ClientSource,
    /// Of the gateway, with `--kube`, if it is known.
    pub gateway: Option<&'a GatewayName>,
}

impl Parties<'_> {
    /// Of captures: nobody knows.
    pub const UNKNOWN: Self = Self { source: ClientSource::Other, gateway: None };
}

impl Metrics {
    /// Makes all families, and all series whose labels are known beforehand, with the value 0.
    ///
    /// With `names`, gateways have them.
    ///
    /// # Errors
    /// If two families have the same name, or one has a name that is none: a mistake in this program.
    pub fn new(clients: Arc<Mutex<Clients>>, names: Option<&Names>) -> anyhow::Result<Self> {
        let registry = Registry::new();
        let register = || {
            registry.register(Box::new(ProcessCollector::for_self()))?;
            registry.register(Box::new(TopCollector::new(clients)?))?;
            names
                .map_or(Ok(()), |names| registry.register(Box::new(KubernetesCollector::new(names.clone())?)))
        };
        register()
            .and_then(|()| Self::try_new(registry.clone(), names.is_some()))
            .context("cannot set up the metrics")
    }

    /// The same without what describes the process, and clients: captures were not seen by it.
    ///
    /// # Errors
    /// As [`Metrics::new`].
    pub fn for_captures() -> anyhow::Result<Self> {
        Self::try_new(Registry::new(), false).context("cannot set up the metrics")
    }

    fn try_new(registry: Registry, with_gateways: bool) -> prometheus::Result<Self> {
        families::BUILD_INFO
            .gauges(&registry)?
            .with_label_values(&[
                env!("CARGO_PKG_VERSION"),
                option_env!("SNI_PROBE_REVISION").unwrap_or("unknown"),
            ])
            .set(1);
        Ok(Self {
            client_hellos: ByGateway::new(families::CLIENT_HELLOS, &registry, with_gateways)?,
            client_hello_features: families::CLIENT_HELLO_FEATURES.counter_table(&registry)?,
            incomplete_client_hellos: families::INCOMPLETE_CLIENT_HELLOS.counter_table(&registry)?,
            handshakes: ByGateway::new(families::HANDSHAKES, &registry, with_gateways)?,
            handshake_outcome: families::HANDSHAKE_OUTCOME
                .histogram_table(&registry, families::OUTCOME_BUCKETS)?,
            negotiated: families::NEGOTIATED.counter_table(&registry)?,
            alerts: families::ALERTS.counter_table(&registry)?,
            non_tls_connections: families::NON_TLS_CONNECTIONS.counter_table(&registry)?,
            unclassified_flows: families::UNCLASSIFIED_FLOWS.counter_table(&registry)?,
            flow_evictions: families::FLOW_EVICTIONS.counter_table(&registry)?,
            events_lost: families::EVENTS_LOST.counter_table(&registry)?,
            packets_skipped: families::PACKETS_SKIPPED.counter_table(&registry)?,
            event_lines_dropped: families::EVENT_LINES_DROPPED.counter_table(&registry)?,
            time_jumps: families::TIME_JUMPS.counter(&registry)?,
            flows: families::FLOWS.gauge(&registry)?,
            flows_capacity: families::FLOWS_CAPACITY.gauge(&registry)?,
            attached: families::ATTACHED.gauges(&registry)?,
            interface_changes: families::INTERFACE_CHANGES.counters(&registry)?,
            interface_packets: families::INTERFACE_PACKETS.counters(&registry)?,
            programs_before: families::PROGRAMS_BEFORE.gauges(&registry)?,
            interfaces_refused: families::INTERFACES_REFUSED.counter(&registry)?,
            default_route_changes: families::DEFAULT_ROUTE_CHANGES.counter(&registry)?,
            ring_bytes: families::RING_BYTES.gauge(&registry)?,
            ring_used_bytes: families::RING_USED_BYTES.gauge(&registry)?,
            ring_used_bytes_max: families::RING_USED_BYTES_MAX.gauge(&registry)?,
            slots_capacity: families::SLOTS_CAPACITY.gauge(&registry)?,
            slots: families::SLOTS.gauge_table(&registry)?,
            program_runs: families::PROGRAM_RUNS.counters(&registry)?,
            program_run_seconds: families::PROGRAM_RUN_SECONDS.seconds(&registry)?,
            evidence_files: families::EVIDENCE_FILES.gauge(&registry)?,
            evidence_bytes: families::EVIDENCE_BYTES.gauge(&registry)?,
            evidence_lost: families::EVIDENCE_LOST.counter_table(&registry)?,
            registry,
        })
    }

    /// Counts what the tracker saw.
    pub fn observe(&self, observation: &Observation, parties: Parties<'_>) {
        match observation {
            &Observation::ClientHello { sni, version, features, incomplete, .. } => {
                self.client_hello(parties, sni, version, features, incomplete);
            }
            Observation::Handshake(handshake) => self.handshake(handshake, parties),
            Observation::NonTls { protocol, .. } => self.non_tls_connections.get(*protocol).inc(),
            Observation::Unclassified { reason, .. } => self.unclassified_flows.get(*reason).inc(),
            Observation::Evicted { reason } => self.flow_evictions.get((*reason).into()).inc(),
        }
    }

    fn client_hello(
        &self,
        parties: Parties<'_>,
        sni: SniClass,
        version: TlsVersion,
        features: Features,
        incomplete: Option<IncompleteReason>,
    ) {
        self.client_hellos.count(parties.gateway, (parties.source, sni, version));
        for feature in features.iter() {
            self.client_hello_features.get(feature).inc();
        }
        if let Some(reason) = incomplete {
            self.incomplete_client_hellos.get(reason).inc();
        }
    }

    /// Counts a hello with its handshake: where it is known only then that it is to be counted.
    pub fn hello_and_handshake(&self, handshake: &Handshake) {
        let hello = &handshake.hello;
        let version = hello.body.as_ref().map_or(TlsVersion::Unknown, |body| body.version);
        // The handshake counts what its answer showed.
        let features = hello.features.without(Feature::HelloRetry);
        self.client_hello(Parties::UNKNOWN, hello.sni.class(), version, features, hello.incomplete);
        self.handshake(handshake, Parties::UNKNOWN);
    }

    /// Counts a handshake whose hello was counted.
    pub fn handshake(&self, handshake: &Handshake, parties: Parties<'_>) {
        let sni = handshake.hello.sni.class();
        let labels = (sni, handshake.outcome.class());
        self.handshakes.count(parties.gateway, (parties.source, labels.0, labels.1));
        self.handshake_outcome.get(WaitEnd(sni, labels.1)).observe(handshake.latency.as_secs_f64());
        // The one feature that the answer shows: it was not known when the hello was counted.
        if handshake.hello.features.contains(Feature::HelloRetry) {
            self.client_hello_features.get(Feature::HelloRetry).inc();
        }
        if let Some(negotiated) = handshake.answer.negotiated {
            self.negotiated.get(VersionAndGroup::of(negotiated)).inc();
        }
        if let Outcome::Alert { description, sender } = handshake.outcome {
            self.alerts.get((sni, description, sender)).inc();
        }
    }

    /// Adds `n` to what the datapath counts by `counter`: `n` is the growth since the last call.
    pub fn add(&self, counter: Counter, n: u64) {
        let skipped = |reason| self.packets_skipped.get(reason);
        if counter == Counter::LostRingFull && n > 0 {
            self.ring_used_bytes_max.set(gauge(RING_BYTES as usize));
        }
        let series = match counter {
            Counter::SkippedFragment => skipped(SkipReason::Fragment),
            Counter::SkippedExtensionHeaders => skipped(SkipReason::ExtensionHeaders),
            Counter::SkippedVlanTags => skipped(SkipReason::VlanTags),
            Counter::SkippedMalformed => skipped(SkipReason::Malformed),
            Counter::SkippedUnreadable => skipped(SkipReason::Unreadable),
            Counter::SkippedMappedAddress => skipped(SkipReason::Ipv4Mapped),
            Counter::LostRingFull => self.events_lost.get(LostReason::RingFull),
            Counter::LostCopyFailed => self.events_lost.get(LostReason::CopyFailed),
            Counter::HandshakeEvicted => self.flow_evictions.get(FlowEviction::SlotDisplaced),
            Counter::OpenEvicted => self.flow_evictions.get(FlowEviction::OpenSlotDisplaced),
            Counter::MidStreamEvicted => self.flow_evictions.get(FlowEviction::MidStream),
            Counter::AnsweredEvicted => self.flow_evictions.get(FlowEviction::Answered),
            Counter::SkippedOtherHost => skipped(SkipReason::OtherHost),
        };
        series.inc_by(n);
    }

    /// Adds `n` to the frames of captures that were passed over.
    pub fn frames_skipped(&self, reason: frame::SkipReason, n: u64) {
        self.packets_skipped.get(reason.into()).inc_by(n);
    }

    /// Counts `n` frames that found no room in the ring of a packet socket.
    pub fn packets_dropped(&self, n: u64) {
        self.events_lost.get(LostReason::PacketRingFull).inc_by(n);
    }

    /// Counts `n` interfaces that match a pattern and are too many.
    pub fn interfaces_refused(&self, n: u64) {
        self.interfaces_refused.inc_by(n);
    }

    /// Counts that the default route moved to another interface.
    pub fn default_route_moved(&self) {
        self.default_route_changes.inc();
    }

    /// Counts a record of the ring buffer that is no event.
    pub fn record_invalid(&self) {
        self.events_lost.get(LostReason::InvalidRecord).inc();
    }

    /// Counts lines of events that were not written.
    pub fn event_lines_dropped(&self, dropped: DroppedLines) {
        let count = |reason, n| self.event_lines_dropped.get(reason).inc_by(n);
        count(LineDropReason::SlowReader, dropped.slow_reader);
        count(LineDropReason::RateLimit, dropped.rate_limit);
        count(LineDropReason::WriteFailed, dropped.write_failed);
        count(LineDropReason::Closed, dropped.closed);
    }

    /// Sets how many packets had a wrong time stamp so far.
    pub fn set_time_jumps(&self, jumps: u64) {
        self.time_jumps.inc_by(jumps.saturating_sub(self.time_jumps.get()));
    }

    /// Sets how many flows the tracker holds, and how many it can.
    pub fn set_flows(&self, open: usize, capacity: usize) {
        self.flows.set(gauge(open));
        self.flows_capacity.set(gauge(capacity));
    }

    /// How many flows the tracker holds, and how many it can.
    pub fn flows(&self) -> (u64, u64) {
        let value = |gauge: &IntGauge| u64::try_from(gauge.get()).unwrap_or_default();
        (value(&self.flows), value(&self.flows_capacity))
    }

    /// What was not seen, or not reported, since the start; only what occurred.
    pub fn not_seen(&self) -> Vec<NotSeen> {
        let mut listed = NotSeenList::default();
        listed.add_all(families::EVENT_LINES_DROPPED, &self.event_lines_dropped);
        listed.add_all(families::EVENTS_LOST, &self.events_lost);
        listed.add_all(families::FLOW_EVICTIONS, &self.flow_evictions);
        listed.add(families::INTERFACES_REFUSED, "", self.interfaces_refused.get());
        listed.add_all(families::PACKETS_SKIPPED, &self.packets_skipped);
        // Hellos are incomplete for many reasons; for this one the observation is to blame.
        let truncated = IncompleteReason::Truncated;
        let count = self.incomplete_client_hellos.get(truncated).get();
        listed.add(families::INCOMPLETE_CLIENT_HELLOS, truncated.as_str(), count);
        listed.0
    }

    /// Events since the start that did not reach the daemon.
    pub fn lost_events(&self) -> u64 {
        LostReason::ALL.iter().map(|&reason| self.events_lost.get(reason).get()).sum()
    }

    /// Alerts since the start; only those that occurred.
    pub fn alerts(&self) -> Vec<AlertCount> {
        let mut alerts = Vec::new();
        for &sni in SniClass::ALL {
            for &description in AlertDescription::ALL {
                for &sender in AlertSender::ALL {
                    let count = self.alerts.get((sni, description, sender)).get();
                    if count > 0 {
                        let (sni, description) = (Word::Known(sni), Word::Known(description));
                        alerts.push(AlertCount {
                            sni,
                            description,
                            sender: Word::Known(sender),
                            alerts: count,
                        });
                    }
                }
            }
        }
        alerts
    }

    /// Sets the size of the ring, in bytes.
    pub fn set_ring_bytes(&self, bytes: usize) {
        self.ring_bytes.set(gauge(bytes));
    }

    /// Notes how many bytes had gathered in the ring.
    pub fn set_ring_used(&self, bytes: usize) {
        let bytes = gauge(bytes);
        self.ring_used_bytes.set(bytes);
        self.ring_used_bytes_max.set(bytes.max(self.ring_used_bytes_max.get()));
    }

    /// Sets how many flow table entries there are, and how many of them each use has.
    pub fn set_slots(&self, capacity: usize, used: impl IntoIterator<Item = (SlotUse, usize)>) {
        self.slots_capacity.set(gauge(capacity));
        for (slot_use, count) in used {
            self.slots.get(slot_use).set(gauge(count));
        }
    }

    /// Sets what the kernel has counted of a program.
    pub fn set_program_runs(&self, program: &str, runs: u64, time: Duration) {
        let series = self.program_runs.with_label_values(&[program]);
        series.inc_by(runs.saturating_sub(series.get()));
        let series = self.program_run_seconds.with_label_values(&[program]);
        series.inc_by((time.as_secs_f64() - series.get()).max(0.0));
    }

    /// Sets how many files of evidence there are, and their size in all.
    pub fn set_evidence(&self, files: usize, bytes: u64) {
        self.evidence_files.set(gauge(files));
        self.evidence_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Counts `n` handshakes whose packets are not among the evidence, or not all of them.
    pub fn evidence_lost(&self, reason: EvidenceLoss, n: u64) {
        self.evidence_lost.get(reason).inc_by(n);
    }

    /// Makes the series of an interface that is to be watched, with the value 0.
    pub fn add_interface(&self, interface: &str) {
        for &hook in Hook::ALL {
            for &mode in AttachMode::ALL {
                self.attached_series(interface, hook, mode);
            }
        }
        for &change in InterfaceChange::ALL {
            self.interface_changes_series(interface, change);
        }
        self.interface_carried(interface, 0, 0);
        self.set_programs_before(interface, &[]);
    }

    /// Removes the series of an interface that is gone for good.
    pub fn remove_interface(&self, interface: &str) {
        // A series that is not there is removed.
        for &hook in Hook::ALL {
            for &mode in AttachMode::ALL {
                let _ = self.attached.remove_label_values(&[interface, hook.as_str(), mode.as_str()]);
            }
            for &verdict in ChainEffect::ALL {
                let _ =
                    self.programs_before.remove_label_values(&[interface, hook.as_str(), verdict.as_str()]);
            }
        }
        for &change in InterfaceChange::ALL {
            let _ = self.interface_changes.remove_label_values(&[interface, change.as_str()]);
        }
        for &direction in Direction::ALL {
            let _ = self.interface_packets.remove_label_values(&[interface, direction.as_str()]);
        }
    }

    /// Sets how many programs packets meet before ours: one item for each.
    pub fn set_programs_before(&self, interface: &str, programs: &[(Hook, ChainEffect)]) {
        for &hook in Hook::ALL {
            for &verdict in ChainEffect::ALL {
                let count = programs.iter().filter(|program| **program == (hook, verdict)).count();
                let series =
                    self.programs_before.with_label_values(&[interface, hook.as_str(), verdict.as_str()]);
                series.set(gauge(count));
            }
        }
    }

    /// Sets whether a program is attached to `hook` of `interface` by way of `mode`. By one way
    /// only: if it is attached by this one, it is not by the other.
    pub fn set_attached(&self, interface: &str, hook: Hook, mode: AttachMode, attached: bool) {
        for &other in AttachMode::ALL {
            if other == mode {
                self.attached_series(interface, hook, mode).set(i64::from(attached));
            } else if attached {
                self.attached_series(interface, hook, other).set(0);
            }
        }
    }

    /// Counts that an interface was lost, or found and attached to.
    pub fn interface_changed(&self, interface: &str, change: InterfaceChange) {
        self.interface_changes_series(interface, change).inc();
    }

    /// Counts packets that passed an interface, seen or not.
    pub fn interface_carried(&self, interface: &str, received: u64, sent: u64) {
        for (direction, count) in [(Direction::Received, received), (Direction::Sent, sent)] {
            self.interface_packets.with_label_values(&[interface, direction.as_str()]).inc_by(count);
        }
    }

    fn attached_series(&self, interface: &str, hook: Hook, mode: AttachMode) -> IntGauge {
        self.attached.with_label_values(&[interface, hook.as_str(), mode.as_str()])
    }

    fn interface_changes_series(&self, interface: &str, change: InterfaceChange) -> IntCounter {
        self.interface_changes.with_label_values(&[interface, change.as_str()])
    }

    /// All metrics in the text format of Prometheus.
    ///
    /// # Errors
    /// If a family is inconsistent: a mistake in this program.
    pub fn encode(&self) -> anyhow::Result<String> {
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }
}

/// Collects what was not seen.
#[derive(Default)]
struct NotSeenList(Vec<NotSeen>);

impl NotSeenList {
    fn add_all<K: Key + Label>(&mut self, family: Family, counters: &Table<K, IntCounter>) {
        for &reason in K::ALL {
            self.add(family, reason.as_str(), counters.get(reason).get());
        }
    }

    fn add(&mut self, family: Family, reason: &str, count: u64) {
        if count > 0 {
            let metric = family.name.strip_prefix(families::PREFIX).unwrap_or(family.name).to_owned();
            self.0.push(NotSeen { metric, reason: reason.to_owned(), count });
        }
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod series_tests;
#[cfg(test)]
mod tests;
