//! A report for programs: JSON with everything, CSV with one table.

use serde_json::Map;
use serde_json::Number;
use serde_json::Value;
use serde_json::json;

use crate::report::document::Cell;
use crate::report::document::Certainty;
use crate::report::document::Column;
use crate::report::document::Report;
use crate::report::document::Table;
use crate::report::document::Unit;

/// One object: scope, headline, every table with its columns, notes. A figure that there is none of is null.
pub fn json(report: &Report) -> Value {
    let headline = report.headline.iter().flat_map(|figure| {
        let column = Column {
            key: figure.key,
            title: figure.title,
            unit: figure.unit,
            certainty: certainty(&figure.value),
        };
        fields(&column, &figure.value)
    });
    let tables = report
        .sections
        .iter()
        .map(|section| (section.name.to_owned(), table_json(&section.title, &section.table)));
    json!({
        "report": report.name,
        "title": report.title,
        "scope": report.scope,
        "currency": report.currency,
        "headline": headline.collect::<Map<_, _>>(),
        "tables": tables.collect::<Map<_, _>>(),
        "notes": report.notes,
    })
}

fn certainty(cell: &Cell) -> Certainty {
    if matches!(cell, Cell::Value(_, Some(_))) { Certainty::Interval } else { Certainty::Exact }
}

fn table_json(title: &str, table: &Table) -> Value {
    let columns = table
        .columns
        .iter()
        .map(|column| json!({"key": column.key, "title": column.title, "unit": unit(column.unit)}));
    let rows = table.rows.iter().map(|row| {
        let row = row.iter().zip(&table.columns).flat_map(|(cell, column)| fields(column, cell));
        Value::Object(row.collect())
    });
    json!({"title": title, "columns": columns.collect::<Vec<_>>(), "rows": rows.collect::<Vec<_>>()})
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Text => "text",
        Unit::Count => "count",
        Unit::Share => "share of 1",
        Unit::Money => "currency",
        Unit::Number(_) => "number",
    }
}

/// The keys of a column: its own, and both ends where it carries intervals.
fn keys(column: &Column) -> Vec<String> {
    let key = column.key;
    match column.certainty {
        Certainty::Exact => vec![key.to_owned()],
        Certainty::Interval => vec![key.to_owned(), format!("{key}_low"), format!("{key}_high")],
    }
}

fn fields(column: &Column, cell: &Cell) -> Vec<(String, Value)> {
    let number = |value: f64| Number::from_f64(value).map_or(Value::Null, Value::Number);
    let (value, ends) = match cell {
        Cell::None => (Value::Null, None),
        Cell::Text(text) => (Value::from(text.clone()), None),
        Cell::Count(count) => (Value::from(*count), None),
        Cell::Value(value, interval) => (number(*value), *interval),
    };
    let low = ends.map_or(Value::Null, |ends| number(ends.low));
    let high = ends.map_or(Value::Null, |ends| number(ends.high));
    keys(column).into_iter().zip([value, low, high]).collect()
}

/// One table. Words that a spreadsheet would take for a formula stand behind an apostrophe; figures stay figures.
pub fn csv(table: &Table) -> Result<String, csv::Error> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(table.columns.iter().flat_map(keys))?;
    for row in &table.rows {
        let cells = row.iter().zip(&table.columns).flat_map(|(cell, column)| fields(column, cell));
        out.write_record(cells.map(|(_, value)| match value {
            Value::Null => String::new(),
            Value::String(text) => harmless(&text),
            value => value.to_string(),
        }))?;
    }
    let bytes = out.into_inner().map_err(csv::IntoInnerError::into_error)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Text that no spreadsheet evaluates (CWE-1236).
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        return format!("'{text}");
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::stats::Interval;

    #[test]
    fn a_spreadsheet_finds_figures_and_no_formulas() {
        let mut table = Table::new(&[
            Column::new("name", "name", Unit::Text),
            Column::new("count", "count", Unit::Count),
            Column::estimated("lift", "lift", Unit::Share),
        ]);
        let names = ["=1+2", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "plain, \"quoted\"", " =1"];
        for name in names {
            table.row([
                Cell::text(name),
                Cell::Count(3),
                Cell::Value(-0.5, Some(Interval { low: -1.0, high: 0.25 })),
            ]);
        }
        table.row([Cell::text(""), Cell::None, Cell::Value(0.1, None)]);
        let text = csv(&table).unwrap();
        let rows: Vec<Vec<String>> = csv::Reader::from_reader(text.as_bytes())
            .records()
            .map(|row| row.unwrap().iter().map(str::to_owned).collect())
            .collect();
        let written =
            ["'=1+2", "'+1", "'-1", "'@SUM(A1)", "'\tx", "'\rx", "'\nx", "plain, \"quoted\"", " =1"];
        for (row, name) in rows.iter().zip(written) {
            assert_eq!(row, &[name, "3", "-0.5", "-1.0", "0.25"]);
        }
        assert_eq!(rows[names.len()], ["", "", "0.1", "", ""]);
        assert!(text.starts_with("name,count,lift,lift_low,lift_high\n"));
    }
}
