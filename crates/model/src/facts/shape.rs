//! How a gateway refuses, and which gateways are known to refuse like that.
//!
//! The table is `refusal_shapes.tsv`: gateways that were measured, each with its versions and its configuration.

use std::sync::LazyLock;

use sni_probe_core::observation::{Handshake, Outcome};
use sni_probe_core::vocabulary::{AlertDescription, Feature, Label as _, TlsVersion};

/// One line a behaviour. Comments begin with `#`.
const TABLE: &str = include_str!("refusal_shapes.tsv");

/// What a refusal looks like on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) reply: Reply,
    /// A HelloRetryRequest came before it.
    pub(super) after_hello_retry: bool,
    /// The ClientHello offers TLS 1.3.
    pub(super) offers_tls13: bool,
}

/// How a refusal ends the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reply {
    Reset,
    Close,
    Alert {
        description: AlertDescription,
        /// The version in the header of the alert's record, if it is known.
        record_version: Option<u16>,
    },
    /// Any end after a ServerHello.
    AfterServerHello,
}

impl Shape {
    /// The shape of a refused handshake; `None` of any other one.
    pub(super) fn of(handshake: &Handshake) -> Option<Self> {
        let outcome = handshake.outcome;
        if !outcome.is_refused() {
            return None;
        }
        let reply = match outcome {
            Outcome::ResetByGateway => Reply::Reset,
            Outcome::ClosedByGateway => Reply::Close,
            Outcome::Alert { description, .. } => {
                Reply::Alert { description, record_version: handshake.answer.alert_record_version }
            }
            _ => Reply::AfterServerHello,
        };
        let version = handshake.hello.body.as_ref().map(|body| body.version);
        Some(Self {
            reply,
            after_hello_retry: handshake.hello.features.contains(Feature::HelloRetry),
            offers_tls13: version == Some(TlsVersion::Tls13),
        })
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reset => f.write_str("RST"),
            Self::Close => f.write_str("FIN"),
            Self::Alert { description, record_version: None } => write!(f, "alert {description}"),
            Self::Alert { description, record_version: Some(version) } => {
                write!(f, "alert {description} in a record of version {version:#06x}")
            }
            Self::AfterServerHello => f.write_str("an end after the ServerHello"),
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let before = if self.after_hello_retry { "HelloRetryRequest, then " } else { "" };
        write!(f, "{before}{}", self.reply)
    }
}

/// What a gateway does with one kind of ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    Served,
    Refused(Shape),
}

/// Which kind of ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HelloKind {
    WithoutSni,
    /// With a name that the gateway never served.
    UnknownName,
}

/// A gateway of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Known {
    pub(super) software: &'static str,
    pub(super) versions: &'static str,
    pub(super) configuration: &'static str,
}

/// The gateways of the table that do all of this, in the order of the table.
pub(super) fn known(seen: &[(HelloKind, Behaviour)]) -> Vec<Known> {
    static LINES: LazyLock<Vec<Line>> = LazyLock::new(|| TABLE.lines().filter_map(Line::read).collect());
    let mut gateways: Vec<Known> = Vec::new();
    for line in LINES.iter() {
        if gateways.contains(&line.gateway) {
            continue;
        }
        let does = |&(kind, behaviour): &(HelloKind, Behaviour)| {
            let lines = LINES.iter().filter(|other| other.gateway == line.gateway);
            lines.into_iter().any(|line| line.does(kind, behaviour))
        };
        if seen.iter().all(does) {
            gateways.push(line.gateway);
        }
    }
    gateways
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
struct Line {
    gateway: Known,
    /// Of which hellos this holds: those that offer TLS 1.3, those that do not, or (`None`) all.
    offers_tls13: Option<bool>,
    /// The gateway may send a HelloRetryRequest before it refuses.
    may_retry: bool,
    without_sni: Entry,
    unknown_name: Entry,
}

/// A cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    NotMeasured,
    Served,
    Refused(Reply),
}

impl Line {
    /// Reads a line; `None` of a comment, or one that is malformed. The tests see to it that none is.
    fn read(line: &'static str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let mut columns = line.split('\t');
        let mut column = || columns.next();
        let gateway = Known { software: column()?, versions: column()?, configuration: column()? };
        let offers_tls13 = match column()? {
            "any" => None,
            "1.3" => Some(true),
            "1.2" => Some(false),
            _ => return None,
        };
        let without_sni = Entry::read(column()?)?;
        let unknown_name = Entry::read(column()?)?;
        let may_retry = match column()? {
            "hello_retry" => true,
            "-" => false,
            _ => return None,
        };
        Some(Self { gateway, offers_tls13, may_retry, without_sni, unknown_name })
    }

    fn does(&self, kind: HelloKind, behaviour: Behaviour) -> bool {
        let entry = match kind {
            HelloKind::WithoutSni => self.without_sni,
            HelloKind::UnknownName => self.unknown_name,
        };
        match (entry, behaviour) {
            (Entry::Served, Behaviour::Served) => true,
            (Entry::Refused(reply), Behaviour::Refused(shape)) => {
                self.offers_tls13.is_none_or(|offers| offers == shape.offers_tls13)
                    && (self.may_retry || !shape.after_hello_retry)
                    && reply.is(shape.reply)
            }
            _ => false,
        }
    }
}

impl Reply {
    /// Whether what was seen is this. A record version that was not seen may be any.
    fn is(self, seen: Self) -> bool {
        match (self, seen) {
            (
                Self::Alert { description, record_version },
                Self::Alert { description: seen, record_version: seen_version },
            ) => {
                description == seen
                    && (record_version.is_none() || seen_version.is_none() || record_version == seen_version)
            }
            _ => self == seen,
        }
    }
}

impl Entry {
    fn read(cell: &str) -> Option<Self> {
        Some(match cell {
            "-" => Self::NotMeasured,
            "served" => Self::Served,
            "rst" => Self::Refused(Reply::Reset),
            "fin" => Self::Refused(Reply::Close),
            "after_server_hello" => Self::Refused(Reply::AfterServerHello),
            alert => {
                let (description, version) = alert.split_once('/')?;
                let is_description = |known: &&AlertDescription| known.as_str() == description;
                let description = *AlertDescription::ALL.iter().find(is_description)?;
                let record_version = Some(u16::from_str_radix(version, 16).ok()?);
                Self::Refused(Reply::Alert { description, record_version })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &str =
        "# software\tversions\tconfiguration\thello\twithout_sni\tunknown_name\thello_retry";

    fn software(seen: &[(HelloKind, Behaviour)]) -> Vec<&'static str> {
        let mut software: Vec<_> = known(seen).into_iter().map(|known| known.software).collect();
        software.dedup();
        software
    }

    fn refused(reply: Reply) -> Behaviour {
        Behaviour::Refused(Shape { reply, after_hello_retry: false, offers_tls13: true })
    }

    fn alert(description: AlertDescription, version: u16) -> Reply {
        Reply::Alert { description, record_version: Some(version) }
    }

    #[test]
    fn the_table_is_well_formed() {
        assert!(TABLE.lines().any(|line| line == COLUMNS));
        let mut seen = std::collections::HashSet::new();
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            assert_eq!(line.split('\t').count(), 7, "{line}");
            assert!(line.is_ascii() && line.split('\t').all(|cell| !cell.is_empty() && cell.trim() == cell));
            let read = Line::read(line).unwrap_or_else(|| panic!("malformed: {line}"));
            assert!(seen.insert((read.gateway, read.offers_tls13)), "twice: {line}");
            assert!(
                [read.without_sni, read.unknown_name].iter().any(|cell| matches!(cell, Entry::Refused(_))),
                "refuses nothing: {line}"
            );
        }
    }

    #[test]
    fn gateways_by_their_refusals() {
        use HelloKind::{UnknownName, WithoutSni};
        let reset = refused(Reply::Reset);
        let envoy = software(&[(WithoutSni, reset), (UnknownName, reset)]);
        assert!(envoy.contains(&"Envoy") && !envoy.contains(&"HAProxy"), "{envoy:?}");

        let node = refused(alert(AlertDescription::HandshakeFailure, 0x0303));
        assert_eq!(software(&[(WithoutSni, node), (UnknownName, refused(Reply::Close))]), ["Node.js"]);

        let old = refused(alert(AlertDescription::HandshakeFailure, 0x0301));
        assert_eq!(software(&[(WithoutSni, old)]), ["sniproxy"]);

        let name = refused(alert(AlertDescription::UnrecognizedName, 0x0303));
        let lenient = software(&[(WithoutSni, Behaviour::Served), (UnknownName, name)]);
        assert!(lenient.contains(&"hitch") && !lenient.contains(&"nginx"), "{lenient:?}");
        // That the record's version is not known contradicts nothing.
        let unknown = Reply::Alert { description: AlertDescription::UnrecognizedName, record_version: None };
        assert!(software(&[(UnknownName, refused(unknown))]).contains(&"nginx"));
    }

    #[test]
    fn a_hello_retry_request_comes_from_few() {
        let shape = Shape {
            reply: alert(AlertDescription::UnrecognizedName, 0x0303),
            after_hello_retry: true,
            offers_tls13: true,
        };
        let seen = software(&[(HelloKind::WithoutSni, Behaviour::Refused(shape))]);
        assert_eq!(seen, ["Go crypto/tls"]);
    }

    #[test]
    fn some_refuse_tls_13_otherwise_than_tls_12() {
        let shape =
            |reply, offers_tls13| Behaviour::Refused(Shape { reply, after_hello_retry: false, offers_tls13 });
        let failure = alert(AlertDescription::HandshakeFailure, 0x0303);
        let kind = HelloKind::WithoutSni;
        let both = [(kind, shape(Reply::AfterServerHello, true)), (kind, shape(failure, false))];
        assert!(software(&both).iter().all(|software| software.starts_with("Java") || *software == "Jetty"));
        assert!(!software(&both).is_empty());
        assert!(software(&[(kind, shape(Reply::AfterServerHello, false))]).is_empty());
    }
}
