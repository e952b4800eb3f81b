//! Replays a learning policy over a randomised log, as if it had been running (Li, Chu, Langford and Wang 2011).
//!
//! Row by row, in the order of the log: the policy says its probability of each action from what it learnt so far, one
//! action is drawn, and where it is the logged one the row *matches*: the policy sees the reward. It never sees any
//! other row's reward. It learns after every batch of rows.
//!
//! # Unequal propensities
//! A row of a frequent action matches more often. With [`Matching::Weight`] every match is learnt from (what an action
//! earns for a customer does not depend on how it was chosen) and counts 1/propensity in the mean. With
//! [`Matching::Reject`] a match is kept with probability `smallest propensity / propensity`: fewer events, but exactly
//! those that the policy would have lived through. With equal propensities both are the same.
//!
//! Two estimates of the value are made: the mean over matches, and over *all* rows the self-normalised one with weights
//! `p(logged action)/propensity`, which anyone can recompute from the probabilities that are written down. They estimate
//! the same thing; the second does not depend on the luck of the match and is the more precise one, so that it is the one
//! that is compared with the others.

use super::contextual::Sample;
use super::learner::{Learner, PolicyName};
use super::log::Log;
use super::weigh::{Difference, Weighed, always, uniform, weigh};
use crate::select::model::choose::pick;
use crate::select::model::normal::{generator, unit};

/// The stream of the one generator that draws actions.
const STREAM_ACTIONS: u64 = 0;

/// What happens to matches when propensities differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matching {
    /// Every match counts, by 1/propensity.
    Weight,
    /// A match is kept with probability smallest propensity / propensity.
    Reject,
}

/// How a replay runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReplayOptions {
    /// Which policy.
    pub policy: PolicyName,
    /// The policy learns after this many rows.
    pub batch_rows: usize,
    /// ε: the share that is spread evenly over the actions.
    pub floor: f64,
    /// Factor on the standard deviation of Thompson's draws.
    pub exploration: f64,
    /// Decides every draw.
    pub seed: u64,
    /// What happens to matches.
    pub matching: Matching,
    /// The confidence of the intervals.
    pub confidence: f64,
}

/// A policy's estimates over the whole log and over its second half.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimates {
    /// Over all rows.
    pub whole: Weighed,
    /// Over the rows after the middle.
    pub second_half: Weighed,
}

/// What a replay found.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// Rows of the log.
    pub rows: usize,
    /// Rows in which the drawn action was the logged one (and kept).
    pub matched: usize,
    /// The mean reward of the matches.
    pub matches: Estimates,
    /// The value by the probabilities of all rows.
    pub policy: Estimates,
    /// An even draw.
    pub uniform: Estimates,
    /// Each action, always.
    pub fixed: Vec<Estimates>,
    /// The action whose value over the whole log is the best, in hindsight.
    pub best_fixed: usize,
    /// The policy less the best fixed action, over all rows.
    pub over_best_fixed: Option<Difference>,
    /// The policy less an even draw.
    pub over_uniform: Option<Difference>,
    /// The same over the second half.
    pub over_best_fixed_second_half: Option<Difference>,
}

/// Replays. `each` gets every row's number in the file (from 0) and the probability of each action, in the order of the
/// log; an error of its ends the replay.
///
/// # Errors
/// Only those of `each`.
///
/// # Panics
/// When the log has no propensities or no rows.
pub fn replay<E>(
    log: &Log,
    options: &ReplayOptions,
    mut each: impl FnMut(usize, &[f64]) -> Result<(), E>,
) -> Result<Replay, E> {
    let propensities = log.propensities.as_deref().expect("a replay needs propensities");
    let smallest = propensities.iter().copied().fold(f64::INFINITY, f64::min);
    let mut learner = Learner::new(options, log.actions.len());
    let mut draws = generator(options.seed, STREAM_ACTIONS);
    let (mut weights, mut matches) = (Vec::with_capacity(log.len()), Vec::with_capacity(log.len()));
    let mut matched: Vec<Sample> = Vec::new();
    for (number, batch) in log.order.chunks(options.batch_rows.max(1)).enumerate() {
        for row in batch {
            let sample = log.samples[*row];
            let propensity = propensities[*row];
            let p = learner.probabilities(&log.contexts, *row);
            each(*row, &p)?;
            weights.push(p[sample.action] / propensity);
            let drawn = pick(&p, unit(&mut draws));
            let kept = options.matching == Matching::Weight || unit(&mut draws) < smallest / propensity;
            let matches_here = drawn == sample.action && kept;
            let weight = if options.matching == Matching::Weight { 1.0 / propensity } else { 1.0 };
            matches.push(if matches_here { weight } else { 0.0 });
            if matches_here {
                matched.push(sample);
            }
        }
        let seen = ((number + 1) * options.batch_rows.max(1)).min(log.len());
        learner.learn(&log.contexts, &log.order[..seen], &matched);
    }
    Ok(summarise(log, propensities, options, &weights, &matches))
}

fn summarise(
    log: &Log,
    propensities: &[f64],
    options: &ReplayOptions,
    weights: &[f64],
    matches: &[f64],
) -> Replay {
    let count = log.actions.len();
    let rewards: Vec<f64> = log.order.iter().map(|row| log.samples[*row].reward).collect();
    let actions: Vec<usize> = log.order.iter().map(|row| log.samples[*row].action).collect();
    let ordered: Vec<f64> = log.order.iter().map(|row| propensities[*row]).collect();
    let half = log.len() / 2;
    let estimates = |weights: &[f64]| Estimates {
        whole: weigh(weights, &rewards, options.confidence),
        second_half: weigh(&weights[half..], &rewards[half..], options.confidence),
    };
    let fixed: Vec<Estimates> =
        (0..count).map(|action| estimates(&always(action, &actions, &ordered))).collect();
    let worth = |action: &usize| fixed[*action].whole.value.unwrap_or(f64::NEG_INFINITY);
    let best_fixed = (0..count).max_by(|a, b| worth(a).total_cmp(&worth(b))).unwrap_or(0);
    let (policy, uniform) = (estimates(weights), estimates(&uniform(count, &ordered)));
    let best = &fixed[best_fixed];
    Replay {
        rows: log.len(),
        matched: matches.iter().filter(|weight| **weight > 0.0).count(),
        matches: estimates(matches),
        over_best_fixed: policy.whole.less(&best.whole, options.confidence),
        over_uniform: policy.whole.less(&uniform.whole, options.confidence),
        over_best_fixed_second_half: policy.second_half.less(&best.second_half, options.confidence),
        policy,
        uniform,
        fixed,
        best_fixed,
    }
}
