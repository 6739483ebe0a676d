//! Facts of a daemon, by its API.

use std::collections::BTreeMap;

use sni_probe_model::api::Count as ApiCount;
use sni_probe_model::api::Snapshot;
use sni_probe_model::{Fate, OutcomeClass, Word};

use super::{ClientFacts, Count, RefusalCount, WireFacts};

/// The facts that a daemon's answers hold.
pub(crate) fn of_snapshot(source: &str, snapshot: Snapshot) -> WireFacts {
    let Snapshot { summary, clients, handshakes } = snapshot;
    let mut facts = WireFacts { source: source.to_owned(), ..WireFacts::default() };
    let mut counts: BTreeMap<(String, String), Count> = BTreeMap::new();
    for ApiCount { sni, outcome, handshakes, .. } in summary.handshakes {
        let key = (sni.as_str().to_owned(), outcome.as_str().to_owned());
        counts.entry(key).or_insert(Count { sni, outcome, handshakes: 0 }).handshakes += handshakes;
    }
    facts.counts = counts.into_values().collect();
    if let Some(alerts) = summary.alerts {
        facts.alerts = alerts;
    } else {
        let alerts = facts.sum(|count| count.outcome.known() == Some(OutcomeClass::Alert));
        if alerts > 0 {
            facts.remarks.push(format!(
                "this daemon (version {}) does not report the senders of {alerts} alerts; save its /metrics to a file and give that \
                 with --metrics",
                summary.version
            ));
        }
    }
    for client in clients.clients {
        let refusals = RefusalCount { handshakes: client.handshakes, refused: client.refused };
        facts.add_client(ClientFacts { label: client.client, likely: client.likely, refusals });
    }
    let known = sum(&clients.expected);
    facts.expected.add(known);
    facts.other_clients = sum(&clients.other);
    facts.other_clients.add(known);
    facts.refused_names =
        clients.refused_names.into_iter().map(|name| (name.server_name, name.refused)).collect();
    let is_refused = |name: &str| facts.refused_names.iter().any(|(refused, _)| refused == name);
    let last = handshakes.iter().flat_map(|handshakes| &handshakes.handshakes);
    facts.served_names =
        last.filter_map(served_name).filter(|name| is_refused(name)).map(str::to_owned).collect();
    let versions = summary.tls_versions.into_iter();
    facts.tls_versions =
        versions.map(|count| (count.tls_version.as_str().to_owned(), count.handshakes)).collect();
    facts.tls_versions.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    facts.lost_events =
        summary.not_seen.iter().filter(|not_seen| not_seen.is_lost_event()).map(|it| it.count).sum();
    if !summary.ready {
        facts.unread.push("not every interface is watched: handshakes may be missing".to_owned());
    }
    facts
}

/// The name in an event, if the gateway served it.
fn served_name(event: &serde_json::Value) -> Option<&str> {
    let outcome: Word<OutcomeClass> = event.get("outcome")?.as_str()?.into();
    if outcome.fate(None) == Fate::Served { event.get("server_name")?.as_str() } else { None }
}

fn sum(counts: &[ApiCount]) -> RefusalCount {
    let mut sum = RefusalCount::default();
    for count in counts {
        sum.add(RefusalCount { handshakes: count.handshakes, refused: count.refused() });
    }
    sum
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn snapshot(alerts: &serde_json::Value) -> Snapshot {
        let mut summary = sni_probe_testkit::canned::summary();
        summary["handshakes"] = json!([
            {"source": "other", "sni": "absent", "outcome": "alert", "handshakes": 52},
            {"source": "expected", "sni": "absent", "outcome": "reset_by_gateway", "handshakes": 3},
            {"source": "other", "sni": "absent", "outcome": "reset_by_gateway", "handshakes": 1},
            {"source": "other", "sni": "unknown", "outcome": "reset_by_gateway", "handshakes": 7}
        ]);
        summary["alerts"] = alerts.clone();
        summary["not_seen"] = json!([
            {"metric": "events_lost_total", "reason": "ring_full", "count": 5},
            {"metric": "packets_skipped_total", "reason": "fragment", "count": 9}
        ]);
        Snapshot {
            summary: serde_json::from_value(summary).unwrap(),
            clients: serde_json::from_value(sni_probe_testkit::canned::clients()).unwrap(),
            handshakes: None,
        }
    }

    #[test]
    fn refused_names_that_were_served_are_known() {
        let mut snapshot = snapshot(&json!([]));
        let refused = snapshot.clients.refused_names[0].server_name.clone();
        let event = |outcome: &str, name: &str| json!({"outcome": outcome, "server_name": name});
        let served_names = |snapshot: &Snapshot, events: Vec<serde_json::Value>| {
            let mut handshakes = sni_probe_testkit::canned::handshakes();
            handshakes["handshakes"] = events.into();
            let handshakes = Some(serde_json::from_value(handshakes).unwrap());
            of_snapshot("daemon", Snapshot { handshakes, ..snapshot.clone() }).served_names
        };
        let others = vec![event("reset_by_gateway", &refused), event("established", "another.example")];
        assert!(served_names(&snapshot, others).is_empty());
        assert_eq!(served_names(&snapshot, vec![event("established", &refused)]), [refused.clone()].into());
        snapshot.clients.refused_names.clear();
        assert!(served_names(&snapshot, vec![event("established", &refused)]).is_empty());
    }

    #[test]
    fn a_snapshot_gives_facts() {
        let facts = of_snapshot(
            "daemon",
            snapshot(&json!([
                {"sni": "absent", "description": "unknown_ca", "sender": "client", "alerts": 50},
                {"sni": "absent", "description": "unrecognized_name", "sender": "gateway", "alerts": 2}
            ])),
        );
        assert_eq!((facts.handshakes(), facts.without_sni(), facts.with_sni()), (63, 56, 0));
        assert_eq!((facts.refused_without_sni(false), facts.refused_with_unknown_sni()), (6, 7));
        assert_eq!((facts.failed_elsewhere(), facts.lost_events), (50, 5));
        assert_eq!(facts.expected, RefusalCount { handshakes: 5_760, refused: 5_760 });
        assert!(facts.remarks.is_empty(), "{:?}", facts.remarks);
    }

    #[test]
    fn a_daemon_that_does_not_report_alerts_is_named() {
        let facts = of_snapshot("daemon", snapshot(&serde_json::Value::Null));
        assert_eq!(facts.refused_without_sni(false), 4);
        assert!(facts.remarks[0].contains("does not report the senders of 52 alerts"), "{:?}", facts.remarks);
        let only_once = facts.clone().since(&facts);
        assert_eq!((only_once.handshakes(), only_once.clients.len(), only_once.lost_events), (0, 0, 0));
    }

    #[test]
    fn what_came_since() {
        let before = of_snapshot("daemon", snapshot(&json!([])));
        let mut now = before.clone();
        now.counts[0].handshakes += 2;
        now.clients[1].refusals.handshakes += 2;
        let facts = now.since(&before);
        assert_eq!((facts.handshakes(), facts.clients.len()), (2, 1));
        assert_eq!(facts.clients[0].refusals, RefusalCount { handshakes: 2, refused: 0 });
        // A daemon that was restarted counts from 0.
        let mut restarted = before.clone();
        restarted.counts[0].handshakes = 1;
        assert_eq!(restarted.since(&before).handshakes(), 1);
    }
}
