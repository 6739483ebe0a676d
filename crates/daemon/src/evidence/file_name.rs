//! Names of evidence: `20261125T214501.123456Z-192.0.2.7-51234-reset_by_gateway.pcapng`.
//!
//! Time (UTC, so that they sort by it), client, its port, outcome. The colons of IPv6 are underscores. By its name a file is
//! known for one of ours; no others are ever touched.

use std::fmt::{self, Display};
use std::net::IpAddr;

use sni_probe_core::observation::Handshake;
use sni_probe_core::vocabulary::{Label as _, OutcomeClass};
use sni_probe_telemetry::events::WallClock;

const TIME_FORMAT: &str = "%Y%m%dT%H%M%S.%6fZ";
/// A time in that format, with 0 for each digit.
const TIME_PATTERN: &[u8] = b"00000000T000000.000000Z";
const EXTENSION: &str = ".pcapng";

/// The name of a file that is evidence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileName(String);

impl FileName {
    pub(super) fn new(handshake: &Handshake, clock: WallClock) -> Self {
        // Whom to call: behind a proxy, not the proxy.
        let client = handshake.proxied.map_or(handshake.flow.client, |proxied| proxied.client);
        let time = clock.utc(handshake.time).strftime(TIME_FORMAT);
        let address = client.ip().to_string().replace(':', "_");
        Self(format!("{time}-{address}-{}-{}{EXTENSION}", client.port(), handshake.outcome.class()))
    }

    /// `None` if it is no such name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(EXTENSION)?.split('-');
        let (time, address, port, outcome) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_outcome = OutcomeClass::ALL.iter().any(|class| class.as_str() == outcome);
        let is_ours = is_time(time)
            && address.replace('_', ":").parse::<IpAddr>().is_ok()
            && port.parse::<u16>().is_ok()
            && is_outcome
            && parts.next().is_none();
        is_ours.then(|| Self(name.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_time(text: &str) -> bool {
    let is_like = |(byte, pattern): (u8, &u8)| match pattern {
        b'0' => byte.is_ascii_digit(),
        other => byte == *other,
    };
    text.len() == TIME_PATTERN.len() && text.bytes().zip(TIME_PATTERN).all(is_like)
}

impl Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use sni_probe_core::observation::Proxied;

    use super::super::testing::handshake;
    use super::*;

    #[test]
    fn behind_a_proxy_the_client_is_the_one_in_the_header() {
        let mut handshake = handshake(1);
        handshake.proxied = Some(Proxied {
            client: "[2001:db8::9]:40000".parse().unwrap(),
            destination: "[2001:db8::1]:443".parse().unwrap(),
        });
        let name = FileName::new(&handshake, WallClock::UTC);
        assert_eq!(name.as_str(), "20260305T140323.000000Z-2001_db8__9-40000-reset_by_gateway.pcapng");
        assert_eq!(FileName::parse(name.as_str()), Some(name));
    }

    #[test]
    fn names_of_others_are_none() {
        for ours in [
            "20261125T214501.123456Z-192.0.2.7-51234-reset_by_gateway.pcapng",
            "20261125T214501.123456Z-2001_db8__7-51234-alert.pcapng",
        ] {
            assert_eq!(FileName::parse(ours).unwrap().as_str(), ours);
        }
        for other in [
            "",
            "notes.txt",
            "capture.pcapng",
            "20261125T214501.123456Z-192.0.2.7-51234-reset_by_gateway.pcap",
            "20261125T214501.123456Z-192.0.2.7-51234-reset.pcapng",
            "20261125T214501.123456Z-192.0.2.7-51234-alert-copy.pcapng",
            "20261125T214501.123456Z-192.0.2.7-512345-alert.pcapng",
            "20261125T214501.123456Z-example-51234-alert.pcapng",
            "20261125T214501.123456-192.0.2.7-51234-alert.pcapng",
            "2026-11-25T21:45:01.123456Z-192.0.2.7-51234-alert.pcapng",
            ".20261125T214501.123456Z-192.0.2.7-51234-alert.pcapng",
        ] {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
    }
}
