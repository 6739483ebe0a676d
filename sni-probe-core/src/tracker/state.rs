//! What a flow is doing, and what each kind of event makes of it.
//!
//! ```text
//! first bytes ──▶ Collecting ──▶ Awaiting ──▶ (outcome) ──▶ gone, or Ignored or Closed for late packets
//!                     └──────▶ Ignored (not TLS; where preludes are followed, only at its end)
//! ```
//!
//! Every step takes the state by value and gives the next one. A hello leaves an [`Awaiting`] only by
//! [`Awaiting::conclude`], which consumes it: one outcome each, by construction.

use std::collections::VecDeque;
use std::ops::Range;

use sni_probe_common::answer::Answer;
use sni_probe_common::event::{Event, EventHeader};
use sni_probe_common::seq::SeqNumber;

use super::TrackerConfig;
use super::awaiting::Awaiting;
use super::clock::Scale;
use super::collecting::Collecting;
use super::connection::{Connection, Side};
use super::ending::{Ending, Endings};
use super::flow_table::Stage;
use crate::client_hello::ClientHello;
use crate::flow::{FlowKey, Timestamp, WireKey};
use crate::observation::{Features, Hello, Observation};
use crate::opening::{self, Content, Opening, PartialHello};
use crate::prelude;
use crate::proxy_header::{ProxyHeader, Version};
use crate::server_reply;
use crate::vocabulary::{Feature, IncompleteReason, NonTls, Prelude, TlsVersion};

/// What a flow is doing. Boxed, so that a flow's entry is small whatever it does.
#[derive(Debug)]
pub(super) enum State {
    /// The client's bytes do not yet make a complete hello.
    Collecting(Box<Collecting>),
    /// There is a hello, complete or given up, and no outcome.
    Awaiting(Box<Awaiting>),
    /// Nothing more is to be learned; it stays so that its later packets do not look like a new flow.
    Ignored,
    /// The same, and the connection is over, by a RST or by FINs of both sides: not much will come.
    Closed,
}

/// Where a step happens, and where its results go.
pub(super) struct Context<'a> {
    pub(super) key: WireKey,
    pub(super) connection: &'a mut Connection,
    pub(super) scale: Scale,
    pub(super) config: &'a TrackerConfig,
    pub(super) observations: &'a mut VecDeque<Observation>,
}

impl State {
    /// The state of a new flow after the client's first segment.
    pub(super) fn open(event: &Event<'_>, context: &mut Context<'_>) -> Self {
        let seen = Sighting::of(&event.header);
        // The usual hello is one segment: it is read where it is, and never copied.
        if SeqNumber(event.header.seq) == context.connection.origin().start {
            let opening = opening::read(event.data);
            let may_follow = context.config.preludes && matches!(opening.content, Content::NonTls(_));
            let whole = Pieces { began: seen, ended: seen, contradiction: None };
            if !may_follow && let Some(state) = whole.decide(opening, |_| 1, context) {
                return state;
            }
        }
        Box::new(Collecting::new(seen)).client_data(event, context)
    }

    pub(super) fn client_data(self, event: &Event<'_>, context: &mut Context<'_>) -> Self {
        match self {
            Self::Collecting(collecting) => collecting.client_data(event, context),
            Self::Awaiting(awaiting) => awaiting.client_data(event, context),
            over => over,
        }
    }

    /// A segment of the gateway's; `None` if the datapath passes on nothing more of the connection.
    pub(super) fn gateway_data(self, segment: &Segment<'_>, context: &mut Context<'_>) -> Option<Self> {
        match self {
            Self::Collecting(collecting) => collecting.gateway_data(segment, context),
            Self::Awaiting(awaiting) => awaiting.gateway_data(segment, context),
            over => (!segment.answer.is_conclusive()).then_some(over),
        }
    }

    /// A FIN of the client; `seq` if its packet was seen.
    pub(super) fn client_fin(self, seq: Option<SeqNumber>, at: Timestamp, context: &mut Context<'_>) -> Self {
        match self {
            Self::Collecting(collecting) => collecting.client_fin(seq, at, context),
            Self::Awaiting(mut awaiting) => {
                awaiting.client_fin(seq, at);
                Self::Awaiting(awaiting)
            }
            over => over,
        }
    }

    /// A FIN of the gateway. `is_next`: its packet goes on where the gateway's stream was.
    pub(super) fn gateway_fin(
        self,
        seq: SeqNumber,
        is_next: bool,
        at: Timestamp,
        context: &mut Context<'_>,
    ) -> Self {
        match self {
            Self::Collecting(collecting) => collecting.gateway_fin(seq, is_next, at, context),
            Self::Awaiting(awaiting) => awaiting.gateway_fin(seq, at, context),
            over => over,
        }
    }

    /// A RST that its receiver may have obeyed.
    pub(super) fn doubtful_reset(mut self, by: Side, seq: SeqNumber, at: Timestamp) -> Self {
        match &mut self {
            Self::Collecting(collecting) => collecting.doubtful_reset(by, seq, at),
            Self::Awaiting(awaiting) => awaiting.doubtful_reset(by, seq, at),
            Self::Ignored | Self::Closed => {}
        }
        self
    }

    /// The connection has ended, or will not be followed any longer: then `None`.
    pub(super) fn end(self, ending: Ending, at: Timestamp, context: &mut Context<'_>) -> Option<Self> {
        let state = match self {
            Self::Collecting(collecting) => collecting.end(ending, at, context),
            Self::Awaiting(awaiting) => awaiting.end(ending, at, context),
            // It was remembered for long enough.
            Self::Ignored | Self::Closed if ending == Ending::Timeout => return None,
            Self::Ignored if matches!(ending, Ending::Reset(_)) => Self::Closed,
            over => over,
        };
        (!matches!(ending, Ending::Evicted(_) | Ending::Unfinished)).then_some(state)
    }

    /// The same with what was seen of the connection's end before its hello was there.
    pub(super) fn with(self, endings: Endings) -> Self {
        match self {
            Self::Awaiting(mut awaiting) => {
                awaiting.add(endings);
                Self::Awaiting(awaiting)
            }
            other => other,
        }
    }

    /// The same after a FIN: where both sides have closed the connection, it is over.
    pub(super) fn closed_by_both(self, context: &Context<'_>) -> Self {
        match self {
            Self::Ignored if context.connection.is_closed_by_both() => Self::Closed,
            other => other,
        }
    }

    /// What is left of a flow that has ended.
    pub(super) fn after(ending: Ending, context: &mut Context<'_>) -> Self {
        if let Ending::Evicted(reason) = ending {
            context.observations.push_back(Observation::Evicted { reason });
        }
        match ending {
            Ending::Reset(_) => Self::Closed,
            // A FIN is not the end of the connection, and silence even less: segments may come again.
            _ => Self::Ignored,
        }
    }

    /// What the datapath says of the connection may decide, whatever its hello is.
    pub(super) fn heed_marks(self, at: Timestamp, context: &mut Context<'_>) -> Self {
        match (self, context.connection.outcome()) {
            (Self::Collecting(collecting), _) if context.connection.is_unfollowed() => {
                collecting.end(Ending::Unfollowed, at, context)
            }
            (Self::Awaiting(awaiting), Some(outcome)) => {
                awaiting.conclude(outcome, at, context);
                Self::Ignored
            }
            (other, _) => other,
        }
    }

    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::Collecting(_) => Stage::Collecting,
            Self::Awaiting(_) => Stage::Awaiting,
            Self::Ignored => Stage::Ignored,
            Self::Closed => Stage::Closed,
        }
    }

    /// Whether the hello has its outcome, or there is none.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Ignored | Self::Closed)
    }

    /// Heap memory that a peer's bytes made it take, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Collecting(collecting) => collecting.heap_bytes(),
            Self::Awaiting(awaiting) => awaiting.heap_bytes(),
            Self::Ignored | Self::Closed => 0,
        }
    }
}

/// A segment of the gateway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) event: &'a Event<'a>,
    /// What the datapath sees in it.
    pub(super) answer: Answer,
    /// The end of the gateway's stream before it; `None` if it is of no stream that is known.
    pub(super) follows: Option<SeqNumber>,
}

impl<'a> Segment<'a> {
    /// The segment in an event, which the connection has not taken yet.
    pub(super) fn new(event: &'a Event<'a>, connection: &Connection) -> Self {
        let follows = connection.gateway_end_near(SeqNumber(event.header.seq));
        Self { event, answer: server_reply::answer(event.data), follows }
    }
}

/// When and where a packet was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    pub(super) time: Timestamp,
    pub(super) ifindex: u32,
}

impl Sighting {
    pub(super) fn of(header: &EventHeader) -> Self {
        Self { time: Timestamp(header.time_ns), ifindex: header.ifindex }
    }
}

/// The segments in which the client's first bytes came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pieces {
    /// The packet with which the hello began, or the flow.
    pub(super) began: Sighting,
    /// The last one.
    pub(super) ended: Sighting,
    /// The first place of the stream for which there are two different bytes.
    pub(super) contradiction: Option<usize>,
}

impl Pieces {
    /// The state that follows from the client's first bytes; `None` if they do not decide.
    ///
    /// `segments` says how many segments brought bytes of a part of the stream.
    pub(super) fn decide(
        self,
        opening: Opening,
        segments: impl FnOnce(Range<usize>) -> u32,
        context: &mut Context<'_>,
    ) -> Option<State> {
        let before = Before { proxy: opening.proxy, prelude: opening.prelude() };
        match opening.content {
            Content::Undecided { .. } | Content::Partial { .. } => None,
            Content::NonTls(protocol) => {
                self.not_tls(protocol, before, context);
                Some(State::Ignored)
            }
            Content::Rejected { reason, partial } => {
                let segments = segments(partial.start..usize::MAX);
                let awaiting = self.incomplete(partial, reason.into(), before, segments, context);
                Some(State::Awaiting(Box::new(awaiting)))
            }
            Content::Hello(whole) if self.contradicts_before(whole.span.end) => {
                let partial = PartialHello {
                    sslv2: whole.hello.features.contains(Feature::Sslv2),
                    length: whole.length,
                    records: whole.records,
                    start: whole.span.start,
                };
                let segments = segments(whole.span);
                let reason = IncompleteReason::Contradictory;
                let awaiting = self.incomplete(partial, reason, before, segments, context);
                Some(State::Awaiting(Box::new(awaiting)))
            }
            Content::Hello(whole) => {
                let ClientHello { sni, features, .. } = &whole.hello;
                let (sni, features) = (sni.clone(), *features);
                let with_fingerprints = context.config.fingerprints.are_wanted(sni.class());
                let mut hello = Hello {
                    sni,
                    body: Some(whole.hello.into_body(with_fingerprints)),
                    incomplete: None,
                    length: whole.length,
                    segments: segments(whole.span),
                    records: whole.records,
                    prelude: before.prelude,
                    features,
                };
                add_transport_features(&mut hello, before.proxy);
                let awaiting = await_outcome(&hello, self.ended, before.proxy, whole.next_record, context);
                Some(State::Awaiting(Box::new(awaiting)))
            }
        }
    }

    /// The bytes are not TLS; or no observer can know whether they are.
    pub(super) fn not_tls(self, protocol: NonTls, before: Before, context: &mut Context<'_>) {
        let flow = FlowKey::from(context.key);
        let start = before.proxy.map_or(0, |header| header.len);
        context.observations.push_back(if self.contradicts_before(start + prelude::SIGNATURE_LEN) {
            Observation::Unclassified { flow, reason: IncompleteReason::Contradictory }
        } else {
            Observation::NonTls { flow, time: context.scale.stamp_of(self.began.time), protocol }
        });
    }

    pub(super) fn incomplete(
        self,
        partial: PartialHello,
        reason: IncompleteReason,
        before: Before,
        segments: u32,
        context: &mut Context<'_>,
    ) -> Awaiting {
        // Where its end is not known, all that has come of it may be its own.
        let end = if partial.length == 0 { usize::MAX } else { partial.least_end() };
        let reason = if self.contradicts_before(end) { IncompleteReason::Contradictory } else { reason };
        let mut hello = Hello {
            incomplete: Some(reason),
            length: partial.length,
            segments,
            records: partial.records,
            prelude: before.prelude,
            ..Hello::default()
        };
        if partial.sslv2 {
            hello.features.insert(Feature::Sslv2);
        }
        add_transport_features(&mut hello, before.proxy);
        await_outcome(&hello, self.began, before.proxy, 0, context)
    }

    fn contradicts_before(&self, end: usize) -> bool {
        self.contradiction.is_some_and(|at| at < end)
    }
}

fn await_outcome(
    hello: &Hello,
    seen: Sighting,
    proxy: Option<ProxyHeader>,
    next_record: usize,
    context: &mut Context<'_>,
) -> Awaiting {
    let proxied = proxy.and_then(|header| header.addresses);
    context.observations.push_back(Observation::ClientHello {
        flow: FlowKey::from(context.key),
        proxied,
        sni: hello.sni.class(),
        version: hello.body.as_ref().map_or(TlsVersion::Unknown, |body| body.version),
        features: hello.features,
        incomplete: hello.incomplete,
    });
    Awaiting::new(hello, seen, proxied, next_record)
}

/// What a client said before its hello.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) proxy: Option<ProxyHeader>,
    pub(super) prelude: Option<Prelude>,
}

fn add_transport_features(hello: &mut Hello, proxy: Option<ProxyHeader>) {
    let features: &mut Features = &mut hello.features;
    match proxy.map(|header| header.version) {
        Some(Version::V1) => features.insert(Feature::ProxyV1),
        Some(Version::V2) => features.insert(Feature::ProxyV2),
        None => {}
    }
    if hello.segments > 1 {
        features.insert(Feature::MultiSegment);
    }
    if hello.records > 1 {
        features.insert(Feature::MultiRecord);
    }
}
