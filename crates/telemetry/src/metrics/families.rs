//! The names, labels and help texts of all families.
//!
//! Names and units follow Prometheus' conventions: prefix, base units, `_total` on counters.

use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::{
    CounterVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry,
};

use super::table::{Key, Table};

/// What all names of this program's own begin with.
pub(super) const PREFIX: &str = "sni_probe_";

pub(super) const CLIENT_HELLOS: Family = Family {
    name: "sni_probe_client_hellos_total",
    help: "ClientHellos seen, by what they say of the server's name and the highest TLS version they offer.",
    labels: &["source", "sni", "tls_version"],
};

pub(super) const CLIENT_HELLO_FEATURES: Family = Family {
    name: "sni_probe_client_hello_features_total",
    help: "ClientHellos with a property; one hello may have several.",
    labels: &["feature"],
};

pub(super) const INCOMPLETE_CLIENT_HELLOS: Family = Family {
    name: "sni_probe_incomplete_client_hellos_total",
    help: "ClientHellos that began and never became whole, by reason; their sni is unknown.",
    labels: &["reason"],
};

pub(super) const HANDSHAKES: Family = Family {
    name: "sni_probe_handshakes_total",
    help: "ClientHellos whose outcome is known, exactly one outcome each.",
    labels: &["source", "sni", "outcome"],
};

pub(super) const HANDSHAKE_OUTCOME: Family = Family {
    name: "sni_probe_handshake_outcome_seconds",
    help: "Time from the last segment of a ClientHello to the ServerHello (outcome server_hello); without a ServerHello, to the outcome.",
    labels: &["sni", "outcome"],
};

pub(super) const NEGOTIATED: Family = Family {
    name: "sni_probe_negotiated_total",
    help: "ServerHellos, by the TLS version and the key exchange group that the gateway chose.",
    labels: &["tls_version", "group"],
};

/// Upper bounds in seconds: a gateway on the same node resets within 50 to 200 microseconds, a
/// far client takes tens of milliseconds to close, and the timeout is of the order of 30 seconds.
pub(super) const OUTCOME_BUCKETS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

pub(super) const ALERTS: Family = Family {
    name: "sni_probe_alerts_total",
    help: "TLS alerts in answer to a ClientHello, by description and sender. Alerts after a ServerHello are not counted.",
    labels: &["sni", "description", "sender"],
};

/// What the families of gateways have besides, with `--kube`.
pub(super) const GATEWAY_LABELS: [&str; 2] = ["gateway_namespace", "gateway"];

pub(super) const CLIENT_HANDSHAKES: Family = Family {
    name: "sni_probe_client_handshakes_total",
    help: "Handshakes without SNI of the top clients, of expected sources, and of all others; each adds to exactly one series.",
    labels: &["client", "sni", "outcome", "description", "sender"],
};

pub(super) const CLIENT_INFO: Family = Family {
    name: "sni_probe_client_info",
    help: "What the last handshake without SNI of each of the top clients was like; always 1, and one series a client.",
    labels: &["client", "gateway_address", "ja4", "likely"],
};

pub(super) const FINGERPRINT_HANDSHAKES: Family = Family {
    name: "sni_probe_fingerprint_handshakes_total",
    help: "Handshakes without SNI by the JA4 fingerprint of the hello: those of the top, and all others.",
    labels: &["ja4", "sni", "outcome", "description", "sender"],
};

pub(super) const SERVER_NAME_HANDSHAKES: Family = Family {
    name: "sni_probe_server_name_handshakes_total",
    help: "Handshakes with SNI that the gateway refused, by name: the names refused most, and all others.",
    labels: &["server_name", "outcome", "description"],
};

pub(super) const CLIENTS_WITHOUT_SNI: Family = Family {
    name: "sni_probe_clients_without_sni",
    help: "Different clients that connected without SNI since the start, expected sources apart: an estimate (standard error 0.8 %).",
    labels: &[],
};

pub(super) const CLIENTS_REFUSED: Family = Family {
    name: "sni_probe_clients_refused",
    help: "Those of them that the gateway refused in the last hour: an estimate (standard error 1.6 %).",
    labels: &[],
};

pub(super) const KUBERNETES_SYNCED: Family = Family {
    name: "sni_probe_kubernetes_synced",
    help: "Whether the pods of this node are known and followed (1), or the API server is away (0): what was known before still is. Only with --kube, as all of kubernetes.",
    labels: &[],
};

pub(super) const KUBERNETES_PODS: Family =
    Family { name: "sni_probe_kubernetes_pods", help: "Pods of this node that are known.", labels: &[] };

pub(super) const KUBERNETES_PODS_REFUSED: Family = Family {
    name: "sni_probe_kubernetes_pods_refused",
    help: "Pods of this node that are not followed, because the limit of 1024 was reached or their names are not valid in Kubernetes.",
    labels: &[],
};

pub(super) const KUBERNETES_LOOKUPS_REMEMBERED: Family = Family {
    name: "sni_probe_kubernetes_lookups_remembered",
    help: "Answers about clients on other nodes that are remembered, those that there is no such pod included.",
    labels: &[],
};

pub(super) const KUBERNETES_LISTS: Family = Family {
    name: "sni_probe_kubernetes_lists_total",
    help: "How often the pods of this node were listed whole: at the start, and after each failure.",
    labels: &[],
};

pub(super) const KUBERNETES_LOSSES: Family = Family {
    name: "sni_probe_kubernetes_losses_total",
    help: "How often the API server was lost; a loss ends with the next list.",
    labels: &[],
};

pub(super) const KUBERNETES_FAILURES: Family = Family {
    name: "sni_probe_kubernetes_failures_total",
    help: "Lists and watches of pods that failed, also the tries while the API server is away, and watches that ended within 30 s.",
    labels: &[],
};

pub(super) const KUBERNETES_LOOKUPS: Family = Family {
    name: "sni_probe_kubernetes_lookups_total",
    help: "Questions about a client on another node that the API server answered.",
    labels: &[],
};

pub(super) const KUBERNETES_LOOKUP_FAILURES: Family = Family {
    name: "sni_probe_kubernetes_lookup_failures_total",
    help: "Those that it did not answer.",
    labels: &[],
};

pub(super) const KUBERNETES_LOOKUPS_SKIPPED: Family = Family {
    name: "sni_probe_kubernetes_lookups_skipped_total",
    help: "Those that were not asked, because too many waited.",
    labels: &[],
};

pub(super) const NON_TLS_CONNECTIONS: Family = Family {
    name: "sni_probe_non_tls_connections_total",
    help: "Connections to a gateway port whose first bytes are not TLS.",
    labels: &["protocol"],
};

pub(super) const UNCLASSIFIED_FLOWS: Family = Family {
    name: "sni_probe_unclassified_flows_total",
    help: "Flows that ended before their first bytes told whether they are TLS, by how they ended.",
    labels: &["reason"],
};

pub(super) const FLOW_EVICTIONS: Family = Family {
    name: "sni_probe_flow_evictions_total",
    help: "Flows given up before their outcome was seen, by reason.",
    labels: &["reason"],
};

pub(super) const EVENTS_LOST: Family = Family {
    name: "sni_probe_events_lost_total",
    help: "Packets of interest that did not reach the daemon, by reason.",
    labels: &["reason"],
};

pub(super) const PACKETS_SKIPPED: Family = Family {
    name: "sni_probe_packets_skipped_total",
    help: "Packets that were skipped because their TCP payload could not be read, by reason.",
    labels: &["reason"],
};

pub(super) const EVENT_LINES_DROPPED: Family = Family {
    name: "sni_probe_event_lines_dropped_total",
    help: "Lines of --events and --events-file that were not written, by reason.",
    labels: &["reason"],
};

pub(super) const TIME_JUMPS: Family = Family {
    name: "sni_probe_time_jumps_total",
    help: "Packets whose time stamp is wrong: further than the handshake timeout from the time before and after; or whose stamp shows that the time before was wrong.",
    labels: &[],
};

pub(super) const FLOWS: Family = Family {
    name: "sni_probe_flows",
    help: "Flows in memory: those whose outcome is awaited, and for up to 130 s of silence those that ended in a way after which packets may still come.",
    labels: &[],
};

pub(super) const FLOWS_CAPACITY: Family =
    Family { name: "sni_probe_flows_capacity", help: "Flows that can be followed at once.", labels: &[] };

pub(super) const ATTACHED: Family = Family {
    name: "sni_probe_attached",
    help: "Whether a program is attached (1) to this hook of the interface in this mode, or not (0).",
    labels: &["interface", "hook", "mode"],
};

pub(super) const INTERFACE_CHANGES: Family = Family {
    name: "sni_probe_interface_changes_total",
    help: "How often the programs were attached to an interface, and how often the interface was lost.",
    labels: &["interface", "change"],
};

pub(super) const INTERFACE_PACKETS: Family = Family {
    name: "sni_probe_interface_packets_total",
    help: "Packets that the interface carried while it was watched, by the kernel's own count, brought up to date every 10 s: what could have been seen.",
    labels: &["interface", "direction"],
};

pub(super) const PROGRAMS_BEFORE: Family = Family {
    name: "sni_probe_programs_before",
    help: "Programs and filters of others that packets meet before sni-probe's on this hook, by whether they are known to end the chain.",
    labels: &["interface", "hook", "verdict"],
};

pub(super) const RING_BYTES: Family = Family {
    name: "sni_probe_ring_bytes",
    help: "Size of the ring between the kernel and the daemon; of packet sockets, of all their rings.",
    labels: &[],
};

pub(super) const RING_USED_BYTES: Family = Family {
    name: "sni_probe_ring_used_bytes",
    help: "What had gathered in the ring when it was last emptied, and what came meanwhile. Of packet sockets not known.",
    labels: &[],
};

pub(super) const RING_USED_BYTES_MAX: Family = Family {
    name: "sni_probe_ring_used_bytes_max",
    help: "The most that had gathered in the ring since the start: its size once an event was lost. Of packet sockets not known.",
    labels: &[],
};

pub(super) const SLOTS_CAPACITY: Family = Family {
    name: "sni_probe_slots_capacity",
    help: "Entries of the datapath's flow table: how many connections it can remember at once.",
    labels: &[],
};

pub(super) const SLOTS: Family = Family {
    name: "sni_probe_slots",
    help: "Entries of the datapath's flow table that are in use: an estimate from a sample that is renewed within half a minute. The entry of a connection that is over stays until another connection needs it.",
    labels: &["use"],
};

pub(super) const PROGRAM_RUNS: Family = Family {
    name: "sni_probe_program_runs_total",
    help: "How often a program ran: once for each packet. Only with --kernel-stats.",
    labels: &["program"],
};

pub(super) const PROGRAM_RUN_SECONDS: Family = Family {
    name: "sni_probe_program_run_seconds_total",
    help: "How long a program ran, in all. Only with --kernel-stats.",
    labels: &["program"],
};

pub(super) const EVIDENCE_FILES: Family = Family {
    name: "sni_probe_evidence_files",
    help: "Files in the directory of --evidence, one for each handshake that failed.",
    labels: &[],
};

pub(super) const EVIDENCE_BYTES: Family = Family {
    name: "sni_probe_evidence_bytes",
    help: "Size of the files in the directory of --evidence, in all.",
    labels: &[],
};

pub(super) const EVIDENCE_LOST: Family = Family {
    name: "sni_probe_evidence_lost_total",
    help: "Handshakes whose packets were not kept for --evidence, or not all of them, by reason.",
    labels: &["reason"],
};

pub(super) const INTERFACES_REFUSED: Family = Family {
    name: "sni_probe_interfaces_refused_total",
    help: "Interfaces that match a pattern of --interface and are not watched, for 1024 are.",
    labels: &[],
};

pub(super) const DEFAULT_ROUTE_CHANGES: Family = Family {
    name: "sni_probe_default_route_changes_total",
    help: "Times that the default route moved to another interface. Without --interface the daemon observes the interfaces that have a default route.",
    labels: &[],
};

pub(super) const BUILD_INFO: Family = Family {
    name: "sni_probe_build_info",
    help: "The version and revision of this program; always 1.",
    labels: &["version", "revision"],
};

/// A family of metrics: what Prometheus calls its name, help and label names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) labels: &'static [&'static str],
}

impl Family {
    /// Counters for all values of the closed label set `K`.
    pub(super) fn counter_table<K: Key>(
        self,
        registry: &Registry,
    ) -> prometheus::Result<Table<K, IntCounter>> {
        Table::new(&self.counters(registry)?)
    }

    /// Histograms for all values of the closed label set `K`.
    pub(super) fn histogram_table<K: Key>(
        self,
        registry: &Registry,
        buckets: &[f64],
    ) -> prometheus::Result<Table<K, Histogram>> {
        let options = HistogramOpts::from(self.options()).buckets(buckets.to_vec());
        Table::new(&register(registry, HistogramVec::new(options, self.labels)?)?)
    }

    /// The family with more labels, which come last.
    pub(super) fn counters_with(
        self,
        registry: &Registry,
        more: &[&'static str],
    ) -> prometheus::Result<IntCounterVec> {
        register(registry, IntCounterVec::new(self.options(), &[self.labels, more].concat())?)
    }

    /// What a collector of its own makes its metrics of.
    pub(super) fn desc(self) -> prometheus::Result<Desc> {
        let labels = self.labels.iter().map(ToString::to_string).collect();
        Desc::new(self.name.to_owned(), self.help.to_owned(), labels, HashMap::new())
    }

    pub(super) fn counters(self, registry: &Registry) -> prometheus::Result<IntCounterVec> {
        register(registry, IntCounterVec::new(self.options(), self.labels)?)
    }

    pub(super) fn gauges(self, registry: &Registry) -> prometheus::Result<IntGaugeVec> {
        register(registry, IntGaugeVec::new(self.options(), self.labels)?)
    }

    /// Gauges for all values of the closed label set `K`.
    pub(super) fn gauge_table<K: Key>(self, registry: &Registry) -> prometheus::Result<Table<K, IntGauge>> {
        Table::new(&self.gauges(registry)?)
    }

    pub(super) fn seconds(self, registry: &Registry) -> prometheus::Result<CounterVec> {
        register(registry, CounterVec::new(self.options(), self.labels)?)
    }

    pub(super) fn counter(self, registry: &Registry) -> prometheus::Result<IntCounter> {
        register(registry, IntCounter::with_opts(self.options())?)
    }

    pub(super) fn gauge(self, registry: &Registry) -> prometheus::Result<IntGauge> {
        register(registry, IntGauge::with_opts(self.options())?)
    }

    fn options(self) -> Opts {
        Opts::new(self.name, self.help)
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, family: C) -> prometheus::Result<C> {
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}
