//! How lifetime values are shown.

use serde_json::{Map, Value, json};

use super::super::output::{self, Grid};
use super::{ClvArgs, Fitted, Models, Report};
use crate::learn::clv::GammaGamma;
use crate::learn::clv::back_test::{BackTest, Compared, LAST_GROUP_FREQUENCY};
use crate::learn::clv::purchases::date_of;
use crate::learn::stats::{Interval, as_f64};

/// Beyond this correlation the independence that Gamma-Gamma takes for granted is doubtful.
const CORRELATION_MAX: f64 = 0.3;
const PURCHASE_PARAMETERS: [&str; 4] = ["r", "alpha", "a", "b"];
const VALUE_PARAMETERS: [&str; 3] = ["p", "q", "gamma"];

impl ClvArgs {
    pub(super) fn text(&self, report: &Report) -> String {
        let unit = self.unit.name();
        let date = |day| date_of(day).map_or_else(String::new, |date| date.to_string());
        let mut lines = vec![format!(
            "{} purchases of {} customers until {}; the models see those until {}",
            report.purchases.count(),
            report.purchases.customers.len(),
            date(report.end),
            date(report.split)
        )];
        lines.push(String::new());
        lines.extend(self.model_lines(&report.models));
        lines.extend(self.back_test_lines(&report.back_test, unit));
        lines.extend(self.forecast_lines(report, unit));
        lines.extend(notes(report).into_iter().map(|note| format!("Note: {note}.")));
        lines.join("\n")
    }

    fn model_lines(&self, models: &Models) -> Vec<String> {
        let percent = 100.0 * self.resampling.confidence;
        let unit = self.unit.name();
        let mut grid = Grid::new(&["parameter", "value", &format!("{percent} % interval"), "what it says"]);
        let meanings = [
            "shape of the purchase rates".to_owned(),
            format!("their scale, in {unit}s"),
            "loss after a purchase,".to_owned(),
            "Beta(a, b)".to_owned(),
        ];
        let model = &models.purchases.model;
        let values = [model.r, model.alpha, model.a, model.b];
        for (index, (name, meaning)) in PURCHASE_PARAMETERS.iter().zip(meanings).enumerate() {
            let interval = models.purchases.interval(index, values[index], self.resampling.confidence);
            grid.row(&parameter_row(name, values[index], interval, meaning));
        }
        if let Ok(fitted) = &models.values {
            let meanings = ["shape of a customer's values", "shape of the customers' scales", "their scale"];
            let values = value_parameters(&fitted.model);
            for (index, (name, meaning)) in VALUE_PARAMETERS.iter().zip(meanings).enumerate() {
                let interval = fitted.interval(index, values[index], self.resampling.confidence);
                grid.row(&parameter_row(name, values[index], interval, meaning.to_owned()));
            }
        }
        let mut lines = vec![grid.to_string()];
        lines.push(format!(
            "BG/NBD on {} customers: log-likelihood {:.2}",
            models.purchases.customers, models.purchases.log_likelihood
        ));
        lines.push(match &models.values {
            Ok(fitted) => format!(
                "Gamma-Gamma on {} customers who came back: log-likelihood {:.2}",
                fitted.customers, fitted.log_likelihood
            ),
            Err(reason) => format!("Gamma-Gamma: {reason}"),
        });
        lines.push(String::new());
        lines
    }

    fn back_test_lines(&self, test: &BackTest, unit: &str) -> Vec<String> {
        let mut lines = vec![format!(
            "Back-test: {} customers over the {:.1} {unit}s after the split",
            test.customers, test.horizon
        )];
        let percent = 100.0 * self.resampling.confidence;
        let mut grid = Grid::new(&[
            "sum of",
            "predicted",
            "actual",
            "correction factor",
            &format!("{percent} % interval"),
        ]);
        let mut compared = |name: &str, compared: &Compared| {
            grid.row(&[
                name.to_owned(),
                output::rounded(Some(compared.predicted), 1),
                output::rounded(Some(compared.actual), 1),
                output::rounded(compared.correction_factor, 3),
                output::interval_rounded(compared.interval, 3),
            ]);
        };
        compared("purchases", &test.purchases);
        if let Some(value) = &test.value {
            compared("value", value);
        }
        lines.push(grid.to_string());
        let mut grid = Grid::new(&["bought again before", "customers", "predicted each", "actual each"]);
        for (frequency, group) in test.groups.iter().enumerate().filter(|(_, group)| group.customers > 0) {
            let count = as_f64(group.customers);
            grid.row(&[
                group_name(frequency),
                group.customers.to_string(),
                output::rounded(Some(group.predicted / count), 3),
                output::rounded(Some(group.actual / count), 3),
            ]);
        }
        lines.push(grid.to_string());
        lines.push(format!(
            "Mean absolute error per customer {:.4}; if everybody went on at their own rate {:.4} (and {:.0} purchases in all).",
            test.mean_absolute_error, test.naive_mean_absolute_error, test.naive_predicted
        ));
        lines.push(match test.error_saved {
            Some(saved) if saved.low > 0.0 => format!(
                "The model errs less than that: by {} per customer.",
                output::interval_rounded(Some(saved), 4)
            ),
            Some(saved) if saved.high < 0.0 => {
                "The model errs MORE than that naive forecast: do not use it here.".to_owned()
            }
            _ => "The difference to that naive forecast is not significant.".to_owned(),
        });
        lines.push(String::new());
        lines
    }

    fn forecast_lines(&self, report: &Report, unit: &str) -> Vec<String> {
        let forecast = &report.forecast;
        let mut lines = vec![format!(
            "Forecast: the next {:.1} {unit}s, by models of the whole history ({} customers)",
            forecast.horizon.length, forecast.customers
        )];
        let percent = 100.0 * self.resampling.confidence;
        let mut grid =
            Grid::new(&["sum of", "model", "× correction factor", &format!("{percent} % interval")]);
        let mut row = |name: &str, value: f64, compared: Option<&Compared>| {
            let factor = compared.and_then(|compared| compared.correction_factor);
            let interval = compared.and_then(|compared| compared.interval);
            grid.row(&[
                name.to_owned(),
                output::rounded(Some(value), 1),
                output::rounded(factor.map(|factor| factor * value), 1),
                output::interval_rounded(interval.map(|interval| scaled(interval, value)), 1),
            ]);
        };
        row("purchases", forecast.purchases, Some(&report.back_test.purchases));
        if let Ok(value) = forecast.value {
            row("lifetime value", value, report.back_test.value.as_ref());
        }
        lines.push(grid.to_string());
        lines.push(format!("Still customers: {:.0} of {} by P(alive).", forecast.alive, forecast.customers));
        if let Err(reason) = &forecast.value {
            lines.push(format!("Lifetime value: none, {reason}."));
        }
        lines
    }

    pub(super) fn json(&self, report: &Report) -> Value {
        let date = |day| date_of(day).map(|date| date.to_string());
        let forecast = &report.forecast;
        let corrected = |value: Option<f64>, compared: Option<&Compared>| {
            let factor = compared.and_then(|compared| compared.correction_factor);
            let interval = compared.and_then(|compared| compared.interval);
            json!({
                "model": value,
                "corrected": value.zip(factor).map(|(value, factor)| value * factor),
                "interval": value.zip(interval).map(|(value, interval)| scaled(interval, value)),
            })
        };
        json!({
            "customers": report.purchases.customers.len(),
            "purchases": report.purchases.count(),
            "split": date(report.split),
            "end": date(report.end),
            "unit": self.unit.name(),
            "bg_nbd": self.json_purchases(&report.models),
            "gamma_gamma": self.json_values(&report.models),
            "back_test": json_back_test(&report.back_test),
            "forecast": {
                "horizon": forecast.horizon.length,
                "discount_rate_a_year": self.discount,
                "margin": self.margin,
                "customers": forecast.customers,
                "alive": forecast.alive,
                "purchases": corrected(Some(forecast.purchases), Some(&report.back_test.purchases)),
                "clv": corrected(forecast.value.as_ref().ok().copied(), report.back_test.value.as_ref()),
                "clv_missing": forecast.value.as_ref().err(),
                "bg_nbd": self.json_purchases(&forecast.models),
                "gamma_gamma": self.json_values(&forecast.models),
            },
            "notes": notes(report),
            "resampling": self.resampling.json(),
        })
    }

    fn json_purchases(&self, models: &Models) -> Value {
        let model = &models.purchases.model;
        self.json_model(&models.purchases, PURCHASE_PARAMETERS, [model.r, model.alpha, model.a, model.b])
    }

    fn json_values(&self, models: &Models) -> Value {
        match &models.values {
            Ok(fitted) => self.json_model(fitted, VALUE_PARAMETERS, value_parameters(&fitted.model)),
            Err(reason) => json!({ "missing": reason }),
        }
    }

    fn json_model<M, const N: usize>(
        &self,
        fitted: &Fitted<M, N>,
        names: [&str; N],
        values: [f64; N],
    ) -> Value {
        let (mut out, mut intervals) = (Map::new(), Map::new());
        for (index, name) in names.iter().enumerate() {
            out.insert((*name).to_owned(), output::json_figure(Some(values[index])));
            let interval = fitted.interval(index, values[index], self.resampling.confidence);
            intervals.insert((*name).to_owned(), json!(interval));
        }
        out.insert("log_likelihood".to_owned(), output::json_figure(Some(fitted.log_likelihood)));
        out.insert("customers".to_owned(), json!(fitted.customers));
        out.insert("intervals".to_owned(), Value::Object(intervals));
        Value::Object(out)
    }
}

fn json_back_test(test: &BackTest) -> Value {
    let compared = |compared: &Compared| {
        json!({
            "predicted": compared.predicted,
            "actual": compared.actual,
            "correction_factor": compared.correction_factor,
            "correction_factor_interval": compared.interval,
        })
    };
    let groups = test.groups.iter().enumerate().filter(|(_, group)| group.customers > 0);
    let group = |(frequency, group): (usize, &crate::learn::clv::back_test::Group)| {
        json!({
            "repeat_purchases": group_name(frequency),
            "customers": group.customers,
            "predicted": group.predicted,
            "actual": group.actual,
        })
    };
    json!({
        "horizon": test.horizon,
        "customers": test.customers,
        "purchases": compared(&test.purchases),
        "value": test.value.as_ref().map(compared),
        "mae": test.mean_absolute_error,
        "naive_mae": test.naive_mean_absolute_error,
        "mae_saved_interval": test.error_saved,
        "naive_predicted": test.naive_predicted,
        "groups": groups.map(group).collect::<Vec<Value>>(),
    })
}

fn notes(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    if report.purchases.returned_days > 0 {
        notes.push(format!(
            "{} days on which a customer got back more than they paid are left out",
            report.purchases.returned_days
        ));
    }
    if let Some(correlation) = report.correlation.filter(|correlation| correlation.abs() > CORRELATION_MAX) {
        notes.push(format!(
            "how often and for how much customers buy correlate by {correlation:.2}; Gamma-Gamma takes them to be independent, so values are doubtful"
        ));
    }
    notes.extend(undetermined("BG/NBD", &report.models.purchases, &PURCHASE_PARAMETERS));
    if let Ok(values) = &report.models.values {
        notes.extend(undetermined("Gamma-Gamma", values, &VALUE_PARAMETERS));
    }
    notes
}

/// Says which parameters have no interval, because the data do not determine them.
fn undetermined<M, const N: usize>(model: &str, fitted: &Fitted<M, N>, names: &[&str; N]) -> Option<String> {
    let loose: Vec<&str> = names
        .iter()
        .enumerate()
        .filter(|&(index, _)| !fitted.determines(index))
        .map(|(_, name)| *name)
        .collect();
    (!loose.is_empty()).then(|| {
        format!(
            "the data do not determine {} of {model}, only what follows from all together",
            loose.join(", ")
        )
    })
}

fn parameter_row(name: &str, value: f64, interval: Option<Interval>, meaning: String) -> [String; 4] {
    [name.to_owned(), output::rounded(Some(value), 4), output::interval_rounded(interval, 4), meaning]
}

fn value_parameters(model: &GammaGamma) -> [f64; 3] {
    [model.p, model.q, model.gamma]
}

fn group_name(frequency: usize) -> String {
    if frequency == LAST_GROUP_FREQUENCY as usize { format!("{frequency}+") } else { frequency.to_string() }
}

fn scaled(interval: Interval, by: f64) -> Interval {
    Interval { low: interval.low * by, high: interval.high * by }
}
