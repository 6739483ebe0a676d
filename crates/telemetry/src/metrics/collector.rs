//! What the metrics are made of that somebody else counts, when a scrape asks for them.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::families::Family;

/// A counter with these labels, which must be in order.
#[expect(clippy::cast_precision_loss, reason = "samples are floats")]
pub(super) fn counter(labels: &[(&str, &str)], count: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(count as f64);
    let mut metric = with_labels(labels);
    metric.set_counter(counter);
    metric
}

/// A gauge with these labels, which must be in order.
#[expect(clippy::cast_precision_loss, reason = "samples are floats")]
pub(super) fn gauge(labels: &[(&str, &str)], value: u64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value as f64);
    let mut metric = with_labels(labels);
    metric.set_gauge(gauge);
    metric
}

/// A family of one gauge.
pub(super) fn one_gauge(family: Family, value: u64) -> MetricFamily {
    gauges(family, vec![gauge(&[], value)])
}

/// A family of gauges.
pub(super) fn gauges(family: Family, series: Vec<Metric>) -> MetricFamily {
    metrics(family, MetricType::GAUGE, series)
}

/// A family of counters.
pub(super) fn counters(family: Family, series: Vec<Metric>) -> MetricFamily {
    metrics(family, MetricType::COUNTER, series)
}

fn with_labels(labels: &[(&str, &str)]) -> Metric {
    let pairs = labels.iter().map(|&(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    });
    Metric::from_label(pairs.collect())
}

fn metrics(family: Family, kind: MetricType, series: Vec<Metric>) -> MetricFamily {
    let mut metrics = MetricFamily::default();
    metrics.set_name(family.name.to_owned());
    metrics.set_help(family.help.to_owned());
    metrics.set_field_type(kind);
    metrics.set_metric(series);
    metrics
}
