//! The packets that are held of connections with the same addresses and ports, one after the other.

use sni_probe_core::flow::FlowKey;
use sni_probe_datapath::seq::SeqNumber;

use super::segment::Segment;

/// Connections of one 4-tuple that are distinguished. Packets of further ones are held with the last one.
const MAX_FLOWS: usize = 4;

/// The connections of one 4-tuple that have no outcome yet, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct OpenFlows(Vec<OpenFlow>);

/// What is held of one connection.
#[derive(Debug, Default)]
pub(super) struct OpenFlow {
    /// The client's initial sequence number, if its SYN was seen.
    isn: Option<SeqNumber>,
    /// Whether the client has sent data.
    has_spoken: bool,
    /// Places of the held packets.
    pub(super) packets: Vec<u64>,
    pub(super) bytes: usize,
    /// Not all of its packets are held.
    pub(super) is_cut: bool,
}

impl OpenFlows {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many packets are held.
    pub(super) fn packets(&self) -> u64 {
        self.0.iter().map(|flow| flow.packets.len() as u64).sum()
    }

    /// Returns the connection of a packet, without a segment the last one. A SYN with a new sequence number opens one.
    pub(super) fn of(&mut self, key: &FlowKey, segment: Option<&Segment>) -> &mut OpenFlow {
        let number = segment.and_then(|segment| segment.number(key.client));
        let opens = segment.is_some_and(Segment::opens);
        let flows = &mut self.0;
        let place = match number {
            Some(number) if opens => flows.iter().position(|flow| flow.isn == Some(number)),
            // The nearest one before the number.
            Some(number) => {
                let known = flows.iter().enumerate().filter_map(|(place, flow)| Some((flow.isn?, place)));
                known.min_by_key(|&(isn, _)| number.distance_from(isn)).map(|(_, place)| place)
            }
            None => None,
        };
        if place.is_none() && (flows.is_empty() || opens && flows.len() < MAX_FLOWS) {
            // Nearly always the only one: a vector takes room for four otherwise.
            flows.reserve_exact(1);
            flows.push(OpenFlow { isn: number.filter(|_| opens), ..OpenFlow::default() });
        }
        let last = flows.len() - 1;
        let flow = &mut flows[place.unwrap_or(last)];
        flow.has_spoken |=
            segment.is_some_and(|segment| segment.source == key.client && segment.has_payload());
        flow
    }

    /// Takes the connection that has an outcome: the first one with data of the client. Those before it had no hello:
    /// their packets are taken with it.
    pub(super) fn take_first(&mut self) -> OpenFlow {
        let spoken = self.0.iter().position(|flow| flow.has_spoken);
        let end = spoken.map_or(self.0.len(), |place| place + 1);
        let mut taken = OpenFlow::default();
        for flow in self.0.drain(..end) {
            taken.packets.extend(flow.packets);
            taken.bytes += flow.bytes;
            taken.is_cut |= flow.is_cut;
        }
        taken
    }
}
