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

#[cfg(test)]
mod tests {
    use super::STYLE;

    /// The colours of a `:root{…}`, by name.
    fn palette(root: &str) -> Vec<(&str, [f64; 3])> {
        let inside = root.split_once(":root{").unwrap().1.split_once('}').unwrap().0;
        let colour = |text: &str| {
            let digits: Vec<u8> = text
                .bytes()
                .map(|digit| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap())
                .collect();
            let short = digits.len() == 3;
            [0, 1, 2].map(|part| {
                f64::from(if short {
                    digits[part] * 17
                } else {
                    digits[2 * part] * 16 + digits[2 * part + 1]
                })
            })
        };
        let pairs = inside.split(';').filter_map(|pair| pair.trim().split_once(":#"));
        pairs.map(|(name, text)| (name.trim_start_matches("--"), colour(text))).collect()
    }

    /// The contrast of WCAG 2.2, from 1 to 21.
    fn contrast(one: [f64; 3], two: [f64; 3]) -> f64 {
        let linear = |part: f64| {
            if part <= 10.314_75 { part / 255.0 / 12.92 } else { ((part / 255.0 + 0.055) / 1.055).powf(2.4) }
        };
        let luminance = |[red, green, blue]: [f64; 3]| {
            0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
        };
        let (one, two) = (luminance(one), luminance(two));
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// WCAG asks 4.5 of text and 3 of what plots are made of.
    #[test]
    fn text_and_plots_stand_out_on_a_screen_in_the_dark_and_on_paper() {
        let (dark, print) =
            (STYLE.find("@media (prefers-color-scheme:dark)").unwrap(), STYLE.find("@media print").unwrap());
        assert!(dark < print, "what is printed at night is printed on white paper");
        for (scheme, style) in [("light", STYLE), ("dark", &STYLE[dark..]), ("print", &STYLE[print..])] {
            let colours = palette(style);
            let of = |name: &str| colours.iter().find(|(known, _)| *known == name).unwrap().1;
            let paper = of("paper");
            assert_eq!(contrast(paper, [0.0; 3]) > contrast(paper, [255.0; 3]), scheme != "dark", "{scheme}");
            for (name, least) in [
                ("ink", 7.0),
                ("soft", 4.5),
                ("s0", 3.0),
                ("s1", 3.0),
                ("s2", 3.0),
                ("s3", 3.0),
                ("s4", 3.0),
                ("s5", 3.0),
            ] {
                let found = contrast(of(name), paper);
                assert!(found >= least, "{name} on paper, {scheme}: {found:.2}");
            }
        }
    }
}
