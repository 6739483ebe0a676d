//! `cargo xtask vm-test`: the real daemon on other kernels, in virtual machines.

mod image;
mod kernel;
mod visibility;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bpf_object::OBJECT_VARIABLE;
use clap::Args;
use lab_interface::PROBE_VARIABLE;
use lab_interface::virtual_machine::{ANSWER, GUEST_VARIABLE, Guest, LINKS, Side, mac_address};
use serde_json::{Value, json};

use self::kernel::Fetched;
pub(crate) use self::kernel::Kernel;
use crate::build::{self, Built, WORKSPACE_ON_HOST};
use crate::setup;
use crate::summary::Summary;
use crate::tools::{cargo, find, progress, root};

/// What a machine may take, without hardware that helps, on a host that is busy.
const DEADLINE: Duration = Duration::from_mins(6);
/// Machines that run at the same time: each of them waits now and then.
const MACHINES: usize = 2;
/// The kernel of [`Guest::Visibility`]: the oldest of [`Kernel`] that has all kinds of interfaces.
const VISIBILITY_KERNEL: Kernel = Kernel::V6_12;

/// Run sni-probe on other kernels, in virtual machines (qemu)
///
/// Boots Debian's kernels with the binary that `cargo xtask build` makes: load, verify and attach with the smallest
/// set of capabilities, count a hello without SNI and its reset, detach. Kernels are fetched once, to target/vm.
///
/// On Linux 6.12 a second machine compares what interfaces of many kinds see with the table of docs/attach.md.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask vm-test
  cargo xtask vm-test --kernel 5.10,6.17
  cargo xtask vm-test --json | jq '.[].release'")]
pub(crate) struct Arguments {
    /// Only these kernels
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kernel::ALL)]
    kernel: Vec<Kernel>,
    /// Print the result as one JSON document on standard output
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    setup::ebpf()?;
    let built = build::sni_probe(&build::Options::default())?;
    let results = run(&built, &arguments.kernel)?;
    if arguments.json {
        println!("{}", results.iter().map(Tested::json).collect::<Value>());
    } else {
        print_tables(&results);
    }
    let is_success = results.iter().all(|tested| !matches!(tested.outcome, Outcome::Failed(_)));
    Ok(if is_success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All kernels, counted as tests.
pub(crate) fn all(built: &Built) -> Result<Summary> {
    progress("other kernels");
    let results = run(built, &Kernel::ALL)?;
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
    kernel: Kernel,
    guest: Guest,
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
        let kernel = self.kernel.series();
        match &self.outcome {
            Outcome::Passed(answer) => {
                let mut json = answer.clone();
                json["kernel"] = kernel.into();
                json["guest"] = self.guest.name().into();
                json["outcome"] = self.outcome.word().into();
                json
            }
            Outcome::Failed(reason) | Outcome::Skipped(reason) => {
                json!({
                    "kernel": kernel,
                    "guest": self.guest.name(),
                    "outcome": self.outcome.word(),
                    "reason": reason,
                })
            }
        }
    }
}

fn run(built: &Built, kernels: &[Kernel]) -> Result<Vec<Tested>> {
    setup::virtual_machines()?;
    let guest = build_guest(&built.object)?;
    let directory = root().join("target/vm");
    fs::create_dir_all(&directory)?;
    let common = image::common(&directory, &guest, &built.sni_probe)?;
    // The longest one first.
    let visibility = kernels.contains(&VISIBILITY_KERNEL).then_some((VISIBILITY_KERNEL, Guest::Visibility));
    let machines = visibility.into_iter().chain(kernels.iter().map(|&kernel| (kernel, Guest::Daemon)));
    let left = Mutex::new(machines.enumerate());
    let next = || left.lock().ok()?.next();
    let work = || {
        std::iter::from_fn(next)
            .map(|(index, (kernel, guest))| Ok((index, test(kernel, guest, &directory, &common)?)))
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
fn test(kernel: Kernel, guest: Guest, directory: &Path, common: &Path) -> Result<Tested> {
    let title = format!("Linux {} ({})", kernel.series(), guest.name());
    let outcome = match kernel::fetch(kernel)? {
        Fetched::Missing(reason) => Outcome::Skipped(reason),
        Fetched::Files(files) => {
            progress(&format!("{title}: {}", files.release));
            let mut modules = files.modules;
            let directory = match guest {
                Guest::Daemon => directory.join(kernel.series()),
                Guest::Visibility => {
                    modules.extend(files.device_modules);
                    directory.join(guest.name())
                }
            };
            let image = image::with_modules(common, &directory, &modules)?;
            let log = directory.join("console.log");
            boot(kernel, guest, &files.image, &image, &log)?;
            judge(guest, &log)?
        }
    };
    if let Outcome::Failed(reason) | Outcome::Skipped(reason) = &outcome {
        progress(&format!("{title}: {}: {reason}", outcome.word()));
    }
    Ok(Tested { kernel, guest, outcome })
}

fn build_guest(object: &Path) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--message-format", "json-render-diagnostics"]);
    command.args(WORKSPACE_ON_HOST).args(["--example", "vm-guest"]).env(OBJECT_VARIABLE, object);
    build::executable(&mut command, |message| message["target"]["name"] == "vm-guest")
}

/// Runs the machine to its end, or to the deadline.
fn boot(kernel: Kernel, guest: Guest, image: &Path, initramfs: &Path, log: &Path) -> Result<()> {
    let program = find("qemu-system-x86_64").context("qemu is not installed; run: cargo xtask setup")?;
    let mut command = Command::new(program);
    // Emulated: KVM is seldom to be had where tests run, and half of it where machines are virtual themselves.
    command.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1536"]);
    command.args(["-nographic", "-no-reboot", "-nic", "none", "-nodefaults", "-serial", "stdio"]);
    if guest == Guest::Visibility {
        command.args((0..LINKS).flat_map(network_cards));
    }
    command.arg("-kernel").arg(image).arg("-initrd").arg(initramfs).arg("-append");
    command.arg(format!(
        "console=ttyS0 panic=-1 loglevel=4 PATH=/bin {PROBE_VARIABLE}={} {GUEST_VARIABLE}={} sni_probe.mode={} \
         sni_probe.capabilities={}",
        image::SNI_PROBE,
        guest.name(),
        kernel.mode(),
        kernel.capabilities(),
    ));
    let console = File::create(log)?;
    command.stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console);
    let mut machine = command.spawn().context("starting qemu")?;
    let deadline = Instant::now() + DEADLINE;
    while machine.try_wait()?.is_none() {
        if Instant::now() > deadline {
            machine.kill()?;
            machine.wait()?;
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Two network cards on a hub of their own. Veth pairs would not do for NICs: `--orientation auto` takes those for pods'.
fn network_cards(link: u8) -> impl Iterator<Item = String> {
    [Side::Node, Side::Client].into_iter().flat_map(move |side| {
        let id = format!("link{link}-{side:?}");
        let card = format!("virtio-net-pci,netdev={id},mac={},romfile=", mac_address(link, side));
        ["-netdev".to_owned(), format!("hubport,id={id},hubid={link}"), "-device".to_owned(), card]
    })
}

/// What the guest said on its console.
fn judge(guest: Guest, log: &Path) -> Result<Outcome> {
    let console = fs::read(log)?;
    let console = String::from_utf8_lossy(&console);
    let answer = console.lines().find_map(|line| line.trim().strip_prefix(ANSWER));
    let Some(answer) = answer else {
        let last: Vec<&str> = console.lines().rev().take(30).collect();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        return Ok(Outcome::Failed(format!(
            "no answer from the machine; its console ({}):\n{last}",
            log.display()
        )));
    };
    let answer: Value = serde_json::from_str(answer).context("the guest's answer")?;
    if let Some(error) = answer["error"].as_str() {
        return Ok(Outcome::Failed(format!("{error}\n(console: {})", log.display())));
    }
    match guest {
        Guest::Daemon if answer["runs"].as_array().is_none_or(|runs| runs.len() != 2) => {
            bail!("the guest's answer has no two runs: {answer}")
        }
        Guest::Visibility => {
            let table = visibility::table(&answer);
            if let Some(difference) = visibility::difference(&table)? {
                return Ok(Outcome::Failed(format!("{difference}\n{table}")));
            }
        }
        Guest::Daemon => {}
    }
    Ok(Outcome::Passed(answer))
}

fn print_tables(results: &[Tested]) {
    let (daemons, others): (Vec<&Tested>, Vec<&Tested>) =
        results.iter().partition(|tested| tested.guest == Guest::Daemon);
    print!("{}", matrix(&daemons));
    for tested in others {
        match &tested.outcome {
            Outcome::Passed(answer) => print!("\n{}", visibility::table(answer)),
            outcome => println!("\nwhat interfaces see: {}", outcome.word()),
        }
    }
}

/// The table for people, and for docs/kernels.md.
fn matrix(results: &[&Tested]) -> String {
    let mut text = String::from(
        "| kernel | --capture | capabilities | attached | hellos and resets counted | detached | verified instructions (as root) |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for Tested { kernel, outcome, .. } in results {
        // Writing to a `String` cannot fail.
        match outcome {
            Outcome::Passed(answer) => {
                for run in answer["runs"].as_array().into_iter().flatten() {
                    let word = |name: &str| run[name].as_str().unwrap_or_default();
                    let _ = writeln!(
                        text,
                        "| {} | {} | {} | {} | {} of 2 | yes | {} |",
                        answer["release"].as_str().unwrap_or_default(),
                        word("capture"),
                        word("capabilities").replace(',', ", "),
                        word("mode"),
                        run["hellos"],
                        verified(run, &answer["programs"]),
                    );
                }
            }
            Outcome::Failed(_) | Outcome::Skipped(_) => {
                let _ = writeln!(text, "| {} | **{}** | | | | | |", kernel.series(), outcome.word());
            }
        }
    }
    text
}

/// The instructions that the verifier looked at: with a run's capabilities, and with all.
fn verified(run: &Value, programs: &Value) -> String {
    let sum = |counts: Vec<&Value>| {
        let count = |count: &Value| count.as_u64().map(|count| count.to_string());
        counts.into_iter().map(count).collect::<Option<Vec<_>>>().map(|counts| counts.join(" + "))
    };
    let run = run["verified"].as_array().into_iter().flatten().collect::<Vec<_>>();
    if run.is_empty() {
        return String::new();
    }
    let programs = programs.as_array().into_iter().flatten().map(|program| &program["verified"]).collect();
    match (sum(run), sum(programs)) {
        (Some(run), Some(as_root)) => format!("{run} ({as_root})"),
        _ => "not reported".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed() -> Tested {
        let answer = json!({
            "release": "6.12.1-cloud-amd64",
            "programs": [{ "verified": 10 }, { "verified": 8 }],
            "runs": [
                { "capture": "tc", "capabilities": "bpf,net_admin", "mode": "tcx", "verified": [20, 9], "hellos": 2 },
                { "capture": "af-packet", "capabilities": "net_raw", "mode": "af_packet", "verified": [], "hellos": 2 },
            ],
        });
        Tested { kernel: Kernel::V6_12, guest: Guest::Daemon, outcome: Outcome::Passed(answer) }
    }

    #[test]
    fn the_matrix_has_a_line_for_each_run() {
        let guest = Guest::Daemon;
        let failed = Tested { kernel: Kernel::V6_1, guest, outcome: Outcome::Failed("no".to_owned()) };
        let skipped = Tested { kernel: Kernel::V6_17, guest, outcome: Outcome::Skipped("gone".to_owned()) };
        let text = matrix(&[&passed(), &failed, &skipped]);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            lines[0],
            "| 6.12.1-cloud-amd64 | tc | bpf, net_admin | tcx | 2 of 2 | yes | 20 + 9 (10 + 8) |"
        );
        assert_eq!(lines[1], "| 6.12.1-cloud-amd64 | af-packet | net_raw | af_packet | 2 of 2 | yes |  |");
        assert_eq!(lines[2], "| 6.1 | **failed** | | | | | |");
        assert_eq!(lines[3], "| 6.17 | **skipped** | | | | | |");
        assert_eq!(passed().json()["outcome"], "passed");
    }

    #[test]
    fn kernels_that_report_no_counts() {
        let run = json!({ "verified": [null, null] });
        assert_eq!(verified(&run, &json!([{ "verified": null }, { "verified": null }])), "not reported");
    }

    #[test]
    fn what_a_console_says() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let judged = |text: &str| {
            fs::write(&log, text).unwrap();
            judge(Guest::Daemon, &log)
        };
        assert!(
            matches!(judged("Kernel panic\n").unwrap(), Outcome::Failed(reason) if reason.contains("Kernel panic"))
        );
        let error = "noise\nSNI-PROBE-VM-TEST {\"error\":\"no such file\"}\r\n";
        assert!(
            matches!(judged(error).unwrap(), Outcome::Failed(reason) if reason.starts_with("no such file"))
        );
        assert!(matches!(judged("SNI-PROBE-VM-TEST {\"runs\":[{},{}]}\n").unwrap(), Outcome::Passed(_)));
        assert!(judged("SNI-PROBE-VM-TEST {\"runs\":[]}\n").is_err());
    }
}
