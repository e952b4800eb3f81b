//! The best single action beside the target: a policy is only worth its effort when it beats that.

use std::collections::BTreeMap;

use super::{EFFECTIVE_SAMPLE_SIZE_MIN, LoggedDecision};
use crate::learn::stats::{Interval, normal_quantile};

/// The action that would have earned most if it had always been chosen. It was picked on the same rows that
/// judge it, so it is flattered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FixedAction {
    /// The action, as an index into the target's actions.
    pub action: u32,
    /// Its value per decision by SNIPS.
    pub value: f64,
    /// Where its value lies, were it not picked on these rows.
    pub interval: Interval,
    /// The effective sample size of its rows.
    pub effective_sample_size: f64,
    /// Target less this action, in standard errors of the difference.
    pub z: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    weight: f64,
    squares: f64,
    reward: f64,
}

/// Finds the best action with enough rows to be judged, and how far the target (of value `snips`) is from it; its
/// interval is meant to hold the truth with this `confidence`.
pub(super) fn best(
    log: &[LoggedDecision],
    weights: &[f64],
    snips: f64,
    actions: usize,
    confidence: f64,
) -> Result<FixedAction, &'static str> {
    let mut sums = vec![Sums::default(); actions];
    for row in log {
        let (into, weight) = (&mut sums[row.action as usize], 1.0 / row.propensity);
        into.weight += weight;
        into.squares += weight * weight;
        into.reward += weight * row.reward;
    }
    let judged = (0u32..).zip(&sums).filter_map(|(action, sums)| {
        let size = if sums.squares > 0.0 { sums.weight * sums.weight / sums.squares } else { 0.0 };
        (size >= EFFECTIVE_SAMPLE_SIZE_MIN).then(|| (action, size, sums.reward / sums.weight))
    });
    let (action, effective_sample_size, value) = judged
        .max_by(|a, b| a.2.total_cmp(&b.2))
        .ok_or("no single action was logged often enough to be judged alone")?;

    // Both are ratios of sums, so their difference is, to first order, a sum over rows.
    let whole: f64 = weights.iter().sum();
    let mut influence: BTreeMap<u32, [f64; 2]> = BTreeMap::new();
    for (row, weight) in log.iter().zip(weights) {
        let [apart, own] = influence.entry(row.recipient).or_default();
        *apart += weight * (row.reward - snips) / whole;
        if row.action == action {
            let part = (row.reward - value) / row.propensity / sums[action as usize].weight;
            *apart -= part;
            *own += part;
        }
    }
    let error = |of: usize| influence.values().map(|parts| parts[of] * parts[of]).sum::<f64>().sqrt();
    if error(0) <= 0.0 {
        return Err("rewards do not vary");
    }
    let reach = normal_quantile(f64::midpoint(1.0, confidence)) * error(1);
    let interval = Interval { low: value - reach, high: value + reach };
    Ok(FixedAction { action, value, interval, effective_sample_size, z: (snips - value) / error(0) })
}
