//! Puts fragmented IP datagrams together (RFC 791, section 3.2; RFC 8200, section 4.5).
//!
//! ```text
//! fragment ─▶ its datagram, by Key ─▶ pieces, by offset ─▶ no hole left? ─▶ Whole
//!                │ too old, too many, too much: the oldest goes, counted
//! ```
//!
//! Fragments come in any order and may come twice. Where they overlap otherwise, no observer can know which
//! bytes the receiver took: the datagram is given up, with those of its fragments that are still to come (RFC
//! 5722 wants this for IPv6; Linux does it for IPv4 too).
//!
//! Datagrams are told apart by what IP says alone. In two tunnels with the same addresses inside of
//! both, two with one identification may pass for one: mostly they overlap, and are counted.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sni_probe_core::flow::Timestamp;

use super::fragment::{Fragment, Key};
use super::step::{FragmentAt, Payload};
use super::{SkipReason, Skipped};

/// Datagrams of which fragments are kept at once. Stops a flood of first fragments.
pub const MAX_DATAGRAMS: usize = 1024;

/// Bytes that are kept in all, with what their bookkeeping takes. Stops a flood of fragments that never
/// become whole: room for 60 datagrams of the greatest length.
pub const MAX_HELD_BYTES: usize = 4 << 20;

/// Fragments that one datagram may have. Stops one that comes in very small pieces from making each step
/// slow. 64 KiB are 45 fragments on Ethernet, and 119 where the link carries no more than IPv4 demands
/// (576 bytes); who cuts a ClientHello into the smallest pieces there are (8 bytes) needs 200 or so.
pub const MAX_FRAGMENTS: usize = 512;

/// How long the fragments of a datagram wait for each other, by the time of their frames: as in Linux
/// (`net.ipv4.ipfrag_time`). Stops fragments whose others were lost from meeting those of a later datagram
/// with the same identification.
pub const MAX_AGE: Duration = Duration::from_secs(30);

/// What became of a fragment.
#[derive(Debug)]
pub(super) enum Added {
    /// It was the last one missing.
    Whole(Whole),
    Kept,
    /// Its datagram is none of our business.
    Irrelevant,
    /// Counted.
    Refused(SkipReason),
}

/// A datagram that was put together.
#[derive(Debug, Default)]
pub(super) struct Whole {
    pub(super) bytes: Vec<u8>,
    /// The frames that it came in.
    pub(super) frames: Vec<u64>,
}

/// The fragments that wait for others.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    /// In the order in which their first fragments came.
    datagrams: BTreeMap<u64, Datagram>,
    places: HashMap<Key, u64>,
    next_place: u64,
    held_bytes: usize,
}

#[derive(Debug)]
struct Datagram {
    key: Key,
    /// Its key among the datagrams.
    place: u64,
    first_seen: Timestamp,
    state: DatagramState,
}

#[derive(Debug)]
enum DatagramState {
    Open(Pieces),
    /// It is known that it will not be looked at, and why. What comes of it is not kept.
    Closed(Option<SkipReason>),
}

#[derive(Debug, Default)]
struct Pieces {
    /// Of the fragment that the datagram begins with.
    header: Vec<u8>,
    protocol: u8,
    protocol_at: usize,
    /// In order, disjoint.
    parts: Vec<Piece>,
    received: usize,
    /// Where the datagram ends, once its last fragment is there.
    end: Option<usize>,
    frames: Vec<u64>,
}

#[derive(Debug)]
struct Piece {
    start: usize,
    data: Box<[u8]>,
}

impl Fragments {
    /// Keeps the fragment in an IP packet that came in these frames: more than one if a datagram that was put
    /// together is itself a fragment.
    pub(super) fn add(
        &mut self,
        packet: Payload<'_>,
        at: FragmentAt,
        frames: &[u64],
        now: Timestamp,
        skipped: &mut Skipped,
    ) -> Added {
        self.expire(now, skipped);
        let fragment = Fragment::read(packet, at).filter(|fragment| !fragment.is_malformed());
        let Some(fragment) = fragment else {
            skipped.add(SkipReason::Malformed, frames.len());
            return Added::Refused(SkipReason::Malformed);
        };
        let is_irrelevant = fragment.is_irrelevant();
        let waiting = self.take(fragment.key);
        // Identifications come round: the beginning of something else is another datagram.
        let waiting = waiting.filter(|datagram| {
            let begins = fragment.offset == 0 && !is_irrelevant;
            !(begins && matches!(datagram.state, DatagramState::Closed(None)))
        });
        let mut datagram = waiting.unwrap_or_else(|| self.new_datagram(fragment.key, now));
        let (state, added) = match datagram.state {
            DatagramState::Open(_) if is_irrelevant => (DatagramState::Closed(None), Added::Irrelevant),
            DatagramState::Open(mut pieces) => match pieces.insert(&fragment, frames) {
                Ok(()) if pieces.are_whole() => return pieces.join(fragment.key, skipped),
                Ok(()) => (DatagramState::Open(pieces), Added::Kept),
                Err(reason) => {
                    skipped.add(reason, pieces.frames.len() + frames.len());
                    (DatagramState::Closed(Some(reason)), Added::Refused(reason))
                }
            },
            DatagramState::Closed(Some(reason)) => {
                skipped.add(reason, frames.len());
                (DatagramState::Closed(Some(reason)), Added::Refused(reason))
            }
            // Mostly nothing comes after the last one.
            DatagramState::Closed(None) if fragment.is_last => return Added::Irrelevant,
            DatagramState::Closed(None) => (DatagramState::Closed(None), Added::Irrelevant),
        };
        datagram.state = state;
        self.put(datagram);
        while self.datagrams.len() > MAX_DATAGRAMS || self.held_bytes > MAX_HELD_BYTES {
            self.give_up_oldest(SkipReason::FragmentsOverflow, skipped);
        }
        added
    }

    /// Gives up everything that is kept.
    pub(super) fn clear(&mut self, skipped: &mut Skipped) {
        while !self.datagrams.is_empty() {
            self.give_up_oldest(SkipReason::FragmentsMissing, skipped);
        }
    }

    fn expire(&mut self, now: Timestamp, skipped: &mut Skipped) {
        while let Some(oldest) = self.datagrams.first_entry()
            && now.since(oldest.get().first_seen) > MAX_AGE
        {
            self.give_up_oldest(SkipReason::FragmentsMissing, skipped);
        }
    }

    fn give_up_oldest(&mut self, reason: SkipReason, skipped: &mut Skipped) {
        let Some((_, oldest)) = self.datagrams.pop_first() else { return };
        self.places.remove(&oldest.key);
        self.held_bytes -= oldest.size();
        if let DatagramState::Open(pieces) = oldest.state {
            skipped.add(reason, pieces.frames.len());
        }
    }
    fn new_datagram(&mut self, key: Key, first_seen: Timestamp) -> Datagram {
        let place = self.next_place;
        self.next_place += 1;
        Datagram { key, place, first_seen, state: DatagramState::Open(Pieces::default()) }
    }

    fn take(&mut self, key: Key) -> Option<Datagram> {
        let place = self.places.remove(&key)?;
        let datagram = self.datagrams.remove(&place)?;
        self.held_bytes -= datagram.size();
        Some(datagram)
    }

    fn put(&mut self, datagram: Datagram) {
        self.held_bytes += datagram.size();
        self.places.insert(datagram.key, datagram.place);
        self.datagrams.insert(datagram.place, datagram);
    }
}

impl Datagram {
    /// Memory that counts as held, in bytes.
    fn size(&self) -> usize {
        let DatagramState::Open(pieces) = &self.state else { return 0 };
        pieces.header.len()
            + pieces.received
            + pieces.parts.len() * size_of::<Piece>()
            + pieces.frames.len() * size_of::<u64>()
    }
}

impl Pieces {
    fn insert(&mut self, fragment: &Fragment<'_>, frames: &[u64]) -> Result<(), SkipReason> {
        let &Fragment { offset: start, is_last, data, data_len, .. } = fragment;
        if data.len() < data_len {
            return Err(SkipReason::Truncated);
        }
        let at = self.parts.partition_point(|piece| piece.start < start);
        let next = self.parts.get(at);
        if next.is_some_and(|next| next.start == start && *next.data == *data) {
            return Ok(());
        }
        let end = start + data_len;
        let previous_end = at.checked_sub(1).map_or(0, |previous| self.parts[previous].end());
        let overlaps = previous_end > start || next.is_some_and(|next| next.start < end);
        // One end, and nothing behind it.
        let ends_elsewhere = match self.end {
            Some(known) => end > known || is_last && end < known,
            None => is_last && next.is_some(),
        };
        if overlaps || ends_elsewhere {
            return Err(SkipReason::FragmentsOverlap);
        }
        if self.parts.len() == MAX_FRAGMENTS {
            return Err(SkipReason::FragmentsOverflow);
        }
        if start == 0 {
            self.header = fragment.header.to_vec();
            self.protocol = fragment.protocol;
            self.protocol_at = fragment.protocol_at;
        }
        if is_last {
            self.end = Some(end);
        }
        self.received += data_len;
        self.frames.extend_from_slice(frames);
        self.parts.insert(at, Piece { start, data: data.into() });
        Ok(())
    }

    /// Disjoint pieces that add up to the length leave no hole.
    fn are_whole(&self) -> bool {
        self.end == Some(self.received)
    }

    /// The datagram, with the header that it would have had if it had been sent whole.
    fn join(self, key: Key, skipped: &mut Skipped) -> Added {
        let mut bytes = self.header;
        bytes.reserve_exact(self.received);
        for piece in &self.parts {
            bytes.extend_from_slice(&piece.data);
        }
        let (len_at, not_in_len) = match key {
            Key::V4 { .. } => (2, 0),
            Key::V6 { .. } => (4, 40),
        };
        let Ok(len) = u16::try_from(bytes.len() - not_in_len) else {
            skipped.add(SkipReason::Malformed, self.frames.len());
            return Added::Refused(SkipReason::Malformed);
        };
        let mut set = |at: usize, value: &[u8]| {
            if let Some(field) = bytes.get_mut(at..at + value.len()) {
                field.copy_from_slice(value);
            }
        };
        set(len_at, &len.to_be_bytes());
        set(self.protocol_at, &[self.protocol]);
        if let Key::V4 { .. } = key {
            // Flags and offset.
            set(6, &[0, 0]);
        }
        Added::Whole(Whole { bytes, frames: self.frames })
    }
}

impl Piece {
    fn end(&self) -> usize {
        self.start + self.data.len()
    }
}

#[cfg(test)]
impl Fragments {
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }
}
