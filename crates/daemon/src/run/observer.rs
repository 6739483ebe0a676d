//! Everything that an event goes through in user space.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sni_probe_core::Tracker;
use sni_probe_core::clients::Clients;
use sni_probe_core::flow::{FlowKey, Timestamp};
use sni_probe_core::observation::{Handshake, Observation, client};
use sni_probe_kubernetes::{Gateway, Names};
use sni_probe_telemetry::events::{EventWriter, Pods, Provenance, WallClock};
use sni_probe_telemetry::metrics::{ClientSource, Metrics, Parties};

use super::interface_names::InterfaceNames;
use super::monotonic::now;
use super::reading::Loss;
use super::source::PacketSource;
use crate::board::Board;
use crate::evidence::FailureCaptures;

/// Events handled at a stretch, before the HTTP server and signals have their turn.
pub(super) const BATCH: usize = 4096;
/// How long the reader of stdout is waited for at the end.
const EVENTS_PATIENCE: Duration = Duration::from_secs(2);
/// How long the disk is waited for at the end.
const EVIDENCE_PATIENCE: Duration = Duration::from_secs(2);

/// From events to metrics, lines, and what the page shows.
pub(super) struct Observer {
    pub(super) tracker: Tracker,
    pub(super) sinks: Sinks,
    /// Why what was lost could not be read, the last time.
    pub(super) complaint: Option<String>,
}

/// Where observations go.
pub(super) struct Sinks {
    pub(super) metrics: Arc<Metrics>,
    pub(super) clients: Arc<Mutex<Clients>>,
    pub(super) board: Arc<Board>,
    pub(super) events: EventWriter,
    pub(super) evidence: Option<FailureCaptures>,
    /// With `--kube`.
    pub(super) names: Option<Names>,
}

impl Observer {
    /// Handles at most [`BATCH`] events, and what has timed out; returns how many events there were.
    pub(super) fn drain(&mut self, source: &mut PacketSource, interfaces: &InterfaceNames) -> usize {
        let time = Time::now();
        let Self { tracker, sinks, .. } = self;
        sinks.board.set_time(time.now, time.clock);
        let count = source.drain(BATCH, |event| match event {
            Some(event) => {
                if let Some(evidence) = &mut sinks.evidence {
                    evidence.event(&event, time.now);
                }
                tracker.handle_event(&event);
                sinks.publish(tracker, interfaces, time);
            }
            None => sinks.metrics.record_invalid(),
        });
        source.report_ring(&self.sinks.metrics);
        // With events still waiting, an outcome may be among them.
        let Self { tracker, sinks, .. } = self;
        if count < BATCH {
            tracker.handle_timeout(now());
            sinks.publish(tracker, interfaces, time);
        }
        sinks.metrics.event_lines_dropped(sinks.events.flush());
        sinks.metrics.set_flows(tracker.flows(), tracker.capacity());
        sinks.metrics.set_time_jumps(tracker.time_jumps());
        count
    }

    /// Reads what was lost or passed over, and how full everything is; and lets idle clients go.
    pub(super) fn read_counters(&mut self, source: &mut PacketSource) {
        let Sinks { metrics, clients, .. } = &self.sinks;
        lock(clients).expire(now());
        let read = source.poll_losses(|loss, n| match loss {
            Loss::Datapath(counter) => metrics.add(counter, n),
            Loss::PacketRingFull => metrics.packets_dropped(n),
        });
        // Once, not at each look: it stays so.
        let complaint = read.err().map(|error| format!("{:#}", anyhow::Error::from(error)));
        if complaint != self.complaint {
            if let Some(complaint) = &complaint {
                tracing::warn!(
                    "cannot read what was lost, and nobody counts it until that works: {complaint}"
                );
            }
            self.complaint = complaint;
        }
        source.report(metrics);
    }

    /// Gives the hellos that still wait their outcome, `unfinished`, and writes the last lines.
    pub(super) fn finish(mut self, source: &mut PacketSource, interfaces: &InterfaceNames) {
        self.read_counters(source);
        self.tracker.finish();
        self.sinks.publish(&mut self.tracker, interfaces, Time::now());
        let Sinks { metrics, events, evidence, .. } = self.sinks;
        metrics.event_lines_dropped(events.finish(EVENTS_PATIENCE));
        if let Some(evidence) = evidence {
            evidence.finish(EVIDENCE_PATIENCE);
        }
    }
}

/// What time it is, by both clocks.
#[derive(Clone, Copy, Debug)]
struct Time {
    now: Timestamp,
    clock: WallClock,
}

impl Time {
    fn now() -> Self {
        let now = now();
        Self { now, clock: WallClock::new(now, SystemTime::now()) }
    }
}

impl Sinks {
    /// Hands on what the tracker saw.
    fn publish(&mut self, tracker: &mut Tracker, interfaces: &InterfaceNames, time: Time) {
        while let Some(observation) = tracker.poll_observation() {
            if let Some(evidence) = &mut self.evidence {
                evidence.observe(&observation, |index| interfaces.get(index), time.clock);
            }
            match observation {
                Observation::ClientHello { flow, proxied, .. } => {
                    let gateway = self.gateway(flow);
                    let source = self.source(client(flow, proxied));
                    let name = gateway.as_ref().map(|gateway| &gateway.name);
                    self.metrics.observe(&observation, Parties { source, gateway: name });
                }
                Observation::Handshake(handshake) => self.publish_handshake(handshake, interfaces, time),
                Observation::NonTls { .. } => {
                    self.board.non_tls(&observation);
                    self.metrics.observe(&observation, Parties::UNKNOWN);
                }
                Observation::Unclassified { .. } | Observation::Evicted { .. } => {
                    self.metrics.observe(&observation, Parties::UNKNOWN);
                }
            }
        }
    }

    fn publish_handshake(&mut self, handshake: Box<Handshake>, interfaces: &InterfaceNames, time: Time) {
        let gateway = self.gateway(handshake.flow);
        let source = self.source(handshake.client());
        let name = gateway.as_ref().map(|gateway| &gateway.name);
        self.metrics.handshake(&handshake, Parties { source, gateway: name });
        lock(&self.clients).handshake(&handshake, time.now);
        let client = self.names.as_ref().and_then(|names| names.client(handshake.client().ip()));
        let pods = Pods { client: client.map(|name| name.pod), gateway: gateway.map(|gateway| gateway.pod) };
        let interface = interfaces.get(handshake.place.0);
        let place = Provenance::Interface { name: interface, pods: &pods };
        self.events.handshake(place, &handshake, time.clock, time.now);
        self.board.handshake(source, interface, pods, handshake);
    }

    /// The pod that is the gateway of a connection, if it is known.
    fn gateway(&self, flow: FlowKey) -> Option<Gateway> {
        self.names.as_ref()?.gateway(flow.gateway)
    }

    /// Whether hellos without SNI are expected of this client.
    fn source(&self, client: SocketAddr) -> ClientSource {
        if lock(&self.clients).is_expected(client.ip()) {
            ClientSource::Expected
        } else {
            ClientSource::Other
        }
    }
}

fn lock(clients: &Mutex<Clients>) -> MutexGuard<'_, Clients> {
    // A panic elsewhere leaves books that are whole enough to go on with.
    clients.lock().unwrap_or_else(PoisonError::into_inner)
}
