//! Context columns of any log become features: ranks, quantile bins, categories and gaps.
//!
//! Money and counts have heavy tails, so a number enters by its rank among the rows seen so far, once as a straight line
//! and once as quantile bins; a gap is a feature of its own. What a column is worth, and whether its line or its bins
//! matter, is for the model to find: each gets a group, and groups that do not help are shrunk away.

use std::collections::HashMap;

use crate::select::model::FeatureId;

/// Quantiles between which a rank is a straight line.
const RANK_KNOTS: usize = 64;
/// Values of a category that get a feature each; rarer ones share one.
const CATEGORIES_MAX: usize = 100;
/// A category seen less often shares a feature with others like it.
const CATEGORY_ROWS_MIN: usize = 20;
/// Rows that a column's quantiles are taken from at most.
const SAMPLE_ROWS_MAX: usize = 50_000;

/// One context column of a log.
#[derive(Debug, Clone, PartialEq)]
pub enum ContextColumn {
    /// A number in each row, or a gap.
    Number {
        /// The column's name.
        name: String,
        /// Finite numbers.
        values: Vec<Option<f64>>,
    },
    /// A category in each row, or a gap.
    Category {
        /// The column's name.
        name: String,
        /// Positions in `names`.
        values: Vec<Option<u32>>,
        /// The category's words.
        names: Vec<String>,
    },
}

/// How one column becomes features. A local feature number is a position in the encoder's list.
#[derive(Debug, Clone)]
enum Coding {
    Number { column: usize, first: usize, knots: Vec<f64>, edges: Vec<f64> },
    Category { column: usize, first: usize, slots: HashMap<u32, usize>, count: usize },
}

/// A feature that the encoder makes: its name and the group that its weights belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFeature {
    /// As `age line`, `age bin 3`, `gender=F`, `income missing`.
    pub name: String,
    /// As `age line`, `age bins`, `gender`.
    pub group: String,
}

/// All columns' codings, made from the rows seen so far.
#[derive(Debug, Clone, Default)]
pub struct Encoder {
    codings: Vec<Coding>,
    features: Vec<LocalFeature>,
}

/// A local feature with its value.
pub type LocalValue = (usize, f64);

impl Encoder {
    /// Learns how to code `columns` from the given rows alone.
    pub fn new(columns: &[ContextColumn], rows: &[usize], bins: usize) -> Self {
        let mut encoder = Self::default();
        let step = rows.len().div_ceil(SAMPLE_ROWS_MAX).max(1);
        let sample: Vec<usize> = rows.iter().copied().step_by(step).collect();
        for (column, data) in columns.iter().enumerate() {
            match data {
                ContextColumn::Number { name, values } => {
                    encoder.add_number(column, name, values, &sample, bins);
                }
                ContextColumn::Category { name, values, names } => {
                    encoder.add_category(column, name, values, names, &sample);
                }
            }
        }
        encoder
    }

    fn add_number(
        &mut self,
        column: usize,
        name: &str,
        values: &[Option<f64>],
        sample: &[usize],
        bins: usize,
    ) {
        let mut seen: Vec<f64> = sample.iter().filter_map(|row| values[*row]).collect();
        seen.sort_by(f64::total_cmp);
        let knots = if seen.is_empty() { Vec::new() } else { quantiles(&seen, RANK_KNOTS) };
        let mut distinct = seen.clone();
        distinct.dedup();
        let mut edges =
            if distinct.len() <= bins { distinct } else { quantiles(&seen, bins)[..bins].to_vec() };
        edges.dedup();
        // Everything lies above the smallest value: it is no edge.
        edges = edges.split_off(1.min(edges.len()));
        let first = self.features.len();
        self.push(format!("{name} missing"), name.to_owned() + " missing");
        self.push(format!("{name} line"), name.to_owned() + " line");
        for bin in 0..=edges.len() {
            self.push(format!("{name} bin {bin}"), name.to_owned() + " bins");
        }
        self.codings.push(Coding::Number { column, first, knots, edges });
    }

    fn add_category(
        &mut self,
        column: usize,
        name: &str,
        values: &[Option<u32>],
        names: &[String],
        sample: &[usize],
    ) {
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for value in sample.iter().filter_map(|row| values[*row]) {
            *counts.entry(value).or_default() += 1;
        }
        let mut common: Vec<(u32, usize)> =
            counts.into_iter().filter(|(_, n)| *n >= CATEGORY_ROWS_MIN).collect();
        common.sort_by_key(|(value, count)| (std::cmp::Reverse(*count), *value));
        common.truncate(CATEGORIES_MAX);
        let first = self.features.len();
        self.push(format!("{name} missing"), name.to_owned());
        self.push(format!("{name} rare"), name.to_owned());
        let mut slots = HashMap::new();
        for (value, _) in common {
            slots.insert(value, self.features.len() - first);
            self.push(format!("{name}={}", names[value as usize]), name.to_owned());
        }
        let count = self.features.len() - first;
        self.codings.push(Coding::Category { column, first, slots, count });
    }

    fn push(&mut self, name: String, group: String) {
        self.features.push(LocalFeature { name, group });
    }

    /// The features that [`Encoder::encode`] may give.
    pub fn features(&self) -> &[LocalFeature] {
        &self.features
    }

    /// The features of one row, by rising number.
    pub fn encode(&self, columns: &[ContextColumn], row: usize) -> Vec<LocalValue> {
        let mut out = Vec::with_capacity(3 * self.codings.len());
        for coding in &self.codings {
            match coding {
                Coding::Number { column, first, knots, edges } => {
                    let ContextColumn::Number { values, .. } = &columns[*column] else { continue };
                    let Some(value) = values[row] else {
                        out.push((*first, 1.0));
                        continue;
                    };
                    if knots.len() > 1 {
                        out.push((first + 1, line(knots, value)));
                    }
                    let bin = edges.partition_point(|edge| *edge <= value);
                    out.push((first + 2 + bin, 1.0));
                }
                Coding::Category { column, first, slots, count } => {
                    let ContextColumn::Category { values, .. } = &columns[*column] else { continue };
                    let slot = values[row].map_or(0, |value| slots.get(&value).copied().unwrap_or(1));
                    debug_assert!(slot < *count);
                    out.push((first + slot, 1.0));
                }
            }
        }
        out
    }
}

/// `count + 1` values from the smallest to the largest, equally many numbers between each two.
fn quantiles(sorted: &[f64], count: usize) -> Vec<f64> {
    (0..=count).map(|i| sorted[i * (sorted.len() - 1) / count]).collect()
}

/// The rank of a value among the knots, from −√3 to √3, so that its variance is one.
#[expect(clippy::cast_precision_loss, reason = "knots are few")]
fn line(knots: &[f64], value: f64) -> f64 {
    let last = knots.len() - 1;
    // Equal knots: the middle of their stretch, so that a frequent value has its middle rank.
    let below = knots.partition_point(|knot| *knot < value);
    let through = knots.partition_point(|knot| *knot <= value);
    let rank = if through > below {
        (below + through - 1) as f64 / 2.0
    } else if below == 0 {
        0.0
    } else if below > last {
        last as f64
    } else {
        let (low, high) = (knots[below - 1], knots[below]);
        (below - 1) as f64 + (value - low) / (high - low)
    };
    (2.0 * rank / last as f64 - 1.0) * 3.0_f64.sqrt()
}

/// Local features as features of a model, through the numbers that the model gave them.
pub fn numbered(local: &[LocalValue], ids: &[FeatureId]) -> Vec<(FeatureId, f64)> {
    local.iter().map(|(feature, value)| (ids[*feature], *value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(values: &[Option<f64>]) -> Vec<ContextColumn> {
        vec![ContextColumn::Number { name: "age".to_owned(), values: values.to_vec() }]
    }

    #[test]
    fn a_number_becomes_a_line_and_a_bin_and_a_gap_a_feature_of_its_own() {
        let mut values: Vec<Option<f64>> = (0..100).map(|i| Some(f64::from(i))).collect();
        values.extend([None, Some(1e9), Some(-1e9)]);
        let columns = number(&values);
        let encoder = Encoder::new(&columns, &(0..101).collect::<Vec<_>>(), 4);
        let names: Vec<&str> = encoder.features().iter().map(|feature| feature.name.as_str()).collect();
        assert_eq!(names, ["age missing", "age line", "age bin 0", "age bin 1", "age bin 2", "age bin 3"]);
        assert_eq!(encoder.encode(&columns, 100), [(0, 1.0)]);
        let check = |row: usize, expected_line: f64, bin: usize| {
            let found = encoder.encode(&columns, row);
            assert_eq!((found[0].0, found[1]), (1, (2 + bin, 1.0)));
            assert!((found[0].1 - expected_line).abs() < 0.05, "row {row}: {}", found[0].1);
        };
        check(0, -(3.0_f64.sqrt()), 0);
        check(50, 0.0, 2);
        check(99, 3.0_f64.sqrt(), 3);
        check(101, 3.0_f64.sqrt(), 3);
        check(102, -(3.0_f64.sqrt()), 0);
    }

    #[test]
    fn few_values_are_bins_and_a_frequent_value_has_its_middle_rank() {
        let values: Vec<Option<f64>> = (0..90).map(|i| Some([0.0, 0.0, 7.0][i % 3])).collect();
        let columns = number(&values);
        let encoder = Encoder::new(&columns, &(0..90).collect::<Vec<_>>(), 6);
        let (zero, seven) = (encoder.encode(&columns, 0), encoder.encode(&columns, 2));
        assert_eq!((zero[1], seven[1]), ((2, 1.0), (3, 1.0)));
        assert!((zero[0].1 + 3.0_f64.sqrt() / 3.0).abs() < 0.1, "{}", zero[0].1);
    }

    #[test]
    fn a_column_of_gaps_or_of_one_value_is_harmless() {
        for values in [vec![None; 50], vec![Some(3.0); 50]] {
            let columns = number(&values);
            let encoder = Encoder::new(&columns, &(0..50).collect::<Vec<_>>(), 6);
            let found = encoder.encode(&columns, 7);
            assert!(
                found.iter().all(|(feature, value)| *feature < encoder.features().len() && value.is_finite())
            );
        }
        assert_eq!(Encoder::new(&number(&[]), &[], 6).encode(&number(&[Some(1.0)]), 0).len(), 1);
    }

    #[test]
    fn rare_categories_share_a_feature() {
        let names: Vec<String> = ["F", "M", "O"].map(str::to_owned).to_vec();
        let mut values: Vec<Option<u32>> = (0..100).map(|i| Some(i % 2)).collect();
        values.extend([Some(2), None]);
        let columns = vec![ContextColumn::Category { name: "gender".to_owned(), values, names }];
        let encoder = Encoder::new(&columns, &(0..102).collect::<Vec<_>>(), 6);
        let named = |row: usize| encoder.features()[encoder.encode(&columns, row)[0].0].name.clone();
        let found = [0, 1, 100, 101].map(named);
        assert_eq!(found, ["gender=F", "gender=M", "gender rare", "gender missing"]);
    }
}
