//! What sni-probe saw on the wire, from whichever of its outputs.

mod capture;
mod scrape;

use std::net::IpAddr;

use sni_probe_core::clients::GCP_LB;

pub(crate) use self::capture::of_capture;
pub(crate) use self::scrape::Scrape;

/// Clients and names that are told apart; those that come later are counted together. Stops a scan
/// with forged addresses or names from filling the memory.
const MAX_TOLD_APART: usize = 16_384;

/// Handshakes, and who made them.
#[derive(Clone, Debug, Default)]
pub(crate) struct WireFacts {
    /// Where they were seen: a URL, a file.
    pub(crate) source: String,
    /// Handshakes by what they say of the name and what became of them.
    pub(crate) counts: Vec<Count>,
    /// Alerts of the gateway in answer to a hello, those of the client apart.
    pub(crate) alerts: Vec<Alert>,
    /// Clients without SNI, those refused most first.
    pub(crate) clients: Vec<Client>,
    /// Names that were refused, most often first.
    pub(crate) refused_names: Vec<(String, u64)>,
    /// Hellos by the highest TLS version that they offer.
    pub(crate) tls_versions: Vec<(String, u64)>,
    /// Handshakes without SNI of load balancers, and how many of them were refused.
    pub(crate) expected: Refusals,
    /// What is not whole about it, in words.
    pub(crate) remarks: Vec<String>,
}

/// Handshakes of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    /// `present`, `absent`, `empty`, `invalid` or `unknown`.
    pub(crate) sni: String,
    /// As in `sni_probe_handshakes_total`.
    pub(crate) outcome: String,
    /// How many.
    pub(crate) handshakes: u64,
}

/// Alerts of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alert {
    /// As in [`Count`].
    pub(crate) sni: String,
    /// Its name in IANA's registry.
    pub(crate) description: String,
    /// Whether the gateway sent it, and not the client.
    pub(crate) by_gateway: bool,
    /// How many.
    pub(crate) count: u64,
}

/// A client without SNI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// Its address, or what stands for it (`--client-label`).
    pub(crate) label: String,
    /// The software that its hello is likely of.
    pub(crate) likely: Option<String>,
    /// Handshakes without SNI, and those refused.
    pub(crate) refusals: Refusals,
}

/// Handshakes, and how many of them the gateway refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusals {
    /// In all.
    pub(crate) handshakes: u64,
    /// Those that were reset, closed or answered with an alert.
    pub(crate) refused: u64,
}

/// Alerts that say that client and gateway have nothing in common to speak.
const MISMATCHES: [&str; 3] = ["protocol_version", "insufficient_security", "handshake_failure"];

impl WireFacts {
    /// Handshakes in all.
    pub(crate) fn handshakes(&self) -> u64 {
        self.sum(|_| true)
    }

    /// Handshakes without SNI: absent, empty, invalid.
    pub(crate) fn without_sni(&self) -> u64 {
        self.sum(|count| is_without(&count.sni))
    }

    /// Handshakes without SNI that the gateway served.
    pub(crate) fn served_without_sni(&self) -> u64 {
        self.sum(|count| is_without(&count.sni) && count.outcome == "server_hello")
    }

    /// Handshakes without SNI that the gateway refused, by reset, close or alert; those for want of a common TLS version
    /// apart. A `handshake_failure` is of them unless others without SNI are served: some gateways say it for want of a name.
    pub(crate) fn refused_without_sni(&self, is_served: bool) -> u64 {
        let ended = self.sum(|count| is_without(&count.sni) && is_end_by_gateway(&count.outcome));
        ended + self.alerts(|alert| is_without(&alert.sni) && !is_mismatch(alert, is_served))
    }

    /// Handshakes with a name that the gateway refused; those for want of a common TLS version or cipher apart.
    pub(crate) fn refused_with_name(&self) -> u64 {
        let ended = self.sum(|count| count.sni == "present" && is_end_by_gateway(&count.outcome));
        ended + self.alerts(|alert| alert.sni == "present" && !is_mismatch(alert, true))
    }

    /// Alerts of the gateway that say that there is no common TLS version or cipher.
    pub(crate) fn mismatches(&self, is_served: bool) -> u64 {
        self.alerts(|alert| is_mismatch(alert, is_served || !is_without(&alert.sni)))
    }

    /// Handshakes that failed though the gateway neither reset nor closed nor alerted.
    pub(crate) fn failed_elsewhere(&self) -> u64 {
        let ended = self.sum(|count| {
            matches!(count.outcome.as_str(), "timeout" | "reset_by_client" | "closed_by_client")
        });
        let by_client: u64 =
            self.alerts.iter().filter(|alert| !alert.by_gateway).map(|alert| alert.count).sum();
        ended + by_client
    }

    /// Whether most of what was refused without SNI comes from load balancers.
    pub(crate) fn is_mostly_load_balancers(&self) -> bool {
        let refused: u64 = self.clients.iter().map(|client| client.refusals.refused).sum();
        self.expected.refused > 0 && self.expected.refused * 2 >= refused.max(self.expected.refused)
    }

    fn sum(&self, is_wanted: impl Fn(&Count) -> bool) -> u64 {
        self.counts.iter().filter(|count| is_wanted(count)).map(|count| count.handshakes).sum()
    }

    fn alerts(&self, is_wanted: impl Fn(&Alert) -> bool) -> u64 {
        let wanted = self.alerts.iter().filter(|alert| alert.by_gateway && is_wanted(alert));
        wanted.map(|alert| alert.count).sum()
    }
}

/// Whether hellos of this class have no name by which a certificate could be chosen.
pub(crate) fn is_without(sni: &str) -> bool {
    matches!(sni, "absent" | "empty" | "invalid")
}

/// Whether the address is one from which Google's load balancers and their health checks speak.
pub(crate) fn is_load_balancer(client: &str) -> bool {
    client.parse::<IpAddr>().is_ok_and(|address| GCP_LB.iter().any(|network| network.contains(&address)))
}

fn is_end_by_gateway(outcome: &str) -> bool {
    matches!(outcome, "reset_by_gateway" | "closed_by_gateway")
}

fn is_mismatch(alert: &Alert, failure_counts: bool) -> bool {
    MISMATCHES.contains(&alert.description.as_str())
        && (failure_counts || alert.description != "handshake_failure")
}
