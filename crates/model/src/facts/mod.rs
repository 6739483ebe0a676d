//! Facts about refusals: what separates the handshakes that a gateway refused from those that it served.
//!
//! ```text
//! Observation ─▶ RefusalFacts: by gateway, refused and served handshakes by profile
//!                     └─▶ separation: which properties explain the refusals ─▶ FactsReport
//! ```
//!
//! - Nothing is guessed from one handshake: a [`Fact`] that separates needs [`MIN_HANDSHAKES`] refused handshakes with a property
//!   and as many served ones without it. With fewer, or where something else explains the handshakes as well, it is a hint.
//! - Handshakes without SNI are explained by that, where the gateway serves none of them.
//! - A name that was served once is never one of the names of [`FactName::OneName`].
//!
//! ```
//! use sni_probe_core::clients::ClientLabel;
//! use sni_probe_core::observation::{Handshake, Outcome};
//! use sni_probe_model::facts::{FactName, RefusalFacts};
//!
//! let mut facts = RefusalFacts::default();
//! for (length, outcome) in [(1_551, Outcome::ResetByGateway), (320, Outcome::ServerHello)].repeat(3) {
//!     let mut handshake = Handshake::example();
//!     handshake.hello.sni = sni_probe_core::observation::Sni::Present("api.example".to_owned());
//!     handshake.hello.length = length;
//!     handshake.outcome = outcome;
//!     facts.add(&handshake);
//! }
//! let report = facts.report(&ClientLabel::Ip);
//! let fact = &report.gateways[0].facts[0];
//! assert_eq!((fact.name(), fact.refused, fact.served), (Some(FactName::HelloSize), 3, 3));
//! ```

mod derive;
mod gateway;
mod predicate;
mod profile;
mod properties;
mod recent;
mod report;
mod sender;
mod separation;
mod shape;
#[cfg(test)]
mod tests;
mod text;
mod view;

use std::cmp::Reverse;
use std::net::SocketAddr;

use sni_probe_core::Observation;
use sni_probe_core::clients::ClientLabel;
use sni_probe_core::observation::Handshake;
use sni_probe_core::tally::Tally;
use sni_probe_core::vocabulary::{Fate, NonTls};

pub use self::derive::MAX_LISTED;
use self::gateway::{Gateway, Room};
pub use self::recent::{RecentFacts, WINDOW};
pub use self::report::{
    Certainty, Detail, Fact, FactName, FactsReport, GatewayFacts, KnownGateway, Property, PropertyCounts,
    RefusedName, ShapeCount, ValueCounts, VersionRule,
};
pub use self::separation::MIN_HANDSHAKES;

/// Gateways that are distinguished, each by its address and port.
pub const MAX_GATEWAYS: usize = 64;

/// Profiles, names, ALPN lists, clients and forms of refusals that are kept, of all gateways together.
pub const MAX_ENTRIES: usize = 4_096;

/// The same of captures, which have more gateways, and end.
const MAX_ENTRIES_OF_CAPTURES: usize = 16 * MAX_ENTRIES;

/// Counts of refused and served handshakes of gateways, from which the facts follow.
///
/// The memory has a bound, whatever comes. To count a handshake with a known name and known properties costs a few look-ups
/// and no allocation.
#[derive(Clone, Debug)]
pub struct RefusalFacts {
    gateways: Tally<SocketAddr, Gateway, OtherGateways>,
    /// Connections that began with an HTTP request.
    plain_http_requests: Tally<SocketAddr, u64>,
    room: Room,
    ports: Ports,
}

/// Which ports are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Those of gateways only: plain HTTP has no place there.
    Gateways,
    /// All: some of them are of plain HTTP, unless a ClientHello came as well.
    All,
}

/// Handshakes of gateways for which there was no room.
#[derive(Clone, Copy, Debug, Default)]
struct OtherGateways {
    refused: u64,
    served: u64,
}

impl Default for RefusalFacts {
    fn default() -> Self {
        Self::with_room(MAX_GATEWAYS, MAX_ENTRIES, Ports::Gateways)
    }
}

impl RefusalFacts {
    /// An empty one with more room, for captures.
    pub fn for_captures(ports: Ports) -> Self {
        Self::with_room(MAX_GATEWAYS * 16, MAX_ENTRIES_OF_CAPTURES, ports)
    }

    fn with_room(gateways: usize, entries: usize, ports: Ports) -> Self {
        Self {
            gateways: Tally::new(gateways),
            plain_http_requests: Tally::new(gateways),
            room: Room(entries),
            ports,
        }
    }

    /// Counts a handshake, or a connection that is not TLS. Every other observation is ignored.
    pub fn observe(&mut self, observation: &Observation) {
        match observation {
            Observation::Handshake(handshake) => self.add(handshake),
            Observation::NonTls { flow, protocol: NonTls::Http, .. } => self.plain_http_request(flow.gateway),
            Observation::NonTls { .. }
            | Observation::ClientHello { .. }
            | Observation::Unclassified { .. }
            | Observation::Evicted { .. } => {}
        }
    }

    /// Counts a handshake.
    pub fn add(&mut self, handshake: &Handshake) {
        let Self { gateways, room, .. } = self;
        match gateways.entry(&handshake.flow.gateway, || Some(Gateway::default())) {
            Ok(gateway) => gateway.add(handshake, room),
            Err(others) => match handshake.outcome.fate() {
                Fate::Refused => others.refused += 1,
                Fate::Served => others.served += 1,
                Fate::Failed | Fate::Unknown => {}
            },
        }
    }

    /// Counts a connection to this gateway that began with an HTTP request.
    pub fn plain_http_request(&mut self, gateway: SocketAddr) {
        *self.plain_http_requests.of(&gateway) += 1;
    }

    /// Adds what was counted later.
    pub fn add_later(&mut self, later: &Self) {
        let Self { gateways, room, .. } = self;
        for (address, gateway) in later.gateways.iter() {
            match gateways.entry(address, || Some(Gateway::default())) {
                Ok(sum) => sum.add_later(gateway, room),
                Err(others) => {
                    let (refused, served) = gateway.refused_and_served();
                    others.refused += refused;
                    others.served += served;
                }
            }
        }
        for (address, count) in later.plain_http_requests.iter() {
            *self.plain_http_requests.of(address) += count;
        }
        *self.plain_http_requests.rest_mut() += later.plain_http_requests.rest();
        let (sum, others) = (gateways.rest_mut(), later.gateways.rest());
        sum.refused += others.refused;
        sum.served += others.served;
    }

    /// The facts. `label` says how clients are shown.
    pub fn report(&self, label: &ClientLabel) -> FactsReport {
        let nothing = Gateway::default();
        let of_http_only = self
            .plain_http_requests
            .iter()
            .map(|(address, _)| address)
            .filter(|address| self.ports == Ports::Gateways && self.gateways.get(*address).is_none());
        let all = self.gateways.iter().chain(of_http_only.map(|address| (address, &nothing)));
        let facts = |(address, gateway): (&SocketAddr, &Gateway)| {
            let requests = self.plain_http_requests.get(address).copied().unwrap_or_default();
            (*address, derive::gateway_facts(*address, gateway, requests, label))
        };
        let mut gateways: Vec<(SocketAddr, GatewayFacts)> = all.map(facts).collect();
        gateways.sort_by_key(|(address, facts)| (Reverse(facts.refused), *address));
        let others = self.gateways.rest();
        FactsReport {
            gateways: gateways.into_iter().map(|(_, facts)| facts).collect(),
            other_refused: others.refused,
            other_served: others.served,
        }
    }
}
