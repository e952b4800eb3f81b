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
    for _ in 0..FAULTS_MAX {
        let error = match T::deserialize(toml::Deserializer::from(document.clone())) {
            Ok(value) if faults.len() == before => return Some(value),
            Ok(_) => return None,
            Err(error) => error,
        };
        let span = error.span().unwrap_or_default();
        faults.push(explain(file, shifted(span.clone()), error.message()));
        if !remove(document.get_mut(), &span) {
            return None;
        }
    }
    None
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
    Fault::at(file, span, message.trim().to_owned())
}

/// Takes out the innermost entry that `span` lies in, so that the next fault can be found.
fn remove(table: &mut DeTable<'_>, span: &Range<usize>) -> bool {
    let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    let mut doomed = None;
    for (key, value) in table.iter_mut() {
        if within(key.span()) {
            doomed = Some(key.clone());
            break;
        }
        let inner = match value.get_mut() {
            DeValue::Table(inner) => remove(inner, span),
            DeValue::Array(items) => items.iter_mut().any(|item: &mut Spanned<DeValue<'_>>| {
                if let DeValue::Table(inner) = item.get_mut() { remove(inner, span) } else { false }
            }),
            _ => false,
        };
        if inner {
            return true;
        }
        if within(value.span()) && !span.is_empty() {
            doomed = Some(key.clone());
            break;
        }
    }
    doomed.is_some_and(|key| table.remove(&key).is_some())
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
