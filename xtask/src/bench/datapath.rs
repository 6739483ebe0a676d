//! `cargo xtask bench datapath`: what a packet costs in the TC programs.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};

use crate::programs;

/// Nanoseconds over an empty classifier, IPv4.
const TARGETS: [(&str, f64); 6] = [
    ("other_port", 5.0),
    ("pure_ack", 12.0),
    ("data_to_gateway", 12.0),
    ("data_from_gateway", 12.0),
    ("syn", 12.0),
    ("hello_517", 90.0),
];
/// What IPv6 and a VLAN tag may cost more.
const OTHER_FAMILIES: f64 = 5.0;

/// Time the TC programs over packets of each kind, in the kernel (root)
///
/// BPF_PROG_TEST_RUN repeats a program over one packet. Each case is run beside an empty classifier, in
/// interleaved rounds; ns_over_empty is the median of the differences.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask bench datapath
  cargo xtask bench datapath --rounds 101 --json | jq '.rows[] | select(.case == \"syn\")'
  cargo xtask bench datapath --against ../other/target/ebpf/bpfel-unknown-none/release/sni-probe-ebpf")]
#[expect(clippy::doc_markdown, reason = "the text of --help")]
pub(crate) struct Arguments {
    /// How often each case is measured; the median counts
    #[arg(long, default_value = "51")]
    rounds: NonZeroU32,
    /// Compare with the BPF object of another checkout, which `cargo xtask build` has made there
    ///
    /// Each case runs in both objects in turn, in the same rounds.
    #[arg(long, value_name = "OBJECT")]
    against: Option<PathBuf>,
    /// Print the result as one JSON document on standard output
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let rounds = arguments.rounds.to_string();
    let mut words = vec!["measure", &rounds];
    let other = arguments
        .against
        .as_deref()
        .map(|object| object.canonicalize().with_context(|| format!("--against: {}", object.display())));
    let other = other.transpose()?;
    if let Some(object) = &other {
        words.extend(["against", object.to_str().context("--against: the path is not UTF-8")?]);
    }
    let measured = programs::run(&words)?;
    let report = Report::new(measured)?;
    if arguments.json {
        println!("{}", report.json());
    } else {
        print!("{}", report.table());
    }
    Ok(ExitCode::SUCCESS)
}

struct Report {
    measured: Value,
    targets: Vec<Target>,
}

struct Target {
    case: &'static str,
    family: String,
    bound: f64,
    value: f64,
}

impl Target {
    fn is_met(&self) -> bool {
        self.value <= self.bound
    }
}

impl Report {
    fn new(measured: Value) -> Result<Self> {
        let rows = measured["rows"].as_array().context("no rows")?;
        let value = |case: &str, family: &str| {
            let row = rows.iter().find(|row| row["case"] == case && row["family"] == family);
            row.and_then(|row| row["ns_over_empty"].as_f64())
                .with_context(|| format!("no row {case} {family}"))
        };
        let mut targets = Vec::new();
        for (case, bound) in TARGETS {
            let ipv4 = value(case, "ipv4")?;
            targets.push(Target { case, family: "ipv4".to_owned(), bound, value: ipv4 });
            for family in ["ipv6", "vlan"] {
                let bound = ipv4 + OTHER_FAMILIES;
                targets.push(Target { case, family: family.to_owned(), bound, value: value(case, family)? });
            }
        }
        Ok(Self { measured, targets })
    }

    fn json(&self) -> Value {
        let mut json = self.measured.clone();
        let targets = self.targets.iter().map(|target| {
            let Target { case, family, bound, value } = target;
            json!({ "case": case, "family": family, "target": bound, "value": value, "met": target.is_met() })
        });
        json["targets"] = targets.collect();
        json
    }

    fn table(&self) -> String {
        let mut text =
            format!("{:<18} {:<6} {:>7} {:>14} {:>9}", "case", "family", "ns", "over empty", "runs");
        let is_compared = self.measured["rows"][0]["ns_over_other"].is_number();
        text.push_str(if is_compared { "  other over empty   difference\n" } else { "\n" });
        for row in self.measured["rows"].as_array().into_iter().flatten() {
            let word = |name: &str| row[name].as_str().unwrap_or_default();
            let number = |name: &str| row[name].as_f64().unwrap_or_default();
            // Writing to a `String` cannot fail.
            let _ = write!(
                text,
                "{:<18} {:<6} {:>7.1} {:>14.1} {:>9.0}",
                word("case"),
                word("family"),
                number("ns"),
                number("ns_over_empty"),
                number("runs"),
            );
            if is_compared {
                let _ = write!(
                    text,
                    "  {:>16.1} {:>12.1}",
                    number("other_ns_over_empty"),
                    number("ns_over_other")
                );
            }
            text.push('\n');
        }
        text.push('\n');
        for program in self.measured["programs"].as_array().into_iter().flatten() {
            let _ = writeln!(
                text,
                "{}: {} instructions, {} verified",
                program["program"].as_str().unwrap_or_default(),
                program["instructions"],
                program["verified"],
            );
        }
        for Target { case, family, bound, value } in self.targets.iter().filter(|target| !target.is_met()) {
            let _ = writeln!(
                text,
                "target missed: {case} {family}: {value:.1} ns over empty, at most {bound:.1}"
            );
        }
        let met = self.targets.iter().filter(|target| target.is_met()).count();
        let _ = writeln!(text, "targets: {met} of {} met", self.targets.len());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_those_of_ipv4_and_five_more() {
        let mut rows = Vec::new();
        for (case, bound) in TARGETS {
            for (family, more) in [("ipv4", 0.0), ("ipv6", 5.0), ("vlan", 5.1)] {
                rows.push(json!({ "case": case, "family": family, "ns": 1.0, "ns_over_empty": bound + more, "runs": 1 }));
            }
        }
        let report = Report::new(json!({ "rows": rows, "programs": [] })).unwrap();
        let missed: Vec<&str> =
            report.targets.iter().filter(|target| !target.is_met()).map(|target| &*target.family).collect();
        assert_eq!(missed, ["vlan"; 6]);
        assert!(report.table().contains("targets: 12 of 18 met"), "{}", report.table());
        assert_eq!(report.json()["targets"][0]["met"], true);
        assert!(Report::new(json!({ "rows": [] })).is_err());
    }
}
