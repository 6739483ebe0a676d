//! What the metrics are made of that somebody else counts, when a scrape asks for them.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::families::Family;

/// A counter with these labels, which must be in order.
#[expect(clippy::cast_precision_loss, reason = "samples are floats")]
pub(super) fn counter(labels: &[(&str, &str)], count: u64) -> Metric {
    let pairs = labels.iter().map(|&(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    });
    let mut counter = Counter::default();
    counter.set_value(count as f64);
    let mut metric = Metric::from_label(pairs.collect());
    metric.set_counter(counter);
    metric
}

/// A family of one gauge.
#[expect(clippy::cast_precision_loss, reason = "samples are floats")]
pub(super) fn gauge(family: Family, value: u64) -> MetricFamily {
    let mut gauge = Gauge::default();
    gauge.set_value(value as f64);
    let mut metric = Metric::default();
    metric.set_gauge(gauge);
    metrics(family, MetricType::GAUGE, vec![metric])
}

/// A family of counters.
pub(super) fn counters(family: Family, series: Vec<Metric>) -> MetricFamily {
    metrics(family, MetricType::COUNTER, series)
}

fn metrics(family: Family, kind: MetricType, series: Vec<Metric>) -> MetricFamily {
    let mut metrics = MetricFamily::default();
    metrics.set_name(family.name.to_owned());
    metrics.set_help(family.help.to_owned());
    metrics.set_field_type(kind);
    metrics.set_metric(series);
    metrics
}
