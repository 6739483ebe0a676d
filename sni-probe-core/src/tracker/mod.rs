//! The handshake tracker: events of packets in, observations of handshakes out.

mod collecting;
mod flow_table;
mod packed_hello;
mod state;

use std::collections::VecDeque;
use std::time::Duration;

use sni_probe_common::event::{Event, EventHeader, flags, kind, tcp_flags};

use self::flow_table::{FlowId, FlowTable, Stage};
use self::state::{Context, Ending, Side, State};
use crate::assembler::{MAX_STREAM_BYTES, stream_offset};
use crate::flow::{Timestamp, WireKey};
use crate::observation::Observation;
use crate::vocabulary::{EvictionReason, SniClass};

/// How long a hello may take to become whole, and then to get its outcome, unless configured
/// otherwise. Envoy closes a client that is silent for 15 s; what the tracker must see is that end.
pub const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// Flows at once, unless configured otherwise. Stops a gateway that hangs, or a flood of half hellos,
/// from growing the table; with a hello in each it takes about 40 MiB at its bound.
pub const DEFAULT_MAX_FLOWS: usize = 131_072;

/// Bytes of peers' making (segments that wait for others, names, ALPN lists) that all flows hold
/// together. Stops many flows, each within its own bound, from taking gigabytes.
pub const MAX_HELD_BYTES: usize = 64 << 20;

/// How long a flow of which nothing more is to be learned is remembered, so that a retransmission is
/// not taken for a new one. Linux waits at most 120 s (`TCP_RTO_MAX`) between two.
pub const IGNORED_TIMEOUT: Duration = Duration::from_secs(130);

/// What a tracker may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackerConfig {
    /// How long a hello may take to become whole, from the flow's first event on; and then how long
    /// its outcome may take.
    pub handshake_timeout: Duration,
    /// Flows at once; at least 1 is taken.
    pub max_flows: usize,
    /// Whether a hello is looked for behind other bytes than a PROXY header, too: in the first
    /// [`MAX_STREAM_BYTES`] of each connection that does not start with TLS (see
    /// [`prelude`](crate::prelude)). Such a connection is told as
    /// [`Observation::NonTls`] only when it has ended without one, or its time is over.
    pub preludes: bool,
    /// Of which hellos JA3 and JA4 are made.
    pub fingerprints: Fingerprints,
}

/// Of which hellos fingerprints are made: for what nobody reads, there is no need to pay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fingerprints {
    /// Of each.
    #[default]
    All,
    /// Of those without a host name: absent, empty, invalid.
    WithoutSni,
    /// Of none.
    None,
}

impl Fingerprints {
    pub(crate) fn are_wanted(self, sni: SniClass) -> bool {
        match self {
            Self::All => true,
            Self::WithoutSni => sni != SniClass::Present,
            Self::None => false,
        }
    }
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self {
            handshake_timeout: DEFAULT_HANDSHAKE_TIMEOUT,
            max_flows: DEFAULT_MAX_FLOWS,
            preludes: false,
            fingerprints: Fingerprints::All,
        }
    }
}

/// Follows each connection from the client's first byte to what became of its hello.
///
/// The driver gives it every event ([`handle_event`](Self::handle_event)), calls
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says so, and
/// after each call drains [`poll_observation`](Self::poll_observation).
///
/// A call costs the same however many flows there are.
#[derive(Debug)]
pub struct Tracker {
    config: TrackerConfig,
    flows: FlowTable<Flow>,
    observations: VecDeque<Observation>,
    /// The latest time that was seen: it never goes back, though events may by a little.
    clock: Timestamp,
    /// Sum of the flows' [`State::heap_bytes`].
    held_bytes: usize,
    /// There will be no more events.
    is_finished: bool,
}

#[derive(Debug)]
struct Flow {
    /// Sequence number of the first byte of the client's stream.
    start: u32,
    state: State,
}

impl Tracker {
    /// A tracker without flows.
    pub fn new(config: TrackerConfig) -> Self {
        // Slots are numbered with 32 bits.
        let max_flows = config.max_flows.clamp(1, (u32::MAX - 1) as usize);
        Self {
            config: TrackerConfig { max_flows, ..config },
            flows: FlowTable::new(),
            observations: VecDeque::new(),
            clock: Timestamp::default(),
            held_bytes: 0,
            is_finished: false,
        }
    }

    /// Takes one event. Its payload counts before the FIN or RST that it may carry.
    ///
    /// Makes at most a handful of observations; more only where [`MAX_HELD_BYTES`] makes it give up
    /// several small flows for a large one.
    pub fn handle_event(&mut self, event: &Event<'_>) {
        let header = &event.header;
        self.clock = self.clock.max(Timestamp(header.time_ns));
        match header.kind {
            kind::CLIENT_DATA | kind::CLIENT_CLOSE => self.client_event(event),
            kind::GATEWAY_DATA | kind::GATEWAY_CLOSE => self.gateway_event(event),
            // Of a later version of the datapath.
            _ => {}
        }
        // Flows that are only remembered hold none of those bytes.
        while self.held_bytes > MAX_HELD_BYTES && self.evict(self.oldest_followed()) {}
    }

    /// Gives up the flows whose time is over at `now`: at most two observations each.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.clock = self.clock.max(now);
        for stage in Stage::ALL {
            while let Some((id, since)) = self.flows.oldest(stage)
                && since.plus(self.time_to_live(stage)) <= self.clock
            {
                self.end(id, Ending::Timeout, self.clock);
            }
        }
    }

    /// Ends all flows: the capture is over, or the daemon stops. Each hello without an outcome gets
    /// [`Outcome::Unfinished`](crate::observation::Outcome::Unfinished).
    ///
    /// They end one by one as [`poll_observation`](Self::poll_observation) is drained, so that it takes no
    /// more memory. There must not be another event.
    pub fn finish(&mut self) {
        self.is_finished = true;
    }

    /// What was seen, in order.
    pub fn poll_observation(&mut self) -> Option<Observation> {
        while self.is_finished && self.observations.is_empty() {
            let (id, _) = self.oldest_followed().or_else(|| self.flows.oldest(Stage::Ignored))?;
            self.end(id, Ending::Unfinished, self.clock);
        }
        self.observations.pop_front()
    }

    /// When the next flow's time is over; `None` without flows.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let ends = Stage::ALL.iter().filter_map(|&stage| {
            let (_, since) = self.flows.oldest(stage)?;
            Some(since.plus(self.time_to_live(stage)))
        });
        ends.min()
    }

    /// Flows that are followed now, those that are only remembered included.
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    /// Flows that can be followed at once.
    pub fn capacity(&self) -> usize {
        self.config.max_flows
    }

    fn time_to_live(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Collecting | Stage::Awaiting => self.config.handshake_timeout,
            Stage::Ignored => IGNORED_TIMEOUT,
        }
    }

    fn client_event(&mut self, event: &Event<'_>) {
        let header = &event.header;
        let key = WireKey::of(header);
        let mut known = self.flows.find(&key);
        if let Some(id) = known
            && self.is_of_another_connection(id, header)
        {
            self.end(id, Ending::Evicted(EvictionReason::PortReuse), self.clock);
            known = None;
        }
        if header.kind == kind::CLIENT_DATA {
            match known {
                Some(id) => self.step(id, |state, context| Some(state.client_data(event, context))),
                None => self.open(key, event),
            }
        }
        self.close(&key, header, Side::Client);
    }

    fn gateway_event(&mut self, event: &Event<'_>) {
        let key = WireKey::of(&event.header);
        if event.header.kind == kind::GATEWAY_DATA
            && let Some(id) = self.flows.find(&key)
        {
            self.step(id, |state, context| state.gateway_data(event, context));
        }
        self.close(&key, &event.header, Side::Gateway);
    }

    /// Ends the flow, if there is one, when the packet has FIN or RST.
    fn close(&mut self, key: &WireKey, header: &EventHeader, by: Side) {
        let ending = if header.tcp_flags & tcp_flags::RST != 0 {
            Ending::Reset(by)
        } else if header.tcp_flags & tcp_flags::FIN != 0 {
            Ending::Fin(by)
        } else {
            return;
        };
        if let Some(id) = self.flows.find(key) {
            self.end(id, ending, Timestamp(header.time_ns));
        }
    }

    /// Whether the packet belongs to a connection that has the same addresses and ports as the
    /// flow's, and came later.
    fn is_of_another_connection(&mut self, id: FlowId, header: &EventHeader) -> bool {
        let Some(flow) = self.flows.get_mut(id) else { return false };
        if header.flags & flags::ISN_KNOWN != 0 {
            return header.isn.wrapping_add(1) != flow.start;
        }
        // Its SYN was not seen. One byte before the start may be a keep-alive probe's.
        let offset = stream_offset(flow.start, header.seq);
        let is_near = usize::try_from(offset.saturating_add(1)).is_ok_and(|at| at <= MAX_STREAM_BYTES + 1);
        header.kind == kind::CLIENT_DATA && !is_near
    }

    fn open(&mut self, key: WireKey, event: &Event<'_>) {
        let header = &event.header;
        // Without the SYN the flow starts here.
        let is_isn_known = header.flags & flags::ISN_KNOWN != 0;
        let start = if is_isn_known { header.isn.wrapping_add(1) } else { header.seq };
        let offset = stream_offset(start, header.seq);
        let end = i64::from(offset) + i64::try_from(event.data.len()).unwrap_or(i64::MAX);
        if event.data.is_empty() || end <= 0 || usize::try_from(offset).is_ok_and(|at| at >= MAX_STREAM_BYTES)
        {
            return;
        }
        // What costs least goes first: a flow that is only remembered, else the oldest.
        while self.flows.len() >= self.config.max_flows
            && self.evict(self.flows.oldest(Stage::Ignored).or_else(|| self.oldest_followed()))
        {}
        let mut context = Context { key, start, config: &self.config, observations: &mut self.observations };
        let state = State::open(event, &mut context);
        self.held_bytes += state.heap_bytes();
        self.flows.insert(key, state.stage(), self.clock, Flow { start, state });
    }

    fn end(&mut self, id: FlowId, ending: Ending, at: Timestamp) {
        self.step(id, |state, context| state.end(ending, at, context));
    }

    /// Gives up a flow for want of room. Returns whether there was one.
    fn evict(&mut self, victim: Option<(FlowId, Timestamp)>) -> bool {
        let Some((id, _)) = victim else { return false };
        self.end(id, Ending::Evicted(EvictionReason::Capacity), self.clock);
        true
    }

    /// The oldest of the flows that have no outcome.
    fn oldest_followed(&self) -> Option<(FlowId, Timestamp)> {
        let followed = [Stage::Collecting, Stage::Awaiting].map(|stage| self.flows.oldest(stage));
        followed.into_iter().flatten().min_by_key(|&(_, since)| since)
    }

    /// Replaces a flow's state by what `step` makes of it; `None` removes the flow.
    fn step(&mut self, id: FlowId, step: impl FnOnce(State, &mut Context<'_>) -> Option<State>) {
        let key = self.flows.key(id);
        let Some(flow) = self.flows.get_mut(id) else { return };
        let state = std::mem::replace(&mut flow.state, State::Ignored);
        let before = state.stage();
        self.held_bytes -= state.heap_bytes();
        let mut context =
            Context { key, start: flow.start, config: &self.config, observations: &mut self.observations };
        let Some(state) = step(state, &mut context) else {
            self.flows.remove(id);
            return;
        };
        self.held_bytes += state.heap_bytes();
        let after = state.stage();
        flow.state = state;
        // A remembered flow starts anew with each event: only silence ends it.
        if after != before || after == Stage::Ignored {
            self.flows.enter(id, after, self.clock);
        }
    }
}

#[cfg(test)]
mod tests;
