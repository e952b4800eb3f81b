//! The features of one customer, or of one arm: numbers and values, sorted by number.

use serde::{Deserialize, Serialize};

use super::space::{FeatureId, FeatureSpace};

/// A feature value whose size is larger is a fault of whoever made it: features are standardised.
pub const FEATURE_VALUE_MAX: f64 = 1e6;

/// Few features of many. Invariant: sorted by number, each once, values finite and not zero.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SparseVector {
    entries: Vec<(FeatureId, f64)>,
}

/// A value that is not a number, or too large to be one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("feature number {feature} has the value {value}: it must be finite and at most {FEATURE_VALUE_MAX}")]
pub struct ValueError {
    /// The number of the feature in its space.
    pub feature: u32,
    /// What it was given.
    pub value: f64,
}

impl SparseVector {
    /// No feature at all.
    pub const EMPTY: Self = Self { entries: Vec::new() };

    /// Sorts the pairs, adds up those of one feature and drops zeros.
    ///
    /// # Errors
    /// When a value is not finite or larger than [`FEATURE_VALUE_MAX`].
    pub fn new(mut pairs: Vec<(FeatureId, f64)>) -> Result<Self, ValueError> {
        pairs.sort_by_key(|(id, _)| *id);
        pairs.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        if let Some((id, value)) =
            pairs.iter().find(|(_, value)| !value.is_finite() || value.abs() > FEATURE_VALUE_MAX)
        {
            return Err(ValueError { feature: id.0, value: *value });
        }
        pairs.retain(|(_, value)| *value != 0.0);
        Ok(Self { entries: pairs })
    }

    /// Takes pairs that are sorted already, each number once, values finite, instead of what it held; drops zeros. Room
    /// that it has is used again.
    pub(in crate::select) fn refill(&mut self, pairs: impl Iterator<Item = (FeatureId, f64)>) {
        self.entries.clear();
        self.entries.extend(pairs.filter(|(_, value)| *value != 0.0));
        let in_order = self.entries.windows(2).all(|pair| pair[0].0 < pair[1].0);
        debug_assert!(in_order, "features out of order");
    }

    /// The features with their values, by number.
    pub fn iter(&self) -> impl Iterator<Item = (FeatureId, f64)> + '_ {
        self.entries.iter().copied()
    }

    /// The features with their values, by number.
    pub fn entries(&self) -> &[(FeatureId, f64)] {
        &self.entries
    }

    /// The features of both; values of a feature that is in both are added.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut entries = Vec::with_capacity(self.entries.len() + other.entries.len());
        let (mut left, mut right) = (self.entries.iter().peekable(), other.entries.iter().peekable());
        while let (Some(one), Some(two)) = (left.peek(), right.peek()) {
            let (take_left, take_right) = (one.0 <= two.0, two.0 <= one.0);
            let id = one.0.min(two.0);
            let mut value = 0.0;
            if take_left {
                value += left.next().map_or(0.0, |entry| entry.1);
            }
            if take_right {
                value += right.next().map_or(0.0, |entry| entry.1);
            }
            if value != 0.0 {
                entries.push((id, value));
            }
        }
        entries.extend(left.chain(right).copied());
        Self { entries }
    }

    /// The features by name, as a decision's record keeps them.
    pub fn named(&self, space: &FeatureSpace) -> NamedFeatures {
        let name = |id| space.name(id).unwrap_or_default().to_owned();
        NamedFeatures(self.iter().map(|(id, value)| (name(id), value)).collect())
    }
}

/// Features by name: what a decision's record holds, so that it can be scored again from the record alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NamedFeatures(pub Vec<(String, f64)>);

impl NamedFeatures {
    /// The same features in the numbers of `space`. A name that the space does not know is `Err(name)`.
    ///
    /// # Errors
    /// When the space misses a name: the record belongs to another model.
    pub fn resolve(&self, space: &FeatureSpace) -> Result<SparseVector, String> {
        let pairs = self.0.iter().map(|(name, value)| {
            let id =
                space.lookup(name).ok_or_else(|| format!("the model does not know the feature «{name}»"))?;
            Ok((id, *value))
        });
        SparseVector::new(pairs.collect::<Result<_, String>>()?).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(pairs: &[(u32, f64)]) -> SparseVector {
        SparseVector::new(pairs.iter().map(|(id, value)| (FeatureId(*id), *value)).collect()).unwrap()
    }

    #[test]
    fn pairs_are_sorted_added_up_and_zeros_dropped() {
        let check = |given: &[(u32, f64)], expected: &[(u32, f64)]| {
            let expected: Vec<_> = expected.iter().map(|(id, value)| (FeatureId(*id), *value)).collect();
            assert_eq!(vector(given).entries(), expected);
        };
        check(&[], &[]);
        check(&[(3, 1.0), (1, 2.0), (3, 0.5)], &[(1, 2.0), (3, 1.5)]);
        check(&[(3, 1.0), (3, -1.0), (2, 0.0)], &[]);
    }

    #[test]
    fn plus_adds_features_of_both() {
        let check = |left: &[(u32, f64)], right: &[(u32, f64)]| {
            let both: Vec<_> = left.iter().chain(right).copied().collect();
            assert_eq!(vector(left).plus(&vector(right)), vector(&both));
        };
        check(&[], &[(1, 1.0)]);
        check(&[(1, 1.0), (4, 2.0)], &[(0, 1.0), (4, -2.0), (9, 1.0)]);
        check(&[(5, 1.0)], &[(2, 3.0)]);
    }

    #[test]
    fn a_value_that_is_no_number_is_refused() {
        for value in [f64::NAN, f64::INFINITY, 2e6] {
            assert!(SparseVector::new(vec![(FeatureId(1), value)]).is_err());
        }
    }
}
