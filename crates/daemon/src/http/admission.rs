//! Who is answered by the page and its API besides those who have a password: by the connection's address, and by the
//! name in the request.
//!
//! The name keeps out web sites that rebind theirs: a browser takes `http://site.example:9917/` for the same site after
//! its name was made to point to this host, and lets the site's scripts read the answer. What such a request cannot do is
//! to carry another `Host` than the site's own name.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};

use super::Peer;
use crate::config::{HostName, PageVisitors};

/// Characters of a refused name in the answer.
const MAX_SHOWN: usize = 100;

/// The rule for the page and its API.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    /// Connections from other hosts are served: the page is open to all, or a password is asked for.
    pub is_remote_allowed: bool,
    /// Names by which the page is opened, besides `localhost` and addresses.
    pub hosts: Vec<HostName>,
}

impl Admission {
    /// For `visitors` of a server that asks for passwords or does not.
    pub(super) fn new(visitors: PageVisitors, has_passwords: bool, hosts: Vec<HostName>) -> Self {
        Self { is_remote_allowed: has_passwords || visitors == PageVisitors::All, hosts }
    }

    /// Whether to serve a request by its connection and its name.
    ///
    /// # Errors
    /// The status, and a line that says what to do.
    pub(super) fn check(&self, peer: Peer, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = host(uri, headers)?;
        if !self.is_known(&host) {
            let shown: String = host.chars().take(MAX_SHOWN).collect();
            return Err((
                StatusCode::MISDIRECTED_REQUEST,
                format!(
                    "{shown:?} is not a name of this server; use an IP address or localhost, or name it with \
                     --web-host\n"
                ),
            ));
        }
        if !self.is_remote_allowed && !peer.is_local {
            return Err((
                StatusCode::FORBIDDEN,
                "the page and its API answer connections from this host only, such as kubectl port-forward makes; \
                 --auth-file opens them to whoever has a password, --web on to all\n"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    fn is_known(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_address = match address {
            // RFC 6874: a zone follows after "%25".
            Some(address) => address.split('%').next().is_some_and(|it| it.parse::<Ipv6Addr>().is_ok()),
            None => host.parse::<Ipv4Addr>().is_ok(),
        };
        let is_named = |name: &HostName| host.eq_ignore_ascii_case(name.as_str());
        is_address || host.eq_ignore_ascii_case("localhost") || self.hosts.iter().any(is_named)
    }
}

/// A status, and why.
pub(super) type Refusal = (StatusCode, String);

/// The host of a request without its port: of the target if that is a whole URL, else of the one header `Host` (RFC 9112,
/// 3.2).
fn host(uri: &Uri, headers: &HeaderMap) -> Result<String, Refusal> {
    let refusal = |why: &str| (StatusCode::BAD_REQUEST, format!("{why}\n"));
    let mut values = headers.get_all(header::HOST).iter();
    let (value, another) = (values.next(), values.next());
    if another.is_some() {
        return Err(refusal("more than one header Host"));
    }
    if let Some(host) = uri.host() {
        return Ok(host.to_owned());
    }
    let value = value.ok_or_else(|| refusal("no header Host"))?;
    let authority = value.to_str().ok().and_then(|value| value.trim().parse::<Authority>().ok());
    let authority = authority.filter(|it| !it.host().is_empty() && !it.as_str().contains('@'));
    authority.map(|it| it.host().to_owned()).ok_or_else(|| refusal("the header Host is damaged"))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn checked(visitors: PageVisitors, peer: &str, target: &str, hosts: &[&str]) -> u16 {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, host.parse().unwrap());
        }
        let names = vec!["probe.example.com".parse().unwrap()];
        let admission = Admission::new(visitors, false, names);
        let (peer, own) = (SocketAddr::new(peer.parse().unwrap(), 40_000), "10.0.0.1:9917".parse().unwrap());
        match admission.check(Peer::new(peer, Some(own)), &target.parse().unwrap(), &headers) {
            Ok(()) => 200,
            Err((status, line)) => {
                assert!(line.ends_with('\n') && line.len() < 300, "{line}");
                status.as_u16()
            }
        }
    }

    #[test]
    fn names_of_this_server() {
        for host in [
            "localhost",
            "LocalHost:9917",
            "localhost.:80",
            "127.0.0.1:9917",
            "10.0.0.1",
            "[::1]:9917",
            "[fe80::1%25eth0]:9917",
            "probe.example.com",
            "Probe.Example.Com.:443",
        ] {
            assert_eq!(checked(PageVisitors::Local, "127.0.0.1", "/", &[host]), 200, "{host}");
        }
        for host in [
            "site.example",
            "localhost.site.example",
            "127.0.0.1.site.example:9917",
            "notprobe.example.com",
            "probe.example.com.site.example",
            "localhost..",
            "[localhost]",
            "[127.0.0.1]",
            "127.1",
        ] {
            let status = checked(PageVisitors::All, "127.0.0.1", "/", &[host]);
            assert!(matches!(status, 400 | 421), "{host}: {status}");
        }
        let long = "x".repeat(5_000);
        assert_eq!(checked(PageVisitors::All, "127.0.0.1", "/", &[&long]), 421);
    }

    #[test]
    fn one_host_and_whole_urls() {
        let all = |target, hosts: &[&str]| checked(PageVisitors::All, "10.0.0.9", target, hosts);
        for hosts in [&[][..], &["localhost", "localhost"], &[""], &["a b"], &["user@localhost"], &[":9917"]]
        {
            assert_eq!(all("/", hosts), 400, "{hosts:?}");
        }
        // What a proxy would be sent: the URL counts.
        assert_eq!(all("http://localhost:9917/", &["site.example"]), 200);
        assert_eq!(all("http://site.example:9917/", &["localhost"]), 421);
    }

    #[test]
    fn other_hosts_need_a_password_or_an_open_page() {
        for peer in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "10.0.0.1", "::ffff:10.0.0.1"] {
            assert_eq!(checked(PageVisitors::Local, peer, "/", &["localhost"]), 200, "{peer}");
        }
        for peer in ["10.0.0.9", "fe80::1", "169.254.1.1"] {
            assert_eq!(checked(PageVisitors::Local, peer, "/", &["10.0.0.1"]), 403, "{peer}");
            assert_eq!(checked(PageVisitors::All, peer, "/", &["10.0.0.1"]), 200, "{peer}");
        }
        assert!(Admission::new(PageVisitors::Local, true, Vec::new()).is_remote_allowed);
    }
}
