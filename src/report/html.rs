//! A report as one HTML file: style and plots inside, no script, nothing fetched. It reads on a phone, on paper and in
//! the dark.

use std::fmt::Write as _;

use crate::report::document::Cell;
use crate::report::document::Readers;
use crate::report::document::Report;
use crate::report::document::Section;
use crate::report::document::Table;
use crate::report::document::Unit;
use crate::report::document::sentence;
use crate::report::figures::Writer;
use crate::report::plot::Heat;
use crate::report::plot::Plot;
use crate::report::plot::Shape;
use crate::report::svg;

const STYLE: &str = include_str!("style.css");
/// Nothing may be fetched or run, whatever a product or a campaign is called.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
/// Shades of a heat map.
const SHADES: f64 = 9.0;

/// Text that is markup nowhere, in elements and in quoted attributes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\0' => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    out
}

/// A sentence of ours: what stands between backticks is code.
fn prose(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let part = |(index, part): (usize, &str)| match index % 2 {
        0 => escape(part),
        _ => format!("<code>{}</code>", escape(part)),
    };
    parts.map(part).collect()
}

/// The whole page.
pub fn html(report: &Report) -> String {
    page(&report.title, &body(report))
}

/// A page of our own look around this body.
pub fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\
         <title>{}</title><style>{STYLE}</style></head>\n<body><main>\n{body}</main></body></html>\n",
        escape(title)
    )
}

fn body(report: &Report) -> String {
    let writer = Writer { minor_digits: report.minor_digits };
    let mut out =
        format!("<h1>{}</h1>\n<p class=\"scope\">{}</p>\n", escape(&report.title), escape(&report.scope));
    if !report.headline.is_empty() {
        out += "<dl class=\"headline\">";
        for figure in &report.headline {
            let unit = if figure.unit == Unit::Money {
                format!(" <small>{}</small>", escape(&report.currency))
            } else {
                String::new()
            };
            let (value, interval) = parts(&writer.cell(&figure.value, figure.unit));
            let _ = write!(
                out,
                "<div><dt>{}</dt><dd><b>{value}{unit}</b>{interval}<span>{}</span></dd></div>",
                escape(figure.title),
                escape(&figure.from)
            );
        }
        out += "</dl>\n";
    }
    for section in &report.sections {
        out += &part(section, report, writer);
    }
    if !report.notes.is_empty() {
        out += "<section><h2>Keep in mind</h2><ul class=\"notes\">";
        for note in &report.notes {
            let _ = write!(out, "<li>{}</li>", prose(&sentence(note)));
        }
        out += "</ul></section>\n";
    }
    out
}

/// The figure and its interval apart, as HTML.
fn parts(text: &str) -> (String, String) {
    match text.split_once(" (") {
        Some((value, interval)) => {
            (escape(value), format!("<i>{}</i>", escape(interval.trim_end_matches(')'))))
        }
        None => (escape(text), String::new()),
    }
}

fn part(section: &Section, report: &Report, writer: Writer) -> String {
    let mut out = format!("<section id=\"{}\"><h2>{}</h2>\n", escape(section.name), escape(&section.title));
    if !section.lead.is_empty() {
        let _ = writeln!(out, "<p>{}</p>", prose(&section.lead));
    }
    for plot in &section.plots {
        out += &figure(plot, writer);
    }
    let table = table(section, report, writer);
    match section.readers {
        Readers::Programs if !section.table.rows.is_empty() => {
            let rows = section.table.rows.len();
            let _ = write!(
                out,
                "<details><summary>All figures as a table ({rows} rows)</summary>{table}</details>"
            );
        }
        _ => out += &table,
    }
    out + "</section>\n"
}

fn figure(plot: &Plot, writer: Writer) -> String {
    let drawn = match &plot.shape {
        Shape::Heat(data) => Some(heat(&plot.title, data, writer)),
        _ => svg::Size::ALL.into_iter().map(|size| svg::draw(plot, size)).collect::<Option<String>>(),
    };
    let Some(drawn) = drawn else { return String::new() };
    format!("<figure><figcaption>{}</figcaption>{}{drawn}</figure>\n", escape(&plot.title), svg::legend(plot))
}

fn table(section: &Section, report: &Report, writer: Writer) -> String {
    let Table { columns, rows } = &section.table;
    if rows.is_empty() {
        return format!("<p class=\"none\">{}</p>\n", prose(section.missing));
    }
    let class = |unit: Unit| if unit == Unit::Text { "" } else { " class=\"n\"" };
    let mut out = open_scroll(&section.title);
    out += "<table><thead><tr>";
    for column in columns {
        let unit = if column.unit == Unit::Money {
            format!(" <small>{}</small>", escape(&report.currency))
        } else {
            String::new()
        };
        let _ = write!(out, "<th scope=\"col\"{}>{}{unit}</th>", class(column.unit), escape(column.title));
    }
    out += "</tr></thead><tbody>\n";
    for row in rows {
        out += "<tr>";
        for (index, (cell, column)) in row.iter().zip(columns).enumerate() {
            let (value, interval) = match cell {
                Cell::Text(text) => (escape(text), String::new()),
                cell => parts(&writer.cell(cell, column.unit)),
            };
            let _ = match index {
                0 => write!(out, "<th scope=\"row\"{}>{value}</th>", class(column.unit)),
                _ => write!(out, "<td{}>{value}{interval}</td>", class(column.unit)),
            };
        }
        out += "</tr>\n";
    }
    out + "</tbody></table></div>\n"
}

/// Wide tables scroll inside the page, also by keyboard.
fn open_scroll(title: &str) -> String {
    format!("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">", escape(title))
}

fn heat(title: &str, heat: &Heat, writer: Writer) -> String {
    let largest = heat.rows.iter().flat_map(|(.., shares)| shares).copied().flatten().fold(0.0, f64::max);
    let mut out = open_scroll(title);
    let _ = write!(
        out,
        "<table class=\"heat\"><thead><tr><th scope=\"col\">{}</th><th class=\"n\">people</th>",
        escape(&heat.corner)
    );
    for head in &heat.columns {
        let _ = write!(out, "<th scope=\"col\" class=\"n\">{}</th>", escape(head));
    }
    out += "</tr></thead><tbody>\n";
    for (name, people, shares) in &heat.rows {
        let people = writer.cell(&Cell::Count(*people), Unit::Count);
        let _ = write!(out, "<tr><th scope=\"row\">{}</th><td class=\"n\">{people}</td>", escape(name));
        for share in shares {
            let _ = match share {
                Some(share) => {
                    let shade = if largest > 0.0 { (SHADES * share / largest).round() } else { 0.0 };
                    write!(out, "<td class=\"n h{shade}\">{:.1}</td>", 100.0 * share)
                }
                None => write!(out, "<td></td>"),
            };
        }
        out += "</tr>\n";
    }
    out + "</tbody></table></div>\n"
}
