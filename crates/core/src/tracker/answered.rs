//! A hello that was answered with a ServerHello, up to the end of its handshake.

use sni_probe_datapath::event::{Event, EventHeader, flags, tcp_flags};
use sni_probe_datapath::seq::SeqNumber;

use super::connection::Side;
use super::context::Context;
use super::ending::{Ending, Over};
use super::packed_hello::PackedHello;
use crate::completion::{Completion, End};
use crate::flow::{Place, Timestamp};
use crate::observation::{AnswerDetails, Handshake, Negotiated, Observation, Outcome, Proxied};
use crate::record;
use crate::record_walk::{Holes, Piece, RecordStart, RecordWalk};
use crate::server_hello::ServerHello;
use crate::vocabulary::{EvictionReason, Feature};

/// How a ServerHello came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// At the beginning of a segment: the datapath has seen it as well, and follows the handshake up.
    Whole,
    /// In pieces: the datapath goes on as before the answer.
    Pieces,
}

/// What is known before the ServerHello.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) hello: PackedHello,
    pub(super) time: Timestamp,
    pub(super) place: Place,
    pub(super) proxied: Option<Proxied>,
    /// Where the client's next record begins; `None` if that is not known.
    pub(super) next_record: Option<SeqNumber>,
}

/// A handshake with a ServerHello and without an outcome.
#[derive(Debug)]
pub(super) struct Answered {
    hello: PackedHello,
    time: Timestamp,
    place: Place,
    proxied: Option<Proxied>,
    at: Timestamp,
    negotiated: Negotiated,
    completion: Completion,
    client: RecordWalk,
    gateway: RecordWalk,
    /// Where the ServerHello ends in the gateway's stream.
    greeting_end: SeqNumber,
    /// The end of what the gateway has sent.
    gateway_end: SeqNumber,
    /// What the client has received, as its acknowledgements show; at first up to the ServerHello's end.
    client_ack: SeqNumber,
    /// What the client had received when it sent its reply: the gateway's reaction comes after that.
    reply_ack: Option<SeqNumber>,
    /// The client's FIN, with data before it that have not come.
    client_fin: Option<SeqNumber>,
    greeting: Greeting,
}

/// What a step makes of the handshake.
pub(super) enum Progress {
    /// It goes on.
    Open(Box<Answered>),
    /// It has its outcome. `None`: the datapath passes on nothing that could be taken for a new flow.
    Done(Option<Over>),
}

impl Answered {
    /// The handshake after the event that has the ServerHello.
    pub(super) fn begin(
        before: Unanswered,
        event: &Event<'_>,
        greeting: Greeting,
        server_hello: ServerHello,
        context: &mut Context<'_>,
    ) -> Progress {
        let Unanswered { hello, time, place, proxied, next_record } = before;
        let header = &event.header;
        let seq = SeqNumber(header.seq);
        let end = seq.plus(header.payload_len);
        let (gateway, greeting_end) = match greeting {
            Greeting::Whole => {
                // From here on the datapath skips segments.
                context.connection.stop_listening();
                (RecordWalk::new(seq, Holes::Skip), message_end(seq, event.data, server_hello))
            }
            Greeting::Pieces => (RecordWalk::lost(end, Holes::Skip), end),
        };
        // Early data may have come in one segment with the hello, which was not read beyond it.
        let client = match next_record.filter(|_| !hello.has(Feature::EarlyData)) {
            Some(next) => RecordWalk::new(next, Holes::Wait),
            None => RecordWalk::lost(SeqNumber(header.ack), Holes::Wait),
        };
        let mut completion = Completion::new(server_hello, hello.has(Feature::EarlyData));
        if greeting == Greeting::Pieces {
            // The rest of its segment is not read.
            completion.assume_certificate();
        }
        let answered = Box::new(Self {
            completion,
            hello,
            time,
            place,
            proxied,
            at: Timestamp(header.time_ns),
            negotiated: server_hello.negotiated,
            client,
            gateway,
            greeting_end,
            gateway_end: end,
            client_ack: greeting_end,
            reply_ack: None,
            client_fin: None,
            greeting,
        });
        answered.gateway_data(event, context)
    }

    /// A segment of the client.
    pub(super) fn client_data(mut self: Box<Self>, event: &Event<'_>, context: &mut Context<'_>) -> Progress {
        let header = &event.header;
        let Self { client, completion, reply_ack, .. } = &mut *self;
        let mut outcome = None;
        client.segment(piece(event), |record| {
            if outcome.is_none() {
                outcome = completion.client_record(&record);
            }
        });
        if completion.reply_end().is_some() {
            reply_ack.get_or_insert(SeqNumber(header.ack));
        }
        if outcome.is_none()
            && self.client.position().is_none()
            && let Some(finished) = self.completion.finished_end()
        {
            let end = SeqNumber(header.seq).plus(header.payload_len);
            outcome = self.completion.unseen_after_finished(length(finished, end));
        }
        if outcome.is_none() && self.client_fin.is_some_and(|fin| self.has_client_up_to(fin)) {
            outcome = self.client_end();
        }
        self.after(outcome, event, context)
    }

    /// A segment of the gateway.
    pub(super) fn gateway_data(
        mut self: Box<Self>,
        event: &Event<'_>,
        context: &mut Context<'_>,
    ) -> Progress {
        let header = &event.header;
        let ack = SeqNumber(header.ack);
        let Self { gateway, completion, greeting_end, reply_ack, .. } = &mut *self;
        let mut outcome = None;
        gateway.segment(piece(event), |record| {
            if outcome.is_some() {
                return;
            }
            let start = record_start(&record);
            outcome = if !completion.is_reaction(&record, ack) {
                completion.flight_record(&record, length(*greeting_end, start))
            } else if reply_ack.is_none_or(|received| start.offset_from(received) >= 0) {
                completion.reaction(&record)
            } else {
                // A copy of what the client had received.
                None
            };
        });
        self.gateway_sent(SeqNumber(header.seq).plus(header.payload_len));
        self.after(outcome, event, context)
    }

    /// Takes what a packet of the client acknowledges.
    pub(super) fn client_acknowledges(&mut self, header: &EventHeader) {
        let ack = SeqNumber(header.ack);
        if header.tcp_flags & tcp_flags::ACK != 0 && ack.offset_from(self.client_ack) > 0 {
            self.client_ack = ack;
        }
    }

    /// A FIN of the client.
    pub(super) fn client_fin(
        mut self: Box<Self>,
        seq: Option<SeqNumber>,
        context: &mut Context<'_>,
    ) -> Progress {
        // The datapath reports a FIN without its packet only before a hello.
        let Some(fin) = seq else { return Progress::Open(self) };
        if !self.has_client_up_to(fin) {
            self.client_fin = Some(fin);
            return Progress::Open(self);
        }
        let outcome = self.client_end();
        self.after_end(outcome, context)
    }

    /// A FIN of the gateway.
    pub(super) fn gateway_fin(mut self: Box<Self>, seq: SeqNumber, context: &mut Context<'_>) -> Progress {
        self.gateway_sent(seq);
        let outcome = self.completion.end(End::Gateway { flight_len: self.flight_len() });
        self.after_end(outcome, context)
    }

    /// A RST that its receiver obeys: the sender's stream has come up to `seq`.
    pub(super) fn reset(&mut self, by: Side, seq: SeqNumber) {
        if by == Side::Gateway {
            self.gateway_sent(seq);
        }
    }

    /// The connection has ended, or will not be followed any longer.
    pub(super) fn end(mut self: Box<Self>, ending: Ending, context: &mut Context<'_>) -> Option<Over> {
        let flight_len = self.flight_len();
        let end = match ending {
            Ending::Fin(Side::Gateway) | Ending::Reset(Side::Gateway) => End::Gateway { flight_len },
            Ending::Fin(Side::Client) => End::ClientFin { flight_len },
            Ending::Reset(Side::Client) => End::ClientReset,
            Ending::Timeout | Ending::Evicted(_) | Ending::Unfollowed | Ending::Unfinished => End::Unseen,
        };
        if ending == Ending::Evicted(EvictionReason::Capacity) {
            context.observations.push_back(Observation::Evicted { reason: EvictionReason::Capacity });
        }
        let outcome = self.completion.end(end).unwrap_or(Outcome::ServerHello);
        match self.after_end(Some(outcome), context) {
            Progress::Done(over) => over,
            Progress::Open(_) => None,
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.hello.heap_bytes() + self.client.heap_bytes() + self.gateway.heap_bytes()
    }

    /// Whether the client's records are known up to its FIN.
    fn has_client_up_to(&self, fin: SeqNumber) -> bool {
        self.client.position().is_none_or(|next| next.offset_from(fin) >= 0)
    }

    fn client_end(&mut self) -> Option<Outcome> {
        let flight_len = self.flight_len();
        self.completion.end(End::ClientFin { flight_len })
    }

    fn gateway_sent(&mut self, end: SeqNumber) {
        if end.offset_from(self.gateway_end) > 0 {
            self.gateway_end = end;
        }
    }

    /// Bytes that the gateway has sent after its ServerHello.
    fn flight_len(&self) -> u32 {
        length(self.greeting_end, self.gateway_end).max(length(self.greeting_end, self.client_ack))
    }

    fn after(
        mut self: Box<Self>,
        outcome: Option<Outcome>,
        event: &Event<'_>,
        context: &mut Context<'_>,
    ) -> Progress {
        let is_last = event.header.flags & flags::LAST != 0;
        let outcome = match outcome {
            None if is_last => self.completion.end(End::Unseen),
            outcome => outcome,
        };
        self.after_end(outcome, context)
    }

    fn after_end(self: Box<Self>, outcome: Option<Outcome>, context: &mut Context<'_>) -> Progress {
        match outcome {
            Some(outcome) => self.conclude(outcome, context),
            None => Progress::Open(self),
        }
    }

    fn conclude(self: Box<Self>, outcome: Outcome, context: &mut Context<'_>) -> Progress {
        let Self { hello, time, place, proxied, at, negotiated, greeting, .. } = *self;
        context.observations.push_back(Observation::Handshake(Box::new(Handshake {
            flow: context.key.into(),
            place,
            proxied,
            time: context.scale.stamp_of(time),
            hello: hello.unpack(),
            outcome,
            latency: at.since(time),
            answer: AnswerDetails { negotiated: Some(negotiated), ..AnswerDetails::default() },
        })));
        Progress::Done((greeting == Greeting::Pieces).then_some(Over::Ignored))
    }
}

/// The end of a ServerHello at the beginning of a segment.
fn message_end(seq: SeqNumber, data: &[u8], server_hello: ServerHello) -> SeqNumber {
    let Some(&[_, _, _, high, low]) = data.first_chunk() else { return seq };
    let record_len = record::HEADER_LEN + usize::from(u16::from_be_bytes([high, low]));
    seq.plus(u32::try_from(record_len.saturating_sub(server_hello.followed_by)).unwrap_or_default())
}

fn record_start(record: &RecordStart) -> SeqNumber {
    record.end.minus(5 + u32::from(record.len))
}

/// Bytes from one number to another one, which may be before it.
fn length(from: SeqNumber, to: SeqNumber) -> u32 {
    u32::try_from(to.offset_from(from)).unwrap_or_default()
}

fn piece<'a>(event: &Event<'a>) -> Piece<'a> {
    let header = &event.header;
    Piece { seq: SeqNumber(header.seq), payload_len: header.payload_len, data: event.data }
}
