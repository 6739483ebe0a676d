//! The series of a family whose labels are all closed sets: one array, indexed by the labels.

use std::fmt;
use std::marker::PhantomData;

use prometheus::core::{MetricVec, MetricVecBuilder};

use super::vocabulary::Dimension;

/// One metric for each value of `K`.
pub(super) struct Table<K, M> {
    series: Box<[M]>,
    key: PhantomData<fn(K)>,
}

impl<K: Key, M> Table<K, M> {
    /// Makes all series of `family`.
    ///
    /// # Errors
    /// If `K` has not as many labels as `family`.
    pub(super) fn new<B: MetricVecBuilder<M = M>>(family: &MetricVec<B>) -> prometheus::Result<Self>
    where
        M: prometheus::core::Metric,
    {
        Self::with(family, &[])
    }

    /// The same of a family that has more labels after those of `K`, for these values of them.
    ///
    /// # Errors
    /// If `K` and `more` are not as many labels as `family` has.
    pub(super) fn with<B: MetricVecBuilder<M = M>>(
        family: &MetricVec<B>,
        more: &[&str],
    ) -> prometheus::Result<Self>
    where
        M: prometheus::core::Metric,
    {
        let labels = K::all_labels();
        let series = labels
            .iter()
            .map(|labels| family.get_metric_with_label_values(&[labels.as_slice(), more].concat()));
        Ok(Self { series: series.collect::<Result<_, _>>()?, key: PhantomData })
    }

    /// The series with these labels.
    pub(super) fn get(&self, key: K) -> &M {
        &self.series[key.index()]
    }
}

impl<K, M> fmt::Debug for Table<K, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("series", &self.series.len()).finish()
    }
}

/// Values of one or several closed label sets.
pub(super) trait Key: Copy {
    /// How many values there are.
    const COUNT: usize;

    /// Less than [`Key::COUNT`], and another one for each value.
    fn index(self) -> usize;

    /// The labels' spellings for each value, in the order of [`Key::index`].
    fn all_labels() -> Vec<Vec<&'static str>>;
}

impl<A: Dimension> Key for A {
    const COUNT: usize = A::ALL.len();

    fn index(self) -> usize {
        self.position()
    }

    fn all_labels() -> Vec<Vec<&'static str>> {
        A::ALL.iter().map(|value| vec![value.as_str()]).collect()
    }
}

impl<A: Dimension, B: Dimension> Key for (A, B) {
    const COUNT: usize = A::COUNT * B::COUNT;

    fn index(self) -> usize {
        self.0.index() * B::COUNT + self.1.index()
    }

    fn all_labels() -> Vec<Vec<&'static str>> {
        product(A::all_labels(), &B::all_labels())
    }
}

impl<A: Dimension, B: Dimension, C: Dimension> Key for (A, B, C) {
    const COUNT: usize = A::COUNT * B::COUNT * C::COUNT;

    fn index(self) -> usize {
        (self.0, self.1).index() * C::COUNT + self.2.index()
    }

    fn all_labels() -> Vec<Vec<&'static str>> {
        product(<(A, B)>::all_labels(), &C::all_labels())
    }
}

/// Each of `left` followed by each of `right`, the latter varying fastest.
fn product(left: Vec<Vec<&'static str>>, right: &[Vec<&'static str>]) -> Vec<Vec<&'static str>> {
    left.into_iter().flat_map(|head| right.iter().map(move |tail| [head.as_slice(), tail].concat())).collect()
}

#[cfg(test)]
mod tests {
    use sni_probe_core::vocabulary::{AlertDescription, AlertSender, Label, OutcomeClass, SniClass};

    use super::Key;

    #[test]
    fn the_index_of_a_key_is_its_place_among_all_labels() {
        let labels = <(SniClass, AlertDescription, AlertSender)>::all_labels();
        assert_eq!(labels.len(), <(SniClass, AlertDescription, AlertSender)>::COUNT);
        for &sni in SniClass::ALL {
            for &description in AlertDescription::ALL {
                for &sender in AlertSender::ALL {
                    let expected = [sni.as_str(), description.as_str(), sender.as_str()];
                    assert_eq!(labels[(sni, description, sender).index()], expected);
                }
            }
        }
        let labels = <(SniClass, OutcomeClass)>::all_labels();
        assert_eq!(labels[(SniClass::Absent, OutcomeClass::Evicted).index()], ["absent", "evicted"]);
    }
}
