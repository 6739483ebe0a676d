//! Writes `docs/metrics.md` from what a scrape gives, and checks that it is up to date.

mod meanings;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus::proto::{MetricFamily, MetricType};
use sni_probe_core::clients::{Clients, ClientsConfig};
use sni_probe_core::flow::Timestamp;
use sni_probe_core::observation::{Observation, Outcome, Sni};
use sni_probe_core::vocabulary::{AlertDescription, AlertSender, Label as _};
use sni_probe_kubernetes::Names;

use self::meanings::{OF_A_PART, OPEN_LABELS, meanings};
use super::Metrics;
use super::tests::handshake;

const COMMAND: &str = "SNI_PROBE_BLESS=1 cargo test -p sni-probe-telemetry metrics_reference";

const INTRODUCTION: &str = "\
# Metrics

<!-- Written by: SNI_PROBE_BLESS=1 cargo test -p sni-probe-telemetry metrics_reference -->

`sni-probe run` serves them on `http://<--listen>/metrics`, in the text format of Prometheus. All series whose
labels are known beforehand exist from the start with the value 0, so a missing series means a missing
daemon, and `rate()` sees the first event.

A ClientHello is counted twice: in `sni_probe_client_hellos_total` as soon as it is complete, and in
`sni_probe_handshakes_total` when its outcome is known. Each hello has exactly one outcome; the difference
of the two sums is the number of hellos that wait for theirs.

Clients, fingerprints and names come from the wire, so only the top of each has series (`--top-clients`, by a
space-saving sketch). Each handshake without SNI adds one to exactly one series of `sni_probe_client_handshakes_total`, and to
exactly one of `sni_probe_fingerprint_handshakes_total`: their sums are that of `sni_probe_handshakes_total` with `sni` absent,
empty or invalid, as long as no series left. Each refusal of a hello with SNI (reset, close, alert by the gateway, or a refusal after the
ServerHello) adds to exactly one of `sni_probe_server_name_handshakes_total`. A series that leaves the top takes its count with it: it is not poured into the rest, where it
would look like traffic. A series that comes starts with what its handshakes are since then, so `increase()` misses what was before the
first scrape that saw it.

## Queries to begin with

| question | query |
|---|---|
| connections a second that were refused for want of SNI | `sum(rate(sni_probe_handshakes_total{source=\"other\",sni=~\"absent\\|empty\\|invalid\",outcome=~\"reset_by_gateway\\|closed_by_gateway\\|refused_after_server_hello\"}[5m])) + sum(rate(sni_probe_alerts_total{sni=~\"absent\\|empty\\|invalid\",sender=\"gateway\"}[5m]))` |
| which clients these are | `topk(10, sum by (client) (rate(sni_probe_client_handshakes_total{client!~\"other\\|expected\",outcome=~\"reset_by_gateway\\|closed_by_gateway\\|alert\\|refused_after_server_hello\",sender!=\"client\"}[1h])))` |
| names that are refused though SNI was there | `topk(10, sum by (server_name) (rate(sni_probe_server_name_handshakes_total[1h])))` |
| share of clients without SNI | `sum(rate(sni_probe_client_hellos_total{sni=\"absent\"}[5m])) / sum(rate(sni_probe_client_hellos_total[5m]))` |
| the same though SNI was there: unknown names | `sum(rate(sni_probe_handshakes_total{sni=\"present\",outcome=\"reset_by_gateway\"}[5m])) + sum(rate(sni_probe_alerts_total{sni=\"present\",description=\"unrecognized_name\"}[5m]))` |
| an interface that is not watched | `max by (instance, interface, hook) (sni_probe_attached) == 0` |
| an interface where another program hides packets | `sni_probe_programs_before{verdict=\"ends_chain\"} > 0` |
| events that were lost | `sum by (reason) (rate(sni_probe_events_lost_total[5m])) > 0` |

## Answered handshakes

Up to version 0.1.0 the outcome `server_hello` counted every handshake that the gateway answered with a ServerHello. Now it counts only those
with an end that cannot be seen; four other outcomes say how an answered handshake ended. This query has the old meaning, with daemons of any
version:

```text
sum(rate(sni_probe_handshakes_total{outcome=~\"server_hello|established|rejected_by_client|client_certificate_refused|refused_after_server_hello\"}[5m]))
```

| outcome | meaning |
|---|---|
| `established`, `server_hello`, `rejected_by_client` | served: the gateway answered and did not refuse afterwards |
| `refused_after_server_hello` | refused, like `reset_by_gateway`, `closed_by_gateway` and an alert of the gateway |
| `client_certificate_refused` | refused, but not because of the name: do not count it as refused for want of SNI |

With `--follow hello` the daemon stops at the gateway's first answer, and only `server_hello` is counted.

## Families
";

#[test]
fn metrics_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let expected = reference();
    if std::env::var_os("SNI_PROBE_BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let actual = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(actual == expected, "docs/metrics.md is not up to date; write it by: {COMMAND}");
}

fn reference() -> String {
    let mut clients = Clients::new(ClientsConfig::default());
    // Of clients some families have a series only when there is one.
    for &sender in AlertSender::ALL {
        for sni in [Sni::Absent, Sni::Present("a.example".to_owned())] {
            let alert = Outcome::Alert { description: AlertDescription::UnrecognizedName, sender };
            let Observation::Handshake(handshake) = handshake(sni, alert, Duration::ZERO) else {
                unreachable!("it is one")
            };
            clients.handshake(&handshake, Timestamp(0));
        }
    }
    let clients = Arc::new(Mutex::new(clients));
    let metrics = Metrics::new(clients, Some(&Names::fixed(&[]))).unwrap();
    metrics.add_interface("eth0");
    for program in ["client_to_gateway", "gateway_to_client"] {
        metrics.set_program_runs(program, 0, Duration::ZERO);
    }
    let families = metrics.registry.gather();
    let (own, process): (Vec<_>, Vec<_>) =
        families.iter().partition(|family| family.name().starts_with("sni_probe_"));
    let mut text = INTRODUCTION.to_owned();
    for family in own {
        section(&mut text, family);
    }
    text.push_str("\n## The process\n\nPrometheus' standard metrics of a process.\n\n| metric | type | meaning |\n|---|---|---|\n");
    for family in process {
        writeln!(text, "| `{}` | {} | {} |", family.name(), kind(family), family.help()).unwrap();
    }
    text
}

fn section(text: &mut String, family: &MetricFamily) {
    write!(text, "\n### `{}`\n\n{}. {}\n", family.name(), capitalised(kind(family)), family.help()).unwrap();
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for metric in family.get_metric() {
        for pair in metric.get_label() {
            let values = labels.entry(pair.name()).or_default();
            // Empty is what Prometheus takes for no label.
            if !pair.value().is_empty() {
                values.insert(pair.value());
            }
        }
    }
    if labels.is_empty() {
        return;
    }
    text.push_str("\n| label | value | meaning |\n|---|---|---|\n");
    for (label, values) in labels {
        if let Some((_, meaning)) = OPEN_LABELS.iter().find(|(name, _)| *name == label) {
            writeln!(text, "| `{label}` | | {meaning} |").unwrap();
            continue;
        }
        let meanings = meanings(family.name(), label);
        let documented: BTreeSet<&str> = meanings.iter().map(|(value, _)| *value).collect();
        if OF_A_PART.contains(&family.name()) {
            assert!(documented.is_superset(&values), "the documented values of {label} of {}", family.name());
        } else {
            assert_eq!(documented, values, "the documented values of {label} of {}", family.name());
        }
        for (value, meaning) in meanings.iter().filter(|(value, _)| values.contains(value)) {
            writeln!(text, "| `{label}` | `{value}` | {meaning} |").unwrap();
        }
    }
}

fn kind(family: &MetricFamily) -> &'static str {
    match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY | MetricType::UNTYPED => "other",
    }
}

fn capitalised(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_uppercase() + rest
}
