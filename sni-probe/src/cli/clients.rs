//! Whom the daemon tells apart, and how.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use rustix::rand::{GetRandomFlags, getrandom};
use sni_probe_core::clients::{
    ClientLabel, ClientsConfig, DEFAULT_TOP, ExpectedSources, GCP_LB, HashKey, SubnetSizes,
};

use super::values::{parse_duration, parse_network};

/// Stops a table of clients, and what Prometheus keeps of it, from growing without end.
const MAX_TOP: i64 = 10_000;
/// Bytes of a hash key, at least: fewer could be guessed.
const MIN_KEY_BYTES: usize = 16;
/// The same at most: a longer file is probably another one.
const MAX_KEY_BYTES: usize = 4096;

/// Clients.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Clients")]
pub(crate) struct ClientOptions {
    /// How many clients without SNI, their fingerprints, and names that were refused get metrics of their own
    ///
    /// Those with most handshakes do, of each kind. The rest is counted as "other", of names as "<other>".
    #[arg(
        long,
        env = "SNI_PROBE_TOP_CLIENTS",
        value_name = "NUMBER",
        default_value_t = DEFAULT_TOP,
        value_parser = clap::builder::RangedI64ValueParser::<usize>::new().range(0..=MAX_TOP)
    )]
    pub(crate) top_clients: usize,

    /// After which time without a handshake they lose them (1m to 30d)
    #[arg(
        long,
        env = "SNI_PROBE_CLIENT_IDLE",
        value_name = "DURATION",
        default_value = "1h",
        value_parser = parse_idle
    )]
    pub(crate) client_idle: Duration,

    /// What stands for a client in metrics and on the page; --events and --evidence have addresses in any case
    #[arg(long, env = "SNI_PROBE_CLIENT_LABEL", value_enum, default_value_t)]
    pub(crate) client_label: LabelKind,

    /// Length of the prefix of IPv4 subnets, with --client-label subnet
    #[arg(
        long,
        env = "SNI_PROBE_CLIENT_SUBNET_V4",
        value_name = "BITS",
        default_value_t = SubnetSizes::default().v4,
        value_parser = clap::value_parser!(u8).range(0..=32)
    )]
    pub(crate) client_subnet_v4: u8,

    /// Length of the prefix of IPv6 subnets, with --client-label subnet
    #[arg(
        long,
        env = "SNI_PROBE_CLIENT_SUBNET_V6",
        value_name = "BITS",
        default_value_t = SubnetSizes::default().v6,
        value_parser = clap::value_parser!(u8).range(0..=128)
    )]
    pub(crate) client_subnet_v6: u8,

    /// File with the key of --client-label hash, so that a client has the same hash on all nodes and after a restart
    /// [default: a new key at each start]
    ///
    /// The hash of an address is: printf %s ADDRESS | openssl dgst -sha256 -hmac KEY -r | cut -c -16, without the newline
    /// at the end of the key.
    #[arg(long, env = "SNI_PROBE_CLIENT_HASH_KEY_FILE", value_name = "FILE")]
    pub(crate) client_hash_key_file: Option<PathBuf>,

    /// Subnet from which hellos without SNI are expected, or gcp-lb; may be repeated [default: none]
    ///
    /// Such clients have source="expected" in metrics, so that alerts can leave them out. gcp-lb stands for Google
    /// Cloud's load balancers and health checks, which connect to their backends without SNI. In the environment
    /// variable several are separated by commas.
    #[arg(
        long,
        env = "SNI_PROBE_EXPECTED_NON_SNI",
        value_name = "CIDR",
        value_delimiter = ',',
        value_parser = Expected::parse
    )]
    pub(crate) expected_non_sni: Vec<Expected>,
}

/// `--client-label`: what stands for a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LabelKind {
    /// Its address
    #[default]
    Ip,
    /// Its subnet
    Subnet,
    /// A keyed hash of its address
    Hash,
    /// Nothing: clients are counted, not told apart
    None,
}

/// `--expected-non-sni`: clients of whom nothing else is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Google Cloud's load balancers and health checks.
    GcpLb,
    /// A subnet; an address is one of itself.
    Subnet(IpNet),
}

impl Expected {
    fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "gcp-lb" {
            return Ok(Self::GcpLb);
        }
        parse_network(text)
            .map(Self::Subnet)
            .ok_or("expected a subnet such as 192.0.2.0/24 or 2001:db8::/32, or gcp-lb")
    }

    fn subnets(&self) -> &[IpNet] {
        match self {
            Self::GcpLb => GCP_LB,
            Self::Subnet(subnet) => std::slice::from_ref(subnet),
        }
    }
}

impl ClientOptions {
    /// The same for the core.
    ///
    /// # Errors
    /// If the key is not to be had, or would have no effect.
    pub(crate) fn config(&self) -> anyhow::Result<ClientsConfig> {
        ensure!(
            self.client_hash_key_file.is_none() || self.client_label == LabelKind::Hash,
            "--client-hash-key-file has no effect without --client-label hash: clients would have their addresses"
        );
        let label = match self.client_label {
            LabelKind::Ip => ClientLabel::Ip,
            LabelKind::Subnet => {
                ClientLabel::Subnet(SubnetSizes { v4: self.client_subnet_v4, v6: self.client_subnet_v6 })
            }
            LabelKind::Hash => ClientLabel::Hash(match &self.client_hash_key_file {
                Some(path) => read_key(path)?,
                None => random_key()?,
            }),
            LabelKind::None => ClientLabel::None,
        };
        let expected: Vec<IpNet> =
            self.expected_non_sni.iter().flat_map(Expected::subnets).copied().collect();
        Ok(ClientsConfig {
            top: self.top_clients,
            idle: self.client_idle,
            label,
            expected: ExpectedSources::new(&expected),
        })
    }
}

fn read_key(path: &Path) -> anyhow::Result<HashKey> {
    let mut key = Vec::new();
    let mut file = File::open(path)
        .with_context(|| format!("cannot read the key of --client-hash-key-file {}", path.display()))?;
    file.by_ref()
        .take(MAX_KEY_BYTES as u64 + 1)
        .read_to_end(&mut key)
        .with_context(|| format!("cannot read the key of --client-hash-key-file {}", path.display()))?;
    // As most editors, and `echo`, end a file.
    while key.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        key.pop();
    }
    ensure!(
        (MIN_KEY_BYTES..=MAX_KEY_BYTES).contains(&key.len()),
        "the key of --client-hash-key-file {} must have {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes; \
         make one by: openssl rand -hex 32 > {}",
        path.display(),
        path.display()
    );
    Ok(HashKey::new(key))
}

fn random_key() -> anyhow::Result<HashKey> {
    let mut key = [0; 32];
    getrandom(&mut key, GetRandomFlags::empty())
        .context("the kernel gives no random key for --client-label hash")?;
    Ok(HashKey::new(key))
}

fn parse_idle(text: &str) -> Result<Duration, String> {
    parse_duration(text, Duration::from_mins(1)..=Duration::from_hours(24 * 30), "1m to 30d")
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use sni_probe_core::clients::ClientLabel;

    use super::{Expected, read_key};
    use crate::cli::tests::parse_run;

    fn key(arguments: &[&str], address: &str) -> Option<String> {
        let config = parse_run(arguments).unwrap().probe.clients.config().unwrap();
        config.label.key(address.parse().unwrap()).map(|key| key.to_string())
    }

    #[test]
    fn labels() {
        assert_eq!(key(&[], "192.0.2.7").as_deref(), Some("192.0.2.7"));
        let subnet = ["--client-label", "subnet"];
        assert_eq!(key(&subnet, "192.0.2.7").as_deref(), Some("192.0.2.0/24"));
        let sizes = [&subnet[..], &["--client-subnet-v4", "16", "--client-subnet-v6", "48"]].concat();
        assert_eq!(key(&sizes, "192.0.2.7").as_deref(), Some("192.0.0.0/16"));
        assert_eq!(key(&sizes, "2001:db8:1:2::3").as_deref(), Some("2001:db8:1::/48"));
        assert_eq!(key(&["--client-label", "none"], "192.0.2.7"), None);
    }

    #[test]
    fn without_a_key_each_start_has_another_hash_and_with_one_the_same() {
        let hash = ["--client-label", "hash"];
        assert_ne!(key(&hash, "192.0.2.7"), key(&hash, "192.0.2.7"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789abcdef\n").unwrap();
        let path = file.path().to_str().unwrap();
        let with_key = [&hash[..], &["--client-hash-key-file", path]].concat();
        assert_eq!(key(&with_key, "192.0.2.7"), key(&with_key, "192.0.2.7"));
        let config = parse_run(&with_key).unwrap().probe.clients.config().unwrap();
        assert!(matches!(config.label, ClientLabel::Hash(_)));
        let without_label = parse_run(&["--client-hash-key-file", path]).unwrap().probe.clients.config();
        assert!(without_label.unwrap_err().to_string().contains("without --client-label hash"));
    }

    #[test]
    fn a_key_that_is_none_is_told_in_one_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "short\n").unwrap();
        let error = format!("{:#}", read_key(file.path()).unwrap_err());
        assert!(error.contains("16 to 4096 bytes; make one by: openssl rand -hex 32 > /"), "{error}");
        let error = format!("{:#}", read_key("/nonexistent".as_ref()).unwrap_err());
        assert!(error.contains("--client-hash-key-file /nonexistent"), "{error}");
        assert!(read_key("/dev/zero".as_ref()).is_err());
    }

    #[test]
    fn expected_sources() {
        let options = parse_run(&["--expected-non-sni", "gcp-lb,192.0.2.0/24", "--expected-non-sni", "::1"]);
        let options = options.unwrap().probe.clients;
        assert_eq!(options.expected_non_sni[0], Expected::GcpLb);
        let config = options.config().unwrap();
        let is_expected = |address: &str| config.expected.contain(address.parse::<IpAddr>().unwrap());
        assert!(["35.191.0.1", "192.0.2.7", "::1"].into_iter().all(is_expected));
        assert!(!is_expected("192.0.3.7") && !is_expected("::2"));
        let error = parse_run(&["--expected-non-sni", "aws-lb"]).unwrap_err();
        assert!(error.contains("'aws-lb'") && error.contains("or gcp-lb"), "{error}");
    }
}
