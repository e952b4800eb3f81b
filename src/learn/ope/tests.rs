//! The estimators on logs small enough to compute by hand, and on simulated ones whose truth is known.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const OPTIONS: Options = Options { confidence: 0.95, resamples: 200, weight_max: 100.0 };

fn near(actual: f64, expected: f64) {
    assert!((actual - expected).abs() < 1e-9, "{actual} is not {expected}");
}

fn row(action: u32, reward: f64, propensity: f64, recipient: u32) -> LoggedDecision {
    LoggedDecision { action, position: 0, reward, propensity, recipient }
}

fn judge(log: &[LoggedDecision], probabilities: &[f64]) -> Evaluation {
    let target = TargetPolicy::new(1, probabilities.to_vec()).unwrap();
    evaluate(log, &target, &OPTIONS, &mut ChaCha8Rng::seed_from_u64(1))
}

/// Half of 1,000 rows show action 0 (a tenth pays 1), half action 1 (pays 0); the target takes 0 with 0.8.
/// w is 1.6 or 0.4, so ips = snips = 0.8·0.1, ESS = 1000²/(500·2.56 + 500·0.16).
#[test]
fn the_formulas_are_those_of_the_definitions() {
    let log: Vec<LoggedDecision> =
        (0..1000).map(|i| row(i % 2, if i % 20 == 0 { 1.0 } else { 0.0 }, 0.5, i)).collect();
    let result = judge(&log, &[0.8, 0.2]);
    assert!(result.refusals.is_empty() && result.notes.is_empty(), "{result:?}");
    let value = |index: usize| result.estimates[index].unwrap().value;
    near(value(0), 0.05);
    near(value(1), 0.08);
    near(value(2), 0.08);
    near(result.effective_sample_size.unwrap(), 1_000_000.0 / 1360.0);
    near(result.max_weight, 1.6);
    near(result.mean_weight, 1.0);
    near(result.gain.unwrap().value, 0.03);
    for (index, name) in ESTIMATORS.iter().enumerate().skip(3) {
        assert!((value(index) - 0.08).abs() < 0.004, "{name}: {}", value(index));
    }
    let best = result.best_fixed.unwrap();
    assert_eq!(best.action, 0);
    near(best.value, 0.1);
    near(best.effective_sample_size, 500.0);
    assert!(best.z < -1.5, "{best:?}");
    // A tenth of 500 rows: √(0.1·0.9/500) on either side, times the normal's 1.96.
    let reach = 1.959_964 * (0.09_f64 / 500.0).sqrt();
    assert!((best.interval.low - (0.1 - reach)).abs() < 1e-7, "{best:?}");
    assert!((best.interval.high - (0.1 + reach)).abs() < 1e-7, "{best:?}");
}

#[test]
fn an_answer_that_few_rows_would_decide_is_refused() {
    let mut log: Vec<LoggedDecision> = (0..300).map(|i| row(0, 0.0, 0.5, i)).collect();
    log.push(row(0, 1.0, 0.001, 300));
    let result = judge(&log, &[0.5, 0.5]);
    assert_eq!(result.refusals.len(), 2, "{:?}", result.refusals);
    assert!(result.refusals[0].starts_with("the effective sample size is 2."), "{:?}", result.refusals);
    assert!(result.refusals[1].starts_with("one row holds 62.5 %"), "{:?}", result.refusals);
    assert!(result.estimates[0].is_some());
    assert_eq!(result.estimates[1..], [None; 5]);
    assert_eq!((result.gain, result.best_fixed.is_err()), (None, true));
}

#[test]
fn a_target_that_the_log_never_shows_is_refused_and_no_figure_is_nan() {
    let log: Vec<LoggedDecision> = (0..300).map(|i| row(0, 1.0, 0.5, i)).collect();
    let result = judge(&log, &[0.0, 1.0]);
    assert_eq!(result.refusals, ["no logged row shows anything that the target would choose"]);
    assert_eq!(result.effective_sample_size, None);
    near(result.unseen_share, 1.0);
    near(result.mean_weight, 0.0);
}

#[test]
fn wrong_propensities_are_noticed() {
    let log: Vec<LoggedDecision> = (0..4000).map(|i| row(i % 2, 0.0, 0.25, i)).collect();
    let result = judge(&log, &[0.6, 0.4]);
    assert!(result.notes[0].starts_with("the mean weight is 2.000 instead of 1"), "{:?}", result.notes);
}

#[test]
fn rows_of_a_recipient_are_drawn_together() {
    let independent: Vec<LoggedDecision> =
        (0..1000).map(|i| row(i % 2, f64::from(i / 10 % 2), 0.5, i)).collect();
    let repeated: Vec<LoggedDecision> =
        independent.iter().map(|row| LoggedDecision { recipient: row.recipient / 10, ..*row }).collect();
    let width = |log: &[LoggedDecision]| {
        let interval = judge(log, &[0.5, 0.5]).estimates[1].unwrap().interval.unwrap();
        interval.high - interval.low
    };
    assert_eq!(judge(&repeated, &[0.5, 0.5]).recipients, 100);
    assert!(width(&repeated) > 2.5 * width(&independent));
}

#[test]
fn the_seed_decides_the_intervals() {
    let log: Vec<LoggedDecision> = (0..500).map(|i| row(i % 2, f64::from(i % 3), 0.5, i)).collect();
    assert_eq!(judge(&log, &[0.5, 0.5]), judge(&log, &[0.5, 0.5]));
}

/// A log of 20 actions at 2 positions with known click rates: the intervals of the unbiased estimators hold
/// the truth about as often as they say, and DR, which knows the base rate, errs far less than IPS.
#[test]
fn simulated_truth_lies_within_the_intervals() {
    let target: Vec<f64> =
        (0..20u32).flat_map(|a| [f64::from(a) / 190.0, f64::from(19 - a) / 190.0]).collect();
    let target = TargetPolicy::new(2, target).unwrap();
    let rate = |action: u32, position: u32| 0.8 + 0.005 * f64::from(action) + 0.03 * f64::from(position);
    let truth: f64 = (0..20)
        .flat_map(|a| [(a, 0), (a, 1)])
        .map(|(a, p)| target.probability(a, p) * rate(a, p) / 2.0)
        .sum();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let (mut held, mut squared_errors) = ([0; 6], [0.0; 6]);
    for _ in 0..40 {
        let log: Vec<LoggedDecision> = (0..1500u32)
            .map(|recipient| {
                let (action, position) = (rng.random_range(0..20), rng.random_range(0..2));
                let reward = f64::from(u8::from(rng.random::<f64>() < rate(action, position)));
                LoggedDecision { action, position, reward, propensity: 0.05, recipient }
            })
            .collect();
        let result = evaluate(&log, &target, &Options { resamples: 100, ..OPTIONS }, &mut rng);
        for (index, estimate) in result.estimates.iter().enumerate() {
            let Estimate { value, interval } = estimate.unwrap();
            let interval = interval.unwrap();
            held[index] += u32::from(interval.low <= truth && truth <= interval.high);
            squared_errors[index] += (value - truth).powi(2);
        }
    }
    for index in [1, 2, 4, 5] {
        assert!(held[index] >= 34, "{} held the truth {} times of 40", ESTIMATORS[index], held[index]);
    }
    assert!(squared_errors[4] < 0.7 * squared_errors[1], "{squared_errors:?}");
}
