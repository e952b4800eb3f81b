//! How a result is printed: aligned text for people, JSON for programs. A figure is never NaN: what
//! cannot be said is a dash in the text and null in the JSON, with the reason beside it.

use std::fmt::{self, Write as _};
use std::io::{ErrorKind, Write};

use clap::ValueEnum;
use serde_json::{Number, Value};

/// Decimal places of a figure in the text when it has no unit of its own.
const DECIMAL_PLACES: usize = 6;
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
    match value {
        Some(value) if value.is_finite() => format!("{value:.DECIMAL_PLACES$}"),
        _ => NO_FIGURE.to_owned(),
    }
}

/// A figure in the JSON: null when there is none.
pub fn json_figure(value: Option<f64>) -> Value {
    value.and_then(Number::from_f64).map_or(Value::Null, Value::Number)
}

/// Rows of text in aligned columns: the first to the left, the others to the right.
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
                if column == 0 {
                    write!(line, "{cell:<width$}")?;
                } else {
                    write!(line, "  {cell:>width$}")?;
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
        let mut grid = Grid::new(&["estimator", "value"]);
        grid.row(&["ips", "0.5"]);
        grid.row(&["no value"]);
        assert_eq!(grid.to_string(), "estimator  value\nips          0.5\nno value\n");
    }

    #[test]
    fn what_is_no_number_is_never_printed_as_one() {
        assert_eq!(figure(Some(0.25)), "0.250000");
        assert_eq!([figure(None), figure(Some(f64::NAN))], ["–", "–"]);
        assert_eq!(json_figure(Some(f64::INFINITY)), Value::Null);
    }
}
