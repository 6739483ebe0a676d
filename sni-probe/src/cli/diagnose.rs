//! The command line of `diagnose`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sni_probe_playbook::check::{self, Connect};
use sni_probe_playbook::diagnose;

use super::DaemonOptions;

/// Say why clients are refused, and what to change
///
/// Weighs all inputs: what separates refused connections from served ones, the reasons in the gateway's log, the configuration, and an
/// active check. Names one cause, how sure it is, and the lines that mend it. Each input answers some of the questions; the
/// answer is "unknown" where no input has it. At least one input is needed.
#[derive(Args, Clone, Debug, Default)]
#[command(after_long_help = EPILOGUE)]
pub(crate) struct DiagnoseOptions {
    #[command(flatten)]
    pub(crate) daemon: DaemonOptions,

    /// Look only at what the daemon of --url sees from now on, for so long (1s to 10m)
    ///
    /// Its counts are since its start: after a fix they still tell of what was before.
    #[arg(long = "for", value_name = "DURATION", requires = "url", value_parser = parse_span)]
    pub(crate) span: Option<Duration>,

    /// Metrics of a daemon, as a scrape of /metrics gives them, instead of --url
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "capture"])]
    pub(crate) metrics: Option<PathBuf>,

    /// Capture (pcap, pcapng) of what reaches the gateway, instead of --url
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    pub(crate) capture: Option<PathBuf>,

    /// Access log of the gateway; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) logs: Vec<PathBuf>,

    /// ApigeeRoutes or Gateways, as kubectl get -o yaml (or json) prints them
    #[arg(long, value_name = "FILE")]
    pub(crate) routes: Option<PathBuf>,

    /// Apigee's overrides.yaml
    #[arg(long, value_name = "FILE")]
    pub(crate) overrides: Option<PathBuf>,

    /// Read the routes from the cluster that kubectl would use
    #[arg(long, conflicts_with = "routes")]
    pub(crate) kube: bool,

    /// Kubeconfig with which to find the API server [default: the pod's service account, else $KUBECONFIG or ~/.kube/config]
    #[arg(long, value_name = "FILE", requires = "kube")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Namespace of the ApigeeRoutes in the cluster [default: apigee]
    #[arg(long, value_name = "NAME", requires = "kube", value_parser = super::routes::parse_namespace)]
    pub(crate) namespace: Option<String>,

    /// Connect to the gateway with the name, without SNI, and with an unknown name
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) check: Option<String>,

    /// With --check: connect to this address instead of those that the host name has
    #[arg(long, value_name = "IP[:PORT]", requires = "check", value_parser = super::check::parse_connect)]
    pub(crate) connect: Option<Connect>,

    /// With --check: name to ask for by SNI, and for which the certificate should be [default: HOST]
    #[arg(long, value_name = "NAME", requires = "check")]
    pub(crate) sni: Option<String>,

    /// With --check: make one request for this path after each handshake, as a gateway may reject it by HTTP
    #[arg(long, value_name = "PATH", requires = "check")]
    pub(crate) http: Option<String>,

    /// Error message of the client; says what happened on the wire, or that the text cannot tell
    ///
    /// Line breaks, a prefix and a stack trace do no harm. The first 64 KiB are read.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) message: Option<String>,

    /// Print one JSON object
    #[arg(long, conflicts_with = "markdown")]
    pub(crate) json: bool,

    /// Print Markdown, for a ticket
    #[arg(long)]
    pub(crate) markdown: bool,
}

impl DiagnoseOptions {
    /// What the flags ask for.
    pub(crate) fn config(self) -> diagnose::Config {
        diagnose::Config {
            daemon: self.daemon.config(),
            span: self.span,
            metrics: self.metrics,
            capture: self.capture,
            logs: self.logs,
            routes: self.routes,
            overrides: self.overrides,
            kube: self.kube,
            kubeconfig: self.kubeconfig,
            namespace: self.namespace,
            check: self.check.map(|target| check::Config {
                connect: self.connect,
                sni: self.sni,
                http: self.http,
                ..check::Config::of(target)
            }),
            message: self.message,
            json: self.json,
            markdown: self.markdown,
        }
    }
}

const EPILOGUE: &str = "\
Examples:
  sni-probe diagnose --url http://localhost:9917 --kube --overrides overrides.yaml --check api.example.com
      Everything together: what the daemon saw, what is configured, what the gateway does now.
  sni-probe diagnose --capture customer.pcapng --routes routes.yaml
      Without a daemon; routes.yaml is of: kubectl get apigeeroutes -A -o yaml
  sni-probe diagnose --logs ingress.log --routes routes.yaml --overrides overrides.yaml --markdown
      For a ticket.
  sni-probe diagnose --capture gateway.pcap --check 10.1.2.3 --sni api.example.com --http /healthz
      The active check of one address, with a name and one request.
  sni-probe diagnose --url http://localhost:9917 --for 2m
      Only what comes in the next two minutes: after a fix.
  sni-probe diagnose --message 'curl: (35) Recv failure: Connection reset by peer'
      What the client's error message says: reset, end of file, alert, or that it cannot tell.
  sni-probe diagnose --metrics scrape.txt --json | jq -r .cause

Exit codes:
  0  nothing is wrong
  1  a cause was found
  2  could not tell; what was printed says which input would";

fn parse_span(text: &str) -> Result<Duration, String> {
    super::values::parse_duration(text, Duration::from_secs(1)..=Duration::from_mins(10), "1s to 10m")
}
