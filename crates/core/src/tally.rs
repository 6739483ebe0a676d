//! Counts by key of which the first ones are kept apart, and all others together.
//!
//! [`Top`](crate::top::Top) is for a stream that never ends: its scores are estimates, and keys come and go. A `Tally`
//! is for an input that ends, such as a capture or a log, and for series that must not go down: each value is exact, and
//! all of them add up to what was counted.

use std::borrow::Borrow;
use std::hash::{Hash, RandomState};

use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;

/// A value for each of the first keys, and one for the rest.
///
/// ```
/// use sni_probe_core::tally::Tally;
///
/// let mut hellos: Tally<String, u64> = Tally::new(2);
/// for client in ["a", "b", "c", "a"] {
///     *hellos.of(client) += 1;
/// }
/// assert_eq!((hellos.get("a"), hellos.get("c"), *hellos.rest()), (Some(&2), None, 1));
/// ```
#[derive(Clone, Debug)]
pub struct Tally<K, V, R = V> {
    limit: usize,
    kept: HashMap<K, V, RandomState>,
    rest: R,
}

impl<K: Eq + Hash, V, R> Tally<K, V, R> {
    /// A tally that keeps `limit` keys apart.
    pub fn new(limit: usize) -> Self
    where
        R: Default,
    {
        Self::with_rest(limit, R::default())
    }

    /// A tally that keeps `limit` keys apart, and has `rest` for all others.
    pub fn with_rest(limit: usize, rest: R) -> Self {
        Self { limit, kept: HashMap::default(), rest }
    }

    /// The value of a key. A new key gets what `make` returns.
    ///
    /// # Errors
    /// The value of the rest, if the key is new and there is no room, or `make` returns `None`.
    pub fn entry<Q>(&mut self, key: &Q, make: impl FnOnce() -> Option<V>) -> Result<&mut V, &mut R>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let has_room = self.kept.len() < self.limit;
        // One look-up, and no key is made for one that is there.
        match self.kept.entry_ref(key) {
            EntryRef::Occupied(entry) => Ok(entry.into_mut()),
            EntryRef::Vacant(entry) if has_room => match make() {
                Some(value) => Ok(entry.insert_with_key(key.to_owned(), value)),
                None => Err(&mut self.rest),
            },
            EntryRef::Vacant(_) => Err(&mut self.rest),
        }
    }

    /// The value of a key that is kept.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.kept.get(key)
    }

    /// The keys that are kept and their values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.kept.iter()
    }

    /// The value of all other keys.
    pub fn rest(&self) -> &R {
        &self.rest
    }

    /// As [`rest`](Self::rest), to be changed.
    pub fn rest_mut(&mut self) -> &mut R {
        &mut self.rest
    }

    /// How many keys are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether no key is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The keys that are kept and their values, in no order, and the value of the rest.
    pub fn into_parts(self) -> (impl Iterator<Item = (K, V)>, R) {
        (self.kept.into_iter(), self.rest)
    }
}

impl<K: Eq + Hash, V: Default> Tally<K, V> {
    /// The value of a key, or that of the rest if the key is new and there is no room.
    pub fn of<Q>(&mut self, key: &Q) -> &mut V
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        self.entry(key, || Some(V::default())).unwrap_or_else(|rest| rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_beyond_the_limit_are_the_rest() {
        let mut tally: Tally<u32, u64> = Tally::new(100);
        for key in 0..200 {
            *tally.of(&key) += 1;
        }
        *tally.of(&0) += 1;
        assert_eq!((tally.len(), tally.get(&0), tally.get(&100)), (100, Some(&2), None));
        let sum: u64 = tally.iter().map(|(_, count)| count).sum();
        assert_eq!((sum, *tally.rest()), (101, 100));
        *tally.rest_mut() += 1;
        let (kept, rest) = tally.into_parts();
        assert_eq!((kept.count(), rest), (100, 101));
    }

    #[test]
    fn a_value_that_cannot_be_made_is_of_the_rest() {
        let mut tally: Tally<u32, u64> = Tally::with_rest(10, 0);
        assert_eq!(tally.entry(&1, || None), Err(&mut 0));
        assert!(tally.is_empty());
        assert_eq!(tally.entry(&1, || Some(7)), Ok(&mut 7));
        assert_eq!(tally.entry(&1, || None), Ok(&mut 7));
        assert_eq!(Tally::<u32, u64>::new(0).entry(&1, || Some(7)), Err(&mut 0));
    }
}
