//! Customer lifetime value: who is still a customer, how often they will buy, and what it is worth.
//!
//! Purchases follow BG/NBD (Fader, Hardie and Lee 2005): while alive a customer buys at a personal rate, after
//! each purchase they may be lost for ever. Values follow the Gamma-Gamma model (Fader and Hardie 2013). Both
//! are fitted by maximum likelihood to a summary per customer, so that a history of millions of purchases
//! needs one pass.

use serde::{Deserialize, Serialize};

pub mod back_test;
pub mod bg_nbd;
pub mod gamma_gamma;
pub mod purchases;
mod simplex;

pub use bg_nbd::BgNbd;
pub use gamma_gamma::GammaGamma;

use super::stats::{Interval, normal_quantile};
use simplex::Minimum;

/// The most steps in which a horizon is discounted; more would not change a digit that is shown.
const DISCOUNT_STEPS_MAX: u32 = 60;
/// The natural logarithm of a parameter, in units of the data's own scale, stays within this of zero.
const LOG_PARAMETER_MAX: f64 = 12.0;
/// A parameter this near to the limit is one that the data do not determine.
const LOG_PARAMETER_UNDETERMINED: f64 = 11.0;
/// A standard error of a logarithm above this says no more than "anything from a fiftieth to fifty times".
const LOG_ERROR_MAX: f64 = 2.0;
/// The step of the second differences from which standard errors come.
const DIFFERENCE_STEP: f64 = 1e-3;

/// What the models need to know of a customer. Times are in one unit of the caller's choice, such as weeks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CustomerSummary {
    /// Repeat purchases: periods with a purchase after the first one.
    pub frequency: u32,
    /// From the first purchase to the last; 0 when there was one.
    pub recency: f64,
    /// From the first purchase to now; at least `recency`.
    pub age: f64,
    /// The mean value of the repeat purchases, where there were some and values are known.
    pub mean_value: Option<f64>,
}

/// Why a model cannot be fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// Nobody came back, so there is no rate to learn.
    #[error("only {} bought again, and at least {REPEAT_CUSTOMERS_MIN} are needed", crate::words::counted(*.0, "customer"))]
    TooFewRepeatCustomers(usize),
    /// A time or value that no customer can have.
    #[error("a customer's summary is impossible: recency must lie from 0 to age, values above 0")]
    ImpossibleSummary,
    /// The likelihood has no maximum that could be found.
    #[error("the likelihood has no maximum that could be found")]
    NoMaximum,
}

/// Fewer customers who came back than this do not determine a model.
pub const REPEAT_CUSTOMERS_MIN: usize = 10;

/// A fitted model with how well it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted<M, const N: usize> {
    /// The model.
    pub model: M,
    /// The logarithm of the likelihood at its maximum.
    pub log_likelihood: f64,
    /// How many customers it was fitted to.
    pub customers: usize,
    /// The standard error of the logarithm of each parameter; `None` when the data do not determine them.
    pub log_errors: Option<[f64; N]>,
}

impl<M, const N: usize> Fitted<M, N> {
    /// The interval of a parameter, symmetric on its logarithm, from the observed information. `None` when the
    /// data do not determine it.
    pub fn interval(&self, index: usize, value: f64, confidence: f64) -> Option<Interval> {
        let errors = self.log_errors.filter(|_| self.determines(index))?;
        let half_width = normal_quantile(0.5 + confidence / 2.0) * errors[index];
        Some(Interval { low: value * (-half_width).exp(), high: value * half_width.exp() })
    }

    /// Whether the data determine a parameter to any useful degree.
    pub fn determines(&self, index: usize) -> bool {
        self.log_errors.is_some_and(|errors| errors[index] <= LOG_ERROR_MAX)
    }
}

/// What the future is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Horizon {
    /// How far ahead, in the unit of the summaries.
    pub length: f64,
    /// The discount rate per unit: 0.002 takes 0.2 % a week off when the unit is a week.
    pub discount_rate: f64,
    /// The share of a purchase's value that is earned.
    pub margin: f64,
}

/// The present value of a customer's purchases over the horizon: expected purchases of each step times the
/// expected value of a purchase, discounted to the end of the step. `None` when the model gives the value of
/// a purchase no mean.
pub fn lifetime_value(
    purchases: &BgNbd,
    values: &GammaGamma,
    customer: &CustomerSummary,
    horizon: &Horizon,
) -> Option<f64> {
    let value = values.expected_value(customer)?;
    let steps = horizon.length.ceil().clamp(1.0, f64::from(DISCOUNT_STEPS_MAX));
    let step = horizon.length / steps;
    let (mut before, mut total, mut at) = (0.0, 0.0, 0.0);
    while at < steps {
        at += 1.0;
        let until = purchases.expected_purchases(customer, at * step);
        total += (until - before) / (1.0 + horizon.discount_rate).powf(at * step);
        before = until;
    }
    Some(horizon.margin * value * total)
}

/// Maximises a likelihood over the logarithms of N positive parameters, from several starts.
fn maximise<const N: usize>(
    log_likelihood: impl Fn(&[f64; N]) -> f64,
    starts: &[[f64; N]],
) -> Result<(Minimum<N>, Option<[f64; N]>), FitError> {
    let cost = |logs: &[f64; N]| {
        if logs.iter().any(|log| log.abs() > LOG_PARAMETER_MAX) {
            return f64::INFINITY;
        }
        let value = -log_likelihood(&logs.map(f64::exp));
        if value.is_finite() { value } else { f64::INFINITY }
    };
    let starts: Vec<[f64; N]> = starts.iter().map(|start| start.map(f64::ln)).collect();
    let best = simplex::minimise(&cost, &starts).ok_or(FitError::NoMaximum)?;
    let errors = log_errors(&cost, &best.at);
    Ok((best, errors))
}

/// Standard errors from the inverse of the second derivatives at the maximum.
fn log_errors<const N: usize>(cost: &impl Fn(&[f64; N]) -> f64, at: &[f64; N]) -> Option<[f64; N]> {
    if at.iter().any(|log| log.abs() > LOG_PARAMETER_UNDETERMINED) {
        return None;
    }
    let h = DIFFERENCE_STEP;
    let moved = |i: usize, by: f64, j: usize, by_too: f64| {
        let mut point = *at;
        point[i] += by;
        point[j] += by_too;
        cost(&point)
    };
    let second = |i: usize, j: usize| {
        (moved(i, h, j, h) - moved(i, h, j, -h) - moved(i, -h, j, h) + moved(i, -h, j, -h)) / (4.0 * h * h)
    };
    let information = nalgebra::DMatrix::from_fn(N, N, second);
    let covariance = information.cholesky()?.inverse();
    let errors: [f64; N] = std::array::from_fn(|index| covariance[(index, index)].sqrt());
    errors.iter().all(|error| error.is_finite()).then_some(errors)
}
