//! The labels of `sni_probe_negotiated_total`.

use sni_probe_core::observation::Negotiated;
use sni_probe_core::vocabulary::{Label as _, NamedGroup, TlsVersion};

use super::table::Key;

/// A TLS version and a group that occur together. Only TLS 1.3 has groups, so most pairs do not exist, and have no series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VersionAndGroup {
    version: TlsVersion,
    /// Of a version other than TLS 1.3: [`NamedGroup::None`].
    group: NamedGroup,
}

impl VersionAndGroup {
    pub(super) fn of(negotiated: Negotiated) -> Self {
        Self::new(negotiated.version, negotiated.named_group())
    }

    fn new(version: TlsVersion, group: NamedGroup) -> Self {
        let group = if version == TlsVersion::Tls13 { group } else { NamedGroup::None };
        Self { version, group }
    }

    /// All pairs, in the order of [`Key::index`].
    fn all() -> impl Iterator<Item = Self> {
        let groups = NamedGroup::ALL.iter().map(|&group| Self::new(TlsVersion::Tls13, group));
        let older = TlsVersion::ALL.iter().filter(|version| **version != TlsVersion::Tls13);
        groups.chain(older.map(|&version| Self::new(version, NamedGroup::None)))
    }
}

impl Key for VersionAndGroup {
    const COUNT: usize = NamedGroup::ALL.len() + TlsVersion::ALL.len() - 1;

    fn index(self) -> usize {
        match self.version {
            TlsVersion::Tls13 => self.group as usize,
            // TLS 1.3 is the first version.
            version => NamedGroup::ALL.len() + version as usize - 1,
        }
    }

    fn all_labels() -> Vec<Vec<&'static str>> {
        Self::all().map(|pair| vec![pair.version.as_str(), pair.group.as_str()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_a_pair_is_its_place_among_all_labels() {
        let pairs: Vec<_> = VersionAndGroup::all().collect();
        assert_eq!(pairs.len(), VersionAndGroup::COUNT);
        for (place, pair) in pairs.into_iter().enumerate() {
            assert_eq!(pair.index(), place, "{pair:?}");
        }
    }

    #[test]
    fn a_group_of_an_older_version_is_none() {
        let of = |version, group| {
            let pair = VersionAndGroup::of(Negotiated { version, cipher_suite: 0x1301, group });
            VersionAndGroup::all_labels()[pair.index()].join(" ")
        };
        assert_eq!(of(TlsVersion::Tls13, Some(0x001d)), "1.3 x25519");
        assert_eq!(of(TlsVersion::Tls13, Some(0x9999)), "1.3 other");
        assert_eq!(of(TlsVersion::Tls13, None), "1.3 none");
        assert_eq!(of(TlsVersion::Tls12, Some(0x001d)), "1.2 none");
        assert_eq!(of(TlsVersion::Unknown, None), "unknown none");
    }
}
