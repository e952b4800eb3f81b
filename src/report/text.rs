//! A report for a terminal: aligned columns, words to the left, figures to the right.

use std::fmt::Write as _;

use crate::report::document::Cell;
use crate::report::document::Readers;
use crate::report::document::Report;
use crate::report::document::Section;
use crate::report::document::Unit;
use crate::report::document::sentence;
use crate::report::figures::Writer;
use crate::report::plot::Heat;
use crate::report::plot::Shape;

/// The whole report.
pub fn text(report: &Report) -> String {
    let writer = Writer { minor_digits: report.minor_digits };
    let mut out = format!("{}\n{}\n", report.title, report.scope);
    if !report.headline.is_empty() {
        out.push('\n');
        let rows = report.headline.iter().map(|figure| {
            let value = writer.cell(&figure.value, figure.unit);
            let unit =
                if figure.unit == Unit::Money { format!(" {}", report.currency) } else { String::new() };
            vec![
                (figure.title.to_owned(), Align::Left),
                (value + &unit, Align::Right),
                (figure.from.clone(), Align::Left),
            ]
        });
        out += &aligned(&rows.collect::<Vec<_>>());
    }
    for section in &report.sections {
        let _ = write!(out, "\n{}\n", section.title);
        if !section.lead.is_empty() {
            let _ = writeln!(out, "{}", section.lead);
        }
        let heats = section.plots.iter().filter_map(|plot| match &plot.shape {
            Shape::Heat(heat) => Some(heat),
            _ => None,
        });
        for heat in heats {
            out += &aligned(&heat_rows(heat, writer));
        }
        if section.readers == Readers::Everybody || section.table.rows.is_empty() {
            out += &table(section, report, writer);
        }
    }
    if !report.notes.is_empty() {
        out.push('\n');
    }
    for note in &report.notes {
        let _ = writeln!(out, "Note: {}", sentence(note));
    }
    out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

fn table(section: &Section, report: &Report, writer: Writer) -> String {
    let table = &section.table;
    if table.rows.is_empty() {
        return format!("  {}\n", section.missing);
    }
    let align = |unit: Unit| if unit == Unit::Text { Align::Left } else { Align::Right };
    let heads = table.columns.iter().map(|column| {
        let title = match column.unit {
            Unit::Money => format!("{} {}", column.title, report.currency),
            _ => column.title.to_owned(),
        };
        (title, align(column.unit))
    });
    let mut rows = vec![heads.collect::<Vec<_>>()];
    for row in &table.rows {
        let cells = row.iter().zip(&table.columns);
        let cells = cells.map(|(cell, column)| {
            let placed = if matches!(cell, Cell::Text(_)) { Align::Left } else { align(column.unit) };
            (writer.cell(cell, column.unit), placed)
        });
        rows.push(cells.collect());
    }
    aligned(&rows)
}

fn heat_rows(heat: &Heat, writer: Writer) -> Vec<Vec<(String, Align)>> {
    let right = |text: &str| (text.to_owned(), Align::Right);
    let mut rows = vec![vec![(heat.corner.clone(), Align::Left), right("people")]];
    rows[0].extend(heat.columns.iter().map(|head| right(head)));
    for (name, people, shares) in &heat.rows {
        let mut row =
            vec![(name.clone(), Align::Left), right(&writer.cell(&Cell::Count(*people), Unit::Count))];
        let shares =
            shares.iter().map(|share| share.map_or(String::new(), |share| format!("{:.1} %", 100.0 * share)));
        row.extend(shares.map(|text| (text, Align::Right)));
        rows.push(row);
    }
    rows
}

fn aligned(rows: &[Vec<(String, Align)>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|(text, _)| text.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for ((text, align), &width) in row.iter().zip(&widths) {
            let _ = match align {
                Align::Left => write!(line, "  {text:<width$}"),
                Align::Right => write!(line, "  {text:>width$}"),
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
