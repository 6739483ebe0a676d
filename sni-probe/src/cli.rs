//! The command line. Every flag of `run` has an environment variable `SNI_PROBE_*`.

mod clients;
mod events;
mod evidence;
mod kube;
mod replay;
mod values;
mod wanted;
mod watch;
mod web;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use sni_probe_common::tunnel::Tunnels;

pub(crate) use self::clients::ClientOptions;
pub(crate) use self::events::{EventOptions, Events};
pub(crate) use self::evidence::EvidenceOptions;
pub(crate) use self::kube::KubeOptions;
pub(crate) use self::replay::{ReplayFormat, ReplayOptions};
pub(crate) use self::wanted::Wanted;
pub(crate) use self::watch::{WatchFormat, WatchOptions};
pub(crate) use self::web::{Web, WebOptions};
use crate::logging::LogOptions;

/// Sees TLS clients that connect without SNI, and what becomes of them.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_long_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) logging: LogOptions,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  fine
  1  the answer is bad: a reset was found, a check failed (never of `run`)
  2  could not run; one line on stderr says why and what to do";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(RunOptions),
    Replay(ReplayOptions),
    Watch(WatchOptions),
}

/// Watch the gateway's interfaces and serve metrics, until SIGTERM or SIGINT
///
/// Attaches two programs to the traffic control hooks of each interface. They look at the first
/// bytes of connections to the gateway's ports, and never change or hold up a packet.
///
/// Needs Linux 5.8 or later, and root or the capabilities CAP_BPF and CAP_NET_ADMIN (before Linux 6.1
/// also CAP_PERFMON, before 5.11 CAP_SYS_RESOURCE for locked memory); or with packet sockets CAP_NET_RAW alone.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = RUN_EPILOGUE)]
#[expect(clippy::doc_markdown, reason = "the text of --help")]
pub(crate) struct RunOptions {
    /// Interface to watch, or a pattern such as 'gke*'; may be repeated [default: those of the default routes]
    ///
    /// One that is named must exist. What matches a pattern is watched as it comes and goes. In the environment
    /// variable several are separated by commas.
    #[arg(
        short,
        long = "interface",
        env = "SNI_PROBE_INTERFACE",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = Wanted::parse
    )]
    pub(crate) interfaces: Vec<Wanted>,

    /// Network namespace in which the interfaces are, as a file: a pod's is /proc/PID/ns/net
    ///
    /// Metrics are served where the program was started. Takes CAP_SYS_ADMIN besides. The namespace lives as long
    /// as the program does.
    #[arg(long, env = "SNI_PROBE_NETNS", value_name = "PATH")]
    pub(crate) netns: Option<PathBuf>,

    /// TCP port on which the gateway expects TLS; may be repeated
    ///
    /// In the environment variable several are separated by commas.
    #[arg(
        short,
        long = "port",
        env = "SNI_PROBE_PORT",
        value_name = "PORT",
        value_delimiter = ',',
        default_values_t = [443, 8443],
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub(crate) ports: Vec<u16>,

    /// How to see packets
    #[arg(long, env = "SNI_PROBE_CAPTURE", value_enum, default_value_t)]
    pub(crate) capture: Capture,

    /// How to attach the programs (with packet sockets of no meaning)
    #[arg(long, env = "SNI_PROBE_ATTACH", value_enum, default_value_t)]
    pub(crate) attach: Attach,

    /// Priority of the filters in a clsact qdisc (1 to 65535; without clsact of no meaning)
    /// [default: the first of 50 to 65 that is free]
    ///
    /// Filters with a lower number come first. 1 is where Cilium's is.
    #[arg(
        long,
        env = "SNI_PROBE_PRIORITY",
        value_name = "NUMBER",
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub(crate) priority: Option<u16>,

    /// On which side of the gateway the interfaces are
    #[arg(long, env = "SNI_PROBE_ORIENTATION", value_enum, default_value_t)]
    pub(crate) orientation: Orientation,

    /// Tunnels to look into, for nodes of an overlay network; may be repeated [default: none]
    ///
    /// What is inside is then seen as if it had come without the tunnel. In the environment variable several
    /// are separated by commas.
    #[arg(long, env = "SNI_PROBE_DECAPSULATE", value_name = "TUNNEL", value_enum, value_delimiter = ',')]
    pub(crate) decapsulate: Vec<Decapsulate>,

    /// Keep all capabilities, instead of dropping those that are not needed any more after attaching
    ///
    /// With named interfaces none is needed. One that is deleted and made anew can then not be watched again: the
    /// program ends with exit code 2, for its supervisor to start it anew. Patterns keep what attaching takes;
    /// filters in a clsact qdisc keep CAP_NET_ADMIN, to put them back when somebody removes them.
    #[arg(long, env = "SNI_PROBE_KEEP_PRIVILEGES", value_parser = FalseyValueParser::new())]
    pub(crate) keep_privileges: bool,

    /// Have the kernel count runs and time of the programs, for the metrics sni_probe_program_*
    ///
    /// It then does so for all eBPF programs of the machine, and each run of each takes longer. Takes CAP_SYS_ADMIN
    /// at the start. With packet sockets of no meaning.
    #[arg(long, env = "SNI_PROBE_KERNEL_STATS", value_parser = FalseyValueParser::new())]
    pub(crate) kernel_stats: bool,

    /// How long a hello may take to become whole, and then to get its outcome (1s to 10m)
    ///
    /// After this time its outcome is "timeout".
    #[arg(
        long,
        env = "SNI_PROBE_HANDSHAKE_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = parse_handshake_timeout
    )]
    pub(crate) handshake_timeout: Duration,

    #[command(flatten)]
    pub(crate) clients: ClientOptions,
    #[command(flatten)]
    pub(crate) events: EventOptions,
    #[command(flatten)]
    pub(crate) evidence: EvidenceOptions,
    #[command(flatten)]
    pub(crate) kube: KubeOptions,
    #[command(flatten)]
    pub(crate) web: WebOptions,
}

const RUN_EPILOGUE: &str = "\
Examples:
  sni-probe run
      The interfaces of the default routes, ports 443 and 8443, metrics on port 9917.
  sni-probe run -i eth0 -p 443 --events text
      One interface and one port; a line for each handshake.
  sni-probe run --events json --events-filter missing --listen 127.0.0.1:9917 | jq .client
      The handshakes without SNI, as JSON.
  sni-probe run --expected-non-sni gcp-lb --client-label subnet
      Behind a load balancer of Google Cloud; clients by their subnets.
  sni-probe run -i 'gke*'
      The host's ends of all pods, as they come and go.
  sni-probe run --netns /proc/4711/ns/net -i eth0
      Inside the gateway's pod, of which 4711 is a process.
  sni-probe run --capture af-packet
      Without eBPF, where that is not allowed.
  SNI_PROBE_INTERFACE=eth0,eth1 SNI_PROBE_PORT=443,15443 sni-probe run
      The same flags by environment variables; an empty variable counts as none.

Exit codes:
  0  stopped by SIGTERM or SIGINT
  2  could not run; one line on stderr says why and what to do";

/// `--capture`: how packets are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Capture {
    /// TC where this machine and the process's capabilities allow it, else packet sockets
    #[default]
    Auto,
    /// eBPF programs at the hooks of traffic control
    Tc,
    /// Packet sockets, with `CAP_NET_RAW` alone: for where eBPF is not allowed
    AfPacket,
}

/// `--attach`: by which interface of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attach {
    /// TCX where the kernel has it, else clsact
    #[default]
    Auto,
    /// TCX links, before all other programs (Linux 6.6 and later)
    Tcx,
    /// Filters of a clsact qdisc
    Clsact,
}

/// `--orientation`: which hook sees the clients' packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Orientation {
    /// Veth if the interface is one whose peer is in another network namespace, else nic
    #[default]
    Auto,
    /// Clients' packets come in by it: a node's NIC, or eth0 within the gateway's pod
    Nic,
    /// Clients' packets go out by it: the node's end of the gateway's veth
    Veth,
}

/// `--decapsulate`: packets inside of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Decapsulate {
    /// VXLAN, to UDP port 4789 or 8472
    Vxlan,
    /// Geneve, to UDP port 6081
    Geneve,
    /// IPv4 or IPv6 directly in IPv4 or IPv6
    Ipip,
}

impl Decapsulate {
    /// All that were named.
    pub(crate) fn tunnels(named: &[Self]) -> Tunnels {
        named.iter().fold(Tunnels::NONE, |tunnels, named| {
            tunnels.and(match named {
                Self::Vxlan => Tunnels::VXLAN,
                Self::Geneve => Tunnels::GENEVE,
                Self::Ipip => Tunnels::IPIP,
            })
        })
    }
}

/// Parses the command line and the environment. If there is nothing to run (`--help`, a usage
/// error), the user has been told, and the exit code is the answer.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, ExitCode> {
    try_parse(arguments).map_err(|error| {
        let code = ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                // Fails if the reader has left (`sni-probe --help | head -1`): no harm done.
                let _ = error.print();
            }
            _ => report(&one_line(&error)),
        }
        code
    })
}

/// Tells the user in one line on stderr why nothing runs.
pub(crate) fn report(message: &str) {
    let message: Vec<&str> = message.split_whitespace().collect();
    // If stderr is closed as well, nobody is there to be told.
    let _ = writeln!(std::io::stderr(), "sni-probe: {}", message.join(" "));
}

fn try_parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command =
        Cli::command().mut_args(ignore_if_empty).mut_subcommands(|verb| verb.mut_args(ignore_if_empty));
    let matches = command.try_get_matches_from_mut(arguments)?;
    if let Some(("watch", matches)) = matches.subcommand() {
        watch::check(matches).map_err(|error| error.format(&mut command))?;
    }
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// An empty environment variable is one that is not set: that is how templates of manifests leave
/// a value out.
fn ignore_if_empty(argument: clap::Arg) -> clap::Arg {
    let empty = argument.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    if empty { argument.env(None::<&'static str>) } else { argument }
}

/// A usage error of clap as one line, without the usage.
fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    text.split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|paragraph| !paragraph.is_empty() && !paragraph.starts_with("Usage:"))
        .map(|paragraph| paragraph.replace("For more information, try", "for more information, try"))
        .collect::<Vec<_>>()
        .join("; ")
        .trim_end_matches('.')
        .to_owned()
}

fn parse_handshake_timeout(text: &str) -> Result<Duration, String> {
    values::parse_duration(text, Duration::from_secs(1)..=Duration::from_mins(10), "1s to 10m")
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
