//! Counters that have the gateway's name among their labels, where names are known.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use prometheus::{IntCounter, IntCounterVec, Registry};
use sni_probe_core::tally::Tally;
use sni_probe_kubernetes::GatewayName;
use sni_probe_model::OTHER_GATEWAYS;

use super::families::{Family, GATEWAY_LABELS};
use super::table::{Key, Table};

/// Gateways with series of their own: a node runs a handful. Stops pods that come and go under ever new names from
/// growing the metrics.
const MAX_GATEWAYS: usize = 256;

/// Counters with the labels of `K`, for each gateway.
pub(super) struct ByGateway<K> {
    /// Of gateways without a name; all, where there are no names.
    unnamed: Table<K, IntCounter>,
    named: Option<Named<K>>,
}

struct Named<K> {
    family: IntCounterVec,
    /// The rest is the table of the gateways that are too many.
    tables: Mutex<Tally<GatewayName, Table<K, IntCounter>>>,
}

impl<K: Key> ByGateway<K> {
    /// Makes the series of gateways without a name; with `with_names` there are more labels, which are empty for those.
    ///
    /// # Errors
    /// If `K` has not as many labels as `family`.
    pub(super) fn new(family: Family, registry: &Registry, with_names: bool) -> prometheus::Result<Self> {
        if !with_names {
            return Ok(Self { unnamed: family.counter_table(registry)?, named: None });
        }
        let family = family.counters_with(registry, &GATEWAY_LABELS)?;
        let unnamed = Table::with(&family, &["", ""])?;
        let tables = Mutex::new(Tally::with_rest(MAX_GATEWAYS, Table::with(&family, &OTHER_GATEWAYS)?));
        Ok(Self { unnamed, named: Some(Named { family, tables }) })
    }

    /// Counts one.
    pub(super) fn count(&self, gateway: Option<&GatewayName>, key: K) {
        match (&self.named, gateway) {
            (Some(named), Some(gateway)) => named.count(gateway, key),
            _ => self.unnamed.get(key).inc(),
        }
    }
}

impl<K: Key> Named<K> {
    fn count(&self, gateway: &GatewayName, key: K) {
        // A panic elsewhere leaves a map that is whole.
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = [&*gateway.namespace, &*gateway.workload];
        // That the labels are too few or too many was found out at the start.
        let table = tables.entry(gateway, || Table::with(&self.family, &labels).ok());
        table.unwrap_or_else(|rest| rest).get(key).inc();
    }
}

impl<K> fmt::Debug for ByGateway<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByGateway").field("unnamed", &self.unnamed).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;
    use sni_probe_core::vocabulary::{OutcomeClass, SniClass};

    use super::super::vocabulary::ClientSource;
    use super::*;

    const FAMILY: Family = super::super::families::HANDSHAKES;

    #[test]
    fn gateways_have_series_of_their_own_up_to_a_bound() {
        let registry = Registry::new();
        let counters =
            ByGateway::<(ClientSource, SniClass, OutcomeClass)>::new(FAMILY, &registry, true).unwrap();
        let key = (ClientSource::Other, SniClass::Absent, OutcomeClass::ResetByGateway);
        counters.count(None, key);
        for number in 0..MAX_GATEWAYS + 2 {
            let workload = format!("gateway-{number}").into();
            let name = GatewayName { namespace: "apigee".into(), workload };
            counters.count(Some(&name), key);
            counters.count(Some(&name), key);
        }
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let value = |namespace: &str, gateway: &str| {
            let series = format!(
                "{}{{gateway=\"{gateway}\",gateway_namespace=\"{namespace}\",outcome=\"reset_by_gateway\",\
                 sni=\"absent\",source=\"other\"}} ",
                FAMILY.name
            );
            text.lines().find_map(|line| line.strip_prefix(&series).map(str::to_owned))
        };
        assert_eq!(value("", "").as_deref(), Some("1"));
        assert_eq!(value("apigee", "gateway-7").as_deref(), Some("2"));
        assert_eq!(value("", "other").as_deref(), Some("4"));
        assert_eq!(value("apigee", &format!("gateway-{MAX_GATEWAYS}")), None);
    }
}
