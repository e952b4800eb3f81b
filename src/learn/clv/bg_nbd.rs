//! BG/NBD: how often a customer buys, and whether they still do (Fader, Hardie and Lee 2005, "Counting Your
//! Customers" the Easy Way).

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use statrs::function::gamma::ln_gamma;

use super::{CustomerSummary, FitError, Fitted, REPEAT_CUSTOMERS_MIN, maximise};
use crate::learn::stats::as_f64;

/// Two parameters of a formula that meet a pole here are moved apart by this much.
const POLE_DISTANCE: f64 = 1e-6;
/// A series term smaller than this share of the sum ends it.
const SERIES_TOLERANCE: f64 = 1e-15;
/// No series of the model needs more terms.
const SERIES_TERMS_MAX: u32 = 20_000;
/// Where the search for the maximum starts, with times measured in mean ages.
const STARTS: [[f64; 4]; 4] =
    [[0.5, 0.3, 0.5, 1.5], [1.0, 1.0, 1.0, 3.0], [2.0, 0.5, 0.1, 5.0], [0.2, 0.1, 2.0, 2.0]];

/// A fitted BG/NBD model, in the unit of time of the summaries that it was fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BgNbd {
    /// Shape of the Gamma distribution of purchase rates.
    pub r: f64,
    /// Rate of the Gamma distribution of purchase rates, a time.
    pub alpha: f64,
    /// First parameter of the Beta distribution of the chance to be lost after a purchase.
    pub a: f64,
    /// Second parameter of that Beta distribution.
    pub b: f64,
}

/// Customers with the same summary, counted.
struct Group {
    frequency: u32,
    recency: f64,
    age: f64,
    count: f64,
}

impl BgNbd {
    /// Fits by maximum likelihood. Customers with the same summary are counted, not repeated.
    pub fn fit(customers: &[CustomerSummary]) -> Result<Fitted<Self, 4>, FitError> {
        let repeat = customers.iter().filter(|customer| customer.frequency > 0).count();
        if customers.iter().any(|c| !(c.recency >= 0.0 && c.recency <= c.age && c.age.is_finite())) {
            return Err(FitError::ImpossibleSummary);
        }
        if repeat < REPEAT_CUSTOMERS_MIN {
            return Err(FitError::TooFewRepeatCustomers(repeat));
        }
        // Measured in mean ages every shop looks alike, so the same starts and limits serve all.
        let scale = customers.iter().map(|customer| customer.age).sum::<f64>() / as_f64(customers.len());
        let groups = grouped(customers, scale);
        let likelihood = |p: &[f64; 4]| log_likelihood(p, &groups);
        let (best, log_errors) = maximise(likelihood, &STARTS)?;
        let [r, alpha, a, b] = best.at.map(f64::exp);
        let purchases: f64 = groups.iter().map(|group| group.count * f64::from(group.frequency)).sum();
        Ok(Fitted {
            model: Self { r, alpha: alpha * scale, a, b },
            // A density of x purchase times in other units is another density: 1/scale for each.
            log_likelihood: -best.value - purchases * scale.ln(),
            customers: customers.len(),
            log_errors,
        })
    }

    /// The probability that a customer is not lost.
    pub fn probability_alive(&self, customer: &CustomerSummary) -> f64 {
        1.0 / (1.0 + self.odds_lost(customer))
    }

    /// How many purchases a customer will make within the next `length` of time, on average.
    ///
    /// Equation 10 of the paper, after Euler's transformation of the hypergeometric function, which converges
    /// fast wherever the plain series does not.
    pub fn expected_purchases(&self, customer: &CustomerSummary, length: f64) -> f64 {
        if length <= 0.0 {
            return 0.0;
        }
        let x = f64::from(customer.frequency);
        let a = off_pole(self.a, 1.0);
        let c = off_pole(a + self.b + x - 1.0, 0.0);
        let z = length / (self.alpha + customer.age + length);
        let series = hypergeometric(c - self.r - x, a - 1.0, c, z);
        let unlost = c / (a - 1.0) * (1.0 - (1.0 - z).powf(a - 1.0) * series);
        (unlost / (1.0 + self.odds_lost(customer))).max(0.0)
    }

    /// How many purchases somebody makes after their first one within `length` of time, on average.
    pub fn expected_of_new_customer(&self, length: f64) -> f64 {
        let new = CustomerSummary { frequency: 0, recency: 0.0, age: 0.0, mean_value: None };
        self.expected_purchases(&new, length)
    }

    /// The odds that a customer is lost: only somebody who came back once can be.
    fn odds_lost(&self, customer: &CustomerSummary) -> f64 {
        if customer.frequency == 0 {
            return 0.0;
        }
        let x = f64::from(customer.frequency);
        let ratio = (self.alpha + customer.age) / (self.alpha + customer.recency);
        self.a / (self.b + x - 1.0) * ratio.powf(self.r + x)
    }
}

fn grouped(customers: &[CustomerSummary], scale: f64) -> Vec<Group> {
    let mut groups: HashMap<(u32, u64, u64), Group> = HashMap::new();
    let mut order = Vec::new();
    for &CustomerSummary { frequency, recency, age, .. } in customers {
        let key = (frequency, recency.to_bits(), age.to_bits());
        let group = groups.entry(key).or_insert_with(|| {
            order.push(key);
            Group { frequency, recency: recency / scale, age: age / scale, count: 0.0 }
        });
        group.count += 1.0;
    }
    // The order of the customers, because the order of a hash map would change the last digits from run to run.
    order.iter().filter_map(|key| groups.remove(key)).collect()
}

fn log_likelihood(&[r, alpha, a, b]: &[f64; 4], groups: &[Group]) -> f64 {
    let constant = r * alpha.ln() - ln_gamma(r) + ln_gamma(a + b) - ln_gamma(b);
    let mut of_frequency: HashMap<u32, f64> = HashMap::new();
    let mut sum = 0.0;
    for group in groups {
        let x = f64::from(group.frequency);
        let known = *of_frequency
            .entry(group.frequency)
            .or_insert_with(|| constant + ln_gamma(r + x) + ln_gamma(b + x) - ln_gamma(a + b + x));
        let (lived, bought) = ((alpha + group.age).ln(), (alpha + group.recency).ln());
        let last = if group.frequency == 0 {
            -(r + x) * lived
        } else {
            let alive = ((r + x) * (bought - lived)).exp();
            -(r + x) * bought + (alive + a / (b + x - 1.0)).ln()
        };
        sum += group.count * (known + last);
    }
    sum
}

/// The Gauss hypergeometric function 2F1(a, b; c; z) by its series, for 0 ≤ z < 1.
fn hypergeometric(a: f64, b: f64, c: f64, z: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for index in 0..SERIES_TERMS_MAX {
        let index = f64::from(index);
        term *= (a + index) * (b + index) / ((c + index) * (index + 1.0)) * z;
        sum += term;
        if term.abs() <= SERIES_TOLERANCE * sum.abs() {
            break;
        }
    }
    sum
}

/// A number that keeps its distance from a removable pole of the formula.
fn off_pole(value: f64, pole: f64) -> f64 {
    if (value - pole).abs() < POLE_DISTANCE { pole + POLE_DISTANCE } else { value }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Fader, Hardie and Lee's own estimates for CDNOW.
    const PUBLISHED: BgNbd = BgNbd { r: 0.2426, alpha: 4.4135, a: 0.7929, b: 2.4258 };

    fn near(actual: f64, expected: f64, tolerance: f64) {
        assert!((actual - expected).abs() <= tolerance, "{actual} is not {expected} ± {tolerance}");
    }

    fn customer(frequency: u32, recency: f64, age: f64) -> CustomerSummary {
        CustomerSummary { frequency, recency, age, mean_value: None }
    }

    #[test]
    fn expectations_are_those_of_the_authors_spreadsheet() {
        for (weeks, expected) in
            [(0.1429, 0.0078), (1.0, 0.0532), (3.0, 0.1506), (31.8571, 1.0405), (32.0, 1.0437)]
        {
            near(PUBLISHED.expected_of_new_customer(weeks), expected, 1e-4);
        }
        near(PUBLISHED.expected_purchases(&customer(2, 30.43, 38.86), 39.0), 1.226, 5e-4);
    }

    /// The expectation given rate and loss, (1 − (α/(α + pt))^r)/p after averaging over rates, integrated over
    /// the Beta distribution of p by the midpoint rule: no hypergeometric function is needed.
    #[test]
    fn the_closed_form_is_the_integral_that_it_stands_for() {
        let BgNbd { r, alpha, a, b } = PUBLISHED;
        let steps = 100_000;
        let beta = (ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)).exp();
        for weeks in [1.0, 78.0, 500.0] {
            let at = |step: i32| {
                let root = (f64::from(step) + 0.5) / f64::from(steps);
                let p = root * root;
                let bought = (1.0 - (alpha / (alpha + p * weeks)).powf(r)) / p;
                p.powf(a - 1.0) * (1.0 - p).powf(b - 1.0) * bought * 2.0 * root
            };
            let integral = (0..steps).map(at).sum::<f64>() / f64::from(steps) / beta;
            near(PUBLISHED.expected_of_new_customer(weeks), integral, 1e-5);
        }
    }

    #[test]
    fn only_somebody_who_came_back_can_be_lost() {
        near(PUBLISHED.probability_alive(&customer(0, 0.0, 39.0)), 1.0, 0.0);
        let recent = PUBLISHED.probability_alive(&customer(5, 38.0, 39.0));
        let quiet = PUBLISHED.probability_alive(&customer(5, 10.0, 39.0));
        assert!(recent > 0.8 && quiet < 0.1, "{recent} {quiet}");
    }

    #[test]
    fn nobody_who_came_back_or_impossible_times_are_no_fit() {
        assert_eq!(BgNbd::fit(&[customer(0, 0.0, 5.0); 50]), Err(FitError::TooFewRepeatCustomers(0)));
        assert_eq!(BgNbd::fit(&[customer(1, 6.0, 5.0); 50]), Err(FitError::ImpossibleSummary));
        assert_eq!(BgNbd::fit(&[]), Err(FitError::TooFewRepeatCustomers(0)));
    }

    /// Customers of the model r = 2, α = 10, a = 1, b = 3.
    fn simulated(count: u32, weeks: f64, rng: &mut ChaCha8Rng) -> Vec<CustomerSummary> {
        let exponential = |rng: &mut ChaCha8Rng| -(1.0 - rng.random::<f64>()).ln();
        // Gamma(2, 10) is the sum of two exponentials, Beta(1, 3) the inverse of its distribution function.
        let one = |rng: &mut ChaCha8Rng| {
            let rate = (exponential(rng) + exponential(rng)) / 10.0;
            let loss = 1.0 - (1.0 - rng.random::<f64>()).powf(1.0 / 3.0);
            let (mut frequency, mut recency, mut time) = (0, 0.0, 0.0);
            loop {
                time += exponential(rng) / rate;
                if time > weeks {
                    break;
                }
                (frequency, recency) = (frequency + 1, time);
                if rng.random::<f64>() < loss {
                    break;
                }
            }
            customer(frequency, recency, weeks)
        };
        (0..count).map(|_| one(rng)).collect()
    }

    #[test]
    fn simulated_customers_give_their_parameters_back_in_any_unit_of_time() {
        let weeks = simulated(1500, 60.0, &mut ChaCha8Rng::seed_from_u64(2));
        let fitted = BgNbd::fit(&weeks).unwrap();
        let BgNbd { r, alpha, a, b } = fitted.model;
        for (index, (value, truth)) in [(r, 2.0), (alpha, 10.0), (a, 1.0), (b, 3.0)].into_iter().enumerate() {
            let interval = fitted.interval(index, value, 0.999).unwrap();
            assert!(interval.low < truth && truth < interval.high, "{index}: {value} {interval:?}");
        }
        let in_days = |c: &CustomerSummary| customer(c.frequency, 7.0 * c.recency, 7.0 * c.age);
        let days = BgNbd::fit(&weeks.iter().map(in_days).collect::<Vec<_>>()).unwrap();
        near(days.model.alpha / alpha, 7.0, 1e-4);
        near(days.model.r, r, 1e-4);
        let purchases: u32 = weeks.iter().map(|c| c.frequency).sum();
        near(days.log_likelihood, fitted.log_likelihood - f64::from(purchases) * 7.0f64.ln(), 1e-4);
    }

    /// 2F1(1, 1; 2; z) = −ln(1 − z)/z and 2F1(a, b; b; z) = (1 − z)^−a.
    #[test]
    fn the_hypergeometric_series_has_its_closed_forms() {
        near(hypergeometric(1.0, 1.0, 2.0, 0.5), 2.0 * 2.0f64.ln(), 1e-12);
        near(hypergeometric(2.5, 1.5, 1.5, 0.9), 0.1f64.powf(-2.5), 1e-8);
    }

    proptest! {
        #[test]
        fn expected_purchases_grow_with_time_and_never_exceed_the_rate(
            r in 0.05f64..5.0, alpha in 0.5f64..50.0, a in 0.02f64..5.0, b in 0.1f64..9.0,
            x in 0u32..60, age in 1.0f64..200.0, share in 0.0f64..1.0, t in 0.5f64..300.0,
        ) {
            let model = BgNbd { r, alpha, a, b };
            let who = customer(x, if x == 0 { 0.0 } else { age * share }, age);
            let (near, far) = (model.expected_purchases(&who, t), model.expected_purchases(&who, 2.0 * t));
            prop_assert!(near > 0.0 && far >= near * (1.0 - 1e-9), "{near} {far}");
            // Without any loss the expectation would be the posterior mean rate times the time.
            let unlost = (r + f64::from(x)) / (alpha + age) * t;
            prop_assert!(near <= unlost * (1.0 + 1e-6), "{near} {unlost}");
            prop_assert!((0.0..=1.0).contains(&model.probability_alive(&who)));
        }

        #[test]
        fn the_pole_at_a_equal_one_is_not_seen(x in 0u32..20, t in 1.0f64..100.0) {
            let who = customer(x, if x == 0 { 0.0 } else { 20.0 }, 40.0);
            let at = BgNbd { a: 1.0, ..PUBLISHED }.expected_purchases(&who, t);
            let beside = BgNbd { a: 1.001, ..PUBLISHED }.expected_purchases(&who, t);
            prop_assert!((at / beside - 1.0).abs() < 5e-3, "{at} {beside}");
        }
    }
}
