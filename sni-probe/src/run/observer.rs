//! Everything that an event goes through in user space.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sni_probe_core::Tracker;
use sni_probe_core::observation::Observation;

use super::interfaces::Interfaces;
use super::source::{Loss, Source, now};
use crate::evidence::Evidence;
use crate::metrics::Metrics;
use crate::output::{EventWriter, WallClock};

/// Events handled at a stretch, before the HTTP server and signals have their turn.
pub(super) const BATCH: usize = 4096;
/// How long the reader of stdout is waited for at the end.
const EVENTS_PATIENCE: Duration = Duration::from_secs(2);
/// How long the disk is waited for at the end.
const EVIDENCE_PATIENCE: Duration = Duration::from_secs(2);

/// From events to metrics and lines.
pub(super) struct Observer {
    pub(super) tracker: Tracker,
    pub(super) metrics: Arc<Metrics>,
    pub(super) events: EventWriter,
    pub(super) evidence: Option<Evidence>,
}

impl Observer {
    /// Handles at most [`BATCH`] events, and what has timed out; returns how many events there were.
    pub(super) fn drain(&mut self, source: &mut Source, interfaces: &Interfaces) -> usize {
        let clock = WallClock::new(now(), SystemTime::now());
        let Self { tracker, metrics, events, evidence } = self;
        let mut publish = |tracker: &mut Tracker, evidence: &mut Option<Evidence>| {
            publish(tracker, metrics, events, evidence, interfaces, clock);
        };
        let count = source.drain(BATCH, |event| match event {
            Some(event) => {
                if let Some(evidence) = evidence {
                    evidence.event(&event);
                }
                tracker.handle_event(&event);
                publish(tracker, evidence);
            }
            None => metrics.record_invalid(),
        });
        source.report_ring(metrics);
        // With events still waiting, an outcome may be among them.
        if count < BATCH {
            tracker.handle_timeout(now());
            publish(tracker, evidence);
        }
        metrics.event_lines_dropped(events.flush());
        metrics.set_flows(tracker.flows(), tracker.capacity());
        count
    }

    /// Reads what was lost or passed over, and how full everything is.
    pub(super) fn read_counters(&self, source: &mut Source) {
        let read = source.poll_losses(|loss, n| match loss {
            Loss::Datapath(counter) => self.metrics.add(counter, n),
            Loss::PacketRingFull => self.metrics.packets_dropped(n),
        });
        if let Err(error) = read {
            tracing::warn!(%error, "cannot read what was lost");
        }
        source.report(&self.metrics);
    }

    /// Gives the hellos that still wait their outcome, `unfinished`, and writes the last lines.
    pub(super) fn finish(mut self, source: &mut Source, interfaces: &Interfaces) {
        self.read_counters(source);
        self.tracker.finish();
        let clock = WallClock::new(now(), SystemTime::now());
        let Self { tracker, metrics, events, evidence } = &mut self;
        publish(tracker, metrics, events, evidence, interfaces, clock);
        self.metrics.event_lines_dropped(self.events.finish(EVENTS_PATIENCE));
        if let Some(evidence) = self.evidence {
            evidence.finish(EVIDENCE_PATIENCE);
        }
    }
}

/// Hands what the tracker saw to metrics, events and evidence.
fn publish(
    tracker: &mut Tracker,
    metrics: &Metrics,
    events: &mut EventWriter,
    evidence: &mut Option<Evidence>,
    interfaces: &Interfaces,
    clock: WallClock,
) {
    while let Some(observation) = tracker.poll_observation() {
        metrics.observe(&observation);
        if let Observation::Handshake(handshake) = &observation {
            events.handshake(interfaces.name(handshake.ifindex), handshake, clock);
        }
        if let Some(evidence) = evidence {
            evidence.observe(&observation, |index| interfaces.name(index), clock);
        }
    }
}
