//! The packets that are held of connections with the same addresses and ports, one after the other.

use sni_probe_common::seq::SeqNumber;
use sni_probe_core::flow::FlowKey;

use super::segment::Segment;

/// Connections of one 4-tuple that are told apart. Packets of others are held with the last one.
const MAX_FLOWS: usize = 4;

/// The connections of one 4-tuple whose outcome is open.
#[derive(Debug, Default)]
pub(super) struct OpenFlows {
    /// In the order in which they began. There is room for one without an allocation of its own.
    first: Option<OpenFlow>,
    later: Vec<OpenFlow>,
}

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
        self.first.is_none()
    }

    /// How many packets are held.
    pub(super) fn packets(&self) -> u64 {
        self.iter().map(|flow| flow.packets.len() as u64).sum()
    }

    /// The connection of a packet; a SYN with another number than those before opens one. Without a segment, the last one.
    pub(super) fn of(&mut self, key: &FlowKey, segment: Option<&Segment>) -> &mut OpenFlow {
        let number = segment.and_then(|segment| segment.number(key.client));
        let opens = segment.is_some_and(Segment::opens);
        let place = match number {
            Some(number) if opens => self.iter().position(|flow| flow.isn == Some(number)),
            // The one that began last before the number.
            Some(number) => (0..self.len())
                .filter_map(|place| Some((self.get(place)?.isn?, place)))
                .min_by_key(|&(isn, _)| number.distance_from(isn))
                .map(|(_, place)| place),
            None => None,
        };
        let len = self.len();
        let place = match place {
            Some(place) => place,
            None if len == 0 || (opens && len < MAX_FLOWS) => self.push(number.filter(|_| opens)),
            None => len - 1,
        };
        let flow = self.get_mut(place);
        flow.has_spoken |=
            segment.is_some_and(|segment| segment.source == key.client && segment.has_payload());
        flow
    }

    /// Takes the connection that has an outcome: the first one whose client has spoken. What is held of those before it goes
    /// with it, for they had no hello.
    pub(super) fn take_first(&mut self) -> OpenFlow {
        let mut taken = self.pop().unwrap_or_default();
        while !taken.has_spoken
            && let Some(flow) = self.pop()
        {
            taken.packets.extend(flow.packets);
            taken.bytes += flow.bytes;
            taken.is_cut |= flow.is_cut;
            taken.has_spoken = flow.has_spoken;
        }
        taken
    }

    fn push(&mut self, isn: Option<SeqNumber>) -> usize {
        let flow = OpenFlow { isn, ..OpenFlow::default() };
        match self.first {
            None => self.first = Some(flow),
            Some(_) => self.later.push(flow),
        }
        self.len() - 1
    }

    fn pop(&mut self) -> Option<OpenFlow> {
        let next = (!self.later.is_empty()).then(|| self.later.remove(0));
        std::mem::replace(&mut self.first, next)
    }

    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.later.len()
    }

    fn iter(&self) -> impl Iterator<Item = &OpenFlow> {
        self.first.iter().chain(&self.later)
    }

    fn get(&self, place: usize) -> Option<&OpenFlow> {
        self.iter().nth(place)
    }

    fn get_mut(&mut self, place: usize) -> &mut OpenFlow {
        match place.checked_sub(1) {
            None => self.first.get_or_insert_default(),
            Some(place) => &mut self.later[place],
        }
    }
}
