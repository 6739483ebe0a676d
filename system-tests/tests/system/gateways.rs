//! sni-probe beside gateways that refuse a client with an alert: nginx and `HAProxy`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use sni_probe_testkit::hello::{ClientHelloBuilder, TLS_1_0};
use system_tests::clients::{self, Target};
use system_tests::probe::Probe;
use system_tests::raw::RawClient;
use system_tests::{CLIENT_V4, CLIENT_V6, GATEWAY_V4, GATEWAY_V6, Lab, SERVER_NAME, Service, UNKNOWN_NAME};
use system_tests::{haproxy, nginx};

use crate::expected::{Expected, Hello};

const TIMEOUT: Duration = Duration::from_secs(10);
const ALERT: u8 = 21;

/// An alert on the wire, and its name.
type Description = (u8, &'static str);

const UNRECOGNIZED_NAME: Description = (112, "unrecognized_name");
const PROTOCOL_VERSION: Description = (70, "protocol_version");
const HANDSHAKE_FAILURE: Description = (40, "handshake_failure");

/// The same clients at every gateway: refused without SNI and with an unknown name, served with the
/// right one; over both versions of IP, to both ports. `for_old` is the answer to TLS 1.0.
fn refuses_with_alerts(start: fn(&Lab) -> Result<Service>, for_old: Description) {
    let lab = Lab::new().unwrap();
    let _gateway = start(&lab).unwrap();
    let mut probe = Probe::start(&lab, &[]).unwrap();
    let mut expected = Expected::default();
    // Ports of their own: one in TIME_WAIT is taken for both versions of IP.
    for (gateway, client, port) in [(GATEWAY_V4, CLIENT_V4, 20_000), (GATEWAY_V6, CLIENT_V6, 21_000)] {
        let [client, another, third] = [1, 2, 3].map(|number| SocketAddr::new(client, port + number));
        let gateway = SocketAddr::new(gateway, 443);
        let target = |server_name| Target { address: gateway, server_name };
        let refused = |hello: Hello| hello.alert(UNRECOGNIZED_NAME.1, "gateway");

        let curl = |server_name, client: SocketAddr| {
            let options = ["--local-port", &client.port().to_string()];
            clients::curl(&lab, target(server_name), &options).unwrap()
        };
        let served = curl(Some(SERVER_NAME), client);
        assert_eq!(served.stdout.trim(), "hello", "{served:?}");
        let refused_curl = curl(None, another);
        assert!(refused_curl.stderr.contains("unrecognized name"), "{refused_curl:?}");
        clients::openssl(&lab, target(Some(UNKNOWN_NAME)), &["-bind", &third.to_string()]).unwrap();
        expected.hellos.extend([
            Hello::present(SERVER_NAME, "server_hello").to(gateway).from(client),
            refused(Hello::absent("alert")).to(gateway).from(another),
            refused(Hello::present(UNKNOWN_NAME, "alert")).to(gateway).from(third),
        ]);

        let absent = ClientHelloBuilder::new();
        let unknown = absent.clone().server_name(UNKNOWN_NAME);
        let old = absent.clone().server_name(SERVER_NAME).versions(&[TLS_1_0]);
        for (builder, hello, alert) in [
            (absent, Hello::absent("alert"), UNRECOGNIZED_NAME),
            (unknown, Hello::present(UNKNOWN_NAME, "alert"), UNRECOGNIZED_NAME),
            (old, Hello::present(SERVER_NAME, "alert").version("1.0"), for_old),
        ] {
            let gateway = SocketAddr::new(gateway.ip(), 8443);
            let client = alerted(&lab, gateway, &builder.build(), alert);
            let hello = hello.alert(alert.1, "gateway").bytes(builder.handshake().len());
            expected.hellos.push(hello.to(gateway).from(client));
        }
    }
    let mut plain = RawClient::connect(&lab.client, SocketAddr::new(GATEWAY_V4, 443)).unwrap();
    plain.send(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    plain.read_to_end(TIMEOUT).unwrap();
    expected.non_tls.push("http");
    expected.check(&mut probe);
}

/// Sends a hello that the gateway answers with this alert, and gives the client's address.
fn alerted(lab: &Lab, gateway: SocketAddr, hello: &[u8], (code, _): Description) -> SocketAddr {
    let mut client = RawClient::connect(&lab.client, gateway).unwrap();
    client.send(hello).unwrap();
    let reply = client.read_to_end(TIMEOUT).unwrap();
    assert_eq!((reply.bytes.first(), reply.bytes.get(6)), (Some(&ALERT), Some(&code)), "{reply:?}");
    client.local()
}

#[test]
fn nginx_that_rejects_handshakes() {
    // OpenSSL takes the version for the default server, and then finds no cipher suite for it.
    refuses_with_alerts(nginx::start, HANDSHAKE_FAILURE);
}

#[test]
fn haproxy_with_strict_sni() {
    refuses_with_alerts(haproxy::start, PROTOCOL_VERSION);
}
