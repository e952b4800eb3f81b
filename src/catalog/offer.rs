//! Offers: `offers.toml`. A coupon is one code per profile from an imported pool; values are worked out per profile.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Map;
use serde_json::Value;
use toml::Spanned;

use super::contract::Contract;
use super::file_rule;
use super::name;
use super::rule::Expected;
use super::rule::Rule;
use super::toml_text;
use crate::fault::Fault;
use crate::fault::SourceFile;

/// Days that an offer may last, at most.
const EXPIRES_DAYS_MAX: u32 = 3_650;

/// One offer that variants may name.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Its name.
    pub name: String,
    /// One line for customers.
    pub description: String,
    /// Whether it has a code of its own for each profile.
    pub kind: OfferKind,
    /// Days from the decision to its end.
    pub expires_days: Option<u32>,
    percent: Option<Rule>,
    amount: Option<Rule>,
}

/// Whether an offer has codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfferKind {
    /// One code per profile, from the imported pool of this offer's name.
    Coupon,
    /// No code: the values are the offer.
    #[default]
    Values,
}

/// Why an offer's values could not be worked out for a profile.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OfferError {
    /// A rule failed.
    #[error("offer {offer}: {error}")]
    Rule {
        /// Which offer.
        offer: String,
        /// Why.
        error: super::rule::RuleError,
    },
    /// A value is none that an offer can have.
    #[error("offer {offer}: {value} comes to {number} for this profile; it must be {expected} (offers.toml)")]
    Range {
        /// Which offer.
        offer: String,
        /// `percent` or `amount`.
        value: &'static str,
        /// What it came to.
        number: f64,
        /// What it must be.
        expected: &'static str,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    description: String,
    #[serde(default)]
    kind: OfferKind,
    percent: Option<Spanned<toml::Value>>,
    amount: Option<Spanned<toml::Value>>,
    expires_days: Option<Spanned<u32>>,
}

impl Offer {
    /// The rules of its values.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.percent.iter().chain(&self.amount)
    }

    /// The offer as `offer` in templates, without its code: name, description, percent (0 to 100), amount (minor
    /// units) and, from `now`, its end.
    pub fn values(&self, facts: &Value, now: Timestamp) -> Result<Map<String, Value>, OfferError> {
        let mut values = Map::new();
        values.insert("name".to_owned(), Value::from(self.name.as_str()));
        values.insert("description".to_owned(), Value::from(self.description.as_str()));
        if let Some(percent) = self.value(self.percent.as_ref(), facts)? {
            if !(0.0..=100.0).contains(&percent) {
                return Err(self.out_of_range("percent", percent, "0 to 100"));
            }
            values.insert("percent".to_owned(), number(percent));
        }
        if let Some(amount) = self.value(self.amount.as_ref(), facts)? {
            if !(0.0..=1e12).contains(&amount) {
                return Err(self.out_of_range("amount", amount, "0 or more, in minor units"));
            }
            values.insert("amount".to_owned(), number(amount.round()));
        }
        let end = self.expires_days.map(|days| now + SignedDuration::from_hours(i64::from(days) * 24));
        if let Some(end) = end {
            values.insert("expires_at".to_owned(), Value::from(end.to_string()));
        }
        Ok(values)
    }

    fn value(&self, rule: Option<&Rule>, facts: &Value) -> Result<Option<f64>, OfferError> {
        let value = rule.map(|rule| rule.number(facts)).transpose();
        value.map_err(|error| OfferError::Rule { offer: self.name.clone(), error })
    }

    fn out_of_range(&self, value: &'static str, number: f64, expected: &'static str) -> OfferError {
        OfferError::Range { offer: self.name.clone(), value, number, expected }
    }
}

/// A whole number stays whole: templates print `15`, not `15.0`.
fn number(value: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and at most 1e12")]
    if value.fract() == 0.0 { Value::from(value as i64) } else { Value::from(value) }
}

/// Reads `offers.toml`.
/// `None` when the file cannot be read, so that nobody is told that its offers are missing.
pub(super) fn read(
    file: &SourceFile,
    contract: &Contract,
    faults: &mut Vec<Fault>,
) -> Option<BTreeMap<String, Offer>> {
    let written: Option<BTreeMap<Spanned<String>, Written>> =
        toml_text::parse(file, 0..file.text.len(), faults);
    let mut offers = BTreeMap::new();
    for (spanned, written) in written? {
        let name = spanned.get_ref().clone();
        name::check(file, spanned.span(), "an offer's name", &name, faults);
        let percent = value(file, "percent", written.percent.as_ref(), contract, faults);
        let amount = value(file, "amount", written.amount.as_ref(), contract, faults);
        if let (Some(_), Some(amount)) = (&written.percent, &written.amount) {
            let help = "write one of them; two offers, if both are meant";
            let message =
                format!("the offer {name} has a `percent` and an `amount`: nobody knows which counts");
            faults.push(Fault::at(file, amount.span(), message).with_help(help));
        }
        if written.kind == OfferKind::Values && written.percent.is_none() && written.amount.is_none() {
            let help = "write `kind = \"coupon\"`, `percent = 10` or `amount = 500` (minor units)";
            faults.push(
                Fault::at(file, spanned.span(), format!("the offer `{name}` offers nothing")).with_help(help),
            );
        }
        if let Some(days) = &written.expires_days
            && !(1..=EXPIRES_DAYS_MAX).contains(days.get_ref())
        {
            let message = format!("an offer lasts from 1 to {EXPIRES_DAYS_MAX} days");
            faults.push(Fault::at(file, days.span(), message).with_help("write such as `expires_days = 14`"));
        }
        let Written { description, kind, expires_days, .. } = written;
        let expires_days = expires_days.map(Spanned::into_inner);
        offers.insert(name.clone(), Offer { name, description, kind, expires_days, percent, amount });
    }
    Some(offers)
}

/// A number, or CEL that comes to one.
fn value(
    file: &SourceFile,
    key: &str,
    written: Option<&Spanned<toml::Value>>,
    contract: &Contract,
    faults: &mut Vec<Fault>,
) -> Option<Rule> {
    let written = written?;
    let source = match written.get_ref() {
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) if number.is_finite() => format!("{number:?}"),
        toml::Value::String(source) => source.clone(),
        _ => {
            let help = format!(
                "write `{key} = 10`, or CEL in quotes: `{key} = 'history.orders_total >= 10 ? 15 : 10'`"
            );
            faults.push(
                Fault::at(file, written.span(), format!("`{key}` is neither a number nor a rule"))
                    .with_help(help),
            );
            return None;
        }
    };
    let constant = source.parse::<f64>().ok();
    let limit = if key == "percent" { 100.0 } else { 1e12 };
    if constant.is_some_and(|number| !(0.0..=limit).contains(&number)) {
        let help = if key == "percent" {
            "write a number from 0 to 100"
        } else {
            "write minor units (cents), 0 or more"
        };
        faults.push(Fault::at(file, written.span(), format!("`{key}` cannot be {source}")).with_help(help));
        return None;
    }
    file_rule::compile(file, &written.span(), &source, Expected::Number, contract, faults)
}
