//! Where the flows live: a slab, an index of it by connection, and for each stage a queue in the
//! order in which flows entered it.
//!
//! All flows of a stage have the same time to live, so the front of its queue is always the next to
//! expire: no timer wheel, and no step costs more with more flows. The queues are linked through the
//! slab, which makes a flow cost one slot and about six bytes of index.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

use crate::flow::{Timestamp, WireKey};

/// Stages of a flow: each has a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The hello is not whole.
    Collecting,
    /// The hello waits for its outcome.
    Awaiting,
    /// There is a ServerHello, and the handshake goes on.
    Answered,
    /// Nothing more is to be learned of it.
    Ignored,
    /// The same, after the connection's end.
    Closed,
}

impl Stage {
    pub(super) const ALL: [Self; 5] =
        [Self::Collecting, Self::Awaiting, Self::Answered, Self::Ignored, Self::Closed];
}

/// Names a flow as long as it is in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlowId(u32);

/// No slot.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct FlowTable<T> {
    slots: Vec<Slot<T>>,
    index: HashTable<u32>,
    hasher: RandomState,
    /// First of the vacant slots, which are linked by `next`.
    vacant: u32,
    queues: [Queue; Stage::ALL.len()],
}

#[derive(Debug)]
struct Slot<T> {
    key: WireKey,
    /// Neighbours in the queue.
    previous: u32,
    next: u32,
    /// When the flow entered its stage.
    since: Timestamp,
    /// Which queue it is in.
    stage: Stage,
    /// `None` in a vacant slot.
    flow: Option<T>,
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    front: u32,
    back: u32,
}

impl<T> FlowTable<T> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::new(),
            vacant: NONE,
            queues: [Queue { front: NONE, back: NONE }; Stage::ALL.len()],
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn find(&self, key: &WireKey) -> Option<FlowId> {
        let hash = self.hasher.hash_one(key);
        let found = self.index.find(hash, |&slot| self.slots[slot as usize].key == *key);
        found.map(|&slot| FlowId(slot))
    }

    /// Adds a flow at the back of its stage's queue. The key must not be in the table.
    pub(super) fn insert(&mut self, key: WireKey, stage: Stage, since: Timestamp, flow: T) -> FlowId {
        let slot = Slot { key, previous: NONE, next: NONE, since, stage, flow: Some(flow) };
        let at = if self.vacant == NONE {
            self.slots.push(slot);
            u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
        } else {
            let at = self.vacant;
            self.vacant = std::mem::replace(&mut self.slots[at as usize], slot).next;
            at
        };
        let hash_of = |slot: &u32| self.hasher.hash_one(self.slots[*slot as usize].key);
        self.index.insert_unique(self.hasher.hash_one(key), at, hash_of);
        self.enqueue(at, stage);
        FlowId(at)
    }

    pub(super) fn remove(&mut self, id: FlowId) -> Option<T> {
        let key = self.slots[id.0 as usize].key;
        let entry = self.index.find_entry(self.hasher.hash_one(key), |&slot| slot == id.0).ok()?;
        entry.remove();
        self.unlink(id.0);
        let slot = &mut self.slots[id.0 as usize];
        slot.next = std::mem::replace(&mut self.vacant, id.0);
        slot.flow.take()
    }

    pub(super) fn key(&self, id: FlowId) -> WireKey {
        self.slots[id.0 as usize].key
    }

    pub(super) fn get_mut(&mut self, id: FlowId) -> Option<&mut T> {
        self.slots[id.0 as usize].flow.as_mut()
    }

    /// Puts a flow at the back of a stage's queue. `since` must not be earlier than that of any other
    /// flow in it: the caller's clock never goes back.
    pub(super) fn enter(&mut self, id: FlowId, stage: Stage, since: Timestamp) {
        self.unlink(id.0);
        self.slots[id.0 as usize].since = since;
        self.enqueue(id.0, stage);
    }

    /// The flow that has been in `stage` for the longest, and since when.
    pub(super) fn oldest(&self, stage: Stage) -> Option<(FlowId, Timestamp)> {
        let front = self.queues[stage as usize].front;
        (front != NONE).then(|| (FlowId(front), self.slots[front as usize].since))
    }

    fn enqueue(&mut self, at: u32, stage: Stage) {
        let back = std::mem::replace(&mut self.queues[stage as usize].back, at);
        let slot = &mut self.slots[at as usize];
        slot.stage = stage;
        slot.previous = back;
        slot.next = NONE;
        if back == NONE {
            self.queues[stage as usize].front = at;
        } else {
            self.slots[back as usize].next = at;
        }
    }

    fn unlink(&mut self, at: u32) {
        let Slot { previous, next, stage, .. } = self.slots[at as usize];
        if previous == NONE {
            self.queues[stage as usize].front = next;
        } else {
            self.slots[previous as usize].next = next;
        }
        if next == NONE {
            self.queues[stage as usize].back = previous;
        } else {
            self.slots[next as usize].previous = previous;
        }
    }
}

#[cfg(test)]
impl<T> FlowTable<T> {
    /// Heap memory in use, without that of the flows themselves, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<T>>() + self.index.allocation_size()
    }

    pub(super) const SLOT_BYTES: usize = size_of::<Slot<T>>();

    /// Every flow, queue by queue from the front; asserts that all links agree.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Stage, &T)> {
        let mut flows = Vec::new();
        for stage in Stage::ALL {
            let mut previous = NONE;
            let mut at = self.queues[stage as usize].front;
            let mut since = Timestamp(0);
            while at != NONE {
                let slot = &self.slots[at as usize];
                assert_eq!(slot.previous, previous);
                assert!(since <= slot.since, "a queue is in the order of time");
                assert_eq!(slot.stage, stage);
                flows.push((stage, slot.flow.as_ref().unwrap()));
                (previous, at, since) = (at, slot.next, slot.since);
            }
            assert_eq!(self.queues[stage as usize].back, previous);
        }
        assert_eq!(flows.len(), self.index.len());
        flows.into_iter()
    }
}
