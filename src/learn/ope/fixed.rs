//! The best single action beside the target: a policy is only worth its effort when it beats that.

use std::collections::BTreeMap;

use super::{EFFECTIVE_SAMPLE_SIZE_MIN, LoggedDecision};

/// The action that would have earned most if it had always been chosen. It was picked on the same rows that
/// judge it, so it is flattered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FixedAction {
    /// The action, as an index into the target's actions.
    pub action: u32,
    /// Its value per decision by SNIPS.
    pub value: f64,
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

/// Finds the best action with enough rows to be judged, and how far the target (of value `snips`) is from it.
pub(super) fn best(
    log: &[LoggedDecision],
    weights: &[f64],
    snips: f64,
    actions: usize,
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
    let mut influence: BTreeMap<u32, f64> = BTreeMap::new();
    for (row, weight) in log.iter().zip(weights) {
        let mut part = weight * (row.reward - snips) / whole;
        if row.action == action {
            part -= (row.reward - value) / row.propensity / sums[action as usize].weight;
        }
        *influence.entry(row.recipient).or_default() += part;
    }
    let error = influence.values().map(|part| part * part).sum::<f64>().sqrt();
    if error <= 0.0 {
        return Err("rewards do not vary");
    }
    Ok(FixedAction { action, value, effective_sample_size, z: (snips - value) / error })
}
