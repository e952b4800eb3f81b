//! Charts with labels along the bottom: lines, columns, stacks.

use std::fmt::Write as _;

use super::COLOURS;
use super::Size;
use super::extent;
use super::grid;
use super::label_px;
use super::mark;
use crate::learn::stats::as_f64;
use crate::report::document::Unit;
use crate::report::figures::short;
use crate::report::html::escape;
use crate::report::plot::Chart;
use crate::report::scale::Scale;
use crate::report::scale::every;
use crate::report::scale::number;

/// Lines with more points than this have no marks on them.
const MARKED_POINTS_MAX: usize = 40;
const TICKS: usize = 4;
const TOP_PX: f64 = 10.0;
const BOTTOM_PX: f64 = 26.0;
const RIGHT_PX: f64 = 10.0;
/// The share of a label's room that its columns fill.
const FILLED: f64 = 0.76;
/// Where there are few labels their columns together are no wider than this, in pixels.
const COLUMNS_PX_MAX: f64 = 120.0;

/// Where the labels lie, and the values.
struct Frame {
    values: Scale,
    left: f64,
    step: f64,
    svg: String,
}

impl Frame {
    fn new(chart: &Chart, (low, high): (f64, f64), unit: Unit, size: Size) -> Option<Self> {
        let bottom = size.height() - BOTTOM_PX;
        let values = Scale::new((low, high), TICKS, (bottom, TOP_PX));
        let ticks: Vec<String> = values.ticks().into_iter().map(|tick| short(tick, unit)).collect();
        let left = label_px(ticks.iter().map(String::as_str)) + 10.0;
        let right = size.width() - RIGHT_PX;
        let labels = chart.labels.len();
        if labels == 0 {
            return None;
        }
        let step = (right - left) / as_f64(labels);
        let mut svg = grid(&values, left, right, unit);
        let every = every(labels, label_px(chart.labels.iter().map(String::as_str)), right - left);
        for (index, label) in chart.labels.iter().enumerate().filter(|(index, _)| index % every == 0) {
            let x = left + step * (as_f64(index) + 0.5);
            // The first and the last label stay inside.
            let half = label_px(std::iter::once(label.as_str())) / 2.0;
            let x = x.clamp(half, (size.width() - half).max(half));
            let y = size.height() - 8.0;
            let _ = write!(
                svg,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                number(x),
                number(y),
                escape(label)
            );
        }
        Some(Self { values, left, step, svg })
    }

    fn middle(&self, index: usize) -> f64 {
        self.left + self.step * (as_f64(index) + 0.5)
    }
}

pub(super) fn lines(chart: &Chart, unit: Unit, size: Size) -> Option<String> {
    let (low, high) = extent(chart)?;
    let mut frame = Frame::new(chart, (low.min(0.0), high.max(0.0)), unit, size)?;
    for (series, (_, values)) in chart.series.iter().enumerate() {
        let mut path = String::new();
        let mut marks = String::new();
        let mut pen_is_down = false;
        for (index, value) in values.iter().enumerate() {
            let Some(value) = value.filter(|value| value.is_finite()) else {
                pen_is_down = false;
                continue;
            };
            let (x, y) = (frame.middle(index), frame.values.place(value));
            let _ = write!(path, "{}{} {}", if pen_is_down { 'L' } else { 'M' }, number(x), number(y));
            pen_is_down = true;
            if chart.labels.len() <= MARKED_POINTS_MAX {
                marks += &mark(series, x, y);
            }
        }
        let _ = write!(frame.svg, "<path class=\"l s{}\" d=\"{path}\"/>{marks}", series % COLOURS);
    }
    Some(frame.svg)
}

pub(super) fn columns(chart: &Chart, unit: Unit, size: Size) -> Option<String> {
    let (low, high) = extent(chart)?;
    let mut frame = Frame::new(chart, (low.min(0.0), high.max(0.0)), unit, size)?;
    let group = (frame.step * FILLED).min(COLUMNS_PX_MAX);
    let width = group / as_f64(chart.series.len().max(1));
    let floor = frame.values.place(0.0);
    for (series, (_, values)) in chart.series.iter().enumerate() {
        for (index, value) in values.iter().enumerate() {
            let Some(value) = value.filter(|value| value.is_finite()) else { continue };
            let x = frame.middle(index) - group / 2.0 + width * as_f64(series);
            let y = frame.values.place(value);
            frame.svg += &bar(series, x, y.min(floor), (width - 0.6).max(0.4), (y - floor).abs());
        }
    }
    Some(frame.svg)
}

pub(super) fn stack(chart: &Chart, unit: Unit, size: Size) -> Option<String> {
    extent(chart)?;
    let sum = |index: usize| -> f64 {
        let values = chart.series.iter().filter_map(|(_, values)| values.get(index).copied().flatten());
        values.filter(|value| *value > 0.0).sum()
    };
    let high = (0..chart.labels.len()).map(sum).fold(0.0, f64::max);
    let mut frame = Frame::new(chart, (0.0, high), unit, size)?;
    let width = (frame.step * FILLED).clamp(0.4, COLUMNS_PX_MAX);
    for index in 0..chart.labels.len() {
        let mut below = 0.0;
        for (series, (_, values)) in chart.series.iter().enumerate() {
            let value = values.get(index).copied().flatten().filter(|value| *value > 0.0);
            let Some(value) = value else { continue };
            let (top, floor) = (frame.values.place(below + value), frame.values.place(below));
            frame.svg += &bar(series, frame.middle(index) - width / 2.0, top, width, floor - top);
            below += value;
        }
    }
    Some(frame.svg)
}

fn bar(series: usize, x: f64, y: f64, width: f64, height: f64) -> String {
    format!(
        "<rect class=\"f{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
        series % COLOURS,
        number(x),
        number(y),
        number(width),
        number(height)
    )
}
