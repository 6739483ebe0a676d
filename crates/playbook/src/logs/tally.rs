//! Counts words: the first of them each, the rest together.

use sni_probe_core::tally::Tally;
use sni_probe_model::REST;

use super::report::Counted;

/// Clients, names and reasons that are told apart, each. Stops a scan from filling the memory; further ones are counted
/// together, as [`REST`].
pub(super) const MAX_WORDS: usize = 16_384;
/// Longest word that is kept, in bytes: names have 253 at most, but reasons are Envoy's.
pub(super) const MAX_WORD_BYTES: usize = 256;

/// How often words came.
#[derive(Debug)]
pub(super) struct Words(Tally<String, u64>);

impl Default for Words {
    fn default() -> Self {
        Self(Tally::new(MAX_WORDS))
    }
}

impl Words {
    pub(super) fn add(&mut self, word: &str) {
        *self.0.of(&word[..word.floor_char_boundary(MAX_WORD_BYTES)]) += 1;
    }

    /// The words, most first, and the rest at the end.
    pub(super) fn counted(self) -> Vec<Counted> {
        let (words, rest) = self.0.into_parts();
        let mut all: Vec<Counted> = words.map(|(name, count)| Counted { name, count }).collect();
        all.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
        if rest > 0 {
            all.push(Counted { name: REST.to_owned(), count: rest });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut() {
        let mut words = Words::default();
        words.add(&"ü".repeat(1000));
        assert_eq!(words.counted()[0].name.len(), MAX_WORD_BYTES);
    }
}
