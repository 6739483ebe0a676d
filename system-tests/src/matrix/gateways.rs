//! The gateways of the matrix: one port for each certificate and version of TLS.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::authority::Leaf;
use super::places::{COMMAND_TIMEOUT, Places, Release};
use super::situation::Version;
use crate::netns::{Lab, listens_by_table};
use crate::process::{Service, run_ok};

/// Time limit for a gateway to listen.
const READY_DEADLINE: Duration = Duration::from_mins(1);

/// A port of a gateway.
#[derive(Debug, Clone, Copy)]
pub struct Listener {
    /// The port.
    pub port: u16,
    /// The only version of TLS.
    pub version: Version,
    /// The gateway's certificate.
    pub leaf: Leaf,
    /// Whether the client must have a certificate.
    pub asks: bool,
}

/// Files and processes of a gateway.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Files, by their names in the lab's directory.
    pub files: Vec<(&'static str, String)>,
    /// A script that makes it ready, once.
    pub prepare: &'static str,
    /// Scripts of `sh`, each of which becomes a process of the gateway.
    pub scripts: Vec<String>,
}

/// A gateway.
#[derive(Debug, Clone, Copy)]
pub struct Gateway {
    /// Its name.
    pub name: &'static str,
    /// Where it is installed.
    pub release: Release,
    /// A script that prints its version.
    pub version: &'static str,
    /// Returns its files and processes.
    pub setup: fn(&[Listener]) -> Setup,
    /// Whether it accepts early data.
    pub takes_early_data: bool,
    /// Whether it completes the handshake without a client certificate, and answers with an HTTP error.
    pub refuses_by_http: bool,
}

/// Starts the processes of a gateway, and waits until it listens on these ports.
///
/// # Errors
/// When one ends, or does not listen in time.
pub fn start(
    lab: &Lab,
    places: &Places,
    (name, release): (&str, Release),
    setup: &Setup,
    ports: &[u16],
) -> Result<Vec<Service>> {
    let place = places.get(release)?;
    for (file, text) in &setup.files {
        fs::write(lab.path(file), text).with_context(|| format!("writing {file}"))?;
    }
    let envoy = crate::envoy::binary()?.display().to_string();
    let variables = [("RELEASE", release.word()), ("ENVOY", &*envoy)];
    if !setup.prepare.is_empty() {
        let mut command = place.command_in(&lab.gateway, lab, setup.prepare, &variables, None);
        run_ok(&mut command, COMMAND_TIMEOUT).with_context(|| format!("preparing {name}"))?;
    }
    let mut services = Vec::new();
    for (number, script) in setup.scripts.iter().enumerate() {
        let mut command = place.command_in(&lab.gateway, lab, script, &variables, None);
        let file = format!("{}-{}-{number}", name.replace([' ', '/'], "-"), release.word());
        services.push(Service::start(&file, &mut command, lab.directory())?);
    }
    ensure!(!services.is_empty(), "{name} has no process");
    let is_ready = || ports.iter().all(|port| listens_by_table(&lab.gateway, *port));
    for service in &mut services {
        service.wait_for(&format!("{name} to listen"), READY_DEADLINE, is_ready)?;
    }
    Ok(services)
}

/// Envoy with `require_client_certificate`.
pub const ENVOY: Gateway = Gateway {
    name: "Envoy",
    release: Release::Machine,
    version: "$ENVOY --version | grep -oE '/[0-9]+\\.[0-9]+\\.[0-9]+' | cut -c 2-",
    setup: envoy,
    takes_early_data: false,
    refuses_by_http: false,
};

/// nginx with `ssl_verify_client on`.
pub const NGINX: Gateway = Gateway {
    name: "nginx",
    release: Release::Bookworm,
    version: "nginx -v 2>&1 | cut -d/ -f2",
    setup: nginx,
    takes_early_data: true,
    refuses_by_http: true,
};

/// HAProxy with `verify required`.
pub const HAPROXY: Gateway = Gateway {
    name: "HAProxy",
    version: "haproxy -v | head -n 1 | cut -d' ' -f3 | cut -d- -f1",
    setup: haproxy,
    refuses_by_http: false,
    ..NGINX
};

/// Caddy with `require_and_verify`.
pub const CADDY: Gateway = Gateway {
    name: "Caddy",
    version: "caddy version | cut -d' ' -f1",
    setup: caddy,
    takes_early_data: false,
    ..HAPROXY
};

/// Java's `SSLServerSocket` with `setNeedClientAuth`.
pub const JAVA: Gateway = Gateway {
    name: "Java",
    version: "java -version 2>&1 | sed -n 's/.* version \"\\([^\"]*\\)\".*/\\1/p'",
    setup: java,
    ..CADDY
};

/// Node.js' `https` with `requestCert`.
pub const NODE: Gateway =
    Gateway { name: "Node.js", version: "node -p process.versions.node", setup: node, ..CADDY };

/// `openssl s_server` with `-Verify`.
pub const OPENSSL: Gateway = Gateway {
    name: "OpenSSL s_server",
    version: "openssl version | cut -d' ' -f2",
    setup: s_server,
    ..CADDY
};

/// `openssl s_server` with cipher suites that it does not have by default.
pub const OPENSSL_ALL_CIPHERS: Gateway =
    Gateway { name: "OpenSSL s_server, all ciphers", setup: s_server_all_ciphers, ..OPENSSL };

/// `openssl s_server` that pads its records to a multiple of 64 bytes.
pub const OPENSSL_PADDING: Gateway =
    Gateway { name: "OpenSSL s_server, padding", setup: s_server_padding, ..OPENSSL };

/// A gateway of another place.
pub const fn of(release: Release, gateway: Gateway) -> Gateway {
    Gateway { release, ..gateway }
}

/// Lines of a configuration, one block for each listener.
fn blocks(listeners: &[Listener], block: impl Fn(&Listener) -> String) -> String {
    listeners.iter().map(block).collect()
}

fn envoy(listeners: &[Listener]) -> Setup {
    let listener = |listener: &Listener| {
        let stem = listener.leaf.stem();
        let version = if listener.version == Version::Tls12 { "TLSv1_2" } else { "TLSv1_3" };
        let mut context = json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "tls_params": { "tls_minimum_protocol_version": version, "tls_maximum_protocol_version": version },
                "tls_certificates": [{
                    "certificate_chain": { "filename": format!("/mnt/{stem}.crt") },
                    "private_key": { "filename": format!("/mnt/{stem}.key") },
                }],
            },
        });
        if listener.asks {
            context["require_client_certificate"] = json!(true);
            context["common_tls_context"]["validation_context"] =
                json!({ "trusted_ca": { "filename": "/mnt/ca.crt" } });
        }
        json!({
            "name": format!("port-{}", listener.port),
            "address": { "socket_address": { "address": "0.0.0.0", "port_value": listener.port } },
            "filter_chains": [crate::envoy::http_chain(&context)],
        })
    };
    let listeners: Vec<_> = listeners.iter().map(listener).collect();
    let configuration = json!({ "static_resources": { "listeners": listeners } });
    Setup {
        files: vec![("envoy.json", configuration.to_string())],
        scripts: vec![
            "exec $ENVOY --config-path /mnt/envoy.json --concurrency 1 --disable-hot-restart --log-level warning"
                .to_owned(),
        ],
        ..Setup::default()
    }
}

fn nginx(listeners: &[Listener]) -> Setup {
    let servers = blocks(listeners, |listener| {
        let stem = listener.leaf.stem();
        let version = listener.version.dotted();
        let mut text = format!(
            "  server {{\n    listen {} ssl;\n    ssl_certificate /mnt/{stem}.crt;\n    ssl_certificate_key /mnt/{stem}.key;
    ssl_protocols TLSv{version};\n    return 200 \"hello\\n\";\n",
            listener.port
        );
        if listener.version == Version::Tls13 {
            text += "    ssl_early_data on;\n";
        }
        if listener.asks {
            text += "    ssl_verify_client on;\n    ssl_client_certificate /mnt/ca.crt;\n";
        }
        text + "  }\n"
    });
    let text = format!(
        "daemon off;\nuser root;\npid /mnt/nginx.pid;\nerror_log /mnt/nginx.log info;\nevents {{}}\nhttp {{
  access_log off;\n  client_body_temp_path /mnt/nginx-temporary;\n  ssl_session_cache shared:sessions:1m;\n{servers}}}\n"
    );
    Setup {
        files: vec![("nginx.conf", text)],
        scripts: vec!["exec nginx -c /mnt/nginx.conf -e /mnt/nginx.log".to_owned()],
        ..Setup::default()
    }
}

fn haproxy(listeners: &[Listener]) -> Setup {
    let frontends = blocks(listeners, |listener| {
        let (port, stem, version) = (listener.port, listener.leaf.stem(), listener.version.dotted());
        let early = if listener.version == Version::Tls13 { " allow-0rtt" } else { "" };
        let asks = if listener.asks { " ca-file /mnt/ca.crt verify required" } else { "" };
        format!(
            "frontend port-{port}\n  bind :{port} ssl crt /mnt/{stem}.pem ssl-min-ver TLSv{version} \
             ssl-max-ver TLSv{version}{early}{asks}
  http-request return status 200 content-type text/plain string hello\n"
        )
    });
    let text = format!(
        "defaults\n  mode http\n  timeout client 15s\n  timeout connect 5s\n  timeout server 15s\n{frontends}"
    );
    Setup {
        files: vec![("haproxy.cfg", text)],
        // In the foreground, one process.
        scripts: vec!["exec haproxy -db -f /mnt/haproxy.cfg".to_owned()],
        ..Setup::default()
    }
}

fn caddy(listeners: &[Listener]) -> Setup {
    let sites = blocks(listeners, |listener| {
        let (port, stem, version) = (listener.port, listener.leaf.stem(), listener.version.dotted());
        let asks = if listener.asks {
            "    client_auth {\n      mode require_and_verify\n      trusted_ca_cert_file /mnt/ca.crt\n    }\n"
        } else {
            ""
        };
        format!(
            ":{port} {{\n  tls /mnt/{stem}.crt /mnt/{stem}.key {{\n    protocols tls{version} tls{version}\n{asks}  }}
  respond hello\n}}\n"
        )
    });
    Setup {
        files: vec![("Caddyfile", format!("{{\n  admin off\n  auto_https off\n}}\n{sites}"))],
        scripts: vec!["exec caddy run --adapter caddyfile --config /mnt/Caddyfile".to_owned()],
        ..Setup::default()
    }
}

fn java(listeners: &[Listener]) -> Setup {
    let words = words(listeners, ":-");
    let script =
        format!("exec java -XX:TieredStopAtLevel=1 -Xmx128m -cp /mnt/java-serve-$RELEASE Serve /mnt{words}");
    Setup { prepare: JAVA_PREPARE, scripts: vec![script], ..Setup::default() }
}

fn node(listeners: &[Listener]) -> Setup {
    let script = format!("exec node /mnt/serve.js /mnt{}", words(listeners, ""));
    Setup { scripts: vec![script], ..Setup::default() }
}

/// The listeners as arguments of the lab's own gateways.
fn words(listeners: &[Listener], end: &str) -> String {
    blocks(listeners, |Listener { port, version, leaf, asks }| {
        let need = if *asks { "need" } else { "none" };
        format!(" {port}:{}:TLSv{}:{need}{end}", leaf.stem(), version.dotted())
    })
}

/// Compiles the gateway in Java.
pub(super) const JAVA_PREPARE: &str =
    "[ -e /mnt/java-serve-$RELEASE ] || javac -d /mnt/java-serve-$RELEASE /mnt/Serve.java";

fn s_server(listeners: &[Listener]) -> Setup {
    s_server_with(listeners, "")
}

fn s_server_all_ciphers(listeners: &[Listener]) -> Setup {
    let ciphers = " -cipher ALL -ciphersuites TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:\
                   TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256";
    s_server_with(listeners, ciphers)
}

fn s_server_padding(listeners: &[Listener]) -> Setup {
    s_server_with(listeners, " -record_padding 64")
}

fn s_server_with(listeners: &[Listener], options: &str) -> Setup {
    let process = |Listener { port, version, leaf, asks }: &Listener| {
        let stem = leaf.stem();
        let version = if *version == Version::Tls12 { "-tls1_2" } else { "-tls1_3" };
        let asks = if *asks { " -Verify 3 -verify_return_error -CAfile /mnt/ca.crt" } else { "" };
        format!(
            "exec openssl s_server -accept {port} -cert /mnt/{stem}.crt -key /mnt/{stem}.key {version} -quiet \
             -www{asks}{options}"
        )
    };
    Setup { scripts: listeners.iter().map(process).collect(), ..Setup::default() }
}
