//! Rests and hits, and the sizes of hits on one scale.

use std::collections::HashMap;

use super::Sample;

/// A value is an action's rest when it is this share of its rewards at least.
const REST_SHARE_MIN: f64 = 0.2;
/// When this share of an action's rewards is 0, that is its rest, whatever else is frequent.
const ZERO_SHARE_MIN: f64 = 0.01;
/// Sizes beyond these quantiles count as the quantile: one order of a thousand must not decide for everyone.
const TAILS: (f64, f64) = (0.015, 0.985);
/// Fewer hits say nothing about their spread.
const HITS_MIN: usize = 8;

/// What is known of the sizes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    /// By action.
    rests: Vec<f64>,
    /// Whether every reward seen was a hit.
    certain: bool,
    low: f64,
    high: f64,
    /// Mean and standard deviation of the clipped sizes.
    centre: f64,
    spread: f64,
    /// What the tails add to the mean, as a factor when all sizes have one sign, else as a difference.
    factor: f64,
    difference: f64,
}

impl Scale {
    /// Before anything was seen: a hit is worth 1.
    pub(super) fn unknown(actions: usize) -> Self {
        let rests = vec![0.0; actions];
        Self {
            rests,
            certain: false,
            low: 1.0,
            high: 1.0,
            centre: 1.0,
            spread: 0.0,
            factor: 1.0,
            difference: 0.0,
        }
    }

    pub(super) fn new(samples: &[Sample], actions: usize) -> Self {
        let rests = rests(samples, actions);
        let mut scale = Self { rests, ..Self::unknown(0) };
        let mut sizes: Vec<f64> =
            samples.iter().filter(|sample| scale.is_hit(sample)).map(|sample| sample.reward).collect();
        if sizes.is_empty() {
            return scale;
        }
        scale.certain = sizes.len() == samples.len();
        sizes.sort_by(f64::total_cmp);
        (scale.low, scale.high) = (quantile(&sizes, TAILS.0), quantile(&sizes, TAILS.1));
        let clipped: Vec<f64> = sizes.iter().map(|size| size.clamp(scale.low, scale.high)).collect();
        scale.centre = mean(&clipped);
        let squares: Vec<f64> = clipped.iter().map(|size| (size - scale.centre).powi(2)).collect();
        scale.spread = if sizes.len() < HITS_MIN { 0.0 } else { mean(&squares).sqrt() };
        let (first, last) = (sizes[0], sizes[sizes.len() - 1]);
        if first * last > 0.0 && scale.centre != 0.0 {
            scale.factor = mean(&sizes) / scale.centre;
        } else {
            scale.difference = mean(&sizes) - scale.centre;
        }
        scale
    }

    /// Whether a reward is more, or less, than the rest.
    pub(super) fn is_hit(&self, sample: &Sample) -> bool {
        (sample.reward - self.rests[sample.action]).abs() > 1e-9
    }

    /// Whether every reward seen was a hit: then there is no rate to learn.
    pub(super) fn certain(&self) -> bool {
        self.certain
    }

    pub(super) fn same_rests(&self, other: &Self) -> bool {
        self.rests == other.rests
    }

    /// What the action earns when nothing happens.
    pub(super) fn rest(&self, action: usize) -> f64 {
        self.rests[action]
    }

    /// Whether sizes differ at all.
    pub(super) fn varies(&self) -> bool {
        self.spread > 0.0
    }

    /// A size in standard units, its tails clipped.
    pub(super) fn standard(&self, size: f64) -> f64 {
        if self.varies() { (size.clamp(self.low, self.high) - self.centre) / self.spread } else { 0.0 }
    }

    /// The mean size that a mean in standard units stands for, with what clipping took away.
    pub(super) fn amount(&self, standard: f64) -> f64 {
        (self.centre + self.spread * standard) * self.factor + self.difference
    }

    /// Rest, and centre and slope of [`Scale::amount`], in single precision.
    #[expect(clippy::cast_possible_truncation, reason = "draws are f32 for speed")]
    pub(super) fn line(&self, action: usize) -> (f32, f32, f32) {
        (self.rests[action] as f32, self.amount(0.0) as f32, (self.spread * self.factor) as f32)
    }
}

/// For each action the value that most of its decisions end in.
#[expect(clippy::cast_precision_loss, reason = "rows are counted in millions")]
fn rests(samples: &[Sample], actions: usize) -> Vec<f64> {
    let mut counts: Vec<HashMap<u64, usize>> = vec![HashMap::new(); actions];
    let mut totals = vec![0_usize; actions];
    for sample in samples {
        *counts[sample.action].entry((sample.reward + 0.0).to_bits()).or_default() += 1;
        totals[sample.action] += 1;
    }
    let share = |count: usize, total: usize| count as f64 / total.max(1) as f64;
    let rest = |(counts, total): (&HashMap<u64, usize>, &usize)| {
        let zeros = counts.get(&0.0_f64.to_bits()).copied().unwrap_or(0);
        if share(zeros, *total) >= ZERO_SHARE_MIN {
            return 0.0;
        }
        let most = counts.iter().max_by_key(|(bits, count)| (**count, std::cmp::Reverse(**bits)));
        let frequent = most.filter(|(_, count)| **count > 1 && share(**count, *total) >= REST_SHARE_MIN);
        frequent.map_or(0.0, |(bits, _)| f64::from_bits(*bits))
    };
    counts.iter().zip(&totals).map(rest).collect()
}

#[expect(clippy::cast_precision_loss, reason = "rows are counted in millions")]
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length"
)]
fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(rewards: &[f64]) -> Vec<Sample> {
        rewards.iter().enumerate().map(|(row, reward)| Sample { row, action: 0, reward: *reward }).collect()
    }

    #[test]
    fn the_rest_is_zero_or_what_most_decisions_end_in() {
        let check = |rewards: &[f64], rest: f64| {
            let found = rests(&samples(rewards), 1)[0];
            assert!((found - rest).abs() < 1e-12, "{found} for {rest}");
        };
        check(&[0.0, 5.0, 7.0, 9.0], 0.0);
        check(&[-0.0, 1.0, 1.0, 1.0], 0.0);
        check(&[-0.1, -0.1, 12.0, -0.1, 30.5], -0.1);
        check(&[3.0, 4.0, 5.0], 0.0);
        check(&[], 0.0);
    }

    #[test]
    fn one_huge_order_moves_the_level_and_not_the_scale() {
        let mut rewards: Vec<f64> = (0..500).map(|i| 10.0 + f64::from(i % 10)).collect();
        rewards.push(5_000.0);
        let scale = Scale::new(&samples(&rewards), 1);
        assert!(scale.spread < 4.0 && scale.standard(5_000.0) < 3.0);
        let level = rewards.iter().sum::<f64>() / 501.0;
        assert!((scale.amount(0.0) - level).abs() < 1e-9);
    }
}
