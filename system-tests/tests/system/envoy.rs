//! sni-probe beside a real Envoy: for each kind of client, what sni-probe says of it is exactly what
//! was sent, and agrees with Envoy's own account.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use sni_probe_testkit::hello::{
    ClientHelloBuilder, POST_QUANTUM_BYTES, RECORD_HEADER, TLS_1_0, TLS_1_2, sslv2,
};
use system_tests::clients::{self, Target};
use system_tests::envoy::{Envoy, EnvoyOptions, Stats};
use system_tests::metrics::Metrics;
use system_tests::probe::Probe;
use system_tests::process::{Finished, run};
use system_tests::raw::{End, RawClient, Reply};
use system_tests::{
    CLIENT_INTERFACE, CLIENT_V4, CLIENT_V6, GATEWAY_V4, GATEWAY_V6, Lab, SERVER_NAME, Service, UNKNOWN_NAME,
    wait_until,
};

use crate::expected::{Expected, Hello};

const TIMEOUT: Duration = Duration::from_secs(10);
/// curl's exit code for a connection reset (or closed) in the handshake.
const CURL_SSL_CONNECT_ERROR: i32 = 35;
/// Content types of the gateway's first record.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

const SSL_3_0: u16 = 0x0300;
const TLS_1_1: u16 = 0x0302;

const GATEWAY: SocketAddr = SocketAddr::new(GATEWAY_V4, 443);

/// The usual gateway: one chain, for one name.
fn strict() -> EnvoyOptions {
    EnvoyOptions::default()
}

fn wildcard() -> EnvoyOptions {
    EnvoyOptions { wildcard_chain: true, ..strict() }
}

fn behind_a_proxy() -> EnvoyOptions {
    EnvoyOptions { proxy_protocol: true, ..strict() }
}

/// A gateway that gives a client 1 s for its hello instead of 15.
fn impatient() -> EnvoyOptions {
    EnvoyOptions { listener_filters_timeout: Duration::from_secs(1), ..strict() }
}

/// Envoy's account of so many hellos without SNI that no chain matched.
fn refused_without_sni(count: u64) -> Stats {
    Stats { no_filter_chain_match: count, sni_not_found: count, tls_found: count, ..Stats::default() }
}

/// The same with a name that is not the gateway's.
fn refused_name(count: u64) -> Stats {
    Stats { no_filter_chain_match: count, sni_found: count, tls_found: count, ..Stats::default() }
}

/// Hellos with the gateway's name, and handshakes that ended well.
fn served(count: u64) -> Stats {
    Stats { handshake: count, ..accepted(count) }
}

/// Hellos with the gateway's name from clients that hang up at the `ServerHello`.
fn accepted(count: u64) -> Stats {
    Stats { sni_found: count, tls_found: count, ..Stats::default() }
}

/// Hellos with the gateway's name and handshakes that failed.
fn failed(count: u64) -> Stats {
    Stats { connection_error: count, ..accepted(count) }
}

fn no_tls(count: u64) -> Stats {
    Stats { no_filter_chain_match: count, tls_not_found: count, ..Stats::default() }
}

/// A lab with Envoy and sni-probe running in it.
struct Scene<'lab> {
    lab: &'lab Lab,
    envoy: Envoy<'lab>,
}

impl Scene<'_> {
    /// Sends the segments to the gateway, and gives the client's address and what came first in answer.
    fn exchange(&self, gateway: SocketAddr, segments: &[&[u8]]) -> (SocketAddr, Reply) {
        let mut client = RawClient::connect(&self.lab.client, gateway).unwrap();
        client.send_segments(segments.iter().copied()).unwrap();
        (client.local(), client.read_first(TIMEOUT).unwrap())
    }

    /// Sends segments that the gateway answers with a RST.
    fn reset(&self, segments: &[&[u8]]) -> SocketAddr {
        let (client, reply) = self.exchange(GATEWAY, segments);
        assert_eq!(reply.end, End::Reset);
        client
    }

    /// Sends segments that the gateway answers with a record of this type.
    fn answered(&self, content_type: u8, segments: &[&[u8]]) -> SocketAddr {
        let (client, reply) = self.exchange(GATEWAY, segments);
        assert_eq!(reply.bytes.first(), Some(&content_type), "{reply:?}");
        client
    }
}

/// Runs `act` with Envoy and sni-probe in the lab, and compares what both counted with what `act` says
/// they must have.
fn beside_envoy(options: &EnvoyOptions, act: impl FnOnce(&mut Scene<'_>) -> (Expected, Stats)) {
    let lab = Lab::new().unwrap();
    let envoy = Envoy::start(&lab, options).unwrap();
    let mut probe = Probe::start(&lab, &[]).unwrap();
    let mut scene = Scene { lab: &lab, envoy };
    let (expected, stats) = act(&mut scene);
    check_stats(&scene.envoy, stats);
    expected.check(&mut probe);
}

fn check_stats(envoy: &Envoy<'_>, wanted: Stats) {
    let mut seen = Stats::default();
    let result = wait_until("Envoy's counters", TIMEOUT, || {
        seen = envoy.stats()?;
        Ok((seen == wanted).then_some(()))
    });
    assert_eq!(seen, wanted, "what Envoy counted, and what it must");
    result.unwrap();
}

/// The length of the handshake message in one record.
fn message_bytes(hello: &[u8]) -> usize {
    hello.len() - RECORD_HEADER
}

fn resets_of(hello: Hello) -> (Expected, Stats) {
    (Expected::hellos([hello]), refused_without_sni(1))
}

// Real clients.

/// curl from this port of the client.
fn curl(lab: &Lab, target: Target<'_>, port: u16) -> (SocketAddr, Finished) {
    let finished = clients::curl(lab, target, &["--local-port", &port.to_string()]).unwrap();
    (client_address(target, port), finished)
}

/// `openssl s_client` from this port of the client, and the length of each hello that it sent.
fn openssl(lab: &Lab, target: Target<'_>, port: u16, options: &[&str]) -> (SocketAddr, Vec<usize>, Finished) {
    let client = client_address(target, port);
    let bind = client.to_string();
    let options = [&["-msg", "-bind", &bind], options].concat();
    let finished = clients::openssl(lab, target, &options).unwrap();
    (client, sent_hellos(&finished), finished)
}

fn client_address(target: Target<'_>, port: u16) -> SocketAddr {
    SocketAddr::new(if target.address.is_ipv4() { CLIENT_V4 } else { CLIENT_V6 }, port)
}

/// The lengths in `>>> TLS 1.3, Handshake [length 0139], ClientHello`.
fn sent_hellos(finished: &Finished) -> Vec<usize> {
    let lines =
        finished.stdout.lines().filter(|line| line.starts_with(">>>") && line.ends_with("ClientHello"));
    let lengths = lines.map(|line| {
        let (_, rest) = line.split_once("[length ").unwrap();
        usize::from_str_radix(&rest[..4], 16).unwrap()
    });
    lengths.collect()
}

#[test]
fn clients_without_sni_are_reset() {
    beside_envoy(&strict(), |scene| {
        let mut hellos = Vec::new();
        for (address, port) in [(GATEWAY_V4, 20_001), (GATEWAY_V6, 20_002)] {
            let target = Target::https(address, None);
            let hello = Hello::absent("reset_by_gateway").to(target.address);
            let (client, finished) = curl(scene.lab, target, port);
            assert_eq!(finished.code, CURL_SSL_CONNECT_ERROR);
            hellos.push(hello.clone().from(client));
            let (client, lengths, finished) = openssl(scene.lab, target, port + 100, &[]);
            assert!(!finished.success());
            hellos.push(hello.clone().from(client).bytes(lengths[0]));
            let finished = clients::python(scene.lab, target).unwrap();
            assert!(finished.stderr.contains("ConnectionResetError"), "{}", finished.stderr);
            hellos.push(hello);
        }
        check_access_log(&scene.envoy, &hellos);
        (Expected::hellos(hellos), refused_without_sni(6))
    });
}

/// Envoy's own log has a line for each of these refused connections, from the same clients.
fn check_access_log(envoy: &Envoy<'_>, hellos: &[Hello]) {
    let log = wait_until("the access log", TIMEOUT, || {
        let log = envoy.access_log()?;
        Ok((log.len() == hellos.len()).then_some(log))
    });
    let log = log.unwrap();
    for line in &log {
        assert_eq!(line["upstream_response_flags"], "NR", "{line}");
        assert_eq!(line["status_details"], "filter_chain_not_found", "{line}");
        assert!(line["sni_host"].is_null(), "{line}");
    }
    for client in hellos.iter().filter_map(Hello::client) {
        assert!(log.iter().any(|line| line["remote_address"] == client.to_string()), "{client} in {log:#?}");
    }
}

#[test]
fn clients_without_sni_of_every_tls_version_are_reset() {
    beside_envoy(&strict(), |scene| {
        let target = Target::https(GATEWAY_V4, None);
        let hello = Hello::absent("reset_by_gateway");
        let mut hellos = Vec::new();
        for (version, option, port) in [("1.3", "-tls1_3", 20_001), ("1.2", "-tls1_2", 20_002)] {
            let (client, lengths, _) = openssl(scene.lab, target, port, &[option]);
            hellos.push(hello.clone().from(client).version(version).bytes(lengths[0]));
        }
        clients::openssl_tls10(scene.lab, target).unwrap();
        hellos.push(hello.clone().version("1.0"));
        let bytes = ClientHelloBuilder::new().versions(&[TLS_1_1]).build();
        let client = scene.reset(&[&bytes]);
        hellos.push(hello.from(client).version("1.1").bytes(message_bytes(&bytes)));
        (Expected::hellos(hellos), refused_without_sni(4))
    });
}

#[test]
fn a_client_with_ssl_3_0_only_is_reset() {
    beside_envoy(&strict(), |scene| {
        let hello = ClientHelloBuilder::new().versions(&[SSL_3_0]).build();
        let client = scene.reset(&[&hello]);
        let expected = Hello::absent("reset_by_gateway").from(client).version("ssl3");
        // BoringSSL has no SSL 3.0: Envoy's inspector gives up, and no chain is looked for.
        let stats = Stats { sni_not_found: 1, tls_not_found: 1, ..Stats::default() };
        (Expected::hellos([expected.bytes(message_bytes(&hello))]), stats)
    });
}

#[test]
fn clients_with_the_right_name_are_served_and_with_an_unknown_one_reset() {
    beside_envoy(&strict(), |scene| {
        let mut hellos = Vec::new();
        for (address, port) in [(GATEWAY_V4, 20_001), (GATEWAY_V6, 20_002)] {
            let right = Target::https(address, Some(SERVER_NAME));
            let hello = Hello::present(SERVER_NAME, "server_hello").to(right.address);
            let (client, finished) = curl(scene.lab, right, port);
            assert_eq!(finished.stdout, "hello\n");
            hellos.push(hello.clone().from(client));
            let (client, lengths, finished) = openssl(scene.lab, right, port + 100, &[]);
            assert!(finished.stdout.contains("BEGIN CERTIFICATE"));
            hellos.push(hello.clone().from(client).bytes(lengths[0]));
            assert!(clients::python(scene.lab, right).unwrap().success());
            hellos.push(hello);

            let unknown = Target::https(address, Some(UNKNOWN_NAME));
            let (client, finished) = curl(scene.lab, unknown, port + 200);
            assert_eq!(finished.code, CURL_SSL_CONNECT_ERROR);
            hellos.push(Hello::present(UNKNOWN_NAME, "reset_by_gateway").from(client).to(unknown.address));
        }
        (Expected::hellos(hellos), served(6).plus(&refused_name(2)))
    });
}

#[test]
fn a_name_in_upper_case_is_served() {
    beside_envoy(&strict(), |scene| {
        let hello = ClientHelloBuilder::new().server_name(&SERVER_NAME.to_uppercase()).build();
        let client = scene.answered(HANDSHAKE, &[&hello]);
        let hello = Hello::present(SERVER_NAME, "server_hello").from(client).bytes(message_bytes(&hello));
        (Expected::hellos([hello]), accepted(1))
    });
}

#[test]
fn a_client_that_distrusts_the_certificate_has_got_its_server_hello() {
    beside_envoy(&strict(), |scene| {
        let target = Target::https(GATEWAY_V4, Some(SERVER_NAME));
        let hello = Hello::present(SERVER_NAME, "server_hello");
        let mut hellos = Vec::new();
        // Its alert comes after the ServerHello; with TLS 1.2 it can be read.
        for (version, option, port) in [("1.3", "-tls1_3", 20_001), ("1.2", "-tls1_2", 20_002)] {
            let options = [option, "-verify_return_error"];
            let (client, lengths, finished) = openssl(scene.lab, target, port, &options);
            assert!(!finished.success());
            hellos.push(hello.clone().from(client).version(version).bytes(lengths[0]));
        }
        (Expected::hellos(hellos), failed(2))
    });
}

#[test]
fn a_client_with_tls_1_0_only_gets_an_alert() {
    beside_envoy(&strict(), |scene| {
        let target = Target::https(GATEWAY_V4, Some(SERVER_NAME));
        let finished = clients::openssl_tls10(scene.lab, target).unwrap();
        assert!(finished.stderr.contains("alert protocol version"), "{}", finished.stderr);
        let hello = Hello::present(SERVER_NAME, "alert").version("1.0").alert("protocol_version", "gateway");
        let bytes = ClientHelloBuilder::new().server_name(SERVER_NAME).versions(&[TLS_1_0]).build();
        let client = scene.answered(ALERT, &[&bytes]);
        let crafted = hello.clone().from(client).bytes(message_bytes(&bytes));
        (Expected::hellos([crafted, hello]), failed(2))
    });
}

#[test]
fn a_hello_retry_request_is_no_outcome_and_its_second_hello_no_second_handshake() {
    beside_envoy(&strict(), |scene| {
        let target = Target::https(GATEWAY_V4, Some(SERVER_NAME));
        // Its key share is for the first group, which Envoy does not take.
        let options = ["-groups", "P-521:X25519"];
        let (client, lengths, finished) = openssl(scene.lab, target, 20_001, &options);
        assert_eq!(lengths.len(), 2, "{}", finished.stdout);
        let hello = Hello::present(SERVER_NAME, "server_hello").from(client).bytes(lengths[0]);
        let hello = hello.feature("hello_retry");
        (Expected::hellos([hello]), served(1))
    });
}

// Java.

/// Java's own HTTPS client, as its keytool uses it: connects to `host`, which is in `hosts`, with these
/// system properties. `None` if this machine has no Java.
pub(crate) fn java(lab: &Lab, host: &str, properties: &[&str]) -> Option<Finished> {
    if Command::new("keytool").arg("-help").output().is_err() {
        return None;
    }
    let hosts = lab.path("hosts");
    fs::write(&hosts, format!("{GATEWAY_V4} gateway {SERVER_NAME}\n")).unwrap();
    let mut command = lab.client.command("keytool");
    command.arg(format!("-J-Djdk.net.hosts.file={}", hosts.display()));
    command.args(properties.iter().map(|property| format!("-J-D{property}")));
    command.args(["-printcert", "-sslserver", &format!("{host}:443")]);
    Some(run(&mut command, Duration::from_secs(40)).unwrap())
}

/// Past the test harness, which keeps to itself what a test prints that passes.
fn skip_without_java() {
    let text = b"SKIPPED: this machine has no Java (apt-get install openjdk-17-jre-headless)\n";
    std::io::stderr().write_all(text).unwrap();
}

#[test]
fn java_sends_no_sni_to_an_address_or_a_name_without_a_dot() {
    beside_envoy(&strict(), |scene| {
        let mut expected = Expected::default();
        for (host, hello) in [
            ("10.77.0.1", Hello::absent("reset_by_gateway")),
            ("gateway", Hello::absent("reset_by_gateway")),
            (SERVER_NAME, Hello::present(SERVER_NAME, "server_hello")),
        ] {
            let Some(finished) = java(scene.lab, host, &[]) else {
                skip_without_java();
                return (expected, Stats::default());
            };
            assert_eq!(finished.stdout.contains(SERVER_NAME), host == SERVER_NAME, "{finished:?}");
            expected.hellos.push(hello);
        }
        (expected, refused_without_sni(2).plus(&served(1)))
    });
}

#[test]
fn javas_sslv2_hello_is_reset() {
    beside_envoy(&strict(), |scene| {
        // The format has no room for a name, though Java knows one.
        let properties = ["https.protocols=SSLv2Hello,TLSv1.2"];
        if java(scene.lab, SERVER_NAME, &properties).is_none() {
            skip_without_java();
            return (Expected::default(), Stats::default());
        }
        resets_of(Hello::absent("reset_by_gateway").version("1.2").feature("sslv2"))
    });
}

// Hellos of every form.

#[test]
fn a_hello_in_two_segments() {
    beside_envoy(&strict(), |scene| {
        let hello = ClientHelloBuilder::new().build();
        let client = scene.reset(&[&hello[..100], &hello[100..]]);
        resets_of(Hello::absent("reset_by_gateway").from(client).bytes(message_bytes(&hello)).segments(2))
    });
}

#[test]
fn a_hello_whose_first_segment_has_three_bytes() {
    beside_envoy(&strict(), |scene| {
        let hello = ClientHelloBuilder::new().build();
        let client = scene.reset(&[&hello[..3], &hello[3..]]);
        resets_of(Hello::absent("reset_by_gateway").from(client).bytes(message_bytes(&hello)).segments(2))
    });
}

#[test]
fn a_hello_over_two_records() {
    beside_envoy(&strict(), |scene| {
        let builder = ClientHelloBuilder::new();
        let client = scene.reset(&[&builder.in_records(2)]);
        let bytes = builder.handshake().len();
        resets_of(Hello::absent("reset_by_gateway").from(client).bytes(bytes).records(2))
    });
}

/// A hello with a post-quantum key share, its name behind it.
fn large_hello() -> Vec<u8> {
    let hello = ClientHelloBuilder::new().server_name(SERVER_NAME).server_name_last().post_quantum().build();
    assert_eq!(hello.len(), POST_QUANTUM_BYTES);
    hello
}

#[test]
fn a_large_hello_as_one_packet() {
    beside_envoy(&strict(), |scene| {
        let absent = ClientHelloBuilder::new().post_quantum().build();
        let bytes = message_bytes(&absent);
        let reset = Hello::absent("reset_by_gateway").from(scene.reset(&[&absent]));
        let accepted_hello = Hello::present(SERVER_NAME, "server_hello");
        let accepted_hello = accepted_hello.from(scene.answered(HANDSHAKE, &[&large_hello()]));
        let hellos = [reset, accepted_hello].map(|hello| hello.bytes(bytes).feature("post_quantum"));
        (Expected::hellos(hellos), refused_without_sni(1).plus(&accepted(1)))
    });
}

#[test]
fn a_large_hello_as_two_packets() {
    beside_envoy(&strict(), |scene| {
        scene.lab.set_offloads(false).unwrap();
        let absent = ClientHelloBuilder::new().post_quantum().build();
        let bytes = message_bytes(&absent);
        let reset = Hello::absent("reset_by_gateway").from(scene.reset(&[&absent]));
        let accepted_hello = Hello::present(SERVER_NAME, "server_hello");
        let accepted_hello = accepted_hello.from(scene.answered(HANDSHAKE, &[&large_hello()]));
        let hellos =
            [reset, accepted_hello].map(|hello| hello.bytes(bytes).segments(2).feature("post_quantum"));
        (Expected::hellos(hellos), refused_without_sni(1).plus(&accepted(1)))
    });
}

/// As Envoy's own limit is: 16 KiB with the record's header.
#[test]
fn the_largest_hello_in_the_smallest_packets() {
    beside_envoy(&strict(), |scene| {
        scene.lab.set_offloads(false).unwrap();
        let hello = ClientHelloBuilder::new().padded_to(16_384).build();
        let client = scene.reset(&[&hello]);
        let segments = hello.len().div_ceil(1448);
        let bytes = message_bytes(&hello);
        resets_of(Hello::absent("reset_by_gateway").from(client).bytes(bytes).segments(segments))
    });
}

#[test]
fn a_hello_in_the_format_of_sslv2() {
    beside_envoy(&strict(), |scene| {
        let hello = sslv2();
        let client = scene.reset(&[&hello]);
        let hello = Hello::absent("reset_by_gateway").from(client).bytes(hello.len());
        resets_of(hello.version("1.2").feature("sslv2"))
    });
}

#[test]
fn an_empty_name() {
    beside_envoy(&strict(), |scene| {
        let hello = ClientHelloBuilder::new().empty_server_name().build();
        let client = scene.reset(&[&hello]);
        let hello = Hello::empty("reset_by_gateway").from(client).bytes(message_bytes(&hello));
        // BoringSSL refuses such a hello, and then Envoy takes it for something else.
        (Expected::hellos([hello]), no_tls(1))
    });
}

#[test]
fn names_that_are_no_host_names() {
    beside_envoy(&strict(), |scene| {
        // What wrk and hey send.
        let hellos = ["10.77.0.1", "api-test.mydomain.com:443"].map(|name| {
            let hello = ClientHelloBuilder::new().server_name(name).versions(&[TLS_1_2]).build();
            let client = scene.reset(&[&hello]);
            let expected = Hello::invalid(name, "reset_by_gateway").from(client);
            expected.version("1.2").bytes(message_bytes(&hello))
        });
        (Expected::hellos(hellos), refused_name(2))
    });
}

// What is no hello, or none that becomes whole.

#[test]
fn other_protocols() {
    beside_envoy(&strict(), |scene| {
        scene.reset(&[b"GET / HTTP/1.1\r\nHost: api-test.mydomain.com\r\n\r\n"]);
        scene.reset(&[b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7\r\n"]);
        scene.reset(&[b"EHLO mail.example\r\n"]);
        (Expected { non_tls: vec!["http", "ssh", "other"], ..Expected::default() }, no_tls(3))
    });
}

#[test]
fn silence_is_nothing_and_half_a_hello_is_incomplete() {
    beside_envoy(&impatient(), |scene| {
        let (_, reply) = scene.exchange(GATEWAY, &[]);
        assert_eq!(reply.end, End::Closed);
        let hello = ClientHelloBuilder::new().server_name(SERVER_NAME).build();
        let client = scene.reset(&[&hello[..hello.len() / 2]]);
        let hello = Hello::incomplete("reset", "reset_by_gateway").from(client).bytes(message_bytes(&hello));
        let stats = Stats { downstream_pre_cx_timeout: 2, ..Stats::default() };
        (Expected::hellos([hello]), stats)
    });
}

#[test]
fn too_few_bytes_to_tell_are_unclassified() {
    beside_envoy(&impatient(), |scene| {
        // The beginning of a PROXY header, or of a POST or PUT.
        scene.reset(&[b"P"]);
        let stats = Stats { downstream_pre_cx_timeout: 1, ..Stats::default() };
        (Expected { unclassified: vec!["reset"], ..Expected::default() }, stats)
    });
}

#[test]
fn a_client_that_gives_up_before_its_hello_is_whole() {
    beside_envoy(&strict(), |scene| {
        let hello = ClientHelloBuilder::new().build();
        let half = |end: fn(RawClient<'_>)| {
            let mut client = RawClient::connect(&scene.lab.client, GATEWAY).unwrap();
            client.send_segments([&hello[..50], &hello[50..90]]).unwrap();
            client.wait_acknowledged().unwrap();
            let local = client.local();
            end(client);
            local
        };
        let closed = half(|mut client| {
            client.finish().unwrap();
            client.read_to_end(TIMEOUT).unwrap();
        });
        let reset = half(|client| client.reset().unwrap());
        let hellos = [
            Hello::incomplete("closed", "closed_by_client").from(closed),
            Hello::incomplete("reset", "reset_by_client").from(reset),
        ];
        let hellos = hellos.map(|expected| expected.bytes(message_bytes(&hello)).segments(2));
        (Expected::hellos(hellos), Stats::default())
    });
}

/// Stops a process, and waits until its last thread has stopped.
fn halt(service: &Service) {
    service.signal(Signal::SIGSTOP).unwrap();
    wait_until("the process to stop", TIMEOUT, || {
        let threads = fs::read_dir(format!("/proc/{}/task", service.pid()))?;
        let mut states = threads.flatten().map(|thread| fs::read_to_string(thread.path().join("stat")));
        // pid (name) state …
        let is_stopped = |stat: String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'));
        Ok(states.all(|stat| stat.is_ok_and(is_stopped)).then_some(()))
    })
    .unwrap();
}

#[test]
fn a_client_that_does_not_wait_for_an_answer() {
    let lab = Lab::new().unwrap();
    let mut envoy = Envoy::start(&lab, &strict()).unwrap();
    let mut probe = Probe::start(&lab, &[]).unwrap();
    // The kernel goes on accepting connections and data.
    halt(envoy.service());
    let bytes = ClientHelloBuilder::new().build();
    let [mut closed, reset] = [(); 2].map(|()| {
        let mut client = RawClient::connect(&lab.client, GATEWAY).unwrap();
        client.send(&bytes).unwrap();
        client
    });
    // A client that has closed its side may still be answered, or refused.
    let hellos = [("reset_by_client", reset.local()), ("reset_by_gateway", closed.local())];
    let [first, second] =
        hellos.map(|(outcome, client)| Hello::absent(outcome).from(client).bytes(message_bytes(&bytes)));
    closed.finish().unwrap();
    closed.wait_acknowledged().unwrap();
    reset.reset().unwrap();
    // Envoy must not wake before the clients' last packets have arrived.
    let is_reset = |metrics: &Metrics| {
        metrics.count("sni_probe_handshakes_total", &[("outcome", "reset_by_client")]) == 1
    };
    probe.wait_for_metrics(TIMEOUT, is_reset).unwrap();
    let expected = Expected::hellos([first, second]);
    envoy.service().signal(Signal::SIGCONT).unwrap();
    closed.read_to_end(TIMEOUT).unwrap();
    check_stats(&envoy, refused_without_sni(1));
    expected.check(&mut probe);
}

// Gateways of other kinds.

#[test]
fn a_gateway_without_the_inspector_hangs_up_before_the_hello() {
    beside_envoy(&EnvoyOptions { tls_inspector: false, ..strict() }, |scene| {
        let mut client = RawClient::connect(&scene.lab.client, GATEWAY).unwrap();
        assert_eq!(client.read_first(TIMEOUT).unwrap().end, End::Closed);
        let hello = ClientHelloBuilder::new().server_name(SERVER_NAME).build();
        client.send(&hello).unwrap();
        client.read_to_end(TIMEOUT).unwrap();
        let expected = Hello::present(SERVER_NAME, "gateway_closed_first").from(client.local());
        let stats = Stats { no_filter_chain_match: 1, ..Stats::default() };
        (Expected::hellos([expected.bytes(message_bytes(&hello))]), stats)
    });
}

#[test]
fn a_gateway_with_a_wildcard_chain_answers_every_hello() {
    beside_envoy(&wildcard(), |scene| {
        let mut hellos: Vec<Hello> = Vec::new();
        for (name, port) in [(None, 20_001), (Some(UNKNOWN_NAME), 20_002), (Some(SERVER_NAME), 20_003)] {
            let (client, finished) = curl(scene.lab, Target::https(GATEWAY_V4, name), port);
            assert_eq!(finished.stdout, "hello\n");
            let hello = name
                .map_or_else(|| Hello::absent("server_hello"), |name| Hello::present(name, "server_hello"));
            hellos.push(hello.from(client));
        }
        let absent = || Hello::absent("server_hello");
        let builder = ClientHelloBuilder::new();
        let small = builder.handshake().len();
        let large = builder.clone().post_quantum();
        for (bytes, hello) in [
            (builder.build(), absent().bytes(small)),
            (builder.in_records(2), absent().bytes(small).records(2)),
            (large.build(), absent().bytes(large.handshake().len()).feature("post_quantum")),
            (sslv2(), absent().bytes(sslv2().len()).version("1.2").feature("sslv2")),
        ] {
            hellos.push(hello.from(scene.answered(HANDSHAKE, &[&bytes])));
        }
        let stats = Stats { sni_found: 2, sni_not_found: 5, tls_found: 7, handshake: 3, ..Stats::default() };
        (Expected::hellos(hellos), stats)
    });
}

/// A PROXY v2 header (binary) for a client with an IPv4 address, or one that speaks for itself (LOCAL).
fn proxy_v2(client: Option<(Ipv4Addr, u16)>) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    let Some((address, port)) = client else {
        header.extend_from_slice(&[0x20, 0, 0, 0]);
        return header;
    };
    header.extend_from_slice(&[0x21, 0x11, 0, 12]);
    header.extend_from_slice(&address.octets());
    header.extend_from_slice(&Ipv4Addr::new(10, 77, 0, 1).octets());
    header.extend_from_slice(&port.to_be_bytes());
    header.extend_from_slice(&443_u16.to_be_bytes());
    header
}

#[test]
fn the_client_that_a_proxy_header_names() {
    beside_envoy(&behind_a_proxy(), |scene| {
        let hello = ClientHelloBuilder::new().build();
        let v1 = b"PROXY TCP4 192.0.2.7 10.77.0.1 40000 443\r\n".to_vec();
        let v1_for_ipv6 = b"PROXY TCP6 2001:db8::7 fd77::1 40001 443\r\n".to_vec();
        let v2 = proxy_v2(Some((Ipv4Addr::new(192, 0, 2, 8), 40_002)));
        let rows = [
            (&v1, Some("192.0.2.7:40000"), "proxy_v1"),
            (&v1_for_ipv6, Some("[2001:db8::7]:40001"), "proxy_v1"),
            (&v2, Some("192.0.2.8:40002"), "proxy_v2"),
            (&proxy_v2(None), None, "proxy_v2"),
        ];
        let mut hellos = Vec::new();
        for (header, proxied, feature) in rows {
            let expected =
                || Hello::absent("reset_by_gateway").proxied(proxied, feature).bytes(message_bytes(&hello));
            // In a segment of its own, as proxies send it, and in that of the hello.
            hellos.push(expected().from(scene.reset(&[header, &hello])));
            hellos.push(expected().from(scene.reset(&[&[header.as_slice(), &hello].concat()])));
        }
        (Expected::hellos(hellos), refused_without_sni(8))
    });
}

#[test]
fn a_proxied_client_with_the_right_name_is_served() {
    beside_envoy(&behind_a_proxy(), |scene| {
        let target = Target::https(GATEWAY_V4, Some(SERVER_NAME));
        // curl names itself, with its own port.
        let options = ["--haproxy-protocol", "--local-port", "20001"];
        let finished = clients::curl(scene.lab, target, &options).unwrap();
        assert_eq!(finished.stdout, "hello\n");
        let client = client_address(target, 20_001);
        let hello = Hello::present(SERVER_NAME, "server_hello").from(client);
        (Expected::hellos([hello.proxied(Some("10.77.0.2:20001"), "proxy_v1")]), served(1))
    });
}

// Mixed traffic, wherever and however sni-probe is attached.

/// One connection of each kind, to both ports and both addresses.
pub(crate) fn mixture(lab: &Lab) -> (Expected, Stats) {
    let absent = ClientHelloBuilder::new();
    let right = absent.clone().server_name(SERVER_NAME);
    let unknown = absent.clone().server_name(UNKNOWN_NAME);
    let old = right.clone().versions(&[TLS_1_0]);
    let reset = || Hello::absent("reset_by_gateway");
    let small = absent.handshake().len();
    let large = absent.clone().post_quantum();
    let hellos = [
        (absent.build(), reset().bytes(small)),
        (absent.in_records(3), reset().bytes(small).records(3)),
        (large.build(), reset().bytes(large.handshake().len()).feature("post_quantum")),
        (sslv2(), reset().bytes(sslv2().len()).version("1.2").feature("sslv2")),
        (right.build(), Hello::present(SERVER_NAME, "server_hello").bytes(right.handshake().len())),
        (unknown.build(), Hello::present(UNKNOWN_NAME, "reset_by_gateway").bytes(unknown.handshake().len())),
        (
            old.build(),
            Hello::present(SERVER_NAME, "alert")
                .version("1.0")
                .alert("protocol_version", "gateway")
                .bytes(old.handshake().len()),
        ),
    ];
    let mut expected = Expected::default();
    let mut stats = Stats::default();
    for (address, port) in [(GATEWAY_V4, 443), (GATEWAY_V6, 8443)] {
        let gateway = SocketAddr::new(address, port);
        let send = |bytes: &[u8]| {
            let mut client = RawClient::connect(&lab.client, gateway).unwrap();
            client.send(bytes).unwrap();
            client.read_first(TIMEOUT).unwrap();
            client.local()
        };
        for (bytes, hello) in &hellos {
            expected.hellos.push(hello.clone().from(send(bytes)).to(gateway));
        }
        send(b"POST /token HTTP/1.1\r\n\r\n");
        expected.non_tls.push("http");
        let parts = [refused_without_sni(4), accepted(1), refused_name(1), failed(1), no_tls(1)];
        stats = parts.iter().fold(stats, |sum, part| sum.plus(part));
    }
    (expected, stats)
}

#[test]
fn hundreds_of_mixed_connections_are_counted_exactly() {
    const THREADS: usize = 3;
    const ROUNDS: usize = 7;
    beside_envoy(&strict(), |scene| {
        let lab = scene.lab;
        let rounds = thread::scope(|scope| {
            let work = || (0..ROUNDS).map(|_| mixture(lab)).collect::<Vec<_>>();
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        let mut expected = Expected::default();
        let mut stats = Stats::default();
        for (part, part_stats) in rounds {
            expected.hellos.extend(part.hellos);
            expected.non_tls.extend(part.non_tls);
            stats = stats.plus(&part_stats);
        }
        (expected, stats)
    });
}

#[test]
fn attached_as_filters_of_a_clsact_qdisc() {
    let lab = Lab::new().unwrap();
    let envoy = Envoy::start(&lab, &strict()).unwrap();
    let mut probe = Probe::start(&lab, &["--attach", "clsact"]).unwrap();
    assert_eq!(attached_modes(&probe), ["clsact", "clsact"]);
    let (expected, stats) = mixture(&lab);
    check_stats(&envoy, stats);
    expected.check(&mut probe);
}

fn attached_modes(probe: &Probe<'_>) -> Vec<String> {
    let metrics = probe.metrics().unwrap();
    let attached = metrics.select("sni_probe_attached", &[]).filter(|sample| sample.value > 0.0);
    attached.map(|sample| sample.labels["mode"].clone()).collect()
}

/// Beside the clients, on the end of a veth pair that a node has for a gateway's pod.
fn on_the_other_end_of_the_veth(options: &[&str]) {
    let lab = Lab::new().unwrap();
    let envoy = Envoy::start(&lab, &strict()).unwrap();
    let options = [&["-i", CLIENT_INTERFACE, "--events", "json", "--events-filter", "all"], options].concat();
    let mut probe = Probe::start_in(&lab.client, &lab, &options).unwrap();
    probe.wait_ready().unwrap();
    let (expected, stats) = mixture(&lab);
    check_stats(&envoy, stats);
    expected.check_on(CLIENT_INTERFACE, &mut probe);
}

#[test]
fn on_the_nodes_end_of_the_gateways_veth() {
    on_the_other_end_of_the_veth(&["--orientation", "veth"]);
}

#[test]
fn the_nodes_end_of_a_veth_is_found_by_itself() {
    on_the_other_end_of_the_veth(&[]);
}

#[test]
fn a_port_that_is_not_the_gateways_is_none_of_its_business() {
    let lab = Lab::new().unwrap();
    let envoy = Envoy::start(&lab, &strict()).unwrap();
    let mut probe = Probe::start(&lab, &["--port", "8443"]).unwrap();
    let (mut expected, stats) = mixture(&lab);
    check_stats(&envoy, stats);
    expected.hellos.retain(|hello| hello.gateway().port() == 8443);
    expected.non_tls.truncate(1);
    expected.check(&mut probe);
}

#[test]
fn connections_that_were_opened_before_it_was_attached() {
    let lab = Lab::new().unwrap();
    let envoy = Envoy::start(&lab, &strict()).unwrap();
    let names = [None, Some(SERVER_NAME)];
    let opened = names.map(|_| RawClient::connect(&lab.client, GATEWAY).unwrap());
    let mut probe = Probe::start(&lab, &[]).unwrap();
    let mut hellos = Vec::new();
    for (name, mut client) in names.into_iter().zip(opened) {
        let (builder, hello) = match name {
            None => (ClientHelloBuilder::new(), Hello::absent("reset_by_gateway")),
            Some(name) => (ClientHelloBuilder::new().server_name(name), Hello::present(name, "server_hello")),
        };
        client.send(&builder.build()).unwrap();
        client.read_first(TIMEOUT).unwrap();
        hellos.push(hello.from(client.local()).bytes(builder.handshake().len()));
    }
    check_stats(&envoy, refused_without_sni(1).plus(&accepted(1)));
    Expected::hellos(hellos).check(&mut probe);
}
