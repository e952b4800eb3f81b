//! A log and a target file become what [`evaluate`](super::evaluate) takes.

use std::collections::HashMap;
use std::path::Path;

use super::super::table::{Column, Table, TableError};
use super::{LoggedDecision, TargetPolicy};

/// More actions times positions than this are refused: the target file is then not what it should be.
const CELLS_MAX: usize = 10_000_000;
/// How many names an error lists.
const LISTED_NAMES_MAX: usize = 20;

/// What the columns of the log are called. The action's column has the same name in the target file.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// What was shown.
    pub action: &'a str,
    /// Where it was shown; not read when the target has one probability for all positions.
    pub position: &'a str,
    /// What it earned.
    pub reward: &'a str,
    /// With what probability the action was chosen.
    pub propensity: &'a str,
    /// To whom; without it each row is a recipient of its own.
    pub recipient: Option<&'a str>,
}

/// A log and the policy to be judged by it.
#[derive(Debug)]
pub struct Input {
    /// The rows, at least one.
    pub log: Vec<LoggedDecision>,
    /// The policy.
    pub target: TargetPolicy,
    /// The names of the target's actions.
    pub actions: Vec<String>,
}

/// Reads both files. The target has a row per action and a column of probabilities per position: named as the
/// position is in the log, or ending in its number (`p_pos1` is position 1).
pub fn read(log: &Path, target: &Path, columns: &Columns<'_>) -> Result<Input, TableError> {
    let table = Table::read_all(target)?;
    let (actions, _) = table.column(columns.action)?.required_categories()?;
    let (policy, positions) = target_policy(&table, columns.action, &actions)?;

    let mut wanted = vec![columns.action, columns.reward, columns.propensity];
    wanted.extend(columns.recipient);
    wanted.extend((positions.len() > 1).then_some(columns.position));
    let table = Table::read(log, &wanted)?;
    Ok(Input { log: decisions(&table, columns, &actions, &positions)?, target: policy, actions })
}

fn target_policy<'t>(
    table: &'t Table,
    action: &str,
    actions: &[String],
) -> Result<(TargetPolicy, Vec<&'t str>), TableError> {
    if actions.len() < table.row_count() {
        let action = table.column(action)?;
        let mut seen = std::collections::HashSet::new();
        let again = action.texts().position(|text| !seen.insert(text)).unwrap_or(0);
        return Err(action.error(again, "this action has a row already; write one row per action"));
    }
    let columns: Vec<Column<'_>> =
        table.columns().filter(|column| column.name() != action && !column.name().is_empty()).collect();
    let file_error = |problem: String| TableError::Header { file: table.file().to_owned(), problem };
    if columns.is_empty() || actions.is_empty() {
        return Err(file_error(format!(
            "write the actions into column {action:?}, a row each, and their probabilities beside it, a column per position"
        )));
    }
    if actions.len() * columns.len() > CELLS_MAX {
        return Err(file_error(format!("more than {CELLS_MAX} probabilities; is this the target file?")));
    }
    let mut probabilities = vec![0.0; actions.len() * columns.len()];
    for (position, column) in columns.iter().enumerate() {
        for (row, value) in column.required_numbers()?.into_iter().enumerate() {
            if !(0.0..=1.0).contains(&value) {
                return Err(column.error(row, format!("{value} is not a probability")));
            }
            probabilities[row * columns.len() + position] = value;
        }
    }
    for (position, column) in columns.iter().enumerate() {
        let sum: f64 = probabilities.iter().skip(position).step_by(columns.len()).sum();
        if (sum - 1.0).abs() > 0.01 {
            return Err(file_error(format!(
                "the probabilities in column {:?} sum to {sum:.4}; they must sum to 1",
                column.name()
            )));
        }
    }
    let policy = TargetPolicy::new(columns.len(), probabilities)
        .ok_or_else(|| file_error("the probabilities must lie between 0 and 1 and sum to 1".to_owned()))?;
    Ok((policy, columns.iter().map(Column::name).collect()))
}

fn decisions(
    table: &Table,
    columns: &Columns<'_>,
    actions: &[String],
    positions: &[&str],
) -> Result<Vec<LoggedDecision>, TableError> {
    let action = table.column(columns.action)?;
    let propensity = table.column(columns.propensity)?;
    let rewards = table.column(columns.reward)?.required_numbers()?;
    let propensities = propensity.required_numbers()?;
    let recipients = match columns.recipient {
        Some(name) => Some(table.column(name)?.required_categories()?.1),
        None => None,
    };
    let position_of = match positions {
        [] | [_] => vec![0; table.row_count()],
        _ => position_codes(&table.column(columns.position)?, positions)?,
    };
    let known: HashMap<&str, u32> = actions.iter().map(String::as_str).zip(0..).collect();
    if table.row_count() == 0 {
        let problem = "there are no rows under the header; an evaluation needs decisions".to_owned();
        return Err(TableError::Header { file: table.file().to_owned(), problem });
    }
    let decision = |row: usize| {
        let text = action.text(row);
        let &code = known.get(text).ok_or_else(|| {
            action.error(
                row,
                format!("the target has no action {text:?}; give it a row, with 0 if it never chooses it"),
            )
        })?;
        if !(propensities[row] > 0.0 && propensities[row] <= 1.0) {
            let problem = format!(
                "{} is no propensity of something that was chosen: it must lie above 0 and at most at 1",
                propensities[row]
            );
            return Err(propensity.error(row, problem));
        }
        Ok(LoggedDecision {
            action: code,
            position: position_of[row],
            reward: rewards[row],
            propensity: propensities[row],
            recipient: recipients
                .as_ref()
                .map_or_else(|| u32::try_from(row).unwrap_or(u32::MAX), |codes| codes[row]),
        })
    };
    (0..table.row_count()).map(decision).collect()
}

/// Which probability column each row's position is: the one of that name, else the one that ends in its number.
fn position_codes(column: &Column<'_>, positions: &[&str]) -> Result<Vec<u32>, TableError> {
    let mut known: HashMap<&str, u32> = HashMap::new();
    let code = |(row, text)| {
        if let Some(&code) = known.get(text) {
            return Ok(code);
        }
        let found = positions.iter().position(|name| *name == text).or_else(|| by_number(text, positions));
        let Some(code) = found.and_then(|index| u32::try_from(index).ok()) else {
            let names: Vec<String> =
                positions.iter().take(LISTED_NAMES_MAX).map(|name| format!("{name:?}")).collect();
            let problem =
                format!("the target has no probabilities for position {text:?}, only {}", names.join(", "));
            return Err(column.error(row, problem));
        };
        known.insert(text, code);
        Ok(code)
    };
    column.texts().enumerate().map(code).collect()
}

/// The only name that ends in this whole number.
fn by_number(text: &str, positions: &[&str]) -> Option<usize> {
    let number: u64 = text.parse().ok()?;
    let ends =
        |name: &str| name[name.trim_end_matches(|c: char| c.is_ascii_digit()).len()..].parse::<u64>().ok();
    let mut found = (0..positions.len()).filter(|&index| ends(positions[index]) == Some(number));
    found.next().filter(|_| found.next().is_none())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const COLUMNS: Columns<'static> = Columns {
        action: "item",
        position: "position",
        reward: "click",
        propensity: "p",
        recipient: Some("who"),
    };
    const TARGET: &str = "item,p_pos1,p_pos2\nhat,0.25,1\nboot,0.75,0\n";

    fn read_texts(log: &str, target: &str) -> Result<Input, TableError> {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
            path
        };
        read(&write("log.csv", log), &write("target.csv", target), &COLUMNS)
    }

    fn check_error(log: &str, target: &str, expected: &str) {
        let error = read_texts(log, target).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }

    #[test]
    fn positions_are_matched_by_name_or_by_number() {
        let input = read_texts("who,item,position,click,p\na,boot,2,1,0.5\nb,hat,1,0,0.5\n", TARGET).unwrap();
        let expected = [
            LoggedDecision { action: 1, position: 1, reward: 1.0, propensity: 0.5, recipient: 0 },
            LoggedDecision { action: 0, position: 0, reward: 0.0, propensity: 0.5, recipient: 1 },
        ];
        assert_eq!(input.log, expected);
        assert_eq!(input.actions, ["hat", "boot"]);
        let named = read_texts("who,item,position,click,p\na,hat,top,1,0.5\n", "item,foot,top\nhat,1,1\n");
        assert_eq!(named.unwrap().log[0].position, 1);
    }

    #[test]
    fn one_probability_for_all_positions_needs_no_position() {
        let input = read_texts("who,item,click,p\na,hat,3.5,1\n", "item,share\nhat,1\n").unwrap();
        assert_eq!((input.log[0].position, input.log[0].reward), (0, 3.5));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_place() {
        let head = "who,item,position,click,p\n";
        check_error(
            &format!("{head}a,scarf,1,0,0.5\n"),
            TARGET,
            "log.csv, line 2, column \"item\": the target has no action \"scarf\"; give it a row, with 0 if it never chooses it",
        );
        check_error(
            &format!("{head}a,hat,7,0,0.5\n"),
            TARGET,
            "column \"position\": the target has no probabilities for position \"7\", only \"p_pos1\", \"p_pos2\"",
        );
        check_error(
            &format!("{head}a,hat,1,0,0\n"),
            TARGET,
            "column \"p\": 0 is no propensity of something that was chosen: it must lie above 0 and at most at 1",
        );
        check_error(
            head,
            "item,p\nhat,0.5\n",
            "the probabilities in column \"p\" sum to 0.5000; they must sum to 1",
        );
        check_error(
            head,
            "item,p\nhat,0.5\nhat,0.5\n",
            "target.csv, line 3, column \"item\": this action has a row already; write one row per action",
        );
        check_error(head, "item,p\nhat,-1\n", "line 2, column \"p\": -1 is not a probability");
        check_error(
            head,
            TARGET,
            "log.csv, line 1: there are no rows under the header; an evaluation needs decisions",
        );
    }
}
