//! Policies that learn while a log is replayed to them.

use super::context::ContextColumn;
use super::contextual::{Actions, RewardModel, Sample};
use super::replay::ReplayOptions;
use super::sample::beta;
use super::stats::{Summary, as_f64};
use crate::select::model::choose::{floored, wins};
use crate::select::model::draws::{DRAWS, Row};
use crate::select::model::newton::Effort;
use crate::select::model::normal::{fill, generator};

/// Quantile bins of a number.
const BINS: usize = 6;
/// Rounds of fitting and re-estimating the priors at each learning step.
const ROUNDS: usize = 2;
/// A model is fitted again when it has this many new matches, and this share of those it has.
const NEW_MATCHES_MIN: usize = 5;
const NEW_MATCHES_DIVISOR: usize = 50;
/// `egreedy` explores with this probability.
const EPSILON: f64 = 0.05;
/// `squarecb` is greedy in proportion to this and to the square root of the number of matches.
const SQUARECB_GAMMA: f64 = 10.0;
/// The streams of the context-free draws.
const STREAM_RATES: u64 = 1;

/// A policy that can be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyName {
    /// The default policy: Thompson sampling on shared, shrunk features.
    Thompson,
    /// Thompson sampling without context: a beta posterior of each action's rate, a normal one of its sizes.
    Beta,
    /// Inverse gap weighting on the same model (Foster and Rakhlin 2020).
    SquareCb,
    /// The best by the same model, and 5 % at random.
    EpsilonGreedy,
    /// An even draw.
    Uniform,
}

/// A policy with what it has learnt.
#[derive(Debug)]
pub struct Learner {
    options: ReplayOptions,
    count: usize,
    model: RewardModel,
    /// Matches that the model was fitted to.
    fitted: usize,
    /// Rows that the contexts' coding was made from.
    coded: usize,
    /// Standard deviation of the rewards seen.
    spread: f64,
    /// What `beta` does until it learns again.
    without_context: Vec<f64>,
}

impl Learner {
    /// A policy that has seen nothing: every action is equally likely.
    pub fn new(options: &ReplayOptions, count: usize) -> Self {
        Self {
            options: *options,
            count,
            model: RewardModel::new(Actions { count, none: None }, BINS),
            fitted: 0,
            coded: 0,
            spread: 0.0,
            without_context: even(count),
        }
    }

    /// The probability of each action for the customer of a row.
    pub fn probabilities(&mut self, contexts: &[ContextColumn], row: usize) -> Vec<f64> {
        if self.fitted == 0 {
            return even(self.count);
        }
        match self.options.policy {
            PolicyName::Uniform => even(self.count),
            PolicyName::Beta => self.without_context.clone(),
            PolicyName::Thompson => {
                let seed = self.options.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(row as u64);
                let draws = self.model.draw(contexts, row, self.options.exploration, seed);
                floored(&wins(draws), self.options.floor)
            }
            PolicyName::EpsilonGreedy => {
                let values = self.model.expected(contexts, row);
                let mut p = vec![EPSILON / as_f64(self.count); self.count];
                p[best(&values)] += 1.0 - EPSILON;
                p
            }
            PolicyName::SquareCb => self.inverse_gaps(&self.model.expected(contexts, row)),
        }
    }

    /// `1/(K + γ·gap)` for all but the best action, which gets the rest. γ is stated in standard deviations of the
    /// rewards: while all are alike, nothing tells the actions apart.
    fn inverse_gaps(&self, values: &[f64]) -> Vec<f64> {
        if self.spread <= 0.0 {
            return even(self.count);
        }
        let leader = best(values);
        let gamma = SQUARECB_GAMMA * as_f64(self.fitted).sqrt() / self.spread;
        let share = |value: &f64| 1.0 / (as_f64(self.count) + gamma * (values[leader] - value));
        let mut p: Vec<f64> = values.iter().map(share).collect();
        p[leader] = 0.0;
        p[leader] = 1.0 - p.iter().sum::<f64>();
        p
    }

    /// Learns from all matches so far; `seen` are all rows so far, whose contexts are known though not their rewards.
    pub fn learn(&mut self, contexts: &[ContextColumn], seen: &[usize], matches: &[Sample]) {
        if matches.len() < self.fitted + self.fitted / NEW_MATCHES_DIVISOR + NEW_MATCHES_MIN {
            return;
        }
        self.fitted = matches.len();
        self.spread = Summary::of(matches.iter().map(|sample| sample.reward)).variance.sqrt();
        match self.options.policy {
            PolicyName::Uniform => {}
            PolicyName::Beta => self.learn_rates(matches),
            PolicyName::Thompson | PolicyName::EpsilonGreedy | PolicyName::SquareCb => {
                // The coding is made anew each time that the log has doubled.
                if self.coded == 0 || seen.len() >= 2 * self.coded {
                    self.model.recode(contexts, seen);
                    self.coded = seen.len();
                }
                self.model.learn(contexts, matches, ROUNDS, Effort::WARM);
            }
        }
    }

    /// 256 draws of each action's rate of rewards other than 0, times its size.
    fn learn_rates(&mut self, matches: &[Sample]) {
        let hits = Summary::of(matches.iter().map(|sample| sample.reward).filter(|reward| *reward != 0.0));
        let mut sizes: Row = [0.0; DRAWS];
        let mut stream = generator(self.options.seed.wrapping_add(self.fitted as u64), STREAM_RATES);
        let mut values = vec![[0.0; DRAWS]; self.count];
        for (action, row) in values.iter_mut().enumerate() {
            let rewards = matches.iter().filter(|sample| sample.action == action).map(|sample| sample.reward);
            let (hit, rest): (Vec<f64>, Vec<f64>) = rewards.partition(|reward| *reward != 0.0);
            let own = Summary::of(hit.iter().copied());
            // Two hits at the size of all hits stand for what is not known yet.
            let worth = as_f64(own.count) + 2.0;
            let mean = (own.mean * as_f64(own.count) + 2.0 * hits.mean) / worth;
            let standard_error = (hits.variance / worth).sqrt();
            fill(&mut stream, &mut sizes);
            for (value, size) in row.iter_mut().zip(&sizes) {
                let rate = beta(&mut stream, 1.0 + as_f64(hit.len()), 1.0 + as_f64(rest.len()));
                #[expect(clippy::cast_possible_truncation, reason = "draws are f32")]
                let drawn = (rate * (mean + standard_error * f64::from(*size))) as f32;
                *value = drawn;
            }
        }
        self.without_context = floored(&wins(&values), self.options.floor);
    }
}

fn even(count: usize) -> Vec<f64> {
    vec![1.0 / as_f64(count); count]
}

/// The first of the largest.
fn best(values: &[f64]) -> usize {
    let mut leader = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[leader] {
            leader = index;
        }
    }
    leader
}
