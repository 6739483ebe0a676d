//! What a step of a flow is given: the connection, the segment, and where results go.

use std::collections::VecDeque;

use sni_probe_datapath::answer::Answer;
use sni_probe_datapath::event::{Event, EventHeader};
use sni_probe_datapath::seq::SeqNumber;

use super::clock::Scale;
use super::config::TrackerConfig;
use super::connection::Connection;
use crate::flow::{Place, Timestamp, WireKey};
use crate::observation::Observation;
use crate::server_reply;

/// Where a step happens, and where its results go.
pub(super) struct Context<'a> {
    pub(super) key: WireKey,
    pub(super) connection: &'a mut Connection,
    pub(super) scale: Scale,
    pub(super) config: &'a TrackerConfig,
    pub(super) observations: &'a mut VecDeque<Observation>,
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
    pub(super) place: Place,
}

impl Sighting {
    pub(super) fn of(header: &EventHeader) -> Self {
        Self { time: Timestamp(header.time_ns), place: Place(header.ifindex) }
    }
}
