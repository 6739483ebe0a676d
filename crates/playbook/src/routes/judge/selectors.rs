//! Selectors of pods.

/// Whether the same pods may have the labels of both: no key has two values.
pub(super) fn agree(one: &[String], other: &[String]) -> bool {
    let pairs = |labels| <[String]>::iter(labels).filter_map(|label| label.split_once('='));
    pairs(one).all(|(key, value)| pairs(other).all(|(same, of_other)| same != key || of_other == value))
}
