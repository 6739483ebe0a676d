//! `cargo xtask fuzz`: libFuzzer over the targets in `fuzz/`, and their tests.
//!
//! cargo-fuzz needs unstable flags of rustc. The compiler is nevertheless the one that builds everything
//! else, told to allow them (`RUSTC_BOOTSTRAP`), so that no other toolchain has to be there.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Mutex, PoisonError};
use std::{env, thread};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::setup;
use crate::summary::Summary;
use crate::tools::{cargo, foreign_rust, progress, root, run, succeeds, target_directory};

/// Memory of a target, in MiB, the sanitizer's own included. A tracker of a few flows takes a thousandth.
const RSS_LIMIT_MB: u32 = 1024;
/// One allocation, in MiB: none comes near the 64 MiB that all flows together may hold.
const MALLOC_LIMIT_MB: u32 = 64;
/// One input, in seconds. Most take less than a millisecond.
const TIMEOUT: u32 = 10;

/// Fuzz the parsers, the datapath and the tracker
///
/// Starts from the seeds in fuzz/corpus; what it finds on its way goes to target/fuzz-corpus, and the next
/// run goes on from there. Installs cargo-fuzz into target/tools where it is missing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask fuzz                          # each target for a minute
  cargo xtask fuzz tracker --seconds 3600
  cargo xtask fuzz --jobs 1                 # one after the other")]
pub(crate) struct Arguments {
    /// Only these targets
    targets: Vec<String>,
    /// How long each runs, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// How many run at the same time [default: one for each CPU]
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let targets = targets(&arguments.targets)?;
    setup::fuzz()?;
    let sanitizer = Sanitizer::find()?;
    let binaries = build(sanitizer)?;
    let jobs = arguments.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    progress(&format!("fuzzing {} for {} s each, {jobs} at a time", targets.join(", "), arguments.seconds));
    let campaign = Campaign { binaries, seconds: arguments.seconds };
    let reports = campaign.run(targets, jobs)?;
    for report in &reports {
        println!("{report}");
    }
    let is_clean = reports.iter().all(|report| report.is_clean);
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the tests of the targets: all seeds, their prefixes, and simple changes to them.
///
/// The directory for what is built is the workspace's, where most dependencies are already.
pub(crate) fn seeds() -> Result<Summary> {
    progress("fuzz targets, over their seeds");
    Summary::of(with_manifest(cargo().arg("test")).arg("--no-fail-fast"))
}

/// Formatting and clippy of the targets: a workspace of its own, which the others' passes by.
pub(crate) fn lint() -> Result<()> {
    progress("lint: fuzz targets");
    run(cargo().args(["fmt", "--manifest-path", MANIFEST, "--check"]))?;
    run(with_manifest(cargo().arg("clippy")).args(["--all-targets", "--", "-D", "warnings"]))
}

const MANIFEST: &str = "fuzz/Cargo.toml";

fn with_manifest(command: &mut Command) -> &mut Command {
    command.args(["--manifest-path", MANIFEST, "--target-dir"]).arg(target_directory())
}

fn directory() -> PathBuf {
    root().join("fuzz")
}

/// Those of `wanted`, or all.
fn targets(wanted: &[String]) -> Result<Vec<String>> {
    let sources = directory().join("fuzz_targets");
    let mut all = Vec::new();
    for entry in fs::read_dir(&sources).with_context(|| format!("reading {}", sources.display()))? {
        all.extend(entry?.path().file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    all.sort_unstable();
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        bail!("there is no target {unknown}; there are {}", all.join(", "));
    }
    all.retain(|name| wanted.is_empty() || wanted.contains(name));
    Ok(all)
}

/// What looks for errors that do not panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sanitizer {
    Address,
    None,
}

impl Sanitizer {
    /// The address sanitizer, if a program with it can be linked and run here. (Its runtime comes with
    /// rustc, but not for every target; and it does not run everywhere, under a debugger for one.)
    fn find() -> Result<Self> {
        let directory = target_directory().join("fuzz");
        fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
        let (source, program) = (directory.join("probe.rs"), directory.join("probe"));
        fs::write(&source, "fn main() {}\n").context("writing a program for the sanitizer")?;
        let mut compile = unstable("rustc");
        compile.arg("-Zsanitizer=address").arg(&source).arg("-o").arg(&program);
        let works = succeeds(&mut compile) && succeeds(&mut Command::new(&program));
        let found = if works { Self::Address } else { Self::None };
        progress(match found {
            Self::Address => "with AddressSanitizer, debug assertions and overflow checks",
            Self::None => "AddressSanitizer does not work here: debug assertions and overflow checks only",
        });
        Ok(found)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::None => "none",
        }
    }
}

/// A program of the toolchain that runs xtask, or one that starts those, allowed to use unstable flags.
fn unstable(program: impl AsRef<Path>) -> Command {
    let mut command = foreign_rust(program.as_ref());
    command.env("RUSTC_BOOTSTRAP", "1");
    if let Some(toolchain) = env::var_os("RUSTUP_TOOLCHAIN") {
        command.env("RUSTUP_TOOLCHAIN", toolchain);
    }
    command
}

/// Builds all targets, and says where they are.
fn build(sanitizer: Sanitizer) -> Result<PathBuf> {
    progress("building the fuzz targets");
    let output = unstable("rustc").arg("-vV").output().context("starting rustc")?;
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc -vV names no host")?;
    // Not the workspace's: cargo-fuzz has flags of its own for every crate.
    let target = target_directory().join("fuzz");
    let mut command = unstable(setup::cargo_fuzz());
    command.args(["build", "--sanitizer", sanitizer.name(), "--target", host, "--fuzz-dir"]);
    command.arg(directory()).arg("--target-dir").arg(&target);
    run(&mut command)?;
    Ok(target.join(host).join("release"))
}

/// A run of several targets.
struct Campaign {
    binaries: PathBuf,
    seconds: u32,
}

impl Campaign {
    fn run(&self, targets: Vec<String>, jobs: usize) -> Result<Vec<Report>> {
        let queue = Mutex::new(VecDeque::from(targets));
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let work = || {
            let mut reports = Vec::new();
            while let Some(target) = next() {
                reports.push(self.run_one(target)?);
            }
            Ok(reports)
        };
        let results: Vec<Result<Vec<Report>>> = thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            workers.into_iter().map(|worker| worker.join().expect("a worker does not panic")).collect()
        });
        let mut reports: Vec<Report> =
            results.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        reports.sort_unstable_by(|one, other| one.target.cmp(&other.target));
        Ok(reports)
    }

    fn run_one(&self, target: String) -> Result<Report> {
        let grown = target_directory().join("fuzz-corpus").join(&target);
        let artifacts = directory().join("artifacts").join(&target);
        for directory in [&grown, &artifacts] {
            fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
        }
        let log = target_directory().join("fuzz").join(format!("{target}.log"));
        let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = Command::new(self.binaries.join(&target));
        // New inputs go to the first directory; the others are only read.
        command.arg(&grown).arg(directory().join("corpus").join(&target));
        command.args([
            format!("-max_total_time={}", self.seconds),
            format!("-rss_limit_mb={RSS_LIMIT_MB}"),
            format!("-malloc_limit_mb={MALLOC_LIMIT_MB}"),
            format!("-timeout={TIMEOUT}"),
            format!("-artifact_prefix={}/", artifacts.display()),
            "-print_final_stats=1".to_owned(),
        ]);
        // The same as cargo-fuzz: Rust's own allocator is no violation.
        command.env("ASAN_OPTIONS", "detect_odr_violation=0").env("RUST_BACKTRACE", "1");
        command.current_dir(root()).stdout(output.try_clone()?).stderr(output);
        let status = command.status().with_context(|| format!("starting {target}"))?;
        let text = fs::read(&log).with_context(|| format!("reading {}", log.display()))?;
        let report = Report::read(target, status.success(), &String::from_utf8_lossy(&text), log);
        progress(&format!("{}: {}", report.target, if report.is_clean { "done" } else { "FOUND SOMETHING" }));
        Ok(report)
    }
}

/// What became of a target.
#[derive(Debug)]
struct Report {
    target: String,
    is_clean: bool,
    executions: u64,
    per_second: u64,
    /// Edges of the program's control flow that were taken.
    coverage: u64,
    /// The input that broke something.
    input: Option<String>,
    /// What the program said of it.
    message: Option<String>,
    log: PathBuf,
}

impl Report {
    /// Reads libFuzzer's log.
    fn read(target: String, is_success: bool, text: &str, log: PathBuf) -> Self {
        let number = |word: &str| -> u64 {
            let value = text.rsplit_once(word).map_or("", |(_, behind)| behind.trim_start());
            let digits = value.find(|character: char| !character.is_ascii_digit()).unwrap_or(value.len());
            value[..digits].parse().unwrap_or(0)
        };
        let line_with = |word: &str| text.lines().find_map(|line| line.split_once(word));
        let input = line_with("Test unit written to ").map(|(_, path)| path.trim().to_owned());
        let mut lines =
            text.lines().skip_while(|line| !line.contains("panicked at") && !line.contains("ERROR:"));
        let message: Vec<&str> = lines.by_ref().take(4).collect();
        Self {
            target,
            is_clean: is_success && input.is_none(),
            executions: number("stat::number_of_executed_units:"),
            per_second: number("stat::average_exec_per_sec:"),
            coverage: number(" cov:"),
            input,
            message: (!message.is_empty()).then(|| message.join("\n    ")),
            log,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, executions, per_second, coverage, .. } = self;
        write!(
            formatter,
            "{target:<14}{executions:>12} executions{per_second:>9}/s   coverage {coverage:>6}   "
        )?;
        if self.is_clean {
            return formatter.write_str("nothing found");
        }
        formatter.write_str("BROKEN")?;
        if let Some(message) = &self.message {
            write!(formatter, "\n    {message}")?;
        }
        if let Some(input) = &self.input {
            let input = Path::new(input).strip_prefix(root()).unwrap_or(Path::new(input)).display();
            write!(formatter, "\n    input:     {input}")?;
            write!(
                formatter,
                "\n    reproduce: cargo run --manifest-path {MANIFEST} --bin {target} -- {input}"
            )?;
        }
        write!(formatter, "\n    log:       {}", self.log.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(is_success: bool, text: &str) -> Report {
        Report::read("tracker".to_owned(), is_success, text, PathBuf::from("log"))
    }

    #[test]
    fn reads_a_clean_run() {
        let text = "#2\tINITED cov: 9 ft: 10\n#77\tDONE   cov: 812 ft: 2817 corp: 4/9b\n\
            stat::number_of_executed_units: 77\nstat::average_exec_per_sec:     38\n";
        let report = report(true, text);
        assert!(report.is_clean);
        assert_eq!((report.executions, report.per_second, report.coverage), (77, 38, 812));
        assert!(report.to_string().ends_with("nothing found"));
    }

    #[test]
    fn says_how_to_reproduce_a_finding() {
        let text = "thread '<unnamed>' (7) panicked at src/tracker.rs:1:2:\nit broke\n==7== ERROR: libFuzzer\n\
            artifact_prefix='x'; Test unit written to fuzz/artifacts/tracker/crash-1\n";
        let report = report(false, text);
        assert!(!report.is_clean);
        let shown = report.to_string();
        assert!(shown.contains("it broke"), "{shown}");
        assert!(shown.contains("--bin tracker -- fuzz/artifacts/tracker/crash-1\n"), "{shown}");
    }

    #[test]
    fn a_run_that_ends_badly_without_an_input_is_not_clean() {
        assert!(!report(false, "").is_clean);
    }

    #[test]
    fn only_targets_that_there_are() {
        assert!(targets(&[]).unwrap().contains(&"tracker".to_owned()));
        assert_eq!(targets(&["frame".to_owned()]).unwrap(), ["frame"]);
        assert!(targets(&["nonsense".to_owned()]).is_err());
    }
}
