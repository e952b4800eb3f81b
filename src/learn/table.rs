//! A log file as named columns: CSV or gzip in, numbers, categories, times and gaps out.
//!
//! Anyone's file is read, so every fault names the file, the line and the column, and says what to do.
//! Rows are limited only by memory; only the columns that were asked for are kept.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::words::shortened;

mod parse;
#[cfg(test)]
mod tests;

/// How much of a bad cell an error repeats.
const QUOTED_CHARACTERS_MAX: usize = 40;
/// What stands in number and time columns where there is no value, in any case.
const GAPS: [&str; 6] = ["", "na", "n/a", "nan", "null", "none"];

/// Why a file cannot be read as the table that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file itself cannot be opened or read to its end.
    #[error("{file}: {source}")]
    Read {
        /// The file as it was named.
        file: String,
        /// What the system or the gzip decoder says.
        source: std::io::Error,
    },
    /// The file is empty, or its header does not say which column is which.
    #[error("{file}, line 1: {problem}")]
    Header {
        /// The file as it was named.
        file: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A column that was asked for is not there.
    #[error("{file} has no column {column:?}; its columns are {available}")]
    NoColumn {
        /// The file as it was named.
        file: String,
        /// The name that was asked for.
        column: String,
        /// The names that the header has.
        available: String,
    },
    /// A line is not a row of this table.
    #[error("{file}, line {line}: {problem}")]
    Row {
        /// The file as it was named.
        file: String,
        /// The line, counted from 1, on which the row starts.
        line: u64,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A cell does not hold what its column must hold.
    #[error("{file}, line {line}, column {column:?}: {problem}")]
    Cell {
        /// The file as it was named.
        file: String,
        /// The line, counted from 1, on which the row starts.
        line: u64,
        /// The name of the column.
        column: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// The rows of a file, column by column. All columns have the same number of rows.
#[derive(Debug)]
pub struct Table {
    file: String,
    columns: Vec<Cells>,
    /// The line on which each row starts, for errors.
    lines: Vec<u64>,
}

/// All cells of a column in one buffer; `ends[row]` is where the cell of that row ends.
#[derive(Debug)]
struct Cells {
    name: String,
    text: String,
    ends: Vec<usize>,
}

/// One column of a [`Table`].
#[derive(Debug, Clone, Copy)]
pub struct Column<'t> {
    table: &'t Table,
    cells: &'t Cells,
}

/// What the cells of a column have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Every cell that is not a gap is a finite number.
    Number,
    /// At least one cell is neither a gap nor a number.
    Category,
    /// Every cell is a gap.
    Gaps,
}

/// A column as codes into its distinct values, in order of first appearance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Categories {
    /// The distinct values; a code is an index into them.
    pub names: Vec<String>,
    /// The code of each row, `None` where the cell is empty.
    pub codes: Vec<Option<u32>>,
}

impl Table {
    /// Reads the columns `wanted` of a CSV file, which may be gzipped (known by its content, not its name).
    /// The separator (comma, semicolon, tab or bar) is known by the header.
    pub fn read(path: &Path, wanted: &[&str]) -> Result<Self, TableError> {
        Self::open(path, Some(wanted))
    }

    /// Reads every column of a file. Names must be distinct.
    pub fn read_all(path: &Path) -> Result<Self, TableError> {
        Self::open(path, None)
    }

    /// Reads from bytes that are already open; `file` is the name that errors give.
    /// `wanted` of `None` stands for every column.
    pub fn parse(file: &str, input: impl Read, wanted: Option<&[&str]>) -> Result<Self, TableError> {
        parse::table(file, input, wanted)
    }

    fn open(path: &Path, wanted: Option<&[&str]>) -> Result<Self, TableError> {
        let file = path.display().to_string();
        let input = File::open(path).map_err(|source| TableError::Read { file: file.clone(), source })?;
        Self::parse(&file, input, wanted)
    }

    /// The number of rows, the header not counted.
    pub fn row_count(&self) -> usize {
        self.lines.len()
    }

    /// The file as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The columns that were read, in the file's order.
    pub fn columns(&self) -> impl Iterator<Item = Column<'_>> {
        self.columns.iter().map(|cells| Column { table: self, cells })
    }

    /// The column of that name; the error lists the names that there are.
    pub fn column(&self, name: &str) -> Result<Column<'_>, TableError> {
        self.columns().find(|column| column.name() == name).ok_or_else(|| {
            let names: Vec<&str> = self.columns.iter().map(|cells| cells.name.as_str()).collect();
            no_column(&self.file, name, &names)
        })
    }

    /// A fault of a whole row, for callers that check rows.
    pub fn row_error(&self, row: usize, problem: impl Into<String>) -> TableError {
        TableError::Row { file: self.file.clone(), line: self.lines[row], problem: problem.into() }
    }

    /// The line of the file on which a row starts, counted from 1.
    pub fn line(&self, row: usize) -> u64 {
        self.lines[row]
    }
}

impl<'t> Column<'t> {
    /// The name in the header.
    pub fn name(&self) -> &'t str {
        &self.cells.name
    }

    /// The cell of a row without the space around it. Panics when there is no such row.
    pub fn text(&self, row: usize) -> &'t str {
        let start = if row == 0 { 0 } else { self.cells.ends[row - 1] };
        &self.cells.text[start..self.cells.ends[row]]
    }

    /// The cells from the first row to the last.
    pub fn texts(&self) -> impl Iterator<Item = &'t str> + use<'t> {
        let column = *self;
        (0..column.cells.ends.len()).map(move |row| column.text(row))
    }

    /// The number in a row: `None` for a gap. True and false count as 1 and 0; infinity is refused.
    pub fn number(&self, row: usize) -> Result<Option<f64>, TableError> {
        let text = self.text(row);
        if is_gap(text) {
            return Ok(None);
        }
        number_in(text).map(Some).ok_or_else(|| {
            self.error(row, format!("{} is not a number; write digits with a point", quoted(text)))
        })
    }

    /// The number of every row, `None` where there is a gap.
    pub fn numbers(&self) -> Result<Vec<Option<f64>>, TableError> {
        (0..self.cells.ends.len()).map(|row| self.number(row)).collect()
    }

    /// The number of every row; a gap is an error.
    pub fn required_numbers(&self) -> Result<Vec<f64>, TableError> {
        (0..self.cells.ends.len())
            .map(|row| self.number(row)?.ok_or_else(|| self.error(row, "the number is missing")))
            .collect()
    }

    /// The cells as categories. Only an empty cell is a gap here: `NA` may be a value like any other.
    pub fn categories(&self) -> Categories {
        let mut known: HashMap<&str, u32> = HashMap::new();
        let mut names = Vec::new();
        let codes = self.texts().map(|text| {
            (!text.is_empty()).then(|| {
                *known.entry(text).or_insert_with(|| {
                    names.push(text.to_owned());
                    index_of_last(&names)
                })
            })
        });
        let codes = codes.collect();
        Categories { names, codes }
    }

    /// The categories of every row; a gap is an error.
    pub fn required_categories(&self) -> Result<(Vec<String>, Vec<u32>), TableError> {
        let Categories { names, codes } = self.categories();
        let code =
            |(row, code): (usize, Option<u32>)| code.ok_or_else(|| self.error(row, "the value is missing"));
        let codes: Result<Vec<u32>, TableError> = codes.into_iter().enumerate().map(code).collect();
        Ok((names, codes?))
    }

    /// The time of every row; a gap is an error. A time without offset is taken as UTC.
    pub fn times(&self) -> Result<Vec<Timestamp>, TableError> {
        let time = |row| {
            let text = self.text(row);
            time_in(text).ok_or_else(|| {
                self.error(
                    row,
                    format!("{} is not a time; write 2026-01-31 or 2026-01-31 18:00:00", quoted(text)),
                )
            })
        };
        (0..self.cells.ends.len()).map(time).collect()
    }

    /// Whether the column holds numbers or categories.
    pub fn kind(&self) -> ColumnKind {
        let mut kind = ColumnKind::Gaps;
        for text in self.texts().filter(|text| !is_gap(text)) {
            if number_in(text).is_none() {
                return ColumnKind::Category;
            }
            kind = ColumnKind::Number;
        }
        kind
    }

    /// The rows in ascending order of this column: by number, by time, or by text, whichever all its cells
    /// are. Equal cells keep the order of the file; gaps come last.
    pub fn ascending(&self) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..self.cells.ends.len()).collect();
        if let (ColumnKind::Number, Ok(numbers)) = (self.kind(), self.numbers()) {
            rows.sort_by(|&a, &b| {
                numbers[a].unwrap_or(f64::INFINITY).total_cmp(&numbers[b].unwrap_or(f64::INFINITY))
            });
        } else if let Ok(times) = self.times() {
            rows.sort_by_key(|&row| times[row]);
        } else {
            rows.sort_by_key(|&row| (self.text(row).is_empty(), self.text(row)));
        }
        rows
    }

    /// A fault of one cell, for callers that ask more of it than its type.
    pub fn error(&self, row: usize, problem: impl Into<String>) -> TableError {
        TableError::Cell {
            file: self.table.file.clone(),
            line: self.table.lines[row],
            column: self.cells.name.clone(),
            problem: problem.into(),
        }
    }
}

/// The code of the newest name. Four thousand million distinct values fit no memory that holds the file.
fn index_of_last(names: &[String]) -> u32 {
    u32::try_from(names.len() - 1).unwrap_or(u32::MAX)
}

fn is_gap(text: &str) -> bool {
    GAPS.iter().any(|gap| gap.eq_ignore_ascii_case(text))
}

fn number_in(text: &str) -> Option<f64> {
    if text.eq_ignore_ascii_case("true") {
        return Some(1.0);
    }
    if text.eq_ignore_ascii_case("false") {
        return Some(0.0);
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// A time in RFC 3339, or a date with or without a time of day, taken as UTC.
pub fn time_in(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let civil = text.parse::<DateTime>().ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text, QUOTED_CHARACTERS_MAX))
}

fn no_column(file: &str, column: &str, names: &[&str]) -> TableError {
    let available: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    TableError::NoColumn { file: file.to_owned(), column: column.to_owned(), available: available.join(", ") }
}
