//! How else a connection may begin than with a hello behind three packets.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use super::{NAME, RECORD_HEADER, hello};
use crate::answers::server_hello;
use crate::captures::{Connection, Expected, Scenario};
use crate::hello::sslv2;
use crate::proxy;

/// The client of whose connection a load balancer's PROXY header tells.
const PROXIED: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 7), 56_324));
const CONNECT: &[u8] = b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n";
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
const HTTP_PROXY_PORT: u16 = 3128;

/// All of this module.
pub fn all() -> Vec<Scenario> {
    vec![
        fast_open(),
        sslv2_hello(),
        behind_proxy_v1(),
        behind_proxy_v2(),
        behind_http_connect(),
        plain_http(),
        without_the_beginning(),
    ]
}

/// TCP fast open: the hello is in the SYN.
pub fn fast_open() -> Scenario {
    let builder = hello(Some(NAME));
    let mut connection = Connection::v4();
    connection.syn_with_data(&builder.build()).syn_ack().ack().gateway(&server_hello());
    let expected = Expected::of(&connection, builder.handshake().len()).named(Some(NAME));
    one("tcp_fast_open", &connection, expected)
}

/// A hello in the format of SSLv2, which has no room for a name.
pub fn sslv2_hello() -> Scenario {
    let bytes = sslv2();
    let mut connection = Connection::v4();
    connection.open().client(&bytes).gateway_reset();
    let mut expected = Expected::of(&connection, bytes.len()).outcome("reset_by_gateway").feature("sslv2");
    expected.format = "sslv2";
    one("sslv2_hello", &connection, expected)
}

/// A PROXY header of version 1 and the hello, in one segment.
pub fn behind_proxy_v1() -> Scenario {
    let builder = hello(None);
    let mut connection = Connection::v4();
    connection.open().client(&[proxy::V1, &builder.build()].concat()).gateway_reset();
    let expected = Expected::of(&connection, builder.handshake().len());
    let expected = proxied(expected, "proxy_v1").outcome("reset_by_gateway");
    one("proxy_v1_before_hello", &connection, expected)
}

/// A PROXY header of version 2 in its own segment, then the hello.
pub fn behind_proxy_v2() -> Scenario {
    let builder = hello(Some(NAME));
    let mut connection = Connection::v4();
    connection.open().client(&proxy::v2()).client(&builder.build()).gateway(&server_hello());
    let expected = Expected::of(&connection, builder.handshake().len()).named(Some(NAME));
    one("proxy_v2_before_hello", &connection, proxied(expected, "proxy_v2"))
}

/// A tunnel through an HTTP proxy.
pub fn behind_http_connect() -> Scenario {
    let builder = hello(Some(NAME));
    let mut connection = Connection::v4().gateway_port(HTTP_PROXY_PORT);
    connection.open().client(CONNECT).gateway(ESTABLISHED);
    connection.client(&builder.build()).gateway(&server_hello());
    let mut expected = Expected::of(&connection, builder.handshake().len()).named(Some(NAME));
    expected.prelude = Some("http_connect");
    one("http_connect_before_hello", &connection, expected)
}

/// HTTP on the port of TLS: no handshake.
pub fn plain_http() -> Scenario {
    let mut connection = Connection::v4();
    connection.open().client(b"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
    connection.gateway(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").gateway_fin().client_fin();
    Scenario { name: "plain_http".to_owned(), capture: connection.capture(), expected: Vec::new() }
}

/// A connection that was open before the capture began.
pub fn without_the_beginning() -> Scenario {
    let bytes = hello(None).build();
    let mut connection = Connection::v6();
    connection.open().client(&bytes).gateway_reset();
    let expected = Expected::of(&connection, bytes.len() - RECORD_HEADER).outcome("reset_by_gateway");
    Scenario {
        name: "without_the_beginning".to_owned(),
        // SYN, SYN and ACK, ACK.
        capture: connection.capture().skip(3),
        expected: vec![expected],
    }
}

fn proxied(mut expected: Expected, version: &'static str) -> Expected {
    expected.client = PROXIED;
    expected.proxied_client = Some(PROXIED);
    expected.prelude = Some(version);
    expected.feature(version)
}

fn one(name: &str, connection: &Connection, expected: Expected) -> Scenario {
    Scenario { name: name.to_owned(), capture: connection.capture(), expected: vec![expected] }
}
