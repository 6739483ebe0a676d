//! Combinations of real clients and real gateways, and what sni-probe says of each.
//!
//! What became of a handshake is what the client itself reports. Each combination has client ports of its own, by which
//! its events are found. Two daemons watch the same packets, one by TC programs and one by packet sockets; a third reader
//! ([`wire`]) shares no code with them, and says what was sent.
//!
//! `cargo xtask gateways` runs all combinations, a system test a sample of them.

pub mod authority;
pub mod clients;
pub mod gateways;
pub mod refusals;
pub mod report;
mod rustls_client;
pub mod wire;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lab_interface::GATEWAYS_VARIABLE;

use crate::netns::Lab;
use crate::probe::{self, Event, Probe};
use crate::process::{Service, run, wait_until};
use crate::software::place::Place;
use crate::{GATEWAY_INTERFACE, GATEWAY_V4, SERVER_NAME};

use authority::Leaf;
use clients::{Call, Client, Report};
use gateways::{Gateway, Listener};
use report::{Judgement, Trial};
use wire::Connection;

/// How long a client may take; it is ended then.
const CLIENT_SECONDS: &str = "15";
/// More than that, and than making a client ready takes.
const TIMEOUT: Duration = Duration::from_mins(5);
/// How long the last event may take after the last client: more than the daemon's time limit for a handshake.
const EVENT_DEADLINE: Duration = Duration::from_secs(40);
/// The first port of the gateways, and how many each has.
const FIRST_GATEWAY_PORT: u16 = 4_000;
const PORTS_PER_GATEWAY: u16 = 10;
/// The first port of the clients, and how many each combination has. Some clients connect several times.
const FIRST_CLIENT_PORT: u16 = 20_000;
const PORTS_PER_COMBINATION: u16 = 16;

/// Where software comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// This machine.
    Machine,
    /// Debian 12, in a directory of its own.
    Bookworm,
    /// Debian unstable, in a directory of its own.
    Sid,
}

impl Release {
    const fn word(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Bookworm => "bookworm",
            Self::Sid => "sid",
        }
    }
}

/// The places that are there.
#[derive(Debug)]
pub struct Places {
    machine: Place,
    bookworm: Option<Place>,
    sid: Option<Place>,
}

impl Places {
    /// Finds them: the variable says where the releases are.
    ///
    /// # Errors
    /// When `/etc/os-release` cannot be read.
    pub fn find() -> Result<Self> {
        let directory = std::env::var_os(GATEWAYS_VARIABLE).map(PathBuf::from);
        let below = |release: Release| -> Result<Option<Place>> {
            let root =
                directory.as_ref().map(|directory| directory.join(format!("debian-{}", release.word())));
            root.filter(|root| root.is_dir()).map(|root| Place::below(&root, None)).transpose()
        };
        Ok(Self {
            machine: Place::machine(None)?,
            bookworm: below(Release::Bookworm)?,
            sid: below(Release::Sid)?,
        })
    }

    /// One of them, if it is there.
    pub fn get(&self, release: Release) -> Option<&Place> {
        match release {
            Release::Machine => Some(&self.machine),
            Release::Bookworm => self.bookworm.as_ref(),
            Release::Sid => self.sid.as_ref(),
        }
    }
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl Version {
    const ALL: [Self; 2] = [Self::Tls12, Self::Tls13];

    const fn dotted(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

/// What is right or wrong with a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Situation {
    /// All is in order.
    Served,
    /// The session of a handshake before.
    Resumption,
    /// Data with the hello of a resumption (0-RTT).
    EarlyData,
    /// The client's certificate is in order.
    CertificateRight,
    /// The client has no certificate.
    CertificateMissing,
    /// The gateway does not trust the client's certificate.
    CertificateWrong,
    /// The client does not trust the gateway's certificate.
    Distrusted,
    /// The gateway's certificate is for another name.
    WrongName,
    /// The gateway's certificate has ended.
    Expired,
}

impl Situation {
    const ALL: [Self; 9] = [
        Self::Served,
        Self::Resumption,
        Self::EarlyData,
        Self::CertificateRight,
        Self::CertificateMissing,
        Self::CertificateWrong,
        Self::Distrusted,
        Self::WrongName,
        Self::Expired,
    ];

    /// Its name in tables and filters.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Resumption => "resumption",
            Self::EarlyData => "early-data",
            Self::CertificateRight => "certificate-right",
            Self::CertificateMissing => "certificate-missing",
            Self::CertificateWrong => "certificate-wrong",
            Self::Distrusted => "distrusted",
            Self::WrongName => "wrong-name",
            Self::Expired => "expired",
        }
    }

    const fn leaf(self) -> Leaf {
        match self {
            Self::Distrusted => Leaf::Distrusted,
            Self::WrongName => Leaf::WrongName,
            Self::Expired => Leaf::Expired,
            _ => Leaf::Gateway,
        }
    }

    const fn asks(self) -> bool {
        matches!(self, Self::CertificateRight | Self::CertificateMissing | Self::CertificateWrong)
    }

    const fn client_leaf(self) -> Option<Leaf> {
        match self {
            Self::CertificateRight => Some(Leaf::Client),
            Self::CertificateWrong => Some(Leaf::Stranger),
            _ => None,
        }
    }

    const fn times(self) -> u32 {
        if matches!(self, Self::Resumption | Self::EarlyData) { 2 } else { 1 }
    }
}

/// A client, a gateway and a situation.
#[derive(Debug, Clone, Copy)]
pub struct Combination {
    /// The client.
    pub client: Client,
    /// The gateway.
    pub gateway: Gateway,
    /// The version of TLS.
    pub version: Version,
    /// The situation.
    pub situation: Situation,
}

impl Combination {
    /// `nginx, curl, TLS 1.3, distrusted`, with releases that are not Debian 12.
    pub fn name(&self) -> String {
        let of = |name: &str, release: Release| match release {
            Release::Sid => format!("{name} (sid)"),
            Release::Bookworm | Release::Machine => name.to_owned(),
        };
        let (gateway, client) =
            (of(self.gateway.name, self.gateway.release), of(self.client.name, self.client.release));
        let options = if self.client.options.is_empty() { "" } else { " " };
        let client = format!("{client}{options}{}", self.client.options);
        format!("{gateway}, {client}, TLS {}, {}", self.version.dotted(), self.situation.word())
    }

    fn is_possible(&self) -> bool {
        let takes = self.situation != Situation::EarlyData
            || (self.gateway.takes_early_data && self.version == Version::Tls13);
        takes && self.client.can(self.situation)
    }
}

/// All combinations of these clients and gateways that are possible.
pub fn product(clients: &[Client], gateways: &[Gateway]) -> Vec<Combination> {
    let pairs = gateways.iter().flat_map(|gateway| clients.iter().map(move |client| (client, gateway)));
    let with_versions = pairs.flat_map(|pair| Version::ALL.map(|version| (pair, version)));
    let all = with_versions.flat_map(|((client, gateway), version)| {
        Situation::ALL.map(|situation| Combination { client: *client, gateway: *gateway, version, situation })
    });
    all.filter(Combination::is_possible).collect()
}

/// The combinations of `cargo xtask gateways`: every client of a list with every gateway.
pub fn all() -> Vec<Combination> {
    use clients::{CURL_OPENSSL, GNUTLS, GO, JAVA, NODE, OPENSSL, RUSTLS};
    let clients = [OPENSSL, clients::of(Release::Sid, OPENSSL), GNUTLS, GO, RUSTLS, JAVA, NODE, CURL_OPENSSL];
    product(&clients, &GATEWAYS)
}

/// Newer releases of clients and gateways, and clients that are not in [`all`].
pub fn newer() -> Vec<Combination> {
    use clients::{CURL_OPENSSL, GNUTLS, GO, JAVA, JAVA_HTTP_CLIENT, NODE, OPENSSL, PYTHON_SSL, WGET_GNUTLS};
    let clients = [JAVA_HTTP_CLIENT, PYTHON_SSL, WGET_GNUTLS];
    let sid = |gateway: Gateway| gateways::of(Release::Sid, gateway);
    let gateways =
        GATEWAYS.map(|gateway| if gateway.release == Release::Machine { gateway } else { sid(gateway) });
    let newer = [CURL_OPENSSL, GNUTLS, GO, JAVA, NODE, OPENSSL, WGET_GNUTLS];
    let mut combinations = product(&clients, &GATEWAYS);
    combinations.extend(product(&newer.map(|client| clients::of(Release::Sid, client)), &gateways));
    combinations
}

/// Options that change the lengths or the number of records.
pub fn unusual() -> Vec<Combination> {
    use Version::{Tls12, Tls13};
    const ANY: &[Gateway] = &[gateways::ENVOY, gateways::OPENSSL_ALL_CIPHERS];
    const OPENSSL: &[Gateway] = &[gateways::OPENSSL_ALL_CIPHERS];
    const PADDING: &[Gateway] = &[gateways::OPENSSL_PADDING];
    let cases: [(&str, &[Gateway], &[Version]); 11] = [
        ("", PADDING, &[Tls13]),
        ("-record_padding 64", ANY, &[Tls13]),
        ("-max_send_frag 512", ANY, &[Tls12, Tls13]),
        ("-no_middlebox", ANY, &[Tls13]),
        // A HelloRetryRequest of Envoy.
        ("-groups P-521:P-256", ANY, &[Tls13]),
        ("-ciphersuites TLS_AES_128_GCM_SHA256", ANY, &[Tls13]),
        ("-ciphersuites TLS_CHACHA20_POLY1305_SHA256", ANY, &[Tls13]),
        ("-ciphersuites TLS_AES_128_CCM_8_SHA256", OPENSSL, &[Tls13]),
        ("-cipher ECDHE-ECDSA-CHACHA20-POLY1305", ANY, &[Tls12]),
        ("-cipher ECDHE-ECDSA-AES128-SHA", OPENSSL, &[Tls12]),
        ("-cipher ECDHE-ECDSA-AES256-SHA384 -no_etm", OPENSSL, &[Tls12]),
    ];
    let combinations = cases.into_iter().flat_map(|(options, gateways, versions)| {
        let all = product(&[clients::openssl_with(options)], gateways);
        all.into_iter().filter(|combination| versions.contains(&combination.version))
    });
    combinations.collect()
}

/// The gateways of Debian 12, and Envoy.
const GATEWAYS: [Gateway; 7] = [
    gateways::ENVOY,
    gateways::NGINX,
    gateways::HAPROXY,
    gateways::CADDY,
    gateways::JAVA,
    gateways::NODE,
    gateways::OPENSSL,
];

/// Combinations of programs that setup installs on the machine: each situation with each client and with each gateway,
/// not each with each.
pub fn sample() -> Vec<Combination> {
    let on_machine = |client: Client| clients::of(Release::Machine, client);
    let clients = [clients::OPENSSL, clients::CURL_OPENSSL, clients::RUSTLS].map(on_machine);
    let gateways = [gateways::ENVOY, gateways::NGINX, gateways::HAPROXY, gateways::OPENSSL];
    let gateways = gateways.map(|gateway| gateways::of(Release::Machine, gateway));
    let all = product(&clients, &gateways).into_iter();
    let number = |combination: &Combination| {
        let client = clients.iter().position(|client| client.name == combination.client.name);
        let gateway = gateways.iter().position(|gateway| gateway.name == combination.gateway.name);
        let situation = Situation::ALL.iter().position(|situation| *situation == combination.situation);
        let sum = client.unwrap_or(0) + gateway.unwrap_or(0) + situation.unwrap_or(0);
        sum + usize::from(combination.version == Version::Tls13)
    };
    // A seventh of them, each time another client with another gateway.
    all.filter(|combination| {
        number(combination) % 7 == 0
            || (combination.situation == Situation::EarlyData && combination.gateway.name == "HAProxy")
    })
    .collect()
}

/// A way to see packets: the value of `--capture`, and the daemon's port.
const CAPTURES: [(&str, u16); 2] = [("tc", probe::HTTP_PORT), ("af-packet", probe::HTTP_PORT + 1)];

/// Runs combinations, and gives what was seen of each.
///
/// `progress` is called for each gateway.
///
/// # Errors
/// When a gateway does not start, a client hangs, or a daemon ends.
pub fn run_all(combinations: &[Combination], progress: impl Fn(&str)) -> Result<Vec<Trial>> {
    let lab = Lab::new()?;
    let places = Places::find()?;
    write_files(lab.directory())?;
    let mut batches: Vec<(Gateway, Vec<Combination>)> = Vec::new();
    for combination in combinations {
        let key = |gateway: &Gateway| (gateway.name, gateway.release);
        match batches.iter_mut().find(|(gateway, _)| key(gateway) == key(&combination.gateway)) {
            Some((_, batch)) => batch.push(*combination),
            None => batches.push((combination.gateway, vec![*combination])),
        }
    }
    let ports: Vec<u16> =
        batches.iter().zip(0..).flat_map(|(_, number)| listeners(number)).map(|l| l.port).collect();
    let daemons = start_daemons(&lab, &ports)?;
    let mut versions = Versions::default();
    let mut trials = Vec::new();
    let mut next_port = FIRST_CLIENT_PORT;
    for ((gateway, batch), number) in batches.iter().zip(0..) {
        let gateway_version = versions.get(&lab, &places, gateway.release, gateway.name, gateway.version)?;
        progress(&format!("{} {gateway_version}: {} combinations", gateway.name, batch.len()));
        let packets = lab.path(&format!("packets-{number}.pcap"));
        let mut tcpdump = start_tcpdump(&lab, &packets)?;
        let ports: Vec<u16> = listeners(number).iter().map(|listener| listener.port).collect();
        let setup = (gateway.setup)(&listeners(number));
        let services = gateways::start(&lab, &places, (gateway.name, gateway.release), &setup, &ports)?;
        let mut of_gateway = Vec::new();
        for combination in batch {
            let client = &combination.client;
            let client_version = versions.get(&lab, &places, client.release, client.name, client.version)?;
            let ports = next_port..=next_port + (PORTS_PER_COMBINATION - 1);
            next_port = next_port.checked_add(PORTS_PER_COMBINATION).context("too many combinations")?;
            let listener = listener_of(number, combination)?;
            let report = run_client(&lab, &places, &mut versions, combination, listener.port, &ports)?;
            of_gateway.push((combination, client_version, ports, report));
        }
        drop(services);
        let connections = settle(&daemons, &packets, &ports)?;
        tcpdump.stop().ok();
        for (combination, client_version, ports, report) in of_gateway {
            let versions = (gateway_version.clone(), client_version);
            trials.push(judge(&daemons, *combination, versions, &ports, report, &connections)?);
        }
    }
    Ok(trials)
}

/// Versions of programs, by place and name; and the clients that are ready.
#[derive(Debug, Default)]
struct Versions {
    known: BTreeMap<(&'static str, String), String>,
    prepared: Vec<(&'static str, &'static str)>,
}

impl Versions {
    fn get(
        &mut self,
        lab: &Lab,
        places: &Places,
        release: Release,
        name: &str,
        script: &str,
    ) -> Result<String> {
        let key = (release.word(), name.to_owned());
        if let Some(version) = self.known.get(&key) {
            return Ok(version.clone());
        }
        let place = places.get(release);
        let place = place
            .with_context(|| format!("Debian {} is not there; run: cargo xtask gateways", release.word()))?;
        let version = if script.is_empty() {
            String::new()
        } else {
            let envoy = crate::envoy::binary()?.display().to_string();
            let mut command =
                place.command_in(&lab.client, lab, script, &[("ENVOY", &*envoy)], Some(CLIENT_SECONDS));
            run(&mut command, TIMEOUT)?.stdout.trim().to_owned()
        };
        self.known.insert(key, version.clone());
        Ok(version)
    }
}

fn write_files(directory: &Path) -> Result<()> {
    authority::create(directory)?;
    let hosts = format!("127.0.0.1 localhost\n{GATEWAY_V4} {SERVER_NAME}\n");
    for (name, text) in [
        ("hosts", &*hosts),
        ("get.go", include_str!("programs/get.go")),
        ("get.js", include_str!("programs/get.js")),
        ("Get.java", include_str!("programs/Get.java")),
        ("Serve.java", include_str!("programs/Serve.java")),
        ("serve.js", include_str!("programs/serve.js")),
        ("refuse.erl", include_str!("programs/refuse.erl")),
        ("refuse.go", include_str!("programs/refuse.go")),
        ("refuse.js", include_str!("programs/refuse.js")),
    ] {
        fs::write(directory.join(name), text).with_context(|| format!("writing {name}"))?;
    }
    Ok(())
}

/// The listeners of a gateway: for each version, one of each certificate, and one that asks for the client's.
fn listeners(number: u16) -> Vec<Listener> {
    let certificates = [
        (Leaf::Gateway, false),
        (Leaf::WrongName, false),
        (Leaf::Expired, false),
        (Leaf::Distrusted, false),
        (Leaf::Gateway, true),
    ];
    let each =
        Version::ALL.into_iter().flat_map(|version| certificates.map(|(leaf, asks)| (version, leaf, asks)));
    let first = FIRST_GATEWAY_PORT + number * PORTS_PER_GATEWAY;
    each.zip(first..).map(|((version, leaf, asks), port)| Listener { port, version, leaf, asks }).collect()
}

fn listener_of(number: u16, combination: &Combination) -> Result<Listener> {
    let (leaf, asks) = (combination.situation.leaf(), combination.situation.asks());
    let mut all = listeners(number).into_iter();
    let is_it = |listener: &Listener| {
        (listener.version, listener.leaf, listener.asks) == (combination.version, leaf, asks)
    };
    all.find(is_it).context("a listener for each situation")
}

fn start_daemons<'lab>(lab: &'lab Lab, ports: &[u16]) -> Result<Vec<(&'static str, Probe<'lab>)>> {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let mut daemons = Vec::new();
    for (capture, http_port) in CAPTURES {
        let mut options = vec!["-i", GATEWAY_INTERFACE, "--orientation", "nic", "--capture", capture];
        options.extend(["--events", "json", "--events-filter", "all", "--events-rate", "0"]);
        options.extend(ports.iter().flat_map(|port| ["-p", port]));
        let command = lab.gateway.command(probe::binary()?);
        let mut daemon = Probe::start_by(lab, command, http_port, &options)?;
        daemon.wait_ready()?;
        daemons.push((capture, daemon));
    }
    Ok(daemons)
}

fn start_tcpdump(lab: &Lab, file: &Path) -> Result<Service> {
    let mut command = lab.gateway.command("tcpdump");
    command.args(["-Z", "root", "-U", "--immediate-mode", "-B", "16384", "-i", GATEWAY_INTERFACE, "-w"]);
    let mut service = Service::start("tcpdump", command.arg(file).arg("tcp"), lab.directory())?;
    let log = lab.path("tcpdump.err");
    service.wait_for("tcpdump to listen", Duration::from_secs(10), || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("listening on"))
    })?;
    Ok(service)
}

/// Gives the next client the ports of a combination.
fn set_client_ports(lab: &Lab, first: u16) -> Result<()> {
    let range = format!("{first} {}", first + (PORTS_PER_COMBINATION - 1));
    let set = || fs::write("/proc/sys/net/ipv4/ip_local_port_range", &range);
    lab.client.run_in_thread(set)?.context("the range of the client's ports")
}

fn run_client(
    lab: &Lab,
    places: &Places,
    versions: &mut Versions,
    combination: &Combination,
    port: u16,
    ports: &RangeInclusive<u16>,
) -> Result<Report> {
    set_client_ports(lab, *ports.start())?;
    let client = &combination.client;
    let certificate = combination.situation.client_leaf().map(Leaf::stem);
    let times = combination.situation.times();
    let finished = match client.call {
        Call::Rustls => {
            let gateway = SocketAddr::new(GATEWAY_V4, port);
            rustls_client::run(&lab.client, lab.directory(), gateway, certificate, times)?
        }
        Call::Script(script) => {
            let place = places.get(client.release).context("the client's place")?;
            let release = [("RELEASE", client.release.word())];
            let key = (client.release.word(), client.name);
            if !client.prepare.is_empty() && !versions.prepared.contains(&key) {
                let mut command = place.command_in(&lab.client, lab, client.prepare, &release, None);
                crate::process::run_ok(&mut command, TIMEOUT)
                    .with_context(|| format!("preparing {}", client.name))?;
                versions.prepared.push(key);
            }
            let (host, port, times) = (GATEWAY_V4.to_string(), port.to_string(), times.to_string());
            let variables = [
                ("HOST", &*host),
                ("PORT", &*port),
                ("NAME", SERVER_NAME),
                ("CERTIFICATE", certificate.unwrap_or_default()),
                ("TIMES", &*times),
                ("SITUATION", combination.situation.word()),
                ("OPTIONS", client.options),
                release[0],
            ];
            let mut command = place.command_in(&lab.client, lab, script, &variables, Some(CLIENT_SECONDS));
            run(&mut command, TIMEOUT).with_context(|| combination.name())?
        }
    };
    Ok(client.report(finished.code, &(finished.stdout + "\n" + &finished.stderr)))
}

/// Waits until both daemons have an event of each hello in the packets, and gives the connections.
fn settle(daemons: &[(&'static str, Probe<'_>)], packets: &Path, ports: &[u16]) -> Result<Vec<Connection>> {
    let mut connections = Vec::new();
    let result = wait_until("an event of each hello", EVENT_DEADLINE, || {
        connections = wire::read(packets, |port| ports.contains(&port))?;
        connections.retain(Connection::has_hello);
        for (_, daemon) in daemons {
            let events = daemon.events()?;
            if !connections.iter().all(|connection| event_of(&events, connection).is_some()) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    });
    // A hello without an event is a finding, which the report has.
    if result.is_err() && crate::interrupt::requested() {
        bail!("interrupted");
    }
    Ok(connections)
}

/// The event of a connection: that of its port, and of several the one that is as many before it.
fn event_of<'a>(events: &'a [Event], connection: &Connection) -> Option<&'a Event> {
    let port = |event: &Event| event.client.parse::<SocketAddr>().ok().map(|address| address.port());
    let mut of_port: Vec<&Event> =
        events.iter().filter(|event| port(event) == Some(connection.port)).collect();
    of_port.sort_by(|one, two| one.time.cmp(&two.time));
    of_port.get(connection.repetition).copied()
}

fn judge(
    daemons: &[(&'static str, Probe<'_>)],
    combination: Combination,
    (gateway_version, client_version): (String, String),
    ports: &RangeInclusive<u16>,
    report: Report,
    connections: &[Connection],
) -> Result<Trial> {
    let mut of_trial: Vec<Connection> =
        connections.iter().filter(|connection| ports.contains(&connection.port)).cloned().collect();
    // What went before is not the combination's.
    if combination.situation.times() > 1 && of_trial.len() > 1 {
        of_trial.drain(..of_trial.len() - 1);
    }
    let expected = report::expected(&combination, &report);
    let mut judgements = Vec::new();
    for (capture, daemon) in daemons {
        let events = daemon.events()?;
        for connection in &of_trial {
            let event = event_of(&events, connection);
            judgements.push((*capture, Judgement::new(expected, event, connection, combination.situation)));
        }
    }
    Ok(Trial {
        combination,
        gateway_version,
        client_version,
        report,
        expected,
        judgements,
        connections: of_trial,
    })
}
