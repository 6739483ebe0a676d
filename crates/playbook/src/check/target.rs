//! `HOST[:PORT]`, and the addresses that it stands for.

use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{bail, ensure};
use rustls::pki_types::{DnsName, ServerName};
use sni_probe_terminal::printable;

use super::config::Config;

const HTTPS_PORT: u16 = 443;
/// Addresses of a name that are tried, each for as long as `--timeout` says. Names of more are names of nobody's gateway.
const MAX_ADDRESSES: usize = 16;

/// Bytes of a name that is sent as it is given: that of the longest host name, and a dot (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 255;

/// What is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: Host,
    pub(super) port: u16,
    /// What the named hello says; `None`: there is no name.
    pub(super) name: Option<DnsName<'static>>,
    /// The name as it was given, if that is not [`Self::name`].
    pub(super) exact: Option<String>,
    /// Where to connect to; `None`: to what the host's name resolves to.
    connect: Option<SocketAddr>,
}

/// Whose certificate it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Name(DnsName<'static>),
    Address(IpAddr),
}

impl Target {
    /// # Errors
    /// Says what is no host name, address or port, and what it should look like.
    pub(super) fn of(config: &Config) -> anyhow::Result<Self> {
        let (host, port) = parse(&config.target)?;
        let of_host = match &host {
            Host::Name(name) => Some(name.clone()),
            Host::Address(_) => None,
        };
        let exact = config.sni.as_deref().map(parse_exact).transpose()?;
        // What is no host name, such as an address, is sent as it is.
        let name = exact.and_then(|exact| parse_name(exact).ok()).or(of_host);
        let exact =
            exact.filter(|exact| name.as_ref().is_none_or(|name| name.as_ref() != *exact)).map(str::to_owned);
        let connect = config.connect.map(|connect| SocketAddr::new(connect.ip, connect.port.unwrap_or(port)));
        Ok(Self { host, port, name, exact, connect })
    }

    /// The host for which a certificate should be: the name that is asked for, if one is.
    pub(super) fn expected(&self) -> Host {
        self.name.clone().map_or_else(|| self.host.clone(), Host::Name)
    }

    /// The host of a request, with its port if that is not the usual one.
    pub(super) fn authority(&self) -> String {
        let host = match self.expected() {
            Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
            host => host.to_string(),
        };
        if self.port == HTTPS_PORT { host } else { format!("{host}:{}", self.port) }
    }

    /// Where to connect to, in the order of the resolver.
    ///
    /// # Errors
    /// In words for people: there is no such host, or nobody told within `timeout`.
    pub(super) fn addresses(&self, timeout: Duration) -> Result<Vec<SocketAddr>, String> {
        match (self.connect, &self.host) {
            (Some(address), _) => Ok(vec![address]),
            (None, Host::Address(ip)) => Ok(vec![SocketAddr::new(*ip, self.port)]),
            (None, Host::Name(name)) => resolve(name.as_ref(), self.port, timeout),
        }
    }
}

impl Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name.as_ref()),
            Self::Address(address) => address.fmt(f),
        }
    }
}

fn resolve(name: &str, port: u16, timeout: Duration) -> Result<Vec<SocketAddr>, String> {
    let (sender, receiver) = mpsc::channel();
    let asked = (name.to_owned(), port);
    // The system's resolver knows no deadline. If it takes longer, its thread is left behind, and ends with the process.
    let resolver = thread::Builder::new().name("resolver".to_owned()).spawn(move || {
        let addresses =
            asked.to_socket_addrs().map(|addresses| addresses.take(MAX_ADDRESSES).collect::<Vec<_>>());
        // Nobody waits any longer: nobody is to be told.
        let _ = sender.send(addresses);
    });
    resolver.map_err(|error| format!("cannot start a thread: {error}"))?;
    match receiver.recv_timeout(timeout) {
        Ok(Ok(addresses)) if addresses.is_empty() => Err(format!("{name} has no address")),
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => Err(format!("{name} cannot be resolved: {error}")),
        Err(_) => Err(format!("{name} cannot be resolved: no answer within {timeout:?}")),
    }
}

/// Takes `HOST`, `HOST:PORT`, IPv6 with and without brackets, and what an address bar has.
fn parse(text: &str) -> anyhow::Result<(Host, u16)> {
    let text = text.trim();
    ensure!(
        !text.starts_with("http://"),
        "{}: plain HTTP has no TLS to check; leave http:// out",
        printable(text)
    );
    let authority = text.strip_prefix("https://").unwrap_or(text);
    let authority = authority.split_once('/').map_or(authority, |(authority, _path)| authority);
    if let Some((_, host)) = authority.rsplit_once('@') {
        // Not repeated: there may be a password in it.
        bail!("a handshake takes no user and password: leave out what is before @{}", printable(host));
    }
    if let Ok(address) = authority.parse::<Ipv6Addr>() {
        return Ok((Host::Address(address.into()), HTTPS_PORT));
    }
    let (host, port) = match authority.rsplit_once(':') {
        // The colon may be one of an IPv6 address in brackets.
        Some((host, port)) if !port.ends_with(']') => (host, parse_port(port, text)?),
        _ => (authority, HTTPS_PORT),
    };
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').and_then(|address| address.parse::<Ipv6Addr>().ok());
        let Some(address) = address else {
            bail!("{}: expected an IPv6 address in the brackets", printable(text))
        };
        return Ok((Host::Address(address.into()), port));
    }
    match host.parse() {
        Ok(address) => Ok((Host::Address(address), port)),
        Err(_) => Ok((Host::Name(parse_name(host)?), port)),
    }
}

fn parse_port(port: &str, whole: &str) -> anyhow::Result<u16> {
    match port.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => bail!("{}: {} is no port; expected 1 to 65535", printable(whole), printable(port)),
    }
}

/// Takes what may stand in a `server_name`: printable ASCII, at most [`MAX_NAME`] bytes.
fn parse_exact(text: &str) -> anyhow::Result<&str> {
    ensure!(text.is_ascii(), "--sni {}: write the name in ASCII, as xn--...", printable(text));
    let is_name = (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    ensure!(is_name, "--sni {:?}: expected a name such as api-test.mydomain.com", printable(text));
    Ok(text)
}

fn parse_name(text: &str) -> anyhow::Result<DnsName<'static>> {
    // RFC 6066, section 3: without the trailing dot.
    let name = text.strip_suffix('.').unwrap_or(text);
    match ServerName::try_from(name) {
        Ok(ServerName::DnsName(name)) => Ok(name.to_lowercase_owned()),
        _ if !name.is_ascii() => bail!("{}: write the name in ASCII, as xn--...", printable(text)),
        _ => bail!("{:?} is no host name; expected one such as api-test.mydomain.com", printable(text)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::config::Config;
    use super::Target;

    fn parse(text: &str) -> Result<String, String> {
        let target = Target::of(&Config::of(text)).map_err(|error| format!("{error:#}"))?;
        Ok(format!("{} {} {}", target.host, target.port, target.name.is_some()))
    }

    #[test]
    fn targets() {
        for (text, expected) in [
            ("a.example", "a.example 443 true"),
            ("A.Example.:8443", "a.example 8443 true"),
            ("https://a.example/path?b", "a.example 443 true"),
            ("https://a.example:444/", "a.example 444 true"),
            ("my_host", "my_host 443 true"),
            ("10.1.2.3", "10.1.2.3 443 false"),
            ("10.1.2.3:8443", "10.1.2.3 8443 false"),
            ("fd77::1", "fd77::1 443 false"),
            ("[fd77::1]", "fd77::1 443 false"),
            ("[fd77::1]:8443", "fd77::1 8443 false"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for (text, part) in [
            ("", "no host name"),
            ("http://a.example", "plain HTTP"),
            ("https://me:secret@a.example/", "no user and password: leave out what is before @a.example"),
            ("a.example:0", "0 is no port"),
            ("a.example:https", "https is no port"),
            ("a.example:70000", "1 to 65535"),
            ("[a.example]:1", "in the brackets"),
            ("[::1", "in the brackets"),
            ("bücher.example", "xn--"),
            ("a example", "no host name"),
            ("-", "no host name"),
            ("a\u{1b}[31m", "\\x1b"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                error.contains(part) && !error.contains(['\n', '\u{1b}']) && !error.contains("secret"),
                "{text}: {error}"
            );
        }
        for (sni, part) in [
            ("", "expected a name"),
            ("a b", "expected a name"),
            ("bücher.example", "xn--"),
            ("a\n", "\\x0a"),
        ] {
            let config = Config { sni: Some(sni.to_owned()), ..Config::of("a.example") };
            let error = format!("{:#}", Target::of(&config).unwrap_err());
            assert!(error.starts_with("--sni") && error.contains(part) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn names_as_they_are_given() {
        for (sni, name, exact) in [
            ("b.example", Some("b.example"), None),
            ("B.example", Some("b.example"), Some("B.example")),
            ("b.example.", Some("b.example"), Some("b.example.")),
            ("10.1.2.3", Some("a.example"), Some("10.1.2.3")),
            ("::1", Some("a.example"), Some("::1")),
            ("a.example:443", Some("a.example"), Some("a.example:443")),
        ] {
            let target =
                Target::of(&Config { sni: Some(sni.to_owned()), ..Config::of("a.example") }).unwrap();
            assert_eq!(
                (target.name.as_ref().map(AsRef::as_ref), target.exact.as_deref()),
                (name, exact),
                "{sni}"
            );
        }
    }

    #[test]
    fn the_name_of_the_flag_is_what_the_certificate_should_be_for() {
        let config = Config { sni: Some("b.example".to_owned()), ..Config::of("10.1.2.3") };
        assert_eq!(Target::of(&config).unwrap().expected().to_string(), "b.example");
    }

    #[test]
    fn names_without_an_address() {
        let target = Target::of(&Config::of("nobody.invalid")).unwrap();
        let error = target.addresses(Duration::from_secs(30)).unwrap_err();
        assert!(error.starts_with("nobody.invalid cannot be resolved"), "{error}");
    }
}
