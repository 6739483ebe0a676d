//! The command line of `check`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sni_probe_playbook::check::{self, Connect};

/// Connect to a gateway with and without SNI, and say what it does
///
/// Three TLS handshakes by rustls, one after the other: with the name, without SNI, and with a name that nobody serves. Then the
/// name exactly as --sni gives it, and a post-quantum ClientHello in two segments; what rustls cannot send is sent without
/// completing the handshake. Shows the outcome of each, and the certificate. No certificate is verified, and without --http no
/// request is sent.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = EPILOGUE)]
pub(crate) struct CheckOptions {
    /// Host name or IP address of the gateway; the port is 443 if there is none
    ///
    /// IPv6 addresses with a port are in brackets. A URL (https://...) will do. Of an IP address, without --sni, the
    /// handshake with the name is left out.
    #[arg(value_name = "HOST[:PORT]")]
    pub(crate) target: String,

    /// Connect to this address instead of those that the host name has
    #[arg(long, value_name = "IP[:PORT]", value_parser = parse_connect)]
    pub(crate) connect: Option<Connect>,

    /// Name to ask for by SNI, and for which the certificate should be [default: HOST]
    ///
    /// Where it has capitals or a dot at its end, or is no host name, such as an IP address, a further hello has it exactly as given.
    #[arg(long, value_name = "NAME")]
    pub(crate) sni: Option<String>,

    /// After each handshake with the name and without SNI, make one request for this path
    ///
    /// An answer of 400, 403 or 421 to the client without SNI, and another one with the name, is a rejection: Apache (2.4.68
    /// and later), Tomcat and Jetty refuse such clients there. The Host header has the name.
    #[arg(long, value_name = "PATH")]
    pub(crate) http: Option<String>,

    /// Offer this version of TLS only [default: 1.2 and 1.3]
    #[arg(long, value_name = "VERSION", value_enum)]
    pub(crate) tls: Option<OfferedTls>,

    /// For programs: one JSON document
    #[arg(long)]
    pub(crate) json: bool,

    /// How long looking up the name, and each connection and its handshake, may take (100ms to 1m)
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_timeout)]
    pub(crate) timeout: Duration,
}

const EPILOGUE: &str = "\
Examples:
  sni-probe check api-test.mydomain.com
      Are clients without SNI served there? The three handshakes, and the answer in a sentence.
  sni-probe check api-test.mydomain.com --connect 10.1.2.3
      The same of one address: a new gateway before its name points to it, or one of several.
  sni-probe check 10.1.2.3:8443 --sni api-test.mydomain.com --tls 1.2
      The same written from the other end, and as an old client would: TLS 1.2 only.
  sni-probe check --json api-test.mydomain.com | jq -r .verdict
      For programs: non_sni_refused, non_sni_same_certificate, non_sni_other_certificate, rejected_by_http,
      name_refused, unknown.
  sni-probe check api-test.mydomain.com --http /healthz
      Does the gateway reject clients without SNI by HTTP?

Exit codes:
  0  clients without SNI are served
  1  clients without SNI are refused, or rejected by HTTP; or rustls is refused with the name as well
  2  it could not be told: nobody answers, or not by TLS; or the command line is wrong";

/// `--tls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OfferedTls {
    /// TLS 1.2
    #[value(name = "1.2")]
    Tls12,
    /// TLS 1.3
    #[value(name = "1.3")]
    Tls13,
}

impl CheckOptions {
    /// What the flags ask for.
    pub(crate) fn config(self) -> check::Config {
        check::Config {
            target: self.target,
            connect: self.connect,
            sni: self.sni,
            http: self.http,
            tls: self.tls.map(|tls| match tls {
                OfferedTls::Tls12 => check::OfferedTls::Tls12,
                OfferedTls::Tls13 => check::OfferedTls::Tls13,
            }),
            json: self.json,
            timeout: self.timeout,
        }
    }
}

pub(super) fn parse_connect(text: &str) -> Result<Connect, &'static str> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse() {
        return Ok(Connect { ip, port: None });
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(Connect { ip: address.ip(), port: Some(address.port()) }),
        _ => Err(
            "expected an IP address, and a port if it is another, such as 10.1.2.3, 10.1.2.3:8443 or [::1]:8443",
        ),
    }
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    super::values::parse_duration(text, Duration::from_millis(100)..=Duration::from_mins(1), "100ms to 1m")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{CheckOptions, Connect, OfferedTls, check, parse_connect};
    use crate::cli::{Command, one_line, try_parse};

    fn parse(arguments: &[&str]) -> Result<CheckOptions, String> {
        let arguments = ["sni-probe", "check"].iter().chain(arguments).map(OsString::from);
        let cli = try_parse(arguments).map_err(|error| one_line(&error))?;
        let Command::Check(options) = cli.command else { panic!("another verb") };
        Ok(options)
    }

    #[test]
    fn the_constructor_has_the_defaults() {
        let (parsed, made) = (parse(&["a.example"]).unwrap().config(), check::Config::of("a.example"));
        assert_eq!(format!("{parsed:?}"), format!("{made:?}"));
    }

    #[test]
    fn every_flag() {
        let flags = [
            "--connect",
            "[::1]:8443",
            "--sni",
            "b.example",
            "--http",
            "/",
            "--tls",
            "1.2",
            "--json",
            "--timeout",
            "1s",
        ];
        let options = parse(&[&["a.example:443"], &flags[..]].concat()).unwrap();
        assert_eq!(options.connect, Some(Connect { ip: "::1".parse().unwrap(), port: Some(8443) }));
        assert_eq!((options.sni.as_deref(), options.tls), (Some("b.example"), Some(OfferedTls::Tls12)));
        assert_eq!(options.http.as_deref(), Some("/"));
        assert!(options.json && options.timeout.as_secs() == 1);
    }

    #[test]
    fn bad_values_are_told_in_one_line() {
        for (arguments, part) in [
            (&[][..], "<HOST[:PORT]>"),
            (&["a.example", "--connect", "b.example"], "10.1.2.3:8443"),
            (&["a.example", "--tls", "1.1"], "1.2, 1.3"),
            (&["a.example", "--timeout", "5"], "such as 30s"),
            (&["a.example", "--timeout", "1h"], "100ms to 1m"),
        ] {
            let message = parse(arguments).unwrap_err();
            assert!(!message.contains('\n') && message.contains(part), "{part} is not in: {message}");
        }
    }

    #[test]
    fn addresses_to_connect_to() {
        let parse = |text| parse_connect(text).ok().map(|connect| (connect.ip.to_string(), connect.port));
        assert_eq!(parse("10.1.2.3"), Some(("10.1.2.3".to_owned(), None)));
        assert_eq!(parse("10.1.2.3:8443"), Some(("10.1.2.3".to_owned(), Some(8443))));
        assert_eq!(parse("fd77::1"), Some(("fd77::1".to_owned(), None)));
        assert_eq!(parse("[fd77::1]"), Some(("fd77::1".to_owned(), None)));
        for wrong in ["", "10.1.2", "10.1.2.3:0", "10.1.2.3:99999", "[::1", "gateway:443"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
