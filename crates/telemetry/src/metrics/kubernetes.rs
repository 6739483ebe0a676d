//! The metrics of names from Kubernetes, with `--kube`.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use sni_probe_kubernetes::Names;

use super::collector::{counter, counters, one_gauge};
use super::families::{self, Family};

const FAMILIES: [Family; 10] = [
    families::KUBERNETES_SYNCED,
    families::KUBERNETES_PODS,
    families::KUBERNETES_PODS_REFUSED,
    families::KUBERNETES_LOOKUPS_REMEMBERED,
    families::KUBERNETES_LISTS,
    families::KUBERNETES_LOSSES,
    families::KUBERNETES_FAILURES,
    families::KUBERNETES_LOOKUPS,
    families::KUBERNETES_LOOKUP_FAILURES,
    families::KUBERNETES_LOOKUPS_SKIPPED,
];

pub(super) struct KubernetesCollector {
    names: Names,
    descriptions: Vec<Desc>,
}

impl KubernetesCollector {
    pub(super) fn new(names: Names) -> prometheus::Result<Self> {
        let descriptions = FAMILIES.into_iter().map(Family::desc).collect::<Result<_, _>>()?;
        Ok(Self { names, descriptions })
    }
}

impl Collector for KubernetesCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let status = self.names.status();
        let count = |family, n| counters(family, vec![counter(&[], n)]);
        vec![
            one_gauge(families::KUBERNETES_SYNCED, u64::from(status.synced)),
            one_gauge(families::KUBERNETES_PODS, status.pods as u64),
            one_gauge(families::KUBERNETES_PODS_REFUSED, status.pods_refused as u64),
            one_gauge(families::KUBERNETES_LOOKUPS_REMEMBERED, status.lookups_remembered as u64),
            count(families::KUBERNETES_LISTS, status.lists),
            count(families::KUBERNETES_LOSSES, status.losses),
            count(families::KUBERNETES_FAILURES, status.failures),
            count(families::KUBERNETES_LOOKUPS, status.lookups),
            count(families::KUBERNETES_LOOKUP_FAILURES, status.lookup_failures),
            count(families::KUBERNETES_LOOKUPS_SKIPPED, status.lookups_skipped),
        ]
    }
}
