//! Off-policy evaluation: what another policy would have earned, from the log of the one that ran.
//!
//! With w = the target's probability ÷ the propensity: IPS = mean(w·r) (Horvitz and Thompson 1952);
//! SNIPS = Σ w·r ÷ Σ w (Swaminathan and Joachims 2015); DM averages a [reward model](reward_model) over the
//! target; DR = DM + mean(w·(r − q)) (Dudík et al. 2011), SNDR the same with Σ w below;
//! ESS = (Σ w)² ÷ Σ w² (Kish). DR and SNDR judge a row only by models that never saw its recipient
//! (cross-fitting), and use weights clipped at a stated limit. An answer that a few rows would decide is
//! refused, not given.

use rand::Rng;

use super::stats::{Interval, as_f64, percentile_interval, resample};

mod fixed;
pub mod input;
pub mod reward_model;

pub use fixed::FixedAction;
use reward_model::{Cells, RewardModel};

/// Below this effective sample size an estimate is refused.
pub const EFFECTIVE_SAMPLE_SIZE_MIN: f64 = 200.0;
/// Above this share of the whole weight in one row an estimate is refused.
pub const ROW_WEIGHT_SHARE_MAX: f64 = 0.05;
/// The mean weight must be 1; this many standard errors away the logged propensities are doubted.
const MEAN_WEIGHT_Z_MAX: f64 = 4.0;
/// Rounded probabilities may move the mean weight by this much.
const MEAN_WEIGHT_ROUNDING: f64 = 0.01;
/// Below this many recipients a bootstrap says nothing.
const RECIPIENTS_MIN: usize = 20;
/// Into how many folds recipients are dealt for cross-fitting.
const FOLDS: u32 = 10;
/// The estimators, in the order of [`Evaluation::estimates`].
pub const ESTIMATORS: [&str; 6] = ["on_policy", "ips", "snips", "dm", "dr", "sndr"];
const ON_POLICY: usize = 0;
const SNIPS: usize = 2;

/// A row of the log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoggedDecision {
    /// What was shown, as an index into the target's actions.
    pub action: u32,
    /// Where it was shown, as an index into the target's positions.
    pub position: u32,
    /// What it earned.
    pub reward: f64,
    /// With what probability the logging policy chose the action: in (0, 1].
    pub propensity: f64,
    /// To whom. Rows of a recipient depend on each other, so the bootstrap draws recipients.
    pub recipient: u32,
}

/// The policy to be judged: a probability for each action at each position.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetPolicy {
    positions: usize,
    /// By action, then position.
    probabilities: Vec<f64>,
}

impl TargetPolicy {
    /// A policy from its probabilities by action, then position. `None` unless each position's sum to 1 within
    /// 1 %, as rounded files do.
    pub fn new(positions: usize, probabilities: Vec<f64>) -> Option<Self> {
        let whole = positions > 0 && probabilities.len().is_multiple_of(positions);
        let policy = Self { positions, probabilities };
        let sums_to_one = |position| (policy.position_sum(position) - 1.0).abs() <= 0.01;
        (whole
            && policy.probabilities.iter().all(|p| (0.0..=1.0).contains(p))
            && (0..positions).all(sums_to_one))
        .then_some(policy)
    }

    /// The probability of an action at a position.
    pub fn probability(&self, action: u32, position: u32) -> f64 {
        self.probabilities[action as usize * self.positions + position as usize]
    }

    fn position_sum(&self, position: usize) -> f64 {
        self.probabilities.iter().skip(position).step_by(self.positions).sum()
    }

    fn actions(&self) -> usize {
        self.probabilities.len() / self.positions
    }
}

/// How the evaluation is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// How much of the intervals' distribution lies inside, as 0.95.
    pub confidence: f64,
    /// How many bootstrap samples make an interval.
    pub resamples: usize,
    /// Weights above this are clipped in DR and SNDR.
    pub weight_max: f64,
}

/// What the log says about the target policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Rows of the log.
    pub rows: usize,
    /// Distinct recipients among them.
    pub recipients: usize,
    /// The value per decision by each of [`ESTIMATORS`] with its interval. The target's five are `None` when
    /// the answer is refused; the logging policy's own mean never is.
    pub estimates: [Option<Estimate>; 6],
    /// SNIPS less the logging policy's mean.
    pub gain: Option<Estimate>,
    /// The effective sample size, `None` when no row has weight.
    pub effective_sample_size: Option<f64>,
    /// The largest weight.
    pub max_weight: f64,
    /// The mean weight; 1 is expected.
    pub mean_weight: f64,
    /// Rows whose weight DR and SNDR clip.
    pub clipped_rows: usize,
    /// The share of the target's choices that the log never shows, and about which it says nothing.
    pub unseen_share: f64,
    /// Why there is no answer. Empty when there is one.
    pub refusals: Vec<String>,
    /// What to keep in mind with the answer.
    pub notes: Vec<String>,
    /// The best single action beside the target, or why there is none.
    pub best_fixed: Result<FixedAction, &'static str>,
}

/// A value with its bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The estimate on the whole log.
    pub value: f64,
    /// Where it lies in the resamples; `None` when it cannot be told.
    pub interval: Option<Interval>,
}

/// Sums over rows from which every estimator but DM follows.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    rows: f64,
    reward: f64,
    weight: f64,
    weighted_reward: f64,
    clipped_weight: f64,
    /// The model's value of the target at the row's position.
    base: f64,
    /// The clipped weight times what the model got wrong.
    correction: f64,
}

/// What a row adds to the sums, computed once.
#[derive(Debug, Clone, Copy)]
struct Scored {
    decision: LoggedDecision,
    weight: f64,
    clipped_weight: f64,
    base: f64,
    correction: f64,
}

/// Judges `target` by `log`. The log must not be empty and must name only actions and positions of the target.
pub fn evaluate(
    log: &[LoggedDecision],
    target: &TargetPolicy,
    options: &Options,
    rng: &mut impl Rng,
) -> Evaluation {
    let weights: Vec<f64> =
        log.iter().map(|row| target.probability(row.action, row.position) / row.propensity).collect();
    let cells = Cells::of(log, target);
    let rows = score(log, &weights, target, &cells, options.weight_max);
    let refusals = refusals(&weights);
    let by_recipient = group_by_recipient(rows);
    let resamples = if by_recipient.len() < RECIPIENTS_MIN { 0 } else { options.resamples };
    let draws = resampled_estimates(&by_recipient, target, resamples, rng);
    let point = point_estimates(&sum(by_recipient.iter().flatten()), &cells, target);

    let interval = |pick: &dyn Fn(&[f64; 6]) -> f64| {
        percentile_interval(&draws.iter().map(pick).collect::<Vec<f64>>(), options.confidence)
    };
    let given = |index: usize| index == ON_POLICY || refusals.is_empty();
    let estimate = |index: usize| {
        (given(index) && point[index].is_finite())
            .then(|| Estimate { value: point[index], interval: interval(&|draw| draw[index]) })
    };
    let gain = refusals.is_empty().then(|| Estimate {
        value: point[SNIPS] - point[ON_POLICY],
        interval: interval(&|draw| draw[SNIPS] - draw[ON_POLICY]),
    });
    let unseen_share = cells.unseen_share(target);
    let clipped_rows = weights.iter().filter(|&&weight| weight > options.weight_max).count();
    Evaluation {
        rows: log.len(),
        recipients: by_recipient.len(),
        estimates: std::array::from_fn(estimate),
        gain,
        effective_sample_size: effective_sample_size(&weights),
        max_weight: weights.iter().copied().fold(0.0, f64::max),
        mean_weight: weights.iter().sum::<f64>() / as_f64(log.len()),
        clipped_rows,
        unseen_share,
        notes: notes(&weights, clipped_rows, unseen_share, options)
            .into_iter()
            .chain(
                (resamples == 0)
                    .then(|| format!("no intervals: they need at least {RECIPIENTS_MIN} recipients")),
            )
            .collect(),
        best_fixed: if refusals.is_empty() {
            fixed::best(log, &weights, point[SNIPS], target.actions(), options.confidence)
        } else {
            Err("there is no answer to compare it with")
        },
        refusals,
    }
}

/// The effective sample size of weights (Kish): how many equally weighted rows tell as much.
pub fn effective_sample_size(weights: &[f64]) -> Option<f64> {
    let sum: f64 = weights.iter().sum();
    let squares: f64 = weights.iter().map(|weight| weight * weight).sum();
    (squares > 0.0).then(|| sum * sum / squares)
}

fn refusals(weights: &[f64]) -> Vec<String> {
    let Some(size) = effective_sample_size(weights) else {
        return vec!["no logged row shows anything that the target would choose".to_owned()];
    };
    let mut reasons = Vec::new();
    if size < EFFECTIVE_SAMPLE_SIZE_MIN {
        reasons.push(format!(
            "the effective sample size is {size:.1}, under {EFFECTIVE_SAMPLE_SIZE_MIN}: log more, or a target nearer to the log"
        ));
    }
    let largest = weights.iter().copied().fold(0.0, f64::max) / weights.iter().sum::<f64>();
    if largest > ROW_WEIGHT_SHARE_MAX {
        reasons.push(format!(
            "one row holds {:.1} % of the whole weight, over {:.0} %: the answer would be that row's",
            100.0 * largest,
            100.0 * ROW_WEIGHT_SHARE_MAX
        ));
    }
    reasons
}

fn notes(weights: &[f64], clipped_rows: usize, unseen_share: f64, options: &Options) -> Vec<String> {
    let mut notes = Vec::new();
    let summary = super::stats::Summary::of(weights.iter().copied());
    let error = summary.mean_variance().sqrt();
    if (summary.mean - 1.0).abs() > (MEAN_WEIGHT_Z_MAX * error).max(MEAN_WEIGHT_ROUNDING) {
        notes.push(format!(
            "the mean weight is {:.3} instead of 1, which chance does not explain: are these the true propensities, and does the log show all of the target's actions?",
            summary.mean
        ));
    }
    if unseen_share > 0.0 {
        notes.push(format!(
            "{:.2} % of the target's choices are never in the log: ips leaves them out, dm guesses them",
            100.0 * unseen_share
        ));
    }
    if clipped_rows > 0 {
        notes.push(format!(
            "dr and sndr clip the weight of {clipped_rows} rows at {}, which biases them towards the reward model",
            options.weight_max
        ));
    }
    notes
}

/// What each row adds, with the reward model of the fold that left its recipient out.
fn score(
    log: &[LoggedDecision],
    weights: &[f64],
    target: &TargetPolicy,
    cells: &Cells,
    weight_max: f64,
) -> Vec<Scored> {
    let models: Vec<RewardModel> = (0..FOLDS)
        .map(|fold| {
            let left_out = log.iter().filter(|row| row.recipient % FOLDS == fold);
            RewardModel::fit(&cells.without(left_out))
        })
        .collect();
    let bases: Vec<Vec<f64>> = models.iter().map(|model| model.values_of(target)).collect();
    let scored = |(&decision, &weight): (&LoggedDecision, &f64)| {
        let fold = (decision.recipient % FOLDS) as usize;
        let clipped_weight = weight.min(weight_max);
        let wrong = decision.reward - models[fold].expected(decision.action, decision.position);
        let base = bases[fold][decision.position as usize];
        Scored { decision, weight, clipped_weight, base, correction: clipped_weight * wrong }
    };
    log.iter().zip(weights).map(scored).collect()
}

fn group_by_recipient(rows: Vec<Scored>) -> Vec<Vec<Scored>> {
    let mut groups: std::collections::BTreeMap<u32, Vec<Scored>> = std::collections::BTreeMap::new();
    for row in rows {
        groups.entry(row.decision.recipient).or_default().push(row);
    }
    groups.into_values().collect()
}

fn sum<'r>(rows: impl Iterator<Item = &'r Scored>) -> Sums {
    let mut sums = Sums::default();
    for row in rows {
        sums.rows += 1.0;
        sums.reward += row.decision.reward;
        sums.weight += row.weight;
        sums.weighted_reward += row.weight * row.decision.reward;
        sums.clipped_weight += row.clipped_weight;
        sums.base += row.base;
        sums.correction += row.correction;
    }
    sums
}

fn point_estimates(sums: &Sums, cells: &Cells, target: &TargetPolicy) -> [f64; 6] {
    let model = RewardModel::fit(cells);
    let base = sums.base / sums.rows;
    [
        sums.reward / sums.rows,
        sums.weighted_reward / sums.rows,
        sums.weighted_reward / sums.weight,
        cells.mean_over_positions(&model.values_of(target)),
        base + sums.correction / sums.rows,
        base + sums.correction / sums.clipped_weight,
    ]
}

/// The estimates in bootstrap samples of recipients. The direct method's model is fitted anew in each; the
/// cross-fitted models are kept, whose own error is of second order in DR (Chernozhukov et al. 2018).
fn resampled_estimates(
    by_recipient: &[Vec<Scored>],
    target: &TargetPolicy,
    resamples: usize,
    rng: &mut impl Rng,
) -> Vec<[f64; 6]> {
    (0..resamples)
        .map(|_| {
            let drawn: Vec<usize> = resample(by_recipient.len(), rng).collect();
            let rows = || drawn.iter().flat_map(|&recipient| &by_recipient[recipient]);
            let cells = Cells::of(rows().map(|row| &row.decision), target);
            point_estimates(&sum(rows()), &cells, target)
        })
        .collect()
}

#[cfg(test)]
mod tests;
