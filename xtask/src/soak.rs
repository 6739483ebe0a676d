//! `cargo xtask soak`: both ledgers, with as many handshakes as make what is rare happen.

use std::ffi::{OsStr, OsString};
use std::path::{self, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use lab_interface::{HANDSHAKES_VARIABLE, PACKETS_VARIABLE};

use crate::summary::Summary;
use crate::system_test::{self, Capture};
use crate::tools::{cargo, progress};
use crate::{build, setup};

/// The variable that says how many connections `generated_ledger` generates.
const CONNECTIONS_VARIABLE: &str = "SNI_PROBE_LEDGER_CONNECTIONS";

/// Run the ledgers with many more handshakes than in the tests (root)
///
/// First generated connections through the datapath and the tracker in user space. Then handshakes between two real
/// kernels, with the TC programs and with packet sockets: each has to be reported exactly once, with its outcome. Takes about
/// an hour on two cores. The tests run the same code with fewer handshakes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask soak
  cargo xtask soak --connections 0 --handshakes 200000 --capture tc
  cargo xtask soak --connections 0 --capture tc --packets /var/tmp/soak.pcap")]
pub(crate) struct Arguments {
    /// Generated connections; 0 for none
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000_000)]
    connections: u64,
    /// Handshakes between real kernels, with each way to see packets; 0 for none
    #[arg(long, value_name = "NUMBER", default_value_t = 2_000_000)]
    handshakes: u64,
    /// Only with this way to see packets [default: both]
    #[arg(long, value_enum)]
    capture: Option<Capture>,
    /// Write the packets of the watched interface to this file: about 1 KB for each handshake
    #[arg(long, value_name = "FILE", requires = "capture")]
    packets: Option<PathBuf>,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let mut summary = Summary::default();
    if arguments.connections > 0 {
        summary += generated(arguments.connections)?;
    }
    if arguments.handshakes > 0 {
        summary += real(arguments)?;
    }
    println!("{summary}");
    Ok(if summary.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn generated(connections: u64) -> Result<Summary> {
    progress(&format!("{connections} generated connections"));
    let mut command = cargo();
    command.args(["test", "--release", "--package", "sni-probe-core", "--test", "generated_ledger"]);
    command.args(["--", "--nocapture"]).env(CONNECTIONS_VARIABLE, connections.to_string());
    Summary::of(&mut command)
}

fn real(arguments: &Arguments) -> Result<Summary> {
    setup::all()?;
    let built = build::sni_probe(&build::Options::release())?;
    let handshakes = OsString::from(arguments.handshakes.to_string());
    let mut variables: Vec<(&str, &OsStr)> = vec![(HANDSHAKES_VARIABLE, &handshakes)];
    // The tests run in another directory.
    let packets = arguments.packets.as_deref().map(path::absolute).transpose()?;
    if let Some(packets) = &packets {
        variables.push((PACKETS_VARIABLE, packets.as_os_str()));
    }
    let words = ["ledger::", "--nocapture"].map(str::to_owned);
    let mut summary = Summary::default();
    for capture in Capture::of(arguments.capture) {
        progress(&format!("{} handshakes, --capture {}", arguments.handshakes, capture.value()));
        summary += system_test::run(&built, None, capture, &variables, &words)?;
    }
    Ok(summary)
}
