//! The list of gateways that refuse hellos, with the responses that were measured.

use super::super::gateways::Setup;
use super::super::places::Release;
use super::super::situation::Version;
use super::super::{clients, gateways};
use super::response::{AfterServerHello, Alert, Closed, Reset, Response, Served};
use super::sent_name::SentName;
use super::setups;

/// How a gateway runs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Implementation {
    /// Processes. The function returns their setup for a port; the next port is free for a backend.
    Programs(fn(u16) -> Setup),
    /// rustls, in a thread of this process.
    Rustls,
}

/// A gateway that refuses some hellos.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refuser {
    pub(super) software: Software,
    pub(super) configuration: &'static str,
    pub(super) release: Release,
    pub(super) implementation: Implementation,
    /// Responses by TLS 1.2: without SNI, and with an unknown name.
    tls12: [Response; 2],
    /// Responses by TLS 1.3.
    tls13: [Response; 2],
}

/// The name of a program, and a script that prints its version.
pub(in super::super) type Software = (&'static str, &'static str);

pub(in super::super) const ENVOY: Software = ("Envoy", gateways::ENVOY.version);
pub(in super::super) const NGINX: Software = ("nginx", gateways::NGINX.version);
pub(in super::super) const HAPROXY: Software = ("HAProxy", gateways::HAPROXY.version);
pub(in super::super) const CADDY: Software = ("Caddy", gateways::CADDY.version);
pub(in super::super) const GO: Software = ("Go", clients::GO.version);
pub(in super::super) const NODE: Software = ("Node.js", gateways::NODE.version);
pub(in super::super) const ERLANG: Software =
    ("Erlang/OTP", "erl -noshell -eval 'io:format(\"~s~n\", [erlang:system_info(otp_release)]), halt().'");
pub(in super::super) const HITCH: Software = ("hitch", "hitch --version | cut -d' ' -f2");
pub(in super::super) const OPENSSL: Software = ("OpenSSL s_server", gateways::OPENSSL.version);
pub(in super::super) const GNUTLS: Software =
    ("gnutls-serv", "gnutls-serv --version | head -n 1 | cut -d' ' -f2");
pub(in super::super) const JAVA: Software = ("Java", gateways::JAVA.version);
pub(in super::super) const APACHE: Software =
    ("Apache httpd", "apache2 -v | sed -n 's,.*Apache/\\([0-9.]*\\).*,\\1,p'");
pub(in super::super) const TRAFFIC_SERVER: Software = (
    "Apache Traffic Server",
    "traffic_server --version 2>&1 | grep -oE '[0-9]+\\.[0-9]+\\.[0-9]+' | head -n 1",
);
pub(in super::super) const SNIPROXY: Software = ("sniproxy", "sniproxy -V 2>&1 | head -n 1 | cut -d' ' -f2");
pub(in super::super) const STUNNEL: Software =
    ("stunnel", "stunnel -version 2>&1 | sed -n 's/.*stunnel \\([0-9.]*\\) .*/\\1/p' | head -n 1");
pub(in super::super) const RUSTLS: Software = ("rustls", "");

const UNRECOGNIZED: Response = Alert(112, 0x0303);
const INTERNAL: Response = Alert(80, 0x0303);
const FAILURE: Response = Alert(40, 0x0303);
const ACCESS_DENIED: Response = Alert(49, 0x0303);

/// Returns an entry with the same responses by both TLS versions.
const fn refuser(
    software: Software,
    configuration: &'static str,
    release: Release,
    setup: fn(u16) -> Setup,
    responses: [Response; 2],
) -> Refuser {
    let implementation = Implementation::Programs(setup);
    Refuser { software, configuration, release, implementation, tls12: responses, tls13: responses }
}

impl Refuser {
    /// Changes the responses by TLS 1.2.
    const fn by_tls12(self, responses: [Response; 2]) -> Self {
        Self { tls12: responses, ..self }
    }

    /// Returns the listed response to a hello.
    pub(super) const fn expected(&self, version: Version, name: SentName) -> Response {
        let [without_sni, unknown_name] = match version {
            Version::Tls12 => self.tls12,
            Version::Tls13 => self.tls13,
        };
        match name {
            SentName::None => without_sni,
            SentName::Unknown => unknown_name,
            SentName::Right => Served,
        }
    }
}

/// The list. A run compares its responses with the measured ones.
pub(super) const ALL: &[Refuser] = &{
    use Release::{Bookworm, Machine, Sid};
    [
        refuser(ENVOY, "no filter chain matches", Machine, setups::envoy, [Reset; 2]),
        refuser(NGINX, "ssl_reject_handshake", Bookworm, setups::nginx_rejecting, [UNRECOGNIZED; 2]),
        refuser(NGINX, "ssl_reject_handshake", Sid, setups::nginx_rejecting, [UNRECOGNIZED; 2]),
        refuser(NGINX, "ssl_certificate $ssl_server_name", Bookworm, setups::nginx_by_name, [INTERNAL; 2]),
        refuser(NGINX, "stream, ssl_preread", Bookworm, setups::nginx_stream, [Closed; 2]),
        refuser(NGINX, "stream, ssl_preread", Sid, setups::nginx_stream, [Reset; 2]),
        refuser(HAPROXY, "strict-sni", Bookworm, setups::haproxy_strict, [UNRECOGNIZED; 2]),
        refuser(HAPROXY, "strict-sni", Sid, setups::haproxy_strict, [UNRECOGNIZED; 2]),
        refuser(HAPROXY, "mode tcp, no backend", Bookworm, setups::haproxy_tcp, [Closed; 2]),
        refuser(HAPROXY, "mode tcp, content reject", Bookworm, setups::haproxy_reject, [Closed; 2]),
        refuser(CADDY, "no certificate", Bookworm, setups::caddy, [INTERNAL; 2]),
        refuser(CADDY, "no certificate", Sid, setups::caddy, [INTERNAL; 2]),
        refuser(GO, "GetCertificate: nil", Bookworm, setups::go_nil, [UNRECOGNIZED; 2]),
        refuser(GO, "GetCertificate: nil", Sid, setups::go_nil, [UNRECOGNIZED; 2]),
        refuser(GO, "GetCertificate: error", Bookworm, setups::go_error, [INTERNAL; 2]),
        refuser(GO, "GetConfigForClient: error", Bookworm, setups::go_configuration, [Alert(80, 0x0301); 2]),
        refuser(NODE, "SNICallback: error", Bookworm, setups::node_error, [FAILURE, Closed]),
        refuser(NODE, "SNICallback: null", Bookworm, setups::node_null, [FAILURE; 2]),
        refuser(ERLANG, "sni_hosts", Bookworm, setups::erlang, [Closed; 2]).by_tls12([FAILURE; 2]),
        refuser(ERLANG, "sni_hosts", Sid, setups::erlang, [Alert(47, 0x0303); 2]).by_tls12([FAILURE; 2]),
        refuser(HITCH, "sni-nomatch-abort", Bookworm, setups::hitch, [Served, UNRECOGNIZED]),
        refuser(OPENSSL, "-servername_fatal", Bookworm, setups::s_server, [Served, UNRECOGNIZED]),
        refuser(GNUTLS, "--sni-hostname-fatal", Bookworm, setups::gnutls_serv, [Served, UNRECOGNIZED]),
        refuser(JAVA, "SNIMatcher", Bookworm, setups::java_matcher, [Served, UNRECOGNIZED]),
        refuser(JAVA, "key manager", Bookworm, setups::java_keys, [AfterServerHello; 2])
            .by_tls12([FAILURE; 2]),
        refuser(JAVA, "key manager", Sid, setups::java_keys, [AfterServerHello; 2]).by_tls12([FAILURE; 2]),
        refuser(APACHE, "SSLStrictSNIVHostCheck", Bookworm, setups::apache, [Served; 2]),
        refuser(TRAFFIC_SERVER, "no default certificate", Bookworm, setups::traffic_server, [FAILURE; 2]),
        refuser(SNIPROXY, "table", Bookworm, setups::sniproxy, [Alert(40, 0x0301); 2]),
        refuser(STUNNEL, "sni service", Bookworm, setups::stunnel, [Served; 2]),
        Refuser {
            software: RUSTLS,
            configuration: "ResolvesServerCertUsingSni",
            release: Machine,
            implementation: Implementation::Rustls,
            tls12: [ACCESS_DENIED; 2],
            tls13: [ACCESS_DENIED; 2],
        },
    ]
};
