//! A large capture, read by `sni-probe replay` and by others.

use std::ffi::OsStr;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use sni_probe_testkit::captures::mixed::{Mix, Truth};
use system_tests::metrics::Metrics;

use super::capture::Capture;
use super::measure::{Usage, measure};
use super::report::{Count, Measured, Report};
use crate::{find, progress};

/// One hello in so many has no SNI.
const HELLOS_PER_ONE_WITHOUT_SNI: u64 = 125;
/// tshark reads a capture that is this many times smaller, unless it is to read all.
const TSHARK_DIVISOR: u64 = 10;

/// Time `sni-probe replay` beside tcpdump, tshark and ndpiReader
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The binary of sni-probe
    #[arg(long)]
    sni_probe: PathBuf,
    /// Where captures, and what programs say of them, are kept
    #[arg(long)]
    directory: PathBuf,
    /// How often sni-probe and tcpdump run; the median counts
    #[arg(long)]
    rounds: NonZeroU32,
    /// Size of the capture
    #[arg(long)]
    bytes: u64,
    /// `ClientHello`s in it, of which one in 125 has no SNI
    #[arg(long)]
    hellos: u64,
    /// Let tshark read the whole capture, too
    #[arg(long)]
    full: bool,
    /// Print the result as one JSON document on standard output
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { sni_probe, directory, .. } = arguments;
    let Arguments { bytes, hellos, .. } = *arguments;
    let mix = Mix { bytes, hellos, without_sni: hellos / HELLOS_PER_ONE_WITHOUT_SNI };
    let capture = Capture::of(&mix, directory)?;
    capture.warm()?;
    let counts = counts(sni_probe, directory, &capture)?;

    let mut programs =
        vec![Program::new("sni-probe", Some(sni_probe.clone()), &["replay", "--format", "summary"], &[])];
    programs.push(Program::new("tcpdump", find("tcpdump"), &["-r"], &["-w", "/dev/null"]));
    let mut runs = vec![Vec::new(); programs.len()];
    for round in 1..=arguments.rounds.get() {
        for (program, runs) in programs.iter().zip(&mut runs) {
            runs.extend(program.run(&capture, &format!("round {round}"))?);
        }
    }
    let measured = programs.iter().zip(runs).map(|(program, runs)| program.measured(runs, capture.truth));
    let mut measured: Vec<Measured> = measured.collect();

    let ndpi = Program::new("ndpiReader", find("ndpiReader"), &["-q", "-i"], &[]);
    measured.push(ndpi.measured(ndpi.run(&capture, "once")?.into_iter().collect(), capture.truth));
    let behind =
        ["-Y", "tls.handshake.type==1", "-T", "fields", "-e", "tls.handshake.extensions_server_name"];
    let tshark = Program::new("tshark", find("tshark"), &["-r"], &behind);
    let smaller = if arguments.full || tshark.path.is_none() {
        None
    } else {
        progress("tshark reads a tenth of the mix (all of it with --full)");
        Some(Capture::of(&mix.divided_by(TSHARK_DIVISOR), directory)?)
    };
    let capture_of_tshark = smaller.as_ref().unwrap_or(&capture);
    let run = tshark.run(capture_of_tshark, "once")?;
    measured.push(tshark.measured(run.into_iter().collect(), capture_of_tshark.truth));

    let report = Report { mix, truth: capture.truth, counts, programs: measured };
    if arguments.json {
        println!("{}", report.json());
    } else {
        print!("{report}");
    }
    Ok(if report.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A program that reads captures.
struct Program {
    name: &'static str,
    /// `None` where it is not installed.
    path: Option<PathBuf>,
    before: Vec<&'static str>,
    behind: Vec<&'static str>,
}

impl Program {
    fn new(
        name: &'static str,
        path: Option<PathBuf>,
        before: &[&'static str],
        behind: &[&'static str],
    ) -> Self {
        if path.is_none() {
            progress(&format!("skipped: {name} is not installed"));
        }
        Self { name, path, before: before.to_vec(), behind: behind.to_vec() }
    }

    fn run(&self, capture: &Capture, when: &str) -> Result<Option<Usage>> {
        let Some(path) = &self.path else { return Ok(None) };
        progress(&format!("{when}: {}", self.name));
        let mut arguments: Vec<&OsStr> = self.before.iter().map(OsStr::new).collect();
        arguments.push(capture.path.as_os_str());
        arguments.extend(self.behind.iter().map(OsStr::new));
        measure(path, &arguments, None).map(Some)
    }

    fn measured(&self, runs: Vec<Usage>, truth: Truth) -> Measured {
        Measured { name: self.name, truth, runs }
    }
}

/// What sni-probe counts, and what it must.
fn counts(sni_probe: &Path, directory: &Path, capture: &Capture) -> Result<Vec<Count>> {
    progress("counting with sni-probe");
    let file = directory.join("sni-probe.prom");
    let arguments = ["replay", "--format", "prometheus"].map(OsStr::new);
    let arguments = [&arguments[..], &[capture.path.as_os_str()]].concat();
    measure(sni_probe, &arguments, Some(&file))?;
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let metrics = Metrics::parse(&text)?;
    let truth = &capture.truth;
    let with_sni = truth.hellos - truth.without_sni;
    let count = |name, labels: &[_], expected| Count {
        name,
        labels: labels.to_vec(),
        expected,
        counted: metrics.count(name, labels),
    };
    let hellos = "sni_probe_client_hellos_total";
    let handshakes = "sni_probe_handshakes_total";
    let answers = "sni_probe_handshake_outcome_seconds_count";
    let features = "sni_probe_client_hello_features_total";
    Ok(vec![
        count(hellos, &[], truth.hellos),
        count(hellos, &[("sni", "absent")], truth.without_sni),
        count(hellos, &[("sni", "present")], with_sni),
        count(handshakes, &[], truth.hellos),
        count(handshakes, &[("sni", "absent"), ("outcome", "reset_by_gateway")], truth.without_sni),
        // One value for all outcomes after a ServerHello.
        count(answers, &[("sni", "present"), ("outcome", "server_hello")], with_sni),
        count(features, &[("feature", "post_quantum")], truth.in_two_segments),
        count(features, &[("feature", "multi_segment")], truth.in_two_segments),
    ])
}
