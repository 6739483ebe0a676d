//! Who connects without SNI: the top clients, their fingerprints, and the names that were refused.
//!
//! ```text
//! Handshake ─┬─ without SNI ─┬─ client ──────▶ one of the top, other, or expected
//!            │               └─ fingerprint ─▶ one of the top, or other
//!            └─ with SNI, refused ── name ───▶ one of the top, or other
//! ```
//!
//! Each handshake adds one to exactly one of each. What leaves the top takes its counts with it: poured
//! into "other" they would look like traffic.

mod expected;
mod label;
mod outcomes;
mod record;

use std::time::Duration;

pub use self::expected::{ExpectedSources, GCP_LB};
pub use self::label::{ClientKey, ClientLabel, HashKey, SubnetSizes};
pub use self::outcomes::{AlertFrom, Outcomes, Refusals};
pub use self::record::{ClientRecord, MAX_ALPN_BYTES, MAX_OFFERS, MAX_RECENT, Offer, Recent};
use crate::distinct::{Distinct, DistinctHasher};
use crate::flow::Timestamp;
use crate::last_hour::LastHour;
use crate::observation::{Handshake, Sni};
use crate::top::Top;
use crate::vocabulary::Feature;

/// Clients, fingerprints and names each in the top, unless configured otherwise.
pub const DEFAULT_TOP: usize = 100;

/// After which time without a handshake they leave the top, unless configured otherwise.
pub const DEFAULT_IDLE: Duration = Duration::from_hours(1);

/// What is told of clients.
#[derive(Clone, Debug)]
pub struct ClientsConfig {
    /// How many clients, fingerprints and names there are each in the top.
    pub top: usize,
    /// After which time without a handshake they leave it.
    pub idle: Duration,
    /// How clients are told apart.
    pub label: ClientLabel,
    /// From whom hellos without SNI are expected.
    pub expected: ExpectedSources,
}

impl Default for ClientsConfig {
    fn default() -> Self {
        Self {
            top: DEFAULT_TOP,
            idle: DEFAULT_IDLE,
            label: ClientLabel::Ip,
            expected: ExpectedSources::default(),
        }
    }
}

/// The books of clients, fingerprints and names. Their size has a bound whatever comes: see [`Top`].
#[derive(Debug)]
pub struct Clients {
    config: ClientsConfig,
    top: Top<ClientKey, ClientRecord>,
    other: Outcomes,
    expected: Outcomes,
    fingerprints: Top<String, Outcomes>,
    other_fingerprints: Outcomes,
    names: Top<String, Refusals>,
    other_names: Refusals,
    hasher: DistinctHasher,
    distinct: Distinct<14>,
    refused: LastHour<Distinct<REFUSED_PRECISION>>,
    /// The latest time that was seen.
    now: Timestamp,
}

/// 60 sketches of 4 KiB each, with a standard error of 1.6 %.
const REFUSED_PRECISION: u32 = 12;

impl Clients {
    /// Nobody yet.
    pub fn new(config: ClientsConfig) -> Self {
        // Without labels there is nobody to tell.
        let places = if config.label == ClientLabel::None { 0 } else { config.top };
        Self {
            top: Top::new(places, config.idle),
            fingerprints: Top::new(config.top, config.idle),
            names: Top::new(config.top, config.idle),
            other: Outcomes::default(),
            expected: Outcomes::default(),
            other_fingerprints: Outcomes::default(),
            other_names: Refusals::default(),
            hasher: DistinctHasher::default(),
            distinct: Distinct::default(),
            refused: LastHour::default(),
            now: Timestamp::default(),
            config,
        }
    }

    /// Whether hellos without SNI are expected from this address.
    pub fn is_expected(&self, client: std::net::IpAddr) -> bool {
        self.config.expected.contain(client)
    }

    /// The latest time that was seen.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What it was told.
    pub fn config(&self) -> &ClientsConfig {
        &self.config
    }

    /// Books a handshake whose outcome became known at `now`.
    pub fn handshake(&mut self, handshake: &Handshake, now: Timestamp) {
        self.now = self.now.max(now);
        if handshake.hello.sni.class().is_without_sni() {
            self.without_sni(handshake, now);
        } else if let Sni::Present(name) = &handshake.hello.sni
            && handshake.outcome.is_refused()
        {
            let refusals = self.names.add(name.as_str(), now).unwrap_or(&mut self.other_names);
            refusals.count(handshake.outcome, handshake.hello.features.contains(Feature::Ech));
        }
    }

    fn without_sni(&mut self, handshake: &Handshake, now: Timestamp) {
        let sni = handshake.hello.sni.class();
        let outcome = handshake.outcome;
        // Without one (nobody asked for it) it is none of the top.
        let ja4 = handshake.hello.body.as_ref().and_then(|body| body.ja4.as_deref());
        let known = ja4.and_then(|ja4| self.fingerprints.add(ja4, now));
        known.unwrap_or(&mut self.other_fingerprints).count(sni, outcome);

        let address = handshake.client().ip();
        if self.is_expected(address) {
            self.expected.count(sni, outcome);
            return;
        }
        let hash = self.hasher.hash(address);
        self.distinct.insert(hash);
        if handshake.outcome.is_refused() {
            self.refused.at(now).insert(hash);
        }
        let key = self.config.label.key(address);
        match key.and_then(|key| self.top.add(&key, now)) {
            Some(record) => record.count(handshake, now),
            None => self.other.count(sni, outcome),
        }
    }

    /// Takes those from the top that were idle for too long.
    pub fn expire(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.top.expire(now);
        self.fingerprints.expire(now);
        self.names.expire(now);
    }

    /// The top clients without SNI, in no order.
    pub fn top(&self) -> impl Iterator<Item = (&ClientKey, &ClientRecord)> {
        self.top.iter().map(|(key, _, record)| (key, record))
    }

    /// Handshakes without SNI of all other clients.
    pub fn other(&self) -> &Outcomes {
        &self.other
    }

    /// Handshakes without SNI of expected sources.
    pub fn expected(&self) -> &Outcomes {
        &self.expected
    }

    /// The JA4 fingerprints of most hellos without SNI, expected sources included, in no order.
    pub fn fingerprints(&self) -> impl Iterator<Item = (&str, &Outcomes)> {
        self.fingerprints.iter().map(|(ja4, _, outcomes)| (ja4.as_str(), outcomes))
    }

    /// Handshakes without SNI and with any other fingerprint.
    pub fn other_fingerprints(&self) -> &Outcomes {
        &self.other_fingerprints
    }

    /// The names that were refused most, in no order.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Refusals)> {
        self.names.iter().map(|(name, _, refusals)| (name.as_str(), refusals))
    }

    /// Refusals of all other names.
    pub fn other_names(&self) -> &Refusals {
        &self.other_names
    }

    /// About how many clients connected without SNI since the start, expected sources apart.
    pub fn distinct(&self) -> u64 {
        self.distinct.estimate()
    }

    /// About how many of them the gateway refused in the last hour: up to the latest [`handshake`](Self::handshake) or
    /// [`expire`](Self::expire).
    pub fn distinct_refused(&self) -> u64 {
        let mut all = Distinct::<REFUSED_PRECISION>::default();
        for (_, minute) in self.refused.iter(self.now) {
            all.unite(minute);
        }
        all.estimate()
    }
}

#[cfg(test)]
mod tests;
