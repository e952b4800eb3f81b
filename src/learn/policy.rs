//! Fits on the past and decides for the future, as a campaign would: which action for whom, or none.
//!
//! The model sees the training rows alone. For each test row it decides for the action with the highest expected value:
//! reward, less the cost of sending for every action but `none`. What those decisions are worth is estimated on the test
//! rows whose logged action is the decided one, by inverse propensities; without a propensity column the share of each
//! action in the test file is taken, which is right when actions were assigned at random, and [`Decided::suspicions`]
//! says where the test file contradicts that.

use super::contextual::{Actions, RewardModel};
use super::log::Log;
use super::weigh::{Difference, Weighed, always, weigh};
use crate::learn::stats::as_f64;
use crate::select::model::newton::Effort;

pub mod balance;

/// Quantile bins of a number.
const BINS: usize = 10;
/// Rounds of fitting and re-estimating the priors.
const ROUNDS: usize = 6;

/// How decisions are made.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyOptions {
    /// The action that means "not sent", by number.
    pub none: Option<usize>,
    /// What a send costs, in the unit of the reward.
    pub cost: f64,
    /// The confidence of the intervals.
    pub confidence: f64,
}

/// Decisions for the test rows and what they are worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// By test row: the action.
    pub decisions: Vec<usize>,
    /// By action: for how many rows it was decided.
    pub counts: Vec<usize>,
    /// Test rows whose logged action is the decided one.
    pub matched: usize,
    /// The value of the decisions per row, cost deducted.
    pub policy: Weighed,
    /// By action: the value of always doing it, cost deducted.
    pub fixed: Vec<Weighed>,
    /// The action that would have been best for all *training* rows, which is what one would have done without a model.
    pub best_in_training: usize,
    /// The decisions less always doing that.
    pub over_best: Option<Difference>,
    /// The decisions less never sending, where there is such an action.
    pub over_none: Option<Difference>,
    /// Context columns on which the logged action of the test rows seems to depend.
    pub suspicions: Vec<balance::Suspicion>,
}

/// Decides for the rows of the second file of `log`, having learnt from those of the first.
///
/// # Panics
/// When `log` was not read from two files.
pub fn decide(log: &Log, options: &PolicyOptions) -> Decided {
    let trained = log.rows_by_file[0];
    let count = log.actions.len();
    let seen: Vec<usize> = (0..trained).collect();
    let mut model = RewardModel::new(Actions { count, none: options.none }, BINS);
    model.recode(&log.contexts, &seen);
    model.learn(&log.contexts, &log.samples[..trained], ROUNDS, Effort::CLOSE);
    let known = actions_in(log, 0..trained);
    let cost =
        |action: usize| if options.none.is_some_and(|none| none != action) { options.cost } else { 0.0 };
    let decide_row = |row: usize| {
        let values = model.expected(&log.contexts, row);
        let net = |action: &usize| values[*action] - cost(*action);
        // `none` comes first and keeps its place among equals: nothing is sent where sending gains nothing.
        let order = options.none.into_iter().chain(0..count).filter(|action| known[*action]);
        order.reduce(|best, next| if net(&next) > net(&best) { next } else { best }).unwrap_or(0)
    };
    let decisions: Vec<usize> = (trained..log.len()).map(decide_row).collect();
    judge(log, options, decisions, cost)
}

fn actions_in(log: &Log, rows: std::ops::Range<usize>) -> Vec<bool> {
    let mut known = vec![false; log.actions.len()];
    for sample in &log.samples[rows] {
        known[sample.action] = true;
    }
    known
}

fn judge(log: &Log, options: &PolicyOptions, decisions: Vec<usize>, cost: impl Fn(usize) -> f64) -> Decided {
    let trained = log.rows_by_file[0];
    let count = log.actions.len();
    let (train, test) = log.samples.split_at(trained);
    let actions: Vec<usize> = test.iter().map(|sample| sample.action).collect();
    let rewards: Vec<f64> = test.iter().map(|sample| sample.reward - cost(sample.action)).collect();
    let propensities = match &log.propensities {
        Some(propensities) => propensities[trained..].to_vec(),
        None => shares(&actions, count),
    };
    let weight = |((done, decided), p): ((&usize, &usize), &f64)| if done == decided { 1.0 / p } else { 0.0 };
    let weights: Vec<f64> = actions.iter().zip(&decisions).zip(&propensities).map(weight).collect();
    let policy = weigh(&weights, &rewards, options.confidence);
    let fixed: Vec<Weighed> = (0..count)
        .map(|action| weigh(&always(action, &actions, &propensities), &rewards, options.confidence))
        .collect();
    let train_actions: Vec<usize> = train.iter().map(|sample| sample.action).collect();
    let train_rewards: Vec<f64> = train.iter().map(|sample| sample.reward - cost(sample.action)).collect();
    let train_propensities = match &log.propensities {
        Some(propensities) => propensities[..trained].to_vec(),
        None => shares(&train_actions, count),
    };
    let worth = |action: usize| {
        let weights = always(action, &train_actions, &train_propensities);
        weigh(&weights, &train_rewards, options.confidence).value.unwrap_or(f64::NEG_INFINITY)
    };
    let best_in_training =
        (0..count).max_by(|a, b| worth(*a).total_cmp(&worth(*b))).expect("a log has at least one action");
    let mut counts = vec![0; count];
    for decision in &decisions {
        counts[*decision] += 1;
    }
    Decided {
        matched: weights.iter().filter(|weight| **weight > 0.0).count(),
        over_best: policy.less(&fixed[best_in_training], options.confidence),
        over_none: options.none.and_then(|none| policy.less(&fixed[none], options.confidence)),
        suspicions: balance::suspicions(log, trained),
        policy,
        fixed,
        best_in_training,
        counts,
        decisions,
    }
}

/// By row: how often its action was done, as a share of all rows.
fn shares(actions: &[usize], count: usize) -> Vec<f64> {
    let mut counts = vec![0_usize; count];
    for action in actions {
        counts[*action] += 1;
    }
    actions.iter().map(|action| as_f64(counts[*action]) / as_f64(actions.len())).collect()
}
