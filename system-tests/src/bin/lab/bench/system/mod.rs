//! What the machine notices of sni-probe.
//!
//! ```text
//! namespace of the clients                         namespace of the gateway
//! iperf3, wrk, a loop of ours, tcpreplay ─ veth ─ iperf3, Envoy; nobody | sni-probe | tcpdump
//! ```

mod daemon;
mod flood;
mod loads;
mod report;

use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use system_tests::envoy::{Envoy, EnvoyOptions};
use system_tests::probe::Probe;
use system_tests::process::Service;
use system_tests::{GATEWAY_INTERFACE, Lab, wait_until};

use self::report::{Observed, Report};
use crate::progress;

/// Measure throughput, handshakes, CPU time, memory and losses on this machine (root)
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Rounds of throughput and handshakes; the median of their ratios counts
    #[arg(long, required_unless_present = "quick")]
    rounds: Option<NonZeroU32>,
    /// One short round
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
    /// Print the result as one JSON document on standard output
    #[arg(long)]
    json: bool,
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

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let plan = match arguments.rounds {
        None => {
            Plan { rounds: 1, load: Duration::from_secs(1), idle: Duration::from_secs(5), hellos: 200_000 }
        }
        Some(rounds) => Plan {
            rounds: rounds.get(),
            load: Duration::from_secs(3),
            idle: Duration::from_secs(20),
            hellos: 1_000_000,
        },
    };
    let report = measure(&plan)?;
    if arguments.json {
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
