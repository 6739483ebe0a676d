//! The command line of `logs`.

use std::path::PathBuf;

use clap::Args;
use sni_probe_playbook::logs;

/// Count in a gateway's access logs the clients that were refused before there was a certificate
///
/// Reads the access logs of Apigee's ingress, Istio, Envoy, Contour, Envoy Gateway, Consul, Emissary and Gloo as
/// text or JSON: as the gateway writes them, as kubectl, a container runtime or a log shipper keeps them, plain or
/// compressed with gzip or zstd. Also reads lines of nginx, HAProxy, Caddy, Traefik and Envoy's debug log that name
/// a refused client. Other lines are counted. docs/log-formats.md lists all forms.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = EPILOGUE)]
pub(crate) struct LogsOptions {
    /// Log to read; - for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub(crate) files: Vec<PathBuf>,

    /// What sni-probe itself saw, to tell which null really had no SNI; may be repeated
    ///
    /// JSON lines as `run --events-file` and `replay --format json` write them. Joined with the log by the
    /// client's address, port and time, or by address and port alone where the log's time is not understood.
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Vec<PathBuf>,

    /// Print one JSON object, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

impl LogsOptions {
    /// What the flags ask for.
    pub(crate) fn config(self) -> logs::Config {
        let Self { files, events, json } = self;
        logs::Config { files, events, json }
    }
}

const EPILOGUE: &str = "\
Examples:
  kubectl -n apigee logs -l app=apigee-ingressgateway --all-containers --prefix --tail=-1 | sni-probe logs
      Which clients were refused, when, and with which names.
  sni-probe logs /var/log/pods/apigee_*/istio-proxy/*.log*
      The files on a node, compressed ones as well.
  sni-probe logs --events events.jsonl access.log
      The same, and which of the clients really sent no SNI: the log alone is no proof in some versions of Envoy.
  sni-probe logs --json access.log | jq -r '.by_client[].name'
      For programs.

Exit codes:
  0  no client was refused for want of a filter chain
  1  at least one was
  2  a file could not be read, or not to its end, or is no access log; one line on stderr says why";
