//! `bespoke evaluate clv`: customer lifetime value from anyone's transactions, with its back-test.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use jiff::civil::Date;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::output::{self, Format, Resampling};
use crate::learn::clv::back_test::{BackTest, back_test};
use crate::learn::clv::gamma_gamma::frequency_value_correlation;
use crate::learn::clv::purchases::{Columns, Day, Purchases, date_of, day_of_date};
use crate::learn::clv::{BgNbd, CustomerSummary, Fitted, GammaGamma, Horizon, lifetime_value};

mod print;

const DAYS_PER_YEAR: f64 = 365.25;

/// Customer lifetime value by BG/NBD and Gamma-Gamma, with a back-test on the time after a split.
///
/// Purchases of one day are one purchase. The models are fitted to everything up to the split and tested on
/// the rest; then they are fitted to everything, and the forecast is shown with the factor by which the
/// back-test was off.
#[derive(Debug, Args)]
pub struct ClvArgs {
    /// The transactions: CSV or gzip, a row per purchase or per line of one.
    #[arg(long, value_name = "FILE")]
    transactions: PathBuf,
    /// The column of the customer.
    #[arg(long, value_name = "COL")]
    customer: String,
    /// The column of the time, such as 2026-01-31 or 2026-01-31 18:00:00.
    #[arg(long, value_name = "COL")]
    time: String,
    /// The column of the value; without it only purchases are told, not their worth.
    #[arg(long, value_name = "COL")]
    amount: Option<String>,
    /// The last day that the models see; the later ones test them.
    #[arg(long, value_name = "DATE")]
    split: Date,
    /// The unit of time of the parameters and horizons.
    #[arg(long, value_enum, default_value_t = Unit::Week)]
    unit: Unit,
    /// How far ahead the forecast looks, in units [default: a year].
    #[arg(long, value_name = "NUMBER", value_parser = output::positive)]
    horizon: Option<f64>,
    /// The discount rate a year.
    #[arg(long, value_name = "RATE", default_value_t = 0.1, value_parser = rate)]
    discount: f64,
    /// The share of a purchase's value that is earned.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = output::positive)]
    margin: f64,
    /// Writes a row per customer: P(alive), expected purchases, lifetime value.
    #[arg(long, value_name = "OUT.csv")]
    customers: Option<PathBuf>,
    #[command(flatten)]
    resampling: Resampling,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Unit {
    Day,
    Week,
    Month,
}

/// Both models, fitted to the same customers; values have none when a reason stands in their place.
struct Models {
    purchases: Fitted<BgNbd, 4>,
    values: Result<Fitted<GammaGamma, 3>, String>,
}

/// The future by the models of the whole history.
struct Forecast {
    models: Models,
    horizon: Horizon,
    customers: usize,
    alive: f64,
    purchases: f64,
    value: Result<f64, String>,
}

/// Everything that is printed.
struct Report {
    purchases: Purchases,
    split: Day,
    end: Day,
    models: Models,
    correlation: Option<f64>,
    back_test: BackTest,
    forecast: Forecast,
}

impl ClvArgs {
    /// Fits, tests, forecasts and prints.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let columns = Columns { customer: &self.customer, time: &self.time, amount: self.amount.as_deref() };
        let purchases = Purchases::read(&self.transactions, &columns).context("cannot read the purchases")?;
        let report = self.report(purchases)?;
        if let Some(file) = &self.customers {
            self.write_customers(file, &report)?;
        }
        output::print(self.format, &self.text(&report), &self.json(&report))?;
        Ok(ExitCode::SUCCESS)
    }

    fn report(&self, purchases: Purchases) -> anyhow::Result<Report> {
        let file = self.transactions.display();
        let Some((first, end)) = purchases.span() else { bail!("{file}: there is no purchase in it") };
        let split = day_of_date(self.split);
        if split < first || split >= end {
            let dates =
                [date_of(first), date_of(end)].map(|date| date.map_or_else(String::new, |d| d.to_string()));
            bail!(
                "--split {}: {file} has purchases from {} to {}; split so that there are some on both sides",
                self.split,
                dates[0],
                dates[1]
            );
        }
        let known = self.summaries(&purchases, split);
        let models = self.fit(&known).with_context(|| format!("{file}, up to {}", self.split))?;
        let mut rng = ChaCha8Rng::seed_from_u64(self.resampling.seed);
        let fitted = (&models.purchases.model, models.values.as_ref().ok().map(|values| &values.model));
        let sampling = (self.resampling.confidence, self.resampling.resamples);
        let back_test = back_test(fitted, &purchases, (split, end), self.unit.days(), sampling, &mut rng);
        let forecast = self.forecast(&purchases, end).with_context(|| format!("{file}, whole"))?;
        let correlation = frequency_value_correlation(&known);
        Ok(Report { purchases, split, end, models, correlation, back_test, forecast })
    }

    fn summaries(&self, purchases: &Purchases, until: Day) -> Vec<CustomerSummary> {
        let summary =
            |c: &crate::learn::clv::purchases::Customer| c.summary(until, self.unit.days(), purchases.valued);
        purchases.customers.iter().filter_map(summary).collect()
    }

    fn fit(&self, customers: &[CustomerSummary]) -> anyhow::Result<Models> {
        let purchases = BgNbd::fit(customers).context("BG/NBD cannot be fitted")?;
        let values = match self.amount {
            None => Err("values are not known: give --amount".to_owned()),
            Some(_) => {
                GammaGamma::fit(customers).map_err(|error| format!("Gamma-Gamma cannot be fitted: {error}"))
            }
        };
        Ok(Models { purchases, values })
    }

    fn horizon(&self) -> Horizon {
        let units_per_year = DAYS_PER_YEAR / self.unit.days();
        Horizon {
            length: self.horizon.unwrap_or(units_per_year),
            discount_rate: (1.0 + self.discount).powf(1.0 / units_per_year) - 1.0,
            margin: self.margin,
        }
    }

    fn forecast(&self, purchases: &Purchases, end: Day) -> anyhow::Result<Forecast> {
        let customers = self.summaries(purchases, end);
        let models = self.fit(&customers)?;
        let (model, horizon) = (&models.purchases.model, self.horizon());
        let alive = customers.iter().map(|customer| model.probability_alive(customer)).sum();
        let expected = customers.iter().map(|c| model.expected_purchases(c, horizon.length)).sum();
        let value = match &models.values {
            Err(reason) => Err(reason.clone()),
            Ok(values) => customers
                .iter()
                .map(|customer| lifetime_value(model, &values.model, customer, &horizon))
                .sum::<Option<f64>>()
                .ok_or_else(|| "the fitted values have no mean (q is at most 1)".to_owned()),
        };
        Ok(Forecast { horizon, customers: customers.len(), alive, purchases: expected, value, models })
    }

    fn write_customers(&self, file: &Path, report: &Report) -> anyhow::Result<()> {
        let context = || format!("cannot write {}", file.display());
        let mut out = csv::Writer::from_path(file).with_context(context)?;
        let unit = self.unit.name();
        out.write_record([
            "customer",
            "repeat_purchases",
            &format!("recency_{unit}s"),
            &format!("age_{unit}s"),
            "p_alive",
            "expected_purchases",
            "expected_value",
            "clv",
        ])?;
        let models = &report.forecast.models;
        let (model, horizon) = (&models.purchases.model, &report.forecast.horizon);
        let number =
            |value: Option<f64>| value.filter(|v| v.is_finite()).map_or_else(String::new, |v| v.to_string());
        for customer in &report.purchases.customers {
            let Some(known) = customer.summary(report.end, self.unit.days(), report.purchases.valued) else {
                continue;
            };
            let values = models.values.as_ref().ok().map(|values| &values.model);
            out.write_record([
                customer.name.clone(),
                known.frequency.to_string(),
                number(Some(known.recency)),
                number(Some(known.age)),
                number(Some(model.probability_alive(&known))),
                number(Some(model.expected_purchases(&known, horizon.length))),
                number(values.and_then(|values| values.expected_value(&known))),
                number(values.and_then(|values| lifetime_value(model, values, &known, horizon))),
            ])?;
        }
        out.flush().with_context(context)
    }
}

impl Unit {
    fn days(self) -> f64 {
        match self {
            Self::Day => 1.0,
            Self::Week => 7.0,
            Self::Month => DAYS_PER_YEAR / 12.0,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|rate: &f64| (0.0..10.0).contains(rate));
    value.ok_or_else(|| "write a rate from 0, such as 0.1 for ten percent a year".to_owned())
}
