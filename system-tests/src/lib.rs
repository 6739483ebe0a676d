//! The lab: a gateway in one network namespace, clients in another, sni-probe between them.
//!
//! Everything here is real: the kernel's TCP, Envoy, nginx, `HAProxy`, curl, OpenSSL, Python. The
//! system tests and `cargo xtask demo` share it. Nothing leaves the namespaces, every wait polls a
//! condition until a deadline, and what a killed run left behind is removed by the next one.
//!
//! ```text
//!  namespace …-cl                          namespace …-gw
//!  curl, openssl, python, raw bytes        Envoy | nginx | HAProxy on 443 and 8443
//!  cl0 10.77.0.2  fd77::2  ---- veth ----  gw0 10.77.0.1  fd77::1
//!                                          sni-probe run -i gw0
//! ```
#![forbid(unsafe_code)]

pub mod alertmanager;
pub mod browser;
pub mod certificate;
pub mod cgroups;
pub mod classifier;
pub mod clients;
pub mod cluster;
pub mod demo;
pub mod dist;
pub mod engines;
pub mod envoy;
pub mod frames;
pub mod grafana;
pub mod haproxy;
pub mod interrupt;
pub mod ledger;
pub mod manifests;
pub mod matrix;
pub mod metrics;
pub mod netns;
pub mod nginx;
pub mod probe;
pub mod process;
pub mod prometheus;
pub mod raw;
pub mod resetting;
pub mod software;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use lab_interface::{deploy, virtual_machine};

pub use netns::{Lab, Namespace};
pub use process::{Service, wait_until};

/// The outcomes of handshakes that the gateway answered with a ServerHello. An expected `server_hello` accepts all of them,
/// because version 0.1.0 reported it for all.
pub const ANSWERED_OUTCOMES: [&str; 5] = [
    "server_hello",
    "established",
    "rejected_by_client",
    "client_certificate_refused",
    "refused_after_server_hello",
];

/// Returns the outcome as version 0.1.0 reported it: `server_hello` for all of [`ANSWERED_OUTCOMES`].
pub fn as_of_0_1_0(outcome: &str) -> &str {
    if ANSWERED_OUTCOMES.contains(&outcome) { ANSWERED_OUTCOMES[0] } else { outcome }
}

/// The gateway's IPv4 address in the lab.
pub const GATEWAY_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
/// The client's IPv4 address in the lab.
pub const CLIENT_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));
/// The gateway's IPv6 address in the lab.
pub const GATEWAY_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1));
/// The client's IPv6 address in the lab.
pub const CLIENT_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2));

/// The gateway's side of the veth pair; sni-probe runs on it.
pub const GATEWAY_INTERFACE: &str = "gw0";
/// The client's side of the veth pair.
pub const CLIENT_INTERFACE: &str = "cl0";

/// The ports on which every gateway of the lab listens for TLS.
pub const GATEWAY_PORTS: [u16; 2] = [443, 8443];

/// The one name for which the gateways have a certificate of its own.
pub const SERVER_NAME: &str = "api-test.mydomain.com";
/// A name that no gateway knows.
pub const UNKNOWN_NAME: &str = "unknown.mydomain.com";
