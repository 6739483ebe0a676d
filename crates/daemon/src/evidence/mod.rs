//! `--evidence`: the packets of the last handshakes that failed, a pcapng file each.
//!
//! ```text
//! Event ─────────▶ holding (flows under way) ─┐
//!                                             ▼
//! Observation ─▶ failed? ─▶ yes: Case ─▶ keeper: queue ═ thread ═▶ directory (oldest out)
//!                      └──▶ no: forgotten
//! ```
//!
//! The datapath hands over events and not frames, so the packets are rebuilt from those ([`packet`]); each file
//! says so. `docs/evidence.md` tells what is in them and what is not.

mod case;
mod directory;
mod file_name;
mod holding;
mod keeper;
mod packet;

use std::sync::Arc;
use std::time::Duration;

use sni_probe_core::flow::{FlowKey, Timestamp};
use sni_probe_core::observation::{Handshake, Observation};
use sni_probe_core::vocabulary::IncompleteReason;
use sni_probe_datapath::event::Event;
use sni_probe_telemetry::events::WallClock;
use sni_probe_telemetry::metrics::{EvidenceLoss, Metrics};

use self::case::Case;
use self::directory::{Directory, Limits};
use self::holding::{HeldEvents, is_complete};
use self::keeper::Keeper;
use crate::config::EvidenceConfig;

/// Holds the packets of the handshakes under way, and keeps those of the ones that fail.
pub(crate) struct FailureCaptures {
    held: HeldEvents,
    keeper: Keeper,
    metrics: Arc<Metrics>,
}

impl FailureCaptures {
    /// The captures that `config` asks for; `None` if there is to be none. To be opened before privileges are dropped:
    /// the directory may have to be made.
    ///
    /// # Errors
    /// If the directory cannot be made or written to, or another process keeps its evidence there.
    pub(crate) fn open(
        config: &EvidenceConfig,
        handshake_timeout: Duration,
        metrics: &Arc<Metrics>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(path) = &config.directory else { return Ok(None) };
        let limits = Limits { handshakes: config.handshakes, bytes: config.bytes };
        let keeper = Keeper::start(Directory::open(path, limits)?, Arc::clone(metrics))?;
        let held = HeldEvents::new(handshake_timeout);
        Ok(Some(Self { held, keeper, metrics: Arc::clone(metrics) }))
    }

    /// Takes an event, `now` by the daemon's clock. It must come here before it comes to the tracker, whose observations say
    /// what becomes of it.
    pub(crate) fn event(&mut self, event: &Event<'_>, now: Timestamp) {
        let given_up = self.held.event(event, now);
        if given_up > 0 {
            self.metrics.evidence_lost(EvidenceLoss::BufferFull, given_up);
        }
    }

    /// Keeps the packets of a handshake that failed, and forgets those of others. Never waits.
    ///
    /// `interface_name` gives the name of an interface by its index.
    pub(crate) fn observe<'a>(
        &mut self,
        observation: &Observation,
        interface_name: impl FnOnce(u32) -> &'a str,
        clock: WallClock,
    ) {
        match observation {
            Observation::Handshake(handshake) => {
                self.handshake(handshake, interface_name(handshake.place.0), clock);
            }
            Observation::NonTls { flow, time, .. } => self.forget(flow, *time),
            // Of one that was evicted, another connection may have taken the place; what is left of it expires.
            Observation::Unclassified { flow, reason } if *reason != IncompleteReason::Evicted => {
                self.forget(flow, Timestamp(u64::MAX));
            }
            Observation::Unclassified { .. }
            | Observation::ClientHello { .. }
            | Observation::Evicted { .. } => {}
        }
    }

    /// Waits until all is written, but not longer than `patience`.
    pub(crate) fn finish(self, patience: Duration) {
        self.keeper.finish(patience);
    }

    fn handshake(&mut self, handshake: &Handshake, interface: &str, clock: WallClock) {
        let Some(held) = self.held.settle(&handshake.flow, handshake.time) else { return };
        if !handshake.outcome.class().is_failure() {
            return;
        }
        if !is_complete(&held) {
            self.metrics.evidence_lost(EvidenceLoss::FlowTruncated, 1);
        }
        self.keeper.take(Case::new(handshake, interface, clock, held));
    }

    fn forget(&mut self, flow: &FlowKey, time: Timestamp) {
        drop(self.held.settle(flow, time));
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
