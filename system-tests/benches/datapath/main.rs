//! What the TC programs cost, in the kernel: `cargo xtask bench datapath` builds and runs this as root.
//!
//! `BPF_PROG_TEST_RUN` repeats a program over one packet and gives the nanoseconds of a run. Each case is
//! measured beside an empty classifier, with as many repeats and in the same round; what counts is the
//! median of the differences. Prints one JSON document.

mod cases;
mod kernel;

use std::num::NonZeroU32;

use serde_json::{Value, json};

use crate::cases::{Case, FAMILIES, cases};
use crate::kernel::Kernel;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *words {
        ["measure", rounds, ref rest @ ..] if let Ok(rounds) = rounds.parse() => {
            println!("{}", measure(rounds, rest));
        }
        ["verify"] => println!("{}", Kernel::load(None).instructions()),
        // `cargo test --benches` runs it without arguments.
        _ => println!("usage: datapath measure ROUNDS [CASE] [against OBJECT] | verify"),
    }
}

/// Measures all cases, or those of one name: for a profiler. With `against`, those of another object beside them.
fn measure(rounds: NonZeroU32, words: &[&str]) -> Value {
    let (name, other) = match *words {
        [] => (None, None),
        ["against", object] => (None, Some(object)),
        [name] => (Some(name), None),
        [name, "against", object] => (Some(name), Some(object)),
        _ => panic!("words after ROUNDS: [CASE] [against OBJECT]"),
    };
    let other = other.map(|path| std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}")));
    let mut kernel = Kernel::load(other.as_deref());
    let cases = FAMILIES.into_iter().flat_map(cases).filter(|case| name.is_none_or(|name| case.name == name));
    let mut rows: Vec<Row> = cases.map(|case| Row { case, samples: Vec::new() }).collect();
    for round in 0..rounds.get() {
        for row in &mut rows {
            row.samples.push(kernel.sample(&row.case, round));
        }
    }
    let rows: Vec<Value> = rows.iter().map(Row::json).collect();
    json!({ "rounds": rounds, "rows": rows, "programs": kernel.instructions() })
}

/// Nanoseconds of a run: of the program, and of an empty one at the same time.
#[derive(Clone, Copy, Debug)]
struct Sample {
    program: f64,
    empty: f64,
    /// Of the other object's program.
    other: Option<f64>,
}

struct Row {
    case: Case,
    samples: Vec<Sample>,
}

impl Row {
    fn json(&self) -> Value {
        let Case { name, family, .. } = &self.case;
        let runs = self.samples.len() as u64 * u64::from(self.case.calls) * u64::from(self.case.repeat);
        let mut row = json!({
            "case": name,
            "family": family.name(),
            "ns": self.median(|sample| sample.program),
            "ns_over_empty": self.median(|sample| sample.program - sample.empty),
            "runs": runs,
        });
        if self.samples.iter().all(|sample| sample.other.is_some()) {
            let other = |sample: &Sample| sample.other.unwrap_or_default();
            row["other_ns_over_empty"] = self.median(|sample| other(sample) - sample.empty).into();
            row["ns_over_other"] = self.median(|sample| sample.program - other(sample)).into();
        }
        row
    }

    fn median(&self, value: impl Fn(&Sample) -> f64) -> f64 {
        let mut values: Vec<f64> = self.samples.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        // A tenth of a nanosecond is below the noise.
        (values[values.len() / 2] * 10.0).round() / 10.0
    }
}
