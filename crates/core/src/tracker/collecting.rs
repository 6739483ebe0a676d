//! A flow before it has a hello: its bytes, and where in them a hello may begin.

use std::ops::ControlFlow;

use sni_probe_datapath::event::{Event, flags};
use sni_probe_datapath::seq::SeqNumber;

use super::awaiting::Decided;
use super::connection::Side;
use super::context::{Context, Segment, Sighting};
use super::ending::{Ending, Endings, Over};
use super::first_bytes::{Before, Pieces};
use crate::assembler::{Assembler, MAX_PADDING, MAX_STREAM_BYTES};
use crate::flow::{FlowKey, Timestamp};
use crate::observation::Observation;
use crate::opening::{self, Content, Opening};
use crate::prelude::{self, Search};
use crate::proxy_header::ProxyHeader;
use crate::server_reply::{self, Message};
use crate::vocabulary::{IncompleteReason, NonTls, Prelude};

/// What a step makes of a flow: its bytes decide, or more of them are needed.
pub(super) type Step = ControlFlow<Decided, Box<Collecting>>;

/// A flow whose first bytes do not yet make a complete hello.
#[derive(Debug)]
pub(super) struct Collecting {
    /// The packet with which the hello began, or the flow.
    began: Sighting,
    bytes: Assembler,
    /// Reading is in vain before so many contiguous bytes are there.
    at_least: usize,
    /// The first bytes are not TLS, and preludes are followed.
    behind: Option<Behind>,
    /// The capture's snap length cut one of its segments.
    is_truncated: bool,
    /// What was seen of the connection's end.
    endings: Endings,
}

impl Collecting {
    pub(super) fn new(began: Sighting) -> Self {
        Self {
            began,
            bytes: Assembler::default(),
            at_least: 0,
            behind: None,
            is_truncated: false,
            endings: Endings::default(),
        }
    }

    pub(super) fn client_data(mut self: Box<Self>, event: &Event<'_>, context: &mut Context<'_>) -> Step {
        let now = Sighting::of(&event.header);
        let seq = SeqNumber(event.header.seq);
        let offset = context.connection.offset(seq);
        self.is_truncated |= event.header.flags & flags::TRUNCATED != 0;
        let contradicted = self.bytes.contradiction().is_some();
        if self.bytes.insert(offset, event.data).is_err() {
            let endings = self.endings;
            return Step::Break(self.give_up(IncompleteReason::TooManyGaps, context).with(endings));
        }
        self.endings.client_goes_on(seq.plus(event.header.payload_len));
        if !contradicted
            && self.bytes.contradiction().is_some()
            && let Some(rival) = self.rival(offset, event.data)
        {
            let whole = Pieces { began: self.began, ended: now, contradiction: None };
            let decided = whole.decide(rival, |_| 1, context).unwrap_or(Decided::Over(Over::Ignored));
            return Step::Break(decided.with(self.endings));
        }
        if self.bytes.contiguous().len() < self.at_least {
            return self.unless_closed(context);
        }
        let opening = self.read(now, context.config.preludes);
        if let Content::Undecided { at_least } | Content::Partial { at_least, .. } = opening.content {
            self.at_least = at_least;
            return self.unless_closed(context);
        }
        let segments = |range| self.bytes.segments_within(range);
        let decided = self.pieces(now).decide(opening, segments, context);
        Step::Break(decided.unwrap_or(Decided::Over(Over::Ignored)).with(self.endings))
    }

    pub(super) fn gateway_data(
        mut self: Box<Self>,
        segment: &Segment<'_>,
        context: &mut Context<'_>,
    ) -> Option<Step> {
        let is_conclusive = segment.answer.is_conclusive();
        if !is_conclusive {
            let is_foreign = segment.follows.is_none();
            // The answer to the hello comes after one to a prelude. Only the last one that is passed on may be neither.
            if is_foreign
                || self.is_answer_to_prelude(segment, context.config.preludes)
                    && !context.connection.is_deaf()
            {
                return Some(Step::Continue(self));
            }
        }
        // The gateway does not answer half a hello: it saw more than was seen here.
        let endings = self.endings;
        match self.give_up(IncompleteReason::NotSeen, context).with(endings) {
            Decided::Awaiting(awaiting) => awaiting.gateway_data(segment, context).map(Step::Break),
            Decided::Over(_) if is_conclusive => None,
            decided => Some(Step::Break(decided)),
        }
    }

    /// Whether the gateway says this to what came before a hello, or may come.
    fn is_answer_to_prelude(&mut self, segment: &Segment<'_>, preludes: bool) -> bool {
        if !preludes {
            return false;
        }
        let opening = self.read(self.began, preludes);
        if self.behind.is_none() && matches!(opening.content, Content::Partial { .. }) {
            return false;
        }
        let message = server_reply::message(segment.event.data);
        !matches!(message, Message::ServerHello | Message::HelloRetryRequest | Message::Alert { .. })
    }

    /// A FIN of the client: nothing comes after it, but what is before it may be missing.
    pub(super) fn client_fin(
        mut self: Box<Self>,
        seq: Option<SeqNumber>,
        at: Timestamp,
        context: &mut Context<'_>,
    ) -> Step {
        self.endings.fin(Side::Client, seq, at);
        self.unless_closed(context)
    }

    /// Gives the flow up if the client has closed it and all bytes before its FIN are there.
    fn unless_closed(self: Box<Self>, context: &mut Context<'_>) -> Step {
        let Some((fin, at)) = self.endings.client_fin() else { return Step::Continue(self) };
        let there = self.bytes.contiguous().len();
        // What the stream has beyond its bound is not kept.
        let is_closed = usize::try_from(context.connection.offset(fin))
            .is_ok_and(|end| end.min(MAX_STREAM_BYTES) <= there);
        if !is_closed {
            return Step::Continue(self);
        }
        // What the gateway does with half a hello is no answer to one.
        Step::Break(Decided::Over(self.end(Ending::Fin(Side::Client), at, context)))
    }

    /// A FIN of the gateway. `is_next`: its packet goes on where the gateway's stream was.
    pub(super) fn gateway_fin(
        mut self: Box<Self>,
        seq: SeqNumber,
        is_next: bool,
        at: Timestamp,
        context: &mut Context<'_>,
    ) -> Step {
        // One that was sent before the hello began is no news when it comes again.
        if context.connection.is_closed_first() {
            return Step::Continue(self);
        }
        if is_next || context.connection.has_all_before(seq, None) {
            return Step::Break(Decided::Over(self.end(Ending::Fin(Side::Gateway), at, context)));
        }
        self.endings.fin(Side::Gateway, Some(seq), at);
        Step::Continue(self)
    }

    /// A RST that its receiver may have obeyed.
    pub(super) fn doubtful_reset(&mut self, by: Side, seq: SeqNumber, at: Timestamp) {
        self.endings.reset(by, seq, at);
    }

    /// The connection has ended, or will not be followed any longer.
    pub(super) fn end(self: Box<Self>, ending: Ending, at: Timestamp, context: &mut Context<'_>) -> Over {
        // Silence is measured from the hello's own first packet, which may have been a little late.
        let at = match ending {
            Ending::Timeout => at.min(self.began.time.plus(context.config.handshake_timeout)),
            _ => at,
        };
        let (ending, at) = self.endings.settle(ending, at);
        if let Decided::Awaiting(awaiting) = self.give_up(ending.reason(), context) {
            awaiting.conclude(ending.outcome(), at, context);
        }
        Over::after(ending, context.observations)
    }

    /// The hello will never be complete. It waits for its outcome; unless the bytes do not even show that there is one.
    fn give_up(mut self: Box<Self>, reason: IncompleteReason, context: &mut Context<'_>) -> Decided {
        let reason = if self.is_truncated { IncompleteReason::Truncated } else { reason };
        let opening = self.read(self.began, context.config.preludes);
        let pieces = self.pieces(self.began);
        let before = Before { proxy: opening.proxy, prelude: opening.prelude() };
        let known = match opening.content {
            Content::Partial { partial, .. } => Some((reason, partial)),
            // The last bytes decided, but were too few to be read when they came.
            Content::Rejected { reason, partial } => Some((reason.into(), partial)),
            Content::NonTls(protocol) => {
                pieces.not_tls(protocol, before, context);
                return Decided::Over(Over::Ignored);
            }
            Content::Undecided { .. } | Content::Hello(_) => None,
        };
        if let Some((reason, partial)) = known {
            let segments = self.bytes.segments_within(partial.start..usize::MAX);
            let awaiting = pieces.incomplete(partial, reason, before, segments, context);
            return Decided::Awaiting(Box::new(awaiting));
        }
        if let Some(behind) = self.behind {
            pieces.not_tls(behind.protocol, before, context);
        } else {
            let flow = FlowKey::from(context.key);
            let is_contradictory = pieces.contradiction.is_some();
            let reason = if is_contradictory { IncompleteReason::Contradictory } else { reason };
            context.observations.push_back(Observation::Unclassified { flow, reason });
        }
        Decided::Over(Over::Ignored)
    }

    fn pieces(&self, ended: Sighting) -> Pieces {
        Pieces { began: self.began, ended, contradiction: self.bytes.contradiction() }
    }

    /// Heap memory that the peers' bytes take, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.heap_bytes()
    }

    /// What the bytes so far are, of which the last came `now`.
    fn read(&mut self, now: Sighting, preludes: bool) -> Opening {
        let behind = match &mut self.behind {
            Some(behind) => behind,
            none => {
                let opening = opening::read(self.bytes.contiguous());
                match opening.content {
                    Content::NonTls(protocol) if preludes => {
                        none.insert(Behind::new(protocol, opening.proxy))
                    }
                    _ => return opening,
                }
            }
        };
        if behind.search(&self.bytes) {
            // The flow began earlier, but its hello did now.
            self.began = now;
        }
        behind.read(self.bytes.contiguous())
    }

    /// A complete hello in one segment, in the place of zeros that came first.
    ///
    /// Middleboxes make such zeros: they count the padding of a short Ethernet frame as payload, so that
    /// a bare ACK carries it where the hello is to be.
    fn rival(&self, offset: i32, segment: &[u8]) -> Option<Opening> {
        let behind = self.behind.as_ref()?;
        let at = usize::try_from(offset).ok()?;
        let first = self.bytes.contiguous().get(at..)?;
        // The segment has been added: after the zeros there is what it brought.
        let (zeros, rest) = first.split_at(first.len().min(MAX_PADDING));
        let brought = segment.get(zeros.len()..)?;
        let is_padded = zeros.iter().zip(segment).all(|(&kept, &came)| kept == 0 || kept == came);
        let is_same = rest.iter().zip(brought).all(|(kept, came)| kept == came);
        if !is_padded || !is_same || prelude::begins_hello(segment) != Some(true) {
            return None;
        }
        let Content::Hello(mut whole) = opening::read(segment).content else { return None };
        whole.span = at + whole.span.start..at + whole.span.end;
        whole.next_record += at;
        let start = behind.start();
        let prelude = self.bytes.contiguous().get(start..at).filter(|before| !before.is_empty());
        let prelude = prelude.map(|before| prelude::kind(before).unwrap_or(Prelude::Other));
        Some(Opening { proxy: behind.proxy, behind: prelude, content: Content::Hello(whole) })
    }
}

/// Where a hello may come behind other bytes.
#[derive(Clone, Copy, Debug)]
struct Behind {
    /// What the first bytes look like.
    protocol: NonTls,
    proxy: Option<ProxyHeader>,
    search: Search,
}

impl Behind {
    fn new(protocol: NonTls, proxy: Option<ProxyHeader>) -> Self {
        let mut behind = Self { protocol, proxy, search: Search::NotYet { from: 0 } };
        // What the bytes start with is known.
        behind.search = Search::NotYet { from: behind.start() + 1 };
        behind
    }

    /// Where the bytes that are no TLS start.
    fn start(&self) -> usize {
        self.proxy.map_or(0, |header| header.len)
    }

    /// Looks for a hello as far as there are bytes. Whether it was found just now.
    fn search(&mut self, bytes: &Assembler) -> bool {
        let Search::NotYet { from } = self.search else { return false };
        self.search = prelude::find(bytes.contiguous(), self.start(), from, |at| bytes.is_boundary(at));
        matches!(self.search, Search::Found { .. })
    }

    fn read(&self, stream: &[u8]) -> Opening {
        match self.search {
            Search::Found { at, prelude } => opening::read_behind(stream, self.proxy, prelude, at),
            Search::NotYet { .. } => {
                let content = if stream.len() < MAX_STREAM_BYTES {
                    Content::Undecided { at_least: stream.len() + 1 }
                } else {
                    Content::NonTls(self.protocol)
                };
                Opening { proxy: self.proxy, behind: None, content }
            }
        }
    }
}
