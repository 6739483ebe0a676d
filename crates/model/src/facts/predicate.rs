//! The properties of a ClientHello that may be why it is refused.

use sni_probe_core::vocabulary::{Label as _, TlsVersion};

use super::profile::{AlpnKey, Counts, MANY, NameKey, Profile, SizeClass, StatedReason};
use super::report::{FactName, VersionRule};

/// Handshakes of one profile, with what the others of the gateway say about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) profile: Profile,
    pub(super) counts: Counts,
    /// The gateway served this name in some handshake, or, of a hello without SNI, this class.
    pub(super) is_name_served: bool,
    /// The hello offers ALPN protocols, and all served ones offer others.
    pub(super) lacks_served_alpn: bool,
}

impl Row {
    /// Whether its refused handshakes are to be explained. Those without SNI are, where the gateway serves any; so are those
    /// with a name that is kept.
    pub(super) fn is_to_be_explained(&self) -> bool {
        match self.profile.name {
            NameKey::Known(_) => true,
            NameKey::Absent | NameKey::Empty | NameKey::Invalid => self.is_name_served,
            NameKey::Rest => false,
        }
    }

    pub(super) fn refused(&self) -> u64 {
        self.counts.refused.handshakes.into()
    }

    pub(super) fn served(&self) -> u64 {
        self.counts.served.handshakes.into()
    }
}

/// A property that a ClientHello has or has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predicate {
    /// So many TCP segments, or more.
    Segments(u8),
    /// So many TLS records, or more.
    Records(u8),
    /// So many bytes, or more.
    Length(u32),
    ProxyHeader {
        is_there: bool,
    },
    /// ALPN protocols of which no served hello offers any.
    OtherAlpn,
    /// No ALPN protocol.
    NoAlpn,
    /// A name that was never served.
    UnknownName,
    TrailingDot,
    UpperCase,
    Versions(VersionRule, TlsVersion),
}

impl Predicate {
    /// All that may separate refused from served handshakes in `rows`. Of versions and lengths that hold for the same handshakes,
    /// the one that claims least comes first.
    pub(super) fn all(rows: &[Row]) -> Vec<Self> {
        let mut all = vec![
            Self::ProxyHeader { is_there: true },
            Self::ProxyHeader { is_there: false },
            Self::OtherAlpn,
            Self::NoAlpn,
            Self::UnknownName,
            Self::TrailingDot,
            Self::UpperCase,
        ];
        all.extend((2..=MANY).flat_map(|count| [Self::Segments(count), Self::Records(count)]));
        // From the newest to the oldest.
        let versions = TlsVersion::ALL.iter().copied().filter(|&version| version != TlsVersion::Unknown);
        for rule in [VersionRule::AtLeast, VersionRule::OnlyFrom] {
            all.extend(versions.clone().map(|version| Self::Versions(rule, version)));
        }
        all.extend(versions.rev().map(|version| Self::Versions(VersionRule::AtMost, version)));
        let mut lengths = lengths(rows);
        lengths.sort_unstable();
        lengths.dedup();
        all.extend(lengths.into_iter().rev().map(Self::Length));
        all
    }

    /// The fact that it is.
    pub(super) fn fact(self) -> FactName {
        match self {
            Self::Segments(_) => FactName::SplitHello,
            Self::Records(_) => FactName::TwoRecords,
            Self::Length(_) => FactName::HelloSize,
            Self::ProxyHeader { .. } => FactName::ProxyHeader,
            Self::OtherAlpn | Self::NoAlpn => FactName::Alpn,
            Self::UnknownName => FactName::OneName,
            Self::TrailingDot => FactName::TrailingDot,
            Self::UpperCase => FactName::UpperCase,
            Self::Versions(..) => FactName::Versions,
        }
    }

    /// Whether a gateway hardly goes by this. A program reads one segment or record, or all of them.
    pub(super) fn is_unlikely(self) -> bool {
        matches!(self, Self::Segments(3..) | Self::Records(3..))
    }

    /// Refused handshakes of the row that it may explain. A refusal for which the gateway states a reason is explained by
    /// nothing else.
    pub(super) fn explains(self, row: &Row) -> u64 {
        if !row.is_to_be_explained() || !self.holds(row, Self::is_long_where_refused) {
            return 0;
        }
        let stated = |reason: StatedReason| u64::from(row.counts.stated[reason as usize]);
        let (versions, alpn) = (stated(StatedReason::Versions), stated(StatedReason::Alpn));
        match self.fact() {
            FactName::Versions => row.refused() - alpn,
            FactName::Alpn => row.refused() - versions,
            _ => row.refused() - versions - alpn,
        }
    }

    /// Served handshakes of the row that have it. Where the row does not show how many, all of them.
    pub(super) fn served_with(self, row: &Row) -> u64 {
        if self.holds(row, Self::is_long_where_served) { row.served() } else { 0 }
    }

    fn holds(self, row: &Row, is_long: fn(u32, &Row) -> bool) -> bool {
        let Row { profile, is_name_served, lacks_served_alpn, .. } = row;
        match self {
            Self::Segments(count) => profile.segments >= count,
            Self::Records(count) => profile.records >= count,
            Self::Length(length) => is_long(length, row),
            Self::ProxyHeader { is_there } => profile.has_proxy_header == is_there,
            Self::OtherAlpn => *lacks_served_alpn,
            Self::NoAlpn => profile.alpn == AlpnKey::None,
            Self::UnknownName => matches!(profile.name, NameKey::Known(_)) && !is_name_served,
            Self::TrailingDot => profile.has_trailing_dot,
            Self::UpperCase => profile.has_upper_case,
            Self::Versions(rule, version) => {
                // The order is from the newest to the oldest.
                let is_of = |offered: Option<TlsVersion>, rule: fn(TlsVersion, TlsVersion) -> bool| {
                    offered.is_some_and(|offered| rule(offered, version))
                };
                match rule {
                    VersionRule::AtMost => is_of(profile.versions.newest(), |newest, limit| newest >= limit),
                    VersionRule::AtLeast => is_of(profile.versions.newest(), |newest, limit| newest <= limit),
                    VersionRule::OnlyFrom => {
                        is_of(profile.versions.oldest(), |oldest, limit| oldest <= limit)
                    }
                }
            }
        }
    }

    fn is_long_where_refused(length: u32, row: &Row) -> bool {
        row.counts.refused.shortest >= length
    }

    fn is_long_where_served(length: u32, row: &Row) -> bool {
        row.counts.served.longest >= length
    }
}

/// Lengths at which refusals may begin: after the longest served hello, and at the shortest refused one of all, and of each
/// class.
fn lengths(rows: &[Row]) -> Vec<u32> {
    let served = rows.iter().filter(|row| row.served() > 0).map(|row| row.counts.served.longest).max();
    let refused = rows.iter().filter(|row| row.is_to_be_explained() && row.refused() > 0);
    let refused: Vec<&Row> = refused.collect();
    let shortest = |from: SizeClass| {
        let rows = refused.iter().filter(|row| row.profile.size >= from);
        rows.map(|row| row.counts.refused.shortest).min()
    };
    let after_served = served.and_then(|longest| {
        let longer = refused.iter().map(|row| row.counts.refused.shortest).filter(|&length| length > longest);
        longer.min()
    });
    after_served.into_iter().chain(SizeClass::all().filter_map(shortest)).collect()
}
