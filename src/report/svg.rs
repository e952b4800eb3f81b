//! Plots as SVG: drawn at two widths, of which the page shows the one that fits; text stays text, colours and fonts come
//! from the page's style.

use std::fmt::Write as _;

use crate::report::document::Unit;
use crate::report::figures::short;
use crate::report::html::escape;
use crate::report::plot::Chart;
use crate::report::plot::Dots;
use crate::report::plot::Plot;
use crate::report::plot::Shape;
use crate::report::scale::Scale;
use crate::report::scale::number;

mod chart;
mod dots;

/// How wide a plot is drawn, in CSS pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// Desktop and paper.
    Wide,
    /// Phones.
    Narrow,
}

impl Size {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::Wide, Self::Narrow];

    /// The name of its style class.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Wide => "wide",
            Self::Narrow => "narrow",
        }
    }

    fn width(self) -> f64 {
        match self {
            Self::Wide => 720.0,
            Self::Narrow => 340.0,
        }
    }

    fn height(self) -> f64 {
        match self {
            Self::Wide => 260.0,
            Self::Narrow => 210.0,
        }
    }
}

/// Mean width of a character of the labels, in pixels; they are 12 px high.
pub(super) const CHARACTER_PX: f64 = 6.6;
/// Series beyond this many are drawn in the colours of the first.
pub(super) const COLOURS: usize = 6;

/// The plot at this width; `None` where nothing can be drawn.
pub(super) fn draw(plot: &Plot, size: Size) -> Option<String> {
    let (height, body) = match &plot.shape {
        Shape::Lines(data) => (size.height(), chart::lines(data, plot.unit, size)?),
        Shape::Columns(data) => (size.height(), chart::columns(data, plot.unit, size)?),
        Shape::Stack(data) => (size.height(), chart::stack(data, plot.unit, size)?),
        Shape::Dots(data) => dots::dots(data, plot.unit, size)?,
        Shape::Heat(_) => return None,
    };
    Some(format!(
        "<svg class=\"{}\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">{body}</svg>",
        size.class(),
        number(size.width()),
        number(height),
        escape(&plot.title)
    ))
}

/// The names of the series beside their colours and marks; nothing where there is only one.
pub(super) fn legend(plot: &Plot) -> String {
    let chart = match &plot.shape {
        Shape::Lines(chart) | Shape::Columns(chart) | Shape::Stack(chart) if chart.series.len() > 1 => chart,
        _ => return String::new(),
    };
    let mut out = "<ul class=\"legend\">".to_owned();
    for (index, (name, _)) in chart.series.iter().enumerate() {
        let sample = match plot.shape {
            Shape::Lines(_) => {
                let class = index % COLOURS;
                format!("<path class=\"l s{class}\" d=\"M0 7H24\"/>{}", mark(index, 12.0, 7.0))
            }
            _ => format!("<rect class=\"f{}\" x=\"4\" y=\"1\" width=\"12\" height=\"12\"/>", index % COLOURS),
        };
        let _ = write!(
            out,
            "<li><svg viewBox=\"0 0 24 14\" width=\"24\" height=\"14\" aria-hidden=\"true\">{sample}</svg>{}</li>",
            escape(name)
        );
    }
    out + "</ul>"
}

/// A mark of a series at a point: another shape for each, so that it is known without its colour.
pub(super) fn mark(series: usize, x: f64, y: f64) -> String {
    let class = format!("class=\"m f{}\"", series % COLOURS);
    let (left, right, top, bottom) = (number(x - 3.2), number(x + 3.2), number(y - 3.2), number(y + 3.2));
    let (x, y) = (number(x), number(y));
    match series % 4 {
        0 => format!("<circle {class} cx=\"{x}\" cy=\"{y}\" r=\"3\"/>"),
        1 => format!("<rect {class} x=\"{left}\" y=\"{top}\" width=\"6.4\" height=\"6.4\"/>"),
        2 => format!("<path {class} d=\"M{x} {top}L{right} {bottom}H{left}Z\"/>"),
        _ => format!("<path {class} d=\"M{x} {top}L{right} {y}L{x} {bottom}L{left} {y}Z\"/>"),
    }
}

/// Lines across, with their values at the left.
pub(super) fn grid(scale: &Scale, left: f64, right: f64, unit: Unit) -> String {
    let mut out = String::new();
    for tick in scale.ticks() {
        let y = number(scale.place(tick));
        let _ = write!(
            out,
            "<path class=\"g\" d=\"M{} {y}H{}\"/><text x=\"{}\" y=\"{y}\" dy=\".35em\" text-anchor=\"end\">{}</text>",
            number(left),
            number(right),
            number(left - 6.0),
            escape(&short(tick, unit))
        );
    }
    out
}

/// How wide the labels of the values are.
pub(super) fn label_px<'a>(labels: impl Iterator<Item = &'a str>) -> f64 {
    labels.map(|label| pixels(label.chars().count())).fold(0.0, f64::max)
}

fn pixels(characters: usize) -> f64 {
    crate::learn::stats::as_f64(characters) * CHARACTER_PX
}

/// What the smallest and largest values of a chart are.
pub(super) fn extent(chart: &Chart) -> Option<(f64, f64)> {
    let values = chart.series.iter().flat_map(|(_, values)| values).copied().flatten();
    values.filter(|value| value.is_finite()).fold(None, |extent, value| match extent {
        None => Some((value, value)),
        Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
    })
}

/// What the ends of all intervals are.
pub(super) fn reach(dots: &Dots) -> Option<(f64, f64)> {
    let ends = dots.rows.iter().flat_map(|(_, value, interval)| {
        let (low, high) = interval.map_or((*value, *value), |interval| (interval.low, interval.high));
        [low.min(*value), high.max(*value)]
    });
    let ends = ends.chain(dots.reference).filter(|value| value.is_finite());
    ends.fold(None, |extent, value| match extent {
        None => Some((value, value)),
        Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
    })
}
