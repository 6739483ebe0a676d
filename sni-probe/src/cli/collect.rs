//! The command line of `collect`.

use std::path::PathBuf;

use clap::Args;
use sni_probe_playbook::collect;

use super::DaemonOptions;

/// Gather what support asks for in one file, without secrets
///
/// Writes a tar archive, compressed with zstd: what the daemon says (metrics, API, readiness), its events and evidence,
/// overrides.yaml, ApigeeRoutes, kernel and versions. Keys, passwords, tokens and the data of Secrets are taken out.
/// The manifest lists each file with its checksum, and what could not be collected with the reason.
#[derive(Args, Clone, Debug, Default)]
#[command(after_long_help = EPILOGUE)]
pub(crate) struct CollectOptions {
    /// File to write, readable by its owner only; of what is there only an older bundle is replaced
    #[arg(short, long, value_name = "FILE", default_value = "sni-probe-bundle.tar.zst")]
    pub(crate) output: PathBuf,

    #[command(flatten)]
    pub(crate) daemon: DaemonOptions,

    /// Directory with packet captures of failed handshakes: that of run --evidence DIR
    #[arg(long, value_name = "DIR")]
    pub(crate) evidence: Option<PathBuf>,

    /// Events that the daemon wrote to a file; of a long one the end
    #[arg(long, value_name = "FILE")]
    pub(crate) events_file: Option<PathBuf>,

    /// Apigee's overrides.yaml
    #[arg(long, value_name = "FILE")]
    pub(crate) overrides: Option<PathBuf>,

    /// ApigeeRoutes, as kubectl get -o yaml (or json) prints them
    #[arg(long, value_name = "FILE")]
    pub(crate) routes: Option<PathBuf>,

    /// Read the ApigeeRoutes from the cluster that kubectl would use
    #[arg(long)]
    pub(crate) kube: bool,

    /// Kubeconfig with which to find the API server [default: the pod's service account, else $KUBECONFIG or ~/.kube/config]
    #[arg(long, env = "SNI_PROBE_KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Namespace of the ApigeeRoutes
    #[arg(long, value_name = "NAME", default_value = "apigee", value_parser = super::routes::parse_namespace)]
    pub(crate) namespace: String,

    /// Put pseudonyms for IP addresses, the same for the same address in all files; leaves evidence out
    #[arg(long)]
    pub(crate) redact_addresses: bool,
}

impl CollectOptions {
    /// What the flags ask for.
    pub(crate) fn config(self) -> collect::Config {
        collect::Config {
            output: self.output,
            daemon: self.daemon.config(),
            evidence: self.evidence,
            events_file: self.events_file,
            overrides: self.overrides,
            routes: self.routes,
            kube: self.kube,
            kubeconfig: self.kubeconfig,
            namespace: self.namespace,
            redact_addresses: self.redact_addresses,
        }
    }
}

const EPILOGUE: &str = "\
Examples:
  sni-probe collect -o bundle.tar.zst --url http://localhost:9917 --kube --overrides overrides.yaml
      What the page on the problem asks for, and what the daemon saw.
  sni-probe collect -o bundle.tar.zst --routes routes.yaml --overrides overrides.yaml --events-file events.jsonl
      From files.
  sni-probe collect --url http://localhost:9917 --redact-addresses
      For somebody who is not to know the clients.
  tar --zstd -xf bundle.tar.zst
      To look before you send it.

Exit codes:
  0  something was collected; what was not is in MANIFEST.json, and on stderr
  2  nothing could be collected, or the file could not be written";
