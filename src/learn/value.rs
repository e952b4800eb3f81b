//! What customers are worth: models of the whole shop's orders, checked on its last months, and each person's figures.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::clv::back_test::{Compared, back_test};
use super::clv::purchases::{Customer, Day, Purchases, date_of, day_of};
use super::clv::{BgNbd, CustomerSummary, FitError, GammaGamma, Horizon, lifetime_value};
use super::stats::as_f64;
use crate::history::CustomerValue;

/// Kind of the stored model.
pub const VALUE_MODEL: &str = "value";
/// Times are in weeks, as in the literature.
const UNIT_DAYS: f64 = 7.0;
/// A year, in weeks.
const YEAR_WEEKS: f64 = 365.0 / 7.0;
/// A year's discount of 10 %, by week.
const DISCOUNT_PER_WEEK: f64 = 0.001_835;
/// The back-test predicts the last quarter of the time, if all of it is at least this many days.
const BACK_TEST_DAYS_MIN: Day = 112;
/// A back-test that is further off than this factor says that the model does not fit; it corrects by no more.
const CORRECTION_MAX: f64 = 3.0;
/// Confidence and resamples of the correction's interval.
const SAMPLING: (f64, usize) = (0.95, 200);

/// A fitted model of what customers are worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValueModel {
    /// When and whether they buy, by week.
    pub purchases: BgNbd,
    /// For how much; absent where values say too little.
    pub values: Option<GammaGamma>,
    /// The mean worth of a day with purchases, in minor units, for whom the values say nothing.
    pub mean_minor: f64,
    /// How many customers it was fitted to.
    pub customers: usize,
    /// The last day that it saw.
    pub until: Day,
    /// How a model of the time before did on the last quarter.
    pub check: Option<Check>,
}

/// Prediction and truth of the last quarter of the time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// The last day that was known.
    pub split: Day,
    /// The last day that was predicted.
    pub end: Day,
    /// Purchases.
    pub orders: Factor,
    /// Their worth.
    pub value: Option<Factor>,
}

/// What was expected, what came, and what to multiply forecasts with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Factor {
    /// What the model expected.
    pub predicted: f64,
    /// What happened.
    pub actual: f64,
    /// Actual by predicted, within a factor of three.
    pub correction: f64,
    /// Where the uncut factor lies, with 95 % confidence.
    pub interval: Option<[f64; 2]>,
}

impl Factor {
    fn of(compared: &Compared) -> Option<Self> {
        let factor = compared.correction_factor.filter(|factor| factor.is_finite())?;
        Some(Self {
            predicted: compared.predicted,
            actual: compared.actual,
            correction: factor.clamp(1.0 / CORRECTION_MAX, CORRECTION_MAX),
            interval: compared.interval.map(|interval| [interval.low, interval.high]),
        })
    }
}

impl ValueModel {
    /// Fits to each customer's days with purchases and what they paid, in minor units, up to `now`.
    ///
    /// # Errors
    /// When too few customers came back.
    pub fn fit(days: BTreeMap<String, BTreeMap<Day, f64>>, now: Timestamp) -> Result<Self, FitError> {
        let purchases = Purchases::of_days(days.into_iter());
        let until = day_of(now);
        let known = summaries(&purchases, until);
        let model = BgNbd::fit(&known)?.model;
        let values = GammaGamma::fit(&known).ok().map(|fitted| fitted.model);
        let paid: Vec<f64> = known.iter().filter_map(|customer| customer.mean_value).collect();
        let mean_minor = paid.iter().sum::<f64>() / as_f64(paid.len().max(1));
        let check = check(&purchases);
        Ok(Self { purchases: model, values, mean_minor, customers: known.len(), until, check })
    }

    /// One person's figures from their days with orders; `None` for somebody who never ordered.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "the money of one person is far below 2^52"
    )]
    pub fn of(&self, order_days: &[(Day, i64)], now: Timestamp) -> Option<CustomerValue> {
        let days = order_days.iter().map(|(day, minor)| (*day, *minor as f64)).collect();
        let customer = Customer::new(String::new(), days).summary(day_of(now), UNIT_DAYS, true)?;
        let orders = self.purchases.expected_purchases(&customer, YEAR_WEEKS) * self.correction();
        let horizon = Horizon { length: YEAR_WEEKS, discount_rate: DISCOUNT_PER_WEEK, margin: 1.0 };
        let modelled = self
            .values
            .and_then(|values| lifetime_value(&self.purchases, &values, &customer, &horizon))
            .map(|worth| worth * self.value_correction());
        let worth = modelled.unwrap_or_else(|| orders * customer.mean_value.unwrap_or(self.mean_minor));
        let finite = |value: f64| if value.is_finite() { value.max(0.0) } else { 0.0 };
        Some(CustomerValue {
            p_alive: finite(self.purchases.probability_alive(&customer)).min(1.0),
            expected_orders_365d: finite(orders),
            clv_365d: finite(worth).min(1e15).round() as i64,
        })
    }

    fn correction(&self) -> f64 {
        self.check.map_or(1.0, |check| check.orders.correction)
    }

    fn value_correction(&self) -> f64 {
        self.check.and_then(|check| check.value).map_or_else(|| self.correction(), |value| value.correction)
    }

    /// The model and its back-test in sentences.
    pub fn told(&self) -> String {
        let fitted = format!(
            "{} customers with orders: P(alive), expected orders and value of a year are facts",
            self.customers
        );
        let Some(check) = &self.check else {
            return format!("{fitted}; they could not be checked on the last months");
        };
        let date = |day| date_of(day).map_or_else(|| "?".to_owned(), |date| date.to_string());
        let Factor { predicted, actual, correction, interval } = check.orders;
        let interval = interval.map_or_else(String::new, |[low, high]| format!(" ({low:.2} … {high:.2})"));
        format!(
            "{fitted}; from {} to {} the model expected {predicted:.0} orders and {actual:.0} came: forecasts are \
             multiplied by {correction:.2}{interval}",
            date(check.split),
            date(check.end)
        )
    }
}

fn summaries(purchases: &Purchases, until: Day) -> Vec<CustomerSummary> {
    purchases.customers.iter().filter_map(|customer| customer.summary(until, UNIT_DAYS, true)).collect()
}

/// Fits to the first three quarters of the time and predicts the last one.
fn check(purchases: &Purchases) -> Option<Check> {
    let (first, end) = purchases.span()?;
    if end - first < BACK_TEST_DAYS_MIN {
        return None;
    }
    let split = end - (end - first) / 4;
    let known = summaries(purchases, split);
    let model = BgNbd::fit(&known).ok()?.model;
    let values = GammaGamma::fit(&known).ok().map(|fitted| fitted.model);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let found =
        back_test((&model, values.as_ref()), purchases, (split, end), UNIT_DAYS, SAMPLING, &mut random);
    Some(Check {
        split,
        end,
        orders: Factor::of(&found.purchases)?,
        value: found.value.as_ref().and_then(Factor::of),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CDNOW's parameters, money in cents, and a back-test that came out a fifth too low.
    fn model() -> ValueModel {
        let factor = Factor { predicted: 100.0, actual: 120.0, correction: 1.2, interval: Some([1.1, 1.3]) };
        ValueModel {
            purchases: BgNbd { r: 0.2426, alpha: 4.4135, a: 0.7929, b: 2.4258 },
            values: Some(GammaGamma { p: 6.25, q: 3.74, gamma: 1_545.0 }),
            mean_minor: 3_500.0,
            customers: 2_357,
            until: 19_365,
            check: Some(Check { split: 19_250, end: 19_365, orders: factor, value: None }),
        }
    }

    #[test]
    fn who_goes_on_buying_is_alive_and_worth_more_than_who_stopped() {
        let now = Timestamp::from_second(19_365 * 86_400).unwrap();
        let model = model();
        let of = |model: &ValueModel, last: Day| {
            let orders: Vec<(Day, i64)> = (0..20).map(|n| (last - 14 * (19 - n), 1_500)).collect();
            model.of(&orders, now).unwrap()
        };
        let (active, gone) = (of(&model, 19_360), of(&model, 19_180));
        assert!(active.p_alive > 0.8 && gone.p_alive < 0.2, "{active:?} {gone:?}");
        assert!(active.expected_orders_365d > 5.0 * gone.expected_orders_365d);
        assert!(active.clv_365d > gone.clv_365d && gone.clv_365d >= 0);
        let uncorrected = of(&ValueModel { check: None, ..model.clone() }, 19_360);
        assert!((active.expected_orders_365d / uncorrected.expected_orders_365d - 1.2).abs() < 1e-9);
        assert_eq!(model.of(&[], now), None);
        assert_eq!(
            model.told(),
            "2357 customers with orders: P(alive), expected orders and value of a year are facts; from 2022-09-15 to \
             2023-01-08 the model expected 100 orders and 120 came: forecasts are multiplied by 1.20 (1.10 … 1.30)"
        );
        let stored = serde_json::to_string(&model).unwrap();
        assert_eq!(serde_json::from_str::<ValueModel>(&stored).unwrap(), model);
    }

    #[test]
    fn a_shop_to_which_nobody_came_back_has_no_model() {
        let days = BTreeMap::from([("ana".to_owned(), BTreeMap::from([(19_000, 10.0)]))]);
        let now = Timestamp::from_second(19_365 * 86_400).unwrap();
        assert_eq!(ValueModel::fit(days, now), Err(FitError::TooFewRepeatCustomers(0)));
    }
}
