//! How often each of many words came, the first of them told apart.

use std::collections::HashMap;

use sni_probe_model::REST;

use super::report::Counted;

/// Clients, names and reasons that are told apart, each. Stops a scan from filling the memory; further ones are counted
/// together, as [`REST`].
pub(super) const MAX_WORDS: usize = 16_384;
/// Longest word that is kept, in bytes: names have 253 at most, but reasons are Envoy's.
pub(super) const MAX_WORD_BYTES: usize = 256;

/// How often words came.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: HashMap<String, u64>,
    other: u64,
}

impl Tally {
    pub(super) fn add(&mut self, word: &str) {
        let word = &word[..word.floor_char_boundary(MAX_WORD_BYTES)];
        if let Some(count) = self.counts.get_mut(word) {
            *count += 1;
        } else if self.counts.len() < MAX_WORDS {
            self.counts.insert(word.to_owned(), 1);
        } else {
            self.other += 1;
        }
    }

    /// The words, most first, and the rest at the end.
    pub(super) fn counted(self) -> Vec<Counted> {
        let mut all: Vec<Counted> =
            self.counts.into_iter().map(|(name, count)| Counted { name, count }).collect();
        all.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
        if self.other > 0 {
            all.push(Counted { name: REST.to_owned(), count: self.other });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut() {
        let mut tally = Tally::default();
        tally.add(&"ü".repeat(1000));
        assert_eq!(tally.counted()[0].name.len(), MAX_WORD_BYTES);
    }
}
