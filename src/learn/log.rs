//! Anyone's log of decisions as numbers: which action, what it earned, for whom, and how likely the action was.

use std::collections::HashMap;
use std::path::Path;

use super::context::ContextColumn;
use super::contextual::Sample;
use super::table::{Column, ColumnKind, Table, TableError};

/// More actions than this are not actions but identifiers: every decision weighs all of them against each other.
pub const ACTION_COUNT_MAX: usize = 300;
/// More context columns than this would make more features than rows of most logs.
pub const CONTEXT_COUNT_MAX: usize = 100;

/// Where the probability of the logged action is found.
#[derive(Debug, Clone, PartialEq)]
pub enum Propensity {
    /// In this column.
    Column(String),
    /// The same in every row.
    Number(f64),
}

/// What the columns of a log are called.
#[derive(Debug, Clone, PartialEq)]
pub struct LogColumns {
    /// What was done.
    pub action: String,
    /// What it earned: 0 and 1, or money.
    pub reward: String,
    /// How likely it was; `None` where the log does not say.
    pub propensity: Option<Propensity>,
    /// What was known about the customer.
    pub contexts: Vec<String>,
    /// The column to sort by; `None` for the order of the file.
    pub order: Option<String>,
}

/// A log. All vectors over rows have the same length.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// The names of the actions, sorted.
    pub actions: Vec<String>,
    /// Action and reward of each row, in the order of the file.
    pub samples: Vec<Sample>,
    /// The probability of the logged action, by row; in (0, 1].
    pub propensities: Option<Vec<f64>>,
    /// What was known, by column.
    pub contexts: Vec<ContextColumn>,
    /// The rows in the order in which the decisions were made.
    pub order: Vec<usize>,
    /// How many rows came from each file.
    pub rows_by_file: Vec<usize>,
}

impl Log {
    /// Reads one log, or several with the same columns, one after the other.
    ///
    /// # Errors
    /// When a file, a column or a cell is not what it must be: named with its line.
    pub fn read(files: &[&Path], columns: &LogColumns) -> Result<Self, TableError> {
        let mut wanted: Vec<&str> = vec![&columns.action, &columns.reward];
        wanted.extend(columns.contexts.iter().map(String::as_str));
        wanted.extend(columns.order.as_deref());
        if let Some(Propensity::Column(name)) = &columns.propensity {
            wanted.push(name);
        }
        let mut distinct: Vec<&str> = Vec::new();
        wanted.retain(|name| {
            let new = !distinct.contains(name);
            distinct.push(name);
            new
        });
        let tables: Vec<Table> =
            files.iter().map(|file| Table::read(file, &wanted)).collect::<Result<_, _>>()?;
        Self::of(&tables, columns)
    }

    /// The log in tables that are read already.
    ///
    /// # Errors
    /// As [`Log::read`].
    pub fn of(tables: &[Table], columns: &LogColumns) -> Result<Self, TableError> {
        if let Some(table) = tables.iter().find(|table| table.row_count() == 0) {
            return Err(header(table, "there are no rows under the header; a log needs decisions"));
        }
        let (actions, samples) = samples(tables, columns)?;
        let mut propensities = Vec::new();
        for table in tables {
            match &columns.propensity {
                None => {}
                Some(Propensity::Number(number)) => {
                    propensities.extend(std::iter::repeat_n(*number, table.row_count()));
                }
                Some(Propensity::Column(name)) => propensities.extend(probabilities(&table.column(name)?)?),
            }
        }
        let propensities = columns.propensity.is_some().then_some(propensities);
        let context = |name: &String| context(tables, name);
        let contexts = columns.contexts.iter().map(context).collect::<Result<Vec<_>, _>>()?;
        if contexts.len() > CONTEXT_COUNT_MAX {
            return Err(header(
                &tables[0],
                &format!("more than {CONTEXT_COUNT_MAX} context columns were named"),
            ));
        }
        let mut order = Vec::with_capacity(samples.len());
        for table in tables {
            let start = order.len();
            match &columns.order {
                None => order.extend(start..start + table.row_count()),
                Some(name) => {
                    order.extend(table.column(name)?.ascending().into_iter().map(|row| start + row));
                }
            }
        }
        let rows_by_file = tables.iter().map(Table::row_count).collect();
        Ok(Self { actions, samples, propensities, contexts, order, rows_by_file })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is no row; never after [`Log::read`].
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }
}

fn header(table: &Table, problem: &str) -> TableError {
    TableError::Header { file: table.file().to_owned(), problem: problem.to_owned() }
}

fn samples(tables: &[Table], columns: &LogColumns) -> Result<(Vec<String>, Vec<Sample>), TableError> {
    let mut actions: Vec<String> = Vec::new();
    for table in tables {
        actions.extend(table.column(&columns.action)?.required_categories()?.0);
    }
    actions.sort();
    actions.dedup();
    if actions.len() > ACTION_COUNT_MAX {
        let problem = format!(
            "column {:?} has {} different values; an action column may have {ACTION_COUNT_MAX}",
            columns.action,
            actions.len()
        );
        return Err(header(&tables[0], &problem));
    }
    let mut samples = Vec::new();
    for table in tables {
        let (names, codes) = table.column(&columns.action)?.required_categories()?;
        let number = |name: &String| actions.binary_search(name).expect("every name was collected");
        let numbers: Vec<usize> = names.iter().map(number).collect();
        let rewards = table.column(&columns.reward)?.required_numbers()?;
        for (code, reward) in codes.into_iter().zip(rewards) {
            samples.push(Sample { row: samples.len(), action: numbers[code as usize], reward });
        }
    }
    Ok((actions, samples))
}

fn probabilities(column: &Column<'_>) -> Result<Vec<f64>, TableError> {
    let values = column.required_numbers()?;
    match values.iter().position(|p| !(*p > 0.0 && *p <= 1.0)) {
        Some(row) => {
            Err(column.error(row, format!("{} is not a probability above 0 and up to 1", values[row])))
        }
        None => Ok(values),
    }
}

/// One context column of all files: a number when it is one in each of them.
fn context(tables: &[Table], name: &str) -> Result<ContextColumn, TableError> {
    let columns = tables.iter().map(|table| table.column(name)).collect::<Result<Vec<_>, _>>()?;
    if columns.iter().all(|column| column.kind() != ColumnKind::Category) {
        let mut values = Vec::new();
        for column in &columns {
            values.extend(column.numbers()?);
        }
        return Ok(ContextColumn::Number { name: name.to_owned(), values });
    }
    let mut names: Vec<String> = Vec::new();
    let mut known: HashMap<String, u32> = HashMap::new();
    let mut values = Vec::new();
    for column in &columns {
        let categories = column.categories();
        let mut number = |name: &String| {
            *known.entry(name.clone()).or_insert_with(|| {
                names.push(name.clone());
                u32::try_from(names.len() - 1).unwrap_or(u32::MAX)
            })
        };
        let numbers: Vec<u32> = categories.names.iter().map(&mut number).collect();
        values.extend(categories.codes.into_iter().map(|code| code.map(|code| numbers[code as usize])));
    }
    Ok(ContextColumn::Category { name: name.to_owned(), values, names })
}
