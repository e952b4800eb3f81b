//! What a report says, before anybody decides how it is shown: figures with units and intervals, tables, plots.

use crate::learn::stats::Interval;
use crate::report::plot::Plot;

/// A finished report.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The word by which it is asked for.
    pub name: &'static str,
    /// Its title, for people.
    pub title: String,
    /// What it is about: the period, the campaign, what was counted.
    pub scope: String,
    /// ISO 4217 code of all its amounts.
    pub currency: String,
    /// Digits behind the point of that currency.
    pub minor_digits: u32,
    /// The figures that somebody in a hurry reads.
    pub headline: Vec<Figure>,
    /// Its parts, in reading order.
    pub sections: Vec<Section>,
    /// What to keep in mind.
    pub notes: Vec<String>,
}

/// One figure with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// For programs.
    pub key: &'static str,
    /// For people.
    pub title: &'static str,
    /// In what it is counted.
    pub unit: Unit,
    /// The figure.
    pub value: Cell,
    /// A few words below it: the counts that it comes from.
    pub from: String,
}

/// A part of a report: plots, and the table that holds their figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// The word by which `--table` asks for it.
    pub name: &'static str,
    /// Its title.
    pub title: String,
    /// A sentence or two on how to read it.
    pub lead: String,
    /// Pictures of the table.
    pub plots: Vec<Plot>,
    /// The figures.
    pub table: Table,
    /// Who wants to see them.
    pub readers: Readers,
    /// What is missing, and what would bring it, where the table has no row. A sentence.
    pub missing: &'static str,
}

/// For whom a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// People and programs.
    Everybody,
    /// Programs; people see the plots, and in HTML the table when they open it.
    Programs,
}

/// Rows of cells under named columns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// The columns.
    pub columns: Vec<Column>,
    /// As many cells each as there are columns.
    pub rows: Vec<Vec<Cell>>,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// For programs; its unit is the last word where the unit is not plain.
    pub key: &'static str,
    /// For people.
    pub title: &'static str,
    /// In what its cells are counted.
    pub unit: Unit,
    /// Whether its cells carry intervals.
    pub certainty: Certainty,
}

/// In what something is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Words.
    Text,
    /// Whole things.
    Count,
    /// A part of a whole, 0 to 1; people see percent.
    Share,
    /// An amount in the report's currency, in major units.
    Money,
    /// Any number, with this many decimal places.
    Number(usize),
}

/// How well the figures of a column are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// Exact: counted, or stated.
    Exact,
    /// Estimated, with an interval where the data carry one.
    Interval,
}

/// A figure, a word, or nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Cell {
    /// Nothing can be said.
    #[default]
    None,
    /// Words.
    Text(String),
    /// A count.
    Count(u64),
    /// A figure in the column's unit, with its interval where there is one.
    Value(f64, Option<Interval>),
}

impl Column {
    /// A column of exact figures, or of words.
    pub const fn new(key: &'static str, title: &'static str, unit: Unit) -> Self {
        Self { key, title, unit, certainty: Certainty::Exact }
    }

    /// A column of estimates with intervals.
    pub const fn estimated(key: &'static str, title: &'static str, unit: Unit) -> Self {
        Self { key, title, unit, certainty: Certainty::Interval }
    }
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let row: Vec<Cell> = cells.into_iter().collect();
        debug_assert_eq!(row.len(), self.columns.len(), "a cell for each column");
        self.rows.push(row);
    }
}

impl Cell {
    /// Words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A count.
    pub fn count(count: impl TryInto<u64>) -> Self {
        count.try_into().map_or(Self::None, Self::Count)
    }

    /// A figure without an interval; nothing where there is none.
    pub fn exact(value: Option<f64>) -> Self {
        value.filter(|value| value.is_finite()).map_or(Self::None, |value| Self::Value(value, None))
    }

    /// A figure with its interval; nothing where there is none.
    pub fn estimate(value: Option<f64>, interval: Option<Interval>) -> Self {
        match value {
            Some(value) if value.is_finite() => Self::Value(
                value,
                interval.filter(|interval| interval.low.is_finite() && interval.high.is_finite()),
            ),
            _ => Self::None,
        }
    }
}

/// A note with its end: a question keeps its own.
pub(super) fn sentence(note: &str) -> String {
    if note.ends_with(['?', '.', '!']) { note.to_owned() } else { format!("{note}.") }
}
