//! The result, for people and for programs.

use std::fmt;

use serde_json::{Value, json};

use super::daemon::{Daemon, Memory, OPEN};
use super::flood::{Flood, Floods, RATE};

/// One load of one round, with nobody and with each observer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observed {
    pub(super) nobody: f64,
    pub(super) sni_probe: f64,
    pub(super) tcpdump: f64,
}

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Report {
    /// Gigabits a second, of each round.
    pub(super) throughput: Vec<Observed>,
    /// Whole connections a second.
    pub(super) with_sni: Vec<Observed>,
    /// Connections a second that the gateway resets.
    pub(super) resets: Vec<Observed>,
    pub(super) daemon: Daemon,
    pub(super) flood: Floods,
}

/// A figure, and what it is to be.
struct Target {
    what: &'static str,
    bound: f64,
    value: f64,
    is_met: bool,
}

impl Target {
    /// Missed, whatever its value, if it was not measured under what it names.
    fn if_also(self, condition: bool) -> Self {
        Self { is_met: self.is_met && condition, ..self }
    }
}

impl Report {
    pub(super) fn json(&self) -> Value {
        let targets = self.targets().into_iter().map(|target| {
            let Target { what, bound, value, is_met } = target;
            json!({ "what": what, "target": bound, "value": value, "met": is_met })
        });
        json!({
            "throughput": observed(&self.throughput, "gigabits_per_second"),
            "handshakes": {
                "with_sni": observed(&self.with_sni, "per_second"),
                "resets": observed(&self.resets, "per_second"),
            },
            "cpu_us_per_hello": self.flood.at_rate.cpu_us_per_hello,
            "idle_cpu_percent": self.daemon.idle_cpu_percent,
            "rss_mib": {
                "idle": memory(&self.daemon.idle),
                "open": memory(&self.daemon.open),
                "open_handshakes": self.daemon.open_handshakes,
            },
            "flood": { "at_rate": flood(&self.flood.at_rate), "top_speed": flood(&self.flood.top_speed) },
            "targets": targets.collect::<Vec<_>>(),
        })
    }

    fn targets(&self) -> Vec<Target> {
        let at_least = |what, bound, value| Target { what, bound, value, is_met: value >= bound };
        let at_most = |what, bound, value| Target { what, bound, value, is_met: value <= bound };
        let Self { daemon, flood, .. } = self;
        vec![
            at_least("throughput, of that without", 0.98, ratio(&self.throughput, |round| round.sni_probe)),
            at_least(
                "handshakes with SNI, of those without",
                0.98,
                ratio(&self.with_sni, |round| round.sni_probe),
            ),
            at_least("resets, of those without", 0.98, ratio(&self.resets, |round| round.sni_probe)),
            at_most("CPU time for a hello, us", 2.0, flood.at_rate.cpu_us_per_hello),
            at_most("idle, % of a core", 0.1, daemon.idle_cpu_percent),
            at_most("resident memory idle, MiB", 20.0, daemon.idle.total),
            at_most("resident memory with 100,000 open handshakes, MiB", 48.0, daemon.open.total)
                .if_also(daemon.open_handshakes >= u64::from(OPEN)),
            at_most("hellos lost at 100,000 a second", 0.0, float(flood.at_rate.lost))
                .if_also(flood.at_rate.rate >= f64::from(RATE) * 0.99),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        writeln!(
            f,
            "{} rounds, {cores} cores; medians, and medians of the ratios to nobody\n",
            self.throughput.len()
        )?;
        writeln!(f, "{:<28} {:>10} {:>18} {:>18}", "", "nobody", "sni-probe", "tcpdump")?;
        for (name, rounds) in [
            ("throughput, Gbit/s", &self.throughput),
            ("handshakes with SNI, 1/s", &self.with_sni),
            ("resets, 1/s", &self.resets),
        ] {
            let with = |value: fn(&Observed) -> f64| {
                format!("{:.1} ({:.3})", median(rounds.iter().map(value)), ratio(rounds, value))
            };
            let nobody = median(rounds.iter().map(|round| round.nobody));
            let (sni_probe, tcpdump) = (with(|round| round.sni_probe), with(|round| round.tcpdump));
            writeln!(f, "{name:<28} {nobody:>10.1} {sni_probe:>18} {tcpdump:>18}")?;
        }
        let Daemon { idle_cpu_percent, idle, open, open_handshakes } = &self.daemon;
        writeln!(
            f,
            "\nidle: {idle_cpu_percent:.3} % of a core, {:.1} MiB ({:.1} anonymous, {:.1} file)",
            idle.total, idle.anonymous, idle.file
        )?;
        writeln!(
            f,
            "{open_handshakes} open: {:.1} MiB ({:.1} anonymous, {:.1} file)",
            open.total, open.anonymous, open.file
        )?;
        for (name, flood) in [("fixed rate", &self.flood.at_rate), ("top speed", &self.flood.top_speed)] {
            let Flood { sent, rate, seen, lost, cpu_us_per_hello } = flood;
            writeln!(
                f,
                "flood, {name}: {sent} hellos at {rate:.0}/s: {seen} seen, {lost} lost, {cpu_us_per_hello:.2} us of CPU for a hello"
            )?;
        }
        writeln!(f)?;
        for Target { what, bound, value, is_met } in self.targets() {
            let verdict = if is_met { "met" } else { "missed" };
            writeln!(f, "target: {what} {bound}: {value:.3}, {verdict}")?;
        }
        if self.flood.at_rate.rate < f64::from(RATE) * 0.99 {
            writeln!(f, "the flood has not reached {RATE} a second: its target is missed")?;
        }
        Ok(())
    }
}

fn observed(rounds: &[Observed], unit: &str) -> Value {
    json!({
        "unit": unit,
        "nobody": median(rounds.iter().map(|round| round.nobody)),
        "sni_probe": median(rounds.iter().map(|round| round.sni_probe)),
        "tcpdump": median(rounds.iter().map(|round| round.tcpdump)),
        "ratio_sni_probe": ratio(rounds, |round| round.sni_probe),
        "ratio_tcpdump": ratio(rounds, |round| round.tcpdump),
        "rounds": rounds.len(),
    })
}

fn memory(memory: &Memory) -> Value {
    let Memory { total, anonymous, file, shared } = memory;
    json!({ "total": total, "anonymous": anonymous, "file": file, "shared": shared })
}

fn flood(flood: &Flood) -> Value {
    let Flood { sent, rate, seen, lost, cpu_us_per_hello } = flood;
    json!({ "sent": sent, "rate": rate, "seen": seen, "lost": lost, "cpu_us_per_hello": cpu_us_per_hello })
}

/// The median of the rounds' ratios to nobody.
fn ratio(rounds: &[Observed], value: impl Fn(&Observed) -> f64) -> f64 {
    median(rounds.iter().map(|round| value(round) / round.nobody))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2).copied().unwrap_or_default();
    let is_even = values.len().is_multiple_of(2);
    let lower = if is_even { values.get((values.len() / 2).saturating_sub(1)).copied() } else { None };
    lower.map_or(upper, |lower| f64::midpoint(lower, upper))
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let of = |values: &[f64]| format!("{:?}", median(values.iter().copied()));
        assert_eq!(
            [of(&[]), of(&[3.0]), of(&[4.0, 1.0]), of(&[9.0, 1.0, 2.0])],
            ["0.0", "3.0", "2.5", "2.0"]
        );
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let round = |nobody, sni_probe| Observed { nobody, sni_probe, tcpdump: nobody / 2.0 };
        let rounds = vec![round(10.0, 9.9), round(20.0, 20.0), round(5.0, 4.0)];
        let memory = Memory { total: 19.0, anonymous: 3.0, file: 16.0, shared: 0.0 };
        let flood = Flood { sent: 10, rate: 100_000.0, seen: 9, lost: 1, cpu_us_per_hello: 1.5 };
        let report = Report {
            throughput: rounds.clone(),
            with_sni: rounds.clone(),
            resets: rounds,
            daemon: Daemon { idle_cpu_percent: 0.05, idle: memory, open: memory, open_handshakes: 100_000 },
            flood: Floods { at_rate: flood, top_speed: flood },
        };
        let json = report.json();
        assert_eq!(json["throughput"]["ratio_sni_probe"], 0.99);
        assert_eq!(json["throughput"]["ratio_tcpdump"], 0.5);
        assert_eq!(json["throughput"]["nobody"], 10.0);
        for key in ["throughput", "handshakes", "cpu_us_per_hello", "idle_cpu_percent", "rss_mib", "flood"] {
            assert!(!json[key].is_null(), "{key}");
        }
        let missed: Vec<&str> =
            report.targets().iter().filter(|target| !target.is_met).map(|target| target.what).collect();
        assert_eq!(missed, ["hellos lost at 100,000 a second"]);
        let slow = Flood { rate: 90_000.0, lost: 0, ..flood };
        let few = Daemon { open_handshakes: 99_000, ..report.daemon };
        let report_of_less =
            Report { daemon: few, flood: Floods { at_rate: slow, top_speed: slow }, ..report };
        assert_eq!(report_of_less.targets().iter().filter(|target| !target.is_met).count(), 2);
        let report = Report {
            daemon: Daemon { open_handshakes: 100_000, ..few },
            flood: Floods { at_rate: flood, top_speed: flood },
            ..report_of_less
        };
        assert!(report.to_string().contains("target: hellos lost at 100,000 a second 0: 1.000, missed"));
    }
}
