//! What a flow is doing, and what each kind of event makes of it.
//!
//! ```text
//! first bytes ──▶ Collecting ──▶ Awaiting ──▶ (outcome) ──▶ gone, or Ignored for late packets
//!                     └──────▶ Ignored (no TLS; where preludes are followed, none to the end)
//! ```
//!
//! Every step takes the state by value and gives the next one. A hello leaves an [`Awaiting`] only by
//! [`Awaiting::conclude`], which consumes it: one outcome each, by construction.

use std::collections::VecDeque;
use std::ops::Range;

use sni_probe_common::event::{Event, EventHeader, tcp_flags};

use super::TrackerConfig;
use super::collecting::Collecting;
use super::flow_table::Stage;
use super::packed_hello::PackedHello;
use crate::assembler::stream_offset;
use crate::client_hello::ClientHello;
use crate::flow::{FlowKey, Timestamp, WireKey};
use crate::observation::{Features, Handshake, Hello, Observation, Outcome, Proxied};
use crate::opening::{self, Content, Opening, PartialHello};
use crate::proxy_header::{ProxyHeader, Version};
use crate::record::{self, content_type};
use crate::server_reply::{self, Message, Reply, ReplyReader};
use crate::vocabulary::{
    AlertDescription, AlertSender, EvictionReason, Feature, IncompleteReason, NonTls, Prelude, TlsVersion,
};

/// What a flow is doing. Boxed, so that a flow's slot is small whatever it does.
#[derive(Debug)]
pub(super) enum State {
    /// The client's bytes do not yet make a whole hello.
    Collecting(Box<Collecting>),
    /// There is a hello, whole or given up, and no outcome.
    Awaiting(Box<Awaiting>),
    /// Nothing more is to be learned; it stays so that its later packets do not look like a new flow.
    Ignored,
}

/// Where a step happens, and where its results go.
pub(super) struct Context<'a> {
    pub(super) key: WireKey,
    /// Sequence number of the first byte of the client's stream.
    pub(super) start: u32,
    pub(super) config: &'a TrackerConfig,
    pub(super) observations: &'a mut VecDeque<Observation>,
}

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Gateway,
}

/// How a flow ends without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Fin(Side),
    Reset(Side),
    Timeout,
    Evicted(EvictionReason),
    /// There will be no more events.
    Unfinished,
}

impl Ending {
    fn reason(self) -> IncompleteReason {
        match self {
            Self::Fin(_) => IncompleteReason::Closed,
            Self::Reset(_) => IncompleteReason::Reset,
            Self::Timeout => IncompleteReason::Timeout,
            Self::Evicted(_) => IncompleteReason::Evicted,
            Self::Unfinished => IncompleteReason::Unfinished,
        }
    }

    fn outcome(self) -> Outcome {
        match self {
            Self::Fin(Side::Client) => Outcome::ClosedByClient,
            Self::Fin(Side::Gateway) => Outcome::ClosedByGateway,
            Self::Reset(Side::Client) => Outcome::ResetByClient,
            Self::Reset(Side::Gateway) => Outcome::ResetByGateway,
            Self::Timeout => Outcome::Timeout,
            Self::Evicted(_) => Outcome::Evicted,
            Self::Unfinished => Outcome::Unfinished,
        }
    }
}

impl State {
    /// The state of a new flow after the client's first segment.
    pub(super) fn open(event: &Event<'_>, context: &mut Context<'_>) -> Self {
        let start = Start::of(&event.header);
        // The usual hello is one segment: it is read where it is, and never copied.
        if event.header.seq == context.start {
            let opening = opening::read(event.data);
            let may_follow = context.config.preludes && matches!(opening.content, Content::NonTls(_));
            if !may_follow && let Some(state) = start.decide(opening, start.seen, |_| 1, context) {
                return state;
            }
        }
        Box::new(Collecting::new(start)).client_data(event, context)
    }

    pub(super) fn client_data(self, event: &Event<'_>, context: &mut Context<'_>) -> Self {
        match self {
            Self::Collecting(collecting) => collecting.client_data(event, context),
            Self::Awaiting(awaiting) => awaiting.client_data(event, context),
            Self::Ignored => Self::Ignored,
        }
    }

    pub(super) fn gateway_data(self, event: &Event<'_>, context: &mut Context<'_>) -> Option<Self> {
        match self {
            Self::Collecting(collecting) => collecting.gateway_data(event, context),
            Self::Awaiting(awaiting) => awaiting.gateway_data(event, context),
            Self::Ignored => Some(Self::Ignored),
        }
    }

    pub(super) fn end(self, ending: Ending, at: Timestamp, context: &mut Context<'_>) -> Option<Self> {
        let awaiting = match self {
            Self::Collecting(collecting) => collecting.give_up(ending.reason(), context),
            Self::Awaiting(awaiting) => Some(*awaiting),
            Self::Ignored => return None,
        };
        if let Some(awaiting) = awaiting {
            awaiting.conclude(ending.outcome(), at, context);
        }
        match ending {
            // A FIN is not the end of the connection, and silence even less: segments may come again.
            Ending::Fin(_) | Ending::Timeout => Some(Self::Ignored),
            Ending::Reset(_) | Ending::Unfinished => None,
            Ending::Evicted(reason) => {
                context.observations.push_back(Observation::Evicted { reason });
                None
            }
        }
    }

    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::Collecting(_) => Stage::Collecting,
            Self::Awaiting(_) => Stage::Awaiting,
            Self::Ignored => Stage::Ignored,
        }
    }

    /// Heap memory that a peer's bytes made it take, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Collecting(collecting) => collecting.heap_bytes(),
            Self::Awaiting(awaiting) => awaiting.heap_bytes(),
            Self::Ignored => 0,
        }
    }
}

/// When and where a packet was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    time: Timestamp,
    ifindex: u32,
}

impl Sighting {
    pub(super) fn of(header: &EventHeader) -> Self {
        Self { time: Timestamp(header.time_ns), ifindex: header.ifindex }
    }
}

/// What a flow's first event says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// The packet with which the hello began, or the flow.
    pub(super) seen: Sighting,
    /// Sequence number of the first byte of the gateway's answer, if the client acknowledged any.
    pub(super) gateway: Option<u32>,
}

impl Start {
    pub(super) fn of(header: &EventHeader) -> Self {
        let acknowledges = header.tcp_flags & tcp_flags::ACK != 0;
        Self { seen: Sighting::of(header), gateway: acknowledges.then_some(header.ack) }
    }

    /// The state that follows from the client's first bytes; `None` if they do not decide.
    ///
    /// `segments` says how many segments brought bytes of a part of the stream.
    pub(super) fn decide(
        self,
        opening: Opening,
        now: Sighting,
        segments: impl FnOnce(Range<usize>) -> u32,
        context: &mut Context<'_>,
    ) -> Option<State> {
        let prelude = opening.prelude();
        let Opening { proxy, content, .. } = opening;
        match content {
            Content::Undecided { .. } | Content::Partial { .. } => None,
            Content::NonTls(protocol) => {
                self.not_tls(protocol, context);
                Some(State::Ignored)
            }
            Content::Rejected { reason, partial } => {
                let segments = segments(partial.start..usize::MAX);
                let before = Before { proxy, prelude };
                let awaiting = self.incomplete(partial, reason.into(), before, segments, context);
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
                    prelude,
                    features,
                };
                add_transport_features(&mut hello, proxy);
                let next_record = u32::try_from(whole.next_record).unwrap_or(u32::MAX);
                let next_record = context.start.wrapping_add(next_record);
                let awaiting = self.await_outcome(&hello, now, proxy, next_record, context);
                Some(State::Awaiting(Box::new(awaiting)))
            }
        }
    }

    pub(super) fn not_tls(self, protocol: NonTls, context: &mut Context<'_>) {
        let flow = FlowKey::from(context.key);
        context.observations.push_back(Observation::NonTls { flow, time: self.seen.time, protocol });
    }

    pub(super) fn incomplete(
        self,
        partial: PartialHello,
        reason: IncompleteReason,
        before: Before,
        segments: u32,
        context: &mut Context<'_>,
    ) -> Awaiting {
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
        self.await_outcome(&hello, self.seen, before.proxy, context.start, context)
    }

    fn await_outcome(
        self,
        hello: &Hello,
        seen: Sighting,
        proxy: Option<ProxyHeader>,
        next_record: u32,
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
        Awaiting {
            hello: PackedHello::pack(hello),
            time: seen.time,
            ifindex: seen.ifindex,
            gateway_start: self.gateway,
            next_record,
            proxied: proxied.map(Box::new),
            answer: None,
        }
    }
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

/// A hello without an outcome. A gateway that hangs makes many of these: small, with what is seldom
/// needed behind a pointer.
#[derive(Debug)]
pub(super) struct Awaiting {
    hello: PackedHello,
    /// Of the packet that made the hello whole, or, of an incomplete one, with which it began. (Not a
    /// [`Sighting`], whose padding would be one more word for each waiting hello.)
    time: Timestamp,
    ifindex: u32,
    gateway_start: Option<u32>,
    /// Sequence number of the client's record behind the hello or the last one that was seen.
    /// Meaningless if the hello is incomplete.
    next_record: u32,
    proxied: Option<Box<Proxied>>,
    /// The gateway's answer, if its first segment did not decide.
    answer: Option<Box<Answer>>,
}

#[derive(Debug)]
struct Answer {
    reader: ReplyReader,
    /// An alert that let the handshake go on, and when it came.
    warning: Option<(AlertDescription, Timestamp)>,
}

impl Awaiting {
    /// What the client says behind its hello is of no interest (early data, the second hello, its
    /// change of cipher specs), unless it is an alert.
    fn client_data(mut self: Box<Self>, event: &Event<'_>, context: &mut Context<'_>) -> State {
        if let Some(description) = self.client_alert(event) {
            let outcome = Outcome::Alert { description, sender: AlertSender::Client };
            self.conclude(outcome, Timestamp(event.header.time_ns), context);
            return State::Ignored;
        }
        State::Awaiting(self)
    }

    /// Follows the client's records as long as they come in order; an alert must be in one segment.
    fn client_alert(&mut self, event: &Event<'_>) -> Option<AlertDescription> {
        if self.hello.is_incomplete() {
            return None;
        }
        let skip = usize::try_from(stream_offset(event.header.seq, self.next_record)).ok()?;
        let mut stream = event.data.get(skip..)?;
        while let Some(&[kind, _, _, high, low]) = stream.first_chunk() {
            if kind == content_type::ALERT {
                let Message::Alert { description, .. } = server_reply::message(stream) else { return None };
                return Some(description);
            }
            let fragment_len = u16::from_be_bytes([high, low]);
            stream = stream.get(record::HEADER_LEN + usize::from(fragment_len)..).unwrap_or_default();
            self.next_record = self.next_record.wrapping_add(5 + u32::from(fragment_len));
        }
        None
    }

    pub(super) fn gateway_data(
        mut self: Box<Self>,
        event: &Event<'_>,
        context: &mut Context<'_>,
    ) -> Option<State> {
        let header = &event.header;
        let now = Timestamp(header.time_ns);
        let start = *self.gateway_start.get_or_insert(header.seq);
        let reply = match stream_offset(start, header.seq) {
            // The usual answer is decided by its first segment, which is read where it is. It is believed
            // also where other bytes came in its place, which were no answer.
            0 => match server_reply::message(event.data) {
                Message::ServerHello => Reply::ServerHello,
                Message::Alert { may_go_on: false, description } => Reply::Alert(description),
                _ => self.follow_answer(event, 0),
            },
            offset => self.follow_answer(event, offset),
        };
        let outcome = match reply {
            Reply::ServerHello => Outcome::ServerHello,
            Reply::Alert(description) => Outcome::Alert { description, sender: AlertSender::Gateway },
            Reply::Pending => return Some(State::Awaiting(self)),
        };
        // The datapath looks away once a segment decides by itself. Else more packets will come.
        let is_over = self.answer.is_none()
            && (outcome != Outcome::ServerHello || event.data.len() >= server_reply::RANDOM_END);
        // A warning before it decided nothing.
        self.answer = None;
        self.conclude(outcome, now, context);
        if is_over { None } else { Some(State::Ignored) }
    }

    fn follow_answer(&mut self, event: &Event<'_>, offset: i32) -> Reply {
        let is_answered = self.hello.prelude().is_some_and(Prelude::is_answered);
        let answer = self.answer.get_or_insert_with(|| {
            let reader = if is_answered { ReplyReader::behind_prelude() } else { ReplyReader::default() };
            Box::new(Answer { reader, warning: None })
        });
        let reply = answer.reader.segment(offset, event.data, event.header.payload_len);
        if answer.reader.retried() {
            self.hello.insert(Feature::HelloRetry);
        }
        let now = Timestamp(event.header.time_ns);
        let is_new =
            |description: &AlertDescription| answer.warning.is_none_or(|(old, _)| old != *description);
        if let Some(description) = answer.reader.warning().filter(is_new) {
            answer.warning = Some((description, now));
        }
        reply
    }

    /// The hello leaves, with its outcome. A warning alert after which nothing more came is that.
    fn conclude(self, outcome: Outcome, at: Timestamp, context: &mut Context<'_>) {
        let (outcome, at) = match self.answer.as_ref().and_then(|answer| answer.warning) {
            Some((description, at)) if outcome != Outcome::Evicted => {
                (Outcome::Alert { description, sender: AlertSender::Gateway }, at)
            }
            _ => (outcome, at),
        };
        context.observations.push_back(Observation::Handshake(Box::new(Handshake {
            flow: context.key.into(),
            ifindex: self.ifindex,
            proxied: self.proxied.as_deref().copied(),
            time: self.time,
            hello: self.hello.unpack(),
            outcome,
            latency: at.since(self.time),
        })));
    }

    fn heap_bytes(&self) -> usize {
        let answer =
            self.answer.as_ref().map_or(0, |answer| size_of::<Answer>() + answer.reader.heap_bytes());
        self.hello.heap_bytes() + self.proxied.as_ref().map_or(0, |_| size_of::<Proxied>()) + answer
    }
}

#[cfg(test)]
impl State {
    /// What each waiting hello takes besides its slot and its fields.
    pub(super) const AWAITING_BYTES: usize = size_of::<Awaiting>();
}
