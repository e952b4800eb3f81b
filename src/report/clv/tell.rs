//! How customers' value is told: never a forecast without its back-test.

use super::Findings;
use super::HORIZON_WEEKS;
use super::Outlook;
use super::UNIT_DAYS;
use crate::learn::clv::back_test::Compared;
use crate::learn::clv::back_test::LAST_GROUP_FREQUENCY;
use crate::learn::clv::purchases::Day;
use crate::learn::clv::purchases::date_of;
use crate::learn::clv::purchases::units;
use crate::learn::stats::Interval;
use crate::learn::stats::as_f64;
use crate::report::document::Cell;
use crate::report::document::Column;
use crate::report::document::Figure;
use crate::report::document::Readers;
use crate::report::document::Report;
use crate::report::document::Section;
use crate::report::document::Table;
use crate::report::document::Unit;
use crate::report::plot::Chart;
use crate::report::plot::Plot;
use crate::report::plot::Shape;
use crate::report::scope::CONFIDENCE;
use crate::report::scope::Sources;

/// Customers are told of in so many groups of the same size.
const GROUPS: usize = 10;
/// Beyond this correlation the independence that Gamma-Gamma takes for granted is doubtful.
const CORRELATION_MAX: f64 = 0.3;

fn day(day: Day) -> String {
    date_of(day).map_or_else(String::new, |date| date.to_string())
}

impl Findings {
    pub(super) fn tell(&self, sources: &Sources<'_>) -> Report {
        let mut report = sources.report("clv", "What customers are worth");
        report.scope = format!(
            "{}; {} purchases of {} customers until {}",
            report.scope,
            self.purchases,
            self.customers,
            day(self.end)
        );
        report.headline = self.headline();
        report.sections = vec![self.back_test(), self.groups(), self.forecast(), self.parameters()];
        report.notes = self.notes();
        report
    }

    fn sum(&self, of: impl Fn(&Outlook) -> Option<f64>) -> Option<f64> {
        self.outlooks.iter().map(of).sum()
    }

    fn headline(&self) -> Vec<Figure> {
        let purchases = self.sum(|one| Some(one.purchases));
        let value = self.sum(|one| one.value);
        let figure =
            |key, title, unit, value, from: &str| Figure { key, title, unit, value, from: from.to_owned() };
        let factor = |compared: Option<Compared>| {
            Cell::estimate(
                compared.and_then(|compared| compared.correction_factor),
                compared.and_then(|compared| compared.interval),
            )
        };
        vec![
            figure(
                "customers_active",
                "customers still active",
                Unit::Number(0),
                Cell::exact(self.sum(|one| Some(one.alive))),
                &format!("expected, of {}", self.customers),
            ),
            figure(
                "purchases_expected",
                "purchases in a year",
                Unit::Number(0),
                corrected(purchases, Some(self.test.purchases)),
                &format!("the model says {:.0}", purchases.unwrap_or(0.0)),
            ),
            figure(
                "value_expected",
                "worth in a year",
                Unit::Money,
                corrected(value, self.test.value),
                &value.map_or("not known".to_owned(), |value| format!("the model says {value:.0}")),
            ),
            figure(
                "correction_factor_purchases",
                "correction, purchases",
                Unit::Number(3),
                factor(Some(self.test.purchases)),
                "real ÷ predicted in the back-test",
            ),
            figure(
                "correction_factor_value",
                "correction, worth",
                Unit::Number(3),
                factor(self.test.value),
                "real ÷ predicted in the back-test",
            ),
        ]
    }

    fn back_test(&self) -> Section {
        let mut table = Table::new(&[
            Column::new("sum_of", "sum of", Unit::Text),
            Column::new("predicted", "predicted", Unit::Number(1)),
            Column::new("actual", "actual", Unit::Number(1)),
            Column::estimated("correction_factor", "correction factor", Unit::Number(3)),
        ]);
        let mut row = |name: &str, compared: &Compared| {
            table.row([
                Cell::text(name),
                Cell::exact(Some(compared.predicted)),
                Cell::exact(Some(compared.actual)),
                Cell::estimate(compared.correction_factor, compared.interval),
            ]);
        };
        row("purchases", &self.test.purchases);
        if let Some(value) = &self.test.value {
            row("their worth", value);
        }
        let test = &self.test;
        let better = match test.error_saved {
            Some(saved) if saved.low > 0.0 => "and that is beyond chance",
            Some(saved) if saved.high < 0.0 => {
                "so the model errs MORE than the naive forecast: do not use it here"
            }
            _ => "and the difference is not significant",
        };
        Section {
            name: "back_test",
            title: "Back-test".to_owned(),
            lead: format!(
                "The model learnt from everything until {}, and predicted the {:.1} weeks after it for the {} customers known then. Its mean error a customer was {:.3} purchases; if everybody had gone on at their own past rate it would have been {:.3}, {better}.",
                day(self.split),
                units(self.end - self.split, UNIT_DAYS),
                test.customers,
                test.mean_absolute_error,
                test.naive_mean_absolute_error
            ),
            plots: Vec::new(),
            table,
            readers: Readers::Everybody,
            missing: "There is no back-test: it needs customers with orders before and after a split.",
        }
    }

    fn groups(&self) -> Section {
        let mut table = Table::new(&[
            Column::new("bought_again", "had bought again", Unit::Text),
            Column::new("customers", "customers", Unit::Count),
            Column::new("predicted_each", "predicted each", Unit::Number(3)),
            Column::new("actual_each", "actual each", Unit::Number(3)),
        ]);
        let mut chart = Chart::default();
        let (mut predicted, mut actual) = (Vec::new(), Vec::new());
        for (frequency, group) in self.test.groups.iter().enumerate().filter(|(_, group)| group.customers > 0)
        {
            let last = frequency == LAST_GROUP_FREQUENCY as usize;
            let name = if last { format!("{frequency}+") } else { frequency.to_string() };
            let times = match frequency {
                0 => "never".to_owned(),
                1 => "once".to_owned(),
                _ => format!("{name} times"),
            };
            let count = as_f64(group.customers);
            table.row([
                Cell::text(times),
                Cell::count(group.customers),
                Cell::exact(Some(group.predicted / count)),
                Cell::exact(Some(group.actual / count)),
            ]);
            chart.labels.push(name);
            predicted.push(Some(group.predicted / count));
            actual.push(Some(group.actual / count));
        }
        chart.series = vec![("predicted".to_owned(), predicted), ("actual".to_owned(), actual)];
        Section {
            name: "back_test_groups",
            title: "Back-test by how often somebody had bought again".to_owned(),
            lead: "A model that is right on the whole may still be wrong about the many who bought once, or the few who buy all the time.".to_owned(),
            plots: vec![Plot {
                title: "Purchases a customer after the split".to_owned(),
                unit: Unit::Number(2),
                shape: Shape::Columns(chart),
            }],
            table,
            readers: Readers::Everybody,
            missing: "There is no back-test: it needs customers with orders before and after a split.",
        }
    }

    fn forecast(&self) -> Section {
        let mut table = Table::new(&[
            Column::new("group", "customers by worth", Unit::Text),
            Column::new("customers", "customers", Unit::Count),
            Column::new("active", "still active", Unit::Share),
            Column::new("purchases_each", "purchases each", Unit::Number(2)),
            Column::new("worth_each", "worth each", Unit::Money),
            Column::new("share_of_worth", "share of all worth", Unit::Share),
        ]);
        let mut ranked: Vec<&Outlook> = self.outlooks.iter().collect();
        let worth = |one: &Outlook| one.value.unwrap_or(one.purchases);
        ranked.sort_by(|a, b| worth(b).total_cmp(&worth(a)));
        let factor = |compared: Option<Compared>| {
            compared.and_then(|compared| compared.correction_factor).unwrap_or(1.0)
        };
        let (by_purchases, by_value) = (factor(Some(self.test.purchases)), factor(self.test.value));
        let all: f64 = ranked.iter().map(|one| worth(one)).sum();
        let size = ranked.len().div_ceil(GROUPS).max(1);
        let (mut chart, mut shares) = (Chart::default(), Vec::new());
        for (index, group) in ranked.chunks(size).enumerate() {
            let count = as_f64(group.len());
            let mean = |of: &dyn Fn(&Outlook) -> f64| group.iter().map(|one| of(one)).sum::<f64>() / count;
            let value: Option<f64> = group.iter().map(|one| one.value).sum();
            let part = (all > 0.0).then(|| group.iter().map(|one| worth(one)).sum::<f64>() / all);
            table.row([
                Cell::text(format!("tenth {} of 10", index + 1)),
                Cell::count(group.len()),
                Cell::exact(Some(mean(&|one| one.alive))),
                Cell::exact(Some(mean(&|one| one.purchases) * by_purchases)),
                Cell::exact(value.map(|value| value / count * by_value)),
                Cell::exact(part),
            ]);
            chart.labels.push((index + 1).to_string());
            shares.push(part);
        }
        chart.series = vec![("share of worth".to_owned(), shares)];
        Section {
            name: "forecast",
            title: "The coming year".to_owned(),
            lead: format!(
                "Customers in tenths, the most valuable first, over {HORIZON_WEEKS:.0} weeks, revenue discounted by 10 % a year. Purchases and worth are the model's times the correction factors of the back-test."
            ),
            plots: vec![Plot {
                title: "Share of all worth, by tenth of customers".to_owned(),
                unit: Unit::Share,
                shape: Shape::Columns(chart),
            }],
            table,
            readers: Readers::Everybody,
            missing: "There is no forecast without customers who came back.",
        }
    }

    fn parameters(&self) -> Section {
        let mut table = Table::new(&[
            Column::new("parameter", "parameter", Unit::Text),
            Column::estimated("until_split", "until the split", Unit::Number(4)),
            Column::estimated("whole", "all data", Unit::Number(4)),
        ]);
        let model = |fitted: &crate::learn::clv::Fitted<crate::learn::clv::BgNbd, 4>| {
            let values = [fitted.model.r, fitted.model.alpha, fitted.model.a, fitted.model.b];
            [0, 1, 2, 3].map(|index| {
                Cell::estimate(Some(values[index]), fitted.interval(index, values[index], CONFIDENCE))
            })
        };
        let names = [
            "r: shape of the rates",
            "alpha: their scale, weeks",
            "a: loss after a purchase",
            "b: Beta(a, b)",
        ];
        for ((name, past), whole) in
            names.into_iter().zip(model(&self.past.purchases)).zip(model(&self.whole.purchases))
        {
            table.row([Cell::text(name), past, whole]);
        }
        let names =
            ["p: shape of a customer's values", "q: shape of the customers' scales", "gamma: their scale"];
        let values = |models: &super::Models| {
            let fitted = models.values.as_ref().ok()?;
            let values = [fitted.model.p, fitted.model.q, fitted.model.gamma];
            Some([0, 1, 2].map(|index| {
                Cell::estimate(Some(values[index]), fitted.interval(index, values[index], CONFIDENCE))
            }))
        };
        let none = || [Cell::None, Cell::None, Cell::None];
        let pairs =
            values(&self.past).unwrap_or_else(none).into_iter().zip(values(&self.whole).unwrap_or_else(none));
        for (name, (past, whole)) in names.into_iter().zip(pairs) {
            table.row([Cell::text(name), past, whole]);
        }
        Section {
            name: "parameters",
            title: "The models".to_owned(),
            lead: format!(
                "BG/NBD (Fader, Hardie and Lee 2005) for purchases, log-likelihood {:.2} on all data; Gamma-Gamma (Fader and Hardie 2013) for their worth. Purchases of one day are one purchase.",
                self.whole.purchases.log_likelihood
            ),
            plots: Vec::new(),
            table,
            readers: Readers::Everybody,
            missing: "No model could be fitted.",
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "the correction factor is one period's: it says how the model errs here, not that it will err so again".to_owned(),
        ];
        if let Some(Interval { low, high }) = self.test.purchases.interval
            && (low..=high).contains(&1.0)
        {
            notes.push("in the back-test the number of purchases was not significantly off".to_owned());
        }
        if let Some(correlation) = self.correlation.filter(|correlation| correlation.abs() > CORRELATION_MAX)
        {
            notes.push(format!(
                "how often and for how much people buy are correlated ({correlation:.2}), which the model of values takes to be none"
            ));
        }
        for models in [&self.past, &self.whole] {
            notes.extend(models.values.as_ref().err().cloned());
        }
        notes.dedup();
        notes
    }
}

/// A forecast times the correction factor, with the factor's interval.
fn corrected(value: Option<f64>, compared: Option<Compared>) -> Cell {
    let Some(factor) = compared.and_then(|compared| compared.correction_factor) else {
        return Cell::exact(value);
    };
    let interval = compared.and_then(|compared| compared.interval);
    let times = |value: f64| interval.map(|ends| Interval { low: value * ends.low, high: value * ends.high });
    Cell::estimate(value.map(|value| value * factor), value.and_then(times))
}
