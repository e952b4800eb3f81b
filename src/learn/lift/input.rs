//! A log with a row per unit, or several per recipient, becomes an [`Experiment`].

use std::path::Path;

use super::super::table::{Column, Table, TableError};
use super::{Experiment, Outcome};

/// A column with more values than this is not one of arms.
const ARMS_MAX: usize = 100;
/// How many names an error lists.
const LISTED_NAMES_MAX: usize = 20;

/// What the columns are called and how they are read.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// The arm that a unit was assigned to.
    pub arm: &'a str,
    /// The value of the arm that got nothing.
    pub control: &'a str,
    /// What is compared: numbers, or true and false.
    pub outcomes: &'a [String],
    /// Something known of the unit before the campaign.
    pub covariate: Option<&'a str>,
    /// Whose rows are summed to one unit; without it each row is one.
    pub recipient: Option<&'a str>,
    /// The shares that the arms were meant to get; empty for equal ones.
    pub expected_shares: &'a [(String, f64)],
    /// What an empty outcome stands for.
    pub missing: Missing,
}

/// What an empty outcome stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Nothing happened.
    Zero,
    /// A mistake in the file.
    Refused,
}

/// Reads the log of an experiment.
pub fn read(file: &Path, columns: &Columns<'_>) -> Result<Experiment, TableError> {
    let mut wanted = vec![columns.arm];
    wanted.extend(columns.outcomes.iter().map(String::as_str));
    wanted.extend(columns.covariate);
    wanted.extend(columns.recipient);
    let table = Table::read(file, &wanted)?;
    let arm = table.column(columns.arm)?;
    let (arms, arm_codes) = arm.required_categories()?;
    let control = control_of(&table, columns, &arms)?;
    let expected_shares = shares(&table, columns, &arms)?;

    let (unit_of, units) = match columns.recipient {
        None => ((0..table.row_count()).collect(), table.row_count()),
        Some(name) => {
            let (names, codes) = table.column(name)?.required_categories()?;
            (codes.into_iter().map(|code| code as usize).collect::<Vec<usize>>(), names.len())
        }
    };
    let mut outcomes = Vec::new();
    for name in columns.outcomes {
        let column = table.column(name)?;
        let mut values = vec![0.0; units];
        for (row, &unit) in unit_of.iter().enumerate() {
            values[unit] += outcome(&column, row, columns.missing)?;
        }
        outcomes.push(Outcome { name: name.clone(), values });
    }
    let covariate = match columns.covariate {
        None => None,
        Some(name) => {
            let column = table.column(name)?;
            let cells: Vec<Option<f64>> = column.numbers()?;
            Some(one_per_unit(&column, &unit_of, units, &cells, "covariate")?)
        }
    };
    let codes: Vec<Option<u32>> = arm_codes.into_iter().map(Some).collect();
    let arm_of = one_per_unit(&arm, &unit_of, units, &codes, "arm")?.into_iter().flatten().collect();
    Ok(Experiment { arms, control, arm_of, outcomes, covariate, expected_shares })
}

fn outcome(column: &Column<'_>, row: usize, missing: Missing) -> Result<f64, TableError> {
    match (column.number(row)?, missing) {
        (Some(value), _) => Ok(value),
        (None, Missing::Zero) => Ok(0.0),
        (None, Missing::Refused) => {
            let problem = "the outcome is missing; write 0 where nothing happened, or say --missing zero";
            Err(column.error(row, problem))
        }
    }
}

fn control_of(table: &Table, columns: &Columns<'_>, arms: &[String]) -> Result<usize, TableError> {
    let fault = |problem| TableError::Header { file: table.file().to_owned(), problem };
    if arms.len() > ARMS_MAX {
        let problem =
            format!("column {:?} has {} values; is it the one of the arms?", columns.arm, arms.len());
        return Err(fault(problem));
    }
    let control = arms.iter().position(|arm| arm == columns.control).ok_or_else(|| {
        fault(format!("no row has {:?} in column {:?}, only {}", columns.control, columns.arm, listed(arms)))
    })?;
    if arms.len() < 2 {
        return Err(fault(format!(
            "all rows have {:?} in column {:?}: nothing to compare",
            arms[0], columns.arm
        )));
    }
    Ok(control)
}

fn shares(table: &Table, columns: &Columns<'_>, arms: &[String]) -> Result<Vec<f64>, TableError> {
    let fault = |problem| TableError::Header { file: table.file().to_owned(), problem };
    if columns.expected_shares.is_empty() {
        return Ok(vec![1.0; arms.len()]);
    }
    if let Some((name, _)) = columns.expected_shares.iter().find(|(name, _)| !arms.contains(name)) {
        return Err(fault(format!("no row has the expected arm {name:?}, only {}", listed(arms))));
    }
    let share = |arm: &String| {
        let found = columns.expected_shares.iter().find(|(name, _)| name == arm);
        found
            .map(|&(_, share)| share)
            .ok_or_else(|| fault(format!("the expected split does not name arm {arm:?}")))
    };
    arms.iter().map(share).collect()
}

/// The value of each unit, which all its rows must agree on.
fn one_per_unit<T: Copy + PartialEq>(
    column: &Column<'_>,
    unit_of: &[usize],
    units: usize,
    cells: &[Option<T>],
    what: &str,
) -> Result<Vec<Option<T>>, TableError> {
    let mut first: Vec<Option<usize>> = vec![None; units];
    for (row, &unit) in unit_of.iter().enumerate() {
        let known = *first[unit].get_or_insert(row);
        if cells[known] != cells[row] {
            let problem = format!("this recipient has another {what} in an earlier row; give them one");
            return Err(column.error(row, problem));
        }
    }
    Ok(first.into_iter().map(|row| row.and_then(|row| cells[row])).collect())
}

fn listed(names: &[String]) -> String {
    let mut listed: Vec<String> =
        names.iter().take(LISTED_NAMES_MAX).map(|name| format!("{name:?}")).collect();
    if names.len() > LISTED_NAMES_MAX {
        listed.push("…".to_owned());
    }
    listed.join(", ")
}
