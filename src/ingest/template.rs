//! Small templates of mapping files: `"{{ customer | lower }}@example.test"`.
//!
//! Columns and a few filters, written as in Tera; nothing else. A template cannot loop, call or read anything.

use std::borrow::Cow;

/// Most filters behind one column.
const FILTERS_MAX: usize = 10;

/// A template, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Column { name: String, filters: Vec<Filter> },
}

/// What may stand behind a column's name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    /// `trim`: no white space around it.
    Trim,
    /// `lower`: lower case.
    Lower,
    /// `upper`: upper case.
    Upper,
    /// `replace(from="a", to="b")`.
    Replace { from: String, to: String },
    /// `default(value="x")`: where the column is empty.
    Default { value: String },
}

impl Template {
    /// Whether a text is a template at all, and not the name of a column.
    pub(super) fn is_template(text: &str) -> bool {
        text.contains("{{")
    }

    /// Parses a template; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("{{") {
            closed_only_where_opened(before)?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (inner, behind) =
                behind.split_once("}}").ok_or_else(|| "a {{ is never closed by }}".to_owned())?;
            parts.push(column(inner)?);
            rest = behind;
        }
        closed_only_where_opened(rest)?;
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The names of its columns.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Column { name, .. } => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Fills it in. Nothing comes of a template whose columns are all empty: the address of nobody is no address.
    pub(super) fn render<'a>(&self, value_of: impl Fn(&str) -> Option<Cow<'a, str>>) -> Option<String> {
        let mut out = String::new();
        let (mut columns, mut empty) = (0, 0);
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Column { name, filters } => {
                    let mut value = value_of(name).map_or_else(String::new, Cow::into_owned);
                    for filter in filters {
                        filter.apply(&mut value);
                    }
                    columns += 1;
                    empty += usize::from(value.is_empty());
                    out.push_str(&value);
                }
            }
        }
        (columns == 0 || empty < columns).then_some(out)
    }
}

impl Filter {
    fn apply(&self, value: &mut String) {
        match self {
            Self::Trim => *value = value.trim().to_owned(),
            Self::Lower => *value = value.to_lowercase(),
            Self::Upper => *value = value.to_uppercase(),
            Self::Replace { from, to } => *value = value.replace(from, to),
            Self::Default { value: default } if value.is_empty() => value.clone_from(default),
            Self::Default { .. } => {}
        }
    }
}

fn closed_only_where_opened(text: &str) -> Result<(), String> {
    if text.contains("}}") { Err("a }} was never opened by {{".to_owned()) } else { Ok(()) }
}

/// `name | filter | filter(argument="…")`
fn column(inner: &str) -> Result<Part, String> {
    let mut pieces = split_outside_quotes(inner, '|')?.into_iter();
    let name = pieces.next().unwrap_or_default().trim().to_owned();
    if name.is_empty() {
        return Err("{{ }} names no column".to_owned());
    }
    let filters: Vec<Filter> = pieces.map(|piece| filter(piece.trim())).collect::<Result<_, _>>()?;
    if filters.len() > FILTERS_MAX {
        return Err(format!("more than {FILTERS_MAX} filters behind {name:?}"));
    }
    Ok(Part::Column { name, filters })
}

fn filter(text: &str) -> Result<Filter, String> {
    let (name, arguments) = match text.split_once('(') {
        Some((name, rest)) => {
            let inner = rest.strip_suffix(')').ok_or_else(|| format!("{text:?} lacks a closing bracket"))?;
            (name.trim(), arguments(inner)?)
        }
        None => (text, Vec::new()),
    };
    let argument = |wanted: &str| {
        let found = arguments.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.clone()).ok_or_else(|| format!("{name} needs {wanted}=\"…\""))
    };
    let filter = match name {
        "trim" => Filter::Trim,
        "lower" => Filter::Lower,
        "upper" => Filter::Upper,
        "replace" => Filter::Replace { from: argument("from")?, to: argument("to")? },
        "default" => Filter::Default { value: argument("value")? },
        _ => {
            return Err(format!(
                "there is no filter {name:?}; there are trim, lower, upper, replace(from=\"a\", to=\"b\") and \
                 default(value=\"x\")"
            ));
        }
    };
    if arguments.len() > 2 {
        return Err(format!("{name} has more arguments than it takes"));
    }
    Ok(filter)
}

/// `from="a", to="b"`
fn arguments(text: &str) -> Result<Vec<(String, String)>, String> {
    split_outside_quotes(text, ',')?
        .into_iter()
        .map(|piece| {
            let wrong = || format!("{piece:?} is no argument; write name=\"value\"");
            let (name, value) = piece.split_once('=').ok_or_else(wrong)?;
            let value = value.trim().strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            Ok((name.trim().to_owned(), value.ok_or_else(wrong)?.to_owned()))
        })
        .collect()
}

fn split_outside_quotes(text: &str, separator: char) -> Result<Vec<&str>, String> {
    let mut pieces = Vec::new();
    let (mut start, mut inside) = (0, false);
    for (index, character) in text.char_indices() {
        if character == '"' {
            inside = !inside;
        } else if character == separator && !inside {
            pieces.push(&text[start..index]);
            start = index + separator.len_utf8();
        }
    }
    pieces.push(&text[start..]);
    if inside { Err(format!("a quote in {text:?} is never closed")) } else { Ok(pieces) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, expected: Option<&str>) {
        let value_of = |name: &str| match name {
            "customer" => Some("13085".into()),
            "Full Name" => Some(" Ana  B ".into()),
            "x" => Some("{{ customer }}".into()),
            _ => None,
        };
        assert_eq!(Template::parse(template).unwrap().render(value_of).as_deref(), expected, "{template}");
    }

    #[test]
    fn templates_are_filled_in_and_filtered() {
        check("{{ customer }}@example.test", Some("13085@example.test"));
        check("{{Full Name|trim|upper}}!", Some("ANA  B!"));
        check("{{ Full Name | replace(from=\" \", to=\"\") | lower }}", Some("anab"));
        check("{{ customer | replace(from=\"|\", to=\",\") }}-{{ none }}", Some("13085-"));
        check("{{ none }}@example.test", None);
        check("{{ none | default(value=\"x, y\") }}", Some("x, y"));
        check("{{ x }}", Some("{{ customer }}"));
    }

    #[test]
    fn a_bad_template_says_what_is_wrong() {
        for (template, expected) in [
            ("{{ customer", "a {{ is never closed by }}"),
            ("customer }} {{ a }}", "a }} was never opened by {{"),
            ("{{ }}", "{{ }} names no column"),
            (
                "{{ a | shout }}",
                "there is no filter \"shout\"; there are trim, lower, upper, replace(from=\"a\", to=\"b\") and default(value=\"x\")",
            ),
            ("{{ a | replace(from=\"b\") }}", "replace needs to=\"…\""),
            ("{{ a | default(value=b) }}", "\"value=b\" is no argument; write name=\"value\""),
            ("{{ a | default(value=\"b }}", "a quote in \" a | default(value=\\\"b \" is never closed"),
        ] {
            let error = match Template::parse(template) {
                Err(error) => error,
                Ok(parsed) => format!("{parsed:?}"),
            };
            assert_eq!(error, expected, "{template}");
        }
    }
}
