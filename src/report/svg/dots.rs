//! Dots with intervals: one row each, names at the left, or above where there is no room.

use std::fmt::Write as _;

use super::CHARACTER_PX;
use super::Size;
use super::label_px;
use super::reach;
use crate::learn::stats::as_f64;
use crate::report::document::Unit;
use crate::report::figures::short;
use crate::report::html::escape;
use crate::report::plot::Dots;
use crate::report::scale::Scale;
use crate::report::scale::number;

const TOP_PX: f64 = 6.0;
const BOTTOM_PX: f64 = 24.0;
const RIGHT_PX: f64 = 26.0;
/// Names may take this share of the width.
const NAMES_SHARE: f64 = 0.46;

pub(super) fn dots(dots: &Dots, unit: Unit, size: Size) -> Option<(f64, String)> {
    let extent = reach(dots)?;
    let above = size == Size::Narrow;
    let row_px = if above { 34.0 } else { 24.0 };
    let height = TOP_PX + row_px * as_f64(dots.rows.len()) + BOTTOM_PX;
    let names = label_px(dots.rows.iter().map(|(name, ..)| name.as_str()));
    let left = if above { RIGHT_PX } else { (names + 14.0).min(size.width() * NAMES_SHARE) };
    let room = if above { size.width() } else { left - 12.0 };
    let ticks = if above { 3 } else { 6 };
    let scale = Scale::new(extent, ticks, (left, size.width() - RIGHT_PX));
    let bottom = height - BOTTOM_PX;
    let mut svg = String::new();
    for tick in scale.ticks() {
        let x = number(scale.place(tick));
        let _ = write!(
            svg,
            "<path class=\"g\" d=\"M{x} {}V{}\"/><text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            number(TOP_PX),
            number(bottom),
            number(height - 7.0),
            escape(&short(tick, unit))
        );
    }
    if let Some(reference) = dots.reference {
        let x = number(scale.place(reference));
        let _ = write!(svg, "<path class=\"r\" d=\"M{x} {}V{}\"/>", number(TOP_PX), number(bottom));
    }
    for (index, (name, value, interval)) in dots.rows.iter().enumerate() {
        let top = TOP_PX + row_px * as_f64(index);
        let y = if above { top + 25.0 } else { top + row_px / 2.0 };
        let name = fitting(name, room);
        if above {
            let _ = write!(svg, "<text x=\"0\" y=\"{}\">{}</text>", number(top + 13.0), escape(&name));
        } else {
            let _ = write!(
                svg,
                "<text x=\"{}\" y=\"{}\" dy=\".35em\" text-anchor=\"end\">{}</text>",
                number(left - 10.0),
                number(y),
                escape(&name)
            );
        }
        if let Some(interval) = interval {
            let (low, high) = (number(scale.place(interval.low)), number(scale.place(interval.high)));
            let (up, down, y) = (number(y - 4.0), number(y + 4.0), number(y));
            let _ = write!(
                svg,
                "<path class=\"l s0\" d=\"M{low} {y}H{high}M{low} {up}V{down}M{high} {up}V{down}\"/>"
            );
        }
        let _ = write!(
            svg,
            "<circle class=\"m f0\" cx=\"{}\" cy=\"{}\" r=\"4\"/>",
            number(scale.place(*value)),
            number(y)
        );
    }
    Some((height, svg))
}

/// As much of a name as there is room for; its end says more than its beginning.
fn fitting(name: &str, room: f64) -> String {
    let characters = name.chars().count();
    let fits = |count: usize| as_f64(count) * CHARACTER_PX <= room;
    if fits(characters) {
        return name.to_owned();
    }
    let kept = (0..characters).rev().find(|kept| fits(kept + 1)).unwrap_or(0);
    format!("…{}", name.chars().skip(characters - kept).collect::<String>())
}
