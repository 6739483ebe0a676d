//! How a flow ends without an answer, and what was seen of an end that may not be one.

use std::collections::VecDeque;

use sni_probe_datapath::event::EventHeader;
use sni_probe_datapath::seq::SeqNumber;

use super::connection::{Connection, Side, WINDOW};
use crate::flow::Timestamp;
use crate::observation::{Observation, Outcome};
use crate::vocabulary::{EvictionReason, IncompleteReason};

/// How a flow ends without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Fin(Side),
    Reset(Side),
    Timeout,
    Evicted(EvictionReason),
    /// The datapath has no room for it.
    Unfollowed,
    /// There will be no more events.
    Unfinished,
}

impl Ending {
    pub(super) fn reason(self) -> IncompleteReason {
        match self {
            Self::Fin(_) => IncompleteReason::Closed,
            Self::Reset(_) => IncompleteReason::Reset,
            Self::Timeout => IncompleteReason::Timeout,
            Self::Evicted(_) | Self::Unfollowed => IncompleteReason::Evicted,
            Self::Unfinished => IncompleteReason::Unfinished,
        }
    }

    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Fin(Side::Client) => Outcome::ClosedByClient,
            Self::Fin(Side::Gateway) => Outcome::ClosedByGateway,
            Self::Reset(Side::Client) => Outcome::ResetByClient,
            Self::Reset(Side::Gateway) => Outcome::ResetByGateway,
            Self::Timeout => Outcome::Timeout,
            Self::Evicted(_) | Self::Unfollowed => Outcome::Evicted,
            Self::Unfinished => Outcome::Unfinished,
        }
    }
}

/// What is left of a flow whose hello has its outcome, or that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The connection may go on.
    Ignored,
    /// The connection is over, by a RST or by FINs of both sides: not much will come.
    Closed,
}

impl Over {
    /// What is left of a flow that has ended in this way. An eviction is reported.
    pub(super) fn after(ending: Ending, observations: &mut VecDeque<Observation>) -> Self {
        if let Ending::Evicted(reason) = ending {
            observations.push_back(Observation::Evicted { reason });
        }
        match ending {
            Ending::Reset(_) => Self::Closed,
            // A FIN is not the end of the connection, and silence even less: segments may come again.
            _ => Self::Ignored,
        }
    }
}

/// A FIN after which something may still come.
#[derive(Clone, Copy, Debug)]
struct Fin {
    /// Its sequence number; `None` if the packet itself was not seen.
    seq: Option<SeqNumber>,
    at: Timestamp,
}

/// A RST in the window of its receiver that is not what the receiver expects, as far as is known.
#[derive(Clone, Copy, Debug)]
struct Reset {
    by: Side,
    seq: SeqNumber,
    at: Timestamp,
}

/// Ends that were seen and that the connection may outlive: it is over if nothing shows that it does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Endings {
    /// A half-close: the gateway may still answer (RFC 9293, section 3.6).
    client_fin: Option<Fin>,
    /// Bytes before it are missing.
    gateway_fin: Option<Fin>,
    reset: Option<Reset>,
}

impl Endings {
    pub(super) fn is_empty(&self) -> bool {
        self.client_fin.is_none() && self.gateway_fin.is_none() && self.reset.is_none()
    }

    /// Remembers a FIN, if it is the first one.
    pub(super) fn fin(&mut self, by: Side, seq: Option<SeqNumber>, at: Timestamp) {
        let place = match by {
            Side::Client => &mut self.client_fin,
            Side::Gateway => &mut self.gateway_fin,
        };
        let fin = place.get_or_insert(Fin { seq, at });
        fin.seq = fin.seq.or(seq);
    }

    pub(super) fn reset(&mut self, by: Side, seq: SeqNumber, at: Timestamp) {
        self.reset = Some(Reset { by, seq, at });
    }

    /// Where the client's FIN is, if that is known, and when it came.
    pub(super) fn client_fin(&self) -> Option<(SeqNumber, Timestamp)> {
        let fin = self.client_fin?;
        Some((fin.seq?, fin.at))
    }

    /// How the connection has ended, now that the gateway has sent this segment and its bytes are there up to `seen`;
    /// `None` if it goes on.
    pub(super) fn after_answer(
        &mut self,
        header: &EventHeader,
        seen: Option<SeqNumber>,
        connection: &Connection,
    ) -> Option<(Ending, Timestamp)> {
        if let Some(Reset { by: Side::Gateway, seq, at }) = self.reset {
            let end = SeqNumber(header.seq).plus(header.payload_len);
            if end == seq {
                // It was what the client expected: only this observer had seen less.
                return Some((Ending::Reset(Side::Gateway), at));
            }
            if end.is_within(seq, 2 * WINDOW) {
                // The gateway goes on: the client has ignored it.
                self.reset = None;
            }
        }
        let fin = self.gateway_fin?;
        let is_next = fin.seq.is_some_and(|seq| connection.has_all_before(seq, seen));
        is_next.then_some((Ending::Fin(Side::Gateway), fin.at))
    }

    /// The client's stream goes on up to `end`: a RST before that was none of its.
    pub(super) fn client_goes_on(&mut self, end: SeqNumber) {
        let is_before = |reset: Reset| reset.by == Side::Client && end.offset_from(reset.seq) > 0;
        if self.reset.is_some_and(is_before) {
            self.reset = None;
        }
    }

    /// What an ending comes to, with what was seen before it.
    pub(super) fn settle(&self, ending: Ending, at: Timestamp) -> (Ending, Timestamp) {
        let fins = [(self.client_fin, Side::Client), (self.gateway_fin, Side::Gateway)];
        let fins = fins.into_iter().filter_map(|(fin, by)| fin.map(|fin| (Ending::Fin(by), fin.at)));
        let first_fin = fins.min_by_key(|&(_, at)| at);
        match ending {
            // It was given up before anything could be said of it, or the gateway refused it.
            Ending::Evicted(EvictionReason::Capacity) | Ending::Unfollowed | Ending::Reset(Side::Gateway) => {
                (ending, at)
            }
            // The side that hung up first has ended it.
            Ending::Reset(Side::Client) | Ending::Fin(_) => {
                first_fin.filter(|&(_, first)| first <= at).unwrap_or((ending, at))
            }
            Ending::Timeout | Ending::Unfinished | Ending::Evicted(EvictionReason::PortReuse) => {
                match self.reset {
                    Some(reset) if reset.by == Side::Gateway || first_fin.is_none() => {
                        (Ending::Reset(reset.by), reset.at)
                    }
                    _ => first_fin.unwrap_or((ending, at)),
                }
            }
        }
    }
}
