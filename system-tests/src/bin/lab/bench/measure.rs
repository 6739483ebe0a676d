//! What a program takes: a process of ours in between runs it, and it alone, and asks the kernel.
//!
//! Of children that have ended the kernel tells only sums and maxima over all of them, so each program
//! gets a parent of its own. The peak memory is exact, but for its lowest value: a process counts what it
//! had before exec, which is a copy of its parent, a few MiB.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde_json::{Value, json};

/// Run a program and print what it took
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where its standard output goes [default: nowhere]
    #[arg(long)]
    stdout: Option<PathBuf>,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// What a program took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    /// From its start to its end, in seconds.
    pub(super) wall: f64,
    /// In its own code, in seconds.
    pub(super) user: f64,
    /// In the kernel, in seconds.
    pub(super) system: f64,
    /// The most memory that it had at once, in bytes.
    pub(super) peak_bytes: u64,
}

impl Usage {
    /// User and system time together.
    pub(super) fn cpu(&self) -> f64 {
        self.user + self.system
    }

    pub(super) fn json(&self) -> Value {
        let Self { wall, user, system, peak_bytes } = self;
        json!({
            "wall_seconds": wall,
            "user_seconds": user,
            "system_seconds": system,
            "peak_memory_bytes": peak_bytes,
        })
    }

    fn parse(json: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(json).ok()?;
        let seconds = |name: &str| value[name].as_f64();
        Some(Self {
            wall: seconds("wall_seconds")?,
            user: seconds("user_seconds")?,
            system: seconds("system_seconds")?,
            peak_bytes: value["peak_memory_bytes"].as_u64()?,
        })
    }
}

/// Runs a program and measures it. Its output goes to the file, or nowhere.
pub(super) fn measure(program: &Path, arguments: &[&OsStr], stdout: Option<&Path>) -> Result<Usage> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("measure");
    if let Some(stdout) = stdout {
        command.arg("--stdout").arg(stdout);
    }
    command.arg("--").arg(program).args(arguments);
    command.stderr(Stdio::inherit());
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        bail!("{}: {}", program.display(), output.status);
    }
    Usage::parse(&output.stdout).with_context(|| format!("no measurement from {command:?}"))
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let (program, rest) = arguments.command.split_first().context("a program")?;
    let stdout = match &arguments.stdout {
        Some(path) => File::create(path).with_context(|| path.display().to_string())?.into(),
        None => Stdio::null(),
    };
    let mut command = Command::new(program);
    command.args(rest).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    let start = Instant::now();
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    let wall = start.elapsed().as_secs_f64();
    if !output.status.success() {
        // Only now: nearly every program says something to stderr.
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        bail!("{command:?}: {}", output.status);
    }
    let children = getrusage(UsageWho::RUSAGE_CHILDREN).context("asking what the program took")?;
    let usage = Usage {
        wall,
        user: seconds(children.user_time()),
        system: seconds(children.system_time()),
        // Linux counts in KiB.
        peak_bytes: u64::try_from(children.max_rss())? * 1024,
    };
    println!("{}", usage.json());
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::cast_precision_loss, reason = "no program runs for centuries")]
fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_is_read_as_it_is_written() {
        let usage = Usage { wall: 1.5, user: 0.75, system: 0.25, peak_bytes: 1 << 20 };
        assert_eq!(Usage::parse(usage.json().to_string().as_bytes()), Some(usage));
        assert_eq!(Usage::parse(b"{}"), None);
    }
}
