//! The handshake tracker: events of packets in, observations of handshakes out.

mod answered;
mod awaiting;
mod clock;
mod collecting;
mod config;
mod connection;
mod context;
mod ending;
mod first_bytes;
mod flow;
mod flow_table;
mod packed_hello;
mod state;

use std::collections::VecDeque;
use std::time::Duration;

use sni_probe_datapath::event::{Event, EventHeader, flags, kind, tcp_flags};
use sni_probe_datapath::seq::SeqNumber;

use self::clock::{Clock, Stamp};
pub use self::config::{DEFAULT_HANDSHAKE_TIMEOUT, DEFAULT_MAX_FLOWS, Fingerprints, TrackerConfig};
use self::connection::{Connection, Side, Standing};
use self::context::{Context, Segment};
use self::ending::{Ending, Over};
use self::flow::Flow;
use self::flow_table::{FlowId, FlowTable, Stage};
use self::state::FlowState;
use crate::assembler::MAX_STREAM_BYTES;
use crate::flow::{Origin, Relation, Timestamp, WireKey};
use crate::observation::Observation;
use crate::vocabulary::EvictionReason;

/// Bytes of peers' making (segments that wait for others, names, ALPN lists) that all flows hold
/// together. Stops many flows, each within its own bound, from taking gigabytes.
pub const MAX_HELD_BYTES: usize = 64 << 20;

/// How long a flow of which nothing more is to be learned is remembered, so that a retransmission is
/// not taken for a new one. Linux waits at most 120 s (`TCP_RTO_MAX`) between two.
pub const IGNORED_TIMEOUT: Duration = Duration::from_secs(130);

/// How long a flow is remembered that a RST has ended, or FINs of both sides: a copy of the hello that was under way is not
/// taken for a new one. Nothing is sent again after that, so it is no longer than packets overtake each other.
pub const CLOSED_TIMEOUT: Duration = Duration::from_secs(2);

/// Follows each connection from the client's first byte to what became of its hello.
///
/// The driver gives it every event ([`handle_event`](Self::handle_event)), calls
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says so, and
/// after each call drains [`poll_observation`](Self::poll_observation).
///
/// A driver without a clock, which reads a capture, has only the stamps of packets: it hands over those of packets that
/// are no events, too ([`handle_stamp`](Self::handle_stamp)), and never calls `handle_timeout`.
///
/// A call costs the same however many flows there are.
///
/// ```
/// use sni_probe_core::observation::{Observation, Outcome, Sni};
/// use sni_probe_core::{Tracker, TrackerConfig};
/// use sni_probe_datapath::userspace::{Datapath, Frame, Layer};
/// use sni_probe_testkit::captures::Connection;
/// use sni_probe_testkit::hello::ClientHelloBuilder;
///
/// let mut connection = Connection::v4();
/// connection.open().client(&ClientHelloBuilder::new().build()).gateway_reset();
///
/// let (mut datapath, mut tracker) = (Datapath::new([443], 1), Tracker::new(TrackerConfig::default()));
/// for packet in connection.packets() {
///     let frame = Frame { layer: Layer::Ip, ..Frame::new(&packet.bytes, packet.time_ns) };
///     datapath.client_to_gateway(&frame, |event| tracker.handle_event(&event));
///     datapath.gateway_to_client(&frame, |event| tracker.handle_event(&event));
/// }
/// let observations = std::iter::from_fn(|| tracker.poll_observation());
/// let handshakes = observations.filter_map(|observation| match observation {
///     Observation::Handshake(handshake) => Some(handshake),
///     _ => None,
/// });
/// let outcomes: Vec<_> = handshakes.map(|handshake| (handshake.hello.sni, handshake.outcome)).collect();
/// assert_eq!(outcomes, [(Sni::Absent, Outcome::ResetByGateway)]);
/// ```
#[derive(Debug)]
pub struct Tracker {
    config: TrackerConfig,
    flows: FlowTable<Flow>,
    observations: VecDeque<Observation>,
    clock: Clock,
    /// The event whose stamp is in doubt.
    held: Option<HeldEvent>,
    /// Sum of the flows' [`FlowState::heap_bytes`].
    held_bytes: usize,
    /// There will be no more events.
    is_finished: bool,
}

#[derive(Debug)]
struct HeldEvent {
    header: EventHeader,
    data: Box<[u8]>,
}

impl Tracker {
    /// A tracker without flows.
    pub fn new(config: TrackerConfig) -> Self {
        // Entries are numbered with 32 bits.
        let max_flows = config.max_flows.clamp(1, (u32::MAX - 1) as usize);
        Self {
            config: TrackerConfig { max_flows, ..config },
            flows: FlowTable::new(),
            observations: VecDeque::new(),
            clock: Clock::new(config.handshake_timeout),
            held: None,
            held_bytes: 0,
            is_finished: false,
        }
    }

    /// Takes one event. Its payload counts before the FIN that it may carry.
    ///
    /// An event whose stamp is far from the time before it waits for the next one. First ends what is over by the time of
    /// its stamp; then it makes at most a handful of observations, and more only where [`MAX_HELD_BYTES`] makes the
    /// tracker give up several small flows for a large one.
    pub fn handle_event(&mut self, event: &Event<'_>) {
        let stamp = Timestamp(event.header.time_ns);
        if self.is_believed(stamp) {
            self.event_at(stamp, event.header, event.data);
        } else {
            self.held = Some(HeldEvent { header: event.header, data: event.data.into() });
        }
    }

    /// Takes the stamp of a packet that is no event: the time in a capture. Ends what is over by then.
    pub fn handle_stamp(&mut self, stamp: Timestamp) {
        self.is_believed(stamp);
    }

    /// Gives up the flows whose time is over at `now`, which is the driver's own clock: at most two observations each.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.resolve_doubt(now);
        self.clock.set(now);
        self.expire();
    }

    /// Ends all flows: the capture is over, or the daemon stops. Each hello without an outcome gets
    /// [`Outcome::Unfinished`](crate::observation::Outcome::Unfinished).
    ///
    /// They end one by one as [`poll_observation`](Self::poll_observation) is drained, so that it takes no
    /// more memory. There must not be another event.
    pub fn finish(&mut self) {
        // Nothing contradicts the last stamp any more.
        self.decide_doubt(true);
        self.is_finished = true;
    }

    /// What was seen, in order.
    pub fn poll_observation(&mut self) -> Option<Observation> {
        while self.is_finished && self.observations.is_empty() {
            let (id, _) = self.oldest_followed().or_else(|| self.oldest_remembered())?;
            self.end(id, Ending::Unfinished, self.clock.now());
        }
        self.observations.pop_front()
    }

    /// When the next flow's time is over, or an event has waited for long enough; `None` without flows and such an event.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.held.is_some() {
            return Some(self.clock.latest());
        }
        let ends = Stage::ALL.iter().filter_map(|&stage| {
            let (_, since) = self.flows.oldest(stage)?;
            Some(self.clock.scale().stamp_of(since.plus(self.time_to_live(stage))))
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

    /// The time by what the driver and the stamps have said, wrong stamps left out.
    pub fn time(&self) -> Timestamp {
        self.clock.latest()
    }

    /// The time of a packet with this stamp, before it is known whether the stamp is right.
    pub fn plausible_time(&self, stamp: Timestamp) -> Timestamp {
        self.clock.plausible(stamp)
    }

    /// How many stamps were further from the time before than the handshake timeout, and turned out to be wrong; or showed
    /// that the time before was. The gaps of a capture are not among them.
    pub fn time_jumps(&self) -> u64 {
        self.clock.jumps()
    }

    fn time_to_live(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Collecting | Stage::Awaiting | Stage::Answered => self.config.handshake_timeout,
            Stage::Ignored => IGNORED_TIMEOUT,
            Stage::Closed => CLOSED_TIMEOUT,
        }
    }

    /// Takes a stamp, and says whether it is believed.
    fn is_believed(&mut self, stamp: Timestamp) -> bool {
        self.resolve_doubt(stamp);
        let is_believed = self.clock.take(stamp) == Stamp::Believed;
        if is_believed {
            self.expire();
        }
        is_believed
    }

    /// Decides on the stamp in doubt, if there is one, now that the next one is known.
    fn resolve_doubt(&mut self, next: Timestamp) {
        self.decide_doubt(self.clock.is_confirmed_by(next));
    }

    fn decide_doubt(&mut self, is_right: bool) {
        if !self.clock.is_in_doubt() {
            return;
        }
        if is_right {
            self.clock.believe();
            self.expire();
        } else {
            self.clock.reject();
        }
        if let Some(HeldEvent { header, data }) = self.held.take() {
            self.event_at(self.clock.latest(), header, &data);
        }
    }

    /// Takes an event that was seen at the time of this stamp.
    fn event_at(&mut self, stamp: Timestamp, header: EventHeader, data: &[u8]) {
        // From here on, all times are on the scale that never goes back.
        let time_ns = self.clock.scale().time_of(stamp).0;
        self.event(&Event { header: EventHeader { time_ns, ..header }, data });
    }

    /// Gives up the flows whose time is over.
    fn expire(&mut self) {
        let now = self.clock.now();
        for stage in Stage::ALL {
            while let Some((id, since)) = self.flows.oldest(stage) {
                let end = since.plus(self.time_to_live(stage));
                if end > now {
                    break;
                }
                self.end(id, Ending::Timeout, end);
            }
        }
    }

    fn event(&mut self, event: &Event<'_>) {
        match event.header.kind {
            kind::CLIENT_DATA | kind::CLIENT_FOLLOW_UP | kind::CLIENT_CLOSE => self.client_event(event),
            kind::GATEWAY_DATA | kind::GATEWAY_FOLLOW_UP | kind::GATEWAY_CLOSE => self.gateway_event(event),
            // Of a later version of the datapath.
            _ => {}
        }
        // Flows that are only remembered hold none of those bytes.
        while self.held_bytes > MAX_HELD_BYTES && self.evict(self.oldest_followed()) {}
    }

    fn client_event(&mut self, event: &Event<'_>) {
        let header = &event.header;
        let key = WireKey::of(header);
        let now = Timestamp(header.time_ns);
        let is_reset = header.tcp_flags & tcp_flags::RST != 0;
        let is_data = header.kind != kind::CLIENT_CLOSE && !is_reset;
        // Data in the middle of a connection that is not its first follows what was lost, or is of the connection before.
        // (Two connections may have one entry in the datapath, if their initial numbers are the same: only one has a first.)
        let is_first = header.flags & (flags::FIRST | flags::ISN_KNOWN) != flags::ISN_KNOWN;
        let may_open = is_data
            && header.kind == kind::CLIENT_DATA
            && (is_first || header.seq == header.isn.wrapping_add(1));
        let mut known = self.flows.find(&key);
        if let Some(id) = known {
            match self.flows.get_mut(id).map(|flow| flow.relation(header)) {
                Some(Relation::Later) if may_open => {
                    self.end(id, Ending::Evicted(EvictionReason::PortReuse), now);
                    known = None;
                }
                Some(Relation::Foreign | Relation::Later) => return,
                Some(Relation::Own) | None => {}
            }
        }
        let id = match known {
            Some(id) => id,
            None if may_open => match self.open(key, event) {
                Some(id) => id,
                None => return,
            },
            None => return,
        };
        if known.is_some() {
            let Some(flow) = self.flows.get_mut(id) else { return };
            flow.connection.client_packet(header);
            flow.state.client_acknowledges(header);
            if is_data {
                let is_followed = self.step(id, |state, context| {
                    Some(state.client_data(event, context)?.heed_marks(now, context))
                });
                if !is_followed {
                    return;
                }
            }
        }
        if header.flags & flags::CLIENT_CLOSED != 0 {
            self.step(id, |state, context| {
                Some(state.client_fin(None, now, context)?.heed_marks(now, context))
            });
        }
        self.close(id, header, Side::Client, true);
    }

    fn gateway_event(&mut self, event: &Event<'_>) {
        let header = &event.header;
        let Some(id) = self.flows.find(&WireKey::of(header)) else { return };
        let Some(flow) = self.flows.get_mut(id) else { return };
        if !flow.is_answered_by(header) {
            return;
        }
        let segment = Segment::new(event, &flow.connection);
        flow.connection.gateway_packet(header);
        if header.kind != kind::GATEWAY_CLOSE && header.tcp_flags & tcp_flags::RST == 0 {
            let now = Timestamp(header.time_ns);
            let is_followed = self.step(id, |state, context| {
                let state = state.gateway_data(&segment, context)?;
                Some(state.heed_marks(now, context))
            });
            if !is_followed {
                return;
            }
        }
        let is_next = segment.follows.is_some_and(|end| SeqNumber(header.seq).offset_from(end) <= 0);
        self.close(id, header, Side::Gateway, is_next);
    }

    /// Ends the flow when the packet has a FIN or RST that its receiver obeys, and notes one that it may obey. `is_next`:
    /// there is no hole before the packet.
    fn close(&mut self, id: FlowId, header: &EventHeader, by: Side, is_next: bool) {
        let at = Timestamp(header.time_ns);
        let Some(flow) = self.flows.get_mut(id) else { return };
        if header.tcp_flags & tcp_flags::RST != 0 {
            match flow.connection.reset(by, header) {
                Standing::Exact => {
                    self.step(id, |state, _| Some(state.reset(by, SeqNumber(header.seq))));
                    self.end(id, Ending::Reset(by), at);
                }
                Standing::InWindow => {
                    let seq = SeqNumber(header.seq);
                    self.step(id, |state, _| Some(state.doubtful_reset(by, seq, at)));
                }
                Standing::Outside => {}
            }
        } else if header.tcp_flags & tcp_flags::FIN != 0
            && let Some(fin) = flow.connection.fin(by, header)
        {
            self.step(id, |state, context| {
                let state = match by {
                    Side::Client => state.client_fin(Some(fin), at, context)?.heed_marks(at, context),
                    Side::Gateway => state.gateway_fin(fin, is_next, at, context)?,
                };
                Some(state.closed_by_both(context))
            });
        }
    }

    /// Opens a flow. `None` if these bytes are not of the beginning of a stream.
    fn open(&mut self, key: WireKey, event: &Event<'_>) -> Option<FlowId> {
        let header = &event.header;
        let origin = Origin::of(header);
        let offset = SeqNumber(header.seq).offset_from(origin.start);
        let end = i64::from(offset) + i64::try_from(event.data.len()).unwrap_or(i64::MAX);
        if event.data.is_empty() || end <= 0 || usize::try_from(offset).is_ok_and(|at| at >= MAX_STREAM_BYTES)
        {
            return None;
        }
        // What costs least goes first: a flow that is only remembered, one with an answer, else the oldest.
        while self.flows.len() >= self.config.max_flows
            && self.evict(
                self.oldest_remembered()
                    .or_else(|| self.flows.oldest(Stage::Answered))
                    .or_else(|| self.oldest_followed()),
            )
        {}
        let mut connection = Connection::of(header);
        let Self { config, observations, .. } = self;
        let scale = self.clock.scale();
        let mut context = Context { key, connection: &mut connection, scale, config, observations };
        let now = Timestamp(header.time_ns);
        let opened = FlowState::open(event, &mut context).heed_marks(now, &mut context);
        self.held_bytes += opened.heap_bytes();
        let stage = opened.stage();
        let flow = Flow { connection, state: opened };
        Some(self.flows.insert(key, stage, self.clock.now(), flow))
    }

    fn end(&mut self, id: FlowId, ending: Ending, at: Timestamp) {
        self.step(id, |state, context| state.end(ending, at, context));
    }

    /// Gives up a flow for want of room. Returns whether there was one.
    fn evict(&mut self, victim: Option<(FlowId, Timestamp)>) -> bool {
        let Some((id, _)) = victim else { return false };
        self.end(id, Ending::Evicted(EvictionReason::Capacity), self.clock.now());
        true
    }

    /// The oldest of the flows that have no outcome.
    fn oldest_followed(&self) -> Option<(FlowId, Timestamp)> {
        self.oldest_of([Stage::Collecting, Stage::Awaiting, Stage::Answered])
    }

    /// The oldest of those that have one.
    fn oldest_remembered(&self) -> Option<(FlowId, Timestamp)> {
        self.flows.oldest(Stage::Closed).or_else(|| self.flows.oldest(Stage::Ignored))
    }

    fn oldest_of(&self, stages: [Stage; 3]) -> Option<(FlowId, Timestamp)> {
        let oldest = stages.map(|stage| self.flows.oldest(stage));
        oldest.into_iter().flatten().min_by_key(|&(_, since)| since)
    }

    /// Replaces a flow's state by what `step` makes of it; `None` removes the flow. Whether it is still there.
    fn step(
        &mut self,
        id: FlowId,
        step: impl FnOnce(FlowState, &mut Context<'_>) -> Option<FlowState>,
    ) -> bool {
        let key = self.flows.key(id);
        let Some(flow) = self.flows.get_mut(id) else { return false };
        let state = std::mem::replace(&mut flow.state, FlowState::Over(Over::Ignored));
        let before = state.stage();
        self.held_bytes -= state.heap_bytes();
        let mut context = Context {
            key,
            connection: &mut flow.connection,
            scale: self.clock.scale(),
            config: &self.config,
            observations: &mut self.observations,
        };
        let Some(state) = step(state, &mut context) else {
            self.flows.remove(id);
            return false;
        };
        self.held_bytes += state.heap_bytes();
        let after = state.stage();
        // A remembered flow starts anew with each event: only silence ends it.
        let is_renewed = after != before || state.is_over();
        flow.state = state;
        if is_renewed {
            self.flows.enter(id, after, self.clock.now());
        }
        true
    }
}

#[cfg(test)]
mod tests;
