//! A hello that waits for its outcome.

use sni_probe_datapath::answer::Answer;
use sni_probe_datapath::event::{Event, EventHeader};
use sni_probe_datapath::seq::SeqNumber;

use super::answered::{Answered, Greeting, Progress, Unanswered};
use super::connection::Side;
use super::context::{Context, Segment, Sighting};
use super::ending::{Ending, Endings, Over};
use super::packed_hello::PackedHello;
use crate::flow::{Place, Timestamp};
use crate::observation::{AnswerDetails, Handshake, Hello, Observation, Outcome, Proxied};
use crate::record::{self, content_type};
use crate::server_hello::{self, ServerHello};
use crate::server_reply::{self, Message, Reply, ReplyReader};
use crate::vocabulary::{AlertDescription, AlertSender, EvictionReason, Feature, Follow, Prelude};

/// What a flow is doing once its first bytes have decided.
#[derive(Debug)]
pub(super) enum Decided {
    /// There is a hello, complete or given up, and no outcome.
    Awaiting(Box<Awaiting>),
    /// There is a ServerHello, and the handshake is followed on.
    Answered(Box<Answered>),
    /// The hello has its outcome, or there is none.
    Over(Over),
}

impl Decided {
    /// What a step of an answered handshake makes of the flow; `None` if the flow is gone.
    pub(super) fn after(progress: Progress) -> Option<Self> {
        match progress {
            Progress::Open(answered) => Some(Self::Answered(answered)),
            Progress::Done(over) => over.map(Self::Over),
        }
    }

    /// Adds what was seen of the connection's end before the hello was there.
    pub(super) fn with(self, endings: Endings) -> Self {
        match self {
            Self::Awaiting(mut awaiting) => {
                awaiting.add(endings);
                Self::Awaiting(awaiting)
            }
            other => other,
        }
    }
}

/// A hello without an outcome. A gateway that hangs makes many of these: small, with what is seldom
/// needed behind a pointer.
#[derive(Debug)]
pub(super) struct Awaiting {
    hello: PackedHello,
    /// Of the packet that made the hello complete, or, of an incomplete one, with which it began. (Not a
    /// [`Sighting`], whose padding would be one more word for each waiting hello.)
    time: Timestamp,
    place: Place,
    /// Where in the client's stream the record after the hello is, or after the last one that was seen.
    /// Meaningless if the hello is incomplete.
    next_record: u32,
    details: Option<Box<Details>>,
}

/// What most hellos do without.
#[derive(Debug, Default)]
struct Details {
    proxied: Option<Proxied>,
    /// The gateway's answer, if its first segment did not decide.
    reply: Option<PendingReply>,
    /// What was seen of the connection's end.
    endings: Endings,
}

/// An answer in several segments.
#[derive(Debug)]
struct PendingReply {
    /// Sequence number of its first byte.
    start: SeqNumber,
    reader: ReplyReader,
    /// An alert that let the handshake go on, and when it came.
    warning: Option<(AlertDescription, Timestamp)>,
}

impl PendingReply {
    /// The end of what has come of it without a hole.
    fn seen(&self) -> SeqNumber {
        self.start.plus(u32::try_from(self.reader.contiguous()).unwrap_or(u32::MAX))
    }
}

impl Awaiting {
    pub(super) fn new(hello: &Hello, seen: Sighting, proxied: Option<Proxied>, next_record: usize) -> Self {
        let details = proxied.map(|_| Box::new(Details { proxied, ..Details::default() }));
        Self {
            hello: PackedHello::pack(hello),
            time: seen.time,
            place: seen.place,
            next_record: u32::try_from(next_record).unwrap_or(u32::MAX),
            details,
        }
    }

    /// Adds what was seen of the connection's end before the hello was there.
    fn add(&mut self, endings: Endings) {
        if !endings.is_empty() {
            self.details_mut().endings = endings;
        }
    }

    fn details_mut(&mut self) -> &mut Details {
        self.details.get_or_insert_default()
    }

    /// What the client says after its hello is of no interest (early data, the second hello, its
    /// change of cipher specs), unless it is an alert.
    pub(super) fn client_data(mut self: Box<Self>, event: &Event<'_>, context: &mut Context<'_>) -> Decided {
        if let Some(description) = self.client_alert(event, context) {
            let outcome = Outcome::Alert { description, sender: AlertSender::Client };
            self.conclude(outcome, Timestamp(event.header.time_ns), context);
            return Decided::Over(Over::Ignored);
        }
        if let Some(details) = &mut self.details {
            let EventHeader { seq, payload_len, .. } = event.header;
            details.endings.client_goes_on(SeqNumber(seq).plus(payload_len));
        }
        Decided::Awaiting(self)
    }

    /// Follows the client's records as long as they come in order; an alert must be in one segment.
    fn client_alert(&mut self, event: &Event<'_>, context: &Context<'_>) -> Option<AlertDescription> {
        if self.hello.is_incomplete() {
            return None;
        }
        let offset = i64::from(context.connection.offset(SeqNumber(event.header.seq)));
        let skip = usize::try_from(i64::from(self.next_record) - offset).ok()?;
        let mut stream = event.data.get(skip..)?;
        while let Some(&[kind, _, _, high, low]) = stream.first_chunk() {
            if kind == content_type::ALERT {
                let Message::Alert { description, .. } = server_reply::message(stream) else { return None };
                return Some(description);
            }
            let fragment_len = u16::from_be_bytes([high, low]);
            stream = stream.get(record::HEADER_LEN + usize::from(fragment_len)..).unwrap_or_default();
            self.next_record = self.next_record.saturating_add(5 + u32::from(fragment_len));
        }
        None
    }

    /// A segment of the gateway; `None` if the datapath passes on nothing more of the connection.
    pub(super) fn gateway_data(
        mut self: Box<Self>,
        segment: &Segment<'_>,
        context: &mut Context<'_>,
    ) -> Option<Decided> {
        let &Segment { event, answer, follows } = segment;
        let now = Timestamp(event.header.time_ns);
        // The usual answer is decided by its first segment, which is read where it is. It is believed also where other
        // bytes came in its place, which were no answer, or where it does not go on with the stream: it may be of the
        // other numbering of a connection that is seen on both sides of a proxy.
        if answer.is_conclusive() {
            // What warned before it decided nothing.
            if let Some(details) = &mut self.details {
                details.reply = None;
            }
            if answer == Answer::ServerHello {
                return self.answered(event, Greeting::Whole, server_hello::parse(event.data), context);
            }
            let alert_record_version =
                event.data.get(1..3).map(|code| u16::from_be_bytes([code[0], code[1]]));
            let answer = AnswerDetails { alert_record_version, ..AnswerDetails::default() };
            self.conclude_with(alert_of(server_reply::message(event.data)), answer, now, context);
            return None;
        }
        if answer == Answer::HelloRetryRequest {
            self.hello.insert(Feature::HelloRetry);
        }
        let reply = follows.map_or(Reply::Pending, |start| self.follow(event, start));
        let outcome = match reply {
            Reply::ServerHello => {
                let reply = self.details_mut().reply.take();
                let server_hello = reply.and_then(|reply| server_hello::parse(reply.reader.unread()));
                return self.answered(event, Greeting::Pieces, server_hello, context);
            }
            Reply::Alert(description) => Outcome::Alert { description, sender: AlertSender::Gateway },
            Reply::Pending => return Some(self.after_answer(&event.header, context)),
        };
        self.details_mut().reply = None;
        self.conclude(outcome, now, context);
        // The answer came in pieces, and more packets will come.
        Some(Decided::Over(Over::Ignored))
    }

    /// The gateway has sent a ServerHello, of which the event has the last bytes that decide. Where it could not be read, the
    /// records after it say nothing.
    fn answered(
        self,
        event: &Event<'_>,
        greeting: Greeting,
        server_hello: Option<ServerHello>,
        context: &mut Context<'_>,
    ) -> Option<Decided> {
        let at = Timestamp(event.header.time_ns);
        let has_ended = self.details.as_ref().is_some_and(|details| details.endings.client_fin().is_some());
        let is_followed = context.config.follow == Follow::Handshake
            && context.connection.outcome().is_none()
            && !has_ended;
        let Some(server_hello) = server_hello.filter(|_| is_followed) else {
            let negotiated = server_hello.map(|hello| hello.negotiated);
            let answer = AnswerDetails { negotiated, ..AnswerDetails::default() };
            self.conclude_with(Outcome::ServerHello, answer, at, context);
            return (greeting == Greeting::Pieces).then_some(Decided::Over(Over::Ignored));
        };
        let start = context.connection.origin().start;
        let next_record = (!self.hello.is_incomplete()).then(|| start.plus(self.next_record));
        let proxied = self.details.as_ref().and_then(|details| details.proxied);
        let Self { hello, time, place, .. } = self;
        let before = Unanswered { hello, time, place, proxied, next_record };
        Decided::after(Answered::begin(before, event, greeting, server_hello, context))
    }

    /// Reads a segment of an answer that comes in several. `start` is where the first one would begin.
    fn follow(&mut self, event: &Event<'_>, start: SeqNumber) -> Reply {
        let header = &event.header;
        let seq = SeqNumber(header.seq);
        let now = Timestamp(header.time_ns);
        let is_answered = self.hello.prelude().is_some_and(Prelude::is_answered);
        let reply = self.details_mut().reply.get_or_insert_with(|| PendingReply {
            start,
            reader: if is_answered { ReplyReader::behind_prelude() } else { ReplyReader::default() },
            warning: None,
        });
        let outcome = reply.reader.segment(seq.offset_from(reply.start), event.data, header.payload_len);
        let is_new =
            |description: &AlertDescription| reply.warning.is_none_or(|(old, _)| old != *description);
        if let Some(description) = reply.reader.warning().filter(is_new) {
            reply.warning = Some((description, now));
        }
        if reply.reader.retried() {
            self.hello.insert(Feature::HelloRetry);
        }
        outcome
    }

    /// The bytes that came may be those for which an end was waiting.
    fn after_answer(mut self: Box<Self>, header: &EventHeader, context: &mut Context<'_>) -> Decided {
        let ending = self.details.as_mut().and_then(|details| {
            let seen = details.reply.as_ref().map(PendingReply::seen);
            details.endings.after_answer(header, seen, context.connection)
        });
        match ending {
            Some((ending, at)) => Decided::Over(self.end(ending, at, context)),
            None => Decided::Awaiting(self),
        }
    }

    /// Half of the connection is closed: the gateway may still answer.
    pub(super) fn client_fin(&mut self, seq: Option<SeqNumber>, at: Timestamp) {
        self.details_mut().endings.fin(Side::Client, seq, at);
    }

    /// The gateway says nothing more. But what it said before may still come.
    pub(super) fn gateway_fin(
        mut self: Box<Self>,
        seq: SeqNumber,
        at: Timestamp,
        context: &mut Context<'_>,
    ) -> Decided {
        let reply = self.details.as_ref().and_then(|details| details.reply.as_ref());
        if context.connection.has_all_before(seq, reply.map(PendingReply::seen)) {
            return Decided::Over(self.end(Ending::Fin(Side::Gateway), at, context));
        }
        self.details_mut().endings.fin(Side::Gateway, Some(seq), at);
        Decided::Awaiting(self)
    }

    /// A RST that its receiver may have obeyed.
    pub(super) fn doubtful_reset(&mut self, by: Side, seq: SeqNumber, at: Timestamp) {
        self.details_mut().endings.reset(by, seq, at);
    }

    /// The connection has ended, or will not be followed any longer.
    pub(super) fn end(self, ending: Ending, at: Timestamp, context: &mut Context<'_>) -> Over {
        let endings = self.details.as_ref().map(|details| details.endings).unwrap_or_default();
        let at = match ending {
            // It is the hello's own, though its packet may have been a little late.
            Ending::Timeout if !self.hello.is_incomplete() => {
                self.time.plus(context.config.handshake_timeout)
            }
            _ => at,
        };
        let (ending, at) = match endings.settle(ending, at) {
            // The connection is over, and the warning was its last word.
            (Ending::Evicted(EvictionReason::PortReuse), at) if self.warning().is_some() => {
                (Ending::Timeout, at)
            }
            settled => settled,
        };
        self.conclude(ending.outcome(), at, context);
        Over::after(ending, context.observations)
    }

    /// An alert of the gateway that let the handshake go on, and when it came.
    fn warning(&self) -> Option<(AlertDescription, Timestamp)> {
        self.details.as_ref()?.reply.as_ref()?.warning
    }

    /// The hello leaves, with its outcome. A warning alert after which nothing more came is that; but where the
    /// gateway had hung up before the hello, nothing can be an answer to it.
    pub(super) fn conclude(self, outcome: Outcome, at: Timestamp, context: &mut Context<'_>) {
        self.conclude_with(outcome, AnswerDetails::default(), at, context);
    }

    fn conclude_with(
        self,
        outcome: Outcome,
        answer: AnswerDetails,
        at: Timestamp,
        context: &mut Context<'_>,
    ) {
        let proxied = self.details.as_ref().and_then(|details| details.proxied);
        let reply = self.details.as_ref().and_then(|details| details.reply.as_ref());
        let is_plain_http = reply.is_some_and(|reply| reply.reader.is_plain_http());
        let (outcome, at) = match (context.connection.outcome(), self.warning()) {
            (Some(outcome), _) => (outcome, at),
            (None, Some((description, at))) if outcome != Outcome::Evicted => {
                (Outcome::Alert { description, sender: AlertSender::Gateway }, at)
            }
            _ => (outcome, at),
        };
        context.observations.push_back(Observation::Handshake(Box::new(Handshake {
            flow: context.key.into(),
            place: self.place,
            proxied,
            time: context.scale.stamp_of(self.time),
            hello: self.hello.unpack(),
            outcome,
            latency: at.since(self.time),
            answer: AnswerDetails { is_plain_http, ..answer },
        })));
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let of_reply =
            |details: &Details| details.reply.as_ref().map_or(0, |reply| reply.reader.heap_bytes());
        let details = self.details.as_deref().map_or(0, |details| size_of::<Details>() + of_reply(details));
        self.hello.heap_bytes() + details
    }
}

/// The outcome of a segment that decides by itself and is not a ServerHello.
fn alert_of(message: Message) -> Outcome {
    let description = match message {
        Message::Alert { description, .. } => description,
        _ => AlertDescription::Unassigned,
    };
    Outcome::Alert { description, sender: AlertSender::Gateway }
}

#[cfg(test)]
impl Awaiting {
    /// What each waiting hello takes besides its entry of the table and its fields.
    pub(super) const BYTES: usize = size_of::<Self>();
}
