//! What sni-probe saw on the wire, from whichever of its outputs.

mod api;
mod capture;
mod scrape;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use sni_probe_core::clients::GCP_LB;
use sni_probe_model::api::AlertCount;
use sni_probe_model::facts::{Fact, FactsReport, GatewayFacts, Property, PropertyCounts};
use sni_probe_model::{AlertDescription, Fate, Label as _, OutcomeClass, SniClass, Word};

pub(super) use self::api::of_snapshot;
pub(super) use self::capture::of_capture;
#[cfg(test)]
pub(super) use self::capture::of_observations;
pub(super) use self::scrape::of_scrape;

/// Clients and names that are distinguished; later ones are counted together. Stops a scan
/// with forged addresses or names from filling the memory.
const MAX_TOLD_APART: usize = 16_384;

/// Handshakes, and who made them.
#[derive(Clone, Debug, Default)]
pub(super) struct WireFacts {
    /// Where they were seen: a URL, a file.
    pub source: String,
    /// Handshakes by what they say of the name and what became of them.
    pub counts: Vec<Count>,
    /// Alerts in answer to a hello, of either side.
    pub alerts: Vec<AlertCount>,
    /// Clients without SNI, the ones refused most first.
    pub clients: Vec<ClientFacts>,
    /// Handshakes without SNI of all clients that are not in `clients`.
    pub other_clients: RefusalCount,
    /// Names that were refused, most often first.
    pub refused_names: Vec<(String, u64)>,
    /// Those of them that the gateway served in another handshake, where the source shows this. A scrape does not.
    pub served_names: BTreeSet<String>,
    /// Hellos by the highest TLS version that they offer.
    pub tls_versions: Vec<(String, u64)>,
    /// Handshakes without SNI of load balancers and of known clients, and how many of them were refused.
    pub expected: RefusalCount,
    /// Events that did not reach the daemon.
    pub lost_events: u64,
    /// Connections of a scrape that began with an HTTP request. Other sources have them as a fact.
    pub plain_http: u64,
    /// Of a scrape, incomplete `ClientHello`s by reason. Other sources have them as a fact.
    pub incomplete: BTreeMap<String, u64>,
    /// What the refusals of each gateway show; of a scrape, nothing.
    pub refusals: FactsReport,
    /// Parts of the traffic that were not read or not watched, in words.
    pub unread: Vec<String>,
    /// What else a reader has to know, in words.
    pub remarks: Vec<String>,
}

/// Handshakes of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub sni: Word<SniClass>,
    pub outcome: Word<OutcomeClass>,
    pub handshakes: u64,
}

/// A client without SNI: what every source of facts knows of it, a scrape included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClientFacts {
    /// Its address, or what stands for it (`--client-label`).
    pub label: String,
    /// The software that its hello is likely of.
    pub likely: Option<String>,
    /// Handshakes without SNI, and those refused.
    pub refusals: RefusalCount,
}

/// Handshakes, and how many of them the gateway refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RefusalCount {
    /// In all.
    pub handshakes: u64,
    /// Those that the gateway refused.
    pub refused: u64,
}

impl RefusalCount {
    fn add(&mut self, other: Self) {
        self.handshakes += other.handshakes;
        self.refused += other.refused;
    }

    fn since(self, before: Self) -> Self {
        match self.handshakes.checked_sub(before.handshakes).zip(self.refused.checked_sub(before.refused)) {
            Some((handshakes, refused)) => Self { handshakes, refused },
            None => self,
        }
    }
}

/// Alerts that say that client and gateway have no TLS version or cipher suite in common. A `handshake_failure` may mean this or
/// anything else (RFC 8446, section 6.2): Node.js, sniproxy, Erlang and JSSE send it for want of a certificate.
const MISMATCHES: [AlertDescription; 4] = [
    AlertDescription::ProtocolVersion,
    AlertDescription::InsufficientSecurity,
    AlertDescription::InappropriateFallback,
    AlertDescription::HandshakeFailure,
];

impl WireFacts {
    /// Handshakes in all.
    pub(super) fn handshakes(&self) -> u64 {
        self.sum(|_| true)
    }

    /// Handshakes without SNI.
    pub(super) fn without_sni(&self) -> u64 {
        self.sum(|count| count.sni.is_without_sni())
    }

    /// Handshakes with a host name.
    pub(super) fn with_sni(&self) -> u64 {
        self.sum(|count| count.sni.is_with_sni())
    }

    /// Handshakes that the gateway served.
    pub(super) fn served(&self) -> u64 {
        self.sum(is_served)
    }

    /// Handshakes without SNI that the gateway served.
    pub(super) fn served_without_sni(&self) -> u64 {
        self.sum(|count| count.sni.is_without_sni() && is_served(count))
    }

    /// Handshakes without SNI that the gateway refused; those for want of a common TLS version
    /// apart. A `handshake_failure` is one of them unless others without SNI are served.
    pub(super) fn refused_without_sni(&self, is_served: bool) -> u64 {
        self.refused(Word::is_without_sni, |alert| !is_mismatch(alert, is_served))
    }

    /// Handshakes with a name that the gateway refused; those for want of a common TLS version or cipher apart.
    pub(super) fn refused_with_name(&self) -> u64 {
        let is_failure_mismatch = self.is_failure_with_name_mismatch();
        self.refused(Word::is_with_sni, |alert| !is_mismatch(alert, is_failure_mismatch))
    }

    /// Handshakes with an incomplete hello that the gateway refused; those for want of a common TLS version apart.
    pub(super) fn refused_with_unknown_sni(&self) -> u64 {
        let is_unknown = |sni: &Word<SniClass>| !sni.is_without_sni() && !sni.is_with_sni();
        self.refused(is_unknown, |alert| !is_mismatch(alert, false))
    }

    /// Alerts of the gateway that say that there is no common TLS version or cipher.
    pub(super) fn mismatches(&self, is_served: bool) -> u64 {
        let with_name = self.is_failure_with_name_mismatch();
        self.alerts(|alert| {
            let is_failure_mismatch =
                if alert.sni.is_without_sni() { is_served } else { alert.sni.is_with_sni() && with_name };
            alert.fate() == Fate::Refused && is_mismatch(alert, is_failure_mismatch)
        })
    }

    /// Whether a `handshake_failure` in answer to a name says that there is no common cipher suite: all refused names are served to
    /// other clients, so the name is not the reason; or the gateway sent one of the clear alerts as well.
    fn is_failure_with_name_mismatch(&self) -> bool {
        let all_served = !self.refused_names.is_empty()
            && self.refused_names.iter().all(|(name, _)| self.served_names.contains(name));
        all_served
            || self.alerts(|alert| {
                alert.fate() == Fate::Refused && alert.sni.is_with_sni() && is_mismatch(alert, false)
            }) > 0
    }

    /// Alerts of the gateway with this description.
    pub(super) fn alerts_of(&self, description: AlertDescription) -> u64 {
        self.alerts(|alert| alert.fate() == Fate::Refused && alert.description.known() == Some(description))
    }

    /// Handshakes that failed though the gateway neither reset nor closed nor alerted.
    pub(super) fn failed_elsewhere(&self) -> u64 {
        let ended = self.sum(|count| {
            matches!(
                count.outcome.known(),
                Some(OutcomeClass::Timeout | OutcomeClass::ResetByClient | OutcomeClass::ClosedByClient)
            )
        });
        ended + self.alerts(|alert| alert.fate() == Fate::Failed)
    }

    /// Handshakes that ended because the client rejected the gateway's certificate.
    pub(super) fn certificates_rejected(&self) -> u64 {
        self.with_outcome(OutcomeClass::RejectedByClient)
    }

    /// Handshakes that the gateway ended for want of a client certificate, or because of it.
    pub(super) fn client_certificates_refused(&self) -> u64 {
        self.with_outcome(OutcomeClass::ClientCertificateRefused)
    }

    /// Connections that the gateway had closed before the ClientHello came.
    pub(super) fn closed_first(&self) -> u64 {
        self.with_outcome(OutcomeClass::GatewayClosedFirst)
    }

    /// Handshakes with an incomplete ClientHello.
    pub(super) fn unknown_sni(&self) -> u64 {
        self.handshakes() - self.without_sni() - self.with_sni()
    }

    /// Facts about the refusals, with the gateway that each is about.
    pub(super) fn facts(&self) -> impl Iterator<Item = (&str, &Fact)> {
        self.refusals
            .gateways
            .iter()
            .flat_map(|gateway| gateway.facts.iter().map(|fact| (gateway.gateway.as_str(), fact)))
    }

    fn with_outcome(&self, outcome: OutcomeClass) -> u64 {
        self.sum(|count| count.outcome.known() == Some(outcome))
    }

    /// Whether most of what was refused without SNI comes from load balancers.
    pub(super) fn is_mostly_load_balancers(&self) -> bool {
        let refused: u64 = self.clients.iter().map(|client| client.refusals.refused).sum();
        let refused = refused + self.other_clients.refused;
        self.expected.refused > 0 && self.expected.refused * 2 >= refused.max(self.expected.refused)
    }

    /// What came since `before`. What is lower now was counted anew.
    pub(super) fn since(mut self, before: &Self) -> Self {
        let less = |now: u64, before: Option<u64>| now.checked_sub(before.unwrap_or(0)).unwrap_or(now);
        for count in &mut self.counts {
            let same = before.counts.iter().find(|it| it.sni == count.sni && it.outcome == count.outcome);
            count.handshakes = less(count.handshakes, same.map(|it| it.handshakes));
        }
        for alert in &mut self.alerts {
            let same = before.alerts.iter().find(|it| {
                (&it.sni, &it.description, &it.sender) == (&alert.sni, &alert.description, &alert.sender)
            });
            alert.alerts = less(alert.alerts, same.map(|it| it.alerts));
        }
        let clients: HashMap<&str, RefusalCount> =
            before.clients.iter().map(|client| (client.label.as_str(), client.refusals)).collect();
        for client in &mut self.clients {
            let same = clients.get(client.label.as_str()).copied();
            client.refusals = client.refusals.since(same.unwrap_or_default());
        }
        for (now, before) in
            [(&mut self.refused_names, &before.refused_names), (&mut self.tls_versions, &before.tls_versions)]
        {
            let before: HashMap<&str, u64> = before.iter().map(|(word, n)| (word.as_str(), *n)).collect();
            for (word, count) in now.iter_mut() {
                *count = less(*count, before.get(word.as_str()).copied());
            }
            now.retain(|(_, count)| *count > 0);
            now.sort_by_key(|(_, count)| Reverse(*count));
        }
        self.counts.retain(|count| count.handshakes > 0);
        self.alerts.retain(|alert| alert.alerts > 0);
        self.clients.retain(|client| client.refusals.handshakes > 0);
        self.clients.sort_by_key(|client| Reverse(client.refusals.refused));
        self.other_clients = self.other_clients.since(before.other_clients);
        self.expected = self.expected.since(before.expected);
        // It is not known which of the handshakes that served them are new.
        self.served_names.clear();
        self.lost_events = less(self.lost_events, Some(before.lost_events));
        self.plain_http = less(self.plain_http, Some(before.plain_http));
        self
    }

    /// Adds connections of which no handshake is known: those reset before a `ClientHello`, and those given up for want of room.
    fn add_unread(&mut self, reset: u64, evicted: u64) {
        let all = [
            (reset, "connections that were reset before a ClientHello was seen"),
            (evicted, "connections that were given up for want of room"),
        ];
        let seen = all.iter().filter(|(count, _)| *count > 0);
        self.unread.extend(seen.map(|(count, what)| format!("{what}: {count}")));
    }

    /// Takes in a client. The handshakes of a load balancer are expected as well.
    fn add_client(&mut self, client: ClientFacts) {
        if is_load_balancer(&client.label) {
            self.expected.add(client.refusals);
        }
        self.clients.push(client);
    }

    fn refused(
        &self,
        is_wanted: impl Fn(&Word<SniClass>) -> bool,
        is_alert_wanted: impl Fn(&AlertCount) -> bool,
    ) -> u64 {
        let ended = self.sum(|count| is_wanted(&count.sni) && count.outcome.fate(None) == Fate::Refused);
        ended
            + self.alerts(|alert| {
                alert.fate() == Fate::Refused && is_wanted(&alert.sni) && is_alert_wanted(alert)
            })
    }

    fn sum(&self, is_wanted: impl Fn(&Count) -> bool) -> u64 {
        self.counts.iter().filter(|count| is_wanted(count)).map(|count| count.handshakes).sum()
    }

    fn alerts(&self, is_wanted: impl Fn(&AlertCount) -> bool) -> u64 {
        self.alerts.iter().filter(|alert| is_wanted(alert)).map(|alert| alert.alerts).sum()
    }
}

/// Refused handshakes without SNI of a gateway, of all that it refused or served; `None` if they are not counted, as in an older daemon.
pub(super) fn counts_without_sni(gateway: &GatewayFacts) -> Option<RefusalCount> {
    let is_name = |counts: &&PropertyCounts| counts.property.known() == Some(Property::KnownName);
    let names = gateway.properties.iter().find(is_name)?;
    let mut sum = RefusalCount::default();
    for value in &names.values {
        if SniClass::WITHOUT_SNI.iter().any(|class| class.as_str() == value.value) {
            sum.add(RefusalCount { handshakes: value.refused + value.served, refused: value.refused });
        }
    }
    Some(sum)
}

/// Whether the address is one from which Google's load balancers and their health checks speak.
pub(super) fn is_load_balancer(client: &str) -> bool {
    client.parse::<IpAddr>().is_ok_and(|address| GCP_LB.iter().any(|network| network.contains(&address)))
}

fn is_served(count: &Count) -> bool {
    count.outcome.fate(None) == Fate::Served
}

fn is_mismatch(alert: &AlertCount, failure_counts: bool) -> bool {
    alert.description.known().is_some_and(|description| {
        MISMATCHES.contains(&description)
            && (failure_counts || description != AlertDescription::HandshakeFailure)
    })
}
