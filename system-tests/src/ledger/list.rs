//! The client's list: every handshake that it has begun, and what happened to it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::behaviour::Behaviour;
use super::hello::{Mark, Random};
use super::table::BEHAVIOURS;
use crate::{CLIENT_V4, CLIENT_V6, GATEWAY_V4, GATEWAY_V6};

/// Differences and faults of a kind that are kept as text.
const MAX_TEXTS: usize = 3;

/// The address family of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) family: Family,
    /// The client's port.
    pub(super) source: u16,
    /// The gateway's port.
    pub(super) port: u16,
}

impl Place {
    pub(super) fn client(self) -> SocketAddr {
        let address = if self.family == Family::V4 { CLIENT_V4 } else { CLIENT_V6 };
        SocketAddr::new(address, self.source)
    }

    pub(super) fn gateway(self) -> SocketAddr {
        let address = if self.family == Family::V4 { GATEWAY_V4 } else { GATEWAY_V6 };
        SocketAddr::new(address, self.port)
    }
}

/// A handshake that the client has begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListedConnection {
    /// The line in the table of behaviours.
    pub(super) behaviour: u8,
    /// The line in the table of hellos.
    pub(super) template: u8,
    /// How many bytes of the hello were sent.
    pub(super) bytes: u16,
    pub(super) place: Place,
    /// When, since 1970.
    pub(super) began: Duration,
    /// How long it took by the client's clock until its outcome was seen, if it went as the table says.
    pub(super) took: Option<Duration>,
    /// The gateway's kernel answered the SYN, which carried the hello, with a RST.
    pub(super) is_refused: bool,
}

impl ListedConnection {
    pub(super) fn behaviour(&self) -> &'static Behaviour {
        &BEHAVIOURS[usize::from(self.behaviour)]
    }

    /// The random of the hello of the handshake with this number.
    pub(super) fn random(&self, number: u64, seed: u64) -> Random {
        Mark { number, behaviour: self.behaviour, bytes: self.bytes }.random(seed)
    }
}

/// What the client has done.
#[derive(Debug)]
pub(super) struct List {
    /// By number.
    pub(super) entries: Vec<ListedConnection>,
    /// Connections without a hello, by line in the table of behaviours.
    pub(super) others: Vec<u64>,
    /// Connections that did not go as the table says, by behaviour.
    pub(super) astray: Texts,
}

impl List {
    pub(super) fn new() -> Self {
        Self { entries: Vec::new(), others: vec![0; BEHAVIOURS.len()], astray: Texts::default() }
    }

    /// Gives the next handshake its number.
    pub(super) fn begin(&mut self, behaviour: usize, template: usize, bytes: usize, place: Place) -> u64 {
        let number = self.entries.len() as u64;
        self.entries.push(ListedConnection {
            behaviour: u8::try_from(behaviour).expect("a short table"),
            template: u8::try_from(template).expect("a short table"),
            bytes: u16::try_from(bytes).expect("a hello has less than 64 KiB"),
            place,
            began: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            took: None,
            is_refused: false,
        });
        number
    }

    /// The gateway's kernel has refused the SYN of this handshake.
    pub(super) fn refuse(&mut self, number: u64, took: Duration) {
        self.settle(number, took);
        if let Some(entry) = usize::try_from(number).ok().and_then(|index| self.entries.get_mut(index)) {
            entry.is_refused = true;
        }
    }

    /// The outcome of this handshake has been seen.
    pub(super) fn settle(&mut self, number: u64, took: Duration) {
        if let Some(entry) = usize::try_from(number).ok().and_then(|index| self.entries.get_mut(index)) {
            entry.took = Some(took);
        }
    }
}

/// Many texts by their kind: how many there are, and the first.
#[derive(Debug, Default)]
pub(super) struct Texts(BTreeMap<String, Kind>);

#[derive(Debug, Default)]
struct Kind {
    count: u64,
    first: Vec<String>,
}

impl Texts {
    pub(super) fn add(&mut self, kind: impl Into<String>, text: impl FnOnce() -> String) {
        let kind = self.0.entry(kind.into()).or_default();
        kind.count += 1;
        if kind.first.len() < MAX_TEXTS {
            kind.first.push(text());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, Kind { count, first }) in &self.0 {
            writeln!(f, "{kind}: {count}")?;
            first.iter().try_for_each(|text| writeln!(f, "    {text}"))?;
        }
        Ok(())
    }
}
