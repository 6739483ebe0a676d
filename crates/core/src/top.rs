//! The heavy hitters of a stream in bounded memory: which few keys get a series of their own.
//!
//! ```text
//! add(key) ─▶ in the top? ── yes ─▶ its value
//!                 │ no
//!                 ▼
//!             candidates (space-saving) ── well ahead of the weakest of the top? ─▶ takes its place
//!                 │ no
//!                 ▼
//!             nobody's: the caller counts it under "other"
//! ```
//!
//! The candidates are counted with the space-saving sketch (Metwally, Agrawal, El Abbadi, "Efficient computation of
//! frequent and top-k elements in data streams", ICDT 2005): when there is no room, a new key takes the place
//! of the one with the least count, and inherits that count as its possible error. So a key that makes up more than
//! one in [`Top::candidates`] of what comes is always among them.
//!
//! What the paper does not have: the top is apart from the candidates and sticky. A key that has a series keeps it
//! until another one is certainly well ahead ([`LEAD`], [`MIN_LEAD`]), or until it is idle; counts halve with time, so
//! that what was heavy yesterday does not keep out what is heavy now.

use std::borrow::Borrow;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use hashbrown::HashTable;

use crate::flow::Timestamp;

/// How many times the score of the weakest of the top a candidate must have for certain to take its place.
/// Keys that come equally often so never take turns.
pub const LEAD: u32 = 2;

/// By how much, besides, it must be ahead: among keys seen once or twice chance decides.
pub const MIN_LEAD: u32 = 4;

/// Candidates at least, however small the top: with few of them many rare keys would push out a heavy one.
pub const MIN_CANDIDATES: usize = 1024;

/// Candidates for each place in the top.
const CANDIDATES_PER_PLACE: usize = 8;

/// Half-lives of scores in the time after which an idle key leaves.
const HALF_LIVES_PER_IDLE: u32 = 4;

/// The top keys, each with a value, and the candidates for the top.
///
/// [`add`](Self::add) costs a hash and a few comparisons, whatever the size; a change in the top, and
/// [`expire`](Self::expire), look at each place of the top once.
#[derive(Debug)]
pub struct Top<K, V> {
    places: usize,
    idle: Duration,
    hasher: RandomState,
    /// Where in `entries` a key is: those of the top and the candidates.
    index: HashTable<u32>,
    entries: Vec<Ranked<K, V>>,
    /// Numbers of the entries of the top, in no order.
    best: Vec<u32>,
    /// Numbers of the candidates: a heap, the least score first.
    heap: Vec<u32>,
    /// No key of the top has a lesser score than this: it saves looking at all of them.
    weakest: u32,
    /// When scores are to be halved.
    next_halving: Option<Timestamp>,
}

#[derive(Debug)]
struct Ranked<K, V> {
    key: K,
    /// How often it came, halved now and then: at most `error` too high.
    score: u32,
    error: u32,
    last: Timestamp,
    /// Where it is in `best` or `heap`.
    at: u32,
    /// There while it is in the top.
    value: Option<V>,
}

impl<K: Eq + Hash, V: Default> Top<K, V> {
    /// Room for `places` keys in the top, of which those leave that do not come for `idle`.
    pub fn new(places: usize, idle: Duration) -> Self {
        // Entries are numbered with 32 bits.
        let places = places.min(u32::MAX as usize / (2 * CANDIDATES_PER_PLACE));
        Self {
            places,
            idle,
            hasher: RandomState::new(),
            index: HashTable::new(),
            entries: Vec::new(),
            best: Vec::new(),
            heap: Vec::new(),
            weakest: 0,
            next_halving: None,
        }
    }

    /// How many keys can be in the top.
    pub fn places(&self) -> usize {
        self.places
    }

    /// How many candidates are counted at most.
    pub fn candidates(&self) -> usize {
        if self.places == 0 { 0 } else { MIN_CANDIDATES.max(self.places * CANDIDATES_PER_PLACE) }
    }

    /// Counts `key` once. Its value, if it is in the top now: one that came into the top by this has a new one.
    pub fn add<Q>(&mut self, key: &Q, now: Timestamp) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        if self.places == 0 {
            return None;
        }
        self.halve_if_due(now);
        let number = match self.find(key) {
            Some(number) => self.count(number, now),
            None if self.best.len() < self.places => self.push(key.to_owned(), now),
            None => self.replace_least(key.to_owned(), now),
        };
        if self.entries[number].value.is_none() {
            self.admit_if_ahead(number);
        }
        self.entries[number].value.as_mut()
    }

    /// The top: each key, when it came last, and its value.
    pub fn iter(&self) -> impl Iterator<Item = (&K, Timestamp, &V)> {
        self.best.iter().filter_map(|&number| {
            let entry = &self.entries[number as usize];
            Some((&entry.key, entry.last, entry.value.as_ref()?))
        })
    }

    /// How many keys are in the top.
    pub fn len(&self) -> usize {
        self.best.len()
    }

    /// Whether no key is in the top.
    pub fn is_empty(&self) -> bool {
        self.best.is_empty()
    }

    /// Takes those from the top that did not come for the time of [`new`](Self::new).
    pub fn expire(&mut self, now: Timestamp) {
        self.halve_if_due(now);
        let mut at = 0;
        while at < self.best.len() {
            let number = self.best[at] as usize;
            if self.entries[number].last.plus(self.idle) <= now {
                self.remove_from_top(number);
            } else {
                at += 1;
            }
        }
    }

    fn find<Q>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let found = self.index.find(hash, |&number| self.entries[number as usize].key.borrow() == key);
        found.map(|&number| number as usize)
    }

    fn count(&mut self, number: usize, now: Timestamp) -> usize {
        let entry = &mut self.entries[number];
        entry.score = entry.score.saturating_add(1);
        entry.last = entry.last.max(now);
        if entry.value.is_none() {
            let at = entry.at as usize;
            self.sift_down(at);
        }
        number
    }

    /// A key that is new, into the top: there is room.
    fn push(&mut self, key: K, now: Timestamp) -> usize {
        let at = index(self.best.len());
        let entry = Ranked { key, score: 1, error: 0, last: now, at, value: Some(V::default()) };
        let number = self.entries.len();
        self.entries.push(entry);
        self.best.push(index(number));
        self.weakest = 0;
        self.enter(number);
        number
    }

    /// A key that is new, among the candidates: in the place of the least of them if there is no room.
    fn replace_least(&mut self, key: K, now: Timestamp) -> usize {
        if self.heap.len() < self.candidates() {
            let at = index(self.heap.len());
            let number = self.entries.len();
            self.entries.push(Ranked { key, score: 1, error: 0, last: now, at, value: None });
            self.heap.push(index(number));
            self.sift_up(at as usize);
            self.enter(number);
            return number;
        }
        let number = self.heap[0] as usize;
        self.leave(number);
        let entry = &mut self.entries[number];
        entry.key = key;
        entry.error = entry.score;
        entry.score = entry.score.saturating_add(1);
        entry.last = now;
        self.enter(number);
        self.sift_down(0);
        number
    }

    /// Puts a candidate into the top if there is room, or one that it is certainly well ahead of.
    fn admit_if_ahead(&mut self, number: usize) {
        let Ranked { score, error, at, .. } = self.entries[number];
        let certain = score - error;
        if self.best.len() < self.places {
            self.remove_from_heap(at as usize);
            self.entries[number].at = index(self.best.len());
            self.entries[number].value = Some(V::default());
            self.best.push(index(number));
            self.weakest = 0;
            return;
        }
        if !is_ahead(certain, self.weakest) {
            return;
        }
        let score_of = |&number: &u32| self.entries[number as usize].score;
        let Some(weakest) = self.best.iter().copied().min_by_key(score_of) else { return };
        self.weakest = score_of(&weakest);
        if !is_ahead(certain, self.weakest) {
            return;
        }
        // They change places; what left the top is a candidate with what it has.
        let weakest = weakest as usize;
        let top_at = self.entries[weakest].at;
        self.entries[weakest].value = None;
        self.entries[weakest].at = at;
        self.heap[at as usize] = index(weakest);
        self.entries[number].value = Some(V::default());
        self.entries[number].at = top_at;
        self.best[top_at as usize] = index(number);
        self.sift_down(at as usize);
        let at = self.entries[weakest].at as usize;
        self.sift_up(at);
    }

    /// Halves all scores, once for each half-life that has passed.
    fn halve_if_due(&mut self, now: Timestamp) {
        let half_life = (self.idle / HALF_LIVES_PER_IDLE).max(Duration::from_secs(1));
        let due = *self.next_halving.get_or_insert(now.plus(half_life));
        if now < due {
            return;
        }
        let periods = 1 + now.since(due).as_nanos() / half_life.as_nanos();
        let shift = u32::try_from(periods).unwrap_or(u32::MAX).min(u32::BITS - 1);
        // The order stays, so the heap stays one.
        for entry in &mut self.entries {
            entry.score >>= shift;
            // Rounded down as well, the certain part of the score is never overrated by more than one.
            entry.error = (entry.error >> shift).min(entry.score);
        }
        self.weakest >>= shift;
        self.next_halving = Some(now.plus(half_life));
    }

    fn remove_from_top(&mut self, number: usize) {
        let at = self.entries[number].at as usize;
        self.best.swap_remove(at);
        if let Some(&moved) = self.best.get(at) {
            self.entries[moved as usize].at = index(at);
        }
        self.leave(number);
        self.remove_entry(number);
    }

    fn remove_from_heap(&mut self, at: usize) {
        self.heap.swap_remove(at);
        if let Some(&moved) = self.heap.get(at) {
            self.entries[moved as usize].at = index(at);
            self.sift_down(at);
            let at = self.entries[moved as usize].at as usize;
            self.sift_up(at);
        }
    }

    /// Removes an entry that is in no list any more; the last one gets its number.
    fn remove_entry(&mut self, number: usize) {
        let last = self.entries.len() - 1;
        if number != last {
            self.leave(last);
        }
        self.entries.swap_remove(number);
        if number != last {
            let Ranked { at, ref value, .. } = self.entries[number];
            let numbers = if value.is_some() { &mut self.best } else { &mut self.heap };
            numbers[at as usize] = index(number);
            self.enter(number);
        }
    }

    /// Makes an entry known by its key.
    fn enter(&mut self, number: usize) {
        let hash = self.hasher.hash_one(&self.entries[number].key);
        let Self { entries, hasher, index: table, .. } = self;
        table.insert_unique(hash, index(number), |&number| hasher.hash_one(&entries[number as usize].key));
    }

    /// The reverse of [`enter`](Self::enter).
    fn leave(&mut self, number: usize) {
        let hash = self.hasher.hash_one(&self.entries[number].key);
        if let Ok(found) = self.index.find_entry(hash, |&other| other as usize == number) {
            found.remove();
        }
    }

    fn sift_up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.score_at(parent) <= self.score_at(at) {
                return;
            }
            self.swap(at, parent);
            at = parent;
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let children = 2 * at + 1..(2 * at + 3).min(self.heap.len());
            let Some(least) = children.min_by_key(|&child| self.score_at(child)) else { return };
            if self.score_at(at) <= self.score_at(least) {
                return;
            }
            self.swap(at, least);
            at = least;
        }
    }

    fn score_at(&self, at: usize) -> u32 {
        self.entries[self.heap[at] as usize].score
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        for at in [a, b] {
            self.entries[self.heap[at] as usize].at = index(at);
        }
    }
}

fn is_ahead(certain: u32, weakest: u32) -> bool {
    certain >= weakest.saturating_mul(LEAD).max(weakest.saturating_add(MIN_LEAD))
}

/// The number of an entry or a place: there are never as many as 2^32, see [`Top::new`].
fn index(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
