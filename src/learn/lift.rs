//! What a campaign changed: everybody who was assigned, as assigned (intention to treat).
//!
//! Differences of means have Welch intervals, ratios delta-method intervals, shares with few events Fisher's
//! exact test. Several claims at once are adjusted by Holm. Before anything is believed the sample ratio is
//! tested: when the arms do not have the sizes that they were dealt, something chose who is counted, and no
//! figure is to be trusted. With a covariate from before the campaign, CUPED (Deng et al. 2013) takes out
//! what was already known: y − θ(x − x̄), θ the slope within arms.

use super::stats::{
    Interval, Summary, Welch, as_f64, chi_square_p, fisher_exact_p, holm, minimum_detectable_effect,
    normal_quantile, relative_lift, welch,
};

pub mod input;

/// Below this probability the sizes of the arms are not what they should be.
pub const SAMPLE_RATIO_P_MIN: f64 = 0.001;
/// With fewer events, or fewer non-events, than this in an arm a share is judged by Fisher's exact test.
pub const EVENTS_MIN: f64 = 5.0;
/// Below this probability the covariate differs between arms more than a fair deal would make it.
const COVARIATE_P_MIN: f64 = 0.001;

/// The units of an experiment, column by column.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// The names of the arms; at least two.
    pub arms: Vec<String>,
    /// Which of them is the control.
    pub control: usize,
    /// The arm of each unit, as an index into `arms`.
    pub arm_of: Vec<u32>,
    /// Outcomes with a value for each unit.
    pub outcomes: Vec<Outcome>,
    /// The covariate of each unit; `None` where it is not known, which CUPED takes as the mean.
    pub covariate: Option<Vec<Option<f64>>>,
    /// The share of units that each arm was meant to get; they need not sum to 1.
    pub expected_shares: Vec<f64>,
}

/// A named outcome with a value for each unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The name of its column.
    pub name: String,
    /// A value for each unit.
    pub values: Vec<f64>,
}

/// How the comparison is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Of intervals, and one less the chance of any false claim.
    pub confidence: f64,
    /// With what probability the minimum detectable effect is found.
    pub power: f64,
}

/// What the experiment says.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// Units in each arm.
    pub counts: Vec<usize>,
    /// Whether the arms have the sizes that they were dealt.
    pub sample_ratio: SampleRatio,
    /// Each outcome in each treated arm against control.
    pub comparisons: Vec<Comparison>,
    /// What to keep in mind.
    pub notes: Vec<String>,
}

/// The sample ratio test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleRatio {
    /// The probability of sizes at least as far from the expected ones.
    pub p_value: f64,
    /// What follows.
    pub verdict: RatioVerdict,
}

/// Whether the deal was fair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RatioVerdict {
    /// The sizes are what chance makes of the expected ones.
    Holds,
    /// They are not: no figure of this experiment is to be trusted.
    Fails,
}

/// An outcome in a treated arm against control.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The name of the outcome.
    pub outcome: String,
    /// The treated arm, as an index into the arms.
    pub arm: usize,
    /// The outcome in the treated arm.
    pub treated: Summary,
    /// The outcome in the control arm.
    pub control: Summary,
    /// The plain difference.
    pub plain: Effect,
    /// The difference after CUPED, which is then the one that is judged.
    pub adjusted: Option<Adjusted>,
    /// The test behind the p-value.
    pub test: Test,
    /// The two-sided p-value of this comparison alone; `None` when nothing varies.
    pub p_value: Option<f64>,
    /// The p-value adjusted for all comparisons of the experiment (Holm).
    pub p_adjusted: Option<f64>,
    /// What may be said.
    pub verdict: Verdict,
}

/// A difference and what it is relative to control.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effect {
    /// The difference of means; `None` when nothing varies or an arm has fewer than two units.
    pub difference: Option<Welch>,
    /// Treated ÷ control − 1; `None` when the control mean may be zero.
    pub lift: Option<(f64, Interval)>,
    /// The smallest true difference that would have been found.
    pub detectable: Option<f64>,
}

/// The effect after CUPED.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adjusted {
    /// The effect on what the covariate does not explain.
    pub effect: Effect,
    /// The share of the variance that the covariate explains within arms.
    pub variance_removed: f64,
}

/// The test behind a p-value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// Welch's t test of two means.
    Welch,
    /// Fisher's exact test of two shares, for few events.
    Fisher,
}

/// What may be said of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Higher than control, beyond chance.
    Higher,
    /// Lower than control, beyond chance.
    Lower,
    /// Nothing was shown, which is not the same as no effect.
    NotSignificant,
    /// There is too little to judge: an arm has fewer than two units, nothing varies, or hardly anybody of an arm has
    /// another value than 0, so that a mean says next to nothing.
    NotJudged,
}

/// Compares every arm with control in every outcome.
pub fn compare(experiment: &Experiment, options: &Options) -> Findings {
    let mut counts = vec![0; experiment.arms.len()];
    for &arm in &experiment.arm_of {
        counts[arm as usize] += 1;
    }
    let p_value = chi_square_p(&counts, &experiment.expected_shares).unwrap_or(1.0);
    let verdict = if p_value < SAMPLE_RATIO_P_MIN { RatioVerdict::Fails } else { RatioVerdict::Holds };
    let covariate = experiment.covariate.as_deref().map(completed);
    let mut comparisons = Vec::new();
    for outcome in &experiment.outcomes {
        let adjustment = covariate.as_ref().and_then(|x| cuped(experiment, &outcome.values, x));
        for arm in (0..experiment.arms.len()).filter(|&arm| arm != experiment.control) {
            comparisons.push(comparison(experiment, outcome, adjustment.as_ref(), arm, options));
        }
    }
    judge(&mut comparisons, options);
    Findings {
        counts,
        sample_ratio: SampleRatio { p_value, verdict },
        notes: notes(experiment, covariate.as_deref(), &comparisons),
        comparisons,
    }
}

fn comparison(
    experiment: &Experiment,
    outcome: &Outcome,
    adjustment: Option<&(Vec<f64>, f64)>,
    arm: usize,
    options: &Options,
) -> Comparison {
    let of_arm = |values: &[f64], arm: usize| {
        let values = values.iter().zip(&experiment.arm_of).filter(|&(_, of)| *of as usize == arm);
        Summary::of(values.map(|(&value, _)| value))
    };
    let effect_of =
        |values: &[f64]| effect(&of_arm(values, arm), &of_arm(values, experiment.control), options);
    let (treated, control) = (of_arm(&outcome.values, arm), of_arm(&outcome.values, experiment.control));
    let plain = effect(&treated, &control, options);
    let adjusted =
        adjustment.map(|(values, share)| Adjusted { effect: effect_of(values), variance_removed: *share });
    let judged = adjusted.map_or(plain, |adjusted| adjusted.effect).difference;
    let binary = outcome.values.iter().all(|value| [0.0, 1.0].contains(value));
    let exact = if binary { few_events_p(&treated, &control) } else { None };
    let nearly_zero = |arm: usize| is_nearly_zero(&outcome.values, &experiment.arm_of, arm);
    let judged = judged.filter(|_| binary || !(nearly_zero(arm) || nearly_zero(experiment.control)));
    Comparison {
        outcome: outcome.name.clone(),
        arm,
        treated,
        control,
        plain,
        adjusted,
        test: if exact.is_some() { Test::Fisher } else { Test::Welch },
        p_value: exact.or(judged.map(|welch| welch.p_value)),
        p_adjusted: None,
        verdict: Verdict::NotJudged,
    }
}

fn effect(treated: &Summary, control: &Summary, options: &Options) -> Effect {
    let difference = welch(treated, control, options.confidence);
    Effect {
        difference,
        lift: relative_lift(treated, control, options.confidence),
        detectable: difference
            .map(|welch| minimum_detectable_effect(welch.standard_error, options.confidence, options.power)),
    }
}

/// Fisher's p-value where an arm has too few events, or too few without, for a normal approximation.
fn few_events_p(treated: &Summary, control: &Summary) -> Option<f64> {
    let events = |arm: &Summary| arm.mean * as_f64(arm.count);
    let few = |arm: &Summary| {
        let events = events(arm);
        events.min(as_f64(arm.count) - events) < EVENTS_MIN - 0.5
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of zeros and ones")]
    let whole = |arm: &Summary| events(arm).round() as usize;
    let both_counted = treated.count > 0 && control.count > 0;
    (both_counted && (few(treated) || few(control)))
        .then(|| fisher_exact_p([whole(treated), whole(control)], [treated.count, control.count]))
        .flatten()
}

/// Whether so few units of an arm have another value than 0 that the normal approximation of its mean cannot be trusted.
fn is_nearly_zero(values: &[f64], arm_of: &[u32], arm: usize) -> bool {
    let own = || values.iter().zip(arm_of).filter(|&(_, of)| *of as usize == arm);
    let others = own().filter(|(value, _)| **value != 0.0).count();
    as_f64(others) < EVENTS_MIN && others < own().count()
}

/// Adjusts the p-values for their number and says what may be said.
fn judge(comparisons: &mut [Comparison], options: &Options) {
    let tested: Vec<usize> =
        (0..comparisons.len()).filter(|&index| comparisons[index].p_value.is_some()).collect();
    let p_values: Vec<f64> = tested.iter().filter_map(|&index| comparisons[index].p_value).collect();
    for (&index, p_adjusted) in tested.iter().zip(holm(&p_values)) {
        let comparison = &mut comparisons[index];
        let judged = comparison.adjusted.map_or(comparison.plain, |adjusted| adjusted.effect).difference;
        let difference = judged.map_or(0.0, |welch| welch.difference);
        comparison.p_adjusted = Some(p_adjusted);
        comparison.verdict = if p_adjusted >= 1.0 - options.confidence || difference == 0.0 {
            Verdict::NotSignificant
        } else if difference > 0.0 {
            Verdict::Higher
        } else {
            Verdict::Lower
        };
    }
}

/// The covariate with its mean where it is not known.
fn completed(covariate: &[Option<f64>]) -> Vec<f64> {
    let mean = Summary::of(covariate.iter().copied().flatten()).mean;
    covariate.iter().map(|value| value.unwrap_or(mean)).collect()
}

/// The outcome less what the covariate explains of it, and the share of the variance within arms that this
/// takes away. `None` when the covariate or the outcome does not vary within arms.
fn cuped(experiment: &Experiment, outcome: &[f64], covariate: &[f64]) -> Option<(Vec<f64>, f64)> {
    let arms = experiment.arms.len();
    let means = |values: &[f64]| -> Vec<f64> {
        let (mut sums, mut counts) = (vec![0.0; arms], vec![0.0; arms]);
        for (value, &arm) in values.iter().zip(&experiment.arm_of) {
            sums[arm as usize] += value;
            counts[arm as usize] += 1.0;
        }
        sums.iter().zip(&counts).map(|(sum, count)| if *count > 0.0 { sum / count } else { 0.0 }).collect()
    };
    let (outcome_means, covariate_means) = (means(outcome), means(covariate));
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for ((y, x), &arm) in outcome.iter().zip(covariate).zip(&experiment.arm_of) {
        let (y, x) = (y - outcome_means[arm as usize], x - covariate_means[arm as usize]);
        xx += x * x;
        xy += x * y;
        yy += y * y;
    }
    if xx <= 0.0 || yy <= 0.0 {
        return None;
    }
    let slope = xy / xx;
    let overall = Summary::of(covariate.iter().copied()).mean;
    let adjusted = outcome.iter().zip(covariate).map(|(y, x)| y - slope * (x - overall)).collect();
    Some((adjusted, xy * xy / (xx * yy)))
}

fn notes(experiment: &Experiment, covariate: Option<&[f64]>, comparisons: &[Comparison]) -> Vec<String> {
    let mut notes = Vec::new();
    if comparisons.len() > 1 {
        notes.push(format!(
            "verdicts are adjusted for {} comparisons (Holm); intervals are not",
            comparisons.len()
        ));
    }
    if comparisons.iter().any(|comparison| comparison.test == Test::Fisher) {
        notes.push(format!(
            "where an arm has fewer than {EVENTS_MIN} events the p-value is Fisher's exact one, and the interval is only rough"
        ));
    }
    if comparisons.iter().any(|one| one.test == Test::Welch && one.p_value.is_none()) {
        notes.push(format!(
            "an outcome is not judged where fewer than {EVENTS_MIN} of an arm have another value than 0, or nothing varies"
        ));
    }
    let Some(covariate) = covariate else { return notes };
    let gaps = experiment.covariate.iter().flatten().filter(|value| value.is_none()).count();
    if gaps > 0 {
        notes.push(format!("the covariate is missing for {gaps} units and taken as the mean there"));
    }
    let of_arm = |arm: usize| {
        let values = covariate.iter().zip(&experiment.arm_of).filter(|&(_, of)| *of as usize == arm);
        Summary::of(values.map(|(&value, _)| value))
    };
    for (arm, name) in experiment.arms.iter().enumerate().filter(|&(arm, _)| arm != experiment.control) {
        let few = [arm, experiment.control].map(|arm| is_nearly_zero(covariate, &experiment.arm_of, arm));
        let result = welch(&of_arm(arm), &of_arm(experiment.control), 0.95);
        if few == [false; 2] && result.is_some_and(|welch| welch.p_value < COVARIATE_P_MIN) {
            notes.push(format!(
                "the covariate differs between {name:?} and control more than a fair deal would make it: was it measured before the campaign?"
            ));
        }
    }
    if comparisons.iter().any(|comparison| comparison.adjusted.is_none()) {
        notes.push("the covariate or an outcome does not vary within arms: not adjusted there".to_owned());
    }
    notes
}

/// The interval of an arm's own mean, for showing.
pub fn mean_interval(summary: &Summary, confidence: f64) -> Option<Interval> {
    let half_width = normal_quantile(0.5 + confidence / 2.0) * summary.mean_variance().sqrt();
    let (low, high) = (summary.mean - half_width, summary.mean + half_width);
    // Where all are alike it is not known how they vary: no width would claim that they do not.
    (summary.count > 1 && half_width > 0.0).then_some(Interval { low, high })
}

#[cfg(test)]
mod tests;
