//! A model of what each action earns for whom: clicks or money, from context columns with gaps.
//!
//! A reward is a rest or a hit: the rest is the one value that most decisions end in (0, or minus the postage), a hit is
//! anything else. P(hit) is a logistic head, the size of a hit a Gaussian one, both the posterior of
//! [`crate::select::model`] on named sparse features: the customer's, the action's, and each of the customer's times the
//! action, with a precision learnt for each group. Clicks leave the size head constant and money without a rest leaves
//! the other one constant, so that one model serves all rewards.

use crate::select::model::draws::{Columns, DRAWS, Row, Workspace};
use crate::select::model::logistic::logistic;
use crate::select::model::newton::{Effort, Outcome, Rows};
use crate::select::model::normal::generator;
use crate::select::model::posterior::Posterior;
use crate::select::model::{Score, SparseVector};

use super::context::{ContextColumn, Encoder};

mod layout;
mod regression;
mod scale;
#[cfg(test)]
mod tests;

use layout::Layout;
use regression::Regression;
use scale::Scale;

/// The streams of a draw's generator, one a head.
const STREAM_HIT: u64 = 2;
const STREAM_SIZE: u64 = 3;

/// One decision with what it earned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The row of its context.
    pub row: usize,
    /// What was done, by number.
    pub action: usize,
    /// What it earned.
    pub reward: f64,
}

/// What the model is told of the actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actions {
    /// How many there are.
    pub count: usize,
    /// The one that means "nothing was sent": the others then share what any send does.
    pub none: Option<usize>,
}

/// The model. It knows only its priors until [`RewardModel::learn`].
#[derive(Debug)]
pub struct RewardModel {
    actions: Actions,
    bins: usize,
    encoder: Encoder,
    layout: Layout,
    hit: Regression,
    size: Regression,
    scale: Scale,
    hit_rows: Rows,
    size_rows: Rows,
    /// The size of each hit, by row of `size_rows`.
    sizes: Vec<f64>,
    /// How many samples the rows hold.
    held: usize,
    room: Room,
}

/// Room for draws, kept between rows.
#[derive(Debug, Default)]
struct Room {
    columns: Columns,
    workspace: Workspace,
    values: Vec<Row>,
    sizes: Vec<Row>,
    tempered: Option<Tempered>,
}

/// The posteriors that draws come from, until the model learns again.
#[derive(Debug)]
struct Tempered {
    exploration: f64,
    hit: Posterior,
    size: Posterior,
}

impl RewardModel {
    /// A model of these actions that codes numbers in `bins` quantile bins.
    pub fn new(actions: Actions, bins: usize) -> Self {
        let encoder = Encoder::default();
        let layout = Layout::new(&encoder, actions);
        Self {
            actions,
            bins,
            hit: Regression::new(layout.space()),
            size: Regression::new(layout.space()),
            encoder,
            layout,
            scale: Scale::unknown(actions.count),
            hit_rows: Rows::default(),
            size_rows: Rows::default(),
            sizes: Vec::new(),
            held: 0,
            room: Room::default(),
        }
    }

    /// Codes the contexts anew from the rows seen so far. What was learnt is kept where a feature keeps its name.
    pub fn recode(&mut self, contexts: &[ContextColumn], seen: &[usize]) {
        self.encoder = Encoder::new(contexts, seen, self.bins);
        let layout = Layout::new(&self.encoder, self.actions);
        self.hit = self.hit.moved(self.layout.space(), layout.space());
        self.size = self.size.moved(self.layout.space(), layout.space());
        self.layout = layout;
        self.held = 0;
        self.room.tempered = None;
    }

    /// Fits all samples so far, of which earlier calls have seen the first ones. `rounds` of fitting and re-estimating
    /// the priors; each fit starts where the last one ended.
    pub fn learn(&mut self, contexts: &[ContextColumn], samples: &[Sample], rounds: usize, effort: Effort) {
        if samples.is_empty() {
            return;
        }
        let scale = Scale::new(samples, self.actions.count);
        if !scale.same_rests(&self.scale) {
            self.held = 0;
        }
        self.scale = scale;
        self.room.tempered = None;
        self.hold(contexts, samples);
        if !self.scale.certain() {
            self.hit.fit(self.layout.space(), &self.hit_rows, rounds, effort);
        }
        if self.scale.varies() {
            let (scale, sizes, noise) = (&self.scale, &self.sizes, self.size.noise());
            self.size_rows.set(|row| (Outcome::Amount(scale.standard(sizes[row])), 1.0 / noise));
            self.size.fit(self.layout.space(), &self.size_rows, rounds, effort);
            self.size.measure_noise(&self.size_rows, |row| scale.standard(sizes[row]));
        }
    }

    /// Adds the samples that the rows do not hold yet.
    fn hold(&mut self, contexts: &[ContextColumn], samples: &[Sample]) {
        if self.held == 0 {
            (self.hit_rows, self.size_rows) = (Rows::default(), Rows::default());
            self.sizes.clear();
        }
        for sample in &samples[self.held..] {
            let local = self.encoder.encode(contexts, sample.row);
            let (shared, arm) = (self.layout.shared(&local), self.layout.arm(&local, sample.action));
            let hit = self.scale.is_hit(sample);
            let outcome = if hit { Outcome::Positive } else { Outcome::Negative };
            self.hit_rows.push(&[&shared, &arm], outcome, 1.0);
            if hit {
                self.size_rows.push(&[&shared, &arm], Outcome::Amount(0.0), 1.0);
                self.sizes.push(sample.reward);
            }
        }
        self.held = samples.len();
    }

    /// The expected reward of each action for the customer of a row.
    pub fn expected(&self, contexts: &[ContextColumn], row: usize) -> Vec<f64> {
        let local = self.encoder.encode(contexts, row);
        let shared = self.layout.shared(&local);
        let (hit, size) = (self.hit.posterior().score(&shared), self.size.posterior().score(&shared));
        let value = |action: usize| {
            let arm = self.layout.arm(&local, action);
            let p = if self.scale.certain() {
                1.0
            } else {
                hit.plus(self.hit.posterior().score(&arm)).probability()
            };
            let Score { mean, .. } = size.plus(self.size.posterior().score(&arm));
            let rest = self.scale.rest(action);
            rest + p * (self.scale.amount(mean) - rest)
        };
        (0..self.actions.count).map(value).collect()
    }

    /// 256 joint draws of what each action earns for the customer of a row, a row an action. `exploration` scales the
    /// standard deviation of the weights: 1 is Thompson sampling as it is defined.
    pub fn draw(&mut self, contexts: &[ContextColumn], row: usize, exploration: f64, seed: u64) -> &[Row] {
        let local = self.encoder.encode(contexts, row);
        let shared = self.layout.shared(&local);
        let arms: Vec<SparseVector> =
            (0..self.actions.count).map(|action| self.layout.arm(&local, action)).collect();
        let Room { columns, workspace, values, sizes, tempered } = &mut self.room;
        let same = |known: &Tempered| known.exploration.to_bits() == exploration.to_bits();
        let Tempered { hit, size, .. } = match tempered.take().filter(same) {
            Some(known) => tempered.insert(known),
            None => tempered.insert(Tempered {
                exploration,
                hit: self.hit.tempered(exploration),
                size: self.size.tempered(exploration),
            }),
        };
        columns.build(self.layout.space().len(), arms.iter());
        workspace.draw(hit, &shared, columns, arms.iter(), &mut generator(seed, STREAM_HIT), values);
        if self.scale.varies() {
            workspace.draw(size, &shared, columns, arms.iter(), &mut generator(seed, STREAM_SIZE), sizes);
        } else {
            sizes.clear();
            sizes.resize(arms.len(), [0.0; DRAWS]);
        }
        let certain = self.scale.certain();
        for (action, (values, sizes)) in values.iter_mut().zip(sizes).enumerate() {
            let (rest, centre, spread) = self.scale.line(action);
            for (value, size) in values.iter_mut().zip(sizes) {
                let p = if certain { 1.0 } else { logistic(*value) };
                *value = rest + p * (centre + spread * *size - rest);
            }
        }
        &self.room.values
    }
}
