//! Envoy as a gateway like Apigee's and Istio's: it picks the filter chain, and with it the
//! certificate, by SNI.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lab_interface::{ENVOY_VARIABLE, find_envoy};
use serde::Serialize;
use serde_json::{Value, json};

use crate::certificate::{Algorithm, Certificate};
use crate::netns::{Lab, Namespace};
use crate::process::{Service, wait_until};
use crate::{GATEWAY_PORTS, SERVER_NAME};

const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
/// The counters, in the admin interface.
pub(crate) const STATS: &str = "/stats?format=json&type=Counters";
/// The common name of the wildcard chain's certificate.
const WILDCARD_NAME: &str = "*.mydomain.com";
/// Envoy's own choice, and the RSA key exchange that Istio's gateways allow beside it.
const CIPHER_SUITES: [&str; 6] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
];
const READY_DEADLINE: Duration = Duration::from_secs(20);

/// What of Envoy's configuration the tests vary.
#[derive(Debug, Clone)]
pub struct EnvoyOptions {
    /// A second chain without a match, for clients without SNI and with unknown names ("non-SNI
    /// clients enabled").
    pub wildcard_chain: bool,
    /// Whether the listener looks at the `ClientHello` at all.
    pub tls_inspector: bool,
    /// Whether a PROXY header precedes each hello.
    pub proxy_protocol: bool,
    /// How long a client may take for its hello. Envoy's default is 15 s.
    pub listener_filters_timeout: Duration,
}

impl Default for EnvoyOptions {
    fn default() -> Self {
        Self {
            wildcard_chain: false,
            tls_inspector: true,
            proxy_protocol: false,
            listener_filters_timeout: Duration::from_secs(15),
        }
    }
}

/// Envoy's own account of the connections, as counters since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Connections closed because no filter chain matched them.
    pub no_filter_chain_match: u64,
    /// Hellos with SNI.
    pub sni_found: u64,
    /// Hellos without SNI.
    pub sni_not_found: u64,
    /// Connections that began with a `ClientHello`.
    pub tls_found: u64,
    /// Connections that began with something else.
    pub tls_not_found: u64,
    /// TLS handshakes that failed.
    pub connection_error: u64,
    /// TLS handshakes that ended well.
    pub handshake: u64,
    /// Connections that sent no whole hello in time.
    pub downstream_pre_cx_timeout: u64,
}

impl Stats {
    /// Reads what the admin interface answers to [`STATS`], of listeners with the prefix `gateway`.
    ///
    /// # Errors
    /// When these are no counters.
    pub(crate) fn parse(body: &str) -> Result<Self> {
        let stats: Value = serde_json::from_str(body).context("Envoy's /stats")?;
        let Some(list) = stats["stats"].as_array() else { bail!("no stats in {body}") };
        // The chains' counters repeat per worker and listener: the shortest name is the total.
        let get = |name: &str| -> u64 {
            let found = list.iter().find(|stat| stat["name"] == name);
            found.and_then(|stat| stat["value"].as_u64()).unwrap_or(0)
        };
        Ok(Self {
            no_filter_chain_match: get("listener.gateway.no_filter_chain_match"),
            sni_found: get("tls_inspector.sni_found"),
            sni_not_found: get("tls_inspector.sni_not_found"),
            tls_found: get("tls_inspector.tls_found"),
            tls_not_found: get("tls_inspector.tls_not_found"),
            connection_error: get("listener.gateway.ssl.connection_error"),
            handshake: get("listener.gateway.ssl.handshake"),
            downstream_pre_cx_timeout: get("listener.gateway.downstream_pre_cx_timeout"),
        })
    }

    /// The sums of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.combine(other, |one, two| one + two)
    }

    /// What came since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        self.combine(before, |now, then| now - then)
    }

    fn combine(&self, other: &Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            no_filter_chain_match: with(self.no_filter_chain_match, other.no_filter_chain_match),
            sni_found: with(self.sni_found, other.sni_found),
            sni_not_found: with(self.sni_not_found, other.sni_not_found),
            tls_found: with(self.tls_found, other.tls_found),
            tls_not_found: with(self.tls_not_found, other.tls_not_found),
            connection_error: with(self.connection_error, other.connection_error),
            handshake: with(self.handshake, other.handshake),
            downstream_pre_cx_timeout: with(self.downstream_pre_cx_timeout, other.downstream_pre_cx_timeout),
        }
    }
}

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy<'lab> {
    service: Service,
    namespace: &'lab Namespace,
    access_log: PathBuf,
}

impl<'lab> Envoy<'lab> {
    /// Starts Envoy in the lab's gateway namespace on ports 443 and 8443, IPv4 and IPv6, and waits
    /// until it listens. Several one after the other are fine, two at once are not (same ports).
    ///
    /// # Errors
    /// When the binary is not there (`cargo xtask setup` installs it) or refuses the configuration.
    pub fn start(lab: &'lab Lab, options: &EnvoyOptions) -> Result<Self> {
        Self::start_changed(lab, options, |_| {})
    }

    /// [`start`](Self::start) with a change of the configuration, which is Envoy's bootstrap as JSON.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_changed(
        lab: &'lab Lab,
        options: &EnvoyOptions,
        change: impl FnOnce(&mut Value),
    ) -> Result<Self> {
        let access_log = lab.path("envoy-access.log");
        fs::remove_file(&access_log).ok();
        let configuration = lab.path("envoy.json");
        let mut bootstrap = configure(lab, options, &access_log)?;
        change(&mut bootstrap);
        fs::write(&configuration, bootstrap.to_string())?;
        let mut command = lab.gateway.command(binary()?);
        command.arg("--config-path").arg(&configuration);
        // The access log else flushes every 10 s; hot restart uses shared memory of the machine.
        command.args(["--concurrency", "2", "--file-flush-interval-msec", "100"]);
        command.args(["--disable-hot-restart", "--log-level", "warning"]);
        let service = Service::start("envoy", &mut command, lab.directory())?;
        let mut envoy = Self { service, namespace: &lab.gateway, access_log };
        envoy.service.wait_for("Envoy to listen", READY_DEADLINE, || {
            matches!(lab.gateway.http_get(ADMIN, "/ready"), Ok((200, _)))
        })?;
        Ok(envoy)
    }

    /// The process.
    pub fn service(&mut self) -> &mut Service {
        &mut self.service
    }

    /// Reads the counters through Envoy's admin interface.
    ///
    /// # Errors
    /// When Envoy does not answer, or not with these counters.
    pub fn stats(&self) -> Result<Stats> {
        let (_, body) = self.namespace.http_get(ADMIN, STATS)?;
        Stats::parse(&body)
    }

    /// Polls the counters until `condition` holds for them.
    ///
    /// # Errors
    /// As [`wait_until`]; the message has the counters last seen.
    pub fn wait_for_stats(&self, deadline: Duration, condition: impl Fn(&Stats) -> bool) -> Result<Stats> {
        let mut last = Stats::default();
        let result = wait_until("Envoy's counters", deadline, || {
            last = self.stats()?;
            Ok(condition(&last).then_some(last))
        });
        result.with_context(|| format!("{last:?}"))
    }

    /// The file of both access logs, in Apigee's format.
    pub fn access_log_path(&self) -> &Path {
        &self.access_log
    }

    /// The lines of the access logs (listener's and connection manager's) so far.
    ///
    /// # Errors
    /// When a line is no JSON.
    pub fn access_log(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(&self.access_log).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).context("access log")).collect()
    }
}

/// Where Envoy is: the variable, or where `cargo xtask setup` puts it.
///
/// # Errors
/// When it is in neither place.
pub(crate) fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(ENVOY_VARIABLE) {
        return Ok(path.into());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace's root")?;
    let tools = root.join("target/tools");
    find_envoy(&tools).context("Envoy is not installed; install it with: cargo xtask setup")
}

fn configure(lab: &Lab, options: &EnvoyOptions, access_log: &Path) -> Result<Value> {
    let mut named = chain(SERVER_NAME, &lab.certificate(SERVER_NAME)?, access_log);
    named["filter_chain_match"] = json!({ "server_names": [SERVER_NAME] });
    let mut chains = vec![named];
    if options.wildcard_chain {
        // RSA: a client without SNI may be too old for elliptic curves.
        let certificate = Certificate::create(lab.directory(), WILDCARD_NAME, Algorithm::Rsa)?;
        chains.push(chain(WILDCARD_NAME, &certificate, access_log));
    }
    let mut filters = Vec::new();
    if options.proxy_protocol {
        filters.push(listener_filter("proxy_protocol", "ProxyProtocol"));
    }
    if options.tls_inspector {
        filters.push(listener_filter("tls_inspector", "TlsInspector"));
    }
    let listeners: Vec<Value> = GATEWAY_PORTS
        .iter()
        .map(|port| {
            json!({
                "name": format!("port-{port}"),
                "stat_prefix": "gateway",
                "address": socket_address("::", *port),
                "listener_filters": filters,
                "listener_filters_timeout": seconds(options.listener_filters_timeout),
                "filter_chains": chains,
                "access_log": [log(access_log)],
            })
        })
        .collect();
    Ok(json!({
        "admin": { "address": socket_address("127.0.0.1", ADMIN.port()) },
        "static_resources": { "listeners": listeners },
    }))
}

fn seconds(duration: Duration) -> String {
    format!("{:.3}s", duration.as_secs_f64())
}

pub(crate) fn socket_address(address: &str, port: u16) -> Value {
    let mut socket = json!({ "address": address, "port_value": port });
    if address == "::" {
        socket["ipv4_compat"] = json!(true);
    }
    json!({ "socket_address": socket })
}

pub(crate) fn listener_filter(name: &str, message: &str) -> Value {
    json!({
        "name": format!("envoy.filters.listener.{name}"),
        "typed_config": {
            "@type": format!("type.googleapis.com/envoy.extensions.filters.listener.{name}.v3.{message}"),
        },
    })
}

fn chain(name: &str, certificate: &Certificate, access_log: &Path) -> Value {
    let mut chain = http_chain(&json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_2",
                "cipher_suites": CIPHER_SUITES,
            },
            "tls_certificates": [{
                "certificate_chain": { "filename": certificate.certificate },
                "private_key": { "filename": certificate.key },
            }],
        },
    }));
    chain["name"] = json!(name);
    chain["filters"][0]["typed_config"]["access_log"] = json!([log(access_log)]);
    chain
}

/// A filter chain that answers every request by `hello`, with this `DownstreamTlsContext`.
pub(crate) fn http_chain(context: &Value) -> Value {
    json!({
        "transport_socket": { "name": "envoy.transport_sockets.tls", "typed_config": context },
        "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "gateway",
                "http_filters": [{
                    "name": "envoy.filters.http.router",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                    },
                }],
                "route_config": { "virtual_hosts": [{
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{
                        "match": { "prefix": "/" },
                        "direct_response": { "status": 200, "body": { "inline_string": "hello\n" } },
                    }],
                }] },
            },
        }],
    })
}

/// The fields of Apigee's ingress log.
fn log(path: &Path) -> Value {
    json!({
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": path,
            "log_format": { "json_format": {
                "start_time": "%START_TIME%",
                "remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
                "sni_host": "%REQUESTED_SERVER_NAME%",
                "status": "%RESPONSE_CODE%",
                "status_details": "%RESPONSE_CODE_DETAILS%",
                "upstream_response_flags": "%RESPONSE_FLAGS%",
            } },
        },
    })
}
