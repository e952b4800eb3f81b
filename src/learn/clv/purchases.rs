//! Transactions become a history per customer, and that a summary for the models.
//!
//! What a customer buys on one day is one purchase, as in the literature: a basket that was rung up twice is
//! not a customer who came back.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Date;

use super::CustomerSummary;
use crate::learn::stats::as_f64;
use crate::learn::table::{Table, TableError};

const SECONDS_PER_DAY: i64 = 86_400;

/// A day, counted from 1970-01-01 in UTC.
pub type Day = i64;

/// What the columns of the transactions are called.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// Who bought.
    pub customer: &'a str,
    /// When.
    pub time: &'a str,
    /// For how much; without it only the number of purchases is told.
    pub amount: Option<&'a str>,
}

/// All purchases of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Purchases {
    /// The customers in order of appearance.
    pub customers: Vec<Customer>,
    /// Days on which a customer got more back than they paid: returns, not purchases.
    pub returned_days: usize,
    /// Whether values are known.
    pub valued: bool,
}

/// The purchases of a customer: at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Customer {
    /// As the file names them.
    pub name: String,
    /// Days with their value, ascending and distinct.
    purchases: Vec<(Day, f64)>,
}

impl Purchases {
    /// Reads a transaction file.
    pub fn read(file: &Path, columns: &Columns<'_>) -> Result<Self, TableError> {
        let mut wanted = vec![columns.customer, columns.time];
        wanted.extend(columns.amount);
        let table = Table::read(file, &wanted)?;
        let (names, codes) = table.column(columns.customer)?.required_categories()?;
        let times = table.column(columns.time)?.times()?;
        let amounts = match columns.amount {
            Some(name) => Some(table.column(name)?.required_numbers()?),
            None => None,
        };
        let mut days: Vec<BTreeMap<Day, f64>> = vec![BTreeMap::new(); names.len()];
        for (row, (&code, &time)) in codes.iter().zip(&times).enumerate() {
            let amount = amounts.as_ref().map_or(0.0, |amounts| amounts[row]);
            *days[code as usize].entry(day_of(time)).or_default() += amount;
        }
        Ok(Self::new(names.into_iter().zip(days), amounts.is_some()))
    }

    /// Purchases that are known already: for each customer the value of each day.
    pub fn of_days(customers: impl Iterator<Item = (String, BTreeMap<Day, f64>)>) -> Self {
        Self::new(customers, true)
    }

    fn new(customers: impl Iterator<Item = (String, BTreeMap<Day, f64>)>, valued: bool) -> Self {
        let mut returned_days = 0;
        let mut kept = Vec::new();
        for (name, days) in customers {
            let before = days.len();
            let purchases: Vec<(Day, f64)> = days.into_iter().filter(|&(_, value)| value >= 0.0).collect();
            returned_days += before - purchases.len();
            if !purchases.is_empty() {
                kept.push(Customer { name, purchases });
            }
        }
        Self { customers: kept, returned_days, valued }
    }

    /// The first and the last day with a purchase; `None` when there is none.
    pub fn span(&self) -> Option<(Day, Day)> {
        let first = self.customers.iter().map(|customer| customer.purchases[0].0).min()?;
        let last =
            self.customers.iter().filter_map(|customer| customer.purchases.last()).map(|p| p.0).max()?;
        Some((first, last))
    }

    /// How many purchases there are.
    pub fn count(&self) -> usize {
        self.customers.iter().map(|customer| customer.purchases.len()).sum()
    }
}

impl Customer {
    /// A customer of these days, ascending and distinct.
    pub fn new(name: String, purchases: Vec<(Day, f64)>) -> Self {
        Self { name, purchases }
    }

    /// What the models need to know of this customer at the end of day `until`, in units of `unit_days`.
    /// `None` when they had not bought yet.
    pub fn summary(&self, until: Day, unit_days: f64, valued: bool) -> Option<CustomerSummary> {
        let known: Vec<(Day, f64)> =
            self.purchases.iter().copied().take_while(|&(day, _)| day <= until).collect();
        let (&(first, _), &(last, _)) = (known.first()?, known.last()?);
        let repeat = &known[1..];
        let mean = repeat.iter().map(|&(_, value)| value).sum::<f64>() / as_f64(repeat.len().max(1));
        Some(CustomerSummary {
            frequency: u32::try_from(repeat.len()).unwrap_or(u32::MAX),
            recency: units(last - first, unit_days),
            age: units(until - first, unit_days),
            mean_value: (valued && !repeat.is_empty()).then_some(mean),
        })
    }

    /// Number and value of the purchases after day `since`.
    pub fn later(&self, since: Day) -> (f64, f64) {
        let later = self.purchases.iter().filter(|&&(day, _)| day > since);
        later.fold((0.0, 0.0), |(count, value), &(_, paid)| (count + 1.0, value + paid))
    }
}

/// A span of days in units of `unit_days`.
#[expect(clippy::cast_precision_loss, reason = "days of human history are far below 2^53")]
pub fn units(days: Day, unit_days: f64) -> f64 {
    days as f64 / unit_days
}

/// The day of a time, in UTC.
pub fn day_of(time: Timestamp) -> Day {
    time.as_second().div_euclid(SECONDS_PER_DAY)
}

/// The day of a calendar date.
pub fn day_of_date(date: Date) -> Day {
    i64::from(Date::constant(1970, 1, 1).until(date).map_or(0, |span| span.get_days()))
}

/// The calendar date of a day.
pub fn date_of(day: Day) -> Option<Date> {
    Date::constant(1970, 1, 1).checked_add(jiff::Span::new().try_days(day).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(purchases: &[(Day, f64)]) -> Customer {
        Customer { name: "ana".to_owned(), purchases: purchases.to_vec() }
    }

    #[test]
    fn a_summary_counts_repeat_days_up_to_the_end_of_a_day() {
        let ana = customer(&[(100, 30.0), (107, 10.0), (121, 20.0), (200, 99.0)]);
        let expected = CustomerSummary { frequency: 2, recency: 3.0, age: 5.0, mean_value: Some(15.0) };
        assert_eq!(ana.summary(135, 7.0, true), Some(expected));
        assert_eq!(ana.summary(121, 7.0, false).unwrap().frequency, 2);
        let first = CustomerSummary { frequency: 0, recency: 0.0, age: 0.0, mean_value: None };
        assert_eq!(ana.summary(100, 7.0, true), Some(first));
        assert_eq!(ana.summary(99, 7.0, true), None);
        assert_eq!(ana.later(107), (2.0, 119.0));
    }

    #[test]
    fn a_day_with_more_returned_than_paid_is_no_purchase() {
        let days = BTreeMap::from([(1, 10.0), (2, -5.0), (3, 0.0)]);
        let only_returns = BTreeMap::from([(1, -1.0)]);
        let read =
            Purchases::new([("ana".to_owned(), days), ("bo".to_owned(), only_returns)].into_iter(), true);
        assert_eq!(read.customers, [customer(&[(1, 10.0), (3, 0.0)])]);
        assert_eq!((read.returned_days, read.count(), read.span()), (2, 2, Some((1, 3))));
    }

    #[test]
    fn days_and_dates_agree() {
        let check = |text: &str, day: Day| {
            let date: Date = text.parse().unwrap();
            assert_eq!((day_of_date(date), date_of(day)), (day, Some(date)));
        };
        check("1970-01-01", 0);
        check("1997-09-30", 10_134);
        check("1969-12-31", -1);
        assert_eq!(day_of("1969-12-31T23:59:59Z".parse().unwrap()), -1);
    }
}
