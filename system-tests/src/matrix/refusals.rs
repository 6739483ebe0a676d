//! How real gateways refuse a hello without SNI, or with a name that they do not know, and what sni-probe says of it.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ResolvesServerCertUsingSni;
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};
use serde_json::json;

use super::gateways::{JAVA_PREPARE, Setup};
use super::wire::Connection;
use super::{
    FIRST_CLIENT_PORT, FIRST_GATEWAY_PORT, PORTS_PER_COMBINATION, Places, Release, Version, Versions,
    event_of, gateways, set_client_ports, settle, start_daemons, start_tcpdump, write_files,
};
use crate::netns::{Lab, Namespace};
use crate::process::{Service, run};
use crate::{GATEWAY_V4, SERVER_NAME, UNKNOWN_NAME};

const CLIENT_TIMEOUT: Duration = Duration::from_secs(20);
/// A gateway's port, and that of what it forwards to.
const PORTS_PER_GATEWAY: u16 = 2;

/// What a gateway does with a hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// RST without a byte.
    Reset,
    /// FIN without a byte.
    Closed,
    /// A fatal alert, in a record of this version.
    Alert(u8, u16),
    /// A ServerHello, and then a protected alert instead of a certificate.
    AfterServerHello,
    /// The handshake goes on.
    Served,
}

use Shape::{AfterServerHello, Alert, Closed, Reset, Served};

impl Shape {
    /// Reads it from a connection. `None`: it is another.
    fn of(connection: &Connection) -> Option<Self> {
        /// More than any record but one with a certificate has before the Finished.
        const SMALL: usize = 200;
        let gateway: Vec<_> = connection.records(super::wire::Side::Gateway).collect();
        if connection.has_server_hello() {
            let is_small = gateway.iter().skip(1).all(|record| record.length < SMALL);
            let has_finished = connection
                .records(super::wire::Side::Client)
                .any(|record| record.length >= 53 && record.kind == 23);
            let is_encrypted = gateway.iter().any(|record| record.kind == 23);
            return Some(if is_encrypted && is_small && !has_finished { AfterServerHello } else { Served });
        }
        let last = gateway.last();
        if let Some((_, description)) = last.and_then(|record| record.alert) {
            return Some(Alert(description, last?.version));
        }
        let by_gateway =
            connection.segments.iter().filter(|segment| segment.side == super::wire::Side::Gateway);
        let mut ends = by_gateway.filter(|segment| segment.fin || segment.rst);
        ends.next().map(|segment| if segment.rst { Reset } else { Closed })
    }

    /// Whether an event's outcome and alert say the same.
    fn is_told_by(self, outcome: &str, alert: Option<&str>) -> bool {
        match self {
            Reset => outcome == "reset_by_gateway",
            Closed => outcome == "closed_by_gateway",
            Alert(description, _) => outcome == "alert" && alert == Some(alert_name(description)),
            AfterServerHello => outcome == "refused_after_server_hello",
            Served => outcome == "established",
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reset => f.write_str("RST"),
            Closed => f.write_str("FIN"),
            Alert(description, version) => {
                write!(f, "alert {description} {}, record {version:04x}", alert_name(*description))
            }
            AfterServerHello => f.write_str("ServerHello, then a protected alert"),
            Served => f.write_str("served"),
        }
    }
}

/// The names of the alerts that the gateways of this list send.
fn alert_name(description: u8) -> &'static str {
    match description {
        40 => "handshake_failure",
        47 => "illegal_parameter",
        49 => "access_denied",
        70 => "protocol_version",
        80 => "internal_error",
        109 => "missing_extension",
        112 => "unrecognized_name",
        _ => "another",
    }
}

/// What a hello says of the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nothing,
    Unknown,
    Right,
}

impl Asked {
    const ALL: [Self; 3] = [Self::Nothing, Self::Unknown, Self::Right];

    const fn name(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Unknown => Some(UNKNOWN_NAME),
            Self::Right => Some(SERVER_NAME),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Nothing => "no SNI",
            Self::Unknown => "unknown name",
            Self::Right => "right name",
        }
    }
}

/// How a gateway is made.
#[derive(Debug, Clone, Copy)]
enum Make {
    /// Processes. The port is that of the gateway; the next is free for what it forwards to.
    Programs(fn(u16) -> Setup),
    /// rustls, in threads of this process.
    Rustls,
}

/// A gateway that refuses some hellos.
#[derive(Debug, Clone, Copy)]
pub struct Refuser {
    name: &'static str,
    configuration: &'static str,
    release: Release,
    version: &'static str,
    make: Make,
    /// Without SNI and with an unknown name, by TLS 1.2.
    tls12: [Shape; 2],
    /// The same by TLS 1.3.
    tls13: [Shape; 2],
}

const NGINX_VERSION: &str = gateways::NGINX.version;
const HAPROXY_VERSION: &str = gateways::HAPROXY.version;
const GO_VERSION: &str = super::clients::GO.version;
const JAVA_VERSION: &str = gateways::JAVA.version;
const NODE_VERSION: &str = super::clients::NODE.version;
const ERLANG_VERSION: &str =
    "erl -noshell -eval 'io:format(\"~s~n\", [erlang:system_info(otp_release)]), halt().'";

const UNRECOGNIZED: Shape = Alert(112, 0x0303);
const INTERNAL: Shape = Alert(80, 0x0303);
const FAILURE: Shape = Alert(40, 0x0303);

/// An entry of the list whose answer is the same by both versions of TLS.
const fn refuser(
    name: &'static str,
    configuration: &'static str,
    release: Release,
    version: &'static str,
    setup: fn(u16) -> Setup,
    shapes: [Shape; 2],
) -> Refuser {
    let make = Make::Programs(setup);
    Refuser { name, configuration, release, version, make, tls12: shapes, tls13: shapes }
}

/// The list. Answers are those that were measured; a run compares them with what comes now.
pub const ALL: &[Refuser] = &{
    use Release::{Bookworm, Machine, Sid};
    [
        refuser("Envoy", "no filter chain matches", Machine, gateways::ENVOY.version, envoy, [Reset; 2]),
        refuser("nginx", "ssl_reject_handshake", Bookworm, NGINX_VERSION, nginx_rejecting, [UNRECOGNIZED; 2]),
        refuser("nginx", "ssl_reject_handshake", Sid, NGINX_VERSION, nginx_rejecting, [UNRECOGNIZED; 2]),
        refuser(
            "nginx",
            "ssl_certificate $ssl_server_name",
            Bookworm,
            NGINX_VERSION,
            nginx_by_name,
            [INTERNAL; 2],
        ),
        refuser("nginx", "stream, ssl_preread", Bookworm, NGINX_VERSION, nginx_stream, [Closed; 2]),
        refuser("nginx", "stream, ssl_preread", Sid, NGINX_VERSION, nginx_stream, [Reset; 2]),
        refuser("HAProxy", "strict-sni", Bookworm, HAPROXY_VERSION, haproxy_strict, [UNRECOGNIZED; 2]),
        refuser("HAProxy", "strict-sni", Sid, HAPROXY_VERSION, haproxy_strict, [UNRECOGNIZED; 2]),
        refuser("HAProxy", "mode tcp, no backend", Bookworm, HAPROXY_VERSION, haproxy_tcp, [Closed; 2]),
        refuser(
            "HAProxy",
            "mode tcp, content reject",
            Bookworm,
            HAPROXY_VERSION,
            haproxy_reject,
            [Closed; 2],
        ),
        refuser("Caddy", "no certificate", Bookworm, gateways::CADDY.version, caddy, [INTERNAL; 2]),
        refuser("Caddy", "no certificate", Sid, gateways::CADDY.version, caddy, [INTERNAL; 2]),
        refuser("Go", "GetCertificate: nil", Bookworm, GO_VERSION, go_nil, [UNRECOGNIZED; 2]),
        refuser("Go", "GetCertificate: nil", Sid, GO_VERSION, go_nil, [UNRECOGNIZED; 2]),
        refuser("Go", "GetCertificate: error", Bookworm, GO_VERSION, go_error, [INTERNAL; 2]),
        refuser(
            "Go",
            "GetConfigForClient: error",
            Bookworm,
            GO_VERSION,
            go_configuration,
            [Alert(80, 0x0301); 2],
        ),
        refuser("Node.js", "SNICallback: error", Bookworm, NODE_VERSION, node_error, [FAILURE, Closed]),
        refuser("Node.js", "SNICallback: null", Bookworm, NODE_VERSION, node_null, [FAILURE; 2]),
        Refuser {
            tls12: [FAILURE; 2],
            ..refuser("Erlang/OTP", "sni_hosts", Bookworm, ERLANG_VERSION, erlang, [Closed; 2])
        },
        Refuser {
            tls12: [FAILURE; 2],
            ..refuser("Erlang/OTP", "sni_hosts", Sid, ERLANG_VERSION, erlang, [Alert(47, 0x0303); 2])
        },
        refuser(
            "hitch",
            "sni-nomatch-abort",
            Bookworm,
            "hitch --version | cut -d' ' -f2",
            hitch,
            [Served, UNRECOGNIZED],
        ),
        refuser(
            "OpenSSL s_server",
            "-servername_fatal",
            Bookworm,
            gateways::OPENSSL.version,
            s_server,
            [Served, UNRECOGNIZED],
        ),
        refuser(
            "gnutls-serv",
            "--sni-hostname-fatal",
            Bookworm,
            "gnutls-serv --version | head -n 1 | cut -d' ' -f2",
            gnutls_serv,
            [Served, UNRECOGNIZED],
        ),
        refuser("Java", "SNIMatcher", Bookworm, JAVA_VERSION, java_matcher, [Served, UNRECOGNIZED]),
        Refuser {
            tls12: [FAILURE; 2],
            ..refuser("Java", "key manager", Bookworm, JAVA_VERSION, java_keys, [AfterServerHello; 2])
        },
        Refuser {
            tls12: [FAILURE; 2],
            ..refuser("Java", "key manager", Sid, JAVA_VERSION, java_keys, [AfterServerHello; 2])
        },
        refuser(
            "Apache httpd",
            "SSLStrictSNIVHostCheck",
            Bookworm,
            "apache2 -v | sed -n 's,.*Apache/\\([0-9.]*\\).*,\\1,p'",
            apache,
            [Served; 2],
        ),
        refuser(
            "Apache Traffic Server",
            "no default certificate",
            Bookworm,
            "traffic_server --version 2>&1 | grep -oE '[0-9]+\\.[0-9]+\\.[0-9]+' | head -n 1",
            traffic_server,
            [FAILURE; 2],
        ),
        refuser(
            "sniproxy",
            "table",
            Bookworm,
            "sniproxy -V 2>&1 | head -n 1 | cut -d' ' -f2",
            sniproxy,
            [Alert(40, 0x0301); 2],
        ),
        refuser(
            "stunnel",
            "sni service",
            Bookworm,
            "stunnel -version 2>&1 | sed -n 's/.*stunnel \\([0-9.]*\\) .*/\\1/p' | head -n 1",
            stunnel,
            [Served; 2],
        ),
        Refuser {
            make: Make::Rustls,
            ..refuser("rustls", "ResolvesServerCertUsingSni", Machine, "", envoy, [Alert(49, 0x0303); 2])
        },
    ]
};

/// A hello that was sent, and what came.
#[derive(Debug, Clone)]
struct Answer {
    version: Version,
    asked: Asked,
    expected: Shape,
    seen: Option<Shape>,
    /// By each daemon: the way to see packets, outcome and alert.
    told: Vec<(&'static str, String, Option<String>)>,
    wire: String,
}

impl Answer {
    fn is_right(&self) -> bool {
        let is_told = |(_, outcome, alert): &(_, String, Option<String>)| {
            self.expected.is_told_by(outcome, alert.as_deref())
        };
        self.seen == Some(self.expected) && !self.told.is_empty() && self.told.iter().all(is_told)
    }
}

/// What a gateway of the list did.
#[derive(Debug, Clone)]
pub struct Refusals {
    refuser: Refuser,
    version: String,
    answers: Vec<Answer>,
}

impl Refusals {
    /// Whether each hello was answered as listed, and both daemons said so.
    pub fn is_right(&self) -> bool {
        self.answers.iter().all(Answer::is_right)
    }
}

/// Runs the gateways of the list whose name or configuration contains the filter.
///
/// # Errors
/// When a gateway does not start, or a daemon ends.
pub fn run_all(filter: Option<&str>, progress: impl Fn(&str)) -> Result<Vec<Refusals>> {
    let lab = Lab::new()?;
    let places = Places::find()?;
    write_files(lab.directory())?;
    let is_wanted = |refuser: &&Refuser| {
        filter.is_none_or(|filter| format!("{}, {}", refuser.name, refuser.configuration).contains(filter))
    };
    let wanted: Vec<&Refuser> = ALL.iter().filter(is_wanted).collect();
    let ports = |number: u16| FIRST_GATEWAY_PORT + number * PORTS_PER_GATEWAY;
    let all_ports: Vec<u16> = wanted.iter().zip(0..).map(|(_, number)| ports(number)).collect();
    let daemons = start_daemons(&lab, &all_ports)?;
    let mut versions = Versions::default();
    let mut next_port = FIRST_CLIENT_PORT;
    let mut all = Vec::new();
    for (refuser, number) in wanted.into_iter().zip(0..) {
        let version = versions.get(&lab, &places, refuser.release, refuser.name, refuser.version)?;
        progress(&format!("{} {version}, {}", refuser.name, refuser.configuration));
        let port = ports(number);
        let packets = lab.path(&format!("packets-{number}.pcap"));
        let mut tcpdump = start_tcpdump(&lab, &packets)?;
        let running = start(&lab, &places, refuser, port)?;
        let mut sent = Vec::new();
        for version in Version::ALL {
            for asked in Asked::ALL {
                set_client_ports(&lab, next_port)?;
                send(&lab, port, version, asked)?;
                sent.push((version, asked, next_port));
                next_port += PORTS_PER_COMBINATION;
            }
        }
        drop(running);
        let connections = settle(&daemons, &packets, &all_ports)?;
        tcpdump.stop().ok();
        let mut answers = Vec::new();
        for (version, asked, client_port) in sent {
            let range = client_port..client_port + PORTS_PER_COMBINATION;
            let connection = connections.iter().find(|connection| range.contains(&connection.port));
            let connection =
                connection.with_context(|| format!("{}: no hello with {}", refuser.name, asked.word()))?;
            let mut told = Vec::new();
            for (capture, daemon) in &daemons {
                let events = daemon.events()?;
                let event = event_of(&events, connection);
                let outcome = event.map_or("no event", |event| event.outcome.as_str());
                told.push((*capture, outcome.to_owned(), event.and_then(|event| event.alert.clone())));
            }
            let shapes = if version == Version::Tls12 { refuser.tls12 } else { refuser.tls13 };
            let expected = match asked {
                Asked::Nothing => shapes[0],
                Asked::Unknown => shapes[1],
                Asked::Right => Served,
            };
            let seen = Shape::of(connection);
            answers.push(Answer { version, asked, expected, seen, told, wire: connection.to_string() });
        }
        all.push(Refusals { refuser: *refuser, version, answers });
    }
    Ok(all)
}

/// Sends one hello by OpenSSL, and a request if it is answered.
fn send(lab: &Lab, port: u16, version: Version, asked: Asked) -> Result<()> {
    let version = if version == Version::Tls12 { "-tls1_2" } else { "-tls1_3" };
    let name = asked.name().map_or("-noservername".to_owned(), |name| format!("-servername {name}"));
    let script = format!(
        "{{ printf 'GET / HTTP/1.0\\r\\nHost: {SERVER_NAME}\\r\\n\\r\\n'; sleep 0.2; }} | \
         timeout 5 openssl s_client -connect {GATEWAY_V4}:{port} {name} {version} -ign_eof"
    );
    run(lab.client.command("sh").args(["-c", &script]), CLIENT_TIMEOUT)?;
    Ok(())
}

/// A gateway that runs until it is dropped.
struct Running {
    _programs: Vec<Service>,
    _rustls: Option<Stop>,
}

fn start(lab: &Lab, places: &Places, refuser: &Refuser, port: u16) -> Result<Running> {
    match refuser.make {
        Make::Programs(setup) => {
            let key = (refuser.name, refuser.release);
            let programs = gateways::start(lab, places, key, &setup(port), &[port])?;
            Ok(Running { _programs: programs, _rustls: None })
        }
        Make::Rustls => {
            let stop = Stop::serve(&lab.gateway, lab.directory(), port)?;
            Ok(Running { _programs: Vec::new(), _rustls: Some(stop) })
        }
    }
}

/// Ends the threads of the gateway with rustls.
struct Stop {
    listener: TcpListener,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Stop {
    fn serve(namespace: &Namespace, files: &Path, port: u16) -> Result<Self> {
        let mut resolver = ResolvesServerCertUsingSni::new();
        let chain = vec![CertificateDer::from_pem_file(files.join("gateway.crt")).context("gateway.crt")?];
        let key = PrivateKeyDer::from_pem_file(files.join("gateway.key")).context("gateway.key")?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        resolver.add(SERVER_NAME, CertifiedKey::from_der(chain, key, &provider)?)?;
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let configuration = Arc::new(builder.with_no_client_auth().with_cert_resolver(Arc::new(resolver)));
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let listener =
            namespace.run_in_thread(|| TcpListener::bind(address))?.context("the port of rustls")?;
        let accepting = listener.try_clone()?;
        let thread = std::thread::spawn(move || {
            // An error: the listener was shut down.
            while let Ok((socket, _)) = accepting.accept() {
                answer(&configuration, socket).ok();
            }
        });
        Ok(Self { listener, thread: Some(thread) })
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        nix::sys::socket::shutdown(
            std::os::fd::AsRawFd::as_raw_fd(&self.listener),
            nix::sys::socket::Shutdown::Both,
        )
        .ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn answer(configuration: &Arc<ServerConfig>, mut socket: TcpStream) -> Result<()> {
    use std::io::{Read as _, Write as _};
    socket.set_read_timeout(Some(CLIENT_TIMEOUT))?;
    let mut connection = ServerConnection::new(Arc::clone(configuration))?;
    while connection.is_handshaking() {
        if connection.complete_io(&mut socket).is_err() {
            // complete_io has sent the alert.
            bail!("refused");
        }
    }
    let mut stream = rustls::Stream::new(&mut connection, &mut socket);
    let mut request = [0; 1024];
    let _read = stream.read(&mut request)?;
    stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello\n")?;
    stream.conn.send_close_notify();
    stream.flush()?;
    Ok(())
}

/// The table for people, and what is not as listed.
pub fn render(all: &[Refusals]) -> String {
    let mut text = String::from("| gateway | configuration | no SNI | unknown name |\n|---|---|---|---|\n");
    for refusals in all {
        let cell = |asked: Asked| {
            let mut of_asked = refusals.answers.iter().filter(|answer| answer.asked == asked);
            let seen = |answer: Option<&Answer>| {
                answer.and_then(|answer| answer.seen).map_or("another".to_owned(), |shape| shape.to_string())
            };
            let (tls12, tls13) = (seen(of_asked.next()), seen(of_asked.next()));
            if tls12 == tls13 { tls12 } else { format!("TLS 1.2: {tls12}; TLS 1.3: {tls13}") }
        };
        let Refuser { name, configuration, .. } = refusals.refuser;
        let (nothing, unknown) = (cell(Asked::Nothing), cell(Asked::Unknown));
        writeln!(text, "| {name} {} | {configuration} | {nothing} | {unknown} |", refusals.version)
            .expect("a string");
    }
    for refusals in all.iter().filter(|refusals| !refusals.is_right()) {
        for answer in refusals.answers.iter().filter(|answer| !answer.is_right()) {
            let Refuser { name, configuration, .. } = refusals.refuser;
            let (version, asked) = (answer.version.dotted(), answer.asked.word());
            let seen = answer.seen.map_or("another".to_owned(), |shape| shape.to_string());
            let told: Vec<String> = answer
                .told
                .iter()
                .map(|(capture, outcome, alert)| {
                    format!("{capture}: {outcome} {}", alert.as_deref().unwrap_or(""))
                })
                .collect();
            writeln!(
                text,
                "\n{name}, {configuration}, TLS {version}, {asked}: listed {}, seen {seen}; sni-probe: {}\n    {}",
                answer.expected,
                told.join(", "),
                answer.wire
            )
            .expect("a string");
        }
    }
    let right = all.iter().filter(|refusals| refusals.is_right()).count();
    writeln!(text, "\n{} gateways: {right} as listed and recognised", all.len()).expect("a string");
    text
}

fn program(file: &'static str, configuration: String, script: &str) -> Setup {
    Setup { files: vec![(file, configuration)], scripts: vec![script.to_owned()], ..Setup::default() }
}

/// A gateway that serves everybody, to which others forward.
fn backend(port: u16) -> String {
    format!(
        "exec openssl s_server -accept {} -cert /mnt/gateway.crt -key /mnt/gateway.key -quiet -www",
        port + 1
    )
}

fn envoy(port: u16) -> Setup {
    let mut chain = crate::envoy::http_chain(&json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "tls_certificates": [{
                "certificate_chain": { "filename": "/mnt/gateway.crt" },
                "private_key": { "filename": "/mnt/gateway.key" },
            }],
        },
    }));
    chain["filter_chain_match"] = json!({ "server_names": [SERVER_NAME] });
    let inspector = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";
    let listener = json!({
        "name": "gateway",
        "address": { "socket_address": { "address": "0.0.0.0", "port_value": port } },
        "listener_filters": [
            { "name": "envoy.filters.listener.tls_inspector", "typed_config": { "@type": inspector } },
        ],
        "filter_chains": [chain],
    });
    let configuration = json!({ "static_resources": { "listeners": [listener] } });
    program(
        "envoy.json",
        configuration.to_string(),
        "exec $ENVOY --config-path /mnt/envoy.json --concurrency 1 --disable-hot-restart --log-level warning",
    )
}

fn nginx(http: &str) -> Setup {
    program(
        "nginx.conf",
        format!(
            "daemon off;\nuser root;\npid /mnt/nginx.pid;\nerror_log /mnt/nginx.log info;\nevents {{}}\nhttp {{
  access_log off;\n  ssl_protocols TLSv1.2 TLSv1.3;\n  client_body_temp_path /mnt/nginx-temporary;\n{http}}}\n"
        ),
        "exec nginx -c /mnt/nginx.conf -e /mnt/nginx.log",
    )
}

fn nginx_rejecting(port: u16) -> Setup {
    nginx(&format!(
        "  server {{ listen {port} ssl default_server; ssl_reject_handshake on; }}
  server {{
    listen {port} ssl;\n    server_name {SERVER_NAME};\n    ssl_certificate /mnt/gateway.crt;
    ssl_certificate_key /mnt/gateway.key;\n    return 200 \"hello\\n\";\n  }}\n"
    ))
}

fn nginx_by_name(port: u16) -> Setup {
    let mut setup = nginx(&format!(
        "  server {{
    listen {port} ssl;\n    ssl_certificate /mnt/by-name/$ssl_server_name.crt;
    ssl_certificate_key /mnt/by-name/$ssl_server_name.key;\n    return 200 \"hello\\n\";\n  }}\n"
    ));
    setup.prepare = "mkdir -p /mnt/by-name && cd /mnt/by-name
        cp ../gateway.crt api-test.mydomain.com.crt && cp ../gateway.key api-test.mydomain.com.key";
    setup
}

fn nginx_stream(port: u16) -> Setup {
    let next = port + 1;
    let text = format!(
        "load_module modules/ngx_stream_module.so;\ndaemon off;\nuser root;\npid /mnt/nginx.pid;
error_log /mnt/nginx.log info;\nevents {{}}\nstream {{
  map $ssl_preread_server_name $backend {{ {SERVER_NAME} 127.0.0.1:{next}; }}
  server {{ listen {port}; ssl_preread on; proxy_pass $backend; }}\n}}\n"
    );
    let mut setup =
        program("nginx.conf", text, "exec nginx -p /usr/share/nginx -c /mnt/nginx.conf -e /mnt/nginx.log");
    setup.scripts.push(backend(port));
    setup
}

fn haproxy(text: &str) -> Setup {
    let defaults = "defaults\n  timeout client 15s\n  timeout connect 5s\n  timeout server 15s\n";
    program("haproxy.cfg", format!("{defaults}{text}"), "exec haproxy -db -f /mnt/haproxy.cfg")
}

fn haproxy_strict(port: u16) -> Setup {
    haproxy(&format!(
        "frontend gateway\n  mode http\n  bind :{port} ssl crt /mnt/gateway.pem strict-sni
  http-request return status 200 content-type text/plain string hello\n"
    ))
}

fn haproxy_tcp(port: u16) -> Setup {
    let mut setup = haproxy(&format!(
        "frontend gateway\n  mode tcp\n  bind :{port}\n  tcp-request inspect-delay 5s
  tcp-request content accept if {{ req.ssl_hello_type 1 }}
  use_backend served if {{ req.ssl_sni -i {SERVER_NAME} }}\nbackend served\n  mode tcp\n  server one 127.0.0.1:{}\n",
        port + 1
    ));
    setup.scripts.push(backend(port));
    setup
}

fn haproxy_reject(port: u16) -> Setup {
    let mut setup = haproxy(&format!(
        "frontend gateway\n  mode tcp\n  bind :{port}\n  tcp-request inspect-delay 5s
  tcp-request content reject if {{ req.ssl_hello_type 1 }} !{{ req.ssl_sni -i {SERVER_NAME} }}
  tcp-request content accept if {{ req.ssl_hello_type 1 }}\n  default_backend served
backend served\n  mode tcp\n  server one 127.0.0.1:{}\n",
        port + 1
    ));
    setup.scripts.push(backend(port));
    setup
}

fn caddy(port: u16) -> Setup {
    program(
        "Caddyfile",
        format!(
            "{{\n  admin off\n  auto_https off\n}}\nhttps://{SERVER_NAME}:{port} {{
  tls /mnt/gateway.crt /mnt/gateway.key\n  respond hello\n}}\n"
        ),
        "exec caddy run --adapter caddyfile --config /mnt/Caddyfile",
    )
}

fn go(port: u16, way: &str) -> Setup {
    Setup {
        prepare: "export GOCACHE=/var/cache/go GO111MODULE=off GOTOOLCHAIN=local CGO_ENABLED=0
            [ -x /mnt/refuse-$RELEASE ] || go build -o /mnt/refuse-$RELEASE /mnt/refuse.go",
        scripts: vec![format!("exec /mnt/refuse-$RELEASE /mnt {SERVER_NAME} {port} {way}")],
        ..Setup::default()
    }
}

fn go_nil(port: u16) -> Setup {
    go(port, "nil")
}

fn go_error(port: u16) -> Setup {
    go(port, "error")
}

fn go_configuration(port: u16) -> Setup {
    go(port, "configuration")
}

fn node(port: u16, way: &str) -> Setup {
    let script = format!("exec node /mnt/refuse.js /mnt {SERVER_NAME} {port} {way}");
    Setup { scripts: vec![script], ..Setup::default() }
}

fn node_error(port: u16) -> Setup {
    node(port, "error")
}

fn node_null(port: u16) -> Setup {
    node(port, "null")
}

fn erlang(port: u16) -> Setup {
    Setup {
        prepare: "mkdir -p /mnt/erlang-$RELEASE && cd /mnt/erlang-$RELEASE && erlc ../refuse.erl",
        scripts: vec![format!(
            "exec erl -noshell -pa /mnt/erlang-$RELEASE -run refuse main {SERVER_NAME} {port}"
        )],
        ..Setup::default()
    }
}

fn hitch(port: u16) -> Setup {
    let mut setup = program(
        "hitch.conf",
        format!(
            "frontend = \"[*]:{port}\"\nbackend = \"[127.0.0.1]:{}\"\npem-file = \"/mnt/gateway.pem\"
sni-nomatch-abort = on\nuser = \"nobody\"\nworkers = 1\n",
            port + 1
        ),
        "exec hitch --config=/mnt/hitch.conf",
    );
    // It forwards what it has decrypted.
    setup
        .scripts
        .push(format!("exec python3 -m http.server {} --bind 127.0.0.1 --directory /mnt/by-name", port + 1));
    setup.prepare = "mkdir -p /mnt/by-name";
    setup
}

fn s_server(port: u16) -> Setup {
    let script = format!(
        "exec openssl s_server -accept {port} -cert /mnt/gateway.crt -key /mnt/gateway.key -quiet -www \
         -servername {SERVER_NAME} -servername_fatal -cert2 /mnt/gateway.crt -key2 /mnt/gateway.key"
    );
    Setup { scripts: vec![script], ..Setup::default() }
}

fn gnutls_serv(port: u16) -> Setup {
    let script = format!(
        "exec gnutls-serv --port {port} --http --quiet --x509certfile /mnt/gateway.crt --x509keyfile /mnt/gateway.key \
         --sni-hostname {SERVER_NAME} --sni-hostname-fatal"
    );
    Setup { scripts: vec![script], ..Setup::default() }
}

fn java(port: u16, selection: &str) -> Setup {
    let script = format!(
        "exec java -XX:TieredStopAtLevel=1 -Xmx128m -cp /mnt/java-serve-$RELEASE Serve /mnt \
         {port}:gateway:TLSv1.2+TLSv1.3:none:{selection}"
    );
    Setup { prepare: JAVA_PREPARE, scripts: vec![script], ..Setup::default() }
}

fn java_matcher(port: u16) -> Setup {
    java(port, "matcher")
}

fn java_keys(port: u16) -> Setup {
    java(port, "keys")
}

fn apache(port: u16) -> Setup {
    let host = |name: &str| {
        format!(
            "<VirtualHost *:{port}>\n  ServerName {name}\n  SSLEngine on\n  SSLCertificateFile /mnt/gateway.crt
  SSLCertificateKeyFile /mnt/gateway.key\n</VirtualHost>\n"
        )
    };
    let modules = ["mpm_event", "authz_core", "ssl", "socache_shmcb"];
    let lines = modules
        .iter()
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
    let load = lines.collect::<Vec<_>>().concat();
    program(
        "apache.conf",
        format!(
            "{load}ServerRoot /mnt\nServerName localhost\nPidFile /mnt/apache.pid\nErrorLog /mnt/apache.log
Listen {port}\nDocumentRoot /mnt/by-name\nSSLStrictSNIVHostCheck on\nDefaultRuntimeDir /mnt\nUser nobody\nGroup nogroup
{}{}",
            host("default.mydomain.com"),
            host(SERVER_NAME)
        ),
        "mkdir -p /mnt/by-name; exec apache2 -f /mnt/apache.conf -DFOREGROUND",
    )
}

fn traffic_server(port: u16) -> Setup {
    let records = format!(
        "CONFIG proxy.config.http.server_ports STRING {port}:ssl\nCONFIG proxy.config.ssl.server.cert.path STRING /mnt
CONFIG proxy.config.ssl.server.private_key.path STRING /mnt\nCONFIG proxy.config.admin.user_id STRING trafficserver
CONFIG proxy.config.ssl.cert.load_elevated INT 1
CONFIG proxy.config.url_remap.remap_required INT 1\nCONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 1\n"
    );
    Setup {
        files: vec![
            ("records.config", records),
            ("ssl_multicert.config", "ssl_cert_name=gateway.crt ssl_key_name=gateway.key\n".to_owned()),
        ],
        // The mounts are those of this process only.
        scripts: vec![
            "mkdir -p /run/trafficserver; mount --bind /mnt/records.config /etc/trafficserver/records.config
            mount --bind /mnt/ssl_multicert.config /etc/trafficserver/ssl_multicert.config; exec traffic_server"
                .to_owned(),
        ],
        ..Setup::default()
    }
}

fn sniproxy(port: u16) -> Setup {
    let mut setup = program(
        "sniproxy.conf",
        format!(
            "user root\npidfile /mnt/sniproxy.pid\nlistener 0.0.0.0 {port} {{\n  proto tls\n}}
table {{\n  {SERVER_NAME} 127.0.0.1:{}\n}}\n",
            port + 1
        ),
        "exec sniproxy -f -c /mnt/sniproxy.conf",
    );
    setup.scripts.push(backend(port));
    setup
}

fn stunnel(port: u16) -> Setup {
    let next = port + 1;
    let mut setup = program(
        "stunnel.conf",
        format!(
            "foreground = yes\npid =\n[gateway]\naccept = {port}\nconnect = 127.0.0.1:{next}\ncert = /mnt/gateway.pem
[named]\nsni = gateway:{SERVER_NAME}\nconnect = 127.0.0.1:{next}\ncert = /mnt/gateway.pem\n"
        ),
        "exec stunnel /mnt/stunnel.conf",
    );
    setup.prepare = "mkdir -p /mnt/by-name";
    setup
        .scripts
        .push(format!("exec python3 -m http.server {next} --bind 127.0.0.1 --directory /mnt/by-name"));
    setup
}
