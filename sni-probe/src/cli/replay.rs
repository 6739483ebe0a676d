//! The flags of `replay`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use sni_probe_core::vocabulary::{OutcomeClass, SniClass};
use sni_probe_playbook::replay;

use super::values::label_parser;
use super::{FollowOptions, parse_handshake_timeout};

/// Read captures and tell which TLS clients sent no SNI, and what became of them
///
/// Reads pcap and pcapng, also compressed with gzip or zstd, whatever their names, with the code that
/// `run` has in the kernel. Several files that follow one another in time (tcpdump -C, -G) are
/// read as one capture.
///
/// Finds hellos on any port, behind PROXY headers, HTTP CONNECT, SOCKS, STARTTLS and the like, in
/// VLANs, tunnels and IP fragments.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = EPILOGUE)]
pub(crate) struct ReplayOptions {
    /// Capture to read; - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// TCP port of the gateway; may be repeated [default: every port]
    #[arg(
        short,
        long = "port",
        value_name = "PORT",
        value_delimiter = ',',
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub(crate) ports: Vec<u16>,

    /// What to print [default: text on a terminal, else json]
    #[arg(short, long, value_enum)]
    pub(crate) format: Option<ReplayFormat>,

    /// Add the ClientHello's random, in hexadecimal digits, to each JSON line
    #[arg(long)]
    pub(crate) client_random: bool,

    /// Only handshakes whose hello says this of the server's name; may be repeated
    #[arg(long, value_name = "CLASS", value_delimiter = ',', value_parser = label_parser::<SniClass>())]
    pub(crate) sni: Vec<SniClass>,

    /// Only handshakes with this outcome; may be repeated
    #[arg(long, value_name = "OUTCOME", value_delimiter = ',', value_parser = label_parser::<OutcomeClass>())]
    pub(crate) outcome: Vec<OutcomeClass>,

    /// Only handshakes of clients with this address, or in this network; may be repeated
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = parse_network)]
    pub(crate) client: Vec<IpNet>,

    /// Write the packets of those handshakes, from SYN to outcome, to this pcapng file (mode 0600)
    #[arg(long, value_name = "OUT.pcapng")]
    pub(crate) write: Option<PathBuf>,

    /// Exit with 1 if the gateway refused a client without SNI
    ///
    /// Refused: by RST, FIN or an alert of the gateway, before or after its ServerHello. A refused client certificate does not
    /// count. Without SNI: absent, empty or invalid. Only handshakes that the filters select count.
    #[arg(long)]
    pub(crate) fail_on_reset: bool,

    /// How long a hello may take to become whole, and then to get its outcome (1s to 10m)
    ///
    /// In the time of the capture. After this time its outcome is "timeout".
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_handshake_timeout)]
    pub(crate) handshake_timeout: Duration,

    #[command(flatten)]
    pub(crate) follow: FollowOptions,
}

const EPILOGUE: &str = "\
Examples:
  sni-probe replay customer.pcapng
      A line for each handshake, then the clients without SNI, and those that were refused with a name.
  sni-probe replay --format summary --sni absent,empty part*.pcap.gz
      Only the clients without SNI, of a capture in several files.
  sni-probe replay big.pcap --outcome reset_by_gateway --write evidence.pcapng
      What was reset, as a small capture to send to support; Wireshark opens it.
  sudo tcpdump -i any -s 0 -U -w - 'tcp port 443 or ip6[6] = 0' | sni-probe replay -
      Live, with no more rights than tcpdump. The second condition takes in IPv6 packets of BIG TCP.
  sni-probe replay --format json capture.pcap | jq -r 'select(.sni == \"absent\") | .client'
      The same for programs: one JSON object a line.
  sni-probe replay --fail-on-reset --format summary capture.pcap
      For a script: exit code 1 if a client without SNI was refused.

Exit codes:
  0  fine
  1  with --fail-on-reset: the gateway refused a client without SNI
  2  a file could not be read, or not to its end; one line on stderr says why (what came before is told)";

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReplayFormat {
    /// For people: a line for each handshake, then the summary
    Text,
    /// For programs: one JSON object a line for each handshake, then one with what was not read, if anything
    Json,
    /// For people: how many, by SNI and outcome; the clients without SNI
    Summary,
    /// The metrics of `run`, as a scrape would give them
    Prometheus,
}

impl ReplayOptions {
    /// What the flags ask for.
    pub(crate) fn config(self) -> replay::Config {
        replay::Config {
            files: self.files,
            ports: self.ports,
            format: self.format.map(|format| match format {
                ReplayFormat::Text => replay::Format::Text,
                ReplayFormat::Json => replay::Format::Json,
                ReplayFormat::Summary => replay::Format::Summary,
                ReplayFormat::Prometheus => replay::Format::Prometheus,
            }),
            client_random: self.client_random,
            sni: self.sni,
            outcome: self.outcome,
            client: self.client,
            write: self.write,
            fail_on_reset: self.fail_on_reset,
            handshake_timeout: self.handshake_timeout,
            follow: self.follow.follow,
        }
    }
}

fn parse_network(text: &str) -> Result<IpNet, &'static str> {
    super::values::parse_network(text)
        .ok_or("expected an IP address or a network, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32")
}
