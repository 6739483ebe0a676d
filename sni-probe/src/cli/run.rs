//! The command line of `run`.

use clap::Args;

use super::{EventOptions, EvidenceOptions, ProbeOptions, WebOptions};

/// Watch the gateway's interfaces and serve metrics, until SIGTERM, SIGINT or SIGHUP
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
    #[command(flatten)]
    pub(crate) probe: ProbeOptions,
    #[command(flatten)]
    pub(crate) events: EventOptions,
    #[command(flatten)]
    pub(crate) evidence: EvidenceOptions,
    #[command(flatten)]
    pub(crate) web: WebOptions,
}

impl RunOptions {
    /// What the flags ask for.
    ///
    /// # Errors
    /// As [`ProbeOptions::config`].
    pub(crate) fn config(self) -> anyhow::Result<sni_probe_daemon::Config> {
        Ok(sni_probe_daemon::Config {
            probe: self.probe.config()?,
            events: self.events.config(),
            evidence: self.evidence.config(),
            web: self.web.config(),
        })
    }
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
  0  stopped by SIGTERM, SIGINT or SIGHUP
  2  could not run; one line on stderr says why and what to do";
