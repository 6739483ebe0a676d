//! A client, a gateway, a TLS version and a situation.

use super::clients::Client;
use super::gateways::Gateway;
use super::places::Release;
use super::situation::{Situation, Version};

/// A client, a gateway and a situation.
#[derive(Debug, Clone, Copy)]
pub struct Combination {
    /// The client.
    pub client: Client,
    /// The gateway.
    pub gateway: Gateway,
    /// The version of TLS.
    pub version: Version,
    /// The situation.
    pub situation: Situation,
}

impl Combination {
    /// Returns its name in reports and filters: `nginx, curl, TLS 1.3, distrusted`. Debian unstable is marked `(sid)`.
    pub fn name(&self) -> String {
        let of = |name: &str, release: Release| match release {
            Release::Sid => format!("{name} (sid)"),
            Release::Bookworm | Release::Machine => name.to_owned(),
        };
        let (gateway, client) =
            (of(self.gateway.name, self.gateway.release), of(self.client.name, self.client.release));
        let options = if self.client.options.is_empty() { "" } else { " " };
        let client = format!("{client}{options}{}", self.client.options);
        format!("{gateway}, {client}, TLS {}, {}", self.version.dotted(), self.situation.word())
    }

    fn is_possible(&self) -> bool {
        let gateway_can = self.situation != Situation::EarlyData
            || (self.gateway.takes_early_data && self.version == Version::Tls13);
        gateway_can && self.client.can(self.situation)
    }
}

/// Returns all possible combinations of these clients and gateways.
pub fn product(clients: &[Client], gateways: &[Gateway]) -> Vec<Combination> {
    let pairs = gateways.iter().flat_map(|gateway| clients.iter().map(move |client| (client, gateway)));
    let with_versions = pairs.flat_map(|pair| Version::ALL.map(|version| (pair, version)));
    let all = with_versions.flat_map(|((client, gateway), version)| {
        Situation::ALL.map(|situation| Combination { client: *client, gateway: *gateway, version, situation })
    });
    all.filter(Combination::is_possible).collect()
}
