//! How good a ranking is, against what people really took next.

use std::collections::HashSet;

use rand::Rng;

use super::{Interactions, ItemModel};
use crate::learn::stats::{Interval, as_f64, percentile_interval, resample};

/// The measures, in the order of [`Scores`].
pub const MEASURES: [&str; 4] = ["ndcg", "recall", "precision", "map"];

/// nDCG, recall, precision and mean average precision, each at k.
pub type Scores = [f64; 4];

/// What users took after the training: items beyond the model's are new to it and cannot be found.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The user as the training knows them; `None` for somebody new.
    pub user: Option<u32>,
    /// What they took, each once.
    pub relevant: Vec<u32>,
}

/// Whether something that a user has already had may be recommended, and counts when they take it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// No: the question is what else they like.
    Skip,
    /// Yes: as for groceries.
    Keep,
}

/// How good the rankings of one model are.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    /// The scores of each case that has something to find.
    pub per_case: Vec<Scores>,
    /// How many different items were recommended.
    pub distinct_items: usize,
}

/// A mean over cases with its bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// Where it lies in resamples of cases.
    pub interval: Option<Interval>,
}

/// The scores of a ranking. Recall is found ÷ relevant, precision found ÷ k; average precision is divided by
/// min(k, relevant), and nDCG by that of a ranking with all relevant items on top (Järvelin and Kekäläinen
/// 2002), so that both can reach 1. `None` when nothing is relevant.
pub fn score(ranking: &[u32], relevant: &HashSet<u32>, k: usize) -> Option<Scores> {
    if relevant.is_empty() || k == 0 {
        return None;
    }
    let (mut found, mut gain, mut precisions) = (0, 0.0, 0.0);
    for (place, item) in ranking.iter().take(k).enumerate() {
        if relevant.contains(item) {
            found += 1;
            gain += discount(place);
            precisions += as_f64(found) / as_f64(place + 1);
        }
    }
    let reachable = k.min(relevant.len());
    let ideal: f64 = (0..reachable).map(discount).sum();
    let found = as_f64(found);
    Some([gain / ideal, found / as_f64(relevant.len()), found / as_f64(k), precisions / as_f64(reachable)])
}

fn discount(place: usize) -> f64 {
    1.0 / as_f64(place + 2).log2()
}

/// The relevant items of each case that has some to find.
pub fn relevant_of<'c>(
    cases: &'c [Case],
    train: &Interactions,
    repeats: Repeats,
) -> Vec<(&'c Case, HashSet<u32>)> {
    let relevant = |case: &'c Case| {
        let known = case.user.map_or(&[][..], |user| train.items_of(user));
        let counts = |item: &u32| repeats == Repeats::Keep || known.binary_search(item).is_err();
        (case, case.relevant.iter().copied().filter(counts).collect::<HashSet<u32>>())
    };
    cases.iter().map(relevant).filter(|(_, relevant)| !relevant.is_empty()).collect()
}

/// Ranks for every case and scores the rankings.
pub fn evaluate(
    model: &ItemModel,
    train: &Interactions,
    cases: &[(&Case, HashSet<u32>)],
    repeats: Repeats,
    k: usize,
) -> Quality {
    let mut distinct = HashSet::new();
    let of_case = |(case, relevant): &(&Case, HashSet<u32>)| {
        let known = case.user.map_or(&[][..], |user| train.items_of(user));
        let exclude = |item: u32| repeats == Repeats::Skip && known.binary_search(&item).is_ok();
        let ranking: Vec<u32> =
            model.recommend(known, exclude, k).iter().map(|recommended| recommended.item).collect();
        distinct.extend(ranking.iter().copied());
        score(&ranking, relevant, k)
    };
    let per_case = cases.iter().filter_map(of_case).collect();
    Quality { per_case, distinct_items: distinct.len() }
}

/// The mean of each measure over cases, with bootstrap intervals.
pub fn means(scores: &[Scores], confidence: f64, resamples: usize, rng: &mut impl Rng) -> [Option<Mean>; 4] {
    if scores.is_empty() {
        return [None; 4];
    }
    let mean = |sums: Scores| sums.map(|sum| sum / as_f64(scores.len()));
    let add = |sums: Scores, scores: &Scores| std::array::from_fn(|index| sums[index] + scores[index]);
    let point = mean(scores.iter().fold([0.0; 4], add));
    let draws: Vec<Scores> = (0..resamples)
        .map(|_| mean(resample(scores.len(), rng).fold([0.0; 4], |sums, index| add(sums, &scores[index]))))
        .collect();
    std::array::from_fn(|index| {
        let values: Vec<f64> = draws.iter().map(|draw| draw[index]).collect();
        Some(Mean { value: point[index], interval: percentile_interval(&values, confidence) })
    })
}

/// The scores of a model less those of another on the same cases.
pub fn differences(model: &Quality, other: &Quality) -> Vec<Scores> {
    let less = |(a, b): (&Scores, &Scores)| std::array::from_fn(|index| a[index] - b[index]);
    model.per_case.iter().zip(&other.per_case).map(less).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ranking: &[u32], relevant: &[u32], k: usize, expected: Scores) {
        let actual = score(ranking, &relevant.iter().copied().collect(), k).unwrap();
        for (index, name) in MEASURES.iter().enumerate() {
            assert!((actual[index] - expected[index]).abs() < 1e-9, "{name}: {actual:?} is not {expected:?}");
        }
    }

    /// log₂ 3 = 1.58496; the third place is discounted by log₂ 4 = 2.
    #[test]
    fn the_measures_are_those_of_the_definitions() {
        check(&[1, 2, 3], &[1, 2, 3], 3, [1.0; 4]);
        check(&[7, 8, 9], &[1], 3, [0.0; 4]);
        let ideal = 1.0 + 1.0 / 3.0f64.log2();
        check(&[1, 9, 2], &[1, 2], 3, [1.5 / ideal, 1.0, 2.0 / 3.0, 5.0 / 6.0]);
        check(&[9, 1], &[1, 2, 3, 4], 2, [(1.0 / 3.0f64.log2()) / ideal, 0.25, 0.5, 0.25]);
        check(&[1], &[1], 10, [1.0, 1.0, 0.1, 1.0]);
        assert_eq!(score(&[1], &HashSet::new(), 3), None);
    }

    #[test]
    fn what_was_had_before_counts_only_when_repeats_are_kept() {
        let train = Interactions::new(1, 4, [(0, 1), (0, 2)]);
        let cases = [Case { user: Some(0), relevant: vec![1, 3] }, Case { user: Some(0), relevant: vec![2] }];
        let of = |repeats| -> Vec<usize> {
            relevant_of(&cases, &train, repeats).iter().map(|(_, relevant)| relevant.len()).collect()
        };
        assert_eq!((of(Repeats::Skip), of(Repeats::Keep)), (vec![1], vec![2, 1]));
        let model = super::super::fit_popular(&train);
        let found = |repeats| {
            evaluate(&model, &train, &relevant_of(&cases, &train, repeats), repeats, 2).per_case[0][1]
        };
        assert!((found(Repeats::Skip) - 1.0).abs() < 1e-12);
        assert!((found(Repeats::Keep) - 0.5).abs() < 1e-12);
    }
}
