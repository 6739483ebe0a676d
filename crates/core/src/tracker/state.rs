//! What a flow is doing, and what each kind of event makes of it.
//!
//! ```text
//! first bytes ──▶ Collecting ──▶ Awaiting ──▶ (outcome) ──▶ gone, or Ignored or Closed for late packets
//!                     │              └─▶ Answered ─▶ (outcome) ─▶ gone, or Ignored
//!                     └──────▶ Ignored (not TLS; where preludes are followed, only at its end)
//! ```
//!
//! Every step takes the state by value and gives the next one. A hello leaves an [`Awaiting`] only by
//! [`Awaiting::conclude`], or an [`Answered`] by its own; both consume it: one outcome each, by construction.

use std::ops::ControlFlow;

use sni_probe_datapath::event::{Event, EventHeader};
use sni_probe_datapath::seq::SeqNumber;

use super::answered::{Answered, Progress};
use super::awaiting::{Awaiting, Decided};
use super::collecting::{Collecting, Step};
use super::connection::Side;
use super::context::{Context, Segment, Sighting};
use super::ending::{Ending, Over};
use super::first_bytes::Pieces;
use super::flow_table::Stage;
use crate::flow::Timestamp;
use crate::opening::{self, Content};

/// What a flow is doing. Boxed, so that a flow's entry is small whatever it does.
#[derive(Debug)]
pub(super) enum FlowState {
    /// The client's bytes do not yet make a complete hello.
    Collecting(Box<Collecting>),
    /// There is a hello, complete or given up, and no outcome.
    Awaiting(Box<Awaiting>),
    /// There is a ServerHello, and no outcome.
    Answered(Box<Answered>),
    /// Nothing more is to be learned; it stays so that its later packets do not look like a new flow.
    Over(Over),
}

impl From<Decided> for FlowState {
    fn from(decided: Decided) -> Self {
        match decided {
            Decided::Awaiting(awaiting) => Self::Awaiting(awaiting),
            Decided::Answered(answered) => Self::Answered(answered),
            Decided::Over(over) => Self::Over(over),
        }
    }
}

impl From<Step> for FlowState {
    fn from(step: Step) -> Self {
        match step {
            ControlFlow::Continue(collecting) => Self::Collecting(collecting),
            ControlFlow::Break(decided) => decided.into(),
        }
    }
}

impl FlowState {
    /// The state of a new flow after the client's first segment.
    pub(super) fn open(event: &Event<'_>, context: &mut Context<'_>) -> Self {
        let seen = Sighting::of(&event.header);
        // The usual hello is one segment: it is read where it is, and never copied.
        if SeqNumber(event.header.seq) == context.connection.origin().start {
            let opening = opening::read(event.data);
            let may_follow = context.config.preludes && matches!(opening.content, Content::NonTls(_));
            let whole = Pieces { began: seen, ended: seen, contradiction: None };
            if !may_follow && let Some(decided) = whole.decide(opening, |_| 1, context) {
                return decided.into();
            }
        }
        Box::new(Collecting::new(seen)).client_data(event, context).into()
    }

    /// A segment of the client's; `None` as in [`gateway_data`](Self::gateway_data).
    pub(super) fn client_data(self, event: &Event<'_>, context: &mut Context<'_>) -> Option<Self> {
        match self {
            Self::Collecting(collecting) => Some(collecting.client_data(event, context).into()),
            Self::Awaiting(awaiting) => Some(awaiting.client_data(event, context).into()),
            Self::Answered(answered) => Self::after(answered.client_data(event, context)),
            Self::Over(over) => Some(Self::Over(over)),
        }
    }

    fn after(progress: Progress) -> Option<Self> {
        Decided::after(progress).map(Self::from)
    }

    /// A segment of the gateway's; `None` if the datapath passes on nothing more of the connection.
    pub(super) fn gateway_data(self, segment: &Segment<'_>, context: &mut Context<'_>) -> Option<Self> {
        match self {
            Self::Collecting(collecting) => collecting.gateway_data(segment, context).map(Self::from),
            Self::Awaiting(awaiting) => awaiting.gateway_data(segment, context).map(Self::from),
            Self::Answered(answered) => Self::after(answered.gateway_data(segment.event, context)),
            Self::Over(over) => (!segment.answer.is_conclusive()).then_some(Self::Over(over)),
        }
    }

    /// A FIN of the client; `seq` if its packet was seen.
    pub(super) fn client_fin(
        self,
        seq: Option<SeqNumber>,
        at: Timestamp,
        context: &mut Context<'_>,
    ) -> Option<Self> {
        match self {
            Self::Collecting(collecting) => Some(collecting.client_fin(seq, at, context).into()),
            Self::Awaiting(mut awaiting) => {
                awaiting.client_fin(seq, at);
                Some(Self::Awaiting(awaiting))
            }
            Self::Answered(answered) => Self::after(answered.client_fin(seq, context)),
            Self::Over(over) => Some(Self::Over(over)),
        }
    }

    /// A FIN of the gateway. `is_next`: its packet goes on where the gateway's stream was.
    pub(super) fn gateway_fin(
        self,
        seq: SeqNumber,
        is_next: bool,
        at: Timestamp,
        context: &mut Context<'_>,
    ) -> Option<Self> {
        match self {
            Self::Collecting(collecting) => Some(collecting.gateway_fin(seq, is_next, at, context).into()),
            Self::Awaiting(awaiting) => Some(awaiting.gateway_fin(seq, at, context).into()),
            Self::Answered(answered) => Self::after(answered.gateway_fin(seq, context)),
            Self::Over(over) => Some(Self::Over(over)),
        }
    }

    /// Takes what a packet of the client acknowledges.
    pub(super) fn client_acknowledges(&mut self, header: &EventHeader) {
        if let Self::Answered(answered) = self {
            answered.client_acknowledges(header);
        }
    }

    /// A RST that its receiver obeys, before [`end`](Self::end).
    pub(super) fn reset(mut self, by: Side, seq: SeqNumber) -> Self {
        if let Self::Answered(answered) = &mut self {
            answered.reset(by, seq);
        }
        self
    }

    /// A RST that its receiver may have obeyed.
    pub(super) fn doubtful_reset(mut self, by: Side, seq: SeqNumber, at: Timestamp) -> Self {
        match &mut self {
            Self::Collecting(collecting) => collecting.doubtful_reset(by, seq, at),
            Self::Awaiting(awaiting) => awaiting.doubtful_reset(by, seq, at),
            Self::Answered(_) | Self::Over(_) => {}
        }
        self
    }

    /// The connection has ended, or will not be followed any longer: then `None`.
    pub(super) fn end(self, ending: Ending, at: Timestamp, context: &mut Context<'_>) -> Option<Self> {
        let over = match self {
            Self::Collecting(collecting) => collecting.end(ending, at, context),
            Self::Awaiting(awaiting) => awaiting.end(ending, at, context),
            Self::Answered(answered) => answered.end(ending, context)?,
            // It was remembered for long enough.
            Self::Over(_) if ending == Ending::Timeout => return None,
            Self::Over(_) if matches!(ending, Ending::Reset(_)) => Over::Closed,
            Self::Over(over) => over,
        };
        (!matches!(ending, Ending::Evicted(_) | Ending::Unfinished)).then_some(Self::Over(over))
    }

    /// The state after a FIN: where both sides have closed the connection, it is over.
    pub(super) fn closed_by_both(self, context: &Context<'_>) -> Self {
        match self {
            Self::Over(_) if context.connection.is_closed_by_both() => Self::Over(Over::Closed),
            other => other,
        }
    }

    /// What the datapath says of the connection may decide, whatever its hello is.
    pub(super) fn heed_marks(self, at: Timestamp, context: &mut Context<'_>) -> Self {
        match (self, context.connection.outcome()) {
            (Self::Collecting(collecting), _) if context.connection.is_unfollowed() => {
                Self::Over(collecting.end(Ending::Unfollowed, at, context))
            }
            (Self::Awaiting(awaiting), Some(outcome)) => {
                awaiting.conclude(outcome, at, context);
                Self::Over(Over::Ignored)
            }
            (other, _) => other,
        }
    }

    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::Collecting(_) => Stage::Collecting,
            Self::Awaiting(_) => Stage::Awaiting,
            Self::Answered(_) => Stage::Answered,
            Self::Over(Over::Ignored) => Stage::Ignored,
            Self::Over(Over::Closed) => Stage::Closed,
        }
    }

    /// Whether the hello has its outcome, or there is none.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Over(_))
    }

    /// Heap memory that a peer's bytes made it take, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Collecting(collecting) => collecting.heap_bytes(),
            Self::Awaiting(awaiting) => awaiting.heap_bytes(),
            Self::Answered(answered) => answered.heap_bytes(),
            Self::Over(_) => 0,
        }
    }
}
