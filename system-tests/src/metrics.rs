//! The text format of Prometheus, as far as the tests need it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

/// The labels of a series, by name.
pub type Labels = BTreeMap<String, String>;

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Name and labels as the scrape has them: `name{label="value",…}`.
    pub series: String,
    /// Its value.
    pub value: f64,
}

/// All samples of one scrape, in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    samples: Vec<Sample>,
}

impl Metrics {
    /// Parses a scrape.
    ///
    /// # Errors
    /// Names the line that is not in the format.
    pub fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples = lines
            .map(|line| parse_line(line).with_context(|| format!("no sample: {line}")))
            .collect::<Result<_>>()?;
        Ok(Self { samples })
    }

    /// The sum of all series of `name` that have (at least) these labels; 0 when there are none.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.select(name, labels).map(|sample| sample.value).sum()
    }

    /// Like [`Metrics::get`], of a counter: a whole number.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters of a test")]
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.get(name, labels).round() as u64
    }

    /// Whether a series of `name` with these labels exists, be its value 0.
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.select(name, labels).next().is_some()
    }

    /// The series of `name` that have (at least) these labels.
    pub fn select(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| {
            let has =
                |(key, value): &(&str, &str)| sample.labels.get(*key).is_some_and(|found| found == value);
            sample.name == name && labels.iter().all(has)
        })
    }

    /// All samples.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// `name{labels}` to value, of the series whose value is not 0.
    pub fn nonzero(&self) -> BTreeMap<&str, f64> {
        let samples = self.samples.iter().filter(|sample| sample.value != 0.0);
        samples.map(|sample| (sample.series.as_str(), sample.value)).collect()
    }
}

fn parse_line(line: &str) -> Option<Sample> {
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = Labels::new();
    if let Some(after) = rest.strip_prefix('{') {
        rest = after;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = parse_quoted(after)?;
            labels.insert(label.to_owned(), value);
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let series = line[..line.len() - rest.len()].to_owned();
    // A timestamp may follow the value.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, series, value })
}

/// A label's value up to its closing quote, and what follows.
fn parse_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[index + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = r#"# HELP a_total what it is
# TYPE a_total counter
a_total{sni="absent",outcome="reset_by_gateway"} 3
a_total{sni="absent",outcome="timeout"} 0
a_total{sni="present",outcome="reset_by_gateway"} 2
b 1.5e3 1700000000
c_bucket{le="+Inf",path="a\"b\\c,d}"} 7
"#;

    #[test]
    fn sums_series_that_have_the_labels() {
        let metrics = Metrics::parse(SCRAPE).unwrap();
        assert_eq!(metrics.count("a_total", &[("sni", "absent")]), 3);
        assert_eq!(metrics.count("a_total", &[("outcome", "reset_by_gateway")]), 5);
        assert_eq!(metrics.count("a_total", &[("sni", "empty")]), 0);
        assert!(metrics.has("a_total", &[("outcome", "timeout")]));
        assert!(!metrics.has("a_total", &[("sni", "empty")]));
    }

    #[test]
    fn reads_exponents_timestamps_and_escapes() {
        let metrics = Metrics::parse(SCRAPE).unwrap();
        assert_eq!(metrics.count("b", &[]), 1500);
        assert_eq!(metrics.count("c_bucket", &[("path", "a\"b\\c,d}")]), 7);
        assert_eq!(metrics.nonzero().len(), 4);
    }

    #[test]
    fn names_the_broken_line() {
        let error = Metrics::parse("a_total{sni=\"x} 3").unwrap_err();
        assert!(error.to_string().contains("a_total{sni="));
    }
}
