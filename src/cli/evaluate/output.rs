//! How a result is printed: aligned text for people, JSON for programs. A figure is never NaN: what
//! cannot be said is a dash in the text and null in the JSON, with the reason beside it.

use std::fmt::{self, Write as _};
use std::io::{ErrorKind, Write};

use clap::{Args, ValueEnum};
use serde_json::{Number, Value, json};

use crate::learn::stats::Interval;

/// Decimal places of a figure in the text when it has no unit of its own.
const DECIMAL_PLACES: usize = 6;
/// Fewer bootstrap samples than this make no interval, more only heat.
const RESAMPLES: std::ops::RangeInclusive<usize> = 100..=100_000;
/// What stands in the text where there is no figure.
const NO_FIGURE: &str = "–";

/// For whom the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned text for people.
    Table,
    /// One JSON object for programs.
    Json,
}

/// How intervals are made by drawing from the rows again and again.
#[derive(Debug, Clone, Copy, Args)]
pub struct Resampling {
    /// Decides every draw: the same seed gives the same intervals.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How many bootstrap samples make an interval.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = resamples)]
    pub resamples: usize,
    /// The confidence of the intervals.
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, value_parser = share)]
    pub confidence: f64,
}

impl Resampling {
    /// What the JSON says about the intervals.
    pub fn json(&self) -> Value {
        json!({ "seed": self.seed, "resamples": self.resamples, "confidence": self.confidence })
    }
}

/// Parses a share strictly between 0 and 1.
pub fn share(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|share| *share > 0.0 && *share < 1.0);
    value.ok_or_else(|| "write a share between 0 and 1, such as 0.95".to_owned())
}

/// Parses a number above 0.
pub fn positive(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    value.ok_or_else(|| "write a number above 0".to_owned())
}

fn resamples(text: &str) -> Result<usize, String> {
    let value = text.parse().ok().filter(|count| RESAMPLES.contains(count));
    value.ok_or_else(|| format!("write a whole number from {} to {}", RESAMPLES.start(), RESAMPLES.end()))
}

/// Prints the result in the format that was asked for. A reader that stops early is no error.
pub fn print(format: Format, text: &impl fmt::Display, json: &Value) -> anyhow::Result<()> {
    let text = match format {
        Format::Table => text.to_string(),
        Format::Json => serde_json::to_string_pretty(json)?,
    };
    match writeln!(std::io::stdout().lock(), "{}", text.trim_end()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A figure in the text: six decimal places, a dash when there is none.
pub fn figure(value: Option<f64>) -> String {
    rounded(value, DECIMAL_PLACES)
}

/// A figure with this many decimal places, a dash when there is none.
pub fn rounded(value: Option<f64>, decimal_places: usize) -> String {
    match value {
        Some(value) if value.is_finite() => format!("{value:.decimal_places$}"),
        _ => NO_FIGURE.to_owned(),
    }
}

/// An interval in the text: both ends, a dash when there is none.
pub fn interval(interval: Option<Interval>) -> String {
    interval_rounded(interval, DECIMAL_PLACES)
}

/// An interval with this many decimal places, a dash when there is none.
pub fn interval_rounded(interval: Option<Interval>, decimal_places: usize) -> String {
    interval.map_or_else(
        || NO_FIGURE.to_owned(),
        |Interval { low, high }| {
            format!("{} … {}", rounded(Some(low), decimal_places), rounded(Some(high), decimal_places))
        },
    )
}

/// A figure in the JSON: null when there is none.
pub fn json_figure(value: Option<f64>) -> Value {
    value.and_then(Number::from_f64).map_or(Value::Null, Value::Number)
}

/// Rows of text in aligned columns: figures to the right, words to the left.
#[derive(Debug, Default)]
pub struct Grid {
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// A grid with these column heads.
    pub fn new(heads: &[&str]) -> Self {
        let mut grid = Self::default();
        grid.row(heads);
        grid
    }

    /// Adds a row; it may have fewer cells than there are heads.
    pub fn row<S: ToString>(&mut self, cells: &[S]) {
        self.rows.push(cells.iter().map(ToString::to_string).collect());
    }

    /// Whether every cell under the head of a column starts like a figure, or is empty.
    fn holds_figures(&self, column: usize) -> bool {
        let figure = |cell: &String| {
            cell.is_empty() || cell.starts_with(|c: char| c.is_ascii_digit() || "+-–<".contains(c))
        };
        column > 0 && self.rows.iter().skip(1).filter_map(|row| row.get(column)).all(figure)
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let gap = if column == 0 { "" } else { "  " };
                if self.holds_figures(column) {
                    write!(line, "{gap}{cell:>width$}")?;
                } else {
                    write!(line, "{gap}{cell:<width$}")?;
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_aligns_names_left_and_figures_right() {
        let mut grid = Grid::new(&["estimator", "value", "meaning"]);
        grid.row(&["ips", "0.5", "a"]);
        grid.row(&["no value"]);
        grid.row(&["dm", "–", "long"]);
        let expected = "estimator  value  meaning\nips          0.5  a\nno value\ndm             –  long\n";
        assert_eq!(grid.to_string(), expected);
    }

    #[test]
    fn what_is_no_number_is_never_printed_as_one() {
        assert_eq!(figure(Some(0.25)), "0.250000");
        assert_eq!([figure(None), figure(Some(f64::NAN))], ["–", "–"]);
        assert_eq!(json_figure(Some(f64::INFINITY)), Value::Null);
    }
}
