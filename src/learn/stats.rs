//! Intervals and tests that the evaluations share. A figure that the data cannot carry is `None`, never NaN.

use rand::{Rng, RngExt};
use serde::Serialize;
use statrs::distribution::{ChiSquared, ContinuousCDF, Discrete, Hypergeometric, Normal, StudentsT};

/// Above this many degrees of freedom Student's t and the normal distribution agree to six digits.
const NORMAL_DEGREES_MIN: f64 = 1e6;
/// Two outcomes of Fisher's test are equally likely when their probabilities differ by less than this share.
const FISHER_TIE: f64 = 1e-7;

/// Two ends of a confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    fn around(centre: f64, half_width: f64) -> Self {
        Self { low: centre - half_width, high: centre + half_width }
    }
}

/// Count, mean and unbiased variance of some values.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Summary {
    /// How many values.
    pub count: usize,
    /// Their mean, 0 when there are none.
    pub mean: f64,
    /// Their variance with n − 1, 0 when there are fewer than two.
    pub variance: f64,
}

impl Summary {
    /// Summarises values in one pass (Welford 1962), which keeps its digits when the mean is large.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let (mut count, mut mean, mut squares) = (0usize, 0.0, 0.0);
        for value in values {
            count += 1;
            let before = value - mean;
            mean += before / as_f64(count);
            squares += before * (value - mean);
        }
        let variance = if count > 1 { squares / as_f64(count - 1) } else { 0.0 };
        Self { count, mean, variance }
    }

    /// The squared standard error of the mean.
    pub fn mean_variance(&self) -> f64 {
        self.variance / as_f64(self.count.max(1))
    }
}

/// Welch's comparison of two means.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Welch {
    /// Treated mean less control mean.
    pub difference: f64,
    /// The standard error of the difference.
    pub standard_error: f64,
    /// Where the difference lies with the asked confidence.
    pub interval: Interval,
    /// The two-sided probability of a difference at least as large if there were none.
    pub p_value: f64,
}

/// Welch's t interval and test for two means with unequal variances (Welch 1947, Satterthwaite's degrees of
/// freedom). `None` when a group has fewer than two values or nothing varies.
pub fn welch(treated: &Summary, control: &Summary, confidence: f64) -> Option<Welch> {
    if treated.count < 2 || control.count < 2 {
        return None;
    }
    let (a, b) = (treated.mean_variance(), control.mean_variance());
    let standard_error = (a + b).sqrt();
    if !standard_error.is_finite() || standard_error <= 0.0 {
        return None;
    }
    let degrees = (a + b).powi(2) / (a * a / as_f64(treated.count - 1) + b * b / as_f64(control.count - 1));
    let difference = treated.mean - control.mean;
    let half_width = t_quantile(0.5 + confidence / 2.0, degrees)? * standard_error;
    let p_value = 2.0 * t_tail((difference / standard_error).abs(), degrees)?;
    let interval = Interval::around(difference, half_width);
    Some(Welch { difference, standard_error, interval, p_value: p_value.min(1.0) })
}

/// The relative lift treated ÷ control − 1 with its delta-method interval, for independent groups:
/// Var(a/b) ≈ Var(a)/b² + a² Var(b)/b⁴. `None` when zero lies within the control mean's own interval, because
/// then the ratio can be anything.
pub fn relative_lift(treated: &Summary, control: &Summary, confidence: f64) -> Option<(f64, Interval)> {
    let z = normal_quantile(0.5 + confidence / 2.0);
    let (a, b) = (treated.mean, control.mean);
    if control.count < 2 || treated.count < 2 || b <= z * control.mean_variance().sqrt() {
        return None;
    }
    let variance = treated.mean_variance() / (b * b) + a * a * control.mean_variance() / b.powi(4);
    let lift = a / b - 1.0;
    Some((lift, Interval::around(lift, z * variance.sqrt())))
}

/// The smallest true difference that a two-sided test at this confidence finds with probability `power`.
pub fn minimum_detectable_effect(standard_error: f64, confidence: f64, power: f64) -> f64 {
    (normal_quantile(0.5 + confidence / 2.0) + normal_quantile(power)) * standard_error
}

/// The probability of counts at least as far from the expected shares as these (Pearson's chi-square).
/// `None` when there are fewer than two groups, a share is not positive, or nothing was counted.
pub fn chi_square_p(counts: &[usize], shares: &[f64]) -> Option<f64> {
    let total: usize = counts.iter().sum();
    let whole: f64 = shares.iter().sum();
    if counts.len() < 2 || counts.len() != shares.len() || total == 0 || shares.iter().any(|&s| s <= 0.0) {
        return None;
    }
    let term = |(&count, &share): (&usize, &f64)| {
        let expected = as_f64(total) * share / whole;
        (as_f64(count) - expected).powi(2) / expected
    };
    let statistic: f64 = counts.iter().zip(shares).map(term).sum();
    ChiSquared::new(as_f64(counts.len() - 1)).ok().map(|law| law.sf(statistic))
}

/// Fisher's exact two-sided test of two shares: the probability, if both were the same, of a table at most as
/// likely as this one. For the few events with which no normal approximation holds.
pub fn fisher_exact_p(events: [usize; 2], counts: [usize; 2]) -> Option<f64> {
    let whole = |n: usize| u64::try_from(n).ok();
    let total_events = events[0] + events[1];
    let law =
        Hypergeometric::new(whole(counts[0] + counts[1])?, whole(total_events)?, whole(counts[0])?).ok()?;
    // The library's `pmf` overflows for a few thousand rows; its logarithm does not.
    let seen = law.ln_pmf(whole(events[0])?).exp() * (1.0 + FISHER_TIE);
    let low = total_events.saturating_sub(counts[1]);
    let high = total_events.min(counts[0]);
    let probabilities = (low..=high).filter_map(|k| whole(k).map(|k| law.ln_pmf(k).exp()));
    Some(probabilities.filter(|&p| p <= seen).sum::<f64>().min(1.0))
}

/// Holm's step-down adjustment of several p-values: controls the chance of any false claim.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut least: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        least = least.max(p_values[index] * as_f64(p_values.len() - rank)).min(1.0);
        adjusted[index] = least;
    }
    adjusted
}

/// The point that a standard normal variable stays under with this probability.
pub fn normal_quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

/// The probability that a standard normal variable is at least this far from zero on either side.
pub fn normal_two_sided_p(z: f64) -> f64 {
    (2.0 * Normal::standard().sf(z.abs())).min(1.0)
}

fn t_quantile(probability: f64, degrees: f64) -> Option<f64> {
    if degrees > NORMAL_DEGREES_MIN {
        return Some(normal_quantile(probability));
    }
    StudentsT::new(0.0, 1.0, degrees).ok().map(|law| law.inverse_cdf(probability))
}

fn t_tail(t: f64, degrees: f64) -> Option<f64> {
    if degrees > NORMAL_DEGREES_MIN {
        return Some(Normal::standard().sf(t));
    }
    StudentsT::new(0.0, 1.0, degrees).ok().map(|law| law.sf(t))
}

/// Draws `count` numbers below `count`, with replacement: one bootstrap sample of that many units.
pub fn resample(count: usize, rng: &mut impl Rng) -> impl Iterator<Item = usize> {
    (0..count).map(move |_| rng.random_range(0..count))
}

/// The percentile bootstrap interval of the values that a statistic took in resamples (Efron 1981). Values
/// that are no number are resamples in which the statistic did not exist; `None` when that is over 1 % of them.
pub fn percentile_interval(values: &[f64], confidence: f64) -> Option<Interval> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    if sorted.len() < 2 || (values.len() - sorted.len()) * 100 > values.len() {
        return None;
    }
    sorted.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    Some(Interval { low: percentile(&sorted, tail), high: percentile(&sorted, 1.0 - tail) })
}

/// The value below which this share of sorted values lies, with linear interpolation between neighbours.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * as_f64(sorted.len() - 1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - place.floor()) * (sorted[above] - sorted[below])
}

/// A count as a float. Exact up to 2⁵³, which no count of rows reaches.
#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
pub fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
