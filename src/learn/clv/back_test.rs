//! A model of purchases is shown with how it did on the last period, and with the factor by which it was off.

use rand::Rng;

use super::purchases::{Day, Purchases, units};
use super::{BgNbd, CustomerSummary, GammaGamma};
use crate::learn::stats::{Interval, as_f64, percentile_interval, resample};

/// Customers who bought again this often or more are one group.
pub const LAST_GROUP_FREQUENCY: u32 = 7;

/// Prediction and truth of the period after the split.
#[derive(Debug, Clone, PartialEq)]
pub struct BackTest {
    /// The length of the period, in units.
    pub horizon: f64,
    /// Customers who had bought by the split, about whom something was predicted.
    pub customers: usize,
    /// Purchases, predicted and real.
    pub purchases: Compared,
    /// Their value, where values are known and the model gives them a mean.
    pub value: Option<Compared>,
    /// The mean absolute error per customer, of the model and of the naive forecast that everybody goes on at
    /// their own past rate.
    pub mean_absolute_error: f64,
    /// The error of the naive forecast.
    pub naive_mean_absolute_error: f64,
    /// Naive error less the model's: above 0 where the model is better.
    pub error_saved: Option<Interval>,
    /// Purchases that the naive forecast expected.
    pub naive_predicted: f64,
    /// By repeat purchases up to the split; the last group holds all from [`LAST_GROUP_FREQUENCY`].
    pub groups: Vec<Group>,
}

/// A predicted sum beside the real one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    /// What the model expected.
    pub predicted: f64,
    /// What happened.
    pub actual: f64,
    /// Actual ÷ predicted: what to multiply the model's forecasts with. `None` when nothing was predicted.
    pub correction_factor: Option<f64>,
    /// Where the factor lies, by bootstrap over customers.
    pub interval: Option<Interval>,
}

/// Customers with the same number of repeat purchases up to the split.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Group {
    /// How many customers.
    pub customers: usize,
    /// Purchases that the model expected of them.
    pub predicted: f64,
    /// Purchases that they made.
    pub actual: f64,
}

#[derive(Debug, Clone, Copy)]
struct Case {
    frequency: u32,
    predicted: f64,
    actual: f64,
    naive: f64,
    predicted_value: f64,
    actual_value: f64,
}

/// Sums over cases from which every figure follows.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    predicted: f64,
    actual: f64,
    predicted_value: f64,
    actual_value: f64,
    naive: f64,
    error: f64,
    naive_error: f64,
}

impl Sums {
    fn of<'c>(cases: impl Iterator<Item = &'c Case>) -> Self {
        let mut sums = Self::default();
        for case in cases {
            sums.predicted += case.predicted;
            sums.actual += case.actual;
            sums.predicted_value += case.predicted_value;
            sums.actual_value += case.actual_value;
            sums.naive += case.naive;
            sums.error += (case.predicted - case.actual).abs();
            sums.naive_error += (case.naive - case.actual).abs();
        }
        sums
    }
}

/// Predicts the time from `split` to `end` for everybody known at `split`, and compares.
pub fn back_test(
    models: (&BgNbd, Option<&GammaGamma>),
    purchases: &Purchases,
    (split, end): (Day, Day),
    unit_days: f64,
    (confidence, resamples): (f64, usize),
    rng: &mut impl Rng,
) -> BackTest {
    let horizon = units(end - split, unit_days);
    let mut has_values = models.1.is_some();
    let mut cases = Vec::new();
    for customer in &purchases.customers {
        let Some(summary) = customer.summary(split, unit_days, purchases.valued) else { continue };
        let (actual, actual_value) = customer.later(split);
        let predicted = models.0.expected_purchases(&summary, horizon);
        let value = models.1.and_then(|values| values.expected_value(&summary));
        has_values &= value.is_some();
        cases.push(Case {
            frequency: summary.frequency,
            predicted,
            actual,
            naive: naive(&summary, horizon),
            predicted_value: predicted * value.unwrap_or(0.0),
            actual_value,
        });
    }
    let sums = Sums::of(cases.iter());
    let draws: Vec<Sums> =
        (0..resamples).map(|_| Sums::of(resample(cases.len(), rng).map(|index| &cases[index]))).collect();
    let interval = |statistic: &dyn Fn(&Sums) -> f64| {
        percentile_interval(&draws.iter().map(statistic).collect::<Vec<f64>>(), confidence)
    };
    let compared = |predicted: fn(&Sums) -> f64, actual: fn(&Sums) -> f64| Compared {
        predicted: predicted(&sums),
        actual: actual(&sums),
        correction_factor: (predicted(&sums) > 0.0).then(|| actual(&sums) / predicted(&sums)),
        interval: interval(&|draw| actual(draw) / predicted(draw)),
    };
    let count = as_f64(cases.len().max(1));
    BackTest {
        horizon,
        customers: cases.len(),
        purchases: compared(|sums| sums.predicted, |sums| sums.actual),
        value: has_values.then(|| compared(|sums| sums.predicted_value, |sums| sums.actual_value)),
        mean_absolute_error: sums.error / count,
        naive_mean_absolute_error: sums.naive_error / count,
        error_saved: interval(&|draw| (draw.naive_error - draw.error) / count),
        naive_predicted: sums.naive,
        groups: groups(&cases),
    }
}

/// Everybody goes on at their own past rate; who came only just now has none.
fn naive(summary: &CustomerSummary, horizon: f64) -> f64 {
    if summary.age > 0.0 { f64::from(summary.frequency) / summary.age * horizon } else { 0.0 }
}

fn groups(cases: &[Case]) -> Vec<Group> {
    let mut groups = vec![Group::default(); LAST_GROUP_FREQUENCY as usize + 1];
    for case in cases {
        let group = &mut groups[case.frequency.min(LAST_GROUP_FREQUENCY) as usize];
        group.customers += 1;
        group.predicted += case.predicted;
        group.actual += case.actual;
    }
    groups
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Thirty customers who buy on the first of each month: the sums are those of the file.
    #[test]
    fn a_back_test_counts_what_happened_after_the_split() {
        let mut text = "who,day,paid\n".to_owned();
        for who in 0..30 {
            for month in 1..=9 {
                writeln!(text, "c{who},2026-0{month}-01,10").unwrap();
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.csv");
        std::fs::write(&file, text).unwrap();
        let columns = super::super::purchases::Columns { customer: "who", time: "day", amount: Some("paid") };
        let purchases = Purchases::read(&file, &columns).unwrap();
        let (first, end) = purchases.span().unwrap();
        let split = first + 151; // 2026-06-01
        let model = BgNbd { r: 5.0, alpha: 150.0, a: 0.01, b: 5.0 };
        let values = GammaGamma { p: 9.0, q: 9.0, gamma: 9.0 };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let result = back_test((&model, Some(&values)), &purchases, (split, end), 1.0, (0.95, 200), &mut rng);
        assert_eq!((result.customers, result.horizon), (30, 92.0));
        assert_eq!((result.purchases.actual, result.value.unwrap().actual), (90.0, 900.0));
        assert_eq!((result.groups[5].customers, result.groups[5].actual), (30, 90.0));
        assert!((result.naive_predicted - 30.0 * 5.0 / 151.0 * 92.0).abs() < 1e-9);
        let compared = result.purchases;
        assert!((compared.predicted - result.groups[5].predicted).abs() < 1e-9);
        // All customers are alike, so no resample differs.
        let factor = compared.correction_factor.unwrap();
        let interval = compared.interval.unwrap();
        assert!((interval.low - factor).abs() < 1e-9 && (interval.high - factor).abs() < 1e-9);
    }
}
