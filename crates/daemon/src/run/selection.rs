//! Which interfaces are to be watched: names, which must exist, and patterns, which follow what comes and goes.

use std::collections::BTreeSet;

use glob::Pattern;
use sni_probe_capture::links::{Link, Links};

/// The most interfaces that patterns may bring in at once: each takes metrics, and with packet sockets a ring.
pub(super) const MAX_FOUND: usize = 1024;

/// The patterns, and what was passed over for them.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    all: Vec<Pattern>,
    /// Interfaces that match and cannot be watched, which has been said.
    unsuitable: BTreeSet<u32>,
    /// Interfaces that match and are too many.
    refused: BTreeSet<u32>,
}

/// What [`Patterns::find`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Interfaces that match and are not watched yet.
    pub(super) new: Vec<String>,
    /// Those that match now and have no Ethernet header: name and link type.
    pub(super) unsuitable: Vec<(String, String)>,
    /// How many match now beyond [`MAX_FOUND`].
    pub(super) refused: u64,
}

impl Patterns {
    pub(super) fn new(patterns: impl IntoIterator<Item = Pattern>) -> Self {
        Self { all: patterns.into_iter().collect(), ..Self::default() }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// In words.
    pub(super) fn text(&self) -> String {
        self.all.iter().map(Pattern::as_str).collect::<Vec<_>>().join(", ")
    }

    /// Whether one of the interfaces matches.
    pub(super) fn match_any(&self, links: &Links) -> bool {
        links.all.iter().any(|link| self.matches(link))
    }

    fn matches(&self, link: &Link) -> bool {
        self.all.iter().any(|pattern| pattern.matches(&link.name))
    }

    /// Looks for interfaces that match and are not among those that are `watched`, by index. Each that cannot be is
    /// told once.
    pub(super) fn find(&mut self, links: &Links, watched: &BTreeSet<u32>) -> Found {
        let is_there = |index: &u32| links.all.iter().any(|link| link.index == *index);
        self.unsuitable.retain(is_there);
        self.refused.retain(is_there);
        let mut found = Found::default();
        for link in links.all.iter().filter(|link| !watched.contains(&link.index)) {
            if !self.matches(link) {
                continue;
            }
            if !link.has_ethernet_header {
                if self.unsuitable.insert(link.index) {
                    found.unsuitable.push((link.name.clone(), link.layer.clone()));
                }
            } else if watched.len() + found.new.len() < MAX_FOUND {
                self.refused.remove(&link.index);
                found.new.push(link.name.clone());
            } else if self.refused.insert(link.index) {
                found.refused += 1;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(names: impl IntoIterator<Item = String>) -> Links {
        let link = |(index, name)| Link {
            index,
            name,
            has_ethernet_header: true,
            layer: "ether".to_owned(),
            is_pair_to_elsewhere: true,
            ..Link::default()
        };
        Links { all: (1..).zip(names).map(link).collect(), ..Links::default() }
    }

    fn patterns(texts: &[&str]) -> Patterns {
        Patterns::new(texts.iter().map(|text| Pattern::new(text).expect("a pattern")))
    }

    #[test]
    fn what_matches_and_is_not_watched_is_found() {
        let links = links(["lo", "gke1", "gke2", "eth0"].map(str::to_owned));
        let mut patterns = patterns(&["gke*", "eth?"]);
        let found = patterns.find(&links, &BTreeSet::from([3]));
        assert_eq!(found.new, ["gke1", "eth0"]);
        assert_eq!((found.refused, found.unsuitable.len()), (0, 0));
    }

    #[test]
    fn what_has_no_ethernet_header_is_told_once() {
        let mut links = links(["tun0".to_owned()]);
        links.all[0].has_ethernet_header = false;
        let mut patterns = patterns(&["*"]);
        assert_eq!(patterns.find(&links, &BTreeSet::new()).unsuitable.len(), 1);
        assert_eq!(patterns.find(&links, &BTreeSet::new()), Found::default());
        // It is another one when it has come back.
        assert_eq!(patterns.find(&Links::default(), &BTreeSet::new()), Found::default());
        assert_eq!(patterns.find(&links, &BTreeSet::new()).unsuitable.len(), 1);
    }

    #[test]
    fn there_is_a_bound_and_each_beyond_it_is_counted_once() {
        let names: Vec<String> = (0..MAX_FOUND + 10).map(|number| format!("veth{number}")).collect();
        let mut patterns = patterns(&["veth*"]);
        let links = links(names);
        let found = patterns.find(&links, &BTreeSet::new());
        assert_eq!((found.new.len(), found.refused), (MAX_FOUND, 10));
        let mut watched: BTreeSet<u32> = links.all[..MAX_FOUND].iter().map(|link| link.index).collect();
        assert_eq!(patterns.find(&links, &watched), Found::default());
        // One goes: there is room for another.
        watched.remove(&1);
        let found = patterns.find(&Links { all: links.all[1..].to_vec(), ..Links::default() }, &watched);
        assert_eq!((found.new.len(), found.refused), (1, 0));
        assert_eq!(patterns.refused.len(), 9);
    }
}
