//! The result, for people and for programs.

use std::fmt;

use serde_json::{Value, json};
use sni_probe_testkit::captures::mixed::{Mix, Truth};

use super::measure::Usage;

const MIB: f64 = 1024.0 * 1024.0;
/// What sni-probe is to reach: its speed as a multiple of another program's, and its memory.
const TIMES_TCPDUMP: f64 = 0.5;
const TIMES_TSHARK: f64 = 100.0;
const PEAK_MIB: f64 = 64.0;

/// A number that is known beforehand.
#[derive(Debug, Clone)]
pub(super) struct Count {
    pub(super) name: &'static str,
    pub(super) labels: Vec<(&'static str, &'static str)>,
    pub(super) expected: u64,
    pub(super) counted: u64,
}

impl Count {
    fn series(&self) -> String {
        let labels: Vec<_> = self.labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        if labels.is_empty() {
            self.name.to_owned()
        } else {
            format!("{}{{{}}}", self.name, labels.join(","))
        }
    }
}

/// What a program took to read a capture.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) name: &'static str,
    /// What is in the capture that it read.
    pub(super) truth: Truth,
    /// Empty where it is not installed.
    pub(super) runs: Vec<Usage>,
}

impl Measured {
    /// The median of one of the figures.
    fn median(&self, figure: impl Fn(&Usage) -> f64) -> Option<f64> {
        let mut figures: Vec<f64> = self.runs.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        let last = figures.len().checked_sub(1)?;
        Some(f64::midpoint(figures[last / 2], figures[last.div_ceil(2)]))
    }

    /// So many of these in a second.
    fn rate(&self, of: fn(&Truth) -> u64) -> Option<f64> {
        Some(float(of(&self.truth)) / self.median(|usage| usage.wall)?)
    }

    fn packets_per_second(&self) -> Option<f64> {
        self.rate(|truth| truth.packets)
    }

    fn peak_bytes(&self) -> Option<f64> {
        self.median(|usage| float(usage.peak_bytes))
    }

    fn json(&self) -> Value {
        json!({
            "program": self.name,
            "capture_bytes": self.truth.bytes,
            "runs": self.runs.iter().map(Usage::json).collect::<Vec<_>>(),
            "wall_seconds": self.median(|usage| usage.wall),
            "cpu_seconds": self.median(Usage::cpu),
            "packets_per_second": self.packets_per_second(),
            "bytes_per_second": self.rate(|truth| truth.bytes),
            "hellos_per_second": self.rate(|truth| truth.hellos),
            "peak_memory_bytes": self.peak_bytes(),
        })
    }
}

/// Something to reach.
struct Target {
    what: &'static str,
    bound: f64,
    /// `None` where it could not be measured.
    value: Option<f64>,
    is_met: fn(f64, f64) -> bool,
}

impl Target {
    fn is_met(&self) -> Option<bool> {
        self.value.map(|value| (self.is_met)(value, self.bound))
    }
}

/// The whole result.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) mix: Mix,
    pub(super) truth: Truth,
    pub(super) counts: Vec<Count>,
    pub(super) programs: Vec<Measured>,
}

impl Report {
    /// Whether sni-probe counted what there is. How fast it was depends on the machine.
    pub(super) fn is_right(&self) -> bool {
        self.counts.iter().all(|count| count.expected == count.counted)
    }

    pub(super) fn json(&self) -> Value {
        let counts = self.counts.iter().map(
            |count| json!({ "series": count.series(), "expected": count.expected, "counted": count.counted }),
        );
        let targets = self.targets().into_iter().map(|target| {
            json!({
                "what": target.what,
                "target": target.bound,
                "value": target.value,
                "met": target.is_met(),
            })
        });
        json!({
            "mix": self.mix,
            "capture": self.truth,
            "ok": self.is_right(),
            "counts": counts.collect::<Vec<_>>(),
            "programs": self.programs.iter().map(Measured::json).collect::<Vec<_>>(),
            "targets": targets.collect::<Vec<_>>(),
        })
    }

    fn targets(&self) -> [Target; 3] {
        let program = |name| self.programs.iter().find(|program| program.name == name);
        let rate = |name| program(name)?.packets_per_second();
        let times = |name| Some(rate("sni-probe")? / rate(name)?);
        let peak = program("sni-probe").and_then(Measured::peak_bytes).map(|bytes| bytes / MIB);
        let at_least = |value, bound| value >= bound;
        let less = |value, bound| value < bound;
        [
            Target {
                what: "speed, times tcpdump, at least",
                bound: TIMES_TCPDUMP,
                value: times("tcpdump"),
                is_met: at_least,
            },
            Target {
                what: "speed, times tshark, at least",
                bound: TIMES_TSHARK,
                value: times("tshark"),
                is_met: at_least,
            },
            Target { what: "peak memory, MiB, under", bound: PEAK_MIB, value: peak, is_met: less },
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Truth { bytes, packets, hellos, without_sni, .. } = &self.truth;
        let megabytes = bytes / 1_000_000;
        writeln!(
            formatter,
            "{megabytes} MB, {packets} packets, {hellos} hellos, {without_sni} without SNI\n"
        )?;
        writeln!(
            formatter,
            "{:<12} {:>4} {:>6} {:>9} {:>9} {:>12} {:>7} {:>10} {:>9}",
            "program", "runs", "MB", "seconds", "CPU s", "packets/s", "MB/s", "hellos/s", "peak MiB"
        )?;
        for program in self.programs.iter().filter(|program| !program.runs.is_empty()) {
            let megabytes = program.truth.bytes / 1_000_000;
            writeln!(
                formatter,
                "{:<12} {:>4} {megabytes:>6} {:>9.2} {:>9.2} {:>12.0} {:>7.0} {:>10.0} {:>9.1}",
                program.name,
                program.runs.len(),
                program.median(|usage| usage.wall).unwrap_or_default(),
                program.median(Usage::cpu).unwrap_or_default(),
                program.packets_per_second().unwrap_or_default(),
                program.rate(|truth| truth.bytes).unwrap_or_default() / 1e6,
                program.rate(|truth| truth.hellos).unwrap_or_default(),
                program.peak_bytes().unwrap_or_default() / MIB,
            )?;
        }
        if self.programs.iter().any(|program| program.truth.bytes != self.truth.bytes) {
            writeln!(formatter, "(of a smaller capture of the same mix: rates compare, seconds do not)")?;
        }
        writeln!(formatter)?;
        for target in self.targets() {
            let Target { what, bound, value, .. } = &target;
            match (value, target.is_met()) {
                (Some(value), Some(is_met)) => {
                    let verdict = if is_met { "met" } else { "missed" };
                    writeln!(formatter, "target: {what} {bound}: {value:.2}, {verdict}")?;
                }
                _ => writeln!(formatter, "target: {what} {bound}: not measured")?,
            }
        }
        for count in self.counts.iter().filter(|count| count.expected != count.counted) {
            let Count { expected, counted, .. } = count;
            writeln!(formatter, "wrong: {} is {counted}, not {expected}", count.series())?;
        }
        if self.is_right() {
            writeln!(formatter, "counts: all {} as they must be", self.counts.len())?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &'static str, walls: &[f64]) -> Measured {
        let usage = |&wall: &f64| Usage { wall, user: 1.0, system: 0.5, peak_bytes: 10 << 20 };
        let truth = Truth { packets: 1_000, bytes: 100_000_000, ..Truth::default() };
        Measured { name, truth, runs: walls.iter().map(usage).collect() }
    }

    #[test]
    fn medians_and_targets() {
        let programs = vec![measured("sni-probe", &[2.0, 9.0, 1.0]), measured("tcpdump", &[1.0, 3.0])];
        let count = Count { name: "a_total", labels: vec![("b", "c")], expected: 1, counted: 1 };
        let mut report =
            Report { mix: Mix::default(), truth: programs[0].truth, counts: vec![count], programs };
        assert!(report.is_right());
        let json = report.json();
        assert_eq!(json["programs"][0]["wall_seconds"], 2.0);
        assert_eq!(json["programs"][1]["wall_seconds"], 2.0);
        assert_eq!(json["targets"][0]["value"], 1.0);
        assert_eq!(json["targets"][0]["met"], true);
        assert_eq!(json["targets"][1]["value"], Value::Null);
        assert_eq!(json["targets"][2]["value"], 10.0);
        report.counts[0].counted = 2;
        assert!(!report.is_right());
        assert!(report.to_string().contains("wrong: a_total{b=\"c\"} is 2, not 1\n"));
    }
}
