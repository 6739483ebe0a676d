//! Which handshakes the user asked for.

use ipnet::IpNet;
use sni_probe_core::observation::Handshake;
use sni_probe_core::vocabulary::{OutcomeClass, SniClass};

use super::config::Config;

/// The filters of the command line. An empty one lets all pass.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    sni: Vec<SniClass>,
    outcome: Vec<OutcomeClass>,
    clients: Vec<IpNet>,
}

impl Selection {
    pub(super) fn of(config: &Config) -> Self {
        let Config { sni, outcome, client, .. } = config.clone();
        Self { sni, outcome, clients: client }
    }

    /// Whether all filters let the handshake pass.
    pub(super) fn selects(&self, handshake: &Handshake) -> bool {
        let client = handshake.client().ip();
        is_among(&self.sni, &handshake.hello.sni.class())
            && is_among(&self.outcome, &handshake.outcome.class())
            && (self.clients.is_empty() || self.clients.iter().any(|network| network.contains(&client)))
    }
}

fn is_among<T: PartialEq>(wanted: &[T], value: &T) -> bool {
    wanted.is_empty() || wanted.contains(value)
}
