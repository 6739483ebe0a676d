//! The packets of handshakes under way.

use std::time::Duration;

use sni_probe_core::flow::{FlowKey, Timestamp};
use sni_probe_core::holding::{
    ConnectionHint, HeldConnection, HeldPackets, HoldingLimits, SettledConnection,
};
use sni_probe_datapath::event::Event;

use super::packet::Packet;

/// Bytes of memory that all flows take together; 5,000 usual hellos. Stops a gateway that hangs, or a flood of hellos,
/// from filling the memory: the oldest flow is given up, and counted.
const MAX_HELD_BYTES: usize = 8 << 20;

/// Bytes of memory that one flow takes: the longest hello (16 KiB) in usual segments and its answer. Stops a client
/// that sends one byte a segment from taking a hundred for each.
const MAX_FLOW_BYTES: usize = 32 << 10;

/// Part of [`MAX_FLOW_BYTES`] for the gateway's answer and the end. Enough for the 16 segments of an answer that the
/// datapath copies.
const RESERVED_BYTES: usize = 8 << 10;

/// How much later than its time the tracker may report that a flow is over: it handles events first.
const GRACE: Duration = Duration::from_secs(10);

/// The packets of one flow.
pub(super) type HeldFlow = HeldConnection<Packet>;

/// Holds events as packets until the tracker reports the outcome of their handshake.
#[derive(Debug)]
pub(super) struct HeldEvents(HeldPackets<Packet>);

impl HeldEvents {
    /// `handshake_timeout` is the tracker's.
    pub(super) fn new(handshake_timeout: Duration) -> Self {
        Self(HeldPackets::new(HoldingLimits {
            total_bytes: MAX_HELD_BYTES,
            connection_bytes: MAX_FLOW_BYTES,
            reserved_bytes: RESERVED_BYTES,
            // A complete ClientHello, and then its outcome.
            patience: 2 * handshake_timeout + GRACE,
        }))
    }

    /// Takes an event that was seen `now`. Returns how many flows were given up for want of room.
    pub(super) fn event(&mut self, event: &Event<'_>, now: Timestamp) -> u64 {
        while self.0.pop_expired(now).is_some() {}
        let (key, hint) = (FlowKey::of(&event.header), ConnectionHint::Event(&event.header));
        self.0.hold(&key, hint, time_of(event, now), Packet::size(event), || Packet::of(event));
        let mut given_up = 0;
        while self.0.pop_excess(0).is_some() {
            given_up += 1;
        }
        given_up
    }

    /// Removes the packets of the flow that the tracker reports on: it had a packet at `time`. `None` if there are none, or
    /// only those of a later connection with the same addresses and ports.
    ///
    /// The tracker does not report on every flow that is held. So packets of an earlier connection may be here: they are
    /// forgotten.
    pub(super) fn settle(&mut self, key: &FlowKey, time: Timestamp) -> Option<HeldFlow> {
        self.0.settle(key, SettledConnection::BegunBy(time)).pop()
    }
}

/// Whether all packets are here of which the datapath made events.
pub(super) fn is_complete(held: &HeldFlow) -> bool {
    !held.is_truncated && held.packets.iter().any(Packet::begins_stream)
}

/// When an event was seen. A stamp from the future is wrong; the tracker does not believe it either.
fn time_of(event: &Event<'_>, now: Timestamp) -> Timestamp {
    let stamp = Timestamp(event.header.time_ns);
    if stamp > now.plus(GRACE) { now } else { stamp }
}

#[cfg(test)]
mod tests;
