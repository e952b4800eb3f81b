//! What a policy would have earned, by weighing the rows of a randomised log: values, intervals and differences.

use super::ope::{EFFECTIVE_SAMPLE_SIZE_MIN, ROW_WEIGHT_SHARE_MAX};
use super::stats::{Interval, as_f64, normal_quantile};

/// A value with what is needed to compare it.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighed {
    /// Σ w·r / Σ w; `None` when no row has weight.
    pub value: Option<f64>,
    /// Where the value lies with the asked confidence.
    pub interval: Option<Interval>,
    /// (Σ w)² / Σ w².
    pub effective_sample_size: f64,
    /// The largest part of all weight that lies on one row.
    pub largest_share: f64,
    /// By row: how much it pulls the value, so that differences of two policies on the same rows are paired.
    influence: Vec<f64>,
}

/// The self-normalised estimate of a policy with these weights (its probability of the logged action over the log's)
/// on these rewards, with the interval of its linearisation.
pub fn weigh(weights: &[f64], rewards: &[f64], confidence: f64) -> Weighed {
    let total: f64 = weights.iter().sum();
    let squares: f64 = weights.iter().map(|w| w * w).sum();
    if total <= 0.0 {
        return Weighed {
            value: None,
            interval: None,
            effective_sample_size: 0.0,
            largest_share: 0.0,
            influence: vec![0.0; weights.len()],
        };
    }
    let value = weights.iter().zip(rewards).map(|(w, r)| w * r).sum::<f64>() / total;
    let influence: Vec<f64> = weights.iter().zip(rewards).map(|(w, r)| w * (r - value) / total).collect();
    let effective_sample_size = total * total / squares;
    let largest_share = weights.iter().copied().fold(0.0, f64::max) / total;
    let half = normal_quantile(0.5 + confidence / 2.0) * norm(&influence);
    // Where all rewards are alike their spread is not known, and an interval without width would claim that it is none.
    let interval = (effective_sample_size >= 2.0 && half > 0.0)
        .then_some(Interval { low: value - half, high: value + half });
    Weighed { value: Some(value), interval, effective_sample_size, largest_share, influence }
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The difference of two policies on the same rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// One less the other.
    pub value: f64,
    /// Where it lies.
    pub interval: Interval,
    /// Value over standard error.
    pub z: f64,
    /// Whether enough rows carry both sides for a verdict, by the rule of off-policy evaluation.
    pub judged: bool,
}

impl Weighed {
    /// Whether enough rows carry the value, and none of them too much of it.
    fn is_carried(&self) -> bool {
        self.effective_sample_size >= EFFECTIVE_SAMPLE_SIZE_MIN && self.largest_share <= ROW_WEIGHT_SHARE_MAX
    }

    /// This less `other`; `None` when one has no value or nothing varies.
    pub fn less(&self, other: &Self, confidence: f64) -> Option<Difference> {
        let value = self.value? - other.value?;
        let pulls: Vec<f64> = self.influence.iter().zip(&other.influence).map(|(a, b)| a - b).collect();
        let standard_error = norm(&pulls);
        if standard_error <= 0.0 {
            return None;
        }
        let half = normal_quantile(0.5 + confidence / 2.0) * standard_error;
        let interval = Interval { low: value - half, high: value + half };
        let judged = self.is_carried() && other.is_carried();
        Some(Difference { value, interval, z: value / standard_error, judged })
    }
}

/// The weights of always doing `action`.
pub fn always(action: usize, actions: &[usize], propensities: &[f64]) -> Vec<f64> {
    let weight = |(done, p): (&usize, &f64)| if *done == action { 1.0 / p } else { 0.0 };
    actions.iter().zip(propensities).map(weight).collect()
}

/// The weights of an even draw over `count` actions.
pub fn uniform(count: usize, propensities: &[f64]) -> Vec<f64> {
    propensities.iter().map(|p| 1.0 / (p * as_f64(count))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_action_is_worth_its_mean_and_differs_from_itself_by_nothing() {
        let actions = [0, 1, 0, 1, 0, 1];
        let rewards = [1.0, 5.0, 2.0, 6.0, 3.0, 7.0];
        let half = [0.5; 6];
        let one = weigh(&always(0, &actions, &half), &rewards, 0.95);
        let two = weigh(&always(1, &actions, &half), &rewards, 0.95);
        let all = weigh(&uniform(2, &half), &rewards, 0.95);
        assert!((one.value.unwrap() - 2.0).abs() < 1e-12 && (two.value.unwrap() - 6.0).abs() < 1e-12);
        assert!((all.value.unwrap() - 4.0).abs() < 1e-12 && (one.effective_sample_size - 3.0).abs() < 1e-9);
        let difference = two.less(&one, 0.95).unwrap();
        assert!((difference.value - 4.0).abs() < 1e-12 && difference.z > 3.0);
        assert_eq!(one.less(&one, 0.95), None);
    }

    #[test]
    fn unequal_propensities_are_undone() {
        // Action 1 was logged three times as often; both are worth their own mean in an even draw.
        let actions = [0, 1, 1, 1];
        let p = [0.25, 0.75, 0.75, 0.75];
        let all = weigh(&uniform(2, &p), &[8.0, 2.0, 2.0, 2.0], 0.95);
        assert!((all.value.unwrap() - 5.0).abs() < 1e-12);
        let nobody = weigh(&always(7, &actions, &p), &[1.0; 4], 0.95);
        assert_eq!((nobody.value, nobody.interval), (None, None));
    }
}
