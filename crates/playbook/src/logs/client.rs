//! The client's address in the forms in which logs have it.

use std::net::{IpAddr, SocketAddr};

/// What is known of a client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientAddress {
    pub(super) ip: IpAddr,
    /// `None` if the log has no port: such an entry cannot be joined with events.
    pub(super) port: Option<u16>,
}

impl ClientAddress {
    /// Parses `10.0.0.1:2`, `[2001:db8::1]:2`, `tcp://10.0.0.1:2`, or an address without a port.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.split_once("://").map_or(text, |(_, address)| address);
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Some(Self { ip: address.ip().to_canonical(), port: Some(address.port()) });
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let ip: IpAddr = bare.parse().ok()?;
        Some(Self { ip: ip.to_canonical(), port: None })
    }

    /// Parses the form of HAProxy: the port is after the last colon, and IPv6 has no brackets (`2001:db8::1:2`).
    pub(super) fn parse_haproxy(text: &str) -> Option<Self> {
        let (ip, port) = text.rsplit_once(':')?;
        let ip: IpAddr = ip.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        Some(Self { ip: ip.to_canonical(), port: Some(port.parse().ok()?) })
    }

    /// The address to join events by.
    pub(super) fn socket(self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.ip, self.port?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_addresses() {
        for (text, ip, port) in [
            ("10.0.0.1:2", "10.0.0.1", Some(2)),
            ("tcp://10.0.0.1:2", "10.0.0.1", Some(2)),
            ("tcp://[2001:db8::1]:2", "2001:db8::1", Some(2)),
            ("[::ffff:10.0.0.1]:2", "10.0.0.1", Some(2)),
            ("10.0.0.1", "10.0.0.1", None),
            ("2001:db8::1", "2001:db8::1", None),
            ("[2001:db8::1]", "2001:db8::1", None),
        ] {
            let parsed = ClientAddress::parse(text).unwrap();
            assert_eq!((parsed.ip, parsed.port), (ip.parse().unwrap(), port), "{text}");
        }
        for text in ["", "pipe", "a.example:1", "10.0.0.1:x", "://", "envoy://internal"] {
            assert_eq!(ClientAddress::parse(text), None, "{text}");
        }
    }

    #[test]
    fn addresses_of_haproxy() {
        for (text, socket) in [
            ("::1:59526", "[::1]:59526"),
            ("2001:db8::7:50191", "[2001:db8::7]:50191"),
            ("::ffff:192.0.2.7:5", "192.0.2.7:5"),
            ("192.0.2.7:5", "192.0.2.7:5"),
        ] {
            let parsed = ClientAddress::parse_haproxy(text).unwrap();
            assert_eq!(parsed.socket(), Some(socket.parse().unwrap()), "{text}");
        }
        assert_eq!(ClientAddress::parse_haproxy("unix:1"), None);
    }
}
