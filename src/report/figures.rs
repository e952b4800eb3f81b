//! How figures are written for people: units, intervals, thousands.

use crate::learn::stats::Interval;
use crate::report::document::Cell;
use crate::report::document::Unit;
use crate::words::grouped;

/// What stands where there is no figure.
pub const NO_FIGURE: &str = "–";

/// Writes figures of one report.
#[derive(Debug, Clone, Copy)]
pub struct Writer {
    /// Digits behind the point of its currency.
    pub minor_digits: u32,
}

impl Writer {
    /// A cell as people read it; the unit is on the figure only where it is percent, else in the column's head.
    pub fn cell(self, cell: &Cell, unit: Unit) -> String {
        match cell {
            Cell::None => NO_FIGURE.to_owned(),
            Cell::Text(text) => text.clone(),
            Cell::Count(count) => thousands(&count.to_string()),
            Cell::Value(value, interval) => {
                let value = self.number(*value, unit);
                match interval {
                    Some(interval) => format!("{value} ({})", self.interval(*interval, unit)),
                    None => value,
                }
            }
        }
    }

    /// A figure in its unit.
    pub fn number(self, value: f64, unit: Unit) -> String {
        match unit {
            Unit::Share => format!("{} %", fixed(100.0 * value, percent_places(value))),
            _ => fixed(value, self.places(unit)),
        }
    }

    /// Both ends, without the unit.
    fn interval(self, interval: Interval, unit: Unit) -> String {
        let write = |end: f64| match unit {
            Unit::Share => fixed(100.0 * end, percent_places(interval.high)),
            _ => fixed(end, self.places(unit)),
        };
        format!("{} … {}", write(interval.low), write(interval.high))
    }

    /// Decimal places of a unit.
    fn places(self, unit: Unit) -> usize {
        match unit {
            Unit::Text | Unit::Count => 0,
            Unit::Share => 1,
            Unit::Money => usize::try_from(self.minor_digits).unwrap_or(2),
            Unit::Number(places) => places,
        }
    }
}

/// Shares near nothing and near everything need more places to be told apart.
fn percent_places(share: f64) -> usize {
    let is_near_an_end = (share != 0.0 && share.abs() < 0.01) || (share > 0.99 && share < 1.0);
    if is_near_an_end { 2 } else { 1 }
}

/// A number with these places and thousands apart; never `-0`.
fn fixed(value: f64, places: usize) -> String {
    let text = format!("{value:.places$}");
    let is_zero = text.bytes().all(|byte| matches!(byte, b'-' | b'0' | b'.'));
    let text = if is_zero { text.trim_start_matches('-') } else { &text };
    thousands(text)
}

/// Commas between thousands of the digits before the point.
fn thousands(text: &str) -> String {
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("−", rest));
    let (whole, rest) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let mut out = sign.to_owned() + &grouped(whole);
    if let Some(rest) = rest {
        out.push('.');
        out.push_str(rest);
    }
    out
}

/// A label for an axis: short, with k and M.
pub fn short(value: f64, unit: Unit) -> String {
    if unit == Unit::Share {
        return format!("{} %", trimmed(100.0 * value, 2));
    }
    let size = value.abs();
    match size {
        _ if size >= 1e9 => format!("{}G", trimmed(value / 1e9, 2)),
        _ if size >= 1e6 => format!("{}M", trimmed(value / 1e6, 2)),
        _ if size >= 1e4 => format!("{}k", trimmed(value / 1e3, 2)),
        _ => trimmed(value, 4),
    }
}

fn trimmed(value: f64, places: usize) -> String {
    let text = fixed(value, places);
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_with_their_units_and_intervals() {
        let writer = Writer { minor_digits: 2 };
        let between = |low, high| Some(Interval { low, high });
        for (cell, unit, expected) in [
            (Cell::Count(1_234_567), Unit::Count, "1,234,567"),
            (Cell::Value(1234.5, None), Unit::Money, "1,234.50"),
            (Cell::Value(-1234.5, None), Unit::Money, "−1,234.50"),
            (Cell::Value(-0.001, None), Unit::Money, "0.00"),
            (Cell::Value(0.1234, between(0.1, 0.1499)), Unit::Share, "12.3 % (10.0 … 15.0)"),
            (Cell::Value(0.0004, between(0.0, 0.002)), Unit::Share, "0.04 % (0.00 … 0.20)"),
            (Cell::Value(0.9995, between(0.9975, 0.9999)), Unit::Share, "99.95 % (99.75 … 99.99)"),
            (Cell::Value(0.5, None), Unit::Number(3), "0.500"),
            (Cell::None, Unit::Share, "–"),
        ] {
            assert_eq!(writer.cell(&cell, unit), expected);
        }
    }

    #[test]
    fn axes_are_labelled_shortly() {
        for (value, unit, expected) in [
            (0.25, Unit::Share, "25 %"),
            (0.005, Unit::Share, "0.5 %"),
            (250_000.0, Unit::Money, "250k"),
            (1_500_000.0, Unit::Count, "1.5M"),
            (2_500.0, Unit::Count, "2,500"),
            (0.0, Unit::Number(3), "0"),
        ] {
            assert_eq!(short(value, unit), expected);
        }
    }
}
