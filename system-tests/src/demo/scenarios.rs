//! What the demo sends, and what must be seen of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, bail};
use sni_probe_testkit::hello::{ClientHelloBuilder, sslv2};

use super::report::Comparison;
use crate::clients::{self, Target};
use crate::netns::Lab;
use crate::raw::{End, RawClient};
use crate::{GATEWAY_V4, GATEWAY_V6, SERVER_NAME, UNKNOWN_NAME};

/// How long the gateway may take to answer crafted bytes; more than its own timeout.
const REPLY_TIMEOUT: Duration = Duration::from_secs(8);

/// One connection of the demo.
pub(super) struct Scenario {
    /// What it is, for people.
    pub(super) name: &'static str,
    /// What becomes of it at the strict gateway.
    strict: Comparison,
    /// What becomes of it at the gateway with a wildcard chain.
    wildcard: Comparison,
    /// The protocol under which it counts as no TLS.
    pub(super) protocol: Option<&'static str>,
    /// Does it; gives the client's address where it is known.
    pub(super) act: fn(&Lab) -> Result<Option<SocketAddr>>,
}

impl Scenario {
    pub(super) fn expected(&self, wildcard_chain: bool) -> Comparison {
        if wildcard_chain { self.wildcard } else { self.strict }
    }
}

const NO_HELLO: Comparison = Comparison { sni: None, outcome: None };

const fn verdict(sni: &'static str, outcome: &'static str) -> Comparison {
    Comparison { sni: Some(sni), outcome: Some(outcome) }
}

/// A hello whose SNI the strict gateway refuses and the wildcard chain takes.
const fn refused(
    name: &'static str,
    sni: &'static str,
    act: fn(&Lab) -> Result<Option<SocketAddr>>,
) -> Scenario {
    Scenario {
        name,
        strict: verdict(sni, "reset_by_gateway"),
        wildcard: verdict(sni, "server_hello"),
        protocol: None,
        act,
    }
}

/// A hello, or none, of which the same becomes at both gateways.
const fn same(
    name: &'static str,
    expected: Comparison,
    protocol: Option<&'static str>,
    act: fn(&Lab) -> Result<Option<SocketAddr>>,
) -> Scenario {
    Scenario { name, strict: expected, wildcard: expected, protocol, act }
}

/// All of them, in the order in which they are played.
pub(super) const SCENARIOS: &[Scenario] = &[
    refused("curl to the IPv4 address", "absent", |lab| curl(lab, GATEWAY_V4, None)),
    refused("curl to the IPv6 address", "absent", |lab| curl(lab, GATEWAY_V6, None)),
    same("curl, right name", verdict("present", "server_hello"), None, |lab| {
        curl(lab, GATEWAY_V4, Some(SERVER_NAME))
    }),
    same("curl, right name, IPv6", verdict("present", "server_hello"), None, |lab| {
        curl(lab, GATEWAY_V6, Some(SERVER_NAME))
    }),
    refused("curl, unknown name", "present", |lab| curl(lab, GATEWAY_V4, Some(UNKNOWN_NAME))),
    refused("openssl -noservername", "absent", |lab| openssl(lab, GATEWAY_V4, None)),
    refused("openssl -noservername, IPv6", "absent", |lab| openssl(lab, GATEWAY_V6, None)),
    same("openssl, right name", verdict("present", "server_hello"), None, |lab| {
        openssl(lab, GATEWAY_V4, Some(SERVER_NAME))
    }),
    refused("openssl, unknown name, IPv6", "present", |lab| openssl(lab, GATEWAY_V6, Some(UNKNOWN_NAME))),
    refused("python to the IPv4 address", "absent", |lab| python(lab, GATEWAY_V4, None)),
    same("python, right name, IPv6", verdict("present", "server_hello"), None, |lab| {
        python(lab, GATEWAY_V6, Some(SERVER_NAME))
    }),
    same("openssl, TLS 1.0 only, right name", verdict("present", "alert"), None, |lab| {
        let target = Target::https(GATEWAY_V4, Some(SERVER_NAME));
        clients::openssl_tls10(lab, target).map(|_| None)
    }),
    same("plain HTTP to the TLS port", NO_HELLO, Some("http"), |lab| {
        let request = format!("GET / HTTP/1.1\r\nHost: {SERVER_NAME}\r\n\r\n");
        raw(lab, &[request.as_bytes()])
    }),
    same("a silent connection", NO_HELLO, None, |lab| raw(lab, &[])),
    refused("a hello in two segments", "absent", |lab| {
        let hello = ClientHelloBuilder::new().build();
        raw(lab, &[&hello[..100], &hello[100..]])
    }),
    refused("a post-quantum hello (1,789 bytes) as one packet", "absent", |lab| {
        raw(lab, &[&ClientHelloBuilder::new().post_quantum().build()])
    }),
    refused("a post-quantum hello as two packets (offloads off)", "absent", |lab| {
        lab.set_offloads(false)?;
        let client = raw(lab, &[&ClientHelloBuilder::new().post_quantum().build()]);
        lab.set_offloads(true)?;
        client
    }),
    same(
        "a post-quantum hello, right name in the second packet",
        verdict("present", "server_hello"),
        None,
        |lab| {
            lab.set_offloads(false)?;
            let builder = ClientHelloBuilder::new().server_name(SERVER_NAME).server_name_last();
            let client = raw(lab, &[&builder.post_quantum().build()]);
            lab.set_offloads(true)?;
            client
        },
    ),
    refused("a hello over two TLS records", "absent", |lab| {
        raw(lab, &[&ClientHelloBuilder::new().in_records(2)])
    }),
    refused("a hello in SSLv2's format", "absent", |lab| raw(lab, &[&sslv2()])),
    same("half a hello, then silence", verdict("unknown", "reset_by_gateway"), None, |lab| {
        let hello = ClientHelloBuilder::new().server_name(SERVER_NAME).build();
        raw(lab, &[&hello[..hello.len() / 2]])
    }),
];

fn curl(lab: &Lab, address: IpAddr, name: Option<&str>) -> Result<Option<SocketAddr>> {
    clients::curl(lab, Target::https(address, name), &[]).map(|_| None)
}

fn openssl(lab: &Lab, address: IpAddr, name: Option<&str>) -> Result<Option<SocketAddr>> {
    clients::openssl(lab, Target::https(address, name), &[]).map(|_| None)
}

fn python(lab: &Lab, address: IpAddr, name: Option<&str>) -> Result<Option<SocketAddr>> {
    clients::python(lab, Target::https(address, name)).map(|_| None)
}

/// Sends the segments and waits for the gateway's verdict: its first bytes or its end.
fn raw(lab: &Lab, segments: &[&[u8]]) -> Result<Option<SocketAddr>> {
    let mut client = RawClient::connect(&lab.client, SocketAddr::new(GATEWAY_V4, 443))?;
    client.send_segments(segments.iter().copied())?;
    let reply = client.read_first(REPLY_TIMEOUT)?;
    if reply.bytes.is_empty() && reply.end == End::StillOpen {
        bail!("the gateway neither answered nor closed within {} s", REPLY_TIMEOUT.as_secs());
    }
    Ok(Some(client.local()))
}
