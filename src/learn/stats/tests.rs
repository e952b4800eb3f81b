//! Every formula against a published or hand-computed value.

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;

fn near(actual: f64, expected: f64, tolerance: f64) {
    assert!((actual - expected).abs() <= tolerance, "{actual} is not {expected} ± {tolerance}");
}

#[test]
fn a_summary_is_mean_and_unbiased_variance() {
    let summary = Summary::of([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
    assert_eq!(summary.count, 8);
    near(summary.mean, 5.0, 1e-12);
    near(summary.variance, 32.0 / 7.0, 1e-12);
    let far = Summary::of([1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0]);
    near(far.variance, 1.0, 1e-6);
}

/// A textbook pair of samples of unequal variance: t = −2.46 with 25.0 degrees of freedom, p = 0.021.
#[test]
fn welch_gives_the_published_t_test() {
    let a = Summary::of([
        27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4,
    ]);
    let b = Summary::of([
        27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 20.5, 24.4,
    ]);
    let result = welch(&a, &b, 0.95).unwrap();
    near(result.difference / result.standard_error, -2.46, 5e-3);
    near(result.p_value, 0.021, 5e-4);
    near(result.interval.low, result.difference - 2.0595 * result.standard_error, 2e-3);
}

#[test]
fn student_and_normal_quantiles_are_those_of_the_tables() {
    near(t_quantile(0.975, 5.0).unwrap(), 2.570_582, 1e-5);
    near(t_quantile(0.975, 30.0).unwrap(), 2.042_272, 1e-5);
    near(t_quantile(0.975, 9e5).unwrap(), 1.959_967, 1e-5);
    near(t_tail(2.570_582, 5.0).unwrap(), 0.025, 1e-6);
    near(normal_quantile(0.975), 1.959_964, 1e-6);
    near(normal_two_sided_p(-1.959_964), 0.05, 1e-7);
}

#[test]
fn a_ratio_has_the_delta_method_interval_and_none_over_a_mean_that_may_be_zero() {
    let treated = Summary { count: 100, mean: 12.0, variance: 400.0 };
    let control = Summary { count: 100, mean: 10.0, variance: 100.0 };
    let (lift, interval) = relative_lift(&treated, &control, 0.95).unwrap();
    near(lift, 0.2, 1e-12);
    // Var = 4/100 + 144·1/10⁴ = 0.0544.
    near(interval.high - lift, 1.959_964 * 0.0544f64.sqrt(), 1e-6);
    let nearly_zero = Summary { count: 100, mean: 1.0, variance: 100.0 };
    assert_eq!(relative_lift(&treated, &nearly_zero, 0.95), None);
    assert_eq!(relative_lift(&treated, &Summary { mean: -10.0, ..control }, 0.95), None);
}

#[test]
fn groups_that_do_not_vary_have_no_test() {
    let constant = Summary { count: 9, mean: 1.0, variance: 0.0 };
    assert_eq!(welch(&constant, &constant, 0.95), None);
    assert_eq!(welch(&Summary::of([1.0]), &constant, 0.95), None);
}

#[test]
fn the_detectable_effect_is_2_8_standard_errors_at_80_percent_power() {
    near(minimum_detectable_effect(1.0, 0.95, 0.8), 2.801_585, 1e-5);
}

#[test]
fn the_sample_ratio_test_is_pearsons_chi_square() {
    // χ² = 2·50²/5000 = 1 with one degree of freedom.
    near(chi_square_p(&[5050, 4950], &[1.0, 1.0]).unwrap(), 0.317_311, 1e-5);
    assert!(chi_square_p(&[5500, 4500], &[1.0, 1.0]).unwrap() < 1e-20);
    near(chi_square_p(&[90, 10], &[0.9, 0.1]).unwrap(), 1.0, 1e-9);
    assert_eq!(chi_square_p(&[5, 5], &[1.0, 0.0]), None);
    assert_eq!(chi_square_p(&[5], &[1.0]), None);
}

/// The lady tasting tea (Fisher 1935): 3 of 4 right by chance has two-sided p = 0.4857, 4 of 4 p = 0.0286.
#[test]
fn the_exact_test_is_fishers() {
    near(fisher_exact_p([3, 1], [4, 4]).unwrap(), 0.485_714, 1e-6);
    near(fisher_exact_p([4, 0], [4, 4]).unwrap(), 0.028_571, 1e-6);
    near(fisher_exact_p([0, 0], [40, 40]).unwrap(), 1.0, 1e-9);
    near(fisher_exact_p([0, 50], [10_000, 10_000]).unwrap(), 1.67e-15, 1e-16);
}

#[test]
fn several_claims_are_adjusted_by_holm() {
    let adjusted = holm(&[0.01, 0.04, 0.03]);
    for (actual, expected) in adjusted.iter().zip([0.03, 0.06, 0.06]) {
        near(*actual, expected, 1e-12);
    }
    assert_eq!(holm(&[]), Vec::<f64>::new());
}

#[test]
fn percentiles_interpolate_between_neighbours() {
    let values: Vec<f64> = (0..=100).map(f64::from).collect();
    let interval = percentile_interval(&values, 0.95).unwrap();
    near(interval.low, 2.5, 1e-9);
    near(interval.high, 97.5, 1e-9);
    assert_eq!(percentile_interval(&[f64::NAN; 100], 0.95), None);
}

#[test]
fn a_bootstrap_of_the_mean_agrees_with_its_standard_error() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let values: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
    let means: Vec<f64> =
        (0..1000).map(|_| resample(values.len(), &mut rng).map(|i| values[i]).sum::<f64>() / 400.0).collect();
    let summary = Summary::of(values);
    let interval = percentile_interval(&means, 0.95).unwrap();
    let expected = 2.0 * 1.96 * summary.mean_variance().sqrt();
    near((interval.high - interval.low) / expected, 1.0, 0.1);
}

proptest! {
    #[test]
    fn holm_never_lowers_a_p_value_and_keeps_their_order(p in prop::collection::vec(0.0f64..=1.0, 1..9)) {
        let adjusted = holm(&p);
        for (i, &a) in p.iter().enumerate() {
            prop_assert!(adjusted[i] >= a && adjusted[i] <= 1.0);
            for (j, &b) in p.iter().enumerate() {
                prop_assert!(a > b || adjusted[i] <= adjusted[j]);
            }
        }
    }

    #[test]
    fn the_welch_interval_excludes_zero_exactly_when_p_is_small(
        a in -5.0f64..5.0, n in 3usize..500, v in 0.1f64..9.0,
    ) {
        let treated = Summary { count: n, mean: a, variance: v };
        let control = Summary { count: 50, mean: 0.0, variance: 2.0 };
        let result = welch(&treated, &control, 0.95).unwrap();
        let excludes = result.interval.low > 0.0 || result.interval.high < 0.0;
        prop_assume!((result.p_value - 0.05).abs() > 1e-6);
        prop_assert_eq!(excludes, result.p_value < 0.05);
    }
}
