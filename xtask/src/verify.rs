//! `cargo xtask verify`: the TC programs pass the kernel's verifier, and have not grown.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::programs;

/// Instructions of each program, as the verifier leaves them: about a tenth more than there are. More take more
/// of the cache that packets need; who adds some knows it, and raises the number.
const BUDGETS: [(&str, u64); 2] = [("client_to_gateway", 4_600), ("gateway_to_client", 3_000)];
/// Instructions that the verifier may look at on all paths together. It gives up at a million, and older kernels
/// need more of them than this machine's.
const VERIFIED_BUDGET: u64 = 30_000;

/// Load the TC programs and compare their instruction counts with their budgets (root)
#[derive(Debug, Args)]
#[command(after_help = "Example:
  cargo xtask verify")]
pub(crate) struct Arguments {}

pub(crate) fn main(_: &Arguments) -> Result<ExitCode> {
    within_budget()?;
    Ok(ExitCode::SUCCESS)
}

/// Loads the programs and prints their counts.
///
/// # Errors
/// If they do not load, or one is over its budget.
pub(crate) fn within_budget() -> Result<()> {
    let (text, is_within) = judge(&programs::run(&["verify"])?)?;
    print!("{text}");
    if !is_within {
        bail!("a program has grown: make it smaller, or raise the budget in {}", file!());
    }
    Ok(())
}

/// A line for each program, and whether all are within their budgets.
fn judge(counts: &Value) -> Result<(String, bool)> {
    let mut text = String::new();
    let mut is_within = true;
    for (name, budget) in BUDGETS {
        let programs = counts.as_array().context("no list of programs")?;
        let program = programs.iter().find(|program| program["program"] == name);
        let program = program.with_context(|| format!("no program {name}"))?;
        let instructions = program["instructions"].as_u64().context("no instruction count")?;
        // Before Linux 5.16 the kernel does not tell.
        let verified = program["verified"].as_u64().unwrap_or_default();
        let is_over = instructions > budget || verified > VERIFIED_BUDGET;
        is_within &= !is_over;
        let verdict = if is_over { "over its budget" } else { "ok" };
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            text,
            "{name}: {instructions} instructions (budget {budget}), {verified} verified (budget {VERIFIED_BUDGET}): \
             {verdict}"
        );
    }
    Ok((text, is_within))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn counts(instructions: u64, verified: u64) -> Value {
        BUDGETS
            .map(|(name, _)| json!({ "program": name, "instructions": instructions, "verified": verified }))
            .into_iter()
            .collect()
    }

    #[test]
    fn a_program_that_has_grown_fails() {
        let least = BUDGETS.into_iter().map(|(_, budget)| budget).min().unwrap();
        assert!(judge(&counts(least, VERIFIED_BUDGET)).unwrap().1);
        for (name, budget) in BUDGETS {
            let (text, is_within) = judge(&counts(budget + 1, 1)).unwrap();
            let line = format!("{name}: {} instructions (budget {budget})", budget + 1);
            assert!(!is_within && text.contains(&line), "{text}");
        }
        assert!(!judge(&counts(1, VERIFIED_BUDGET + 1)).unwrap().1);
        assert!(judge(&json!([])).is_err());
    }
}
