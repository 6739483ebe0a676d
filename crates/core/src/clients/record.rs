//! The record of a client without SNI.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::outcomes::Outcomes;
use crate::flow::Timestamp;
use crate::last_hour::LastHour;
use crate::observation::{Handshake, HelloBody, Negotiated, Outcome};
use crate::software;
use crate::vocabulary::{SniClass, TlsVersion};

/// Handshakes of a client that are kept.
pub const MAX_RECENT: usize = 8;

/// Offered versions, and ALPN names, of a hello that are kept: real hellos have half as many. A hello can have
/// thousands.
pub const MAX_OFFERS: usize = 16;

/// Bytes of an ALPN name that are kept.
pub const MAX_ALPN_BYTES: usize = 32;

/// Counts the handshakes of a client without SNI, or of several clients under one label, and keeps the last ones.
#[derive(Clone, Debug, Default)]
pub struct ClientRecord {
    /// Its handshakes.
    pub outcomes: Outcomes,
    /// When the first hello was whole.
    pub first_seen: Timestamp,
    /// When the last one was.
    pub last_seen: Timestamp,
    /// When the last one was that the gateway refused.
    pub last_refused: Option<Timestamp>,
    /// What the last hello offered.
    pub offer: Option<Offer>,
    /// The last handshakes, oldest first: at most [`MAX_RECENT`].
    pub recent: VecDeque<Recent>,
    /// Handshakes a minute.
    pub per_minute: LastHour<u32>,
}

/// What a hello without SNI offered, cut to what is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// As [`HelloBody::version`].
    pub version: TlsVersion,
    /// As [`HelloBody::offered_versions`], the first [`MAX_OFFERS`].
    pub offered_versions: Vec<u16>,
    /// As [`HelloBody::alpn`], the first [`MAX_OFFERS`], of each the first [`MAX_ALPN_BYTES`].
    pub alpn: Vec<Vec<u8>>,
    /// As [`HelloBody::ja4`].
    pub ja4: Option<String>,
    /// As [`HelloBody::ja3`].
    pub ja3: Option<String>,
}

/// A handshake in short.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recent {
    /// When the hello was whole.
    pub time: Timestamp,
    /// What it said of the server's name.
    pub sni: SniClass,
    /// What became of it.
    pub outcome: Outcome,
    /// What the ServerHello chose.
    pub negotiated: Option<Negotiated>,
    /// As [`Handshake::latency`].
    pub latency: Duration,
    /// The gateway.
    pub gateway: SocketAddr,
}

impl ClientRecord {
    /// Counts a handshake without SNI. Its outcome became known at `now`.
    pub fn count(&mut self, handshake: &Handshake, now: Timestamp) {
        let sni = handshake.hello.sni.class();
        self.outcomes.count(sni, handshake.outcome);
        if self.recent.is_empty() {
            self.first_seen = handshake.time;
        }
        self.first_seen = self.first_seen.min(handshake.time);
        self.last_seen = self.last_seen.max(handshake.time);
        if handshake.outcome.is_refused() {
            self.last_refused = self.last_refused.max(Some(handshake.time));
        }
        if let Some(body) = &handshake.hello.body {
            self.note_offer(body);
        }
        if self.recent.len() == MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent {
            time: handshake.time,
            sni,
            outcome: handshake.outcome,
            negotiated: handshake.answer.negotiated,
            latency: handshake.latency,
            gateway: handshake.flow.gateway,
        });
        *self.per_minute.at(now) += 1;
    }

    /// The software that the last hello is likely of: [`software::likely`].
    pub fn likely(&self) -> Option<&'static str> {
        let offer = self.offer.as_ref()?;
        software::likely(offer.ja4.as_deref(), offer.ja3.as_deref())
    }

    /// Copies what a hello offers. A client offers the same each time: then nothing is copied.
    fn note_offer(&mut self, body: &HelloBody) {
        if self.offer.as_ref().is_none_or(|offer| offer.ja4.is_none() || offer.ja4 != body.ja4) {
            self.offer = Some(Offer::of(body));
        }
    }
}

impl Offer {
    fn of(body: &HelloBody) -> Self {
        let cut = |name: &Vec<u8>| name.iter().copied().take(MAX_ALPN_BYTES).collect();
        Self {
            version: body.version,
            offered_versions: body.offered_versions.iter().copied().take(MAX_OFFERS).collect(),
            alpn: body.alpn.iter().take(MAX_OFFERS).map(cut).collect(),
            ja4: body.ja4.clone(),
            ja3: body.ja3.clone(),
        }
    }
}
