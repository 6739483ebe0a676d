//! `cargo xtask bench system`: what the machine notices of sni-probe.
//!
//! ```text
//! namespace of the clients                         namespace of the gateway
//! iperf3, wrk, a loop of ours, tcpreplay ─ veth ─ iperf3, Envoy; nobody | sni-probe | tcpdump
//! ```

mod daemon;
mod flood;
mod loads;
mod report;

use std::env;
use std::ffi::OsStr;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use system_tests::envoy::{ENVOY_VARIABLE, Envoy, EnvoyOptions};
use system_tests::probe::{PROBE_VARIABLE, Probe};
use system_tests::process::Service;
use system_tests::{GATEWAY_INTERFACE, Lab, wait_until};

use self::report::{Observed, Report};
use crate::tools::{path_with, progress};
use crate::{build, root, setup};

/// Measure throughput, handshakes, CPU time, memory and losses on this machine (root)
///
/// Through a veth pair, in interleaved rounds: with nobody, with sni-probe, with tcpdump on the gateway's interface.
/// Takes about four minutes; on a machine that does other things besides, throughput and handshakes are noise.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask bench system
  cargo xtask bench system --quick          # one short round, to see that it works
  cargo xtask bench system --json | jq .targets")]
pub(crate) struct Arguments {
    /// Rounds of throughput and handshakes; the median of their ratios counts
    #[arg(long, default_value = "5")]
    rounds: NonZeroU32,
    /// One short round
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
    /// Print the result as one JSON document on standard output
    #[arg(long)]
    json: bool,
}

/// The part of `bench system` that runs as root
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct AsRoot {
    #[command(flatten)]
    arguments: Arguments,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    setup::bench_system()?;
    let sni_probe = build::sni_probe(&build::Options::release())?.sni_probe;
    let envoy = setup::envoy().context("Envoy is not installed; run: cargo xtask setup")?;
    let path = path_with(&[])?;
    let variables: [(&str, &OsStr); 3] =
        [(PROBE_VARIABLE, sni_probe.as_os_str()), (ENVOY_VARIABLE, envoy.as_os_str()), ("PATH", &path)];
    let mut command = root::command(env::current_exe()?, variables);
    command.args(["bench", "system-as-root"]);
    if arguments.quick {
        command.arg("--quick");
    } else {
        command.args(["--rounds", &arguments.rounds.to_string()]);
    }
    command.args(arguments.json.then_some("--json"));
    root::announce(&command);
    let status = command.status().context("starting the measurement")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How long and how often.
#[derive(Debug, Clone, Copy)]
struct Plan {
    rounds: u32,
    /// Of one measurement of throughput or handshakes.
    load: Duration,
    idle: Duration,
    /// Hellos of the flood at a fixed rate, and of the one at top speed.
    hellos: u32,
}

pub(crate) fn as_root(arguments: &AsRoot) -> Result<ExitCode> {
    if !root::is_root() {
        bail!("namespaces take root; run: cargo xtask bench system");
    }
    let Arguments { rounds, quick, json } = &arguments.arguments;
    let plan = if *quick {
        Plan { rounds: 1, load: Duration::from_secs(1), idle: Duration::from_secs(5), hellos: 200_000 }
    } else {
        Plan {
            rounds: rounds.get(),
            load: Duration::from_secs(3),
            idle: Duration::from_secs(20),
            hellos: 1_000_000,
        }
    };
    let report = measure(&plan)?;
    if *json {
        println!("{}", report.json());
    } else {
        print!("{report}");
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(plan: &Plan) -> Result<Report> {
    let mut throughput = Vec::new();
    let mut with_sni = Vec::new();
    let mut resets = Vec::new();
    for round in 1..=plan.rounds {
        progress(&format!("round {round} of {}: throughput", plan.rounds));
        let lab = Lab::new()?;
        throughput.push(observed(&lab, round, |lab| loads::throughput(lab, plan.load))?);
        progress(&format!("round {round} of {}: handshakes", plan.rounds));
        let _envoy = Envoy::start(&lab, &EnvoyOptions::default())?;
        with_sni.push(observed(&lab, round, |lab| loads::handshakes(lab, plan.load))?);
        resets.push(observed(&lab, round, |lab| loads::resets(lab, plan.load))?);
    }
    let daemon = daemon::measure(plan)?;
    let flood = flood::measure(plan)?;
    Ok(Report { throughput, with_sni, resets, daemon, flood })
}

/// Who looks at the gateway's interface.
#[derive(Debug, Clone, Copy)]
enum Observer {
    Nobody,
    SniProbe,
    Tcpdump,
}

/// The same load with nobody, with sni-probe, and with tcpdump on the gateway's interface. In each round another one
/// begins: what a machine does slower and slower, or faster and faster, is nobody's fault.
fn observed(lab: &Lab, round: u32, load: impl Fn(&Lab) -> Result<f64>) -> Result<Observed> {
    let mut order = [Observer::Nobody, Observer::SniProbe, Observer::Tcpdump];
    let first = round as usize % order.len();
    order.rotate_left(first);
    let mut observed = Observed { nobody: 0.0, sni_probe: 0.0, tcpdump: 0.0 };
    for observer in order {
        match observer {
            Observer::Nobody => observed.nobody = load(lab)?,
            Observer::SniProbe => {
                let mut probe = Probe::start(lab, &["--capture", "tc", "--events", "off"])?;
                observed.sni_probe = load(lab)?;
                probe.stop()?;
            }
            Observer::Tcpdump => {
                let mut tcpdump = start_tcpdump(lab)?;
                observed.tcpdump = load(lab)?;
                tcpdump.stop()?;
            }
        }
    }
    Ok(observed)
}

fn start_tcpdump(lab: &Lab) -> Result<Service> {
    let mut command = lab.gateway.command("tcpdump");
    command.args(["-i", GATEWAY_INTERFACE, "-w", "/dev/null", "tcp port 443"]);
    let tcpdump = Service::start("tcpdump", &mut command, lab.directory())?;
    wait_until("tcpdump to listen", Duration::from_secs(10), || {
        Ok(tcpdump.stderr().contains("listening on").then_some(()))
    })?;
    Ok(tcpdump)
}
