//! Plots as data: what is drawn, not how.

use crate::learn::stats::Interval;
use crate::report::document::Unit;

/// A plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// Its title.
    pub title: String,
    /// In what its values are counted.
    pub unit: Unit,
    /// The figures.
    pub shape: Shape,
}

/// What a plot looks like.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// One line a series, over the same labels.
    Lines(Chart),
    /// Columns beside each other for each label.
    Columns(Chart),
    /// Columns on top of each other for each label: parts of a whole.
    Stack(Chart),
    /// A dot with its interval on each row.
    Dots(Dots),
    /// Coloured cells.
    Heat(Heat),
}

/// Series over labels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chart {
    /// Along the bottom.
    pub labels: Vec<String>,
    /// Names and a value for each label; nothing where it is not known.
    pub series: Vec<(String, Vec<Option<f64>>)>,
}

/// Rows of dots with intervals.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dots {
    /// Name, figure, interval.
    pub rows: Vec<(String, f64, Option<Interval>)>,
    /// A value that a line marks, such as 0 for no effect.
    pub reference: Option<f64>,
}

/// A grid of shares, 0 to 1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Heat {
    /// What the rows are.
    pub corner: String,
    /// Heads of the columns.
    pub columns: Vec<String>,
    /// Name, how many it is a share of, and a share for each column; rows may be short.
    pub rows: Vec<(String, u64, Vec<Option<f64>>)>,
}
