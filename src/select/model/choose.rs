//! Thompson sampling over values: 256 draws, the floor, the caps, and the one draw that chooses.
//!
//! # What is exact
//! 1. Each arm gets 256 joint draws of its value, and `c` counts how often it was the best. Then
//!    `p = (1−ε)·c/256 + ε/|E|` over the candidates E, lowered to the caps of new variants. All of that depends on the
//!    model, the features and the seed, and not on who is chosen.
//! 2. One number, from a stream of its own, chooses from p. So `probabilities[index]` is the very probability of the
//!    choice, not an estimate of it.
//! 3. With more arms than the shortlist holds, E is the `best` by expected value plus `others` drawn uniformly from the
//!    rest. p is then exact given the logged shortlist. For weights over *all* eligible arms, use
//!    [`Choice::propensity`]: p times the probability of having been shortlisted (1 for the best, `others`/rest else).
//!    Weighting by its inverse is unbiased: summed over the shortlists that hold an arm,
//!    `P(shortlist)·p · 1/(P(shortlisted)·p)` is 1, because the floor keeps every p of a shortlisted arm above zero.

use serde::{Deserialize, Serialize};

use super::caps::cap_sends;
use super::draws::{Columns, DRAWS, Row, Workspace};
use super::heads::{Earned, Heads, Values};
use super::logistic::{scale, subtract_loss, times_logistic};
use super::normal::{generator, unit};
use super::posterior::Score;
use super::shortlist::Shortlist;
use super::vector::SparseVector;

/// One vote a draw.
#[expect(clippy::cast_possible_truncation, reason = "256")]
const BALLOTS: u32 = DRAWS as u32;

/// Streams of the generator, one a purpose.
const STREAM_CHOICE: u64 = 0;
pub(super) const STREAM_SHORTLIST: u64 = 1;
const STREAM_HEADS: u64 = 2;

/// One thing that may be done for this customer now. Only eligible arms are given.
#[derive(Debug, Clone, Copy)]
pub enum Arm<'a> {
    /// Not to write; its value is 0.
    NoSend,
    /// To send a variant.
    Send {
        /// The features of the variant, and its interactions with the customer.
        features: &'a SparseVector,
        /// What a click or a purchase earns.
        margin: f64,
        /// What the send costs.
        cost: f64,
        /// The largest share that it may get; see [`super::caps`].
        share_max: Option<f64>,
    },
}

/// How to choose.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChoiceOptions {
    /// ε: the share that is spread uniformly over the candidates, so that every one of them stays measurable.
    pub floor: f64,
    /// How many arms enter the shortlist by expected value.
    pub best: usize,
    /// How many enter it by lot.
    pub others: usize,
    /// How answers become a value.
    pub values: Values,
}

impl ChoiceOptions {
    /// Design §7: ε = 0.02, the best 24 and 8 others.
    pub fn new(values: Values) -> Self {
        Self { floor: 0.02, best: 24, others: 8, values }
    }
}

/// What was chosen, and with what probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The chosen arm.
    pub index: usize,
    /// The number in [0, 1) that chose it.
    pub at: f64,
    /// By arm: its probability given the shortlist; 0 for arms outside of it. Sums to one.
    pub probabilities: Vec<f64>,
    /// By arm: its expected value; 0 for NO SEND.
    pub scores: Vec<f64>,
    /// The arms that were candidates, in the order of their numbers.
    pub shortlist: Vec<usize>,
    /// The probability with which the chosen arm entered the shortlist.
    pub inclusion: f64,
}

impl Choice {
    /// The propensity of the choice among all eligible arms: inclusion times probability.
    pub fn propensity(&self) -> f64 {
        self.inclusion * self.probabilities[self.index]
    }
}

/// Chooses one arm; [`Chooser::choose`] with room of its own.
///
/// # Panics
/// When `arms` is empty: whoever asks has handled "nothing is eligible" already.
pub fn thompson(
    arms: &[Arm<'_>],
    shared: &SparseVector,
    model: &Heads,
    seed: u64,
    options: &ChoiceOptions,
) -> Choice {
    Chooser::default().choose(arms, shared, model, seed, options)
}

/// Thompson sampling with room that is kept between decisions: one for each worker task.
#[derive(Debug, Default)]
pub struct Chooser {
    columns: Columns,
    workspace: Workspace,
    predictor: Vec<Row>,
    values: Vec<Row>,
}

impl Chooser {
    /// Chooses one of `arms` for the customer with the features `shared`.
    ///
    /// # Panics
    /// When `arms` is empty.
    pub fn choose(
        &mut self,
        arms: &[Arm<'_>],
        shared: &SparseVector,
        model: &Heads,
        seed: u64,
        options: &ChoiceOptions,
    ) -> Choice {
        assert!(!arms.is_empty(), "a choice needs at least one eligible arm");
        let common = Common::new(model, shared);
        let scores: Vec<f64> = arms.iter().map(|arm| common.value(arm, model, options.values)).collect();
        let Shortlist { arms: shortlist, by_lot, lot_share } = Shortlist::new(arms, &scores, seed, options);
        self.draw_values(arms, &shortlist, shared, model, seed, options.values);
        let mut candidates = floored(&wins(&self.values), options.floor);
        let caps: Vec<Option<f64>> = shortlist.iter().map(|index| arms[*index].share_max()).collect();
        let no_send = shortlist.iter().position(|index| matches!(arms[*index], Arm::NoSend));
        cap_sends(&mut candidates, &caps, no_send);
        let at = unit(&mut generator(seed, STREAM_CHOICE));
        let index = shortlist[pick(&candidates, at)];
        let mut probabilities = vec![0.0; arms.len()];
        for (arm, p) in shortlist.iter().zip(&candidates) {
            probabilities[*arm] = *p;
        }
        let inclusion = if by_lot.contains(&index) { lot_share } else { 1.0 };
        Choice { index, at, probabilities, scores, shortlist, inclusion }
    }

    /// One row of value draws for each arm of the shortlist, into `self.values`.
    fn draw_values(
        &mut self,
        arms: &[Arm<'_>],
        shortlist: &[usize],
        shared: &SparseVector,
        model: &Heads,
        seed: u64,
        values: Values,
    ) {
        let listed = || shortlist.iter().map(|index| arms[*index].features());
        self.columns.build(model.space().len(), listed());
        self.values.clear();
        self.values.resize(shortlist.len(), [1.0; DRAWS]);
        let purchase = (values.earned == Earned::ByPurchase).then_some(&model.purchase);
        for (number, head) in [Some(&model.click), purchase].into_iter().enumerate() {
            let Some(head) = head else { continue };
            let mut stream = generator(seed, STREAM_HEADS + number as u64);
            let out = &mut self.predictor;
            self.workspace.draw(head.posterior(), shared, &self.columns, listed(), &mut stream, out);
            for (value, draw) in self.values.iter_mut().zip(&self.predictor) {
                times_logistic(value, draw);
            }
        }
        for (value, index) in self.values.iter_mut().zip(shortlist) {
            match arms[*index] {
                Arm::NoSend => *value = [0.0; DRAWS],
                Arm::Send { margin, cost, .. } => scale(value, margin, cost),
            }
        }
        if values.unsubscribe_loss != 0.0 {
            let mut stream = generator(seed, STREAM_HEADS + 2);
            let posterior = model.unsubscribe.posterior();
            self.workspace.draw(posterior, shared, &self.columns, listed(), &mut stream, &mut self.predictor);
            for ((value, draw), index) in self.values.iter_mut().zip(&mut self.predictor).zip(shortlist) {
                if matches!(arms[*index], Arm::Send { .. }) {
                    subtract_loss(value, draw, values.unsubscribe_loss);
                }
            }
        }
    }
}

static NO_FEATURES: SparseVector = SparseVector::EMPTY;

impl<'a> Arm<'a> {
    fn features(&self) -> &'a SparseVector {
        match self {
            Self::NoSend => &NO_FEATURES,
            Self::Send { features, .. } => features,
        }
    }

    fn share_max(&self) -> Option<f64> {
        match self {
            Self::NoSend => None,
            Self::Send { share_max, .. } => *share_max,
        }
    }
}

/// What the customer's own features add to every arm's score, computed once.
struct Common {
    click: Score,
    purchase: Score,
    unsubscribe: Score,
}

impl Common {
    fn new(model: &Heads, shared: &SparseVector) -> Self {
        let [click, purchase, unsubscribe] = model.scores(shared);
        Self { click, purchase, unsubscribe }
    }

    /// The expected value of an arm; features that the arm shares with the customer are taken as independent.
    fn value(&self, arm: &Arm<'_>, model: &Heads, values: Values) -> f64 {
        let Arm::Send { features, margin, cost, .. } = arm else { return 0.0 };
        if values.earned == Earned::ByClick && values.unsubscribe_loss == 0.0 {
            return margin * self.click.plus(model.click.score(features)).probability() - cost;
        }
        let [click, purchase, unsubscribe] = model.scores(features);
        let mut earned = margin * self.click.plus(click).probability();
        if values.earned == Earned::ByPurchase {
            earned *= self.purchase.plus(purchase).probability();
        }
        if values.unsubscribe_loss == 0.0 {
            return earned - cost;
        }
        earned - cost - values.unsubscribe_loss * self.unsubscribe.plus(unsubscribe).probability()
    }
}

/// How often each row of draws holds the best value; the first of equals wins.
pub fn wins(values: &[Row]) -> Vec<u32> {
    let mut best = [f32::NEG_INFINITY; DRAWS];
    for row in values {
        for (best, value) in best.iter_mut().zip(row) {
            *best = if *value > *best { *value } else { *best };
        }
    }
    let holds = |row: &Row| row.iter().zip(&best).map(|(value, best)| u32::from(value >= best)).sum();
    let counts: Vec<u32> = values.iter().map(holds).collect();
    if counts.iter().sum::<u32>() == BALLOTS { counts } else { wins_with_ties(values, &best) }
}

/// The slow way, for draws in which two arms have the same value to the last bit.
fn wins_with_ties(values: &[Row], best: &Row) -> Vec<u32> {
    let mut counts = vec![0; values.len()];
    for (draw, best) in best.iter().enumerate() {
        let first = values.iter().position(|row| row[draw] >= *best).unwrap_or(0);
        counts[first] += 1;
    }
    counts
}

/// `(1−ε)·c/S + ε/|E|`.
#[expect(clippy::cast_precision_loss, reason = "draws and arms are counted in hundreds")]
pub fn floored(wins: &[u32], floor: f64) -> Vec<f64> {
    let uniform = floor / wins.len() as f64;
    wins.iter().map(|count| (1.0 - floor) * f64::from(*count) / DRAWS as f64 + uniform).collect()
}

/// The arm at which the running sum of probabilities passes `at` (in [0, 1)); never one with probability zero.
pub fn pick(probabilities: &[f64], at: f64) -> usize {
    let mut sum = 0.0;
    let mut last = 0;
    for (index, p) in probabilities.iter().enumerate().filter(|(_, p)| **p > 0.0) {
        sum += p;
        last = index;
        if at < sum {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests;
