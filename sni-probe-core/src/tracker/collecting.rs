//! A flow before it has a hello: its bytes, and where in them a hello may begin.

use sni_probe_common::event::Event;
use sni_probe_common::flow_table::MAX_ANSWERS;

use super::state::{Awaiting, Before, Context, Sighting, Start, State};
use crate::assembler::{Assembler, MAX_STREAM_BYTES, stream_offset};
use crate::observation::Observation;
use crate::opening::{self, Content, Opening};
use crate::prelude::{self, Search};
use crate::proxy_header::ProxyHeader;
use crate::server_reply::{self, Message};
use crate::vocabulary::{IncompleteReason, NonTls, Prelude};

/// A flow whose first bytes do not yet make a whole hello.
#[derive(Debug)]
pub(super) struct Collecting {
    start: Start,
    bytes: Assembler,
    /// Reading is in vain before so many contiguous bytes are there.
    at_least: usize,
    /// The gateway's segments with payload so far.
    answers: u8,
    /// The first bytes are no TLS, and preludes are followed.
    behind: Option<Behind>,
}

impl Collecting {
    pub(super) fn new(start: Start) -> Self {
        Self { start, bytes: Assembler::default(), at_least: 0, answers: 0, behind: None }
    }

    pub(super) fn client_data(mut self: Box<Self>, event: &Event<'_>, context: &mut Context<'_>) -> State {
        let Start { seen, gateway } = Start::of(&event.header);
        self.start.gateway = match self.behind {
            None => self.start.gateway.or(gateway),
            Some(_) => later(self.start.gateway, gateway),
        };
        let offset = stream_offset(context.start, event.header.seq);
        if self.bytes.insert(offset, event.data).is_err() {
            return match self.give_up(IncompleteReason::TooManyGaps, context) {
                Some(awaiting) => State::Awaiting(Box::new(awaiting)),
                None => State::Ignored,
            };
        }
        if let Some(rival) = self.rival(offset, event.data) {
            return self.start.decide(rival, seen, |_| 1, context).unwrap_or(State::Ignored);
        }
        if self.bytes.contiguous().len() < self.at_least {
            return State::Collecting(self);
        }
        let opening = self.read(seen, context.config.preludes);
        if let Content::Undecided { at_least } | Content::Partial { at_least, .. } = opening.content {
            self.at_least = at_least;
            return State::Collecting(self);
        }
        let segments = |range| self.bytes.segments_within(range);
        self.start.decide(opening, seen, segments, context).unwrap_or(State::Ignored)
    }

    pub(super) fn gateway_data(
        mut self: Box<Self>,
        event: &Event<'_>,
        context: &mut Context<'_>,
    ) -> Option<State> {
        if self.is_answer_to_prelude(event, context.config.preludes) {
            // The one to the hello comes behind it.
            let end = event.header.seq.wrapping_add(event.header.payload_len);
            self.start.gateway = later(self.start.gateway, Some(end));
            self.answers += 1;
            if self.answers < MAX_ANSWERS {
                return Some(State::Collecting(self));
            }
            // The datapath looks away now.
        }
        // The gateway does not answer half a hello: it saw more than was seen here.
        match self.give_up(IncompleteReason::NotSeen, context) {
            Some(awaiting) => Box::new(awaiting).gateway_data(event, context),
            None => Some(State::Ignored),
        }
    }

    /// Whether the gateway says this to what came before a hello, or may come.
    fn is_answer_to_prelude(&mut self, event: &Event<'_>, preludes: bool) -> bool {
        if !preludes {
            return false;
        }
        let opening = self.read(self.start.seen, preludes);
        if self.behind.is_none() && matches!(opening.content, Content::Partial { .. }) {
            return false;
        }
        let message = server_reply::message(event.data);
        !matches!(message, Message::ServerHello | Message::HelloRetryRequest | Message::Alert { .. })
    }

    /// The hello will never be whole. `None` if the bytes do not even show that there is one.
    pub(super) fn give_up(mut self, reason: IncompleteReason, context: &mut Context<'_>) -> Option<Awaiting> {
        let opening = self.read(self.start.seen, context.config.preludes);
        let known = match opening.content {
            Content::Partial { partial, .. } => Some((reason, partial)),
            // The last bytes decided, but were too few to be read when they came.
            Content::Rejected { reason, partial } => Some((reason.into(), partial)),
            Content::NonTls(protocol) => {
                self.start.not_tls(protocol, context);
                return None;
            }
            Content::Undecided { .. } | Content::Hello(_) => None,
        };
        if let Some((reason, partial)) = known {
            let segments = self.bytes.segments_within(partial.start..usize::MAX);
            let before = Before { proxy: opening.proxy, prelude: opening.prelude() };
            return Some(self.start.incomplete(partial, reason, before, segments, context));
        }
        match self.behind {
            Some(behind) => self.start.not_tls(behind.protocol, context),
            None => {
                context
                    .observations
                    .push_back(Observation::Unclassified { flow: context.key.into(), reason });
            }
        }
        None
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
            self.start.seen = now;
        }
        behind.read(self.bytes.contiguous())
    }

    /// A whole hello in one segment, in the place of other bytes that came first and were no TLS.
    ///
    /// Middleboxes make such bytes: they count the padding of a short Ethernet frame as payload, so that
    /// a bare ACK carries the zeros where the hello is to be.
    fn rival(&self, offset: i32, segment: &[u8]) -> Option<Opening> {
        let behind = self.behind.as_ref()?;
        let at = usize::try_from(offset).ok()?;
        let first = self.bytes.contiguous().get(at..)?;
        let is_other = first.iter().zip(segment).any(|(first, other)| first != other);
        if !is_other || prelude::begins_hello(segment) != Some(true) {
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

/// The later one of two sequence numbers.
fn later(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if stream_offset(one, other) > 0 { other } else { one }),
        _ => one.or(other),
    }
}
