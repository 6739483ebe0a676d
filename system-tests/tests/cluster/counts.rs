//! What the DaemonSet counts of clients outside of the cluster, beside the gateway's own counters.

use serde_json::json;
use system_tests::cluster::{Clients, NAMESPACE};

use crate::site::{Release, assert_counts, cluster, gateway};

const CLIENTS: Clients = Clients { served: 5, without: 4, unknown: 3 };

#[test]
fn counts_are_those_of_envoy_and_of_the_clients() {
    let gateway = gateway();
    let _release = Release::install(&json!({}));
    let before = gateway.stats().unwrap();
    let metrics = assert_counts(&gateway, Clients::default(), CLIENTS);
    let stats = gateway.stats().unwrap().since(&before);
    assert_eq!(stats.handshake, CLIENTS.served);
    assert_eq!(stats.sni_not_found, CLIENTS.without);
    assert_eq!(stats.no_filter_chain_match, CLIENTS.without + CLIENTS.unknown);
    assert_eq!(metrics.count("sni_probe_attached", &[("interface", "gw0")]), 2);
    assert_eq!(cluster().pods(NAMESPACE).unwrap().len(), 1);
}
