//! `cargo xtask vm-test`: the real daemon on other kernels, in virtual machines.

mod image;
mod kernel;
mod machine;
mod matrix;
mod page;
mod programs;
mod userland;
mod visibility;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;

use anyhow::{Result, bail};
use clap::Args;
use lab_interface::dist::Architecture;
use lab_interface::virtual_machine::Guest;
use serde_json::{Value, json};

use self::kernel::{Fetched, Kernel};
use self::machine::Machine;
use self::programs::Programs;
use self::userland::Userland;
use crate::build::Built;
use crate::cross::{self, Processor};
use crate::setup;
use crate::summary::Summary;
use crate::tools::progress;

/// Machines that run at the same time: each of them waits now and then.
const MACHINES: usize = 2;
/// The kernel of [`Guest::Visibility`]: the oldest of [`Kernel`] that has all kinds of interfaces.
const VISIBILITY_KERNEL: Kernel = Kernel::V6_12;

/// Run sni-probe on other kernels, in virtual machines (qemu)
///
/// Boots Debian's kernels with the binary that `cargo xtask build` makes: load, verify and attach with the smallest
/// set of capabilities, count a hello without SNI and its reset, detach. Kernels are fetched once, to target/vm. For
/// another architecture than this machine's, the binary is the one that `cargo xtask dist` makes.
///
/// The results are compared with the table of docs/kernels.md. On Linux 6.12 and this machine's architecture, a second
/// machine compares what interfaces of many kinds see with the table of docs/attach.md.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask vm-test
  cargo xtask vm-test --kernel 5.10,6.17
  cargo xtask vm-test --arch arm64             # builds the release for arm64 first, which takes minutes
  cargo xtask vm-test --arch amd64,arm64 --write
  cargo xtask vm-test --json | jq '.[].release'")]
pub(crate) struct Arguments {
    /// Only these kernels
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kernel::ALL)]
    kernel: Vec<Kernel>,
    /// The processors of the machines, separated by commas [default: this machine's]
    #[arg(long, value_enum, value_delimiter = ',')]
    arch: Vec<Processor>,
    /// Write the results to the tables of docs/kernels.md and docs/attach.md instead of comparing them
    #[arg(long)]
    write: bool,
    /// Print the result as one JSON document on standard output
    #[arg(long)]
    json: bool,
}

/// What is done with the tables of the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pages {
    /// A result that differs is a failure.
    Compare,
    Write,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    setup::ebpf()?;
    let pages = if arguments.write { Pages::Write } else { Pages::Compare };
    let mut results = Vec::new();
    for architecture in cross::architectures(&arguments.arch) {
        setup::virtual_machines(architecture)?;
        let programs = Programs::build(architecture)?;
        results.extend(run(&programs, architecture, &arguments.kernel, pages)?);
    }
    if arguments.json {
        println!("{}", results.iter().map(Tested::json).collect::<Value>());
    } else {
        print_tables(&results);
    }
    if pages == Pages::Write {
        write_pages(&results)?;
    }
    let is_success = results.iter().all(|tested| !matches!(tested.outcome, Outcome::Failed(_)));
    Ok(if is_success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All kernels of this machine's architecture, counted as tests.
pub(crate) fn all(built: &Built) -> Result<Summary> {
    progress("other kernels");
    setup::virtual_machines(Architecture::host())?;
    let programs = Programs::with(built)?;
    let results = run(&programs, Architecture::host(), &Kernel::ALL, Pages::Compare)?;
    print_tables(&results);
    let count =
        |is_it: fn(&Outcome) -> bool| results.iter().filter(|tested| is_it(&tested.outcome)).count() as u64;
    Ok(Summary::counted(
        count(|outcome| matches!(outcome, Outcome::Passed(_))),
        count(|outcome| matches!(outcome, Outcome::Failed(_))),
        count(|outcome| matches!(outcome, Outcome::Skipped(_))),
    ))
}

/// A machine, and what became of the daemon in it.
#[derive(Clone)]
struct Tested {
    machine: Machine,
    outcome: Outcome,
}

#[derive(Clone)]
enum Outcome {
    /// The guest's answer.
    Passed(Value),
    Failed(String),
    /// The kernel is not to be had.
    Skipped(String),
}

impl Outcome {
    const fn word(&self) -> &'static str {
        match self {
            Self::Passed(_) => "passed",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
        }
    }
}

impl Tested {
    fn json(&self) -> Value {
        let mut json = match &self.outcome {
            Outcome::Passed(answer) => answer.clone(),
            Outcome::Failed(reason) | Outcome::Skipped(reason) => json!({ "reason": reason }),
        };
        json["arch"] = self.machine.architecture.name().into();
        json["kernel"] = self.machine.kernel.series().into();
        json["guest"] = self.machine.guest.name().into();
        json["outcome"] = self.outcome.word().into();
        json
    }

    /// The guest's answer, if it passed.
    const fn answer(&self) -> Option<&Value> {
        match &self.outcome {
            Outcome::Passed(answer) => Some(answer),
            Outcome::Failed(_) | Outcome::Skipped(_) => None,
        }
    }
}

fn run(
    programs: &Programs,
    architecture: Architecture,
    kernels: &[Kernel],
    pages: Pages,
) -> Result<Vec<Tested>> {
    let directory = kernel::directory(architecture);
    fs::create_dir_all(&directory)?;
    let common = image::common(&directory, programs, &Userland::new(architecture)?)?;
    // What interfaces see is the same on all architectures. This machine takes the longest, so it is the first.
    let has_visibility = architecture == Architecture::host() && kernels.contains(&VISIBILITY_KERNEL);
    let visibility = has_visibility.then_some((VISIBILITY_KERNEL, Guest::Visibility));
    let machines = visibility.into_iter().chain(kernels.iter().map(|&kernel| (kernel, Guest::Daemon)));
    let machines = machines.map(|(kernel, guest)| Machine { architecture, kernel, guest });
    let left = Mutex::new(machines.enumerate());
    let next = || left.lock().ok()?.next();
    let work = || {
        std::iter::from_fn(next)
            .map(|(index, machine)| Ok((index, test(machine, &directory, &common, pages)?)))
            .collect::<Result<Vec<_>>>()
    };
    let mut results = thread::scope(|scope| {
        let workers: Vec<_> = (0..MACHINES).map(|_| scope.spawn(work)).collect();
        let results = workers.into_iter().map(|worker| worker.join().expect("no panic"));
        results.collect::<Result<Vec<_>>>().map(|results| results.concat())
    })?;
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, tested)| tested).collect())
}

/// Fetches a kernel and boots it.
fn test(machine: Machine, directory: &Path, common: &Path, pages: Pages) -> Result<Tested> {
    let title = machine.title();
    let outcome = match kernel::fetch(machine.kernel, machine.architecture)? {
        Fetched::Missing(reason) => Outcome::Skipped(reason),
        Fetched::Files(files) => {
            progress(&format!("{title}: {}", files.release));
            let mut modules = files.modules;
            let directory = match machine.guest {
                Guest::Daemon => directory.join(machine.kernel.series()),
                Guest::Visibility => {
                    modules.extend(files.device_modules);
                    directory.join(machine.guest.name())
                }
            };
            let image = image::with_modules(common, &directory, &modules)?;
            let log = directory.join("console.log");
            machine.boot(&files.image, &image, &log)?;
            match machine::answer(&log)? {
                Ok(answer) => judge(machine, answer, pages)?,
                Err(reason) => Outcome::Failed(reason),
            }
        }
    };
    if let Outcome::Failed(reason) | Outcome::Skipped(reason) = &outcome {
        progress(&format!("{title}: {}: {reason}", outcome.word()));
    }
    Ok(Tested { machine, outcome })
}

/// Judges a guest's answer, which reports no error.
fn judge(machine: Machine, answer: Value, pages: Pages) -> Result<Outcome> {
    // Packet sockets are one more.
    let runs = machine.kernel.modes().len() + 1;
    if machine.guest == Guest::Daemon && answer["runs"].as_array().map(Vec::len) != Some(runs) {
        bail!("the guest's answer has not {runs} runs: {answer}");
    }
    if (pages, machine.guest) == (Pages::Compare, Guest::Daemon) && matrix::is_outdated(&answer)? {
        progress(&format!(
            "{}: {} has other counts of verified instructions; cargo xtask vm-test --write corrects them",
            machine.title(),
            matrix::TABLE.page
        ));
    }
    let difference = match (pages, machine.guest) {
        (Pages::Write, _) => None,
        (Pages::Compare, Guest::Daemon) => matrix::difference(&answer)?,
        (Pages::Compare, Guest::Visibility) => visibility::difference(&answer)?,
    };
    Ok(difference.map_or(Outcome::Passed(answer), Outcome::Failed))
}

fn print_tables(results: &[Tested]) {
    let (daemons, others): (Vec<&Tested>, Vec<&Tested>) =
        results.iter().partition(|tested| tested.machine.guest == Guest::Daemon);
    print!("{}", matrix::TABLE.text(&rows_of(&daemons)));
    for tested in others {
        match &tested.outcome {
            Outcome::Passed(answer) => print!("\n{}", visibility::TABLE.text(&visibility::rows(answer))),
            outcome => println!("\nwhat interfaces see: {}", outcome.word()),
        }
    }
}

/// The rows of the matrix. A machine that has not passed has one.
fn rows_of(daemons: &[&Tested]) -> Vec<String> {
    let rows = daemons.iter().flat_map(|tested| match &tested.outcome {
        Outcome::Passed(answer) => matrix::rows(answer),
        Outcome::Failed(_) | Outcome::Skipped(_) => {
            let Machine { architecture, kernel, .. } = tested.machine;
            let (series, name, word) = (kernel.series(), architecture.name(), tested.outcome.word());
            vec![format!("| {series} ({name}) | **{word}** | | | | | |")]
        }
    });
    rows.collect()
}

/// Writes the results of machines that have passed.
fn write_pages(results: &[Tested]) -> Result<()> {
    let answers_of =
        |guest| results.iter().filter(move |tested| tested.machine.guest == guest).filter_map(Tested::answer);
    matrix::write(answers_of(Guest::Daemon))?;
    for answer in answers_of(Guest::Visibility) {
        visibility::TABLE.write(&visibility::rows(answer))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(kernel: Kernel) -> Machine {
        Machine { architecture: Architecture::Arm64, kernel, guest: Guest::Daemon }
    }

    #[test]
    fn a_machine_that_has_not_passed_is_a_row() {
        let failed = Tested { machine: machine(Kernel::V6_1), outcome: Outcome::Failed("no".to_owned()) };
        let skipped =
            Tested { machine: machine(Kernel::V6_17), outcome: Outcome::Skipped("gone".to_owned()) };
        let rows = rows_of(&[&failed, &skipped]);
        assert_eq!(
            rows,
            ["| 6.1 (arm64) | **failed** | | | | | |", "| 6.17 (arm64) | **skipped** | | | | | |"]
        );
        assert_eq!(skipped.json()["reason"], "gone");
        assert_eq!(failed.json()["arch"], "arm64");
    }

    #[test]
    fn an_answer_lacks_a_run() {
        let answer = json!({ "release": "6.12.1-cloud-arm64", "runs": [{}, {}] });
        assert!(judge(machine(Kernel::V6_12), answer, Pages::Write).is_err());
    }
}
