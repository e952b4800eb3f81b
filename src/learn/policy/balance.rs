//! Whether the logged action depends on what was known: then its plain share is not its propensity.

use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::super::context::ContextColumn;
use super::super::log::Log;
use super::super::stats::{as_f64, holm};

/// Cells of a column's table: quantile groups of a number, or the most frequent categories and the rest.
const GROUPS: usize = 10;
/// A column is suspected when the adjusted probability of its table under random assignment is below this.
const P_MAX: f64 = 0.001;

/// A context column on which the logged action seems to depend.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspicion {
    /// The column.
    pub column: String,
    /// The probability of such a table if actions were assigned at random, adjusted for the number of columns (Holm).
    pub p_value: f64,
}

/// Pearson's chi-square of action by group, for every context column of the rows from `first` on. Without a finding
/// when the log says its propensities: then actions may well depend on contexts.
pub fn suspicions(log: &Log, first: usize) -> Vec<Suspicion> {
    if log.propensities.is_some() {
        return Vec::new();
    }
    let tested: Vec<(String, f64)> =
        log.contexts.iter().filter_map(|column| test(log, column, first)).collect();
    let p_values: Vec<f64> = tested.iter().map(|(_, p)| *p).collect();
    let adjusted = tested.into_iter().zip(holm(&p_values));
    adjusted
        .filter(|(_, p_value)| *p_value < P_MAX)
        .map(|((column, _), p_value)| Suspicion { column, p_value })
        .collect()
}

fn test(log: &Log, column: &ContextColumn, first: usize) -> Option<(String, f64)> {
    let (name, groups) = match column {
        ContextColumn::Number { name, values } => (name, by_quantile(&values[first..])),
        ContextColumn::Category { name, values, .. } => (name, by_frequency(&values[first..])),
    };
    let actions = log.samples[first..].iter().map(|sample| sample.action);
    independent(actions.zip(groups), log.actions.len()).map(|p| (name.clone(), p))
}

/// Groups of about equal size; gaps are a group of their own.
fn by_quantile(values: &[Option<f64>]) -> Vec<usize> {
    let mut sorted: Vec<f64> = values.iter().flatten().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let edges: Vec<f64> =
        (1..GROUPS).filter_map(|i| sorted.get(i * sorted.len() / GROUPS).copied()).collect();
    let group =
        |value: &Option<f64>| value.map_or(GROUPS, |value| edges.partition_point(|edge| *edge <= value));
    values.iter().map(group).collect()
}

/// The most frequent categories, then all others and gaps.
fn by_frequency(values: &[Option<u32>]) -> Vec<usize> {
    let mut counts: std::collections::BTreeMap<u32, usize> = std::collections::BTreeMap::new();
    for value in values.iter().flatten() {
        *counts.entry(*value).or_default() += 1;
    }
    let mut order: Vec<(u32, usize)> = counts.into_iter().collect();
    order.sort_by_key(|(value, count)| (std::cmp::Reverse(*count), *value));
    order.truncate(GROUPS);
    let group = |value: u32| order.iter().position(|(known, _)| *known == value).unwrap_or(GROUPS);
    values.iter().map(|value| value.map_or(GROUPS, group)).collect()
}

/// The probability of a table at least as uneven, if rows and columns were independent; `None` when one has no spread.
fn independent(cells: impl Iterator<Item = (usize, usize)>, actions: usize) -> Option<f64> {
    let mut table = vec![[0_usize; GROUPS + 1]; actions];
    for (action, group) in cells {
        table[action][group] += 1;
    }
    let rows: Vec<usize> = table.iter().map(|row| row.iter().sum()).collect();
    let columns: Vec<usize> = (0..=GROUPS).map(|group| table.iter().map(|row| row[group]).sum()).collect();
    let total: usize = rows.iter().sum();
    let full = |sums: &[usize]| sums.iter().filter(|sum| **sum > 0).count();
    let degrees = full(&rows).checked_sub(1)? * full(&columns).checked_sub(1)?;
    let mut statistic = 0.0;
    for (row, sum) in table.iter().zip(&rows) {
        for (seen, column) in row.iter().zip(&columns) {
            let expected = as_f64(*sum) * as_f64(*column) / as_f64(total.max(1));
            if expected > 0.0 {
                statistic += (as_f64(*seen) - expected).powi(2) / expected;
            }
        }
    }
    ChiSquared::new(as_f64(degrees)).ok().map(|law| law.sf(statistic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_leans_is_found_and_an_even_one_is_not() {
        let even = (0..4_000_usize).map(|i| (i % 2, (i / 2) % 5));
        assert!(independent(even, 2).unwrap() > 0.9);
        let leaning = (0..4_000_usize).map(|i| (usize::from(i % 10 < 3 + (i / 10) % 5), (i / 10) % 5));
        assert!(independent(leaning, 2).unwrap() < 1e-6);
        assert_eq!(independent((0..9).map(|_| (0, 1)), 2), None);
    }

    #[test]
    fn groups_hold_gaps_apart() {
        let values: Vec<Option<f64>> = (0..20).map(|i| (i % 5 > 0).then(|| f64::from(i))).collect();
        let groups = by_quantile(&values);
        assert!(groups.iter().zip(&values).all(|(group, value)| (*group == GROUPS) == value.is_none()));
        assert_eq!(by_frequency(&[Some(7), Some(7), None, Some(3)]), [0, 0, GROUPS, 1]);
    }
}
