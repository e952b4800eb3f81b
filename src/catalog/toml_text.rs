//! TOML that people write: every fault of a text at once, each with its place and the nearest known key.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::DeTable;
use toml::de::DeValue;

use super::nearest::nearest;
use crate::fault::Fault;
use crate::fault::SourceFile;

/// Faults told of one text, at most.
const FAULTS_MAX: usize = 20;

/// Reads the TOML that stands at `range` of `file`. All faults are pushed; `None` when there was any.
pub(super) fn parse<T: DeserializeOwned>(
    file: &SourceFile,
    range: Range<usize>,
    faults: &mut Vec<Fault>,
) -> Option<T> {
    let offset = range.start;
    let text = file.text.get(range)?;
    let shifted = |span: Range<usize>| span.start + offset..span.end + offset;
    let (mut document, syntax) = DeTable::parse_recoverable(text);
    let before = faults.len();
    for error in syntax {
        let span = shifted(error.span().unwrap_or_default());
        faults.push(Fault::at(file, span, format!("this is not TOML: {}", error.message())));
    }
    if faults.len() > before {
        return None;
    }
    let mut removed: Vec<String> = Vec::new();
    for _ in 0..FAULTS_MAX {
        let error = match T::deserialize(toml::Deserializer::from(document.clone())) {
            Ok(value) if faults.len() == before => return Some(value),
            Ok(_) => return None,
            Err(error) => error,
        };
        let span = error.span().unwrap_or_default();
        if !is_consequence(error.message(), &removed) {
            faults.push(explain(file, shifted(span.clone()), error.message()));
        }
        match remove(document.get_mut(), &span) {
            Some(key) => removed.push(key),
            None => return None,
        }
    }
    None
}

/// Whether a fault is only there because something faulty was taken out before.
fn is_consequence(message: &str, removed: &[String]) -> bool {
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    missing.is_some_and(|name| removed.iter().any(|removed| removed == name))
        || (message.contains("found 0 elements") && !removed.is_empty())
}

/// The reader's message in words for authors.
fn explain(file: &SourceFile, span: Range<usize>, message: &str) -> Fault {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if let (true, Some((name, known))) = (message.starts_with("unknown "), quoted.split_first()) {
        let noun = if message.starts_with("unknown field") { "key" } else { "word" };
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        return Fault::at(file, span, format!("there is no {noun} `{name}`")).with_help(help);
    }
    if let (true, Some(name)) = (message.starts_with("missing field"), quoted.first()) {
        return Fault::at(file, span.start..span.start, format!("the key `{name}` is missing"))
            .with_help(format!("write `{name} = …`"));
    }
    if message.contains("more than 1 element") {
        let fault = Fault::at(file, span, "this states several things where one is wanted");
        return fault.with_help("keep one of them");
    }
    if let Some((found, wanted)) =
        message.strip_prefix("invalid ").and_then(|rest| rest.split_once(", expected "))
    {
        let (wanted, help) = wanted_words(wanted);
        let found = match (found.strip_prefix("value: "), quoted.first()) {
            // Its type is right: the value itself is what is wrong.
            (Some(_), Some(value)) => (*value).to_owned(),
            _ => found_words(found.trim_start_matches("type: ")).to_owned(),
        };
        return Fault::at(file, span, format!("this is {found}; it must be {wanted}")).with_help(help);
    }
    Fault::at(file, span, message.trim().to_owned()).with_help("write it as README's part on templates shows")
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

fn wanted_words(wanted: &str) -> (&str, &str) {
    match wanted {
        "a string" => ("text", "put it in quotes"),
        "a sequence" => ("a list", "write such as `[\"one\", \"two\"]`"),
        "a map" => ("a section", "write it under its name in brackets, such as `[slots]`"),
        "f64" => ("a number", "write it without quotes, such as `2` or `0.5`"),
        "i64" => ("a whole number", "write it without quotes, such as `2`"),
        "u32" | "u64" => ("a whole number, 0 or more", "write it without quotes, such as `14`"),
        "a boolean" => ("true or false", "write `true` or `false` without quotes"),
        other => (other, "write it as README's part on templates shows"),
    }
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

/// The place in `file` of `within`, a range of the text that the TOML string at `value` stands for; the whole
/// string where it holds escapes.
pub(super) fn inside_string(
    file: &SourceFile,
    value: &Range<usize>,
    text: &str,
    within: &Range<usize>,
) -> Range<usize> {
    let Some(written) = file.text.get(value.clone()) else { return value.clone() };
    match written.find(text) {
        Some(start) if !text.is_empty() => {
            value.start + start + within.start..value.start + start + within.end
        }
        _ => value.clone(),
    }
}

/// Moves the places of a head's values from the head's text to its file.
pub(super) fn shift<T>(value: &Spanned<T>, offset: usize) -> Range<usize> {
    value.span().start + offset..value.span().end + offset
}

/// Where the value (or else the key) at `path` stands in a file that is TOML.
pub(super) fn place(file: &SourceFile, path: &[&str]) -> Range<usize> {
    fn walk(table: &DeTable<'_>, path: &[&str]) -> Option<Range<usize>> {
        let (first, rest) = path.split_first()?;
        let (_, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
        match (value.get_ref(), rest) {
            (_, []) => Some(value.span()),
            (DeValue::Table(inner), rest) => walk(inner, rest),
            _ => None,
        }
    }
    let (document, _) = DeTable::parse_recoverable(&file.text);
    walk(document.get_ref(), path).unwrap_or(0..0)
}
