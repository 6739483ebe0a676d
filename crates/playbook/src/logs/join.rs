//! Entries with a null name or without one, joined with what sni-probe saw of the same connection on the wire.
//!
//! The entries wait, by the client's address and port, until the events have been read. So events may come in any order and
//! number; what is bounded is the number of entries.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use sni_probe_model::{SniClass, Word};
use sni_probe_terminal::Progress;

use super::lines::{Line, Lines};
use super::report::Joined;
use super::tally::Words;

/// Entries that wait. Stops a log of a scan from filling the memory (about 100 bytes each); further ones are counted as
/// not joined.
const MAX_WAITING: usize = 1_000_000;

/// How far apart the times of an entry and its event may be. The entry's is when the connection began, the event's when the
/// hello was whole, for which Envoy waits 15 s; and the clocks of two machines differ. Of several events the nearest counts. A
/// client's port comes again after a minute at the earliest.
const WINDOW: SignedDuration = SignedDuration::from_secs(17);

/// Lines between two looks at the progress.
const LINES_AT_A_STRETCH: u64 = 4096;

/// Entries that wait for events.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    clients: HashMap<SocketAddr, Vec<Connection>>,
    count: usize,
    /// Entries for which there was no room.
    no_room: u64,
    /// Entries without an address and port.
    without_port: u64,
    by_address_alone: u64,
    events: u64,
}

/// An entry.
#[derive(Debug)]
struct Connection {
    /// `None` if the entry's time is not known: then any event with its address and port counts.
    time: Option<Timestamp>,
    /// The nearest event so far.
    seen: Option<NearestEvent>,
}

#[derive(Debug)]
struct NearestEvent {
    distance: SignedDuration,
    /// What the hello names; `None` if it has no name.
    name: Option<String>,
    /// Another event of an entry without a time says otherwise.
    is_contradicted: bool,
}

impl Waiting {
    pub(super) fn add(&mut self, client: Option<SocketAddr>, time: Option<Timestamp>) {
        match client {
            Some(client) if self.count < MAX_WAITING => {
                self.count += 1;
                self.by_address_alone += u64::from(time.is_none());
                self.clients.entry(client).or_default().push(Connection { time, seen: None });
            }
            Some(_) => self.no_room += 1,
            None => self.without_port += 1,
        }
    }

    /// Reads a file of events.
    ///
    /// # Errors
    /// If it cannot be read, or has no event. The message names the file.
    pub(super) fn read(&mut self, path: &Path) -> anyhow::Result<()> {
        let name = || path.display().to_string();
        let mut lines = Lines::open(path).with_context(name)?;
        let progress = Progress::new(&name(), lines.length());
        let (before, mut number) = (self.events, 0_u64);
        while let Some(line) = lines.next_line().with_context(name)? {
            if let Line::Text(text) = line
                && let Ok(event) = serde_json::from_slice(text)
            {
                self.see(&event);
            }
            number += 1;
            if number.is_multiple_of(LINES_AT_A_STRETCH) {
                progress.set(lines.position());
            }
        }
        anyhow::ensure!(
            self.events > before,
            "{}: not one event of sni-probe in {number} lines; write them with `sni-probe run --events-file FILE \
             --events-filter all` or `sni-probe replay --format json CAPTURE`",
            path.display()
        );
        Ok(())
    }

    /// What the events say of the entries.
    pub(super) fn finish(self) -> Joined {
        let mut joined = Joined {
            events: self.events,
            without_port: self.without_port,
            no_room: self.no_room,
            by_address_alone: self.by_address_alone,
            ..Joined::default()
        };
        let (mut without, mut names) = (Words::default(), Words::default());
        for (client, connections) in &self.clients {
            for connection in connections {
                match &connection.seen {
                    None => joined.not_seen += 1,
                    Some(NearestEvent { is_contradicted: true, .. }) => joined.undecided += 1,
                    Some(NearestEvent { name: Some(name), .. }) => {
                        joined.had_a_name += 1;
                        names.add(name);
                    }
                    Some(NearestEvent { name: None, .. }) => {
                        joined.really_without_sni += 1;
                        without.add(&client.ip().to_string());
                    }
                }
            }
        }
        joined.clients_without_sni = without.counted();
        joined.names = names.counted();
        joined
    }

    fn see(&mut self, event: &Event) {
        self.events += 1;
        let name = if event.sni.is_with_sni() {
            Some(event.server_name.as_deref().unwrap_or_default())
        } else if event.sni.is_without_sni() {
            None
        } else {
            // An incomplete ClientHello proves nothing.
            return;
        };
        // Behind a proxy the gateway's log may have the client's address, or the proxy's.
        let connections = match self.clients.get_mut(&canonical(event.client)) {
            None => event.peer.and_then(|peer| self.clients.get_mut(&canonical(peer))),
            found => found,
        };
        let Some(connections) = connections else { return };
        // Two timeless entries of one address and port are one as good as the other: each event counts for all of them.
        for connection in connections.iter_mut().filter(|connection| connection.time.is_none()) {
            match &mut connection.seen {
                Some(seen) => seen.is_contradicted |= seen.name.is_some() != name.is_some(),
                None => connection.seen = Some(NearestEvent::new(SignedDuration::ZERO, name)),
            }
        }
        let timed = connections.iter_mut().filter_map(|connection| {
            let distance = event.time.duration_since(connection.time?).abs();
            Some((distance, connection))
        });
        if let Some((distance, connection)) = timed.min_by_key(|(distance, _)| *distance) {
            let is_nearest = connection.seen.as_ref().is_none_or(|seen| distance < seen.distance);
            if distance <= WINDOW && is_nearest {
                connection.seen = Some(NearestEvent::new(distance, name));
            }
        }
    }
}

impl NearestEvent {
    fn new(distance: SignedDuration, name: Option<&str>) -> Self {
        Self { distance, name: name.map(str::to_owned), is_contradicted: false }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// What matters of an event (docs/events.md).
#[derive(Debug, Deserialize)]
struct Event {
    time: Timestamp,
    client: SocketAddr,
    peer: Option<SocketAddr>,
    sni: Word<SniClass>,
    server_name: Option<String>,
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
