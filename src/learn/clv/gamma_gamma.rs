//! Gamma-Gamma: what a purchase is worth (Fader and Hardie 2013, The Gamma-Gamma Model of Monetary Value).

use serde::{Deserialize, Serialize};
use statrs::function::gamma::ln_gamma;

use super::{CustomerSummary, FitError, Fitted, REPEAT_CUSTOMERS_MIN, maximise};
use crate::learn::stats::{Summary, as_f64};

/// Where the search for the maximum starts, with values measured in mean values.
const STARTS: [[f64; 3]; 3] = [[5.0, 4.0, 0.6], [1.0, 2.0, 1.0], [20.0, 10.0, 0.5]];

/// A fitted Gamma-Gamma model, in the currency of the summaries that it was fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GammaGamma {
    /// Shape of the Gamma distribution of a customer's values.
    pub p: f64,
    /// Shape of the Gamma distribution of the customers' rates.
    pub q: f64,
    /// Rate of that distribution, a value.
    pub gamma: f64,
}

impl GammaGamma {
    /// Fits by maximum likelihood to the customers who came back and whose mean value is above 0.
    pub fn fit(customers: &[CustomerSummary]) -> Result<Fitted<Self, 3>, FitError> {
        let used: Vec<(f64, f64)> = repeat_values(customers).collect();
        if used.iter().any(|(_, value)| !value.is_finite()) {
            return Err(FitError::ImpossibleSummary);
        }
        if used.len() < REPEAT_CUSTOMERS_MIN {
            return Err(FitError::TooFewRepeatCustomers(used.len()));
        }
        let scale = used.iter().map(|(_, value)| value).sum::<f64>() / as_f64(used.len());
        let scaled: Vec<(f64, f64)> = used.iter().map(|&(x, value)| (x, value / scale)).collect();
        let (best, log_errors) = maximise(|p: &[f64; 3]| log_likelihood(p, &scaled), &STARTS)?;
        let [p, q, gamma] = best.at.map(f64::exp);
        Ok(Fitted {
            model: Self { p, q, gamma: gamma * scale },
            log_likelihood: -best.value - as_f64(used.len()) * scale.ln(),
            customers: used.len(),
            log_errors,
        })
    }

    /// The expected value of a customer's next purchase: between their own mean and everybody's, the nearer to
    /// their own the more they bought. `None` when the model has no finite mean for it.
    pub fn expected_value(&self, customer: &CustomerSummary) -> Option<f64> {
        let (x, spent) = match customer.mean_value {
            Some(value) if customer.frequency > 0 && value > 0.0 => {
                (f64::from(customer.frequency), f64::from(customer.frequency) * value)
            }
            _ => (0.0, 0.0),
        };
        let below = self.p * x + self.q - 1.0;
        (below > 0.0).then(|| self.p * (self.gamma + spent) / below)
    }
}

/// The correlation between how often and for how much customers buy, which the model takes to be none.
/// `None` when one of them does not vary.
pub fn frequency_value_correlation(customers: &[CustomerSummary]) -> Option<f64> {
    let used: Vec<(f64, f64)> = repeat_values(customers).collect();
    let (x, y) = (Summary::of(used.iter().map(|u| u.0)), Summary::of(used.iter().map(|u| u.1)));
    let products = used.iter().map(|(a, b)| (a - x.mean) * (b - y.mean)).sum::<f64>();
    let scale = (x.variance * y.variance).sqrt() * (as_f64(used.len()) - 1.0);
    (scale > 0.0).then(|| products / scale)
}

fn repeat_values(customers: &[CustomerSummary]) -> impl Iterator<Item = (f64, f64)> {
    let used = |customer: &CustomerSummary| Some((f64::from(customer.frequency), customer.mean_value?));
    customers.iter().filter_map(used).filter(|&(x, value)| x > 0.0 && value > 0.0)
}

/// Equation 1a of the note, summed.
fn log_likelihood(&[p, q, gamma]: &[f64; 3], customers: &[(f64, f64)]) -> f64 {
    let constant = q * gamma.ln() - ln_gamma(q);
    let of_customer = |&(x, value): &(f64, f64)| {
        constant + ln_gamma(p * x + q) - ln_gamma(p * x) + (p * x - 1.0) * value.ln() + p * x * x.ln()
            - (p * x + q) * (gamma + x * value).ln()
    };
    customers.iter().map(of_customer).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(frequency: u32, mean_value: Option<f64>) -> CustomerSummary {
        CustomerSummary { frequency, recency: 1.0, age: 2.0, mean_value }
    }

    fn near(actual: Option<f64>, expected: f64) {
        assert!((actual.unwrap() - expected).abs() < 1e-9, "{actual:?} is not {expected}");
    }

    #[test]
    fn the_expected_value_lies_between_the_customers_own_and_everybodys() {
        let model = GammaGamma { p: 6.0, q: 4.0, gamma: 15.0 };
        near(model.expected_value(&customer(0, None)), 30.0);
        near(model.expected_value(&customer(1, Some(12.0))), 6.0 * 27.0 / 9.0);
        near(model.expected_value(&customer(100, Some(12.0))), 6.0 * 1215.0 / 603.0);
    }

    #[test]
    fn a_model_without_a_mean_gives_none() {
        let model = GammaGamma { p: 0.5, q: 0.4, gamma: 15.0 };
        assert_eq!(model.expected_value(&customer(0, None)), None);
        near(model.expected_value(&customer(2, Some(10.0))), 0.5 * 35.0 / 0.4);
    }

    #[test]
    fn values_that_are_not_known_are_not_fitted() {
        let few = [customer(3, Some(5.0)), customer(0, None), customer(2, None)];
        assert_eq!(GammaGamma::fit(&few), Err(FitError::TooFewRepeatCustomers(1)));
        assert_eq!(frequency_value_correlation(&few), None);
        let growing: Vec<CustomerSummary> = (1..20).map(|x| customer(x, Some(f64::from(x)))).collect();
        near(frequency_value_correlation(&growing), 1.0);
    }
}
