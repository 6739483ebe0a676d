//! What was counted of a gateway, as the search for facts reads it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::gateway::{Gateway, protocols};
use super::predicate::Row;
use super::profile::{AlpnKey, Counts, NameKey, Profile};

/// Everything that is known of a gateway, ready to be searched.
pub(super) struct View<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) rows: Vec<Row>,
    /// Names by number.
    names: Vec<&'a str>,
    /// ALPN lists by number.
    pub(super) alpn: Vec<Vec<&'a [u8]>>,
}

impl<'a> View<'a> {
    pub(super) fn new(gateway: &'a Gateway) -> Self {
        let mut names = vec![""; gateway.names.len()];
        for (text, name) in gateway.names.iter() {
            names[usize::from(name.number)] = text;
        }
        let mut alpn = vec![Vec::new(); gateway.alpn.len()];
        for (list, &number) in gateway.alpn.iter() {
            alpn[usize::from(number)] = protocols(list);
        }
        let served = || gateway.profiles.iter().filter(|(_, counts)| counts.served.handshakes > 0);
        let served_names: Vec<NameKey> = served().map(|(profile, _)| profile.name).collect();
        let protocols_of = |key: AlpnKey| match key {
            AlpnKey::Known(number) => alpn[usize::from(number)].as_slice(),
            AlpnKey::None | AlpnKey::Rest => &[],
        };
        let served_protocols: BTreeSet<&[u8]> =
            served().flat_map(|(profile, _)| protocols_of(profile.alpn)).copied().collect();
        let row = |profile: &Profile, counts: &Counts| {
            let offered = protocols_of(profile.alpn);
            Row {
                profile: *profile,
                counts: *counts,
                is_name_served: served_names.contains(&profile.name),
                lacks_served_alpn: !offered.is_empty()
                    && !offered.iter().any(|protocol| served_protocols.contains(protocol)),
            }
        };
        let rows = gateway.profiles.iter().map(|(profile, counts)| row(profile, counts)).collect();
        Self { gateway, rows, names, alpn }
    }

    pub(super) fn name(&self, row: &Row) -> Option<&'a str> {
        match row.profile.name {
            NameKey::Known(number) => self.names.get(usize::from(number)).copied(),
            _ => None,
        }
    }

    /// Names that were refused and never served, with how many handshakes, those refused most first.
    pub(super) fn unknown_names(&self) -> Vec<(&'a str, u64)> {
        let mut names: BTreeMap<&str, u64> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| !row.is_name_served && row.refused() > 0) {
            if let Some(name) = self.name(row) {
                *names.entry(name).or_default() += row.refused();
            }
        }
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_by_key(|&(name, refused)| (Reverse(refused), name));
        names
    }
}
