//! Simulates policies over many A/B/n tests, from nothing but impressions and clicks.
//!
//! Each test is a small world: its arms click at the rates that were measured, clicks over impressions, and its traffic
//! is the impressions that it had in all. The traffic is served in equal steps. Before each step a policy says its
//! probability of each arm; the step's impressions are divided in these proportions (the remainders of whole
//! impressions by lot), and each arm's clicks are drawn from a binomial law. What a policy earns is the expected
//! number of clicks of what it served, which leaves the luck of the clicks out of the comparison.
//!
//! The figure is the share of what there was to gain: `Σ (policy − uniform) / Σ (oracle − uniform)` over all tests, the
//! oracle serving the best arm from the first impression. Measured rates scatter more than true ones, so the oracle is
//! flattered, and with it every share is an understatement, for all policies alike.
//!
//! `thompson` starts each arm of a test at the rate of the tests before it in the file, as a sender starts from its own
//! past: a beta prior worth [`PRIOR_IMPRESSIONS`]. The first test starts at [`FIRST_RATE`].

use rand_chacha::ChaCha8Rng;

use super::sample::{beta, binomial};
use super::stats::{Interval, as_f64, normal_quantile};
use super::table::{Table, TableError};
use crate::select::model::choose::{floored, wins};
use crate::select::model::draws::{DRAWS, Row};
use crate::select::model::normal::{generator, unit};

/// How many impressions the prior is worth.
pub const PRIOR_IMPRESSIONS: f64 = 100.0;
/// The rate to expect before any test was seen.
pub const FIRST_RATE: f64 = 0.02;
/// ε of `thompson`.
const FLOOR: f64 = 0.02;
/// `egreedy` explores with this probability.
const EPSILON: f64 = 0.1;
/// `split` is even for this share of the steps and then serves the winner.
const SPLIT_SHARE: f64 = 0.2;

/// One arm as it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredArm {
    /// How often it was shown.
    pub impressions: u64,
    /// How often it was clicked; at most `impressions`.
    pub clicks: u64,
}

/// Tests with at least two arms, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tests {
    /// The arms of each test.
    pub tests: Vec<Vec<MeasuredArm>>,
    /// Tests that cannot be simulated: one arm only, or an arm that nobody saw.
    pub left_out: usize,
}

/// The policies that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArmPolicy {
    /// Thompson sampling on beta posteriors.
    Thompson,
    /// The best so far, and 10 % at random.
    EpsilonGreedy,
    /// An even split for a fifth of the traffic, then the winner.
    SplitThenWinner,
    /// An even split for ever.
    Uniform,
}

/// All policies, in the order in which they are shown.
pub const POLICIES: [ArmPolicy; 4] =
    [ArmPolicy::Thompson, ArmPolicy::EpsilonGreedy, ArmPolicy::SplitThenWinner, ArmPolicy::Uniform];

impl ArmPolicy {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Thompson => "thompson",
            Self::EpsilonGreedy => "egreedy",
            Self::SplitThenWinner => "split",
            Self::Uniform => "uniform",
        }
    }
}

/// What a policy earned over all tests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArmResult {
    /// Which policy.
    pub policy: ArmPolicy,
    /// Expected clicks.
    pub clicks: f64,
    /// Its share of the oracle's gain over uniform; `None` when there is nothing to gain.
    pub share: Option<f64>,
    /// Where the share lies: tests are the units that vary.
    pub interval: Option<Interval>,
}

/// What all policies earned.
#[derive(Debug, Clone, PartialEq)]
pub struct ArmSimulation {
    /// Expected clicks of the best arm of each test from the start.
    pub oracle_clicks: f64,
    /// Impressions served.
    pub impressions: u64,
    /// By policy, in the order of [`POLICIES`].
    pub results: Vec<ArmResult>,
}

/// Reads the tests of a file: a row an arm.
///
/// # Errors
/// When a count is not a whole number of at least 0, or there are more clicks than impressions: with line and column.
pub fn read(table: &Table, test: &str, impressions: &str, clicks: &str) -> Result<Tests, TableError> {
    let (names, codes) = table.column(test)?.required_categories()?;
    let mut tests: Vec<Vec<MeasuredArm>> = vec![Vec::new(); names.len()];
    let (shown, clicked) = (counts(table, impressions)?, counts(table, clicks)?);
    for (row, code) in codes.into_iter().enumerate() {
        if clicked[row] > shown[row] {
            let problem = format!("{} clicks on {} impressions", clicked[row], shown[row]);
            return Err(table.column(clicks)?.error(row, problem));
        }
        tests[code as usize].push(MeasuredArm { impressions: shown[row], clicks: clicked[row] });
    }
    let before = tests.len();
    tests.retain(|arms| arms.len() > 1 && arms.iter().all(|arm| arm.impressions > 0));
    let left_out = before - tests.len();
    Ok(Tests { tests, left_out })
}

fn counts(table: &Table, name: &str) -> Result<Vec<u64>, TableError> {
    let column = table.column(name)?;
    let count = |(row, number): (usize, f64)| {
        let whole = number >= 0.0 && number.fract() == 0.0 && number < 1e15;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked in this line")]
        let count = whole.then_some(number as u64);
        count.ok_or_else(|| {
            column.error(row, format!("{number} is not a count; write a whole number from 0 on"))
        })
    };
    column.required_numbers()?.into_iter().enumerate().map(count).collect()
}

/// Serves every test in `steps` steps with every policy.
pub fn simulate(tests: &Tests, steps: usize, seed: u64, confidence: f64) -> ArmSimulation {
    let gains: Vec<Gain> = tests.tests.iter().map(|arms| Gain::of(arms)).collect();
    let results = POLICIES.iter().zip(0..).map(|(policy, stream)| {
        let mut random = generator(seed, stream);
        let mut past = MeasuredArm { impressions: 0, clicks: 0 };
        let earned: Vec<f64> = tests
            .tests
            .iter()
            .map(|arms| {
                let earned = serve(*policy, arms, steps, prior_rate(past), &mut random);
                for arm in arms {
                    past.impressions += arm.impressions;
                    past.clicks += arm.clicks;
                }
                earned
            })
            .collect();
        result(*policy, &gains, &earned, confidence)
    });
    let results = results.collect();
    let oracle_clicks = gains.iter().map(|gain| gain.oracle).sum();
    let impressions = tests.tests.iter().flatten().map(|arm| arm.impressions).sum();
    ArmSimulation { oracle_clicks, impressions, results }
}

/// A test's traffic, and what it brings under the two policies that need no simulation.
#[derive(Debug, Clone, Copy)]
struct Gain {
    uniform: f64,
    oracle: f64,
}

impl Gain {
    fn of(arms: &[MeasuredArm]) -> Self {
        let traffic = real(arms.iter().map(|arm| arm.impressions).sum());
        let rates = arms.iter().map(|arm| arm.rate());
        let uniform = traffic * rates.clone().sum::<f64>() / as_f64(arms.len());
        Self { uniform, oracle: traffic * rates.fold(0.0, f64::max) }
    }
}

impl MeasuredArm {
    fn rate(self) -> f64 {
        real(self.clicks) / real(self.impressions)
    }
}

#[expect(clippy::cast_precision_loss, reason = "impressions are far below 2^53")]
fn real(count: u64) -> f64 {
    count as f64
}

/// The rate of the tests before, with the first guess worth a hundred impressions.
fn prior_rate(past: MeasuredArm) -> f64 {
    (real(past.clicks) + FIRST_RATE * PRIOR_IMPRESSIONS) / (real(past.impressions) + PRIOR_IMPRESSIONS)
}

/// The expected clicks that a policy earns with a test's traffic.
fn serve(policy: ArmPolicy, arms: &[MeasuredArm], steps: usize, prior: f64, random: &mut ChaCha8Rng) -> f64 {
    let traffic: u64 = arms.iter().map(|arm| arm.impressions).sum();
    let mut seen = vec![MeasuredArm { impressions: 0, clicks: 0 }; arms.len()];
    let mut earned = 0.0;
    let (steps_u64, mut served) = (steps as u64, 0);
    for step in 1..=steps_u64 {
        let until =
            u64::try_from(u128::from(traffic) * u128::from(step) / u128::from(steps_u64)).unwrap_or(traffic);
        let p = policy.probabilities(&seen, step - 1, steps_u64, prior, random);
        let parts = divide(until - served, &p, unit(random));
        served = until;
        for ((arm, seen), part) in arms.iter().zip(&mut seen).zip(parts) {
            seen.impressions += part;
            seen.clicks += binomial(random, part, arm.rate());
            earned += real(part) * arm.rate();
        }
    }
    earned
}

/// Whole parts of `total` in these proportions: rounding starts at a random place, so that each part's mean is exact.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the sums are between 0 and total + 1"
)]
fn divide(total: u64, p: &[f64], at: f64) -> Vec<u64> {
    let (mut sum, mut given) = (0.0, 0);
    let last = p.len() - 1;
    p.iter()
        .enumerate()
        .map(|(arm, p)| {
            sum += p * real(total);
            let until = if arm == last { total } else { ((sum + at).floor() as u64).min(total) };
            let part = until - given;
            given = until;
            part
        })
        .collect()
}

impl ArmPolicy {
    /// The probability of each arm in a step (from 0), from what was seen so far in this test.
    fn probabilities(
        self,
        seen: &[MeasuredArm],
        step: u64,
        steps: u64,
        prior: f64,
        random: &mut ChaCha8Rng,
    ) -> Vec<f64> {
        let even = vec![1.0 / as_f64(seen.len()); seen.len()];
        match self {
            Self::Uniform => even,
            Self::EpsilonGreedy if step == 0 => even,
            Self::SplitThenWinner if real(step) < SPLIT_SHARE * real(steps) => even,
            Self::EpsilonGreedy => {
                let mut p: Vec<f64> = even.iter().map(|share| EPSILON * share).collect();
                p[winner(seen, prior)] += 1.0 - EPSILON;
                p
            }
            Self::SplitThenWinner => {
                let mut p = vec![0.0; seen.len()];
                p[winner(seen, prior)] = 1.0;
                p
            }
            Self::Thompson => floored(&wins(&posterior_draws(seen, prior, random)), FLOOR),
        }
    }
}

/// The arm with the highest rate, the prior counted in; the first of equals.
fn winner(seen: &[MeasuredArm], prior: f64) -> usize {
    let rate = |arm: &MeasuredArm| {
        (real(arm.clicks) + prior * PRIOR_IMPRESSIONS) / (real(arm.impressions) + PRIOR_IMPRESSIONS)
    };
    let mut best = 0;
    for (index, arm) in seen.iter().enumerate() {
        if rate(arm) > rate(&seen[best]) {
            best = index;
        }
    }
    best
}

fn posterior_draws(seen: &[MeasuredArm], prior: f64, random: &mut ChaCha8Rng) -> Vec<Row> {
    let mut draws = vec![[0.0; DRAWS]; seen.len()];
    for (arm, row) in seen.iter().zip(&mut draws) {
        let clicks = real(arm.clicks) + prior * PRIOR_IMPRESSIONS;
        let others = real(arm.impressions - arm.clicks) + (1.0 - prior) * PRIOR_IMPRESSIONS;
        for draw in row.iter_mut() {
            #[expect(clippy::cast_possible_truncation, reason = "draws are f32")]
            let rate = beta(random, clicks, others) as f32;
            *draw = rate;
        }
    }
    draws
}

/// The ratio of sums with the interval of its linearisation (tests vary, arms within one do not).
fn result(policy: ArmPolicy, gains: &[Gain], earned: &[f64], confidence: f64) -> ArmResult {
    let possible: f64 = gains.iter().map(|gain| gain.oracle - gain.uniform).sum();
    let clicks = earned.iter().sum();
    if possible <= 0.0 {
        return ArmResult { policy, clicks, share: None, interval: None };
    }
    let got: f64 = earned.iter().zip(gains).map(|(earned, gain)| earned - gain.uniform).sum();
    let share = got / possible;
    let pull = |(earned, gain): (&f64, &Gain)| earned - gain.uniform - share * (gain.oracle - gain.uniform);
    let squares: f64 = earned.iter().zip(gains).map(|pair| pull(pair).powi(2)).sum();
    let half = normal_quantile(0.5 + confidence / 2.0) * squares.sqrt() / possible;
    let interval = (gains.len() > 1).then_some(Interval { low: share - half, high: share + half });
    ArmResult { policy, clicks, share: Some(share), interval }
}

#[cfg(test)]
mod tests;
