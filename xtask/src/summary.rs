//! The counts of `cargo test`, read from its output as it passes by.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::ops::AddAssign;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::tools::show;

/// How many tests ran, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    passed: u64,
    failed: u64,
    skipped: u64,
    /// A test binary was not built, crashed or could not run: no count says that.
    broken: bool,
}

impl Summary {
    /// Whether nothing failed.
    pub(crate) fn is_success(&self) -> bool {
        self.failed == 0 && !self.broken
    }

    /// Of tests that were counted elsewhere.
    pub(crate) const fn counted(passed: u64, failed: u64, skipped: u64) -> Self {
        Self { passed, failed, skipped, broken: false }
    }

    /// Runs a command and reads the `test result:` lines of what it prints.
    pub(crate) fn of(command: &mut Command) -> Result<Self> {
        let shown = show(command);
        let starting = || format!("starting {shown}");
        let mut child = command.stdout(Stdio::piped()).spawn().with_context(starting)?;
        let stdout = child.stdout.take().context("standard output is a pipe")?;
        let mut summary = Self::read(BufReader::new(stdout), std::io::stdout().lock())?;
        let success = child.wait()?.success();
        summary.broken = !success && summary.failed == 0;
        Ok(summary)
    }

    /// Copies the output through and adds up its counts.
    fn read(input: impl BufRead, mut output: impl Write) -> Result<Self> {
        let mut summary = Self::default();
        for line in input.split(b'\n') {
            let line = line?;
            output.write_all(&line)?;
            output.write_all(b"\n")?;
            if let Some(counts) = parse(&String::from_utf8_lossy(&line)) {
                summary += counts;
            }
        }
        Ok(summary)
    }
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.broken |= other.broken;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped, .. } = self;
        write!(formatter, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`
fn parse(line: &str) -> Option<Summary> {
    let (_, counts) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
    let mut summary = Summary::default();
    for count in counts.split("; ") {
        match count.split_once(' ') {
            Some((number, "passed")) => summary.passed = number.parse().ok()?,
            Some((number, "failed")) => summary.failed = number.parse().ok()?,
            Some((number, "ignored")) => summary.skipped = number.parse().ok()?,
            _ => {}
        }
    }
    Some(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_result_line() {
        let line = "test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s";
        let expected = Summary { passed: 12, failed: 2, skipped: 1, broken: false };
        assert_eq!(parse(line), Some(expected));
        assert_eq!(parse("test a ... ok"), None);
    }

    #[test]
    fn adds_up_what_it_passes_through() {
        let text = "running 2 tests\n\
            test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n\
            test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n";
        let mut output = Vec::new();
        let summary = Summary::read(text.as_bytes(), &mut output).unwrap();
        assert!(summary.is_success());
        assert_eq!(summary.to_string(), "7 passed, 0 failed, 1 skipped");
        assert_eq!(output, text.as_bytes());
    }

    #[test]
    fn a_failed_command_without_counts_is_no_success() {
        let summary = Summary::of(&mut Command::new("false")).unwrap();
        assert!(!summary.is_success());
    }
}
