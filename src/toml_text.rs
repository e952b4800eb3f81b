//! TOML that people write: every fault of a text at once, each with its place and the nearest known key.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::DeTable;
use toml::de::DeValue;

use crate::catalog::nearest::nearest;

/// How a fault begins of a text that cannot be read at all.
const NOT_TOML: &str = "this is not TOML: ";
/// What shows every key.
pub(crate) const REFERENCE: &str = "`bespoke reference` shows every key with its default";
/// Faults told of one text, at most.
const FAULTS_MAX: usize = 50;

/// One fault of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextFault {
    /// Bytes of the text.
    pub(crate) span: Range<usize>,
    /// What is wrong, without a full stop.
    pub(crate) message: String,
    /// What to write instead, where that is known here.
    pub(crate) help: Option<String>,
}

impl TextFault {
    /// What to write instead: what is known here, else `usual`; nothing where the text is no TOML at all.
    pub(crate) fn help_or(&self, usual: &str) -> Option<String> {
        let known = || self.help.clone().unwrap_or_else(|| usual.to_owned());
        (!self.message.starts_with(NOT_TOML)).then(known)
    }

    fn new(span: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: Some(help.into()) }
    }
}

/// What a text says.
#[derive(Debug)]
pub(crate) struct Read<'t, T> {
    /// Without what was wrong; `None` where nothing can be made of the rest.
    pub(crate) value: Option<T>,
    /// The document without what was wrong.
    pub(crate) rest: Spanned<DeTable<'t>>,
    /// Everything that was.
    pub(crate) faults: Vec<TextFault>,
    /// The keys that were taken out for it: that they are missing now is no fault of their own.
    pub(crate) removed: Vec<String>,
}

/// Reads a text, takes out what is wrong and goes on.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Read<'_, T> {
    let (rest, syntax) = DeTable::parse_recoverable(text);
    let not_toml = |error: &toml::de::Error| TextFault {
        span: error.span().unwrap_or_default(),
        message: format!("{NOT_TOML}{}", error.message()),
        help: None,
    };
    let mut read =
        Read { value: None, rest, faults: syntax.iter().map(not_toml).collect(), removed: Vec::new() };
    if !read.faults.is_empty() {
        return read;
    }
    while read.faults.len() < FAULTS_MAX {
        let error = match T::deserialize(toml::Deserializer::from(read.rest.clone())) {
            Ok(value) => {
                read.value = Some(value);
                break;
            }
            Err(error) => error,
        };
        let span = error.span().unwrap_or_default();
        if !is_consequence(error.message(), &read.removed) {
            read.faults.push(explain(span.clone(), error.message()));
        }
        match remove(read.rest.get_mut(), &span) {
            Some(key) => read.removed.push(key),
            None => break,
        }
    }
    read
}

/// Where the value at `path` stands in a text that may hold faults; the elements of a list are counted from 0.
pub(crate) fn place(text: &str, path: &[&str]) -> Option<Range<usize>> {
    let (document, _) = DeTable::parse_recoverable(text);
    let (first, rest) = path.split_first()?;
    let (_, mut value) = document.get_ref().iter().find(|(key, _)| key.get_ref() == first)?;
    for key in rest {
        value = match value.get_ref() {
            DeValue::Table(inner) => inner.iter().find(|(name, _)| name.get_ref() == key)?.1,
            DeValue::Array(items) => items.get(key.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value.span())
}

/// Whether a fault is only there because something faulty was taken out before.
fn is_consequence(message: &str, removed: &[String]) -> bool {
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    missing.is_some_and(|name| removed.iter().any(|removed| removed == name))
        || (message.contains("found 0 elements") && !removed.is_empty())
}

/// The reader's message in words for authors.
pub(crate) fn explain(span: Range<usize>, message: &str) -> TextFault {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if let (true, Some((name, known))) = (message.starts_with("unknown "), quoted.split_first()) {
        let noun = if message.starts_with("unknown field") { "key" } else { "word" };
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        return TextFault::new(span, format!("there is no {noun} `{name}`"), help);
    }
    if let (true, Some(name)) = (message.starts_with("missing field"), quoted.first()) {
        let message = format!("the key `{name}` is missing");
        return TextFault::new(span.start..span.start, message, format!("write `{name} = …`"));
    }
    if message.contains("more than 1 element") {
        return TextFault::new(span, "this states several things where one is wanted", "keep one of them");
    }
    if let Some((found, wanted)) =
        message.strip_prefix("invalid ").and_then(|rest| rest.split_once(", expected "))
    {
        let is_section = found.contains("type: map");
        let (wanted, help) = wanted_words(wanted.trim(), is_section);
        let found = match (found.strip_prefix("value: "), quoted.first()) {
            // Its type is right: the value itself is what is wrong.
            (Some(_), Some(value)) => (*value).to_owned(),
            _ => found_words(found.trim_start_matches("type: ")).to_owned(),
        };
        let message = format!("this is {found}; it must be {wanted}");
        return TextFault { span, message, help: help.map(str::to_owned) };
    }
    TextFault { span, message: message.trim().to_owned(), help: None }
}

fn found_words(found: &str) -> &str {
    let known = [
        ("string", "text"),
        ("integer", "a whole number"),
        ("floating point", "a decimal number"),
        ("boolean", "true or false"),
        ("sequence", "a list"),
        ("map", "a section"),
    ];
    known.into_iter().find(|(start, _)| found.starts_with(start)).map_or("something else", |(_, words)| words)
}

fn wanted_words(wanted: &str, is_section: bool) -> (&str, Option<&str>) {
    let (wanted, help) = match wanted {
        "a string" => ("text", "put it in quotes"),
        "a character" => ("one character", "write it in quotes, such as `\";\"`"),
        "a sequence" if is_section => {
            ("a list", "write it in double brackets: one such section, of which there may be several")
        }
        "a sequence" => ("a list", "write such as `[\"one\", \"two\"]`"),
        "a map" => ("a section", "write it under its name in brackets, such as `[slots]`"),
        "f64" => ("a number", "write it without quotes, such as `2` or `0.5`"),
        "i64" => ("a whole number", "write it without quotes, such as `2`"),
        "u8" | "u16" | "u32" | "u64" | "usize" => {
            ("a whole number, 0 or more", "write it without quotes, such as `14`")
        }
        "a boolean" => ("true or false", "write `true` or `false` without quotes"),
        other => return (other, None),
    };
    (wanted, Some(help))
}

/// Takes out the innermost entry that `span` lies in, so that the next fault can be found. Gives its key.
fn remove(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    let mut doomed = None;
    for (key, value) in table.iter_mut() {
        if within(key.span()) {
            doomed = Some(key.clone());
            break;
        }
        let inner = match value.get_mut() {
            DeValue::Table(inner) => remove(inner, span),
            DeValue::Array(items) => items.iter_mut().find_map(|item: &mut Spanned<DeValue<'_>>| {
                if let DeValue::Table(inner) = item.get_mut() { remove(inner, span) } else { None }
            }),
            _ => None,
        };
        if inner.is_some() {
            return inner;
        }
        if within(value.span()) && !span.is_empty() {
            doomed = Some(key.clone());
            break;
        }
    }
    let key = doomed?;
    table.remove(&key).map(|_| key.get_ref().to_string())
}
