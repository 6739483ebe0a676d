//! The lab itself: what the gateways do, without sni-probe. When a row of this fails, the
//! gateway or the client has changed, not sni-probe.

use std::net::SocketAddr;
use std::time::Duration;

use system_tests::clients::{self, Target};
use system_tests::envoy::{Envoy, EnvoyOptions, Stats};
use system_tests::hello::{ClientHelloBuilder, POST_QUANTUM_BYTES, TLS_1_0, sslv2};
use system_tests::process::{Service, run_ok};
use system_tests::raw::{End, RawClient, Reply};
use system_tests::{
    CLIENT_INTERFACE, GATEWAY_V4, GATEWAY_V6, Lab, SERVER_NAME, UNKNOWN_NAME, haproxy, nginx, wait_until,
};

const TIMEOUT: Duration = Duration::from_secs(10);
/// curl's exit code for a connection reset (or closed) in the handshake.
const CURL_SSL_CONNECT_ERROR: i32 = 35;

fn gateway() -> SocketAddr {
    SocketAddr::new(GATEWAY_V4, 443)
}

fn patient_for(seconds: u64) -> EnvoyOptions {
    EnvoyOptions { listener_filters_timeout: Duration::from_secs(seconds), ..EnvoyOptions::default() }
}

fn wildcard() -> EnvoyOptions {
    EnvoyOptions { wildcard_chain: true, ..EnvoyOptions::default() }
}

/// Sends the segments, and gives what comes first in answer.
fn send(lab: &Lab, segments: &[&[u8]]) -> Reply {
    let mut client = RawClient::connect(&lab.client, gateway()).unwrap();
    client.send_segments(segments.iter().copied()).unwrap();
    client.read_first(TIMEOUT).unwrap()
}

fn content_type(reply: &Reply) -> Option<u8> {
    reply.bytes.first().copied()
}

#[test]
fn envoy_resets_a_client_without_sni() {
    let lab = Lab::new().unwrap();
    let envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    for address in [GATEWAY_V4, GATEWAY_V6] {
        let target = Target::https(address, None);
        assert_eq!(clients::curl(&lab, target, &[]).unwrap().code, CURL_SSL_CONNECT_ERROR);
        assert!(!clients::openssl(&lab, target, &[]).unwrap().success());
        let python = clients::python(&lab, target).unwrap();
        assert!(python.stderr.contains("ConnectionResetError"), "{}", python.stderr);
    }
    let expected = Stats { no_filter_chain_match: 6, sni_not_found: 6, tls_found: 6, ..Stats::default() };
    let stats = envoy.wait_for_stats(TIMEOUT, |stats| stats.no_filter_chain_match == 6).unwrap();
    assert_eq!(stats, expected);
    let log = wait_until("the access log", TIMEOUT, || {
        let log = envoy.access_log()?;
        Ok((log.len() == 6).then_some(log))
    });
    for line in log.unwrap() {
        assert_eq!(line["upstream_response_flags"], "NR", "{line}");
        assert_eq!(line["status_details"], "filter_chain_not_found", "{line}");
        assert!(line["sni_host"].is_null(), "{line}");
    }
}

#[test]
fn envoy_serves_the_right_name_and_resets_an_unknown_one() {
    let lab = Lab::new().unwrap();
    let envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    for address in [GATEWAY_V4, GATEWAY_V6] {
        let right = Target::https(address, Some(SERVER_NAME));
        assert_eq!(clients::curl(&lab, right, &[]).unwrap().stdout, "hello\n");
        assert!(clients::openssl(&lab, right, &[]).unwrap().stdout.contains("BEGIN CERTIFICATE"));
        assert!(clients::python(&lab, right).unwrap().success());
        let unknown = Target::https(address, Some(UNKNOWN_NAME));
        assert_eq!(clients::curl(&lab, unknown, &[]).unwrap().code, CURL_SSL_CONNECT_ERROR);
    }
    let stats = envoy.wait_for_stats(TIMEOUT, |stats| stats.handshake == 6).unwrap();
    let expected =
        Stats { no_filter_chain_match: 2, sni_found: 8, tls_found: 8, handshake: 6, ..Stats::default() };
    assert_eq!(stats, expected);
}

#[test]
fn envoy_alerts_tls_1_0_and_a_client_that_distrusts_it() {
    let lab = Lab::new().unwrap();
    let envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    let right = Target::https(GATEWAY_V4, Some(SERVER_NAME));
    let old = clients::openssl_tls10(&lab, right).unwrap();
    assert!(old.stderr.contains("alert protocol version"), "{}", old.stderr);
    let hello = ClientHelloBuilder::new().server_name(SERVER_NAME).versions(&[TLS_1_0]).build();
    let reply = send(&lab, &[&hello]);
    assert_eq!((content_type(&reply), reply.bytes.get(6)), (Some(21), Some(&70)), "{reply:?}");
    clients::openssl(&lab, right, &["-verify_return_error"]).unwrap();
    let stats = envoy.wait_for_stats(TIMEOUT, |stats| stats.connection_error == 3).unwrap();
    assert_eq!((stats.sni_found, stats.no_filter_chain_match), (3, 0));
}

#[test]
fn envoy_resets_what_is_no_tls() {
    let lab = Lab::new().unwrap();
    let envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    assert_eq!(send(&lab, &[b"GET / HTTP/1.1\r\n\r\n"]).end, End::Reset);
    assert_eq!(send(&lab, &[b"SSH-2.0-OpenSSH_9.2\r\n"]).end, End::Reset);
    let empty_name = ClientHelloBuilder::new().empty_server_name().build();
    assert_eq!(send(&lab, &[&empty_name]).end, End::Reset);
    let stats = envoy.wait_for_stats(TIMEOUT, |stats| stats.no_filter_chain_match == 3).unwrap();
    assert_eq!((stats.tls_not_found, stats.tls_found), (3, 0));
}

#[test]
fn envoy_gives_up_on_silence_and_half_a_hello() {
    let lab = Lab::new().unwrap();
    let envoy = Envoy::start(&lab, &patient_for(1)).unwrap();
    assert_eq!(send(&lab, &[]).end, End::Closed);
    let hello = ClientHelloBuilder::new().server_name(SERVER_NAME).build();
    assert_eq!(send(&lab, &[&hello[..hello.len() / 2]]).end, End::Reset);
    let stats = envoy.stats().unwrap();
    assert_eq!(stats, Stats { downstream_pre_cx_timeout: 2, ..Stats::default() });
}

#[test]
fn envoy_parses_every_form_of_a_hello() {
    let lab = Lab::new().unwrap();
    let envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    let hello = ClientHelloBuilder::new().build();
    let forms: [&[&[u8]]; 5] = [
        &[&hello],
        &[&hello[..3], &hello[3..]],
        &[&ClientHelloBuilder::new().in_records(2)],
        &[&ClientHelloBuilder::new().post_quantum().build()],
        &[&sslv2()],
    ];
    for segments in forms {
        assert_eq!(send(&lab, segments).end, End::Reset);
    }
    let stats = envoy.wait_for_stats(TIMEOUT, |stats| stats.no_filter_chain_match == 5).unwrap();
    assert_eq!((stats.sni_not_found, stats.tls_found), (5, 5));
}

#[test]
fn envoy_with_a_wildcard_chain_answers_every_hello() {
    let lab = Lab::new().unwrap();
    let envoy = Envoy::start(&lab, &wildcard()).unwrap();
    for name in [None, Some(UNKNOWN_NAME), Some(SERVER_NAME)] {
        let target = Target::https(GATEWAY_V4, name);
        assert_eq!(clients::curl(&lab, target, &[]).unwrap().stdout, "hello\n");
    }
    let hello = ClientHelloBuilder::new();
    for bytes in [hello.build(), hello.in_records(2), hello.clone().post_quantum().build(), sslv2()] {
        let reply = send(&lab, &[&bytes]);
        assert_eq!(content_type(&reply), Some(22), "{reply:?}");
    }
    let stats = envoy.wait_for_stats(TIMEOUT, |stats| stats.sni_not_found == 5).unwrap();
    assert_eq!((stats.no_filter_chain_match, stats.sni_found), (0, 2));
}

#[test]
fn envoy_without_the_inspector_closes_before_the_hello() {
    let lab = Lab::new().unwrap();
    let envoy = Envoy::start(&lab, &EnvoyOptions { tls_inspector: false, ..EnvoyOptions::default() });
    let envoy = envoy.unwrap();
    let target = Target::https(GATEWAY_V4, Some(SERVER_NAME));
    assert_eq!(clients::curl(&lab, target, &[]).unwrap().code, CURL_SSL_CONNECT_ERROR);
    let stats = envoy.wait_for_stats(TIMEOUT, |stats| stats.no_filter_chain_match == 1).unwrap();
    assert_eq!(stats.tls_found, 0);
}

#[test]
fn envoy_takes_a_proxy_header_before_the_hello() {
    let lab = Lab::new().unwrap();
    let envoy = Envoy::start(&lab, &EnvoyOptions { proxy_protocol: true, ..wildcard() }).unwrap();
    let hello = ClientHelloBuilder::new().server_name(SERVER_NAME).build();
    let header = b"PROXY TCP4 192.0.2.7 10.77.0.1 40000 443\r\n";
    let reply = send(&lab, &[header, &hello]);
    assert_eq!(content_type(&reply), Some(22), "{reply:?}");
    assert_eq!(envoy.stats().unwrap().sni_found, 1);
}

#[test]
fn nginx_and_haproxy_alert() {
    const UNRECOGNIZED_NAME: u8 = 112;
    let lab = Lab::new().unwrap();
    let starts: [fn(&Lab) -> anyhow::Result<Service>; 2] = [nginx::start, haproxy::start];
    for start in starts {
        let mut service = start(&lab).unwrap();
        for address in [GATEWAY_V4, GATEWAY_V6] {
            let right = Target::https(address, Some(SERVER_NAME));
            assert_eq!(clients::curl(&lab, right, &[]).unwrap().stdout.trim(), "hello");
        }
        let named = ClientHelloBuilder::new().server_name(UNKNOWN_NAME);
        for hello in [ClientHelloBuilder::new(), named] {
            let reply = send(&lab, &[&hello.build()]);
            let alert = (content_type(&reply), reply.bytes.get(6).copied());
            assert_eq!(alert, (Some(21), Some(UNRECOGNIZED_NAME)), "{reply:?}");
        }
        service.stop().unwrap();
    }
}

/// Payload sizes of the client's packets, as tcpdump sees them on the client's interface.
fn captured_sizes(lab: &Lab, work: impl FnOnce()) -> Vec<usize> {
    let file = lab.path("client.pcap");
    let mut command = lab.client.command("tcpdump");
    // Without these two, tcpdump loses what it has not yet written when it is stopped.
    command.args(["-U", "--immediate-mode", "-n", "-Z", "root", "-i", CLIENT_INTERFACE, "-w"]);
    command.arg(&file).arg("dst port 443");
    let mut tcpdump = Service::start("tcpdump", &mut command, lab.directory()).unwrap();
    wait_until("tcpdump", TIMEOUT, || Ok(tcpdump.stderr().contains("listening on").then_some(()))).unwrap();
    work();
    let sizes = || {
        let mut command = lab.client.command("tshark");
        command.arg("-r").arg(&file).args(["-T", "fields", "-e", "tcp.len", "-Y", "tcp.len > 0"]);
        let text = run_ok(&mut command, TIMEOUT).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<usize>>()
    };
    let seen = wait_until("packets", TIMEOUT, || Ok(Some(sizes()).filter(|all| !all.is_empty())));
    tcpdump.stop().unwrap();
    drop(seen);
    sizes()
}

#[test]
fn segments_arrive_as_crafted() {
    let lab = Lab::new().unwrap();
    let _envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    let large = ClientHelloBuilder::new().post_quantum().build();
    let small = ClientHelloBuilder::new().build();
    assert_eq!(captured_sizes(&lab, || drop(send(&lab, &[&large]))), [POST_QUANTUM_BYTES]);
    let split = captured_sizes(&lab, || drop(send(&lab, &[&small[..3], &small[3..9], &small[9..]])));
    assert_eq!(split, [3, 6, small.len() - 9]);
    lab.set_offloads(false).unwrap();
    assert_eq!(captured_sizes(&lab, || drop(send(&lab, &[&large]))), [1448, 341]);
}

#[test]
fn a_lab_leaves_nothing_behind() {
    let lab = Lab::new().unwrap();
    let address = lab.link_host().unwrap();
    let names = [lab.gateway.name().to_owned(), lab.client.name().to_owned()];
    let directory = lab.directory().to_owned();
    let envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    drop(envoy);
    drop(lab);
    let list = run_ok(std::process::Command::new("ip").args(["netns", "list"]), TIMEOUT).unwrap();
    assert!(names.iter().all(|name| !list.contains(name)), "{list}");
    let links = run_ok(std::process::Command::new("ip").arg("address"), TIMEOUT).unwrap();
    let subnet = address.to_string().replace(".1", ".2/24");
    assert!(!directory.exists() && !links.contains(&subnet), "{links}");
}
