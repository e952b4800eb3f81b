//! What customers are worth: BG/NBD and Gamma-Gamma on their orders, a back-test on the last part of them, and the factor
//! by which it was off, beside every forecast.

use std::collections::BTreeMap;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::ReportError;
use super::document::Report;
use super::people::each_person;
use super::people::net;
use super::scope::CONFIDENCE;
use super::scope::Sources;
use crate::learn::clv::BgNbd;
use crate::learn::clv::CustomerSummary;
use crate::learn::clv::Fitted;
use crate::learn::clv::GammaGamma;
use crate::learn::clv::Horizon;
use crate::learn::clv::back_test::BackTest;
use crate::learn::clv::back_test::back_test;
use crate::learn::clv::gamma_gamma::frequency_value_correlation;
use crate::learn::clv::lifetime_value;
use crate::learn::clv::purchases::Day;
use crate::learn::clv::purchases::Purchases;
use crate::learn::clv::purchases::date_of;
use crate::learn::clv::purchases::day_of_date;

mod tell;

/// Times are told in weeks.
const UNIT_DAYS: f64 = 7.0;
/// The forecast looks a year ahead.
const HORIZON_WEEKS: f64 = 52.0;
/// The discount rate a year.
const DISCOUNT_YEARLY: f64 = 0.1;
/// Where no split is stated the last part of the time tests: one part in so many.
const TEST_PARTS: i64 = 4;
/// Bootstrap samples of customers.
const RESAMPLES: usize = 500;
/// Decides the bootstrap's draws: the same data give the same intervals.
const SEED: u64 = 1;

/// Both models; values have none when a reason stands in their place.
struct Models {
    purchases: Fitted<BgNbd, 4>,
    values: Result<Fitted<GammaGamma, 3>, String>,
}

/// The coming year of one customer.
struct Outlook {
    alive: f64,
    purchases: f64,
    value: Option<f64>,
}

/// Everything that is told.
struct Findings {
    customers: usize,
    purchases: usize,
    split: Day,
    end: Day,
    past: Models,
    whole: Models,
    test: BackTest,
    outlooks: Vec<Outlook>,
    correlation: Option<f64>,
}

pub(super) async fn make(sources: &Sources<'_>) -> Result<Report, ReportError> {
    let mut customers: Vec<(String, BTreeMap<Day, f64>)> = Vec::new();
    each_person(sources, |person| {
        let mut days: BTreeMap<Day, f64> = BTreeMap::new();
        for order in person.orders.iter().filter(|order| sources.scope.holds(order.at)) {
            *days.entry(day_of_date(sources.scope.date(order.at))).or_default() += sources.major(net(order));
        }
        if !days.is_empty() {
            customers.push((person.id.to_string(), days));
        }
    })
    .await?;
    let purchases = Purchases::of_days(customers.into_iter());
    Ok(find(&purchases, sources)?.tell(sources))
}

fn find(purchases: &Purchases, sources: &Sources<'_>) -> Result<Findings, ReportError> {
    let data = |text: String| ReportError::Data(text);
    let Some((first, end)) = purchases.span() else {
        return Err(data(format!(
            "there are no orders in {}: nothing can be said of customers' value",
            sources.scope.words()
        )));
    };
    let split = sources.scope.split.map_or(end - (end - first) / TEST_PARTS, day_of_date);
    if split < first || split >= end {
        let day = |day| date_of(day).map_or_else(String::new, |date| date.to_string());
        return Err(ReportError::Request(format!(
            "the orders lie between {} and {}; choose a --split that has some on both sides",
            day(first),
            day(end)
        )));
    }
    let summaries = |until: Day| -> Vec<CustomerSummary> {
        purchases.customers.iter().filter_map(|customer| customer.summary(until, UNIT_DAYS, true)).collect()
    };
    let (known, all) = (summaries(split), summaries(end));
    let past = fit(&known).map_err(data)?;
    let whole = fit(&all).map_err(data)?;
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let models = (&past.purchases.model, past.values.as_ref().ok().map(|values| &values.model));
    let test = back_test(models, purchases, (split, end), UNIT_DAYS, (CONFIDENCE, RESAMPLES), &mut rng);
    let horizon = Horizon {
        length: HORIZON_WEEKS,
        discount_rate: (1.0 + DISCOUNT_YEARLY).powf(1.0 / HORIZON_WEEKS) - 1.0,
        margin: 1.0,
    };
    let outlook = |customer: &CustomerSummary| Outlook {
        alive: whole.purchases.model.probability_alive(customer),
        purchases: whole.purchases.model.expected_purchases(customer, HORIZON_WEEKS),
        value: whole
            .values
            .as_ref()
            .ok()
            .and_then(|values| lifetime_value(&whole.purchases.model, &values.model, customer, &horizon)),
    };
    Ok(Findings {
        customers: purchases.customers.len(),
        purchases: purchases.count(),
        outlooks: all.iter().map(outlook).collect(),
        correlation: frequency_value_correlation(&all),
        split,
        end,
        past,
        whole,
        test,
    })
}

fn fit(customers: &[CustomerSummary]) -> Result<Models, String> {
    let purchases =
        BgNbd::fit(customers).map_err(|error| format!("customers' value cannot be told: {error}"))?;
    let values =
        GammaGamma::fit(customers).map_err(|error| format!("values of orders cannot be modelled: {error}"));
    Ok(Models { purchases, values })
}
